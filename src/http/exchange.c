#include <assert.h>

#include "base/clock.h"
#include "base/rand.h"
#include "conf/limits.h"
#include "http/server_private.h"

/* From the bytes of a connection to its requests, one at a time, and from each to the app. */

void exchange_check(const struct http_conn *c)
{
    if (c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_LINGER)
        assert(!c->has_request);
    if (c->state == CONN_BODY || c->state == CONN_ANSWER) assert(c->has_request || c->answered);
    if (c->state == CONN_SOCKET) assert(c->ws);
}

/* ---- a request on its way to the app, and its end ---- */

void exchange_forget(struct http_conn *c)
{
    c->has_request = false;
    arena_fini(&c->request.arena);
    buf_fini(&c->body);
    c->extra = NULL;
}

void exchange_refuse(struct http_conn *c, int status)
{
    exchange_forget(c);
    c->unread = true;
    response_refuse(c, status);
    conn_linger(c);
}

static void choose_id(struct request *r)
{
    static const char hex[] = "0123456789abcdef";
    str theirs = headers_get(&r->headers, STR("x-request-id"));
    bool fine = theirs.len >= 1 && theirs.len <= 128;

    for (size_t i = 0; fine && i < theirs.len; i++) {
        char ch = theirs.at[i];
        fine = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
               ch == '.' || ch == '_' || ch == '-';
    }
    if (fine) {
        memcpy(r->id, theirs.at, theirs.len);
        r->id[theirs.len] = '\0';
    } else {
        unsigned char bytes[16];
        rand_bytes(bytes, sizeof bytes);
        for (int i = 0; i < 32; i++) r->id[i] = hex[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
        r->id[32] = '\0';
    }
}

/* The answer is complete: the connection is for the next request, or it ends. */
static void next_request(struct http_conn *c)
{
    exchange_forget(c);
    c->answered = c->begun = c->stream = c->chunked = c->headless = c->full = c->say_kept = false;
    if (c->close || c->server->draining) {
        conn_linger(c);
    } else {
        c->state = CONN_IDLE;
        conn_deadline(c, c->server->times.idle_ms);
    }
}

void exchange_answered(struct http_conn *c)
{
    c->answered = true;
    if (c->calling) return;
    next_request(c);
    /* To go on with what waits, but not from inside the app's call. */
    if (c->state == CONN_LINGER || c->in.len > 0) server_due(c);
}

static void call(struct http_conn *c, void (*fn)(void *ctx, struct request *r))
{
    c->calling = true;
    fn(c->server->app.ctx, &c->request);
    c->calling = false;
    if (c->answered) next_request(c);
}

static void call_body(struct http_conn *c)
{
    c->state = CONN_ANSWER;
    c->request.body = buf_str(&c->body);
    call(c, c->server->app.body);
}

void exchange_fault(struct http_conn *c, enum err e)
{
    c->state = CONN_ANSWER;
    c->close = c->unread = true;
    buf_fini(&c->body);
    c->calling = true;
    c->server->app.fault(c->server->app.ctx, &c->request, e);
    c->calling = false;
    if (c->answered) next_request(c);
}

static void begin_body(struct http_conn *c)
{
    struct request *r = &c->request;
    struct parser *p = &c->parser;

    if (r->body_bytes_max == 0 || (!p->chunked && p->body_left > r->body_bytes_max)) {
        exchange_fault(c, ERR_LIMIT);
        return;
    }
    c->state = CONN_BODY;
    c->read_bytes = 0;
    c->began_ms = loop_now_ms(c->server->loop);
    buf_init(&c->body, r->body_bytes_max);
    conn_deadline(c, c->server->times.body_ms);
    if (p->expects) {
        output_begin(c);
        output_end(c, STR("HTTP/1.1 100 Continue\r\n\r\n"), STR_NONE);
    }
}

static void begin_request(struct http_conn *c)
{
    struct request *r = &c->request;
    bool has_body = parser_has_body(&c->parser);

    choose_id(r);
    r->conn = c;
    r->peer = str_of(c->peer);
    c->has_request = true;
    c->state = CONN_ANSWER;
    /* An answer given in head() leaves the body unread, and says so. */
    c->close = !c->parser.keep_alive || has_body;
    c->unread = has_body;
    call(c, c->server->app.head);
    if (c->state != CONN_ANSWER || c->begun) return;
    c->close = !c->parser.keep_alive;
    c->unread = false;
    if (has_body)
        begin_body(c);
    else
        call_body(c);
}

/* ---- using up what came ----
 * Each takes what it can of `in`, says how much, and whether there is more to do. */

static bool run_head(struct http_conn *c, str in, size_t *used)
{
    struct parser *p = &c->parser;
    struct request *r = &c->request;
    uint64_t idle_until_ms = c->deadline_ms;

    if (in.len == 0) return false;
    if (c->state == CONN_IDLE) {
        /* Who does not read answers gets no more of them. */
        if (output_unsent(c) > STREAM_UNSENT_BYTES_MAX) return false;
        parser_init(p);
        *r = (struct request){.started_us = clock_mono_us()};
        c->state = CONN_HEAD;
        conn_deadline(c, c->server->times.head_ms);
    }
    enum parsed e = parser_head(p, in);
    if (e == PARSED_MORE) {
        if (!parser_begun(p, in)) { /* an empty line behind the last request is none */
            *used = in.len;
            c->state = CONN_IDLE;
            c->deadline_ms = idle_until_ms;
            if (idle_until_ms) conn_ring_by(c, idle_until_ms);
        }
        return false;
    }
    if (e == PARSED_DONE) {
        *used = p->head_bytes;
        str head = str_span(in.at + p->line_at, p->head_bytes - p->line_at);
        arena_init(&r->arena, 0);
        e = parser_request(p, r, arena_str(&r->arena, head));
    }
    if (e == PARSED_BAD)
        exchange_refuse(c, p->status);
    else
        begin_request(c);
    return true;
}

static bool run_body(struct http_conn *c, str in, size_t *used)
{
    enum parsed e = parser_body(&c->parser, in, c->request.body_bytes_max, &c->body, used);

    c->read_bytes += *used;
    switch (e) {
    case PARSED_DONE: call_body(c); return true;
    case PARSED_LIMIT: exchange_fault(c, ERR_LIMIT); return true;
    case PARSED_BAD:
        /* Its app has seen the head, and learns that nothing will follow. */
        response_done(c, true);
        if (c->request.on_gone) c->request.on_gone(&c->request);
        exchange_refuse(c, c->parser.status);
        return true;
    default: return false;
    }
}

size_t exchange_run(struct http_conn *c, str data)
{
    size_t used = 0;

    for (bool again = true; again;) {
        str rest = str_tail(data, used);
        size_t n = 0;
        exchange_check(c);
        switch (c->state) {
        case CONN_IDLE:
        case CONN_HEAD: again = run_head(c, rest, &n); break;
        case CONN_BODY: again = run_body(c, rest, &n); break;
        case CONN_ANSWER: again = false; break;
        case CONN_SOCKET:
            n = websocket_take(c->ws, rest);
            again = c->state != CONN_SOCKET;
            break;
        case CONN_LINGER: c->read_bytes += rest.len; return data.len;
        case CONN_CLOSED: return data.len;
        }
        used += n;
    }
    return used;
}
