/* Requests of Ollama's clients that ask for nothing but the model (openai-compat.md section 10). */
#include "api/served/ollama.h"

#include "base/clock.h"
#include "chat/errand.h"
#include "conf/limits.h"

enum { ANSWER_BYTES_MAX = 8192, LOAD_BYTES_MAX = 4096 };

struct loading {
    struct call *call;
    struct errand *errand;
    str model; /* as the client wrote it */
    uint64_t began_us;
    bool chat, unload;
};

bool ollama_unloads(yyjson_val *keep_alive)
{
    str s = json_str(keep_alive); /* of a raw number too */

    if (yyjson_is_num(keep_alive)) return yyjson_get_num(keep_alive) == 0;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] >= '1' && s.at[i] <= '9') return false;
    return s.len > 0 && s.at[0] == '0';
}

static void answer(const struct loading *l)
{
    struct call *c = l->call;
    char when[CLOCK_ISO_BYTES];
    uint64_t us = clock_mono_us() - l->began_us;
    struct buf body;

    buf_init(&body, ANSWER_BYTES_MAX);
    clock_iso(when, clock_wall_us());
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "model"), json_text(&o, l->model);
    json_key(&o, "created_at"), json_text(&o, str_of(when));
    if (l->chat) {
        json_key(&o, "message"), json_object(&o);
        json_key(&o, "role"), json_text(&o, STR("assistant"));
        json_key(&o, "content"), json_text(&o, STR(""));
        json_end_object(&o);
    } else {
        json_key(&o, "response"), json_text(&o, STR(""));
    }
    json_key(&o, "done"), json_bool(&o, true);
    json_key(&o, "done_reason"), json_text(&o, l->unload ? STR("unload") : STR("load"));
    if (!l->unload) {
        json_key(&o, "total_duration"), json_int(&o, (int64_t)us * 1000);
        json_key(&o, "load_duration"), json_int(&o, (int64_t)us * 1000);
    }
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void over(struct loading *l)
{
    l->errand = NULL;
    call_waited(l->call);
    api_turn_ended(l->call->at);
}

static void on_loaded(void *ctx, const struct errand_end *end)
{
    struct loading *l = ctx;

    over(l);
    if (end->what->e)
        served_fail_start(l->call, end->what->e, &end->what->why);
    else
        answer(l);
}

static void on_gone(struct call *c)
{
    struct loading *l = c->own;

    errand_cancel(l->errand);
    over(l);
}

static void on_end(struct call *c)
{
    on_gone(c);
    served_fail_with(c, ERR_SHUTTING_DOWN, NULL);
}

static void load(struct loading *l)
{
    struct call *c = l->call;
    struct err_note why = {.text = ""};
    const struct errand_ask ask = {
        .model = l->model,
        .total_ms = (uint64_t)c->api->conf->provider_total_timeout_ms,
    };
    enum err e = c->at->draining ? ERR_SHUTTING_DOWN
                                 : errand_start(&l->errand, c->api->parts.models, c->at->loop, &ask,
                                                on_loaded, l, &why);
    if (e) {
        served_fail_start(c, e, &why);
        return;
    }
    api_turn_begun(c->at);
    call_wait(c, l, on_gone, on_end);
}

static void unload(struct loading *l)
{
    struct models *m = l->call->api->parts.models;
    struct err_note why = {.text = ""};
    struct model_view v;
    enum err e = models_resolve(m, l->model, &v, &why);

    if (e) {
        served_fail_start(l->call, e, &why);
        return;
    }
    models_unload(m, l->model);
    answer(l);
}

static bool is_empty(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || (yyjson_is_arr(v) && yyjson_arr_size(v) == 0) ||
           (yyjson_is_str(v) && yyjson_get_len(v) == 0);
}

bool ollama_load(struct call *c, bool chat)
{
    struct loading *l = arena_new(&c->r->arena, struct loading);
    yyjson_doc *doc;

    if (c->r->body.len > LOAD_BYTES_MAX) return false; /* it asks for more, and is read later */
    if (l == NULL || json_read(&doc, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    str model = json_get_str(root, "model");
    bool only = model.len > 0 &&
                (chat ? is_empty(json_get(root, "messages"))
                      : is_empty(json_get(root, "prompt")) && is_empty(json_get(root, "images")));
    if (str_ends(model, STR(":latest"))) model.len -= strlen(":latest");
    *l = (struct loading){
        .call = c,
        .model = arena_str(&c->r->arena, model),
        .began_us = clock_mono_us(),
        .chat = chat,
        .unload = ollama_unloads(json_get(root, "keep_alive")),
    };
    yyjson_doc_free(doc);
    if (!only || l->model.at == NULL) return false;
    if (!call_within_limit(c)) return true;
    if (l->unload)
        unload(l);
    else
        load(l);
    return true;
}
