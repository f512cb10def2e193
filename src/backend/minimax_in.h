/* What the files of the minimax backend share. */
#ifndef SEMA_BACKEND_MINIMAX_IN_H
#define SEMA_BACKEND_MINIMAX_IN_H

#include "backend/dialect.h"

/* An answer's own_state: what a fragment holds.  `own` is what came of a channel before that is
 * known, `own_count` how much of each channel. */
enum { FRAGMENTS_UNKNOWN, FRAGMENTS_NEW, FRAGMENTS_ALL };

/* chatcompletion_v2 and the form of OpenAI's chat completions. */
void minimax_read_event(struct answer *a, str type, yyjson_val *root);
void minimax_read_whole(struct answer *a, yyjson_val *root);
/* All forms: what the provider's own numbers mean (providers.md 7.3). */
void minimax_judge(struct answer *a, struct fault *f, yyjson_val *root);

#endif
