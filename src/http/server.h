/* HTTP/1.1 and WebSocket, the serving side (RFC 9110, 9112, 6455): connections, framing, limits,
 * deadlines, back-pressure.  It knows no route, no JSON and no setting of ours.  Strictness, limits
 * and deadlines are those of reliability.md sections 2 and 3.
 *
 * The life of a request:
 *
 *     head()    the head is read; the app looks at it, sets body_bytes_max, may answer at once
 *     body()    the body is there, whole; the app answers now or later
 *     response_send(), or response_stream() + response_write()* + response_end()
 *
 * Between head() and the end of the answer the client may leave, or its body turn out to be
 * malformed: then `on_gone` of the request is called, once, and the request dies when it returns.
 * After response_send/_end/_abort, on_gone is never called and the app must not touch the request
 * any more.
 *
 * Threads: a server, its connections and requests belong to one loop. */
#ifndef SEMA_HTTP_SERVER_H
#define SEMA_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/header.h"

struct loop;
struct http_server;
struct http_conn;
struct websocket;

struct request {
    str method; /* "GET" ... */
    str path;   /* as sent, percent-encoded, without the query */
    str query;  /* without '?'; empty when absent */
    bool http10;
    struct headers headers;
    str host; /* of the Host field, lower case, without port and brackets; empty for 1.0 without */
    str body; /* from body() on */
    str peer; /* the client's address, without port */
    char id[132];        /* X-Request-ID: the client's when it is well-formed, else ours */
    uint64_t started_us; /* clock_mono_us of the first byte */
    struct arena arena;  /* lives as long as the request */

    /* The app's, to be set in head() or body(). */
    void *app;             /* whatever it wants to find again */
    size_t body_bytes_max; /* beyond it: fault(ERR_LIMIT); default 0 means no body is taken */
    void (*on_gone)(struct request *r);
    /* Unsent bytes fell below half of STREAM_UNSENT_BYTES_MAX after they had passed it. */
    void (*on_drain)(struct request *r);

    struct http_conn *conn; /* the server's own */
};

struct http_app {
    void *ctx;
    /* The head is there.  An answer given here ends the request: a body that was announced is not
     * read and the connection closes. */
    void (*head)(void *ctx, struct request *r);
    void (*body)(void *ctx, struct request *r);
    /* The request failed on the way after its head was read: ERR_LIMIT (413) or ERR_TIMEOUT (408).
     * The app answers with response_send in its family's shape; the connection closes after it. */
    void (*fault)(void *ctx, struct request *r, enum err e);
    /* An answer's head went out: for access log and metrics.  total_us is 0 then; at its end (or
     * when the client left: gone) it is called again with total_us.  May be NULL. */
    void (*answered)(void *ctx, const struct request *r, int status, uint64_t total_us, bool gone);
    /* The server answered by itself, no request could be read: for metrics.  May be NULL. */
    void (*refused)(void *ctx, int status);
};

/* A listening socket, shared by the servers of all loops, and their count of connections. */
struct http_listen;

/* Binds and listens, on every address that the name stands for; port 0 picks one.  It raises the
 * process's limit of descriptors and makes it ignore SIGPIPE.  ERR_IO: "cannot listen on
 * 0.0.0.0:7860: Address already in use". */
enum err http_listen_new(struct http_listen **out, const char *host, int port,
                         struct err_note *why);
int http_listen_port(const struct http_listen *l);
void http_listen_free(struct http_listen *l); /* after the servers */

enum err http_server_new(struct http_server **out, struct loop *l, struct http_listen *listen,
                         const struct http_app *app, struct err_note *why);
/* Stops accepting; idle connections close, the others with their answer; `drained` is called once
 * when none is left.  WebSockets are the app's to end (ws_close 1001). */
void http_server_drain(struct http_server *s, void (*drained)(void *ctx), void *ctx);
/* Closes every connection now: on_gone and `closed` come before it returns. */
void http_server_kill(struct http_server *s);
void http_server_free(struct http_server *s); /* drained or killed */
size_t http_server_conns(const struct http_server *s);

/* ---- answering ---- */

/* Adds a field to the answer's head; copied.  Before the head is sent.  "Connection: close" makes
 * this answer the connection's last, "keep-alive" is said unless it is the last; length, coding and
 * what every answer has are the server's own. */
void response_header(struct request *r, const char *name, str value);

/* The whole answer.  `type` is the Content-Type, NULL for none.  HEAD sends only the length. */
void response_send(struct request *r, int status, const char *type, str body);

/* A stream: chunked, or until the connection's end for 1.0.  The head goes out at once. */
void response_stream(struct request *r, int status, const char *type);
/* Gives the bytes that still wait for the client: above STREAM_UNSENT_BYTES_MAX the app pauses its
 * source until on_drain.  A client that takes nothing for 60 s is dropped (on_gone). */
size_t response_write(struct request *r, str bytes);
void response_end(struct request *r);
void response_abort(struct request *r); /* closes without a clean end */
bool response_begun(const struct request *r);

const char *http_reason(int status);

/* ---- WebSocket ----
 * Text and binary messages, whole.  Pings, pongs, closes and protocol faults are handled here;
 * messages over WS_MESSAGE_BYTES_MAX close with 1009, text that is not UTF-8 with 1007. */

struct ws_app {
    void *ctx;
    void (*message)(void *ctx, struct websocket *ws, bool text, str message);
    void (*drain)(void *ctx, struct websocket *ws);
    void (*closed)(void *ctx, struct websocket *ws); /* last, once; ws is gone when it returns */
};

/* In head() or body() of a GET that asks for it (ws_asked): answers 101 and takes the connection
 * over; the request's fields stay valid until `closed`.  *out is NULL when memory was out: then 503
 * was answered. */
bool ws_asked(const struct request *r);        /* Upgrade: websocket, Connection: upgrade */
bool ws_version_fits(const struct request *r); /* Sec-WebSocket-Version: 13, a valid key */
void ws_accept(struct websocket **out, struct request *r, struct ws_app app);
size_t ws_send(struct websocket *ws, str text); /* gives the unsent bytes, as response_write */
/* `closed` still comes, in the next turn of the loop; until then ws_send does nothing. */
void ws_close(struct websocket *ws, int code, str reason);
void ws_pause(struct websocket *ws, bool pause); /* stops taking messages in */

#endif
