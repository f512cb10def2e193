/* WebSocket conversations of a loop, for its end. */
#ifndef SEMA_API_WS_H
#define SEMA_API_WS_H

struct api_loop;

void ws_drain_all(struct api_loop *at); /* idle ones close (1001), the others after their answer */
void ws_end_all(struct api_loop *at);   /* after stream_end_all: all close */

#endif
