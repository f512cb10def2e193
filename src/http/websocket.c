#include <assert.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <wslay/wslay.h>

#include "base/utf8.h"
#include "conf/limits.h"
#include "http/server_private.h"

/* RFC 6455, the server's side, over wslay's frame reader.  A reader weighs 4 KiB, so a connection
 * has one only while a frame is on its way: at rest it costs its own struct.
 *
 *   OPEN    -> CLOSING   ws_close: our close frame is queued, the client's is awaited
 *   OPEN    -> CLOSED    the client's close was answered, or it broke the rules
 *   CLOSING -> CLOSED    its close came, or ws_close_ms passed
 * In CLOSED the connection lingers (conn_linger).  The app hears `closed` soon after OPEN was left.
 */
enum ws_state { WS_OPEN, WS_CLOSING, WS_CLOSED };

enum { CONTROL_BYTES_MAX = 125, CLOSE_REASON_BYTES_MAX = CONTROL_BYTES_MAX - 2 };

struct websocket {
    struct http_conn *conn;
    struct ws_app app;
    enum ws_state state;
    bool told; /* closed() was called */
    bool paused;

    /* reading */
    struct wslay_frame_context *reader;
    uint64_t fed_bytes, framed_bytes; /* given to it; of these in complete frames */
    bool in_frame, fin;
    uint8_t opcode;      /* of the frame */
    uint64_t left_bytes; /* of its payload */
    uint8_t kind;        /* of the message that is being put together, 0 for none */
    struct buf message;
    uint8_t control_len;
    char control[CONTROL_BYTES_MAX];

    bool pinged;          /* and nothing was heard since */
    uint64_t ping_due_ms; /* the next */
    uint64_t ping_out_ms; /* when the client's kernel had the last one; 0: not yet */
    uint64_t close_by_ms;
};

/* ---- the handshake ---- */

bool ws_asked(const struct request *r)
{
    bool bare = r->body.len == 0 && !parser_has_body(&r->conn->parser);

    return bare && !r->http10 && str_eq(r->method, STR("GET")) &&
           headers_has_token(&r->headers, STR("upgrade"), STR("websocket")) &&
           headers_has_token(&r->headers, STR("connection"), STR("upgrade"));
}

/* Sixteen bytes in base64: 22 characters and "==" (RFC 6455 4.1). */
static bool key_fits(str key)
{
    if (key.len != 24 || !str_ends(key, STR("=="))) return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

bool ws_version_fits(const struct request *r)
{
    return str_eq(headers_get(&r->headers, STR("sec-websocket-version")), STR("13")) &&
           key_fits(headers_get(&r->headers, STR("sec-websocket-key")));
}

static void set_alarm(struct websocket *ws);

void ws_accept(struct websocket **out, struct request *r, struct ws_app app)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
    struct http_conn *c = r->conn;
    char text[24 + sizeof guid], accept[32];
    unsigned char hash[20];
    str key = headers_get(&r->headers, STR("sec-websocket-key"));
    struct websocket *ws = calloc(1, sizeof *ws);

    assert(ws_version_fits(r));
    memcpy(text, key.at, 24);
    memcpy(text + 24, guid, sizeof guid);
    if (ws == NULL || !EVP_Digest(text, 24 + sizeof guid - 1, hash, NULL, EVP_sha1(), NULL)) {
        free(ws);
        ws = NULL;
        response_send(r, 503, NULL, STR_NONE);
    } else {
        int n = EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash);
        response_switch(r, str_span(accept, (size_t)n));
        ws->conn = c;
        ws->app = app;
        buf_init(&ws->message, WS_MESSAGE_BYTES_MAX);
        ws->ping_due_ms = loop_now_ms(c->server->loop) + c->server->times.ws_ping_ms;
        c->ws = ws;
        c->has_request = false; /* over as such; its fields stay */
        c->state = CONN_SOCKET;
        set_alarm(ws);
    }
    *out = ws;
}

/* ---- writing ---- */

static void send_frame(struct websocket *ws, uint8_t opcode, str payload)
{
    struct buf *b = output_begin(ws->conn);
    size_t n = payload.len;

    buf_add_char(b, (char)(0x80 | opcode));
    if (n < 126) {
        buf_add_char(b, (char)n);
    } else {
        int bytes = n <= UINT16_MAX ? 2 : 8;
        buf_add_char(b, bytes == 2 ? 126 : 127);
        for (int i = bytes - 1; i >= 0; i--) buf_add_char(b, (char)((uint64_t)n >> (8 * i)));
    }
    output_end(ws->conn, payload, STR_NONE);
}

size_t ws_send(struct websocket *ws, str text)
{
    if (ws->state != WS_OPEN) return 0;
    send_frame(ws, WSLAY_TEXT_FRAME, text);
    size_t unsent = output_unsent(ws->conn);
    if (unsent > STREAM_UNSENT_BYTES_MAX) ws->conn->full = true;
    return unsent;
}

static void send_close(struct websocket *ws, int code, str reason)
{
    char payload[CONTROL_BYTES_MAX];

    reason = str_head(reason, CLOSE_REASON_BYTES_MAX);
    reason.len -= utf8_partial(reason);
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (reason.len) memcpy(payload + 2, reason.at, reason.len);
    send_frame(ws, WSLAY_CONNECTION_CLOSE, str_span(payload, 2 + reason.len));
}

/* ---- the end ---- */

/* Nothing more is read from or for this WebSocket. */
static void finish(struct websocket *ws)
{
    ws->state = WS_CLOSED;
    ws->conn->unread = true;
    conn_linger(ws->conn);
    server_due(ws->conn);
}

static void fail_with(struct websocket *ws, int code, str reason)
{
    if (ws->state == WS_OPEN) send_close(ws, code, reason);
    finish(ws);
}

void ws_close(struct websocket *ws, int code, str reason)
{
    if (ws->state != WS_OPEN) return;
    send_close(ws, code, reason);
    ws->state = WS_CLOSING;
    ws->close_by_ms = loop_now_ms(ws->conn->server->loop) + ws->conn->server->times.ws_close_ms;
    set_alarm(ws);
    server_due(ws->conn);
}

void websocket_gone(struct websocket *ws)
{
    if (ws->told) return;
    ws->told = true;
    response_done(ws->conn, ws->state == WS_OPEN);
    if (ws->state == WS_OPEN) ws->state = WS_CLOSED;
    if (ws->app.closed) ws->app.closed(ws->app.ctx, ws);
}

void websocket_turn(struct websocket *ws)
{
    if (ws->state != WS_OPEN) websocket_gone(ws);
}

void websocket_drained(struct websocket *ws)
{
    if (ws->state == WS_OPEN && ws->app.drain) ws->app.drain(ws->app.ctx, ws);
}

void ws_pause(struct websocket *ws, bool pause)
{
    ws->paused = pause;
    if (!pause) server_due(ws->conn);
}

/* ---- messages ---- */

static bool close_code_fits(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void on_close_frame(struct websocket *ws)
{
    str payload = str_span(ws->control, ws->control_len);
    int code =
        payload.len < 2 ? 1000 : (unsigned char)payload.at[0] << 8 | (unsigned char)payload.at[1];

    if (payload.len == 1 || !close_code_fits(code))
        fail_with(ws, 1002, STR("bad close frame"));
    else if (!utf8_valid(str_tail(payload, 2)))
        fail_with(ws, 1007, STR("close reason is not UTF-8"));
    else
        fail_with(ws, 1000, STR_NONE); /* the answer to its close */
}

static void on_message(struct websocket *ws)
{
    bool text = ws->kind == WSLAY_TEXT_FRAME;

    ws->kind = 0;
    if (ws->state != WS_OPEN) return;
    if (text && !utf8_valid(buf_str(&ws->message))) {
        fail_with(ws, 1007, STR("text is not UTF-8"));
        return;
    }
    ws->conn->calling = true;
    ws->app.message(ws->app.ctx, ws, text, buf_str(&ws->message));
    ws->conn->calling = false;
}

static void on_frame(struct websocket *ws)
{
    switch (ws->opcode) {
    case WSLAY_CONNECTION_CLOSE: on_close_frame(ws); break;
    case WSLAY_PING:
        /* Who does not read its pongs gets no more of them; it may ask again (RFC 6455 5.5.3). */
        if (ws->state == WS_OPEN && output_unsent(ws->conn) <= STREAM_UNSENT_BYTES_MAX)
            send_frame(ws, WSLAY_PONG, str_span(ws->control, ws->control_len));
        break;
    case WSLAY_PONG: break;
    default:
        if (!ws->fin) return;
        on_message(ws);
        buf_clear(&ws->message);
        buf_shrink(&ws->message);
    }
}

/* Gives a close code, or 0. */
static int begin_frame(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    uint64_t n = f->payload_length;

    ws->in_frame = true;
    ws->opcode = f->opcode;
    ws->fin = f->fin;
    ws->left_bytes = n;
    ws->framed_bytes += 2 + (n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8) + 4 + n;
    if (!f->mask || f->rsv) return 1002;
    switch (f->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        if (ws->kind == 0) return 1002;
        break;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (ws->kind != 0) return 1002;
        ws->kind = f->opcode;
        break;
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG: ws->control_len = 0; return !f->fin || n > CONTROL_BYTES_MAX ? 1002 : 0;
    default: return 1002;
    }
    return n > WS_MESSAGE_BYTES_MAX - ws->message.len ? 1009 : 0;
}

static void add_payload(struct websocket *ws, str bytes)
{
    ws->left_bytes -= bytes.len;
    if (!wslay_is_ctrl_frame(ws->opcode)) {
        if (ws->state == WS_OPEN) buf_add(&ws->message, bytes);
    } else if (bytes.len > 0) {
        memcpy(ws->control + ws->control_len, bytes.at, bytes.len);
        ws->control_len = (uint8_t)(ws->control_len + bytes.len);
    }
}

/* ---- the frame reader ---- */

static ssize_t feed(uint8_t *to, size_t len, int flags, void *ctx)
{
    struct http_server *s = ctx;
    size_t n = s->ws_feed.len < len ? s->ws_feed.len : len;

    (void)flags;
    if (n == 0) return -1;
    memcpy(to, s->ws_feed.at, n);
    s->ws_feed = str_tail(s->ws_feed, n);
    return (ssize_t)n;
}

static struct wslay_frame_context *borrow_reader(struct http_server *s)
{
    struct wslay_frame_context *r = s->ws_spare;

    s->ws_spare = NULL;
    if (r == NULL &&
        wslay_frame_context_init(&r, &(struct wslay_frame_callbacks){.recv_callback = feed}, s))
        return NULL;
    return r;
}

/* Between two frames a reader is as new. */
static void give_back_reader(struct websocket *ws, bool clean)
{
    struct http_server *s = ws->conn->server;

    if (ws->reader == NULL) return;
    if (clean && s->ws_spare == NULL)
        s->ws_spare = ws->reader;
    else
        wslay_frame_context_free(ws->reader);
    ws->reader = NULL;
    ws->fed_bytes = ws->framed_bytes = 0;
}

/* Reads on in the current frame, or the next one.  False when more bytes have to come first. */
static bool read_some(struct websocket *ws)
{
    struct wslay_frame_iocb f = {0};
    ssize_t n = wslay_frame_recv(ws->reader, &f);

    if (n == WSLAY_ERR_WANT_READ) return false;
    int code = n < 0 ? 1002 : ws->in_frame ? 0 : begin_frame(ws, &f);
    if (!code) add_payload(ws, str_span(f.data, (size_t)n));
    if (!code && buf_err(&ws->message)) code = 1011; /* memory is out */
    if (code) {
        fail_with(ws, code,
                  code == 1009   ? STR("message too big")
                  : code == 1011 ? STR("out of memory")
                                 : STR("protocol error"));
        return false;
    }
    if (ws->left_bytes == 0) {
        ws->in_frame = false;
        on_frame(ws);
    }
    return ws->state != WS_CLOSED;
}

size_t websocket_take(struct websocket *ws, str in)
{
    struct http_server *s = ws->conn->server;

    if (ws->reader == NULL && (in.len == 0 || ws->paused)) return 0;
    if (ws->reader == NULL) ws->reader = borrow_reader(s);
    if (ws->reader == NULL) {
        fail_with(ws, 1011, STR("out of memory"));
        return in.len;
    }
    s->ws_feed = in;
    while (!ws->paused && read_some(ws)) continue;
    size_t used = in.len - s->ws_feed.len;
    ws->fed_bytes += used;
    if (ws->state == WS_CLOSED)
        give_back_reader(ws, false);
    else if (!ws->in_frame && ws->fed_bytes == ws->framed_bytes)
        give_back_reader(ws, true);
    return used;
}

/* ---- time ---- */

/* A ping is out when the client's kernel has acknowledged every byte up to it. */
static bool is_out(const struct http_conn *c)
{
    return output_unsent(c) == 0 && output_in_kernel(c) == 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_alarm(struct websocket *ws)
{
    struct http_conn *c = ws->conn;
    struct http_times *t = &c->server->times;
    uint64_t now = loop_now_ms(c->server->loop), at = ws->ping_due_ms;

    if (ws->state == WS_CLOSING) {
        at = ws->close_by_ms;
    } else if (ws->pinged) {
        uint64_t look_again = now + least(1000, t->ws_pong_ms / 4 + 1);
        at = least(at, ws->ping_out_ms ? ws->ping_out_ms + t->ws_pong_ms : look_again);
    }
    conn_deadline(c, at > now ? at - now : 1);
}

void websocket_tick(struct websocket *ws)
{
    struct http_conn *c = ws->conn;
    struct http_times *t = &c->server->times;
    uint64_t now = loop_now_ms(c->server->loop);

    if (ws->state == WS_CLOSING && now >= ws->close_by_ms) {
        finish(ws);
        return;
    }
    /* While we do not read, silence means nothing. */
    if (c->heard || !c->reading) ws->pinged = false;
    if (ws->pinged && ws->ping_out_ms == 0 && is_out(c)) ws->ping_out_ms = now;
    if (ws->pinged && ws->ping_out_ms && now - ws->ping_out_ms >= t->ws_pong_ms) {
        fail_with(ws, 1011, STR("no sign of life"));
        return;
    }
    if (ws->state == WS_OPEN && now >= ws->ping_due_ms) {
        ws->ping_due_ms = now + t->ws_ping_ms;
        if (!ws->pinged) {
            ws->pinged = true;
            c->heard = false;
            ws->ping_out_ms = 0;
            send_frame(ws, WSLAY_PING, STR_NONE);
        }
    }
    set_alarm(ws);
}

/* ---- life ---- */

void websocket_free(struct websocket *ws)
{
    if (ws == NULL) return;
    if (ws->reader) wslay_frame_context_free(ws->reader);
    buf_fini(&ws->message);
    free(ws);
}

void websocket_pool_free(struct http_server *s)
{
    if (s->ws_spare) wslay_frame_context_free(s->ws_spare);
}
