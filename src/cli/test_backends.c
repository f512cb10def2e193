/* sema test-backends: is each backend that has its credential set up right?  A provider's free call
 * says it (a list of models, the key checked); a local model answers a question; --ask asks the
 * others too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"
#include "cli/command.h"
#include "cli/compose.h"
#include "http/client.h"

enum { TESTS_MAX = 16, ANSWER_TOKENS = 16, TEXT_BYTES_MAX = 1 << 20 };

/* Models to check a key with, where the settings name none of the type. */
static const struct conf_model usual[] = {
    {"openai", "gpt-4.1-mini"},
    {"anthropic", "claude-haiku-4-5"},
    {"google", "gemini-2.5-flash"},
    {"minimax", "MiniMax-M1"},
    {"hf_api", "meta-llama/Llama-3.3-70B-Instruct"},
};

struct test {
    struct conf_model model;
    struct loop *loop;
    const struct backend_ops *ops;
    struct backend *backend;
    struct answer *answer;
    struct ask ask;
    struct part part;
    struct message message;
    bool asks;
    uint64_t total_ms; /* an answer may take no longer */

    enum err e;
    struct err_note why; /* of a failure; of a success: a warning */
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
    t->began_us = clock_mono_us();
    enum err e = t->ops->ask(&t->answer, t->backend, t->loop, &t->ask, to, &why);
    if (e) end(t, e, &why);
}

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    struct test *t = ctx;

    t->ready_ms = (int64_t)(clock_mono_us() - t->began_us) / 1000;
    if (why) t->why = *why;
    if (e || !t->asks)
        end(t, e, why);
    else
        ask(t);
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
    if (only && strcmp(m.type, only) != 0) return;
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
        if ((has_key(p, c, usual[i].type) || only) && !has_type(tests, count, usual[i].type))
            add(tests, &count, usual[i], only);
    return count;
}

/* ---- telling ---- */

static void print_text(const struct test *t)
{
    printf("%-9s %-44s ", t->model.type, t->model.name);
    if (t->e) {
        printf("FAILED  %s: %s\n", err_row(t->e)->text, err_text(&t->why, t->e));
        return;
    }
    printf("ok      ready in %lld ms", (long long)t->ready_ms);
    if (t->first_ms >= 0) printf(", first token after %lld ms", (long long)t->first_ms);
    if (t->tokens >= 0) printf(", %lld tokens", (long long)t->tokens);
    if (t->why.text[0]) printf("  (%s)", t->why.text);
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
    json_object(o);
    json_key(o, "backend"), json_text(o, str_of(t->model.type));
    json_key(o, "model"), json_text(o, str_of(t->model.name));
    json_key(o, "ok"), json_bool(o, t->e == ERR_NONE);
    put_number(o, "ready_ms", t->ready_ms);
    put_number(o, "first_token_ms", t->first_ms);
    put_number(o, "tokens", t->tokens);
    json_key(o, "code"), json_text_or_null(o, t->e ? str_of(err_row(t->e)->code) : STR_NONE);
    json_key(o, t->e ? "error" : "warning");
    json_text_or_null(o, t->e             ? str_of(err_text(&t->why, t->e))
                         : t->why.text[0] ? str_of(t->why.text)
                                          : STR_NONE);
    json_end_object(o);
}

static int run(struct cli *c)
{
    static struct test tests[TESTS_MAX];
    struct conf *conf;
    struct err_note why = {.text = ""};
    const char *only = cli_flag(c, "backend");
    bool json = cli_flag(c, "json"), all = cli_flag(c, "ask");
    struct buf text;
    int failed = 0;

    if (!cli_conf(c, NULL, &conf)) return EXIT_MISTAKE;
    enum err e = compose_model_name(c->program, conf, &why);
    if (e) {
        conf_free(conf);
        return cli_fail(c, "%s", err_text(&why, e));
    }
    size_t count = choose(tests, c->program, conf, only);
    if (count == 0) {
        conf_free(conf);
        return cli_fail(c, "unknown backend \"%s\"", only ? only : "");
    }
    buf_init(&text, TEXT_BYTES_MAX);
    struct json_out o = json_begin(&text);
    if (json) json_array(&o);
    for (size_t i = 0; i < count; i++) {
        struct test *t = &tests[i];
        t->asks =
            all || strcmp(t->model.type, "local") == 0 || strcmp(t->model.type, "scripted") == 0;
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
    {"json", NULL, "as a JSON array"},
};

const struct command command_test_backends = {
    .name = "test-backends",
    .args = "",
    .text = "check each backend that has its credential; the exit status counts failures",
    .more =
        "Providers are asked by calls that are free of charge: the key is checked, and the model\n"
        "looked up.  Local models answer a short question.  --ask has every backend answer one,\n"
        "and shows the time to the first token and the tokens.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
