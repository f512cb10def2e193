/* The settings: command line, environment, .env and defaults in; one read-only struct out.  What
 * each means, its type, range and default is one row of the table in settings.c; --help, `sema
 * config`, sema.env(5) and docs/guide/settings.md are made from it.
 *
 * A field has its setting's name in lower case; durations are in milliseconds whatever the
 * setting's unit.  Strings are NULL when unset (SYSTEM_PROMPT may be ""). */
#ifndef SEMA_CONF_CONF_H
#define SEMA_CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

struct conf_list {
    const char *const *at;
    size_t count;
    bool set; /* given by someone, even when empty */
};

struct conf_model {   /* one model of the chain */
    const char *type; /* "local", "openai", ... lower case */
    const char *name;
};

enum { CONF_FALLBACKS_MAX = 8 };

struct conf {
    /* application and server */
    const char *app_name, *app_version, *environment;
    bool debug;
    const char *host; /* without brackets */
    int port;
    /* Not `set`: no items; the default depends on HOST and on the request.  "*" stands alone. */
    struct conf_list cors_origins, allowed_hosts;
    struct conf_list forwarded_allow_ips;
    int64_t shutdown_timeout_ms;
    int64_t max_body_size;
    int workers; /* resolved: at least 1 */

    /* model */
    struct conf_model model; /* MODEL_TYPE, MODEL_NAME; name NULL when local and not given */
    const char *device;
    int max_length, max_new_tokens, top_k;
    double temperature, top_p;
    bool temperature_set, top_p_set, top_k_set;      /* given explicitly */
    struct conf_model fallbacks[CONF_FALLBACKS_MAX]; /* of either form */
    int fallbacks_count;
    bool fallbacks_chain;        /* by FALLBACK_MODELS */
    struct conf_model reasoning; /* type NULL when unset */
    bool show_reasoning, enable_model_switch, client_models_any, stream_rescue;
    struct conf_list model_aliases; /* "name=type/name", each checked */
    const char *model_path;
    int local_threads, local_queue;

    /* providers */
    const char *hf_api_token, *hf_inference_url;
    const char *openai_api_key, *openai_org_id, *openai_project_id, *openai_base_url;
    const char *anthropic_api_key, *anthropic_auth_token, *anthropic_base_url, *anthropic_version;
    const char *minimax_api_key, *minimax_api_url, *minimax_model_version;
    const char *google_api_key, *google_gemini_base_url;
    int64_t provider_connect_timeout_ms, provider_idle_timeout_ms, provider_total_timeout_ms;
    int provider_retries, provider_breaker_failures;
    const char *https_proxy, *no_proxy; /* https_proxy: also from ALL_PROXY */
    const char *ssl_cert_file, *ssl_cert_dir;
    const char *hf_hub_cache; /* resolved folder */
    bool hf_hub_offline;
    const char *hf_endpoint;

    /* limits, sessions, streaming */
    int64_t rate_limit, max_concurrent_streams;
    int64_t stream_delay_ms, resume_window_ms, resume_window_max_ms, sse_ping_interval_ms;
    bool enable_streaming;
    const char *session_store; /* resolved: "sqlite:/path", "memory:"; NULL: unset, no default place
                                  can be written */
    bool session_sync_full;
    int64_t session_timeout_ms;
    int64_t max_messages_per_session, max_sessions_per_user, max_sessions;

    /* logging, metrics, security, prompts */
    enum level log_level;
    bool structured_logging;
    const char *log_file;
    bool enable_metrics;
    const char *metrics_path;
    const char *api_key, *jwt_secret;
    const char *system_prompt, *system_prompt_chat, *system_prompt_code, *system_prompt_creative;

    const char *notify_socket; /* NOTIFY_SOCKET of sd_notify(3); no setting: a manager gives it */

    struct conf_state *state; /* memory, and where each value came from */
};

/* What the program was started with, so that tests can bring their own. */
struct conf_input {
    int argc; /* flags only: argv[0] is the first flag */
    char *const *argv;
    char *const *environ;
    const char *cwd; /* where .env is looked for */
    FILE *warnings;  /* one line each; NULL: none */
    /* Names, NULL-terminated: mistakes in other settings are passed over, for commands that need
     * only a few.  NULL: all count. */
    const char *const *only;
    /* Facts of the machine, for defaults: */
    int cpus;
};

/* All mistakes at once, each one line "config: NAME: problem" on `mistakes`; ERR_INVALID then.
 * Arguments that are no flags are a mistake ("unexpected argument").  Copies what it keeps. */
enum err conf_load(struct conf **out, const struct conf_input *in, FILE *mistakes);
void conf_free(struct conf *c);

/* What a person should know before this server is reachable: one line each. */
void conf_warn(const struct conf *c, FILE *to);

/* `sema config`: every setting, its value (secrets masked), where it came from. */
void conf_print(const struct conf *c, FILE *to, bool json);
/* The part of --help that lists the settings as flags; and the tables that documents are made from:
 * "markdown" (docs/guide/settings.md), "env" (.env.example), "man"; false for another format. */
void conf_help(FILE *to);
/* Each setting that is a flag, in the order of the help; what is given lives as long as the call.
 * `words`: all values, NULL-terminated, or NULL. */
struct conf_flag {
    const char *name; /* without dashes */
    const char *text; /* one sentence or two */
    const char *const *words;
    bool path;
};
typedef void conf_flag_fn(void *ctx, const struct conf_flag *f);
void conf_flags(conf_flag_fn *each, void *ctx);
bool conf_document(FILE *to, const char *format);

/* Whether HOST is a loopback address: decides several defaults. */
bool conf_is_loopback(const struct conf *c);
/* The credential that a backend type needs by these settings: its setting's name when it is needed
 * and not there, else NULL. */
const char *conf_credential_missing(const struct conf *c, const char *type);

enum { CONF_ID_BYTES = 256 };
/* Guides name models as people say them ("MiniMax M1", "Claude-3 Opus").  No id of some types has a
 * blank; of a compatible server (openai) or a folder (local) one may.  True: `name` is no id, and
 * `id` is the one that is probably meant. */
bool conf_id_meant(const char *type, const char *name, char id[CONF_ID_BYTES]);

/* Overwrites the secrets in the process environment, so that nobody reads them there (ps e, /proc).
 * Before other threads run; after conf_load, which keeps its own copies. */
void conf_wipe_environ(char **env);

#endif
