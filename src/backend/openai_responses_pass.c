/* What only a client that speaks Responses itself can say goes on to a provider that speaks it
 * (openai-compat.md 1.2): to OpenAI what is known to be OpenAI's, to others all that we do not
 * know. */
#include "backend/openai_in.h"
#include "backend/pass.h"

/* clang-format off */
static const char *const known[] = {
    "max_tool_calls", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "service_tier", "truncation", "user"};
/* Ours to write, or to leave out. */
static const char *const ours[] = {
    "background", "conversation", "include", "input", "instructions", "max_output_tokens", "model",
    "parallel_tool_calls", "previous_response_id", "prompt", "reasoning", "store", "stream",
    "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p"};
/* clang-format on */

static bool is_one_of(str key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(key, str_of(names[i]))) return true;
    return false;
}

static bool goes_on(const struct answer *a, const struct span *m)
{
    if (str_eq(m->value, STR("null"))) return false;
    if (is_one_of(m->key, known, sizeof known / sizeof *known)) return true;
    return !a->backend->official && !is_one_of(m->key, ours, sizeof ours / sizeof *ours);
}

void openai_responses_extras(struct json_out *o, const struct answer *a)
{
    struct span_iter it;
    struct span m;

    if (!pass_is_on(a->q, WIRE_RESPONSES) || !span_open(&it, a->q->received)) return;
    while (span_next(&it, &m)) {
        if (!goes_on(a, &m)) continue;
        pass_key(o, &m);
        json_raw(o, m.value);
    }
}

str openai_responses_said(const struct answer *a, const char *object, const char *key)
{
    if (!pass_is_on(a->q, WIRE_RESPONSES)) return STR_NONE;
    str value = span_get(span_get(a->q->received, str_of(object)), str_of(key));
    bool text = str_starts(value, STR("\"")) && value.len > 2;

    return text ? value : STR_NONE;
}

bool openai_responses_names_extra(const struct answer *a, const struct fault *f)
{
    struct span_iter it;
    struct span m;

    if (!pass_is_on(a->q, WIRE_RESPONSES) || !span_open(&it, a->q->received)) return false;
    while (span_next(&it, &m)) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "'%.*s'", STR_ARG(str_head(m.key, 64)));
        if (!goes_on(a, &m)) continue;
        if (f->param.len ? str_eq(f->param, m.key) : fault_says(f, quoted)) return true;
    }
    return false;
}
