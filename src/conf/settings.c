/* The one table of settings (configuration.md section 2).  Parsing, flags, --help, `sema config`,
 * .env.example and docs/guide/settings.md come from it; what depends on several settings is in
 * settle.c and check.c. */
#include "conf/settings.h"

#include "base/buf.h"

const char *const settings_backends[] = {"local",   "hf_api", "openai", "anthropic",
                                         "minimax", "google", NULL};
static const char *const devices[] = {"auto", "cpu", "cuda", "cuda:N", NULL};
static const char *const levels[] = {"debug", "info", "warning", "error", "critical", NULL};
static const char *const client_models[] = {"any", "configured", NULL};
static const char *const rescues[] = {"off", "continue", NULL};
static const char *const syncs[] = {"full", "normal", NULL};

#define AT(into_, field) .into = (into_), .at = offsetof(struct conf, field)
#define SET(field) .set_at = offsetof(struct conf, field)

/* clang-format off */
const struct setting settings[] = {
{ .text = "Application and server" },
{ .name = "APP_NAME", .type = SETTING_STRING, AT(INTO_TEXT, app_name), .fallback = "Sema Chat API",
  .text = "Title of the API page and of the start message." },
{ .name = "APP_VERSION", .type = SETTING_STRING, AT(INTO_TEXT, app_version), .fallback = "1.0.0",
  .text = "What health and status report as version." },
{ .name = "ENVIRONMENT", .type = SETTING_STRING, AT(INTO_TEXT, environment), .fallback = "development",
  .text = "Free text; production is stricter: see ENABLE_MODEL_SWITCH and the warnings at start." },
{ .name = "DEBUG", .type = SETTING_BOOL, AT(INTO_BOOL, debug), .fallback = "true",
  .text = "Whether / sends browsers on to /docs; otherwise the API page is at / as well." },
{ .name = "SEMA_ENV_FILE", .flag = "env-file", .type = SETTING_PATH, .fallback = ".env",
  .otherwise = ".env in the working directory",
  .text = "The file with settings; when it is named here it must exist." },
{ .name = "HOST", .type = SETTING_STRING, AT(INTO_TEXT, host), .fallback = "0.0.0.0",
  .text = "Address to listen on: IPv4, IPv6 or a name. A loopback address keeps Sema to this machine." },
{ .name = "PORT", .type = SETTING_INT, AT(INTO_INT, port), .fallback = "7860", .min = 1, .max = 65535,
  .or_zero = true,
  .text = "Port to listen on; 0 takes any free one and prints it." },
{ .name = "CORS_ORIGINS", .type = SETTING_LIST, AT(INTO_LIST, cors_origins),
  .otherwise = "*; loopback origins only when HOST is a loopback address",
  .text = "Web pages that may call this server from a browser: origins without a path, or *." },
{ .name = "ALLOWED_HOSTS", .type = SETTING_LIST, AT(INTO_LIST, allowed_hosts),
  .otherwise = "any; loopback names when HOST is a loopback address",
  .text = "Names under which this server may be asked for (the Host header), without port, or *." },
{ .name = "SHUTDOWN_TIMEOUT", .type = SETTING_FLOAT, AT(INTO_MS, shutdown_timeout_ms), .unit_ms = 1000,
  .fallback = "30", .max = 3600, .unit = "seconds",
  .text = "How long running answers may go on after SIGTERM." },
{ .name = "FORWARDED_ALLOW_IPS", .type = SETTING_LIST, AT(INTO_LIST, forwarded_allow_ips),
  .fallback = "127.0.0.1",
  .text = "Proxies whose X-Forwarded-For is believed: addresses, networks, or *." },
{ .name = "MAX_BODY_SIZE", .type = SETTING_INT, AT(INTO_INT64, max_body_size), .fallback = "33554432",
  .min = 1024, .max = 67108864, .unit = "bytes",
  .text = "Largest request body on /api/v1." },
{ .name = "WORKERS", .type = SETTING_INT, AT(INTO_INT, workers), .min = 1, .max = 256,
  .otherwise = "1 up to two cores, else half of them",
  .text = "Event loops that serve requests; sessions, limits and models are shared between them." },

{ .text = "Model" },
{ .name = "MODEL_TYPE", .type = SETTING_BACKEND, AT(INTO_TEXT, model.type), .fallback = "local",
  .text = "Where answers come from." },
{ .name = "MODEL_NAME", .type = SETTING_STRING, AT(INTO_TEXT, model.name), .min = 1, .max = 200,
  .otherwise = "local: TinyLlama/TinyLlama-1.1B-Chat-v1.0 if its files are here, else the built-in "
               "sema-guide; minimax: MiniMax-M1; others: required",
  .text = "Model within the backend, and the name that is reported." },
{ .name = "DEVICE", .type = SETTING_DEVICE, AT(INTO_TEXT, device), .fallback = "auto", .words = devices,
  .text = "Where a local model runs. Sema computes on the CPU; for a GPU use MODEL_TYPE=openai with "
          "the address of a GPU server in OPENAI_BASE_URL." },
{ .name = "MAX_LENGTH", .type = SETTING_INT, AT(INTO_INT, max_length), .fallback = "2048", .min = 64,
  .max = 1048576, .unit = "tokens",
  .text = "Context of a local model, prompt and answer together; the model's own limit when that is "
          "smaller. Must be greater than MAX_NEW_TOKENS." },
{ .name = "TEMPERATURE", .type = SETTING_FLOAT, AT(INTO_DOUBLE, temperature), SET(temperature_set),
  .fallback = "0.7", .max = 1,
  .text = "How freely words are chosen when the request does not say; 0 always takes the likeliest." },
{ .name = "TOP_P", .type = SETTING_FLOAT, AT(INTO_DOUBLE, top_p), SET(top_p_set), .fallback = "0.9",
  .max = 1, .above_min = true,
  .text = "Nucleus sampling: the likeliest words that together have this probability." },
{ .name = "TOP_K", .type = SETTING_INT, AT(INTO_INT, top_k), SET(top_k_set), .fallback = "50",
  .max = 1000,
  .text = "Choose among this many likeliest words; 0 is off. Used by local and google." },
{ .name = "MAX_NEW_TOKENS", .type = SETTING_INT, AT(INTO_INT, max_new_tokens), .fallback = "512",
  .min = 1, .max = 2048, .unit = "tokens",
  .text = "Longest answer when the request does not say; one cut here has finish_reason length." },
{ .name = "FALLBACK_MODEL_TYPE", .type = SETTING_BACKEND, .into = INTO_NONE,
  .text = "Backend of the model that answers when the first fails; with FALLBACK_MODEL_NAME." },
{ .name = "FALLBACK_MODEL_NAME", .type = SETTING_STRING, .into = INTO_NONE, .min = 1, .max = 200,
  .text = "Name of the model that answers when the first fails; with FALLBACK_MODEL_TYPE." },
{ .name = "FALLBACK_MODELS", .type = SETTING_LIST, .into = INTO_NONE,
  .text = "A chain of up to 8 fallback models, type/name each (google/gemini-2.5-flash), in "
          "place of that pair." },
{ .name = "REASONING_MODEL_TYPE", .type = SETTING_BACKEND, AT(INTO_TEXT, reasoning.type),
  .text = "Backend of the model for requests with reasoning: true; with REASONING_MODEL_NAME." },
{ .name = "REASONING_MODEL_NAME", .type = SETTING_STRING, AT(INTO_TEXT, reasoning.name), .min = 1,
  .max = 200,
  .text = "Name of the model for requests with reasoning: true; with REASONING_MODEL_TYPE." },
{ .name = "SHOW_REASONING", .type = SETTING_BOOL, AT(INTO_BOOL, show_reasoning), .fallback = "true",
  .text = "Whether a model's reasoning stands in front of its answer as [Reasoning: ...]." },
{ .name = "ENABLE_MODEL_SWITCH", .type = SETTING_BOOL, AT(INTO_BOOL, enable_model_switch),
  .otherwise = "true; false in ENVIRONMENT=production without API_KEY or JWT_SECRET",
  .text = "Whether POST /api/v1/model/switch may exchange the model." },
{ .name = "CLIENT_MODELS", .type = SETTING_WORD, AT(INTO_IS, client_models_any), .words = client_models,
  .is = "any",
  .otherwise = "any with API_KEY or JWT_SECRET or on a loopback HOST, else configured",
  .text = "Which models a request may name: all that a configured credential reaches, or only those "
          "of the settings." },
{ .name = "MODEL_ALIASES", .type = SETTING_LIST, AT(INTO_LIST, model_aliases),
  .text = "Names that clients may ask for, up to 64, name=type/name each." },
{ .name = "STREAM_RESCUE", .type = SETTING_WORD, AT(INTO_IS, stream_rescue), .words = rescues,
  .is = "continue", .fallback = "continue",
  .text = "Whether the next model of the chain finishes a stream whose provider died." },
{ .name = "MODEL_PATH", .type = SETTING_PATH, AT(INTO_TEXT, model_path),
  .text = "Directory with local model files (OWNER/NAME or NAME below it, or a .gguf file), looked at "
          "before the shared cache." },
{ .name = "LOCAL_THREADS", .type = SETTING_INT, AT(INTO_INT, local_threads), .fallback = "0",
  .max = 1024, .unit = "threads",
  .text = "Threads that compute a local model; 0 is what affinity and CPU quota allow." },
{ .name = "LOCAL_QUEUE", .type = SETTING_INT, AT(INTO_INT, local_queue), .fallback = "64", .min = 1,
  .max = 100000, .unit = "requests",
  .text = "Requests that may wait for a local model; the next one is refused." },

{ .text = "Providers" },
{ .name = "HF_API_TOKEN", .other = "HF_TOKEN", .type = SETTING_SECRET, AT(INTO_TEXT, hf_api_token),
  .otherwise = "HF_TOKEN",
  .text = "Token from huggingface.co/settings/tokens: required for hf_api, and for gated "
          "local models." },
{ .name = "HF_INFERENCE_URL", .type = SETTING_URL, AT(INTO_TEXT, hf_inference_url),
  .fallback = "https://router.huggingface.co/v1",
  .text = "Inference service of hf_api, or an endpoint of your own." },
{ .name = "OPENAI_API_KEY", .type = SETTING_SECRET, AT(INTO_TEXT, openai_api_key),
  .text = "Key from platform.openai.com/api-keys: required for openai when OPENAI_BASE_URL is "
          "at api.openai.com; else sent when set." },
{ .name = "OPENAI_ORG_ID", .type = SETTING_STRING, AT(INTO_TEXT, openai_org_id),
  .text = "Organization, sent as OpenAI-Organization." },
{ .name = "OPENAI_PROJECT_ID", .type = SETTING_STRING, AT(INTO_TEXT, openai_project_id),
  .text = "Project, sent as OpenAI-Project." },
{ .name = "OPENAI_BASE_URL", .type = SETTING_URL, AT(INTO_TEXT, openai_base_url),
  .fallback = "https://api.openai.com/v1",
  .text = "Base address of OpenAI's API, or of any compatible server (vLLM, Ollama, "
          "llama-server, TGI)." },
{ .name = "ANTHROPIC_API_KEY", .type = SETTING_SECRET, AT(INTO_TEXT, anthropic_api_key),
  .text = "Key from console.anthropic.com: required for anthropic, unless "
          "ANTHROPIC_AUTH_TOKEN is set." },
{ .name = "ANTHROPIC_AUTH_TOKEN", .type = SETTING_SECRET, AT(INTO_TEXT, anthropic_auth_token),
  .text = "Sent to Anthropic as bearer token, in place of the key." },
{ .name = "ANTHROPIC_BASE_URL", .type = SETTING_URL, AT(INTO_TEXT, anthropic_base_url),
  .fallback = "https://api.anthropic.com",
  .text = "Base address of Anthropic's API." },
{ .name = "ANTHROPIC_VERSION", .type = SETTING_STRING, AT(INTO_TEXT, anthropic_version),
  .fallback = "2023-06-01",
  .text = "Version of Anthropic's API, sent as anthropic-version." },
{ .name = "MINIMAX_API_KEY", .type = SETTING_SECRET, AT(INTO_TEXT, minimax_api_key),
  .text = "Key from platform.minimax.io: required for minimax." },
{ .name = "MINIMAX_API_URL", .type = SETTING_URL, AT(INTO_TEXT, minimax_api_url),
  .fallback = "https://api.minimax.io/v1/text/chatcompletion_v2",
  .text = "Complete address of MiniMax's chat call." },
{ .name = "MINIMAX_MODEL_VERSION", .type = SETTING_STRING, AT(INTO_TEXT, minimax_model_version),
  .otherwise = "value of MODEL_NAME",
  .text = "Model id that is sent to MiniMax; the reported name stays MODEL_NAME." },
{ .name = "GOOGLE_API_KEY", .other = "GEMINI_API_KEY", .type = SETTING_SECRET,
  AT(INTO_TEXT, google_api_key), .otherwise = "GEMINI_API_KEY",
  .text = "Key from aistudio.google.com: required for google." },
{ .name = "GOOGLE_GEMINI_BASE_URL", .type = SETTING_URL, AT(INTO_TEXT, google_gemini_base_url),
  .fallback = "https://generativelanguage.googleapis.com",
  .text = "Base address of Google's API, without the API version." },
{ .name = "PROVIDER_CONNECT_TIMEOUT", .type = SETTING_FLOAT, AT(INTO_MS, provider_connect_timeout_ms),
  .unit_ms = 1000, .fallback = "10", .max = 86400, .above_min = true, .unit = "seconds",
  .text = "Longest time to find a provider's address, connect and agree on encryption." },
{ .name = "PROVIDER_IDLE_TIMEOUT", .type = SETTING_FLOAT, AT(INTO_MS, provider_idle_timeout_ms),
  .unit_ms = 1000, .fallback = "120", .max = 86400, .above_min = true, .unit = "seconds",
  .text = "Longest silence between the bytes of a provider's stream, and before its first." },
{ .name = "PROVIDER_TOTAL_TIMEOUT", .type = SETTING_FLOAT, AT(INTO_MS, provider_total_timeout_ms),
  .unit_ms = 1000, .fallback = "600", .max = 86400, .above_min = true, .unit = "seconds",
  .text = "Longest time for a whole request: waits, retries, fallbacks and local generation "
          "included; streams have twice that." },
{ .name = "PROVIDER_RETRIES", .type = SETTING_INT, AT(INTO_INT, provider_retries), .fallback = "2",
  .max = 10, .unit = "calls",
  .text = "Further tries of a call to a provider, before the first byte of its answer." },
{ .name = "PROVIDER_BREAKER_FAILURES", .type = SETTING_INT, AT(INTO_INT, provider_breaker_failures),
  .fallback = "5", .max = 1000000, .unit = "failures",
  .text = "Failures within 30 seconds after which a backend rests for 15 seconds; 0 is never." },
{ .name = "HTTPS_PROXY", .type = SETTING_PROXY, AT(INTO_TEXT, https_proxy), .lower_wins = true,
  .text = "Proxy for calls to providers, always by CONNECT, so that it never sees a key; loopback "
          "addresses never go through it." },
{ .name = "ALL_PROXY", .type = SETTING_PROXY, .into = INTO_NONE, .lower_wins = true,
  .text = "Proxy for calls to providers when HTTPS_PROXY is not set." },
{ .name = "NO_PROXY", .type = SETTING_LIST, AT(INTO_TEXT, no_proxy), .lower_wins = true,
  .text = "What is called without the proxy: names (their subdomains too), addresses, networks, or *." },
{ .name = "SSL_CERT_FILE", .type = SETTING_PATH, AT(INTO_TEXT, ssl_cert_file),
  .otherwise = "the system's",
  .text = "Certificate authorities for calls to providers, in one file." },
{ .name = "SSL_CERT_DIR", .type = SETTING_PATH, AT(INTO_TEXT, ssl_cert_dir),
  .otherwise = "the system's",
  .text = "Certificate authorities for calls to providers, as a directory." },
{ .name = "HF_HOME", .type = SETTING_PATH, .into = INTO_NONE,
  .otherwise = "$XDG_CACHE_HOME/huggingface or ~/.cache/huggingface",
  .text = "Hugging Face's folder; its hub below it holds model files." },
{ .name = "HF_HUB_CACHE", .other = "HUGGINGFACE_HUB_CACHE", .type = SETTING_PATH,
  AT(INTO_TEXT, hf_hub_cache), .otherwise = "$HF_HOME/hub",
  .text = "The folder of model files, shared with other programs." },
{ .name = "HF_HUB_OFFLINE", .type = SETTING_BOOL, AT(INTO_BOOL, hf_hub_offline), .fallback = "false",
  .text = "Never download model files." },
{ .name = "HF_ENDPOINT", .type = SETTING_URL, AT(INTO_TEXT, hf_endpoint),
  .fallback = "https://huggingface.co",
  .text = "Where model files are downloaded from: the hub or a mirror." },

{ .text = "Limits, sessions, streaming" },
{ .name = "RATE_LIMIT", .type = SETTING_INT, AT(INTO_INT64, rate_limit), .fallback = "60",
  .max = 1000000000, .unit = "requests a minute",
  .text = "Generating requests that one client may make; 0 is off." },
{ .name = "MAX_CONCURRENT_STREAMS", .type = SETTING_INT, AT(INTO_INT64, max_concurrent_streams),
  .fallback = "10", .max = 100000, .unit = "streams",
  .text = "Streamed answers (SSE and WebSocket) at a time on /api/v1; 0 is off." },
{ .name = "STREAM_DELAY", .type = SETTING_FLOAT, AT(INTO_MS, stream_delay_ms), .unit_ms = 1000,
  .fallback = "0", .max = 10, .unit = "seconds",
  .text = "Pause after each chunk of a stream." },
{ .name = "ENABLE_STREAMING", .type = SETTING_BOOL, AT(INTO_BOOL, enable_streaming), .fallback = "true",
  .text = "Whether SSE and WebSocket of /api/v1 are served." },
{ .name = "RESUME_WINDOW", .type = SETTING_INT, AT(INTO_MS, resume_window_ms), .unit_ms = 1000,
  .fallback = "0", .max = 600, .unit = "seconds",
  .text = "How long an answer goes on after its client vanished, so that it can come back." },
{ .name = "RESUME_WINDOW_MAX", .type = SETTING_INT, AT(INTO_MS, resume_window_max_ms), .unit_ms = 1000,
  .fallback = "60", .max = 600, .unit = "seconds",
  .text = "The most that a client may ask for with resume_window." },
{ .name = "SSE_PING_INTERVAL", .type = SETTING_FLOAT, AT(INTO_MS, sse_ping_interval_ms), .unit_ms = 1000,
  .fallback = "15", .min = 1, .max = 3600, .unit = "seconds",
  .text = "Time between the comments that keep a silent stream open." },
{ .name = "SESSION_STORE", .type = SETTING_STORE, AT(INTO_TEXT, session_store),
  .otherwise = "sqlite: and $STATE_DIRECTORY/sema.db, else sema/sema.db below $XDG_STATE_HOME or "
               "~/.local/state",
  .text = "Where conversations are kept: sqlite:PATH or a path; memory: forgets them at the end." },
{ .name = "SESSION_SYNC", .type = SETTING_WORD, AT(INTO_IS, session_sync_full), .words = syncs,
  .is = "full", .fallback = "full",
  .text = "Whether an acknowledged turn also survives a power cut (full) or only a crash of Sema." },
{ .name = "SESSION_TIMEOUT", .type = SETTING_INT, AT(INTO_MS, session_timeout_ms), .unit_ms = 60000,
  .fallback = "0", .max = 5256000, .unit = "minutes",
  .text = "Time without activity after which a session is deleted; 0 is never." },
{ .name = "MAX_MESSAGES_PER_SESSION", .type = SETTING_INT, AT(INTO_INT64, max_messages_per_session),
  .fallback = "100", .min = 2, .max = 100000, .or_zero = true, .unit = "messages",
  .text = "Messages of a session that are sent to a model, the newest ones; older ones stay "
          "stored; 0 is all." },
{ .name = "MAX_SESSIONS_PER_USER", .type = SETTING_INT, AT(INTO_INT64, max_sessions_per_user),
  .fallback = "0", .max = 1000000, .unit = "sessions",
  .text = "Sessions that one authenticated user may have; 0 is no limit." },
{ .name = "MAX_SESSIONS", .type = SETTING_INT, AT(INTO_INT64, max_sessions), .max = 100000000,
  .otherwise = "0; 10000 for memory:", .unit = "sessions",
  .text = "Sessions that are kept, the least recently used goes first; 0 is no limit." },
{ .name = "REDIS_URL", .type = SETTING_STORE, .into = INTO_NONE,
  .text = "As SESSION_STORE, when that is unset. Shared sessions are not built in yet: a start with "
          "it is refused rather than keeping conversations elsewhere." },

{ .text = "Logging, metrics, security, prompts" },
{ .name = "LOG_LEVEL", .type = SETTING_WORD, AT(INTO_INDEX, log_level), .fallback = "info",
  .words = levels,
  .text = "The least important lines that are logged." },
{ .name = "STRUCTURED_LOGGING", .type = SETTING_BOOL, AT(INTO_BOOL, structured_logging),
  .fallback = "true",
  .text = "Log lines as JSON, else as text." },
{ .name = "LOG_FILE", .type = SETTING_PATH, AT(INTO_TEXT, log_file),
  .text = "A copy of the log, appended; SIGHUP opens it anew." },
{ .name = "ENABLE_METRICS", .type = SETTING_BOOL, AT(INTO_BOOL, enable_metrics), .fallback = "true",
  .text = "Whether metrics are served." },
{ .name = "METRICS_PATH", .type = SETTING_STRING, AT(INTO_TEXT, metrics_path), .fallback = "/metrics",
  .text = "Second address of the metrics, next to /api/v1/metrics." },
{ .name = "API_KEY", .type = SETTING_SECRET, AT(INTO_TEXT, api_key), .min = 8, .unit = "characters",
  .text = "The key of this server: whoever shows it may use it. With neither it nor "
          "JWT_SECRET set, everybody may." },
{ .name = "JWT_SECRET", .type = SETTING_SECRET, AT(INTO_TEXT, jwt_secret), .min = 32, .unit = "bytes",
  .text = "Signs the tokens (JWT, HS256) by which users are told apart; each has sessions of "
          "their own." },
{ .name = "SYSTEM_PROMPT", .type = SETTING_STRING, AT(INTO_TEXT, system_prompt), .max = 100000,
  .keeps_empty = true,
  .fallback = "You are a helpful, harmless, and honest AI assistant. Respond in a friendly and "
              "professional manner.",
  .text = "What a model is told before a conversation; an empty value is no prompt." },
{ .name = "SYSTEM_PROMPT_CHAT", .type = SETTING_STRING, AT(INTO_TEXT, system_prompt_chat), .max = 100000,
  .text = "System prompt for requests with prompt_type chat." },
{ .name = "SYSTEM_PROMPT_CODE", .type = SETTING_STRING, AT(INTO_TEXT, system_prompt_code), .max = 100000,
  .text = "System prompt for requests with prompt_type code." },
{ .name = "SYSTEM_PROMPT_CREATIVE", .type = SETTING_STRING, AT(INTO_TEXT, system_prompt_creative),
  .max = 100000,
  .text = "System prompt for requests with prompt_type creative." },
};
/* clang-format on */

const size_t settings_count = sizeof settings / sizeof *settings;
_Static_assert(sizeof settings / sizeof *settings <= SETTINGS_MAX, "raise SETTINGS_MAX");

/* For tests; people are not told of it. */
static const char scripted[] = "scripted";

const char *settings_backend(str name)
{
    for (size_t i = 0; settings_backends[i]; i++)
        if (str_eq_nocase(name, str_of(settings_backends[i]))) return settings_backends[i];
    return str_eq_nocase(name, str_of(scripted)) ? scripted : NULL;
}

int settings_find(str name)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name && (str_eq_nocase(name, str_of(r->name)) ||
                        (r->other && str_eq_nocase(name, str_of(r->other)))))
            return (int)i;
    }
    return -1;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

enum { NEAR_MAX = 2 };

/* Edit distance (Levenshtein 1966), row by row; a dash counts as the underscore it stands for in
 * flags. */
static unsigned distance(str a, str b)
{
    unsigned row[SETTING_NAME_BYTES_MAX + 1];

    for (unsigned j = 0; j <= b.len; j++) row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned corner = row[0];
        char c = a.at[i - 1] == '-' ? '_' : upper(a.at[i - 1]);
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = corner + (c != b.at[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[b.len];
}

const char *settings_near(str name)
{
    const char *near = NULL;
    unsigned least = NEAR_MAX + 1;

    if (name.len > SETTING_NAME_BYTES_MAX) return NULL;
    for (size_t i = 0; i < settings_count; i++) {
        const char *known[] = {settings[i].name, settings[i].other};
        for (int k = 0; k < 2; k++) {
            if (known[k] == NULL) continue;
            unsigned d = distance(name, str_of(known[k]));
            if (d < least) {
                least = d;
                near = known[k];
            }
        }
    }
    return near;
}

void settings_flag(char out[SETTING_NAME_BYTES_MAX], const char *name)
{
    size_t n = 0;

    for (; name[n] && n + 1 < SETTING_NAME_BYTES_MAX; n++) {
        char c = name[n];
        out[n] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    out[n] = '\0';
}

const char *settings_type(const struct setting *r)
{
    static const char *const names[] = {
        [SETTING_STRING] = "string", [SETTING_SECRET] = "secret", [SETTING_URL] = "URL",
        [SETTING_PROXY] = "URL",     [SETTING_STORE] = "string",  [SETTING_PATH] = "path",
        [SETTING_BACKEND] = "enum",  [SETTING_WORD] = "enum",     [SETTING_DEVICE] = "enum",
        [SETTING_BOOL] = "bool",     [SETTING_INT] = "int",       [SETTING_FLOAT] = "float",
        [SETTING_LIST] = "list",
    };
    return names[r->type];
}

const char *settings_default(const struct setting *r)
{
    return r->otherwise ? r->otherwise : r->fallback ? r->fallback : "-";
}

void settings_range(struct buf *to, const struct setting *r)
{
    const char *const *words = r->type == SETTING_BACKEND ? settings_backends : r->words;

    if (words) {
        for (size_t i = 0; words[i]; i++) buf_addf(to, "%s%s", i ? ", " : "", words[i]);
    } else if (r->type == SETTING_SECRET) {
        if (r->min > 0) buf_addf(to, "at least %.0f %s", r->min, r->unit);
    } else if (r->type == SETTING_STRING) {
        if (r->max > 0) buf_addf(to, "%.0f..%.0f characters", r->min, r->max);
    } else if (r->max > 0) {
        if (r->above_min)
            buf_addf(to, "over %.0f, up to %.0f", r->min, r->max);
        else
            buf_addf(to, "%s%.0f..%.0f", r->or_zero ? "0 or " : "", r->min, r->max);
    }
}
