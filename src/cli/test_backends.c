/* sema test-backends: is each backend that has its credential set up right?  A provider's free call
 * says it (its list of models, for which the key is needed); a local model, and a provider without
 * such a call, answers a short question.  --ask has all of them answer, --free none that may
 * charge.
 */
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/command.h"
#include "cli/compose.h"
#include "http/client.h"

enum {
    TESTS_MAX = 16,
    ANSWER_TOKENS = 16,
    TEXT_BYTES_MAX = 1 << 20,
    REMOTE_MS_MAX = 60 * 1000, /* somebody waits for the line; a local model may load for longer */
    LIST_MS_MAX = 15 * 1000,
};

/* What is known of a type: the model to check a key with where the settings name none, the settings
 * of address and key, and whether its list of models is for holders of a key: Hugging Face's is for
 * everybody, MiniMax has none. */
static const struct usual {
    struct conf_model model;
    const char *address, *key;
    bool list_wants_key;
} usual[] = {
    {{"openai", "gpt-4.1-mini"}, "OPENAI_BASE_URL", "OPENAI_API_KEY", true},
    {{"anthropic", "claude-haiku-4-5"}, "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", true},
    {{"google", "gemini-2.5-flash"}, "GOOGLE_GEMINI_BASE_URL", "GOOGLE_API_KEY", true},
    {{"minimax", "MiniMax-M1"}, "MINIMAX_API_URL", "MINIMAX_API_KEY", false},
    {{"hf_api", "meta-llama/Llama-3.3-70B-Instruct"}, "HF_INFERENCE_URL", "HF_API_TOKEN", false},
    {{"local", "sema-guide"}, NULL, NULL, false},
};

/* NULL: the tests' own type. */
static const struct usual *usual_of(const char *type)
{
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (strcmp(usual[i].model.type, type) == 0) return &usual[i];
    return NULL;
}

struct test {
    struct conf_model model;
    struct loop *loop;
    const struct backend_ops *ops;
    struct backend *backend;
    struct answer *answer;
    struct ask ask;
    struct part part;
    struct message message;
    enum { BY_ITSELF, BY_ASKING, BY_FREE_CALLS } by;
    bool asked, listed; /* what was done */
    uint64_t total_ms;  /* an answer may take no longer */

    enum err e;
    struct err_note why;     /* of a failure */
    struct err_note warning; /* of getting ready: the model is not listed, and which are */
    uint64_t began_us;
    int64_t ready_ms, first_ms; /* -1: did not come */
    int64_t tokens;             /* -1: not known */
};

/* ---- one test, on its loop ---- */

static void end(struct test *t, enum err e, const struct err_note *why)
{
    t->e = e;
    if (why) t->why = *why;
    loop_stop(t->loop);
    uv_stop(loop_uv(t->loop)); /* kept connections end after the loop */
}

static void on_text(void *ctx, str text)
{
    struct test *t = ctx;
    (void)text;
    if (t->first_ms < 0) t->first_ms = (int64_t)(clock_mono_us() - t->began_us) / 1000;
}

static void on_done(void *ctx, const struct answer_end *e)
{
    struct test *t = ctx;
    t->answer = NULL;
    t->tokens = e->usage.completion_tokens;
    end(t, e->e, e->e ? &e->why : NULL);
}

static void ask(struct test *t)
{
    struct err_note why = {.text = ""};
    struct sink to = {.ctx = t, .text = on_text, .reasoning = on_text, .done = on_done};

    t->part = (struct part){.kind = PART_TEXT, .text = STR("Say hello.")};
    t->message = (struct message){.role = ROLE_USER, .parts = &t->part, .count = 1};
    t->ask = ask_none;
    t->ask.model = str_of(t->model.name);
    t->ask.messages = &t->message;
    t->ask.messages_count = 1;
    t->ask.max_tokens = ANSWER_TOKENS;
    t->ask.stream = true;
    t->ask.deadline_ms = loop_now_ms(t->loop) + t->total_ms;
    t->asked = true;
    t->began_us = clock_mono_us();
    enum err e = t->ops->ask(&t->answer, t->backend, t->loop, &t->ask, to, &why);
    if (e) end(t, e, &why);
}

/* A list that came needed the key; none, and nothing is known yet. */
static void on_list(void *ctx, enum err e, const struct backend_offer *at, size_t count)
{
    struct test *t = ctx;

    (void)at;
    t->listed = e == ERR_NONE && count > 0;
    if (t->listed || t->by == BY_FREE_CALLS)
        end(t, ERR_NONE, NULL);
    else
        ask(t);
}

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    struct test *t = ctx;

    t->ready_ms = (int64_t)(clock_mono_us() - t->began_us) / 1000;
    if (why && !e) t->warning = *why;
    const struct usual *u = usual_of(t->model.type);
    bool charges = u && u->key;
    if (e)
        end(t, e, why);
    else if (!charges || t->by == BY_ASKING)
        ask(t);
    else if (u->list_wants_key && t->ops->list)
        t->ops->list(t->backend, t->loop, LIST_MS_MAX, on_list, t);
    else
        on_list(t, ERR_NONE, NULL, 0);
}

static void begin(struct task *task);

struct beginning {
    struct task task;
    struct test *test;
};

static void begin(struct task *task)
{
    struct test *t = container_of(task, struct beginning, task)->test;

    t->began_us = clock_mono_us();
    t->ops->prepare(t->backend, t->loop, on_ready, t);
}

static void run_test(struct test *t, const struct program *p, const struct conf *c)
{
    struct model_conf conf;
    struct http_client *client = NULL;
    struct beginning first = {.task.run = begin, .test = t};

    t->ready_ms = t->first_ms = t->tokens = -1;
    t->e = compose_model(&conf, p, c, t->model, MODEL_OTHER, &t->why);
    if (t->e) return;
    conf.conf.retries = 0;
    bool is_remote = strcmp(t->model.type, "local") != 0;
    if (is_remote && conf.conf.total_ms > REMOTE_MS_MAX) conf.conf.total_ms = REMOTE_MS_MAX;
    t->total_ms = conf.conf.total_ms;
    t->ops = conf.ops;
    t->e = loop_new(&t->loop, &t->why);
    if (!t->e) t->e = compose_client(&client, p, c, t->loop, &t->why);
    if (!t->e) t->e = conf.ops->open(&t->backend, &conf.conf, &t->why);
    if (!t->e) {
        http_client_set_here(client);
        loop_post(t->loop, &first.task);
        loop_run(t->loop);
        http_client_set_here(NULL);
    }
    http_client_free(client);
    if (t->backend) conf.ops->close(t->backend);
    loop_free(t->loop);
    t->loop = NULL;
}

/* ---- which ---- */

static bool has_key(const struct program *p, const struct conf *c, const char *type)
{
    for (size_t i = 0; i < p->backends_count; i++) {
        const struct program_backend *b = &p->backends[i];
        const char *base = (const char *)c;
        if (strcmp(b->ops->type, type) != 0) continue;
        if (b->key && *(const char *const *)(base + b->key)) return true;
        return b->bearer && *(const char *const *)(base + b->bearer);
    }
    return false;
}

static void add(struct test *tests, size_t *count, struct conf_model m, const char *only)
{
    if (m.type == NULL || m.name == NULL || *count == TESTS_MAX) return;
    if (only && !str_eq_nocase(str_of(m.type), str_of(only))) return;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(tests[i].model.type, m.type) == 0 && strcmp(tests[i].model.name, m.name) == 0)
            return;
    tests[(*count)++].model = m;
}

static bool has_type(const struct test *tests, size_t count, const char *type)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].model.type, type) == 0) return true;
    return false;
}

static size_t choose(struct test *tests, const struct program *p, const struct conf *c,
                     const char *only)
{
    size_t count = 0;

    add(tests, &count, c->model, only);
    for (int i = 0; i < c->fallbacks_count; i++) add(tests, &count, c->fallbacks[i], only);
    add(tests, &count, c->reasoning, only);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if ((has_key(p, c, usual[i].model.type) || only) &&
            !has_type(tests, count, usual[i].model.type))
            add(tests, &count, usual[i].model, only);
    return count;
}

/* ---- telling ---- */

/* The setting to change, in words; NULL when the reason names it itself, or none would help. */
static const char *advice(const struct test *t, char to[128])
{
    const struct usual *u = usual_of(t->model.type);

    if (u == NULL || u->key == NULL) return NULL;
    switch (t->e) {
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_SERVER:
        snprintf(to, 128, "see %s, and HTTPS_PROXY if a proxy is needed", u->address);
        return to;
    case ERR_AUTH: /* said by the free call itself, not by a refused question */
        if (strstr(t->why.text, u->key)) return NULL;
        snprintf(to, 128, "see %s", u->key);
        return to;
    case ERR_MODEL_NOT_FOUND:
        if (strstr(t->why.text, t->model.name))
            return "see MODEL_NAME (or FALLBACK_, REASONING_MODEL_NAME)";
        /* A 404 that does not name the model may come from a server that has no such route. */
        snprintf(to, 128, "see MODEL_NAME (or FALLBACK_, REASONING_MODEL_NAME), and %s",
                 u->address);
        return to;
    case ERR_QUOTA: return "the account at the provider has nothing left";
    case ERR_RATE_LIMIT:
    case ERR_OVERLOADED: return "nothing to change: try again later";
    default: return NULL;
    }
}

static const char *how(const struct test *t)
{
    return t->asked    ? "asked"
           : t->listed ? "free call, nothing asked"
                       : "reached, key not checked: no free call does";
}

static void print_text(const struct test *t)
{
    char words[128];

    printf("%-9s %-36s ", t->model.type, t->model.name);
    if (t->e) {
        const char *what = advice(t, words);
        printf("FAILED  %s: %s%s%s", err_row(t->e)->text, err_text(&t->why, t->e), what ? "; " : "",
               what ? what : "");
        printf("%s%s\n", t->warning.text[0] ? "; " : "", t->warning.text);
        return;
    }
    printf("ok      ready in %lld ms", (long long)t->ready_ms);
    if (t->first_ms >= 0) printf(", first token after %lld ms", (long long)t->first_ms);
    if (t->tokens >= 0) printf(", %lld tokens", (long long)t->tokens);
    printf(" (%s)", how(t));
    if (t->warning.text[0])
        printf("; %s%s", t->warning.text, t->asked ? "" : "; --ask tells whether it answers");
    putchar('\n');
}

static void put_number(struct json_out *o, const char *key, int64_t n)
{
    json_key(o, key);
    if (n < 0)
        json_null(o);
    else
        json_int(o, n);
}

static void put_json(struct json_out *o, const struct test *t)
{
    char words[128];

    json_object(o);
    json_key(o, "backend"), json_text(o, str_of(t->model.type));
    json_key(o, "model"), json_text(o, str_of(t->model.name));
    json_key(o, "ok"), json_bool(o, t->e == ERR_NONE);
    json_key(o, "asked"), json_bool(o, t->asked);
    put_number(o, "ready_ms", t->ready_ms);
    put_number(o, "first_token_ms", t->first_ms);
    put_number(o, "tokens", t->tokens);
    json_key(o, "code"), json_text_or_null(o, t->e ? str_of(err_row(t->e)->code) : STR_NONE);
    json_key(o, "error");
    json_text_or_null(o, t->e ? str_of(err_text(&t->why, t->e)) : STR_NONE);
    json_key(o, "warning");
    json_text_or_null(o, t->warning.text[0] ? str_of(t->warning.text) : STR_NONE);
    json_key(o, "advice"), json_text_or_null(o, str_of(advice(t, words)));
    json_end_object(o);
}

static int run(struct cli *c)
{
    static struct test tests[TESTS_MAX];
    struct conf *conf;
    struct err_note why = {.text = ""};
    const char *only = cli_flag(c, "backend");
    bool json = cli_flag(c, "json"), all = cli_flag(c, "ask"), none = cli_flag(c, "free");
    struct buf text;
    int failed = 0;

    const struct log_conf log = {.threshold = LEVEL_CRITICAL, .to_stderr = true};

    if (all && none) return cli_fail(c, "either --ask or --free");
    if (!cli_conf(c, NULL, &conf)) return EXIT_MISTAKE;
    log_open(&log, NULL); /* the lines below say it */
    enum err e = compose_model_name(c->program, conf, &why);
    if (e) {
        conf_free(conf);
        return cli_fail(c, "%s", err_text(&why, e));
    }
    size_t count = choose(tests, c->program, conf, only);
    if (count == 0) {
        conf_free(conf);
        return cli_fail(c, "unknown backend \"%s\"; one of %s", only ? only : "",
                        "local, hf_api, openai, anthropic, minimax, google");
    }
    buf_init(&text, TEXT_BYTES_MAX);
    struct json_out o = json_begin(&text);
    if (json) json_array(&o);
    for (size_t i = 0; i < count; i++) {
        struct test *t = &tests[i];
        t->by = all ? BY_ASKING : none ? BY_FREE_CALLS : BY_ITSELF;
        run_test(t, c->program, conf);
        failed += t->e != ERR_NONE;
        if (json)
            put_json(&o, t);
        else
            print_text(t);
        fflush(stdout);
    }
    if (json) {
        json_end_array(&o);
        printf("%.*s\n", STR_ARG(buf_str(&text)));
    }
    buf_fini(&text);
    conf_free(conf);
    return cli_end(failed > 100 ? 100 : failed);
}

static const struct cli_flag flags[] = {
    {"backend", "NAME", "this backend only"},
    {"ask", NULL, "ask each for a short answer, which a provider may charge for"},
    {"free", NULL, "ask none that may charge for it; a key without a free call stays unchecked"},
    {"json", NULL, "as a JSON array"},
};

const struct command command_test_backends = {
    .name = "test-backends",
    .args = "",
    .text = "check each backend that has its credential; the exit status counts failures",
    .more =
        "Where a provider has a call that is free of charge and wants the key (its list of\n"
        "models), that call checks key, address and model.  A local model answers a short\n"
        "question, and so does a provider without such a call (MiniMax, Hugging Face).  Each line\n"
        "says which it was; with an answer, the time to the first token and the tokens; after a\n"
        "failure, the reason and the setting to change.  --ask has every backend answer.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
