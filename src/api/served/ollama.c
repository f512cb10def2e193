/* Ollama's API: POST /api/chat and /api/generate, as lines of JSON; streaming unless told otherwise
 * (openai-compat.md section 10). */
#include <stdio.h>

#include "api/served/ollama.h"
#include "base/clock.h"

enum { CALLS_MAX = 256 }; /* of one turn: each result looks for its own among them */

struct own {
    bool generate; /* "response" in place of "message" */
    bool unload;   /* keep_alive is 0: the model goes with the answer */
};

static bool wrong(struct family_error *why, struct arena *a, const char *param, const char *text)
{
    *why = (struct family_error){.status = 400, .code = "invalid_value", .param = str_of(param)};
    why->message = arena_strf(a, "%s: %s", param, text);
    return false;
}

static bool absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

/* ---- reading ---- */

#define IMAGES "expected an array of images in base64"

static bool add_images(struct served *s, struct served_messages *m, yyjson_val *list,
                       struct family_error *why)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);

    if (!absent(list) && !yyjson_is_arr(list)) return wrong(why, s->arena, "images", IMAGES);
    while ((each = yyjson_arr_iter_next(&it))) {
        str data = json_str(each);
        if (!yyjson_is_str(each) || data.len == 0) return wrong(why, s->arena, "images", IMAGES);
        /* Nobody names the type: the first bytes of base64 do. */
        const char *type = str_starts(data, STR("/9j/"))     ? "jpeg"
                           : str_starts(data, STR("UklGR"))  ? "webp"
                           : str_starts(data, STR("R0lGOD")) ? "gif"
                                                             : "png";
        str url = str_starts(data, STR("data:"))
                      ? data
                      : arena_strf(s->arena, "data:image/%s;base64,%.*s", type, STR_ARG(data));
        if (url.at == NULL) return wrong(why, s->arena, "images", "out of memory");
        served_part(m, PART_IMAGE)->text = url;
    }
    return true;
}

/* The calls of the newest round, by which a result that names its tool finds its call. */
struct round {
    struct open_call {
        str id, name;
        bool answered;
    } calls[CALLS_MAX];
    size_t count, answered;
    bool passed; /* the user spoke since: calls that come now are of another round */
    int made;    /* in all rounds */
};

/* False: too many in one turn. */
static bool add_calls(struct served *s, struct served_messages *m, struct round *round,
                      yyjson_val *list)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);

    if (yyjson_arr_size(list) && (round->answered || round->passed)) {
        round->count = round->answered = 0;
        round->passed = false;
    }
    if (yyjson_arr_size(list) > CALLS_MAX - round->count) return false;
    while ((each = yyjson_arr_iter_next(&it))) {
        yyjson_val *function = json_get(each, "function"), *args = json_get(function, "arguments");
        struct part *p = served_part(m, PART_TOOL_CALL);
        p->id = json_get_str(each, "id"); /* newer clients have one */
        if (p->id.len == 0) p->id = arena_strf(s->arena, "call_%d", round->made++);
        p->name = json_get_str(function, "name");
        p->args_json = yyjson_is_obj(args)                    ? served_json(args, s->arena)
                       : str_starts(json_str(args), STR("{")) ? json_str(args)
                                                              : STR("{}");
        round->calls[round->count++] = (struct open_call){.id = p->id, .name = p->name};
    }
    return true;
}

/* The oldest without a result that has this id, or where the result has none, this name; of any
 * name when it names none. */
static str call_of(struct round *round, str id, str name)
{
    for (size_t i = 0; round->answered < round->count && i < round->count; i++) {
        struct open_call *c = &round->calls[i];
        str own = id.len ? c->id : c->name, wanted = id.len ? id : name;
        if (c->answered || (wanted.len && !str_eq(own, wanted))) continue;
        c->answered = true;
        round->answered++;
        return c->id;
    }
    return STR_NONE;
}

static bool read_messages(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *list = json_get(root, "messages"), *each;
    struct served_messages m;
    struct round *round = arena_new(s->arena, struct round);

    if (round == NULL) return wrong(why, s->arena, "messages", "out of memory");
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return wrong(why, s->arena, "messages", "a non-empty array is required");
    served_messages_init(&m, s->arena);
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        yyjson_val *content = json_get(each, "content");
        str role = json_get_str(each, "role"), text = json_str(content);
        if (!absent(content) && !yyjson_is_str(content))
            return wrong(why, s->arena, "messages", "content is a string, images stand beside it");
        enum role as = str_eq(role, STR("system"))      ? ROLE_SYSTEM
                       : str_eq(role, STR("assistant")) ? ROLE_ASSISTANT
                       : str_eq(role, STR("tool"))      ? ROLE_TOOL
                                                        : ROLE_USER;
        if (as == ROLE_USER && !str_eq(role, STR("user")))
            return wrong(why, s->arena, "messages", "role is one of system, user, assistant, tool");
        struct message *message = served_message(&m, as);
        round->passed = round->passed || as == ROLE_USER;
        if (as == ROLE_TOOL) {
            message->tool_name = json_get_str(each, "tool_name");
            if (message->tool_name.len == 0) message->tool_name = json_get_str(each, "name");
            message->tool_call_id =
                call_of(round, json_get_str(each, "tool_call_id"), message->tool_name);
        }
        str thinking = json_get_str(each, "thinking");
        if (as == ROLE_ASSISTANT && thinking.len) served_part(&m, PART_REASONING)->text = thinking;
        if (text.len) served_part(&m, PART_TEXT)->text = text;
        if (!add_images(s, &m, json_get(each, "images"), why)) return false;
        if (as == ROLE_ASSISTANT && !add_calls(s, &m, round, json_get(each, "tool_calls")))
            return wrong(why, s->arena, "tool_calls", "too many in one turn");
    }
    if (m.bad) return wrong(why, s->arena, "messages", "out of memory");
    s->ask.messages = m.at;
    s->ask.messages_count = m.count;
    return true;
}

static bool read_prompt(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct served_messages m;
    str system = json_get_str(root, "system"), prompt = STR_NONE,
        suffix = json_get_str(root, "suffix");
    bool raw = json_get_bool(root, "raw", false);
    yyjson_val *images = json_get(root, "images");

    if (!served_text(root, "prompt", &prompt, why, s->arena)) return false;
    bool bare = raw || (suffix.len && system.len == 0);
    if (bare && prompt.at && yyjson_arr_size(images) == 0 && s->ask.format == FORMAT_TEXT) {
        s->ask.prompt = prompt;
        s->ask.suffix = suffix;
    }
    if (suffix.len)
        prompt = arena_strf(
            s->arena,
            "Write only what belongs between these two parts of a text.\n\nBefore:\n%.*s\n\n"
            "After:\n%.*s",
            STR_ARG(prompt), STR_ARG(suffix));
    served_messages_init(&m, s->arena);
    if (raw) system = STR_NONE; /* the prompt alone */
    if (system.len) {
        served_message(&m, ROLE_SYSTEM);
        served_part(&m, PART_TEXT)->text = system;
    }
    served_message(&m, ROLE_USER);
    if (prompt.len) served_part(&m, PART_TEXT)->text = prompt;
    if (!add_images(s, &m, images, why)) return false;
    if (m.bad) return wrong(why, s->arena, "prompt", "out of memory");
    s->ask.messages = m.at;
    s->ask.messages_count = m.count;
    return true;
}

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
        yyjson_val *function = json_get(each, "function");
        struct tool *t = &to[s->ask.tools_count];
        t->name = json_get_str(function, "name");
        if (t->name.len == 0) return wrong(why, s->arena, "tools", "a function needs a name");
        t->description = json_get_str(function, "description");
        if (yyjson_is_obj(json_get(function, "parameters")))
            t->parameters_json = served_json(json_get(function, "parameters"), s->arena);
        s->ask.tools_count++;
    }
    return true;
}

static bool read_options(struct served *s, yyjson_val *options, struct family_error *why)
{
    struct ask *q = &s->ask;
    int64_t top_k = -1, max = -1, seed = 0;
    bool ok =
        served_number(options, "temperature", 0, 10, &q->temperature, why, s->arena) &&
        served_number(options, "top_p", 0, 1, &q->top_p, why, s->arena) &&
        served_number(options, "min_p", 0, 1, &q->min_p, why, s->arena) &&
        served_number(options, "repeat_penalty", 0, 10, &q->repetition_penalty, why, s->arena) &&
        served_number(options, "presence_penalty", -2, 2, &q->presence_penalty, why, s->arena) &&
        served_number(options, "frequency_penalty", -2, 2, &q->frequency_penalty, why, s->arena) &&
        served_whole(options, "top_k", 0, 1000000, &top_k, why, s->arena) &&
        served_whole(options, "num_predict", -2, INT32_MAX, &max, why, s->arena) &&
        served_texts(options, "stop", &q->stops, &q->stops_count, why, s->arena);
    if (!ok) return false;
    q->top_k = (int)top_k;
    q->max_tokens = max > 0 ? (int)max : -1;
    if (absent(json_get(options, "seed"))) return true;
    q->seeded = true;
    ok = served_whole(options, "seed", INT64_MIN, INT64_MAX, &seed, why, s->arena);
    q->seed = (uint64_t)seed;
    return ok;
}

static void read_think_and_format(struct served *s, yyjson_val *root)
{
    yyjson_val *think = json_get(root, "think"), *format = json_get(root, "format");
    str word = json_str(think);

    s->thinking = true;
    if (yyjson_is_bool(think)) {
        s->thinking = yyjson_get_bool(think);
        s->ask.effort = s->thinking ? EFFORT_MEDIUM : EFFORT_NONE;
    }
    if (str_eq(word, STR("low"))) s->ask.effort = EFFORT_LOW;
    if (str_eq(word, STR("medium"))) s->ask.effort = EFFORT_MEDIUM;
    if (str_eq(word, STR("high"))) s->ask.effort = EFFORT_HIGH;
    if (str_eq(json_str(format), STR("json"))) s->ask.format = FORMAT_JSON_OBJECT;
    if (yyjson_is_obj(format)) {
        s->ask.format = FORMAT_JSON_SCHEMA;
        s->ask.schema_name = STR("answer");
        s->ask.schema_json = served_json(format, s->arena);
    }
}

static bool read(struct served *s, yyjson_val *root, struct family_error *why, bool generate)
{
    struct own *own = arena_new(s->arena, struct own);

    if (own == NULL) return wrong(why, s->arena, "body", "out of memory");
    own->generate = generate;
    own->unload = ollama_unloads(json_get(root, "keep_alive"));
    s->own = own;
    s->stream = true;
    s->keep_got = true; /* calls come whole here */
    if (!served_text(root, "model", &s->model, why, s->arena) ||
        !served_bool(root, "stream", &s->stream, why, s->arena))
        return false;
    if (s->model.len == 0) return wrong(why, s->arena, "model", "is required");
    if (str_ends(s->model, STR(":latest"))) s->model.len -= strlen(":latest");
    read_think_and_format(s, root);
    return read_options(s, json_get(root, "options"), why) && read_tools(s, root, why) &&
           (generate ? read_prompt(s, root, why) : read_messages(s, root, why));
}

static bool read_chat(struct served *s, yyjson_val *root, struct family_error *why)
{
    return read(s, root, why, false);
}

static bool read_generate(struct served *s, yyjson_val *root, struct family_error *why)
{
    return read(s, root, why, true);
}

/* ---- writing ---- */

static struct json_out open_line(struct served *s, struct buf *out)
{
    char when[CLOCK_ISO_BYTES];
    struct json_out o = json_begin(out);

    clock_iso(when, clock_wall_us());
    o.js_escapes = true;
    json_object(&o);
    json_key(&o, "model"), json_text(&o, s->model);
    json_key(&o, "created_at"), json_text(&o, str_of(when));
    return o;
}

static void put_calls(struct served *s, struct json_out *o)
{
    if (s->got.calls_count == 0) return;
    json_key(o, "tool_calls"), json_array(o);
    for (size_t i = 0; i < s->got.calls_count; i++) {
        const struct served_call *call = &s->got.calls[i];
        yyjson_doc *doc = NULL;
        bool object = call->args.len &&
                      !json_read(&doc, buf_str(&call->args), 512, JSON_RAW_NUMBERS, NULL) &&
                      yyjson_is_obj(yyjson_doc_get_root(doc));
        json_object(o);
        json_key(o, "function"), json_object(o);
        json_key(o, "name"), json_text(o, call->name);
        json_key(o, "arguments"), json_raw(o, object ? buf_str(&call->args) : STR("{}"));
        json_end_object(o);
        json_end_object(o);
        yyjson_doc_free(doc);
    }
    json_end_array(o);
}

static void put_text(const struct own *own, struct json_out *o, str text, str thinking,
                     struct served *calls)
{
    if (own->generate) {
        json_key(o, "response"), json_text(o, text);
        if (thinking.len) json_key(o, "thinking"), json_text(o, thinking);
        return;
    }
    json_key(o, "message"), json_object(o);
    json_key(o, "role"), json_text(o, STR("assistant"));
    json_key(o, "content"), json_text(o, text);
    if (thinking.len) json_key(o, "thinking"), json_text(o, thinking);
    if (calls) put_calls(calls, o);
    json_end_object(o);
}

static int64_t ns_between(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us > from_us ? (int64_t)(to_us - from_us) * 1000 : 0;
}

/* Until the model was asked it was waited for; until its first piece it read the prompt. */
static void put_end(struct served *s, struct json_out *o, const struct reply_end *end)
{
    struct usage u = served_usage(s, end);
    uint64_t now_us = clock_mono_us(), first_us = end->first_us ? end->first_us : now_us;
    const struct own *own = s->own;

    json_key(o, "done"), json_bool(o, true);
    json_key(o, "done_reason"),
        json_text(o, end->finish == FINISH_LENGTH ? STR("length") : STR("stop"));
    json_key(o, "total_duration"), json_int(o, ns_between(s->began_us, now_us));
    json_key(o, "load_duration"), json_int(o, ns_between(s->began_us, end->asked_us));
    json_key(o, "prompt_eval_count"), json_int(o, u.prompt_tokens);
    json_key(o, "prompt_eval_duration"), json_int(o, ns_between(end->asked_us, first_us));
    json_key(o, "eval_count"), json_int(o, u.completion_tokens);
    json_key(o, "eval_duration"), json_int(o, ns_between(first_us, now_us));
    json_end_object(o);
    if (own->unload) models_unload(s->call->api->parts.models, s->model);
}

static void whole(struct served *s, const struct reply_end *end, struct buf *out)
{
    struct json_out o = open_line(s, out);

    put_text(s->own, &o, s->got.text.len ? buf_str(&s->got.text) : STR(""),
             buf_str(&s->got.reasoning), s);
    put_end(s, &o, end);
}

static void line(struct served *s, str text, str thinking, struct served *calls, struct buf *out)
{
    struct json_out o = open_line(s, out);

    put_text(s->own, &o, text, thinking, calls);
    json_key(&o, "done"), json_bool(&o, false);
    json_end_object(&o);
    buf_add_char(out, '\n');
}

static void begin(struct served *s, struct buf *out)
{
    (void)s, (void)out;
}

static void text(struct served *s, str piece, struct buf *out)
{
    line(s, piece, STR_NONE, NULL, out);
}

static void reasoning(struct served *s, str piece, struct buf *out)
{
    line(s, STR(""), piece, NULL, out);
}

static void tool_begin(struct served *s, int index, str id, str name, struct buf *out)
{
    (void)s, (void)index, (void)id, (void)name, (void)out; /* calls come whole, with the end */
}

static void tool_args(struct served *s, int index, str fragment, struct buf *out)
{
    (void)s, (void)index, (void)fragment, (void)out;
}

static void end(struct served *s, const struct reply_end *e, struct buf *out)
{
    if (s->got.calls_count) line(s, STR(""), STR_NONE, s, out);
    struct json_out o = open_line(s, out);
    put_text(s->own, &o, STR(""), STR_NONE, NULL);
    put_end(s, &o, e);
    buf_add_char(out, '\n');
}

static void fail(struct served *s, const struct family_error *e, struct buf *out)
{
    (void)s;
    family_error(out, FAMILY_OLLAMA, e, STR_NONE);
    buf_add_char(out, '\n');
}

static void ping(struct served *s, struct buf *out)
{
    line(s, STR(""), STR_NONE, NULL, out);
}

#define DIALECT(read_)                                                                             \
    {                                                                                              \
        .family = FAMILY_OLLAMA, .stream_type = "application/x-ndjson", .read = (read_),           \
        .whole = whole, .begin = begin, .text = text, .reasoning = reasoning,                      \
        .tool_begin = tool_begin, .tool_args = tool_args, .end = end, .fail = fail, .ping = ping,  \
    }

static const struct served_dialect chat = DIALECT(read_chat), generate = DIALECT(read_generate);

void served_ollama_chat(struct call *c)
{
    if (!ollama_load(c, true)) served_run(c, &chat);
}

void served_ollama_generate(struct call *c)
{
    if (!ollama_load(c, false)) served_run(c, &generate);
}
