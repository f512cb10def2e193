/* GET /api/v1/chat/stream (http-api.md section 6): server-sent events, and coming back for the
 * rest. */
#include "api/chat_stream.h"

#include <stdlib.h>

#include "api/errors.h"
#include "api/inside.h"
#include "api/stream.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "conf/limits.h"

enum { WRITE_BYTES = 64 * 1024 }; /* at a time, so that one rendering stays small */

struct sse {
    struct call *call;
    struct reader *reader;
    struct stream *stream; /* NULL for one that came back */
    struct timer ping, delay;
    int64_t last_id; /* of what went out; -1: nothing */
    bool blocked;    /* the client reads too slowly: until on_drain */
};

static void sse_free(struct sse *s)
{
    timer_stop(&s->ping);
    timer_stop(&s->delay);
    replay_leave(s->reader);
    stream_let_go(s->stream);
    free(s);
}

static void on_gone(struct call *c)
{
    sse_free(c->own);
}

static void finish(struct sse *s)
{
    struct call *c = s->call;

    call_waited(c);
    sse_free(s);
    response_end(c->r);
}

static void abandon(struct sse *s)
{
    struct call *c = s->call;

    call_waited(c);
    sse_free(s);
    response_abort(c->r);
}

static void put(struct sse *s, str bytes)
{
    s->blocked = response_write(s->call->r, bytes) > STREAM_UNSENT_BYTES_MAX;
}

static void render_id(struct buf *to, const char *message_id, int64_t id)
{
    buf_addf(to, "id: %s:%lld\r\n", message_id, (long long)id);
}

static void render(void *ctx, struct buf *to, const struct replay_event *e)
{
    struct sse *s = ctx;

    s->last_id = e->id;
    render_id(to, replay_message_id(s->reader), e->id);
    buf_add(to, e->kind == REPLAY_ERROR ? STR("event: error\r\ndata: ")
                                        : STR("event: chunk\r\ndata: "));
    buf_add(to, e->json);
    buf_add(to, STR("\r\n\r\n"));
    if (e->kind == REPLAY_FINAL)
        buf_add(to, STR("event: done\r\ndata: {\"message\":\"Stream completed\"}\r\n\r\n"));
}

static bool pump(struct sse *s);

static void on_delay(struct timer *t)
{
    pump(container_of(t, struct sse, delay));
}

/* What there is, as far as the client takes it.  False when that was the end: `s` is gone. */
static bool pump(struct sse *s)
{
    struct buf *out = &s->call->at->out;
    uint64_t delay_ms = s->call->at->ended ? 0 : (uint64_t)s->call->api->conf->stream_delay_ms;
    enum replay_took took = REPLAY_TOOK_SOME;

    while (took == REPLAY_TOOK_SOME && !s->blocked && !timer_is_set(&s->delay)) {
        buf_clear(out);
        took = replay_take(s->reader, out, WRITE_BYTES, delay_ms ? 1 : SIZE_MAX, render);
        if (out->bad) {
            abandon(s);
            return false;
        }
        bool any = out->len > 0;
        if (any) put(s, buf_str(out));
        if (took == REPLAY_TOOK_LAST) {
            finish(s);
            return false;
        }
        if (any && delay_ms) timer_set(&s->delay, s->call->at->loop, delay_ms, on_delay);
    }
    return true;
}

/* SHUTDOWN_TIMEOUT.  The answer may live on another loop, which has not come to its end yet. */
static void on_end(struct call *c)
{
    struct sse *s = c->own;
    struct failure f;
    struct buf *event = &c->at->event, *out = &c->at->out;

    timer_stop(&s->delay);
    if (!s->blocked && !pump(s)) return;
    if (s->blocked) {
        abandon(s); /* its error event waits behind what the client has not read */
        return;
    }
    errors_of_turn(&f, ERR_SHUTTING_DOWN, NULL);
    buf_clear(event);
    errors_event(event, f.event, f.code);
    buf_clear(out);
    render_id(out, replay_message_id(s->reader), s->last_id + 1);
    buf_addf(out, "event: error\r\ndata: %.*s\r\n\r\n", STR_ARG(buf_str(event)));
    put(s, buf_str(out));
    finish(s);
}

static void on_ready(void *ctx)
{
    pump(ctx);
}

static void on_drain(struct call *c)
{
    struct sse *s = c->own;

    s->blocked = false;
    pump(s);
}

static void on_ping(struct timer *t)
{
    struct sse *s = container_of(t, struct sse, ping);
    char now[CLOCK_ISO_BYTES];
    struct buf *out = &s->call->at->out;

    timer_set(t, s->call->at->loop, (uint64_t)s->call->api->conf->sse_ping_interval_ms, on_ping);
    if (s->blocked) return;
    clock_iso(now, clock_wall_us());
    buf_clear(out);
    buf_addf(out, ": ping - %.10s %.15s+00:00\r\n\r\n", now, now + 11);
    put(s, buf_str(out));
}

static void head(struct call *c)
{
    struct request *r = c->r;

    call_dress(c);
    response_header(r, "Cache-Control", STR("no-store"));
    response_header(r, "Connection", STR("keep-alive"));
    response_header(r, "X-Accel-Buffering", STR("no"));
    response_stream(r, 200, "text/event-stream; charset=utf-8");
}

/* An answer that never begins: the head, and the reason as its only event. */
static void refuse(struct call *c, enum err e, const struct err_note *why)
{
    struct failure f;
    struct buf *event = &c->at->event, *out = &c->at->out;
    char message_id[RAND_UUID_BYTES];

    errors_of_turn(&f, e, why);
    if (e == ERR_STREAM_LIMIT) {
        f.code = err_row(e)->code;
        f.event = c->api->streams_text;
    }
    rand_uuid(message_id);
    buf_clear(event);
    errors_event(event, f.event, f.code);
    buf_clear(out);
    render_id(out, message_id, -1);
    buf_add(out, STR("\r\n"));
    render_id(out, message_id, 0);
    buf_addf(out, "event: error\r\ndata: %.*s\r\n\r\n", STR_ARG(buf_str(event)));
    head(c);
    response_write(c->r, buf_str(out));
    response_end(c->r);
}

static void begin(struct sse *s, struct call *c, int64_t last_id)
{
    s->call = c;
    s->last_id = last_id;
    call_wait(c, s, on_gone, on_end);
    c->drain = on_drain;
    head(c);
    timer_set(&s->ping, c->at->loop, (uint64_t)c->api->conf->sse_ping_interval_ms, on_ping);
}

static uint64_t window_ms(const struct conf *conf, const struct chat_request *ask)
{
    int64_t most_s = conf->resume_window_max_ms / 1000;

    if (ask->resume_window < 0) return (uint64_t)conf->resume_window_ms;
    return (uint64_t)(ask->resume_window < most_s ? ask->resume_window : most_s) * 1000;
}

void chat_stream_answer(struct call *c, const struct chat_request *ask)
{
    struct err_note why = {0};
    struct sse *s = calloc(1, sizeof *s);
    const struct stream_conf conf = {
        .at = c->at,
        .call = c,
        .ask = ask,
        .resumable = true,
        .window_ms = window_ms(c->api->conf, ask),
        .log_failed = "streaming_error",
    };
    enum err e = s == NULL         ? ERR_MEMORY
                 : c->at->draining ? ERR_SHUTTING_DOWN
                                   : stream_start(&s->stream, &s->reader, &conf, on_ready, s, &why);
    if (e) {
        free(s);
        log_event(err_row(e)->level, "chat", "stream_setup_failed",
                  LOG_CSTR("error", err_text(&why, e)), LOG_CSTR("code", err_row(e)->code),
                  LOG_STR("session_id", ask->session_id));
        if (e == ERR_SESSION_BUSY)
            call_fail_turn(c, e, &why, NULL);
        else
            refuse(c, e, &why);
        return;
    }
    struct buf *out = &c->at->out;
    buf_clear(out);
    render_id(out, stream_message_id(s->stream), -1);
    buf_add(out, STR("\r\n"));
    begin(s, c, -1);
    put(s, buf_str(out));
}

/* "<message_id>:<chunk_id>"; false when it is nothing that we ever gave out. */
static bool event_id(str text, str *message_id, int64_t *chunk_id)
{
    uint64_t n;

    if (text.len < 38 || text.at[36] != ':') return false;
    *message_id = str_head(text, 36);
    text = str_tail(text, 37);
    *chunk_id = -1;
    if (str_eq(text, STR("-1"))) return true;
    if (!str_to_u64(text, &n) || n > INT64_MAX - 1) return false;
    *chunk_id = (int64_t)n;
    return true;
}

static void resume(struct call *c, const struct chat_request *ask, str last)
{
    struct sse *s = calloc(1, sizeof *s);
    str message_id;
    int64_t after;

    if (s == NULL) {
        call_out_of_memory(c);
        return;
    }
    enum err e = ERR_NOT_FOUND;
    if (event_id(last, &message_id, &after))
        e = replay_resume(&s->reader, c->api->replays, message_id, after, c->owner, ask->session_id,
                          c->at->loop, on_ready, s);
    if (e) {
        free(s);
        response_header(c->r, "Cache-Control", STR("no-store"));
        if (e == ERR_MEMORY)
            call_out_of_memory(c);
        else
            call_send(c, 204, NULL, STR("")); /* ends a browser's automatic retries */
        return;
    }
    begin(s, c, after);
    pump(s);
}

void chat_stream_get(struct call *c)
{
    struct chat_request ask;
    struct complaints list;
    str last = headers_get(&c->r->headers, STR("Last-Event-ID"));

    if (!c->api->conf->enable_streaming) {
        call_fail(c, 404, "streaming_disabled", STR("Streaming not enabled"));
        return;
    }
    chat_request_init(&ask);
    complaints_init(&list);
    /* The header is newer: a browser that lost its connection again repeats the first address. */
    if (last.len == 0) last = query_get(&c->query, STR("last_event_id"));
    size_t skip = last.len ? 1 : 0; /* a resumed stream's message is ignored */
    enum err e = validate_query(chat_fields + skip, chat_fields_count - skip, &c->query, &ask,
                                &c->r->arena, &list);
    if (e == ERR_MEMORY) {
        call_out_of_memory(c);
    } else if (e) {
        json_end_array(&list.out);
        call_fail_list(c, 422, "validation_error", buf_str(&list.json));
    } else if (last.len) {
        resume(c, &ask, last);
    } else if (call_within_limit(c)) {
        chat_stream_answer(c, &ask);
    }
    complaints_fini(&list);
}
