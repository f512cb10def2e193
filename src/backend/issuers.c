#include "backend/issuers.h"

#include <pthread.h>

#include "base/hash.h"

enum {
    SETS = 1024, /* 8192 signatures, 200 kB: two hours of a busy server with tools */
    WAYS = 8,
    KEPT_MS = 6 * 3600 * 1000,
};

struct slot {
    uint64_t signature, issuer; /* a hash; 0: free */
    uint64_t at_ms;
};

static struct slot slots[SETS][WAYS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t key_of(str signature)
{
    uint64_t key = hash_str(signature);
    return key ? key : 1;
}

/* Its slot, else the one that a new signature takes: a free one, or the oldest. */
static struct slot *find(uint64_t key)
{
    struct slot *set = slots[key % SETS], *oldest = set;

    for (int i = 0; i < WAYS; i++) {
        if (set[i].signature == key) return &set[i];
        if (set[i].at_ms < oldest->at_ms) oldest = &set[i];
    }
    return oldest;
}

void issuers_note(str signature, uint64_t issuer, uint64_t now_ms)
{
    uint64_t key = key_of(signature);

    pthread_mutex_lock(&lock);
    *find(key) = (struct slot){key, issuer, now_ms};
    pthread_mutex_unlock(&lock);
}

bool issuers_is_foreign(str signature, uint64_t issuer, uint64_t now_ms)
{
    uint64_t key = key_of(signature);

    pthread_mutex_lock(&lock);
    const struct slot *s = find(key);
    bool foreign = s->signature == key && s->issuer != issuer && now_ms - s->at_ms < KEPT_MS;
    pthread_mutex_unlock(&lock);
    return foreign;
}
