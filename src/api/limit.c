#include "api/limit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

enum {
    WAYS = 8,    /* places where a client's bucket may stand */
    SETS = 4096, /* a power of two; 32768 clients within a minute, half a megabyte */
    LOCKS = 64,
};

struct bucket {
    uint64_t client;  /* its hash; 0: free */
    uint64_t full_ns; /* when the bucket is full again; the past: it is */
};

struct limit {
    uint64_t per_minute;
    uint64_t each_ns; /* what one request costs */
    pthread_mutex_t lock[LOCKS];
    struct bucket (*set)[WAYS]; /* [SETS]; NULL without a limit */
};

enum err limit_new(struct limit **out, uint64_t per_minute)
{
    struct limit *l = calloc(1, sizeof *l);
    if (l == NULL) return ERR_MEMORY;
    if (per_minute && (l->set = calloc(SETS, sizeof *l->set)) == NULL) {
        free(l);
        return ERR_MEMORY;
    }

    l->per_minute = per_minute;
    l->each_ns = per_minute ? 60000000000u / per_minute : 0;
    if (per_minute && l->each_ns == 0) l->each_ns = 1;
    for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&l->lock[i], NULL);
    *out = l;
    return ERR_NONE;
}

void limit_free(struct limit *l)
{
    if (l == NULL) return;
    for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&l->lock[i]);
    free(l->set);
    free(l);
}

uint64_t limit_per_minute(const struct limit *l)
{
    return l->per_minute;
}

/* The client's own bucket, else a free or full one, else the one that is nearest to full. */
static struct bucket *find(struct bucket *set, uint64_t client)
{
    struct bucket *least = &set[0];

    for (int i = 0; i < WAYS; i++) {
        if (set[i].client == client) return &set[i];
        if (set[i].full_ns < least->full_ns) least = &set[i];
    }
    *least = (struct bucket){.client = client};
    return least;
}

static uint64_t whole_s(uint64_t ns)
{
    return (ns + 999999999u) / 1000000000u;
}

void limit_take(struct limit *l, str client, uint64_t now_us, struct limit_verdict *out)
{
    *out = (struct limit_verdict){.allowed = true};
    if (l->per_minute == 0) return;

    uint64_t id = hash_str(client), now_ns = now_us * 1000;
    if (id == 0) id = 1;
    size_t at = (id >> 8) % SETS;
    uint64_t size_ns = l->each_ns * l->per_minute;

    pthread_mutex_lock(&l->lock[at % LOCKS]);
    struct bucket *b = find(l->set[at], id);
    uint64_t owed_ns = b->full_ns > now_ns ? b->full_ns - now_ns : 0;
    if (owed_ns + l->each_ns <= size_ns) {
        owed_ns += l->each_ns;
        b->full_ns = now_ns + owed_ns;
    } else {
        out->allowed = false;
        out->retry_s = whole_s(owed_ns + l->each_ns - size_ns);
    }
    pthread_mutex_unlock(&l->lock[at % LOCKS]);

    out->remaining = (size_ns - owed_ns) / l->each_ns;
    out->full_s = whole_s(owed_ns);
}
