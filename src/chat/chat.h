/* What a conversation is: turns in order, prompts, the model of the moment, what is stored.  It
 * never learns which route asked or which provider answered.
 *
 * One struct chat serves all loops.  A turn belongs to the loop that started it. */
#ifndef SEMA_CHAT_CHAT_H
#define SEMA_CHAT_CHAT_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/counter.h"
#include "base/err.h"
#include "store/store.h"

struct chat;
struct turn;
struct models;

/* What chat needs from the settings; filled by main.c. */
struct chat_conf {
    double temperature, top_p;
    int top_k, max_new_tokens;
    unsigned sampling_defaults; /* bits of enum ask_default: what was not set explicitly */
    bool show_reasoning;
    bool stream_rescue;
    uint64_t max_messages;     /* MAX_MESSAGES_PER_SESSION, 0: unlimited */
    uint64_t total_timeout_ms; /* a whole request; streams twice */
    uint64_t session_timeout_us;
    uint64_t owner_sessions_max;
    str system_prompt, system_prompt_chat, system_prompt_code, system_prompt_creative;
};

enum err chat_new(struct chat **out, const struct chat_conf *c, struct shelf *shelf,
                  struct models *models, struct err_note *why);
void chat_free(struct chat *c); /* no turn is left */

/* ---- turns ---- */

struct turn_ask {
    struct session_key key;
    str message;
    str system_prompt;  /* the request's; empty: by prompt_type */
    str prompt_type;    /* "", default, chat, code, creative */
    double temperature; /* NaN: the settings' */
    int max_tokens;     /* -1: the settings' */
    bool reasoning;     /* ask the reasoning model */
    bool stream;        /* twice the time; pieces are wanted as they come */
    const str *images;
    size_t images_count;
};

struct turn_result {
    str message;   /* as section 5 of http-api.md gives it, outer white space removed */
    str reasoning; /* alone, stripped; .at NULL when the model gave none */
    str model_name;
    str finish_reason;   /* "stop", "length", "content_filter"; .at NULL: unknown */
    int64_t token_count; /* -1: only an estimate exists */
    uint64_t at_us;      /* of completion */
    uint64_t generation_us;
    const char *rescued_by; /* or NULL */
};

/* Events come on the loop that started the turn; views die on return. */
struct turn_events {
    void *ctx;
    /* Generation starts: the turn has its place, the model is chosen. */
    void (*started)(void *ctx);
    /* Text as a streaming client sees it: "[Reasoning: " and all.  NULL when not streaming. */
    void (*text)(void *ctx, str text);
    /* Last, exactly one of the two: stored and durable; or failed.  `text_sent`: some text went out
     * before. */
    void (*done)(void *ctx, const struct turn_result *r);
    void (*failed)(void *ctx, enum err e, const struct err_note *why, bool text_sent);
};

/* message_id: 36 characters, the caller's.  ERR_SESSION_BUSY at once when 16 wait already,
 * ERR_MEMORY; then no event comes.  No event comes before it returned.  Copies what it is given.
 * The turn is the caller's until `done` or `failed` is called, or turn_cancel. */
enum err turn_start(struct turn **out, struct chat *c, struct loop *l, const struct turn_ask *ask,
                    const char *message_id, struct turn_events to, struct err_note *why);

/* The client is gone, or told that the server shuts down: upstream or engine stop, a partial answer
 * that was sent is kept (finish_reason "cancelled").  No event follows, and the turn is no longer
 * the caller's. May be called from within `started` and `text`. */
void turn_cancel(struct turn *t);
void turn_pause(struct turn *t, bool pause); /* the client does not read */

/* ---- a turn asked and answered without the session (openai-compat.md 1.2, X-Session-ID) ---- */

struct append;
struct append_ask {
    struct session_key key;
    str message, answer;
    str model_name;
    str finish_reason; /* as in turn_result */
    uint64_t asked_us; /* wall clock */
};

/* Adds the two as one turn when those before it in the session are over.  `done` comes once, later,
 * on `l`: ERR_NONE: durable, or the session was deleted meanwhile; ERR_STORE, ERR_SESSION_LIMIT,
 * ERR_MEMORY.  ERR_SESSION_BUSY, ERR_MEMORY at once: then `done` is not called.  Copies what it is
 * given. */
enum err chat_append(struct append **out, struct chat *c, struct loop *l,
                     const struct append_ask *ask, void (*done)(void *ctx, enum err e), void *ctx);
void append_leave(struct append *p); /* nobody waits: it is stored all the same, without `done` */

/* Whether a turn of this session runs or waits.  Any thread. */
bool chat_busy(struct chat *c, struct session_key k);

/* ---- what is stored, with the running turn's message shown ---- */

/* As shelf_read, plus the user message of a turn that is being generated, as the newest. */
enum err chat_session(struct chat *c, struct loop *l, struct session_key k, uint64_t before,
                      uint64_t max, shelf_done_fn *done, void *ctx);
enum err chat_sessions(struct chat *c, struct loop *l, str owner, uint64_t cursor, uint64_t max,
                       shelf_done_fn *done, void *ctx);
/* A running turn goes on but is not stored; those that wait begin a new session. */
enum err chat_forget(struct chat *c, struct loop *l, struct session_key k, shelf_done_fn *done,
                     void *ctx);

/* ---- numbers, for metrics and health ---- */

struct chat_numbers {
    gauge turns;      /* generating now */
    gauge unfinished; /* started and not over, those included whose client is gone and that are
                         being stored: a stop waits until none is left */
};
const struct chat_numbers *chat_numbers(const struct chat *c);

#endif
