#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/limits.h"
#include "http/server_private.h"

/* ---- deadlines ----
 * One timer a connection.  It is only ever moved forward, so a kept connection costs the heap
 * nothing for each request: when it rings early, tick() sets it again. */

static void on_ring(struct timer *t);

void conn_ring_by(struct http_conn *c, uint64_t at_ms)
{
    uint64_t now = loop_now_ms(c->server->loop);

    if (timer_is_set(&c->timer) && c->timer.at_ms <= at_ms) return;
    timer_set(&c->timer, c->server->loop, at_ms > now ? at_ms - now : 0, on_ring);
}

void conn_deadline(struct http_conn *c, uint64_t after_ms)
{
    c->deadline_ms = loop_now_ms(c->server->loop) + after_ms;
    conn_ring_by(c, c->deadline_ms);
}

/* ---- the end of things ---- */

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
    exchange_forget(c);
    buf_fini(&c->in);
    timer_stop(&c->timer);
    server_forget(c);
    if (c->reset && uv_tcp_close_reset(&c->tcp, on_closed) == 0) return;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* The last byte for the client is queued.  Closing at once could take it away again: a reset, which
 * is what a close with unread input sends, makes the client's kernel forget what it received. */
void conn_linger(struct http_conn *c)
{
    c->state = CONN_LINGER;
    c->read_bytes = 0;
    c->began_ms = 0;
    c->deadline_ms = 0;
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
        conn_deadline(c, c->server->times.linger_idle_ms);
    }
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
    size_t used = buf_err(&c->in) ? 0 : exchange_run(c, data);
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
    exchange_check(c);
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
                conn_deadline(c, left < idle ? left : idle);
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
        case CONN_HEAD: exchange_refuse(c, 408); break;
        case CONN_BODY: {
            uint64_t ms = t->body_ms + c->read_bytes / REQUEST_BODY_BYTES_PER_S * 1000;
            if (now - c->began_ms >= ms)
                exchange_fault(c, ERR_TIMEOUT);
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
    if (c->deadline_ms) conn_ring_by(c, c->deadline_ms);
    if (c->out) conn_ring_by(c, now + t->stalled_ms / 8);
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
void conn_new(struct http_server *s, int fd, const char *peer)
{
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return;
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
        return;
    }
    c->newer = s->conns;
    if (c->newer) c->newer->at = &c->newer;
    c->at = &s->conns;
    s->conns = c;
    if (++s->count > s->peak) s->peak = s->count;
    atomic_fetch_add(&s->listen->conns, 1);
    conn_deadline(c, s->times.first_ms);
    set_reading(c);
}
