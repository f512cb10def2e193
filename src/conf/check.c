/* What must hold between settings: configuration.md section 3. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/state.h"
#include "conf/values.h"

static bool is(const char *type, const char *name)
{
    return type && strcmp(type, name) == 0;
}

/* ---- models and their credentials ---- */

const char *conf_credential_missing(const struct conf *c, const char *type)
{
    struct address a;

    if (is(type, "hf_api") && !c->hf_api_token) return "HF_API_TOKEN";
    if (is(type, "anthropic") && !c->anthropic_api_key && !c->anthropic_auth_token)
        return "ANTHROPIC_API_KEY";
    if (is(type, "minimax") && !c->minimax_api_key) return "MINIMAX_API_KEY";
    if (is(type, "google") && !c->google_api_key) return "GOOGLE_API_KEY";
    if (is(type, "openai") && !c->openai_api_key && !conf_source(c, "OPENAI_BASE_URL")->bad &&
        values_address(&a, str_of(c->openai_base_url)) &&
        str_eq_nocase(a.host, STR("api.openai.com")))
        return "OPENAI_API_KEY";
    return NULL;
}

static void check_credential(struct conf *c, const char *type, const char *setting)
{
    const char *missing = conf_credential_missing(c, type);

    if (missing) conf_mistake(c, missing, "required for %s", setting);
}

static void check_pair(struct conf *c, const char *type_name, const char *model_name)
{
    bool type = conf_source(c, type_name)->raw, name = conf_source(c, model_name)->raw;

    if (type && !name) conf_mistake(c, type_name, "set together with %s", model_name);
    if (name && !type) conf_mistake(c, model_name, "set together with %s", type_name);
}

bool conf_id_meant(const char *type, const char *name, char id[CONF_ID_BYTES])
{
    bool lower = is(type, "anthropic") || is(type, "google");
    bool strict = lower || is(type, "minimax") || is(type, "hf_api");

    if (!strict || !name || !strchr(name, ' ')) return false;
    snprintf(id, CONF_ID_BYTES, "%s", name);
    for (char *at = id; *at; at++) {
        if (*at == ' ') *at = '-';
        if (lower && *at >= 'A' && *at <= 'Z') *at += 'a' - 'A';
    }
    return true;
}

static void check_id(struct conf *c, struct conf_model m, const char *setting)
{
    char id[CONF_ID_BYTES];

    if (is(m.type, "minimax") && c->minimax_model_version) return; /* that is the id */
    if (conf_id_meant(m.type, m.name, id))
        conf_mistake(c, setting, "no model of %s has a blank in its id; did you mean \"%s\"?",
                     m.type, id);
}

static bool same(struct conf_model a, struct conf_model b)
{
    return a.type && b.type && a.name && b.name && strcmp(a.type, b.type) == 0 &&
           strcmp(a.name, b.name) == 0;
}

static void check_chain(struct conf *c)
{
    const char *setting = c->fallbacks_chain ? "FALLBACK_MODELS" : "FALLBACK_MODEL_NAME";

    for (int i = 0; i < c->fallbacks_count; i++) {
        const struct conf_model *m = &c->fallbacks[i];
        if (same(*m, c->model)) conf_mistake(c, setting, "same model as MODEL_TYPE/MODEL_NAME");
        for (int j = 0; j < i; j++)
            if (same(*m, c->fallbacks[j]))
                conf_mistake(c, setting, "%s/%s stands twice", m->type, m->name);
        check_id(c, *m, setting);
        check_credential(c, m->type,
                         c->fallbacks_chain
                             ? conf_keepf(c, "FALLBACK_MODELS=%s/%s", m->type, m->name)
                             : conf_keepf(c, "FALLBACK_MODEL_TYPE=%s", m->type));
    }
}

static bool local_is_used(const struct conf *c)
{
    bool used = is(c->model.type, "local") || is(c->reasoning.type, "local");

    for (int i = 0; i < c->fallbacks_count; i++) used |= is(c->fallbacks[i].type, "local");
    return used;
}

static void check_models(struct conf *c)
{
    const char *type = c->model.type;

    if (type && !c->model.name && !is(type, "local"))
        conf_mistake(c, "MODEL_NAME", "required for MODEL_TYPE=%s", type);
    check_id(c, c->model, "MODEL_NAME");
    check_credential(c, type, conf_keepf(c, "MODEL_TYPE=%s", type ? type : ""));
    check_pair(c, "FALLBACK_MODEL_TYPE", "FALLBACK_MODEL_NAME");
    check_pair(c, "REASONING_MODEL_TYPE", "REASONING_MODEL_NAME");
    check_chain(c);
    check_id(c, c->reasoning, "REASONING_MODEL_NAME");
    if (c->reasoning.type)
        check_credential(c, c->reasoning.type,
                         conf_keepf(c, "REASONING_MODEL_TYPE=%s", c->reasoning.type));
    if (local_is_used(c) && c->max_new_tokens >= c->max_length &&
        !conf_source(c, "MAX_LENGTH")->bad)
        conf_mistake(c, "MAX_NEW_TOKENS", "must be smaller than MAX_LENGTH (%d)", c->max_length);
}

/* ---- files and routes ---- */

/* Looks without making the file: `sema config` leaves nothing behind. */
static int cannot_append(struct conf *c, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) return EISDIR;
        return access(path, W_OK) == 0 ? 0 : errno;
    }
    if (errno != ENOENT) return errno;
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL   ? "."
                         : slash == path ? "/"
                                         : conf_keep(c, str_span(path, (size_t)(slash - path)));
    return access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

static void check_files(struct conf *c)
{
    int wrong = c->log_file ? cannot_append(c, c->log_file) : 0;

    if (wrong)
        conf_mistake(c, "LOG_FILE", "cannot open \"%s\": %s", conf_quote(c, str_of(c->log_file)),
                     strerror(wrong));
    if (c->ssl_cert_file && access(c->ssl_cert_file, R_OK) != 0)
        conf_warning(c, "SSL_CERT_FILE: cannot read \"%s\": %s",
                     conf_quote(c, str_of(c->ssl_cert_file)), strerror(errno));
    if (c->ssl_cert_dir && access(c->ssl_cert_dir, R_OK | X_OK) != 0)
        conf_warning(c, "SSL_CERT_DIR: cannot read \"%s\": %s",
                     conf_quote(c, str_of(c->ssl_cert_dir)), strerror(errno));
}

static void check_metrics_path(struct conf *c)
{
    static const char *const taken[] = {"/",       "/docs", "/redoc", "/openapi.json", "/health",
                                        "/status", "/chat", "/api",   "/v1",           "/v1beta"};
    static const char *const trees[] = {"/api/", "/v1/", "/v1beta/"};
    str path = str_of(c->metrics_path);

    if (path.at[0] != '/') {
        conf_mistake(c, "METRICS_PATH", "must start with /");
        return;
    }
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.at[i] <= ' ' || (unsigned char)path.at[i] >= 0x7f ||
            strchr("?#%\"\\<>{}|^`", path.at[i])) {
            conf_mistake(c, "METRICS_PATH", "must be a plain path, got \"%s\"",
                         conf_quote(c, path));
            return;
        }
    }
    bool used = path.len > 1 && str_ends(path, STR("/")); /* the router sends those on without it */
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        used |= str_eq(path, str_of(taken[i]));
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        used |= str_starts(path, str_of(trees[i]));
    if (used) conf_mistake(c, "METRICS_PATH", "already used by another route");
}

void check_all(struct conf *c)
{
    check_models(c);
    check_files(c);
    check_metrics_path(c);
}

/* ---- what is allowed but should be known ---- */

void conf_warn(const struct conf *c, FILE *to)
{
    bool production = str_eq_nocase(str_of(c->environment), STR("production"));
    bool open = !c->api_key && !c->jwt_secret;

    if (open && !conf_is_loopback(c))
        fprintf(
            to,
            "warning: HOST: %s is open to other machines and neither API_KEY nor JWT_SECRET is "
            "set: "
            "whoever reaches it can chat at your cost and read, list and delete every session\n",
            c->host);
    if (open && production)
        fputs(
            "warning: ENVIRONMENT: production without API_KEY or JWT_SECRET: nobody has to show a "
            "credential\n",
            to);
    bool any = !c->cors_origins.set
                   ? !conf_is_loopback(c)
                   : c->cors_origins.count && strcmp(c->cors_origins.at[0], "*") == 0;
    if (any && production)
        fputs(
            "warning: CORS_ORIGINS: * in production: every page that a person visits may call this "
            "server from their browser\n",
            to);
}
