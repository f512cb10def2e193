/* POST /v1/completions: texts to go on from, and an answer to each (openai-compat.md section 6).
 * Who has no such call is given the prompt as the message of a user. */
#include <stdio.h>

#include "api/served/openai.h"

static bool wrong(struct family_error *why, const char *param, const char *text)
{
    *why = (struct family_error){.status = 400,
                                 .code = "invalid_value",
                                 .param = str_of(param),
                                 .message = str_of(text)};
    return false;
}

enum { PROMPTS_MAX = 128 };

/* Several prompts are answered one after the other, each as the choice of its index. */
struct own {
    const str *prompts;
    size_t count, at;
    str suffix;
    str *texts;
    const char **finishes;
    struct usage sum;
};

static bool ask_for(struct served *s, size_t at)
{
    struct own *own = s->own;
    struct served_messages m;
    str prompt = own->prompts[at];

    if (own->suffix.len)
        prompt = arena_strf(
            s->arena,
            "Write only what belongs between these two parts of a text.\n\nBefore:\n%.*s\n\n"
            "After:\n%.*s",
            STR_ARG(prompt), STR_ARG(own->suffix));
    served_messages_init(&m, s->arena);
    served_message(&m, ROLE_USER);
    served_part(&m, PART_TEXT)->text = prompt;
    if (m.bad || prompt.at == NULL) return false;
    own->at = at;
    s->ask.prompt = own->prompts[at];
    s->ask.suffix = own->suffix;
    s->ask.messages = m.at;
    s->ask.messages_count = m.count;
    return true;
}

static bool read_prompt(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(root, "prompt"), *each;
    size_t count = yyjson_is_arr(v) ? yyjson_arr_size(v) : 1;

    if (count == 0 || count > PROMPTS_MAX)
        return wrong(why, "prompt", "prompt: expected 1 to 128 texts");
    struct own *own = arena_new(s->arena, struct own);
    str *prompts = arena_array(s->arena, str, count + 1);
    if (own) own->texts = arena_array(s->arena, str, count);
    if (own) own->finishes = arena_array(s->arena, const char *, count);
    if (!own || !prompts || !own->texts || !own->finishes)
        return wrong(why, "prompt", "prompt: out of memory");
    prompts[0] = json_str(v);
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    for (size_t i = 0; (each = yyjson_arr_iter_next(&it)); i++) {
        if (!yyjson_is_str(each)) v = NULL;
        prompts[i] = json_str(each);
    }
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return wrong(why, "prompt",
                     "prompt: expected a string or strings (token ids are not taken)");
    own->prompts = prompts;
    own->count = count;
    own->suffix = json_get_str(root, "suffix");
    s->own = own;
    served_keep(s, root, WIRE_COMPLETIONS, false);
    return ask_for(s, 0) || wrong(why, "prompt", "prompt: out of memory");
}

static bool read(struct served *s, yyjson_val *root, struct family_error *why)
{
    bool echo = false;

    if (!openai_read_common(s, root, why) || !served_bool(root, "echo", &echo, why, s->arena))
        return false;
    if (echo) return wrong(why, "echo", "echo: only false is answered");
    s->thinking = false;
    return read_prompt(s, root, why);
}

static void put_choice(struct json_out *o, size_t index, str text, const char *finish)
{
    json_object(o);
    json_key(o, "text"), json_text(o, text);
    json_key(o, "index"), json_int(o, (int64_t)index);
    json_key(o, "logprobs"), json_null(o);
    json_key(o, "finish_reason"), json_text_or_null(o, str_of(finish));
    json_end_object(o);
}

static void open_object(struct served *s, struct json_out *o)
{
    char id[64];

    snprintf(id, sizeof id, "cmpl-%s", s->id);
    json_object(o);
    json_key(o, "id"), json_text(o, str_of(id));
    json_key(o, "object"), json_text(o, STR("text_completion"));
    json_key(o, "created"), json_int(o, s->created_s);
    json_key(o, "model"), json_text(o, s->model_name);
    json_key(o, "choices"), json_array(o);
}

/* The answer to one prompt is complete. */
static void keep(struct served *s, const struct reply_end *end)
{
    struct own *own = s->own;
    struct usage u = served_usage(s, end);

    own->texts[own->at] = s->got.text.len ? arena_str(s->arena, buf_str(&s->got.text)) : STR("");
    own->finishes[own->at] = openai_finish(end->finish);
    own->sum.prompt_tokens += u.prompt_tokens;
    own->sum.completion_tokens += u.completion_tokens;
    own->sum.cached_tokens += u.cached_tokens;
    own->sum.reasoning_tokens += u.reasoning_tokens;
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);
    struct own *own = s->own;

    keep(s, end);
    open_object(s, &o);
    for (size_t i = 0; i < own->count; i++) put_choice(&o, i, own->texts[i], own->finishes[i]);
    json_end_array(&o);
    json_key(&o, "usage"), openai_put_usage(&o, &own->sum);
    json_end_object(&o);
}

static void begin(struct served *s, struct buf *out)
{
    (void)s, (void)out;
}

static void frame(struct served *s, str text, const char *finish, const struct usage *usage,
                  struct buf *out)
{
    struct json_out o = served_frame(out, NULL);

    open_object(s, &o);
    if (text.at) put_choice(&o, ((struct own *)s->own)->at, text, finish);
    json_end_array(&o);
    if (usage) json_key(&o, "usage"), openai_put_usage(&o, usage);
    json_end_object(&o);
    served_frame_end(out);
}

static void text(struct served *s, str piece, struct buf *out)
{
    frame(s, piece, NULL, NULL, out);
}

static void no_reasoning(struct served *s, str piece, struct buf *out)
{
    (void)s, (void)piece, (void)out;
}

static void no_tool(struct served *s, int index, str id, str name, struct buf *out)
{
    (void)s, (void)index, (void)id, (void)name, (void)out;
}

static void no_args(struct served *s, int index, str fragment, struct buf *out)
{
    (void)s, (void)index, (void)fragment, (void)out;
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    struct own *own = s->own;

    keep(s, e);
    frame(s, STR(""), openai_finish(e->finish), NULL, out);
    if (s->include_usage) frame(s, STR_NONE, NULL, &own->sum, out);
    buf_add(out, STR("data: [DONE]\n\n"));
}

static bool next(struct served *s, const struct reply_end *e, struct buf *out)
{
    struct own *own = s->own;

    if (own->at + 1 == own->count) return false;
    keep(s, e);
    if (out) frame(s, STR(""), openai_finish(e->finish), NULL, out);
    return ask_for(s, own->at + 1);
}

static const struct served_dialect dialect = {
    .family = FAMILY_OPENAI,
    .stream_type = "text/event-stream; charset=utf-8",
    .read = read,
    .whole = whole,
    .begin = begin,
    .text = text,
    .reasoning = no_reasoning,
    .tool_begin = no_tool,
    .tool_args = no_args,
    .end = end,
    .fail = openai_stream_fail,
    .ping = openai_stream_ping,
    .next = next,
};

void served_openai_completions(struct call *c)
{
    served_run(c, &dialect);
}
