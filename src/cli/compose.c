#include "cli/compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "chat/chat.h"
#include "chat/models.h"
#include "conf/conf.h"
#include "http/client.h"
#include "hub/hub.h"
#include "store/store.h"

enum { BACKENDS_MAX = 16 }; /* rows of the composition root */

/* The guide's first model, used when nothing is said and it is here. */
static const char default_model[] = "TinyLlama/TinyLlama-1.1B-Chat-v1.0";

static bool is_local(const char *type)
{
    return strcmp(type, "local") == 0;
}

enum err compose_model_name(const struct program *p, struct conf *c, struct err_note *why)
{
    struct arena a;
    const char *path;

    if (c->model.name || !is_local(c->model.type)) return ERR_NONE;
    arena_init(&a, 0);
    enum err e = hub_find(&path, str_of(default_model), c->model_path, c->hf_hub_cache, &a, NULL);
    arena_fini(&a);
    if (e == ERR_MEMORY) return err_set(why, e, "out of memory");
    c->model.name = e || p->embedded_count == 0 ? p->embedded[0].model : default_model;
    for (int i = 0; i < c->fallbacks_count; i++)
        if (is_local(c->fallbacks[i].type) && strcmp(c->fallbacks[i].name, c->model.name) == 0)
            return err_set(why, ERR_INVALID, "%s: same model as MODEL_TYPE/MODEL_NAME",
                           c->fallbacks_chain ? "FALLBACK_MODELS" : "FALLBACK_MODEL_NAME");
    return ERR_NONE;
}

bool compose_is_embedded(const struct program *p, const struct conf *c)
{
    for (size_t i = 0; i < p->embedded_count; i++)
        if (is_local(c->model.type) && strcmp(c->model.name, p->embedded[i].model) == 0)
            return true;
    return false;
}

/* ---- the store ---- */

enum err compose_shelf(struct compose *to, const struct program *p, const struct conf *c,
                       const char *address, struct err_note *why)
{
    struct shelf_conf conf = {
        .kinds = p->stores,
        .address = str_of(address ? address : c->session_store),
        .sync_full = c->session_sync_full,
        .timeout_us = (uint64_t)c->session_timeout_ms * 1000,
        .sessions_max = (uint64_t)c->max_sessions,
        .owner_sessions_max = (uint64_t)c->max_sessions_per_user,
    };
    if (conf.address.len == 0)
        return err_set(
            why, ERR_STORE,
            "no place for sessions can be written ($STATE_DIRECTORY, $XDG_STATE_HOME/sema, "
            "~/.local/state/sema); set SESSION_STORE");
    return shelf_open(&to->shelf, &conf, why);
}

/* ---- models ---- */

static str text_at(const struct conf *c, size_t offset)
{
    return offset ? str_of(*(const char *const *)((const char *)c + offset)) : STR_NONE;
}

enum err compose_model(struct model_conf *out, const struct program *p, const struct conf *c,
                       struct conf_model m, enum model_role role, struct err_note *why)
{
    for (size_t i = 0; i < p->backends_count; i++) {
        const struct program_backend *b = &p->backends[i];
        if (strcmp(b->ops->type, m.type) != 0) continue;
        struct backend_conf *to = &out->conf;
        *out = (struct model_conf){.role = role, .ops = b->ops};
        to->type = b->ops->type;
        to->model = str_of(m.name);
        to->base_url = text_at(c, b->base_url);
        to->key = text_at(c, b->key);
        to->version = text_at(c, b->version);
        to->organization = text_at(c, b->organization);
        to->project = text_at(c, b->project);
        if (to->key.len == 0 && b->bearer) {
            to->key = text_at(c, b->bearer);
            to->key_is_bearer = to->key.len > 0;
        }
        to->retries = c->provider_retries;
        to->connect_ms = (uint32_t)c->provider_connect_timeout_ms;
        to->idle_ms = (uint32_t)c->provider_idle_timeout_ms;
        to->total_ms = (uint32_t)c->provider_total_timeout_ms;
        to->model_path = c->model_path;
        to->hub_cache = c->hf_hub_cache;
        to->offline = c->hf_hub_offline;
        to->hub_endpoint = c->hf_endpoint;
        to->hub_token = c->hf_api_token;
        to->ctx_tokens = c->max_length;
        to->threads = c->local_threads;
        to->queue_max = (size_t)c->local_queue;
        to->embedded = p->embedded;
        to->embedded_count = p->embedded_count;
        return ERR_NONE;
    }
    return err_set(why, ERR_UNSUPPORTED, "the backend %s is not built in", m.type);
}

/* What else may be named or switched to: any backend but the one for tests, whose models are paths.
 */
static enum err compose_more(struct models *models, const struct program *p, const struct conf *c,
                             struct err_note *why)
{
    struct model_conf types[BACKENDS_MAX];
    str *aliases = c->model_aliases.count ? calloc(c->model_aliases.count, sizeof(str)) : NULL;
    struct models_more more = {
        .types = types,
        .aliases = aliases,
        .aliases_count = aliases ? c->model_aliases.count : 0,
        .loads = "local",
        .any = c->client_models_any,
        .breaker_failures = c->provider_breaker_failures,
    };
    enum err e = ERR_NONE;

    for (size_t i = 0; i < more.aliases_count; i++) aliases[i] = str_of(c->model_aliases.at[i]);
    for (size_t i = 0; i < p->backends_count && more.types_count < BACKENDS_MAX && !e; i++) {
        struct conf_model any = {.type = p->backends[i].ops->type};
        if (strcmp(any.type, "scripted") == 0) continue;
        struct model_conf *row = &types[more.types_count++];
        e = compose_model(row, p, c, any, MODEL_OTHER, why);
        row->conf.offline = true; /* nobody's request and no switch downloads anything */
        /* MINIMAX_MODEL_VERSION renames the models of the settings only (configuration.md note 2).
         */
        if (strcmp(any.type, "minimax") == 0) row->conf.version = STR_NONE;
    }
    if (!e) e = models_more(models, &more, why);
    free(aliases);
    return e;
}

static enum err compose_models(struct compose *to, const struct program *p, const struct conf *c,
                               struct loop *loop, struct err_note *why)
{
    struct model_conf at[CONF_FALLBACKS_MAX + 2];
    size_t count = 0;
    enum err e = compose_model(&at[count++], p, c, c->model, MODEL_PRIMARY, why);

    for (int i = 0; !e && i < c->fallbacks_count; i++)
        e = compose_model(&at[count++], p, c, c->fallbacks[i], MODEL_FALLBACK, why);
    if (!e && c->reasoning.type)
        e = compose_model(&at[count++], p, c, c->reasoning, MODEL_REASONING, why);
    if (!e) e = models_new(&to->models, loop, at, count, why);
    return e ? e : compose_more(to->models, p, c, why);
}

enum err compose_chat(struct compose *to, const struct program *p, const struct conf *c,
                      struct loop *loop, struct err_note *why)
{
    struct chat_conf conf = {
        .temperature = c->temperature,
        .top_p = c->top_p,
        .top_k = c->top_k,
        .max_new_tokens = c->max_new_tokens,
        .sampling_defaults = (c->temperature_set ? 0u : DEFAULT_TEMPERATURE) |
                             (c->top_p_set ? 0u : DEFAULT_TOP_P) |
                             (c->top_k_set ? 0u : DEFAULT_TOP_K),
        .show_reasoning = c->show_reasoning,
        .stream_rescue = c->stream_rescue,
        .max_messages = (uint64_t)c->max_messages_per_session,
        .total_timeout_ms = (uint64_t)c->provider_total_timeout_ms,
        .session_timeout_us = (uint64_t)c->session_timeout_ms * 1000,
        .owner_sessions_max = (uint64_t)c->max_sessions_per_user,
        .system_prompt = str_of(c->system_prompt),
        .system_prompt_chat = str_of(c->system_prompt_chat),
        .system_prompt_code = str_of(c->system_prompt_code),
        .system_prompt_creative = str_of(c->system_prompt_creative),
    };
    enum err e = compose_models(to, p, c, loop, why);

    return e ? e : chat_new(&to->chat, &conf, to->shelf, to->models, why);
}

void compose_tell_failure(const struct conf *c, enum err e, const struct err_note *why)
{
    char text[sizeof why->text + 64];
    /* Which of the models a file or name belongs to, the note says itself (a gated one's, too). */
    bool credential = (e == ERR_AUTH || e == ERR_CREDENTIAL) &&
                      !str_starts(str_of(err_text(why, e)), STR("model \""));

    snprintf(text, sizeof text, "%s%s%s%s", credential ? "MODEL_TYPE=" : "",
             credential ? c->model.type : "", credential ? ": " : "", err_text(why, e));
    log_event(LEVEL_ERROR, "serve", "startup_failed", LOG_CSTR("error", text));
    fprintf(stderr, "startup: %s\n", text);
}

enum err compose_client(struct http_client **out, const struct program *p, const struct conf *c,
                        struct loop *loop, struct err_note *why)
{
    char agent[64];
    struct http_client_conf conf = {
        .proxy = c->https_proxy,
        .no_proxy = c->no_proxy,
        .ca_file = c->ssl_cert_file,
        .ca_dir = c->ssl_cert_dir,
        .user_agent = agent,
    };

    snprintf(agent, sizeof agent, "sema/%s", p->version);
    return http_client_new(out, loop, &conf, why);
}

void compose_end(struct compose *of)
{
    if (of->chat) chat_free(of->chat);
    if (of->models) models_free(of->models);
    shelf_close(of->shelf);
    *of = (struct compose){0};
}
