/* Defaults that depend on other settings or on the machine, and lists whose items have a form. */
#include <stdlib.h>
#include <unistd.h>

#include "base/utf8.h"
#include "conf/state.h"
#include "conf/values.h"

bool conf_is_loopback(const struct conf *c)
{
    return values_is_loopback(str_of(c->host));
}

static bool given(const struct conf *c, const char *name)
{
    return conf_source(c, name)->raw != NULL;
}

static bool has_credential(const struct conf *c)
{
    return c->api_key || c->jwt_secret;
}

/* ---- application and server ---- */

static void settle_host(struct conf *c)
{
    str host = str_trim(str_of(c->host));

    if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = str_head(str_tail(host, 1), host.len - 2);
    bool fine = host.len > 0 && (values_ip(host) || str_find_char(host, ':') == STR_NPOS);
    for (size_t i = 0; i < host.len; i++)
        fine = fine && (unsigned char)host.at[i] > ' ' && !strchr("/\\\"'[]@?#", host.at[i]);
    if (!fine)
        conf_mistake(c, "HOST", "not an address or host name: \"%s\"",
                     conf_quote(c, str_of(c->host)));
    c->host = conf_keep(c, host);
}

/* A list with each item made regular by `item`, which gives NULL for one that is wrong. */
static void settle_list(struct conf *c, struct conf_list *list, const char *name, const char *wrong,
                        const char *(*item)(struct conf *c, str s))
{
    const char **at = arena_array(&c->state->arena, const char *, list->count + 1);

    if (at == NULL) {
        c->state->no_memory = true;
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        at[i] = strcmp(list->at[i], "*") == 0 ? "*" : item(c, str_of(list->at[i]));
        if (at[i] == NULL) {
            conf_mistake(c, name, "%s: \"%s\"", wrong, conf_quote(c, str_of(list->at[i])));
            at[i] = "";
        } else if (strcmp(at[i], "*") == 0) {
            at[0] = "*"; /* allows all that the others do */
            list->count = 1;
            break;
        }
    }
    list->at = at;
}

static const char *lower(struct conf *c, str s)
{
    char *text = arena_take(&c->state->arena, s.len + 1);

    if (text == NULL) {
        c->state->no_memory = true;
        return "";
    }
    for (size_t i = 0; i < s.len; i++)
        text[i] = s.at[i] >= 'A' && s.at[i] <= 'Z' ? (char)(s.at[i] + 32) : s.at[i];
    return text;
}

static const char *origin(struct conf *c, str s)
{
    struct address a;

    while (s.len && s.at[s.len - 1] == '/') s.len--;
    if (!values_address(&a, s) || a.rest.len || a.user.at) return NULL;
    return lower(c, s);
}

static const char *host_name(struct conf *c, str s)
{
    if (s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']')
        s = str_head(str_tail(s, 1), s.len - 2);
    if (!values_ip(s)) {
        if (s.len == 0) return NULL;
        for (size_t i = 0; i < s.len; i++)
            if ((unsigned char)s.at[i] <= ' ' || strchr("/:[]@?#", s.at[i])) return NULL;
    }
    return lower(c, s);
}

static const char *network(struct conf *c, str s)
{
    return values_network(s) ? lower(c, s) : NULL;
}

static void settle_server(struct conf *c)
{
    settle_host(c);
    settle_list(c, &c->cors_origins, "CORS_ORIGINS",
                "not an origin (https://name or https://name:port, no path)", origin);
    settle_list(c, &c->allowed_hosts, "ALLOWED_HOSTS", "not a host name or address without port",
                host_name);
    settle_list(c, &c->forwarded_allow_ips, "FORWARDED_ALLOW_IPS", "not an address or network",
                network);
    if (!given(c, "WORKERS")) {
        int cpus = c->state->cpus;
        c->workers = cpus <= 2 ? 1 : cpus / 2 > 256 ? 256 : cpus / 2;
    }
}

/* ---- models ---- */

/* "type/name"; false when it is not one, and then the setting is blamed. */
static bool model_of(struct conf *c, const char *setting, str s, struct conf_model *out)
{
    size_t slash = str_find_char(s, '/');
    str name = slash == STR_NPOS ? STR_NONE : str_trim(str_tail(s, slash + 1));
    const char *type = settings_backend(str_trim(str_head(s, slash)));
    size_t characters = utf8_count(name);

    if (slash == STR_NPOS || characters == 0 || characters > 200) {
        conf_mistake(c, setting, "expected type/name, got \"%s\"", conf_quote(c, s));
        return false;
    }
    if (type == NULL) {
        conf_mistake(c, setting, "unknown backend \"%s\"; one of %s",
                     conf_quote(c, str_head(s, slash)),
                     "local, hf_api, openai, anthropic, minimax, google");
        return false;
    }
    *out = (struct conf_model){.type = type, .name = conf_keep(c, name)};
    return true;
}

static void settle_chain(struct conf *c)
{
    const char *type = conf_source(c, "FALLBACK_MODEL_TYPE")->text;
    const char *name = conf_source(c, "FALLBACK_MODEL_NAME")->text;
    str rest = str_of(conf_source(c, "FALLBACK_MODELS")->text), part;

    if (rest.len == 0) rest = STR_NONE;
    c->fallbacks_chain = rest.len > 0;
    while (str_split(&rest, ',', &part)) {
        if (c->fallbacks_count == CONF_FALLBACKS_MAX) {
            conf_mistake(c, "FALLBACK_MODELS", "at most %d models", CONF_FALLBACKS_MAX);
            break;
        }
        if (model_of(c, "FALLBACK_MODELS", part, &c->fallbacks[c->fallbacks_count]))
            c->fallbacks_count++;
    }
    if (c->fallbacks_chain && (given(c, "FALLBACK_MODEL_TYPE") || given(c, "FALLBACK_MODEL_NAME")))
        conf_mistake(c, "FALLBACK_MODELS",
                     "set either FALLBACK_MODELS or FALLBACK_MODEL_TYPE/_NAME");
    else if (type && name)
        c->fallbacks[c->fallbacks_count++] = (struct conf_model){.type = type, .name = name};
}

static void settle_aliases(struct conf *c)
{
    enum { ALIASES_MAX = 64 };
    struct conf_model model;

    if (c->model_aliases.count > ALIASES_MAX)
        conf_mistake(c, "MODEL_ALIASES", "at most %d entries, got %zu", ALIASES_MAX,
                     c->model_aliases.count);
    for (size_t i = 0; i < c->model_aliases.count; i++) {
        str s = str_of(c->model_aliases.at[i]);
        size_t equals = str_find_char(s, '=');
        if (equals == STR_NPOS || equals == 0)
            conf_mistake(c, "MODEL_ALIASES", "expected name=type/name, got \"%s\"",
                         conf_quote(c, s));
        else
            model_of(c, "MODEL_ALIASES", str_tail(s, equals + 1), &model);
    }
}

static void settle_models(struct conf *c)
{
    if (conf_source(c, "MODEL_TYPE")->bad) c->model.type = NULL; /* nothing can be said of it */
    if (c->model.type && strcmp(c->model.type, "minimax") == 0 && c->model.name == NULL)
        c->model.name = "MiniMax-M1";
    settle_chain(c);
    settle_aliases(c);
    bool production = str_eq_nocase(str_of(c->environment), STR("production"));
    if (!given(c, "ENABLE_MODEL_SWITCH")) c->enable_model_switch = !production || has_credential(c);
    if (!given(c, "CLIENT_MODELS")) c->client_models_any = has_credential(c) || conf_is_loopback(c);
}

/* ---- providers ---- */

static void settle_proxy(struct conf *c)
{
    const char *name = "HTTPS_PROXY", *proxy = conf_source(c, name)->text;
    struct address a;

    if (proxy == NULL) proxy = conf_source(c, name = "ALL_PROXY")->text;
    c->https_proxy = proxy;
    if (proxy == NULL || !values_address(&a, str_of(proxy))) return;
    if (str_starts_nocase(a.scheme, STR("socks")))
        conf_mistake(c, name, "socks proxies are not supported; set an http:// proxy, got \"%s\"",
                     conf_quote(c, str_of(proxy)));
    else if (!str_eq_nocase(a.scheme, STR("http")))
        conf_mistake(c, name,
                     "must be an http:// address (calls pass through it encrypted), got \"%s\"",
                     conf_quote(c, str_of(proxy)));
}

static void settle_hub(struct conf *c)
{
    const char *hub_home = conf_source(c, "HF_HOME")->text, *cache = conf_env(c, "XDG_CACHE_HOME");

    if (c->hf_hub_cache) return;
    if (hub_home)
        c->hf_hub_cache = conf_keepf(c, "%s/hub", hub_home);
    else if (cache)
        c->hf_hub_cache = conf_keepf(c, "%s/huggingface/hub", cache);
    else if (conf_env(c, "HOME"))
        c->hf_hub_cache = conf_path(c, STR("~/.cache/huggingface/hub"));
}

/* ---- sessions ---- */

/* Whether a file could be made there: its folder, or the nearest one that exists, can be written.
 */
static bool can_be_made(const char *path)
{
    char folder[4096];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof folder) return false;
    memcpy(folder, path, n + 1);
    if (access(folder, F_OK) == 0) return access(folder, R_OK | W_OK) == 0;
    for (;;) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL) return access(".", W_OK | X_OK) == 0;
        slash[slash == folder] = '\0';
        if (access(folder, F_OK) == 0) return access(folder, W_OK | X_OK) == 0;
        if (strcmp(folder, "/") == 0) return false;
    }
}

static const char *default_store(struct conf *c)
{
    const char *state = conf_env(c, "STATE_DIRECTORY"), *home = conf_env(c, "XDG_STATE_HOME");
    const char *places[3] = {NULL, NULL, NULL};

    if (state) /* systemd.exec(5): several are separated by ':' */
        places[0] = conf_keepf(c, "%.*s/sema.db", (int)strcspn(state, ":"), state);
    if (home) places[1] = conf_keepf(c, "%s/sema/sema.db", home);
    if (conf_env(c, "HOME")) places[2] = conf_path(c, STR("~/.local/state/sema/sema.db"));
    for (int i = 0; i < 3; i++)
        if (places[i] && can_be_made(places[i])) return conf_keepf(c, "sqlite:%s", places[i]);
    return NULL;
}

static const char *store_of(struct conf *c, str s)
{
    size_t n = 0;

    while (n < s.len &&
           ((s.at[n] >= 'a' && s.at[n] <= 'z') || (s.at[n] >= 'A' && s.at[n] <= 'Z') ||
            (n > 0 && s.at[n] >= '0' && s.at[n] <= '9') || (n > 0 && strchr("+-.", s.at[n]))))
        n++;
    if (n == 0 || n == s.len || s.at[n] != ':') return conf_keepf(c, "sqlite:%s", conf_path(c, s));
    str scheme = str_head(s, n), rest = str_tail(s, n + 1);
    if (str_eq_nocase(scheme, STR("sqlite"))) {
        if (rest.len == 0) conf_mistake(c, "SESSION_STORE", "sqlite: needs a path");
        return conf_keepf(c, "sqlite:%s", conf_path(c, rest));
    }
    if (!str_eq_nocase(scheme, STR("memory")) || rest.len)
        conf_mistake(c, "SESSION_STORE", "unknown store \"%s\"; one of sqlite, memory",
                     conf_quote(c, str_eq_nocase(scheme, STR("memory")) ? s : str_head(s, n + 1)));
    return "memory:";
}

static void settle_sessions(struct conf *c)
{
    if (c->session_store)
        c->session_store = store_of(c, str_trim(str_of(c->session_store)));
    else if (given(c, "REDIS_URL"))
        conf_mistake(c, "REDIS_URL", "shared sessions are not built in");
    else
        c->session_store = default_store(c);
    if (!given(c, "MAX_SESSIONS") && c->session_store && strcmp(c->session_store, "memory:") == 0)
        c->max_sessions = 10000;
}

void settle_defaults(struct conf *c)
{
    c->notify_socket = conf_env(c, "NOTIFY_SOCKET");
    settle_server(c);
    settle_models(c);
    settle_proxy(c);
    settle_hub(c);
    settle_sessions(c);
}
