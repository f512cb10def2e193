/* WebSockets as a client, against servers that do one odd thing each; and what the client of HTTP
 * does for them: another name in Host, a 101 and the bytes behind it. */
#include "check.h"

#include <openssl/evp.h>
#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/loop.h"
#include "http/ws_client.h"
#include "peer.h"

static struct loop *loop;
static struct http_client *client;
static struct arena arena;
static struct peer peer;

struct talk {
    struct ws_client *ws;
    bool opened, over;
    struct buf heard; /* messages, each ended by "|" */
    int close_after;  /* messages; 0: never from here */
    int messages;
    enum err e;
    struct err_note why;
};

static void on_open(void *ctx)
{
    struct talk *t = ctx;
    t->opened = true;
    ws_client_say(t->ws, STR("question"));
}

static void on_text(void *ctx, str message)
{
    struct talk *t = ctx;
    check_true(t->opened && !t->over);
    buf_add(&t->heard, message);
    buf_add_char(&t->heard, '|');
    if (++t->messages == t->close_after) ws_client_close(t->ws);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct talk *t = ctx;
    check_true(!t->over);
    t->over = true;
    t->e = e;
    t->why = *why;
    ws_client_free(t->ws);
    t->ws = NULL;
    uv_stop(loop_uv(loop));
}

static void begin(struct talk *t)
{
    struct url u;
    char text[64];
    struct ws_client_events to = {.ctx = t, .open = on_open, .text = on_text, .done = on_done};
    const struct http_ask ask = {.url = &u,
                                 .host = STR("sema.example"),
                                 .connect_ms = 2000,
                                 .total_ms = 5000,
                                 .body_bytes_max = 64 << 20};

    snprintf(text, sizeof text, "http://127.0.0.1:%d/ws", peer.port);
    check_int(url_parse(&u, str_of(text), &arena), ERR_NONE);
    buf_init(&t->heard, 4 << 20);
    uv_update_time(loop_uv(loop));
    check_int(ws_client_start(&t->ws, client, &ask, to, &t->why), ERR_NONE);
    check_true(!t->opened && !t->over);
}

static void run(struct talk *t)
{
    begin(t);
    while (!t->over) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
}

/* ---- the other side ---- */

struct script {
    str after;           /* sent behind the 101 */
    size_t cut;          /* of head and `after` together: sent in two pieces */
    bool lies;           /* a wrong accept key */
    const char *instead; /* of the 101 */
    struct buf got;      /* what the client sent, unmasked, "opcode:payload|" */
};

static void accept_of(const char *head, char out[32])
{
    unsigned char hash[20];
    char text[128];
    const char *key = strcasestr(head, "sec-websocket-key: ");

    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key ? key + 19 : "");
    EVP_Digest(text, strlen(text), hash, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)out, hash, sizeof hash);
}

static bool read_all(int fd, unsigned char *to, size_t n)
{
    while (n) {
        ssize_t got = recv(fd, to, n, 0);
        if (got <= 0) return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

/* Frames of the client, until its close or its end. */
static void read_frames(int fd, struct buf *to)
{
    unsigned char head[2], mask[4], payload[256];

    while (read_all(fd, head, 2)) {
        size_t n = head[1] & 0x7F;
        if (!(head[1] & 0x80) || n > 125 || !read_all(fd, mask, 4) || !read_all(fd, payload, n)) {
            buf_add(to, STR("malformed|"));
            return;
        }
        for (size_t i = 0; i < n; i++) payload[i] ^= mask[i % 4];
        buf_addf(to, "%d:%.*s|", head[0] & 0x0F, (int)n, (char *)payload);
        if ((head[0] & 0x0F) == 8) return;
    }
}

static void serve(struct peer *p, int fd, int nth)
{
    struct script *s = p->ctx;
    char head[4096], accept[32];
    struct buf out;

    (void)nth;
    if (!peer_read(p, fd, head, sizeof head, NULL)) return;
    bool asked = strstr(head, "GET /ws HTTP/1.1\r\n") && strstr(head, "Host: sema.example\r\n") &&
                 strstr(head, "Upgrade: websocket\r\n") && !strstr(head, "Content-Length");
    if (s->instead || !asked) {
        peer_send(fd, s->instead && asked ? s->instead : "HTTP/1.1 400 Odd\r\n\r\n");
        return;
    }
    accept_of(head, accept);
    if (s->lies) accept[0] ^= 1;
    buf_init(&out, 4 << 20);
    buf_addf(&out,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    buf_add(&out, s->after);
    size_t cut = s->cut < out.len ? s->cut : out.len;
    peer_send_all(fd, out.at, cut);
    if (cut < out.len) peer_sleep(1);
    peer_send_all(fd, out.at + cut, out.len - cut);
    read_frames(fd, &s->got);
    buf_fini(&out);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    check_int(loop_new(&loop, NULL), ERR_NONE);
    check_int(http_client_new(&client, loop, &(struct http_client_conf){0}, NULL), ERR_NONE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(client);
    loop_free(loop);
    arena_fini(&arena);
    return 0;
}

/* One connection with this script; what the client sent is in s->got afterwards. */
static void against(struct script *s, struct talk *t)
{
    buf_init(&s->got, 1 << 16);
    peer_start(&peer, serve, s);
    run(t);
    peer_stop(&peer);
}

static void release(struct script *s, struct talk *t)
{
    buf_fini(&s->got);
    buf_fini(&t->heard);
}

/* ---- cases ---- */

/* one; a ping; "two" in three frames with a ping between; the server's close. */
#define TALK                                                                                       \
    "\x81\x03one\x89\x02hi\x01\x01t\x00\x01w\x89\x00\x80\x01o\x81\x00\x81\x02\xC3\xA9\x88\x02\x03" \
    "\xE8"

static void test_any_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 200; cut += cut < 120 ? 11 : 1) {
        struct script s = {.after = STR(TALK), .cut = cut};
        struct talk t = {.close_after = 4};
        against(&s, &t);
        check_str(buf_str(&t.heard), STR("one|two||\xC3\xA9|"));
        check_int(t.e, ERR_NONE);
        check_str(buf_str(&s.got), STR("1:question|10:hi|10:|8:\x03\xE8|"));
        release(&s, &t);
    }
}

static void test_long_messages(void **state)
{
    static const size_t sizes[] = {125, 126, 127, 65535, 65536, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        struct buf b;
        buf_init(&b, 4 << 20);
        buf_add_char(&b, (char)0x81);
        int bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
        buf_add_char(&b, (char)(bytes == 0 ? (int)n : bytes == 2 ? 126 : 127));
        for (int k = bytes - 1; k >= 0; k--) buf_add_char(&b, (char)((uint64_t)n >> (8 * k)));
        for (size_t k = 0; k < n; k++) buf_add_char(&b, 'x');
        buf_add(&b, STR("\x88\x00"));
        struct script s = {.after = buf_str(&b), .cut = SIZE_MAX};
        struct talk t = {.close_after = 1};
        against(&s, &t);
        check_int(t.e, ERR_NONE);
        check_int(t.heard.len, n + 1);
        release(&s, &t);
        buf_fini(&b);
    }
}

static void test_faults(void **state)
{
    static const struct {
        str after;
        const char *says; /* part of the note */
        const char *answered;
    } rows[] = {
        {STR("\x81\x83\x00\x00\x00\x00one"), "bits that nobody agreed on", "8:\x03\xEA|"},
        {STR("\xC1\x03one"), "bits that nobody agreed on", "8:\x03\xEA|"},
        {STR("\x80\x03one"), "does not belong here", "8:\x03\xEA|"},
        {STR("\x01\x01o\x81\x01n"), "does not belong here", "8:\x03\xEA|"},
        {STR("\x82\x01o"), "does not belong here", "8:\x03\xEA|"},
        {STR("\x09\x00"), "control frame", "8:\x03\xEA|"},
        {STR("\x8B\x00"), "control frame", "8:\x03\xEA|"},
        {STR("\x81\x02\xC3("), "not UTF-8", "8:\x03\xEA|"},
        {STR("\x81\x7F\x00\x00\x00\x00\x00\x20\x00\x00"), "too large", "8:\x03\xEA|"},
        {STR("\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "too large", "8:\x03\xEA|"},
        {STR("\x88\x06\x03\xF0late"), "the server closed it (1008: late)", "8:\x03\xF0|"},
        {STR("\x88\x00"), "the server closed it (1005)", "8:|"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct script s = {.after = rows[i].after, .cut = SIZE_MAX};
        struct talk t = {0};
        against(&s, &t);
        check_int(t.e, ERR_SERVER);
        if (!strstr(t.why.text, rows[i].says)) print_error("%zu: %s\n", i, t.why.text);
        check_true(strstr(t.why.text, rows[i].says) != NULL);
        check_str(str_tail(buf_str(&s.got), strlen("1:question|")), str_of(rows[i].answered));
        release(&s, &t);
    }
}

static void test_handshakes(void **state)
{
    static const struct {
        const char *instead;
        enum err e;
        int status;
        const char *says;
    } rows[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", ERR_SERVER, 404, "answered 404"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ERR_SERVER, 200, "answered 200"},
        {"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ERR_SERVER, 0,
         "does not belong to its question"},
        {"HTTP/1.1 101 S\r\nUpgr", ERR_NETWORK, 0, "closed the connection"},
        {"nonsense\r\n\r\n", ERR_SERVER, 0, "malformed"},
    };
    struct talk t;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct script s = {.instead = rows[i].instead};
        t = (struct talk){0};
        against(&s, &t);
        check_int(t.e, rows[i].e);
        check_int(t.why.http_status, rows[i].status);
        if (!strstr(t.why.text, rows[i].says)) print_error("%zu: %s\n", i, t.why.text);
        check_true(!t.opened && strstr(t.why.text, rows[i].says) != NULL);
        release(&s, &t);
    }
    struct script liar = {.lies = true, .after = STR("\x81\x01x"), .cut = SIZE_MAX};
    t = (struct talk){0};
    against(&liar, &t);
    check_int(t.e, ERR_SERVER);
    check_true(!t.opened && t.heard.len == 0);
    release(&liar, &t);
}

static void serve_then_leave(struct peer *p, int fd, int nth)
{
    char head[4096], accept[32], out[256];

    (void)nth;
    if (!peer_read(p, fd, head, sizeof head, NULL)) return;
    accept_of(head, accept);
    snprintf(out, sizeof out,
             "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n\x81\x03one",
             accept);
    peer_send(fd, out);
}

static void test_no_close(void **state)
{
    struct talk t = {0};

    (void)state;
    peer_start(&peer, serve_then_leave, NULL);
    run(&t);
    peer_stop(&peer);
    check_str(buf_str(&t.heard), STR("one|"));
    check_int(t.e, ERR_NETWORK);
    buf_fini(&t.heard);
}

static void serve_and_stay(struct peer *p, int fd, int nth)
{
    serve_then_leave(p, fd, nth);
    peer_wait_gone(fd, 4000);
}

/* A close that is never answered holds nobody up. */
static void test_no_answer_to_close(void **state)
{
    struct talk t = {.close_after = 1};
    uint64_t began;

    (void)state;
    peer_start(&peer, serve_and_stay, NULL);
    uv_update_time(loop_uv(loop));
    began = loop_now_ms(loop);
    run(&t);
    check_true(loop_now_ms(loop) - began < 3500);
    peer_stop(&peer);
    check_int(t.e, ERR_NETWORK);
    buf_fini(&t.heard);
}

static void on_late(struct timer *timer)
{
    (void)timer;
    uv_stop(loop_uv(loop));
}

/* Freed at each stage; nothing is told afterwards, nothing is left open. */
static void test_freed(void **state)
{
    (void)state;
    for (int stage = 0; stage < 3; stage++) {
        struct script s = {.after = STR("\x81\x03one"), .cut = SIZE_MAX};
        struct talk t = {0};
        struct timer timer = {0};

        buf_init(&s.got, 1 << 16);
        peer_start(&peer, serve, &s);
        begin(&t);
        while (stage == 1 && !t.opened) uv_run(loop_uv(loop), UV_RUN_ONCE);
        while (stage == 2 && t.messages == 0) uv_run(loop_uv(loop), UV_RUN_ONCE);
        ws_client_free(t.ws);
        timer_set(&timer, loop, 20, on_late);
        while (timer_is_set(&timer)) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
        check_true(!t.over);
        peer_stop(&peer);
        release(&s, &t);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(any_cut),  CASE(long_messages),      CASE(faults), CASE(handshakes),
        CASE(no_close), CASE(no_answer_to_close), CASE(freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
