/* An event loop and the thread that runs it (libuv inside).  Everything that waits lives on one; a
 * loop never blocks.  Other threads reach it by loop_post only.
 *
 * Threads: loop_post is for any thread; all else is for the loop's own (asserted). */
#ifndef SEMA_BASE_LOOP_H
#define SEMA_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct uv_loop_s;
struct loop;

/* A message to a loop, embedded in what it is about; it is the sender's until posted, the loop's
 * until `run` is called, and `run` may free what it is embedded in.  Never posted twice at a time.
 */
struct task {
    void (*run)(struct task *t);
    struct task *next;
};

enum err loop_new(struct loop **out, struct err_note *why);
void loop_free(struct loop *l); /* not running; everything on it closed */

void loop_run(struct loop *l);  /* until loop_stop and nothing is left open */
void loop_stop(struct loop *l); /* any thread: no longer keep running for messages */

void loop_post(struct loop *l, struct task *t);
struct uv_loop_s *loop_uv(struct loop *l);
struct loop *loop_here(void); /* the loop that this thread runs, or NULL */
void loop_assert_here(const struct loop *l);

uint64_t loop_now_ms(const struct loop *l); /* monotonic, as of this turn of the loop */

/* ---- timers: one shot, embedded in their owner; thousands are cheap -----------------------------
 * `fire` runs on the loop.  A timer is zeroed before its first use; setting it again moves it;
 * stopping one that is not set does nothing.  After timer_stop `fire` is never called. */
struct timer {
    void (*fire)(struct timer *t);
    struct loop *loop;
    uint64_t at_ms;
    size_t place; /* in the loop's heap, from 1; 0 when not set */
};

void timer_set(struct timer *t, struct loop *l, uint64_t after_ms, void (*fire)(struct timer *t));
void timer_stop(struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return t->place != 0;
}

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
