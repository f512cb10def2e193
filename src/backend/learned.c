#include "backend/learned.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

/* Clients may name models: beyond this many, nothing new is remembered. */
enum { MODELS_MAX = 256 };

struct learned {
    pthread_mutex_t lock;
    size_t count;
    struct {
        uint64_t model; /* a hash: two models that share one cost each other a field */
        uint64_t bits;
    } rows[MODELS_MAX];
};

struct learned *learned_new(void)
{
    struct learned *l = calloc(1, sizeof *l);
    if (l) pthread_mutex_init(&l->lock, NULL);
    return l;
}

void learned_free(struct learned *l)
{
    if (l == NULL) return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static size_t find(const struct learned *l, uint64_t model)
{
    size_t i = 0;
    while (i < l->count && l->rows[i].model != model) i++;
    return i;
}

uint64_t learned_get(struct learned *l, str model)
{
    uint64_t key = hash_str(model);

    pthread_mutex_lock(&l->lock);
    size_t i = find(l, key);
    uint64_t bits = i < l->count ? l->rows[i].bits : 0;
    pthread_mutex_unlock(&l->lock);
    return bits;
}

bool learned_add(struct learned *l, str model, uint64_t bits)
{
    uint64_t key = hash_str(model);

    pthread_mutex_lock(&l->lock);
    size_t i = find(l, key);
    bool fresh = i < MODELS_MAX && (i == l->count || (bits & ~l->rows[i].bits));
    if (fresh) {
        if (i == l->count) {
            l->rows[l->count++].model = key;
            l->rows[i].bits = 0;
        }
        l->rows[i].bits |= bits;
    }
    pthread_mutex_unlock(&l->lock);
    return fresh;
}
