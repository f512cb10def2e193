/* Writing answers of other families: what their streams and wholes share. */
#include "api/served/served.h"
#include "conf/limits.h"

bool served_call_is_whole(const struct served_call *c)
{
    yyjson_doc *doc = NULL;

    if (c->args.len == 0 || json_read(&doc, buf_str(&c->args), JSON_DEPTH_V1, JSON_PLAIN, NULL))
        return false;
    yyjson_doc_free(doc);
    return true;
}

struct json_out served_frame(struct buf *out, const char *event)
{
    if (event) buf_addf(out, "event: %s\n", event);
    buf_add(out, STR("data: "));
    struct json_out o = json_begin(out);
    o.js_escapes = true;
    return o;
}

void served_frame_end(struct buf *out)
{
    buf_add(out, STR("\n\n"));
}

struct usage served_usage(const struct served *s, const struct reply_end *end)
{
    struct usage u = end->usage;
    int64_t guess = (int64_t)s->got.text.len / 4;

    if (u.prompt_tokens < 0)
        u.prompt_tokens = (int64_t)s->call->r->body.len / 4 + 1, u.estimated = true;
    if (u.completion_tokens < 0) u.completion_tokens = guess > 0 ? guess : 1, u.estimated = true;
    if (u.cached_tokens < 0) u.cached_tokens = 0;
    if (u.cache_write_tokens < 0) u.cache_write_tokens = 0;
    if (u.reasoning_tokens < 0) u.reasoning_tokens = 0;
    return u;
}
