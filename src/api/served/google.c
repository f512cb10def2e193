/* POST /v1beta/models/{model}:generateContent and :streamGenerateContent, the answer: whole, as
 * events, or as one array in pieces (openai-compat.md section 11; providers.md 6.2, 6.3). */
#include "api/served/google.h"

#include "conf/limits.h"

/* Of a stream. */
struct own {
    bool array;      /* no ?alt=sse */
    bool began_list; /* its first element is out */
};

static const char *finish_reason(enum finish f)
{
    switch (f) {
    case FINISH_LENGTH: return "MAX_TOKENS";
    case FINISH_CONTENT_FILTER: return "SAFETY";
    default: return "STOP"; /* calls too */
    }
}

/* ---- parts ---- */

static void put_text(struct json_out *o, str text, bool thought, str signature)
{
    json_object(o);
    json_key(o, "text"), json_text(o, text.len ? text : STR(""));
    if (thought) json_key(o, "thought"), json_bool(o, true);
    if (signature.len) json_key(o, "thoughtSignature"), json_text(o, signature);
    json_end_object(o);
}

static void put_redacted(struct served *s, struct json_out *o, str data)
{
    put_text(o, STR(""), true, arena_strf(s->arena, GOOGLE_REDACTED "%.*s", STR_ARG(data)));
}

static void put_args(struct json_out *o, str args)
{
    yyjson_doc *doc = NULL;
    bool object = args.len && !json_read(&doc, args, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL) &&
                  yyjson_is_obj(yyjson_doc_get_root(doc));

    json_key(o, "args");
    if (object) {
        json_raw(o, args);
    } else {
        json_object(o);
        if (args.len) json_key(o, "_raw"), json_text(o, args);
        json_end_object(o);
    }
    yyjson_doc_free(doc);
}

/* Of calls at once only the first is signed, by whoever made them or, where nobody did, by us. */
static void put_calls(struct served *s, struct json_out *o)
{
    bool signs = false;

    for (size_t i = 0; i < s->got.calls_count; i++) signs |= s->got.calls[i].signature.len > 0;
    for (size_t i = 0; i < s->got.calls_count; i++) {
        const struct served_call *call = &s->got.calls[i];
        str signature = call->signature;
        if (!signs && i == 0) signature = arena_strf(s->arena, GOOGLE_OWN_SIGNATURE "%s", s->id);
        json_object(o);
        json_key(o, "functionCall"), json_object(o);
        json_key(o, "id"), json_text(o, call->id);
        json_key(o, "name"), json_text(o, call->name);
        put_args(o, buf_str(&call->args));
        json_end_object(o);
        if (signature.len) json_key(o, "thoughtSignature"), json_text(o, signature);
        json_end_object(o);
    }
}

/* ---- the object that is a whole answer, and each piece of a stream ---- */

/* Up to the inside of "parts". */
static void open_answer(struct json_out *o)
{
    json_object(o);
    json_key(o, "candidates"), json_array(o), json_object(o);
    json_key(o, "content"), json_object(o);
    json_key(o, "parts"), json_array(o);
}

static void put_usage(struct json_out *o, const struct usage *u)
{
    int64_t said = u->completion_tokens - u->reasoning_tokens;

    json_key(o, "usageMetadata"), json_object(o);
    json_key(o, "promptTokenCount"), json_int(o, u->prompt_tokens);
    json_key(o, "candidatesTokenCount"), json_int(o, said > 0 ? said : 0);
    json_key(o, "totalTokenCount"), json_int(o, u->prompt_tokens + u->completion_tokens);
    if (u->reasoning_tokens > 0)
        json_key(o, "thoughtsTokenCount"), json_int(o, u->reasoning_tokens);
    if (u->cached_tokens > 0) json_key(o, "cachedContentTokenCount"), json_int(o, u->cached_tokens);
    json_end_object(o);
}

/* `end` NULL: more follows. */
static void close_answer(struct served *s, struct json_out *o, const struct reply_end *end)
{
    json_end_array(o);
    json_key(o, "role"), json_text(o, STR("model"));
    json_end_object(o);
    if (end) json_key(o, "finishReason"), json_text(o, str_of(finish_reason(end->finish)));
    json_key(o, "index"), json_int(o, 0);
    json_end_object(o), json_end_array(o);
    if (end) {
        struct usage usage = served_usage(s, end);
        put_usage(o, &usage);
    }
    json_key(o, "modelVersion"), json_text(o, s->model_name);
    json_key(o, "responseId"), json_text(o, str_of(s->id));
    json_end_object(o);
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);
    const struct part *signature = &s->got.signature;
    str text = buf_str(&s->got.text), thoughts = buf_str(&s->got.reasoning);

    open_answer(&o);
    if (s->thinking && (thoughts.len || signature->signature.len))
        put_text(&o, thoughts, true, signature->signature);
    if (s->thinking && signature->redacted.len) put_redacted(s, &o, signature->redacted);
    if (text.len || s->got.calls_count == 0 || s->got.text_signature.len)
        put_text(&o, text, false, s->got.text_signature);
    put_calls(s, &o);
    close_answer(s, &o, end);
}

/* ---- stream ---- */

static struct json_out open_chunk(struct served *s, struct buf *out)
{
    struct own *own = s->own;

    if (!own->array) return served_frame(out, NULL);
    buf_add(out, own->began_list ? STR(",\r\n") : STR("["));
    own->began_list = true;
    struct json_out o = json_begin(out);
    o.js_escapes = true;
    return o;
}

static void close_chunk(struct served *s, struct buf *out, bool last)
{
    const struct own *own = s->own;

    if (!own->array)
        served_frame_end(out);
    else
        buf_add(out, last ? STR("\n]") : STR("\n"));
}

static void put_chunk(struct served *s, str text, bool thought, str signature, struct buf *out)
{
    struct json_out o = open_chunk(s, out);

    open_answer(&o);
    put_text(&o, text, thought, signature);
    close_answer(s, &o, NULL);
    close_chunk(s, out, false);
}

static void begin(struct served *s, struct buf *out)
{
    (void)s, (void)out;
}

static void text(struct served *s, str piece, struct buf *out)
{
    put_chunk(s, piece, false, STR_NONE, out);
}

static void reasoning(struct served *s, str piece, struct buf *out)
{
    put_chunk(s, piece, true, STR_NONE, out);
}

static void signature(struct served *s, const struct part *p, struct buf *out)
{
    str sign = p->signature;

    if (p->kind == PART_REASONING && p->redacted.len)
        sign = arena_strf(s->arena, GOOGLE_REDACTED "%.*s", STR_ARG(p->redacted));
    put_chunk(s, STR(""), p->kind == PART_REASONING, sign, out);
}

/* Calls come whole, with the end: those of some models come in fragments that mix. */
static void tool_begin(struct served *s, int index, str id, str name, struct buf *out)
{
    (void)s, (void)index, (void)id, (void)name, (void)out;
}

static void tool_args(struct served *s, int index, str fragment, struct buf *out)
{
    (void)s, (void)index, (void)fragment, (void)out;
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    struct json_out o = open_chunk(s, out);

    open_answer(&o);
    if (s->got.calls_count)
        put_calls(s, &o);
    else
        put_text(&o, STR(""), false, STR_NONE);
    close_answer(s, &o, e);
    close_chunk(s, out, true);
}

static void fail(struct served *s, const struct family_error *e, struct buf *out)
{
    open_chunk(s, out);
    family_error(out, FAMILY_GOOGLE, e, STR_NONE);
    close_chunk(s, out, true);
}

/* Its clients know no comments. */
static void ping(struct served *s, struct buf *out)
{
    put_chunk(s, STR(""), false, STR_NONE, out);
}

static bool read_stream(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct own *own = arena_new(s->arena, struct own);

    if (own == NULL) return google_wrong(why, s->arena, "contents", "out of memory");
    own->array = !str_eq(query_get(&s->call->query, STR("alt")), STR("sse"));
    s->own = own;
    s->stream = true;
    return google_read(s, root, why);
}

#define DIALECT(read_, type_)                                                                      \
    {                                                                                              \
        .family = FAMILY_GOOGLE, .stream_type = (type_), .read = (read_), .whole = whole,          \
        .begin = begin, .text = text, .reasoning = reasoning, .signature = signature,              \
        .tool_begin = tool_begin, .tool_args = tool_args, .end = end, .fail = fail, .ping = ping,  \
        .signs_text = true,                                                                        \
    }

static const struct served_dialect once = DIALECT(google_read, NULL),
                                   events =
                                       DIALECT(read_stream, "text/event-stream; charset=utf-8"),
                                   pieces = DIALECT(read_stream, "application/json");

void served_google_generate(struct call *c)
{
    served_run(c, &once);
}

void served_google_stream(struct call *c)
{
    served_run(c, str_eq(query_get(&c->query, STR("alt")), STR("sse")) ? &events : &pieces);
}
