/* Calls to providers against servers that do one odd thing each. */
#include "check.h"

#include <dirent.h>

#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/loop.h"
#include "http/client.h"
#include "peer.h"

static struct loop *loop;
static struct http_client *client;
static struct arena arena;
static struct peer peer;

struct probe {
    struct http_call *call;
    int heads, status, dones;
    struct buf body;
    char server[64]; /* a field of the head */
    enum err e;
    struct err_note why;
    int cancel_in, abandon_in, pause_in; /* one of the events below */
    struct timer timer;
};

enum { IN_HEAD = 1, IN_BODY };

static int dones, dones_wanted; /* of all probes; the loop stops when they are there */

static void act(struct probe *p, int where)
{
    if (p->pause_in == where) http_call_pause(p->call, true);
    bool abandon = p->abandon_in == where;
    if (!abandon && p->cancel_in != where) return;
    struct http_call *call = p->call;
    p->call = NULL;
    if (abandon)
        http_call_abandon(call);
    else
        http_call_cancel(call);
    uv_stop(loop_uv(loop));
}

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct probe *p = ctx;

    check_true(p->call != NULL);
    p->heads++;
    p->status = status;
    for (size_t i = 0; i < h->count; i++)
        if (str_eq_nocase(h->at[i].name, STR("server")))
            snprintf(p->server, sizeof p->server, "%.*s", STR_ARG(h->at[i].value));
    act(p, IN_HEAD);
}

static void on_body(void *ctx, str piece)
{
    struct probe *p = ctx;

    check_true(p->call != NULL);
    check_int(p->heads, 1);
    check_true(piece.len > 0);
    buf_add(&p->body, piece);
    act(p, IN_BODY);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct probe *p = ctx;

    check_true(p->call != NULL);
    p->call = NULL;
    p->e = e;
    p->why = *why;
    check_int(++p->dones, 1);
    if (++dones >= dones_wanted) uv_stop(loop_uv(loop));
}

static struct http_ask quick = {
    .method = "POST",
    .connect_ms = 2000,
    .first_byte_ms = 2000,
    .idle_ms = 2000,
    .total_ms = 5000,
    .body_bytes_max = 64 << 20,
};

static struct url address(const char *format, int port)
{
    char text[256];
    struct url u;

    snprintf(text, sizeof text, format, port);
    check_int(url_parse(&u, str_of(text), &arena), ERR_NONE);
    return u;
}

static void start_url(struct probe *p, struct http_ask ask, struct url u)
{
    struct http_call_events to = {.ctx = p, .head = on_head, .body = on_body, .done = on_done};

    buf_init(&p->body, SIZE_MAX);
    uv_update_time(loop_uv(loop)); /* the test may have slept outside of it */
    ask.url = &u;
    enum err e = http_call_start(&p->call, client, &ask, to, &p->why);
    if (e) print_error("%s\n", p->why.text);
    check_int(e, ERR_NONE);
    check_int(p->dones, 0);
}

static void start(struct probe *p, struct http_ask ask)
{
    start_url(p, ask, address("http://127.0.0.1:%d/v1?x=1", peer.port));
}

static void finish(int wanted)
{
    dones_wanted = wanted;
    while (dones < wanted) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    dones = 0;
}

static void on_spin(struct timer *t)
{
    (void)t;
    uv_stop(loop_uv(loop));
}

static void spin(int ms)
{
    struct timer t = {0};
    timer_set(&t, loop, (uint64_t)ms, on_spin);
    while (timer_is_set(&t)) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
}

/* One call to its end, judged. */
static void check_call(struct http_ask ask, enum err e, int status, const char *body)
{
    struct probe p = {0};

    start(&p, ask);
    finish(1);
    if (p.e != e) print_error("%s\n", p.why.text);
    check_int(p.e, e);
    if (status) check_int(p.status, status);
    if (body) check_str(buf_str(&p.body), str_of(body));
    if (e) check_true(strstr(p.why.text, "127.0.0.1:") != NULL);
    buf_fini(&p.body);
}

static int open_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static int fds_before;

static void client_open(struct http_client_conf conf)
{
    conf.user_agent = "sema/test";
    check_int(http_client_new(&client, loop, &conf, NULL), ERR_NONE);
}

static int setup(void **state)
{
    (void)state;
    dones = 0;
    arena_init(&arena, 0);
    fds_before = open_fds();
    check_int(loop_new(&loop, NULL), ERR_NONE);
    client_open((struct http_client_conf){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(client);
    loop_free(loop); /* asserts that nothing is open */
    if (peer.fd) peer_stop(&peer);
    memset(&peer, 0, sizeof peer);
    arena_fini(&arena);
    check_int(open_fds(), fds_before);
    return 0;
}

static void serve_with(peer_fn *serve, void *ctx)
{
    if (peer.fd) peer_stop(&peer);
    peer_start(&peer, serve, ctx);
}

/* Before what `serve` looks at goes out of scope. */
static void serve_no_more(void)
{
    peer_stop(&peer);
    peer.fd = 0;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- kept connections ---- */

static void serve_ok(struct peer *p, int fd, int nth)
{
    (void)nth;
    while (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, OK);
}

static void test_kept(void **state)
{
    (void)state;
    serve_with(serve_ok, NULL);
    for (int i = 0; i < 5; i++) check_call(quick, ERR_NONE, 200, "ok");
    check_int(peer.connections, 1);
    check_int(peer.requests, 5);
}

static void test_keys_do_not_share(void **state)
{
    struct header a = {STR("Authorization"), STR("Bearer one")}, b = {STR("x-api-key"), STR("two")};
    struct http_ask ask = quick;

    (void)state;
    serve_with(serve_ok, NULL);
    ask.headers_count = 1;
    for (int i = 0; i < 4; i++) {
        ask.headers = i % 2 ? &a : &b;
        check_call(ask, ERR_NONE, 200, "ok");
    }
    check_int(peer.connections, 2);
}

static void serve_request_text(struct peer *p, int fd, int nth)
{
    char head[4096], answer[8192];

    (void)nth;
    if (!peer_read(p, fd, head, sizeof head, NULL)) return;
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(head), head);
    peer_send(fd, answer);
}

static void test_request_text(void **state)
{
    struct header h[] = {{STR("Authorization"), STR("Bearer k")}, {STR("Accept"), STR("*/*")}};
    struct http_ask ask = quick;
    char want[512];

    (void)state;
    serve_with(serve_request_text, NULL);
    ask.headers = h;
    ask.headers_count = 2;
    ask.body = STR("12345");
    snprintf(
        want, sizeof want,
        "POST /v1?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: sema/test\r\nAccept-Encoding: "
        "identity\r\nAuthorization: Bearer k\r\nAccept: */*\r\nContent-Length: 5\r\n\r\n",
        peer.port);
    check_call(ask, ERR_NONE, 200, want);
    ask.method = "GET";
    ask.body = STR_NONE;
    ask.headers_count = 0;
    snprintf(
        want, sizeof want,
        "GET /v1?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: sema/test\r\nAccept-Encoding: "
        "identity\r\n\r\n",
        peer.port);
    check_call(ask, ERR_NONE, 200, want);
}

/* Neither a line end in a field nor its value may get out. */
static void test_bad_fields(void **state)
{
    struct header rows[] = {{STR("A"), STR("x\r\nB: y")}, {STR("A"), STR("secret\n")},
                            {STR("A B"), STR("x")},       {STR("A:"), STR("x")},
                            {STR(""), STR("x")},          {STR("A"), STR("x\0y")}};
    struct url u = address("http://127.0.0.1:%d/", 1);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_ask ask = quick;
        struct http_call *call = NULL;
        struct err_note why = {0};
        ask.url = &u;
        ask.headers = &rows[i];
        ask.headers_count = 1;
        check_int(http_call_start(&call, client, &ask, (struct http_call_events){0}, &why),
                  ERR_INVALID);
        check_true(call == NULL);
        check_true(strstr(why.text, "secret") == NULL);
    }
}

static void serve_once_then_close(struct peer *p, int fd, int nth)
{
    (void)nth;
    if (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, OK);
}

static void test_closed_while_idle(void **state)
{
    (void)state;
    serve_with(serve_once_then_close, NULL);
    for (int i = 0; i < 3; i++) {
        check_call(quick, ERR_NONE, 200, "ok");
        peer_sleep(20); /* the end is there, and no turn of the loop has seen it */
    }
    check_int(peer.connections, 3);
    spin(20);
}

static void serve_unasked(struct peer *p, int fd, int nth)
{
    (void)nth;
    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    peer_send(fd, OK);
    peer_sleep(10);
    peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad");
    peer_wait_gone(fd, 1000);
}

static void test_unasked_answer(void **state)
{
    (void)state;
    serve_with(serve_unasked, NULL);
    for (int i = 0; i < 4; i++) {
        check_call(quick, ERR_NONE, 200, "ok");
        if (i % 2)
            peer_sleep(30);
        else
            spin(30);
    }
    check_int(peer.connections, 4);
}

static void serve_two_in_one(struct peer *p, int fd, int nth)
{
    (void)nth;
    while (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, OK OK);
}

static void test_more_than_the_answer(void **state)
{
    (void)state;
    serve_with(serve_two_in_one, NULL);
    check_call(quick, ERR_NONE, 200, "ok");
    check_call(quick, ERR_NONE, 200, "ok");
    check_int(peer.connections, 2);
}

static void serve_stale(struct peer *p, int fd, int nth)
{
    atomic_int *reset = p->ctx;

    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    peer_send(fd, OK);
    if (nth > 1) {
        while (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, OK);
        return;
    }
    peer_read(p, fd, NULL, 0, NULL); /* the second request is read and never answered */
    if (atomic_load(reset)) peer_reset(fd);
}

static void test_stale(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        atomic_int reset = i;
        serve_with(serve_stale, &reset);
        check_call(quick, ERR_NONE, 200, "ok");
        check_call(quick, ERR_NONE, 200, "ok");
        check_int(peer.connections, 2);
        check_int(peer.requests, 3);
        http_client_free(client);
        client_open((struct http_client_conf){0});
        spin(10);
        serve_no_more();
    }
}

static void serve_stale_twice(struct peer *p, int fd, int nth)
{
    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    if (nth > 1) return;
    peer_send(fd, OK);
    peer_read(p, fd, NULL, 0, NULL);
}

static void test_stale_repeats_once(void **state)
{
    (void)state;
    serve_with(serve_stale_twice, NULL);
    check_call(quick, ERR_NONE, 200, "ok");
    check_call(quick, ERR_NETWORK, 0, "");
    check_int(peer.connections, 2);
    check_int(peer.requests, 3);
}

static void serve_stale_half(struct peer *p, int fd, int nth)
{
    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    peer_send(fd, nth > 1 ? OK OK : OK);
    if (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, "HTTP/1.1 2");
}

/* A byte of the answer was there: the provider may have worked, so nobody asks again. */
static void test_no_repeat_after_a_byte(void **state)
{
    (void)state;
    serve_with(serve_stale_half, NULL);
    check_call(quick, ERR_NONE, 200, "ok");
    check_call(quick, ERR_NETWORK, 0, "");
    check_int(peer.connections, 1);
}

static void test_kept_limits(void **state)
{
    (void)state;
    http_client_free(client);
    client_open((struct http_client_conf){.kept_max = 2, .kept_idle_ms = 60});
    serve_with(serve_ok, NULL);
    struct probe p[4] = {0};
    for (int i = 0; i < 4; i++) start(&p[i], quick);
    finish(4);
    for (int i = 0; i < 4; i++) buf_fini(&p[i].body);
    check_int(peer.connections, 4);
    for (int i = 0; i < 4; i++) {
        p[i] = (struct probe){0};
        start(&p[i], quick);
    }
    finish(4);
    for (int i = 0; i < 4; i++) buf_fini(&p[i].body);
    check_int(peer.connections, 6); /* two were kept */
    spin(150);
    check_call(quick, ERR_NONE, 200, "ok");
    check_int(peer.connections, 7); /* those became too old */
}

/* ---- the answer's framing ---- */

struct script {
    const char *answer;
    atomic_size_t cut; /* a pause after so many bytes; SIZE_MAX: none */
    bool reset, stay;
};

static void serve_script(struct peer *p, int fd, int nth)
{
    const struct script *s = p->ctx;
    size_t len = strlen(s->answer), cut = s->cut < len ? s->cut : len;

    (void)nth;
    while (peer_read(p, fd, NULL, 0, NULL)) {
        peer_send_all(fd, s->answer, cut);
        if (cut < len) {
            peer_sleep(1);
            peer_send_all(fd, s->answer + cut, len - cut);
        }
        if (s->reset) {
            peer_sleep(20);
            peer_reset(fd);
        }
        if (!s->stay) return;
    }
}

static void test_framing(void **state)
{
    static const struct {
        const char *name, *answer;
        enum err e;
        int status;
        const char *body;
        bool reset;
    } rows[] = {
        {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ERR_NONE, 200, "ok", false},
        {"length 0", "HTTP/1.1 503 Busy\r\ncontent-length:0\r\n\r\n", ERR_NONE, 503, "", false},
        {"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", ERR_NONE, 200, "ok", false},
        {"no body", "HTTP/1.1 204 No\r\n\r\n", ERR_NONE, 204, "", false},
        {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         ERR_NONE, 200, "ok", false},
        {"odd case",
         "HTTP/1.1 200 OK\r\nTRANSFER-encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n",
         ERR_NONE, 200, "0123456789", false},
        {"extensions and trailers",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0;x\r\nT: "
         "v\r\nU: w\r\n\r\n",
         ERR_NONE, 200, "ok", false},
        {"until the end", "HTTP/1.1 200 OK\r\n\r\nok until", ERR_NONE, 200, "ok until", false},
        {"1.0", "HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\nok", ERR_NONE, 200, "ok", false},
        {"1.0 empty", "HTTP/1.0 200 OK\r\n\r\n", ERR_NONE, 200, "", false},
        {"until a reset", "HTTP/1.1 200 OK\r\n\r\nok", ERR_NETWORK, 200, "ok", true},
        {"100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         ERR_NONE, 200, "ok", false},
        {"102 103",
         "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 201 "
         "OK\r\nContent-Length: "
         "2\r\n\r\nok",
         ERR_NONE, 201, "ok", false},
        {"identity", "HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 2\r\n\r\nok",
         ERR_NONE, 200, "ok", false},
        {"gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
         ERR_SERVER, 0, "", false},
        {"too short", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", ERR_NETWORK, 200, "ok",
         false},
        {"chunk cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", ERR_NETWORK,
         200, "ok", false},
        {"last chunk missing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
         ERR_NETWORK, 200, "ok", false},
        {"head cut", "HTTP/1.1 200 OK\r\nContent-Le", ERR_NETWORK, 0, "", false},
        {"nothing", "", ERR_NETWORK, 0, "", false},
        {"reset", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", ERR_NETWORK, 200, "ok", true},
        {"not http", "SSH-2.0-x\r\n", ERR_SERVER, 0, "", false},
        {"http 0.9", "<html>", ERR_SERVER, 0, "", false},
        {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n", ERR_SERVER,
         200, "", false},
        {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
         ERR_SERVER, 0, "", false},
        {"length and chunks",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         ERR_SERVER, 0, "", false},
        {"upgrade", "HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ERR_SERVER, 0,
         "", false},
        {"redirect", "HTTP/1.1 307 T\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n",
         ERR_NONE, 307, "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct script s = {.answer = rows[i].answer, .cut = SIZE_MAX, .reset = rows[i].reset};
        print_message("# %s\n", rows[i].name);
        serve_with(serve_script, &s);
        check_call(quick, rows[i].e, rows[i].status, rows[i].body);
        check_int(peer.requests, 1);
        serve_no_more();
    }
}

static void test_every_cut(void **state)
{
    static const char answer[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: a b\r\nX:\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3;e=1\r\nh\xC3\xA9\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n";
    /* Static: the connection is kept, and with it the peer's thread, until the client closes. */
    static struct script s = {.answer = answer, .stay = true};

    (void)state;
    serve_with(serve_script, &s);
    for (s.cut = 1; s.cut < sizeof answer - 1; s.cut++) {
        struct probe p = {0};
        start(&p, quick);
        finish(1);
        check_int(p.e, ERR_NONE);
        check_int(p.heads, 1);
        check_str(str_of(p.server), STR("a b"));
        check_str(buf_str(&p.body), STR("h\xC3\xA9ok"));
        buf_fini(&p.body);
    }
    check_int(peer.connections, 1);
}

static void serve_big_head(struct peer *p, int fd, int nth)
{
    atomic_int *bytes = p->ctx;
    char line[128];

    (void)nth;
    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    for (int sent = 0; sent < *bytes; sent += 1000) {
        snprintf(line, sizeof line, "X-%d: ", sent);
        peer_send(fd, line);
        for (int i = 0; i < 10; i++) {
            snprintf(line, sizeof line, "%098d", i);
            peer_send(fd, line);
        }
        peer_send(fd, "\r\n");
    }
    peer_send(fd, "\r\nok");
    peer_wait_gone(fd, 200);
}

static void test_head_limit(void **state)
{
    (void)state;
    for (atomic_int bytes = 50000; bytes <= 100000; bytes += 50000) {
        serve_with(serve_big_head, &bytes);
        check_call(quick, bytes == 50000 ? ERR_NONE : ERR_SERVER, bytes == 50000 ? 200 : 0, NULL);
        serve_no_more();
    }
}

static void serve_many_fields(struct peer *p, int fd, int nth)
{
    atomic_int *count = p->ctx;

    (void)nth;
    if (!peer_read(p, fd, NULL, 0, NULL)) return;
    peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    for (int i = 1; i < *count; i++) peer_send(fd, "a: b\r\n");
    peer_send(fd, "\r\nok");
    peer_wait_gone(fd, 200);
}

static void test_field_limit(void **state)
{
    (void)state;
    for (atomic_int count = 256; count <= 257; count++) {
        serve_with(serve_many_fields, &count);
        check_call(quick, count == 256 ? ERR_NONE : ERR_SERVER, 0, NULL);
        serve_no_more();
    }
}

static void test_body_limit(void **state)
{
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890",
        "HTTP/1.1 200 OK\r\n\r\n01234567890",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5;eeeeeeeeeeeeeeeee\r\n01234\r\n0\r\n\r\n",
    };
    struct http_ask ask = quick;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct script s = {.answer = rows[i], .cut = SIZE_MAX};
        serve_with(serve_script, &s);
        ask.body_bytes_max = 10;
        check_call(ask, ERR_SERVER, 0, NULL);
        ask.body_bytes_max = 100;
        check_call(ask, ERR_NONE, 200, NULL);
        serve_no_more();
    }
}

/* ---- large requests ---- */

static void serve_slow_reader(struct peer *p, int fd, int nth)
{
    char answer[128];
    size_t body;

    (void)nth;
    peer_sleep(50);
    while (peer_read(p, fd, NULL, 0, &body)) {
        int n = snprintf(answer + 64, 64, "%zu", body);
        snprintf(answer, 64, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n);
        peer_send(fd, answer);
        peer_send(fd, answer + 64);
    }
}

static void test_large_request(void **state)
{
    size_t len = 8 << 20;
    char *body = malloc(len);
    struct http_ask ask = quick;

    (void)state;
    memset(body, 'x', len);
    serve_with(serve_slow_reader, NULL);
    ask.body = str_span(body, len);
    check_call(ask, ERR_NONE, 200, "8388608");
    ask.body.len = 1000;
    check_call(ask, ERR_NONE, 200, "1000");
    check_int(peer.connections, 1);

    /* Gone in the middle of sending: the bytes live until libuv let go of them. */
    struct probe p = {0};
    ask.body.len = len;
    start(&p, ask);
    spin(5);
    http_call_cancel(p.call);
    free(body);
    spin(20);
}

struct early {
    atomic_int answered, left; /* calls, connections */
};

static void serve_early(struct peer *p, int fd, int nth)
{
    struct early *early = p->ctx;
    int before = atomic_load(&early->answered);
    char c;

    (void)nth;
    if (recv(fd, &c, 1, 0) > 0) peer_send(fd, "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig");
    /* Nothing more is read until the client has the answer: the buffers between hold less than the
     * request, so that it is not sent whole, however slow the client is. */
    for (int k = 0; k < 1000 && atomic_load(&early->answered) == before; k++) peer_sleep(5);
    if (peer_wait_gone(fd, 1000) >= 0) atomic_fetch_add(&early->left, 1);
}

static void test_answer_before_the_request_is_sent(void **state)
{
    size_t len = 16 << 20;
    char *body = calloc(1, len);
    struct http_ask ask = quick;
    struct early early = {0};

    (void)state;
    serve_with(serve_early, &early);
    ask.body = str_span(body, len);
    for (int i = 1; i <= 2; i++) {
        check_call(ask, ERR_NONE, 413, "big");
        atomic_store(&early.answered, i);
        for (int k = 0; k < 100 && atomic_load(&early.left) < i; k++) spin(5);
        check_int(early.left, i); /* a half-sent request leaves nothing to keep */
    }
    check_int(peer.connections, 2);
    serve_no_more();
    free(body);
}

/* ---- deadlines ---- */

static void serve_wait(struct peer *p, int fd, int nth)
{
    const char *first = p->ctx;

    (void)nth;
    peer_read(p, fd, NULL, 0, NULL);
    peer_send(fd, first);
    peer_wait_gone(fd, 2000);
}

/* `least` is a little less than the limit: the loop's clock has whole milliseconds. */
static void check_timeout(struct http_ask ask, const char *first, const char *word, int least,
                          int most)
{
    struct probe p = {0};

    serve_with(serve_wait, (void *)(uintptr_t)first);
    uint64_t from = clock_mono_us();
    start(&p, ask);
    finish(1);
    int took = (int)((clock_mono_us() - from) / 1000);
    check_int(p.e, ERR_TIMEOUT);
    if (!strstr(p.why.text, word)) print_error("%s\n", p.why.text);
    check_true(strstr(p.why.text, word) != NULL);
    check_true(took >= least && took <= most);
    buf_fini(&p.body);
    serve_no_more();
}

static void test_timeouts(void **state)
{
    struct http_ask ask = quick;

    (void)state;
    ask.first_byte_ms = 80;
    check_timeout(ask, "", "no answer", 78, 1500);
    ask = quick;
    ask.idle_ms = 80;
    check_timeout(ask, "HTTP/1.1 200 OK\r\n", "silent", 78, 1500);
    check_timeout(ask, "HTTP/1.1 200 OK\r\n\r\nsome", "silent", 78, 1500);
    ask = quick;
    ask.total_ms = 80;
    check_timeout(ask, "", "too long", 78, 1500);
    ask.idle_ms = ask.first_byte_ms = 0;
    check_timeout(ask, "HTTP/1.1 200 OK\r\n\r\nsome", "too long", 78, 1500);
}

static void serve_drip(struct peer *p, int fd, int nth)
{
    (void)nth;
    peer_read(p, fd, NULL, 0, NULL);
    peer_send(fd, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 12; i++) {
        peer_send(fd, ".");
        peer_sleep(20);
    }
}

static void test_bytes_keep_a_call_alive(void **state)
{
    struct http_ask ask = quick;

    (void)state;
    serve_with(serve_drip, NULL);
    ask.idle_ms = ask.first_byte_ms = 100;
    check_call(ask, ERR_NONE, 200, "............");
}

/* A port whose queue of connections is full answers no SYN. */
static int full_port(int *port, int fds[8])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    bind(fd, (struct sockaddr *)&a, sizeof a);
    listen(fd, 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    for (int i = 0; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&a, sizeof a);
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static void test_connect(void **state)
{
    int port, fds[8], fd = full_port(&port, fds);
    struct probe p = {0}, q = {0};
    struct http_ask ask = quick;

    (void)state;
    ask.connect_ms = 80;
    start_url(&p, ask, address("http://127.0.0.1:%d/", port));
    finish(1);
    check_int(p.e, ERR_TIMEOUT);
    check_true(strstr(p.why.text, "connecting") != NULL);

    start_url(&q, quick, address("http://127.0.0.1:%d/", port)); /* cancelled in the middle */
    spin(10);
    http_call_cancel(q.call);
    spin(10);
    for (int i = 0; i < 8; i++) close(fds[i]);
    close(fd);

    p = (struct probe){0};
    start_url(&p, quick, address("http://127.0.0.1:%d/", port)); /* closed by now */
    finish(1);
    check_int(p.e, ERR_NETWORK);
    check_int(p.why.http_status, HTTP_FAULT_CONNECT);
    check_true(strstr(p.why.text, "refused") != NULL);
    buf_fini(&p.body);
    buf_fini(&q.body);
}

static void test_names(void **state)
{
    struct probe p = {0};

    (void)state;
    peer_start_at(&peer, serve_ok, NULL, true); /* on ::1: the first address of the name refuses */
    start_url(&p, quick, address("http://localhost:%d/", peer.port));
    finish(1);
    check_int(p.e, ERR_NONE);
    buf_fini(&p.body);

    p = (struct probe){0};
    start_url(&p, quick, address("http://[::1]:%d/", peer.port));
    finish(1);
    check_int(p.e, ERR_NONE);
    buf_fini(&p.body);

    /* RFC 6761: never resolves.  Twice, so that the second finds the failure remembered; and one
     * that nobody waits for any more. */
    for (int i = 0; i < 2; i++) {
        struct probe gone = {0};
        p = (struct probe){0};
        start_url(&gone, quick, address("http://no-such-name.invalid:%d/", 1));
        start_url(&p, quick, address("http://no-such-name.invalid:%d/", 1));
        http_call_cancel(gone.call);
        finish(1);
        check_int(p.e, ERR_NETWORK);
        check_true(strstr(p.why.text, "cannot resolve no-such-name.invalid") != NULL);
    }
    struct probe gone = {0};
    start_url(&gone, quick, address("http://another-name.invalid:%d/", 1));
    http_call_cancel(gone.call); /* the lookup outlives its client: teardown frees that first */
}

/* ---- cancelling ---- */

static void serve_stream(struct peer *p, int fd, int nth)
{
    atomic_int *gone = p->ctx;

    (void)nth;
    while (peer_read(p, fd, NULL, 0, NULL)) {
        peer_send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        if (!gone) {
            peer_sleep(30);
            peer_send(fd, "3\r\ndef\r\n0\r\n\r\n");
            continue;
        }
        int ms = peer_wait_gone(fd, 1000);
        atomic_store(gone, ms >= 0 ? 1 : -1);
        return;
    }
}

static void test_cancel_inside_events(void **state)
{
    (void)state;
    for (int where = IN_HEAD; where <= IN_BODY; where++) {
        atomic_int gone = 0;
        struct probe p = {.cancel_in = where};
        serve_with(serve_stream, &gone);
        start(&p, quick);
        while (p.call) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
        for (int i = 0; i < 100 && !atomic_load(&gone); i++) spin(5);
        check_int(gone, 1);
        check_int(p.dones, 0);
        check_int(p.heads, 1);
        check_int(p.body.len, where == IN_HEAD ? 0 : 3);
        buf_fini(&p.body);
    }
}

static void test_cancel_while_waiting(void **state)
{
    struct probe p = {0};

    (void)state;
    serve_with(serve_wait, (void *)(uintptr_t) "");
    start(&p, quick);
    http_call_cancel(p.call); /* at once: before anything happened */
    start(&p, quick);
    spin(20);
    http_call_cancel(p.call);
    spin(20);
    check_int(p.heads + p.dones, 0);
    http_call_cancel(NULL);
}

/* The end is known from the content: the rest is read, and the connection stays. */
static void test_abandon(void **state)
{
    (void)state;
    serve_with(serve_stream, NULL);
    struct probe p = {.abandon_in = IN_BODY};
    start(&p, quick);
    while (p.call) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    spin(60);
    check_str(buf_str(&p.body), STR("abc"));
    buf_fini(&p.body);
    check_call(quick, ERR_NONE, 200, "abcdef");
    check_int(peer.connections, 1);

    p = (struct probe){.abandon_in = IN_HEAD, .pause_in = IN_HEAD};
    start(&p, quick);
    while (p.call) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    buf_fini(&p.body);
    spin(60);
    check_call(quick, ERR_NONE, 200, "abcdef");
    check_int(peer.connections, 1);
    /* One is still being thrown away when the client goes. */
    p = (struct probe){.abandon_in = IN_HEAD};
    start(&p, quick);
    while (p.call) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    buf_fini(&p.body);
}

static void serve_endless(struct peer *p, int fd, int nth)
{
    static const char zeros[8192];
    atomic_size_t *sent = p->ctx;

    (void)nth;
    peer_read(p, fd, NULL, 0, NULL);
    peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n");
    for (*sent = 0; *sent < 16 << 20; *sent += sizeof zeros)
        if (send(fd, zeros, sizeof zeros, MSG_NOSIGNAL) != sizeof zeros) return;
}

static void on_resume(struct timer *t)
{
    http_call_pause(container_of(t, struct probe, timer)->call, false);
}

/* A paused call takes no more, does not count as silent, and goes on where it was. */
static void test_pause(void **state)
{
    atomic_size_t sent = 0;
    struct probe p = {.pause_in = IN_HEAD};
    struct http_ask ask = quick;

    (void)state;
    serve_with(serve_endless, &sent);
    ask.idle_ms = 250;
    start(&p, ask);
    spin(400);
    check_int(p.dones, 0);
    check_true(p.body.len <= 128 << 10);
    check_true(sent < 12 << 20);
    timer_set(&p.timer, loop, 0, on_resume);
    finish(1);
    check_int(p.e, ERR_NONE);
    check_int(p.body.len, 16 << 20);
    buf_fini(&p.body);
}

/* ---- many ---- */

static void serve_number(struct peer *p, int fd, int nth)
{
    char head[1024], answer[256];

    (void)nth;
    while (peer_read(p, fd, head, sizeof head, NULL)) {
        int n = 0;
        sscanf(head, "GET /%d ", &n);
        peer_sleep(n % 7);
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%04d\r\n", n);
        peer_send(fd, answer);
        peer_sleep(n % 5);
        snprintf(answer, sizeof answer, "4\r\n%04d\r\n0\r\n\r\n", n);
        peer_send(fd, answer);
    }
}

static void test_many(void **state)
{
    static struct probe p[50];
    char text[64], want[16];

    (void)state;
    serve_with(serve_number, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            struct http_ask ask = quick;
            p[i] = (struct probe){0};
            snprintf(text, sizeof text, "http://127.0.0.1:%%d/%d", round * 50 + i);
            ask.method = "GET";
            start_url(&p[i], ask, address(text, peer.port));
        }
        finish(50);
        for (int i = 0; i < 50; i++) {
            snprintf(want, sizeof want, "%04d%04d", round * 50 + i, round * 50 + i);
            check_int(p[i].e, ERR_NONE);
            check_str(buf_str(&p[i].body), str_of(want));
            buf_fini(&p[i].body);
        }
    }
    check_int(peer.connections, 50);
    check_int(peer.requests, 150);
}

static int chain_left;

static void on_chain_done(void *ctx, enum err e, const struct err_note *why)
{
    (void)why;
    check_int(e, ERR_NONE);
    if (--chain_left == 0) {
        uv_stop(loop_uv(loop));
        return;
    }
    struct http_call *call;
    check_int(http_call_start(&call, client, ctx,
                              (struct http_call_events){.ctx = ctx, .done = on_chain_done}, NULL),
              ERR_NONE);
}

/* A call that is started from inside the end of another takes its connection over. */
static void test_chain(void **state)
{
    struct http_ask ask = quick;

    (void)state;
    serve_with(serve_ok, NULL);
    struct url u = address("http://127.0.0.1:%d/", peer.port);
    ask.url = &u;
    chain_left = 101;
    on_chain_done(&ask, ERR_NONE, NULL);
    while (chain_left) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    check_int(peer.connections, 1);
    check_int(peer.requests, 100);
}

/* ---- the proxy ---- */

struct tunnel {
    char head[1024];
    const char *answer;
};

static void serve_proxy(struct peer *p, int fd, int nth)
{
    struct tunnel *t = p->ctx;

    (void)nth;
    if (!peer_read(p, fd, t->head, sizeof t->head, NULL)) return;
    peer_send(fd, t->answer);
    while (peer_read(p, fd, NULL, 0, NULL)) peer_send(fd, OK);
}

static void test_proxy(void **state)
{
    struct tunnel t = {.answer = "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"};
    struct header key = {STR("Authorization"), STR("Bearer hush")};
    struct http_ask ask = quick;
    char proxy[128];

    (void)state;
    http_client_free(client);
    serve_with(serve_proxy, &t);
    snprintf(proxy, sizeof proxy, "http://me:p%%40ss@127.0.0.1:%d", peer.port);
    client_open((struct http_client_conf){.proxy = proxy, .no_proxy = "internal.test"});
    ask.headers = &key;
    ask.headers_count = 1;
    for (int i = 0; i < 2; i++) {
        struct probe p = {0};
        start_url(&p, ask, address("http://api.example.test:%d/", 8080));
        finish(1);
        check_int(p.e, ERR_NONE);
        buf_fini(&p.body);
    }
    check_int(peer.connections, 1);
    check_str(str_of(t.head),
              STR("CONNECT api.example.test:8080 HTTP/1.1\r\nHost: api.example.test:8080\r\n"
                  "User-Agent: sema/test\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"));

    static const struct {
        const char *answer, *word;
    } rows[] = {
        {"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "407"},
        {"HTTP/1.0 502 Bad\r\n\r\n", "502"},
        {"nonsense\r\n\r\n", "refused"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct probe p = {0};
        t.answer = rows[i].answer;
        start_url(&p, ask, address("http://other%d.example.test/", (int)i));
        finish(1);
        check_int(p.e, ERR_NETWORK);
        check_true(strstr(p.why.text, rows[i].word) != NULL);
        check_true(strstr(p.why.text, "hush") == NULL && strstr(p.why.text, "p@ss") == NULL);
        buf_fini(&p.body);
    }
}

static void serve_mute_proxy(struct peer *p, int fd, int nth)
{
    (void)nth;
    peer_read(p, fd, NULL, 0, NULL);
    peer_send(fd, "HTTP/1.1 200");
    peer_wait_gone(fd, 1000);
}

static void test_mute_proxy(void **state)
{
    struct http_ask ask = quick;
    struct probe p = {0};
    char proxy[128];

    (void)state;
    http_client_free(client);
    serve_with(serve_mute_proxy, NULL);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", peer.port);
    client_open((struct http_client_conf){.proxy = proxy});
    ask.connect_ms = 80;
    start_url(&p, ask, address("http://api.example.test:%d/", 80));
    finish(1);
    check_int(p.e, ERR_TIMEOUT);
    check_true(strstr(p.why.text, "proxy") != NULL);
    p = (struct probe){0};
    start_url(&p, quick, address("http://api.example.test:%d/", 80));
    spin(20);
    http_call_cancel(p.call);
}

/* libuv opens a pipe for signals with the first loop and keeps it. */
static int warm_up(void **state)
{
    (void)state;
    check_int(loop_new(&loop, NULL), ERR_NONE);
    loop_free(loop);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(kept),
        CASE(keys_do_not_share),
        CASE(request_text),
        CASE(bad_fields),
        CASE(closed_while_idle),
        CASE(unasked_answer),
        CASE(more_than_the_answer),
        CASE(stale),
        CASE(stale_repeats_once),
        CASE(no_repeat_after_a_byte),
        CASE(kept_limits),
        CASE(framing),
        CASE(every_cut),
        CASE(head_limit),
        CASE(field_limit),
        CASE(body_limit),
        CASE(large_request),
        CASE(answer_before_the_request_is_sent),
        CASE(timeouts),
        CASE(bytes_keep_a_call_alive),
        CASE(connect),
        CASE(names),
        CASE(cancel_inside_events),
        CASE(cancel_while_waiting),
        CASE(abandon),
        CASE(pause),
        CASE(many),
        CASE(chain),
        CASE(proxy),
        CASE(mute_proxy),
    };
    return cmocka_run_group_tests_name("wire/http_client", tests, warm_up, NULL);
}
