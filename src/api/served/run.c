/* The course of a served request: read, ask, answer. */
#include <stdio.h>
#include <stdlib.h>

#include "api/metrics.h"
#include "api/served/served.h"
#include "api/served/token.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/span.h"
#include "base/utf8.h"
#include "chat/chat.h"
#include "conf/limits.h"

enum {
    GOT_BYTES_MAX = UPSTREAM_ANSWER_BYTES_MAX,
    OUT_BYTES_MAX = 2 * UPSTREAM_ANSWER_BYTES_MAX,
    CALLS_MAX = 128,
};

/* ---- the end ---- */

static void over(struct served *s)
{
    timer_stop(&s->hold);
    timer_stop(&s->ping);
    call_waited(s->call);
    buf_fini(&s->got.text);
    buf_fini(&s->got.reasoning);
    buf_fini(&s->got.logprobs);
    for (size_t i = 0; i < s->got.calls_count; i++) buf_fini(&s->got.calls[i].args);
    yyjson_doc_free(s->body);
    s->body = NULL;
    api_turn_ended(s->call->at);
}

static void on_gone(struct call *c)
{
    struct served *s = c->own;

    reply_cancel(s->reply);
    if (s->append) append_leave(s->append);
    over(s);
}

/* ---- a stream ---- */

static void on_ping(struct timer *t);

static void send_head(struct served *s)
{
    struct call *c = s->call;

    if (s->head_sent) return;
    s->head_sent = true;
    timer_stop(&s->hold);
    call_dress(c);
    response_header(c->r, "Cache-Control", STR("no-cache, no-transform"));
    response_header(c->r, "X-Accel-Buffering", STR("no"));
    response_header(c->r, "request-id", str_of(c->r->id));
    response_stream(c->r, 200, s->dialect->stream_type);
}

/* There may be none any more, while the turn is stored; or not yet, of the next part. */
static void pause_reply(struct served *s, bool pause)
{
    s->paused = pause;
    if (s->reply) reply_pause(s->reply, pause);
}

/* What is in the loop's scratch buffer goes out; the reply waits while the client does not read. */
static void flush(struct served *s)
{
    struct buf *out = &s->call->at->out;

    if (!s->stream) buf_clear(out); /* of a whole answer nothing goes out yet */
    if (out->len == 0) return;
    timer_set(&s->ping, s->call->at->loop, SERVED_PING_MS, on_ping);
    size_t unsent = response_write(s->call->r, buf_str(out));
    buf_clear(out);
    if (unsent > STREAM_UNSENT_BYTES_MAX && !s->paused) pause_reply(s, true);
}

static void on_drain(struct call *c)
{
    struct served *s = c->own;

    if (s->paused) pause_reply(s, false);
}

static void on_ping(struct timer *t)
{
    struct served *s = container_of(t, struct served, ping);

    buf_clear(&s->call->at->out);
    s->dialect->ping(s, &s->call->at->out);
    flush(s);
}

static void on_hold(struct timer *t)
{
    struct served *s = container_of(t, struct served, hold);

    send_head(s);
    on_ping(&s->ping);
}

/* The scratch buffer, with the head out and `begin` written. */
static struct buf *open_frame(struct served *s)
{
    struct buf *out = &s->call->at->out;

    if (s->stream) send_head(s);
    buf_clear(out);
    if (!s->begun) {
        s->begun = true;
        s->dialect->begin(s, out);
    }
    s->events++;
    return out;
}

/* ---- the reply's events ---- */

static void on_started(void *ctx, str model_name, const char *type)
{
    struct served *s = ctx;
    (void)type;
    if (!s->begun) s->model_name = arena_str(s->arena, model_name);
    buf_clear(&s->got.logprobs); /* of a model that told nothing else */
}

/* Whether the dialect hears of an event. */
static bool tells(const struct served *s)
{
    return s->stream || s->dialect->composes;
}

static bool collects(const struct served *s)
{
    return !s->stream || s->keep_got || s->session.at;
}

static void on_text(void *ctx, str text)
{
    struct served *s = ctx;

    if (collects(s)) buf_add(&s->got.text, text);
    if (!tells(s)) return;
    s->dialect->text(s, text, open_frame(s));
    flush(s);
}

static void on_reasoning(void *ctx, str text)
{
    struct served *s = ctx;

    if (!s->thinking) return;
    if (collects(s)) buf_add(&s->got.reasoning, text);
    if (!tells(s)) return;
    s->dialect->reasoning(s, text, open_frame(s));
    flush(s);
}

/* What is not of reasoning: a call's is kept with it, a text's where the dialect has a place. */
static void on_other_signature(struct served *s, const struct part *p)
{
    for (size_t i = 0; p->kind == PART_TOOL_CALL && i < s->got.calls_count; i++)
        if (str_eq(s->got.calls[i].id, p->id))
            s->got.calls[i].signature = arena_str(s->arena, p->signature);
    if (p->kind != PART_TEXT || !s->dialect->signs_text) return;
    s->got.text_signature = arena_str(s->arena, p->signature);
    if (!s->stream) return;
    s->dialect->signature(s, p, open_frame(s));
    flush(s);
}

static void on_signature(void *ctx, const struct part *p)
{
    struct served *s = ctx;
    struct part *kept = &s->got.signature;

    if (p->kind != PART_REASONING) {
        on_other_signature(s, p);
        return;
    }
    /* An item of OpenAI's has no place as it is elsewhere, nor has a signed text there. */
    bool as_token = s->dialect->has_items || p->id.len || str_eq(p->issuer, STR("openai"));
    *kept = (struct part){.kind = PART_REASONING};
    kept->signature = as_token ? served_token(p, s->arena) : arena_str(s->arena, p->signature);
    kept->redacted = as_token ? STR_NONE : arena_str(s->arena, p->redacted);
    kept->issuer = arena_str(s->arena, p->issuer);
    if (s->got.thoughts == NULL)
        s->got.thoughts = arena_array(s->arena, struct served_thought, CALLS_MAX);
    if (s->got.thoughts && s->got.thoughts_count < CALLS_MAX)
        s->got.thoughts[s->got.thoughts_count++] =
            (struct served_thought){.to = s->got.reasoning.len, .signed_ = *kept};
    if (!tells(s) || !s->thinking || s->dialect->signature == NULL) return;
    s->dialect->signature(s, kept, open_frame(s));
    flush(s);
}

static void on_tool_begin(void *ctx, int index, str id, str name)
{
    struct served *s = ctx;
    char made[32];

    if (s->got.calls == NULL) s->got.calls = arena_array(s->arena, struct served_call, CALLS_MAX);
    if (id.len == 0) {
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        memcpy(made, "call_", 5);
        for (int i = 0; i < 24; i++) made[5 + i] = letters[rand_u64() % 62];
        id = str_span(made, 29);
    }
    if (s->got.calls && s->got.calls_count < CALLS_MAX) {
        struct served_call *call = &s->got.calls[s->got.calls_count++];
        call->id = arena_str(s->arena, id);
        call->name = arena_str(s->arena, name);
        buf_init(&call->args, GOT_BYTES_MAX);
    }
    if (!tells(s)) return;
    s->dialect->tool_begin(s, index, id, name, open_frame(s));
    flush(s);
}

static void on_tool_args(void *ctx, int index, str fragment)
{
    struct served *s = ctx;

    if (fragment.len == 0) return;
    if (index >= 0 && (size_t)index < s->got.calls_count)
        buf_add(&s->got.calls[index].args, fragment);
    if (!tells(s)) return;
    s->dialect->tool_args(s, index, fragment, open_frame(s));
    flush(s);
}

/* The elements of a list, if it is one. */
static void add_elements(struct buf *to, str list)
{
    struct span_iter it;
    struct span each;

    if (!span_open(&it, list) || it.object) return;
    while (span_next(&it, &each)) {
        if (to->len) buf_add_char(to, ',');
        buf_add(to, each.value);
    }
}

static void on_extra(void *ctx, enum extra what, str json)
{
    struct served *s = ctx;
    yyjson_doc *doc = NULL;

    if (what == EXTRA_LOGPROBS) {
        if (!s->logprobs) return;
        add_elements(&s->got.logprobs, span_get(json, STR("content")));
        add_elements(&s->got.logprobs, span_get(json, STR("refusal")));
        return;
    }
    if (json_read(&doc, json, 1, JSON_PLAIN, NULL)) return;
    str text = arena_str(s->arena, json_str(yyjson_doc_get_root(doc)));
    if (what == EXTRA_FINGERPRINT) s->got.fingerprint = text;
    yyjson_doc_free(doc);
}

static void log_end(const struct served *s, const struct reply_end *end)
{
    log_event(end->e ? err_row(end->e)->level : LEVEL_INFO, "served",
              end->e ? "served_request_failed" : "served_request_completed",
              LOG_STR("model", end->model_name),
              LOG_CSTR("code", end->e ? err_row(end->e)->code : "ok"),
              LOG_CSTR("error", end->e ? err_text(&end->why, end->e) : ""),
              LOG_NUM("total_time", (double)(clock_mono_us() - s->began_us) / 1e6),
              LOG_CSTR("request_id", s->call->r->id));
}

static void end_whole(struct served *s, const struct reply_end *end)
{
    struct call *c = s->call;
    struct buf body;

    buf_init(&body, OUT_BYTES_MAX);
    s->dialect->whole(s, end, &body);
    over(s);
    if (body.bad) {
        served_fail_with(c, ERR_MEMORY, NULL);
    } else {
        response_header(c->r, "request-id", str_of(c->r->id));
        response_header(c->r, "Cache-Control", STR("no-store"));
        call_send(c, 200, "application/json", buf_str(&body));
    }
    buf_fini(&body);
}

/* The last frames, then the end of the body. */
static void end_stream(struct served *s, const struct reply_end *end,
                       const struct family_error *failed)
{
    struct request *r = s->call->r;
    struct buf *out;

    if (failed) {
        out = &s->call->at->out;
        buf_clear(out);
        s->dialect->fail(s, failed, out);
    } else {
        out = open_frame(s);
        s->dialect->end(s, end, out);
    }
    timer_stop(&s->ping);
    response_write(r, buf_str(out));
    buf_clear(out);
    over(s);
    response_end(r);
}

static bool got_bad(const struct served *s)
{
    bool bad = s->got.text.bad || s->got.reasoning.bad || s->got.logprobs.bad;
    for (size_t i = 0; i < s->got.calls_count; i++) bad = bad || s->got.calls[i].args.bad;
    return bad;
}

static void fail_reply(struct served *s, enum err e, const struct err_note *why)
{
    struct call *c = s->call;
    struct family_error f;

    if (s->head_sent) {
        served_error_of(&f, e, why, s->arena);
        served_too_long(&f, e, c);
        end_stream(s, NULL, &f);
        return;
    }
    over(s);
    if (s->end.unknown_name)
        served_fail_start(c, ERR_MODEL_NOT_FOUND, why); /* the client's mistake */
    else
        served_fail_with(c, e, why);
}

/* ---- the session that the client named ---- */

/* The last message of the user, its texts alone. */
static bool last_asked(const struct served *s, struct buf *out)
{
    for (size_t i = s->ask.messages_count; i-- > 0;) {
        const struct message *m = &s->ask.messages[i];
        if (m->role != ROLE_USER) continue;
        for (size_t k = 0; k < m->count; k++)
            if (m->parts[k].kind == PART_TEXT) buf_add(out, m->parts[k].text);
        return true;
    }
    return false;
}

static void on_stored(void *ctx, enum err e)
{
    struct served *s = ctx;

    s->append = NULL;
    if (e)
        fail_reply(s, e, NULL);
    else if (s->stream)
        end_stream(s, &s->end, NULL);
    else
        end_whole(s, &s->end);
}

static const char *finish_word(enum finish f)
{
    return f == FINISH_LENGTH ? "length" : f == FINISH_CONTENT_FILTER ? "content_filter" : "stop";
}

/* The client learns of the end when its turn is durable. */
static void store(struct served *s, const struct reply_end *end)
{
    struct buf asked;
    enum err e = ERR_NONE;

    s->end = *end;
    s->end.model_name = arena_str(s->arena, end->model_name);
    s->end.rescued_by = arena_str(s->arena, end->rescued_by);
    buf_init(&asked, V1_BODY_BYTES_MAX);
    if (!last_asked(s, &asked)) {
        on_stored(s, ERR_NONE);
        return;
    }
    const struct append_ask ask = {
        .key = {s->call->owner, s->session},
        .message = asked.len ? buf_str(&asked) : STR(""),
        .answer = s->got.text.len ? buf_str(&s->got.text) : STR(""),
        .model_name = s->model_name,
        .finish_reason = str_of(finish_word(end->finish)),
        .asked_us = s->asked_us,
    };
    e = asked.bad ? ERR_MEMORY
                  : chat_append(&s->append, s->call->api->parts.chat, s->call->at->loop, &ask,
                                on_stored, s);
    buf_fini(&asked);
    if (e) on_stored(s, e);
}

static bool read_session(struct served *s, struct family_error *why)
{
    str id = headers_get(&s->call->r->headers, STR("X-Session-ID"));

    if (id.at == NULL) return true;
    if (utf8_valid(id) && id.len > 0 && utf8_count(id) <= SESSION_ID_CHARS_MAX) {
        s->session = id;
        return true;
    }
    *why = (struct family_error){
        .status = 400,
        .code = "invalid_value",
        .param = STR("X-Session-ID"),
        .message = STR("X-Session-ID: expected 1 to 256 characters of UTF-8"),
    };
    return false;
}

static enum err start(struct served *s, struct err_note *why);

/* Another part of the request is asked now: nothing ends yet. */
static bool goes_on(struct served *s, const struct reply_end *end)
{
    struct err_note why = {.text = ""};

    if (s->dialect->next == NULL) return false;
    if (!s->dialect->next(s, end, s->stream ? open_frame(s) : NULL)) return false;
    if (s->stream) flush(s);
    buf_clear(&s->got.text);
    buf_clear(&s->got.reasoning);
    enum err e = start(s, &why);
    if (e)
        fail_reply(s, e, &why);
    else if (s->paused)
        pause_reply(s, true);
    return true;
}

static void on_done(void *ctx, const struct reply_end *end)
{
    struct served *s = ctx;

    log_end(s, end);
    s->reply = NULL;
    s->end.unknown_name = end->unknown_name;
    if (end->e || got_bad(s))
        fail_reply(s, end->e ? end->e : ERR_MEMORY, &end->why);
    else if (goes_on(s, end))
        return;
    else if (s->session.at)
        store(s, end);
    else if (s->stream)
        end_stream(s, end, NULL);
    else
        end_whole(s, end);
}

/* SHUTDOWN_TIMEOUT. */
static void on_end(struct call *c)
{
    struct served *s = c->own;

    reply_cancel(s->reply);
    s->reply = NULL;
    if (s->append) append_leave(s->append);
    fail_reply(s, ERR_SHUTTING_DOWN, NULL);
}

/* ---- the beginning ---- */

static void make_id(struct served *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    for (int i = 0; i < 24; i++) s->id[i] = letters[rand_u64() % 62];
    s->id[24] = '\0';
    s->created_s = (int64_t)(clock_wall_us() / 1000000);
    s->began_us = clock_mono_us();
}

static enum err start(struct served *s, struct err_note *why)
{
    struct call *c = s->call;
    const struct conf *conf = c->api->conf;
    uint64_t most_ms = (uint64_t)conf->provider_total_timeout_ms * (s->stream ? 2 : 1);
    uint64_t gone_ms = (clock_mono_us() - s->began_us) / 1000; /* of all parts together */
    struct reply_ask ask = {
        .ask = &s->ask,
        .model = s->model,
        .total_ms = gone_ms < most_ms ? most_ms - gone_ms : 1,
        .rescue = conf->stream_rescue,
        .hold = !s->stream,
        .reasoning_hidden = !s->thinking,
    };
    struct reply_events to = {
        .ctx = s,
        .started = on_started,
        .text = on_text,
        .reasoning = on_reasoning,
        .signature = on_signature,
        .tool_begin = on_tool_begin,
        .tool_args = on_tool_args,
        .done = on_done,
        .extra = on_extra,
    };

    if (c->at->draining) return ERR_SHUTTING_DOWN;
    return reply_start(&s->reply, c->api->parts.models, c->at->loop, &ask, to, why);
}

/* What the client brings back of earlier answers' reasoning. */
static void open_tokens(struct served *s)
{
    for (size_t i = 0; i < s->ask.messages_count; i++) {
        /* The reader's own array, in the arena. */
        struct part *parts = (struct part *)(uintptr_t)s->ask.messages[i].parts;
        for (size_t k = 0; k < s->ask.messages[i].count; k++)
            if (parts[k].kind == PART_REASONING) served_token_open(&parts[k], s->arena);
    }
}

void served_run(struct call *c, const struct served_dialect *d)
{
    struct family_error bad = {.status = 503,
                               .code = "overloaded",
                               .message = STR("out of memory")};
    struct err_note why = {.text = ""};
    struct served *s = arena_new(&c->r->arena, struct served);
    yyjson_doc *doc = NULL;

    if (s == NULL || !served_parse(c, &doc, &bad)) {
        served_fail(c, &bad);
        return;
    }
    s->call = c;
    s->dialect = d;
    s->arena = &c->r->arena;
    s->body = doc;
    s->ask = ask_none;
    buf_init(&s->got.text, GOT_BYTES_MAX);
    buf_init(&s->got.reasoning, GOT_BYTES_MAX);
    buf_init(&s->got.logprobs, GOT_BYTES_MAX);
    make_id(s);
    s->asked_us = clock_wall_us();
    if (!read_session(s, &bad) || !d->read(s, yyjson_doc_get_root(doc), &bad)) {
        served_fail(c, &bad);
        yyjson_doc_free(doc);
        return;
    }
    if (!call_within_limit(c)) {
        yyjson_doc_free(doc);
        return;
    }
    open_tokens(s);
    s->ask.stream = s->stream;
    s->model_name = s->model;
    enum err e = start(s, &why);
    if (e) {
        served_fail_start(c, e, &why);
        yyjson_doc_free(doc);
        return;
    }
    api_turn_begun(c->at);
    call_wait(c, s, on_gone, on_end);
    c->drain = on_drain;
    if (s->stream) timer_set(&s->hold, c->at->loop, SERVED_HOLD_MS, on_hold);
}
