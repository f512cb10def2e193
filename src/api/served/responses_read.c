/* POST /v1/responses, the request: the stateless subset (openai-compat.md section 6). */
#include <stdio.h>

#include "api/served/responses.h"
#include "conf/limits.h"

#define CUSTOM_SCHEMA                                                                              \
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"                       \
    "\"required\":[\"input\"],\"additionalProperties\":false}"

enum { ALLOWED_MAX = 128 }; /* of a tool_choice, each compared with each tool */

struct reader {
    struct served *s;
    struct served_messages out;
    struct family_error *why;
    bool odd;    /* an item is as only we take it */
    char at[64]; /* "input[3]" */
};

static bool wrong(struct served *s, struct family_error *why, const char *param, const char *text)
{
    *why = (struct family_error){.status = 400, .code = "invalid_value"};
    why->param = arena_str(s->arena, str_of(param));
    why->message = arena_strf(s->arena, "%s: %s", param, text);
    return false;
}

static bool wrong_here(struct reader *r, const char *field, const char *text)
{
    char param[128];
    snprintf(param, sizeof param, "%s%s%s", r->at, field[0] ? "." : "", field);
    return wrong(r->s, r->why, param, text);
}

static bool absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

static bool is(str type, const char *name)
{
    return str_eq(type, str_of(name));
}

/* ---- input ---- */

static enum role newest_role(const struct reader *r)
{
    return r->out.at[r->out.count - 1].role;
}

static void add_text(struct reader *r, str text)
{
    if (text.len)
        served_part(&r->out, PART_TEXT)->text = text;
    else
        r->odd |= newest_role(r) != ROLE_TOOL; /* a tool may have nothing to say */
}

/* Whether OpenAI takes a part of this type from whoever speaks. */
static bool is_proper(str type, bool assistant)
{
    if (assistant) return is(type, "output_text") || is(type, "refusal");
    return is(type, "input_text") || is(type, "input_image");
}

static bool read_part(struct reader *r, yyjson_val *part, const char *field)
{
    str type = json_get_str(part, "type");

    r->odd |= !is_proper(type, newest_role(r) == ROLE_ASSISTANT);
    if (yyjson_is_str(part)) {
        add_text(r, json_str(part));
    } else if (is(type, "input_text") || is(type, "output_text") || is(type, "text")) {
        if (!yyjson_is_str(json_get(part, "text")))
            return wrong_here(r, field, "a text part needs a string \"text\"");
        add_text(r, json_get_str(part, "text"));
    } else if (is(type, "refusal")) {
        add_text(r, json_get_str(part, "refusal"));
    } else if (is(type, "input_image")) {
        str url = json_get_str(part, "image_url");
        if (!str_starts(url, STR("data:image/")) && !str_starts(url, STR("https://")))
            return wrong_here(r, field, "an image is a data:image/... or an https address");
        served_part(&r->out, PART_IMAGE)->text = url;
    } else {
        return wrong_here(r, field, "only text and input_image parts are taken");
    }
    return true;
}

static bool read_content(struct reader *r, yyjson_val *content, const char *field)
{
    yyjson_val *each;

    if (absent(content) || (yyjson_is_arr(content) && yyjson_arr_size(content) == 0)) {
        r->odd = true;
        return true;
    }
    if (!yyjson_is_arr(content) && !yyjson_is_str(content))
        return wrong_here(r, field, "expected a string or an array of parts");
    if (yyjson_is_str(content)) {
        add_text(r, json_str(content));
        return true;
    }
    yyjson_arr_iter it = yyjson_arr_iter_with(content);
    while ((each = yyjson_arr_iter_next(&it)))
        if (!read_part(r, each, field)) return false;
    return true;
}

/* What the model said in one go comes as several items: they are one message. */
static void of_assistant(struct reader *r)
{
    if (r->out.count == 0 || r->out.at[r->out.count - 1].role != ROLE_ASSISTANT)
        served_message(&r->out, ROLE_ASSISTANT);
}

static bool read_said(struct reader *r, yyjson_val *item)
{
    str role = json_get_str(item, "role");

    if (!is(role, "assistant") && absent(json_get(item, "content")))
        return wrong_here(r, "content", "required");
    if (is(role, "assistant"))
        of_assistant(r);
    else if (is(role, "user"))
        served_message(&r->out, ROLE_USER);
    else if (is(role, "system") || is(role, "developer"))
        served_message(&r->out, ROLE_SYSTEM);
    else
        return wrong_here(r, "role", "one of system, developer, user, assistant");
    return read_content(r, json_get(item, "content"), "content");
}

/* The texts of a list, as paragraphs. */
static str joined(struct reader *r, yyjson_val *parts)
{
    struct buf all;
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(parts);

    buf_init(&all, UPSTREAM_ANSWER_BYTES_MAX);
    while ((each = yyjson_arr_iter_next(&it))) {
        str text = json_get_str(each, "text");
        if (text.len && all.len) buf_add(&all, STR("\n\n"));
        buf_add(&all, text);
    }
    str kept = all.bad ? STR_NONE : arena_str(r->s->arena, buf_str(&all));
    r->out.bad = r->out.bad || kept.at == NULL;
    buf_fini(&all);
    return kept;
}

static void read_thought(struct reader *r, yyjson_val *item)
{
    str text = joined(r, json_get(item, "summary")),
        token = json_get_str(item, "encrypted_content");

    if (text.len == 0 && token.len == 0) text = joined(r, json_get(item, "content"));
    if (text.len == 0 && token.len == 0) return;
    of_assistant(r);
    struct part *p = served_part(&r->out, PART_REASONING);
    p->text = text;
    if (token.len == 0) return;
    /* What is not of our making is OpenAI's own: run.c takes ours apart. */
    p->signature = token;
    p->issuer = STR("openai");
    p->id = json_get_str(item, "id");
}

/* {"input":"..."}: what a custom tool is called with, as a function's arguments. */
static str custom_args(struct reader *r, str input)
{
    struct buf b;

    buf_init(&b, UPSTREAM_ANSWER_BYTES_MAX);
    struct json_out o = json_begin(&b);
    json_object(&o);
    json_key(&o, "input"), json_text(&o, input.at ? input : STR(""));
    json_end_object(&o);
    str kept = b.bad ? STR_NONE : arena_str(r->s->arena, buf_str(&b));
    r->out.bad = r->out.bad || kept.at == NULL;
    buf_fini(&b);
    return kept;
}

static bool read_call(struct reader *r, yyjson_val *item, bool custom)
{
    str args = json_get_str(item, custom ? "input" : "arguments");

    r->odd |= custom ? args.at == NULL : args.len == 0;
    of_assistant(r);
    struct part *p = served_part(&r->out, PART_TOOL_CALL);
    p->id = json_get_str(item, "call_id");
    p->name = json_get_str(item, "name");
    if (p->id.len == 0) return wrong_here(r, "call_id", "required");
    if (p->name.len == 0) return wrong_here(r, "name", "required");
    p->args_json = custom ? custom_args(r, args) : args.len ? args : STR("{}");
    return true;
}

static bool read_result(struct reader *r, yyjson_val *item)
{
    struct message *m = served_message(&r->out, ROLE_TOOL);

    m->tool_call_id = json_get_str(item, "call_id");
    if (m->tool_call_id.len == 0) return wrong_here(r, "call_id", "required");
    return read_content(r, json_get(item, "output"), "output");
}

static bool read_item(struct reader *r, yyjson_val *item)
{
    str type = json_get_str(item, "type");

    if (!yyjson_is_obj(item)) return wrong_here(r, "", "expected an object");
    if (is(type, "message") || (type.len == 0 && !absent(json_get(item, "role"))))
        return read_said(r, item);
    if (is(type, "function_call")) return read_call(r, item, false);
    if (is(type, "custom_tool_call")) return read_call(r, item, true);
    if (is(type, "function_call_output") || is(type, "custom_tool_call_output"))
        return read_result(r, item);
    if (is(type, "item_reference"))
        return wrong_here(r, "type", "nothing is stored that could be referred to");
    if (is(type, "reasoning")) read_thought(r, item);
    return true; /* of tools that are the vendor's own */
}

static bool read_input(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct responses *own = s->own;
    struct reader r = {.s = s, .why = why};
    yyjson_val *input = json_get(root, "input"), *each;
    int n = 0;

    served_messages_init(&r.out, s->arena);
    if (own->instructions.len) {
        served_message(&r.out, ROLE_SYSTEM);
        add_text(&r, own->instructions);
    }
    size_t before = r.out.count;
    if (yyjson_is_str(input)) {
        served_message(&r.out, ROLE_USER);
        add_text(&r, json_str(input));
    } else if (!yyjson_is_arr(input)) {
        return wrong(s, why, "input", "a string or an array of items is required");
    }
    yyjson_arr_iter it = yyjson_arr_iter_with(input);
    while ((each = yyjson_arr_iter_next(&it))) {
        snprintf(r.at, sizeof r.at, "input[%d]", n++);
        if (!read_item(&r, each)) return false;
    }
    if (r.out.bad) return wrong(s, why, "input", "out of memory");
    if (r.out.count == before) return wrong(s, why, "input", "holds no message");
    s->ask.messages = r.out.at;
    s->ask.messages_count = r.out.count;
    s->ask.received_odd = r.odd;
    return true;
}

/* ---- tools ---- */

static bool read_tools(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct responses *own = s->own;
    yyjson_val *list = json_get(root, "tools"), *each;
    size_t max = yyjson_arr_size(list) + 1;

    if (absent(list)) return true;
    if (!yyjson_is_arr(list)) return wrong(s, why, "tools", "expected an array");
    struct tool *to = arena_array(s->arena, struct tool, max);
    str *custom = arena_array(s->arena, str, max);
    if (to == NULL || custom == NULL) return wrong(s, why, "tools", "out of memory");
    s->ask.tools = to;
    own->custom = custom;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        bool is_custom = is(json_get_str(each, "type"), "custom");
        yyjson_val *parameters = json_get(each, "parameters");
        if (!is_custom && !is(json_get_str(each, "type"), "function")) continue;
        struct tool *t = &to[s->ask.tools_count++];
        t->name = json_get_str(each, "name");
        if (t->name.len == 0) return wrong(s, why, "tools", "a tool needs a name");
        t->description = json_get_str(each, "description");
        t->strict = json_get_bool(each, "strict", false);
        if (yyjson_is_obj(parameters)) t->parameters_json = served_json(parameters, s->arena);
        if (is_custom) {
            t->custom = true;
            t->parameters_json = STR(CUSTOM_SCHEMA);
            custom[own->custom_count++] = t->name;
        }
    }
    return true;
}

/* {"type":"allowed_tools"}: the tools that are not in its list go. */
static bool keep_allowed(struct served *s, yyjson_val *list, struct family_error *why)
{
    struct tool *kept = arena_array(s->arena, struct tool, s->ask.tools_count);
    size_t n = 0;
    yyjson_val *each;

    if (kept == NULL) return wrong(s, why, "tool_choice", "out of memory");
    if (yyjson_arr_size(list) > ALLOWED_MAX) return wrong(s, why, "tool_choice", "too many tools");
    for (size_t i = 0; i < s->ask.tools_count; i++) {
        yyjson_arr_iter it = yyjson_arr_iter_with(list);
        while ((each = yyjson_arr_iter_next(&it)))
            if (str_eq(json_get_str(each, "name"), s->ask.tools[i].name)) break;
        if (each) kept[n++] = s->ask.tools[i];
    }
    if (n == 0) return wrong(s, why, "tool_choice", "allows none of the tools");
    s->ask.tools = kept;
    s->ask.tools_count = n;
    return true;
}

static bool is_word(str choice)
{
    return is(choice, "auto") || is(choice, "none") || is(choice, "required");
}

static bool has_tool(const struct served *s, str name)
{
    for (size_t i = 0; name.len && i < s->ask.tools_count; i++)
        if (str_eq(s->ask.tools[i].name, name)) return true;
    return false;
}

static bool read_tool_choice(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct responses *own = s->own;
    yyjson_val *v = json_get(root, "tool_choice");
    str named = json_get_str(v, "name"), mode = json_get_str(v, "mode"),
        type = json_get_str(v, "type");

    if (!served_bool(root, "parallel_tool_calls", &own->parallel, why, s->arena)) return false;
    if (s->ask.tools_count == 0) return true;
    if (!absent(json_get(root, "parallel_tool_calls"))) s->ask.parallel_tool_calls = own->parallel;
    bool allowed = is(type, "allowed_tools");
    bool vendors = !allowed && type.len && !is(type, "function") && !is(type, "custom");
    if (absent(v) || vendors) return true; /* as the tools that only the vendor runs */
    if (allowed && !keep_allowed(s, json_get(v, "tools"), why)) return false;
    s->ask.tool_choice = yyjson_is_str(v) ? json_str(v) : allowed ? mode : named;
    bool fits = yyjson_is_str(v) || allowed ? is_word(s->ask.tool_choice) : has_tool(s, named);
    return fits || wrong(s, why, "tool_choice", "auto, none, required, or one of the tools");
}

/* ---- the rest ---- */

static bool read_format(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(json_get(root, "text"), "format");
    str type = json_get_str(v, "type");

    if (absent(v) || is(type, "text")) return true;
    if (is(type, "json_object")) {
        s->ask.format = FORMAT_JSON_OBJECT;
        return true;
    }
    if (!is(type, "json_schema") || !yyjson_is_obj(json_get(v, "schema")))
        return wrong(s, why, "text.format", "text, json_object, or json_schema with a schema");
    s->ask.format = FORMAT_JSON_SCHEMA;
    s->ask.schema_name = json_get_str(v, "name");
    if (s->ask.schema_name.len == 0) s->ask.schema_name = STR("answer");
    s->ask.schema_json = served_json(json_get(v, "schema"), s->arena);
    s->ask.schema_strict = json_get_bool(v, "strict", false);
    return true;
}

static str kept(struct served *s, yyjson_val *v)
{
    return absent(v) ? STR_NONE : served_json(v, s->arena);
}

static bool includes(yyjson_val *root, const char *what)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(root, "include"));

    while ((each = yyjson_arr_iter_next(&it)))
        if (is(json_str(each), what)) return true;
    return false;
}

static bool read_state(struct served *s, yyjson_val *root, struct family_error *why)
{
    if (!absent(json_get(root, "previous_response_id")))
        return wrong(s, why, "previous_response_id", "answers are not stored");
    if (!absent(json_get(root, "conversation")))
        return wrong(s, why, "conversation", "answers are not stored");
    if (json_get_bool(root, "background", false))
        return wrong(s, why, "background", "only false is answered");
    return true;
}

bool responses_read(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct responses *own = arena_new(s->arena, struct responses);
    int64_t max = -1;

    if (own == NULL) return wrong(s, why, "input", "out of memory");
    s->own = own;
    s->keep_got = true; /* the last event holds all of it again */
    own->parallel = true;
    own->items = arena_array(s->arena, struct responses_item, RESPONSES_ITEMS_MAX);
    if (own->items == NULL) return wrong(s, why, "input", "out of memory");
    if (!openai_read_common(s, root, why) || !read_state(s, root, why) ||
        !served_text(root, "instructions", &own->instructions, why, s->arena) ||
        !served_whole(root, "max_output_tokens", 1, INT32_MAX, &max, why, s->arena))
        return false;
    s->ask.max_tokens = (int)max;
    own->encrypted = includes(root, "reasoning.encrypted_content");
    own->effort = json_get_str(json_get(root, "reasoning"), "effort");
    s->ask.effort = openai_effort(own->effort);
    own->tools = kept(s, json_get(root, "tools"));
    own->tool_choice = kept(s, json_get(root, "tool_choice"));
    own->text = kept(s, json_get(root, "text"));
    own->metadata = kept(s, json_get(root, "metadata"));
    served_keep(s, root, WIRE_RESPONSES, false);
    return read_tools(s, root, why) && read_tool_choice(s, root, why) &&
           read_format(s, root, why) && read_input(s, root, why);
}
