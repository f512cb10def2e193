/* What OpenAI's two APIs, and servers that speak them, taught by refusing: the request is repeated
 * without it, and the model is asked without it from then on. */
#include "backend/openai_in.h"
#include "backend/pass.h"

/* ---- chat completions ---- */

/* clang-format off */
static const struct {
    const char *name;
    uint64_t bit;
} chat_fields[] = {
    {"temperature", REFUSED_TEMPERATURE}, {"top_p", REFUSED_TOP_P}, {"top_k", REFUSED_TOP_K},
    {"min_p", REFUSED_MIN_P}, {"repetition_penalty", REFUSED_REPETITION},
    {"presence_penalty", REFUSED_PRESENCE}, {"frequency_penalty", REFUSED_FREQUENCY},
    {"stop", REFUSED_STOP}, {"seed", REFUSED_SEED}, {"logit_bias", REFUSED_LOGIT_BIAS},
    {"reasoning_effort", REFUSED_EFFORT}, {"max_tokens", REFUSED_MAX_TOKENS},
    {"max_completion_tokens", REFUSED_MAX_COMPLETION_TOKENS},
    {"stream_options", REFUSED_STREAM_OPTIONS}, {"parallel_tool_calls", REFUSED_PARALLEL},
    {"user", REFUSED_USER}, {"response_format", REFUSED_FORMAT},
    {"logprobs", REFUSED_LOGPROBS}, {"top_logprobs", REFUSED_LOGPROBS},
};
/* clang-format on */

static bool chat_has(const struct ask *q, uint64_t bit)
{
    switch (bit) {
    case REFUSED_TEMPERATURE: return !isnan(q->temperature);
    case REFUSED_TOP_P: return !isnan(q->top_p);
    case REFUSED_TOP_K: return q->top_k >= 0;
    case REFUSED_MIN_P: return !isnan(q->min_p);
    case REFUSED_REPETITION: return !isnan(q->repetition_penalty);
    case REFUSED_PRESENCE: return !isnan(q->presence_penalty);
    case REFUSED_FREQUENCY: return !isnan(q->frequency_penalty);
    case REFUSED_STOP: return q->stops_count > 0;
    case REFUSED_SEED: return q->seeded;
    case REFUSED_LOGIT_BIAS: return q->logit_bias_json.len > 0;
    case REFUSED_EFFORT: return q->effort != EFFORT_UNSET || q->tools_count;
    case REFUSED_MAX_TOKENS:
    case REFUSED_MAX_COMPLETION_TOKENS: return q->max_tokens >= 0;
    case REFUSED_PARALLEL: return q->parallel_tool_calls >= 0 && q->tools_count;
    case REFUSED_USER: return q->user.len > 0;
    case REFUSED_LOGPROBS: return pass_is_on(q, WIRE_CHAT);
    case REFUSED_FORMAT:
        return false; /* without it the answer would be something else than was asked */
    default: return true;
    }
}

static bool has_word(str text, str word)
{
    for (; text.len >= word.len; text = str_tail(text, 1)) {
        char after = text.len > word.len ? text.at[word.len] : ' ';
        bool ends = !(after == '_' || (after >= 'a' && after <= 'z'));
        if (ends && str_starts_nocase(text, word)) return true;
    }
    return false;
}

/* The words of servers that do not know a field, as against one whose value they do not like. */
static bool speaks_of_unknown(str text)
{
    static const char *const words[] = {"support",    "unrecognized", "unknown",
                                        "unexpected", "permitted",    "allowed",
                                        "extra",      "not accept",   "deprecated"};

    for (; text.len >= 5; text = str_tail(text, 1))
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (str_starts_nocase(text, str_of(words[i]))) return true;
    return false;
}

bool openai_speaks_of_unknown(const struct fault *f)
{
    return speaks_of_unknown(f->message) || str_eq(f->code, STR("unsupported_parameter")) ||
           str_eq(f->code, STR("unknown_parameter"));
}

static uint64_t refused_field(const struct answer *a, const struct fault *f)
{
    bool coded =
        str_eq(f->code, STR("unsupported_parameter")) || str_eq(f->code, STR("unsupported_value"));
    bool told = coded || (!a->backend->official && speaks_of_unknown(f->message));

    for (size_t i = 0; i < sizeof chat_fields / sizeof *chat_fields; i++) {
        str name = str_of(chat_fields[i].name);
        if (!chat_has(a->q, chat_fields[i].bit)) continue;
        bool named = f->param.len ? str_eq(f->param, name) : !coded && has_word(f->message, name);
        /* Whoever does not like stream_options is asked without, whatever the reason. */
        bool options = chat_fields[i].bit == REFUSED_STREAM_OPTIONS && !a->backend->official;
        if (named && (told || options)) return chat_fields[i].bit;
    }
    if ((coded || speaks_of_unknown(f->message)) && openai_refused_extra(a, f))
        return REFUSED_EXTRAS;
    return 0;
}

static bool has_system(const struct ask *q, bool late)
{
    bool begun = false;

    for (size_t i = 0; i < q->messages_count; i++) {
        if (q->messages[i].role == ROLE_SYSTEM && (!late || begun)) return true;
        begun = begun || q->messages[i].role != ROLE_SYSTEM;
    }
    return false;
}

/* A template that stops at a system message says so in one of these words. */
static uint64_t refused_system(const struct answer *a, const struct fault *f)
{
    bool speaks = has_word(f->message, STR("system")) || has_word(f->message, STR("roles")) ||
                  has_word(f->message, STR("role"));
    uint64_t known = learned_get(a->backend->learned, a->q->model);

    if (!speaks || a->backend->official) return 0;
    if (has_system(a->q, true) && !(known & REFUSED_LATE_SYSTEM)) return REFUSED_LATE_SYSTEM;
    return has_system(a->q, false) ? REFUSED_SYSTEM : 0;
}

bool openai_mend(struct answer *a, const struct fault *f)
{
    if (f->status != 400 && f->status != 422 && !(f->status == 500 && !a->backend->official))
        return false;
    if (f->e != ERR_BAD_REQUEST && f->e != ERR_SERVER) return false;
    if (a->q->prefill.len) { /* another model goes on, now and the next time */
        learned_add(a->backend->learned, a->q->model, REFUSED_PREFILL);
        return false;
    }
    uint64_t bit = f->e == ERR_BAD_REQUEST ? refused_field(a, f) : 0;
    if (!bit) bit = refused_system(a, f);
    return bit && learned_add(a->backend->learned, a->q->model, bit);
}

/* ---- the Responses API ---- */

/* clang-format off */
static const struct {
    const char *param;
    uint64_t bit;
} responses_fields[] = {
    {"temperature", REFUSED_TEMPERATURE}, {"top_p", REFUSED_TOP_P},
    {"reasoning.effort", REFUSED_EFFORT}, {"reasoning.summary", REFUSED_SUMMARY},
    {"reasoning", REFUSED_REASONING}, {"include", REFUSED_INCLUDE}, {"store", REFUSED_STORE},
    {"parallel_tool_calls", REFUSED_PARALLEL}, {"max_output_tokens", REFUSED_MAX_TOKENS},
    {"text.verbosity", REFUSED_VERBOSITY},
};
/* clang-format on */

static bool responses_has(const struct ask *q, uint64_t bit)
{
    switch (bit) {
    case REFUSED_TEMPERATURE: return !isnan(q->temperature);
    case REFUSED_TOP_P: return !isnan(q->top_p);
    case REFUSED_EFFORT: return q->effort != EFFORT_UNSET;
    case REFUSED_PARALLEL: return q->parallel_tool_calls >= 0 && q->tools_count;
    case REFUSED_MAX_TOKENS: return q->max_tokens >= 0;
    default: return true;
    }
}

/* A field that is not taken at all, as against a value that is not liked. */
static bool is_unknown(const struct fault *f)
{
    static const char *const codes[] = {"unsupported_parameter", "unsupported_value",
                                        "unknown_parameter"};
    static const char *const words[] = {"support", "unrecognized", "unknown", "permitted", "extra"};
    bool found = false;

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        found = found || str_eq(f->code, str_of(codes[i]));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        found = found || fault_says(f, words[i]);
    return found;
}

static bool names(const struct fault *f, const char *field)
{
    char quoted[64];

    if (f->param.len) {
        size_t n = strlen(field);
        return str_starts(f->param, str_of(field)) &&
               (f->param.len == n || f->param.at[n] == '[' || f->param.at[n] == '.');
    }
    snprintf(quoted, sizeof quoted, "'%s'", field);
    return fault_says(f, quoted) ||
           (!strchr(field, '.') && strlen(field) >= 5 && fault_says(f, field));
}

/* "Invalid value: 'custom'. ...", or of its items "Invalid value: 'custom_tool_call'." */
static bool has_custom(const struct ask *q)
{
    for (size_t i = 0; i < q->tools_count; i++)
        if (q->tools[i].custom) return true;
    return pass_is_on(q, WIRE_RESPONSES) &&
           str_find(q->received, STR("\"custom_tool_call")) != STR_NPOS;
}

bool openai_responses_mend(struct answer *a, const struct fault *f)
{
    bool of_thoughts = str_eq(f->code, STR("invalid_encrypted_content")) ||
                       fault_says(f, "encrypted content") || fault_says(f, "encrypted_content") ||
                       fault_says(f, "of type 'reasoning'");

    if ((f->status != 400 && f->status != 404 && f->status != 422) ||
        (f->e != ERR_BAD_REQUEST && f->e != ERR_MODEL_NOT_FOUND))
        return false;
    /* "Encrypted content is not supported with this model.", of the field that asks for it. */
    if (of_thoughts && names(f, "include"))
        return learned_add(a->backend->learned, a->q->model, REFUSED_INCLUDE);
    if (of_thoughts) {
        if (a->mended & MENDED_THOUGHTS) return false;
        a->mended |= MENDED_THOUGHTS;
        return true;
    }
    if (f->e != ERR_BAD_REQUEST) return false;
    if (a->q->max_tokens >= 0 && names(f, "max_output_tokens") &&
        a->q->max_tokens < OUTPUT_TOKENS_LEAST && !(a->mended & MENDED_LEAST)) {
        a->mended |= MENDED_LEAST;
        return true;
    }
    if (has_custom(a->q) && fault_says(f, "custom") &&
        learned_add(a->backend->learned, a->q->model, REFUSED_CUSTOM))
        return true;
    for (size_t i = 0; is_unknown(f) && i < sizeof responses_fields / sizeof *responses_fields; i++)
        if (responses_has(a->q, responses_fields[i].bit) && names(f, responses_fields[i].param))
            return learned_add(a->backend->learned, a->q->model, responses_fields[i].bit);
    if (is_unknown(f) && openai_responses_names_extra(a, f))
        return learned_add(a->backend->learned, a->q->model, REFUSED_EXTRAS);
    return false;
}
