/* What a remote provider's file brings, and what all of them share: one answer's way through calls,
 * retries and events.
 *
 *     ask -> answer_start        the dialect writes a request
 *         -> events or a whole   the dialect reads them and says what they mean: answer_text() ...
 *         -> fault               a class of providers.md section 10: mended, retried, or told
 *         -> done                exactly once, after whatever the channels still held
 *
 *     ASKING  -> ASKING          a retry, or a repeat without what was refused: nothing given yet
 *     ASKING  -> WAITING         between two tries
 *     ASKING  -> FINISHING       the finish came: 250 ms for what may still follow
 *     any     -> OVER
 *
 * A dialect's functions run inside an event of the call.  What they give to the sink may cancel the
 * answer: after each they look at `a->over`, and go on doing nothing.
 *
 * Threads: a backend is shared by all loops and does not change once open (learned has its lock);
 * an answer belongs to the loop that asked. */
#ifndef SEMA_BACKEND_DIALECT_H
#define SEMA_BACKEND_DIALECT_H

#include <stdatomic.h>

#include "backend/backend.h"
#include "backend/fault.h"
#include "backend/halves.h"
#include "backend/learned.h"
#include "backend/think.h"
#include "backend/tools.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/stops.h"
#include "http/client.h"
#include "http/sse.h"

enum { CALL_HEADERS_MAX = 12 };

/* One call, as a dialect writes it.  Everything lives in its arena, which dies when the call is
 * started. */
struct call {
    struct arena arena;
    struct url url;
    struct header headers[CALL_HEADERS_MAX];
    size_t headers_count;
    struct buf body; /* JSON */
    bool stream;     /* an event stream is asked for */
};

void call_header(struct call *c, const char *name, str value); /* the value is copied */

struct dialect {
    const char *type;
    /* ERR_MEMORY, or ERR_BAD_REQUEST for what this provider cannot be asked. */
    enum err (*write)(struct answer *a, struct call *c, struct err_note *why);
    /* One event of a stream.  JSON that is an error by its form never comes here. */
    void (*event)(struct answer *a, str type, yyjson_val *root);
    /* A whole answer in one piece. */
    void (*whole)(struct answer *a, yyjson_val *root);
    /* Sets f->e where this provider's words need more than fault.c knows.  May be NULL. */
    void (*judge)(struct answer *a, struct fault *f, yyjson_val *root);
    /* Whether the request can be repeated without what was refused: something new was learned.  May
     * be NULL. */
    bool (*mend)(struct answer *a, const struct fault *f);
    bool done_event;   /* a stream ends by "data: [DONE]" */
    bool takes_files;  /* data of other types than images': sound, documents */
    bool lenient_done; /* which may come without a finish, after text (section 9's servers) */
};

/* Compatible servers that are known to go on from an assistant's message at the end, each in its
 * way; known by the list of models that the free check reads. */
enum server_kind { SERVER_UNKNOWN, SERVER_VLLM, SERVER_LLAMA };

/* A remote backend.  Its strings end in NUL. */
struct backend {
    const struct dialect *dialect;
    struct arena arena;
    struct backend_conf conf;
    struct url base;  /* the target has no trailing '/' */
    const char *host; /* "api.openai.com:443", for notes */
    struct learned *learned;
    bool official;              /* the provider itself, not a compatible server */
    _Atomic int context_length; /* 0: not known */
    _Atomic int server;         /* enum server_kind */
    const char *key_name;       /* the setting that holds the key, for notes */
};

/* Copies the settings and takes the address apart.  ERR_INVALID: no address; ERR_CREDENTIAL is the
 * dialect's to find. */
enum err remote_open(struct backend **out, const struct dialect *d, const struct backend_conf *c,
                     const char *default_url, struct err_note *why);
void remote_close(struct backend *b); /* NULL is fine */
/* base + path, a query of the base kept behind it; in the call's arena. */
enum err remote_url(struct url *out, const struct backend *b, const char *path, struct arena *a);

/* ---- an answer ---- */

enum reasoning_source {
    REASONING_NONE,
    REASONING_CONTENT,
    REASONING_PLAIN,
    REASONING_DETAILS,
    REASONING_TAGS
};

enum reply_kind { REPLY_UNKNOWN, REPLY_STREAM, REPLY_JSON, REPLY_OTHER };

struct answer {
    struct backend *backend;
    const struct dialect *dialect;
    struct loop *loop;
    const struct ask *q;
    struct sink to;
    struct timer timer; /* WAITING: the next try; FINISHING: the end */
    enum { ANSWER_ASKING, ANSWER_WAITING, ANSWER_FINISHING, ANSWER_OVER } state;
    bool over;  /* as state ANSWER_OVER, or cancelled: nothing more goes to the sink */
    bool gone;  /* cancelled while inside: freed on the way out */
    int inside; /* events on the stack */
    bool sent;  /* something went to the sink: asked anew only if that takes it back */
    bool paused;
    int calls, retries, timeouts, mends;
    uint64_t mended; /* what this answer is asked without: bits of the dialect's own meaning */
    uint64_t deadline_ms;
    bool loading;       /* the last refusal: the provider loads the model, which takes its time */
    struct ask renamed; /* q points here when the model has another name on the wire */

    /* the current call */
    struct http_call *call;
    int status;
    enum reply_kind kind;
    bool stream; /* was asked for */
    struct fault_hints hints;
    char location[128];   /* the host that a redirect points to */
    bool declared_stream; /* its type says so */
    struct sse sse;
    struct buf body; /* JSON, or what a refusal says */
    int broken_events;

    /* what came */
    struct halves text_halves, reasoning_halves;
    struct buf room;
    struct think think;
    bool thinks; /* tags are looked for */
    enum reasoning_source source;
    struct stops stops; /* watched here, because the provider does not: see answer_watch_stops */
    struct buf shown;   /* what they let through */
    str stop;           /* the ask's stop string that the provider says it met */
    struct tools tools;
    struct buf signature; /* of the reasoning that is open: it may come in pieces */
    int64_t text_block;   /* the tool whose input is the text (anthropic); -1: none */
    bool refused;         /* the text is a refusal */
    enum finish finish;
    struct usage usage;
    int64_t total_tokens;
    size_t bytes;   /* of text, reasoning and arguments */
    struct buf own; /* the dialect's: what it keeps of this call, as its own files say */
    size_t own_count[2];
    int own_state;
    struct stops own_stops; /* likewise, beside those of answer_watch_stops */

    /* how it ended */
    enum err e;
    struct err_note why;
};

enum err answer_start(struct answer **out, struct backend *b, struct loop *l, const struct ask *q,
                      struct sink to, struct err_note *why);
void answer_cancel(struct answer *a);
void answer_pause(struct answer *a, bool pause);

/* ---- what a dialect says about events; text as JSON_KEEP_HALVES gives it ---- */

void answer_text(struct answer *a, str text);
/* While writing a request: the provider is told only the first `told` stop strings, so the others
 * are looked for in the text here.  The first one met ends the answer, FINISH_STOP, and the call
 * with it. */
void answer_watch_stops(struct answer *a, size_t told);
/* Only the first source that gave something is heard (section 9). */
void answer_reasoning(struct answer *a, enum reasoning_source from, str text);
/* What must go back with the reasoning on the next turn: its signature, or a redacted block. */
void answer_signature(struct answer *a, str signature, str redacted);
/* The same of a call that was told (`id` its id), of the text before (PART_TEXT), or of reasoning
 * that is an item with an id (PART_REASONING). */
void answer_part_signature(struct answer *a, enum part_kind kind, str id, str signature);
uint64_t answer_issuer(const struct answer *a); /* of issuers.h: who is being asked */
void answer_tool(struct answer *a, const struct tool_piece *p);
void answer_finish(struct answer *a, enum finish f); /* FINISH_NONE is ignored */
void answer_stop_was(struct answer *a, str stop);    /* what the provider says it stopped at */
/* What only clients of the same dialect read; null and NULL are nothing. */
void answer_extra(struct answer *a, enum extra what, yyjson_val *v);
void answer_usage(struct answer *a, const struct usage *u, int64_t total_tokens);
void answer_complete(struct answer *a); /* the terminator came */
/* After answer_finish(FINISH_CONTENT_FILTER), as after text, a fault of the filter is that end. */
void answer_fault(struct answer *a, const struct fault *f);
/* The ask goes on under another model's name. */
void answer_rename(struct answer *a, str model);

#endif
