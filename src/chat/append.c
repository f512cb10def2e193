/* A turn that was asked and answered elsewhere, put behind a session's others: it waits for its
 * place as a turn does, learns where the session ends, and is stored in one step. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "chat/inner.h"
#include "conf/limits.h"

enum { APPEND_TRIES = 3 }; /* another process may make the same session meanwhile */

struct append {
    struct chat *chat;
    struct loop *loop;
    struct arena arena;
    struct append_ask ask; /* texts in the arena */
    struct place place;
    struct buf user_meta, answer_meta;
    uint64_t born, seq; /* of the session as it was read */
    int tries;
    bool over;
    enum err e;
    void (*done)(void *ctx, enum err e); /* NULL: nobody waits any more */
    void *ctx;
};

static void release(struct append *p)
{
    buf_fini(&p->user_meta);
    buf_fini(&p->answer_meta);
    gauge_add(&p->chat->numbers.unfinished, -1);
    arena_fini(&p->arena);
    free(p);
}

static void finish(struct append *p, enum err e)
{
    if (!p->over) p->e = e;
    p->over = true;
    if (p->place.entry && !order_leave(p->chat->order, &p->place)) return; /* on_called comes */
    if (p->e)
        log_event(err_row(p->e)->level, "chat", "append_failed",
                  LOG_CSTR("code", err_row(p->e)->code), LOG_STR("session_id", p->ask.key.id));
    if (p->done) p->done(p->ctx, p->e);
    release(p);
}

/* http-api.md 8: the keys and their order. */
static bool write_metadata(struct append *p)
{
    char id[RAND_UUID_BYTES];
    struct json_out o = json_begin(&p->user_meta);

    json_object(&o);
    json_key(&o, "session_id"), json_text(&o, p->ask.key.id);
    json_end_object(&o);
    rand_uuid(id);
    o = json_begin(&p->answer_meta);
    json_object(&o);
    json_key(&o, "session_id"), json_text(&o, p->ask.key.id);
    json_key(&o, "message_id"), json_text(&o, str_of(id));
    json_key(&o, "model_name"), json_text(&o, p->ask.model_name);
    json_key(&o, "finish_reason"), json_text(&o, p->ask.finish_reason);
    json_end_object(&o);
    return !p->user_meta.bad && !p->answer_meta.bad;
}

static void read_end(struct append *p);

static void on_appended(void *ctx, struct shelf_answer *a)
{
    struct append *p = ctx;
    enum err e = a->e;

    shelf_answer_free(a);
    order_hold(p->chat->order, &p->place);
    bool forgotten = p->place.forgotten;
    order_release(p->chat->order, &p->place);
    if (forgotten) {
        finish(p, ERR_NONE); /* deleted meanwhile: delivered, not stored */
    } else if ((e == ERR_CONFLICT || e == ERR_NOT_FOUND) && ++p->tries < APPEND_TRIES) {
        read_end(p); /* another process made it, or it went to make room */
    } else {
        finish(p, e == ERR_CONFLICT || e == ERR_NOT_FOUND ? ERR_STORE : e);
    }
}

static enum err append(struct append *p)
{
    const struct append_ask *q = &p->ask;
    struct stored messages[] = {
        {STORED_USER, q->message, q->asked_us, buf_str(&p->user_meta)},
        {STORED_ASSISTANT, q->answer, clock_wall_us(), buf_str(&p->answer_meta)},
    };
    struct store_append a = {.key = q->key,
                             .messages = messages,
                             .count = 2,
                             .model_name = q->model_name,
                             .born = p->born,
                             .seq = p->seq,
                             .at_end = p->born != 0};
    enum err e = ERR_NOT_FOUND;

    /* Under the table's lock, so that a DELETE is either seen here or reaches the store behind
     * this. */
    order_hold(p->chat->order, &p->place);
    if (!p->place.forgotten) e = shelf_append(p->chat->shelf, p->loop, &a, on_appended, p);
    order_release(p->chat->order, &p->place);
    return e;
}

static void on_read(void *ctx, struct shelf_answer *a)
{
    struct append *p = ctx;
    enum err e = a->e;

    p->born = a->row.born;
    p->seq = a->row.born ? a->row.count : 0;
    shelf_answer_free(a);
    if (!e) e = append(p);
    if (e) finish(p, e == ERR_NOT_FOUND ? ERR_NONE : e);
}

static void read_end(struct append *p)
{
    enum err e = shelf_read_for_turn(p->chat->shelf, p->loop, p->ask.key, 0, on_read, p);
    if (e) finish(p, e);
}

static void on_called(struct place *place)
{
    struct append *p = container_of(place, struct append, place);

    if (p->over)
        finish(p, p->e);
    else if (order_begin(p->chat->order, place))
        read_end(p);
}

static bool keep_ask(struct append *p, const struct append_ask *q)
{
    struct arena *a = &p->arena;

    p->ask = *q;
    p->ask.key.owner = arena_str(a, q->key.owner);
    p->ask.key.id = arena_str(a, q->key.id);
    p->ask.message = arena_str(a, q->message);
    p->ask.answer = arena_str(a, q->answer);
    p->ask.model_name = arena_str(a, q->model_name);
    p->ask.finish_reason = arena_str(a, q->finish_reason);
    return p->ask.key.owner.at && p->ask.key.id.at && p->ask.message.at && p->ask.answer.at &&
           p->ask.model_name.at && p->ask.finish_reason.at;
}

enum err chat_append(struct append **out, struct chat *c, struct loop *l,
                     const struct append_ask *ask, void (*done)(void *ctx, enum err e), void *ctx)
{
    struct append *p = calloc(1, sizeof *p);

    loop_assert_here(l);
    if (p == NULL) return ERR_MEMORY;
    p->chat = c;
    p->loop = l;
    p->done = done;
    p->ctx = ctx;
    arena_init(&p->arena, 0);
    buf_init(&p->user_meta, UPSTREAM_ANSWER_BYTES_MAX);
    buf_init(&p->answer_meta, UPSTREAM_ANSWER_BYTES_MAX);
    gauge_add(&c->numbers.unfinished, 1);
    enum err e = keep_ask(p, ask) && write_metadata(p) ? ERR_NONE : ERR_MEMORY;
    if (!e) e = order_enter(c->order, &p->place, p->ask.key, l, on_called);
    if (e) {
        release(p);
        return e;
    }
    *out = p;
    return ERR_NONE;
}

void append_leave(struct append *p)
{
    p->done = NULL;
}
