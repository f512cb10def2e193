/* /api/v1/chat/ws (http-api.md section 7): messages in, one answer at a time, in order. */
#include <stdlib.h>

#include "api/errors.h"
#include "api/inside.h"
#include "api/stream.h"
#include "api/ws.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/limits.h"

enum { FRAME_BYTES_MAX = 2 << 20 };

struct waiting {
    struct waiting *next;
    size_t len;
    char text[];
};

struct ws_conn {
    struct call *call; /* of the handshake: lives until the end */
    struct api_loop *at;
    struct websocket *ws;
    struct ws_conn *next, *prev;
    struct reader *reader; /* of the answer that is being given; NULL: none */
    struct stream *stream;
    struct timer delay;
    struct waiting *first, *last;
    size_t count;
    bool blocked;  /* the client reads too slowly */
    bool closing;  /* ws_close was called, or it is closed */
    char *session; /* of the last message, for the log */
    size_t session_len;
};

static void go_on(struct ws_conn *w);

/* ---- the end ---- */

static void ws_free(struct ws_conn *w)
{
    while (w->first) {
        struct waiting *m = w->first;
        w->first = m->next;
        free(m);
    }
    free(w->session);
    free(w);
}

static void answer_over(struct ws_conn *w)
{
    timer_stop(&w->delay);
    replay_leave(w->reader);
    stream_let_go(w->stream);
    w->reader = NULL;
    w->stream = NULL;
}

static void on_closed(void *ctx, struct websocket *ws)
{
    struct ws_conn *w = ctx;

    w->closing = true;
    answer_over(w);
    *(w->prev ? &w->prev->next : &w->at->conns) = w->next;
    if (w->next) w->next->prev = w->prev;
    gauge_add(&w->at->api->websockets, -1);
    log_event(LEVEL_INFO, "chat", "websocket_disconnected",
              LOG_STR("session_id", str_span(w->session, w->session_len)));
    ws_free(w);
}

static void close_it(struct ws_conn *w, int code, str reason)
{
    if (w->closing) return;
    w->closing = true;
    answer_over(w);
    ws_close(w->ws, code, reason);
}

static void put(struct ws_conn *w, str frame)
{
    if (!w->closing) w->blocked = ws_send(w->ws, frame) > STREAM_UNSENT_BYTES_MAX;
}

/* ---- frames ---- */

static void put_error(struct ws_conn *w, const char *text, const char *code, str detail)
{
    struct buf frame;

    buf_init(&frame, FRAME_BYTES_MAX);
    struct json_out o = json_begin(&frame);
    json_object(&o);
    json_key(&o, "type"), json_text(&o, STR("error"));
    json_key(&o, "error"), json_text(&o, str_of(text));
    if (code) json_key(&o, "code"), json_text(&o, str_of(code));
    if (detail.at) json_key(&o, "detail"), json_raw(&o, detail);
    json_end_object(&o);
    if (frame.bad)
        close_it(w, 1011, STR("Out of memory"));
    else
        put(w, buf_str(&frame));
    buf_fini(&frame);
}

static void render(void *ctx, struct buf *to, const struct replay_event *e)
{
    buf_add(to,
            e->kind == REPLAY_ERROR ? STR("{\"type\":\"error\",") : STR("{\"type\":\"chunk\","));
    buf_add(to, str_tail(e->json, 1));
}

static void pump(struct ws_conn *w);

static void on_delay(struct timer *t)
{
    pump(container_of(t, struct ws_conn, delay));
}

static void pump(struct ws_conn *w)
{
    struct buf *out = &w->at->out;
    uint64_t delay_ms = w->at->ended ? 0 : (uint64_t)w->at->api->conf->stream_delay_ms;
    enum replay_took took = REPLAY_TOOK_SOME;

    while (took == REPLAY_TOOK_SOME && w->reader && !w->blocked && !timer_is_set(&w->delay)) {
        buf_clear(out);
        took = replay_take(w->reader, out, SIZE_MAX, 1, render);
        if (out->bad) {
            close_it(w, 1011, STR("Out of memory"));
            return;
        }
        bool any = out->len > 0;
        if (any) put(w, buf_str(out));
        if (took == REPLAY_TOOK_LAST) {
            answer_over(w);
            go_on(w);
            return;
        }
        if (any && delay_ms) timer_set(&w->delay, w->at->loop, delay_ms, on_delay);
    }
}

static void on_ready(void *ctx)
{
    pump(ctx);
}

static void on_drain(void *ctx, struct websocket *ws)
{
    struct ws_conn *w = ctx;

    w->blocked = false;
    if (w->reader) pump(w);
}

/* ---- messages ---- */

static bool is_blank(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || (yyjson_is_str(v) && yyjson_get_len(v) == 0);
}

static void refuse_invalid(struct ws_conn *w, struct complaints *list)
{
    json_end_array(&list->out);
    put_error(w, "Invalid request", NULL, list->json.bad ? STR("[]") : buf_str(&list->json));
}

static void remember_session(struct ws_conn *w, str session)
{
    char *copy = malloc(session.len + 1);
    if (copy == NULL) return;
    memcpy(copy, session.at, session.len);
    free(w->session);
    w->session = copy;
    w->session_len = session.len;
}

static void start(struct ws_conn *w, const struct chat_request *ask)
{
    struct err_note why = {0};
    struct failure f;
    struct limit_verdict verdict;
    const struct stream_conf conf = {
        .at = w->at,
        .call = w->call,
        .ask = ask,
        .log_failed = "websocket_generation_error",
    };

    if (!call_take(w->call, &verdict)) {
        put_error(w, w->at->api->rate_text, NULL, STR_NONE);
        return;
    }
    remember_session(w, ask->session_id);
    enum err e = w->at->draining ? ERR_SHUTTING_DOWN
                                 : stream_start(&w->stream, &w->reader, &conf, on_ready, w, &why);
    if (e == ERR_NONE) return;

    errors_of_turn(&f, e, &why);
    if (e == ERR_STREAM_LIMIT) {
        f.code = err_row(e)->code;
        f.event = w->at->api->streams_text;
    }
    log_event(err_row(e)->level, "chat", "websocket_error", LOG_CSTR("error", err_text(&why, e)),
              LOG_CSTR("code", f.code), LOG_STR("session_id", ask->session_id));
    put_error(w, f.event, f.code, STR_NONE);
}

static void check_and_start(struct ws_conn *w, yyjson_val *root, struct arena *a,
                            struct complaints *list)
{
    struct chat_request ask;
    yyjson_val *images = json_get(root, "images");

    if (is_blank(json_get(root, "message")) || is_blank(json_get(root, "session_id"))) {
        put_error(w, "Message and session_id are required", NULL, STR_NONE);
        return;
    }
    chat_request_init(&ask);
    enum err e = validate_object(chat_fields, chat_fields_count, IN_FRAME, root, &ask, a, list);
    if (images && !yyjson_is_null(images)) {
        const struct complaint what = {"value_error",
                                       "body",
                                       "images",
                                       -1,
                                       "A WebSocket takes no images, POST /api/v1/chat does",
                                       NULL};
        complain(list, &what, images, STR_NONE);
        if (e == ERR_NONE) e = ERR_INVALID;
    }
    if (e == ERR_MEMORY)
        put_error(w, "Model not available", err_row(e)->code, STR_NONE);
    else if (e)
        refuse_invalid(w, list);
    else
        start(w, &ask);
}

/* One message, whole. */
static void take_message(struct ws_conn *w, str text)
{
    struct complaints list;
    struct arena a;
    yyjson_doc *doc = NULL;

    if (clock_wall_us() / 1000000 >= w->call->who.until_s) {
        close_it(w, 1008, STR("Credentials have expired"));
        return;
    }
    complaints_init(&list);
    arena_init(&a, 0);
    switch (validate_json(&doc, text, &list)) {
    case BODY_FINE: check_and_start(w, yyjson_doc_get_root(doc), &a, &list); break;
    case BODY_INVALID: refuse_invalid(w, &list); break;
    case BODY_UNREADABLE:
        put_error(w, "Invalid request", NULL,
                  STR("[{\"type\":\"json_invalid\",\"loc\":[\"body\",0],"
                      "\"msg\":\"JSON decode error\",\"input\":{},"
                      "\"ctx\":{\"error\":\"Expecting value\"}}]"));
        break;
    default: put_error(w, "Model not available", err_row(ERR_MEMORY)->code, STR_NONE); break;
    }
    yyjson_doc_free(doc);
    arena_fini(&a);
    complaints_fini(&list);
}

/* The next message that waits; at the server's stop: the end. */
static void go_on(struct ws_conn *w)
{
    while (w->reader == NULL && !w->closing) {
        if (w->at->draining) {
            close_it(w, 1001, STR("Server is shutting down"));
            return;
        }
        struct waiting *m = w->first;
        if (m == NULL) return;
        w->first = m->next;
        w->count--;
        take_message(w, str_span(m->text, m->len));
        free(m);
    }
}

static void on_message(void *ctx, struct websocket *ws, bool text, str message)
{
    struct ws_conn *w = ctx;

    if (w->closing) return;
    if (w->reader == NULL && w->first == NULL) {
        take_message(w, message);
        return;
    }
    struct waiting *m = w->count < WS_WAITING_MAX ? malloc(sizeof *m + message.len) : NULL;
    if (m == NULL) {
        log_event(LEVEL_INFO, "chat", "websocket_error",
                  LOG_CSTR("error", "too many messages wait"),
                  LOG_STR("session_id", str_span(w->session, w->session_len)));
        close_it(w, 1008, STR("Too many messages wait"));
        return;
    }
    m->next = NULL;
    m->len = message.len;
    if (message.len) memcpy(m->text, message.at, message.len);
    *(w->first ? &w->last->next : &w->first) = m;
    w->last = m;
    w->count++;
}

/* ---- the handshake, and the server's stop ---- */

void chat_ws_get(struct call *c)
{
    struct ws_conn *w;

    if (!c->api->conf->enable_streaming) {
        call_fail(c, 404, "streaming_disabled", STR("Streaming not enabled"));
        return;
    }
    if (c->at->draining) {
        call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
        return;
    }
    w = calloc(1, sizeof *w);
    if (w == NULL) {
        call_out_of_memory(c);
        return;
    }
    w->call = c;
    w->at = c->at;
    call_dress(c);
    const struct ws_app app = {.ctx = w,
                               .message = on_message,
                               .drain = on_drain,
                               .closed = on_closed};
    ws_accept(&w->ws, c->r, app);
    if (w->ws == NULL) { /* no memory: it is answered */
        free(w);
        return;
    }
    w->next = c->at->conns;
    if (w->next) w->next->prev = w;
    c->at->conns = w;
    gauge_add(&c->api->websockets, 1);
}

void ws_drain_all(struct api_loop *at)
{
    for (struct ws_conn *w = at->conns, *next; w; w = next) {
        next = w->next;
        go_on(w);
    }
}

void ws_end_all(struct api_loop *at)
{
    for (struct ws_conn *w = at->conns, *next; w; w = next) {
        next = w->next;
        timer_stop(&w->delay);
        if (w->reader && !w->blocked) pump(w);
        /* Still there: its error frame waits behind what the client has not read. */
        if (w->reader) answer_over(w);
        go_on(w);
    }
}
