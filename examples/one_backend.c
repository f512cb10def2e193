/* Asks one backend one question, through the headers that Sema itself uses: the counterpart of the
 * guide's "Test Specific Backend" snippet.
 *
 *     MINIMAX_API_KEY=... build/examples/one_backend minimax MiniMax-M1 Hello
 *     OPENAI_API_KEY=sk-... build/examples/one_backend openai gpt-4.1-mini Hello
 *     build/examples/one_backend openai my-model Hello http://127.0.0.1:8000/v1
 *     build/examples/one_backend scripted answers.jsonl Hello
 *
 * A backend lives on an event loop (base/loop.h).  It is opened, prepared (the key is checked by a
 * call that is free of charge), asked; the answer comes as events and ends with exactly one `done`.
 */
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/loop.h"
#include "http/client.h"

enum { TOTAL_MS = 120 * 1000 };

struct program {
    const struct backend_ops *ops;
    struct backend *backend;
    struct loop *loop;
    struct answer *answer;
    struct ask ask;
    struct message message;
    struct part part;
    struct task start;
    bool thinks; /* a bracket is open */
    int status;
};

static void leave(struct program *p)
{
    loop_stop(p->loop);
    uv_stop(loop_uv(p->loop)); /* a kept connection would hold the loop */
}

static void fail(struct program *p, const char *what, enum err e, const struct err_note *why)
{
    fprintf(stderr, "%s: %s\n", what, err_text(why, e));
    p->status = 1;
    leave(p);
}

static void on_reasoning(void *ctx, str text)
{
    struct program *p = ctx;

    if (!p->thinks) fputs("[Reasoning: ", stdout);
    p->thinks = true;
    fwrite(text.at, 1, text.len, stdout);
}

static void on_text(void *ctx, str text)
{
    struct program *p = ctx;

    if (p->thinks) fputs("]\n\n", stdout);
    p->thinks = false;
    fwrite(text.at, 1, text.len, stdout);
    fflush(stdout);
}

static void on_done(void *ctx, const struct answer_end *end)
{
    struct program *p = ctx;

    if (end->e) {
        fail(p, "answer", end->e, &end->why);
        return;
    }
    printf("\n(%lld tokens)\n", (long long)end->usage.completion_tokens);
    leave(p);
}

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    struct program *p = ctx;
    struct err_note note = {.text = ""};
    struct sink to = {.ctx = p, .text = on_text, .reasoning = on_reasoning, .done = on_done};

    if (e) {
        fail(p, "prepare", e, why);
        return;
    }
    p->ask.deadline_ms = loop_now_ms(p->loop) + TOTAL_MS;
    e = p->ops->ask(&p->answer, p->backend, p->loop, &p->ask, to, &note);
    if (e) fail(p, "ask", e, &note);
}

static void on_start(struct task *t)
{
    struct program *p = container_of(t, struct program, start);
    p->ops->prepare(p->backend, p->loop, on_ready, p);
}

static const struct kind {
    const struct backend_ops *ops;
    const char *key; /* the environment's name for it; NULL: it needs none */
} kinds[] = {
    {&backend_openai, "OPENAI_API_KEY"}, {&backend_anthropic, "ANTHROPIC_API_KEY"},
    {&backend_google, "GOOGLE_API_KEY"}, {&backend_minimax, "MINIMAX_API_KEY"},
    {&backend_hf, "HF_API_TOKEN"},       {&backend_scripted, NULL},
};

static const struct kind *find(const char *type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].ops->type, type) == 0) return &kinds[i];
    return NULL;
}

int main(int argc, char **argv)
{
    struct program p = {.start.run = on_start};
    struct err_note why = {.text = ""};
    struct http_client *client = NULL;
    const struct http_client_conf client_conf = {.user_agent = "sema/example"};

    const struct kind *kind = argc < 4 ? NULL : find(argv[1]);
    if (kind == NULL) {
        fputs("usage: one_backend TYPE MODEL MESSAGE [BASE_URL]\n"
              "TYPE: openai, anthropic, google, minimax, hf_api, scripted\n",
              stderr);
        return 2;
    }
    p.ops = kind->ops;
    struct backend_conf conf = {
        .type = argv[1],
        .model = str_of(argv[2]),
        .base_url = str_of(argc > 4 ? argv[4] : NULL),
        .key = str_of(kind->key ? getenv(kind->key) : NULL),
        .connect_ms = 10000,
        .idle_ms = 60000,
        .total_ms = TOTAL_MS,
    };
    log_open(&(struct log_conf){.threshold = LEVEL_CRITICAL, .to_stderr = true}, NULL);
    enum err e = loop_new(&p.loop, &why);
    if (!e) e = http_client_new(&client, p.loop, &client_conf, &why);
    if (!e) e = p.ops->open(&p.backend, &conf, &why);
    if (e) {
        fprintf(stderr, "open: %s\n", err_text(&why, e));
        return 1;
    }
    http_client_set_here(client);

    p.part = (struct part){.kind = PART_TEXT, .text = str_of(argv[3])};
    p.message = (struct message){.role = ROLE_USER, .parts = &p.part, .count = 1};
    p.ask = ask_none;
    p.ask.model = conf.model;
    p.ask.messages = &p.message;
    p.ask.messages_count = 1;
    p.ask.stream = true;

    loop_post(p.loop, &p.start);
    loop_run(p.loop);

    http_client_set_here(NULL);
    http_client_free(client);
    p.ops->close(p.backend);
    loop_free(p.loop);
    return p.status;
}
