/* The models of the settings and how they get ready.  The list and what is in it is guarded by one
 * lock, held for a few assignments; preparing runs on one loop. */
#include "chat/models.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

enum {
    AGAIN_MS_MIN = 500, /* after a failure that may pass; doubled each time */
    AGAIN_MS_MAX = 15 * 1000,
    NUMBERS_MAX = 64, /* further models share the last, named "other" */
};

struct model {
    struct models *of;
    enum model_role role;
    const struct backend_ops *ops;
    struct backend_conf conf; /* strings in the arena */
    struct backend *backend;  /* NULL: open refused it */
    struct model_numbers *numbers;
    struct arena arena;

    /* Guarded by models.lock. */
    size_t refs;
    enum model_state state;
    enum err last_error;
    struct err_note why;
    uint64_t requests, failures;
    struct model_wait *waiting;
    bool wanted; /* preparing is asked for */

    /* The preparing loop's. */
    struct task want;
    struct timer again;
    uint64_t again_ms;
    bool preparing;
    bool tried; /* one attempt has ended */
};

struct models {
    pthread_mutex_t lock;
    struct loop *loop;
    struct model **at; /* primary, fallbacks in order, then the others */
    size_t count, chain;
    struct model *reasoning; /* or NULL */
    struct model_numbers *numbers[NUMBERS_MAX];
    _Atomic size_t numbers_count;

    void (*settled)(void *ctx, enum err e, const struct err_note *why);
    void *settled_ctx;
};

struct model_use {
    struct model *model;
};

/* ---- numbers ---- */

static struct model_numbers *numbers_of(struct models *m, const char *backend, str model)
{
    size_t count = atomic_load(&m->numbers_count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(m->numbers[i]->backend, backend) == 0 && str_eq(m->numbers[i]->model, model))
            return m->numbers[i];
    if (count == NUMBERS_MAX) return m->numbers[NUMBERS_MAX - 1];

    bool last = count == NUMBERS_MAX - 1;
    str name = last ? STR("other") : model;
    struct model_numbers *n = calloc(1, sizeof *n + name.len);
    if (n == NULL) return NULL;
    memcpy((char *)(n + 1), name.at, name.len);
    n->backend = last ? "other" : backend;
    n->model = str_span(n + 1, name.len);
    m->numbers[count] = n;
    atomic_store(&m->numbers_count, count + 1);
    return n;
}

size_t models_numbers_count(const struct models *m)
{
    return atomic_load(&m->numbers_count);
}

struct model_numbers *models_numbers(const struct models *m, size_t i)
{
    return m->numbers[i];
}

/* ---- one model ---- */

static str keep(struct model *x, str s, bool *bad)
{
    if (s.len == 0) return STR_NONE;
    str kept = arena_str(&x->arena, s);
    *bad = *bad || kept.at == NULL;
    return kept;
}

static void model_free(struct model *x)
{
    if (x == NULL) return;
    if (x->backend) x->ops->close(x->backend);
    arena_fini(&x->arena);
    free(x);
}

static enum err model_new(struct model **out, struct models *m, const struct model_conf *c,
                          struct err_note *why)
{
    struct model *x = calloc(1, sizeof *x);
    bool bad = x == NULL;

    if (x) {
        x->of = m;
        x->role = c->role;
        x->ops = c->ops;
        x->conf = c->conf;
        x->refs = 1;
        x->again_ms = AGAIN_MS_MIN;
        arena_init(&x->arena, 0);
        x->conf.model = keep(x, c->conf.model, &bad);
        x->conf.version = keep(x, c->conf.version, &bad);
        x->numbers = numbers_of(m, c->ops->type, c->conf.model);
        bad = bad || x->numbers == NULL;
    }
    enum err e = bad ? err_set(why, ERR_MEMORY, "out of memory for a model")
                     : x->ops->open(&x->backend, &c->conf, why);
    if (e) {
        model_free(x);
        return e;
    }
    *out = x;
    return ERR_NONE;
}

static void model_unref(struct model *x)
{
    pthread_mutex_lock(&x->of->lock);
    bool last = --x->refs == 0;
    pthread_mutex_unlock(&x->of->lock);
    if (last) model_free(x);
}

static bool may_pass(enum err e)
{
    return e == ERR_NETWORK || e == ERR_TIMEOUT || e == ERR_OVERLOADED || e == ERR_RATE_LIMIT ||
           e == ERR_SERVER || e == ERR_QUOTA || e == ERR_NOT_READY || e == ERR_QUEUE_FULL ||
           e == ERR_MEMORY;
}

/* ---- preparing: on the loop ---- */

static void prepare_next(struct models *m);

static void on_wait_over(struct task *t)
{
    struct model_wait *w = container_of(t, struct model_wait, task);

    w->on_way = false;
    w->ready(w);
}

/* Under the lock. */
static void call_waiting(struct model *x)
{
    for (struct model_wait *w = x->waiting, *next; w; w = next) {
        next = w->next;
        w->on_way = true;
        w->task.run = on_wait_over;
        loop_post(w->loop, &w->task);
    }
    x->waiting = NULL;
}

/* As soon as one of the chain is ready, or when none can become so any more. */
static void settle(struct models *m)
{
    enum err e = ERR_NONE;
    struct err_note why = {.text = ""};
    bool ready = false, open = false;

    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->chain; i++) {
        ready = ready || m->at[i]->state == MODEL_READY;
        open = open || m->at[i]->state != MODEL_FAILED;
    }
    if (!ready) {
        e = m->at[0]->last_error;
        why = m->at[0]->why;
    }
    pthread_mutex_unlock(&m->lock);

    void (*settled)(void *ctx, enum err e, const struct err_note *why) = m->settled;
    if (settled == NULL || (!ready && open)) return;
    m->settled = NULL;
    settled(m->settled_ctx, e, &why);
}

static void prepare_again(struct timer *t);

static void say(struct model *x, enum err e, const struct err_note *why, enum err before)
{
    if (e == ERR_NONE && why && why->text[0])
        log_event(LEVEL_WARNING, "models", "model_warning", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->conf.model), LOG_CSTR("warning", why->text));
    if (e == ERR_NONE)
        log_event(LEVEL_INFO, "models", "model_ready", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->conf.model));
    else if (e != before) /* not at every try */
        log_event(LEVEL_WARNING, "models", "model_not_ready", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->conf.model), LOG_CSTR("error", err_text(why, e)));
}

static void on_prepared(void *ctx, enum err e, const struct err_note *why)
{
    struct model *x = ctx;
    struct models *m = x->of;
    bool again = e && may_pass(e);

    pthread_mutex_lock(&m->lock);
    enum err before = x->last_error;
    x->state = e == ERR_NONE ? MODEL_READY : again ? MODEL_LOADING : MODEL_FAILED;
    x->last_error = e;
    x->why = why ? *why : (struct err_note){.text = ""};
    call_waiting(x);
    pthread_mutex_unlock(&m->lock);

    say(x, e, why, before);
    x->preparing = false;
    if (again) {
        uint64_t wait_ms =
            why && why->retry_after_ms > 0 ? (uint64_t)why->retry_after_ms : x->again_ms;
        timer_set(&x->again, m->loop, wait_ms < AGAIN_MS_MAX ? wait_ms : AGAIN_MS_MAX,
                  prepare_again);
        x->again_ms = x->again_ms * 2 < AGAIN_MS_MAX ? x->again_ms * 2 : AGAIN_MS_MAX;
    }
    if (!x->tried) {
        x->tried = true;
        prepare_next(m);
    }
    settle(m);
}

static void prepare(struct model *x)
{
    if (x->preparing) return;
    x->preparing = true;
    pthread_mutex_lock(&x->of->lock);
    x->state = MODEL_LOADING;
    pthread_mutex_unlock(&x->of->lock);
    x->ops->prepare(x->backend, x->of->loop, on_prepared, x);
}

static void prepare_again(struct timer *t)
{
    prepare(container_of(t, struct model, again));
}

/* The chain's, in order: the next when the one before was tried once. */
static void prepare_next(struct models *m)
{
    for (size_t i = 0; i < m->chain; i++) {
        if (m->at[i]->preparing && !m->at[i]->tried) return;
        if (m->at[i]->tried) continue;
        prepare(m->at[i]);
        return;
    }
}

void models_prepare(struct models *m,
                    void (*settled)(void *ctx, enum err e, const struct err_note *why), void *ctx)
{
    m->settled = settled;
    m->settled_ctx = ctx;
    prepare_next(m);
}

static void on_wanted(struct task *t)
{
    prepare(container_of(t, struct model, want));
}

/* ---- use: any thread ---- */

/* The n-th to ask, or NULL.  Under the lock. */
static struct model *nth(const struct models *m, bool reasoning, size_t n)
{
    if (reasoning && m->reasoning) {
        if (n == 0) return m->reasoning;
        n--;
    }
    return n < m->chain ? m->at[n] : NULL;
}

enum err models_use(struct models *m, bool reasoning, size_t n, struct model_use **out)
{
    struct model_use *u = malloc(sizeof *u);
    enum err e = u ? ERR_NONE : ERR_MEMORY;

    pthread_mutex_lock(&m->lock);
    struct model *x = nth(m, reasoning, n);
    if (x == NULL)
        e = ERR_NOT_FOUND;
    else if (!e && x->state != MODEL_READY)
        e = ERR_NOT_READY;
    else if (!e) {
        x->refs++;
        x->requests++;
        u->model = x;
    }
    pthread_mutex_unlock(&m->lock);
    if (e) {
        free(u);
        return e;
    }
    *out = u;
    return ERR_NONE;
}

bool models_ready_after(const struct models *m, bool reasoning, size_t n)
{
    struct models *mine = (struct models *)(uintptr_t)m;
    bool ready = false;

    pthread_mutex_lock(&mine->lock);
    for (struct model *x; !ready && (x = nth(m, reasoning, ++n));) ready = x->state == MODEL_READY;
    pthread_mutex_unlock(&mine->lock);
    return ready;
}

enum err models_wait(struct models *m, bool reasoning, size_t n, struct model_wait *w)
{
    enum err e = ERR_NOT_FOUND;

    pthread_mutex_lock(&m->lock);
    struct model *x = nth(m, reasoning, n);
    /* One that failed and is tried again is not waited for: others may answer meanwhile. */
    if (x && x->role == MODEL_REASONING && !x->last_error &&
        (x->state == MODEL_UNUSED || x->state == MODEL_LOADING)) {
        e = ERR_NONE;
        w->on_way = false;
        w->next = x->waiting;
        x->waiting = w;
        if (!x->wanted) {
            x->wanted = true;
            x->want.run = on_wanted;
            loop_post(m->loop, &x->want);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return e;
}

bool models_wait_end(struct models *m, struct model_wait *w)
{
    pthread_mutex_lock(&m->lock);
    bool may = !w->on_way;
    for (size_t i = 0; i < m->count && may; i++) {
        struct model_wait **at = &m->at[i]->waiting;
        while (*at && *at != w) at = &(*at)->next;
        if (*at) *at = w->next;
    }
    pthread_mutex_unlock(&m->lock);
    return may;
}

const struct backend_ops *model_use_ops(const struct model_use *u)
{
    return u->model->ops;
}

struct backend *model_use_backend(const struct model_use *u)
{
    return u->model->backend;
}

str model_use_name(const struct model_use *u)
{
    return u->model->conf.model;
}

str model_use_version(const struct model_use *u)
{
    return u->model->conf.version;
}

struct model_numbers *model_use_numbers(struct model_use *u)
{
    return u->model->numbers;
}

void model_use_end(struct model_use *u, enum err result, const struct err_note *why,
                   const struct usage *usage)
{
    struct model *x = u->model;
    struct model_numbers *n = x->numbers;

    counter_add(result == ERR_NONE        ? &n->ok
                : result == ERR_CANCELLED ? &n->cancelled
                                          : &n->failed,
                1);
    if (usage && usage->prompt_tokens > 0)
        counter_add(&n->prompt_tokens, (uint64_t)usage->prompt_tokens);
    if (usage && usage->completion_tokens > 0)
        counter_add(&n->completion_tokens, (uint64_t)usage->completion_tokens);
    if (result != ERR_CANCELLED) {
        pthread_mutex_lock(&x->of->lock);
        x->failures += result != ERR_NONE;
        x->last_error = result;
        x->why = why && result ? *why : (struct err_note){.text = ""};
        pthread_mutex_unlock(&x->of->lock);
    }
    model_unref(x);
    free(u);
}

void model_use_drop(struct model_use *u)
{
    struct models *m = u->model->of;

    pthread_mutex_lock(&m->lock);
    u->model->requests--;
    pthread_mutex_unlock(&m->lock);
    model_unref(u->model);
    free(u);
}

/* ---- looking ---- */

size_t models_count(const struct models *m)
{
    return m->count;
}

void models_view(const struct models *m, size_t i, struct model_view *out)
{
    struct models *mine = (struct models *)(uintptr_t)m;

    pthread_mutex_lock(&mine->lock);
    const struct model *x = m->at[i];
    *out = (struct model_view){x->role,       x->state, x->ops->type, x->conf.model,
                               x->last_error, x->why,   x->requests,  x->failures};
    pthread_mutex_unlock(&mine->lock);
}

bool models_any_ready(const struct models *m)
{
    struct models *mine = (struct models *)(uintptr_t)m;
    bool ready = false;

    pthread_mutex_lock(&mine->lock);
    for (size_t i = 0; i < m->chain; i++) ready = ready || m->at[i]->state == MODEL_READY;
    pthread_mutex_unlock(&mine->lock);
    return ready;
}

/* ---- life ---- */

/* Primary, fallbacks in the order given, then the rest. */
static enum err fill(struct models *m, const struct model_conf *at, size_t count,
                     struct err_note *why)
{
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < count; i++) {
            if ((at[i].role < MODEL_REASONING ? (int)at[i].role : 2) != pass) continue;
            enum err e = model_new(&m->at[m->count], m, &at[i], why);
            if (e) return e;
            if (at[i].role == MODEL_REASONING) m->reasoning = m->at[m->count];
            m->count++;
            if (pass < 2) m->chain = m->count;
        }
    }
    return ERR_NONE;
}

enum err models_new(struct models **out, struct loop *loop, const struct model_conf *at,
                    size_t count, struct err_note *why)
{
    struct models *m = calloc(1, sizeof *m);

    assert(count > 0);
    if (m) m->at = calloc(count, sizeof(struct model *));
    if (m == NULL || m->at == NULL) {
        free(m);
        return err_set(why, ERR_MEMORY, "out of memory for the models");
    }
    pthread_mutex_init(&m->lock, NULL);
    m->loop = loop;
    enum err e = fill(m, at, count, why);
    if (e) {
        models_free(m);
        return e;
    }
    assert(m->chain > 0 && m->at[0]->role == MODEL_PRIMARY);
    *out = m;
    return ERR_NONE;
}

void models_free(struct models *m)
{
    if (m == NULL) return;
    for (size_t i = 0; i < m->count; i++) {
        timer_stop(&m->at[i]->again);
        assert(m->at[i]->refs == 1);
        model_free(m->at[i]);
    }
    for (size_t i = 0; i < atomic_load(&m->numbers_count); i++) free(m->numbers[i]);
    pthread_mutex_destroy(&m->lock);
    free(m->at);
    free(m);
}
