#include "backend/openai_in.h"

enum { THINKING_ROOM_TOKENS = 4096 }; /* providers.md 3.1: where no effort says more */

#define E(x) (1u << EFFORT_##x)
#define LOW_TO_HIGH (E(LOW) | E(MEDIUM) | E(HIGH))
#define NONE_TO_HIGH (E(NONE) | LOW_TO_HIGH)
#define NONE_TO_XHIGH (NONE_TO_HIGH | E(XHIGH))

/* providers.md 3.1 and 4, from OpenAI's model pages of 2026-11.  The first row that fits counts, so
 * the longer prefix stands first; the last row is for ids that came after this table. */
/* clang-format off */
static const struct openai_family families[] = {
    {.prefix = "gpt-5-pro", .reasons = true, .efforts = E(HIGH), .only_responses = true},
    {.prefix = "gpt-",    .with = "-pro", .reasons = true, .efforts = E(MEDIUM) | E(HIGH) | E(XHIGH), .only_responses = true},
    {.prefix = "gpt-",    .with = "-codex-max", .reasons = true, .efforts = LOW_TO_HIGH | E(XHIGH), .only_responses = true},
    {.prefix = "gpt-",    .with = "-codex", .reasons = true, .efforts = LOW_TO_HIGH, .only_responses = true},
    {.prefix = "codex-",  .reasons = true, .efforts = LOW_TO_HIGH, .only_responses = true},
    {.prefix = "o1-pro",  .reasons = true, .efforts = LOW_TO_HIGH, .only_responses = true},
    {.prefix = "o3-pro",  .reasons = true, .efforts = LOW_TO_HIGH, .only_responses = true},
    {.prefix = "o3-deep-research", .reasons = true, .efforts = E(MEDIUM), .only_responses = true},
    {.prefix = "o4-mini-deep-research", .reasons = true, .efforts = E(MEDIUM), .only_responses = true},
    {.prefix = "gpt-3.5", .stops = true},
    {.prefix = "gpt-4",   .stops = true},
    {.prefix = "chatgpt-", .stops = true},
    {.prefix = "o1",      .reasons = true, .stops = true, .efforts = LOW_TO_HIGH},
    {.prefix = "o3",      .reasons = true, .efforts = LOW_TO_HIGH},
    {.prefix = "o4",      .reasons = true, .efforts = LOW_TO_HIGH},
    {.prefix = "gpt-5.1", .reasons = true, .efforts = NONE_TO_HIGH, .sampling_at_none = true},
    {.prefix = "gpt-5.2", .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true},
    {.prefix = "gpt-5.3", .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true},
    {.prefix = "gpt-5.4", .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true, .tools = TOOLS_WITHOUT_EFFORT},
    {.prefix = "gpt-5.5", .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true, .tools = TOOLS_WITHOUT_EFFORT},
    {.prefix = "gpt-5.6", .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true, .tools = TOOLS_AT_NONE},
    {.prefix = "gpt-5",   .reasons = true, .efforts = E(MINIMAL) | LOW_TO_HIGH},
    {.prefix = "gpt-6-astra",   .reasons = true, .efforts = LOW_TO_HIGH | E(XHIGH), .tools = TOOLS_AT_NONE, .max = true},
    {.prefix = "gpt-6.1-sol",   .reasons = true, .efforts = LOW_TO_HIGH | E(XHIGH), .tools = TOOLS_NEVER, .max = true},
    {.prefix = "",        .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true, .tools = TOOLS_AT_NONE, .max = true},
};
/* clang-format on */

static const struct openai_family chat_variant = {.prefix = "*-chat-latest", .stops = true};

/* "-pro" is a word of the id: "-prod" is not it. */
static bool has_word(str model, const char *word)
{
    for (str w = str_of(word); model.len >= w.len; model = str_tail(model, 1)) {
        char after = model.len > w.len ? model.at[w.len] : '-';
        if (str_starts(model, w) && (after == '-' || after == '.')) return true;
    }
    return false;
}

static bool fits(const struct openai_family *f, str model)
{
    return str_starts(model, str_of(f->prefix)) && (f->with == NULL || has_word(model, f->with));
}

const struct openai_family *openai_family_of(str model)
{
    const struct openai_family *f = families;

    /* A fine-tuned model is "ft:gpt-4o:...". */
    if (str_starts(model, STR("ft:"))) model = str_tail(model, 3);
    if (str_ends(model, STR("-chat-latest"))) return &chat_variant;
    while (!fits(f, model)) f++;
    return f;
}

bool openai_family_has_custom(const struct openai_family *f)
{
    return f->reasons && f->prefix[0] != 'o'; /* they came with gpt-5 */
}

bool openai_family_is_known(str model)
{
    bool numbered =
        str_starts(model, STR("gpt-")) && model.len > 4 && model.at[4] >= '3' && model.at[4] <= '9';

    const struct openai_family *f = openai_family_of(model);

    return numbered || (*f->prefix != '\0' && f->with == NULL);
}

/* ---- efforts ---- */

const char *openai_effort_name(enum effort e)
{
    static const char *const names[] = {"",       "none", "minimal", "low",
                                        "medium", "high", "xhigh",   "max"};
    return names[e];
}

enum effort openai_fit_effort(unsigned efforts, enum effort wanted)
{
    for (int e = wanted; e > EFFORT_UNSET; e--)
        if (efforts & 1u << e) return (enum effort)e;
    for (int e = wanted; e <= EFFORT_MAX; e++)
        if (efforts & 1u << e) return (enum effort)e;
    return EFFORT_UNSET;
}

/* On /api/v1 the limit is meant for the text alone; a model that thinks needs more
 * (providers.md 3.1, 5.2). */
int64_t openai_room(const struct ask *q, enum effort e, bool thinks)
{
    int64_t most = q->max_tokens;

    if (most < 0 || !q->room_to_think || !thinks) return most;
    switch (e) {
    case EFFORT_NONE: return most;
    case EFFORT_MEDIUM: return most + 8192;
    case EFFORT_HIGH:
    case EFFORT_XHIGH:
    case EFFORT_MAX: return most + 16384;
    default: return most + THINKING_ROOM_TOKENS;
    }
}
