#include "http/tls.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls_context {
    SSL_CTX *ssl;
    char *ca_file, *ca_dir;
    struct tls_context *next;
};

struct tls {
    SSL *ssl;
    str *in; /* both only during a call */
    struct buf *out;
    SSL_SESSION *session;
};

/* ---- the transport: views in, a buffer out; nothing is copied twice or kept ---- */

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int take(BIO *bio, char *to, int cap)
{
    struct tls *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (t->in == NULL || t->in->len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = t->in->len < (size_t)cap ? t->in->len : (size_t)cap;
    memcpy(to, t->in->at, n);
    *t->in = str_tail(*t->in, n);
    return (int)n;
}

static int give(BIO *bio, const char *from, int n)
{
    struct tls *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (t->out == NULL) return n; /* being freed: nobody sends any more */
    buf_add(t->out, str_span(from, (size_t)n));
    return t->out->bad ? -1 : n;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int make_bio(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sema");
    if (method == NULL) return;
    BIO_meth_set_read(method, take);
    BIO_meth_set_write(method, give);
    BIO_meth_set_ctrl(method, control);
    BIO_meth_set_create(method, make_bio);
}

/* ---- contexts ---- */

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_context *contexts;

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    SSL_SESSION_free(t->session);
    t->session = session;
    return 1; /* the reference is ours now */
}

static void context_free(struct tls_context *c)
{
    SSL_CTX_free(c->ssl);
    free(c->ca_file);
    free(c->ca_dir);
    free(c);
}

static enum err context_new(struct tls_context **out, const char *ca_file, const char *ca_dir,
                            struct err_note *why)
{
    struct tls_context *c = calloc(1, sizeof *c);
    if (c == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    c->ca_file = ca_file ? strdup(ca_file) : NULL;
    c->ca_dir = ca_dir ? strdup(ca_dir) : NULL;
    c->ssl = SSL_CTX_new(TLS_client_method());
    if (c->ssl == NULL || (ca_file && !c->ca_file) || (ca_dir && !c->ca_dir)) {
        context_free(c);
        return err_set(why, ERR_MEMORY, "out of memory for TLS");
    }
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Idle streams hold no record buffers: 34 kB less for each. */
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl, keep_session);

    bool ok = true;
    const char *name = ca_file ? ca_file : ca_dir;
    if (ca_file) ok = SSL_CTX_load_verify_file(c->ssl, ca_file) == 1;
    if (ok && ca_dir) ok = SSL_CTX_load_verify_dir(c->ssl, ca_dir) == 1;
    if (!ca_file && !ca_dir) SSL_CTX_set_default_verify_paths(c->ssl);
    ERR_clear_error();
    if (!ok) {
        err_set(why, ERR_INVALID, "no certificate authorities can be read from \"%s\"", name);
        context_free(c);
        return ERR_INVALID;
    }
    *out = c;
    return ERR_NONE;
}

enum err tls_context_get(struct tls_context **out, const char *ca_file, const char *ca_dir,
                         struct err_note *why)
{
    enum err e = ERR_NONE;

    pthread_once(&method_once, make_method);
    pthread_mutex_lock(&contexts_lock);
    struct tls_context *c = contexts;
    while (c && !(same(c->ca_file, ca_file) && same(c->ca_dir, ca_dir))) c = c->next;
    if (c == NULL) {
        e = method ? context_new(&c, ca_file, ca_dir, why)
                   : err_set(why, ERR_MEMORY, "out of memory for TLS");
        if (!e) {
            c->next = contexts;
            contexts = c;
        }
    }
    pthread_mutex_unlock(&contexts_lock);
    if (!e) *out = c;
    return e;
}

/* ---- connections ---- */

static bool is_address(const char *host)
{
    unsigned char unused[16];
    return inet_pton(AF_INET, host, unused) == 1 || inet_pton(AF_INET6, host, unused) == 1;
}

/* Whom the certificate must name.  A server name indication is a name, never an address (RFC 6066
 * 3). */
static bool expect_host(SSL *ssl, str host)
{
    char name[256];

    if (str_ends(host, STR("."))) host = str_head(host, host.len - 1);
    if (host.len == 0 || host.len >= sizeof name) return false;
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    if (is_address(name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* PEM (RFC 7468): every certificate begins so. */
static bool holds_pem(const char *path)
{
    char bytes[16384];
    FILE *f = fopen(path, "re");
    if (f == NULL) return false;

    size_t n = fread(bytes, 1, sizeof bytes, f);
    bool found = false;
    while (n > 0 && !found) {
        static const str begin = {"-----BEGIN ", 11};
        found = str_find(str_span(bytes, n), begin) != STR_NPOS;
        size_t kept = n < begin.len ? n : begin.len; /* it may stand across the border */
        memmove(bytes, bytes + n - kept, kept);
        size_t more = fread(bytes + kept, 1, sizeof bytes - kept, f);
        n = more ? kept + more : 0;
    }
    fclose(f);
    return found;
}

enum err tls_look(const char *ca_file, const char *ca_dir, struct err_note *why)
{
    const char *bad = ca_file && !holds_pem(ca_file)               ? ca_file
                      : ca_dir && access(ca_dir, R_OK | X_OK) != 0 ? ca_dir
                                                                   : NULL;

    if (bad == NULL) return ERR_NONE;
    return err_set(why, ERR_INVALID, "no certificate authorities can be read from \"%s\"", bad);
}

enum err tls_new(struct tls **out, struct tls_context *ctx, str host, struct ssl_session_st *resume,
                 struct err_note *why)
{
    static const unsigned char http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    struct tls *t = calloc(1, sizeof *t);
    BIO *bio = BIO_new(method);

    if (t) t->ssl = SSL_new(ctx->ssl);
    if (t == NULL || bio == NULL || t->ssl == NULL || !expect_host(t->ssl, host)) {
        BIO_free(bio);
        tls_free(t);
        return err_set(why, ERR_MEMORY, "out of memory for TLS");
    }
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    SSL_set_alpn_protos(t->ssl, http11, sizeof http11);
    SSL_set_connect_state(t->ssl);
    if (resume) SSL_set_session(t->ssl, resume);
    ERR_clear_error();
    *out = t;
    return ERR_NONE;
}

void tls_free(struct tls *t)
{
    if (t == NULL) return;
    if (t->ssl) {
        /* Without this OpenSSL takes the end for a fault and forbids its session to be resumed. */
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(t->ssl);
    }
    SSL_SESSION_free(t->session);
    free(t);
}

struct ssl_session_st *tls_take_session(struct tls *t)
{
    SSL_SESSION *s = t->session;
    t->session = NULL;
    return s;
}

void tls_session_free(struct ssl_session_st *s)
{
    SSL_SESSION_free(s);
}

static enum tls_step judge(struct tls *t, int result, struct err_note *why)
{
    int kind = SSL_get_error(t->ssl, result);
    long verdict = SSL_get_verify_result(t->ssl);
    unsigned long code = ERR_peek_last_error();

    ERR_clear_error();
    t->in = NULL;
    t->out = NULL;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return TLS_MORE;
    if (kind == SSL_ERROR_ZERO_RETURN) return TLS_ENDED;

    const char *reason = ERR_reason_error_string(code);
    if (verdict != X509_V_OK)
        err_set(why, ERR_NETWORK, "TLS: %s", X509_verify_cert_error_string(verdict));
    else
        err_set(why, ERR_NETWORK, "TLS: %s", reason ? reason : "protocol error");
    return TLS_FAILED;
}

enum tls_step tls_shake(struct tls *t, str *in, struct buf *out, struct err_note *why)
{
    t->in = in;
    t->out = out;
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n != 1) return judge(t, n, why);
    t->in = NULL;
    t->out = NULL;
    return TLS_READY;
}

enum tls_step tls_read(struct tls *t, str *in, struct buf *out, char *to, size_t cap, size_t *n,
                       struct err_note *why)
{
    t->in = in;
    t->out = out;
    ERR_clear_error();
    int got = SSL_read_ex(t->ssl, to, cap, n);
    if (got != 1) return judge(t, got, why);
    t->in = NULL;
    t->out = NULL;
    return TLS_READY;
}

enum err tls_write(struct tls *t, str plain, struct buf *out, struct err_note *why)
{
    size_t n;

    t->in = NULL;
    t->out = out;
    ERR_clear_error();
    int done = SSL_write_ex(t->ssl, plain.at, plain.len, &n);
    if (done != 1) {
        enum tls_step step = judge(t, done, why);
        /* Without renegotiation a write never waits for the other side. */
        return step == TLS_FAILED ? ERR_NETWORK : err_set(why, ERR_NETWORK, "TLS: closed");
    }
    t->out = NULL;
    return ERR_NONE;
}
