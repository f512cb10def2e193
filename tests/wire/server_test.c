/* What depends on the order of things inside one turn of the loop: the test is the client and turns
 * the loop by hand, so nothing is left to chance. */
#include "check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "conf/limits.h"
#include "http/server_private.h"

/* ---- a server whose app is set by each case ---- */

static struct fixture {
    struct loop *loop;
    struct http_listen *listen;
    struct http_server *server;
    struct request *pending; /* what /hold left open */
    struct websocket *ws;
    int gone, closed, drained, messages;
    bool in_app; /* an app's call is running: nothing may call back */
    bool kill_in_head, kill_in_message, pause_in_message;
    char seen[256]; /* messages, one behind the other */
    char peer[64];
} f;

static void turn(int times)
{
    for (int i = 0; i < times; i++) {
        uv_run(loop_uv(f.loop), UV_RUN_NOWAIT);
        usleep(200);
    }
}

static void on_gone(struct request *r)
{
    (void)r;
    check_true(!f.in_app);
    f.pending = NULL;
    f.gone++;
}

static void on_message(void *ctx, struct websocket *ws, bool text, str message)
{
    (void)ctx;
    (void)text;
    f.messages++;
    size_t at = strlen(f.seen);
    snprintf(f.seen + at, sizeof f.seen - at, "%.*s ", STR_ARG(message));
    f.in_app = true;
    if (f.pause_in_message) ws_pause(ws, true);
    if (f.kill_in_message) http_server_kill(f.server);
    ws_send(ws, message);
    f.in_app = false;
}

static void on_ws_closed(void *ctx, struct websocket *ws)
{
    (void)ctx;
    (void)ws;
    check_true(!f.in_app);
    f.ws = NULL;
    f.closed++;
}

static void head(void *ctx, struct request *r)
{
    (void)ctx;
    r->on_gone = on_gone;
    snprintf(f.peer, sizeof f.peer, "%.*s", STR_ARG(r->peer));
    f.in_app = true;
    if (f.kill_in_head) http_server_kill(f.server);
    f.in_app = false;
}

static void body(void *ctx, struct request *r)
{
    (void)ctx;
    if (str_eq(r->path, STR("/hold"))) {
        f.pending = r;
    } else if (str_eq(r->path, STR("/ws")) && ws_asked(r) && ws_version_fits(r)) {
        ws_accept(&f.ws, r, (struct ws_app){.message = on_message, .closed = on_ws_closed});
    } else {
        if (str_eq(r->path, STR("/last"))) response_header(r, "Connection", STR("close"));
        response_header(r, "X-Echo", r->query);
        response_header(r, "X-Lines", STR("a\r\nInjected: b\n\tc\x7f"));
        response_send(r, 200, "text/plain", STR("fine"));
    }
}

static void fault(void *ctx, struct request *r, enum err e)
{
    (void)ctx;
    (void)e;
    response_send(r, 413, NULL, STR_NONE);
}

static void on_drained(void *ctx)
{
    (void)ctx;
    f.drained++;
}

static void begin_at(const char *host)
{
    f = (struct fixture){0};
    struct err_note why = {0};
    check_int(loop_new(&f.loop, NULL), ERR_NONE);
    check_int(http_listen_new(&f.listen, host, 0, &why), ERR_NONE);
    check_int(http_server_new(&f.server, f.loop, f.listen,
                              &(struct http_app){.head = head, .body = body, .fault = fault}, NULL),
              ERR_NONE);
}

static void begin(void)
{
    begin_at("127.0.0.1");
}

static void end(void)
{
    http_server_kill(f.server);
    turn(2);
    check_int(http_server_conns(f.server), 0);
    http_server_free(f.server);
    turn(2);
    loop_free(f.loop);
    http_listen_free(f.listen);
}

/* ---- the client ---- */

static int connect_to(const char *address)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)http_listen_port(f.listen))};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6.sin6_port};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    if (!is_v6) inet_pton(AF_INET, address, &v4.sin_addr);
    int rc = is_v6 ? connect(fd, (struct sockaddr *)&v6, sizeof v6)
                   : connect(fd, (struct sockaddr *)&v4, sizeof v4);
    if (rc != 0) {
        close(fd);
        return -1;
    }
    turn(3);
    return fd;
}

static void say(int fd, const char *text)
{
    check_int(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static char got[1 << 20];

/* What has come so far; the test's own turns made it come. */
static str hear(int fd)
{
    size_t n = 0;
    for (ssize_t part; (part = recv(fd, got + n, sizeof got - n, MSG_DONTWAIT)) > 0;)
        n += (size_t)part;
    return str_span(got, n);
}

static bool has(str text, const char *part)
{
    return str_find(text, str_of(part)) != STR_NPOS;
}

static const char request[] = "GET /?q HTTP/1.1\r\nHost: a\r\n\r\n";
static const char hold[] = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
static const char upgrade[] =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/* Masked with zeros, which is a mask like any other. */
#define WS_TEXT(letter) "\x81\x81\x00\x00\x00\x00" letter

/* ---- cases ---- */

/* A request that lies unread in the kernel when the drain begins is answered, though its connection
 * was idle. */
static void test_drain_unread(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1"), idle = connect_to("127.0.0.1");
    say(fd, request);
    http_server_drain(f.server, on_drained, NULL);
    check_int(http_server_conns(f.server), 1);
    turn(3);
    check_true(has(hear(fd), "\r\n\r\nfine"));
    check_int(recv(idle, got, 1, 0), 0);
    turn(3);
    check_int(f.drained, 1);
    close(fd);
    close(idle);
    end();
}

/* Who was let in by the kernel before the drain is served; who comes later is refused at once. */
static void test_drain_queue(void **state)
{
    (void)state;
    begin();
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)http_listen_port(f.listen))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), late = socket(AF_INET, SOCK_STREAM, 0);
    check_int(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    say(fd, request); /* the loop has not turned: nobody has accepted this one */
    http_server_drain(f.server, on_drained, NULL);
    check_int(connect(late, (struct sockaddr *)&a, sizeof a), -1);
    turn(3);
    check_true(has(hear(fd), "\r\n\r\nfine"));
    check_int(f.drained, 1);
    close(fd);
    close(late);
    end();
}

static void test_drained_when_empty(void **state)
{
    (void)state;
    begin();
    http_server_drain(f.server, on_drained, NULL);
    check_int(f.drained, 0); /* never from inside the call */
    turn(2);
    check_int(f.drained, 1);
    end();
}

static void test_kill_inside(void **state)
{
    (void)state;
    begin();
    f.kill_in_head = true;
    int fd = connect_to("127.0.0.1");
    say(fd, hold);
    turn(4);
    check_int(f.gone, 1);
    check_int(http_server_conns(f.server), 0);
    close(fd);
    end();

    begin();
    fd = connect_to("127.0.0.1");
    say(fd, upgrade);
    turn(3);
    f.kill_in_message = true;
    check_int(send(fd, WS_TEXT("a") WS_TEXT("b"), 14, 0), 14);
    turn(4);
    check_int(f.closed, 1);
    check_int(http_server_conns(f.server), 0);
    close(fd);
    end();
}

/* That writing failed is learnt in the next turn, never inside the app's own call. */
static void test_gone_later(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, hold);
    turn(3);
    check_true(f.pending != NULL);
    response_stream(f.pending, 200, "text/plain");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd); /* a reset, which the server has not read */
    f.in_app = true;
    response_write(f.pending, STR("into the void"));
    response_write(f.pending, STR("again"));
    f.in_app = false;
    check_int(f.gone, 0);
    turn(3);
    check_int(f.gone, 1);
    end();
}

/* An answer that was given before the reset was noticed ends the request: no on_gone. */
static void test_answered_then_gone(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, hold);
    turn(3);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    response_send(f.pending, 200, NULL, STR("too late"));
    turn(3);
    check_int(f.gone, 0);
    check_int(http_server_conns(f.server), 0);
    end();
}

static void test_header_lines(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, "GET /?a%0d%0aX:b HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(3);
    str answer = hear(fd);
    check_true(has(answer, "\r\nX-Echo: a%0d%0aX:b\r\n"));
    check_true(has(answer, "\r\nX-Lines: a  Injected: b  c \r\n"));
    close(fd);
    end();
}

/* The app may end the connection with its answer. */
static void test_app_closes(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, "GET /last HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(3);
    str answer = hear(fd);
    size_t at = str_find(answer, STR("\r\nConnection: close\r\n"));
    check_true(at != STR_NPOS && !has(str_tail(answer, at + 1), "\r\nConnection"));
    check_true(!has(str_tail(answer, 1), "HTTP/1.1"));
    check_int(recv(fd, got, 1, 0), 0);
    close(fd);
    end();
}

/* A hundred pipelined requests are answered in one write: one segment or a few, not a hundred. */
static void test_one_write(void **state)
{
    (void)state;
    static char many[100 * sizeof request];
    begin();
    int fd = connect_to("127.0.0.1");
    for (int i = 0; i < 100; i++) strcat(many, request);
    say(fd, many);
    turn(4);
    check_true(hear(fd).len > 100 * 100);
    /* tcpi_data_segs_in of Linux's struct tcp_info, which the C library's one lacks */
    enum { DATA_SEGS_IN = 152 / sizeof(uint32_t) };
    uint32_t info[64] = {0};
    socklen_t len = sizeof info;
    check_int(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len), 0);
    check_true(info[DATA_SEGS_IN] >= 1 && info[DATA_SEGS_IN] <= 4);
    close(fd);
    end();
}

static void test_socket_options(void **state)
{
    (void)state;
    static const int names[] = {TCP_NODELAY, TCP_NOTSENT_LOWAT};
    static const int want[] = {1, STREAM_KERNEL_BYTES_MAX};
    begin();
    int fd = connect_to("127.0.0.1");
    uv_os_fd_t ours;
    check_int(uv_fileno((uv_handle_t *)&f.server->conns->tcp, &ours), 0);
    for (int i = 0; i < 2; i++) {
        int value = -1;
        socklen_t len = sizeof value;
        check_int(getsockopt(ours, IPPROTO_TCP, names[i], &value, &len), 0);
        check_int(value, want[i]);
    }
    close(fd);
    end();
}

static void serves(const char *host, const char *address, const char *peer)
{
    begin_at(host);
    int fd = connect_to(address);
    if (fd < 0) fail_msg("%s does not answer on %s", host, address);
    say(fd, request);
    turn(3);
    check_true(has(hear(fd), "\r\n\r\nfine"));
    check_str(str_of(f.peer), str_of(peer));
    close(fd);
    end();
}

static bool has_v6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool fine = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) close(fd);
    return fine;
}

static void test_hosts(void **state)
{
    (void)state;
    serves("0.0.0.0", "127.0.0.1", "127.0.0.1");
    serves("", "127.0.0.1", "127.0.0.1");
    serves("localhost", "127.0.0.1", "127.0.0.1");
    if (!has_v6()) return;
    serves("::1", "::1", "::1");
    serves("[::1]", "::1", "::1");
    serves("::", "::1", "::1");
    serves("::", "127.0.0.1", "127.0.0.1"); /* not ::ffff:127.0.0.1 */
}

static void test_bad_hosts(void **state)
{
    (void)state;
    struct http_listen *l = NULL;
    struct err_note why = {0};
    check_int(http_listen_new(&l, "192.0.2.1", 0, &why), ERR_IO);
    check_str(str_of(why.text),
              STR("cannot listen on 192.0.2.1:0: Cannot assign requested address"));
    check_int(http_listen_new(&l, "no such name", 80, &why), ERR_IO);
    check_true(str_starts(str_of(why.text), STR("cannot listen on no such name:80: ")));
    check_true(l == NULL);
    begin();
    check_int(http_listen_new(&l, "127.0.0.1", http_listen_port(f.listen), &why), ERR_IO);
    check_true(str_ends(str_of(why.text), STR(": Address already in use")));
    end();
}

/* Paused, a WebSocket's messages wait, in order, wherever they are cut; the end is still noticed.
 */
static void test_ws_pause(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, upgrade);
    turn(3);
    f.pause_in_message = true;
    check_int(send(fd, WS_TEXT("a") WS_TEXT("b") WS_TEXT("c"), 21, 0), 21);
    turn(3);
    check_str(str_of(f.seen), STR("a "));
    check_int(send(fd, WS_TEXT("d"), 7, 0), 7);
    turn(3);
    check_str(str_of(f.seen), STR("a "));
    ws_pause(f.ws, false);
    turn(3);
    check_str(str_of(f.seen), STR("a b "));
    f.pause_in_message = false;
    ws_pause(f.ws, false);
    turn(3);
    check_str(str_of(f.seen), STR("a b c d "));
    ws_pause(f.ws, true);
    close(fd);
    turn(3);
    check_int(f.closed, 1);
    end();
}

/* A close is heard in the next turn, and what is sent after it goes nowhere. */
static void test_ws_close(void **state)
{
    (void)state;
    begin();
    int fd = connect_to("127.0.0.1");
    say(fd, upgrade);
    turn(3);
    hear(fd);
    f.in_app = true;
    ws_close(f.ws, 1001, STR("server shutdown"));
    check_int(ws_send(f.ws, STR("late")), 0);
    ws_close(f.ws, 1008, STR("again"));
    f.in_app = false;
    check_int(f.closed, 0);
    turn(2);
    check_int(f.closed, 1);
    check_str(hear(fd), STR("\x88\x11\x03\xe9server shutdown"));
    close(fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain_unread),
        cmocka_unit_test(test_drain_queue),
        cmocka_unit_test(test_drained_when_empty),
        cmocka_unit_test(test_kill_inside),
        cmocka_unit_test(test_gone_later),
        cmocka_unit_test(test_answered_then_gone),
        cmocka_unit_test(test_header_lines),
        cmocka_unit_test(test_app_closes),
        cmocka_unit_test(test_one_write),
        cmocka_unit_test(test_socket_options),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_ws_pause),
        cmocka_unit_test(test_ws_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
