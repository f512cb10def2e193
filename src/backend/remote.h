/* Opening a remote backend and checking it for free: what dialects share beside an answer. */
#ifndef SEMA_BACKEND_REMOTE_H
#define SEMA_BACKEND_REMOTE_H

#include "backend/dialect.h"

typedef void remote_ready_fn(void *ctx, enum err e, const struct err_note *why);

/* GET base + path, with the fields that `sign` adds: a list of models, in OpenAI's form (data[].id)
 * or Google's (models[].name).  401: ERR_AUTH, naming the key's setting; a list that is missing or
 * unreadable is fine; a model that is not in it is a warning that names up to five that are. */
void remote_prepare(struct backend *b, struct loop *l, const char *path,
                    void (*sign)(const struct backend *b, struct call *c), remote_ready_fn *done,
                    void *ctx);
/* Whether somebody answers at the address, whatever the answer is: a GET without the key, for
 * providers that have no free call. */
void remote_reach(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx);

/* The same call, for what may be named: those that answer and are not shut down.  `path` lives on;
 * a list in pages is followed for a few of them, all within the time. */
void remote_list(struct backend *b, struct loop *l, const char *path,
                 void (*sign)(const struct backend *b, struct call *c), uint32_t within_ms,
                 backend_list_fn *done, void *ctx);

#endif
