/* POST /api/v1/chat (http-api.md section 5): one message in, the whole answer out. */
#include <stdlib.h>

#include "api/body.h"
#include "api/chat_stream.h"
#include "api/inside.h"
#include "api/stream.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "conf/limits.h"

enum { ANSWER_BYTES_MAX = 3 * UPSTREAM_ANSWER_BYTES_MAX };

struct post { /* in the request's arena */
    struct call *call;
    struct turn *turn;
    yyjson_doc *body; /* for the `input` of a rejection; freed with the turn */
    struct chat_request ask;
    char message_id[RAND_UUID_BYTES];
    uint64_t began_us;
};

static void over(struct post *p)
{
    struct api_loop *at = p->call->at;

    p->turn = NULL;
    yyjson_doc_free(p->body);
    p->body = NULL;
    api_turn_ended(at);
}

static void on_gone(struct call *c)
{
    struct post *p = c->own;

    turn_cancel(p->turn);
    over(p);
}

static void on_end(struct call *c)
{
    struct post *p = c->own;

    turn_cancel(p->turn);
    over(p);
    call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
}

static void on_done(void *ctx, const struct turn_result *r)
{
    struct post *p = ctx;
    struct call *c = p->call;
    struct buf body;
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, r->at_us);
    buf_init(&body, ANSWER_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "message"), json_text(&o, r->message);
    json_key(&o, "session_id"), json_text(&o, p->ask.session_id);
    json_key(&o, "message_id"), json_text(&o, str_of(p->message_id));
    json_key(&o, "model_name"), json_text(&o, r->model_name);
    json_key(&o, "timestamp"), json_text(&o, str_of(when));
    json_key(&o, "generation_time"), json_num(&o, (double)r->generation_us / 1e6);
    json_key(&o, "token_count");
    if (r->token_count < 0)
        json_null(&o);
    else
        json_int(&o, r->token_count);
    json_key(&o, "finish_reason"), json_text_or_null(&o, r->finish_reason);
    if (r->reasoning.at) json_key(&o, "reasoning"), json_text(&o, r->reasoning);
    json_end_object(&o);

    log_event(LEVEL_INFO, "chat", "chat_request_completed",
              LOG_STR("session_id", p->ask.session_id),
              LOG_INT("message_length", utf8_count(p->ask.message)),
              LOG_INT("response_length", utf8_count(r->message)),
              LOG_NUM("total_time", (double)(clock_mono_us() - p->began_us) / 1e6));
    over(p);
    call_json(c, 200, &body);
}

static const char *event_of(enum err e)
{
    if (e == ERR_NOT_READY) return "model_not_loaded";
    return e == ERR_STORE || e == ERR_SESSION_BUSY || e == ERR_SESSION_LIMIT || e == ERR_MEMORY
               ? "chat_request_failed"
               : "generation_error";
}

static void log_failed(const struct post *p, enum err e, const struct err_note *why)
{
    log_event(err_row(e)->level, "chat", event_of(e), LOG_CSTR("error", err_text(why, e)),
              LOG_CSTR("code", err_row(e)->code), LOG_STR("session_id", p->ask.session_id));
}

static void on_failed(void *ctx, enum err e, const struct err_note *why, bool text_sent)
{
    struct post *p = ctx;
    struct call *c = p->call;
    yyjson_doc *body = p->body;

    log_failed(p, e, why);
    p->body = NULL;
    over(p);
    call_fail_turn(c, e, why, yyjson_doc_get_root(body));
    yyjson_doc_free(body);
}

static void start(struct call *c, yyjson_doc *doc, const struct chat_request *ask)
{
    struct post *p = arena_new(&c->r->arena, struct post);
    struct err_note why = {0};
    struct turn_ask turn;
    const struct turn_events to = {.ctx = p, .done = on_done, .failed = on_failed};

    if (p == NULL) {
        yyjson_doc_free(doc);
        call_out_of_memory(c);
        return;
    }
    p->call = c;
    p->body = doc;
    p->ask = *ask;
    p->began_us = clock_mono_us();
    rand_uuid(p->message_id);
    stream_turn_ask(&turn, ask, c->owner);
    enum err e = c->at->draining ? ERR_SHUTTING_DOWN
                                 : turn_start(&p->turn, c->api->parts.chat, c->at->loop, &turn,
                                              p->message_id, to, &why);
    if (e) {
        log_failed(p, e, &why);
        call_fail_turn(c, e, &why, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
        return;
    }
    api_turn_begun(c->at);
    call_wait(c, p, on_gone, on_end);
}

static bool wants_events(const struct call *c)
{
    const struct headers *h = &c->r->headers;
    str part;

    for (size_t i = 0; i < h->count; i++) {
        if (!str_eq_nocase(h->at[i].name, STR("Accept"))) continue;
        str rest = h->at[i].value;
        while (str_split(&rest, ',', &part)) {
            size_t semicolon = str_find_char(part, ';');
            if (semicolon != STR_NPOS) part = str_head(part, semicolon);
            if (str_eq_nocase(str_trim(part), STR("text/event-stream"))) return true;
        }
    }
    return false;
}

void chat_post(struct call *c)
{
    struct chat_request ask;
    yyjson_doc *doc;

    chat_request_init(&ask);
    if (!body_read(c, chat_fields, chat_fields_count, &ask, &doc)) return;
    if (!call_within_limit(c)) {
        yyjson_doc_free(doc);
    } else if (ask.stream && c->api->conf->enable_streaming && wants_events(c)) {
        chat_stream_answer(c, &ask);
        yyjson_doc_free(doc);
    } else {
        start(c, doc, &ask);
    }
}
