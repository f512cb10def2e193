/* Chat completions that came as chat completions: which of the client's bytes go up. */
#include "backend/openai_in.h"
#include "backend/pass.h"

/* Fields that OpenAI has and the neutral request has not, or not all of. */
/* clang-format off */
static const struct pass_key keys[] = {
    {"messages", PASS_WRITE, false}, {"stream", PASS_WRITE, false},
    {"stream_options", PASS_WRITE, false},
    {"tools", PASS_EACH, false}, {"functions", PASS_NEVER, false},
    {"function_call", PASS_NEVER, false}, {"tool_choice", PASS_KNOWN, false},
    {"parallel_tool_calls", PASS_KNOWN, false}, {"response_format", PASS_KNOWN, false},
    {"max_tokens", PASS_KNOWN, false}, {"max_completion_tokens", PASS_KNOWN, false},
    {"temperature", PASS_KNOWN, false}, {"top_p", PASS_KNOWN, false},
    {"top_k", PASS_KNOWN, false}, {"min_p", PASS_KNOWN, false},
    {"repetition_penalty", PASS_KNOWN, false}, {"presence_penalty", PASS_KNOWN, false},
    {"frequency_penalty", PASS_KNOWN, false}, {"stop", PASS_KNOWN, false},
    {"seed", PASS_KNOWN, false}, {"logit_bias", PASS_KNOWN, false},
    {"logprobs", PASS_KNOWN, false}, {"top_logprobs", PASS_KNOWN, false},
    {"user", PASS_KNOWN, false}, {"reasoning_effort", PASS_KNOWN, false},
    {"n", PASS_FREE, false}, {"modalities", PASS_FREE, false}, {"metadata", PASS_FREE, false},
    {"store", PASS_FREE, false}, {"service_tier", PASS_FREE, false},
    {"prompt_cache_key", PASS_FREE, false}, {"prompt_cache_retention", PASS_FREE, false},
    {"safety_identifier", PASS_FREE, false}, {"verbosity", PASS_FREE, false},
    {"prediction", PASS_FREE, false}, {"web_search_options", PASS_FREE, false},
};
/* clang-format on */

struct passing {
    const struct openai_passed *it;
    const struct ask *q;
    bool official;
};

/* ---- messages ---- */

static bool is_null(str value)
{
    return str_eq(value, STR("null"));
}

static bool is_empty_list(str value)
{
    struct span_iter it;
    struct span s;

    return span_open(&it, value) && !it.object && !span_next(&it, &s);
}

static bool is_any(str key, const char *const *list)
{
    for (; *list; list++)
        if (str_eq(key, str_of(*list))) return true;
    return false;
}

/* What clients send back of an answer of ours or of others, and providers refuse. */
static bool goes_not(const struct passing *p, const struct span *m)
{
    static const char *const never[] = {"reasoning_content", "reasoning", "annotations", "parsed",
                                        NULL};
    static const char *const nullable[] = {"refusal", "audio", "function_call", NULL};
    static const char *const official[] = {"role",       "content",      "name",
                                           "tool_calls", "refusal",      "function_call",
                                           "audio",      "tool_call_id", NULL};

    if (str_find_char(m->key, '\\') != STR_NPOS) return false; /* nobody writes names so */
    if (is_any(m->key, never)) return true;
    if (str_eq(m->key, STR("tool_calls")) && (is_null(m->value) || is_empty_list(m->value)))
        return true;
    if (p->official) return !is_any(m->key, official);
    return is_null(m->value) && is_any(m->key, nullable);
}

/* "developer" is a word of OpenAI's own. */
static bool is_reworded(const struct passing *p, const struct span *m)
{
    return !p->official && str_eq(m->key, STR("role")) && str_eq(m->value, STR("\"developer\""));
}

static void put_message(const struct passing *p, str raw, struct json_out *o)
{
    struct span_iter it;
    struct span m;
    bool clean = true;

    for (bool ok = span_open(&it, raw); ok && clean && span_next(&it, &m);)
        clean = !goes_not(p, &m) && !is_reworded(p, &m);
    if (clean || !span_open(&it, raw)) {
        json_raw(o, raw);
        return;
    }
    json_object(o);
    while (span_next(&it, &m)) {
        if (goes_not(p, &m)) continue;
        pass_key(o, &m);
        json_raw(o, is_reworded(p, &m) ? STR("\"system\"") : m.value);
    }
    json_end_object(o);
}

/* The whole list as it stands, white space and all, where no message needs a hand. */
static void put_messages(const struct passing *p, str raw, struct json_out *o)
{
    struct span_iter it;
    struct span each, m;
    bool clean = true;

    for (bool ok = span_open(&it, raw); ok && clean && span_next(&it, &each);) {
        struct span_iter inner;
        bool object = span_open(&inner, each.value);
        while (object && clean && span_next(&inner, &m))
            clean = !goes_not(p, &m) && !is_reworded(p, &m);
    }
    if (clean || !span_open(&it, raw)) {
        json_raw(o, raw);
        return;
    }
    json_array(o);
    while (span_next(&it, &each)) put_message(p, each.value, o);
    json_end_array(o);
}

/* ---- the stream ---- */

/* Usage is wanted whoever else wants it not. */
void openai_pass_options(const struct span *raw, yyjson_val *ours, struct json_out *o)
{
    struct span_iter it;
    struct span m;

    if (ours == NULL) return;
    pass_key(o, raw);
    if (str_eq(span_get(raw->value, STR("include_usage")), STR("true"))) {
        json_raw(o, raw->value);
        return;
    }
    json_object(o);
    bool object = span_open(&it, raw->value) && it.object;
    while (object && span_next(&it, &m)) {
        if (str_eq(m.key, STR("include_usage"))) continue;
        pass_key(o, &m);
        json_raw(o, m.value);
    }
    json_key(o, "include_usage"), json_bool(o, true);
    json_end_object(o);
}

static void write_member(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                         struct json_out *o)
{
    const struct passing *p = ctx;

    if (str_eq(key, STR("messages"))) {
        pass_key(o, raw);
        if (p->it->messages)
            p->it->messages(p->it->ctx, o);
        else
            put_messages(p, raw->value, o);
    } else if (str_eq(key, STR("stream"))) {
        pass_key(o, raw);
        json_raw(o, p->q->stream ? STR("true") : STR("false"));
    } else {
        openai_pass_options(raw, ours, o);
    }
}

/* ---- the whole ---- */

enum {
    KEYS = sizeof keys / sizeof *keys,
};

static struct pass pass_of(const struct answer *a, bool extras, struct pass_key *room)
{
    for (size_t i = 0; i < KEYS; i++) {
        room[i] = keys[i];
        if (!extras && room[i].rule == PASS_FREE) room[i].rule = PASS_NEVER;
        /* It may have been said in other words, which go up as well. */
        if (str_eq(str_of(room[i].name), STR("reasoning_effort")))
            room[i].quiet = !a->backend->official;
    }
    return (struct pass){.keys = room,
                         .count = KEYS,
                         .others = extras && !a->backend->official,
                         .received = a->q->received};
}

enum err openai_pass(const struct answer *a, const struct openai_passed *it, struct json_out *o)
{
    struct passing p = {.it = it, .q = a->q, .official = a->backend->official};
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, !(it->refused & REFUSED_EXTRAS), room);

    pass.ours = it->ours;
    pass.write = write_member;
    pass.ctx = &p;
    pass.arena = it->arena;
    return pass_merge(&pass, o);
}

bool openai_refused_extra(const struct answer *a, const struct fault *f)
{
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, true, room);
    struct arena arena;

    if (!pass_is_on(a->q, WIRE_CHAT)) return false;
    arena_init(&arena, 0);
    pass.arena = &arena;
    bool named = pass_names_extra(&pass, f);
    arena_fini(&arena);
    return named;
}
