/* POST /v1/messages/count_tokens: an estimate, four bytes a token, of what would be sent. */
#include "api/served/anthropic.h"
#include "conf/limits.h"

enum {
    BYTES_PER_TOKEN = 4,
    MESSAGE_TOKENS = 4,  /* its role and its marks */
    IMAGE_TOKENS = 1500, /* of about a megapixel */
    ANSWER_BYTES_MAX = 256,
};

static int64_t tokens_of(const struct ask *q)
{
    size_t bytes = 0, tokens = q->messages_count * MESSAGE_TOKENS;

    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        for (size_t k = 0; k < m->count; k++) {
            const struct part *p = &m->parts[k];
            if (p->kind == PART_IMAGE)
                tokens += IMAGE_TOKENS;
            else
                bytes += p->text.len + p->name.len + p->args_json.len;
        }
    }
    for (size_t i = 0; i < q->tools_count; i++)
        bytes +=
            q->tools[i].name.len + q->tools[i].description.len + q->tools[i].parameters_json.len;
    return (int64_t)(tokens + (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}

void served_anthropic_count(struct call *c)
{
    struct family_error bad = {.status = 400, .message = STR("the body must be a JSON object")};
    struct served *s = arena_new(&c->r->arena, struct served);
    yyjson_doc *doc = NULL;
    struct buf body;

    if (s == NULL || json_read(&doc, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL) ||
        !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        served_fail(c, &bad);
        yyjson_doc_free(doc);
        return;
    }
    s->call = c;
    s->arena = &c->r->arena;
    s->ask = ask_none;
    if (!anthropic_read_counted(s, yyjson_doc_get_root(doc), &bad)) {
        served_fail(c, &bad);
    } else if (call_within_limit(c)) {
        buf_init(&body, ANSWER_BYTES_MAX);
        buf_addf(&body, "{\"input_tokens\":%lld}", (long long)tokens_of(&s->ask));
        response_header(c->r, "request-id", str_of(c->r->id));
        call_json(c, 200, &body);
    }
    yyjson_doc_free(doc);
}
