/* sema check: does the server over there do what it should?  The walk's steps are in check_walk.c,
 * its questions in check_ask.c.  --health is the one question of a container's health check. */
#include "cli/check.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <uv.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/rand.h"
#include "cli/compose.h"
#include "cli/process.h"
#include "conf/conf.h"

enum {
    HEALTH_MS = 2500, /* of a health check: container engines wait some seconds and ask again */
    CLEAR_MS = 3000,  /* for the session to be cleared after an interrupt */
    ANSWER_S = 120,
    ANSWER_S_MAX = 3600,
    KEY_BYTES_MAX = 8192, /* a JWT with all its claims fits */
    TEXT_BYTES_MAX = 1 << 20,
};

static struct {
    struct check k;
    uv_signal_t interrupts[2];
} all;

/* ---- telling ---- */

/* What a person does about it, by the answer's stable code. */
static const char *advice_of(str code)
{
    static const struct {
        const char *code, *text;
    } rows[] = {
        {"unauthorized", "set API_KEY (environment, .env) or --key-file to the server's key"},
        {"host_not_allowed", "use a name that is in the server's ALLOWED_HOSTS, or add this one"},
        {"rate_limited", "wait a minute, or raise RATE_LIMIT on the server"},
        {"stream_limit", "wait, or raise MAX_CONCURRENT_STREAMS on the server"},
        {"session_limit", "delete sessions, or raise MAX_SESSIONS_PER_USER on the server"},
        {"store_unavailable", "SESSION_STORE of the server: is the disk full, may it be written?"},
        {"model_not_ready", "the server's log and /api/v1/backends say what the model waits for"},
        {"local_queue_full", "the local model is busy: wait, or raise LOCAL_QUEUE"},
        {"provider_auth", "the provider refuses the server's key; sema test-backends names it"},
        {"provider_model_not_found", "the provider does not know the model: see MODEL_NAME"},
        {"provider_quota", "the account at the provider has used up its quota"},
        {"provider_network", "the server does not reach its provider: its network, HTTPS_PROXY"},
        {"provider_rate_limit", "the provider limits the server's rate: wait"},
        {"shutting_down", "it is being stopped"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(code, str_of(rows[i].code))) return rows[i].text;
    return NULL;
}

static void next(struct check *k);

static void put_row(struct check *k, const char *state, str code, const char *text,
                    const char *advice)
{
    struct json_out *o = &k->out;

    json_object(o);
    json_key(o, "check"), json_text(o, str_of(check_steps[k->step].name));
    json_key(o, "ok"), json_bool(o, strcmp(state, "FAILED") != 0);
    json_key(o, "skipped"), json_bool(o, strcmp(state, "skipped") == 0);
    json_key(o, "ms"), json_int(o, (int64_t)(clock_mono_us() - k->began_us) / 1000);
    json_key(o, "text"), json_text(o, str_of(text));
    json_key(o, "code"), json_text_or_null(o, code.len ? code : STR_NONE);
    json_key(o, "advice"), json_text_or_null(o, str_of(advice));
    json_end_object(o);
}

static void tell(struct check *k, const char *state, str code, const char *format, va_list args)
{
    char text[1024];
    const char *advice = code.len ? advice_of(code) : NULL;
    long long ms = (long long)(clock_mono_us() - k->began_us) / 1000;

    vsnprintf(text, sizeof text, format, args);
    k->told++;
    if (k->json) {
        put_row(k, state, code, text, advice);
    } else {
        printf("%-10s %-7s %6lld ms  ", check_steps[k->step].name, state, ms);
        cli_print_word(stdout, str_of(text)); /* the server's words */
        if (advice) printf("; %s", advice);
        putchar('\n');
        fflush(stdout);
    }
    k->step++;
    next(k);
}

void check_ok(struct check *k, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(k, "ok", STR_NONE, format, args);
    va_end(args);
}

void check_skip(struct check *k, const char *format, ...)
{
    va_list args;

    k->skipped++;
    va_start(args, format);
    tell(k, "skipped", STR_NONE, format, args);
    va_end(args);
}

/* The `code` of a refusal: of /api/v1 beside "detail", of the others inside "error". */
static str code_of(const struct check *k)
{
    yyjson_val *root = yyjson_doc_get_root(k->reply.doc);
    str code = json_get_str(root, "code");

    if (code.len == 0) code = json_get_str(json_get(root, "error"), "code");
    return code.len ? code : str_of(k->heard.code);
}

void check_fail(struct check *k, const char *format, ...)
{
    va_list args;

    k->failed++;
    va_start(args, format);
    tell(k, "FAILED", code_of(k), format, args);
    va_end(args);
}

/* `{"detail":"..."}`, `{"detail":[{"msg":...}]}`, `{"error":"..."}`, `{"error":{"message":...}}`.
 */
static str said(const struct check *k)
{
    yyjson_val *root = yyjson_doc_get_root(k->reply.doc), *detail = json_get(root, "detail");
    yyjson_val *error = json_get(root, "error");
    str text =
        json_str(yyjson_is_arr(detail) ? json_get(yyjson_arr_get_first(detail), "msg") : detail);

    if (text.len == 0) text = json_str(error);
    return text.len ? text : json_get_str(error, "message");
}

bool check_good(struct check *k, bool json)
{
    const struct check_reply *r = &k->reply;
    str words = said(k), code = code_of(k);

    if (r->e)
        check_fail(k, "%s%s", err_text(&r->why, r->e),
                   r->e == ERR_NETWORK && k->step == 0 ? "; is the server running (sema serve)?"
                                                       : "");
    else if (r->status >= 300 && r->status < 400 && r->location[0])
        check_fail(k, "answered %d: use %s", r->status, r->location);
    else if (r->status != 200)
        check_fail(k, "answered %d%s%.*s%s%.*s%s", r->status, words.len ? " " : "",
                   STR_ARG(str_head(words, 300)), code.len ? " (" : "", STR_ARG(code),
                   code.len ? ")" : "");
    else if (json && r->doc == NULL)
        check_fail(k, "the answer is no JSON: is this a Sema server?");
    else
        return true;
    return false;
}

/* ---- the walk ---- */

static void end(struct check *k)
{
    for (int i = 0; i < 2; i++) uv_close((uv_handle_t *)&all.interrupts[i], NULL);
    loop_stop(k->loop);
    uv_stop(loop_uv(k->loop)); /* kept connections end after the loop */
}

/* Whatever was left under the session's id. */
static void clear(struct check *k)
{
    str path = arena_strf(&k->arena, "/api/v1/sessions/%s", k->session);

    if (!k->session_used || path.at == NULL) {
        end(k);
        return;
    }
    k->session_used = false;
    check_ask(k, "DELETE", path.at, STR_NONE, CLEAR_MS, end);
}

static void health_heard(struct check *k)
{
    const struct check_reply *r = &k->reply;

    if (r->e)
        k->failed = cli_fail(k->cli, "%s", err_text(&r->why, r->e));
    else if (r->status != 200)
        k->failed = cli_fail(k->cli, "%s/health answered %d%s%.*s", k->base, r->status,
                             said(k).len ? " " : "", STR_ARG(str_head(said(k), 300)));
    end(k);
}

static void on_next(struct task *t)
{
    struct check *k = container_of(t, struct check, next_task);

    if (k->stopped) return;
    /* A server that nobody reaches fails every step alike. */
    bool unreachable = k->step == 1 && k->failed && k->reply.e;
    k->began_us = clock_mono_us();
    if (k->health)
        check_ask(k, "GET", "/health", STR_NONE, HEALTH_MS, health_heard);
    else if (unreachable || check_steps[k->step].name == NULL)
        clear(k);
    else
        check_steps[k->step].run(k);
}

static void next(struct check *k)
{
    k->next_task.run = on_next;
    loop_post(k->loop, &k->next_task);
}

/* The first stops the walk and clears the session; the second is the system's own. */
static void on_interrupt(uv_signal_t *handle, int number)
{
    struct check *k = &all.k;

    (void)handle;
    for (int i = 0; i < 2; i++) uv_signal_stop(&all.interrupts[i]);
    k->stopped = true;
    k->failed = 128 + number;
    k->then = NULL;
    http_call_cancel(k->call);
    k->call = NULL;
    ws_client_free(k->ws);
    k->ws = NULL;
    clear(k);
}

static void watch(struct check *k)
{
    static const int numbers[2] = {SIGINT, SIGTERM};

    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop_uv(k->loop), &all.interrupts[i]);
        uv_signal_start(&all.interrupts[i], on_interrupt, numbers[i]);
    }
}

/* ---- where, and with which key ---- */

/* The server of these settings, as this machine reaches it. */
static const char *own_address(struct check *k)
{
    const struct conf *c = k->conf;
    str host = str_of(c->host);
    str name = c->allowed_hosts.count ? str_of(c->allowed_hosts.at[0]) : STR_NONE;

    if (str_eq(host, STR("0.0.0.0")))
        host = STR("127.0.0.1");
    else if (str_eq(host, STR("::")))
        host = STR("::1");
    bool v6 = str_find_char(host, ':') != STR_NPOS;
    if (name.len && !str_eq(name, STR("*"))) {
        bool bare_v6 = str_find_char(name, ':') != STR_NPOS && name.at[0] != '[';
        k->host = arena_strf(&k->arena, bare_v6 ? "[%.*s]" : "%.*s", STR_ARG(name));
    }
    return arena_strf(&k->arena, v6 ? "http://[%.*s]:%d" : "http://%.*s:%d", STR_ARG(host), c->port)
        .at;
}

static int choose_address(struct check *k)
{
    const char *given = k->cli->args_count ? k->cli->args[0] : NULL;

    if (given == NULL) {
        k->conf->https_proxy = NULL; /* this machine's own server, on whatever address */
        if (k->conf->port == 0)
            return cli_fail(k->cli, "PORT is 0, so the address is not known: sema check URL");
        k->base = own_address(k);
        return k->base ? EXIT_FINE : cli_fail(k->cli, "%s", err_text(NULL, ERR_MEMORY));
    }
    str base = str_of(given);
    while (base.len && base.at[base.len - 1] == '/') base.len--;
    k->base = arena_str(&k->arena, base).at;
    if (k->base == NULL || url_parse(&k->url, base, &k->arena) || k->url.user.len ||
        str_find_char(base, '?') != STR_NPOS || str_find_char(base, '#') != STR_NPOS)
        return cli_fail(k->cli,
                        "not the address of a server, such as http://localhost:7860: \"%s\"",
                        k->url.user.len ? "***" : given);
    return EXIT_FINE;
}

static int choose_key(struct check *k)
{
    const char *file = cli_flag(k->cli, "key-file"), *key = k->conf->api_key;
    char line[KEY_BYTES_MAX];

    if (file) {
        FILE *f = fopen(file, "r");
        bool got = f && fgets(line, sizeof line, f);
        const char *why = strerror(errno);
        if (f) fclose(f);
        if (!f) return cli_fail(k->cli, "--key-file: cannot read \"%s\": %s", file, why);
        str trimmed = got ? str_trim(str_of(line)) : STR_NONE;
        if (trimmed.len == 0) return cli_fail(k->cli, "--key-file: \"%s\" is empty", file);
        for (size_t i = 0; i < trimmed.len; i++)
            if (trimmed.at[i] <= ' ' || trimmed.at[i] > '~')
                return cli_fail(k->cli, "--key-file: \"%s\" holds no key of one line", file);
        key = arena_str(&k->arena, trimmed).at;
    }
    if (key) k->bearer = arena_strf(&k->arena, "Bearer %s", key).at;
    return EXIT_FINE;
}

static int choose_time(struct check *k)
{
    const char *text = cli_flag(k->cli, "timeout");
    uint64_t s = ANSWER_S;

    if (text && (!str_to_u64(str_of(text), &s) || s < 1 || s > ANSWER_S_MAX))
        return cli_fail(k->cli, "--timeout: must be between 1 and %d, got %s", ANSWER_S_MAX, text);
    k->answer_ms = (uint32_t)s * 1000;
    return EXIT_FINE;
}

/* ---- the command ---- */

static int walk(struct check *k)
{
    struct err_note why = {.text = ""};
    enum err e = loop_new(&k->loop, &why);

    if (!e) e = compose_client(&k->client, k->cli->program, k->conf, k->loop, &why);
    if (e) {
        loop_free(k->loop);
        return cli_fail(k->cli, "%s", err_text(&why, e));
    }
    snprintf(k->session, sizeof k->session, "sema-check-");
    rand_uuid(k->session + strlen(k->session));
    buf_init(&k->text, TEXT_BYTES_MAX);
    k->out = json_begin(&k->text);
    if (k->json) json_array(&k->out);
    if (!k->json && !k->health) printf("%s\n", k->base);
    fflush(stdout);
    watch(k);
    next(k);
    loop_run(k->loop);
    http_client_free(k->client);
    loop_free(k->loop);
    if (k->json) {
        json_end_array(&k->out);
        printf("%.*s\n", STR_ARG(buf_str(&k->text)));
    } else if (!k->health && !k->stopped) {
        printf("%d ok, %d skipped, %d failed\n", k->told - k->skipped - k->failed, k->skipped,
               k->failed);
    }
    return k->failed;
}

static int run(struct cli *c)
{
    static const char *const needed[] = {"SEMA_ENV_FILE", "HOST",     "PORT",
                                         "ALLOWED_HOSTS", "API_KEY",  "HTTPS_PROXY",
                                         "ALL_PROXY",     "NO_PROXY", "SSL_CERT_FILE",
                                         "SSL_CERT_DIR",  NULL};
    struct check *k = &all.k;

    k->cli = c;
    k->health = cli_flag(c, "health") != NULL;
    k->json = !k->health && cli_flag(c, "json");
    c->quiet = k->health;
    process_keep_secrets();
    if (!cli_conf(c, needed, &k->conf)) return EXIT_MISTAKE;
    arena_init(&k->arena, 0);
    process_serve(1); /* a peer that is gone is an error, no signal */
    int status = choose_address(k);
    if (!status) status = choose_key(k);
    if (!status) status = choose_time(k);
    if (!status) status = walk(k);
    sse_fini(&k->sse);
    yyjson_doc_free(k->reply.doc);
    buf_fini(&k->reply.body);
    buf_fini(&k->text);
    arena_fini(&k->arena);
    conf_free(k->conf);
    return cli_end(status);
}

static const struct cli_flag flags[] = {
    {"health", NULL, "one GET /health, nothing printed when it is well: for a container's check"},
    {"key-file", "FILE", "the server's key (or a JWT) in a file's first line, instead of API_KEY"},
    {"timeout", "SECONDS", "longest wait for a generated answer (120)"},
    {"json", NULL, "as a JSON array"},
};

const struct command command_check = {
    .name = "check",
    .args = "[URL]",
    .text = "walk over a running server, a line a step; the exit status counts failures",
    .more =
        "Without URL it is the server of these settings: HOST and PORT, named by the first of\n"
        "ALLOWED_HOSTS.  Steps: health, status, model, chat, stream, websocket, sessions, switch\n"
        "(to the model that is there: nothing changes), metrics, and models and chat of /v1.\n"
        "Four short answers are generated, which a provider may charge for; they are stored under\n"
        "a session of their own, which is cleared.  What the server has switched off is skipped.\n"
        "--health exits with 0 or 1 within three seconds.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = 1,
    .settings = true,
    .run = run,
};
