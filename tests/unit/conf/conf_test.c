/* Settings from flags, environment, .env and defaults; the texts of configuration.md section 3. */
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"

enum { WORDS_MAX = 32 };

/* One load: what goes in, and what was said. */
struct run {
    const char *env[WORDS_MAX];
    const char *flags[WORDS_MAX];
    const char *file; /* text of .env; NULL: none */
    int cpus;
    const char *const *only;

    struct conf *conf;
    enum err e;
    char *mistakes, *warnings;
};

static char folder[] = "/tmp/sema-conf-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static void run_load(struct run *r)
{
    size_t mistakes_bytes, warnings_bytes;
    FILE *mistakes = open_memstream(&r->mistakes, &mistakes_bytes);
    FILE *warnings = open_memstream(&r->warnings, &warnings_bytes);
    int flags = 0;

    while (flags < WORDS_MAX && r->flags[flags]) flags++;
    if (r->file) write_file(".env", r->file, 0600);
    struct conf_input in = {.argc = flags,
                            .argv = (char *const *)r->flags,
                            .environ = (char *const *)r->env,
                            .cwd = folder,
                            .warnings = warnings,
                            .cpus = r->cpus ? r->cpus : 2,
                            .only = r->only};
    r->e = conf_load(&r->conf, &in, mistakes);
    fclose(mistakes);
    fclose(warnings);
    unlink(in_folder(".env"));
}

static void run_end(struct run *r)
{
    conf_free(r->conf);
    free(r->mistakes);
    free(r->warnings);
}

/* A run that works; its warnings must be these. */
static struct conf *good(struct run *r, const char *warnings)
{
    run_load(r);
    check_str(str_of(r->mistakes), STR(""));
    check_str(str_of(r->warnings), str_of(warnings));
    check_int(r->e, ERR_NONE);
    return r->conf;
}

static void test_defaults(void **state)
{
    struct run r = {.env = {"HOME=/nowhere/home", "XDG_STATE_HOME=/tmp"}, .cpus = 8};
    struct conf *c = good(&r, "");

    check_str(str_of(c->app_name), STR("Sema Chat API"));
    check_str(str_of(c->host), STR("0.0.0.0"));
    check_int(c->port, 7860);
    check_int(c->workers, 4);
    check_true(c->debug);
    check_int(c->shutdown_timeout_ms, 30000);
    check_str(str_of(c->model.type), STR("local"));
    check_true(c->model.name == NULL);
    check_true(c->temperature == 0.7 && !c->temperature_set && !c->top_k_set);
    check_int(c->max_new_tokens, 512);
    check_true(c->enable_model_switch && !c->client_models_any && c->stream_rescue);
    check_true(!c->cors_origins.set && c->cors_origins.count == 0 && !c->allowed_hosts.set);
    check_str(str_of(c->forwarded_allow_ips.at[0]), STR("127.0.0.1"));
    check_int(c->provider_total_timeout_ms, 600000);
    check_str(str_of(c->hf_hub_cache), STR("/nowhere/home/.cache/huggingface/hub"));
    check_str(str_of(c->session_store), STR("sqlite:/tmp/sema/sema.db"));
    check_true(c->session_sync_full && c->session_timeout_ms == 0 && c->max_sessions == 0);
    check_int(c->log_level, LEVEL_INFO);
    check_str(str_of(c->system_prompt), STR("You are a helpful, harmless, and honest AI assistant. "
                                            "Respond in a friendly and professional manner."));
    check_true(c->system_prompt_chat == NULL && c->api_key == NULL);
    run_end(&r);
}

static void test_precedence(void **state)
{
    struct run r = {.flags = {"--port", "1", "--max-new-tokens=7"},
                    .env = {"PORT=2", "TOP_K=3", "MAX_NEW_TOKENS=9", "TEMPERATURE="},
                    .file = "PORT=4\nTOP_K=5\nRATE_LIMIT=6\nTEMPERATURE=0.25\n"};
    struct conf *c = good(&r, "");

    check_int(c->port, 1);
    check_int(c->max_new_tokens, 7);
    check_int(c->top_k, 3);
    check_int(c->rate_limit, 6);
    check_true(c->temperature == 0.25 && c->temperature_set && c->top_k_set && !c->top_p_set);
    run_end(&r);
}

static void test_names(void **state)
{
    struct run r = {.env = {"port=2", "PORT=3", "Port=4", "model_type=OpenAI", "model_name=x",
                            "OPENAI_BASE_URL=http://h/v1/", "HTTPS_PROXY=http://upper:1",
                            "https_proxy=http://lower:2", "NO_PROXY=a", "no_proxy=b, .c"}};
    struct conf *c = good(&r, "");

    check_int(c->port, 3);
    check_str(str_of(c->model.type), STR("openai"));
    check_str(str_of(c->openai_base_url), STR("http://h/v1"));
    check_str(str_of(c->https_proxy), STR("http://lower:2"));
    check_str(str_of(c->no_proxy), STR("b,.c"));
    run_end(&r);

    struct run second = {.env = {"HF_TOKEN=a", "GEMINI_API_KEY=b", "ALL_PROXY=http://h:3",
                                 "HUGGINGFACE_HUB_CACHE=/c"}};
    c = good(&second, "");
    check_str(str_of(c->hf_api_token), STR("a"));
    check_str(str_of(c->google_api_key), STR("b"));
    check_str(str_of(c->https_proxy), STR("http://h:3"));
    check_str(str_of(c->hf_hub_cache), STR("/c"));
    run_end(&second);

    struct run both = {.env = {"HF_TOKEN=a"}, .file = "HF_API_TOKEN=b\n"};
    check_str(str_of(good(&both, "")->hf_api_token), STR("b"));
    run_end(&both);
}

static void test_empty(void **state)
{
    struct run r = {.env = {"PORT=", "DEBUG=", "CORS_ORIGINS=", "API_KEY=", "SYSTEM_PROMPT="},
                    .file = "SYSTEM_PROMPT=x\nRATE_LIMIT=\n"};
    struct conf *c = good(&r, "");

    check_int(c->port, 7860);
    check_int(c->rate_limit, 60);
    check_true(c->api_key == NULL && !c->cors_origins.set);
    check_true(c->system_prompt && c->system_prompt[0] == '\0');
    run_end(&r);
}

static void test_quotes_in_environment(void **state)
{
    struct run r = {.env = {"OPENAI_API_KEY=\"sk-x\"", "MODEL_TYPE=\"openai\"", "PORT='7861'",
                            "MODEL_NAME=\"\"", "SYSTEM_PROMPT=\"a\" and \"b\""},
                    .file = "MODEL_NAME=m\r\nMODEL_PATH=\"/p\"\r\n"};
    struct conf *c =
        good(&r, "warning: PORT: took off the quotes around its value in the environment\n"
                 "warning: MODEL_TYPE: took off the quotes around its value in the environment\n"
                 "warning: MODEL_NAME: took off the quotes around its value in the environment\n"
                 "warning: OPENAI_API_KEY: took off the quotes around its value in the "
                 "environment\n");
    check_str(str_of(c->openai_api_key), STR("sk-x"));
    check_int(c->port, 7861);
    check_str(str_of(c->model.name), STR("m"));
    check_str(str_of(c->model_path), STR("/p"));
    check_str(str_of(c->system_prompt), STR("\"a\" and \"b\""));
    run_end(&r);
}

static void test_file_warnings(void **state)
{
    struct run r = {.file = "MODEL_NAM=x\nMODEL_NAM=y\nKV_CACHE_MB=1\nsk-stray-secret\nA "
                            "B=c\nsk-x=sk-y=z\nDEBUG: no\n"};
    good(&r, "warning: .env line 5: skipped: more text than a name and a value\n"
             "warning: .env line 7: skipped: a line here is NAME=value, without a colon\n"
             "warning: .env line 1: unknown name \"MODEL_NAM\"; did you mean MODEL_NAME?\n"
             "warning: .env line 3: unknown name \"KV_CACHE_MB\"\n"
             "warning: .env line 6: unknown name \"sk-x\"\n");
    run_end(&r);

    struct run secret = {.env = {"API_KEY=  12345678\t"}};
    check_str(str_of(
                  good(&secret, "warning: API_KEY: cut white space around its value\n")->api_key),
              STR("12345678"));
    run_end(&secret);
}

static void test_env_file(void **state)
{
    write_file("other.env", "PORT=5\n", 0600);
    write_file(".env", "PORT=6\n", 0600);
    char given[300];
    snprintf(given, sizeof given, "SEMA_ENV_FILE=%s", in_folder("other.env"));
    struct run r = {.env = {given}};
    check_int(good(&r, "")->port, 5);
    run_end(&r);

    struct run flag = {.flags = {"--env-file", "other.env"}};
    check_int(good(&flag, "")->port, 5);
    run_end(&flag);

    chmod(in_folder("other.env"), 0644);
    struct run open = {.flags = {"--env-file=other.env"}};
    good(&open,
         "warning: other.env can be read by other users of this machine; chmod 600 other.env\n");
    run_end(&open);
    unlink(in_folder("other.env"));

    struct run missing = {.flags = {"--env-file=/x/.env"}, .file = "PORT=1\n"};
    run_load(&missing);
    check_str(str_of(missing.mistakes),
              STR("config: SEMA_ENV_FILE: cannot read \"/x/.env\": No such file or directory\n"));
    run_end(&missing);
}

/* One mistake a row, in the words of the contract. */
static void test_mistakes(void **state)
{
#define E(...) .env = { __VA_ARGS__ }
    static const struct {
        const char *env[6];
        const char *want;
    } rows[] = {
        {E("PORT=abc"), "PORT: expected an integer, got \"abc\""},
        {E("PORT=70000"), "PORT: must be between 1 and 65535, got 70000"},
        {E("TEMPERATURE=7"), "TEMPERATURE: must be between 0 and 1, got 7"},
        {E("TEMPERATURE=nan"), "TEMPERATURE: expected a number, got \"nan\""},
        {E("TOP_P=0"), "TOP_P: must be over 0, got 0"},
        {E("RATE_LIMIT=-1"), "RATE_LIMIT: must be between 0 and 1000000000, got -1"},
        {E("MAX_MESSAGES_PER_SESSION=1"),
         "MAX_MESSAGES_PER_SESSION: must be 0 or between 2 and 100000, got 1"},
        {E("DEBUG=maybe"), "DEBUG: expected a boolean, got \"maybe\""},
        {E("CORS_ORIGINS=[1]"),
         "CORS_ORIGINS: expected a JSON array or comma-separated list, got \"[1]\""},
        {E("MODEL_TYPE=nonsense"),
         "MODEL_TYPE: unknown backend \"nonsense\"; one of local, hf_api, "
         "openai, anthropic, minimax, google"},
        {E("FALLBACK_MODEL_TYPE=nonsense", "FALLBACK_MODEL_NAME=x"),
         "FALLBACK_MODEL_TYPE: unknown backend \"nonsense\"; one of local, hf_api, openai, "
         "anthropic, "
         "minimax, google"},
        {E("MODEL_TYPE=google", "MODEL_NAME=x"), "GOOGLE_API_KEY: required for MODEL_TYPE=google"},
        {E("MODEL_TYPE=GOOGLE", "MODEL_NAME=x"), "GOOGLE_API_KEY: required for MODEL_TYPE=google"},
        {E("MODEL_TYPE=hf_api", "MODEL_NAME=x"), "HF_API_TOKEN: required for MODEL_TYPE=hf_api"},
        {E("MODEL_TYPE=minimax"), "MINIMAX_API_KEY: required for MODEL_TYPE=minimax"},
        {E("MODEL_TYPE=openai", "MODEL_NAME=x"), "OPENAI_API_KEY: required for MODEL_TYPE=openai"},
        {E("MODEL_TYPE=anthropic", "MODEL_NAME=x"),
         "ANTHROPIC_API_KEY: required for MODEL_TYPE=anthropic"},
        {E("FALLBACK_MODEL_TYPE=google", "FALLBACK_MODEL_NAME=x"),
         "GOOGLE_API_KEY: required for FALLBACK_MODEL_TYPE=google"},
        {E("REASONING_MODEL_TYPE=minimax", "REASONING_MODEL_NAME=x"),
         "MINIMAX_API_KEY: required for REASONING_MODEL_TYPE=minimax"},
        {E("FALLBACK_MODELS=google/x"), "GOOGLE_API_KEY: required for FALLBACK_MODELS=google/x"},
        {E("FALLBACK_MODEL_TYPE=local"),
         "FALLBACK_MODEL_TYPE: set together with FALLBACK_MODEL_NAME"},
        {E("FALLBACK_MODEL_NAME=x"), "FALLBACK_MODEL_NAME: set together with FALLBACK_MODEL_TYPE"},
        {E("REASONING_MODEL_NAME=x"),
         "REASONING_MODEL_NAME: set together with REASONING_MODEL_TYPE"},
        {E("MODEL_NAME=a/b", "FALLBACK_MODEL_TYPE=local", "FALLBACK_MODEL_NAME=a/b"),
         "FALLBACK_MODEL_NAME: same model as MODEL_TYPE/MODEL_NAME"},
        {E("FALLBACK_MODELS=local/x", "FALLBACK_MODEL_TYPE=local", "FALLBACK_MODEL_NAME=y"),
         "FALLBACK_MODELS: set either FALLBACK_MODELS or FALLBACK_MODEL_TYPE/_NAME"},
        {E("FALLBACK_MODELS=x"), "FALLBACK_MODELS: expected type/name, got \"x\""},
        {E("FALLBACK_MODELS=bad/x"),
         "FALLBACK_MODELS: unknown backend \"bad\"; one of local, hf_api, "
         "openai, anthropic, minimax, google"},
        {E("FALLBACK_MODELS=local/1,local/2,local/3,local/4,local/5,local/6,local/7,local/8,local/"
           "9"),
         "FALLBACK_MODELS: at most 8 models"},
        {E("MODEL_ALIASES=a"), "MODEL_ALIASES: expected name=type/name, got \"a\""},
        {E("OPENAI_BASE_URL=not-a-url"),
         "OPENAI_BASE_URL: not a valid http(s) address: \"not-a-url\""},
        {E("OPENAI_BASE_URL=ftp://h"), "OPENAI_BASE_URL: not a valid http(s) address: \"ftp://h\""},
        {E("OPENAI_BASE_URL=http://"), "OPENAI_BASE_URL: not a valid http(s) address: \"http://\""},
        {E("OPENAI_BASE_URL=http://u:geheim@h"),
         "OPENAI_BASE_URL: must not hold a user or password: \"http://u:***@h\""},
        {E("MAX_NEW_TOKENS=2048"), "MAX_NEW_TOKENS: must be smaller than MAX_LENGTH (2048)"},
        {E("MAX_LENGTH=512"), "MAX_NEW_TOKENS: must be smaller than MAX_LENGTH (512)"},
        {E("DEVICE=gpu"), "DEVICE: one of auto, cpu, cuda, cuda:N"},
        {E("DEVICE=CUDA:0"),
         "DEVICE: Sema computes on the CPU; for a GPU set MODEL_TYPE=openai and "
         "OPENAI_BASE_URL to a vLLM server"},
        {E("MODEL_TYPE=openai", "OPENAI_API_KEY=k"), "MODEL_NAME: required for MODEL_TYPE=openai"},
        {E("SESSION_STORE=x:"), "SESSION_STORE: unknown store \"x:\"; one of sqlite, memory"},
        {E("SESSION_STORE=redis://u:geheim@h"),
         "SESSION_STORE: unknown store \"redis:\"; one of sqlite, memory"},
        {E("REDIS_URL=redis://h"), "REDIS_URL: shared sessions are not built in"},
        {E("LOG_LEVEL=loud"), "LOG_LEVEL: one of debug, info, warning, error, critical"},
        {E("LOG_FILE=/x/y.log"), "LOG_FILE: cannot open \"/x/y.log\": No such file or directory"},
        {E("METRICS_PATH=metrics"), "METRICS_PATH: must start with /"},
        {E("METRICS_PATH=/health"), "METRICS_PATH: already used by another route"},
        {E("METRICS_PATH=/api/v1/chat"), "METRICS_PATH: already used by another route"},
        {E("API_KEY=geheim"), "API_KEY: at least 8 characters"},
        {E("API_KEY=geheimer schluessel"),
         "API_KEY: must be visible ASCII characters without blanks"},
        {E("JWT_SECRET=geheim"), "JWT_SECRET: at least 32 bytes"},
        {E("HTTPS_PROXY=socks5://u:geheim@h:1"),
         "HTTPS_PROXY: socks proxies are not supported; set an http:// proxy, got "
         "\"socks5://u:***@h:1\""},
        {E("ALLOWED_HOSTS=a:80"),
         "ALLOWED_HOSTS: not a host name or address without port: \"a:80\""},
        {E("CORS_ORIGINS=https://a/x"), "CORS_ORIGINS: not an origin (https://name or "
                                        "https://name:port, no path): \"https://a/x\""},
        {E("FORWARDED_ALLOW_IPS=proxy"),
         "FORWARDED_ALLOW_IPS: not an address or network: \"proxy\""},
        {E("HOST=http://x"), "HOST: not an address or host name: \"http://x\""},
        {E("WORKERS=0"), "WORKERS: must be between 1 and 256, got 0"},
    };
#undef E
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run r = {0};
        char want[400];
        memcpy(r.env, rows[i].env, sizeof rows[i].env);
        snprintf(want, sizeof want, "config: %s\n", rows[i].want);
        run_load(&r);
        check_str(str_of(r.mistakes), str_of(want));
        check_int(r.e, ERR_INVALID);
        check_true(strstr(r.warnings, "geheim") == NULL);
        run_end(&r);
    }
}

static void test_all_mistakes_at_once(void **state)
{
    struct run r = {.env = {"PORT=x", "TOP_K=-1"},
                    .flags = {"--debug", "maybe", "--nonsense", "v", "--prt=1", "stray",
                              "--api-key", "geheim-geheim", "--host"}};
    run_load(&r);
    check_str(str_of(r.mistakes),
              STR("config: --nonsense: unknown flag\n"
                  "config: --prt: unknown flag; did you mean --port?\n"
                  "config: stray: unexpected argument\n"
                  "config: API_KEY: not a flag, every list of processes would show "
                  "it; set it in the environment or in .env\n"
                  "config: HOST: --host needs a value\n"
                  "config: DEBUG: expected a boolean, got \"maybe\"\n"
                  "config: PORT: expected an integer, got \"x\"\n"
                  "config: TOP_K: must be between 0 and 1000, got -1\n"));
    run_end(&r);
}

static void test_only(void **state)
{
    static const char *const only[] = {"SESSION_STORE", NULL};
    struct run r = {.env = {"MODEL_TYPE=google", "PORT=x", "SESSION_STORE=memory:"}, .only = only};

    check_str(str_of(good(&r, "")->session_store), STR("memory:"));
    run_end(&r);
}

/* The blocks of the configuration guide, as they are printed there. */
static void test_guide(void **state)
{
    static const char *const blocks[] = {
        "MODEL_TYPE=minimax\nMODEL_NAME=MiniMax-M1\nMINIMAX_API_KEY=your_minimax_api_key\n"
        "MINIMAX_API_URL=https://api.minimax.chat/v1/text/chatcompletion_v2\n"
        "MINIMAX_MODEL_VERSION=abab6.5s-chat\n",
        "MODEL_TYPE=local\nMODEL_NAME=google/gemma-2b-it\nDEVICE=auto\n",
        "MODEL_TYPE=hf_api\nMODEL_NAME=google/gemma-2b-it\nHF_API_TOKEN=your_hf_token\n",
        "MODEL_TYPE=google\nMODEL_NAME=gemma-2-9b-it\nGOOGLE_API_KEY=your_google_api_key\n",
        "# Best for free "
        "deployment\nMODEL_TYPE=local\nMODEL_NAME=TinyLlama/TinyLlama-1.1B-Chat-v1.0\n"
        "DEVICE=cpu\nMAX_NEW_TOKENS=256\nTEMPERATURE=0.7\n",
        "# Best for production with fallbacks\nMODEL_TYPE=openai\nMODEL_NAME=gpt-3.5-turbo\n"
        "OPENAI_API_KEY=your_key\n\n# Fallback configuration\nFALLBACK_MODEL_TYPE=hf_api\n"
        "FALLBACK_MODEL_NAME=microsoft/DialoGPT-medium\nHF_API_TOKEN=your_token\n",
        "# Primary: Latest "
        "Gemini\nMODEL_TYPE=google\nMODEL_NAME=gemini-1.5-pro\nGOOGLE_API_KEY=your_key\n"
        "\n# For reasoning tasks\nREASONING_MODEL_TYPE=minimax\nREASONING_MODEL_NAME=MiniMax-M1\n"
        "MINIMAX_API_KEY=your_key\n",
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct run r = {.file = blocks[i]};
        struct conf *c = good(&r, "");
        check_true(c->model.name != NULL);
        run_end(&r);
    }
}

static void test_dependent_defaults(void **state)
{
    struct run r = {.env = {"HOST=[::1]", "SESSION_STORE=memory:", "ENVIRONMENT=Production"}};
    struct conf *c = good(&r, "");
    check_str(str_of(c->host), STR("::1"));
    check_true(conf_is_loopback(c) && c->client_models_any && !c->enable_model_switch);
    check_int(c->max_sessions, 10000);
    run_end(&r);

    struct run keyed = {.env = {"ENVIRONMENT=production", "API_KEY=12345678",
                                "CLIENT_MODELS=configured", "MODEL_TYPE=minimax",
                                "MINIMAX_API_KEY=k", "SESSION_STORE=~/s.db", "HOME=/h"},
                        .cpus = 1};
    c = good(&keyed, "");
    check_true(c->enable_model_switch && !c->client_models_any);
    check_str(str_of(c->model.name), STR("MiniMax-M1"));
    check_str(str_of(c->session_store), STR("sqlite:/h/s.db"));
    check_int(c->workers, 1);
    run_end(&keyed);

    struct run systemd = {.env = {"STATE_DIRECTORY=/tmp:/x", "HOME=/h", "HF_HOME=~/hf"}};
    c = good(&systemd, "");
    check_str(str_of(c->session_store), STR("sqlite:/tmp/sema.db"));
    check_str(str_of(c->hf_hub_cache), STR("/h/hf/hub"));
    run_end(&systemd);

    struct run nowhere = {.env = {"PATH=/bin"}};
    check_true(good(&nowhere, "")->session_store == NULL);
    run_end(&nowhere);

    struct run lists = {.env = {"CORS_ORIGINS=[\"https://A.example/\",\"http://b:1\"]",
                                "ALLOWED_HOSTS=[::1],Name.example",
                                "FORWARDED_ALLOW_IPS=10.0.0.0/8,*",
                                "FALLBACK_MODELS=local/a/b, local/c", "RESUME_WINDOW=5",
                                "PROVIDER_CONNECT_TIMEOUT=0.0001", "SESSION_TIMEOUT=2"}};
    c = good(&lists, "");
    check_str(str_of(c->cors_origins.at[0]), STR("https://a.example"));
    check_str(str_of(c->allowed_hosts.at[0]), STR("::1"));
    check_str(str_of(c->allowed_hosts.at[1]), STR("name.example"));
    check_int(c->forwarded_allow_ips.count, 1);
    check_str(str_of(c->forwarded_allow_ips.at[0]), STR("*"));
    check_int(c->fallbacks_count, 2);
    check_str(str_of(c->fallbacks[0].name), STR("a/b"));
    check_int(c->resume_window_ms, 5000);
    check_int(c->provider_connect_timeout_ms, 1);
    check_int(c->session_timeout_ms, 120000);
    run_end(&lists);
}

static void test_warnings(void **state)
{
    static const struct {
        const char *env[4];
        int lines;
    } rows[] = {
        {{"HOST=127.0.0.1"}, 0},
        {{"HOST=0.0.0.0"}, 1},
        {{"API_KEY=12345678"}, 0},
        {{"ENVIRONMENT=production"}, 3},
        {{"ENVIRONMENT=production", "API_KEY=12345678"}, 1},
        {{"ENVIRONMENT=production", "API_KEY=12345678", "CORS_ORIGINS=https://a"}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run r = {0};
        char *text;
        size_t bytes;
        int lines = 0;
        memcpy(r.env, rows[i].env, sizeof rows[i].env);
        FILE *to = open_memstream(&text, &bytes);
        conf_warn(good(&r, ""), to);
        fclose(to);
        for (size_t k = 0; k < bytes; k++) lines += text[k] == '\n';
        check_int(lines, rows[i].lines);
        free(text);
        run_end(&r);
    }
}

static void print_to(struct buf *out, const struct conf *c, bool json)
{
    char *text;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    conf_print(c, to, json);
    fclose(to);
    buf_clear(out);
    buf_add(out, str_span(text, bytes));
    free(text);
}

static void test_print(void **state)
{
    struct run r = {.env = {"API_KEY=geheim-geheim", "HTTPS_PROXY=http://u:geheim@h:1",
                            "GEMINI_API_KEY=geheim", "TEMPERATURE=1", "SESSION_STORE=memory:"},
                    .flags = {"--port=1"},
                    .file = "\nRATE_LIMIT=5\nSYSTEM_PROMPT=\"a\\nb\"\n"};
    struct buf seen;
    static const char *const text[] = {
        "PORT = 1  (flag)\n",
        "API_KEY = ***  (environment)\n",
        "RATE_LIMIT = 5  (.env line 2)\n",
        "HTTPS_PROXY = http://u:***@h:1  (environment)\n",
        "GOOGLE_API_KEY = ***  (environment, GEMINI_API_KEY)\n",
        "SYSTEM_PROMPT = a\\nb  (.env line 3)\n",
        "LOG_LEVEL = info  (default)\n",
        "STREAM_RESCUE = continue  (default)\n",
        "OPENAI_API_KEY = -  (default)\n",
        "SHUTDOWN_TIMEOUT = 30  (default)\n",
        "FORWARDED_ALLOW_IPS = 127.0.0.1  (default)\n",
    };
    static const char *const json[] = {
        "\"PORT\":{\"value\":1,\"source\":\"flag\"}",
        "\"API_KEY\":{\"value\":\"***\",\"source\":\"environment\"}",
        "\"RATE_LIMIT\":{\"value\":5,\"source\":\"env_file\",\"file\":\".env\",\"line\":2}",
        "\"JWT_SECRET\":{\"value\":null,\"source\":\"default\"}",
        "\"FORWARDED_ALLOW_IPS\":{\"value\":[\"127.0.0.1\"],\"source\":\"default\"}",
    };

    buf_init(&seen, 1 << 20);
    good(&r, "");
    print_to(&seen, r.conf, false);
    check_true(str_find(buf_str(&seen), STR("geheim")) == STR_NPOS);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (str_find(buf_str(&seen), str_of(text[i])) == STR_NPOS) {
            print_error("not there: %s in\n%.*s", text[i], STR_ARG(buf_str(&seen)));
            fail();
        }
    print_to(&seen, r.conf, true);
    check_true(str_find(buf_str(&seen), STR("geheim")) == STR_NPOS);
    for (size_t i = 0; i < sizeof json / sizeof *json; i++)
        if (str_find(buf_str(&seen), str_of(json[i])) == STR_NPOS) {
            print_error("not there: %s in\n%.*s", json[i], STR_ARG(buf_str(&seen)));
            fail();
        }
    buf_fini(&seen);
    run_end(&r);
}

static void test_wipe(void **state)
{
    char key[] = "OPENAI_API_KEY=geheim", token[] = "hf_token=geheim", other[] = "PATH=/bin";
    char *env[] = {key, token, other, NULL};

    conf_wipe_environ(env);
    check_true(memcmp(key, "OPENAI_API_KEY=\0\0\0\0\0\0", sizeof key) == 0);
    check_str(str_of(token), STR("hf_token="));
    check_str(str_of(other), STR("PATH=/bin"));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_quotes_in_environment),
        cmocka_unit_test(test_file_warnings),
        cmocka_unit_test(test_env_file),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_all_mistakes_at_once),
        cmocka_unit_test(test_only),
        cmocka_unit_test(test_guide),
        cmocka_unit_test(test_dependent_defaults),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
