/* POST /v1/chat/completions, the request (openai-compat.md section 2). */
#include "api/served/openai.h"

#include <stdio.h>

enum { ALLOWED_MAX = 128 }; /* of a tool_choice, each compared with each tool */

static bool wrong(struct family_error *why, struct arena *a, const char *param, const char *text)
{
    *why = (struct family_error){.status = 400, .code = "invalid_value"};
    why->param = arena_str(a, str_of(param));
    why->message = arena_strf(a, "%s: %s", param, text);
    return false;
}

static bool absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

/* ---- messages ---- */

struct reader {
    struct served *s;
    struct served_messages out;
    struct family_error *why;
    char at[64]; /* "messages[3]" */
    bool odd;    /* something was taken that no provider takes */
};

static bool wrong_here(struct reader *r, const char *field, const char *text)
{
    char param[128];
    snprintf(param, sizeof param, "%s%s%s", r->at, field[0] ? "." : "", field);
    return wrong(r->why, r->s->arena, param, text);
}

static void add_text(struct reader *r, str text)
{
    if (text.len) served_part(&r->out, PART_TEXT)->text = text;
}

static bool read_part(struct reader *r, yyjson_val *part)
{
    str type = json_get_str(part, "type");
    size_t known = r->out.count ? r->out.at[r->out.count - 1].count : 0;

    if (!str_eq(type, STR("text")) && !str_eq(type, STR("image_url"))) r->odd = true;
    if (yyjson_is_str(part)) {
        add_text(r, json_str(part));
    } else if (str_eq(type, STR("text")) || str_eq(type, STR("input_text")) ||
               str_eq(type, STR("output_text"))) {
        yyjson_val *text = json_get(part, "text");
        if (!yyjson_is_str(text))
            return wrong_here(r, "content", "a text part needs a string \"text\"");
        add_text(r, json_str(text));
    } else if (str_eq(type, STR("refusal"))) {
        add_text(r, json_get_str(part, "refusal"));
    } else if (str_eq(type, STR("image_url"))) {
        yyjson_val *image = json_get(part, "image_url");
        str url = yyjson_is_str(image) ? json_str(image) : json_get_str(image, "url");
        if (url.len == 0) return wrong_here(r, "content", "an image part needs an address");
        if (!str_starts(url, STR("data:image/")) && !str_starts(url, STR("https://")))
            return wrong_here(r, "content", "an image is a data:image/... or an https address");
        served_part(&r->out, PART_IMAGE)->text = url;
        r->odd = r->odd || !yyjson_is_obj(image);
    } else if (str_eq(type, STR("reasoning")) || str_eq(type, STR("thinking"))) {
        return true; /* of another server's history */
    } else {
        return wrong_here(r, "content", "only text and image_url parts are taken");
    }
    if (r->out.count && r->out.at[r->out.count - 1].count == known) r->odd = true; /* empty */
    return true;
}

static bool read_content(struct reader *r, yyjson_val *content)
{
    yyjson_val *each;

    if (absent(content)) return true;
    if (yyjson_is_str(content)) {
        add_text(r, json_str(content));
        return true;
    }
    if (!yyjson_is_arr(content))
        return wrong_here(r, "content", "expected a string or an array of parts");
    yyjson_arr_iter it = yyjson_arr_iter_with(content);
    while ((each = yyjson_arr_iter_next(&it)))
        if (!read_part(r, each)) return false;
    return true;
}

static str args_text(yyjson_val *v, struct arena *a)
{
    if (absent(v)) return STR("{}");
    if (yyjson_is_str(v)) return json_str(v).len ? json_str(v) : STR("{}");
    return served_json(v, a);
}

static bool add_call(struct reader *r, str id, yyjson_val *function)
{
    str name = json_get_str(function, "name");

    if (name.len == 0) return wrong_here(r, "tool_calls", "a call needs a function name");
    if (id.len == 0 || str_trim(json_get_str(function, "arguments")).len == 0) r->odd = true;
    struct part *p = served_part(&r->out, PART_TOOL_CALL);
    p->id = id.len ? id : name;
    p->name = name;
    p->args_json = args_text(json_get(function, "arguments"), r->s->arena);
    return true;
}

static bool read_calls(struct reader *r, yyjson_val *message)
{
    yyjson_val *calls = json_get(message, "tool_calls"), *each;
    yyjson_val *old = json_get(message, "function_call");

    if (!absent(old)) return add_call(r, STR_NONE, old);
    if (absent(calls)) return true;
    if (!yyjson_is_arr(calls)) return wrong_here(r, "tool_calls", "expected an array");
    yyjson_arr_iter it = yyjson_arr_iter_with(calls);
    while ((each = yyjson_arr_iter_next(&it))) {
        if (!add_call(r, json_get_str(each, "id"), json_get(each, "function"))) return false;
        if (!str_eq(json_get_str(each, "type"), STR("function"))) r->odd = true;
    }
    return true;
}

static void read_reasoning(struct reader *r, yyjson_val *message)
{
    str text = json_get_str(message, "reasoning_content");

    if (text.len == 0) text = json_get_str(message, "reasoning");
    if (text.len) served_part(&r->out, PART_REASONING)->text = text;
}

static bool read_message(struct reader *r, yyjson_val *v)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {{"system", ROLE_SYSTEM}, {"developer", ROLE_SYSTEM},
                 {"user", ROLE_USER},     {"assistant", ROLE_ASSISTANT},
                 {"tool", ROLE_TOOL},     {"function", ROLE_TOOL}};
    str role = json_get_str(v, "role");

    if (!yyjson_is_obj(v)) return wrong_here(r, "", "expected an object");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (!str_eq(role, str_of(roles[i].name))) continue;
        struct message *m = served_message(&r->out, roles[i].role);
        if (m->role == ROLE_TOOL) {
            str id = json_get_str(v, "tool_call_id"), name = json_get_str(v, "name");
            m->tool_call_id = id.len ? id : name;
            m->tool_name = name;
            if (m->tool_call_id.len == 0) return wrong_here(r, "tool_call_id", "required");
            if (id.len == 0 || str_eq(role, STR("function"))) r->odd = true;
        }
        if (m->role == ROLE_ASSISTANT) read_reasoning(r, v);
        if (m->role != ROLE_ASSISTANT && absent(json_get(v, "content"))) {
            if (m->role != ROLE_TOOL) return wrong_here(r, "content", "required");
            r->odd = true; /* a function that returns nothing */
        }
        if (!read_content(r, json_get(v, "content"))) return false;
        return m->role != ROLE_ASSISTANT || read_calls(r, v);
    }
    return wrong_here(r, "role", "one of system, developer, user, assistant, tool");
}

static bool read_messages(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct reader r = {.s = s, .why = why};
    yyjson_val *list = json_get(root, "messages"), *each;
    int n = 0;

    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return wrong(why, s->arena, "messages", "a non-empty array is required");
    served_messages_init(&r.out, s->arena);
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        snprintf(r.at, sizeof r.at, "messages[%d]", n++);
        if (!read_message(&r, each)) return false;
    }
    if (r.out.bad) return wrong(why, s->arena, "messages", "out of memory");
    s->ask.messages = r.out.at;
    s->ask.messages_count = r.out.count;
    served_keep(s, root, WIRE_CHAT, r.odd);
    return true;
}

/* ---- tools ---- */

static bool add_tool(struct served *s, struct tool *t, yyjson_val *function,
                     struct family_error *why)
{
    yyjson_val *parameters = json_get(function, "parameters");

    t->name = json_get_str(function, "name");
    if (t->name.len == 0) return wrong(why, s->arena, "tools", "a function needs a name");
    if (t->name.len > 64)
        return wrong(why, s->arena, "tools", "a function's name has at most 64 characters");
    t->description = json_get_str(function, "description");
    if (yyjson_is_obj(parameters)) t->parameters_json = served_json(parameters, s->arena);
    t->strict = json_get_bool(function, "strict", false);
    s->ask.tools_count++;
    return true;
}

static bool read_tools(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *tools = json_get(root, "tools"), *old = json_get(root, "functions"), *each;
    yyjson_val *list = yyjson_is_arr(tools) ? tools : old;

    if (!absent(tools) && !yyjson_is_arr(tools))
        return wrong(why, s->arena, "tools", "expected an array");
    if (!yyjson_is_arr(list)) return true;
    struct tool *to = arena_array(s->arena, struct tool, yyjson_arr_size(list) + 1);
    if (to == NULL) return wrong(why, s->arena, "tools", "out of memory");
    s->ask.tools = to;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        yyjson_val *function = list == tools ? json_get(each, "function") : each;
        if (list == tools && !str_eq(json_get_str(each, "type"), STR("function"))) continue;
        if (!add_tool(s, &to[s->ask.tools_count], function, why)) return false;
    }
    return true;
}

static bool is_choice(const struct served *s, str choice, bool named)
{
    if (!named)
        return str_eq(choice, STR("auto")) || str_eq(choice, STR("none")) ||
               str_eq(choice, STR("required"));
    for (size_t i = 0; i < s->ask.tools_count; i++)
        if (str_eq(s->ask.tools[i].name, choice)) return true;
    return false;
}

/* {"type":"allowed_tools"}: a mode, and the tools that may be called; the others go. */
static bool keep_allowed(struct served *s, yyjson_val *allowed, struct family_error *why)
{
    struct tool *kept = arena_array(s->arena, struct tool, s->ask.tools_count);
    yyjson_val *list = json_get(allowed, "tools"), *each;
    size_t n = 0;

    if (kept == NULL) return wrong(why, s->arena, "tool_choice", "out of memory");
    if (yyjson_arr_size(list) > ALLOWED_MAX)
        return wrong(why, s->arena, "tool_choice", "too many tools");
    for (size_t i = 0; i < s->ask.tools_count; i++) {
        yyjson_arr_iter it = yyjson_arr_iter_with(list);
        while ((each = yyjson_arr_iter_next(&it)))
            if (str_eq(json_get_str(json_get(each, "function"), "name"), s->ask.tools[i].name))
                break;
        if (each) kept[n++] = s->ask.tools[i];
    }
    if (n == 0) return wrong(why, s->arena, "tool_choice", "allows none of the tools");
    s->ask.tools = kept;
    s->ask.tools_count = n;
    s->ask.tool_choice = json_get_str(allowed, "mode");
    return is_choice(s, s->ask.tool_choice, false) ||
           wrong(why, s->arena, "tool_choice", "allowed_tools.mode is auto or required");
}

static bool read_tool_choice(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(root, "tool_choice");
    bool parallel = true, allows = str_eq(json_get_str(v, "type"), STR("allowed_tools"));

    if (absent(v)) v = json_get(root, "function_call");
    if (s->ask.tools_count == 0) return true;
    if (allows && !keep_allowed(s, json_get(v, "allowed_tools"), why)) return false;
    if (yyjson_is_str(v)) {
        s->ask.tool_choice = json_str(v);
    } else if (yyjson_is_obj(v) && !allows) {
        str name = json_get_str(json_get(v, "function"), "name");
        s->ask.tool_choice = name.len ? name : json_get_str(v, "name");
    }
    if (!absent(v) && !allows && !is_choice(s, s->ask.tool_choice, yyjson_is_obj(v)))
        return wrong(why, s->arena, "tool_choice", "auto, none, required, or one of the tools");
    if (!absent(json_get(root, "parallel_tool_calls"))) {
        if (!served_bool(root, "parallel_tool_calls", &parallel, why, s->arena)) return false;
        s->ask.parallel_tool_calls = parallel;
    }
    return true;
}

/* ---- the rest ---- */

static bool read_format(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(root, "response_format");
    str type = json_get_str(v, "type");
    yyjson_val *schema = json_get(v, "json_schema");

    if (absent(v) || str_eq(type, STR("text"))) return true;
    if (str_eq(type, STR("json_object"))) {
        s->ask.format = FORMAT_JSON_OBJECT;
        return true;
    }
    if (!str_eq(type, STR("json_schema")))
        return wrong(why, s->arena, "response_format",
                     "type is one of text, json_object, json_schema");
    if (!yyjson_is_obj(json_get(schema, "schema")))
        return wrong(why, s->arena, "response_format.json_schema", "needs an object \"schema\"");
    s->ask.format = FORMAT_JSON_SCHEMA;
    s->ask.schema_name = json_get_str(schema, "name");
    if (s->ask.schema_name.len == 0) s->ask.schema_name = STR("answer");
    s->ask.schema_json = served_json(json_get(schema, "schema"), s->arena);
    s->ask.schema_strict = json_get_bool(schema, "strict", false);
    return true;
}

enum effort openai_effort(str word)
{
    static const char *const words[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(word, str_of(words[i]))) return (enum effort)(EFFORT_NONE + (int)i);
    return EFFORT_UNSET;
}

static void read_effort(struct served *s, yyjson_val *root)
{
    yyjson_val *thinking = json_get(root, "thinking");
    yyjson_val *enable = json_get(root, "enable_thinking");
    str word = json_get_str(root, "reasoning_effort");

    if (word.len == 0) word = json_get_str(json_get(root, "reasoning"), "effort");
    s->ask.effort = openai_effort(word);
    if (s->ask.effort != EFFORT_UNSET) return;
    if (absent(enable))
        enable = json_get(json_get(root, "chat_template_kwargs"), "enable_thinking");
    if (yyjson_is_bool(enable))
        s->ask.effort = yyjson_get_bool(enable) ? EFFORT_MEDIUM : EFFORT_NONE;
    str type = json_get_str(thinking, "type");
    if (str_eq(type, STR("disabled"))) s->ask.effort = EFFORT_NONE;
    if (str_eq(type, STR("enabled")) || str_eq(type, STR("adaptive"))) {
        s->ask.effort = EFFORT_MEDIUM;
        s->ask.thinking_budget = (int)json_get_int(thinking, "budget_tokens", -1);
    }
}

static bool read_audio(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *list = json_get(root, "modalities"), *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);

    while ((each = yyjson_arr_iter_next(&it)))
        if (str_eq(json_str(each), STR("audio")))
            return wrong(why, s->arena, "modalities", "only text can be answered");
    return true;
}

static bool read_limits(struct served *s, yyjson_val *root, struct family_error *why)
{
    int64_t max = -1, n = 1, seed = 0;
    bool ok = served_whole(root, "max_tokens", 1, INT32_MAX, &max, why, s->arena) &&
              served_whole(root, "max_completion_tokens", 1, INT32_MAX, &max, why, s->arena) &&
              served_whole(root, "n", 1, 1, &n, why, s->arena);
    if (!ok) return false;
    s->ask.max_tokens = (int)max;
    if (absent(json_get(root, "seed"))) return true;
    ok = served_whole(root, "seed", INT64_MIN, INT64_MAX, &seed, why, s->arena);
    s->ask.seeded = true;
    s->ask.seed = (uint64_t)seed;
    return ok;
}

static bool read_sampling(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct ask *q = &s->ask;
    int64_t top_k = -1;
    bool ok =
        served_number(root, "temperature", 0, 2, &q->temperature, why, s->arena) &&
        served_number(root, "top_p", 0, 1, &q->top_p, why, s->arena) &&
        served_number(root, "min_p", 0, 1, &q->min_p, why, s->arena) &&
        served_number(root, "repetition_penalty", 0, 10, &q->repetition_penalty, why, s->arena) &&
        served_number(root, "presence_penalty", -2, 2, &q->presence_penalty, why, s->arena) &&
        served_number(root, "frequency_penalty", -2, 2, &q->frequency_penalty, why, s->arena) &&
        served_whole(root, "top_k", -1, 1000000, &top_k, why, s->arena) &&
        served_texts(root, "stop", &q->stops, &q->stops_count, why, s->arena);
    q->top_k = (int)top_k;
    if (yyjson_is_obj(json_get(root, "logit_bias")))
        q->logit_bias_json = served_json(json_get(root, "logit_bias"), s->arena);
    q->user = json_get_str(root, "user");
    return ok;
}

bool openai_read_common(struct served *s, yyjson_val *root, struct family_error *why)
{
    if (!served_text(root, "model", &s->model, why, s->arena)) return false;
    if (s->model.len == 0) {
        *why = (struct family_error){.status = 400,
                                     .code = "invalid_value",
                                     .param = STR("model"),
                                     .message = STR("you must provide a model parameter")};
        return false;
    }
    s->thinking = true;
    s->include_usage = json_get_bool(json_get(root, "stream_options"), "include_usage", false);
    return served_bool(root, "stream", &s->stream, why, s->arena) && read_limits(s, root, why) &&
           read_sampling(s, root, why);
}

bool openai_read_chat(struct served *s, yyjson_val *root, struct family_error *why)
{
    if (!openai_read_common(s, root, why)) return false;
    read_effort(s, root);
    s->logprobs = json_get_bool(root, "logprobs", false);
    return read_messages(s, root, why) && read_tools(s, root, why) &&
           read_tool_choice(s, root, why) && read_format(s, root, why) && read_audio(s, root, why);
}
