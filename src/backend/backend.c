#include "backend/backend.h"

const struct ask ask_none = {
    .parallel_tool_calls = -1,
    .temperature = NAN,
    .top_p = NAN,
    .min_p = NAN,
    .repetition_penalty = NAN,
    .presence_penalty = NAN,
    .frequency_penalty = NAN,
    .top_k = -1,
    .max_tokens = -1,
    .thinking_budget = -1,
};

const struct usage usage_unknown = {
    .prompt_tokens = -1,
    .completion_tokens = -1,
    .cached_tokens = -1,
    .cache_write_tokens = -1,
    .reasoning_tokens = -1,
};
