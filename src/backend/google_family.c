#include "backend/google_in.h"

/* providers.md 6.1, from Google's model pages of 2026-11.  The first row that fits counts, so the
 * longer prefix stands first; the last row is for ids that came after this table.  Gemma takes its
 * system text in front of the first user's in every generation: one rule is safer than two. */
/* clang-format off */
static const struct google_family families[] = {
    {.prefix = "gemma-1",  .folds_system = true, .no_json = true, .no_tools = true},
    {.prefix = "gemma-2",  .folds_system = true, .no_json = true, .no_tools = true},
    {.prefix = "gemma-3",  .folds_system = true, .no_json = true, .no_tools = true},
    {.prefix = "gemma-7b", .folds_system = true, .no_json = true, .no_tools = true},
    {.prefix = "gemma-",   .folds_system = true, .thinking = THINKING_LEVEL, .lowest = EFFORT_LOW},
    {.prefix = "gemini-1"},
    {.prefix = "gemini-2.0"},
    {.prefix = "gemini-2.5-pro",        .thinking = THINKING_BUDGET, .budget_min = 128, .budget_max = 32768},
    {.prefix = "gemini-2.5-flash-lite", .thinking = THINKING_BUDGET, .budget_min = 512, .budget_max = 24576, .can_rest = true},
    {.prefix = "gemini-2",              .thinking = THINKING_BUDGET, .budget_min = 1,   .budget_max = 24576, .can_rest = true},
    {.prefix = "gemini-3.7-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_LOW, .signs = true},
    {.prefix = "gemini-3.8-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_LOW, .signs = true},
    {.prefix = "gemini-3.9-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_LOW, .signs = true},
    {.prefix = "gemini-3-flash",   .thinking = THINKING_LEVEL, .lowest = EFFORT_MINIMAL, .signs = true},
    {.prefix = "gemini-3.1-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_MINIMAL, .signs = true},
    {.prefix = "gemini-3.5-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_MINIMAL, .signs = true},
    {.prefix = "gemini-3.6-flash", .thinking = THINKING_LEVEL, .lowest = EFFORT_MINIMAL, .signs = true},
    {.prefix = "",                 .thinking = THINKING_LEVEL, .lowest = EFFORT_LOW, .signs = true},
};
/* clang-format on */

str google_model(str model)
{
    return str_starts(model, STR("models/")) ? str_tail(model, 7) : model;
}

const struct google_family *google_family_of(str model)
{
    const struct google_family *f = families;

    model = google_model(model);
    while (!str_starts(model, str_of(f->prefix))) f++;
    return f;
}
