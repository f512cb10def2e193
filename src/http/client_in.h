/* What the files of http/client share.
 *
 *     http_call     one request and its answer          client.c
 *       -> client_dial   finds addresses, races them     client_dial.c
 *       -> client_conn   one connection                  client_conn.c
 *     client_origin  one address with one credential: its kept connections
 *
 *     call:   DIALING -> SENDING -> READING -> gone      (kept connection: starts at SENDING)
 *             SENDING -> DIALING         a kept connection was dead: once
 *     conn:   CONNECTING -> TUNNEL -> TLS -> OPEN <-> kept
 *             any -> CLOSED              its memory goes with libuv's closing callback: whoever
 *                                        is on the stack may still look at it
 *
 * Every event of a call may cancel it or start others; code that gave one reads conn->call anew. */
#ifndef SEMA_HTTP_CLIENT_IN_H
#define SEMA_HTTP_CLIENT_IN_H

#include <llhttp.h>
#include <uv.h>

#include "base/buf.h"
#include "base/loop.h"
#include "conf/limits.h"
#include "http/client.h"
#include "http/dns.h"
#include "http/proxy.h"
#include "http/tls.h"

struct client_conn;
struct client_dial;

struct client_origin {
    struct client_origin *next;
    struct http_client *client;
    uint64_t key; /* of all below and of the credential that goes with the requests */
    bool tls, proxied;
    uint16_t port;
    str host;
    char name[300];                 /* "host:port", for notes */
    struct client_conn *kept;       /* idle ones, the newest first */
    struct ssl_session_st *session; /* to be resumed */
};

struct http_client {
    struct loop *loop;
    struct arena arena; /* settings, origins */
    const char *ca_file, *ca_dir, *user_agent;
    size_t kept_max;
    uint32_t kept_idle_ms;
    struct proxy proxy;
    struct dns *dns;
    struct tls_context *tls; /* made for the first https call */
    llhttp_settings_t parse;
    struct client_origin *origins;
    struct http_call *calls;
    struct client_conn *conns;               /* open, kept ones included */
    struct client_conn *kept_old, *kept_new; /* all idle ones by age */
    size_t kept_count;
    struct timer kept_timer;
    struct buf out;      /* encrypted bytes on their way, empty between calls */
    struct err_note why; /* what a parser's callback found wrong, until its parser returns */
    /* One read at a time happens on a loop: its bytes are worked off before the next. */
    char in[64 * 1024];
    char plain[TLS_RECORD_BYTES + 1024];
};

/* A request's bytes; libuv may still be writing them when their call is gone. */
struct client_block {
    size_t refs, len;
    char at[];
};

struct http_call {
    struct http_client *client;
    struct http_call *prev, *next;
    struct client_origin *origin;
    struct client_block *block;
    struct http_call_events to;
    struct client_dial *dial; /* DIALING */
    struct client_conn *conn; /* SENDING, READING */
    struct timer timer;       /* the earliest deadline, or an earlier time to look again */
    enum { CALL_DIALING, CALL_SENDING, CALL_READING } state;
    uint32_t connect_ms, first_byte_ms, idle_ms;
    uint64_t total_at_ms, active_ms; /* active: the last time something moved */
    size_t body_bytes, body_bytes_max;
    bool is_head, upgrade, paused, abandoned;
    bool got_byte; /* of the answer, on this connection */
    bool again;    /* the one repeat was used */
};

struct client_conn {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    struct http_client *client;
    struct client_origin *origin;
    struct client_conn *prev, *next; /* of client->conns */
    enum { CONN_CONNECTING, CONN_TUNNEL, CONN_TLS, CONN_OPEN, CONN_CLOSED } state;
    struct client_dial *dial; /* while it is being made */
    struct http_call *call;   /* while it is used */
    bool used;                /* for an answer before */

    bool kept;
    uint64_t kept_since_ms;
    struct client_conn *older, *newer; /* of all kept ones */
    struct client_conn *above, *below; /* of its origin's */

    struct tls *tls;
    struct client_block *block; /* being sent */
    size_t sent;
    int writes; /* that libuv has not finished */

    llhttp_t parser;
    struct buf head;   /* names and values of the answer's fields; or the proxy's answer */
    struct buf fields; /* struct client_field[] */
    size_t head_bytes;
    bool in_value; /* the newest field has its name */
    bool interim;  /* 1xx: not the answer yet */
    bool head_given, complete;
    bool switched; /* a 101 was given: what comes now is another protocol's */
    bool keep;     /* the framing leaves the connection usable */
    enum err e;    /* what a callback, or a write, found wrong */
};

/* Offsets into `head`, which moves while it grows. */
struct client_field {
    uint32_t name, name_len, value, value_len;
};

/* ---- client.c ---- */

void client_call_connected(struct http_call *call, struct client_conn *c);
void client_call_failed(struct http_call *call, enum err e, const struct err_note *why);
void client_call_complete(struct http_call *call, bool keep); /* its answer is whole */
/* The connection is gone; the call goes on if it may, else fails. */
void client_call_lost(struct http_call *call, const struct err_note *why);
void client_call_moved(struct http_call *call); /* bytes went out or came in */
void client_call_broken(
    struct http_call *call); /* conn->e is set: fails in the next turn of the loop */
void client_drop_kept(struct client_conn *c); /* off the lists; still open */

void client_block_release(struct client_block *b);

/* ---- client_dial.c ---- */

/* ERR_MEMORY only; everything else is told later by client_call_connected or _failed. */
enum err client_dial_start(struct http_call *call, struct err_note *why);
void client_dial_cancel(struct client_dial *d); /* NULL is fine */
void client_dial_tcp(struct client_dial *d, struct client_conn *c, int status);
void client_dial_ready(struct client_dial *d, struct client_conn *c);
void client_dial_broke(struct client_dial *d, enum err e, const struct err_note *why);
const char *client_dial_phase(const struct client_dial *d); /* "resolving", ... */

/* ---- client_parse.c ---- */

void client_parse_settings(llhttp_settings_t *s);
void client_parse_begin(struct client_conn *c);               /* for one answer */
bool client_parse_switched(struct client_conn *c, str bytes); /* false: c->e, or nobody is left */

/* ---- client_conn.c ---- */

/* Begins to connect; the dial hears of it by client_dial_tcp.  A libuv error, or 0. */
int client_conn_new(struct client_conn **out, struct client_dial *d, struct client_origin *o,
                    const union dns_address *to);
void client_conn_prepare(struct client_conn *c); /* connected: proxy, TLS; then client_dial_ready */
void client_conn_send(struct client_conn *c);    /* its call's request, from the start */
void client_conn_say(struct client_conn *c, str bytes); /* once switched */
void client_conn_pause(struct client_conn *c, bool pause);
bool client_conn_alive(struct client_conn *c); /* a kept one: nothing came, not even an end */
void client_conn_close(struct client_conn *c); /* NULL and closed are fine */

#endif
