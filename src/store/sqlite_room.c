/* Room that erased text took, given back.  Rows of `message` may only be deleted where no live row
 * gets moved by it (sqlite.h says why).  So the table is worked on like a log: live rows at its old
 * end are appended anew at the young one and erased in place; the old end, erased rows only, is
 * then cut off. SQLite repacks at most the page beside a deleted one and that one's neighbour;
 * MARGIN_BYTES of erased rows are left standing between the cut and the first row that was not
 * looked at. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/sqlite.h"

enum {
    PAGE_BYTES = 4096,
    PAGE_TEXT_BYTES_MIN =
        489, /* of a row on its page when it continues elsewhere (fileformat2 1.6) */
    MARGIN_BYTES = 8 * PAGE_BYTES,
    ROWS_MAX = 1024,                    /* of one transaction */
    MOVED_BYTES_MAX = 1024 * 1024,      /* likewise */
    ERASED_BYTES_MIN = 4 * 1024 * 1024, /* less is not worth it */
    WAIT_US = 50 * 1000,
};

struct old_row {
    int64_t n, session, seq, at_us;
    int role;
    str content, metadata;
};

static bool is_due(struct store *s)
{
    if (s->erased_bytes < ERASED_BYTES_MIN) return false;

    sqlite3_stmt *pages = sqlite_statement(s, SQL_PAGES),
                 *unused = sqlite_statement(s, SQL_PAGES_FREE);
    int64_t used = 0;
    if (pages && sqlite3_step(pages) == SQLITE_ROW) used = sqlite3_column_int64(pages, 0);
    if (unused && sqlite3_step(unused) == SQLITE_ROW) used -= sqlite3_column_int64(unused, 0);
    sqlite3_reset(pages);
    sqlite3_reset(unused);
    return s->erased_bytes > (uint64_t)(used > 0 ? used : 0) * PAGE_BYTES / 2;
}

static str copy(struct arena *arena, sqlite3_stmt *q, int at)
{
    const void *bytes = sqlite3_column_blob(q, at);
    return arena_str(arena, str_span(bytes, (size_t)sqlite3_column_bytes(q, at)));
}

/* The oldest rows; what is live of them whole, of the erased only how long they are. */
static bool look(struct store *s, struct arena *arena, struct old_row *rows, size_t *count)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_FIRST);
    size_t n = 0, moved = 0;
    int rc = SQLITE_ERROR;
    bool ok = true;

    if (q == NULL) return false;
    sqlite3_bind_int(q, 1, ROWS_MAX);
    while (n < ROWS_MAX && moved < MOVED_BYTES_MAX && ok && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct old_row *r = &rows[n++];
        *r = (struct old_row){.n = sqlite3_column_int64(q, 0),
                              .session = sqlite3_column_int64(q, 1),
                              .seq = sqlite3_column_int64(q, 2),
                              .role = sqlite3_column_int(q, 3),
                              .at_us = sqlite3_column_int64(q, 4)};
        r->content.len = (size_t)sqlite3_column_bytes(q, 5);
        r->metadata.len = (size_t)sqlite3_column_bytes(q, 6);
        if (r->role == ROLE_ERASED) continue;
        r->content = copy(arena, q, 5);
        r->metadata = copy(arena, q, 6);
        moved += r->content.len + r->metadata.len;
        ok = r->content.at && r->metadata.at;
    }
    sqlite3_reset(q);
    *count = n;
    return ok && (rc == SQLITE_ROW || rc == SQLITE_DONE);
}

static bool move(struct store *s, const struct old_row *r)
{
    sqlite3_stmt *erase = sqlite_statement(s, SQL_ERASE_ONE), *add = sqlite_statement(s, SQL_ADD);

    if (erase == NULL || add == NULL) return false;
    sqlite3_bind_int64(erase, 1, r->n);
    if (sqlite_step_done(erase) != SQLITE_OK) return false;
    sqlite3_bind_int64(add, 1, r->session);
    sqlite3_bind_int64(add, 2, r->seq);
    sqlite3_bind_int(add, 3, r->role);
    sqlite3_bind_int64(add, 4, r->at_us);
    sqlite3_bind_blob64(add, 5, r->content.at, r->content.len, SQLITE_STATIC);
    sqlite3_bind_blob64(add, 6, r->metadata.at, r->metadata.len, SQLITE_STATIC);
    return sqlite_step_done(add) == SQLITE_OK;
}

/* How many of the rows may be deleted: all before those that fill the margin. */
static size_t cut_before(const struct old_row *rows, size_t count)
{
    size_t margin = 0;

    while (count && margin < MARGIN_BYTES) {
        count--;
        size_t bytes = rows[count].content.len + rows[count].metadata.len;
        margin += bytes < PAGE_BYTES - 100 ? bytes : PAGE_TEXT_BYTES_MIN;
    }
    return count;
}

static bool reclaim(struct store *s, struct arena *arena, struct old_row *rows)
{
    sqlite3_stmt *drop = sqlite_statement(s, SQL_DROP_BEFORE),
                 *more = sqlite_statement(s, SQL_ERASED_MORE);
    int64_t change = 0;
    size_t count = 0;

    if (drop == NULL || more == NULL || !look(s, arena, rows, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].role == ROLE_ERASED) continue;
        if (!move(s, &rows[i])) return false;
        change += (int64_t)(rows[i].content.len + rows[i].metadata.len);
    }
    size_t cut = cut_before(rows, count);
    if (cut == 0) return false;
    for (size_t i = 0; i < cut; i++)
        change -= (int64_t)(rows[i].content.len + rows[i].metadata.len);
    sqlite3_bind_int64(drop, 1, rows[cut].n);
    sqlite3_bind_int64(more, 1, change);
    return sqlite_step_done(drop) == SQLITE_OK && sqlite_step_done(more) == SQLITE_OK;
}

/* Other processes count as well: the number in the file is the one that counts. */
static void erased_bytes_read(struct store *s)
{
    sqlite3_stmt *q = sqlite_statement(s, SQL_ERASED_BYTES);

    if (q && sqlite3_step(q) == SQLITE_ROW) s->erased_bytes = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
}

void sqlite_room_reclaim(struct store *s)
{
    struct arena arena;

    if (!is_due(s) || sqlite_begin(s, clock_mono_us() + WAIT_US, NULL)) return;
    struct old_row *rows = calloc(ROWS_MAX, sizeof *rows);
    arena_init(&arena, 0);
    if (rows == NULL || !reclaim(s, &arena, rows) || sqlite_commit(s, NULL)) sqlite_rollback(s);
    erased_bytes_read(s);
    arena_fini(&arena);
    free(rows);
}
