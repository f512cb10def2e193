/* A source of answers: what every provider and the local engine look like from inside.  The neutral
 * form of a request and of its events is that of providers.md section 1; what differs between
 * providers stays in its own file. */
#ifndef SEMA_BACKEND_BACKEND_H
#define SEMA_BACKEND_BACKEND_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct loop;

/* ---- the request ---- */

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL };

enum part_kind { PART_TEXT, PART_IMAGE, PART_TOOL_CALL, PART_REASONING };

struct part {
    enum part_kind kind;
    str text;                /* text; image: data URI (which may hold another file, for those that
                                take files) or https address; reasoning: its text */
    str id, name, args_json; /* tool call; the arguments as written, never through a double */
    /* Provider state and who gave it: of reasoning (`id` of its item, where it is one), and
     * Google's of calls and text, which other providers leave out. */
    str signature, redacted, issuer;
    bool
        cache; /* the prompt up to here may be kept for the next call (Anthropic's cache_control) */
};

struct message {
    enum role role;
    const struct part *parts; /* in the order received */
    size_t count;
    str tool_call_id, tool_name; /* role tool */
    bool is_error;               /* role tool */
};

struct tool {
    str name, description;
    str parameters_json; /* a schema, as written */
    bool strict;
    bool cache;  /* as a part's */
    bool custom; /* came as a tool whose input is one text, `input` of the schema: it goes to a
                    Responses API that knows such tools as what it is */
};

enum effort {
    EFFORT_UNSET,
    EFFORT_NONE,
    EFFORT_MINIMAL,
    EFFORT_LOW,
    EFFORT_MEDIUM,
    EFFORT_HIGH,
    EFFORT_XHIGH,
    EFFORT_MAX
};

enum format { FORMAT_TEXT, FORMAT_JSON_OBJECT, FORMAT_JSON_SCHEMA };

enum ask_default { DEFAULT_TEMPERATURE = 1, DEFAULT_TOP_P = 2, DEFAULT_TOP_K = 4, DEFAULT_ALL = 7 };
/* The forms of requests that are spoken upstream and taken from clients alike. */
enum wire { WIRE_NONE, WIRE_CHAT, WIRE_RESPONSES, WIRE_MESSAGES, WIRE_GOOGLE, WIRE_COMPLETIONS };
enum { RECEIVED_MEMBERS_MAX = 256 }; /* of such a request: the APIs have some forty */

/* Unset fields are never sent: NaN, -1, empty.  Everything is the asker's and lives until `done`.
 */
struct ask {
    str model;         /* as the backend's settings or the client name it */
    str model_version; /* MiniMax: the id sent in its place; else empty */
    const struct message *messages;
    size_t messages_count;
    /* A text that is to be gone on from as it stands, up to what comes after it.  A backend that
     * has a call for that takes these two; all others take the messages, which ask for the same.
     * .at NULL: it is a chat. */
    str prompt, suffix;
    const struct tool *tools;
    size_t tools_count;
    str tool_choice;         /* "", auto, none, required, or a tool's name */
    int parallel_tool_calls; /* -1 unset, 0, 1 */
    enum format format;
    str schema_name, schema_json;
    bool schema_strict;
    double temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    int top_k;          /* -1 unset */
    int max_tokens;     /* -1 unset */
    bool room_to_think; /* max_tokens is meant for the text alone: models that think get more
                           (/api/v1) */
    unsigned defaults;  /* bits of enum ask_default: values that neither the asker nor the settings
                           gave; a model that is best left alone, or has its own, ignores them */
    bool top_k_is_setting; /* TOP_K speaks to local and Google's models only; others take a top_k
                              from a client, never from the settings */
    const str *stops;
    size_t stops_count;
    bool seeded;
    uint64_t seed;
    enum effort effort;
    int thinking_budget; /* -1 unset */
    str logit_bias_json; /* an object, or empty */
    str user;
    bool stream; /* the client sees it as it comes */
    bool trim;   /* too long for the context: oldest whole turns may be left out */
    str prefill; /* the answer already begins with this text: go on from there (STREAM_RESCUE) */
    uint64_t fair_key;    /* who asks: a hash of the session or client */
    uint64_t deadline_ms; /* on loop_now_ms's clock: the whole request's end; 0: none */
    bool others_ready;    /* another model of the chain could answer: fail early rather than wait */
    bool once;            /* a single call, never retried: the probe of a half-open breaker */
    /* The request as the client wrote it, a JSON object of that form with at most
     * RECEIVED_MEMBERS_MAX members and no half of a surrogate pair: a backend that speaks it too
     * passes the bytes on (pass.h); all others take the fields above. */
    enum wire wire;
    str received;
    bool received_odd; /* its messages hold what only we take: they are written anew */
};
extern const struct ask ask_none; /* everything unset */

/* ---- the answer ---- */

enum finish { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_TOOL_CALLS, FINISH_CONTENT_FILTER };

struct usage {                 /* -1: not known */
    int64_t prompt_tokens;     /* all input, cached included */
    int64_t completion_tokens; /* reasoning included */
    int64_t cached_tokens, cache_write_tokens, reasoning_tokens;
    bool estimated;        /* one of the two sums, at least */
    bool answer_estimated; /* completion_tokens: nobody counted them */
};
extern const struct usage usage_unknown;

struct answer_end {
    enum err e; /* ERR_NONE: complete.  Else a class of providers.md section 10, or a local kind */
    struct err_note
        why; /* for the log; clients never see it, except ERR_BAD_REQUEST of local templates */
    enum finish finish;
    str stop; /* FINISH_STOP: the one of the ask's stop strings that ended it; empty: not known */
    struct usage usage;
    int calls; /* made to the provider: retries included */
};

/* What a provider says beside the text and only clients of its own dialect read: JSON as it came.
 */
enum extra {
    EXTRA_LOGPROBS,    /* OpenAI's object, of the text that comes next */
    EXTRA_FINGERPRINT, /* system_fingerprint, a string */
};

/* Events come on the loop that asked, in order, text in whole UTF-8 characters; views die on
 * return.  Any function but `done` may be NULL. */
struct sink {
    void *ctx;
    void (*text)(void *ctx, str text);
    void (*reasoning)(void *ctx, str text);
    /* What must go back on the next turn: of reasoning, of a call (its id), or of text. */
    void (*signature)(void *ctx, const struct part *of);
    void (*tool_begin)(void *ctx, int index, str id, str name);
    void (*tool_args)(void *ctx, int index, str fragment);
    void (*done)(void *ctx,
                 const struct answer_end *end); /* last, exactly once; the answer is gone then */
    void (*extra)(void *ctx, enum extra what, str json); /* shows nothing by itself */
    /* The provider failed in mid-answer and would be asked anew: whether all that was given can be
     * taken back, because nobody saw it; it is, then.  NULL: it cannot. */
    bool (*take_back)(void *ctx);
};

/* What a backend says of a request that it cannot have for one of its fields: ERR_UNSUPPORTED. */
static inline enum err backend_takes_no(struct err_note *why, const char *field, str what)
{
    if (why) why->about = field;
    return err_set(why, ERR_UNSUPPORTED, "%.*s takes no %s", STR_ARG(str_head(what, 100)), field);
}

static inline enum err backend_takes_no_images(struct err_note *why, str what)
{
    return backend_takes_no(why, "images", what);
}

/* ---- beside answers: a count of tokens, embeddings ---- */

/* One call that is no answer.  It ends by exactly one aside_fn; what that is given dies when it
 * returns. */
struct aside;

/* Everything is the asker's and lives until the end. */
struct embed_ask {
    str model;
    const str *texts; /* one vector each; or, in OpenAI's shape only: */
    size_t count;
    str tokens_json; /* `input` as lists of token ids, as the client wrote it; empty: texts */
    int dimensions;  /* -1: the model's own */
    bool packed;     /* wanted as base64 of little-endian float32, if the provider has it */
    str user;
    str more_json; /* further members ("\"a\":1,\"b\":2"), for a server that is not the vendor's own
                      and speaks the client's shape; or empty */
    uint64_t deadline_ms; /* on loop_now_ms's clock; 0: none */
};

/* One of the two is set. */
struct embed_vector {
    str numbers_json; /* an array of numbers, as the provider wrote it */
    str packed;       /* base64 of little-endian float32 */
};

struct aside_end {
    enum err e; /* as answer_end.e.  Of a count ERR_NOT_FOUND: nobody counts here */
    struct err_note why;
    int64_t tokens;                /* counted, or read for the vectors; -1: not known */
    const struct embed_vector *at; /* in the order of what was asked */
    size_t count;
};
typedef void aside_fn(void *ctx, const struct aside_end *end);

/* ---- the contract ---- */

enum backend_can {
    BACKEND_SYSTEM = 1, /* has a system role */
    BACKEND_TOOLS = 2,
    BACKEND_IMAGES = 4,
    BACKEND_PREFILL = 8, /* goes on from given text exactly; `goes_on` narrows it */
    BACKEND_REASON = 16,
};

struct backend;
struct answer;

/* What the files of a local model say. */
struct backend_files {
    str format, family, quantization; /* "gguf", "qwen2", "Q4_K_M"; empty: not known */
    str digest;                       /* 64 hexadecimal digits */
    str chat_template;
    uint64_t bytes, parameters; /* 0: not known */
    uint64_t modified_s;        /* Unix time; 0: inside the program */
    bool takes_tools;
};

/* One model that may be named. */
struct backend_offer {
    str id;
    int context_length, output_tokens; /* 0: not known */
    const struct backend_files *files; /* NULL: none of ours */
};
typedef void backend_list_fn(void *ctx, enum err e, const struct backend_offer *at, size_t count);

struct backend_conf {
    const char *type; /* "openai" */
    str model;        /* MODEL_NAME */
    /* What the settings say for this type; empty when unset.  Copied by open. */
    str base_url, key, version; /* version: MINIMAX_MODEL_VERSION, ANTHROPIC_VERSION */
    str organization, project;  /* openai */
    bool key_is_bearer;         /* ANTHROPIC_AUTH_TOKEN */
    int retries;                /* further calls before the first byte */
    uint32_t connect_ms, idle_ms, total_ms;
    /* local: */
    const char *model_path, *hub_cache; /* where files are looked for; NULL: not there */
    bool offline;                       /* nothing is downloaded */
    const char *hub_endpoint,
        *hub_token; /* where missing files are pulled from; endpoint NULL: nowhere */
    int ctx_tokens, threads;
    size_t queue_max;
    const struct backend_embedded *embedded; /* models inside the program, by name; NULL: none */
    size_t embedded_count;
};

struct files_blob;
struct backend_embedded {
    const char *model; /* "sema-guide" */
    const struct files_blob *blobs;
    size_t count;
};

/* Every function runs on a loop and returns at once.  A backend is shared by all loops; an answer
 * belongs to the loop that asked.  Calls upstream go through http_client_here(). */
struct backend_ops {
    const char *type; /* as written in MODEL_TYPE */
    unsigned can;     /* BACKEND_*: of the type */

    /* Checks what can be checked without waiting (credential present, address well-formed).
     * ERR_CREDENTIAL: the note names the setting. */
    enum err (*open)(struct backend **out, const struct backend_conf *c, struct err_note *why);

    /* Makes ready: loads a local model, or checks credential and model by a call that is free of
     * charge. `done` comes once, on the same loop.  ERR_NONE: ready (a note, if any, is a warning).
     * ERR_AUTH, ERR_NOT_FOUND, ERR_MODEL_UNUSABLE, ERR_MODEL_TOO_LARGE, ERR_CREDENTIAL: for good;
     * ERR_MODEL_NOT_FOUND: the provider says that there is no such model; the note names others.
     * ERR_NETWORK, ERR_TIMEOUT, ERR_OVERLOADED, ERR_RATE_LIMIT, ERR_SERVER: may pass. */
    void (*prepare)(struct backend *b, struct loop *l,
                    void (*done)(void *ctx, enum err e, const struct err_note *why), void *ctx);

    /* On ERR_NONE events follow, none before it returned; else no event does. */
    enum err (*ask)(struct answer **out, struct backend *b, struct loop *l, const struct ask *q,
                    struct sink to, struct err_note *why);
    /* NULL is fine; once it returned no event comes.  May be called from within any event but
     * `done`. */
    void (*cancel)(struct answer *a);
    void (*pause)(struct answer *a, bool pause); /* back-pressure: no more text for a while */
    void (*close)(struct backend *b);            /* no answer in flight; NULL is fine */

    /* Whether this model goes on exactly from a given text, as far as is known by now.  Any thread.
     * NULL: as `can` says. */
    bool (*goes_on)(struct backend *b, str model);

    /* Context length of the model when known, else 0.  May be NULL. */
    int (*context_length)(struct backend *b);

    /* What may be named here, conf.model aside: a provider's list by a call that is free, or the
     * local models of the cache.  `done` comes once, on the same loop, perhaps at once, at most
     * `within_ms` later for a provider; what it is given dies when it returns.  One at a time; a
     * backend that is closed, or a client of HTTP that ends, tells nothing more.  NULL: this type
     * lists nothing. */
    void (*list)(struct backend *b, struct loop *l, uint32_t within_ms, backend_list_fn *done,
                 void *ctx);
    /* Whether a model's files are here, by a few system calls.  May be NULL. */
    bool (*has)(const struct backend_conf *c, str model);

    /* The tokens of `q` as a prompt, exactly: by the model's own tokenizer, or a call that is free
     * of charge.  NULL: this type cannot. */
    enum err (*count)(struct aside **out, struct backend *b, struct loop *l, const struct ask *q,
                      aside_fn *done, void *ctx, struct err_note *why);
    /* Vectors of texts.  NULL: this type has none. */
    enum err (*embed)(struct aside **out, struct backend *b, struct loop *l,
                      const struct embed_ask *q, aside_fn *done, void *ctx, struct err_note *why);
    void (*aside_cancel)(struct aside *x); /* NULL is fine; `done` does not come then */
};

extern const struct backend_ops backend_openai, backend_anthropic, backend_google, backend_minimax,
    backend_hf, backend_local, backend_scripted;

#endif
