/* The models: their life, looking at them, using one.  The lists and what is in them are guarded by
 * one lock, held for a few assignments. */
#include "chat/models.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "chat/models_inner.h"

struct model_use {
    struct model *model;
    struct model_numbers *numbers;
    bool probe;
};

uint64_t models_now_ms(void)
{
    return clock_mono_us() / 1000;
}

/* ---- one model ---- */

static void model_free(struct model *x)
{
    if (x == NULL) return;
    if (x->backend) x->ops->close(x->backend);
    free((char *)(uintptr_t)x->name.at);
    free((char *)(uintptr_t)x->version.at);
    free(x);
}

/* A backend is closed on the preparing loop: closing may end threads or connections of its own. */
static void on_bury(struct task *t)
{
    struct model *x = container_of(t, struct model, bury);
    struct models *m = x->of;

    timer_stop(&x->again);
    pthread_mutex_lock(&m->lock);
    struct model **at = &m->made;
    while (*at != x) at = &(*at)->next_made;
    *at = x->next_made;
    models_service_leave(m, x->service);
    pthread_mutex_unlock(&m->lock);
    model_free(x);
}

void models_unref_locked(struct model *x)
{
    struct models *m = x->of;

    if (--x->refs > 0) return;
    x->bury.run = on_bury;
    loop_post(m->loop, &x->bury);
}

void models_unref(struct model *x)
{
    struct models *m = x->of;

    pthread_mutex_lock(&m->lock);
    models_unref_locked(x);
    pthread_mutex_unlock(&m->lock);
}

bool models_same(const struct model *x, const char *type, str name, str version)
{
    return strcmp(x->ops->type, type) == 0 && str_eq(x->name, name) && str_eq(x->version, version);
}

/* A copy of its own; .at is NULL when memory is out. */
static str own(str s)
{
    char *at = malloc(s.len + 1);

    if (at == NULL) return STR_NONE;
    if (s.len) memcpy(at, s.at, s.len);
    at[s.len] = '\0';
    return str_span(at, s.len);
}

/* Under the lock.  The last rows are those of the types. */
static struct model_numbers *numbers_of(struct models *m, const char *type, str model, bool named)
{
    size_t count = atomic_load(&m->numbers_count);
    size_t most = MODEL_NUMBERS_MAX - (named ? MODEL_NUMBERS_TYPES : 0);

    for (size_t i = 0; i < count; i++)
        if (strcmp(m->numbers[i]->backend, type) == 0 && str_eq(m->numbers[i]->model, model))
            return m->numbers[i];
    if (count >= most) return named ? numbers_of(m, type, STR("other"), false) : m->numbers[0];
    struct model_numbers *n = calloc(1, sizeof *n);
    str kept = n ? arena_str(&m->arena, model) : STR_NONE;
    if (kept.at == NULL) {
        free(n);
        return NULL;
    }
    n->backend = type;
    n->model = kept;
    m->numbers[count] = n;
    atomic_store(&m->numbers_count, count + 1);
    return n;
}

void models_name_numbers(struct model *x)
{
    struct model_numbers *n = numbers_of(x->of, x->ops->type, x->name, true);

    if (n) x->numbers = n;
}

enum err models_make(struct model **out, struct models *m, const struct model_conf *c, bool named,
                     struct err_note *why)
{
    struct backend *backend = NULL;
    struct model *x = calloc(1, sizeof *x);
    enum err e = x ? c->ops->open(&backend, &c->conf, why) : ERR_MEMORY;

    if (e) {
        free(x);
        return e == ERR_MEMORY ? err_set(why, e, "out of memory for a model") : e;
    }
    *x = (struct model){.of = m,
                        .role = c->role,
                        .ops = c->ops,
                        .backend = backend,
                        .name = own(c->conf.model),
                        .version = own(c->conf.version),
                        .refs = 1,
                        .first_token_ms = -1};
    pthread_mutex_lock(&m->lock);
    x->service = models_service_of(m, c->ops->type, c->conf.model);
    x->numbers = numbers_of(m, c->ops->type, named ? c->conf.model : STR("other"), named);
    x->type = models_names_type(m, str_of(c->ops->type));
    bool ok = x->service && x->numbers && x->name.at && x->version.at;
    if (ok) {
        x->next_made = m->made;
        m->made = x;
    } else {
        models_service_leave(m, x->service);
    }
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        model_free(x);
        return err_set(why, ERR_MEMORY, "out of memory for a model");
    }
    *out = x;
    return ERR_NONE;
}

/* ---- lines ---- */

/* A model stands in a line once, at its first place. */
static void line_add(struct model_line *l, struct model *x)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->at[i] == x) return;
    if (l->count == MODEL_LINE_MAX) return;
    l->at[l->count++] = x;
    x->refs++;
}

enum err models_line(struct models *m, bool reasoning, str name, struct model_line *out,
                     struct err_note *why)
{
    struct model_line l = {.of = m};
    struct model *named = NULL;
    enum err e = name.len ? models_names_get(m, name, &named, why) : ERR_NONE;

    if (e) return e;
    pthread_mutex_lock(&m->lock);
    if (named) line_add(&l, named);
    if (reasoning && m->reasoning) line_add(&l, m->reasoning);
    /* Who names a model is answered by it or by those that the settings call fallbacks
     * (openai-compat.md 1.1); the primary is no fallback. */
    for (size_t i = named && named != m->at[0]; i < m->chain; i++) line_add(&l, m->at[i]);
    if (named) models_unref_locked(named); /* the line has its own */
    pthread_mutex_unlock(&m->lock);
    l.named = named && !models_names_current(name);
    *out = l;
    return ERR_NONE;
}

void model_line_end(struct model_line *l)
{
    if (l->count == 0) return;
    pthread_mutex_lock(&l->of->lock);
    for (size_t i = 0; i < l->count; i++) models_unref_locked(l->at[i]);
    pthread_mutex_unlock(&l->of->lock);
    l->count = 0;
}

enum err model_line_use(const struct model_line *l, size_t n, struct model_use **out,
                        struct err_note *why)
{
    if (n >= l->count) return ERR_NOT_FOUND;
    struct model *x = l->at[n];
    struct model_use *u = malloc(sizeof *u);
    if (u == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    *u = (struct model_use){.model = x};
    pthread_mutex_lock(&l->of->lock);
    enum err e = models_service_may(x, models_now_ms(), &u->probe, why);
    if (!e) {
        x->refs++;
        x->requests++;
        u->numbers = x->numbers;
        x->last_used_us = clock_wall_us();
    }
    pthread_mutex_unlock(&l->of->lock);
    if (e)
        free(u);
    else
        *out = u;
    return e;
}

bool model_line_ready_after(const struct model_line *l, size_t n)
{
    bool ready = false;

    pthread_mutex_lock(&l->of->lock);
    for (size_t i = n + 1; i < l->count; i++)
        ready = ready || models_service_up(l->at[i], models_now_ms());
    pthread_mutex_unlock(&l->of->lock);
    return ready;
}

enum err models_use(struct models *m, struct model_use **out)
{
    struct model_line l;
    struct err_note why = {.text = ""};

    enum err e = models_line(m, false, STR_NONE, &l, NULL);
    if (e) return e;
    e = ERR_NOT_READY;
    for (size_t n = 0; n < l.count && e && e != ERR_MEMORY; n++)
        e = model_line_use(&l, n, out, &why);
    model_line_end(&l);
    return e == ERR_NONE || e == ERR_MEMORY ? e : ERR_NOT_READY;
}

enum err model_line_wait(const struct model_line *l, size_t n, bool last, struct model_wait *w)
{
    enum err e = ERR_NOT_FOUND;
    struct model *x = l->at[n];

    pthread_mutex_lock(&l->of->lock);
    if (models_ready_may_come(x, last)) {
        e = ERR_NONE;
        w->on_way = false;
        w->next = x->waiting;
        x->waiting = w;
        if (!models_ready_of_chain(x)) models_ready_want(x);
    }
    pthread_mutex_unlock(&l->of->lock);
    return e;
}

bool model_line_wait_end(const struct model_line *l, size_t n, struct model_wait *w)
{
    pthread_mutex_lock(&l->of->lock);
    bool may = !w->on_way;
    struct model_wait **at = &l->at[n]->waiting;
    while (*at && *at != w) at = &(*at)->next;
    if (*at) *at = w->next;
    pthread_mutex_unlock(&l->of->lock);
    return may;
}

/* ---- use ---- */

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
    return u->model->name;
}

str model_use_version(const struct model_use *u)
{
    return u->model->version;
}

bool model_use_is_probe(const struct model_use *u)
{
    return u->probe;
}

void model_use_first(struct model_use *u, uint64_t us)
{
    struct model *x = u->model;

    histogram_add(&u->numbers->first_token, us);
    pthread_mutex_lock(&x->of->lock);
    x->first_token_ms = (int64_t)(us / 1000);
    pthread_mutex_unlock(&x->of->lock);
}

static void count(struct model_numbers *n, enum err e, const struct usage *usage, uint64_t us)
{
    counter_add(e == ERR_NONE ? &n->ok : e == ERR_CANCELLED ? &n->cancelled : &n->failed, 1);
    if (usage && usage->prompt_tokens > 0)
        counter_add(&n->prompt_tokens, (uint64_t)usage->prompt_tokens);
    if (usage && usage->completion_tokens > 0)
        counter_add(&n->completion_tokens, (uint64_t)usage->completion_tokens);
    if (e == ERR_NONE) histogram_add(&n->seconds, us);
}

void model_use_end(struct model_use *u, enum err e, const struct err_note *why,
                   const struct usage *usage, uint64_t us)
{
    struct model *x = u->model;
    struct models *m = x->of;

    count(u->numbers, e, usage, us);
    pthread_mutex_lock(&m->lock);
    x->last_used_us = clock_wall_us(); /* it may have taken long */
    if (e != ERR_CANCELLED) {
        x->failures += e != ERR_NONE;
        x->last_error = e;
        x->why = why && e ? *why : (struct err_note){.text = ""};
    }
    models_service_judge(x, e, why, u->probe, models_now_ms());
    models_unref_locked(x);
    pthread_mutex_unlock(&m->lock);
    free(u);
}

void model_use_drop(struct model_use *u)
{
    struct model *x = u->model;
    struct models *m = x->of;

    pthread_mutex_lock(&m->lock);
    x->requests--;
    if (u->probe) models_service_judge(x, ERR_CANCELLED, NULL, true, models_now_ms());
    models_unref_locked(x);
    pthread_mutex_unlock(&m->lock);
    free(u);
}

/* ---- looking ---- */

static struct models *mine(const struct models *m)
{
    return (struct models *)(uintptr_t)m; /* its lock is no part of what is looked at */
}

size_t models_count(const struct models *m)
{
    pthread_mutex_lock(&mine(m)->lock);
    size_t count = m->count;
    pthread_mutex_unlock(&mine(m)->lock);
    return count;
}

bool models_view(const struct models *m, size_t i, struct model_view *out)
{
    pthread_mutex_lock(&mine(m)->lock);
    bool there = i < m->count;
    if (there) {
        const struct model *x = m->at[i];
        *out = (struct model_view){
            .role = i == 0 ? MODEL_PRIMARY : x->role,
            .state = x->state,
            .type = x->ops->type,
            .last_error = x->last_error,
            .why = x->why,
            .requests = x->requests,
            .failures = x->failures,
            .breaker = breaker_state(&x->service->breaker, models_now_ms()),
            .first_token_ms = x->first_token_ms,
            .last_used_us = x->last_used_us,
            .can = x->ops->can,
        };
        size_t len = x->name.len < MODEL_NAME_BYTES_MAX ? x->name.len : MODEL_NAME_BYTES_MAX;
        memcpy(out->name_bytes, x->name.at, len);
        out->name = str_span(out->name_bytes, len);
        if (x->state == MODEL_READY && x->ops->context_length)
            out->context_length = x->ops->context_length(x->backend);
    }
    pthread_mutex_unlock(&mine(m)->lock);
    return there;
}

enum err models_resolve(struct models *m, str name, struct model_view *out, struct err_note *why)
{
    struct model *x;
    enum err e = models_names_get(m, name, &x, why);
    size_t place = SIZE_MAX;

    if (e) return e;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count && place == SIZE_MAX; i++)
        if (m->at[i] == x) place = i;
    models_unref_locked(x);
    pthread_mutex_unlock(&m->lock);
    return models_view(m, place, out) ? ERR_NONE : ERR_MODEL_NOT_FOUND;
}

bool models_any_ready(const struct models *m)
{
    uint64_t now_ms = models_now_ms();
    bool ready = false;

    pthread_mutex_lock(&mine(m)->lock);
    for (size_t i = 0; i < m->chain; i++)
        ready = ready || (m->at[i]->state == MODEL_READY &&
                          breaker_state(&m->at[i]->service->breaker, now_ms) != BREAKER_OPEN);
    pthread_mutex_unlock(&mine(m)->lock);
    return ready;
}

size_t models_numbers_count(const struct models *m)
{
    return atomic_load(&m->numbers_count);
}

struct model_numbers *models_numbers(const struct models *m, size_t i)
{
    return m->numbers[i];
}

struct models_counts *models_counts(const struct models *m)
{
    return &mine(m)->counts;
}

/* ---- life ---- */

/* Primary, fallbacks in the order given, then the rest. */
static enum err fill(struct models *m, const struct model_conf *at, size_t count,
                     struct err_note *why)
{
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < count; i++) {
            if ((at[i].role < MODEL_REASONING ? (int)at[i].role : 2) != pass) continue;
            enum err e = models_make(&m->at[m->count], m, &at[i], true, why);
            if (e) return e;
            m->configured[m->configured_count] = at[i];
            struct backend_conf *kept = &m->configured[m->configured_count++].conf;
            kept->model = arena_str(&m->arena, at[i].conf.model);
            kept->version = arena_str(&m->arena, at[i].conf.version);
            if (kept->model.at == NULL || kept->version.at == NULL)
                return err_set(why, ERR_MEMORY, "out of memory for the models");
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

    assert(count > 0 && count <= MODEL_LINE_MAX);
    if (m == NULL) return err_set(why, ERR_MEMORY, "out of memory for the models");
    pthread_mutex_init(&m->lock, NULL);
    arena_init(&m->arena, 0);
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
    timer_stop(&m->idle);
    models_switch_end(m);
    models_offers_free(m);
    /* Those in the lists, and those whose preparing has not ended. */
    for (struct model *x = m->made, *next; x; x = next) {
        next = x->next_made;
        timer_stop(&x->again);
        model_free(x);
    }
    models_service_free_all(m);
    for (size_t i = 0; i < atomic_load(&m->numbers_count); i++) free(m->numbers[i]);
    pthread_mutex_destroy(&m->lock);
    arena_fini(&m->arena);
    free(m);
}
