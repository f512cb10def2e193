/* Calls to providers: a pool of kept HTTP/1.1 connections on one loop (llhttp, OpenSSL).
 *
 * Kept connections are checked before use; one that the other side closed meanwhile is replaced
 * unseen, once, while not a byte of the answer has come.  Addresses of a name are raced (RFC 8305);
 * names are resolved off the loop and remembered (60 s, failures 1 s).  Proxies by CONNECT only, so
 * that they never see a key; loopback never goes through one.  TLS 1.2 or newer, host name checked.
 * Never follows a redirect.  An answer that is encoded (Content-Encoding) is an error of class
 * ERR_SERVER.
 *
 * Threads: a client and its calls belong to one loop. */
#ifndef SEMA_HTTP_CLIENT_H
#define SEMA_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "http/header.h"
#include "http/url.h"

struct loop;
struct http_client;
struct http_call;

struct http_client_conf {
    const char *proxy;            /* "http://[user:password@]host:port", or NULL */
    const char *no_proxy;         /* comma-separated, configuration.md; or NULL */
    const char *ca_file, *ca_dir; /* NULL: the system's */
    const char *user_agent;       /* "sema/0.1.0" */
    size_t kept_max;              /* idle connections in all; 0: a default */
    uint32_t kept_idle_ms;        /* how long one is kept; 0: a default */
};

enum err http_client_new(struct http_client **out, struct loop *l, const struct http_client_conf *c,
                         struct err_note *why);
/* Cancels what runs: `done` is not called for those.  Not from inside an event.  Handles of the
 * loop are still closing afterwards. */
void http_client_free(struct http_client *c); /* NULL is fine */

/* The client of the loop that this thread runs (set once by whoever starts the loop), or NULL. */
struct http_client *http_client_here(void);
void http_client_set_here(struct http_client *c);

struct http_ask {
    const char *method; /* "GET", "POST" */
    const struct url *url;
    str host; /* the Host field, for a server that has another name than its address; empty: of url
               */
    const struct header *headers; /* besides Host, User-Agent, Accept-Encoding, Content-Length */
    size_t headers_count;
    str body;
    uint32_t connect_ms; /* name resolution, TCP and TLS together */
    uint32_t
        first_byte_ms; /* from the request's last byte to the first of the answer; 0: total only */
    uint32_t idle_ms;  /* between bytes of the body; 0: total only */
    uint32_t total_ms;
    size_t body_bytes_max; /* beyond it: ERR_SERVER */
    bool upgrade; /* the headers ask for another protocol: a 101 is an answer, its body what follows
                   */
};

struct http_call_events {
    void *ctx;
    /* The views die on return.  1xx answers are not shown. */
    void (*head)(void *ctx, int status, const struct headers *h);
    void (*body)(void *ctx, str piece);
    /* Last, exactly once, unless the call was cancelled.  ERR_NONE: the body is complete by its
     * framing (or the connection's end, where that frames it).  ERR_TIMEOUT, ERR_NETWORK,
     * ERR_SERVER (a malformed or oversized answer), ERR_MEMORY: why says more and names host and
     * port.  `why->http_status` is one of the kinds below, else 0 or the answer's.  The call is
     * gone when it returns. */
    void (*done)(void *ctx, enum err e, const struct err_note *why);
    /* Instead of `done` when the client is freed while the call runs.  May be NULL. */
    void (*dropped)(void *ctx);
};

enum {
    HTTP_FAULT_TLS = -1,     /* nobody should retry it */
    HTTP_FAULT_CONNECT = -2, /* nothing was sent: no connection came about */
};

/* Copies what it is given.  No event comes before it returned. */
enum err http_call_start(struct http_call **out, struct http_client *c, const struct http_ask *ask,
                         struct http_call_events to, struct err_note *why);
void http_call_cancel(struct http_call *call); /* NULL is fine; no event after it */
/* Bytes of the protocol that a 101 agreed on; not before its `head`.  Pieces are small: they are
 * queued without a bound.  A failure is told by `done`. */
void http_call_send(struct http_call *call, str bytes);
/* As cancel, for an answer whose end is already known from its content: what little may still come
 * is read and thrown away for a moment, so that the connection can be kept. */
void http_call_abandon(struct http_call *call);
void http_call_pause(struct http_call *call,
                     bool pause); /* stops reading: back-pressure; idle time halts */

#endif
