#include "http/ws_client.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "conf/limits.h"
#include "http/client_in.h"

enum {
    OP_MORE = 0,
    OP_TEXT = 1,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
    CONTROL_BYTES_MAX = 125,
    HEAD_BYTES_MAX = 14, /* two, eight of length, four of mask */
    KEY_BYTES = 16,
    END_MS = 2000, /* for the server to end it after a close or a fault */
};

struct ws_client {
    struct http_call *call;
    struct ws_client_events to;
    char key[32], accept[32];
    int status;     /* of the answer; 0: none yet */
    bool open;      /* the server switched, with the right accept key */
    bool said_bye;  /* our close frame is out */
    bool heard_bye; /* theirs came */
    struct buf in;  /* bytes that are no whole frame yet */
    struct buf message;
    bool in_message;
    struct loop *loop;
    struct timer ending;
    struct err_note why; /* of what was found wrong here */
    enum err e;
};

/* ---- saying ---- */

static void say_frame(struct ws_client *w, int opcode, str payload)
{
    struct buf b;
    unsigned char mask[4];
    size_t n = payload.len;

    buf_init(&b, n + HEAD_BYTES_MAX);
    buf_add_char(&b, (char)(0x80 | opcode));
    int bytes = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;
    buf_add_char(&b, (char)(0x80 | (bytes == 0 ? (int)n : bytes == 2 ? 126 : 127)));
    for (int i = bytes - 1; i >= 0; i--) buf_add_char(&b, (char)((uint64_t)n >> (8 * i)));
    rand_bytes(mask, sizeof mask);
    buf_add(&b, str_span(mask, sizeof mask));
    char *to = buf_room(&b, n);
    for (size_t i = 0; to && i < n; i++) to[i] = (char)(payload.at[i] ^ mask[i % 4]);
    if (to) buf_grew(&b, n);
    if (!b.bad) http_call_send(w->call, buf_str(&b));
    buf_fini(&b);
}

void ws_client_say(struct ws_client *w, str text)
{
    if (w->call && w->open && !w->said_bye) say_frame(w, OP_TEXT, text);
}

static void on_ending(struct timer *t);

static void say_bye(struct ws_client *w, str payload)
{
    if (w->said_bye) return;
    say_frame(w, OP_CLOSE, payload);
    w->said_bye = true;
    timer_set(&w->ending, w->loop, END_MS, on_ending);
}

void ws_client_close(struct ws_client *w)
{
    if (w->call && w->open) say_bye(w, str_span("\x03\xE8", 2)); /* 1000 */
}

/* ---- hearing ---- */

static void wrong(struct ws_client *w, const char *what)
{
    if (w->e == ERR_NONE) w->e = err_set(&w->why, ERR_SERVER, "WebSocket: %s", what);
}

static void on_control(struct ws_client *w, int opcode, str payload)
{
    if (opcode == OP_PING && !w->said_bye) {
        say_frame(w, OP_PONG, payload);
    } else if (opcode == OP_CLOSE) {
        bool ours = w->said_bye;
        unsigned code =
            payload.len < 2
                ? 1005
                : (unsigned)((unsigned char)payload.at[0] << 8 | (unsigned char)payload.at[1]);
        w->heard_bye = true;
        say_bye(w, str_head(payload, 2));
        if (!ours && w->e == ERR_NONE)
            w->e = err_set(&w->why, ERR_SERVER, "WebSocket: the server closed it (%u%s%.*s)", code,
                           payload.len > 2 ? ": " : "", STR_ARG(str_tail(payload, 2)));
    }
}

static void on_frame(struct ws_client *w, int opcode, bool fin, str payload)
{
    if (opcode >= OP_CLOSE) {
        if (!fin || payload.len > CONTROL_BYTES_MAX || opcode > OP_PONG)
            wrong(w, "a control frame that is none");
        else
            on_control(w, opcode, payload);
        return;
    }
    if (opcode > OP_TEXT || (opcode == OP_MORE) != w->in_message) {
        wrong(w, "a frame that does not belong here");
        return;
    }
    buf_add(&w->message, payload);
    w->in_message = !fin;
    if (!fin) return;
    str message = buf_str(&w->message);
    if (w->message.bad)
        wrong(w, "a message that is too large");
    else if (!utf8_valid(message))
        wrong(w, "a message that is not UTF-8");
    else
        w->to.text(w->to.ctx, message);
    buf_clear(&w->message);
}

/* The bytes that the frame at the start of `in` takes, 0 when it is not whole; *head_bytes of them
 * stand before its payload.  RFC 6455 5.2; frames of a server are not masked. */
static size_t frame_bytes(struct ws_client *w, str in, size_t *head_bytes)
{
    const unsigned char *at = (const unsigned char *)in.at;

    if (in.len < 2) return 0;
    uint64_t n = at[1] & 0x7F;
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    if ((at[0] & 0x70) || (at[1] & 0x80)) wrong(w, "a frame with bits that nobody agreed on");
    if (w->e || in.len < 2 + more) return 0;
    if (more) n = 0;
    for (size_t i = 0; i < more; i++) n = n << 8 | at[2 + i];
    if (n > WS_MESSAGE_BYTES_MAX) wrong(w, "a frame that is too large");
    *head_bytes = 2 + more;
    return w->e || in.len - 2 - more < n ? 0 : 2 + more + (size_t)n;
}

static void on_body(void *ctx, str piece)
{
    struct ws_client *w = ctx;
    size_t head, n;

    if (!w->open || w->e) return; /* the body of a refusal; or nothing that counts any more */
    buf_add(&w->in, piece);
    if (w->in.bad) wrong(w, "out of memory");
    while (!w->e && !w->heard_bye && (n = frame_bytes(w, buf_str(&w->in), &head)) > 0) {
        str frame = str_head(buf_str(&w->in), n);
        on_frame(w, frame.at[0] & 0x0F, (frame.at[0] & 0x80) != 0, str_tail(frame, head));
        buf_drop(&w->in, n);
    }
    if (w->e) say_bye(w, str_span("\x03\xEA", 2)); /* 1002; the server's end is awaited */
}

/* ---- the handshake and the end ---- */

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct ws_client *w = ctx;

    w->status = status;
    if (status != 101) return;
    w->open = str_eq(headers_get(h, STR("sec-websocket-accept")), str_of(w->accept)) &&
              headers_has_token(h, STR("upgrade"), STR("websocket"));
    if (!w->open) {
        wrong(w, "the handshake's answer does not belong to its question");
        timer_set(&w->ending, w->loop, 0, on_ending); /* nothing can be said to it */
    } else if (w->to.open) {
        w->to.open(w->to.ctx);
    }
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct ws_client *w = ctx;
    struct err_note note = {.text = ""};

    w->call = NULL;
    timer_stop(&w->ending);
    if (w->e) {
        e = w->e;
        note = w->why;
    } else if (e) {
        note = *why;
    } else if (w->status != 101) {
        e = err_set(&note, ERR_SERVER, "the server answered %d instead of switching to WebSocket",
                    w->status);
        note.http_status = w->status;
    } else if (!w->heard_bye) {
        e = err_set(&note, ERR_NETWORK, "WebSocket: the connection ended without a close");
    }
    w->to.done(w->to.ctx, e, &note);
}

static void on_ending(struct timer *t)
{
    struct ws_client *w = container_of(t, struct ws_client, ending);

    http_call_cancel(w->call);
    on_done(w, ERR_NONE, &(struct err_note){.text = ""});
}

static bool make_keys(struct ws_client *w)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
    unsigned char bytes[KEY_BYTES], hash[20];
    char text[sizeof w->key + sizeof guid];

    rand_bytes(bytes, sizeof bytes);
    EVP_EncodeBlock((unsigned char *)w->key, bytes, sizeof bytes);
    int n = snprintf(text, sizeof text, "%s%s", w->key, guid);
    if (!EVP_Digest(text, (size_t)n, hash, NULL, EVP_sha1(), NULL)) return false;
    EVP_EncodeBlock((unsigned char *)w->accept, hash, sizeof hash);
    return true;
}

enum err ws_client_start(struct ws_client **out, struct http_client *client,
                         const struct http_ask *ask, struct ws_client_events to,
                         struct err_note *why)
{
    struct ws_client *w = calloc(1, sizeof *w);
    struct header headers[WS_CLIENT_HEADERS_MAX + 4];
    struct http_ask shake = *ask;
    size_t count = ask->headers_count;

    if (w == NULL || count > WS_CLIENT_HEADERS_MAX || !make_keys(w)) {
        free(w);
        return err_set(why, ERR_MEMORY, "a WebSocket cannot be made");
    }
    buf_init(&w->in, WS_MESSAGE_BYTES_MAX + HEAD_BYTES_MAX + 65536);
    buf_init(&w->message, WS_MESSAGE_BYTES_MAX);
    w->to = to;
    w->loop = client->loop;
    if (count) memcpy(headers, ask->headers, count * sizeof *headers);
    headers[count++] = (struct header){STR("Connection"), STR("Upgrade")};
    headers[count++] = (struct header){STR("Upgrade"), STR("websocket")};
    headers[count++] = (struct header){STR("Sec-WebSocket-Version"), STR("13")};
    headers[count++] = (struct header){STR("Sec-WebSocket-Key"), str_of(w->key)};
    shake.method = "GET";
    shake.headers = headers;
    shake.headers_count = count;
    shake.body = STR_NONE;
    shake.upgrade = true;
    struct http_call_events events = {.ctx = w, .head = on_head, .body = on_body, .done = on_done};
    enum err e = http_call_start(&w->call, client, &shake, events, why);
    if (e) {
        ws_client_free(w);
        return e;
    }
    *out = w;
    return ERR_NONE;
}

void ws_client_free(struct ws_client *w)
{
    if (w == NULL) return;
    http_call_cancel(w->call);
    timer_stop(&w->ending);
    buf_fini(&w->in);
    buf_fini(&w->message);
    free(w);
}
