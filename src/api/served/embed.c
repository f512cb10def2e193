/* POST /v1/embeddings (openai-compat.md section 6), and Ollama's /api/embed and /api/embeddings
 * (section 10): one core, three shapes. */
#include "api/served/embed.h"

#include "base/clock.h"
#include "base/log.h"
#include "chat/errand.h"

enum {
    BODY_BYTES_MAX = 256 << 20, /* 2048 vectors of 4096 numbers, and more */
    BYTES_PER_TOKEN = 4,
};

struct embed_form {
    bool (*read)(struct embed *m, yyjson_val *root, struct family_error *why);
    bool (*write)(const struct embed *m, const struct errand_end *end, int64_t tokens,
                  uint64_t total_us, struct buf *out);
};

struct embedding {
    struct embed m;
    const struct embed_form *form;
    struct errand *errand;
    uint64_t began_us;
};

/* ---- answers ---- */

static bool write_openai(const struct embed *m, const struct errand_end *end, int64_t tokens,
                         uint64_t total_us, struct buf *out)
{
    struct json_out o = json_begin(out);
    bool ok = true;

    (void)total_us;
    json_object(&o);
    json_key(&o, "object"), json_text(&o, STR("list"));
    json_key(&o, "data"), json_array(&o);
    for (size_t i = 0; i < end->what->count && ok; i++) {
        const struct embed_vector *v = &end->what->at[i];
        json_object(&o);
        json_key(&o, "object"), json_text(&o, STR("embedding"));
        json_key(&o, "index"), json_int(&o, (int64_t)i);
        json_key(&o, "embedding");
        ok = m->ask.packed ? embed_put_packed(&o, v) : embed_put_numbers(&o, v);
        json_end_object(&o);
    }
    json_end_array(&o);
    json_key(&o, "model"), json_text(&o, end->model_name);
    json_key(&o, "usage"), json_object(&o);
    json_key(&o, "prompt_tokens"), json_int(&o, tokens);
    json_key(&o, "total_tokens"), json_int(&o, tokens);
    json_end_object(&o);
    json_end_object(&o);
    return ok;
}

static bool write_ollama(const struct embed *m, const struct errand_end *end, int64_t tokens,
                         uint64_t total_us, struct buf *out)
{
    struct json_out o = json_begin(out);
    bool ok = true;

    json_object(&o);
    json_key(&o, "model"), json_text(&o, m->model);
    json_key(&o, "embeddings"), json_array(&o);
    for (size_t i = 0; i < end->what->count && ok; i++)
        ok = embed_put_numbers(&o, &end->what->at[i]);
    json_end_array(&o);
    json_key(&o, "total_duration"), json_int(&o, (int64_t)total_us * 1000);
    json_key(&o, "load_duration"), json_int(&o, 0);
    json_key(&o, "prompt_eval_count"), json_int(&o, tokens);
    json_end_object(&o);
    return ok;
}

static bool write_ollama_old(const struct embed *m, const struct errand_end *end, int64_t tokens,
                             uint64_t total_us, struct buf *out)
{
    struct json_out o = json_begin(out);
    bool ok = true;

    (void)m, (void)tokens, (void)total_us;
    json_object(&o);
    json_key(&o, "embedding");
    if (end->what->count) {
        ok = embed_put_numbers(&o, &end->what->at[0]);
    } else {
        json_array(&o), json_end_array(&o);
    }
    json_end_object(&o);
    return ok;
}

/* ---- the course of it ---- */

static void over(struct embedding *x)
{
    x->errand = NULL;
    call_waited(x->m.call);
    yyjson_doc_free(x->m.body);
    api_turn_ended(x->m.call->at);
}

/* The model is there, and its backend has no vectors. */
static void fail_without(struct call *c, const struct errand_end *end)
{
    const struct family_error f = {
        .status = c->family == FAMILY_OLLAMA ? 400 : 404,
        .code = "model_not_found",
        .param = STR("model"),
        .message = arena_strf(&c->r->arena,
                              "%s offers no embeddings; name a model of openai, google or hf_api "
                              "(\"openai/text-embedding-3-small\")",
                              end->type ? end->type : "this model"),
    };
    served_fail(c, &f);
}

static void answer(struct embedding *x, const struct errand_end *end)
{
    struct call *c = x->m.call;
    int64_t guess = (int64_t)(x->m.input_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    int64_t tokens = end->what->tokens >= 0 ? end->what->tokens : guess;
    struct err_note why = {.text = ""};
    struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    if (x->form->write(&x->m, end, tokens, clock_mono_us() - x->began_us, &body)) {
        call_json(c, 200, &body);
    } else {
        buf_fini(&body);
        err_set(&why, ERR_SERVER, "the provider's vectors cannot be read");
        served_fail_with(c, ERR_SERVER, &why);
    }
}

static void on_embedded(void *ctx, const struct errand_end *end)
{
    struct embedding *x = ctx;
    struct call *c = x->m.call;
    enum err e = end->what->e;

    log_event(e ? err_row(e)->level : LEVEL_INFO, "served",
              e ? "served_request_failed" : "served_request_completed",
              LOG_STR("model", end->model_name), LOG_CSTR("code", e ? err_row(e)->code : "ok"),
              LOG_CSTR("error", e ? err_text(&end->what->why, e) : ""),
              LOG_NUM("total_time", (double)(clock_mono_us() - x->began_us) / 1e6),
              LOG_CSTR("request_id", c->r->id));
    over(x);
    if (e == ERR_NOT_FOUND)
        fail_without(c, end);
    else if (e)
        served_fail_start(c, e, &end->what->why);
    else
        answer(x, end);
}

static void on_gone(struct call *c)
{
    struct embedding *x = c->own;

    errand_cancel(x->errand);
    over(x);
}

static void on_end(struct call *c)
{
    on_gone(c);
    served_fail_with(c, ERR_SHUTTING_DOWN, NULL);
}

static enum err start(struct embedding *x, struct err_note *why)
{
    struct call *c = x->m.call;
    const struct errand_ask ask = {
        .embed = &x->m.ask,
        .model = x->m.model,
        .total_ms = (uint64_t)c->api->conf->provider_total_timeout_ms,
    };

    if (c->at->draining) return ERR_SHUTTING_DOWN;
    return errand_start(&x->errand, c->api->parts.models, c->at->loop, &ask, on_embedded, x, why);
}

/* Ollama's clients may ask for nothing: then nobody is. */
static bool nothing_asked(const struct embed *m)
{
    return m->ask.count == 0 && m->ask.tokens_json.len == 0;
}

static void run(struct call *c, const struct embed_form *f)
{
    struct family_error bad = {.status = 503,
                               .code = "overloaded",
                               .message = STR("out of memory")};
    static const struct aside_end nothing = {.tokens = 0};
    struct err_note why = {.text = ""};
    struct embedding *x = arena_new(&c->r->arena, struct embedding);
    yyjson_doc *doc = NULL;

    if (x == NULL || !served_parse(c, &doc, &bad)) {
        served_fail(c, &bad);
        return;
    }
    x->form = f;
    x->began_us = clock_mono_us();
    x->m = (struct embed){.call = c, .body = doc, .ask.dimensions = -1};
    if (!f->read(&x->m, yyjson_doc_get_root(doc), &bad)) {
        served_fail(c, &bad);
    } else if (call_within_limit(c)) {
        enum err e = nothing_asked(&x->m) ? ERR_NONE : start(x, &why);
        if (!e && x->errand) {
            api_turn_begun(c->at);
            call_wait(c, x, on_gone, on_end);
            return;
        }
        if (e)
            served_fail_start(c, e, &why);
        else
            answer(x, &(struct errand_end){.what = &nothing});
    }
    yyjson_doc_free(doc);
}

void served_openai_embeddings(struct call *c)
{
    static const struct embed_form form = {embed_read_openai, write_openai};
    run(c, &form);
}

void served_ollama_embed(struct call *c)
{
    static const struct embed_form form = {embed_read_ollama, write_ollama};
    run(c, &form);
}

void served_ollama_embeddings(struct call *c)
{
    static const struct embed_form form = {embed_read_ollama_old, write_ollama_old};
    run(c, &form);
}
