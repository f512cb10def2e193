/* A turn from the inside: what turn.c (its course) and keep.c (storing it) share. */
#ifndef SEMA_CHAT_TURN_H
#define SEMA_CHAT_TURN_H

#include "chat/form.h"
#include "chat/inner.h"
#include "chat/prompt.h"
#include "chat/reply.h"

/*   WAITING   -> READING    on_called      its place in the session has come
 *   READING   -> ASKING     on_history     the prompt is known; reply.c asks the models
 *   ASKING    -> STREAMING  tell_text      the first text went out
 *   ASKING    -> KEEPING    on_end         answered whole
 *   STREAMING -> KEEPING    on_end         answered, or broken off: what was sent is kept
 *   KEEPING   -> DONE       on_kept        stored, then told
 *   any       -> FAILED, CANCELLED */
enum turn_state {
    TURN_WAITING,
    TURN_READING,
    TURN_ASKING,
    TURN_STREAMING,
    TURN_KEEPING,
    TURN_DONE,
    TURN_FAILED,
    TURN_CANCELLED,
};

struct turn {
    enum turn_state state;
    struct chat *chat;
    struct loop *loop;
    struct turn_events to;
    struct arena arena;
    struct turn_ask ask; /* texts in the arena */
    char message_id[37];
    uint64_t deadline_ms; /* on loop_now_ms's clock */
    struct timer deadline;
    struct place place;

    /* The caller is gone: no event any more.  Inside one of its events the rest waits for `leave`.
     */
    bool muted;
    int telling; /* depth of events */
    struct task leave;
    bool leaving; /* it is posted */
    bool paused;

    /* READING */
    struct shelf_answer *history; /* views of it are in the prompt */
    struct asking asking;
    bool reading; /* a read is on its way, whatever the state */

    /* ASKING, STREAMING */
    struct prompt prompt;
    struct ask q;
    struct reply *reply;
    struct form form;
    uint64_t began_us; /* of generation */
    bool told_started, counted;
    enum err end; /* why generation ended */
    struct err_note end_why;
    enum finish finish;
    struct usage usage;
    str model_name; /* of who answers, or began to; in the arena */
    str rescued_by;
    uint64_t rescued_at;

    /* KEEPING */
    struct buf user_meta, answer_meta;
    struct turn_result result;
    uint64_t born, seq;
    bool at_end; /* of the session, wherever that is now */
    int keep_tries;
};

/* keep.c: stores the turn, then calls turn_kept once, later or at once. */
void keep_turn(struct turn *t);
void turn_kept(struct turn *t, enum err e, const struct err_note *why);

#endif
