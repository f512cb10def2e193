/* One thing asked of one model that is no answer: a count of tokens, embeddings.  The model is
 * found by name, waited for while it is made ready, asked once.  No other model takes over: another
 * would count otherwise, and its vectors have another meaning.
 *
 * Threads: an errand belongs to the loop that started it. */
#ifndef SEMA_CHAT_ERRAND_H
#define SEMA_CHAT_ERRAND_H

#include "backend/backend.h"

struct errand;
struct loop;
struct models;

/* One of the two is set and lives until the end, or none: then it ends when the model is ready.
 * model and deadline_ms are filled in a copy. */
struct errand_ask {
    const struct ask *count;
    const struct embed_ask *embed;
    str model; /* as reply_ask.model */
    uint64_t total_ms;
};

struct errand_end {
    str model_name;   /* who was asked; empty: nobody */
    const char *type; /* its backend, or NULL */
    /* ERR_NOT_FOUND: nobody counts for this model; its backend has no embeddings. */
    const struct aside_end *what;
};
typedef void errand_fn(void *ctx, const struct errand_end *end);

/* `done` comes once, later.  ERR_MEMORY, ERR_MODEL_NOT_FOUND: it does not come. */
enum err errand_start(struct errand **out, struct models *m, struct loop *l,
                      const struct errand_ask *ask, errand_fn *done, void *ctx,
                      struct err_note *why);
void errand_cancel(struct errand *e); /* `done` does not come; NULL is fine */

#endif
