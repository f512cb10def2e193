/* A certificate authority and server certificates, made when a test starts, and a server that uses
 * them. P-256 keys: made in a millisecond. */
#ifndef SEMA_TESTS_TLS_PEER_H
#define SEMA_TESTS_TLS_PEER_H

#include "check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls_identity {
    X509 *cert;
    EVP_PKEY *key;
};

static inline void tls_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* `names` as in "DNS:localhost,IP:127.0.0.1"; NULL: an authority of its own.  Valid from a day ago
 * until `seconds` from now. */
static inline struct tls_identity tls_identity_new(const char *names,
                                                   const struct tls_identity *issuer, long seconds)
{
    static long serial = 1;
    struct tls_identity id = {X509_new(), EVP_EC_gen("P-256")};
    X509 *by = issuer ? issuer->cert : id.cert;

    assert_non_null(id.key);
    X509_set_version(id.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -86400);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), seconds);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)(issuer ? "server" : "authority"), -1, -1, 0);
    X509_set_issuer_name(id.cert, X509_get_subject_name(by));
    tls_add_extension(id.cert, by, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (names) tls_add_extension(id.cert, by, NID_subject_alt_name, names);
    assert_true(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0);
    return id;
}

static inline void tls_identity_free(struct tls_identity *id)
{
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

static inline void tls_identity_save(const struct tls_identity *id, const char *path)
{
    FILE *f = fopen(path, "w");
    PEM_write_X509(f, id->cert);
    fclose(f);
}

static inline SSL_CTX *tls_server_new(const struct tls_identity *id)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, id->cert);
    SSL_CTX_use_PrivateKey(ctx, id->key);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1);
    return ctx;
}

#endif
