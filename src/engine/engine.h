/* The engine: model files in, text out.  It computes on threads of its own and knows no HTTP,
 * session or setting.  Everything it needs is in this header; what serves it is backend/local.c.
 *
 *     engine_open          files -> a model ready to answer (blocks: seconds for a large one)
 *     engine_ask           one conversation -> events, until exactly one `done`
 *     engine_cancel        at most one step later nothing is computed for it any more
 *     engine_release       after `done`: the job's memory goes
 *     engine_close         waits for the step that runs, ends what is left with ERR_CANCELLED
 *
 * Threads: every function may be called from any thread.  Events are called on the model's
 * scheduler thread and must return quickly (copy and post). */
#ifndef SEMA_ENGINE_ENGINE_H
#define SEMA_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct arena;
struct engine;
struct engine_job;
struct files; /* engine/format/files.h */

struct engine_conf {
    int threads;         /* that compute; 0: what affinity and CPU quota allow */
    int ctx_tokens;      /* wanted; the model's own limit when that is smaller */
    size_t jobs_max;     /* that may wait beyond those that run */
    size_t kv_bytes_max; /* of all running conversations together; 0: a share of what is free */
};

struct engine_info {
    char family[32]; /* "llama", "qwen2", ... */
    int ctx_tokens;  /* prompt and answer together */
    int vocab_tokens;
    uint64_t parameters;
    uint64_t weight_bytes;
    bool takes_system; /* its template renders a system message */
    bool takes_tools;
};

/* Takes over `files` (also on failure).  Errors: ERR_MODEL_UNUSABLE (damaged, unsupported; the note
 * names file and reason), ERR_MODEL_TOO_LARGE, ERR_MEMORY. */
enum err engine_open(struct engine **out, struct files *files, const struct engine_conf *conf,
                     struct err_note *why);
void engine_info(const struct engine *e, struct engine_info *out);
void engine_close(struct engine *e); /* NULL is fine */

/* NaN, or a negative count: not given; then the model's generation_config.json decides, else the
 * `otherwise` set by the caller, else off. */
struct engine_sampling {
    double temperature, top_p, min_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
    int top_k;                /* 0: off */
    int no_repeat_ngram_size; /* 0: off */
};
extern const struct engine_sampling engine_sampling_none; /* nothing given */

struct engine_ask {
    /* A JSON array of messages as chat templates take them:
     * [{"role":"system"|"user"|"assistant"|"tool","content":...,"tool_calls":[...],...}, ...] */
    str messages_json;
    str tools_json;  /* a JSON array, or empty */
    str kwargs_json; /* a JSON object of further template variables, or empty */

    str prefill;     /* text that the answer already begins with: it goes on from there, exactly */
    str schema_json; /* the answer is JSON of this schema ("{}" any object); empty: free text */
    str tool_choice; /* "", "auto", "none", "required", or a tool's name */

    struct engine_sampling sampling;  /* what the request says */
    struct engine_sampling otherwise; /* what counts when neither request nor model says */
    int max_tokens;                   /* of the answer */
    bool seeded;
    uint64_t seed; /* the same seed gives the same answer, whatever else runs */
    const str *stops;
    size_t stops_count;

    bool count_only; /* nothing is computed: `done` comes with the prompt's tokens, however many */
    bool drop_old_turns; /* too long: leave out the oldest whole turns; else ERR_CONTEXT_LENGTH */
    uint64_t fair_key;   /* who asks: jobs of many askers take turns */
};

enum engine_finish { ENGINE_STOP, ENGINE_LENGTH, ENGINE_TOOL_CALLS };

struct engine_usage {
    int prompt_tokens; /* reused ones included */
    int reused_tokens; /* found in the cache of an earlier turn */
    int answer_tokens; /* end token not counted */
};

struct engine_events {
    void *ctx;
    /* Whole characters, never part of a stop string; the view dies on return. */
    void (*text)(void *ctx, str text);
    void (*tool_begin)(void *ctx, int index, str name);
    void (*tool_args)(void *ctx, int index, str fragment);
    /* Last, exactly once, also after engine_cancel (ERR_CANCELLED).  On an error `why` is filled:
     * ERR_CONTEXT_LENGTH, ERR_BAD_REQUEST (the template refuses; its words), ERR_UNSUPPORTED (a
     * keyword of the schema, named), ERR_QUEUE_FULL,
     * ERR_LOCAL_FAILED, ERR_MEMORY, ERR_CANCELLED. */
    void (*done)(void *ctx, enum err e, enum engine_finish finish, struct engine_usage usage,
                 const struct err_note *why);
};

/* Copies what it is given.  On ERR_QUEUE_FULL and ERR_MEMORY no event follows.  Every job is
 * released once, after its `done` was called. */
enum err engine_ask(struct engine_job **out, struct engine *e, const struct engine_ask *ask,
                    struct engine_events events, struct err_note *why);
void engine_cancel(struct engine_job *job); /* returns at once; `done` still comes, once */
void engine_release(struct engine_job *job);
/* Once `done` was called: which of ask.stops ended the answer; -1: none. */
int engine_stop_met(const struct engine_job *job);
/* Holds a job back between steps: its asker does not take text just now. */
void engine_pause(struct engine_job *job, bool pause);

/* Tokens of a rendered conversation, for count_tokens; runs on the caller's thread. */
enum err engine_count(struct engine *e, const struct engine_ask *ask, int *out,
                      struct err_note *why);

/* What is known of a model's files without loading them. */
struct engine_about {
    const char *format; /* "safetensors" (also of torch's files), "gguf" */
    str family;
    const char *quantization; /* "Q4_K_M", "BF16": of most weights */
    int ctx_tokens;
    uint64_t parameters, weight_bytes;
    str chat_template; /* as written; empty: none */
    bool takes_tools;  /* the template speaks of them */
};
/* Reads headers and settings; strings live in the arena.  As engine_open fails, but for the
 * tokenizer, which is not looked at. */
enum err engine_about(struct engine_about *out, struct files *files, struct arena *a,
                      struct err_note *why);

#endif
