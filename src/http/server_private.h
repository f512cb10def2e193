/* What the files of the serving side share: server.c (life, accepting), listen.c (the socket),
 * conn.c (reading, deadlines, the end), exchange.c (bytes to requests, states),
 * output.c (writing), response.c, websocket.c.
 *
 * A connection:
 *
 *   IDLE   -> HEAD     first byte of a request
 *   HEAD   -> BODY     head read, app's head() called, a body follows
 *   HEAD,
 *   BODY   -> ANSWER   app's body() called: the request is whole, its answer pending or streaming
 *   ANSWER -> IDLE     answered, the connection is kept
 *   HEAD, BODY, ANSWER -> SOCKET   ws_accept: WebSocket from here on
 *   any    -> LINGER   the last byte for the client is queued; what still comes is thrown away
 *   any    -> CLOSED   uv_close called
 *
 * on_gone, on_drain, drained and a WebSocket's drain and closed are never called from inside a call
 * of the app into the server: such things are put on the list of `due` connections and done in the
 * next turn. */
#ifndef SEMA_HTTP_SERVER_PRIVATE_H
#define SEMA_HTTP_SERVER_PRIVATE_H

#include <stdatomic.h>

#include <uv.h>

#include "base/buf.h"
#include "base/loop.h"
#include "http/parser.h"
#include "http/server.h"

struct wslay_frame_context;

enum { LISTEN_SOCKETS_MAX = 4 }; /* a name may stand for several addresses */

struct http_listen {
    int fd[LISTEN_SOCKETS_MAX];
    int count;
    int port;
    size_t conns_max;
    atomic_size_t conns; /* of all loops */
};

/* Every wait of the serving side; from conf/limits.h, shortened by tests. */
struct http_times {
    unsigned first_ms; /* a new connection that says nothing */
    unsigned head_ms, body_ms, idle_ms, stalled_ms;
    unsigned linger_ms, linger_idle_ms;
    unsigned accept_retry_ms, calm_ms;
    unsigned ws_ping_ms, ws_pong_ms, ws_close_ms;
};

struct http_server {
    struct loop *loop;
    struct http_listen *listen;
    struct http_app app;
    struct http_times times;

    uv_poll_t poll[LISTEN_SOCKETS_MAX]; /* each on a dup of its own */
    int polls;
    bool accepting;
    struct timer accept_again; /* out of descriptors, or at the ceiling */
    uint64_t told_ms;          /* when that was logged last */
    uv_idle_t turn;            /* runs only while something is due */

    struct http_conn *conns; /* all of them */
    size_t count, peak;      /* the most there were since memory was given back last */
    struct timer calm;       /* then it is */
    struct http_conn *due, **due_end;
    size_t due_count;

    bool draining, drained_told, freeing;
    void (*drained)(void *ctx);
    void *drained_ctx;
    int handles; /* not closed yet */

    uint64_t date_s;  /* the second that `common` was made for */
    char common[128]; /* Date, Server and what else every head holds */
    size_t common_len;

    struct http_conn *batching; /* its answers are gathered in `batch` until its input is used up */
    struct buf batch, scratch;
    char *input; /* all connections of the loop read into this */

    /* WebSocket: a frame reader that no connection needs now, and what the busy one reads from */
    struct wslay_frame_context *ws_spare;
    str ws_feed;
};

enum conn_state {
    CONN_IDLE,
    CONN_HEAD,
    CONN_BODY,
    CONN_ANSWER,
    CONN_SOCKET,
    CONN_LINGER,
    CONN_CLOSED
};

/* Bytes that the kernel would not take at once; there only while there are some. */
struct out {
    uv_write_t req;
    struct buf now;  /* being written */
    struct buf next; /* behind it */
};

struct http_conn {
    uv_tcp_t tcp;
    struct http_server *server;
    struct http_conn *newer, **at; /* in server->conns */
    struct http_conn *due_next;

    struct timer timer; /* may ring early: deadline_ms counts; 0 for none */
    uint64_t deadline_ms, began_ms;
    uint64_t sent_bytes;            /* given to be sent, ever */
    uint64_t taken_bytes, taken_ms; /* what the client had taken of them, and when that last grew */
    uint64_t read_bytes;            /* of this body, or since lingering began */

    enum conn_state state;
    bool due : 1;
    bool reading : 1;
    bool heard : 1;       /* anything came; for the WebSocket's pings */
    bool eof : 1;         /* the client sends no more */
    bool broken : 1;      /* writing failed, or memory: to be dropped in the next turn */
    bool calling : 1;     /* inside head(), body() or fault(): its end is seen to afterwards */
    bool has_request : 1; /* between head() and the end of the answer */
    bool answered : 1;
    bool begun : 1;                             /* the answer's head went out */
    bool say_kept : 1;                          /* "Connection: keep-alive", where it holds */
    bool stream : 1, chunked : 1, headless : 1; /* headless: HEAD, 204, 304: no body is sent */
    bool close : 1;                             /* after this answer */
    bool unread : 1; /* the client may still be sending what nobody will read */
    bool full : 1;   /* unsent bytes passed STREAM_UNSENT_BYTES_MAX: on_drain is owed */
    bool shut : 1;   /* our end is closed */
    bool reset : 1;  /* and that the answer is cut off has to be seen */

    struct buf in; /* not used yet: the start of a head, or requests that wait for their turn */
    struct buf body;
    struct out *out;
    struct parser parser;
    int status;                       /* of the answer */
    struct extra *extra, **extra_end; /* the app's fields for the answer's head */
    struct request request;
    struct websocket *ws;
    char peer[46];
};

struct http_times *http_server_times(struct http_server *s);

/* ---- server.c ---- */
void server_due(struct http_conn *c); /* conn_turn(c) in the next turn of the loop */
void server_forget(struct http_conn *c);
str server_common(struct http_server *s);

/* ---- conn.c ---- */
void conn_new(struct http_server *s, int fd, const char *peer);
void conn_turn(struct http_conn *c);
void conn_close(struct http_conn *c); /* at once; the app is told first what it is owed */
void conn_linger(struct http_conn *c);
void conn_drain(struct http_conn *c); /* closes it if it is idle */
/* The deadline of its state; the unsent bytes have their own. */
void conn_deadline(struct http_conn *c, uint64_t after_ms);
void conn_ring_by(struct http_conn *c, uint64_t at_ms); /* the timer, at the latest */

/* ---- exchange.c ---- */
size_t exchange_run(struct http_conn *c, str data); /* gives how much of it was used */
void exchange_answered(struct http_conn *c);        /* its answer is complete */
void exchange_fault(struct http_conn *c, enum err e);
void exchange_refuse(struct http_conn *c, int status); /* no request, or no longer one */
void exchange_forget(struct http_conn *c);
void exchange_check(const struct http_conn *c); /* the invariants of its state */

/* ---- output.c ---- */
struct buf *output_begin(struct http_conn *c);            /* add to this, then */
void output_end(struct http_conn *c, str more, str last); /* sends it, and these behind it */
void output_flush(struct http_conn *c);                   /* the batch */
size_t output_unsent(const struct http_conn *c);
bool output_moves(struct http_conn *c); /* whether the client took bytes since the last look */
size_t output_in_kernel(const struct http_conn *c); /* sent, not yet acknowledged */
void output_shut(struct http_conn *c);
void output_free(struct http_conn *c);

/* ---- response.c ---- */
void response_refuse(struct http_conn *c, int status); /* the server's own answers */
void response_switch(struct request *r, str accept);   /* 101 */
void response_done(struct http_conn *c, bool gone);    /* tells app.answered */

/* ---- websocket.c ---- */
size_t websocket_take(struct websocket *ws, str in); /* gives how much it used */
void websocket_tick(struct websocket *ws);
void websocket_turn(struct websocket *ws);
void websocket_drained(struct websocket *ws);
void websocket_gone(struct websocket *ws); /* tells the app if it was not told */
void websocket_free(struct websocket *ws);
void websocket_pool_free(struct http_server *s);

#endif
