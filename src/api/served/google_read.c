/* A request in Google's form: its names, its tools, its settings (openai-compat.md section 11;
 * providers.md 6.1). */
#include <stdio.h>

#include "api/served/google.h"

enum {
    NAME_BYTES = 48,
    ALLOWED_MAX = 128, /* allowedFunctionNames, each compared with each function */
};

bool google_wrong(struct family_error *why, struct arena *a, const char *field, const char *text)
{
    *why = (struct family_error){.status = 400, .code = "invalid_value"};
    why->param = arena_str(a, str_of(field));
    why->message = arena_strf(a, "%s: %s", field, text);
    return false;
}

static bool absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

/* ---- names ---- */

/* "topP" as "top_p". */
static void snake(char out[NAME_BYTES], const char *camel)
{
    size_t n = 0;

    for (; *camel && n + 3 < NAME_BYTES; camel++) {
        bool capital = *camel >= 'A' && *camel <= 'Z';
        if (capital) out[n++] = '_';
        out[n++] = (char)(capital ? *camel + 32 : *camel);
    }
    out[n] = '\0';
}

yyjson_val *google_get(yyjson_val *object, const char *camel)
{
    char other[NAME_BYTES];
    yyjson_val *v = json_get(object, camel);

    if (v || !yyjson_is_obj(object)) return v;
    snake(other, camel);
    return json_get(object, other);
}

str google_get_str(yyjson_val *object, const char *camel)
{
    return json_str(google_get(object, camel));
}

str google_model_of(const struct call *c)
{
    str model = c->session;
    return str_starts(model, STR("models/")) ? str_tail(model, 7) : model;
}

/* ---- tools ---- */

static bool read_declaration(struct served *s, struct tool *t, yyjson_val *f, const char *at,
                             struct family_error *why)
{
    yyjson_val *plain = google_get(f, "parametersJsonSchema"), *own = json_get(f, "parameters");

    *t = (struct tool){.name = json_get_str(f, "name"),
                       .description = json_get_str(f, "description")};
    if (t->name.len == 0) return google_wrong(why, s->arena, at, "a function needs a name");
    if (!absent(plain) && !yyjson_is_obj(plain))
        return google_wrong(why, s->arena, at, "parametersJsonSchema is an object");
    if (absent(plain) && !absent(own) && !yyjson_is_obj(own))
        return google_wrong(why, s->arena, at, "parameters is an object");
    if (yyjson_is_obj(plain))
        t->parameters_json = served_json(plain, s->arena);
    else if (yyjson_is_obj(own))
        t->parameters_json = google_schema(own, s->arena);
    return true;
}

/* Each entry holds functions, or is a tool that only Google runs. */
static bool read_tools(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *list = json_get(root, "tools"), *each, *f;
    yyjson_arr_iter it, inner;
    size_t room = 1, n = 0;
    char at[NAME_BYTES + 32];

    if (absent(list)) return true;
    if (!yyjson_is_arr(list)) return google_wrong(why, s->arena, "tools", "expected an array");
    yyjson_arr_iter_init(list, &it);
    while ((each = yyjson_arr_iter_next(&it)))
        room += yyjson_arr_size(google_get(each, "functionDeclarations"));
    struct tool *to = arena_array(s->arena, struct tool, room);
    if (to == NULL) return google_wrong(why, s->arena, "tools", "out of memory");
    s->ask.tools = to;
    yyjson_arr_iter_init(list, &it);
    for (; (each = yyjson_arr_iter_next(&it)); n++) {
        yyjson_val *functions = google_get(each, "functionDeclarations");
        size_t k = 0;
        snprintf(at, sizeof at, "tools[%zu].functionDeclarations", n);
        if (!yyjson_is_obj(each)) return google_wrong(why, s->arena, at, "expected objects");
        if (!absent(functions) && !yyjson_is_arr(functions))
            return google_wrong(why, s->arena, at, "expected an array");
        yyjson_arr_iter_init(json_array_of(functions), &inner);
        while ((f = yyjson_arr_iter_next(&inner))) {
            snprintf(at, sizeof at, "tools[%zu].functionDeclarations[%zu]", n, k++);
            if (!read_declaration(s, &to[s->ask.tools_count++], f, at, why)) return false;
        }
    }
    return true;
}

/* Leaves those tools alone that may be called. */
static bool keep_allowed(struct served *s, const str *names, size_t count, struct family_error *why)
{
    static const char at[] = "toolConfig.functionCallingConfig.allowedFunctionNames";
    struct tool *kept = arena_array(s->arena, struct tool, s->ask.tools_count);
    size_t n = 0;

    if (kept == NULL) return google_wrong(why, s->arena, at, "out of memory");
    if (count > ALLOWED_MAX) return google_wrong(why, s->arena, at, "too many names");
    for (size_t i = 0; i < s->ask.tools_count; i++)
        for (size_t k = 0; k < count; k++)
            if (str_eq(s->ask.tools[i].name, names[k])) {
                kept[n++] = s->ask.tools[i];
                break;
            }
    if (n == 0) return google_wrong(why, s->arena, at, "names no function of tools");
    s->ask.tools = kept;
    s->ask.tools_count = n;
    return true;
}

static bool read_choice(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *config = google_get(google_get(root, "toolConfig"), "functionCallingConfig");
    bool snaked = json_get(config, "allowedFunctionNames") == NULL;
    str mode = json_get_str(config, "mode");
    const str *names = NULL;
    size_t count = 0;

    if (absent(config) || s->ask.tools_count == 0) return true;
    if (!yyjson_is_obj(config))
        return google_wrong(why, s->arena, "toolConfig.functionCallingConfig",
                            "expected an object");
    if (!served_texts(config, snaked ? "allowed_function_names" : "allowedFunctionNames", &names,
                      &count, why, s->arena))
        return false;
    if (str_eq_nocase(mode, STR("NONE"))) {
        s->ask.tool_choice = STR("none");
        return true;
    }
    if (str_eq_nocase(mode, STR("ANY")))
        s->ask.tool_choice = STR("required");
    else if (mode.len == 0 || str_eq_nocase(mode, STR("AUTO")) ||
             str_eq_nocase(mode, STR("VALIDATED")) || str_eq_nocase(mode, STR("MODE_UNSPECIFIED")))
        s->ask.tool_choice = STR("auto");
    else
        return google_wrong(why, s->arena, "toolConfig.functionCallingConfig.mode",
                            "one of AUTO, ANY, NONE, VALIDATED");
    if (count == 0 || str_eq_nocase(mode, STR("AUTO"))) return true;
    if (!keep_allowed(s, names, count, why)) return false;
    if (s->ask.tools_count == 1 && str_eq(s->ask.tool_choice, STR("required")))
        s->ask.tool_choice = s->ask.tools[0].name;
    return true;
}

/* ---- generationConfig ---- */

/* The name under which the client gave it. */
static const char *given(yyjson_val *config, const char *camel, char room[NAME_BYTES])
{
    if (json_get(config, camel)) return camel;
    snake(room, camel);
    return json_get(config, room) ? room : camel;
}

static bool read_number(struct served *s, yyjson_val *config, const char *camel, double low,
                        double high, double *out, struct family_error *why)
{
    char room[NAME_BYTES];
    return served_number(config, given(config, camel, room), low, high, out, why, s->arena);
}

static bool read_whole(struct served *s, yyjson_val *config, const char *camel, int64_t low,
                       int64_t high, int64_t *out, struct family_error *why)
{
    char room[NAME_BYTES];
    return served_whole(config, given(config, camel, room), low, high, out, why, s->arena);
}

static bool read_thinking(struct served *s, yyjson_val *config, struct family_error *why)
{
    static const struct {
        const char *word;
        enum effort effort;
    } levels[] = {{"MINIMAL", EFFORT_MINIMAL},
                  {"LOW", EFFORT_LOW},
                  {"MEDIUM", EFFORT_MEDIUM},
                  {"HIGH", EFFORT_HIGH},
                  {"XHIGH", EFFORT_XHIGH}};
    yyjson_val *thinking = google_get(config, "thinkingConfig");
    yyjson_val *shown = google_get(thinking, "includeThoughts");
    str level = google_get_str(thinking, "thinkingLevel");
    int64_t budget = -1;

    if (absent(thinking)) return true;
    if (!yyjson_is_obj(thinking))
        return google_wrong(why, s->arena, "thinkingConfig", "expected an object");
    if (!absent(shown) && !yyjson_is_bool(shown))
        return google_wrong(why, s->arena, "thinkingConfig.includeThoughts",
                            "expected true or false");
    s->thinking = yyjson_get_bool(shown);
    if (!read_whole(s, thinking, "thinkingBudget", -1, INT32_MAX, &budget, why)) return false;
    if (str_eq_nocase(level, STR("THINKING_LEVEL_UNSPECIFIED"))) level = STR_NONE;
    if (level.len && !absent(google_get(thinking, "thinkingBudget")))
        return google_wrong(why, s->arena, "thinkingConfig.thinkingLevel",
                            "only one of it and thinkingBudget may be given");
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (str_eq_nocase(level, str_of(levels[i].word))) s->ask.effort = levels[i].effort;
    if (level.len && s->ask.effort == EFFORT_UNSET)
        return google_wrong(why, s->arena, "thinkingConfig.thinkingLevel",
                            "one of MINIMAL, LOW, MEDIUM, HIGH");
    if (budget == 0) {
        s->ask.effort = EFFORT_NONE;
    } else if (budget > 0) {
        s->ask.thinking_budget = (int)budget;
    } else if (level.len == 0 && s->thinking) {
        s->ask.effort = EFFORT_MEDIUM; /* thoughts are wanted, how many is the model's affair */
    }
    return true;
}

static bool read_form(struct served *s, yyjson_val *config, struct family_error *why)
{
    str type = google_get_str(config, "responseMimeType");
    yyjson_val *plain = google_get(config, "responseJsonSchema"), *own, *each;
    yyjson_val *modes = google_get(config, "responseModalities");

    if (absent(plain)) plain = google_get(config, "_responseJsonSchema");
    own = google_get(config, "responseSchema");
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(modes));
    while ((each = yyjson_arr_iter_next(&it)))
        if (!str_eq_nocase(json_str(each), STR("TEXT")) &&
            !str_eq_nocase(json_str(each), STR("MODALITY_UNSPECIFIED")))
            return google_wrong(why, s->arena, "responseModalities", "only TEXT is answered");
    if (type.len && !str_eq(type, STR("text/plain")) && !str_eq(type, STR("application/json")))
        return google_wrong(why, s->arena, "responseMimeType",
                            "one of text/plain, application/json");
    if ((!absent(plain) && !yyjson_is_obj(plain)) || (!absent(own) && !yyjson_is_obj(own)))
        return google_wrong(why, s->arena, absent(plain) ? "responseSchema" : "responseJsonSchema",
                            "expected an object");
    if (str_eq(type, STR("application/json"))) s->ask.format = FORMAT_JSON_OBJECT;
    if (absent(plain) && absent(own)) return true;
    if (str_eq(type, STR("text/plain")))
        return google_wrong(why, s->arena, "responseMimeType", "a schema needs application/json");
    s->ask.format = FORMAT_JSON_SCHEMA;
    s->ask.schema_name = STR("answer");
    s->ask.schema_json =
        yyjson_is_obj(plain) ? served_json(plain, s->arena) : google_schema(own, s->arena);
    return s->ask.schema_json.at || google_wrong(why, s->arena, "responseSchema", "out of memory");
}

static bool read_stops(struct served *s, yyjson_val *config, struct family_error *why)
{
    char room[NAME_BYTES];
    return served_texts(config, given(config, "stopSequences", room), &s->ask.stops,
                        &s->ask.stops_count, why, s->arena);
}

static bool read_config(struct served *s, yyjson_val *config, struct family_error *why)
{
    int64_t max = -1, top_k = -1, seed = 0, candidates = 1;
    struct ask *q = &s->ask;

    if (!read_number(s, config, "temperature", 0, 2, &q->temperature, why) ||
        !read_number(s, config, "topP", 0, 1, &q->top_p, why) ||
        !read_number(s, config, "presencePenalty", -2, 2, &q->presence_penalty, why) ||
        !read_number(s, config, "frequencyPenalty", -2, 2, &q->frequency_penalty, why) ||
        !read_whole(s, config, "topK", 0, 1000000, &top_k, why) ||
        !read_whole(s, config, "maxOutputTokens", 1, INT32_MAX, &max, why) ||
        !read_whole(s, config, "seed", INT32_MIN, UINT32_MAX, &seed, why) ||
        !read_whole(s, config, "candidateCount", 1, 1, &candidates, why) ||
        !read_stops(s, config, why) || !read_form(s, config, why) || !read_thinking(s, config, why))
        return false;
    q->top_k = (int)top_k;
    q->max_tokens = (int)max;
    q->seeded = !absent(json_get(config, "seed"));
    q->seed = (uint64_t)seed;
    return true;
}

/* The settings' own words begin with their name; here with that of the object around. */
static bool read_settings(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *config = google_get(root, "generationConfig");

    if (absent(config)) return true;
    if (!yyjson_is_obj(config))
        return google_wrong(why, s->arena, "generationConfig", "expected an object");
    if (read_config(s, config, why)) return true;
    why->param = arena_strf(s->arena, "generationConfig.%.*s", STR_ARG(why->param));
    why->message = arena_strf(s->arena, "generationConfig.%.*s", STR_ARG(why->message));
    return false;
}

/* ---- the whole ---- */

bool google_read(struct served *s, yyjson_val *root, struct family_error *why)
{
    s->model = google_model_of(s->call);
    if (google_get_str(root, "cachedContent").len)
        return google_wrong(why, s->arena, "cachedContent", "no contents are kept here");
    if (!google_contents(s, root, why) || !read_tools(s, root, why) || !read_choice(s, root, why) ||
        !read_settings(s, root, why))
        return false;
    if (root == yyjson_doc_get_root(s->body))
        served_keep(s, root, WIRE_GOOGLE, s->ask.received_odd);
    return true;
}
