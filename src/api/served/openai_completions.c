/* POST /v1/completions: a text to go on from, and one answer (openai-compat.md section 6).
 * Upstreams have no such call: the prompt goes as the message of a user. */
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

static bool read_prompt(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(root, "prompt");
    struct served_messages m;

    if (yyjson_is_arr(v)) {
        if (yyjson_arr_size(v) != 1)
            return wrong(why, "prompt", "prompt: one text is answered at a time");
        v = yyjson_arr_get_first(v);
    }
    if (!yyjson_is_str(v))
        return wrong(why, "prompt", "prompt: expected a string (token ids are not taken)");
    str suffix = json_get_str(root, "suffix"), prompt = json_str(v);
    if (suffix.len)
        prompt = arena_strf(
            s->arena,
            "Write only what belongs between these two parts of a text.\n\nBefore:\n%.*s\n\n"
            "After:\n%.*s",
            STR_ARG(prompt), STR_ARG(suffix));
    served_messages_init(&m, s->arena);
    served_message(&m, ROLE_USER);
    served_part(&m, PART_TEXT)->text = prompt;
    if (m.bad || prompt.at == NULL) return wrong(why, "prompt", "prompt: out of memory");
    s->ask.messages = m.at;
    s->ask.messages_count = m.count;
    return true;
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

static void put_object(struct served *s, struct json_out *o, str text, const char *finish)
{
    char id[64];

    snprintf(id, sizeof id, "cmpl-%s", s->id);
    json_object(o);
    json_key(o, "id"), json_text(o, str_of(id));
    json_key(o, "object"), json_text(o, STR("text_completion"));
    json_key(o, "created"), json_int(o, s->created_s);
    json_key(o, "model"), json_text(o, s->model_name);
    json_key(o, "choices"), json_array(o);
    if (text.at) {
        json_object(o);
        json_key(o, "text"), json_text(o, text);
        json_key(o, "index"), json_int(o, 0);
        json_key(o, "logprobs"), json_null(o);
        json_key(o, "finish_reason"), json_text_or_null(o, str_of(finish));
        json_end_object(o);
    }
    json_end_array(o);
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = json_begin(out);
    struct usage usage = served_usage(s, end);

    put_object(s, &o, s->got.text.len ? buf_str(&s->got.text) : STR(""),
               openai_finish(end->finish));
    json_key(&o, "usage"), openai_put_usage(&o, &usage);
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

    put_object(s, &o, text, finish);
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
    frame(s, STR(""), openai_finish(e->finish), NULL, out);
    if (s->include_usage) {
        struct usage usage = served_usage(s, e);
        frame(s, STR_NONE, NULL, &usage, out);
    }
    buf_add(out, STR("data: [DONE]\n\n"));
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
};

void served_openai_completions(struct call *c)
{
    served_run(c, &dialect);
}
