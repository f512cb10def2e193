/* GET /api/v1/models and /api/v1/backends (http-api.md section 9.5): what there is, and how it
 * fares. */
#include "api/inside.h"
#include "base/clock.h"
#include "chat/breaker.h"

enum { BODY_BYTES_MAX = 4 << 20 };

void models_list(struct call *c)
{
    const struct models *m = c->api->parts.models;
    struct model_view v;
    struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; models_view(m, i, &v); i++) {
        str id = arena_strf(&c->r->arena, "%s/%.*s", v.type, STR_ARG(v.name));
        json_object(&o);
        json_key(&o, "id"), json_text(&o, id);
        json_key(&o, "type"), json_text(&o, str_of(v.type));
        json_key(&o, "name"), json_text(&o, v.name);
        json_key(&o, "context_length"), json_null(&o);
        json_key(&o, "ready"), json_bool(&o, v.state == MODEL_READY);
        json_end_object(&o);
    }
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

/* The class of providers.md section 10: a provider's code without its prefix. */
static str class_of(enum err e)
{
    str code = str_of(err_row(e)->code), prefix = STR("provider_");
    return str_starts(code, prefix) ? str_tail(code, prefix.len) : code;
}

static void put_backend(struct json_out *o, const struct model_view *v)
{
    static const char *const roles[] = {[MODEL_PRIMARY] = "primary",
                                        [MODEL_FALLBACK] = "fallback",
                                        [MODEL_REASONING] = "reasoning",
                                        [MODEL_OTHER] = "other"};
    static const char *const states[] = {[MODEL_UNUSED] = "unused",
                                         [MODEL_LOADING] = "loading",
                                         [MODEL_READY] = "ready",
                                         [MODEL_FAILED] = "failed"};
    static const char *const breakers[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open", [BREAKER_HALF_OPEN] = "half_open"};
    char when[CLOCK_ISO_BYTES];

    json_object(o);
    json_key(o, "type"), json_text(o, str_of(v->type));
    json_key(o, "name"), json_text(o, v->name);
    json_key(o, "role"), json_text(o, str_of(roles[v->role]));
    json_key(o, "state"), json_text(o, str_of(states[v->state]));
    json_key(o, "breaker"), json_text(o, str_of(breakers[v->breaker]));
    json_key(o, "last_error"),
        json_text_or_null(o, v->last_error ? class_of(v->last_error) : STR_NONE);
    json_key(o, "requests"), json_int(o, (int64_t)v->requests);
    json_key(o, "failures"), json_int(o, (int64_t)v->failures);
    json_key(o, "first_token_ms");
    if (v->first_token_ms < 0)
        json_null(o);
    else
        json_int(o, v->first_token_ms);
    json_key(o, "last_used");
    if (v->last_used_us == 0) {
        json_null(o);
    } else {
        clock_iso(when, v->last_used_us);
        json_text(o, str_of(when));
    }
    json_end_object(o);
}

void backends_list(struct call *c)
{
    const struct models *m = c->api->parts.models;
    struct model_view v;
    struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "backends"), json_array(&o);
    for (size_t i = 0; models_view(m, i, &v); i++) {
        put_backend(&o, &v);
    }
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}
