/* TLS towards providers: who is believed, who is not, and what it costs to come back. */
#include "check.h"

#include <openssl/err.h>
#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/loop.h"
#include "http/client.h"
#include "peer.h"
#include "tls_peer.h"

static struct loop *loop;
static struct http_client *client;
static struct arena arena;
static struct peer peer;
static struct tls_identity authority, stranger;
static char ca_path[] = "/tmp/sema-test-ca-XXXXXX";

struct server {
    SSL_CTX *ctx;
    atomic_int resumed, handshakes;
    char sni[64];
    char alpn[16];
    atomic_int behave;        /* one of the following */
    atomic_size_t body_bytes; /* of the request that came */
};

enum { ANSWER, ANSWER_SLOWLY, CLOSE_CLEANLY, CLOSE_HARD, PLAIN_TEXT, HANG };

/* One request with its body; false when the other side is gone. */
static bool read_request(SSL *ssl, struct server *s)
{
    char buf[16384];
    size_t len = 0, n;
    char *end = NULL;

    while (!end) {
        if (len + 1 >= sizeof buf || SSL_read_ex(ssl, buf + len, 1, &n) != 1) return false;
        len += n;
        buf[len] = '\0';
        end = strstr(buf, "\r\n\r\n");
    }
    const char *field = strstr(buf, "Content-Length: ");
    size_t want = field ? strtoul(field + 16, NULL, 10) : 0;
    s->body_bytes = want;
    while (want && SSL_read_ex(ssl, buf, want < sizeof buf ? want : sizeof buf, &n) == 1) want -= n;
    return want == 0;
}

static void write_text(SSL *ssl, const char *text)
{
    size_t n;
    SSL_write_ex(ssl, text, strlen(text), &n);
}

static void serve_tls(struct peer *p, int fd, int nth)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    struct server *s = p->ctx;

    (void)nth;
    if (s->behave == PLAIN_TEXT) {
        peer_send(fd, "HTTP/1.1 400 Bad\r\n\r\nplain");
        peer_wait_gone(fd, 1000);
        return;
    }
    if (s->behave == HANG) {
        peer_wait_gone(fd, 2000);
        return;
    }
    SSL *ssl = SSL_new(s->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        const unsigned char *alpn;
        unsigned alpn_len;
        const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
        snprintf(s->sni, sizeof s->sni, "%s", sni ? sni : "");
        atomic_fetch_add(&s->handshakes, 1);
        atomic_fetch_add(&s->resumed, SSL_session_reused(ssl));
        while (read_request(ssl, s)) {
            atomic_fetch_add(&p->requests, 1);
            if (s->behave == ANSWER_SLOWLY) {
                for (const char *c = answer; *c; c++) {
                    size_t n;
                    SSL_write_ex(ssl, c, 1, &n);
                    if (c == answer + 20) peer_sleep(5);
                }
            } else if (s->behave == ANSWER) {
                write_text(ssl, answer);
            } else {
                write_text(ssl, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
                if (s->behave == CLOSE_CLEANLY) SSL_shutdown(ssl);
                if (s->behave == CLOSE_HARD) peer_reset(fd);
                peer_sleep(20);
                break;
            }
        }
    }
    ERR_clear_error();
    SSL_free(ssl);
}

struct probe {
    int status, dones;
    struct buf body;
    enum err e;
    struct err_note why;
};

static void on_head(void *ctx, int status, const struct headers *h)
{
    (void)h;
    ((struct probe *)ctx)->status = status;
}

static void on_body(void *ctx, str piece)
{
    buf_add(&((struct probe *)ctx)->body, piece);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct probe *p = ctx;
    p->e = e;
    p->why = *why;
    p->dones++;
    uv_stop(loop_uv(loop));
}

static void call(struct probe *p, const char *format, int port, str body, uint32_t connect_ms)
{
    char text[128];
    struct url u;
    struct http_call *c;
    struct header key = {STR("Authorization"), STR("Bearer hush-hush")};
    struct http_ask ask = {.method = "POST",
                           .url = &u,
                           .body = body,
                           .headers = &key,
                           .headers_count = 1,
                           .connect_ms = connect_ms,
                           .first_byte_ms = 3000,
                           .total_ms = 5000,
                           .body_bytes_max = 1 << 20};

    *p = (struct probe){0};
    buf_init(&p->body, 1 << 20);
    snprintf(text, sizeof text, format, port);
    check_int(url_parse(&u, str_of(text), &arena), ERR_NONE);
    uv_update_time(loop_uv(loop));
    check_int(http_call_start(&c, client, &ask,
                              (struct http_call_events){
                                  .ctx = p, .head = on_head, .body = on_body, .done = on_done},
                              &p->why),
              ERR_NONE);
    while (!p->dones) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    check_true(strstr(p->why.text, "hush") == NULL);
}

/* A call to `format` at a server with these names, by this authority. */
static void check_tls(const char *names, const struct tls_identity *by, long seconds,
                      const char *format, enum err e, const char *word)
{
    struct tls_identity id = tls_identity_new(names, by, seconds);
    struct server s = {.ctx = tls_server_new(&id)};
    struct probe p;

    peer_start(&peer, serve_tls, &s);
    call(&p, format, peer.port, STR("x"), 2000);
    if (p.e != e || !strstr(p.why.text, word)) print_error("%s\n", p.why.text);
    check_int(p.e, e);
    if (e) {
        check_int(p.why.http_status, -1); /* nobody retries it */
        check_true(strstr(p.why.text, word) != NULL);
        check_int(peer.requests, 0); /* the key stayed here */
    } else {
        check_str(buf_str(&p.body), STR("ok"));
    }
    buf_fini(&p.body);
    http_client_free(client);
    client = NULL;
    for (int i = 0; i < 3; i++) uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    peer_stop(&peer);
    SSL_CTX_free(s.ctx);
    tls_identity_free(&id);
}

static int setup(void **state)
{
    struct http_client_conf conf = {.ca_file = ca_path, .user_agent = "sema/test"};

    (void)state;
    arena_init(&arena, 0);
    check_int(loop_new(&loop, NULL), ERR_NONE);
    check_int(http_client_new(&client, loop, &conf, NULL), ERR_NONE);
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

#define CHECK(name, ...)                                                                           \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_tls(__VA_ARGS__);                                                                    \
    }

CHECK(name, "DNS:localhost", &authority, 3600, "https://localhost:%d/", ERR_NONE, "")
CHECK(wildcard, "DNS:*.a.localhost", &authority, 3600, "https://x.a.localhost:%d/", ERR_NONE, "")
CHECK(wildcard_two_levels, "DNS:*.localhost", &authority, 3600, "https://x.y.localhost:%d/",
      ERR_NETWORK, "ostname mismatch")
CHECK(dot, "DNS:a.localhost", &authority, 3600, "https://a.localhost.:%d/", ERR_NONE, "")
CHECK(address, "IP:127.0.0.1", &authority, 3600, "https://127.0.0.1:%d/", ERR_NONE, "")
CHECK(address_is_no_name, "DNS:127.0.0.1", &authority, 3600, "https://127.0.0.1:%d/", ERR_NETWORK,
      "mismatch")
CHECK(other_name, "DNS:example.com", &authority, 3600, "https://localhost:%d/", ERR_NETWORK,
      "mismatch")
CHECK(expired, "DNS:localhost", &authority, -60, "https://localhost:%d/", ERR_NETWORK, "expired")
/* The stranger bears the same name as the authority that is trusted. */
CHECK(unknown_authority, "DNS:localhost", &stranger, 3600, "https://localhost:%d/", ERR_NETWORK,
      "signature")
CHECK(self_signed, "DNS:localhost", NULL, 3600, "https://localhost:%d/", ERR_NETWORK, "self")

static void test_talk(void **state)
{
    struct tls_identity id = tls_identity_new("DNS:localhost", &authority, 3600);
    struct server s = {.ctx = tls_server_new(&id)};
    struct probe p;
    size_t len = 3 << 20;
    char *body = calloc(1, len);

    (void)state;
    peer_start(&peer, serve_tls, &s);
    for (int i = 0; i < 3; i++) {
        s.behave = i == 1 ? ANSWER_SLOWLY : ANSWER;
        call(&p, "https://localhost:%d/", peer.port, i == 2 ? str_span(body, len) : STR("x"), 2000);
        check_int(p.e, ERR_NONE);
        check_int(p.status, 200);
        check_str(buf_str(&p.body), STR("ok"));
        buf_fini(&p.body);
    }
    check_int(s.body_bytes, len);
    check_int(peer.connections, 1);
    check_int(s.resumed, 0);

    /* The end frames the body: a clean one is the end, a reset is not. */
    for (int how = CLOSE_CLEANLY; how <= CLOSE_HARD; how++) {
        s.behave = how;
        call(&p, "https://localhost:%d/", peer.port, STR("x"), 2000);
        if (how == CLOSE_CLEANLY) {
            check_int(p.e, ERR_NONE);
            check_str(buf_str(&p.body), STR("until the end"));
        } else {
            check_int(p.e, ERR_NETWORK);
        }
        buf_fini(&p.body);
    }
    /* Coming back costs no certificate: the session was resumed. */
    s.behave = ANSWER;
    call(&p, "https://localhost:%d/", peer.port, STR("x"), 2000);
    check_int(p.e, ERR_NONE);
    buf_fini(&p.body);
    check_true(peer.connections > 1);
    check_int(s.resumed, s.handshakes - 1);

    http_client_free(client);
    client = NULL;
    for (int i = 0; i < 3; i++) uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    peer_stop(&peer);
    check_str(str_of(s.sni), STR("localhost"));
    SSL_CTX_free(s.ctx);
    tls_identity_free(&id);
    free(body);
}

static void check_not_tls(int behave, uint32_t connect_ms, enum err e, const char *word)
{
    struct server s = {.behave = behave};
    struct probe p;

    peer_start(&peer, serve_tls, &s);
    call(&p, "https://localhost:%d/", peer.port, STR("x"), connect_ms);
    if (!strstr(p.why.text, word)) print_error("%s\n", p.why.text);
    check_int(p.e, e);
    check_true(strstr(p.why.text, word) != NULL);
    buf_fini(&p.body);
    peer_stop(&peer);
}

static void test_plain_text(void **state)
{
    (void)state;
    check_not_tls(PLAIN_TEXT, 2000, ERR_NETWORK, "TLS: wrong version number");
}

static void test_hangs(void **state)
{
    (void)state;
    check_not_tls(HANG, 80, ERR_TIMEOUT, "TLS");
}

static void test_old_version(void **state)
{
    struct tls_identity id = tls_identity_new("DNS:localhost", &authority, 3600);
    struct server s = {.ctx = tls_server_new(&id)};
    struct probe p;

    (void)state;
    SSL_CTX_set_security_level(s.ctx, 0);
    SSL_CTX_set_min_proto_version(s.ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(s.ctx, TLS1_1_VERSION);
    peer_start(&peer, serve_tls, &s);
    call(&p, "https://localhost:%d/", peer.port, STR("x"), 2000);
    check_int(p.e, ERR_NETWORK);
    check_int(p.why.http_status, -1);
    buf_fini(&p.body);
    peer_stop(&peer);
    SSL_CTX_free(s.ctx);
    tls_identity_free(&id);
}

static void test_tls12(void **state)
{
    struct tls_identity id = tls_identity_new("DNS:localhost", &authority, 3600);
    struct server s = {.ctx = tls_server_new(&id)};
    struct probe p;

    (void)state;
    SSL_CTX_set_max_proto_version(s.ctx, TLS1_2_VERSION);
    peer_start(&peer, serve_tls, &s);
    call(&p, "https://localhost:%d/", peer.port, STR("x"), 2000);
    check_int(p.e, ERR_NONE);
    check_str(buf_str(&p.body), STR("ok"));
    buf_fini(&p.body);
    http_client_free(client);
    client = NULL;
    for (int i = 0; i < 3; i++) uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    peer_stop(&peer);
    SSL_CTX_free(s.ctx);
    tls_identity_free(&id);
}

static void test_bad_authorities(void **state)
{
    struct http_client_conf conf = {.ca_file = "/nonexistent/ca.pem"};
    struct http_client *c = NULL;
    struct err_note why = {0};

    (void)state;
    check_int(http_client_new(&c, loop, &conf, &why), ERR_INVALID);
    check_true(strstr(why.text, "/nonexistent/ca.pem") != NULL);
    conf.ca_file = "/dev/null";
    check_int(http_client_new(&c, loop, &conf, &why), ERR_INVALID);
    check_true(c == NULL);
}

static int make_authorities(void **state)
{
    (void)state;
    authority = tls_identity_new(NULL, NULL, 3600);
    stranger = tls_identity_new(NULL, NULL, 3600);
    int fd = mkstemp(ca_path);
    close(fd);
    tls_identity_save(&authority, ca_path);
    return 0;
}

static int drop_authorities(void **state)
{
    (void)state;
    unlink(ca_path);
    tls_identity_free(&authority);
    tls_identity_free(&stranger);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(name),
        CASE(wildcard),
        CASE(wildcard_two_levels),
        CASE(dot),
        CASE(address),
        CASE(address_is_no_name),
        CASE(other_name),
        CASE(expired),
        CASE(unknown_authority),
        CASE(self_signed),
        CASE(talk),
        CASE(plain_text),
        CASE(hangs),
        CASE(old_version),
        CASE(tls12),
        CASE(bad_authorities),
    };
    return cmocka_run_group_tests_name("wire/http_tls", tests, make_authorities, drop_authorities);
}
