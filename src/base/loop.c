#include "base/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t clock; /* set to the earliest of `heap` */

    pthread_mutex_t lock; /* guards the two below and `stopping` */
    struct task *first, **last;
    bool stopping;

    /* A binary heap by at_ms; heap[0] is unused so that place 0 can mean "not set".  One libuv
     * timer for all keeps a struct timer at 32 bytes and free of closing callbacks. */
    struct timer **heap;
    size_t timers, timers_cap;
    pthread_t thread;
    bool running;
};

static _Thread_local struct loop *here;

struct loop *loop_here(void)
{
    return here;
}

void loop_assert_here(const struct loop *l)
{
    assert(!l->running || here == l);
    (void)l;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

/* ---- messages ---- */

static void run_posted(uv_async_t *wake)
{
    struct loop *l = wake->data;

    pthread_mutex_lock(&l->lock);
    struct task *t = l->first;
    l->first = NULL;
    l->last = &l->first;
    bool stopping = l->stopping;
    pthread_mutex_unlock(&l->lock);

    while (t) {
        struct task *next = t->next;
        t->run(t);
        t = next;
    }
    if (stopping) {
        uv_unref((uv_handle_t *)&l->wake);
        uv_unref((uv_handle_t *)&l->clock);
    }
}

void loop_post(struct loop *l, struct task *t)
{
    t->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->last = t;
    l->last = &t->next;
    uv_async_send(&l->wake); /* under the lock: loop_free waits for it, so the handle is alive */
    pthread_mutex_unlock(&l->lock);
}

/* ---- timers ---- */

static void put(struct loop *l, size_t place, struct timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

static void sift_up(struct loop *l, size_t place, struct timer *t)
{
    while (place > 1 && l->heap[place / 2]->at_ms > t->at_ms) {
        put(l, place, l->heap[place / 2]);
        place /= 2;
    }
    put(l, place, t);
}

static void sift_down(struct loop *l, size_t place, struct timer *t)
{
    for (;;) {
        size_t child = place * 2;
        if (child > l->timers) break;
        if (child < l->timers && l->heap[child + 1]->at_ms < l->heap[child]->at_ms) child++;
        if (l->heap[child]->at_ms >= t->at_ms) break;
        put(l, place, l->heap[child]);
        place = child;
    }
    put(l, place, t);
}

static void take_out(struct loop *l, struct timer *t)
{
    size_t place = t->place;
    struct timer *moved = l->heap[l->timers--];

    t->place = 0;
    if (moved == t) return;
    if (place > 1 && l->heap[place / 2]->at_ms > moved->at_ms)
        sift_up(l, place, moved);
    else
        sift_down(l, place, moved);
}

static void ring(uv_timer_t *clock);

static void set_clock(struct loop *l)
{
    if (l->timers == 0) {
        uv_timer_stop(&l->clock);
        return;
    }
    uint64_t now = uv_now(&l->uv), at = l->heap[1]->at_ms;
    uv_timer_start(&l->clock, ring, at > now ? at - now : 0, 0);
}

static void ring(uv_timer_t *clock)
{
    struct loop *l = clock->data;
    uint64_t now = uv_now(&l->uv);

    while (l->timers && l->heap[1]->at_ms <= now) {
        struct timer *t = l->heap[1];
        take_out(l, t);
        t->fire(t);
    }
    set_clock(l);
}

void timer_set(struct timer *t, struct loop *l, uint64_t after_ms, void (*fire)(struct timer *t))
{
    loop_assert_here(l);
    t->fire = fire;
    t->loop = l;
    if (t->place) take_out(l, t);
    t->at_ms = uv_now(&l->uv) + after_ms;
    if (l->timers + 2 > l->timers_cap) {
        size_t cap = l->timers_cap * 2;
        struct timer **heap = realloc(l->heap, cap * sizeof *heap);
        /* A deadline that cannot be kept is worse than a stop: without it a wait never ends. */
        if (heap == NULL) abort();
        l->heap = heap;
        l->timers_cap = cap;
    }
    l->timers++;
    sift_up(l, l->timers, t);
    if (l->heap[1] == t) set_clock(l);
}

void timer_stop(struct timer *t)
{
    if (t->place == 0) return;
    loop_assert_here(t->loop);
    take_out(t->loop,
             t); /* the clock may ring once for nothing; that is cheaper than resetting it */
}

/* ---- life ---- */

enum err loop_new(struct loop **out, struct err_note *why)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL) return err_set(why, ERR_MEMORY, "out of memory for an event loop");

    l->timers_cap = 64;
    l->heap = calloc(l->timers_cap, sizeof(struct timer *));
    int rc = l->heap ? uv_loop_init(&l->uv) : UV_ENOMEM;
    if (rc != 0) {
        free(l->heap);
        free(l);
        return err_set(why, ERR_IO, "cannot make an event loop: %s", uv_strerror(rc));
    }
    rc = uv_async_init(&l->uv, &l->wake, run_posted);
    if (rc != 0) {
        uv_loop_close(&l->uv);
        free(l->heap);
        free(l);
        return err_set(why, ERR_IO, "cannot make an event loop: %s", uv_strerror(rc));
    }
    uv_timer_init(&l->uv, &l->clock);
    l->wake.data = l;
    l->clock.data = l;
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return ERR_NONE;
}

void loop_run(struct loop *l)
{
    struct loop *outer = here;

    here = l;
    l->running = true;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->running = false;
    here = outer;
}

void loop_stop(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    uv_async_send(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

void loop_free(struct loop *l)
{
    if (l == NULL) return;
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->clock, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0);
    (void)rc;
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l);
}
