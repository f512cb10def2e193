/* What the files of models.h share: models.c (life, looking, use), models_ready.c (preparing),
 * models_service.c (what is known of a service), models_names.c (who is meant), models_switch.c. */
#ifndef SEMA_CHAT_MODELS_INNER_H
#define SEMA_CHAT_MODELS_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "chat/models.h"

enum {
    SERVICES_MAX = 256,      /* kept; those of no model make room, the least recently used first */
    MODEL_NUMBERS_TYPES = 8, /* of MODEL_NUMBERS_MAX, kept for the rows "other" */
    OTHERS_MAX = 64,         /* models that clients named; one not used for longest makes room */
};

/* One (type, address, model), whoever uses it: its breaker, a mark.  The address is the type's, by
 * the settings.  It outlives its models, so that a name asked for again meets the breaker it left.
 */
struct service {
    struct service *next;
    const char *type;
    size_t refs; /* models */
    uint64_t used_ms;
    struct breaker breaker;
    enum err down; /* of the mark */
    uint64_t down_until_ms;
    int limited; /* answers in a row that ended in a rate limit without a time */
    size_t model_len;
    char model[];
};

/* One (type, key). */
struct model_type {
    struct model_conf conf; /* strings in the arena */
    enum err down;
    uint64_t down_until_ms;
};

struct model {
    struct models *of;
    enum model_role role;
    const struct backend_ops *ops;
    str name, version; /* its own */
    struct backend *backend;
    struct service *service;
    struct model_numbers *numbers; /* under the lock: a switch names it */
    struct model_type *type;       /* or NULL: the settings have no row for it */

    /* Guarded by models.lock. */
    size_t refs; /* lists, lines, uses, a preparing under way */
    enum model_state state;
    enum err last_error;
    struct err_note why;
    uint64_t requests, failures;
    int64_t first_token_ms;
    uint64_t last_used_us;
    struct model_wait *waiting;
    uint64_t ended_ms; /* of the last attempt to prepare it */
    bool wanted;       /* `want` is posted */
    struct model *next_made;

    /* The preparing loop's. */
    struct task want, bury;
    struct timer again;
    uint64_t again_ms;
    bool preparing, tried; /* an attempt runs; one has ended */
    uint64_t room_ms;      /* when others last made room for it; 0: not in this attempt */
    struct switching *switching;
};

struct models {
    pthread_mutex_t lock;
    struct loop *loop;
    struct arena arena; /* under the lock */

    /* Guarded by the lock.  at[0] is the primary, the chain ends at `chain`, the reasoning model
     * (if any) follows, then those that clients named. */
    struct model *at[MODEL_LINE_MAX + OTHERS_MAX];
    size_t count, chain;
    struct model *reasoning;
    struct model *made; /* every one that is not freed */
    struct switching *switching;

    struct model_conf configured[MODEL_LINE_MAX]; /* model and version only, in the arena */
    size_t configured_count;
    struct model_type *types;
    size_t types_count;
    struct alias {
        str name, type, model;
    } * aliases;
    size_t aliases_count;
    const char *loads;
    bool any;
    struct timer idle; /* the loop's: looks for loaded models that nobody uses */
    int breaker_failures;

    struct service *services;
    size_t services_count;
    struct model_numbers *numbers[MODEL_NUMBERS_MAX];
    _Atomic size_t numbers_count;
    struct models_counts counts;

    void (*settled)(void *ctx, enum err e, const struct err_note *why);
    void *settled_ctx;

    struct offering *offering; /* models_offers.c; made by the first who asks, under the lock */
};

/* models.c; `locked`: the caller holds models.lock */
/* One reference.  `named`: it has a row of numbers of its own. */
enum err models_make(struct model **out, struct models *m, const struct model_conf *c, bool named,
                     struct err_note *why);
void models_name_numbers(struct model *x); /* under the lock: it has one from now on */
void models_unref(struct model *x);
void models_unref_locked(struct model *x);
bool models_same(const struct model *x, const char *type, str name, str version);
uint64_t models_now_ms(void);

/* models_service.c; under the lock */
struct service *models_service_of(struct models *m, const char *type, str model); /* a reference */
void models_service_leave(struct models *m, struct service *s);                   /* NULL is fine */
void models_service_free_all(struct models *m);
enum err models_service_may(struct model *x, uint64_t now_ms, bool *probe, struct err_note *why);
void models_service_judge(struct model *x, enum err e, const struct err_note *why, bool probe,
                          uint64_t now_ms);
bool models_service_up(const struct model *x, uint64_t now_ms); /* could be asked now */

/* models_ready.c */
void models_ready_prepare(struct model *x); /* on the loop */
void models_ready_want(struct model *x);    /* under the lock, any thread */
bool models_ready_may_come(const struct model *x,
                           bool last);             /* under the lock: worth waiting for */
bool models_ready_of_chain(const struct model *x); /* primary or fallback */
void models_ready_ended(struct model *x, enum err e, const struct err_note *why); /* on the loop */

/* models_names.c.  Without the lock: the model of that name, made if need be, with one more
 * reference. ERR_MODEL_NOT_FOUND: the note says what is there. */
enum err models_names_get(struct models *m, str name, struct model **out, struct err_note *why);
bool models_names_current(str name);                              /* "sema", "default": no choice */
struct model_type *models_names_type(struct models *m, str type); /* under the lock; NULL: none */
str models_names_version(struct models *m, const struct model_type *t, str name); /* likewise */
void models_names_set_idle(struct models *m); /* on the loop: something was loaded */
bool models_names_drop_idle(struct models *m,
                            uint64_t idle_us); /* on the loop: one, unused so long */

/* models_offers.c.  Under the lock: the type that offers a model of that name, NULL when none that
 * was heard of does.  Free: no loop runs any more. */
const char *models_offers_type_of(const struct models *m, str name);
/* Adds those that may be named to a list. */
void models_offers_tell(const struct models *m, char *list, size_t room,
                        void (*add)(char *list, size_t room, const char *type, str name));
void models_offers_free(struct models *m);

/* models_switch.c: the preparing of a new primary has ended; on the loop */
void models_switch_end(struct models *m); /* when everything does: whoever waits is told */
void models_switch_prepared(struct model *x, enum err e, const struct err_note *why);

#endif
