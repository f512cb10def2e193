/* POST /v1/responses, the answer: items, and a stream in which each is begun, filled and ended
 * (openai-compat.md section 6). */
#include "api/served/responses.h"

#include <stdio.h>

enum { ID_BYTES = 64 };

static str id_of(const struct served *s, size_t item, char to[ID_BYTES])
{
    static const char *const heads[] = {"msg", "rs", "fc"};
    const struct responses_item *i = &((const struct responses *)s->own)->items[item];
    const char *head = i->custom ? "ctc" : heads[i->kind]; /* OpenAI looks at it when it is back */
    int n = snprintf(to, ID_BYTES, "%s_%s%zu", head, s->id, item);
    return str_span(to, (size_t)n);
}

static str part_of(const struct buf *b, const struct responses_item *i)
{
    return i->to > i->from ? str_span(b->at + i->from, i->to - i->from) : STR("");
}

static str args_of(const struct served_call *c)
{
    return c->args.len ? buf_str(&c->args) : STR("{}");
}

/* ---- items ---- */

static void put_text_part(struct json_out *o, str text)
{
    json_object(o);
    json_key(o, "type"), json_text(o, STR("output_text"));
    json_key(o, "text"), json_text(o, text);
    json_key(o, "annotations"), json_array(o), json_end_array(o);
    json_key(o, "logprobs"), json_array(o), json_end_array(o);
    json_end_object(o);
}

static void put_summary_part(struct json_out *o, str text)
{
    json_object(o);
    json_key(o, "type"), json_text(o, STR("summary_text"));
    json_key(o, "text"), json_text(o, text);
    json_end_object(o);
}

/* The one text in the arguments that a custom tool was called with. */
static void put_custom_input(struct json_out *o, str args)
{
    yyjson_doc *doc = NULL;
    bool read = !json_read(&doc, args, 64, JSON_RAW_NUMBERS, NULL);
    yyjson_val *v = read ? json_get(yyjson_doc_get_root(doc), "input") : NULL;

    json_text(o, yyjson_is_str(v) ? json_str(v) : args);
    if (read) yyjson_doc_free(doc);
}

static void put_call(const struct served *s, struct json_out *o, const struct responses_item *i,
                     bool whole)
{
    const struct served_call *c = &s->got.calls[i->call];

    json_key(o, "call_id"), json_text(o, c->id);
    json_key(o, "name"), json_text(o, c->name);
    json_key(o, i->custom ? "input" : "arguments");
    if (!whole)
        json_text(o, STR(""));
    else if (i->custom)
        put_custom_input(o, args_of(c));
    else
        json_text(o, args_of(c));
}

/* An item as it ended, or as it begins: without content. */
static void put_item(const struct served *s, struct json_out *o, size_t n, bool whole, bool cut)
{
    const struct responses *own = s->own;
    const struct responses_item *i = &own->items[n];
    const char *type = i->kind == ITEM_MESSAGE     ? "message"
                       : i->kind == ITEM_REASONING ? "reasoning"
                       : i->custom                 ? "custom_tool_call"
                                                   : "function_call";
    char id[ID_BYTES];

    json_object(o);
    json_key(o, "id"), json_text(o, id_of(s, n, id));
    json_key(o, "type"), json_text(o, str_of(type));
    if (i->kind == ITEM_REASONING) {
        json_key(o, "summary"), json_array(o);
        if (whole && i->to > i->from) put_summary_part(o, part_of(&s->got.reasoning, i));
        json_end_array(o);
        if (own->encrypted && i->token.len)
            json_key(o, "encrypted_content"), json_text(o, whole ? i->token : STR(""));
        json_end_object(o);
        return;
    }
    json_key(o, "status"), json_text(o, !whole ? STR("in_progress")
                                        : cut  ? STR("incomplete")
                                               : STR("completed"));
    if (i->kind == ITEM_MESSAGE) {
        json_key(o, "role"), json_text(o, STR("assistant"));
        json_key(o, "content"), json_array(o);
        if (whole) put_text_part(o, part_of(&s->got.text, i));
        json_end_array(o);
    } else {
        put_call(s, o, i, whole);
    }
    json_end_object(o);
}

static bool is_custom(const struct responses *own, str name)
{
    for (size_t i = 0; i < own->custom_count; i++)
        if (str_eq(own->custom[i], name)) return true;
    return false;
}

static struct responses_item *add_item(struct served *s, enum responses_kind kind)
{
    struct responses *own = s->own;

    if (own->count == RESPONSES_ITEMS_MAX) own->count--;
    struct responses_item *i = &own->items[own->count++];
    *i = (struct responses_item){.kind = kind};
    return i;
}

/* ---- the response object ---- */

static void put_usage(struct json_out *o, const struct usage *u)
{
    json_object(o);
    json_key(o, "input_tokens"), json_int(o, u->prompt_tokens);
    json_key(o, "input_tokens_details"), json_object(o);
    json_key(o, "cached_tokens"), json_int(o, u->cached_tokens);
    json_end_object(o);
    json_key(o, "output_tokens"), json_int(o, u->completion_tokens);
    json_key(o, "output_tokens_details"), json_object(o);
    json_key(o, "reasoning_tokens"), json_int(o, u->reasoning_tokens);
    json_end_object(o);
    json_key(o, "total_tokens"), json_int(o, u->prompt_tokens + u->completion_tokens);
    json_end_object(o);
}

static void put_raw_or(struct json_out *o, const char *key, str json, const char *otherwise)
{
    json_key(o, key), json_raw(o, json.len ? json : str_of(otherwise));
}

static void put_num_or(struct json_out *o, const char *key, double n, double otherwise)
{
    json_key(o, key), json_num(o, isnan(n) ? otherwise : n);
}

static void put_asked(const struct served *s, struct json_out *o)
{
    const struct responses *own = s->own;

    json_key(o, "instructions"), json_text_or_null(o, own->instructions);
    json_key(o, "max_output_tokens");
    if (s->ask.max_tokens > 0)
        json_int(o, s->ask.max_tokens);
    else
        json_null(o);
    json_key(o, "parallel_tool_calls"), json_bool(o, own->parallel);
    json_key(o, "previous_response_id"), json_null(o);
    json_key(o, "reasoning"), json_object(o);
    json_key(o, "effort"), json_text_or_null(o, own->effort.len ? own->effort : STR_NONE);
    json_key(o, "summary"), json_null(o);
    json_end_object(o);
    json_key(o, "store"), json_bool(o, false);
    put_num_or(o, "temperature", s->ask.temperature, 1);
    put_raw_or(o, "text", own->text, "{\"format\":{\"type\":\"text\"}}");
    put_raw_or(o, "tool_choice", own->tool_choice, "\"auto\"");
    put_raw_or(o, "tools", own->tools, "[]");
    put_num_or(o, "top_p", s->ask.top_p, 1);
    json_key(o, "truncation"), json_text(o, STR("disabled"));
    put_raw_or(o, "metadata", own->metadata, "{}");
}

static const char *cut_by(enum finish f)
{
    return f == FINISH_LENGTH           ? "max_output_tokens"
           : f == FINISH_CONTENT_FILTER ? "content_filter"
                                        : NULL;
}

/* `end` NULL: in progress, or failed when `bad` says why. */
static void put_response(const struct served *s, struct json_out *o, const struct reply_end *end,
                         const struct family_error *bad)
{
    const struct responses *own = s->own;
    const char *cut = end ? cut_by(end->finish) : NULL;
    char id[ID_BYTES];

    snprintf(id, sizeof id, "resp_%s", s->id);
    json_object(o);
    json_key(o, "id"), json_text(o, str_of(id));
    json_key(o, "object"), json_text(o, STR("response"));
    json_key(o, "created_at"), json_int(o, s->created_s);
    json_key(o, "status"), json_text(o, bad    ? STR("failed")
                                        : !end ? STR("in_progress")
                                        : cut  ? STR("incomplete")
                                               : STR("completed"));
    json_key(o, "error");
    if (bad) {
        json_object(o);
        json_key(o, "code"), json_text(o, str_of(bad->code ? bad->code : "server_error"));
        json_key(o, "message"), json_text(o, bad->message);
        json_end_object(o);
    } else {
        json_null(o);
    }
    json_key(o, "incomplete_details");
    if (cut) {
        json_object(o);
        json_key(o, "reason"), json_text(o, str_of(cut));
        json_end_object(o);
    } else {
        json_null(o);
    }
    json_key(o, "model"), json_text(o, s->model_name);
    json_key(o, "output"), json_array(o);
    for (size_t i = 0; i < own->count && end; i++)
        put_item(s, o, i, true, cut && i + 1 == own->count);
    json_end_array(o);
    put_asked(s, o);
    json_key(o, "usage");
    if (end) {
        struct usage usage = served_usage(s, end);
        put_usage(o, &usage);
    } else {
        json_null(o);
    }
    json_end_object(o);
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);

    const struct responses *own = s->own;

    if (own->count == 0) add_item(s, ITEM_MESSAGE);
    put_response(s, &o, end, NULL);
}

/* ---- stream ---- */

static struct json_out open_event(struct served *s, struct buf *out, const char *type)
{
    struct responses *own = s->own;
    struct json_out o = served_frame(out, type);

    json_object(&o);
    json_key(&o, "type"), json_text(&o, str_of(type));
    json_key(&o, "sequence_number"), json_int(&o, own->sequence++);
    return o;
}

static void close_event(struct json_out *o)
{
    json_end_object(o);
    served_frame_end(o->to);
}

static void response_event(struct served *s, struct buf *out, const char *type,
                           const struct reply_end *end, const struct family_error *bad)
{
    struct json_out o = open_event(s, out, type);

    json_key(&o, "response"), put_response(s, &o, end, bad);
    close_event(&o);
}

/* An event of an item; `index_key`: its content_index or summary_index, always 0. */
static struct json_out item_event(struct served *s, struct buf *out, size_t n, const char *type,
                                  const char *index_key)
{
    struct json_out o = open_event(s, out, type);
    char id[ID_BYTES];

    json_key(&o, "item_id"), json_text(&o, id_of(s, n, id));
    json_key(&o, "output_index"), json_int(&o, (int64_t)n);
    if (index_key) json_key(&o, index_key), json_int(&o, 0);
    return o;
}

static void whole_item_event(struct served *s, struct buf *out, size_t n, const char *type,
                             bool done, bool cut)
{
    struct json_out o = open_event(s, out, type);

    json_key(&o, "output_index"), json_int(&o, (int64_t)n);
    json_key(&o, "item"), put_item(s, &o, n, done, cut);
    close_event(&o);
}

static void begin(struct served *s, struct buf *out)
{
    response_event(s, out, "response.created", NULL, NULL);
    response_event(s, out, "response.in_progress", NULL, NULL);
}

static void close_message(struct served *s, struct buf *out, size_t n, str text)
{
    struct json_out o = item_event(s, out, n, "response.output_text.done", "content_index");
    json_key(&o, "text"), json_text(&o, text);
    json_key(&o, "logprobs"), json_array(&o), json_end_array(&o);
    close_event(&o);
    o = item_event(s, out, n, "response.content_part.done", "content_index");
    json_key(&o, "part"), put_text_part(&o, text);
    close_event(&o);
}

static void close_reasoning(struct served *s, struct buf *out, size_t n, str text)
{
    if (text.len == 0) return; /* only its token came */
    struct json_out o =
        item_event(s, out, n, "response.reasoning_summary_text.done", "summary_index");
    json_key(&o, "text"), json_text(&o, text);
    close_event(&o);
    o = item_event(s, out, n, "response.reasoning_summary_part.done", "summary_index");
    json_key(&o, "part"), put_summary_part(&o, text);
    close_event(&o);
}

static void close_call(struct served *s, struct buf *out, size_t n, const struct responses_item *i)
{
    const struct served_call *c = &s->got.calls[i->call];
    struct json_out o;

    if (i->custom) {
        o = item_event(s, out, n, "response.custom_tool_call_input.delta", NULL);
        json_key(&o, "delta"), put_custom_input(&o, args_of(c));
        close_event(&o);
        o = item_event(s, out, n, "response.custom_tool_call_input.done", NULL);
        json_key(&o, "input"), put_custom_input(&o, args_of(c));
    } else {
        o = item_event(s, out, n, "response.function_call_arguments.done", NULL);
        json_key(&o, "name"), json_text(&o, c->name);
        json_key(&o, "arguments"), json_text(&o, args_of(c));
    }
    close_event(&o);
}

static void close_item(struct served *s, struct buf *out, size_t n, bool cut)
{
    struct responses *own = s->own;
    struct responses_item *i = &own->items[n];

    i->open = false;
    if (i->kind == ITEM_MESSAGE)
        close_message(s, out, n, part_of(&s->got.text, i));
    else if (i->kind == ITEM_REASONING)
        close_reasoning(s, out, n, part_of(&s->got.reasoning, i));
    else
        close_call(s, out, n, i);
    whole_item_event(s, out, n, "response.output_item.done", true, cut);
}

/* What is over when another item begins: not a call that another overtook. */
static void close_settled(struct served *s, struct buf *out)
{
    struct responses *own = s->own;

    for (size_t n = 0; n < own->count; n++) {
        const struct responses_item *i = &own->items[n];
        if (!i->open) continue;
        if (i->kind != ITEM_CALL || served_call_is_whole(&s->got.calls[i->call]))
            close_item(s, out, n, false);
    }
}

/* A new item, begun. */
static size_t open_item(struct served *s, enum responses_kind kind, struct buf *out)
{
    struct responses *own = s->own;

    close_settled(s, out);
    if (own->count == RESPONSES_ITEMS_MAX && own->items[own->count - 1].open)
        close_item(s, out, own->count - 1, false);
    add_item(s, kind)->open = true;
    return own->count - 1;
}

static void open_part(struct served *s, struct buf *out, size_t n, bool message)
{
    struct json_out o =
        message ? item_event(s, out, n, "response.content_part.added", "content_index")
                : item_event(s, out, n, "response.reasoning_summary_part.added", "summary_index");
    json_key(&o, "part");
    if (message)
        put_text_part(&o, STR(""));
    else
        put_summary_part(&o, STR(""));
    close_event(&o);
}

/* The newest item, when it is open and of this kind; else a new one. */
static size_t item_for(struct served *s, enum responses_kind kind, size_t from, struct buf *out)
{
    struct responses *own = s->own;
    size_t n = own->count - 1;

    if (own->count && own->items[n].open && own->items[n].kind == kind) return n;
    n = open_item(s, kind, out);
    own->items[n].from = own->items[n].to = from;
    whole_item_event(s, out, n, "response.output_item.added", false, false);
    open_part(s, out, n, kind == ITEM_MESSAGE);
    return n;
}

static void text(struct served *s, str piece, struct buf *out)
{
    struct responses *own = s->own;
    size_t n = item_for(s, ITEM_MESSAGE, s->got.text.len - piece.len, out);

    own->items[n].to = s->got.text.len;
    struct json_out o = item_event(s, out, n, "response.output_text.delta", "content_index");
    json_key(&o, "delta"), json_text(&o, piece);
    json_key(&o, "logprobs"), json_array(&o), json_end_array(&o);
    close_event(&o);
}

static void reasoning(struct served *s, str piece, struct buf *out)
{
    struct responses *own = s->own;
    size_t n = item_for(s, ITEM_REASONING, s->got.reasoning.len - piece.len, out);

    own->items[n].to = s->got.reasoning.len;
    struct json_out o =
        item_event(s, out, n, "response.reasoning_summary_text.delta", "summary_index");
    json_key(&o, "delta"), json_text(&o, piece);
    close_event(&o);
}

/* Ends its reasoning; where nothing of that was shown, the token is the whole item. */
static void signature(struct served *s, const struct part *p, struct buf *out)
{
    struct responses *own = s->own;
    size_t n = own->count - 1;
    bool open = own->count && own->items[n].open && own->items[n].kind == ITEM_REASONING;

    if (!open && !own->encrypted) return;
    if (!open) {
        n = open_item(s, ITEM_REASONING, out);
        own->items[n].token = p->signature;
        whole_item_event(s, out, n, "response.output_item.added", false, false);
    }
    own->items[n].token = p->signature;
    close_item(s, out, n, false);
}

static void tool_begin(struct served *s, int index, str id, str name, struct buf *out)
{
    struct responses *own = s->own;
    (void)id;

    if (index < 0 || (size_t)index >= s->got.calls_count) return;
    size_t n = open_item(s, ITEM_CALL, out);
    own->items[n].call = (size_t)index;
    own->items[n].custom = is_custom(own, name);
    whole_item_event(s, out, n, "response.output_item.added", false, false);
}

static void tool_args(struct served *s, int index, str fragment, struct buf *out)
{
    struct responses *own = s->own;
    size_t n = own->count;

    while (n-- > 0) {
        const struct responses_item *i = &own->items[n];
        if (i->kind == ITEM_CALL && (int)i->call == index) break;
    }
    /* A custom tool's input is known when the arguments around it are whole. */
    if (n == SIZE_MAX || !own->items[n].open || own->items[n].custom) return;
    struct json_out o = item_event(s, out, n, "response.function_call_arguments.delta", NULL);
    json_key(&o, "delta"), json_text(&o, fragment);
    close_event(&o);
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    struct responses *own = s->own;
    bool cut = cut_by(e->finish) != NULL;

    if (own->count == 0) item_for(s, ITEM_MESSAGE, 0, out);
    for (size_t n = 0; n < own->count; n++)
        if (own->items[n].open) close_item(s, out, n, cut && n + 1 == own->count);
    response_event(s, out, cut ? "response.incomplete" : "response.completed", e, NULL);
}

static void fail(struct served *s, const struct family_error *e, struct buf *out)
{
    if (!s->begun) begin(s, out);
    response_event(s, out, "response.failed", NULL, e);
}

static const struct served_dialect dialect = {
    .family = FAMILY_OPENAI,
    .stream_type = "text/event-stream; charset=utf-8",
    .read = responses_read,
    .whole = whole,
    .begin = begin,
    .text = text,
    .reasoning = reasoning,
    .signature = signature,
    .tool_begin = tool_begin,
    .tool_args = tool_args,
    .end = end,
    .fail = fail,
    .ping = openai_stream_ping,
    .composes = true,
    .has_items = true,
};

void served_responses(struct call *c)
{
    served_run(c, &dialect);
}
