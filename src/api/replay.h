/* The events of one streamed answer, numbered, and who reads them: the client that asked, and one
 * that comes back for the rest (http-api.md section 6.2, resume).
 *
 *     the answer's loop           any loop
 *     replay_add  ------------->  reader: ready(), then replay_take() at its own pace
 *     nudge()     <-------------  the last reader left, or the slowest caught up
 *
 * What no reader has taken yet is never dropped; what all have taken is kept up to a bound, so that
 * a client that returns finds it.  Beyond REPLAY_TOTAL_BYTES_MAX the oldest answers are forgotten.
 *
 * Threads: an answer is added to and ended on its own loop; a reader belongs to its loop. */
#ifndef SEMA_API_REPLAY_H
#define SEMA_API_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct loop;
struct replays; /* those that a client may come back to */
struct replay;
struct reader;

enum replay_kind {
    REPLAY_CHUNK,
    REPLAY_FINAL, /* the last chunk: the answer is complete */
    REPLAY_ERROR, /* the answer has failed */
};

struct replay_event {
    enum replay_kind kind;
    int64_t id; /* from 0, step 1 */
    str json;   /* an object, of the kind's keys */
};

enum err replays_new(struct replays **out);
void replays_free(struct replays *t); /* empty; NULL is fine */

/* ---- the answer's side ---- */

struct replay_conf {
    struct replays *table; /* NULL: nobody comes back to it, and nothing is kept */
    struct loop *loop;
    const char *message_id;   /* 36 characters */
    str owner, session;       /* whose it is; copied */
    void (*nudge)(void *ctx); /* on `loop`, never from within a call of ours */
    void *ctx;
};

enum err replay_new(struct replay **out, const struct replay_conf *c);
/* True: a reader is far behind, so the source should pause until a nudge.  ERR_MEMORY ends up as
 * `*bad`. */
bool replay_add(struct replay *r, enum replay_kind kind, str json, bool *bad);
size_t replay_readers(struct replay *r);
bool replay_forgotten(struct replay *r); /* the table had no room for it */
bool replay_lagging(struct replay *r);
/* No new reader finds it; those that read go on to its end.  The answer's side is over. */
void replay_drop(struct replay *r);

/* ---- readers ---- */

/* A reader of an answer that the caller holds, from its start. */
enum err replay_read(struct reader **out, struct replay *r, struct loop *l,
                     void (*ready)(void *ctx), void *ctx);
/* A reader of what follows event `after` (-1: all) of a kept answer.  ERR_NOT_FOUND: unknown,
 * another's, no longer kept so far back, delivered to its end, or failed. */
enum err replay_resume(struct reader **out, struct replays *t, str message_id, int64_t after,
                       str owner, str session, struct loop *l, void (*ready)(void *ctx), void *ctx);
const char *replay_message_id(const struct reader *r);

enum replay_took {
    REPLAY_TOOK_ALL,  /* nothing more now; ready() will come */
    REPLAY_TOOK_SOME, /* `bytes_max` or `events_max` was reached */
    REPLAY_TOOK_LAST, /* the answer's end was among it, or was before */
};
/* Renders events in order into `to`.  `ready` may be called from replay_add on the answer's own
 * loop. */
enum replay_took replay_take(struct reader *r, struct buf *to, size_t bytes_max, size_t events_max,
                             void (*render)(void *ctx, struct buf *to,
                                            const struct replay_event *e));
void replay_leave(struct reader *r); /* NULL is fine; ready() is never called again */

#endif
