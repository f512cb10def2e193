/* Which models there are, in the words of OpenAI's and Ollama's clients (openai-compat.md sections
 * 6 and 10): the aliases and the configured models. */
#include "api/served/listing.h"

#include "api/served/anthropic.h"

#include <stdio.h>

#include "base/clock.h"
#include "conf/limits.h"

enum { LIST_BYTES_MAX = 8 << 20, NAMES_MAX = 256 };

static bool shared_name(const struct models *m, const struct model_view *v)
{
    struct model_view other;
    int same = 0;

    for (size_t i = 0; models_view(m, i, &other); i++)
        same += other.role != MODEL_OTHER && str_eq(other.name, v->name) &&
                strcmp(other.type, v->type) != 0;
    return same > 0;
}

size_t listing_names(struct call *c, struct listed *out, size_t max)
{
    const struct models *m = c->api->parts.models;
    const struct conf_list *aliases = &c->api->conf->model_aliases;
    struct model_view v;
    size_t n = 0;

    for (size_t i = 0; i < aliases->count && n < max; i++) {
        str alias = str_of(aliases->at[i]);
        size_t equals = str_find_char(alias, '=');
        if (equals == STR_NPOS) continue;
        str target = str_tail(alias, equals + 1);
        size_t slash = str_find_char(target, '/');
        out[n++] = (struct listed){.id = str_head(alias, equals),
                                   .type = str_head(target, slash == STR_NPOS ? 0 : slash),
                                   .ready = true};
    }
    for (size_t i = 0; n < max && models_view(m, i, &v); i++) {
        if (v.role == MODEL_OTHER) continue;
        str id = shared_name(m, &v) ? arena_strf(&c->r->arena, "%s/%.*s", v.type, STR_ARG(v.name))
                                    : arena_str(&c->r->arena, v.name);
        bool known = false;
        for (size_t k = 0; k < n; k++) known = known || str_eq(out[k].id, id);
        if (!known)
            out[n++] =
                (struct listed){.id = id, .type = str_of(v.type), .ready = v.state == MODEL_READY};
    }
    return n;
}

/* ---- OpenAI ---- */

static const char *owner_of(str type)
{
    static const char *const names[][2] = {{"hf_api", "huggingface"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(type, str_of(names[i][0]))) return names[i][1];
    return NULL;
}

static void put_model(struct call *c, struct json_out *o, const struct listed *l)
{
    const char *owner = owner_of(l->type);
    uint64_t started_s = (clock_wall_us() - (clock_mono_us() - c->api->started_us)) / 1000000;

    json_object(o);
    json_key(o, "id"), json_text(o, l->id);
    json_key(o, "object"), json_text(o, STR("model"));
    json_key(o, "created"), json_int(o, (int64_t)started_s);
    json_key(o, "owned_by"), json_text(o, owner         ? str_of(owner)
                                          : l->type.len ? l->type
                                                        : STR("sema"));
    json_end_object(o);
}

static void no_such_model(struct call *c, str id)
{
    const struct family_error e = {.status = 404,
                                   .code = "model_not_found",
                                   .param = STR("model"),
                                   .message = arena_strf(&c->r->arena, "model '%.*s' not found",
                                                         STR_ARG(str_head(id, 200)))};
    served_fail(c, &e);
}

void served_openai_models(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);
    struct buf body;

    if (c->family == FAMILY_ANTHROPIC) {
        served_anthropic_models(c);
        return;
    }
    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "object"), json_text(&o, STR("list"));
    json_key(&o, "data"), json_array(&o);
    for (size_t i = 0; i < n; i++) put_model(c, &o, &list[i]);
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

void served_openai_model(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);

    for (size_t i = 0; i < n; i++) {
        struct buf body;
        str typed =
            arena_strf(&c->r->arena, "%.*s/%.*s", STR_ARG(list[i].type), STR_ARG(list[i].id));
        if (!str_eq(list[i].id, c->session) && !str_eq(typed, c->session)) continue;
        if (c->family == FAMILY_ANTHROPIC) {
            served_anthropic_model(c, list[i].id);
            return;
        }
        buf_init(&body, LIST_BYTES_MAX);
        struct json_out o = json_begin(&body);
        put_model(c, &o, &list[i]);
        call_json(c, 200, &body);
        return;
    }
    no_such_model(c, c->session);
}

/* ---- Ollama ---- */

static void put_details(struct json_out *o, const struct listed *l)
{
    json_key(o, "details"), json_object(o);
    json_key(o, "format"),
        json_text(o, str_eq(l->type, STR("local")) ? STR("safetensors") : STR(""));
    json_key(o, "family"), json_text(o, l->type);
    json_key(o, "families"), json_array(o), json_text(o, l->type), json_end_array(o);
    json_key(o, "parameter_size"), json_text(o, STR(""));
    json_key(o, "quantization_level"), json_text(o, STR(""));
    json_end_object(o);
}

static void list_ollama(struct call *c, bool ready_only)
{
    struct listed list[NAMES_MAX];
    char when[CLOCK_ISO_BYTES];
    size_t n = listing_names(c, list, NAMES_MAX);
    struct buf body;

    clock_iso(when, clock_wall_us() - (clock_mono_us() - c->api->started_us));
    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; i < n; i++) {
        if (ready_only && !list[i].ready) continue;
        json_object(&o);
        json_key(&o, "name"), json_text(&o, list[i].id);
        json_key(&o, "model"), json_text(&o, list[i].id);
        json_key(&o, "modified_at"), json_text(&o, str_of(when));
        json_key(&o, "size"), json_int(&o, 0);
        json_key(&o, "digest"), json_text(&o, STR(""));
        put_details(&o, &list[i]);
        json_end_object(&o);
    }
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

void served_ollama_tags(struct call *c)
{
    list_ollama(c, false);
}

void served_ollama_ps(struct call *c)
{
    list_ollama(c, true);
}

void served_ollama_version(struct call *c)
{
    struct buf body;

    buf_init(&body, 256);
    buf_add(&body, STR("{\"version\":\"0.12.0\"}"));
    call_json(c, 200, &body);
}

static void show(struct call *c, const struct listed *l)
{
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    put_details(&o, l);
    json_key(&o, "model_info"), json_object(&o);
    json_key(&o, "general.architecture"), json_text(&o, l->type);
    json_end_object(&o);
    json_key(&o, "capabilities"), json_array(&o);
    json_text(&o, STR("completion"));
    json_text(&o, STR("tools"));
    json_end_array(&o);
    json_key(&o, "template"), json_text(&o, STR(""));
    json_key(&o, "parameters"), json_text(&o, STR(""));
    json_end_object(&o);
    call_json(c, 200, &body);
}

void served_ollama_show(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);
    yyjson_doc *doc = NULL;
    str name = STR_NONE;

    if (!json_read(&doc, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL)) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        name = json_get_str(root, "model");
        if (name.len == 0) name = json_get_str(root, "name");
        name = arena_str(&c->r->arena, name);
    }
    yyjson_doc_free(doc);
    if (name.len == 0) {
        const struct family_error e = {.status = 400,
                                       .message = STR("the body must be an object with a model")};
        served_fail(c, &e);
        return;
    }
    if (str_ends(name, STR(":latest"))) name.len -= strlen(":latest");
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i].id, name)) {
            show(c, &list[i]);
            return;
        }
    no_such_model(c, name);
}

/* What manages models there is done by commands here. */
void served_ollama_elsewhere(struct call *c)
{
    const struct family_error e = {
        .status = 501,
        .message = STR("models are managed by the commands sema pull, sema models and sema rm")};
    served_fail(c, &e);
}
