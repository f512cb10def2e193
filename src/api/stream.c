#include "api/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/errors.h"
#include "api/inside.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

struct stream {
    struct api_loop *at;
    struct stream *next, *prev; /* of the loop's */
    struct replay *replay;      /* NULL once dropped */
    struct turn *turn;          /* NULL once over */
    unsigned refs;              /* its own while running or kept, and the first reader's */
    char message_id[RAND_UUID_BYTES];
    struct buf middle; /* `,"session_id":...,"message_id":...,"chunk_id":` of every chunk */
    int64_t chunk_id;
    bool listed;
    bool slot;       /* it holds one of MAX_CONCURRENT_STREAMS */
    bool slot_later; /* it takes one when its turn comes */
    bool paused;
    enum err doom; /* to be ended with it, by a message of its own: see doom() */
    uint64_t window_ms;
    struct timer window;
    const char *log_failed;
    char *session; /* for the log */
    size_t session_len;
    uint64_t asked_chars;
    uint64_t started_us;
};

const char *stream_message_id(const struct stream *s)
{
    return s->message_id;
}

static void unref(struct stream *s)
{
    if (--s->refs) return;
    buf_fini(&s->middle);
    free(s->session);
    free(s);
}

static void unlist(struct stream *s)
{
    if (!s->listed) return;
    s->listed = false;
    *(s->prev ? &s->prev->next : &s->at->kept) = s->next;
    if (s->next) s->next->prev = s->prev;
    unref(s);
}

/* Nobody can come back any more. */
static void drop(struct stream *s)
{
    timer_stop(&s->window);
    replay_drop(s->replay);
    s->replay = NULL;
    unlist(s);
}

static void turn_over(struct stream *s)
{
    s->turn = NULL;
    api_turn_ended(s->at);
}

static void cancel(struct stream *s)
{
    turn_cancel(s->turn);
    turn_over(s);
}

/* ---- events ---- */

static bool add(struct stream *s, enum replay_kind kind, struct buf *json)
{
    bool bad = json->bad, lagging = false;

    if (!bad) lagging = replay_add(s->replay, kind, buf_str(json), &bad);
    if (lagging && s->turn && !s->paused) {
        s->paused = true;
        turn_pause(s->turn, true);
    }
    return !bad;
}

static bool add_chunk(struct stream *s, str text, bool final)
{
    struct buf *to = &s->at->event;
    struct json_out o = json_begin(to);
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, clock_wall_us());
    buf_clear(to);
    o.js_escapes = true;
    json_object(&o);
    json_key(&o, "content"), json_text(&o, text);
    buf_add(to, buf_str(&s->middle));
    o.comma = false;
    json_int(&o, s->chunk_id++);
    json_key(&o, "is_final"), json_bool(&o, final);
    json_key(&o, "timestamp"), json_text(&o, str_of(when));
    json_end_object(&o);
    return add(s, final ? REPLAY_FINAL : REPLAY_CHUNK, to);
}

static void add_error(struct stream *s, const char *text, const char *code)
{
    buf_clear(&s->at->event);
    errors_event(&s->at->event, text, code);
    if (!add(s, REPLAY_ERROR, &s->at->event)) {
        /* No memory even for that: an empty error ends the readers all the same. */
        buf_clear(&s->at->event);
        add(s, REPLAY_ERROR, &s->at->event);
    }
}

static void on_window(struct timer *t)
{
    struct stream *s = container_of(t, struct stream, window);

    if (s->turn && replay_readers(s->replay) > 0) return;
    if (s->turn) cancel(s);
    drop(s);
}

static void keep(struct stream *s)
{
    if (s->window_ms && !s->at->draining && !replay_forgotten(s->replay))
        timer_set(&s->window, s->at->loop, s->window_ms, on_window);
    else
        drop(s);
}

static void fail(struct stream *s, enum err e, const struct err_note *why)
{
    struct failure f;

    errors_of_turn(&f, e, why);
    if (e == ERR_SESSION_LIMIT) {
        f.event = s->at->api->sessions_text;
        f.code = err_row(e)->code;
    } else if (e == ERR_STREAM_LIMIT) {
        f.event = s->at->api->streams_text;
        f.code = err_row(e)->code;
    }
    log_event(err_row(e)->level, "chat", s->log_failed, LOG_CSTR("error", err_text(why, e)),
              LOG_CSTR("code", f.code),
              LOG_STR("session_id", str_span(s->session, s->session_len)));
    add_error(s, f.event, f.code);
}

static void on_doom(struct timer *t)
{
    struct stream *s = container_of(t, struct stream, window);

    if (s->turn == NULL) return;
    cancel(s);
    fail(s, s->doom, NULL);
    drop(s);
}

/* The stream cannot go on.  Chat is in the middle of telling an event, so its turn is ended after
 * that. */
static void doom(struct stream *s, enum err e)
{
    s->doom = e;
    timer_set(&s->window, s->at->loop, 0, on_doom);
}

static void on_started(void *ctx)
{
    struct stream *s = ctx;

    if (!s->slot_later) return;
    s->slot_later = false;
    s->slot = stream_slot_take(s->at->api);
    if (!s->slot) doom(s, ERR_STREAM_LIMIT);
}

static void on_text(void *ctx, str text)
{
    struct stream *s = ctx;

    if (s->doom) return;
    if (!add_chunk(s, text, false)) doom(s, ERR_MEMORY);
}

static void on_done(void *ctx, const struct turn_result *r)
{
    struct stream *s = ctx;

    turn_over(s);
    if (s->doom || !add_chunk(s, STR(""), true)) {
        fail(s, s->doom ? s->doom : ERR_MEMORY, NULL);
        drop(s);
        return;
    }
    log_event(LEVEL_INFO, "chat", "chat_request_completed",
              LOG_STR("session_id", str_span(s->session, s->session_len)),
              LOG_INT("message_length", s->asked_chars),
              LOG_INT("response_length", utf8_count(r->message)),
              LOG_NUM("total_time", (double)(clock_mono_us() - s->started_us) / 1e6));
    keep(s);
}

static void on_failed(void *ctx, enum err e, const struct err_note *why, bool text_sent)
{
    struct stream *s = ctx;

    turn_over(s);
    fail(s, s->doom ? s->doom : e, why);
    drop(s);
}

/* The last reader left, the slowest caught up, or the table wants its memory back. */
static void on_nudge(void *ctx)
{
    struct stream *s = ctx;

    if (s->turn == NULL) {
        if (replay_forgotten(s->replay)) drop(s);
        return;
    }
    if (s->paused && !replay_lagging(s->replay)) {
        s->paused = false;
        turn_pause(s->turn, false);
    }
    if (replay_readers(s->replay) > 0) return;
    if (s->window_ms) {
        timer_set(&s->window, s->at->loop, s->window_ms, on_window);
    } else {
        cancel(s);
        drop(s);
    }
}

/* ---- beginning and end ---- */

void stream_turn_ask(struct turn_ask *out, const struct chat_request *ask, str owner)
{
    *out = (struct turn_ask){
        .key = {owner, ask->session_id},
        .message = ask->message,
        .system_prompt = ask->system_prompt,
        .prompt_type = ask->prompt_type,
        .temperature = ask->temperature,
        .max_tokens = (int)ask->max_tokens,
        .reasoning = ask->reasoning,
        .images = ask->images.at,
        .images_count = ask->images.count,
    };
}

static enum err prepare(struct stream *s, const struct stream_conf *c)
{
    str session = c->ask->session_id;

    rand_uuid(s->message_id);
    s->at = c->at;
    s->refs = 1;
    s->window_ms = c->window_ms;
    s->log_failed = c->log_failed;
    s->asked_chars = utf8_count(c->ask->message);
    s->started_us = clock_mono_us();
    s->session = malloc(session.len + 1);
    if (s->session == NULL) return ERR_MEMORY;
    memcpy(s->session, session.at, session.len);
    s->session_len = session.len;

    buf_init(&s->middle, 8 * 1024);
    buf_add(&s->middle, STR(",\"session_id\":\""));
    json_escape(&s->middle, session, true);
    buf_addf(&s->middle, "\",\"message_id\":\"%s\",\"chunk_id\":", s->message_id);
    const struct replay_conf conf = {
        .table = c->resumable ? c->at->api->replays : NULL,
        .loop = c->at->loop,
        .message_id = s->message_id,
        .owner = c->call->owner,
        .session = session,
        .nudge = on_nudge,
        .ctx = s,
    };
    return s->middle.bad ? ERR_MEMORY : replay_new(&s->replay, &conf);
}

enum err stream_start(struct stream **out, struct reader **reader, const struct stream_conf *c,
                      void (*ready)(void *ctx), void *ctx, struct err_note *why)
{
    struct turn_ask ask;
    const struct turn_events events = {.started = on_started,
                                       .text = on_text,
                                       .done = on_done,
                                       .failed = on_failed};
    struct stream *s = calloc(1, sizeof *s);
    struct reader *first = NULL;
    struct chat *chat = c->at->api->parts.chat;
    if (s == NULL) return ERR_MEMORY;

    stream_turn_ask(&ask, c->ask, c->call->owner);
    ask.stream = true;
    enum err e = prepare(s, c);
    if (!e) e = replay_read(&first, s->replay, c->at->loop, ready, ctx);
    if (!e && chat_busy(chat, ask.key)) {
        s->slot_later = true; /* the generation starts when the turns before it are over */
    } else if (!e) {
        s->slot = stream_slot_take(c->at->api);
        if (!s->slot) e = ERR_STREAM_LIMIT;
    }
    if (!e) {
        struct turn_events to = events;
        to.ctx = s;
        e = turn_start(&s->turn, chat, c->at->loop, &ask, s->message_id, to, why);
    }
    if (e) {
        if (s->slot) stream_slot_free(c->at->api);
        replay_leave(first);
        replay_drop(s->replay);
        unref(s);
        return e;
    }
    api_turn_begun(s->at);
    s->refs++;
    s->listed = true;
    s->next = s->at->kept;
    if (s->next) s->next->prev = s;
    s->at->kept = s;
    *out = s;
    *reader = first;
    return ERR_NONE;
}

void stream_let_go(struct stream *s)
{
    if (s == NULL) return;
    if (s->slot) stream_slot_free(s->at->api);
    s->slot = s->slot_later = false;
    unref(s);
}

void stream_end_all(struct api_loop *at)
{
    for (struct stream *s = at->kept, *next; s; s = next) {
        next = s->next;
        if (s->turn) {
            cancel(s);
            fail(s, ERR_SHUTTING_DOWN, NULL);
        }
        drop(s);
    }
}

void stream_forget_kept(struct api_loop *at)
{
    for (struct stream *s = at->kept, *next; s; s = next) {
        next = s->next;
        if (s->turn == NULL) drop(s);
    }
}
