/* GET /api/v1/models and /api/v1/backends (http-api.md section 9.5): what there is, and how it
 * fares. */
#include <string.h>

#include "api/inside.h"
#include "base/clock.h"
#include "chat/breaker.h"

enum { BODY_BYTES_MAX = 4 << 20 };

/* The class of providers.md section 10: a provider's code without its prefix. */
static str class_of(enum err e)
{
    str code = str_of(err_row(e)->code), prefix = STR("provider_");
    return str_starts(code, prefix) ? str_tail(code, prefix.len) : code;
}

static void put_model(struct call *c, struct json_out *o, const char *type, str name, int context,
                      bool ready)
{
    json_object(o);
    json_key(o, "id"), json_text(o, arena_strf(&c->r->arena, "%s/%.*s", type, STR_ARG(name)));
    json_key(o, "type"), json_text(o, str_of(type));
    json_key(o, "name"), json_text(o, name);
    json_key(o, "context_length");
    if (context > 0)
        json_int(o, context);
    else
        json_null(o);
    json_key(o, "ready"), json_bool(o, ready);
    json_end_object(o);
}

struct views {
    struct model_view *at;
    size_t count;
};

static bool views_take(struct views *out, const struct models *m, struct arena *a)
{
    size_t max = models_count(m);

    *out = (struct views){.at = arena_array(a, struct model_view, max)};
    while (out->at && out->count < max && models_view(m, out->count, &out->at[out->count]))
        out->count++;
    return out->at != NULL;
}

static bool is_among(const struct views *there, const struct models_offer *offer)
{
    for (size_t i = 0; i < there->count; i++)
        if (str_eq(there->at[i].name, offer->name) && strcmp(there->at[i].type, offer->type) == 0)
            return true;
    return false;
}

/* What the files, or the provider's list, say of a model that is not loaded or was not checked. */
static int offered_context(const struct models_offers *offers, const struct model_view *v)
{
    for (size_t i = 0; i < offers->count; i++)
        if (str_eq(offers->at[i].name, v->name) && strcmp(offers->at[i].type, v->type) == 0)
            return offers->at[i].context_length;
    return 0;
}

static void on_offers(void *ctx, const struct models_offers *offers)
{
    struct call *c = ctx;
    struct views there;
    struct buf body;

    call_waited(c);
    if (!views_take(&there, c->api->parts.models, &c->r->arena)) {
        call_out_of_memory(c);
        return;
    }
    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; i < there.count; i++) {
        const struct model_view *v = &there.at[i];
        int context = v->context_length ? v->context_length : offered_context(offers, v);
        if (v->role != MODEL_OTHER || offers->any)
            put_model(c, &o, v->type, v->name, context, v->state == MODEL_READY);
    }
    for (size_t i = 0; i < offers->count && offers->any; i++) {
        const struct models_offer *x = &offers->at[i];
        /* A local one has to be loaded first. */
        if (!is_among(&there, x))
            put_model(c, &o, x->type, x->name, x->context_length, strcmp(x->type, "local") != 0);
    }
    json_end_array(&o);
    if (offers->missing_count) json_key(&o, "unavailable"), json_array(&o);
    for (size_t i = 0; i < offers->missing_count; i++) {
        json_object(&o);
        json_key(&o, "type"), json_text(&o, str_of(offers->missing[i].type));
        json_key(&o, "code"), json_text(&o, str_of(err_row(offers->missing[i].e)->code));
        json_end_object(&o);
    }
    if (offers->missing_count) json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void on_gone(struct call *c)
{
    models_asker_leave(c->own);
}

static void on_end(struct call *c)
{
    models_asker_leave(c->own);
    call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
}

void models_list(struct call *c)
{
    struct models_asker *a = models_offers(c->api->parts.models, c->at->loop, on_offers, c);

    if (a)
        call_wait(c, a, on_gone, on_end);
    else
        call_out_of_memory(c);
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
