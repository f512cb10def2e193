#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "conf/limits.h"
#include "http/server_private.h"

static void check(const struct http_conn *c)
{
    if (c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_LINGER)
        assert(!c->has_request);
    if (c->state == CONN_BODY || c->state == CONN_ANSWER) assert(c->has_request || c->answered);
    if (c->state == CONN_SOCKET) assert(c->ws);
}

/* ---- deadlines ----
 * One timer a connection.  It is only ever moved forward, so a kept connection costs the heap
 * nothing for each request: when it rings early, tick() sets it again. */

static void on_ring(struct timer *t);

static void ring_by(struct http_conn *c, uint64_t at_ms)
{
    uint64_t now = loop_now_ms(c->server->loop);

    if (timer_is_set(&c->timer) && c->timer.at_ms <= at_ms) return;
    timer_set(&c->timer, c->server->loop, at_ms > now ? at_ms - now : 0, on_ring);
}

void conn_alarm(struct http_conn *c, uint64_t after_ms)
{
    ring_by(c, loop_now_ms(c->server->loop) + after_ms);
}

static void set_deadline(struct http_conn *c, uint64_t after_ms)
{
    c->deadline_ms = loop_now_ms(c->server->loop) + after_ms;
    ring_by(c, c->deadline_ms);
}

void conn_alarm_off(struct http_conn *c)
{
    c->deadline_ms = 0;
}

/* ---- the end of things ---- */

static void forget_request(struct http_conn *c)
{
    c->has_request = false;
    arena_fini(&c->request.arena);
    buf_fini(&c->body);
    c->extra = NULL;
}

static void on_closed(uv_handle_t *h)
{
    struct http_conn *c = h->data;

    output_free(c);
    free(c);
}

static void tell_gone(struct http_conn *c)
{
    struct request *r = &c->request;

    if (c->ws) {
        websocket_gone(c->ws);
        websocket_free(c->ws);
        c->ws = NULL;
    } else if (c->has_request && !c->answered) {
        response_done(c, true);
        if (r->on_gone) r->on_gone(r);
    }
}

void conn_close(struct http_conn *c)
{
    if (c->state == CONN_CLOSED) return;
    if (c->calling) { /* the app is looking at the request just now */
        c->broken = true;
        server_due(c);
        return;
    }
    c->state = CONN_CLOSED;
    if (c->server->batching == c) buf_clear(&c->server->batch);
    tell_gone(c);
    forget_request(c);
    buf_fini(&c->in);
    timer_stop(&c->timer);
    server_forget(c);
    if (c->reset && uv_tcp_close_reset(&c->tcp, on_closed) == 0) return;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* The last byte for the client is queued.  Closing at once could take it away again: a reset, which
 * is what a close with unread input sends, makes the client's kernel forget what it had received.
 */
void conn_linger(struct http_conn *c)
{
    c->state = CONN_LINGER;
    c->read_bytes = 0;
    c->began_ms = 0;
    conn_alarm_off(c);
    buf_fini(&c->in);
}

static void settle_linger(struct http_conn *c)
{
    if (output_unsent(c) > 0) return;
    if (c->eof || c->reset || (c->server->draining && !c->unread)) {
        conn_close(c);
    } else if (!c->shut) {
        output_shut(c);
        c->began_ms = loop_now_ms(c->server->loop);
        set_deadline(c, c->server->times.linger_idle_ms);
    }
}

static void refuse(struct http_conn *c, int status)
{
    forget_request(c);
    c->unread = true;
    response_refuse(c, status);
    conn_linger(c);
}

/* ---- a request on its way to the app ---- */

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
    forget_request(c);
    c->answered = c->begun = c->stream = c->chunked = c->headless = c->full = false;
    if (c->close || c->server->draining) {
        conn_linger(c);
    } else {
        c->state = CONN_IDLE;
        set_deadline(c, c->server->times.idle_ms);
    }
}

void conn_answered(struct http_conn *c)
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
    conn_alarm_off(c);
    call(c, c->server->app.body);
}

static void fault(struct http_conn *c, enum err e)
{
    c->state = CONN_ANSWER;
    c->close = c->unread = true;
    buf_fini(&c->body);
    conn_alarm_off(c);
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
        fault(c, ERR_LIMIT);
        return;
    }
    c->state = CONN_BODY;
    c->read_bytes = 0;
    c->began_ms = loop_now_ms(c->server->loop);
    buf_init(&c->body, r->body_bytes_max);
    set_deadline(c, c->server->times.body_ms);
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
    conn_alarm_off(c);
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
        set_deadline(c, c->server->times.head_ms);
    }
    enum parsed e = parser_head(p, in);
    if (e == PARSED_MORE) {
        if (!parser_begun(p, in)) { /* an empty line behind the last request is none */
            *used = in.len;
            c->state = CONN_IDLE;
            c->deadline_ms = idle_until_ms;
            if (idle_until_ms) ring_by(c, idle_until_ms);
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
        refuse(c, p->status);
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
    case PARSED_LIMIT: fault(c, ERR_LIMIT); return true;
    case PARSED_BAD:
        /* Its app has seen the head, and learns that nothing will follow. */
        response_done(c, true);
        if (c->request.on_gone) c->request.on_gone(&c->request);
        refuse(c, c->parser.status);
        return true;
    default: return false;
    }
}

static size_t run(struct http_conn *c, str data)
{
    size_t used = 0;

    for (bool again = true; again;) {
        str rest = str_tail(data, used);
        size_t n = 0;
        check(c);
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

/* ---- reading ---- */

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b);

static void on_room(uv_handle_t *h, size_t wish, uv_buf_t *b)
{
    struct http_conn *c = h->data;

    (void)wish;
    *b = uv_buf_init(c->server->input, CLIENT_READ_BYTES);
}

/* Reading goes on while an answer is pending, since that is how a client that left is noticed; it
 * stops when a client sends ahead more than is kept for it. */
static void set_reading(struct http_conn *c)
{
    bool want = !c->eof && c->in.len < REQUEST_PIPELINED_BYTES_MAX;

    if (c->state == CONN_HEAD) want = true; /* the parser knows the limit of a head */
    if (want == c->reading) return;
    c->reading = want;
    if (want)
        uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
    else
        uv_read_stop((uv_stream_t *)&c->tcp);
}

/* Works off what was kept and what just came; answers are gathered and written at the end. */
static void take(struct http_conn *c, str fresh)
{
    struct http_server *s = c->server;
    bool kept = c->in.len > 0;
    str data = fresh;

    if (kept) {
        buf_add(&c->in, fresh);
        data = buf_str(&c->in);
    }
    s->batching = c;
    size_t used = buf_err(&c->in) ? 0 : run(c, data);
    if (c->state != CONN_CLOSED) output_flush(c);
    buf_clear(&s->batch);
    s->batching = NULL;
    if (c->state == CONN_CLOSED || c->state == CONN_LINGER) return;
    if (kept)
        buf_drop(&c->in, used);
    else
        buf_add(&c->in, str_tail(data, used));
    buf_shrink(&c->in);
    if (buf_err(&c->in)) {
        c->broken = true;
        server_due(c);
    }
}

static void settle(struct http_conn *c)
{
    check(c);
    if (c->state == CONN_BODY) assert(c->in.len == 0);
    if (c->state == CONN_LINGER) settle_linger(c);
    if (c->state != CONN_CLOSED) set_reading(c);
}

static void on_end(struct http_conn *c, ssize_t n)
{
    c->eof = true;
    switch (c->state) {
    case CONN_LINGER:
        if (n != UV_EOF) conn_close(c);
        break;
    case CONN_IDLE:
        /* Half-closed behind a complete exchange: what it is owed is still sent. */
        if (n == UV_EOF && output_unsent(c) > 0)
            conn_linger(c);
        else
            conn_close(c);
        break;
    default: conn_close(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct http_conn *c = stream->data;

    if (n == 0) return;
    if (n < 0) {
        on_end(c, n);
    } else {
        c->heard = true;
        take(c, str_span(b->base, (size_t)n));
        if (c->state == CONN_LINGER && c->shut) {
            uint64_t left = c->began_ms + c->server->times.linger_ms - loop_now_ms(c->server->loop);
            if (c->read_bytes > LINGER_BYTES_MAX || left > c->server->times.linger_ms) {
                conn_close(c);
            } else {
                uint64_t idle = c->server->times.linger_idle_ms;
                set_deadline(c, left < idle ? left : idle);
            }
        }
    }
    settle(c);
}

/* ---- what the loop calls ---- */

void conn_turn(struct http_conn *c)
{
    if (c->broken) {
        conn_close(c);
        return;
    }
    if (c->ws) websocket_turn(c->ws);
    if (c->full && output_unsent(c) < STREAM_UNSENT_BYTES_MAX / 2) {
        c->full = false;
        if (c->ws)
            websocket_drained(c->ws);
        else if (c->has_request && c->request.on_drain)
            c->request.on_drain(&c->request);
    }
    if (c->state != CONN_CLOSED && (c->in.len > 0 || c->state == CONN_SOCKET)) take(c, STR_NONE);
    settle(c);
}

static void tick(struct http_conn *c)
{
    struct http_times *t = &c->server->times;
    uint64_t now = loop_now_ms(c->server->loop);

    if (c->out && !output_moves(c) && now - c->taken_ms >= t->stalled_ms) {
        conn_close(c);
        return;
    }
    if (c->deadline_ms && now >= c->deadline_ms) {
        c->deadline_ms = 0;
        switch (c->state) {
        case CONN_IDLE:
            if (c->out == NULL) {
                conn_close(c);
                return;
            }
            c->deadline_ms = now + t->idle_ms; /* counted from when its answers are through */
            break;
        case CONN_HEAD: refuse(c, 408); break;
        case CONN_BODY: {
            uint64_t ms = t->body_ms + c->read_bytes / REQUEST_BODY_BYTES_PER_S * 1000;
            if (now - c->began_ms >= ms)
                fault(c, ERR_TIMEOUT);
            else
                c->deadline_ms = c->began_ms + ms;
            break;
        }
        case CONN_SOCKET: websocket_tick(c->ws); break;
        case CONN_LINGER: conn_close(c); return;
        default: break;
        }
    }
    if (c->state == CONN_CLOSED) return;
    if (c->deadline_ms) ring_by(c, c->deadline_ms);
    if (c->out) conn_alarm(c, t->stalled_ms / 8);
    settle(c);
}

static void on_ring(struct timer *t)
{
    tick(container_of(t, struct http_conn, timer));
}

void conn_drain(struct http_conn *c)
{
    uv_os_fd_t fd;
    char byte;

    c->close = true;
    if (c->state != CONN_IDLE || c->in.len > 0) return;
    if (output_unsent(c) > 0) {
        conn_linger(c);
    } else if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 ||
               recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        conn_close(c); /* unless a request is there that was not read yet */
    }
}

/* Owns fd from here on. */
enum err conn_new(struct http_server *s, int fd, const char *peer)
{
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return ERR_MEMORY;
    }
    c->server = s;
    buf_init(&c->in, REQUEST_LINE_BYTES_MAX + REQUEST_HEAD_BYTES_MAX + REQUEST_PIPELINED_BYTES_MAX +
                         2 * CLIENT_READ_BYTES);
    memcpy(c->peer, peer, sizeof c->peer);
    uv_tcp_init(loop_uv(s->loop), &c->tcp);
    c->tcp.data = c;
    if (uv_tcp_open(&c->tcp, fd) != 0) {
        close(fd);
        c->state = CONN_CLOSED;
        uv_close((uv_handle_t *)&c->tcp, on_closed);
        return ERR_IO;
    }
    c->newer = s->conns;
    if (c->newer) c->newer->at = &c->newer;
    c->at = &s->conns;
    s->conns = c;
    s->count++;
    set_deadline(c, s->times.first_ms);
    set_reading(c);
    return ERR_NONE;
}
