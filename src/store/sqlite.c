/* Conversations in a SQLite file (WAL): the calls of store.h.  Opening is sqlite_open.c, giving
 * back room sqlite_room.c; the tables are described there and in sqlite.h. */
#include "store/sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "conf/limits.h"

enum {
    LOG_PAGES_MAX = 1000, /* 4 MB: then it is copied into the file */
    LOG_KEPT_US =
        20 * 1000 * 1000, /* how long erased text may stay in it; the contract says 60 s */
    LOG_EMPTY_WAIT_US = 100 * 1000, /* for readers of an older state, when it is emptied */
    LOG_AGAIN_US = 2 * 1000 * 1000, /* after a time when it could not be */
    SWEEP_SESSIONS_MAX = 256,       /* of one transaction */
    SWEEP_MESSAGES_MAX = 4096,
};

static const char *const statements[] = {
#define X(name, sql) [SQL_##name] = sql,
    SQLITE_STATEMENTS(X)
#undef X
};

/* ---- words ---- */

sqlite3_stmt *sqlite_statement(struct store *s, enum sqlite_statement which)
{
    if (s->statement[which] == NULL)
        sqlite3_prepare_v3(s->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &s->statement[which], NULL);
    return s->statement[which];
}

int sqlite_step_done(sqlite3_stmt *q)
{
    if (q == NULL) return SQLITE_ERROR;
    sqlite3_step(q);
    return sqlite3_reset(q); /* the step's own error, if any */
}

enum err sqlite_err(struct store *s, struct err_note *why)
{
    return err_set(why, ERR_STORE, "session store %s: %s (%d)", s->path, sqlite3_errmsg(s->db),
                   sqlite3_extended_errcode(s->db));
}

static void bind(sqlite3_stmt *q, int at, str s)
{
    sqlite3_bind_blob64(q, at, s.len ? s.at : "", s.len, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *q, int at, uint64_t n)
{
    sqlite3_bind_int64(q, at, n < INT64_MAX ? (sqlite3_int64)n : INT64_MAX);
}

static str column(sqlite3_stmt *q, int at)
{
    const void *bytes = sqlite3_column_blob(q, at);
    return str_span(bytes ? bytes : "", (size_t)sqlite3_column_bytes(q, at));
}

static uint64_t column_u64(sqlite3_stmt *q, int at)
{
    sqlite3_int64 n = sqlite3_column_int64(q, at);
    return n > 0 ? (uint64_t)n : 0;
}

enum err sqlite_begin(struct store *s, uint64_t until_us, struct err_note *why)
{
    s->wait_until_us = until_us;
    return sqlite_step_done(sqlite_statement(s, SQL_BEGIN_WRITE)) == SQLITE_OK ? ERR_NONE
                                                                               : sqlite_err(s, why);
}

void sqlite_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

enum err sqlite_commit(struct store *s, struct err_note *why)
{
    if (sqlite_step_done(sqlite_statement(s, SQL_COMMIT)) == SQLITE_OK) return ERR_NONE;
    enum err e = sqlite_err(s, why);
    sqlite_rollback(s);
    return e;
}

/* ---- reading ---- */

static struct session_row row_of(sqlite3_stmt *q, struct session_key k)
{
    return (struct session_row){.key = k,
                                .born = column_u64(q, 0),
                                .created_us = column_u64(q, 1),
                                .updated_us = column_u64(q, 2),
                                .count = column_u64(q, 3),
                                .model_name = column(q, 4)};
}

/* Leaves the statement on its row, whose views live until it is reset; born 0: there is none. */
static enum err find(struct store *s, struct session_key k, sqlite3_stmt **at,
                     struct session_row *row, struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_FIND);

    if (q == NULL) return sqlite_err(s, why);
    bind(q, 1, k.owner);
    bind(q, 2, k.id);
    int rc = sqlite3_step(q);
    *at = q;
    *row = rc == SQLITE_ROW ? row_of(q, k) : (struct session_row){.key = k};
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) return ERR_NONE;
    enum err e = sqlite_err(s, why);
    sqlite3_reset(q);
    return e;
}

static enum err messages(struct store *s, uint64_t session, uint64_t from, uint64_t end,
                         stored_fn *each, void *ctx, struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_MESSAGES);
    enum err e = ERR_NONE;
    uint64_t want = from;
    int rc;

    if (q == NULL) return sqlite_err(s, why);
    bind_u64(q, 1, session);
    bind_u64(q, 2, from);
    bind_u64(q, 3, end);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && !e) {
        struct stored m = {
            .role = sqlite3_column_int(q, 1) == ROLE_USER ? STORED_USER : STORED_ASSISTANT,
            .at_us = column_u64(q, 2),
            .content = column(q, 3),
            .metadata = column(q, 4),
        };
        if (column_u64(q, 0) != want) break;
        e = each(ctx, want++, &m);
    }
    if (!e && rc != SQLITE_ROW && rc != SQLITE_DONE) e = sqlite_err(s, why);
    if (!e && want != end)
        e = err_set(why, ERR_STORE, "session store %s: damaged: a message is missing", s->path);
    sqlite3_reset(q);
    return e;
}

static enum err sqlite_read(struct store *s, struct session_key k, uint64_t cutoff_us,
                            uint64_t before, uint64_t max, session_fn *each_row, stored_fn *each,
                            void *ctx, struct err_note *why)
{
    sqlite3_stmt *at = NULL;
    struct session_row row;

    /* One state of the file for both queries. */
    s->wait_until_us = clock_mono_us() + STORE_WAIT_MS * 1000;
    if (sqlite_step_done(sqlite_statement(s, SQL_BEGIN)) != SQLITE_OK) return sqlite_err(s, why);
    enum err e = find(s, k, &at, &row, why);
    if (!e && row.updated_us < cutoff_us) row = (struct session_row){.key = k};
    if (!e) e = each_row(ctx, &row);
    if (at) sqlite3_reset(at);

    uint64_t end = before && before - 1 < row.count ? before - 1 : row.count;
    uint64_t from = end > max ? end - max : 0;
    if (!e && from < end) e = messages(s, row.born, from, end, each, ctx, why);
    sqlite_step_done(sqlite_statement(s, SQL_COMMIT));
    return e;
}

static enum err sqlite_list(struct store *s, str owner, uint64_t cutoff_us, uint64_t cursor,
                            uint64_t max, session_fn *each, void *ctx, uint64_t *next,
                            struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, owner.at ? SQL_LIST_OWNER : SQL_LIST);
    enum err e = ERR_NONE;
    uint64_t given = 0, last = 0;
    int rc;

    if (q == NULL) return sqlite_err(s, why);
    s->wait_until_us = clock_mono_us() + STORE_WAIT_MS * 1000;
    bind_u64(q, 1, cursor);
    bind_u64(q, 2, cutoff_us);
    bind_u64(q, 3, max < INT64_MAX ? max + 1 : max); /* one more: is there a next page? */
    if (owner.at) bind(q, 4, owner);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && !e && given < max) {
        struct session_row row = row_of(q, (struct session_key){column(q, 5), column(q, 6)});
        e = each(ctx, &row);
        last = row.born;
        given++;
    }
    if (!e && rc != SQLITE_ROW && rc != SQLITE_DONE) e = sqlite_err(s, why);
    sqlite3_reset(q);
    if (!e) *next = rc == SQLITE_ROW ? last : 0;
    return e;
}

static enum err sqlite_count(struct store *s, str owner, uint64_t cutoff_us, uint64_t max,
                             uint64_t *out, struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, owner.at ? SQL_COUNT_OWNER : SQL_COUNT);

    if (q == NULL) return sqlite_err(s, why);
    bind_u64(q, 1, cutoff_us);
    bind_u64(q, 2, max);
    if (owner.at) bind(q, 3, owner);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) *out = column_u64(q, 0);
    enum err e = rc == SQLITE_ROW ? ERR_NONE : sqlite_err(s, why);
    sqlite3_reset(q);
    return e;
}

/* ---- forgetting: inside a transaction ---- */

static enum err erase(struct store *s, uint64_t session, struct err_note *why)
{
    sqlite3_stmt *size = sqlite_statement(s, SQL_SIZE_OF),
                 *text = sqlite_statement(s, SQL_ERASE_ALL), *row = sqlite_statement(s, SQL_UNMAKE),
                 *more = sqlite_statement(s, SQL_ERASED_MORE);
    if (!size || !text || !row || !more) return sqlite_err(s, why);

    bind_u64(size, 1, session);
    bool ok = sqlite3_step(size) == SQLITE_ROW;
    uint64_t bytes = ok ? column_u64(size, 0) : 0;
    ok = sqlite3_reset(size) == SQLITE_OK && ok;
    bind_u64(text, 1, session);
    ok = ok && sqlite_step_done(text) == SQLITE_OK;
    bind_u64(row, 1, session);
    ok = ok && sqlite_step_done(row) == SQLITE_OK;
    bind_u64(more, 1, bytes);
    ok = ok && sqlite_step_done(more) == SQLITE_OK;
    if (!ok) return sqlite_err(s, why);
    s->erased_bytes += bytes;
    return ERR_NONE;
}

static enum err sqlite_forget(struct store *s, struct session_key k, bool *was,
                              struct err_note *why)
{
    sqlite3_stmt *at = NULL;
    struct session_row row = {.born = 0};

    enum err e = sqlite_begin(s, clock_mono_us() + STORE_WAIT_MS * 1000, why);
    if (e) return e;
    e = find(s, k, &at, &row, why);
    if (at) sqlite3_reset(at);
    if (!e && row.born) e = erase(s, row.born, why);
    if (!e) e = sqlite_commit(s, why);
    if (e)
        sqlite_rollback(s);
    else
        *was = row.born != 0;
    return e;
}

/* ---- sweeping ---- */

struct swept {
    uint64_t session;
    struct session_key key;
};

/* Which sessions are to go: at most SWEEP_SESSIONS_MAX. */
static enum err sweep_choose(struct store *s, uint64_t cutoff_us, uint64_t surplus,
                             bool (*busy)(void *ctx, struct session_key k), void *ctx,
                             struct arena *arena, struct swept *chosen, size_t *count,
                             struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_OLDEST);
    uint64_t texts = 0;
    size_t n = 0;
    int rc;

    if (q == NULL) return sqlite_err(s, why);
    bind_u64(q, 1, UINT64_MAX);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct session_key k = {column(q, 2), column(q, 3)};
        bool old = column_u64(q, 1) < cutoff_us;
        if ((!old && n >= surplus) || n == SWEEP_SESSIONS_MAX || texts > SWEEP_MESSAGES_MAX) break;
        if (busy && busy(ctx, k)) continue;
        k.owner = arena_str(arena, k.owner);
        k.id = arena_str(arena, k.id);
        if (k.owner.at == NULL || k.id.at == NULL) break; /* the rest at the next sweep */
        texts += column_u64(q, 4);
        chosen[n++] = (struct swept){column_u64(q, 0), k};
    }
    enum err e = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : sqlite_err(s, why);
    sqlite3_reset(q);
    *count = n;
    return e;
}

static enum err sqlite_sweep(struct store *s, uint64_t cutoff_us, uint64_t max,
                             bool (*busy)(void *ctx, struct session_key k),
                             void (*each)(void *ctx, struct session_key k), void *ctx,
                             uint64_t *gone, struct err_note *why)
{
    struct swept chosen[SWEEP_SESSIONS_MAX];
    struct arena arena;
    uint64_t all = 0;
    size_t n = 0;

    enum err e = sqlite_begin(s, clock_mono_us() + STORE_WAIT_MS * 1000, why);
    if (e) return e;
    arena_init(&arena, 0);
    if (max) e = sqlite_count(s, STR_NONE, 0, UINT64_MAX, &all, why);
    if (!e)
        e = sweep_choose(s, cutoff_us, max && all > max ? all - max : 0, busy, ctx, &arena, chosen,
                         &n, why);
    for (size_t i = 0; i < n && !e; i++) e = erase(s, chosen[i].session, why);
    if (!e) e = sqlite_commit(s, why);
    if (e)
        sqlite_rollback(s);
    else {
        for (size_t i = 0; i < n && each; i++) each(ctx, chosen[i].key);
        *gone = n;
    }
    arena_fini(&arena);
    return e;
}

/* ---- appending ---- */

static enum err add(struct store *s, uint64_t session, uint64_t seq, const struct store_append *a,
                    struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_ADD);
    if (q == NULL) return sqlite_err(s, why);

    for (size_t i = 0; i < a->count; i++) {
        const struct stored *m = &a->messages[i];
        bind_u64(q, 1, session);
        bind_u64(q, 2, seq + i);
        sqlite3_bind_int(q, 3, m->role == STORED_USER ? ROLE_USER : ROLE_ASSISTANT);
        bind_u64(q, 4, m->at_us);
        bind(q, 5, m->content);
        bind(q, 6, m->metadata);
        if (sqlite_step_done(q) != SQLITE_OK) return sqlite_err(s, why);
    }
    return ERR_NONE;
}

static enum err make(struct store *s, const struct store_append *a, struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_MAKE);
    if (q == NULL) return sqlite_err(s, why);

    bind(q, 1, a->key.owner);
    bind(q, 2, a->key.id);
    bind_u64(q, 3, a->now_us);
    bind_u64(q, 4, a->count);
    bind(q, 5, a->model_name);
    bind_u64(q, 6, a->count ? a->messages[0].at_us : a->now_us);
    if (sqlite_step_done(q) != SQLITE_OK) return sqlite_err(s, why);
    return add(s, (uint64_t)sqlite3_last_insert_rowid(s->db), 0, a, why);
}

static enum err go_on(struct store *s, uint64_t seq, const struct store_append *a,
                      struct err_note *why)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_TOUCH);
    if (q == NULL) return sqlite_err(s, why);

    bind_u64(q, 1, a->born);
    bind_u64(q, 2, a->now_us);
    bind_u64(q, 3, a->count);
    bind(q, 4, a->model_name);
    if (sqlite_step_done(q) != SQLITE_OK) return sqlite_err(s, why);
    return add(s, a->born, seq, a, why);
}

/* ERR_STORE: the transaction must be given up. */
static enum err append_one(struct store *s, struct store_append *a, struct err_note *why)
{
    uint64_t cutoff_us = a->timeout_us && a->now_us > a->timeout_us ? a->now_us - a->timeout_us : 0;
    sqlite3_stmt *at = NULL;
    struct session_row row;

    a->created = false;
    enum err e = find(s, a->key, &at, &row, why);
    if (e) return e;
    sqlite3_reset(at);

    if (a->born) {
        if (row.born != a->born) return ERR_NOT_FOUND;
        return a->at_end || row.count == a->seq ? go_on(s, row.count, a, why) : ERR_CONFLICT;
    }
    if ((row.born && row.updated_us >= cutoff_us) || a->seq != 0) return ERR_CONFLICT;
    if (a->owner_sessions_max) {
        uint64_t has = 0;
        e = sqlite_count(s, a->key.owner.at ? a->key.owner : STR(""), cutoff_us,
                         a->owner_sessions_max, &has, why);
        if (e) return e;
        if (has >= a->owner_sessions_max) return ERR_SESSION_LIMIT;
    }
    if (row.born) e = erase(s, row.born, why);
    if (!e) e = make(s, a, why);
    a->created = row.born == 0;
    return e;
}

/* One transaction: all that can be, or ERR_STORE and nothing. */
static enum err append_all(struct store *s, struct store_append *batch, size_t count,
                           uint64_t until_us, struct err_note *why)
{
    enum err e = sqlite_begin(s, until_us, why);

    for (size_t i = 0; i < count && !e; i++) {
        batch[i].result = append_one(s, &batch[i], why);
        if (batch[i].result == ERR_STORE) e = ERR_STORE;
    }
    if (!e) e = sqlite_commit(s, why);
    if (e) {
        sqlite_rollback(s);
        for (size_t i = 0; i < count; i++) batch[i].result = ERR_STORE;
        for (size_t i = 0; i < count; i++) batch[i].created = false;
    }
    return e;
}

static enum err sqlite_append(struct store *s, struct store_append *batch, size_t count,
                              uint64_t until_us, struct err_note *why)
{
    enum err e = append_all(s, batch, count, until_us, why);

    if (!e || count == 1) return e;
    /* One of them may be what does not fit, or meet the damaged page: the others must not suffer.
     */
    for (size_t i = 0; i < count; i++) {
        batch[i].result = ERR_STORE;
        if (clock_mono_us() < until_us && !append_all(s, &batch[i], 1, until_us, why)) e = ERR_NONE;
    }
    return e;
}

/* ---- looking after the file ---- */

static void sqlite_tend(struct store *s, uint64_t now_us)
{
    bool empty = now_us - s->emptied_us >= LOG_KEPT_US;
    int left = 0, done = 0;

    s->wait_until_us = now_us + LOG_EMPTY_WAIT_US;
    if (!empty && s->log_pages > LOG_PAGES_MAX) {
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &left, &done);
        s->log_pages = 0;
    }
    if (empty) { /* whoever wrote: another process may have erased something too */
        int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, &done);
        s->emptied_us = rc == SQLITE_OK ? now_us : now_us - LOG_KEPT_US + LOG_AGAIN_US;
        s->log_pages = 0;
    }
    sqlite_room_reclaim(s);
}

const struct store_ops store_sqlite = {
    .scheme = "sqlite",
    .parallel_reads = true,
    .open = sqlite_open_writer,
    .open_reader = sqlite_open_reader,
    .close = sqlite_open_close,
    .append = sqlite_append,
    .read = sqlite_read,
    .list = sqlite_list,
    .count = sqlite_count,
    .forget = sqlite_forget,
    .sweep = sqlite_sweep,
    .tend = sqlite_tend,
};
