/* RFC 6455, the client's side, over a call of http/client: for `sema check` and programs that talk
 * with a Sema.  No extension, no subprotocol; pings are answered, fragments joined.
 *
 * Threads: one loop's, as its client. */
#ifndef SEMA_HTTP_WS_CLIENT_H
#define SEMA_HTTP_WS_CLIENT_H

#include "base/err.h"
#include "http/client.h"

struct ws_client;

struct ws_client_events {
    void *ctx;
    void (*open)(void *ctx);              /* from now on something may be said; may be NULL */
    void (*text)(void *ctx, str message); /* a text message; the view dies on return */
    /* Last, exactly once, unless it was freed.  ERR_NONE: closed by both sides.  Else what went
     * wrong; `why->http_status` is the answer's when the server did not switch.  The caller still
     * frees. */
    void (*done)(void *ctx, enum err e, const struct err_note *why);
};

/* `ask`: as for a call; method, body and upgrade are set here, the fields of the handshake added to
 * at most WS_CLIENT_HEADERS_MAX of its own.  No event comes before it returned. */
enum { WS_CLIENT_HEADERS_MAX = 8 };
enum err ws_client_start(struct ws_client **out, struct http_client *client,
                         const struct http_ask *ask, struct ws_client_events to,
                         struct err_note *why);
void ws_client_say(struct ws_client *w, str text); /* once open; whole, valid UTF-8 */
void ws_client_close(struct ws_client *w);         /* says 1000; `done` follows */
/* NULL is fine; no event after it.  Not from inside an event but `done`. */
void ws_client_free(struct ws_client *w);

#endif
