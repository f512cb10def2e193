/* Getting models ready: the chain in order, each again with back-off while what ails it may pass;
 * others when they are first asked for.  On the preparing loop unless said otherwise. */
#include "base/log.h"
#include "chat/models_inner.h"

enum {
    AGAIN_MS_MIN = 500, /* after a failure that may pass; doubled each time */
    AGAIN_MS_MAX = 15 * 1000,
    ANEW_MS = 5 * 1000, /* one that clients named and that failed is tried again, when asked for */
    ROOM_LOOK_MS = 100, /* a model that goes unmaps its files on a thread of its own */
    ROOM_MS = 3 * 1000,
};

static bool may_pass(enum err e)
{
    return e == ERR_NETWORK || e == ERR_TIMEOUT || e == ERR_OVERLOADED || e == ERR_RATE_LIMIT ||
           e == ERR_SERVER || e == ERR_QUOTA || e == ERR_NOT_READY || e == ERR_QUEUE_FULL ||
           e == ERR_MEMORY;
}

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

static void say(const struct model *x, enum err e, const struct err_note *why, enum err before)
{
    if (why && why->text[0] && (e == ERR_NONE || e == ERR_MODEL_NOT_FOUND))
        log_event(LEVEL_WARNING, "models", "model_warning", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->name), LOG_CSTR("warning", why->text));
    if (e == ERR_NONE || e == ERR_MODEL_NOT_FOUND)
        log_event(LEVEL_INFO, "models", "model_ready", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->name));
    else if (e != before) /* not at every try */
        log_event(LEVEL_WARNING, "models", "model_not_ready", LOG_CSTR("model_type", x->ops->type),
                  LOG_STR("model_name", x->name), LOG_CSTR("error", err_text(why, e)));
}

/* The chain's, in order: the next when the one before was tried once. */
static void prepare_next(struct models *m)
{
    struct model *next = NULL;

    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->chain && !next; i++) {
        if (m->at[i]->preparing && !m->at[i]->tried) break;
        if (!m->at[i]->tried) next = m->at[i];
    }
    pthread_mutex_unlock(&m->lock);
    if (next) models_ready_prepare(next);
}

static void prepare_again(struct timer *t)
{
    models_ready_prepare(container_of(t, struct model, again));
}

/* An unknown model is a warning: a provider's list may lag behind, so it is asked all the same. */
void models_ready_ended(struct model *x, enum err e, const struct err_note *why)
{
    struct models *m = x->of;
    bool again = e && may_pass(e), ready = e == ERR_NONE || e == ERR_MODEL_NOT_FOUND;

    pthread_mutex_lock(&m->lock);
    enum err before = x->last_error;
    x->state = ready ? MODEL_READY : again ? MODEL_LOADING : MODEL_FAILED;
    x->last_error = e;
    x->why = why && e ? *why : (struct err_note){.text = ""};
    x->ended_ms = models_now_ms();
    call_waiting(x);
    bool kept = x->refs > 1; /* a list has it as well */
    pthread_mutex_unlock(&m->lock);

    say(x, e, why, before);
    if (ready && x->role == MODEL_OTHER) models_names_set_idle(m);
    if (again && kept) {
        uint64_t asked_ms = why && why->retry_after_ms > 0 ? (uint64_t)why->retry_after_ms : 0;
        uint64_t wait_ms = asked_ms ? asked_ms : x->again_ms ? x->again_ms : AGAIN_MS_MIN;
        x->again_ms = wait_ms * 2 < AGAIN_MS_MAX ? wait_ms * 2 : AGAIN_MS_MAX;
        timer_set(&x->again, m->loop, wait_ms < AGAIN_MS_MAX ? wait_ms : AGAIN_MS_MAX,
                  prepare_again);
    }
    if (!x->tried) {
        x->tried = true;
        prepare_next(m);
    }
    settle(m);
}

static bool is_listed(const struct model *x)
{
    bool listed = false;

    pthread_mutex_lock(&x->of->lock);
    for (size_t i = 0; i < x->of->count; i++) listed = listed || x->of->at[i] == x;
    pthread_mutex_unlock(&x->of->lock);
    return listed;
}

/* What clients named and nobody uses now makes room, the one used least recently first.  Its memory
 * is free a moment later. */
static bool waits_for_room(struct model *x)
{
    uint64_t now_ms = models_now_ms();

    if (models_names_drop_idle(x->of, 0)) x->room_ms = now_ms;
    if (x->room_ms == 0 || now_ms - x->room_ms > ROOM_MS) return false;
    timer_set(&x->again, x->of->loop, ROOM_LOOK_MS, prepare_again);
    return true;
}

static void on_prepared(void *ctx, enum err e, const struct err_note *why)
{
    struct model *x = ctx;

    x->preparing = false;
    if (e != ERR_MODEL_TOO_LARGE || !waits_for_room(x)) {
        x->room_ms = 0;
        bool switching = x->switching != NULL;
        if (!switching || is_listed(x)) models_ready_ended(x, e, why);
        if (switching) models_switch_prepared(x, e, why);
    }
    models_unref(x);
}

void models_ready_prepare(struct model *x)
{
    if (x->preparing) return;
    x->preparing = true;
    timer_stop(&x->again);
    pthread_mutex_lock(&x->of->lock);
    x->refs++; /* until on_prepared */
    if (x->state != MODEL_READY) x->state = MODEL_LOADING;
    pthread_mutex_unlock(&x->of->lock);
    x->ops->prepare(x->backend, x->of->loop, on_prepared, x);
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
    struct model *x = container_of(t, struct model, want);

    pthread_mutex_lock(&x->of->lock);
    x->wanted = false;
    pthread_mutex_unlock(&x->of->lock);
    models_ready_prepare(x);
    models_unref(x);
}

void models_ready_want(struct model *x)
{
    if (x->wanted) return;
    if (x->state == MODEL_FAILED) { /* what ailed it may have passed: room, files */
        x->state = MODEL_UNUSED;
        x->last_error = ERR_NONE;
    }
    x->wanted = true;
    x->refs++;
    x->want.run = on_wanted;
    loop_post(x->of->loop, &x->want);
}

bool models_ready_of_chain(const struct model *x)
{
    return x->role == MODEL_PRIMARY || x->role == MODEL_FALLBACK;
}

/* One of the chain is prepared anyway, and others may answer meanwhile; so may they when this one
 * failed and is tried again. */
bool models_ready_may_come(const struct model *x, bool last)
{
    bool anew = x->role == MODEL_OTHER && x->state == MODEL_FAILED &&
                models_now_ms() - x->ended_ms > ANEW_MS;

    return anew || ((last || !models_ready_of_chain(x)) && !x->last_error &&
                    (x->state == MODEL_UNUSED || x->state == MODEL_LOADING));
}
