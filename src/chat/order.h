/* Whose turn it is: one table, in shards, of the sessions that have turns now, over all loops.  The
 * first in a session runs, the others wait in order of arrival; a session being forgotten lets no
 * further turn begin until that is done.
 *
 * Threads: any.  A lock is held for a few list steps, or a copy of one message. */
#ifndef SEMA_CHAT_ORDER_H
#define SEMA_CHAT_ORDER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "store/store.h"

struct order;
struct entry;

/* The question of a running turn, as GET shows it before it is stored. */
struct asking {
    str message;
    uint64_t at_us;
    size_t images;
    uint64_t born, seq; /* of the session it will be added to, and its place there */
};

/* A turn's place, embedded in it.  From order_enter until it left it is the table's. */
struct place {
    struct task task;
    struct place *next;
    struct entry *entry;
    struct loop *loop;
    void (*called)(struct place *p);
    bool on_way;    /* `called` is posted and did not run */
    bool begun;     /* order_begin said yes */
    bool forgotten; /* its session was forgotten since */
    bool swept;     /* its session went to make room since */
    const struct asking *asking;
};

enum err order_new(struct order **out);
void order_free(struct order *o); /* nobody in it */

/* `called` runs later on `l`, when it is this one's turn.  ERR_SESSION_BUSY: SESSION_WAITING_MAX
 * wait. */
enum err order_enter(struct order *o, struct place *p, struct session_key k, struct loop *l,
                     void (*called)(struct place *p));
/* In `called`: false when the session is being forgotten; `called` comes again. */
bool order_begin(struct order *o, struct place *p);
/* Gives the place up, running or waiting; the next is called.  False: `called` is on its way to
 * this loop, which leaves when it arrives. */
bool order_leave(struct order *o, struct place *p);

/* Between the two, nothing of this session begins, leaves or is forgotten. */
void order_hold(struct order *o, struct place *p);
void order_release(struct order *o, struct place *p);

void order_show(struct order *o, struct place *p, const struct asking *a); /* until it leaves */
/* `copy` is called with what the running turn asked, if one is shown; under the lock. */
void order_asking(struct order *o, struct session_key k,
                  void (*copy)(void *ctx, const struct asking *a), void *ctx);
bool order_busy(struct order *o, struct session_key k); /* a turn runs or waits */

/* The session is to be forgotten: `queue` (under the lock) hands that to the store.  If it succeeds
 * the running turn is marked, and no other begins until order_forgot; *out is for that call. */
enum err order_forget(struct order *o, struct session_key k, enum err (*queue)(void *ctx),
                      void *ctx, struct entry **out);
void order_forgot(struct order *o, struct entry *e);
void order_swept(struct order *o, struct session_key k); /* marks the running turn */

#endif
