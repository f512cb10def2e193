#include "api/replay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/loop.h"
#include "conf/limits.h"

enum {
    BUCKETS = 256,
    MESSAGE_ID_BYTES = 36,
    FIRST_BLOCK_BYTES = 2 * 1024,
    BLOCK_BYTES = 256 * 1024,
    EVENT_OVERHEAD_BYTES = 64, /* of an event, counted with its text */
    LAG_BYTES_MAX =
        32 * 1024, /* taken from the source before a slow reader, beside what the server holds */
};

/* Events stand one behind the other in blocks, which go when their last event does.  The first is
 * small, as most answers are; the others are large enough for the system to take them back (and to
 * give only the pages that are used). */
struct block {
    struct block *next;
    size_t used, cap, events;
    _Alignas(8) char room[];
};

struct event {
    struct event *next;
    int64_t id;
    enum replay_kind kind;
    size_t len;
    char json[];
};

struct reader {
    struct task task; /* wakes its loop; the loop's while `posted` */
    struct replay *of;
    struct loop *loop;
    void (*ready)(void *ctx);
    void *ctx;
    /* Under the answer's lock: */
    struct reader *next;
    struct event *at; /* the next to take; NULL: it has all */
    size_t behind_bytes;
    bool waiting; /* has all, wants to hear of more */
    bool posted, left;
};

struct replay {
    struct task task; /* the nudge; the loop's while `nudged` */
    struct replays *table;
    struct loop *loop;
    char message_id[MESSAGE_ID_BYTES + 1];
    char *owner, *session; /* one allocation with `owner` */
    size_t owner_len, session_len;
    void (*nudge)(void *ctx);
    void *ctx;
    bool owned; /* its side is not over: of its loop alone */
    struct reader
        *primary; /* a reader on the same loop, woken without a message: of that loop alone */

    /* Under the table's lock: */
    struct replay *chain;         /* of its bucket */
    struct replay *older, *newer; /* by age */
    bool listed;

    _Atomic bool forgotten; /* the table has no room: keep nothing that all have taken */
    pthread_mutex_t lock;
    /* Under its lock: */
    unsigned refs; /* the answer's side, readers, a posted nudge */
    struct event *first, *last;
    struct block *oldest_block, *newest_block;
    size_t kept_bytes;
    int64_t next_id;
    bool over, failed;
    struct reader *readers;
    size_t readers_count;
    bool lagging, nudged;
};

struct replays {
    pthread_mutex_t lock;
    struct replay *bucket[BUCKETS];
    struct replay *oldest, *newest;
    atomic_size_t bytes;
};

/* ---- the table ---- */

enum err replays_new(struct replays **out)
{
    struct replays *t = calloc(1, sizeof *t);
    if (t == NULL) return ERR_MEMORY;
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return ERR_NONE;
}

void replays_free(struct replays *t)
{
    if (t == NULL) return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct replay **bucket_of(struct replays *t, str message_id)
{
    return &t->bucket[hash_str(message_id) % BUCKETS];
}

static void list(struct replay *r)
{
    struct replays *t = r->table;
    struct replay **b = bucket_of(t, str_of(r->message_id));

    pthread_mutex_lock(&t->lock);
    r->chain = *b;
    *b = r;
    r->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = r;
    t->newest = r;
    r->listed = true;
    pthread_mutex_unlock(&t->lock);
}

static void unlist_locked(struct replay *r)
{
    struct replays *t = r->table;
    struct replay **at = bucket_of(t, str_of(r->message_id));

    if (!r->listed) return;
    while (*at != r) at = &(*at)->chain;
    *at = r->chain;
    *(r->older ? &r->older->newer : &t->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &t->newest) = r->older;
    r->listed = false;
}

/* All kept answers together are too large: nobody finds the oldest any more, and with their next
 * event, or at their end, their memory goes. */
static void forget_oldest(struct replays *t)
{
    pthread_mutex_lock(&t->lock);
    if (atomic_load(&t->bytes) > REPLAY_TOTAL_BYTES_MAX && t->oldest) {
        struct replay *r = t->oldest;
        atomic_store(&r->forgotten, true);
        unlist_locked(r);
        /* An answer that is over is dropped by its loop, which only the nudge reaches. */
        pthread_mutex_lock(&r->lock);
        if (!r->nudged && r->over) {
            r->nudged = true;
            r->refs++;
            loop_post(r->loop, &r->task);
        }
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- the answer's side ---- */

static size_t event_bytes(const struct event *e)
{
    return e->len + EVENT_OVERHEAD_BYTES;
}

static void drop_first(struct replay *r)
{
    struct event *e = r->first;

    r->first = e->next;
    if (r->first == NULL) r->last = NULL;
    r->kept_bytes -= event_bytes(e);
    if (r->table) atomic_fetch_sub(&r->table->bytes, event_bytes(e));

    struct block *b = r->oldest_block;
    if (--b->events > 0) return;
    b->used = 0;
    if (b == r->newest_block) return;
    r->oldest_block = b->next;
    free(b);
}

/* Room for an event behind the others; NULL when memory is out. */
static struct event *event_room(struct replay *r, size_t text_bytes)
{
    size_t need = (sizeof(struct event) + text_bytes + 7) / 8 * 8;
    struct block *b = r->newest_block;

    if (b == NULL || b->cap - b->used < need) {
        size_t cap = b == NULL ? FIRST_BLOCK_BYTES : BLOCK_BYTES;
        if (cap < need) cap = need;
        b = malloc(sizeof *b + cap);
        if (b == NULL) return NULL;
        *b = (struct block){.cap = cap};
        if (r->newest_block && r->newest_block->events == 0) { /* empty, and so the only one */
            free(r->newest_block);
            r->oldest_block = r->newest_block = NULL;
        }
        *(r->newest_block ? &r->newest_block->next : &r->oldest_block) = b;
        r->newest_block = b;
    }
    struct event *e = (struct event *)(void *)(b->room + b->used);
    b->used += need;
    b->events++;
    return e;
}

static void unref(struct replay *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last) return;

    while (r->first) drop_first(r);
    while (r->oldest_block) {
        struct block *b = r->oldest_block;
        r->oldest_block = b->next;
        free(b);
    }
    pthread_mutex_destroy(&r->lock);
    free(r->owner);
    free(r);
}

static void on_nudge(struct task *t)
{
    struct replay *r = container_of(t, struct replay, task);

    pthread_mutex_lock(&r->lock);
    r->nudged = false;
    pthread_mutex_unlock(&r->lock);
    if (r->owned) r->nudge(r->ctx);
    unref(r);
}

static void nudge_locked(struct replay *r)
{
    if (r->nudged) return;
    r->nudged = true;
    r->refs++;
    loop_post(r->loop, &r->task);
}

enum err replay_new(struct replay **out, const struct replay_conf *c)
{
    struct replay *r = calloc(1, sizeof *r);
    if (r == NULL) return ERR_MEMORY;

    r->owner = malloc(c->owner.len + c->session.len + 1);
    if (r->owner == NULL) {
        free(r);
        return ERR_MEMORY;
    }
    r->owner_len = c->owner.len;
    r->session = r->owner + c->owner.len;
    r->session_len = c->session.len;
    if (c->owner.len) memcpy(r->owner, c->owner.at, c->owner.len);
    if (c->session.len) memcpy(r->session, c->session.at, c->session.len);
    memcpy(r->message_id, c->message_id, MESSAGE_ID_BYTES);
    pthread_mutex_init(&r->lock, NULL);
    r->task.run = on_nudge;
    r->table = c->table;
    r->loop = c->loop;
    r->nudge = c->nudge;
    r->ctx = c->ctx;
    r->owned = true;
    r->refs = 1;
    if (r->table) list(r);
    *out = r;
    return ERR_NONE;
}

/* Drops what every reader has taken, as far as it is more than may be kept. */
static void trim(struct replay *r)
{
    size_t keep = r->table && !atomic_load(&r->forgotten) ? REPLAY_ANSWER_BYTES_MAX : 0;

    while (r->first && r->kept_bytes > keep) {
        for (struct reader *d = r->readers; d; d = d->next)
            if (d->at == r->first) return;
        drop_first(r);
    }
}

static void wake_others(struct replay *r)
{
    for (struct reader *d = r->readers; d; d = d->next) {
        if (!d->waiting || d->posted || d == r->primary) continue;
        d->waiting = false;
        d->posted = true;
        loop_post(d->loop, &d->task);
    }
}

bool replay_add(struct replay *r, enum replay_kind kind, str json, bool *bad)
{
    loop_assert_here(r->loop);
    pthread_mutex_lock(&r->lock);
    struct event *e = event_room(r, json.len);
    if (e == NULL) {
        pthread_mutex_unlock(&r->lock);
        *bad = true;
        return false;
    }
    *e = (struct event){.id = r->next_id++, .kind = kind, .len = json.len};
    if (json.len) memcpy(e->json, json.at, json.len);
    *(r->last ? &r->last->next : &r->first) = e;
    r->last = e;
    r->kept_bytes += event_bytes(e);
    if (r->table) atomic_fetch_add(&r->table->bytes, event_bytes(e));
    r->over = kind != REPLAY_CHUNK;
    r->failed = kind == REPLAY_ERROR;
    for (struct reader *d = r->readers; d; d = d->next) {
        if (d->at == NULL) d->at = e;
        d->behind_bytes += event_bytes(e);
    }
    wake_others(r);
    bool wake_primary = r->primary && r->primary->waiting;
    if (wake_primary) r->primary->waiting = false;
    pthread_mutex_unlock(&r->lock);

    if (wake_primary) r->primary->ready(r->primary->ctx);

    pthread_mutex_lock(&r->lock);
    trim(r);
    for (struct reader *d = r->readers; d; d = d->next)
        if (d->behind_bytes > LAG_BYTES_MAX) r->lagging = true;
    bool lagging = r->lagging;
    pthread_mutex_unlock(&r->lock);
    if (r->table && atomic_load(&r->table->bytes) > REPLAY_TOTAL_BYTES_MAX) forget_oldest(r->table);
    return lagging;
}

size_t replay_readers(struct replay *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->readers_count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

bool replay_lagging(struct replay *r)
{
    pthread_mutex_lock(&r->lock);
    bool lagging = r->lagging;
    pthread_mutex_unlock(&r->lock);
    return lagging;
}

bool replay_forgotten(struct replay *r)
{
    return atomic_load(&r->forgotten);
}

void replay_drop(struct replay *r)
{
    if (r == NULL) return;
    loop_assert_here(r->loop);
    if (r->table) {
        pthread_mutex_lock(&r->table->lock);
        unlist_locked(r);
        pthread_mutex_unlock(&r->table->lock);
    }
    atomic_store(&r->forgotten, true);
    r->owned = false;
    unref(r);
}

/* ---- readers ---- */

static void on_wake(struct task *t)
{
    struct reader *d = container_of(t, struct reader, task);
    struct replay *r = d->of;

    pthread_mutex_lock(&r->lock);
    d->posted = false;
    bool left = d->left;
    pthread_mutex_unlock(&r->lock);
    if (!left) {
        d->ready(d->ctx);
    } else {
        free(d);
        unref(r);
    }
}

/* Joins after the event `after`; the answer is locked. */
static enum err join(struct reader **out, struct replay *r, int64_t after, struct loop *l,
                     void (*ready)(void *ctx), void *ctx)
{
    int64_t oldest = r->first ? r->first->id : r->next_id;
    if (r->failed || after + 1 < oldest || after >= r->next_id) return ERR_NOT_FOUND;
    if (r->over && after == r->next_id - 1) return ERR_NOT_FOUND;

    struct reader *d = calloc(1, sizeof *d);
    if (d == NULL) return ERR_MEMORY;
    d->task.run = on_wake;
    d->of = r;
    d->loop = l;
    d->ready = ready;
    d->ctx = ctx;
    for (struct event *e = r->first; e; e = e->next) {
        if (e->id <= after) continue;
        if (d->at == NULL) d->at = e;
        d->behind_bytes += event_bytes(e);
    }
    d->waiting = d->at == NULL;
    d->next = r->readers;
    r->readers = d;
    r->readers_count++;
    r->refs++;
    *out = d;
    return ERR_NONE;
}

enum err replay_read(struct reader **out, struct replay *r, struct loop *l,
                     void (*ready)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&r->lock);
    enum err e = join(out, r, -1, l, ready, ctx);
    pthread_mutex_unlock(&r->lock);
    if (!e && l == r->loop && r->primary == NULL) r->primary = *out;
    return e;
}

enum err replay_resume(struct reader **out, struct replays *t, str message_id, int64_t after,
                       str owner, str session, struct loop *l, void (*ready)(void *ctx), void *ctx)
{
    enum err e = ERR_NOT_FOUND;

    pthread_mutex_lock(&t->lock);
    struct replay *r = *bucket_of(t, message_id);
    while (r && !str_eq(str_of(r->message_id), message_id)) r = r->chain;
    if (r && str_eq(str_span(r->owner, r->owner_len), owner) &&
        str_eq(str_span(r->session, r->session_len), session)) {
        pthread_mutex_lock(&r->lock);
        e = join(out, r, after, l, ready, ctx);
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return e;
}

const char *replay_message_id(const struct reader *r)
{
    return r->of->message_id;
}

enum replay_took replay_take(struct reader *d, struct buf *to, size_t bytes_max, size_t events_max,
                             void (*render)(void *ctx, struct buf *to,
                                            const struct replay_event *e))
{
    struct replay *r = d->of;
    enum replay_took took = REPLAY_TOOK_SOME;

    loop_assert_here(d->loop);
    pthread_mutex_lock(&r->lock);
    for (size_t n = 0; d->at && n < events_max && to->len < bytes_max; n++) {
        const struct event *e = d->at;
        const struct replay_event event = {e->kind, e->id, str_span(e->json, e->len)};
        render(d->ctx, to, &event);
        d->behind_bytes -= event_bytes(e);
        d->at = e->next;
    }
    if (d->at == NULL) took = r->over ? REPLAY_TOOK_LAST : REPLAY_TOOK_ALL;
    d->waiting = took == REPLAY_TOOK_ALL;
    if (r->lagging) {
        bool still = false;
        for (struct reader *each = r->readers; each; each = each->next)
            still = still || each->behind_bytes > LAG_BYTES_MAX / 2;
        if (!still) {
            r->lagging = false;
            nudge_locked(r);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return took;
}

void replay_leave(struct reader *d)
{
    if (d == NULL) return;
    struct replay *r = d->of;

    loop_assert_here(d->loop);
    if (d->loop == r->loop && r->primary == d) r->primary = NULL;
    pthread_mutex_lock(&r->lock);
    struct reader **at = &r->readers;
    while (*at != d) at = &(*at)->next;
    *at = d->next;
    r->readers_count--;
    d->left = true;
    if (!r->over && (r->readers_count == 0 || r->lagging)) {
        r->lagging = false; /* asked anew with the next event */
        nudge_locked(r);
    }
    bool posted = d->posted;
    pthread_mutex_unlock(&r->lock);
    if (posted) return; /* the message that is under way frees it */
    free(d);
    unref(r);
}
