/* What may be named beside the settings: each backend's own list, asked for at most once in five
 * minutes, whoever wants it.
 *
 * The preparing loop asks and keeps the lists; who wants them waits in a queue there, and gets a
 * counted copy that nobody changes. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "chat/models_inner.h"

enum {
    KEPT_MS = 5 * 60 * 1000,
    KEPT_PART_MS = 15 * 1000, /* where somebody is missing */
    WITHIN_MS = 2 * 1000,     /* for one backend; all are asked at once */
    OFFERS_MAX = 8192,        /* of all together */
    TYPES_MAX = 16,
};

/* Never changed once it is made; freed with the last reference. */
struct offered {
    atomic_int refs;
    struct arena arena;
    struct models_offers what;
};

struct models_asker {
    struct task task;
    struct models_asker *next;
    struct models *of;
    struct loop *loop;
    models_offers_fn *done; /* NULL: it left; the asker's loop only */
    void *ctx;
    struct offered *got;
};

struct source {
    struct offering *of;
    const struct backend_ops *ops;
    struct backend *backend; /* NULL: not to be asked */
    bool asked;              /* its answer is not there yet */
    bool late;               /* it is awaited no longer */
};

struct offering { /* of the preparing loop */
    struct models *of;
    struct source at[TYPES_MAX];
    size_t count;
    struct timer timer;
    struct models_asker *waiting;
    bool running;

    /* What has come so far. */
    struct offered *next;
    struct models_offer *list;
    struct models_missing *missing;

    /* Guarded by models.lock, as it is looked at from everywhere; changed on the loop only. */
    struct offered *kept;
    uint64_t kept_until_ms;
};

static void offered_unref(struct offered *x)
{
    if (x == NULL || atomic_fetch_sub(&x->refs, 1) > 1) return;
    arena_fini(&x->arena);
    free(x);
}

/* ---- to who asked ---- */

static void on_told(struct task *t)
{
    struct models_asker *a = container_of(t, struct models_asker, task);
    static const struct models_offers none;

    if (a->done) a->done(a->ctx, a->got ? &a->got->what : &none);
    offered_unref(a->got);
    free(a);
}

static void tell(struct models_asker *a, struct offered *x)
{
    if (x) atomic_fetch_add(&x->refs, 1);
    a->got = x;
    a->task.run = on_told;
    loop_post(a->loop, &a->task);
}

static void tell_all(struct offering *f, struct offered *x)
{
    for (struct models_asker *a = f->waiting, *next; a; a = next) {
        next = a->next;
        tell(a, x);
    }
    f->waiting = NULL;
}

/* ---- asking the backends ---- */

static void finish(struct offering *f)
{
    timer_stop(&f->timer);
    f->running = false;
    pthread_mutex_lock(&f->of->lock);
    struct offered *before = f->kept;
    f->kept = f->next;
    f->kept_until_ms = models_now_ms() + (f->kept->what.missing_count ? KEPT_PART_MS : KEPT_MS);
    pthread_mutex_unlock(&f->of->lock);
    f->next = NULL;
    offered_unref(before);
    tell_all(f, f->kept);
}

static void finish_if_all(struct offering *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->at[i].asked && !f->at[i].late) return;
    finish(f);
}

static void add_missing(struct offering *f, const struct source *s, enum err e)
{
    f->missing[f->next->what.missing_count++] = (struct models_missing){s->ops->type, e};
}

static bool keep_files(struct arena *a, const struct backend_files *from,
                       const struct backend_files **out)
{
    struct backend_files *to;

    if (from == NULL) return true;
    if ((to = arena_new(a, struct backend_files)) == NULL) return false;
    *to = *from;
    str *const texts[] = {&to->format, &to->family, &to->quantization, &to->digest,
                          &to->chat_template};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i] = arena_str(a, *texts[i]);
        if (texts[i]->at == NULL) return false;
    }
    *out = to;
    return true;
}

static void on_listed(void *ctx, enum err e, const struct backend_offer *at, size_t count)
{
    struct source *s = ctx;
    struct offering *f = s->of;
    struct models_offers *o = f->next ? &f->next->what : NULL;

    s->asked = false;
    if (s->late || o == NULL) {
        s->late = false;
        return;
    }
    for (size_t i = 0; !e && i < count && o->count < OFFERS_MAX; i++) {
        struct models_offer *to = &f->list[o->count];
        *to = (struct models_offer){.type = s->ops->type,
                                    .name = arena_str(&f->next->arena, at[i].id),
                                    .context_length = at[i].context_length,
                                    .output_tokens = at[i].output_tokens,
                                    .can = s->ops->can};
        bool kept = to->name.at && keep_files(&f->next->arena, at[i].files, &to->files);
        if (kept)
            o->count++;
        else
            e = ERR_MEMORY;
    }
    if (e) add_missing(f, s, e);
    if (f->running) finish_if_all(f);
}

static void on_time(struct timer *t)
{
    struct offering *f = container_of(t, struct offering, timer);

    for (size_t i = 0; i < f->count; i++) {
        struct source *s = &f->at[i];
        if (!s->asked || s->late) continue;
        s->late = true;
        add_missing(f, s, ERR_TIMEOUT);
    }
    finish(f);
}

/* An address alone is enough for a server that wants no key. */
static bool has_credential(const struct models *m, const struct backend_conf *c)
{
    return c->key.len || c->base_url.len || (m->loads && strcmp(c->type, m->loads) == 0);
}

static void open_sources(struct offering *f)
{
    struct models *m = f->of;

    for (size_t i = 0; i < m->types_count && f->count < TYPES_MAX; i++) {
        const struct model_conf *c = &m->types[i].conf;
        struct source *s = &f->at[f->count];
        struct err_note why;
        bool loads = m->loads && strcmp(c->conf.type, m->loads) == 0;
        if (c->ops->list == NULL || !has_credential(m, &c->conf)) continue;
        if (!m->any && !loads) continue;
        *s = (struct source){.of = f, .ops = c->ops};
        if (c->ops->open(&s->backend, &c->conf, &why) == ERR_NONE) f->count++;
    }
}

static bool begin_next(struct offering *f)
{
    struct offered *x = calloc(1, sizeof *x);

    if (x == NULL) return false;
    atomic_init(&x->refs, 1);
    arena_init(&x->arena, 0);
    f->list = arena_array(&x->arena, struct models_offer, OFFERS_MAX);
    f->missing = arena_array(&x->arena, struct models_missing, TYPES_MAX);
    x->what = (struct models_offers){.any = f->of->any, .at = f->list, .missing = f->missing};
    if (f->list && f->missing) {
        f->next = x;
        return true;
    }
    offered_unref(x);
    return false;
}

static void begin(struct offering *f)
{
    if (f->count == 0) open_sources(f);
    if (!begin_next(f)) {
        tell_all(f, NULL);
        return;
    }
    timer_set(&f->timer, f->of->loop, WITHIN_MS, on_time);
    for (size_t i = 0; i < f->count; i++) {
        struct source *s = &f->at[i];
        if (s->asked) { /* since the last time: one call at a time */
            add_missing(f, s, ERR_TIMEOUT);
            continue;
        }
        s->asked = true;
        s->ops->list(s->backend, f->of->loop, WITHIN_MS, on_listed, s);
    }
    f->running = true;
    finish_if_all(f);
}

/* On the preparing loop. */
static void on_asked(struct task *t)
{
    struct models_asker *a = container_of(t, struct models_asker, task);
    struct offering *f = a->of->offering;

    if (f->kept && models_now_ms() < f->kept_until_ms) {
        tell(a, f->kept);
        return;
    }
    a->next = f->waiting;
    f->waiting = a;
    if (!f->running) begin(f);
}

/* ---- the asker's side ---- */

struct models_asker *models_offers(struct models *m, struct loop *l, models_offers_fn *done,
                                   void *ctx)
{
    struct models_asker *a = calloc(1, sizeof *a);

    if (a == NULL) return NULL;
    *a = (struct models_asker){.of = m, .loop = l, .done = done, .ctx = ctx};
    pthread_mutex_lock(&m->lock);
    if (m->offering == NULL) m->offering = calloc(1, sizeof *m->offering);
    if (m->offering) m->offering->of = m;
    bool ok = m->offering != NULL;
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        free(a);
        return NULL;
    }
    a->task.run = on_asked;
    loop_post(m->loop, &a->task);
    return a;
}

bool models_offers_may_tell(struct models *m)
{
    pthread_mutex_lock(&m->lock);
    const struct offering *f = m->offering;
    bool fresh = f && f->kept && models_now_ms() < f->kept_until_ms, may = false;
    for (size_t i = 0; i < m->types_count && m->any && !fresh; i++)
        may = may || (m->types[i].conf.ops->list && has_credential(m, &m->types[i].conf.conf));
    pthread_mutex_unlock(&m->lock);
    return may;
}

const char *models_offers_type_of(const struct models *m, str name)
{
    const struct offering *f = m->offering;

    for (size_t i = 0; m->any && f && f->kept && i < f->kept->what.count; i++)
        if (str_eq(f->kept->what.at[i].name, name)) return f->kept->what.at[i].type;
    return NULL;
}

void models_offers_tell(const struct models *m, char *list, size_t room,
                        void (*add)(char *list, size_t room, const char *type, str name))
{
    const struct offering *f = m->offering;

    for (size_t i = 0; m->any && f && f->kept && i < f->kept->what.count; i++)
        add(list, room, f->kept->what.at[i].type, f->kept->what.at[i].name);
}

void models_asker_leave(struct models_asker *a)
{
    a->done = NULL;
}

void models_offers_free(struct models *m)
{
    struct offering *f = m->offering;

    if (f == NULL) return;
    timer_stop(&f->timer);
    for (struct models_asker *a = f->waiting, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    for (size_t i = 0; i < f->count; i++) f->at[i].ops->close(f->at[i].backend);
    offered_unref(f->next);
    offered_unref(f->kept);
    free(f);
}
