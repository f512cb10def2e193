/* The models that may answer: the primary, the fallback chain, the reasoning model; prepared in the
 * background, retried while what ails them may pass, exchanged while requests run.
 *
 * A `struct model_use` keeps a model alive for one request: the exchange of the primary never takes
 * a model away from a request that runs on it. */
#ifndef SEMA_CHAT_MODELS_H
#define SEMA_CHAT_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/loop.h"

struct models;
struct model_use;

enum model_role { MODEL_PRIMARY, MODEL_FALLBACK, MODEL_REASONING, MODEL_OTHER };
enum model_state { MODEL_UNUSED, MODEL_LOADING, MODEL_READY, MODEL_FAILED };

struct model_conf {
    enum model_role role;
    const struct backend_ops *ops;
    struct backend_conf conf; /* conf.model is what model_name reports */
};

/* `loop`: where preparing runs.  Models are prepared in order, the reasoning model at first use.
 * `at` holds one primary; its strings are copied. */
enum err models_new(struct models **out, struct loop *loop, const struct model_conf *at,
                    size_t count, struct err_note *why);
/* Starts preparing.  `settled` is called once on the loop: with ERR_NONE as soon as one model of
 * the chain is ready, or with the primary's error when all failed for good. */
void models_prepare(struct models *m,
                    void (*settled)(void *ctx, enum err e, const struct err_note *why), void *ctx);
void models_free(struct models *m); /* its loop runs no more; no use is left; NULL is fine */

struct model_view {
    enum model_role role;
    enum model_state state;
    const char *type;
    str name;
    enum err last_error;
    struct err_note why;
    uint64_t requests, failures;
};
size_t models_count(const struct models *m);
void models_view(const struct models *m, size_t i, struct model_view *out); /* any thread */
bool models_any_ready(const struct models *m); /* any thread, no lock held long */

/* The n-th model to ask for a request (reasoning: the reasoning model first, then primary and
 * chain). ERR_NONE; ERR_NOT_READY: this one is not ready; ERR_NOT_FOUND: no n-th.  Released by
 * model_use_end. */
enum err models_use(struct models *m, bool reasoning, size_t n, struct model_use **out);
bool models_ready_after(const struct models *m, bool reasoning,
                        size_t n); /* one behind the n-th is */

/* The reasoning model is prepared at first use: who asks for it waits here, and asks again when
 * `ready` runs on `loop`, whichever way the preparing went.  ERR_NOT_FOUND: nothing to wait for. */
struct model_wait {
    struct task task;
    struct model_wait *next;
    struct loop *loop;
    void (*ready)(struct model_wait *w);
    bool on_way;
};
enum err models_wait(struct models *m, bool reasoning, size_t n, struct model_wait *w);
/* False: `ready` is on its way and comes. */
bool models_wait_end(struct models *m, struct model_wait *w);

const struct backend_ops *model_use_ops(const struct model_use *u);
struct backend *model_use_backend(const struct model_use *u);
str model_use_name(const struct model_use *u);
str model_use_version(const struct model_use *u);
/* Counts it.  `usage` may be NULL; ERR_CANCELLED is neither success nor failure. */
void model_use_end(struct model_use *u, enum err result, const struct err_note *why,
                   const struct usage *usage);
void model_use_drop(struct model_use *u); /* nothing was asked of it: counts nothing */

/* Counts by model, for metrics: generations by outcome, tokens by kind. */
struct model_numbers {
    const char *backend;
    str model;
    counter ok, failed, cancelled;
    counter prompt_tokens, completion_tokens;
    struct histogram seconds, first_token;
};
size_t models_numbers_count(const struct models *m);
struct model_numbers *models_numbers(const struct models *m, size_t i);
struct model_numbers *model_use_numbers(struct model_use *u);

#endif
