#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    size_t max, count, first, cap;
    bool closed;
    void **ring;
};

struct queue *queue_new(size_t max)
{
    struct queue *q = calloc(1, sizeof *q);
    if (q == NULL) return NULL;

    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* a wall clock that jumps changes no wait */
    pthread_cond_init(&q->filled, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    q->max = max;
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL) return;
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q);
}

static bool queue_grow(struct queue *q)
{
    size_t cap = q->cap ? q->cap * 2 : 16;
    void **ring = malloc(cap * sizeof *ring);
    if (ring == NULL) return false;
    for (size_t i = 0; i < q->count; i++) ring[i] = q->ring[(q->first + i) % q->cap];
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->first = 0;
    return true;
}

bool queue_put(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    bool ok = !q->closed && q->count < q->max && (q->count < q->cap || queue_grow(q));
    if (ok) {
        q->ring[(q->first + q->count++) % q->cap] = item;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void *pop(struct queue *q)
{
    void *item = q->ring[q->first];
    q->first = (q->first + 1) % q->cap;
    q->count--;
    return item;
}

void *queue_take(struct queue *q, int64_t wait_ms)
{
    struct timespec until;
    if (wait_ms >= 0) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + wait_ms % 1000 * 1000000;
        until.tv_sec += wait_ms / 1000 + ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
    }

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed) {
        if (wait_ms < 0)
            pthread_cond_wait(&q->filled, &q->lock);
        else if (pthread_cond_timedwait(&q->filled, &q->lock, &until) == ETIMEDOUT)
            break;
    }
    void *item = q->count ? pop(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

size_t queue_take_all(struct queue *q, void **items, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&q->lock);
    while (n < max && q->count) items[n++] = pop(q);
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t queue_count(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}
