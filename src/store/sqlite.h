/* What the files of the SQLite store share.  One struct store is one connection; it is used by one
 * thread at a time.
 *
 * Why rows of `message` are never deleted singly: SQLite's secure_delete zeroes a deleted row, but
 * when a page is repacked because rows left it, old copies of the rows that stayed can remain in
 * its unused part, where no later delete finds them (measured: the text of one session in ten).  So
 * a row, once appended, never moves: to forget is to overwrite it in place with zeros of the same
 * length (ROLE_ERASED), and room is given back from the old end of the table only, where there are
 * no texts to leave copies of (sqlite_room.c). */
#ifndef SEMA_STORE_SQLITE_H
#define SEMA_STORE_SQLITE_H

#include <sqlite3.h>

#include "store/store.h"

enum {
    SQLITE_APPLICATION_ID = 0x53656d61, /* "Sema", at offset 68 of the file */
    SQLITE_SCHEMA_VERSION = 1,          /* at offset 60: PRAGMA user_version */
};

/* Role numbers in the file.  All take one byte, so that overwriting one changes no length. */
enum { ROLE_USER = 2, ROLE_ASSISTANT = 3, ROLE_ERASED = 4 };

/* clang-format off */
#define SQLITE_STATEMENTS(X)                                                                      \
    X(BEGIN, "BEGIN")                                                                             \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                             \
    X(COMMIT, "COMMIT")                                                                           \
    X(FIND,                                                                                       \
      "SELECT session, created_us, updated_us, count, model_name FROM session"                    \
      " WHERE owner = ?1 AND id = ?2")                                                            \
    X(MAKE,                                                                                       \
      "INSERT INTO session (owner, id, created_us, updated_us, count, model_name)"                \
      " VALUES (?1, ?2, ?6, ?3, ?4, ?5)")                                                         \
    X(TOUCH,                                                                                      \
      "UPDATE session SET updated_us = max(updated_us, ?2), count = count + ?3,"                  \
      " model_name = iif(length(?4), ?4, model_name) WHERE session = ?1")                         \
    X(UNMAKE, "DELETE FROM session WHERE session = ?1")                                           \
    X(ADD,                                                                                        \
      "INSERT INTO message (session, seq, role, at_us, content, metadata)"                        \
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                         \
    X(MESSAGES,                                                                                   \
      "SELECT seq, role, at_us, content, metadata FROM message"                                   \
      " WHERE session = ?1 AND seq >= ?2 AND seq < ?3 AND role < 4 ORDER BY seq")                 \
    X(ERASE_ALL,                                                                                  \
      "UPDATE message SET role = 4, content = zeroblob(length(content)),"                         \
      " metadata = zeroblob(length(metadata)) WHERE session = ?1 AND role < 4")                   \
    X(ERASE_ONE,                                                                                  \
      "UPDATE message SET role = 4, content = zeroblob(length(content)),"                         \
      " metadata = zeroblob(length(metadata)) WHERE n = ?1")                                      \
    X(LIST,                                                                                       \
      "SELECT session, created_us, updated_us, count, model_name, owner, id FROM session"         \
      " WHERE session > ?1 AND updated_us >= ?2 ORDER BY session LIMIT ?3")                       \
    X(LIST_OWNER,                                                                                 \
      "SELECT session, created_us, updated_us, count, model_name, owner, id FROM session"         \
      " WHERE session > ?1 AND updated_us >= ?2 AND owner = ?4 ORDER BY session LIMIT ?3")        \
    X(COUNT, "SELECT count(*) FROM (SELECT 1 FROM session WHERE updated_us >= ?1 LIMIT ?2)")      \
    X(COUNT_OWNER,                                                                                \
      "SELECT count(*) FROM (SELECT 1 FROM session WHERE owner = ?3 AND updated_us >= ?1 LIMIT ?2)")\
    X(OLDEST,                                                                                     \
      "SELECT session, updated_us, owner, id, count FROM session ORDER BY updated_us LIMIT ?1")   \
    X(ERASED_BYTES, "SELECT erased_bytes FROM room")                                              \
    X(ERASED_MORE, "UPDATE room SET erased_bytes = max(0, erased_bytes + ?1)")                    \
    X(SIZE_OF, "SELECT sum(length(content) + length(metadata)) FROM message"                      \
               " WHERE session = ?1 AND role < 4")                                                \
    X(PAGES, "SELECT page_count FROM pragma_page_count")                                          \
    X(PAGES_FREE, "SELECT freelist_count FROM pragma_freelist_count")                             \
    X(FIRST,                                                                                      \
      "SELECT n, session, seq, role, at_us, content, metadata FROM message ORDER BY n LIMIT ?1")  \
    X(DROP_BEFORE, "DELETE FROM message WHERE n < ?1 AND role = 4")
/* clang-format on */

enum sqlite_statement {
#define X(name, sql) SQL_##name,
    SQLITE_STATEMENTS(X)
#undef X
        SQL_STATEMENTS
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statement[SQL_STATEMENTS]; /* made at first use */
    char *path;
    uint64_t wait_until_us; /* of the busy handler, clock_mono_us() */
    uint64_t emptied_us;    /* when the log was last cut to nothing */
    int log_pages;          /* in the log after the last commit */
    uint64_t erased_bytes;  /* of messages, not yet reclaimed, as last known */
};

/* sqlite_open.c */
enum err sqlite_open_writer(struct store **out, const struct store_conf *c, struct err_note *why);
enum err sqlite_open_reader(struct store **out, struct store *writer, struct err_note *why);
void sqlite_open_close(struct store *s);

/* sqlite_room.c */
/* Gives back a bounded amount of room when much of the file is erased text.  In its own
 * transaction. */
void sqlite_room_reclaim(struct store *s);

/* sqlite.c: the words that both use */
sqlite3_stmt *sqlite_statement(struct store *s,
                               enum sqlite_statement which); /* NULL: see sqlite3_errcode */
int sqlite_step_done(
    sqlite3_stmt *q); /* runs a statement without rows; SQLITE_OK or an error code */
enum err sqlite_err(struct store *s, struct err_note *why);
enum err sqlite_begin(struct store *s, uint64_t until_us, struct err_note *why);
enum err sqlite_commit(struct store *s, struct err_note *why);
void sqlite_rollback(struct store *s);

#endif
