/* The stream of http-api.md section 6 as the answer to a POST that asks for it. */
#ifndef SEMA_API_CHAT_STREAM_H
#define SEMA_API_CHAT_STREAM_H

#include "api/validate.h"

struct call;

/* `ask` is checked and counted; its views are used before this returns. */
void chat_stream_answer(struct call *c, const struct chat_request *ask);

#endif
