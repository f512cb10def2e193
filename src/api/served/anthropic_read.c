/* POST /v1/messages, the request (openai-compat.md section 7). */
#include <stdio.h>

#include "api/served/anthropic.h"

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

struct reader {
    struct served *s;
    struct served_messages out;
    struct family_error *why;
    char at[64]; /* "messages.3.content" */
    bool calls;  /* the newest message holds them */
    bool odd;    /* something was taken that no provider takes */
};

static bool wrong_here(struct reader *r, const char *text)
{
    return wrong(r->why, r->s->arena, r->at, text);
}

/* ---- blocks ---- */

static bool add_image(struct reader *r, yyjson_val *source)
{
    str type = json_get_str(source, "type"), media = json_get_str(source, "media_type");
    str data = json_get_str(source, "data"), url = json_get_str(source, "url");
    str text = STR_NONE;

    if (str_eq(type, STR("base64")) && data.len && str_starts(media, STR("image/")))
        text = arena_strf(r->s->arena, "data:%.*s;base64,%.*s", STR_ARG(media), STR_ARG(data));
    else if (str_eq(type, STR("url")) && str_starts(url, STR("https://")))
        text = url;
    if (text.at == NULL)
        return wrong_here(r, "an image is base64 of an image type, or an https address");
    served_part(&r->out, PART_IMAGE)->text = text;
    return true;
}

/* What a text block says, or a document of plain text; STR_NONE: it is neither. */
static str block_text(yyjson_val *block)
{
    str type = json_get_str(block, "type");
    yyjson_val *source = json_get(block, "source");

    if (str_eq(type, STR("text"))) return json_get_str(block, "text");
    bool plain = str_eq(type, STR("document")) && str_eq(json_get_str(source, "type"), STR("text"));
    return plain ? json_get_str(source, "data") : STR_NONE;
}

/* The text of a tool's result: a string, or that of its blocks. */
static str result_text(struct reader *r, yyjson_val *content)
{
    struct buf all;
    yyjson_val *each;

    if (!yyjson_is_arr(content)) return json_str(content);
    buf_init(&all, 64 << 20);
    yyjson_arr_iter it = yyjson_arr_iter_with(content);
    while ((each = yyjson_arr_iter_next(&it))) {
        str text = block_text(each);
        if (text.len == 0 && str_eq(json_get_str(each, "type"), STR("text"))) r->odd = true;
        if (text.len == 0) continue;
        if (all.len) buf_add_char(&all, '\n');
        buf_add(&all, text);
    }
    str kept = arena_str(r->s->arena, buf_str(&all));
    buf_fini(&all);
    return kept;
}

static bool add_result(struct reader *r, yyjson_val *block)
{
    str id = json_get_str(block, "tool_use_id");
    yyjson_val *content = json_get(block, "content"), *each;
    struct message *m = served_message(&r->out, ROLE_TOOL);

    if (id.len == 0) return wrong_here(r, "tool_result needs a tool_use_id");
    m->tool_call_id = id;
    m->is_error = json_get_bool(block, "is_error", false);
    served_part(&r->out, PART_TEXT)->text = result_text(r, content);
    if (!yyjson_is_arr(content)) return true;
    yyjson_arr_iter it = yyjson_arr_iter_with(content);
    while ((each = yyjson_arr_iter_next(&it))) {
        bool image = str_eq(json_get_str(each, "type"), STR("image"));
        if (image && !add_image(r, json_get(each, "source"))) return false;
        if (!image && block_text(each).at == NULL)
            return wrong_here(r, "a result is text, images, or documents of plain text");
    }
    return true;
}

static void add_thinking(struct reader *r, yyjson_val *block, bool redacted)
{
    struct part *p = served_part(&r->out, PART_REASONING);

    p->text = json_get_str(block, "thinking");
    p->signature = json_get_str(block, "signature");
    if (redacted) p->redacted = json_get_str(block, "data");
    if (str_starts(p->signature, STR(ANTHROPIC_OWN_SIGNATURE))) p->signature = STR_NONE;
}

static bool add_document(struct reader *r, yyjson_val *block)
{
    yyjson_val *source = json_get(block, "source");

    if (!str_eq(json_get_str(source, "type"), STR("text")))
        return wrong_here(r, "only documents of plain text are taken");
    served_part(&r->out, PART_TEXT)->text = json_get_str(source, "data");
    return true;
}

/* Where the client wants the prompt kept: the part that was added last. */
static void take_cache(struct reader *r, yyjson_val *block)
{
    struct message *m = r->out.count ? &r->out.at[r->out.count - 1] : NULL;

    if (r->out.bad || m == NULL || m->count == 0) return;
    if (yyjson_is_obj(json_get(block, "cache_control"))) r->out.parts[m->count - 1].cache = true;
}

/* A block of a message that is not a tool's result. */
static bool add_block(struct reader *r, yyjson_val *block)
{
    str type = json_get_str(block, "type");

    if (str_eq(type, STR("text"))) {
        str text = json_get_str(block, "text");
        if (text.len) served_part(&r->out, PART_TEXT)->text = text;
        if (text.len == 0) r->odd = true;
    } else if (str_eq(type, STR("image"))) {
        return add_image(r, json_get(block, "source"));
    } else if (str_eq(type, STR("document"))) {
        return add_document(r, block);
    } else if (str_eq(type, STR("thinking")) || str_eq(type, STR("redacted_thinking"))) {
        add_thinking(r, block, str_eq(type, STR("redacted_thinking")));
    } else if (str_eq(type, STR("tool_use"))) {
        struct part *p = served_part(&r->out, PART_TOOL_CALL);
        yyjson_val *input = json_get(block, "input");
        p->id = json_get_str(block, "id");
        p->name = json_get_str(block, "name");
        p->args_json = yyjson_is_obj(input) ? served_json(input, r->s->arena) : STR("{}");
        if (!yyjson_is_obj(input)) r->odd = true;
        if (p->id.len == 0 || p->name.len == 0)
            return wrong_here(r, "tool_use needs an id and a name");
    } else {
        return wrong_here(
            r, "a block's type is one of text, image, document, thinking, tool_use, tool_result");
    }
    return true;
}

/* Results come first, then what the user says beside them (providers.md section 1). */
static bool read_blocks(struct reader *r, enum role role, yyjson_val *content)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(content);
    bool rest = false;

    while ((each = yyjson_arr_iter_next(&it))) {
        if (str_eq(json_get_str(each, "type"), STR("tool_result"))) {
            if (role != ROLE_USER) return wrong_here(r, "tool_result stands in a user's message");
            if (!add_result(r, each)) return false;
            take_cache(r, each);
            if (rest) r->odd = true; /* providers want results first */
        } else {
            rest = true;
        }
    }
    if (!rest && yyjson_arr_size(content) > 0) return true;
    served_message(&r->out, role);
    it = yyjson_arr_iter_with(content);
    while ((each = yyjson_arr_iter_next(&it))) {
        if (str_eq(json_get_str(each, "type"), STR("tool_result"))) continue;
        if (!add_block(r, each)) return false;
        take_cache(r, each);
    }
    return true;
}

static bool read_message(struct reader *r, yyjson_val *v)
{
    str role = json_get_str(v, "role");
    yyjson_val *content = json_get(v, "content");
    enum role as = str_eq(role, STR("assistant")) ? ROLE_ASSISTANT
                   : str_eq(role, STR("system"))  ? ROLE_SYSTEM
                                                  : ROLE_USER;

    if (as == ROLE_USER && !str_eq(role, STR("user")))
        return wrong_here(r, "role is user or assistant");
    if (as == ROLE_SYSTEM) r->odd = true;
    if (yyjson_is_str(content)) {
        served_message(&r->out, as);
        if (json_str(content).len) served_part(&r->out, PART_TEXT)->text = json_str(content);
        return true;
    }
    if (!yyjson_is_arr(content)) return wrong_here(r, "content is a string or an array of blocks");
    return read_blocks(r, as, content);
}

static bool read_system(struct reader *r, yyjson_val *v)
{
    yyjson_val *each;

    if (absent(v)) return true;
    snprintf(r->at, sizeof r->at, "system");
    if (yyjson_is_str(v)) {
        if (json_str(v).len == 0) return true;
        served_message(&r->out, ROLE_SYSTEM);
        served_part(&r->out, PART_TEXT)->text = json_str(v);
        return true;
    }
    if (!yyjson_is_arr(v)) return wrong_here(r, "expected a string or an array of text blocks");
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    while ((each = yyjson_arr_iter_next(&it))) {
        str text = json_get_str(each, "text");
        if (text.at == NULL) return wrong_here(r, "a block of it is text");
        if (text.len == 0) r->odd = true;
        if (text.len == 0) continue;
        served_message(&r->out, ROLE_SYSTEM);
        served_part(&r->out, PART_TEXT)->text = text;
        take_cache(r, each);
    }
    return true;
}

static bool read_messages(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct reader r = {.s = s, .why = why};
    yyjson_val *list = json_get(root, "messages"), *each;
    int n = 0;

    served_messages_init(&r.out, s->arena);
    if (!read_system(&r, json_get(root, "system"))) return false;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return wrong(why, s->arena, "messages", "at least one message is required");
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        snprintf(r.at, sizeof r.at, "messages.%d", n++);
        if (!read_message(&r, each)) return false;
    }
    if (r.out.bad) return wrong(why, s->arena, "messages", "out of memory");
    s->ask.messages = r.out.at;
    s->ask.messages_count = r.out.count;
    served_keep(s, root, WIRE_MESSAGES, r.odd);
    return true;
}

/* ---- tools ---- */

static bool read_tools(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *list = json_get(root, "tools"), *each;

    if (absent(list)) return true;
    if (!yyjson_is_arr(list)) return wrong(why, s->arena, "tools", "expected an array");
    struct tool *to = arena_array(s->arena, struct tool, yyjson_arr_size(list) + 1);
    if (to == NULL) return wrong(why, s->arena, "tools", "out of memory");
    s->ask.tools = to;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        str type = json_get_str(each, "type");
        if (type.len && !str_eq(type, STR("custom"))) continue; /* tools that only Anthropic runs */
        struct tool *t = &to[s->ask.tools_count++];
        t->name = json_get_str(each, "name");
        if (t->name.len == 0) return wrong(why, s->arena, "tools", "a tool needs a name");
        t->description = json_get_str(each, "description");
        t->cache = yyjson_is_obj(json_get(each, "cache_control"));
        if (yyjson_is_obj(json_get(each, "input_schema")))
            t->parameters_json = served_json(json_get(each, "input_schema"), s->arena);
    }
    return true;
}

static bool has_tool(const struct served *s, str name)
{
    for (size_t i = 0; i < s->ask.tools_count; i++)
        if (str_eq(s->ask.tools[i].name, name)) return true;
    return false;
}

static bool read_tool_choice(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *v = json_get(root, "tool_choice");
    str type = json_get_str(v, "type");

    if (absent(v) || s->ask.tools_count == 0) return true;
    if (str_eq(type, STR("auto")) || str_eq(type, STR("none")))
        s->ask.tool_choice = type;
    else if (str_eq(type, STR("any")))
        s->ask.tool_choice = STR("required");
    else if (str_eq(type, STR("tool")) && has_tool(s, json_get_str(v, "name")))
        s->ask.tool_choice = json_get_str(v, "name");
    else if (str_eq(type, STR("tool")))
        return wrong(why, s->arena, "tool_choice", "names none of the tools");
    else
        return wrong(why, s->arena, "tool_choice", "type is one of auto, any, tool, none");
    if (json_get_bool(v, "disable_parallel_tool_use", false)) s->ask.parallel_tool_calls = 0;
    return true;
}

/* ---- the rest ---- */

static bool read_thinking(struct served *s, yyjson_val *root, struct family_error *why)
{
    static const struct {
        const char *word;
        enum effort effort;
    } efforts[] = {{"low", EFFORT_LOW},
                   {"medium", EFFORT_MEDIUM},
                   {"high", EFFORT_HIGH},
                   {"xhigh", EFFORT_XHIGH},
                   {"max", EFFORT_MAX}};
    yyjson_val *thinking = json_get(root, "thinking"), *config = json_get(root, "output_config");
    str type = json_get_str(thinking, "type"), word = json_get_str(config, "effort");
    yyjson_val *format = json_get(config, "format");

    if (absent(format)) format = json_get(root, "output_format"); /* its older place */

    s->thinking = str_eq(type, STR("enabled")) || str_eq(type, STR("adaptive"));
    if (s->thinking) s->ask.effort = EFFORT_MEDIUM;
    s->ask.thinking_budget = (int)json_get_int(thinking, "budget_tokens", -1);
    for (size_t i = 0; i < sizeof efforts / sizeof *efforts; i++)
        if (str_eq(word, str_of(efforts[i].word))) s->ask.effort = efforts[i].effort;
    if (str_eq(type, STR("disabled"))) s->ask.effort = EFFORT_NONE; /* whatever the effort */
    if (!absent(format)) {
        if (!str_eq(json_get_str(format, "type"), STR("json_schema")) ||
            !yyjson_is_obj(json_get(format, "schema")))
            return wrong(why, s->arena, "output_config.format", "a json_schema with its schema");
        s->ask.format = FORMAT_JSON_SCHEMA;
        s->ask.schema_name = STR("answer");
        s->ask.schema_json = served_json(json_get(format, "schema"), s->arena);
    }
    return true;
}

static bool read_all(struct served *s, yyjson_val *root, struct family_error *why, bool counting)
{
    int64_t max = -1, top_k = -1;
    struct ask *q = &s->ask;

    if (!served_text(root, "model", &s->model, why, s->arena)) return false;
    if (s->model.len == 0) return wrong(why, s->arena, "model", "Field required");
    if (!counting && absent(json_get(root, "max_tokens")))
        return wrong(why, s->arena, "max_tokens", "Field required");
    bool ok = served_whole(root, "max_tokens", 1, INT32_MAX, &max, why, s->arena) &&
              served_number(root, "temperature", 0, 2, &q->temperature, why, s->arena) &&
              served_number(root, "top_p", 0, 1, &q->top_p, why, s->arena) &&
              served_whole(root, "top_k", 0, 1000000, &top_k, why, s->arena) &&
              served_texts(root, "stop_sequences", &q->stops, &q->stops_count, why, s->arena) &&
              served_bool(root, "stream", &s->stream, why, s->arena);
    if (!ok) return false;
    q->max_tokens = (int)max;
    q->top_k = (int)top_k;
    q->user = json_get_str(json_get(root, "metadata"), "user_id");
    return read_thinking(s, root, why) && read_messages(s, root, why) && read_tools(s, root, why) &&
           read_tool_choice(s, root, why);
}

bool anthropic_read(struct served *s, yyjson_val *root, struct family_error *why)
{
    return read_all(s, root, why, false);
}

bool anthropic_read_counted(struct served *s, yyjson_val *root, struct family_error *why)
{
    return read_all(s, root, why, true);
}
