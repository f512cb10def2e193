#include "backend/usage.h"

enum { BYTES_PER_TOKEN = 4 };

static int64_t guess(size_t bytes)
{
    return bytes < BYTES_PER_TOKEN ? 1 : (int64_t)(bytes / BYTES_PER_TOKEN);
}

static size_t ask_bytes(const struct ask *q)
{
    size_t n = q->prefill.len;

    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        for (size_t k = 0; k < m->count; k++) {
            const struct part *p = &m->parts[k];
            if (p->kind != PART_IMAGE) n += p->text.len;
            n += p->name.len + p->args_json.len;
        }
    }
    for (size_t i = 0; i < q->tools_count; i++)
        n += q->tools[i].name.len + q->tools[i].description.len + q->tools[i].parameters_json.len;
    return n;
}

void usage_settle(struct usage *u, const struct ask *q, size_t answer_bytes, int64_t total_tokens)
{
    /* A server that tells only the sum: the part that it tells, or we guess, gives the other. */
    if (total_tokens > 0 && u->prompt_tokens < 0 && u->completion_tokens >= 0 &&
        total_tokens >= u->completion_tokens) {
        u->prompt_tokens = total_tokens - u->completion_tokens;
    } else if (total_tokens > 0 && u->completion_tokens < 0 && u->prompt_tokens >= 0 &&
               total_tokens >= u->prompt_tokens) {
        u->completion_tokens = total_tokens - u->prompt_tokens;
    }
    if (u->completion_tokens < 0) {
        u->completion_tokens = guess(answer_bytes);
        u->estimated = u->answer_estimated = true;
    }
    if (u->prompt_tokens < 0) {
        u->prompt_tokens = total_tokens > u->completion_tokens ? total_tokens - u->completion_tokens
                                                               : guess(ask_bytes(q));
        u->estimated = true;
    }
    if (u->cached_tokens > u->prompt_tokens) {
        /* 2^53 is far beyond any context: sums below cannot overflow. */
        int64_t apart = u->prompt_tokens + u->cached_tokens;
        if (total_tokens >= 0 && apart + u->completion_tokens == total_tokens)
            u->prompt_tokens = apart;
        else
            u->cached_tokens = u->prompt_tokens;
    }
    if (u->reasoning_tokens > u->completion_tokens) u->reasoning_tokens = u->completion_tokens;
}
