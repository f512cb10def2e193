/* Where conversations live, each under its owner and id.  Two halves: `store_ops` is what one kind
 * of storage implements (memory, sqlite, later redis, postgres: one file each); `struct shelf` is
 * what the rest of the program calls: it keeps the blocking work on threads of its own and answers
 * on the caller's loop.
 *
 * Messages are only ever appended, those of one append all or none; `seq` is the place of the
 * first, counted from 0.  A conversation that was forgotten meanwhile refuses the append (`born`
 * differs), so a running turn cannot bring it back. */
#ifndef SEMA_STORE_STORE_H
#define SEMA_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct session_key {
    str owner; /* "" while everything is open; else of the key or user */
    str id;    /* any bytes of valid UTF-8, U+0000 among them */
};

enum stored_role { STORED_USER, STORED_ASSISTANT };

struct stored {
    enum stored_role role;
    str content;
    uint64_t at_us; /* wall clock */
    str metadata;   /* a JSON object */
};

struct session_row {
    struct session_key key;
    uint64_t created_us; /* of its first message */
    uint64_t updated_us;
    uint64_t count; /* messages kept */
    str model_name; /* of the last answer; empty when unknown */
    uint64_t born;  /* differs for each life of the id; 0: there is no such session */
};

/* One turn to be written.  `result` and `created` are outputs. */
struct store_append {
    struct session_key key;
    uint64_t born; /* as read at the turn's start; 0: the session is to be made */
    uint64_t seq;  /* 0 when it is to be made */
    bool at_end;   /* wherever the session ends now: `seq` is not looked at */
    const struct stored *messages;
    size_t count;
    str model_name;
    uint64_t owner_sessions_max; /* a new session beyond it: ERR_SESSION_LIMIT; 0: none */
    uint64_t now_us;
    uint64_t timeout_us; /* a session idle for longer counts as gone; 0: never */
    /* ERR_NONE; ERR_CONFLICT: another process appended, or made the session, meanwhile;
     * ERR_NOT_FOUND: forgotten meanwhile; ERR_SESSION_LIMIT; ERR_STORE.  Whatever it is not kept is
     * not there at all. */
    enum err result;
    bool created; /* there is one session more than before */
};

/* What a callback is given is gone when it returns; a result other than ERR_NONE ends the reading.
 */
typedef enum err stored_fn(void *ctx, uint64_t seq, const struct stored *m);
typedef enum err session_fn(void *ctx, const struct session_row *row);

struct store;

struct store_conf {
    str address;    /* after the scheme: a path, or an URL */
    bool sync_full; /* SESSION_SYNC */
};

/* Calls block; each store is used by one thread at a time unless `parallel_reads` says more. */
struct store_ops {
    const char *scheme;  /* "sqlite", "memory", ... */
    bool parallel_reads; /* open_reader gives further handles that read while the first writes */

    /* ERR_STORE with a note that ends the start: "cannot open the session store /x/sema.db: ..." */
    enum err (*open)(struct store **out, const struct store_conf *c, struct err_note *why);
    enum err (*open_reader)(struct store **out, struct store *writer, struct err_note *why);
    void (*close)(struct store *s); /* readers before their writer; NULL is fine */

    /* All of the batch made durable together; each has its own result.  The return is ERR_NONE, or
     * ERR_STORE when nothing of the batch was kept (then each result is ERR_STORE).  Another
     * process that writes is waited for until clock_mono_us() is until_us. */
    enum err (*append)(struct store *s, struct store_append *batch, size_t count, uint64_t until_us,
                       struct err_note *why);

    /* The row (born 0 when there is none, or it is older than cutoff_us), then the newest `max`
     * messages with place < before (places count from 1; before 0: no bound).  max 0: no messages;
     * UINT64_MAX: all.  Oldest first. */
    enum err (*read)(struct store *s, struct session_key k, uint64_t cutoff_us, uint64_t before,
                     uint64_t max, session_fn *row, stored_fn *each, void *ctx,
                     struct err_note *why);

    /* Sessions of an owner (all owners: owner.at NULL) in order of creation, those after the
     * cursor, at most `max`; *next is the cursor for the rest, 0 when there is none (and 0 is the
     * first cursor). */
    enum err (*list)(struct store *s, str owner, uint64_t cutoff_us, uint64_t cursor, uint64_t max,
                     session_fn *each, void *ctx, uint64_t *next, struct err_note *why);
    /* Sessions of an owner (all owners: owner.at NULL); counts no further than `max`. */
    enum err (*count)(struct store *s, str owner, uint64_t cutoff_us, uint64_t max, uint64_t *out,
                      struct err_note *why);

    /* Durable when it returns.  *was: there was such a session. */
    enum err (*forget)(struct store *s, struct session_key k, bool *was, struct err_note *why);
    /* Sessions idle since before cutoff_us; then the least recently used beyond `max` (0: no
     * limit). `busy` (may be NULL) says which must stay; `each` is told those that went, when they
     * are gone for good (may be NULL).  A call does a bounded piece of work and gives how many
     * went; 0: all done. */
    enum err (*sweep)(struct store *s, uint64_t cutoff_us, uint64_t max,
                      bool (*busy)(void *ctx, struct session_key k),
                      void (*each)(void *ctx, struct session_key k), void *ctx, uint64_t *gone,
                      struct err_note *why);
    /* Called after each answered batch and at least every 10 s, costs nothing when there is nothing
     * to do: checkpoints, reclaims room, so that deleted text leaves file and log. */
    void (*tend)(struct store *s, uint64_t now_us); /* on clock_mono_us()'s clock */
};

extern const struct store_ops store_memory, store_sqlite;

/* ---- the shelf: the asynchronous side, for loops ---- */

struct shelf;

struct shelf_conf {
    const struct store_ops *const *kinds; /* NULL-terminated */
    str address;                          /* SESSION_STORE: "sqlite:PATH", a bare path, "memory:" */
    bool sync_full;
    uint64_t timeout_us; /* SESSION_TIMEOUT; 0: never */
    uint64_t sessions_max;
    uint64_t owner_sessions_max; /* counts where there is an owner */
};

enum err shelf_open(struct shelf **out, const struct shelf_conf *c, struct err_note *why);
void shelf_close(struct shelf *s); /* what was accepted is still written; NULL is fine */

/* Who knows which sessions have a turn in progress: those are not swept.  `gone` is told the
 * sessions that went to keep MAX_SESSIONS.  Both are called on a store thread, never after a call
 * of shelf_watch that replaced them has returned; NULL: nobody. */
void shelf_watch(struct shelf *s, bool (*busy)(void *ctx, struct session_key k),
                 void (*gone)(void *ctx, struct session_key k), void *ctx);

/* A read: allocated by the shelf, handed to `done` on the loop that asked, freed by
 * shelf_answer_free. e: ERR_NONE, ERR_STORE (also when it waited more than STORE_WAIT_MS, or a
 * begun commit's outcome is unknown after STORE_COMMIT_MS), ERR_MEMORY. */
struct shelf_answer {
    enum err e;
    struct err_note why;
    struct session_row row; /* born 0: no such session */
    struct stored *messages;
    size_t count;
    uint64_t first_seq;       /* place of messages[0] */
    struct session_row *rows; /* of a list */
    size_t rows_count;
    uint64_t next; /* cursor, 0 at the end */
};
void shelf_answer_free(struct shelf_answer *a); /* NULL is fine */
/* Adds a message behind what was read with `before` and `max`, as if it were stored: the row counts
 * it, the window holds it or not.  A session that was not there gets a row of its own, `born`
 * UINT64_MAX. */
enum err shelf_answer_add(struct shelf_answer *a, struct session_key k, const struct stored *m,
                          uint64_t before, uint64_t max);
typedef void shelf_done_fn(void *ctx, struct shelf_answer *a);

/* Each calls done(ctx) exactly once, later, on `l` (the loop that calls).  Inputs are copied.
 * ERR_STORE or ERR_MEMORY at once when the queue is full or memory is out; then done is not called.
 */
enum err shelf_read(struct shelf *s, struct loop *l, struct session_key k, uint64_t before,
                    uint64_t max, shelf_done_fn *done, void *ctx);
/* As shelf_read for a turn that is about to run: e is ERR_SESSION_LIMIT when there is no such
 * session and its owner may have no further one. */
enum err shelf_read_for_turn(struct shelf *s, struct loop *l, struct session_key k, uint64_t max,
                             shelf_done_fn *done, void *ctx);
enum err shelf_list(struct shelf *s, struct loop *l, str owner, uint64_t cursor, uint64_t max,
                    shelf_done_fn *done, void *ctx);
/* `e` is the append's result.  now_us, timeout_us and owner_sessions_max are the shelf's to fill.
 */
enum err shelf_append(struct shelf *s, struct loop *l, const struct store_append *a,
                      shelf_done_fn *done, void *ctx);
enum err shelf_forget(struct shelf *s, struct loop *l, struct session_key k, shelf_done_fn *done,
                      void *ctx);
uint64_t shelf_sessions(const struct shelf *s); /* sessions now, as last known: costs nothing */

#endif
