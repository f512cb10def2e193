/* GET /v1beta/models and /v1beta/models/{model} (openai-compat.md section 11). */
#include "api/listing.h"
#include "api/served/google.h"

enum {
    LIST_BYTES_MAX = 8 << 20,
    INPUT_TOKENS = 32768, /* of a model that does not tell: Google's clients want a number */
    OUTPUT_TOKENS = 8192,
};

static void put_model(const struct call *c, struct json_out *o, const struct listed *l)
{
    int input = l->context_length ? l->context_length : INPUT_TOKENS;
    int output = l->output_tokens        ? l->output_tokens
                 : input < OUTPUT_TOKENS ? input
                                         : OUTPUT_TOKENS;

    json_object(o);
    json_key(o, "name"), json_text(o, arena_strf(&c->r->arena, "models/%.*s", STR_ARG(l->id)));
    json_key(o, "baseModelId"), json_text(o, l->id);
    json_key(o, "version"), json_text(o, STR("1"));
    json_key(o, "displayName"), json_text(o, l->id);
    json_key(o, "description"), json_text(o, STR(""));
    json_key(o, "inputTokenLimit"), json_int(o, input);
    json_key(o, "outputTokenLimit"), json_int(o, output);
    json_key(o, "supportedGenerationMethods"), json_array(o);
    json_text(o, STR("generateContent"));
    json_text(o, STR("streamGenerateContent"));
    json_text(o, STR("countTokens"));
    json_end_array(o);
    json_end_object(o);
}

/* One page holds them all, whatever size was asked for. */
static void give_models(struct call *c, const struct listing *l)
{
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; i < l->count; i++) put_model(c, &o, &l->at[i]);
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void give_model(struct call *c, const struct listing *l)
{
    str id = google_model_of(c);
    const struct listed *found = listing_find(l, id);
    struct buf body;

    if (found) {
        buf_init(&body, LIST_BYTES_MAX);
        struct json_out o = json_begin(&body);
        put_model(c, &o, found);
        call_json(c, 200, &body);
        return;
    }
    const struct family_error e = {.status = 404,
                                   .code = "model_not_found",
                                   .message = arena_strf(&c->r->arena, "models/%.*s is not found",
                                                         STR_ARG(str_head(id, 200)))};
    served_fail(c, &e);
}

void served_google_models(struct call *c)
{
    listing_ask(c, give_models);
}

void served_google_model(struct call *c)
{
    listing_ask(c, give_model);
}
