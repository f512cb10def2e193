/* Gemini 3 and later sign a tool call and want the signature back with it (providers.md 6.1); the
 * forms that clients speak have no place for it. */
#include <pthread.h>
#include <stdlib.h>

#include "backend/google_in.h"
#include "base/hash.h"

enum {
    SETS = 512, /* 2048 calls */
    WAYS = 4,
    SIGNATURE_BYTES_MAX =
        16 * 1024, /* 32 MB when all are as long; the usual one has some 100 bytes */
    KEPT_MS = 6 * 3600 * 1000,
};

struct slot {
    uint64_t key; /* of the call's id; 0: free */
    uint64_t at_ms;
    char *text;
    size_t len;
};

static struct slot slots[SETS][WAYS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t key_of(str id)
{
    uint64_t key = hash_str(id);
    return key ? key : 1;
}

/* Its slot, else the one that a new call takes: a free one, or the oldest. */
static struct slot *find(uint64_t key)
{
    struct slot *set = slots[key % SETS], *oldest = set;

    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) return &set[i];
        if (set[i].at_ms < oldest->at_ms) oldest = &set[i];
    }
    return oldest;
}

void google_signature_keep(str call_id, str signature, uint64_t now_ms)
{
    uint64_t key = key_of(call_id);

    if (call_id.len == 0 || signature.len == 0 || signature.len > SIGNATURE_BYTES_MAX) return;
    char *text = malloc(signature.len);
    if (text == NULL) return; /* the placeholder goes out in its stead */
    memcpy(text, signature.at, signature.len);
    pthread_mutex_lock(&lock);
    struct slot *s = find(key);
    free(s->text);
    *s = (struct slot){key, now_ms, text, signature.len};
    pthread_mutex_unlock(&lock);
}

str google_signature_of(str call_id, uint64_t now_ms, struct arena *a)
{
    uint64_t key = key_of(call_id);
    str got = STR("");

    pthread_mutex_lock(&lock);
    const struct slot *s = find(key);
    if (s->key == key && now_ms - s->at_ms < KEPT_MS) got = arena_str(a, (str){s->text, s->len});
    pthread_mutex_unlock(&lock);
    return got;
}
