#include "chat/order.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "conf/limits.h"

enum { SHARDS = 64, CHAINS_MIN = 16 };

/* A session with turns now, or being forgotten.  Invariants: `first` is NULL or the one that runs
 * or is called; only it can be on_way or begun; an entry without places and `forgetting` 0 does not
 * exist. */
struct entry {
    struct entry *next;
    struct shard *shard;
    uint64_t hash;
    struct session_key key;
    struct place *first, *last;
    size_t waiting; /* those behind the first */
    size_t forgetting;
};

struct shard {
    pthread_mutex_t lock;
    struct entry **table;
    size_t chains, count;
};

struct order {
    struct shard shard[SHARDS];
};

static uint64_t hash_of(struct session_key k)
{
    return hash_mix(hash_str(k.owner), hash_str(k.id));
}

static struct shard *shard_of(struct order *o, uint64_t hash)
{
    return &o->shard[hash >> 58]; /* the upper bits; chains use the lower */
}

static struct entry *find(struct shard *s, uint64_t hash, struct session_key k)
{
    for (struct entry *e = s->table[hash & (s->chains - 1)]; e; e = e->next)
        if (e->hash == hash && str_eq(e->key.owner, k.owner) && str_eq(e->key.id, k.id)) return e;
    return NULL;
}

static void widen(struct shard *s)
{
    size_t chains = s->chains * 2;
    struct entry **table = calloc(chains, sizeof(struct entry *));

    if (table == NULL) return; /* longer chains, no failure */
    for (size_t i = 0; i < s->chains; i++) {
        for (struct entry *e = s->table[i], *next; e; e = next) {
            next = e->next;
            e->next = table[e->hash & (chains - 1)];
            table[e->hash & (chains - 1)] = e;
        }
    }
    free(s->table);
    s->table = table;
    s->chains = chains;
}

static struct entry *find_or_make(struct shard *s, uint64_t hash, struct session_key k)
{
    struct entry *e = find(s, hash, k);
    if (e) return e;

    e = calloc(1, sizeof *e + k.owner.len + k.id.len);
    if (e == NULL) return NULL;
    char *at = (char *)(e + 1);
    if (k.owner.len) memcpy(at, k.owner.at, k.owner.len);
    if (k.id.len) memcpy(at + k.owner.len, k.id.at, k.id.len);
    e->key = (struct session_key){{at, k.owner.len}, {at + k.owner.len, k.id.len}};
    e->shard = s;
    e->hash = hash;
    if (s->count >= s->chains) widen(s);
    e->next = s->table[hash & (s->chains - 1)];
    s->table[hash & (s->chains - 1)] = e;
    s->count++;
    return e;
}

static void drop_if_idle(struct entry *e)
{
    struct shard *s = e->shard;

    if (e->first || e->forgetting) return;
    struct entry **at = &s->table[e->hash & (s->chains - 1)];
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    s->count--;
    free(e);
}

static void on_called(struct task *t)
{
    struct place *p = container_of(t, struct place, task);

    pthread_mutex_lock(&p->entry->shard->lock);
    p->on_way = false;
    pthread_mutex_unlock(&p->entry->shard->lock);
    p->called(p);
}

/* The first is called unless it already was, or must wait. */
static void call_first(struct entry *e)
{
    struct place *p = e->first;

    if (p == NULL || p->on_way || p->begun || e->forgetting) return;
    p->on_way = true;
    p->task.run = on_called;
    loop_post(p->loop, &p->task);
}

enum err order_enter(struct order *o, struct place *p, struct session_key k, struct loop *l,
                     void (*called)(struct place *p))
{
    uint64_t hash = hash_of(k);
    struct shard *s = shard_of(o, hash);
    enum err err = ERR_NONE;

    *p = (struct place){.loop = l, .called = called};
    pthread_mutex_lock(&s->lock);
    struct entry *e = find_or_make(s, hash, k);
    if (e == NULL)
        err = ERR_MEMORY;
    else if (e->first && e->waiting >= SESSION_WAITING_MAX)
        err = ERR_SESSION_BUSY;
    else {
        p->entry = e;
        if (e->first) {
            e->last->next = p;
            e->waiting++;
        } else
            e->first = p;
        e->last = p;
        call_first(e);
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

bool order_begin(struct order *o, struct place *p)
{
    struct shard *s = p->entry->shard;

    pthread_mutex_lock(&s->lock);
    assert(p->entry->first == p && !p->begun);
    p->begun = p->entry->forgetting == 0;
    bool begun = p->begun;
    pthread_mutex_unlock(&s->lock);
    return begun;
}

bool order_leave(struct order *o, struct place *p)
{
    struct entry *e = p->entry;
    struct shard *s = e->shard;

    pthread_mutex_lock(&s->lock);
    bool may = !p->on_way;
    if (may) {
        struct place *before = NULL;
        for (struct place *at = e->first; at != p; at = at->next) before = at;
        if (before) {
            before->next = p->next;
            e->waiting--;
        } else {
            e->first = p->next;
            if (e->first) e->waiting--;
        }
        if (e->last == p) e->last = before;
        p->entry = NULL;
        call_first(e);
        drop_if_idle(e);
    }
    pthread_mutex_unlock(&s->lock);
    return may;
}

void order_hold(struct order *o, struct place *p)
{
    pthread_mutex_lock(&p->entry->shard->lock);
}

void order_release(struct order *o, struct place *p)
{
    pthread_mutex_unlock(&p->entry->shard->lock);
}

void order_show(struct order *o, struct place *p, const struct asking *a)
{
    order_hold(o, p);
    p->asking = a;
    order_release(o, p);
}

void order_asking(struct order *o, struct session_key k,
                  void (*copy)(void *ctx, const struct asking *a), void *ctx)
{
    uint64_t hash = hash_of(k);
    struct shard *s = shard_of(o, hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, hash, k);
    if (e && e->first && e->first->asking && !e->first->forgotten) copy(ctx, e->first->asking);
    pthread_mutex_unlock(&s->lock);
}

bool order_busy(struct order *o, struct session_key k)
{
    uint64_t hash = hash_of(k);
    struct shard *s = shard_of(o, hash);

    pthread_mutex_lock(&s->lock);
    bool busy = find(s, hash, k) != NULL;
    pthread_mutex_unlock(&s->lock);
    return busy;
}

enum err order_forget(struct order *o, struct session_key k, enum err (*queue)(void *ctx),
                      void *ctx, struct entry **out)
{
    uint64_t hash = hash_of(k);
    struct shard *s = shard_of(o, hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find_or_make(s, hash, k);
    enum err err = e ? queue(ctx) : ERR_MEMORY;
    if (err == ERR_NONE) {
        e->forgetting++;
        if (e->first && e->first->begun) e->first->forgotten = true;
        *out = e;
    } else if (e)
        drop_if_idle(e);
    pthread_mutex_unlock(&s->lock);
    return err;
}

void order_forgot(struct order *o, struct entry *e)
{
    struct shard *s = e->shard;

    pthread_mutex_lock(&s->lock);
    e->forgetting--;
    call_first(e);
    drop_if_idle(e);
    pthread_mutex_unlock(&s->lock);
}

void order_swept(struct order *o, struct session_key k)
{
    uint64_t hash = hash_of(k);
    struct shard *s = shard_of(o, hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, hash, k);
    if (e && e->first && e->first->begun) e->first->swept = true;
    pthread_mutex_unlock(&s->lock);
}

void order_free(struct order *o)
{
    if (o == NULL) return;
    for (int i = 0; i < SHARDS; i++) {
        assert(o->shard[i].count == 0);
        pthread_mutex_destroy(&o->shard[i].lock);
        free(o->shard[i].table);
    }
    free(o);
}

enum err order_new(struct order **out)
{
    struct order *o = calloc(1, sizeof *o);
    bool whole = o != NULL;

    for (int i = 0; i < SHARDS && o; i++) {
        pthread_mutex_init(&o->shard[i].lock, NULL);
        o->shard[i].chains = CHAINS_MIN;
        o->shard[i].table = calloc(CHAINS_MIN, sizeof(struct entry *));
        whole = whole && o->shard[i].table;
    }
    if (!whole) {
        order_free(o);
        return ERR_MEMORY;
    }
    *out = o;
    return ERR_NONE;
}
