/* GET /v1/models and /v1/models/{id} in OpenAI's words (openai-compat.md section 6). */
#include "api/listing.h"

#include "api/served/anthropic.h"

enum { LIST_BYTES_MAX = 8 << 20 };

static str owner_of(str type)
{
    if (str_eq(type, STR("hf_api"))) return STR("huggingface");
    return type.len ? type : STR("sema");
}

static void put_model(const struct call *c, struct json_out *o, const struct listed *l)
{
    json_object(o);
    json_key(o, "id"), json_text(o, l->id);
    json_key(o, "object"), json_text(o, STR("model"));
    json_key(o, "created"), json_int(o, (int64_t)listing_made_s(c, l));
    json_key(o, "owned_by"), json_text(o, owner_of(l->type));
    if (l->context_length) json_key(o, "context_length"), json_int(o, l->context_length);
    if (l->output_tokens) json_key(o, "max_output_tokens"), json_int(o, l->output_tokens);
    json_end_object(o);
}

void served_no_such_model(struct call *c, str id)
{
    const struct family_error e = {.status = 404,
                                   .code = "model_not_found",
                                   .param = STR("model"),
                                   .message = arena_strf(&c->r->arena, "model '%.*s' not found",
                                                         STR_ARG(str_head(id, 200)))};
    served_fail(c, &e);
}

static void give_models(struct call *c, const struct listing *l)
{
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "object"), json_text(&o, STR("list"));
    json_key(&o, "data"), json_array(&o);
    for (size_t i = 0; i < l->count; i++) put_model(c, &o, &l->at[i]);
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

void served_one_model(struct call *c, const struct listing *l, served_put_fn *put)
{
    const struct listed *found = listing_find(l, c->session);
    struct buf body;

    if (found == NULL) {
        served_no_such_model(c, c->session);
        return;
    }
    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    put(c, &o, found);
    response_header(c->r, "request-id", str_of(c->r->id));
    call_json(c, 200, &body);
}

static void give_model(struct call *c, const struct listing *l)
{
    served_one_model(c, l, put_model);
}

void served_openai_models(struct call *c)
{
    listing_ask(c, c->family == FAMILY_ANTHROPIC ? served_anthropic_models : give_models);
}

void served_openai_model(struct call *c)
{
    listing_ask(c, c->family == FAMILY_ANTHROPIC ? served_anthropic_model : give_model);
}
