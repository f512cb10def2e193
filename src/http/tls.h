/* TLS towards providers, over bytes in memory: it owns no socket and never waits.  TLS 1.2 or
 * newer, the host's name or address is checked, authorities are the system's or those of the
 * settings.
 *
 * What it wants to send is added to `out` during a call; the caller sends it.  What came from the
 * other side is given as a view that each call eats from.
 *
 * Threads: a context is shared by all; a connection belongs to one. */
#ifndef SEMA_HTTP_TLS_H
#define SEMA_HTTP_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct tls_context;
struct tls;
struct ssl_session_st; /* what a later connection to the same host may resume */

/* One for each pair of settings, made once and never unmade.  NULL, NULL: the system's authorities,
 * looked up when a connection needs them.  ERR_INVALID: a file that cannot be read or holds no
 * authority. */
enum err tls_context_get(struct tls_context **out, const char *ca_file, const char *ca_dir,
                         struct err_note *why);

/* Whether the settings name authorities that can be read, by a look at the bytes: without bringing
 * OpenSSL to life, which takes more than a megabyte.  ERR_INVALID as above. */
enum err tls_look(const char *ca_file, const char *ca_dir, struct err_note *why);

/* `host` without brackets; `resume` may be NULL and stays the caller's. */
enum err tls_new(struct tls **out, struct tls_context *ctx, str host, struct ssl_session_st *resume,
                 struct err_note *why);
void tls_free(struct tls *t); /* NULL is fine */

/* Sessions that the other side offers: the latest, which is then the caller's; NULL when none came.
 */
struct ssl_session_st *tls_take_session(struct tls *t);
void tls_session_free(struct ssl_session_st *s); /* NULL is fine */

enum tls_step {
    TLS_MORE,  /* `in` is used up: more is needed */
    TLS_READY, /* shaken hands; or bytes were read */
    TLS_ENDED, /* the other side said that it is done */
    TLS_FAILED,
};

enum tls_step tls_shake(struct tls *t, str *in, struct buf *out, struct err_note *why);
/* Up to `cap` bytes of plain text; *n says how many when TLS_READY. */
enum tls_step tls_read(struct tls *t, str *in, struct buf *out, char *to, size_t cap, size_t *n,
                       struct err_note *why);
/* After the handshake, at most TLS_RECORD_BYTES at a time. */
enum { TLS_RECORD_BYTES = 16 * 1024 };
enum err tls_write(struct tls *t, str plain, struct buf *out, struct err_note *why);

#endif
