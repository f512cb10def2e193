/* POST /api/v1/model/switch (http-api.md section 9.2). */
#include <stddef.h>
#include <stdio.h>

#include "api/body.h"
#include "api/metrics.h"
#include "base/clock.h"
#include "base/log.h"

struct switch_request {
    str model_name, model_type, model_version, device;
};

static const char *const types[] = {"local",   "hf_api", "openai", "anthropic",
                                    "minimax", "google", NULL};

#define AT(field) offsetof(struct switch_request, field)
static const struct field fields[] = {
    {"model_name", FIELD_STRING, true, IN_BODY, 1, 200, NULL, AT(model_name)},
    {"model_type", FIELD_CHOICE_NOCASE, false, IN_BODY, 0, 0, types, AT(model_type)},
    {"model_version", FIELD_STRING, false, IN_BODY, 1, 200, NULL, AT(model_version)},
    {"device", FIELD_STRING, false, IN_BODY, 0, 200, NULL, AT(device)},
};
#undef AT

enum { BODY_BYTES_MAX = 16 << 10 };

/* The exchange goes on when its client leaves: the answer then finds nobody. */
struct switching {
    struct call *call; /* NULL: the client left */
    struct api_loop *at;
};

static void put_model(struct json_out *o, const char *key, const char *type, str name)
{
    json_key(o, key), json_object(o);
    json_key(o, "model_type"), json_text(o, str_of(type));
    json_key(o, "model_name"), json_text(o, name);
    json_end_object(o);
}

static void answer(struct call *c, const struct model_switched *s)
{
    char when[CLOCK_ISO_BYTES];
    struct buf body;

    clock_iso(when, clock_wall_us());
    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "success"), json_bool(&o, true);
    json_key(&o, "message"), json_text(&o, STR("Model switched successfully"));
    put_model(&o, "previous", s->type_before, s->name_before);
    put_model(&o, "current", s->type_now, s->name_now);
    json_key(&o, "switch_time"), json_num(&o, (double)s->us / 1e6);
    json_key(&o, "timestamp"), json_text(&o, str_of(when));
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void fail(struct call *c, enum err e, const struct err_note *why)
{
    struct arena *a = &c->r->arena;
    const char *note = err_text(why, e);

    switch (e) {
    case ERR_CREDENTIAL: {
        /* "GOOGLE_API_KEY is not set": the setting's name is the note's first word. */
        str name = str_of(note);
        size_t blank = str_find_char(name, ' ');
        if (blank != STR_NPOS) name = str_head(name, blank);
        while (name.len && (name.at[name.len - 1] == ':' || name.at[name.len - 1] == ','))
            name.len--;
        call_fail(c, 400, "credential_missing", arena_strf(a, "%.*s is not set", STR_ARG(name)));
        return;
    }
    case ERR_CONFLICT:
        call_fail(c, 409, "switch_in_progress", STR("A model switch is already in progress"));
        return;
    case ERR_NOT_FOUND: {
        size_t at = str_find(str_of(note), STR("get it with"));
        if (at == STR_NPOS) at = str_find(str_of(note), STR("get them with"));
        size_t pull = str_find(str_of(note), STR("sema pull"));
        if (at != STR_NPOS && pull != STR_NPOS)
            call_fail(c, 404, "model_not_found",
                      arena_strf(a, "Model not found; get it with: %s", note + pull));
        else
            call_fail(c, 404, "model_not_found", STR("Model not found"));
        return;
    }
    case ERR_MODEL_NOT_FOUND: call_fail(c, 404, "model_not_found", STR("Model not found")); return;
    case ERR_MODEL_UNUSABLE:
        call_fail(c, 422, "model_unusable", arena_strf(a, "Model cannot be loaded: %s", note));
        return;
    case ERR_MODEL_TOO_LARGE:
        call_fail(c, 507, "model_too_large", STR("Not enough memory to load the model"));
        return;
    case ERR_AUTH:
    case ERR_BAD_REQUEST:
    case ERR_QUOTA:
        call_fail(c, 502, "switch_failed", STR("Model provider rejected the request"));
        return;
    case ERR_MEMORY: call_out_of_memory(c); return;
    default: call_fail(c, 502, "switch_failed", STR("Model provider unreachable")); return;
    }
}

static void on_switched(void *ctx, enum err e, const struct err_note *why,
                        const struct model_switched *s)
{
    struct switching *w = ctx;
    struct call *c = w->call;

    if (e == ERR_SHUTTING_DOWN) { /* nobody is left to be told */
        free(w);
        return;
    }
    /* One that went well was told by models_switch.c, at the moment of the exchange. */
    if (e)
        log_event(LEVEL_WARNING, "models", "model_switch_failed",
                  LOG_CSTR("error", err_text(why, e)));
    metrics_switched(w->at->api->metrics, e == ERR_NONE);
    free(w);
    if (c == NULL) return;
    call_waited(c);
    if (e)
        fail(c, e, why);
    else
        answer(c, s);
}

static void on_gone(struct call *c)
{
    struct switching *w = c->own;
    w->call = NULL;
}

static void on_end(struct call *c)
{
    struct switching *w = c->own;

    w->call = NULL;
    call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
}

static bool device_fits(struct call *c, const struct switch_request *q, yyjson_doc *doc)
{
    struct complaints list;

    if (q->device.len == 0 || str_eq_nocase(q->device, STR("auto")) ||
        str_eq_nocase(q->device, STR("cpu")))
        return true;
    complaints_init(&list);
    const struct complaint what = {
        "value_error", "body", "device", -1, "Sema computes on the CPU, device is auto or cpu",
        NULL};
    complain(&list, &what, json_get(yyjson_doc_get_root(doc), "device"), STR_NONE);
    json_end_array(&list.out);
    call_fail_list(c, 422, "validation_error", buf_str(&list.json));
    complaints_fini(&list);
    return false;
}

/* A name as people say it would be taken by a provider without a list, and fail each request. */
static bool is_id(struct call *c, str type, const struct switch_request *q)
{
    struct arena *a = &c->r->arena;
    const char *of = arena_strf(a, "%.*s", STR_ARG(type)).at;
    const char *words = arena_strf(a, "%.*s", STR_ARG(q->model_name)).at;
    char id[CONF_ID_BYTES];

    if (q->model_version.len || !of || !words || conf_credential_missing(c->api->conf, of) ||
        !conf_id_meant(of, words, id))
        return true;
    call_fail(c, 404, "model_not_found",
              arena_strf(a, "Model not found; did you mean \"%s\"?", id));
    return false;
}

static void start(struct call *c, const struct switch_request *q)
{
    const struct conf *conf = c->api->conf;
    struct model_view now;
    struct switching *w = calloc(1, sizeof *w);
    str type = q->model_type;

    if (w == NULL) {
        call_out_of_memory(c);
        return;
    }
    if (type.len == 0 && models_view(c->api->parts.models, 0, &now)) type = str_of(now.type);
    if (!is_id(c, type, q)) {
        free(w);
        return;
    }
    w->call = c;
    w->at = c->at;
    call_wait(c, w, on_gone, on_end);
    enum err e =
        models_switch(c->api->parts.models, c->at->loop, type, q->model_name, q->model_version,
                      (uint64_t)conf->provider_total_timeout_ms, on_switched, w);
    if (e == ERR_NONE) return;
    call_waited(c);
    free(w);
    fail(c, e, NULL);
}

void model_switch_post(struct call *c)
{
    struct switch_request q = {.model_name = STR_NONE};
    yyjson_doc *doc;

    if (!c->api->conf->enable_model_switch) {
        call_fail(c, 403, "switch_disabled", STR("Model switching is disabled"));
        return;
    }
    if (!body_read(c, fields, sizeof fields / sizeof *fields, &q, &doc)) return;
    if (device_fits(c, &q, doc) && call_within_switch_limit(c)) start(c, &q);
    yyjson_doc_free(doc);
}
