/* What there is, in the words of Ollama's clients: tags, ps, show, version (openai-compat.md
 * section 10). */
#include "api/listing.h"

#include "api/served/served.h"
#include "base/clock.h"
#include "conf/limits.h"

enum { LIST_BYTES_MAX = 8 << 20, DIGEST_CHARS = 64, IDLE_US = 5 * 60 * 1000 * 1000 };

/* "8.0B", "268.1K" */
static str size_text(struct arena *a, uint64_t parameters)
{
    double n = (double)parameters;

    if (parameters == 0) return STR("");
    if (n >= 1e9) return arena_strf(a, "%.1fB", n / 1e9);
    return n >= 1e6 ? arena_strf(a, "%.2fM", n / 1e6) : arena_strf(a, "%.2fK", n / 1e3);
}

static void put_details(struct call *c, struct json_out *o, const struct listed *l)
{
    const struct backend_files *f = l->files;
    str family = f && f->family.len ? f->family : l->type;

    json_key(o, "details"), json_object(o);
    json_key(o, "format"), json_text(o, f ? f->format : STR(""));
    json_key(o, "family"), json_text(o, family);
    json_key(o, "families"), json_array(o), json_text(o, family), json_end_array(o);
    json_key(o, "parameter_size"),
        json_text(o, f ? size_text(&c->r->arena, f->parameters) : STR(""));
    json_key(o, "quantization_level"), json_text(o, f ? f->quantization : STR(""));
    json_end_object(o);
}

/* Another's model has no files here: its name, hashed (FNV-1a), is what stays the same. */
static str digest_of(struct arena *a, const struct listed *l)
{
    static const char hex[] = "0123456789abcdef";
    char digits[DIGEST_CHARS];
    uint64_t h = UINT64_C(14695981039346656037);

    if (l->files && l->files->digest.len) return l->files->digest;
    for (size_t i = 0; i < l->type.len; i++)
        h = (h ^ (unsigned char)l->type.at[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < l->name.len; i++)
        h = (h ^ (unsigned char)l->name.at[i]) * UINT64_C(1099511628211);
    for (int i = 0; i < DIGEST_CHARS; i++) {
        if (i % 16 == 0) h = (h ^ (uint64_t)i) * UINT64_C(1099511628211);
        digits[i] = hex[h >> (i % 16 * 4) & 15];
    }
    return arena_str(a, str_span(digits, DIGEST_CHARS));
}

static void put_time(struct json_out *o, const char *key, uint64_t us)
{
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, us);
    json_key(o, key), json_text(o, str_of(when));
}

static void put_model(struct call *c, struct json_out *o, const struct listed *l, bool running)
{
    const struct backend_files *f = l->files;

    json_object(o);
    json_key(o, "name"), json_text(o, l->id);
    json_key(o, "model"), json_text(o, l->id);
    put_time(o, "modified_at", listing_made_s(c, l) * 1000000);
    json_key(o, "size"), json_int(o, f ? (int64_t)f->bytes : 0);
    json_key(o, "digest"), json_text(o, digest_of(&c->r->arena, l));
    put_details(c, o, l);
    if (running) {
        /* Those of the settings stay; others go when nobody used them for so long. */
        put_time(o, "expires_at",
                 clock_wall_us() +
                     (l->configured ? UINT64_C(365) * 24 * 3600 * 1000000 : (uint64_t)IDLE_US));
        json_key(o, "size_vram"), json_int(o, 0);
        if (l->context_length) json_key(o, "context_length"), json_int(o, l->context_length);
    }
    json_end_object(o);
}

static void give(struct call *c, const struct listing *l, bool running)
{
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "models"), json_array(&o);
    for (size_t i = 0; i < l->count; i++) {
        const struct listed *x = &l->at[i];
        bool loaded = x->files ? x->ready : x->ready && x->configured;
        if (!running || (loaded && !x->alias)) put_model(c, &o, x, running);
    }
    json_end_array(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void give_tags(struct call *c, const struct listing *l)
{
    give(c, l, false);
}

static void give_ps(struct call *c, const struct listing *l)
{
    give(c, l, true);
}

void served_ollama_tags(struct call *c)
{
    listing_ask(c, give_tags);
}

void served_ollama_ps(struct call *c)
{
    listing_ask(c, give_ps);
}

void served_ollama_version(struct call *c)
{
    struct buf body;

    buf_init(&body, 256);
    buf_add(&body, STR("{\"version\":\"0.12.0\"}"));
    call_json(c, 200, &body);
}

/* ---- show ---- */

static void put_capabilities(struct json_out *o, const struct listed *l)
{
    const struct backend_files *f = l->files;

    json_key(o, "capabilities"), json_array(o);
    json_text(o, STR("completion"));
    if (f ? f->takes_tools : (l->can & BACKEND_TOOLS) || l->can == 0) json_text(o, STR("tools"));
    if (l->can & BACKEND_IMAGES) json_text(o, STR("vision"));
    if (l->can & BACKEND_REASON) json_text(o, STR("thinking"));
    json_end_array(o);
}

static void put_info(struct call *c, struct json_out *o, const struct listed *l)
{
    const struct backend_files *f = l->files;
    str family = f && f->family.len ? f->family : l->type;
    str key = arena_strf(&c->r->arena, "%.*s.context_length", STR_ARG(family));

    json_key(o, "model_info"), json_object(o);
    json_key(o, "general.architecture"), json_text(o, family);
    json_key(o, "general.basename"), json_text(o, l->name);
    if (f && f->parameters)
        json_key(o, "general.parameter_count"), json_int(o, (int64_t)f->parameters);
    if (l->context_length && key.at) json_key(o, key.at), json_int(o, l->context_length);
    json_end_object(o);
}

static void show(struct call *c, const struct listed *l)
{
    const struct backend_files *f = l->files;
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "parameters");
    json_text(&o, l->context_length ? arena_strf(&c->r->arena, "num_ctx                        %d",
                                                 l->context_length)
                                    : STR(""));
    json_key(&o, "template"), json_text(&o, f ? f->chat_template : STR(""));
    put_details(c, &o, l);
    put_info(c, &o, l);
    put_capabilities(&o, l);
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void give_show(struct call *c, const struct listing *l)
{
    yyjson_doc *doc = NULL;
    struct listed unlisted;
    str name = STR_NONE;

    if (!json_read(&doc, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL)) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        name = json_get_str(root, "model");
        if (name.len == 0) name = json_get_str(root, "name");
        name = arena_str(&c->r->arena, name);
    }
    yyjson_doc_free(doc);
    if (str_ends(name, STR(":latest"))) name.len -= strlen(":latest");
    const struct listed *found = name.len ? listing_resolve(c, l, name, &unlisted) : NULL;
    if (found)
        show(c, found);
    else
        served_no_such_model(c, name);
}

void served_ollama_show(struct call *c)
{
    const struct family_error bad = {.status = 400,
                                     .message = STR("the body must be an object with a model")};
    yyjson_doc *doc = NULL;
    bool named = false;

    if (!json_read(&doc, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL)) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        named = json_get_str(root, "model").len || json_get_str(root, "name").len;
    }
    yyjson_doc_free(doc);
    if (named)
        listing_ask(c, give_show);
    else
        served_fail(c, &bad);
}

/* What manages models there is done by commands here. */
void served_ollama_elsewhere(struct call *c)
{
    const struct family_error e = {
        .status = 501,
        .message = STR("models are managed by the commands sema pull, sema models and sema rm")};
    served_fail(c, &e);
}
