/* GET /api/v1/model/info (http-api.md section 9.1). */
#include "api/about_model.h"

#include <string.h>

#include "api/inside.h"
#include "base/json.h"

/* clang-format off */
static const struct model_kind kinds[] = {
    {"local",     "local_huggingface", "[\"chat\",\"streaming\",\"instruction_following\"]", true},
    {"hf_api",    "huggingface_api",   "[\"chat\",\"streaming\",\"api_based\"]", false},
    {"openai",    "openai_api",        "[\"chat\",\"streaming\",\"api_based\",\"function_calling\"]", false},
    {"anthropic", "anthropic_api",     "[\"chat\",\"streaming\",\"api_based\",\"long_context\"]", false},
    {"minimax",   "minimax_api",       "[\"chat\",\"streaming\",\"reasoning\",\"api_based\"]", false},
    {"google",    "google_ai",         "[\"chat\",\"streaming\",\"api_based\"]", true},
    {"scripted",  "scripted",          "[\"chat\",\"streaming\"]", false},
};
/* clang-format on */

const struct model_kind *about_model_kind(const char *type)
{
    static const struct model_kind unknown = {"", "unknown", "[\"chat\",\"streaming\"]", false};

    for (size_t i = 0; type && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].type, type) == 0) return &kinds[i];
    return &unknown;
}

static void put_view(struct json_out *o, const struct model_view *v)
{
    json_key(o, "name"), json_text(o, v->name);
    json_key(o, "type"), json_text(o, str_of(about_model_kind(v->type)->reported));
    json_key(o, "loaded"), json_bool(o, v->state == MODEL_READY);
}

/* The first model of a role; false when there is none. */
static bool first_of(const struct models *m, enum model_role role, struct model_view *out)
{
    for (size_t i = 0; i < models_count(m); i++) {
        models_view(m, i, out);
        if (out->role == role) return true;
    }
    return false;
}

void about_model(struct call *c)
{
    const struct conf *conf = c->api->conf;
    const struct models *m = c->api->parts.models;
    struct model_view view;
    struct buf body;

    if (!first_of(m, MODEL_PRIMARY, &view)) {
        view = (struct model_view){.type = conf->model.type, .name = str_of(conf->model.name)};
    }
    const struct model_kind *kind = about_model_kind(view.type);
    buf_init(&body, 64 * 1024);
    struct json_out o = json_begin(&body);
    json_object(&o);
    put_view(&o, &view);
    json_key(&o, "parameters"), json_object(&o);
    json_key(&o, "temperature"), json_num(&o, conf->temperature);
    json_key(&o, "max_tokens"), json_int(&o, conf->max_new_tokens);
    json_key(&o, "top_p"), json_num(&o, conf->top_p);
    if (kind->top_k) json_key(&o, "top_k"), json_int(&o, conf->top_k);
    json_end_object(&o);
    json_key(&o, "capabilities"), json_raw(&o, str_of(kind->capabilities));
    if (first_of(m, MODEL_FALLBACK, &view)) {
        json_key(&o, "fallback"), json_object(&o);
        put_view(&o, &view);
        json_end_object(&o);
    }
    if (first_of(m, MODEL_REASONING, &view)) {
        json_key(&o, "reasoning"), json_object(&o);
        put_view(&o, &view);
        json_end_object(&o);
    }
    json_end_object(&o);
    call_json(c, 200, &body);
}
