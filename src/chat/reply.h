/* One answer over the models of a chain: who is asked, who takes over while nothing was shown, who
 * goes on from what was shown, within one time budget.  What a stored turn (turn.c) and the
 * stateless APIs
 * (/v1/...) have in common; it knows neither sessions nor routes.
 *
 *   ASKING    -> ASKING     the next model; the asker has seen nothing yet
 *   ASKING    -> SHOWING    the first event went out: nobody may start over from here
 *   SHOWING   -> SHOWING    rescue: another model goes on from the exact text already shown
 *   either    -> (done), (cancelled)
 *
 * Threads: a reply belongs to the loop that started it. */
#ifndef SEMA_CHAT_REPLY_H
#define SEMA_CHAT_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/err.h"

struct loop;
struct models;
struct reply;

struct reply_ask {
    /* The neutral request; everything it points at lives until `done` or reply_cancel.  model,
     * model_version, deadline_ms, others_ready and prefill are filled for each model that is asked;
     * its system messages are folded into the first of the user for a model without a system role.
     */
    const struct ask *ask;
    bool reasoning; /* the reasoning model first */
    /* One model by name (openai-compat.md section 1.1), "" for the chain: "type/name", an alias, a
     * name of the chain.  Faults of service fall back to the chain. */
    str model;
    uint64_t total_ms; /* of everything: waits, retries, all models */
    bool rescue;       /* STREAM_RESCUE */
    bool hold;         /* show nothing before the end: a fault at any moment may then be rerouted */
    bool reasoning_hidden; /* the asker shows it to nobody, and forgets it at the next `started` */
};

struct reply_end {
    enum err e; /* ERR_NONE: complete */
    struct err_note
        why; /* of the first real failure; not for clients, but ERR_BAD_REQUEST of `local` */
    enum finish finish;
    str stop;            /* the ask's own stop string that ended it; empty: none, or not known */
    struct usage usage;  /* of all that was shown */
    str model_name;      /* who answered, or began to; empty when nobody did; dies with the reply */
    const char *type;    /* its backend; NULL when nobody did */
    uint64_t asked_us;   /* clock_mono_us: when that one was asked; 0: nobody was */
    uint64_t first_us;   /* its first piece; 0: none came */
    bool shown;          /* some event went out */
    bool unknown_name;   /* the provider does not know the model that `model` named */
    str rescued_by;      /* empty: nobody; else who went on, */
    uint64_t rescued_at; /* after so many characters of answer */
};

/* Views die on return.  Any but `done` may be NULL.  reply_cancel may be called from within any of
 * them but `done`. */
struct reply_events {
    void *ctx;
    void (*started)(void *ctx, str model_name, const char *type); /* each time a model is asked */
    void (*text)(void *ctx, str text);
    void (*reasoning)(void *ctx, str text);
    void (*signature)(void *ctx, const struct part *of); /* as struct sink's */
    void (*tool_begin)(void *ctx, int index, str id, str name);
    void (*tool_args)(void *ctx, int index, str fragment);
    void (*done)(void *ctx, const struct reply_end *end); /* last, once; the reply is gone then */
    void (*extra)(void *ctx, enum extra what, str json);  /* of whoever `started` last */
};

/* No event before it returned.  ERR_MEMORY; ERR_MODEL_NOT_FOUND: `model` names none that may be
 * asked (CLIENT_MODELS); the note says which are there.  Then no event comes. */
enum err reply_start(struct reply **out, struct models *m, struct loop *l,
                     const struct reply_ask *ask, struct reply_events to, struct err_note *why);
void reply_cancel(struct reply *r); /* no event follows; NULL is fine */
void reply_pause(struct reply *r, bool pause);

#endif
