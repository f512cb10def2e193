/* GET /v1beta/models and /v1beta/models/{model} (openai-compat.md section 11). */
#include "api/served/google.h"
#include "api/served/listing.h"

enum {
    LIST_BYTES_MAX = 8 << 20,
    NAMES_MAX = 256,
    INPUT_TOKENS = 32768, /* of a model that does not tell: Google's clients want a number */
    OUTPUT_TOKENS = 8192,
};

static int context_of(const struct call *c, str id)
{
    struct model_view v;
    size_t slash = str_find_char(id, '/');

    for (size_t i = 0; models_view(c->api->parts.models, i, &v); i++)
        if (str_eq(v.name, id) || (slash != STR_NPOS && str_eq(v.name, str_tail(id, slash + 1))))
            return v.context_length;
    return 0;
}

static void put_model(const struct call *c, struct json_out *o, str id)
{
    int context = context_of(c, id);

    json_object(o);
    json_key(o, "name"), json_text(o, arena_strf(&c->r->arena, "models/%.*s", STR_ARG(id)));
    json_key(o, "baseModelId"), json_text(o, id);
    json_key(o, "version"), json_text(o, STR("1"));
    json_key(o, "displayName"), json_text(o, id);
    json_key(o, "description"), json_text(o, STR(""));
    json_key(o, "inputTokenLimit"), json_int(o, context ? context : INPUT_TOKENS);
    json_key(o, "outputTokenLimit"),
        json_int(o, context && context < OUTPUT_TOKENS ? context : OUTPUT_TOKENS);
    json_key(o, "supportedGenerationMethods"), json_array(o);
    json_text(o, STR("generateContent"));
    json_text(o, STR("streamGenerateContent"));
    json_text(o, STR("countTokens"));
    json_end_array(o);
    json_end_object(o);
}

/* One page holds them all, whatever size was asked for. */
void served_google_models(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; i < n; i++) put_model(c, &o, list[i].id);
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

void served_google_model(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);
    str id = google_model_of(c);
    struct buf body;

    for (size_t i = 0; i < n; i++) {
        str typed =
            arena_strf(&c->r->arena, "%.*s/%.*s", STR_ARG(list[i].type), STR_ARG(list[i].id));
        if (!str_eq(list[i].id, id) && !str_eq(typed, id)) continue;
        buf_init(&body, LIST_BYTES_MAX);
        struct json_out o = json_begin(&body);
        put_model(c, &o, list[i].id);
        call_json(c, 200, &body);
        return;
    }
    const struct family_error e = {.status = 404,
                                   .code = "model_not_found",
                                   .message = arena_strf(&c->r->arena, "models/%.*s is not found",
                                                         STR_ARG(str_head(id, 200)))};
    served_fail(c, &e);
}
