/* A turn from the inside: what turn.c (its course) and keep.c (storing it) share. */
#ifndef SEMA_CHAT_TURN_H
#define SEMA_CHAT_TURN_H

#include "chat/form.h"
#include "chat/inner.h"
#include "chat/prompt.h"

/*   WAITING   -> READING    on_called      its place in the session has come
 *   READING   -> ASKING     on_history     the prompt is known, a model is chosen
 *   ASKING    -> ASKING     fall_back      the next model; the client has seen nothing yet
 *   ASKING    -> STREAMING  on_piece       the first text went out: nobody may start over from here
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
    size_t model; /* the n-th of models_use */
    struct model_use *use;
    struct answer *answer;
    struct model_wait wait;
    bool waiting; /* for a model to be prepared */
    struct form form;
    uint64_t began_us, asked_us; /* of generation, of this model's */
    bool told_started, first_seen, counted;
    enum err failed; /* the first real failure of a model */
    struct err_note failed_why;
    enum err end; /* why generation ended */
    struct err_note end_why;
    enum finish finish;
    struct usage usage;
    str model_name; /* of who answers; in the arena */

    /* KEEPING */
    struct buf user_meta, answer_meta;
    struct turn_result result;
    uint64_t born, seq;
    int keep_tries;
};

/* keep.c: stores the turn, then calls turn_kept once, later or at once. */
void keep_turn(struct turn *t);
void turn_kept(struct turn *t, enum err e, const struct err_note *why);

#endif
