/* Opening a conversation file: made when missing, looked at before it is touched, refused in one
 * line. A file that is refused is left as it was. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/limits.h"
#include "store/sqlite.h"

/* clang-format off */
static const char schema[] =
    "BEGIN IMMEDIATE;"
    /* AUTOINCREMENT: a number is never used again, so it tells the lives of one id apart (`born`). */
    "CREATE TABLE session ("
    "  session INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  owner BLOB NOT NULL,"
    "  id BLOB NOT NULL,"              /* may hold U+0000 */
    "  created_us INTEGER NOT NULL,"   /* since 1970, UTC */
    "  updated_us INTEGER NOT NULL,"
    "  count INTEGER NOT NULL,"        /* of messages: the next one's seq */
    "  model_name BLOB NOT NULL,"      /* of the last answer */
    "  UNIQUE (owner, id)"
    ") STRICT;"
    "CREATE INDEX session_owner ON session (owner);"
    "CREATE INDEX session_updated ON session (updated_us);"
    "CREATE TABLE message ("
    "  n INTEGER PRIMARY KEY,"         /* only ever grows: rows are added at the end */
    "  session INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  role INTEGER NOT NULL,"         /* 2 user, 3 assistant, 4 erased */
    "  at_us INTEGER NOT NULL,"
    "  content BLOB NOT NULL,"
    "  metadata BLOB NOT NULL"         /* a JSON object */
    ") STRICT;"
    "CREATE UNIQUE INDEX message_place ON message (session, seq) WHERE role < 4;"
    "CREATE TABLE room (erased_bytes INTEGER NOT NULL) STRICT;"
    "INSERT INTO room VALUES (0);"
    "PRAGMA application_id = 1399156065;" /* SQLITE_APPLICATION_ID */
    "PRAGMA user_version = 1;"
    "COMMIT;";
/* clang-format on */

/* Larger files are not read whole at start (0.4 s/GB and more on a slow disk); damage deeper inside
 * fails the turn that meets it. */
enum { CHECKED_BYTES_MAX = 16 * 1024 * 1024 };

static enum err refuse(struct err_note *why, const char *path, const char *reason)
{
    return err_set(why, ERR_STORE, "cannot open the session store %s: %s", path, reason);
}

static enum err refuse_sqlite(struct err_note *why, struct store *s)
{
    int code = sqlite3_extended_errcode(s->db);
    int sys = sqlite3_system_errno(s->db);

    bool full = (code & 0xff) == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT);

    if (((code & 0xff) == SQLITE_CANTOPEN && sys) || full)
        return refuse(why, s->path, strerror(sys));
    return refuse(why, s->path, sqlite3_errmsg(s->db));
}

/* The folders above `path` that are missing, mode 0700. */
static enum err folders_make(const char *path, struct err_note *why)
{
    char *at = strdup(path);
    if (at == NULL) return refuse(why, path, "out of memory");

    int failed = 0;
    for (char *slash = strchr(at + 1, '/'); slash && !failed; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(at, 0700) != 0 && errno != EEXIST) failed = errno;
        *slash = '/';
    }
    free(at);
    return failed ? refuse(why, path, strerror(failed)) : ERR_NONE;
}

/* The name of a new file is as durable as what is in it. */
static void folder_sync(const char *path)
{
    char *at = strdup(path);
    if (at == NULL) return;
    char *slash = strrchr(at, '/');
    if (slash) *(slash == at ? slash + 1 : slash) = '\0';
    int fd = open(slash ? at : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(at);
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The first 100 bytes say what a file is (sqlite.org/fileformat2.html 1.3); looked at without
 * SQLite, which would begin by repairing. */
static enum err file_look(const char *path, struct err_note *why)
{
    struct stat st;
    uint8_t head[100];

    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        enum err e = folders_make(path, why);
        if (e) return e;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) folder_sync(path);
    }
    if (fd < 0) return refuse(why, path, strerror(errno));

    const char *wrong = NULL;
    if (fstat(fd, &st) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        wrong = "not a regular file";
    else if (st.st_size > 0) {
        ssize_t n = pread(fd, head, sizeof head, 0);
        if (n < 0)
            wrong = strerror(errno);
        else if (n < (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
            wrong = "file is not a database";
        else if (be32(head + 68) != 0 && be32(head + 68) != SQLITE_APPLICATION_ID)
            wrong = "it is another program's database";
        else if (be32(head + 68) == SQLITE_APPLICATION_ID &&
                 be32(head + 60) > SQLITE_SCHEMA_VERSION)
            wrong = "it was written by a newer version of Sema";
    }
    close(fd);
    return wrong ? refuse(why, path, wrong) : ERR_NONE;
}

/* Another connection holds a lock: wait until the deadline of the call. */
static int on_busy(void *ctx, int tries)
{
    struct store *s = ctx;

    if (clock_mono_us() >= s->wait_until_us) return 0;
    usleep(tries < 10 ? 200 : 2000);
    return 1;
}

static int on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
    ((struct store *)ctx)->log_pages = pages;
    return SQLITE_OK;
}

static bool run(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The system keeps the file's pages anyway: what a thread holds on to besides is bounded by us. */
static bool bound_cache(struct store *s)
{
    char sql[48];

    snprintf(sql, sizeof sql, "PRAGMA cache_size = -%d", STORE_CACHE_KB);
    return run(s, sql);
}

static bool number_of(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;

    bool ok =
        sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;
    if (ok) *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return ok;
}

/* NULL when sound. */
static enum err pages_check(struct store *s, struct err_note *why)
{
    struct stat st;
    sqlite3_stmt *q = NULL;
    enum err e = ERR_NONE;

    if (stat(s->path, &st) != 0 || st.st_size > CHECKED_BYTES_MAX) return ERR_NONE;
    if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        e = refuse_sqlite(why, s);
    else if (strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0)
        e = refuse(why, s->path, "the file is damaged (PRAGMA integrity_check says more)");
    sqlite3_finalize(q);
    return e;
}

/* What it holds, the log included; without changing anything. */
static enum err contents_check(struct store *s, int64_t *version, struct err_note *why)
{
    int64_t id, tables;

    if (!number_of(s, "PRAGMA application_id", &id) ||
        !number_of(s, "PRAGMA user_version", version) ||
        !number_of(s, "SELECT count(*) FROM sqlite_schema", &tables))
        return refuse_sqlite(why, s);
    if (id != SQLITE_APPLICATION_ID && (id != 0 || *version != 0 || tables != 0))
        return refuse(why, s->path, "it is another program's database");
    if (*version > SQLITE_SCHEMA_VERSION)
        return refuse(why, s->path, "it was written by a newer version of Sema");
    if (sqlite3_db_readonly(s->db, "main") == 1) return refuse(why, s->path, "it can only be read");
    return pages_check(s, why);
}

static enum err tables_check(struct store *s, struct err_note *why)
{
    for (int i = 0; i < SQL_STATEMENTS; i++)
        if (sqlite_statement(s, (enum sqlite_statement)i) == NULL) return refuse_sqlite(why, s);
    return ERR_NONE;
}

static enum err connect(struct store **out, const char *path, struct err_note *why)
{
    struct store *s = calloc(1, sizeof *s);

    if (s) s->path = strdup(path);
    if (s == NULL || s->path == NULL) {
        free(s);
        return refuse(why, path, "out of memory");
    }
    s->wait_until_us = clock_mono_us() + STORE_WAIT_MS * 1000;
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        enum err e = s->db ? refuse_sqlite(why, s) : refuse(why, path, "out of memory");
        sqlite_open_close(s);
        return e;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, on_busy, s);
    *out = s;
    return ERR_NONE;
}

enum err sqlite_open_writer(struct store **out, const struct store_conf *c, struct err_note *why)
{
    char *path = strndup(c->address.at, c->address.len);
    struct store *s = NULL;
    int64_t version = 0;

    if (path == NULL)
        return err_set(why, ERR_STORE, "cannot open the session store: out of memory");
    enum err e = c->address.len ? file_look(path, why) : refuse(why, "", "no path is given");
    if (!e) e = connect(&s, path, why);
    free(path);
    if (e) return e;

    /* Until it is accepted: closing must not write the log into the file. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* Its commands say what they are; a file cannot bring its own (triggers, views). */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);

    e = contents_check(s, &version, why);
    /* The log is emptied by `tend`, after the answers of a batch are out, never inside a commit. */
    if (!e &&
        (!run(s, "PRAGMA journal_mode = WAL") || !run(s, "PRAGMA wal_autocheckpoint = 0") ||
         !run(s, c->sync_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL") ||
         !run(s, "PRAGMA secure_delete = ON") || !run(s, "PRAGMA temp_store = MEMORY") ||
         !bound_cache(s)))
        e = refuse_sqlite(why, s);
    sqlite3_wal_hook(s->db, on_commit, s);
    if (!e && version == 0 && !run(s, schema)) {
        int64_t now = 0; /* another process may have made it in the same moment */
        if (!sqlite3_get_autocommit(s->db)) run(s, "ROLLBACK");
        if (!number_of(s, "PRAGMA user_version", &now) || now != SQLITE_SCHEMA_VERSION) {
            run(s, schema); /* for its message */
            e = refuse_sqlite(why, s);
        }
    }
    if (!e) e = tables_check(s, why);
    if (e) {
        sqlite_open_close(s);
        return e;
    }
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    int64_t erased = 0;
    number_of(s, "SELECT erased_bytes FROM room", &erased);
    s->erased_bytes = erased > 0 ? (uint64_t)erased : 0;
    *out = s;
    return ERR_NONE;
}

enum err sqlite_open_reader(struct store **out, struct store *writer, struct err_note *why)
{
    struct store *s = NULL;
    enum err e = connect(&s, writer->path, why);

    if (e) return e;
    if (!run(s, "PRAGMA query_only = ON") || !bound_cache(s)) {
        e = refuse_sqlite(why, s);
        sqlite_open_close(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void sqlite_open_close(struct store *s)
{
    if (s == NULL) return;
    s->wait_until_us = clock_mono_us() + 1000 * 1000;
    for (int i = 0; i < SQL_STATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}
