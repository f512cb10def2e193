#include "api/route.h"

#include <stdio.h>

#define V1_CHAT "Chat API v1"
#define HEALTH "Health"

/* clang-format off */
const struct route routes[] = {
    {"GET", "/", ROUTE_OPEN | ROUTE_HEAD_NEW | ROUTE_HIDDEN, docs_root, NULL, NULL, NULL, NULL},
    {"GET", "/docs", ROUTE_OPEN | ROUTE_HEAD | ROUTE_HIDDEN, docs_page, NULL, NULL, NULL, NULL},
    {"GET", "/redoc", ROUTE_OPEN | ROUTE_HEAD | ROUTE_HIDDEN, docs_page, NULL, NULL, NULL, NULL},
    {"GET", "/openapi.json", ROUTE_OPEN | ROUTE_HEAD | ROUTE_HIDDEN, openapi_get, NULL, NULL, NULL, NULL},
    {"GET", "/health", ROUTE_OPEN | ROUTE_HEAD_NEW, health_plain, HEALTH, "health",
     "Whether the process is alive, and which model it speaks for", NULL},
    {"GET", "/status", ROUTE_OPEN | ROUTE_HEAD_NEW, health_status, HEALTH, "status",
     "Version and environment", NULL},
    {"POST", "/api/v1/chat", ROUTE_SPENDS, chat_post, V1_CHAT, "chat",
     "Answer one message of a session", "ChatResponse"},
    {"GET", "/api/v1/chat/stream", ROUTE_SPENDS | ROUTE_QUERY_KEY, chat_stream_get, V1_CHAT, "chat_stream",
     "The same as server-sent events", NULL},
    {"GET", "/api/v1/chat/ws", ROUTE_SPENDS | ROUTE_QUERY_KEY | ROUTE_UPGRADE | ROUTE_HIDDEN, chat_ws_get,
     NULL, NULL, NULL, NULL},
    {"GET", "/api/v1/sessions", 0, sessions_list, V1_CHAT, "list_sessions",
     "All sessions, oldest first", NULL},
    {"GET", "/api/v1/sessions/{session_id}", 0, sessions_get, V1_CHAT, "get_session",
     "A session with its messages", "ConversationHistory"},
    {"DELETE", "/api/v1/sessions/{session_id}", ROUTE_SPENDS, sessions_delete, V1_CHAT, "delete_session",
     "Forget a session", NULL},
    {"GET", "/api/v1/model/info", 0, about_model, V1_CHAT, "model_info",
     "The model of the moment and its defaults", "ModelInfo"},
    {"POST", "/api/v1/model/switch", ROUTE_SPENDS, model_switch_post, V1_CHAT, "model_switch",
     "Exchange the model for another, while requests run", NULL},
    {"GET", "/api/v1/models", 0, models_list, V1_CHAT, "list_models",
     "The models that may be named", "ModelList"},
    {"GET", "/api/v1/backends", 0, backends_list, V1_CHAT, "list_backends",
     "Each model's state, breaker and counts", "BackendList"},
    {"GET", "/api/v1/health", ROUTE_OPEN, health_api, V1_CHAT, "api_health",
     "Whether a model is ready", "HealthResponse"},
    {"GET", "/api/v1/status", ROUTE_OPEN, health_api_status, V1_CHAT, "api_status",
     "Version and time", NULL},
    {"GET", "/api/v1/metrics", 0, metrics_get, V1_CHAT, "metrics",
     "Counts for Prometheus, as text", NULL},
    {"POST", "/v1/chat/completions", ROUTE_SPENDS | ROUTE_HIDDEN, served_openai_chat, NULL, NULL, NULL, NULL},
    {"POST", "/v1/completions", ROUTE_SPENDS | ROUTE_HIDDEN, served_openai_completions, NULL, NULL, NULL, NULL},
    {"POST", "/v1/responses", ROUTE_SPENDS | ROUTE_HIDDEN, served_responses, NULL, NULL, NULL, NULL},
    {"POST", "/v1/messages", ROUTE_SPENDS | ROUTE_HIDDEN, served_anthropic_messages, NULL, NULL, NULL, NULL},
    {"POST", "/v1/messages/count_tokens", ROUTE_SPENDS | ROUTE_HIDDEN, served_anthropic_count, NULL, NULL, NULL, NULL},
    {"GET", "/v1/models", ROUTE_HIDDEN, served_openai_models, NULL, NULL, NULL, NULL},
    {"GET", "/v1/models/{id}", ROUTE_HIDDEN | ROUTE_REST, served_openai_model, NULL, NULL, NULL, NULL},
    {"POST", "/v1/embeddings", ROUTE_SPENDS | ROUTE_HIDDEN, served_openai_embeddings, NULL, NULL, NULL, NULL},
    {"POST", "/api/chat", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_chat, NULL, NULL, NULL, NULL},
    {"POST", "/api/generate", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_generate, NULL, NULL, NULL, NULL},
    {"GET", "/api/tags", ROUTE_HIDDEN, served_ollama_tags, NULL, NULL, NULL, NULL},
    {"GET", "/api/ps", ROUTE_HIDDEN, served_ollama_ps, NULL, NULL, NULL, NULL},
    {"GET", "/api/version", ROUTE_HIDDEN, served_ollama_version, NULL, NULL, NULL, NULL},
    {"POST", "/api/show", ROUTE_HIDDEN, served_ollama_show, NULL, NULL, NULL, NULL},
    {"POST", "/api/embed", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_embed, NULL, NULL, NULL, NULL},
    {"POST", "/api/embeddings", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_embeddings, NULL, NULL, NULL, NULL},
    {"POST", "/api/pull", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_elsewhere, NULL, NULL, NULL, NULL},
    {"DELETE", "/api/delete", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_elsewhere, NULL, NULL, NULL, NULL},
    {"POST", "/api/create", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_elsewhere, NULL, NULL, NULL, NULL},
    {"POST", "/api/copy", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_elsewhere, NULL, NULL, NULL, NULL},
    {"POST", "/api/push", ROUTE_SPENDS | ROUTE_HIDDEN, served_ollama_elsewhere, NULL, NULL, NULL, NULL},
    {"POST", "/v1beta/models/{model}:generateContent", ROUTE_SPENDS | ROUTE_HIDDEN | ROUTE_REST, served_google_generate, NULL, NULL, NULL, NULL},
    {"POST", "/v1beta/models/{model}:streamGenerateContent", ROUTE_SPENDS | ROUTE_HIDDEN | ROUTE_REST, served_google_stream, NULL, NULL, NULL, NULL},
    {"POST", "/v1beta/models/{model}:countTokens", ROUTE_SPENDS | ROUTE_HIDDEN | ROUTE_REST, served_google_count, NULL, NULL, NULL, NULL},
    {"GET", "/v1beta/models", ROUTE_HIDDEN, served_google_models, NULL, NULL, NULL, NULL},
    {"GET", "/v1beta/models/{model}", ROUTE_HIDDEN | ROUTE_REST | ROUTE_VERBS, served_google_model, NULL, NULL, NULL, NULL},
    {"GET", "/metrics", ROUTE_METRICS | ROUTE_HIDDEN, metrics_get, NULL, NULL, NULL, NULL},
};
/* clang-format on */
const size_t routes_count = sizeof routes / sizeof *routes;

size_t route_index(const struct route *r)
{
    return r ? (size_t)(r - routes) : routes_count;
}

const char *route_path(const struct route *r, const struct conf *conf)
{
    return r->flags & ROUTE_METRICS ? conf->metrics_path : r->path;
}

static bool path_fits(const struct route *r, const struct conf *conf, str path, str *parameter)
{
    str want = str_of(route_path(r, conf));
    size_t brace = str_find_char(want, '{');

    if ((r->flags & ROUTE_METRICS) && !conf->enable_metrics) return false;
    if (brace == STR_NPOS) return str_eq(path, want);
    str verb = str_tail(want, str_find_char(want, '}') + 1);
    if (!str_starts(path, str_head(want, brace)) || path.len < brace + verb.len ||
        !str_ends(path, verb))
        return false;
    *parameter = str_span(path.at + brace, path.len - brace - verb.len);
    return parameter->len > 0 &&
           ((r->flags & ROUTE_REST) || str_find_char(*parameter, '/') == STR_NPOS);
}

static bool method_fits(const struct route *r, str method)
{
    return str_eq(method, str_of(r->method)) ||
           ((r->flags & (ROUTE_HEAD | ROUTE_HEAD_NEW)) && str_eq(method, STR("HEAD")));
}

static bool known(const struct conf *conf, str path, bool upgrade)
{
    str unused;

    for (size_t i = 0; i < routes_count; i++)
        if ((!(routes[i].flags & ROUTE_UPGRADE) || upgrade) &&
            path_fits(&routes[i], conf, path, &unused))
            return true;
    return false;
}

/* A POST whose path ends in a verb; a GET's ":8b" belongs to a name. */
static bool has_verb(str method, str path)
{
    return str_eq(method, STR("POST")) &&
           str_find_char(str_tail(path, str_rfind_char(path, '/')), ':') != STR_NPOS;
}

enum route_found route_find(const struct route **out, str *parameter, char allow[ROUTE_ALLOW_BYTES],
                            const struct conf *conf, str method, str path, bool upgrade)
{
    int n = 0;

    for (size_t i = 0; i < routes_count; i++) {
        const struct route *r = &routes[i];
        if ((r->flags & ROUTE_UPGRADE) && !(upgrade && str_eq(method, STR("GET")))) continue;
        if ((r->flags & ROUTE_VERBS) && (n || has_verb(method, path))) continue;
        if (!path_fits(r, conf, path, parameter)) continue;
        if (method_fits(r, method)) {
            *out = r;
            return ROUTE_FOUND;
        }
        n += snprintf(allow + n, (size_t)(ROUTE_ALLOW_BYTES - n), "%s%s%s", n ? ", " : "",
                      r->method, r->flags & ROUTE_HEAD ? ", HEAD" : "");
    }
    if (n) return ROUTE_METHOD;
    if (path.len > 1 && str_ends(path, STR("/")) &&
        known(conf, str_head(path, path.len - 1), upgrade))
        return ROUTE_SLASH;
    return ROUTE_NONE;
}
