/* POST /v1/messages, the answer: whole, or as named events with blocks strictly one after the other
 * (openai-compat.md section 7; providers.md 5.4). */
#include <stdio.h>

#include "api/served/anthropic.h"

/* The block that is open, and the next one's number. */
enum block { BLOCK_NONE, BLOCK_THINKING, BLOCK_TEXT, BLOCK_TOOL };

struct own {
    enum block open;
    int index;    /* of the open block, or of the next */
    int tool;     /* the last call whose block was opened; -1: none */
    bool signed_; /* the thinking block has its signature */
};

static const char *stop_reason(const struct reply_end *end)
{
    switch (end->finish) {
    case FINISH_LENGTH: return "max_tokens";
    case FINISH_TOOL_CALLS: return "tool_use";
    case FINISH_CONTENT_FILTER: return "refusal";
    default: return end->stop.len ? "stop_sequence" : "end_turn";
    }
}

static void put_stop(struct json_out *o, const struct reply_end *end)
{
    bool met = end->finish == FINISH_STOP && end->stop.len;

    json_key(o, "stop_reason"), json_text(o, str_of(stop_reason(end)));
    json_key(o, "stop_sequence"), json_text_or_null(o, met ? end->stop : STR_NONE);
}

/* The three input counts are disjoint. */
static void put_usage(struct json_out *o, const struct usage *u)
{
    int64_t input = u->prompt_tokens - u->cached_tokens - u->cache_write_tokens;

    json_object(o);
    json_key(o, "input_tokens"), json_int(o, input > 0 ? input : 0);
    json_key(o, "output_tokens"), json_int(o, u->completion_tokens);
    json_key(o, "cache_creation_input_tokens"), json_int(o, u->cache_write_tokens);
    json_key(o, "cache_read_input_tokens"), json_int(o, u->cached_tokens);
    json_end_object(o);
}

static str message_id(struct served *s)
{
    return arena_strf(s->arena, "msg_%s", s->id);
}

static str own_signature(struct served *s)
{
    return arena_strf(s->arena, ANTHROPIC_OWN_SIGNATURE "%s", s->id);
}

static str tool_id(struct served *s, str id)
{
    return str_starts(id, STR("call_"))
               ? arena_strf(s->arena, "toolu_%.*s", STR_ARG(str_tail(id, 5)))
               : id;
}

/* ---- whole ---- */

static void put_thought(struct json_out *o, str text, str signature)
{
    json_object(o);
    json_key(o, "type"), json_text(o, STR("thinking"));
    json_key(o, "thinking"), json_text(o, text);
    json_key(o, "signature"), json_text(o, signature);
    json_end_object(o);
}

/* Each with the signature that it came with; thinking that is not shown has one all the same, and a
 * tool loop needs it. */
static void put_thinking(struct served *s, struct json_out *o)
{
    str rest = buf_str(&s->got.reasoning);
    size_t from = 0;

    for (size_t i = 0; s->thinking && i < s->got.thoughts_count; i++) {
        const struct served_thought *t = &s->got.thoughts[i];
        str text = str_head(rest, t->to - from);
        bool redacted = t->signed_.redacted.len > 0;
        rest = str_tail(rest, t->to - from);
        from = t->to;
        if (!redacted) put_thought(o, text, t->signed_.signature);
        if (redacted && text.len) put_thought(o, text, own_signature(s));
        if (!redacted) continue;
        json_object(o);
        json_key(o, "type"), json_text(o, STR("redacted_thinking"));
        json_key(o, "data"), json_text(o, t->signed_.redacted);
        json_end_object(o);
    }
    if (rest.len) put_thought(o, rest, own_signature(s));
}

static void put_calls(struct served *s, struct json_out *o)
{
    for (size_t i = 0; i < s->got.calls_count; i++) {
        const struct served_call *call = &s->got.calls[i];
        json_object(o);
        json_key(o, "type"), json_text(o, STR("tool_use"));
        json_key(o, "id"), json_text(o, tool_id(s, call->id));
        json_key(o, "name"), json_text(o, call->name);
        json_key(o, "input");
        yyjson_doc *doc = NULL;
        bool object = call->args.len &&
                      !json_read(&doc, buf_str(&call->args), 512, JSON_RAW_NUMBERS, NULL) &&
                      yyjson_is_obj(yyjson_doc_get_root(doc));
        if (object) {
            json_raw(o, buf_str(&call->args));
        } else {
            json_object(o);
            if (call->args.len) json_key(o, "_raw"), json_text(o, buf_str(&call->args));
            json_end_object(o);
        }
        yyjson_doc_free(doc);
        json_end_object(o);
    }
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);
    struct usage usage = served_usage(s, end);

    json_object(&o);
    json_key(&o, "id"), json_text(&o, message_id(s));
    json_key(&o, "type"), json_text(&o, STR("message"));
    json_key(&o, "role"), json_text(&o, STR("assistant"));
    json_key(&o, "model"), json_text(&o, s->model_name);
    json_key(&o, "content"), json_array(&o);
    put_thinking(s, &o);
    if (s->got.text.len) {
        json_object(&o);
        json_key(&o, "type"), json_text(&o, STR("text"));
        json_key(&o, "text"), json_text(&o, buf_str(&s->got.text));
        json_end_object(&o);
    }
    put_calls(s, &o);
    json_end_array(&o);
    put_stop(&o, end);
    json_key(&o, "usage"), put_usage(&o, &usage);
    json_end_object(&o);
}

/* ---- stream ---- */

static struct json_out open_event(const char *type, struct buf *out)
{
    struct json_out o = served_frame(out, type);

    json_object(&o);
    json_key(&o, "type"), json_text(&o, str_of(type));
    return o;
}

static void close_event(struct json_out *o)
{
    json_end_object(o);
    served_frame_end(o->to);
}

static void begin(struct served *s, struct buf *out)
{
    struct usage none = {.prompt_tokens = 0};
    struct json_out o = open_event("message_start", out);

    struct own *own = s->own = arena_new(s->arena, struct own);
    if (own) own->tool = -1;
    json_key(&o, "message"), json_object(&o);
    json_key(&o, "id"), json_text(&o, message_id(s));
    json_key(&o, "type"), json_text(&o, STR("message"));
    json_key(&o, "role"), json_text(&o, STR("assistant"));
    json_key(&o, "model"), json_text(&o, s->model_name);
    json_key(&o, "content"), json_array(&o), json_end_array(&o);
    json_key(&o, "stop_reason"), json_null(&o);
    json_key(&o, "stop_sequence"), json_null(&o);
    json_key(&o, "usage"), put_usage(&o, &none);
    json_end_object(&o);
    close_event(&o);
}

static struct json_out open_delta(const struct own *own, const char *type, struct buf *out)
{
    struct json_out o = open_event("content_block_delta", out);

    json_key(&o, "index"), json_int(&o, own->index);
    json_key(&o, "delta"), json_object(&o);
    json_key(&o, "type"), json_text(&o, str_of(type));
    return o;
}

static void close_delta(struct json_out *o)
{
    json_end_object(o);
    close_event(o);
}

static void put_signature(struct own *own, str signature, struct buf *out)
{
    own->signed_ = true;
    struct json_out o = open_delta(own, "signature_delta", out);
    json_key(&o, "signature"), json_text(&o, signature);
    close_delta(&o);
}

static void close_block(struct served *s, struct own *own, struct buf *out)
{
    if (own->open == BLOCK_NONE) return;
    if (own->open == BLOCK_THINKING && !own->signed_) put_signature(own, own_signature(s), out);
    struct json_out o = open_event("content_block_stop", out);
    json_key(&o, "index"), json_int(&o, own->index++);
    close_event(&o);
    own->open = BLOCK_NONE;
    own->signed_ = false;
}

/* content_block_start up to the inside of its block. */
static struct json_out open_block(struct own *own, enum block kind, const char *type,
                                  struct buf *out)
{
    own->open = kind;
    struct json_out o = open_event("content_block_start", out);
    json_key(&o, "index"), json_int(&o, own->index);
    json_key(&o, "content_block"), json_object(&o);
    json_key(&o, "type"), json_text(&o, str_of(type));
    return o;
}

static void text(struct served *s, str piece, struct buf *out)
{
    struct own *own = s->own;

    if (own == NULL) return;
    if (own->open != BLOCK_TEXT) {
        close_block(s, own, out);
        struct json_out o = open_block(own, BLOCK_TEXT, "text", out);
        json_key(&o, "text"), json_text(&o, STR(""));
        close_delta(&o);
    }
    struct json_out o = open_delta(own, "text_delta", out);
    json_key(&o, "text"), json_text(&o, piece);
    close_delta(&o);
}

static void open_thinking(struct served *s, struct own *own, struct buf *out)
{
    close_block(s, own, out);
    struct json_out o = open_block(own, BLOCK_THINKING, "thinking", out);
    json_key(&o, "thinking"), json_text(&o, STR(""));
    json_key(&o, "signature"), json_text(&o, STR(""));
    close_delta(&o);
}

static void reasoning(struct served *s, str piece, struct buf *out)
{
    struct own *own = s->own;

    if (own == NULL) return;
    if (own->open != BLOCK_THINKING || own->signed_) open_thinking(s, own, out);
    struct json_out o = open_delta(own, "thinking_delta", out);
    json_key(&o, "thinking"), json_text(&o, piece);
    close_delta(&o);
}

static void signature(struct served *s, const struct part *p, struct buf *out)
{
    struct own *own = s->own;

    if (own == NULL) return;
    if (p->redacted.len) {
        close_block(s, own, out);
        struct json_out o = open_block(own, BLOCK_TOOL, "redacted_thinking", out);
        json_key(&o, "data"), json_text(&o, p->redacted);
        close_delta(&o);
        close_block(s, own, out);
    } else {
        if (own->open != BLOCK_THINKING || own->signed_) open_thinking(s, own, out);
        put_signature(own, p->signature, out);
    }
}

/* Fragments of a call that another one's overtook are given when its turn comes: blocks never mix.
 */
static void open_tool(struct served *s, struct own *own, int index, struct buf *out)
{
    const struct served_call *call = &s->got.calls[index];

    close_block(s, own, out);
    own->tool = index;
    struct json_out o = open_block(own, BLOCK_TOOL, "tool_use", out);
    json_key(&o, "id"), json_text(&o, tool_id(s, call->id));
    json_key(&o, "name"), json_text(&o, call->name);
    json_key(&o, "input"), json_object(&o), json_end_object(&o);
    close_delta(&o);
}

static void put_args(struct own *own, str fragment, struct buf *out)
{
    struct json_out o = open_delta(own, "input_json_delta", out);
    json_key(&o, "partial_json"), json_text(&o, fragment);
    close_delta(&o);
}

/* The calls before `until` whose blocks have not been opened yet: all that came for them is in
 * s->got. */
static void put_late_calls(struct served *s, struct own *own, int until, struct buf *out)
{
    for (int i = own->tool + 1; i < until; i++) {
        open_tool(s, own, i, out);
        if (s->got.calls[i].args.len) put_args(own, buf_str(&s->got.calls[i].args), out);
    }
}

static void tool_begin(struct served *s, int index, str id, str name, struct buf *out)
{
    struct own *own = s->own;

    (void)id, (void)name;
    if (own == NULL || (size_t)index >= s->got.calls_count) return;
    if (own->open == BLOCK_TOOL && !served_call_is_whole(&s->got.calls[own->tool])) return;
    put_late_calls(s, own, index, out);
    open_tool(s, own, index, out);
}

static void tool_args(struct served *s, int index, str fragment, struct buf *out)
{
    struct own *own = s->own;

    if (own && own->open == BLOCK_TOOL && own->tool == index) put_args(own, fragment, out);
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    struct own *own = s->own;
    struct usage usage = served_usage(s, e);

    if (own == NULL) return;
    put_late_calls(s, own, (int)s->got.calls_count, out);
    close_block(s, own, out);
    struct json_out o = open_event("message_delta", out);
    json_key(&o, "delta"), json_object(&o);
    put_stop(&o, e);
    json_end_object(&o);
    json_key(&o, "usage"), put_usage(&o, &usage);
    close_event(&o);
    o = open_event("message_stop", out);
    close_event(&o);
}

static void fail(struct served *s, const struct family_error *e, struct buf *out)
{
    (void)s;
    buf_add(out, STR("event: error\ndata: "));
    family_error(out, FAMILY_ANTHROPIC, e, STR_NONE);
    served_frame_end(out);
}

static void ping(struct served *s, struct buf *out)
{
    (void)s;
    struct json_out o = open_event("ping", out);
    close_event(&o);
}

static const struct served_dialect dialect = {
    .family = FAMILY_ANTHROPIC,
    .stream_type = "text/event-stream; charset=utf-8",
    .read = anthropic_read,
    .whole = whole,
    .begin = begin,
    .text = text,
    .reasoning = reasoning,
    .signature = signature,
    .tool_begin = tool_begin,
    .tool_args = tool_args,
    .end = end,
    .fail = fail,
    .ping = ping,
};

void served_anthropic_messages(struct call *c)
{
    served_run(c, &dialect);
}
