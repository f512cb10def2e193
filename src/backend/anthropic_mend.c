/* What was refused: a request that named too much is repeated once without it (providers.md 5.1,
 * 5.2).  Anthropic says it in words only: "`temperature` is deprecated for this model.", "top_k:
 * Extra inputs are not permitted". */
#include "backend/anthropic_in.h"

static bool says(const struct fault *f, const char *words)
{
    return fault_says(f, words);
}

/* "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens for ...". */
static uint64_t told_limit(const struct fault *f)
{
    size_t at = str_find(f->message, STR(" > "));
    str rest = str_tail(f->message, at == STR_NPOS ? f->message.len : at + 3);
    size_t digits = 0;
    uint64_t limit;

    if (!says(f, "max_tokens") || !says(f, "maximum allowed")) return 0;
    while (digits < rest.len && rest.at[digits] >= '0' && rest.at[digits] <= '9') digits++;
    if (!str_to_u64(str_head(rest, digits), &limit) || limit < ANTHROPIC_LIMIT_UNIT) return 0;
    if (limit > INT32_MAX) return 0;
    return limit / ANTHROPIC_LIMIT_UNIT << ANTHROPIC_LIMIT_SHIFT;
}

static bool has_thoughts(const struct ask *q)
{
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_REASONING) return true;
    return false;
}

/* The kind of thinking that was refused: one of them is always left. */
static uint64_t refused_thinking(const struct answer *a, const struct fault *f)
{
    const struct ask *q = a->q;

    if (!says(f, "thinking")) return 0;
    if (q->effort == EFFORT_NONE) return NOT_DISABLED;
    if (q->effort == EFFORT_UNSET && q->thinking_budget < 0) return 0;
    if (says(f, "display")) return NOT_DISPLAY;
    if (says(f, "enabled") || says(f, "budget")) return NOT_BUDGET;
    if (says(f, "adaptive")) return NOT_ADAPTIVE;
    return NOT_BUDGET | NOT_ADAPTIVE;
}

static uint64_t refused_field(const struct answer *a, const struct fault *f)
{
    const struct ask *q = a->q;
    const struct {
        const char *name;
        bool set;
        uint64_t bit;
    } fields[] = {
        {"top_p", !isnan(q->top_p) && isnan(q->temperature), NOT_TOP_P},
        {"temperature", !isnan(q->temperature), NOT_TEMPERATURE},
        {"top_k", q->top_k > 0, NOT_TOP_K},
        {"stop_sequences", q->stops_count > 0, NOT_STOP},
        {"disable_parallel_tool_use", q->parallel_tool_calls == 0, NOT_PARALLEL},
        {"effort", q->effort > EFFORT_NONE || q->thinking_budget >= 0, NOT_EFFORT},
        {"output_config.format", q->format == FORMAT_JSON_SCHEMA, NOT_FORMAT},
        {"output_format", q->format == FORMAT_JSON_SCHEMA, NOT_FORMAT},
        {"structured output", q->format == FORMAT_JSON_SCHEMA, NOT_FORMAT},
        {"output_config", q->effort > EFFORT_NONE || q->format == FORMAT_JSON_SCHEMA,
         q->format == FORMAT_JSON_SCHEMA ? NOT_FORMAT | NOT_EFFORT : NOT_EFFORT},
        {"metadata", q->user.len > 0, NOT_USER},
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].set && says(f, fields[i].name)) return fields[i].bit;
    return says(f, "not permitted") && anthropic_refused_extra(a, f) ? NOT_EXTRAS : 0;
}

/* Only for this answer: another conversation may do with it. */
static bool mend_once(struct answer *a, uint64_t bit)
{
    if (anthropic_refused(a) & bit) return false;
    a->mended |= bit;
    return true;
}

bool anthropic_mend(struct answer *a, const struct fault *f)
{
    struct learned *l = a->backend->learned;

    if (f->e != ERR_BAD_REQUEST || (f->status && f->status != 400 && f->status != 422))
        return false;
    uint64_t known = learned_get(l, a->q->model), limit = told_limit(f);
    if (limit) return !(known >> ANTHROPIC_LIMIT_SHIFT) && learned_add(l, a->q->model, limit);
    /* A signature that is not theirs, or a block that was changed or is missing. */
    if ((says(f, "signature") || says(f, "thinking` block") || says(f, "thinking block") ||
         says(f, "redacted_thinking")) &&
        has_thoughts(a->q))
        return mend_once(a, NOT_THOUGHTS);
    if (says(f, "prefill") || says(f, "must end with a user message")) {
        bool fresh = learned_add(l, a->q->model, NOT_PREFILL);
        return fresh && a->q->prefill.len == 0;
    }
    bool choice = a->q->tool_choice.len || a->q->format == FORMAT_JSON_SCHEMA;
    if (choice && says(f, "tool_choice") &&
        (says(f, "forces") || says(f, "support") || says(f, "thinking")))
        return says(f, "thinking") ? mend_once(a, NOT_FORCED)
                                   : learned_add(l, a->q->model, NOT_FORCED);
    /* What is said of a type of thinking names the fields that would do instead. */
    uint64_t bits = says(f, "thinking.type") ? refused_thinking(a, f) : 0;
    if (!bits) bits = refused_field(a, f);
    if (!bits) bits = refused_thinking(a, f);
    return bits && learned_add(l, a->q->model, bits);
}
