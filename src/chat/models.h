/* The models that may answer: the primary, the fallback chain, the reasoning model, and others by
 * name; prepared in the background, retried while what ails them may pass, exchanged while requests
 * run.
 *
 * A request takes a `struct model_line` at its start: the models it may ask, in order.  An exchange
 * meanwhile changes nothing for it, and never takes a model away from it. */
#ifndef SEMA_CHAT_MODELS_H
#define SEMA_CHAT_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/loop.h"
#include "chat/breaker.h"

struct models;
struct model;
struct model_use;

enum { MODEL_NAME_BYTES_MAX = 1024 }; /* in a view; a longer one is cut there */

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
void models_free(struct models *m); /* its loop runs no more; no use is left; NULL is fine */

/* What else may be asked for, by name (openai-compat.md 1.1) or in a switch.  Before
 * models_prepare. */
struct models_more {
    /* One row a backend: its settings, conf.model empty; copied.  conf.version only where it
     * belongs to every model of the type. */
    const struct model_conf *types;
    size_t types_count;
    const str *aliases; /* "name=type/name"; copied */
    size_t aliases_count;
    const char *loads;    /* the type whose models must be loaded before they answer: "local" */
    bool any;             /* CLIENT_MODELS=any: every model of a backend that opens */
    int breaker_failures; /* PROVIDER_BREAKER_FAILURES */
};
enum err models_more(struct models *m, const struct models_more *more, struct err_note *why);

/* Starts preparing.  `settled` (may be NULL) is called once on the loop: with ERR_NONE as soon as
 * one model of the chain is ready, or with the primary's error when all failed for good. */
void models_prepare(struct models *m,
                    void (*settled)(void *ctx, enum err e, const struct err_note *why), void *ctx);

/* ---- looking: any thread, no lock held long ---- */

struct model_view {
    enum model_role role;
    enum model_state state;
    const char *type;
    str name;            /* as long as this view stands where models_view filled it */
    enum err last_error; /* of the last preparing or request; ERR_NONE: it went well */
    struct err_note why;
    uint64_t requests, failures;
    enum breaker_state breaker;
    int64_t first_token_ms; /* of the last answer; -1: none yet */
    int context_length;     /* tokens; 0: not known */
    unsigned can;           /* BACKEND_* */
    uint64_t last_used_us;  /* wall clock; 0: never */
    char name_bytes[MODEL_NAME_BYTES_MAX];
};
size_t models_count(const struct models *m);
/* The primary is the first.  False: there is no i-th (any more). */
bool models_view(const struct models *m, size_t i, struct model_view *out);
bool models_any_ready(const struct models *m); /* of the chain, its breaker not open */

/* What each backend with a credential offers, and the local models of this machine.  Kept for five
 * minutes; a backend that fails, or takes more than two seconds, is among those that are missing.
 * With CLIENT_MODELS=configured the local ones alone, for what is known of their files. */
struct models_offer {
    const char *type;
    str name;
    int context_length, output_tokens; /* 0: not known */
    unsigned can;                      /* BACKEND_* */
    const struct backend_files *files; /* of local models, else NULL */
};
struct models_missing {
    const char *type;
    enum err e;
};
struct models_offers {
    bool any; /* all of them may be named; else only those of the settings */
    const struct models_offer *at;
    size_t count;
    const struct models_missing *missing;
    size_t missing_count;
};
struct models_asker;
typedef void models_offers_fn(void *ctx, const struct models_offers *o);
/* `done` comes once, later, on `l`; what it is given dies when it returns.  NULL: no memory. */
struct models_asker *models_offers(struct models *m, struct loop *l, models_offers_fn *done,
                                   void *ctx);
void models_asker_leave(struct models_asker *a); /* on `l`: `done` does not come */

/* Whether a name that means nothing now may mean something once the lists are there: then ask for
 * them, and again. */
bool models_offers_may_tell(struct models *m);

/* The model that a name means, as a view of it (openai-compat.md 1.1); nothing is loaded for that.
 * ERR_MODEL_NOT_FOUND. */
enum err models_resolve(struct models *m, str name, struct model_view *out, struct err_note *why);

/* A loaded model that only clients named is given up; who runs on it ends first.  Any other name
 * changes nothing. */
void models_unload(struct models *m, str name);

/* ---- asking ---- */

enum { MODEL_LINE_MAX = 12 }; /* named, reasoning, primary, 8 fallbacks; and one to spare */

struct model_line {
    struct models *of;
    struct model *at[MODEL_LINE_MAX];
    size_t count;
    bool named; /* the first is one that the asker chose by its name */
};
/* reasoning: the reasoning model first, then primary and chain.  `name` (may be empty): that model
 * first, then the fallbacks, not the primary.  ERR_MODEL_NOT_FOUND: it names none that may be
 * asked; the note says which are there, or which setting is missing. */
enum err models_line(struct models *m, bool reasoning, str name, struct model_line *out,
                     struct err_note *why);
void model_line_end(struct model_line *l); /* takes a zeroed one */

/* The n-th of the line, from 0.  ERR_NOT_FOUND: there is none.  Else why it is not asked, without a
 * call: ERR_NOT_READY (not prepared; its breaker is open), or the class that it was marked down
 * for, with the time left in the note.  Released by model_use_end. */
enum err model_line_use(const struct model_line *l, size_t n, struct model_use **out,
                        struct err_note *why);
bool model_line_ready_after(const struct model_line *l, size_t n); /* one behind the n-th is */
/* The first that is ready, of the current chain; else ERR_NOT_READY. */
enum err models_use(struct models *m, struct model_use **out);

/* Some are prepared at first use: who asks for one waits here, and asks again when `ready` runs on
 * `loop`, whichever way the preparing went.  ERR_NOT_FOUND: nothing to wait for.  `last`: whoever
 * stood before it has failed, so one of the chain is waited for too while it is prepared for the
 * first time, which is how a start looks. */
struct model_wait {
    struct task task;
    struct model_wait *next;
    struct loop *loop;
    void (*ready)(struct model_wait *w);
    bool on_way;
};
enum err model_line_wait(const struct model_line *l, size_t n, bool last, struct model_wait *w);
/* False: `ready` is on its way and comes. */
bool model_line_wait_end(const struct model_line *l, size_t n, struct model_wait *w);

const struct backend_ops *model_use_ops(const struct model_use *u);
struct backend *model_use_backend(const struct model_use *u);
str model_use_name(const struct model_use *u); /* lives as long as the line */
str model_use_version(const struct model_use *u);
bool model_use_is_probe(const struct model_use *u); /* of a half-open breaker: one call, no retry */
void model_use_first(struct model_use *u, uint64_t us); /* the first piece came after so long */
/* Counts it, and judges its service.  `why`, `usage` may be NULL; `us`: how long it took.
 * ERR_CANCELLED is neither success nor failure. */
void model_use_end(struct model_use *u, enum err result, const struct err_note *why,
                   const struct usage *usage, uint64_t us);
void model_use_drop(struct model_use *u); /* nothing was asked of it: counts nothing */

/* ---- the exchange of the primary (http-api.md 9.2) ---- */

struct model_switched {
    const char *type_before, *type_now;
    str name_before, name_now; /* die when `done` returns */
    uint64_t us;               /* how long it took; 0: it was current already */
};
typedef void model_switched_fn(void *ctx, enum err e, const struct err_note *why,
                               const struct model_switched *s);
/* Prepares the model, then makes it the primary in one step.  `done` comes once, later, on `l`
 * (only ERR_MEMORY is returned, and then it does not).  ERR_CONFLICT: another switch runs.
 * ERR_UNSUPPORTED: no such type.  ERR_CREDENTIAL: the note names the setting.  ERR_NOT_FOUND,
 * ERR_MODEL_NOT_FOUND, ERR_MODEL_UNUSABLE, ERR_MODEL_TOO_LARGE; ERR_TIMEOUT; any class of a
 * provider: on each nothing changed.  ERR_SHUTTING_DOWN: it comes from within models_free, when the
 * loops are over.  `type` empty: the current one; `version` empty: the
 * settings'. */
enum err models_switch(struct models *m, struct loop *l, str type, str name, str version,
                       uint64_t total_ms, model_switched_fn *done, void *ctx);

/* ---- counts by model, for metrics ---- */

/* One row for each model of the settings and each that was switched to; what only clients named
 * counts in its type's row "other", as do switches beyond the first dozens.  A row never goes away.
 */
enum { MODEL_NUMBERS_MAX = 64 };
struct model_numbers {
    const char *backend;
    str model;
    counter ok, failed, cancelled;
    counter prompt_tokens, completion_tokens;
    struct histogram seconds, first_token;
};
size_t models_numbers_count(const struct models *m);
struct model_numbers *models_numbers(const struct models *m, size_t i);

struct models_counts {
    counter fallbacks; /* asked because one before it in the line could not answer */
    counter rescues;   /* asked to go on with a stream that broke */
};
struct models_counts *models_counts(const struct models *m);

#endif
