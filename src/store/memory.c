/* Conversations in memory: gone with the process, for people who want that and for tests.  Sessions
 * stand in a hash table, in a list by age (creation order) and in one by use (least recent first).
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "store/store.h"

struct link {
    struct link *prev, *next;
};

struct session {
    struct session *hash_next;
    struct link by_age, by_use;
    uint64_t hash, born;
    uint64_t created_us, updated_us;
    struct session_key key;
    str model_name;
    struct stored *messages;
    size_t count, cap;
};

struct store {
    struct session **table; /* a power of two of chains */
    size_t chains, count;
    struct link by_age, by_use;
    uint64_t born_last;
};

enum { CHAINS_MIN = 64, SWEEP_MAX = 1024 };

#define OF_AGE(l) ((struct session *)((char *)(l)-offsetof(struct session, by_age)))
#define OF_USE(l) ((struct session *)((char *)(l)-offsetof(struct session, by_use)))

static void link_init(struct link *head)
{
    head->prev = head->next = head;
}

static void link_last(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static void link_out(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

static bool str_copy(str *out, str s)
{
    char *at = malloc(s.len + 1);
    if (at == NULL) return false;
    if (s.len) memcpy(at, s.at, s.len);
    *out = str_span(at, s.len);
    return true;
}

static void str_free(str s)
{
    free((char *)(uintptr_t)s.at);
}

static uint64_t hash_of(struct session_key k)
{
    return hash_mix(hash_str(k.owner), hash_str(k.id));
}

static struct session **find(struct store *s, struct session_key k)
{
    uint64_t hash = hash_of(k);
    struct session **at = &s->table[hash & (s->chains - 1)];

    while (*at && !((*at)->hash == hash && str_eq((*at)->key.owner, k.owner) &&
                    str_eq((*at)->key.id, k.id)))
        at = &(*at)->hash_next;
    return at;
}

static void messages_drop(struct session *x, size_t from)
{
    for (size_t i = from; i < x->count; i++) {
        str_free(x->messages[i].content);
        str_free(x->messages[i].metadata);
    }
    x->count = from;
}

static void session_free(struct session *x)
{
    if (x == NULL) return;
    messages_drop(x, 0);
    free(x->messages);
    str_free(x->key.owner);
    str_free(x->key.id);
    str_free(x->model_name);
    free(x);
}

static void take_out(struct store *s, struct session **at)
{
    struct session *x = *at;

    *at = x->hash_next;
    link_out(&x->by_age);
    link_out(&x->by_use);
    s->count--;
    session_free(x);
}

/* Twice the chains.  Without memory the chains only get longer. */
static void widen(struct store *s)
{
    size_t chains = s->chains * 2;
    struct session **table = calloc(chains, sizeof(struct session *));

    if (table == NULL) return;
    for (size_t i = 0; i < s->chains; i++) {
        for (struct session *x = s->table[i], *next; x; x = next) {
            next = x->hash_next;
            x->hash_next = table[x->hash & (chains - 1)];
            table[x->hash & (chains - 1)] = x;
        }
    }
    free(s->table);
    s->table = table;
    s->chains = chains;
}

static struct session *session_new(const struct store_append *a)
{
    struct session *x = calloc(1, sizeof *x);

    if (x == NULL || !str_copy(&x->key.owner, a->key.owner) || !str_copy(&x->key.id, a->key.id)) {
        session_free(x);
        return NULL;
    }
    x->hash = hash_of(a->key);
    x->created_us = a->count ? a->messages[0].at_us : a->now_us;
    return x;
}

static void put_in(struct store *s, struct session *x)
{
    if (s->count >= s->chains) widen(s);
    x->hash_next = s->table[x->hash & (s->chains - 1)];
    s->table[x->hash & (s->chains - 1)] = x;
    link_last(&s->by_age, &x->by_age);
    link_last(&s->by_use, &x->by_use);
    x->born = ++s->born_last;
    s->count++;
}

/* All or none; ERR_STORE when memory is out. */
static enum err messages_add(struct session *x, const struct store_append *a)
{
    size_t was = x->count;
    str model = STR_NONE;

    if (x->count + a->count > x->cap) {
        size_t cap = (x->count + a->count) * 2;
        struct stored *grown = realloc(x->messages, cap * sizeof *grown);
        if (grown == NULL) return ERR_STORE;
        x->messages = grown;
        x->cap = cap;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct stored *m = &x->messages[x->count++];
        *m = a->messages[i];
        m->content = m->metadata = STR_NONE;
        if (!str_copy(&m->content, a->messages[i].content) ||
            !str_copy(&m->metadata, a->messages[i].metadata)) {
            messages_drop(x, was);
            return ERR_STORE;
        }
    }
    if (a->model_name.len) {
        if (!str_copy(&model, a->model_name)) {
            messages_drop(x, was);
            return ERR_STORE;
        }
        str_free(x->model_name);
        x->model_name = model;
    }
    if (a->now_us > x->updated_us) x->updated_us = a->now_us;
    return ERR_NONE;
}

static bool expired(const struct session *x, uint64_t cutoff_us)
{
    return x->updated_us < cutoff_us;
}

static bool owned(const struct session *x, str owner, uint64_t cutoff_us)
{
    return !expired(x, cutoff_us) && (owner.at == NULL || str_eq(x->key.owner, owner));
}

static enum err memory_count(struct store *s, str owner, uint64_t cutoff_us, uint64_t max,
                             uint64_t *out, struct err_note *why)
{
    uint64_t n = 0;

    if (owner.at == NULL && cutoff_us == 0)
        n = s->count < max ? s->count : max;
    else
        for (struct link *l = s->by_age.next; l != &s->by_age && n < max; l = l->next)
            n += owned(OF_AGE(l), owner, cutoff_us);
    *out = n;
    return ERR_NONE;
}

static enum err append_one(struct store *s, struct store_append *a)
{
    struct session **at = find(s, a->key), *x = *at;
    uint64_t cutoff_us = a->timeout_us && a->now_us > a->timeout_us ? a->now_us - a->timeout_us : 0;

    if (a->born) {
        if (x == NULL || x->born != a->born) return ERR_NOT_FOUND;
        if (!a->at_end && x->count != a->seq) return ERR_CONFLICT;
        enum err e = messages_add(x, a);
        if (e) return e;
        link_out(&x->by_use);
        link_last(&s->by_use, &x->by_use);
        return ERR_NONE;
    }
    if ((x && !expired(x, cutoff_us)) || a->seq != 0) return ERR_CONFLICT;

    uint64_t has = 0;
    if (a->owner_sessions_max)
        memory_count(s, a->key.owner, cutoff_us, a->owner_sessions_max, &has, NULL);
    if (a->owner_sessions_max && has >= a->owner_sessions_max) return ERR_SESSION_LIMIT;

    struct session *made = session_new(a);
    if (made == NULL || messages_add(made, a)) {
        session_free(made);
        return ERR_STORE;
    }
    a->created = x == NULL;
    if (x) take_out(s, at);
    put_in(s, made);
    return ERR_NONE;
}

static enum err memory_append(struct store *s, struct store_append *batch, size_t count,
                              uint64_t until_us, struct err_note *why)
{
    size_t refused = 0;

    for (size_t i = 0; i < count; i++) {
        batch[i].created = false;
        batch[i].result = append_one(s, &batch[i]);
        refused += batch[i].result == ERR_STORE;
    }
    return refused == count ? err_set(why, ERR_STORE, "out of memory for a conversation")
                            : ERR_NONE;
}

static struct session_row row_of(const struct session *x)
{
    return (struct session_row){x->key,   x->created_us, x->updated_us,
                                x->count, x->model_name, x->born};
}

static enum err memory_read(struct store *s, struct session_key k, uint64_t cutoff_us,
                            uint64_t before, uint64_t max, session_fn *row, stored_fn *each,
                            void *ctx, struct err_note *why)
{
    const struct session *x = *find(s, k);
    struct session_row r = {.key = k};

    if (x == NULL || expired(x, cutoff_us)) return row(ctx, &r);
    r = row_of(x);
    enum err e = row(ctx, &r);

    uint64_t end = before && before - 1 < x->count ? before - 1 : x->count;
    for (uint64_t i = end > max ? end - max : 0; i < end && !e; i++)
        e = each(ctx, i, &x->messages[i]);
    return e;
}

static enum err memory_list(struct store *s, str owner, uint64_t cutoff_us, uint64_t cursor,
                            uint64_t max, session_fn *each, void *ctx, uint64_t *next,
                            struct err_note *why)
{
    uint64_t given = 0, last = 0;

    for (struct link *l = s->by_age.next; l != &s->by_age; l = l->next) {
        const struct session *x = OF_AGE(l);
        if (x->born <= cursor || !owned(x, owner, cutoff_us)) continue;
        if (given == max) {
            *next = last;
            return ERR_NONE;
        }
        struct session_row r = row_of(x);
        enum err e = each(ctx, &r);
        if (e) return e;
        given++;
        last = x->born;
    }
    *next = 0;
    return ERR_NONE;
}

static enum err memory_forget(struct store *s, struct session_key k, bool *was,
                              struct err_note *why)
{
    struct session **at = find(s, k);

    *was = *at != NULL;
    if (*at) take_out(s, at);
    return ERR_NONE;
}

static enum err memory_sweep(struct store *s, uint64_t cutoff_us, uint64_t max,
                             bool (*busy)(void *ctx, struct session_key k),
                             void (*each)(void *ctx, struct session_key k), void *ctx,
                             uint64_t *gone, struct err_note *why)
{
    struct link *l = s->by_use.next;

    *gone = 0;
    while (l != &s->by_use && *gone < SWEEP_MAX) {
        struct session *x = OF_USE(l);
        l = l->next;
        if (!expired(x, cutoff_us) && (max == 0 || s->count <= max)) break;
        if (busy && busy(ctx, x->key)) continue;
        if (each) each(ctx, x->key);
        take_out(s, find(s, x->key));
        ++*gone;
    }
    return ERR_NONE;
}

static void memory_close(struct store *s)
{
    if (s == NULL) return;
    for (struct link *l = s->by_age.next, *next; l != &s->by_age; l = next) {
        next = l->next;
        session_free(OF_AGE(l));
    }
    free(s->table);
    free(s);
}

static enum err memory_open(struct store **out, const struct store_conf *c, struct err_note *why)
{
    struct store *s = calloc(1, sizeof *s);

    if (s) s->table = calloc(CHAINS_MIN, sizeof(struct session *));
    if (s == NULL || s->table == NULL) {
        free(s);
        return err_set(why, ERR_STORE, "cannot open the session store: out of memory");
    }
    s->chains = CHAINS_MIN;
    link_init(&s->by_age);
    link_init(&s->by_use);
    *out = s;
    return ERR_NONE;
}

static void memory_tend(struct store *s, uint64_t now_us)
{
}

const struct store_ops store_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .append = memory_append,
    .read = memory_read,
    .list = memory_list,
    .count = memory_count,
    .forget = memory_forget,
    .sweep = memory_sweep,
    .tend = memory_tend,
};
