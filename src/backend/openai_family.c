#include "backend/openai_in.h"

#define E(x) (1u << EFFORT_##x)
#define LOW_TO_HIGH (E(LOW) | E(MEDIUM) | E(HIGH))
#define NONE_TO_HIGH (E(NONE) | LOW_TO_HIGH)
#define NONE_TO_XHIGH (NONE_TO_HIGH | E(XHIGH))

/* providers.md 3.1, from OpenAI's model pages of 2026-11.  The first row that fits counts, so the
 * longer prefix stands first; the last row is for ids that came after this table.
 *
 * Where a family cannot call tools in chat completions at all, nothing helps but the Responses API:
 * the request goes out with its tools and the provider says so. */
/* clang-format off */
static const struct openai_family families[] = {
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
    {.prefix = "gpt-6-astra",   .reasons = true, .efforts = LOW_TO_HIGH | E(XHIGH), .tools = TOOLS_AT_NONE},
    {.prefix = "gpt-6.1-sol",   .reasons = true, .efforts = LOW_TO_HIGH | E(XHIGH), .tools = TOOLS_NEVER},
    {.prefix = "",        .reasons = true, .efforts = NONE_TO_XHIGH, .sampling_at_none = true, .tools = TOOLS_AT_NONE},
};
/* clang-format on */

static const struct openai_family chat_variant = {.prefix = "*-chat-latest", .stops = true};

const struct openai_family *openai_family_of(str model)
{
    const struct openai_family *f = families;

    /* A fine-tuned model is "ft:gpt-4o:...". */
    if (str_starts(model, STR("ft:"))) model = str_tail(model, 3);
    if (str_ends(model, STR("-chat-latest"))) return &chat_variant;
    while (!str_starts(model, str_of(f->prefix))) f++;
    return f;
}

bool openai_family_is_known(str model)
{
    bool numbered =
        str_starts(model, STR("gpt-")) && model.len > 4 && model.at[4] >= '3' && model.at[4] <= '9';

    return numbered || *openai_family_of(model)->prefix != '\0';
}
