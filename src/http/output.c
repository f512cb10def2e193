#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "conf/limits.h"
#include "http/server_private.h"

/* Bytes go to the kernel at once; what it does not take is copied and follows when it does.  While
 * a connection's input is worked off its answers are gathered, so that pipelined requests share a
 * write. */

static int fd_of(const struct http_conn *c)
{
    uv_os_fd_t fd = -1;
    uv_fileno((const uv_handle_t *)&c->tcp, &fd);
    return fd;
}

static void fail(struct http_conn *c)
{
    c->broken = true;
    server_due(c);
}

/* ---- the queue ---- */

static void on_written(uv_write_t *req, int status);

static void write_next(struct http_conn *c)
{
    struct out *o = c->out;
    struct buf empty = o->now;

    o->now = o->next;
    o->next = empty;
    buf_clear(&o->next);
    buf_shrink(&o->next);
    uv_buf_t b = uv_buf_init(o->now.at, (unsigned)o->now.len);
    if (uv_write(&o->req, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0) fail(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->data;

    if (c->state == CONN_CLOSED) return; /* cancelled; the rest is freed with the connection */
    if (status < 0) {
        c->broken = true;
    } else if (c->out->next.len > 0) {
        write_next(c);
    } else {
        output_free(c);
    }
    conn_turn(c);
}

static void queue(struct http_conn *c, const str *parts, int count)
{
    struct out *o = c->out;
    bool first = o == NULL;

    if (first) {
        o = calloc(1, sizeof *o);
        if (o == NULL) {
            fail(c);
            return;
        }
        o->req.data = c;
        buf_init(&o->now, CLIENT_OUT_BYTES_MAX);
        buf_init(&o->next, CLIENT_OUT_BYTES_MAX);
        c->out = o;
    }
    for (int i = 0; i < count; i++) buf_add(&o->next, parts[i]);
    if (buf_err(&o->next)) {
        fail(c);
    } else if (first) {
        write_next(c);
        c->taken_ms = 0;
        output_moves(c);
        conn_ring_by(c, loop_now_ms(c->server->loop) + c->server->times.stalled_ms / 8);
    }
}

static void send_parts(struct http_conn *c, str *parts, int count)
{
    uv_buf_t bufs[3];
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        bufs[i] = uv_buf_init((char *)parts[i].at, (unsigned)parts[i].len);
        total += parts[i].len;
    }
    if (total == 0 || c->broken || c->state == CONN_CLOSED) return;
    c->sent_bytes += total;
    if (c->out == NULL) {
        int n = uv_try_write((uv_stream_t *)&c->tcp, bufs, (unsigned)count);
        if (n < 0 && n != UV_EAGAIN) {
            fail(c);
            return;
        }
        size_t sent = n > 0 ? (size_t)n : 0;
        if (sent == total) return;
        for (int i = 0; i < count; i++) {
            size_t skip = sent < parts[i].len ? sent : parts[i].len;
            parts[i] = str_tail(parts[i], skip);
            sent -= skip;
        }
    }
    queue(c, parts, count);
}

/* ---- for the others ---- */

struct buf *output_begin(struct http_conn *c)
{
    if (c->server->batching == c) return &c->server->batch;
    buf_clear(&c->server->scratch);
    return &c->server->scratch;
}

void output_end(struct http_conn *c, str more, str last)
{
    struct http_server *s = c->server;
    struct buf *b = s->batching == c ? &s->batch : &s->scratch;
    str parts[3] = {{NULL, 0}, more, last};

    if (b == &s->batch && more.len < ANSWERS_AT_ONCE_BYTES) {
        buf_add(b, more);
        buf_add(b, last);
        parts[1] = parts[2] = STR_NONE;
    }
    if (buf_err(b)) {
        fail(c);
    } else if (b == &s->scratch || parts[1].len > 0 || b->len >= ANSWERS_AT_ONCE_BYTES) {
        parts[0] = buf_str(b);
        int from = parts[0].len ? 0 : 1, to = parts[2].len ? 3 : parts[1].len ? 2 : 1;
        if (to > from) send_parts(c, parts + from, to - from);
        buf_clear(b);
    }
}

void output_flush(struct http_conn *c)
{
    struct buf *b = &c->server->batch;
    str part = buf_str(b);

    if (buf_err(b)) fail(c);
    if (part.len > 0) send_parts(c, &part, 1);
    buf_clear(b);
    if (b->cap > 4 * ANSWERS_AT_ONCE_BYTES) buf_shrink(b);
}

size_t output_unsent(const struct http_conn *c)
{
    size_t n = c->server->batching == c ? c->server->batch.len : 0;

    if (c->out)
        n += uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) + c->out->next.len;
    return n;
}

size_t output_in_kernel(const struct http_conn *c)
{
    int n = 0;
    return ioctl(fd_of(c), SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

bool output_moves(struct http_conn *c)
{
    uint64_t waiting = output_unsent(c) + output_in_kernel(c);
    uint64_t taken = c->sent_bytes > waiting ? c->sent_bytes - waiting : 0;

    if (c->taken_ms && taken <= c->taken_bytes) return false;
    c->taken_bytes = taken;
    c->taken_ms = loop_now_ms(c->server->loop);
    return true;
}

void output_shut(struct http_conn *c)
{
    c->shut = true;
    shutdown(fd_of(c), SHUT_WR);
}

void output_free(struct http_conn *c)
{
    if (c->out == NULL) return;
    buf_fini(&c->out->now);
    buf_fini(&c->out->next);
    free(c->out);
    c->out = NULL;
}
