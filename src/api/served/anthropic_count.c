/* POST /v1/messages/count_tokens (openai-compat.md section 7). */
#include "api/served/anthropic.h"

static void write(const struct served *s, int64_t tokens, struct buf *out)
{
    (void)s;
    buf_addf(out, "{\"input_tokens\":%lld}", (long long)tokens);
}

static const struct served_count_form form = {.read = anthropic_read_counted, .write = write};

void served_anthropic_count(struct call *c)
{
    served_count(c, &form);
}
