/* HTTP <-> chat: everything that /api/v1, the health, metrics and documentation routes say on the
 * wire (http-api.md).  It knows no provider and no storage; what it is given, it puts into words.
 *
 * One struct api serves all loops: settings, limits, the kept answers, the counts.  One struct
 * api_loop a loop holds what lives there: requests that wait, streams, WebSockets.
 *
 *     api_new        once
 *     api_loop_new   once a loop, before it runs; its http_app goes to http_server_new
 *     api_loop_drain, then api_loop_end at SHUTDOWN_TIMEOUT, on the loop
 *     api_loop_free  after the loop's http server
 *     api_free
 *
 * Threads: api_new and api_free on the thread that starts and ends the program; the rest as said
 * below. */
#ifndef SEMA_API_API_H
#define SEMA_API_API_H

#include "base/err.h"
#include "http/server.h"

struct api;
struct api_loop;
struct chat;
struct conf;
struct loop;
struct models;
struct shelf;

/* What the api speaks for; all of it outlives the api. */
struct api_parts {
    const struct conf *conf;
    struct chat *chat;
    struct models *models;
    struct shelf *shelf;
};

/* ERR_INVALID with a note when METRICS_PATH is another route's; ERR_MEMORY. */
enum err api_new(struct api **out, const struct api_parts *parts, struct err_note *why);
void api_free(struct api *a); /* no api_loop is left; NULL is fine */

/* Any thread, before the loop runs. */
enum err api_loop_new(struct api_loop **out, struct api *a, struct loop *l, struct err_note *why);
const struct http_app *api_loop_app(const struct api_loop *al); /* lives as long as `al` */

/* The stop has begun: no new turn is taken, idle WebSockets close (1001), the others after their
 * answer. `drained` is called once, on the loop, when no turn of this loop runs any more; at once
 * when none does. The http server is drained by its own call, at the same time. */
void api_loop_drain(struct api_loop *al, void (*drained)(void *ctx), void *ctx);
/* SHUTDOWN_TIMEOUT: what still runs gets its error ("Server is shutting down") and ends now. */
void api_loop_end(struct api_loop *al);
void api_loop_free(struct api_loop *al); /* nothing of it is in flight; NULL is fine */

#endif
