#include "engine/arch/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/format/files.h"

/* Looks at the ticket before a thread goes to sleep: 15 to 50 us, as long as a processor's pause
 * lasts; longer than the gaps inside a pass, too short to be felt as load. */
enum { SPINS = 1000 };

/* A piece of work is a run of chunks.  `ticket` holds its number and the next chunk in one word:
 *
 *     run (32 bits) | chunk (32 bits)
 *
 * A thread takes a chunk by adding one to the word it read; when the run has changed meanwhile, so
 * has the word, and the attempt fails.  The fields of a run change only while no chunk of it is
 * left. */
struct pool {
    _Atomic uint64_t ticket;
    _Atomic(pool_fn *) fn;
    _Atomic(void *) ctx;
    _Atomic uint32_t count;
    _Atomic uint32_t done; /* chunks of this run that are computed */
    atomic_bool failed;
    atomic_bool ending;

    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t wake;
    _Atomic int asleep;

    int threads;
    int started;
    struct helper {
        struct pool *pool;
        pthread_t id;
        int thread;
    } * helpers;
};

static inline void relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

struct work {
    struct pool *pool;
    int thread;
};

/* Takes chunks of the run at hand until there are none; true when it found any. */
static bool take_chunks(struct pool *p, int thread)
{
    bool any = false;
    uint64_t ticket = atomic_load(&p->ticket);
    for (;;) {
        pool_fn *fn = atomic_load(&p->fn);
        void *ctx = atomic_load(&p->ctx);
        uint32_t count = atomic_load(&p->count);
        uint32_t chunk = (uint32_t)ticket;
        if (chunk >= count) {
            /* Either nothing is left, or `count` is already that of a later run. */
            uint64_t again = atomic_load(&p->ticket);
            if (again == ticket) return any;
            ticket = again;
            continue;
        }
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket + 1)) continue;
        fn(ctx, thread, chunk);
        any = true;
        atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
        ticket = atomic_load(&p->ticket);
    }
}

static void guarded(void *ctx)
{
    struct work *w = ctx;
    take_chunks(w->pool, w->thread);
}

/* A fault ends one chunk; it still counts as done, so that the run comes to its end. */
static void work(struct pool *p, int thread)
{
    struct work w = {p, thread};
    while (files_guard(guarded, &w) != ERR_NONE) {
        atomic_store(&p->failed, true);
        atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
    }
}

static bool has_work(struct pool *p)
{
    uint64_t ticket = atomic_load(&p->ticket);
    return (uint32_t)ticket < atomic_load(&p->count);
}

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    struct pool *p = h->pool;
    while (!atomic_load(&p->ending)) {
        work(p, h->thread);
        for (int i = 0; i < SPINS && !has_work(p) && !atomic_load(&p->ending); i++) relax();
        if (has_work(p)) continue;

        pthread_mutex_lock(&p->lock);
        atomic_fetch_add(&p->asleep,
                         1); /* before the last look: pool_run counts sleepers after it */
        while (!has_work(p) && !atomic_load(&p->ending)) pthread_cond_wait(&p->wake, &p->lock);
        atomic_fetch_sub(&p->asleep, 1);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

enum err pool_new(struct pool **out, int threads)
{
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL) return ERR_MEMORY;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = threads < 1 ? 1 : threads;
    p->helpers = calloc((size_t)p->threads, sizeof *p->helpers);
    enum err e = p->helpers ? ERR_NONE : ERR_MEMORY;
    for (int i = 1; !e && i < p->threads; i++) {
        struct helper *h = &p->helpers[i];
        *h = (struct helper){.pool = p, .thread = i};
        if (pthread_create(&h->id, NULL, helper_main, h) != 0) e = ERR_MEMORY;
        if (!e) p->started = i;
    }
    if (e) {
        pool_free(p);
        return e;
    }
    *out = p;
    return ERR_NONE;
}

void pool_free(struct pool *p)
{
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->ending, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++) pthread_join(p->helpers[i].id, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->helpers);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

enum err pool_run(struct pool *p, pool_fn *fn, void *ctx, size_t count)
{
    if (count == 0) return ERR_NONE;
    uint64_t run = (atomic_load(&p->ticket) >> 32) + 1;
    atomic_store(&p->done, 0);
    atomic_store(&p->failed, false);

    /* No chunk can be taken while the fields change: the ticket stands past every count. */
    atomic_store(&p->ticket, run << 32 | UINT32_MAX);
    atomic_store(&p->fn, fn);
    atomic_store(&p->ctx, ctx);
    atomic_store(&p->count, (uint32_t)count);
    atomic_store(&p->ticket, run << 32);

    if (count > 1 && atomic_load(&p->asleep) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    work(p, 0);
    for (int i = 0; atomic_load_explicit(&p->done, memory_order_acquire) < count; i++) {
        if (i < SPINS) {
            relax();
        } else {
            sched_yield(); /* a helper with a chunk has lost its processor */
        }
    }
    return atomic_load(&p->failed) ? ERR_IO : ERR_NONE;
}
