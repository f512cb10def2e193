#include "backend/anthropic_in.h"

#define E(x) (1u << EFFORT_##x)
#define LOW_TO_HIGH (E(LOW) | E(MEDIUM) | E(HIGH))
#define LOW_TO_MAX (LOW_TO_HIGH | E(XHIGH) | E(MAX))

/* providers.md 5.2, from Anthropic's model pages of 2026-10.  The first row whose text the id holds
 * counts, so the longer text stands first.  Prefill and sampling end with 4.6 and its successors,
 * schemas begin with 4.5. */
/* clang-format off */
static const struct anthropic_family families[] = {
    {"claude-sonnet-5-5", 128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .no_forced_tool = true, .schema = true},
    {"claude-opus-5-5",   128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .no_forced_tool = true, .schema = true},
    {"claude-fable-5-1",  128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .no_forced_tool = true, .schema = true},
    {"claude-fable-5-2",  128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .no_forced_tool = true, .schema = true},
    {"claude-haiku-5-5",  128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_DISABLED, LOW_TO_MAX, .schema = true},
    {"claude-opus-5",     128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_DISABLED, LOW_TO_MAX, .schema = true},
    {"claude-fable-5",    128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .schema = true},
    {"mythos",            128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_NEVER,    LOW_TO_MAX, .schema = true},
    {"claude-opus-4-8",   128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_DISABLED, LOW_TO_MAX, .schema = true},
    {"claude-opus-4-7",   128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_DISABLED, LOW_TO_MAX, .schema = true},
    {"claude-sonnet-5",   128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_DISABLED, LOW_TO_MAX, .schema = true},
    {"claude-opus-4-6",   128000, SAMPLING_ANY,  THINKS_EITHER,   OFF_DISABLED, LOW_TO_HIGH | E(MAX), .schema = true},
    {"claude-sonnet-4-6",  64000, SAMPLING_ANY,  THINKS_EITHER,   OFF_DISABLED, LOW_TO_HIGH | E(MAX), .schema = true},
    {"claude-opus-4-5",    64000, SAMPLING_ANY,  THINKS_BUDGET,   OFF_OMITTED,  LOW_TO_HIGH, .prefill = true, .schema = true},
    {"-4-5",               64000, SAMPLING_ANY,  THINKS_BUDGET,   OFF_OMITTED,  0, .prefill = true, .schema = true},
    {"claude-opus-4",      32000, SAMPLING_ANY,  THINKS_BUDGET,   OFF_OMITTED,  0, .prefill = true},
    {"claude-sonnet-4",    64000, SAMPLING_ANY,  THINKS_BUDGET,   OFF_OMITTED,  0, .prefill = true},
    {"claude-3-5",          8192, SAMPLING_ANY,  THINKS_NOT,      OFF_OMITTED,  0, .prefill = true},
    {"claude-3-7",          8192, SAMPLING_ANY,  THINKS_NOT,      OFF_OMITTED,  0, .prefill = true},
    {"claude-3",            4096, SAMPLING_ANY,  THINKS_NOT,      OFF_OMITTED,  0, .prefill = true},
    {"claude-2",            4096, SAMPLING_ANY,  THINKS_NOT,      OFF_OMITTED,  0, .prefill = true},
    {"claude-instant",      4096, SAMPLING_ANY,  THINKS_NOT,      OFF_OMITTED,  0, .prefill = true},
    {"",                  128000, SAMPLING_NONE, THINKS_ADAPTIVE, OFF_OMITTED,  LOW_TO_MAX, .schema = true},
};

/* Other vendors' models behind the same API (MiniMax, DeepSeek, llama-server ...): what the API had
 * when they copied it.  Most give at least this much. */
static const struct anthropic_family others =
    {"",                   32000, SAMPLING_ANY,  THINKS_BUDGET,   OFF_OMITTED,  0, .prefill = true};
/* clang-format on */

const struct anthropic_family *anthropic_family_of(str model, bool official)
{
    const struct anthropic_family *f = families;

    if (!official && str_find(model, STR("claude")) == STR_NPOS &&
        str_find(model, STR("mythos")) == STR_NPOS)
        return &others;
    while (f->part[0] && str_find(model, str_of(f->part)) == STR_NPOS) f++;
    return f;
}
