/* The APIs of others, served (openai-compat.md): a request of any family becomes the neutral one of
 * backend.h, goes to a reply over the chain, and the reply's events become that family's answer,
 * whole or streamed.  What they share is here and in run.c: reading a body, holding back the head,
 * keep-alives, back-pressure, the client that leaves, errors, sessions by X-Session-ID.  What
 * differs is one struct served_dialect a route, in a file of its own.
 *
 *   READING  -> WAITING   the reply is started, no byte went out
 *   WAITING  -> STREAMING the first content, or SERVED_HOLD_MS: the head goes out
 *   either   -> (over)    answered, failed in the family's words, or the client left */
#ifndef SEMA_API_SERVED_SERVED_H
#define SEMA_API_SERVED_SERVED_H

#include <stdbool.h>
#include <stdint.h>

#include "api/family.h"
#include "api/inside.h"
#include "backend/backend.h"
#include "chat/reply.h"

enum {
    SERVED_HOLD_MS = 10 * 1000, /* early failures of a stream keep their real status for so long */
    SERVED_PING_MS = 12 * 1000, /* of silence; clients and proxies give up after 60 s and more */
};

struct served;

struct served_dialect {
    enum family family;
    const char *stream_type; /* Content-Type of a stream */

    /* Reads the body into s->ask, s->model, s->stream and what is its own.  False: `why` is filled
     * and is answered.  Strings may point into the document or the request's arena. */
    bool (*read)(struct served *s, yyjson_val *root, struct family_error *why);

    /* The whole answer, of s->got and end. */
    void (*whole)(struct served *s, const struct reply_end *end, struct buf *out);

    /* A stream, event by event; each adds whole frames.  begin comes first, once, with the first
     * content. */
    void (*begin)(struct served *s, struct buf *out);
    void (*text)(struct served *s, str text, struct buf *out);
    void (*reasoning)(struct served *s, str text, struct buf *out);
    void (*signature)(struct served *s, const struct part *p, struct buf *out); /* may be NULL */
    void (*tool_begin)(struct served *s, int index, str id, str name, struct buf *out);
    void (*tool_args)(struct served *s, int index, str fragment, struct buf *out);
    void (*end)(struct served *s, const struct reply_end *end, struct buf *out);
    void (*fail)(struct served *s, const struct family_error *e,
                 struct buf *out); /* after the head */
    void (*ping)(struct served *s, struct buf *out);
    /* A part of the request is answered: true when s->ask is now the next part, with what is to be
     * said before it in `out` (NULL when it is no stream).  May be NULL: there is one part. */
    bool (*next)(struct served *s, const struct reply_end *end, struct buf *out);
    bool composes;  /* `whole` is of what these events made of s->own: they are called for it too */
    bool has_items; /* what reasoning must bring back is always a token of token.h */
    bool signs_text; /* `signature` also takes those of text, of the kind PART_TEXT */
};

/* What a whole answer is put together from; also kept while streaming where a dialect asks for it.
 */
struct served_call {
    str id, name;    /* in the arena */
    str signature;   /* likewise; empty: its model signs none */
    struct buf args; /* JSON text, "{}" when the model gave none */
};

/* What ends at a signature. */
struct served_thought {
    size_t to; /* in got.reasoning */
    struct part signed_;
};

struct served_got {
    struct buf text, reasoning;
    struct part signature; /* the last; kind PART_REASONING when there is one */
    struct served_thought *thoughts;
    size_t thoughts_count;
    struct served_call *calls; /* by index: 0, 1, 2 in order of their beginning */
    size_t calls_count;
    str text_signature;  /* of Google's: optional */
    struct buf logprobs; /* elements of OpenAI's list, commas between; of a stream: not given yet */
    str fingerprint;     /* system_fingerprint, in the arena; empty: not told */
};

struct served {
    struct call *call;
    const struct served_dialect *dialect;
    struct arena *arena; /* of the request */
    yyjson_doc *body;

    /* Filled by read: */
    struct ask ask;
    str model; /* as the client wrote it: openai-compat.md 1.1 */
    bool stream;
    bool keep_got;      /* collect s->got although it streams */
    bool include_usage; /* OpenAI */
    bool logprobs;      /* likewise */
    bool thinking; /* the client wants to see reasoning (always true where there is no switch) */
    void *own;     /* the dialect's */

    /* From run.c: */
    char id[40];       /* 24 letters and digits: "chatcmpl-" and the like go in front */
    int64_t created_s; /* Unix time */
    uint64_t began_us; /* clock_mono_us */
    str model_name;    /* who answers, from `started` on */
    struct served_got got;
    uint64_t events; /* of a stream, sent so far */

    /* X-Session-ID (openai-compat.md 1.2): .at NULL without one. */
    str session;
    uint64_t asked_us; /* wall clock */
    struct append *append;
    struct reply_end end; /* of the reply, while the turn is stored */

    struct reply *reply;
    struct timer hold, ping;
    bool head_sent, begun, paused;
};

/* Reads, limits, starts: what the route's `answer` calls. */
void served_run(struct call *c, const struct served_dialect *d);

/* A failed reply in words and status for any family (openai-compat.md section 5, 7, 10, 11). */
void served_error_of(struct family_error *out, enum err e, const struct err_note *why,
                     struct arena *a);
/* Anthropic's clients look for certain words to shorten a conversation: puts them in front. */
void served_too_long(struct family_error *f, enum err e, const struct call *c);
/* Answers a call with an error of its family. */
void served_fail(struct call *c, const struct family_error *e);
/* The two in one, with Retry-After where it belongs. */
void served_fail_with(struct call *c, enum err e, const struct err_note *why);

/* Of a request that was not begun: an unknown model that the client named is its mistake (404); the
 * same class from upstream is not. */
void served_fail_start(struct call *c, enum err e, const struct err_note *why);

void served_no_such_model(struct call *c, str id); /* 404 */
/* The model that the path names, as `put` writes it, or 404. */
struct listing;
struct listed;
typedef void served_put_fn(const struct call *c, struct json_out *o, const struct listed *l);
void served_one_model(struct call *c, const struct listing *l, served_put_fn *put);

/* ---- counts of tokens (count.c) ---- */

/* What differs between families.  The body is read into s->ask and s->model as for an answer. */
struct served_count_form {
    bool (*read)(struct served *s, yyjson_val *root, struct family_error *why);
    void (*write)(const struct served *s, int64_t tokens, struct buf *out); /* the whole body */
};
/* Exact by the local model's tokenizer or a free call upstream, else an estimate.  What a count
 * route's `answer` calls. */
void served_count(struct call *c, const struct served_count_form *f);
int64_t served_count_guess(const struct ask *q); /* four bytes a token */

/* ---- reading: each false fills *why (400, the field as param) ---- */

/* The body, an object; *out is freed by yyjson_doc_free. */
bool served_parse(struct call *c, yyjson_doc **out, struct family_error *why);

struct served_field {
    yyjson_val *v;
    const char *name; /* as param names it */
};
bool served_text(yyjson_val *root, const char *key, str *out, struct family_error *why,
                 struct arena *a);
bool served_number(yyjson_val *root, const char *key, double low, double high, double *out,
                   struct family_error *why, struct arena *a);
/* Whole numbers also as 100.0; absent and null leave *out. */
bool served_whole(yyjson_val *root, const char *key, int64_t low, int64_t high, int64_t *out,
                  struct family_error *why, struct arena *a);
bool served_bool(yyjson_val *root, const char *key, bool *out, struct family_error *why,
                 struct arena *a);
/* A string or an array of strings. */
bool served_texts(yyjson_val *root, const char *key, const str **out, size_t *count,
                  struct family_error *why, struct arena *a);
/* The JSON text of a value as it was written (numbers exact), in the arena. */
str served_json(yyjson_val *v, struct arena *a);
/* Keeps the body as it came, for backends that speak this form themselves.  `odd`: its messages
 * hold what no provider takes. */
void served_keep(struct served *s, yyjson_val *root, enum wire wire, bool odd);

/* ---- building messages, in the arena ---- */

struct served_messages {
    struct arena *a;
    struct message *at;
    struct part *parts; /* of the newest message */
    size_t count, cap, parts_cap;
    bool bad; /* memory is out */
};
void served_messages_init(struct served_messages *m, struct arena *a);
struct message *served_message(struct served_messages *m, enum role role); /* a new, empty one */
struct part *served_part(struct served_messages *m, enum part_kind kind);  /* added to the newest */

/* ---- writing ---- */

/* "data: " JSON "\n\n", with `event` in front when it is not NULL; JSON is written between the two
 * calls into what served_frame gives.  U+2028 and the like come out escaped. */
struct json_out served_frame(struct buf *out, const char *event);
void served_frame_end(struct buf *out);

/* Whether a call's arguments are complete JSON: no more of them can come. */
bool served_call_is_whole(const struct served_call *c);

/* The usage of a reply with nothing unknown: estimates where the provider told none. */
struct usage served_usage(const struct served *s, const struct reply_end *end);

#endif
