/* What an answer gave so far, on its way to the sink: characters whole, reasoning told apart, tool
 * calls put together.  See dialect.h for what a dialect calls. */
#ifndef SEMA_BACKEND_SPEECH_H
#define SEMA_BACKEND_SPEECH_H

#include <stdbool.h>

struct answer;

void speech_init(struct answer *a); /* for each call anew */
void speech_fini(struct answer *a); /* a zeroed one is fine */
void speech_end(struct answer *a);  /* what is held comes out; usage and finish become final */
/* A stop string that is watched for was met: answer.c ends the call and the answer. */
void speech_stopped(struct answer *a);
bool speech_holds(const struct answer *a); /* text that is not given yet */

#endif
