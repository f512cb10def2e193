/* What the files of this layer share: the api, its part on each loop, and the request in hand. */
#ifndef SEMA_API_INSIDE_H
#define SEMA_API_INSIDE_H

#include <stdatomic.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/client.h"
#include "api/cors.h"
#include "api/family.h"
#include "api/host.h"
#include "api/limit.h"
#include "api/query.h"
#include "api/replay.h"
#include "api/route.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/loop.h"
#include "chat/chat.h"
#include "chat/models.h"
#include "conf/conf.h"
#include "http/server.h"

struct metrics;
struct probe;
struct call;
struct ws_conn;

/* All of it is set by api_new and only read afterwards, but for what guards itself. */
struct api {
    struct api_parts parts;
    const struct conf *conf;
    struct host_rule hosts;
    struct cors_rule cors;
    struct networks trusted; /* FORWARDED_ALLOW_IPS */
    struct auth auth;
    struct limit *limit, *switch_limit;
    struct replays *replays;
    struct metrics *metrics;
    struct probe *probe;
    struct buf openapi;           /* the document, made once */
    struct buf page, page_policy; /* of /docs: the document, its Content-Security-Policy */
    char rate_text[64], streams_text[64], sessions_text[64]; /* what going beyond a limit says */
    uint64_t started_us;                                     /* clock_mono_us */
    _Atomic int64_t streams; /* SSE and WebSocket generations now: MAX_CONCURRENT_STREAMS */
    gauge websockets;
};

/* Of one loop, touched on it alone. */
struct api_loop {
    struct api *api;
    struct loop *loop;
    struct http_app app;
    struct call *calls;    /* that wait for something */
    struct ws_conn *conns; /* open WebSockets */
    struct stream *kept;   /* streams, running or kept for resuming */
    size_t turns;          /* running on this loop */
    bool draining, ended, told;
    struct timer drained_timer;
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct buf event, out; /* scratch: an event's JSON; bytes on their way to a client */
};

void api_turn_begun(struct api_loop *at);
void api_turn_ended(struct api_loop *at);

/* One request, in its arena; `r->app` of the server. */
struct call {
    struct api *api;
    struct api_loop *at;
    struct request *r;
    enum family family;
    str path;                  /* of the request; of /v1, without doubled and trailing slashes */
    const struct route *route; /* NULL: none */
    str session;               /* {session_id} of the path, decoded */
    enum cors cors;
    str origin;
    struct auth_who who;
    str owner; /* of sessions: "" while open and of the key's holder, "user:" and the name else */
    str counted_as; /* whose bucket it takes from; filled by call_take */
    struct query query;

    /* While it waits: */
    void (*gone)(struct call *c);  /* the client left */
    void (*drain)(struct call *c); /* it reads again */
    void (*end)(struct call *c);   /* SHUTDOWN_TIMEOUT */
    void *own;                     /* of who waits */
    struct call *next, *prev;
    bool waiting;
};

/* ---- waiting: between them the client may leave and the server may stop ---- */

void call_wait(struct call *c, void *own, void (*gone)(struct call *c),
               void (*end)(struct call *c));
void call_waited(struct call *c);

/* ---- answering; the call must not be touched afterwards ---- */

/* Adds the fields of CORS that every answer has; the server adds the rest. */
void call_dress(struct call *c);
void call_send(struct call *c, int status, const char *type, str body);
void call_json(struct call *c, int status, struct buf *body); /* a bad buffer: 503; finishes it */

/* {"detail":...,"code":...,"request_id":...} */
void call_fail(struct call *c, int status, const char *code, str detail);
/* The same with a list (complete, "[...]") as detail. */
void call_fail_list(struct call *c, int status, const char *code, str list);
void call_out_of_memory(struct call *c);
/* What a turn's failure looks like to a POST. */
void call_fail_turn(struct call *c, enum err e, const struct err_note *why, yyjson_val *body);

/* False when credentials are needed and not there: it is answered 401 then.  Fills `who` and
 * `owner`. */
bool call_authenticate(struct call *c);

/* False when the client has used up its requests: it is answered 429 then. */
bool call_within_limit(struct call *c);
bool call_within_switch_limit(struct call *c); /* model switches have a bucket of their own */
/* The same without an answer, for WebSockets. */
bool call_take(struct call *c, struct limit_verdict *out);

bool stream_slot_take(struct api *a);
void stream_slot_free(struct api *a);

#endif
