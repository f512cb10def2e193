/* What a model is sent for a turn (http-api.md 8 and 8.1): the system prompt, the newest whole
 * turns of the session without their reasoning, the new message.  After the system message the list
 * begins with the user and roles alternate. */
#ifndef SEMA_CHAT_PROMPT_H
#define SEMA_CHAT_PROMPT_H

#include "backend/backend.h"
#include "base/arena.h"
#include "chat/chat.h"

struct prompt {
    struct message *messages; /* [0] is the system prompt when there is one */
    size_t count;
};

/* The first non-empty of the request's, that of its type, the default. */
str prompt_system(const struct chat_conf *c, const struct turn_ask *ask);

/* Views into `history`, `ask` and `c`, which must live as long as the prompt; the rest is in
 * `arena`. */
enum err prompt_build(struct prompt *out, struct arena *arena, const struct chat_conf *c,
                      const struct turn_ask *ask, const struct shelf_answer *history);

/* For a model without a system role: the system messages in front become the beginning of the first
 * user message.  ERR_MEMORY. */
enum err prompt_fold(struct ask *q, struct arena *arena);

#endif
