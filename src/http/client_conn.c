/* One connection to a provider: through a proxy if there is one, TLS if the address says so, then
 * one request and one answer after the other. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/client_in.h"

enum { WRITE_BYTES = 256 * 1024 }; /* handed to libuv at a time, so that progress shows */

/* ---- writing ---- */

struct write {
    uv_write_t req;
    struct client_block *block; /* released when written */
    char *own;                  /* or freed */
};

static void pump(struct client_conn *c);

static void on_written(uv_write_t *req, int status)
{
    struct write *w = container_of(req, struct write, req);
    struct client_conn *c = container_of(req->handle, struct client_conn, tcp);

    client_block_release(w->block);
    free(w->own);
    free(w);
    c->writes--;
    /* A failure shows again on the reading side, together with what the other side said before. */
    if (c->state == CONN_CLOSED || status < 0) return;
    if (c->call) client_call_moved(c->call);
    if (c->state == CONN_OPEN && c->block && c->writes == 0) pump(c);
}

/* Takes what it cannot write at once into libuv's queue.  False: memory is out. */
static bool enqueue(struct client_conn *c, str bytes, struct client_block *block)
{
    struct write *w = calloc(1, sizeof *w);
    if (w == NULL) return false;
    if (block) {
        block->refs++;
        w->block = block;
    } else {
        w->own = malloc(bytes.len);
        if (w->own == NULL) {
            free(w);
            return false;
        }
        memcpy(w->own, bytes.at, bytes.len);
        bytes.at = w->own;
    }
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes.at, (unsigned)bytes.len);
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0) {
        client_block_release(w->block);
        free(w->own);
        free(w);
        return true; /* a broken connection, which reading tells */
    }
    c->writes++;
    return true;
}

/* The connection is unusable and nobody may be told now: its call hears of it in the next turn. */
static void break_later(struct client_conn *c, enum err e)
{
    if (c->e) return;
    c->e = e;
    if (c->call) client_call_broken(c->call);
}

static void send_bytes(struct client_conn *c, str bytes)
{
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes.at, (unsigned)bytes.len);
    int n = c->writes ? UV_EAGAIN : uv_try_write((uv_stream_t *)&c->tcp, &b, 1);

    if (n < 0 && n != UV_EAGAIN) return; /* reading tells */
    bytes = str_tail(bytes, n > 0 ? (size_t)n : 0);
    if (bytes.len && !enqueue(c, bytes, NULL)) break_later(c, ERR_MEMORY);
}

static void flush_tls(struct client_conn *c)
{
    struct buf *out = &c->client->out;

    if (out->bad) break_later(c, ERR_MEMORY);
    if (out->len && c->state != CONN_CLOSED) send_bytes(c, buf_str(out));
    buf_clear(out);
}

static void pump_plain(struct client_conn *c)
{
    while (c->sent < c->block->len && c->writes == 0) {
        str rest = str_span(c->block->at + c->sent, c->block->len - c->sent);
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)rest.at,
                                 (unsigned)(rest.len < WRITE_BYTES ? rest.len : WRITE_BYTES));
        int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
        if (n == UV_EAGAIN) {
            if (!enqueue(c, str_span(b.base, b.len), c->block)) break_later(c, ERR_MEMORY);
            c->sent += b.len;
            return;
        }
        if (n < 0) return; /* reading tells */
        c->sent += (size_t)n;
    }
}

static void pump_tls(struct client_conn *c)
{
    while (c->sent < c->block->len && c->writes == 0 && !c->e) {
        str rest = str_span(c->block->at + c->sent, c->block->len - c->sent);
        str piece = str_head(rest, TLS_RECORD_BYTES);
        enum err e = tls_write(c->tls, piece, &c->client->out, &c->client->why);
        flush_tls(c);
        if (e) {
            break_later(c, e);
            return;
        }
        c->sent += piece.len;
    }
}

static void pump(struct client_conn *c)
{
    if (c->tls)
        pump_tls(c);
    else
        pump_plain(c);
}

static bool all_sent(const struct client_conn *c)
{
    return c->block == NULL || (c->sent == c->block->len && c->writes == 0);
}

/* A request of megabytes need not be kept while its answer streams. */
static void release_request(struct client_conn *c)
{
    if (c->block == NULL || !all_sent(c) || !c->call->got_byte) return;
    client_block_release(c->block);
    c->block = NULL;
    client_block_release(c->call->block);
    c->call->block = NULL;
}

void client_conn_send(struct client_conn *c)
{
    c->block = c->call->block;
    c->block->refs++;
    c->sent = 0;
    c->e = ERR_NONE;
    client_parse_begin(c);
    pump(c);
}

void client_conn_say(struct client_conn *c, str bytes)
{
    if (c->state != CONN_OPEN || !c->switched || c->e) return;
    if (c->tls == NULL) {
        send_bytes(c, bytes);
        return;
    }
    for (; bytes.len && !c->e; bytes = str_tail(bytes, TLS_RECORD_BYTES)) {
        enum err e =
            tls_write(c->tls, str_head(bytes, TLS_RECORD_BYTES), &c->client->out, &c->client->why);
        flush_tls(c);
        if (e) break_later(c, e);
    }
}

/* ---- reading ---- */

static void lost(struct client_conn *c, int status)
{
    struct err_note why = {0};
    const char *when = !c->call->got_byte ? "before its answer"
                       : c->head_given    ? "inside its answer"
                                          : "inside its answer's head";

    if (status == UV_EOF || status == 0)
        err_set(&why, ERR_NETWORK, "%s: closed the connection %s", c->origin->name, when);
    else
        err_set(&why, ERR_NETWORK, "%s: %s %s", c->origin->name, uv_strerror(status), when);
    client_call_lost(c->call, &why);
}

static void completed(struct client_conn *c, bool more_bytes)
{
    bool keep = c->keep && !more_bytes && all_sent(c);

    client_block_release(c->block);
    c->block = NULL;
    client_call_complete(c->call, keep);
}

static void feed(struct client_conn *c, str in)
{
    c->call->got_byte = true;
    client_call_moved(c->call);
    release_request(c);

    llhttp_errno_t rc = HPE_OK;
    if (!c->switched) {
        rc = llhttp_execute(&c->parser, in.at, in.len);
        if (c->call && c->switched)
            in = str_tail(in, (size_t)(llhttp_get_error_pos(&c->parser) - in.at));
    }
    if (c->call && c->switched) rc = client_parse_switched(c, in) ? HPE_OK : HPE_USER;
    if (c->call == NULL) return; /* cancelled by one of its own events */
    if (c->complete) {
        completed(c, llhttp_get_error_pos(&c->parser) != in.at + in.len);
        return;
    }
    if (rc == HPE_OK) return;
    if (!c->e) {
        err_set(&c->client->why, ERR_SERVER, "%s: a malformed answer (%s)", c->origin->name,
                llhttp_get_error_reason(&c->parser));
        c->client->why.http_status = 0;
        c->e = ERR_SERVER;
    }
    client_call_failed(c->call, c->e, &c->client->why);
}

static void ended(struct client_conn *c, int status)
{
    if (c->call == NULL) {
        client_conn_close(c);
        return;
    }
    /* Where the end frames the body it must be a clean one. */
    if (c->head_given && (status == UV_EOF || status == 0)) {
        if (!c->switched) llhttp_finish(&c->parser);
        if (c->complete || c->switched) {
            c->keep = false;
            completed(c, false);
            return;
        }
    }
    lost(c, status);
}

static void take_session(struct client_conn *c)
{
    struct ssl_session_st *s = tls_take_session(c->tls);
    if (s == NULL) return;
    tls_session_free(c->origin->session);
    c->origin->session = s;
}

static void read_tls(struct client_conn *c, str in)
{
    struct http_client *client = c->client;
    struct err_note why = {0};

    while (c->state == CONN_OPEN) {
        size_t n;
        enum tls_step step =
            tls_read(c->tls, &in, &client->out, client->plain, sizeof client->plain, &n, &why);
        flush_tls(c);
        take_session(c);
        if (step == TLS_MORE) return;
        if (step == TLS_READY && c->call) {
            feed(c, str_span(client->plain, n));
        } else if (step == TLS_ENDED) {
            ended(c, 0);
            return;
        } else if (step == TLS_FAILED && c->call) {
            err_context(&why, ERR_NETWORK, "%s", c->origin->name);
            why.http_status = HTTP_FAULT_TLS;
            client_call_failed(c->call, ERR_NETWORK, &why);
            return;
        } else {
            client_conn_close(c); /* an unasked answer, or a fault that nobody waits for */
            return;
        }
    }
}

/* ---- the way there ---- */

static void broke(struct client_conn *c, bool tls, struct err_note *why)
{
    err_context(why, ERR_NETWORK, "%s", c->origin->name);
    why->http_status = tls ? HTTP_FAULT_TLS : 0;
    client_dial_broke(c->dial, ERR_NETWORK, why);
}

static void opened(struct client_conn *c)
{
    c->state = CONN_OPEN;
    client_dial_ready(c->dial, c);
}

static void shake(struct client_conn *c, str in)
{
    struct err_note why = {0};
    enum tls_step step = tls_shake(c->tls, &in, &c->client->out, &why);

    flush_tls(c); /* a failure has its alert to send */
    if (step == TLS_MORE && c->e) step = TLS_FAILED;
    if (step == TLS_READY) {
        opened(c);
        if (in.len && c->state == CONN_OPEN) read_tls(c, in);
    } else if (step != TLS_MORE) {
        if (step == TLS_ENDED) err_set(&why, ERR_NETWORK, "TLS: closed during the handshake");
        broke(c, true, &why);
    }
}

static void transport_ready(struct client_conn *c)
{
    struct client_origin *o = c->origin;
    struct err_note why = {0};

    if (!o->tls) {
        opened(c);
        return;
    }
    c->state = CONN_TLS;
    if (tls_new(&c->tls, c->client->tls, o->host, o->session, &why)) {
        broke(c, false, &why);
        return;
    }
    shake(c, STR_NONE);
}

static void ask_proxy(struct client_conn *c)
{
    const struct proxy *p = &c->client->proxy;
    struct buf b;

    c->state = CONN_TUNNEL;
    buf_init(&c->head, UPSTREAM_HEAD_BYTES_MAX);
    buf_init(&b, UPSTREAM_HEAD_BYTES_MAX);
    buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", c->origin->name,
             c->origin->name, c->client->user_agent);
    if (p->authorization.len)
        buf_addf(&b, "Proxy-Authorization: %.*s\r\n", STR_ARG(p->authorization));
    buf_add(&b, STR("\r\n"));
    if (b.bad)
        c->e = ERR_MEMORY;
    else
        send_bytes(c, buf_str(&b));
    buf_fini(&b);
}

/* RFC 9110 9.3.6: a 2xx answer to CONNECT has no body, whatever its fields say. */
static void read_proxy(struct client_conn *c, str in)
{
    struct err_note why = {0};
    size_t before = c->head.len;

    buf_add(&c->head, in);
    str head = buf_str(&c->head);
    size_t end = str_find(head, STR("\r\n\r\n"));
    if (c->head.bad) {
        err_set(&why, ERR_NETWORK, "the proxy's answer is too large");
        broke(c, false, &why);
        return;
    }
    if (end == STR_NPOS) return;

    uint64_t status = 0;
    if (str_starts(head, STR("HTTP/1.")) && head.len > 12)
        str_to_u64(str_span(head.at + 9, 3), &status);
    if (status < 200 || status > 299) {
        err_set(&why, ERR_NETWORK, "the proxy refused the connection (%u)%s", (unsigned)status,
                status == 407 ? ": user and password of HTTPS_PROXY" : "");
        broke(c, false, &why);
        return;
    }
    str rest = str_tail(in, end + 4 - before);
    buf_fini(&c->head);
    transport_ready(c);
    if (rest.len == 0) return;
    if (c->state == CONN_TLS)
        shake(c, rest);
    else if (c->state == CONN_OPEN)
        client_conn_close(c); /* it spoke before it was asked */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct client_conn *c = container_of((uv_tcp_t *)stream, struct client_conn, tcp);

    if (n == 0 || c->state == CONN_CLOSED) return;
    if (n < 0) {
        if (c->state == CONN_OPEN) {
            ended(c, (int)n);
        } else {
            struct err_note why = {0};
            err_set(&why, ERR_NETWORK, "%s while %s",
                    n == UV_EOF ? "the connection was closed" : uv_strerror((int)n),
                    c->state == CONN_TUNNEL ? "waiting for the proxy" : "shaking hands (TLS)");
            broke(c, false, &why);
        }
        return;
    }
    str in = str_span(b->base, (size_t)n);
    if (c->state == CONN_TUNNEL)
        read_proxy(c, in);
    else if (c->state == CONN_TLS)
        shake(c, in);
    else if (c->tls)
        read_tls(c, in);
    else if (c->call)
        feed(c, in);
    else
        client_conn_close(c); /* an answer that nobody asked for */
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *b)
{
    struct client_conn *c = container_of((uv_tcp_t *)handle, struct client_conn, tcp);
    (void)wanted;
    *b = uv_buf_init(c->client->in, sizeof c->client->in);
}

/* ---- life ---- */

static void on_connected(uv_connect_t *req, int status)
{
    struct client_conn *c = container_of(req, struct client_conn, connecting);

    if (c->state != CONN_CLOSED) client_dial_tcp(c->dial, c, status);
}

int client_conn_new(struct client_conn **out, struct client_dial *d, struct client_origin *o,
                    const union dns_address *to)
{
    struct http_client *client = o->client;
    struct client_conn *c = calloc(1, sizeof *c);
    if (c == NULL) return UV_ENOMEM;

    int rc = uv_tcp_init(loop_uv(client->loop), &c->tcp);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->client = client;
    c->origin = o;
    c->dial = d;
    c->next = client->conns;
    if (c->next) c->next->prev = c;
    client->conns = c;
    rc = uv_tcp_connect(&c->connecting, &c->tcp, &to->any, on_connected);
    if (rc != 0) {
        client_conn_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void client_conn_prepare(struct client_conn *c)
{
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
    if (c->origin->proxied)
        ask_proxy(c);
    else
        transport_ready(c);
}

void client_conn_pause(struct client_conn *c, bool pause)
{
    if (c->state == CONN_CLOSED) return;
    if (pause)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else
        uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

bool client_conn_alive(struct client_conn *c)
{
    uv_os_fd_t fd;
    char byte;

    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0) return false;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void on_closed(uv_handle_t *handle)
{
    struct client_conn *c = container_of((uv_tcp_t *)handle, struct client_conn, tcp);

    tls_free(c->tls);
    buf_fini(&c->head);
    buf_fini(&c->fields);
    client_block_release(c->block);
    free(c);
}

void client_conn_close(struct client_conn *c)
{
    if (c == NULL || c->state == CONN_CLOSED) return;
    c->state = CONN_CLOSED;
    client_drop_kept(c);
    *(c->prev ? &c->prev->next : &c->client->conns) = c->next;
    if (c->next) c->next->prev = c->prev;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}
