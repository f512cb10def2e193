/* The exchange of the primary: the new model is prepared whole while the old one serves, then one
 * pointer changes.  Whoever runs on the old one keeps it by its references. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "chat/models_inner.h"

/* One switch: made on the loop that asks, then the preparing loop's, then the asker's again. */
struct switching {
    struct task task;
    struct models *of;
    struct loop *asker;
    model_switched_fn *done;
    void *ctx;
    struct model *before, *next; /* references, until it is told: their names are told too */
    struct timer timer;
    uint64_t began_us, total_ms;
    enum err e;
    struct err_note why;
    struct model_switched what;
};

static void on_told(struct task *t)
{
    struct switching *s = container_of(t, struct switching, task), was = *s;

    free(s);
    was.done(was.ctx, was.e, &was.why, &was.what);
    if (was.before) models_unref(was.before);
    if (was.next) models_unref(was.next);
}

static void tell(struct switching *s)
{
    pthread_mutex_lock(&s->of->lock);
    if (s->of->switching == s) s->of->switching = NULL;
    pthread_mutex_unlock(&s->of->lock);
    s->task.run = on_told;
    loop_post(s->asker, &s->task);
}

/* The one step.  A model that is also in the chain or was named stands there as well, with its own
 * reference: it is the same one, loaded once. */
static void exchange(struct switching *s)
{
    struct models *m = s->of;
    struct model *before, *next = s->next;

    pthread_mutex_lock(&m->lock);
    before = m->at[0];
    if (next != before) {
        m->at[0] = next;
        next->refs++;
        models_name_numbers(next);
        if (next->role == MODEL_OTHER) next->role = MODEL_PRIMARY;
        /* One that clients named is the primary now, and no longer on their list. */
        for (size_t i = m->chain; i < m->count; i++) {
            if (m->at[i] != next || next == m->reasoning) continue;
            models_unref_locked(next);
            m->at[i--] = m->at[--m->count];
        }
        bool stays = false;
        for (size_t i = 1; i < m->count; i++) stays = stays || m->at[i] == before;
        if (!stays) before->role = MODEL_OTHER;
        models_unref_locked(before);
    }
    s->what.us = clock_mono_us() - s->began_us;
    pthread_mutex_unlock(&m->lock);
    log_event(LEVEL_INFO, "models", "model_switched", LOG_CSTR("model_type", s->what.type_now),
              LOG_STR("model_name", s->what.name_now));
}

static void end(struct switching *s, enum err e, const struct err_note *why)
{
    timer_stop(&s->timer);
    s->next->switching = NULL;
    s->e = e;
    s->why = why && e ? *why : (struct err_note){.text = ""};
    if (e == ERR_NONE) exchange(s);
    tell(s);
}

void models_switch_end(struct models *m)
{
    struct switching *s = m->switching;
    struct err_note why = {.text = ""};

    if (s == NULL) return;
    timer_stop(&s->timer);
    m->switching = NULL;
    s->done(s->ctx, err_set(&why, ERR_SHUTTING_DOWN, "the server stops"), &why, &s->what);
    free(s);
}

void models_switch_prepared(struct model *x, enum err e, const struct err_note *why)
{
    struct switching *s = x->switching;

    pthread_mutex_lock(&x->of->lock);
    if (e == ERR_NONE) x->state = MODEL_READY;
    if (e == ERR_NONE) x->last_error = ERR_NONE;
    pthread_mutex_unlock(&x->of->lock);
    end(s, e, why);
}

static void on_time(struct timer *t)
{
    struct switching *s = container_of(t, struct switching, timer);
    struct err_note why = {.text = ""};

    err_set(&why, ERR_TIMEOUT, "not ready within the whole time of a request");
    end(s, ERR_TIMEOUT, &why);
}

/* On the preparing loop.  One that is ready already (in the chain, named before) is taken as it is.
 */
static void on_begin(struct task *t)
{
    struct switching *s = container_of(t, struct switching, task);
    struct model *x = s->next;

    pthread_mutex_lock(&s->of->lock);
    bool ready = x->state == MODEL_READY && x->last_error == ERR_NONE && x->refs > 1;
    pthread_mutex_unlock(&s->of->lock);
    x->switching = s;
    if (ready) {
        end(s, ERR_NONE, NULL);
        return;
    }
    timer_set(&s->timer, s->of->loop, s->total_ms, on_time);
    models_ready_prepare(x); /* or one is under way: its end is this one's */
}

/* Who is to be the primary: one that is there, or a new one.  Without the lock. */
static enum err choose(struct switching *s, str type, str name, str version, struct err_note *why)
{
    struct models *m = s->of;

    pthread_mutex_lock(&m->lock);
    struct model_type *t = models_names_type(m, type);
    struct model_conf c = t ? t->conf : (struct model_conf){.ops = NULL};
    c.conf.model = name;
    c.conf.version = version.len ? version : models_names_version(m, t, name);
    for (size_t i = 0; i < m->count && !s->next; i++) {
        struct model *x = m->at[i];
        /* What serves already may be of a type that is not offered: the tests' own. */
        bool same = t ? models_same(x, c.ops->type, name, c.conf.version)
                      : str_eq(type, str_of(x->ops->type)) && str_eq(name, x->name);
        if (same) s->next = x;
    }
    if (s->next) s->next->refs++;
    pthread_mutex_unlock(&m->lock);
    if (t == NULL && s->next == NULL)
        return err_set(why, ERR_UNSUPPORTED, "unknown backend \"%.*s\"", STR_ARG(type));
    c.role = MODEL_PRIMARY;
    return s->next ? ERR_NONE : models_make(&s->next, m, &c, false, why);
}

enum err models_switch(struct models *m, struct loop *l, str type, str name, str version,
                       uint64_t total_ms, model_switched_fn *done, void *ctx)
{
    struct switching *s = calloc(1, sizeof *s);
    if (s == NULL) return ERR_MEMORY;

    *s = (struct switching){.of = m,
                            .asker = l,
                            .done = done,
                            .ctx = ctx,
                            .total_ms = total_ms,
                            .began_us = clock_mono_us()};
    pthread_mutex_lock(&m->lock);
    s->before = m->at[0];
    s->before->refs++;
    s->what.type_before = m->at[0]->ops->type;
    s->what.name_before = m->at[0]->name;
    bool mine = m->switching == NULL;
    if (mine) m->switching = s;
    pthread_mutex_unlock(&m->lock);

    if (type.len == 0) type = str_of(s->what.type_before);
    s->e = mine ? choose(s, type, name, version, &s->why)
                : err_set(&s->why, ERR_CONFLICT, "a model switch is already in progress");
    if (s->e) {
        tell(s);
        return ERR_NONE;
    }
    s->what.type_now = s->next->ops->type;
    s->what.name_now = s->next->name;
    pthread_mutex_lock(&m->lock);
    bool current = s->next == m->at[0];
    pthread_mutex_unlock(&m->lock);
    if (current) { /* nothing is reloaded */
        tell(s);
        return ERR_NONE;
    }
    s->task.run = on_begin;
    loop_post(m->loop, &s->task);
    return ERR_NONE;
}
