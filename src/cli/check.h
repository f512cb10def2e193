/* sema check: the walk over a running server.  For src/cli alone.
 *
 * A step asks (check_ask, check_hear) and ends with exactly one check_ok, check_skip or
 * check_fail, whatever happens: every question has a deadline.  All runs on one loop. */
#ifndef SEMA_CLI_CHECK_H
#define SEMA_CLI_CHECK_H

#include "base/arena.h"
#include "base/json.h"
#include "cli/command.h"
#include "http/sse.h"
#include "http/url.h"
#include "http/ws_client.h"

struct check;

/* What came back; valid until the next question. */
struct check_reply {
    enum err e; /* ERR_NONE: an answer came, of whatever status */
    struct err_note why;
    int status;
    char location[256];
    struct buf body;
    yyjson_doc *doc; /* of the body, NULL when it is no JSON */
};

/* What a stream gave, over SSE or a WebSocket. */
struct check_heard {
    int chunks;       /* with text */
    int64_t first_ms; /* -1: none came */
    bool final, done; /* the last chunk; SSE's `done` event */
    char error[256], code[64];
};

typedef void check_then(struct check *k);

struct check {
    struct cli *cli;
    struct conf *conf;
    struct loop *loop;
    struct http_client *client;
    struct arena arena;
    const char *base; /* of the addresses, without a "/" at its end */
    str host;         /* the Host field, when it is not the address's own */
    const char *bearer;
    uint32_t answer_ms; /* a generated answer may take no longer */
    bool json, health;

    /* one question */
    struct url url;
    struct http_call *call;
    struct ws_client *ws;
    bool streams; /* its body is a stream, when the status is 200 */
    struct sse sse;
    struct check_reply reply;
    struct check_heard heard;
    uint64_t asked_us;
    check_then *then;

    /* the walk */
    size_t step;
    uint64_t began_us;
    struct task next_task;
    char session[64];
    bool session_used; /* something may be stored under it */
    bool chat_text;    /* the chat step got an answer with text */
    int turns;         /* that the session should hold */
    char model[208];   /* as /api/v1 calls the current one */
    char served[208];  /* as /v1 calls it */
    int failed, skipped, told;
    struct buf text; /* of --json */
    struct json_out out;
    bool stopped; /* by a signal: what is left is to clear the session */
};

extern const struct check_step {
    const char *name;
    check_then *run;
} check_steps[]; /* ends with a NULL name */

/* `then` is called when the answer is there, or what went wrong. */
void check_ask(struct check *k, const char *method, const char *path, str body, uint32_t total_ms,
               check_then *then);
/* The same for a question whose answer is a stream (SSE); and over a WebSocket, whose first message
 * is `say`. */
void check_hear(struct check *k, const char *path, check_then *then);
void check_talk(struct check *k, const char *path, str say, check_then *then);

/* Each ends the step. */
void check_ok(struct check *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_skip(struct check *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_fail(struct check *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails with what the reply says, unless it is a 200 whose body is JSON (any body: `json` false).
 */
bool check_good(struct check *k, bool json);

enum { CHECK_CONNECT_MS = 5000, CHECK_PLAIN_MS = 10 * 1000, CHECK_BODY_BYTES_MAX = 16 << 20 };

#endif
