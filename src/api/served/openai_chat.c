/* POST /v1/chat/completions, the answer (openai-compat.md sections 3 and 4). */
#include <stdio.h>

#include "api/served/openai.h"

const char *openai_finish(enum finish f)
{
    switch (f) {
    case FINISH_LENGTH: return "length";
    case FINISH_TOOL_CALLS: return "tool_calls";
    case FINISH_CONTENT_FILTER: return "content_filter";
    default: return "stop";
    }
}

void openai_put_usage(struct json_out *o, const struct usage *u)
{
    json_object(o);
    json_key(o, "prompt_tokens"), json_int(o, u->prompt_tokens);
    json_key(o, "completion_tokens"), json_int(o, u->completion_tokens);
    json_key(o, "total_tokens"), json_int(o, u->prompt_tokens + u->completion_tokens);
    json_key(o, "prompt_tokens_details"), json_object(o);
    json_key(o, "cached_tokens"), json_int(o, u->cached_tokens);
    json_end_object(o);
    json_key(o, "completion_tokens_details"), json_object(o);
    json_key(o, "reasoning_tokens"), json_int(o, u->reasoning_tokens);
    json_end_object(o);
    json_end_object(o);
}

static void put_head(struct served *s, struct json_out *o, const char *object)
{
    char id[64];

    snprintf(id, sizeof id, "chatcmpl-%s", s->id);
    json_object(o);
    json_key(o, "id"), json_text(o, str_of(id));
    json_key(o, "object"), json_text(o, str_of(object));
    json_key(o, "created"), json_int(o, s->created_s);
    json_key(o, "model"), json_text(o, s->model_name);
}

static void put_logprobs(struct served *s, struct json_out *o)
{
    json_key(o, "logprobs");
    if (s->got.logprobs.len == 0) {
        json_null(o);
        return;
    }
    json_object(o);
    json_key(o, "content"), json_array(o);
    json_raw(o, buf_str(&s->got.logprobs));
    json_end_array(o);
    json_key(o, "refusal"), json_null(o);
    json_end_object(o);
    buf_clear(&s->got.logprobs);
}

/* ---- whole ---- */

static str args_of(const struct served_call *call)
{
    return call->args.len ? buf_str(&call->args) : STR("{}"); /* what a client joins must be JSON */
}

static void put_calls(struct served *s, struct json_out *o)
{
    if (s->got.calls_count == 0) return;
    json_key(o, "tool_calls"), json_array(o);
    for (size_t i = 0; i < s->got.calls_count; i++) {
        const struct served_call *call = &s->got.calls[i];
        json_object(o);
        json_key(o, "id"), json_text(o, call->id);
        json_key(o, "type"), json_text(o, STR("function"));
        json_key(o, "function"), json_object(o);
        json_key(o, "name"), json_text(o, call->name);
        json_key(o, "arguments"), json_text(o, args_of(call));
        json_end_object(o);
        json_end_object(o);
    }
    json_end_array(o);
}

static void put_details(struct served *s, struct json_out *o, const struct reply_end *end)
{
    str wanted = headers_get(&s->call->r->headers, STR("X-Sema-Details"));

    if (!str_eq(wanted, STR("1"))) return;
    json_key(o, "sema"), json_object(o);
    json_key(o, "backend"), json_text_or_null(o, str_of(end->type));
    if (end->rescued_by.len) json_key(o, "rescued_by"), json_text(o, end->rescued_by);
    json_end_object(o);
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);
    struct usage usage = served_usage(s, end);
    bool no_text = s->got.text.len == 0 && s->got.calls_count > 0;

    put_head(s, &o, "chat.completion");
    json_key(&o, "choices"), json_array(&o);
    json_object(&o);
    json_key(&o, "index"), json_int(&o, 0);
    json_key(&o, "message"), json_object(&o);
    json_key(&o, "role"), json_text(&o, STR("assistant"));
    json_key(&o, "content"),
        json_text_or_null(&o, no_text ? STR_NONE
                                      : str_span(s->got.text.at ? s->got.text.at : "",
                                                 s->got.text.len));
    json_key(&o, "refusal"), json_null(&o);
    if (s->got.reasoning.len)
        json_key(&o, "reasoning_content"), json_text(&o, buf_str(&s->got.reasoning));
    put_calls(s, &o);
    json_end_object(&o);
    put_logprobs(s, &o);
    json_key(&o, "finish_reason"), json_text(&o, str_of(openai_finish(end->finish)));
    json_end_object(&o);
    json_end_array(&o);
    json_key(&o, "usage"), openai_put_usage(&o, &usage);
    if (s->got.fingerprint.len)
        json_key(&o, "system_fingerprint"), json_text(&o, s->got.fingerprint);
    put_details(s, &o, end);
    json_end_object(&o);
}

/* ---- stream ---- */

struct own {
    int open; /* the call whose fragments go out as they come; -1: none yet */
};

/* A chunk up to its delta's inside; close_chunk ends it. */
static struct json_out open_chunk(struct served *s, struct buf *out)
{
    struct json_out o = served_frame(out, NULL);

    put_head(s, &o, "chat.completion.chunk");
    json_key(&o, "choices"), json_array(&o);
    json_object(&o);
    json_key(&o, "index"), json_int(&o, 0);
    json_key(&o, "delta"), json_object(&o);
    return o;
}

static void close_chunk(struct served *s, struct json_out *o, const char *finish)
{
    json_end_object(o);
    put_logprobs(s, o);
    json_key(o, "finish_reason"), json_text_or_null(o, str_of(finish));
    json_end_object(o);
    json_end_array(o);
    if (s->include_usage) json_key(o, "usage"), json_null(o);
    json_end_object(o);
    served_frame_end(o->to);
}

static void begin(struct served *s, struct buf *out)
{
    struct buf later = s->got.logprobs; /* they belong to the text behind this */
    struct json_out o = open_chunk(s, out);
    struct own *own = s->own = arena_new(s->arena, struct own);

    if (own) own->open = -1;
    s->got.logprobs.len = 0;
    json_key(&o, "role"), json_text(&o, STR("assistant"));
    json_key(&o, "content"), json_text(&o, STR(""));
    close_chunk(s, &o, NULL);
    s->got.logprobs = later;
}

static void text(struct served *s, str piece, struct buf *out)
{
    struct json_out o = open_chunk(s, out);
    json_key(&o, "content"), json_text(&o, piece);
    close_chunk(s, &o, NULL);
}

static void reasoning(struct served *s, str piece, struct buf *out)
{
    struct json_out o = open_chunk(s, out);
    json_key(&o, "reasoning_content"), json_text(&o, piece);
    close_chunk(s, &o, NULL);
}

static void put_fragment(struct served *s, int index, str id, str name, str args, struct buf *out)
{
    struct json_out o = open_chunk(s, out);

    json_key(&o, "tool_calls"), json_array(&o);
    json_object(&o);
    json_key(&o, "index"), json_int(&o, index);
    if (id.len) {
        json_key(&o, "id"), json_text(&o, id);
        json_key(&o, "type"), json_text(&o, STR("function"));
    }
    json_key(&o, "function"), json_object(&o);
    if (name.len) json_key(&o, "name"), json_text(&o, name);
    json_key(&o, "arguments"), json_text(&o, args);
    json_end_object(&o);
    json_end_object(&o);
    json_end_array(&o);
    close_chunk(s, &o, NULL);
}

/* The calls after the open one and before `until`, whole. */
static void put_late_calls(struct served *s, struct own *own, int until, struct buf *out)
{
    for (int i = own->open + 1; i < until; i++) {
        const struct served_call *call = &s->got.calls[i];
        put_fragment(s, i, call->id, call->name, STR(""), out);
        put_fragment(s, i, STR_NONE, STR_NONE, args_of(call), out);
    }
}

/* Fragments of a call that another one's overtook are given when its turn comes: those of one call
 * are not mixed with others'. */
static void tool_begin(struct served *s, int index, str id, str name, struct buf *out)
{
    struct own *own = s->own;

    if (own == NULL || (size_t)index >= s->got.calls_count) return;
    if (own->open >= 0 && !served_call_is_whole(&s->got.calls[own->open])) return;
    put_late_calls(s, own, index, out);
    own->open = index;
    put_fragment(s, index, id, name, STR(""), out);
}

static void tool_args(struct served *s, int index, str fragment, struct buf *out)
{
    const struct own *own = s->own;

    if (own && own->open == index) put_fragment(s, index, STR_NONE, STR_NONE, fragment, out);
}

static void close_calls(struct served *s, struct buf *out)
{
    struct own *own = s->own;

    if (own == NULL || s->got.calls_count == 0) return;
    if (own->open >= 0 && s->got.calls[own->open].args.len == 0)
        put_fragment(s, own->open, STR_NONE, STR_NONE, STR("{}"), out);
    put_late_calls(s, own, (int)s->got.calls_count, out);
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    close_calls(s, out);
    struct json_out o = open_chunk(s, out);
    close_chunk(s, &o, openai_finish(e->finish));
    if (s->include_usage) {
        struct usage usage = served_usage(s, e);
        o = served_frame(out, NULL);
        put_head(s, &o, "chat.completion.chunk");
        json_key(&o, "choices"), json_array(&o), json_end_array(&o);
        json_key(&o, "usage"), openai_put_usage(&o, &usage);
        json_end_object(&o);
        served_frame_end(out);
    }
    buf_add(out, STR("data: [DONE]\n\n"));
}

void openai_stream_fail(struct served *s, const struct family_error *e, struct buf *out)
{
    buf_add(out, STR("data: "));
    family_error(out, s->dialect->family, e, STR_NONE);
    served_frame_end(out);
}

void openai_stream_ping(struct served *s, struct buf *out)
{
    (void)s;
    buf_add(out, STR(": ping\n\n"));
}

static const struct served_dialect dialect = {
    .family = FAMILY_OPENAI,
    .stream_type = "text/event-stream; charset=utf-8",
    .read = openai_read_chat,
    .whole = whole,
    .begin = begin,
    .text = text,
    .reasoning = reasoning,
    .tool_begin = tool_begin,
    .tool_args = tool_args,
    .end = end,
    .fail = openai_stream_fail,
    .ping = openai_stream_ping,
};

void served_openai_chat(struct call *c)
{
    served_run(c, &dialect);
}
