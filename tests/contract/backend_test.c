/* What every source of answers promises in backend.h, asked of each of them with the same words:
 * events in order and whole characters, one `done`, none before ask() returned and none after
 * cancel(), a pause that loses nothing, answers that do not mix, an answer asked from inside the
 * end of another. */
#include "answer_trace.h"

#include <unistd.h>

#include "base/log.h"
#include "fake_process.h"
#include "http/client.h"

/* A question is the model's name and the message's text, so that both kinds of source know it. */
static const char script[] =
    "{\"when\":\"bytes-one-by-one\",\"pieces\":[\"h\xC3\xA9 \",\"\xE2\x82\xAC "
    "\",\"\xF0\x9F\x98\x80\"]}\n"
    "{\"when\":\"reasoning\",\"pieces\":[{\"reasoning\":\"Th\"},{\"reasoning\":\"ink\"},\"42\"]}\n"
    "{\"when\":\"two-tools\",\"pieces\":[\"Let me "
    "see.\",{\"tool\":{\"id\":\"call_a\",\"name\":\"f\",\"args\":"
    "[\"{\\\"a\\\":\",\"1}\"]}},{\"tool\":{\"id\":\"call_b\",\"name\":\"g\",\"args\":\"{\\\"b\\\":"
    "2}\"}}]}\n"
    "{\"when\":\"length\",\"pieces\":[\"a\"],\"finish\":\"length\"}\n"
    "{\"when\":\"filter\",\"pieces\":[\"a\"],\"finish\":\"content_filter\"}\n"
    "{\"when\":\"empty-text\",\"pieces\":[]}\n"
    "{\"when\":\"status-401\",\"pieces\":[{\"error\":\"auth\",\"status\":401}]}\n"
    "{\"when\":\"long-wait\",\"pieces\":[{\"error\":\"rate_limit\",\"status\":429,\"retry_after_"
    "ms\":14400000}]}\n"
    "{\"when\":\"reset-between\",\"pieces\":[\"a\",\"b\",\"c\",{\"error\":\"network\"}]}\n"
    "{\"when\":\"silence\",\"pieces\":[\"some\",{\"hang\":true}]}\n"
    "{\"when\":\"never\",\"pieces\":[{\"hang\":true}]}\n"
    "{\"when\":\"many-deltas\",\"pieces\":[{\"text\":\"z\",\"repeat\":5000}]}\n"
    "{\"when\":\"slow\",\"pieces\":[{\"text\":\"x\",\"repeat\":200,\"every_ms\":20}]}\n"
    "{\"when\":\"*\",\"pieces\":[{\"echo\":\"last\"}]}\n";

static struct source {
    const struct backend_ops *ops;
    struct backend *backend;
    const char *fake; /* of tests/fakes */
} sources[] = {{&backend_scripted, NULL, NULL},
               {&backend_openai, NULL, "openai.py"},
               {&backend_anthropic, NULL, "anthropic.py"},
               {&backend_minimax, NULL, "minimax.py"},
               {&backend_hf, NULL, "huggingface.py"}};

enum { SOURCES = sizeof sources / sizeof *sources };

static struct loop *loop;
static struct http_client *client;
static struct fake fakes[SOURCES];
static char path[] = "/tmp/sema-script-XXXXXX";

static int setup(void **state)
{
    struct backend_conf conf = {.idle_ms = 300, .connect_ms = 1000, .total_ms = 5000};

    (void)state;
    log_threshold = LEVEL_CRITICAL;
    int fd = mkstemp(path);
    if (write(fd, script, sizeof script - 1) < 0) return 1;
    close(fd);
    if (loop_new(&loop, NULL)) return 1;
    if (http_client_new(&client, loop, &(struct http_client_conf){.user_agent = "sema/test"}, NULL))
        return 1;
    http_client_set_here(client);
    conf.model = str_of(path);
    if (backend_scripted.open(&sources[0].backend, &conf, NULL)) return 1;
    conf.model = STR("hello");
    conf.key = STR("sk-test");
    for (int i = 1; i < SOURCES; i++) {
        char url[64];
        fake_start(&fakes[i], sources[i].fake, NULL);
        snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", fakes[i].port);
        conf.base_url = str_of(url);
        if (sources[i].ops->open(&sources[i].backend, &conf, NULL)) return 1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) sources[i].ops->close(sources[i].backend);
    http_client_free(client);
    loop_free(loop);
    for (int i = 1; i < SOURCES; i++) fake_stop(&fakes[i]);
    unlink(path);
    return 0;
}

struct question {
    struct part part;
    struct message message;
    struct ask ask;
};

static void question_init(struct question *q, const char *text)
{
    q->part = (struct part){.kind = PART_TEXT, .text = str_of(text)};
    q->message = (struct message){.role = ROLE_USER, .parts = &q->part, .count = 1};
    q->ask = ask_none;
    q->ask.model = str_of(text);
    q->ask.messages = &q->message;
    q->ask.messages_count = 1;
    q->ask.stream = true;
}

static void ask(struct answer_trace *t, const struct source *s, const struct question *q)
{
    uv_update_time(loop_uv(loop));
    trace_ask(t, loop, s->ops, s->backend, &q->ask);
}

static void test_answers(void **state)
{
    static const struct {
        const char *question, *want;
    } rows[] = {
        {"bytes-one-by-one", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop"},
        {"reasoning", "r:Think t:42 done:stop"},
        {"length", "t:a done:length"},
        {"filter", "t:a done:content_filter"},
        {"empty-text", "done:stop"},
        {"status-401", "provider_auth"},
        {"long-wait", "provider_rate_limit"},
        {"reset-between", "t:abc provider_network"},
        {"silence", "t:some provider_timeout"},
        {"never", "provider_timeout"},
        {"what I said", "t:what I said done:stop"},
    };

    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            struct answer_trace t = {0};
            struct question q;
            print_message("# %s: %s\n", sources[i].ops->type, rows[k].question);
            question_init(&q, rows[k].question);
            ask(&t, &sources[i], &q);
            trace_run(&t);
            check_str(buf_str(&t.seen), str_of(rows[k].want));
            check_int(t.done, 1);
            check_true(t.end.calls >= 1);
            /* Whole or not, the counts are numbers; a fault has its words and its wait. */
            if (!t.end.e)
                check_true(t.end.usage.prompt_tokens >= 0 && t.end.usage.completion_tokens >= 0);
            if (t.end.e) check_true(t.end.why.text[0] != '\0');
            if (strcmp(rows[k].question, "long-wait") == 0)
                check_int(t.end.why.retry_after_ms, 14400000);
            if (strcmp(rows[k].question, "status-401") == 0) check_int(t.end.why.http_status, 401);
            trace_fini(&t);
        }
    }
}

static void test_tools(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        struct answer_trace t = {0};
        struct question q;
        question_init(&q, "two-tools");
        ask(&t, &sources[i], &q);
        trace_run(&t);
        str seen = buf_str(&t.seen);
        check_true(str_starts(seen, STR("t:Let me see. c0:call_a:f a0:")));
        check_true(str_find(seen, STR("c1:call_b:g a1:")) != STR_NPOS);
        check_true(str_ends(seen, STR(" done:tool_calls")));
        trace_fini(&t);
    }
}

static void test_cancel_at_a_piece(void **state)
{
    static const char *const questions[] = {"many-deltas",   "slow",      "silence",
                                            "reset-between", "two-tools", "reasoning"};

    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        for (size_t k = 0; k < sizeof questions / sizeof *questions; k++) {
            struct answer_trace t = {.cancel_at = k == 0 ? 500 : 1};
            struct question q;
            question_init(&q, questions[k]);
            ask(&t, &sources[i], &q);
            trace_run(&t);
            check_int(t.pieces, t.cancel_at);
            check_int(t.done, 0);
            trace_fini(&t);
        }
    }
}

static void test_cancel_between(void **state)
{
    static const char *const questions[] = {"hello", "never", "status-401", "slow"};

    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        for (size_t k = 0; k < 2 * sizeof questions / sizeof *questions; k++) {
            struct answer_trace t = {0};
            struct question q;
            question_init(&q, questions[k / 2]);
            ask(&t, &sources[i], &q);
            if (k % 2) {
                timer_set(&t.timer, loop, 50, trace_stop); /* in the middle of it */
                trace_run(&t);
            }
            if (t.answer) sources[i].ops->cancel(t.answer);
            t.answer = NULL; /* any event now fails in trace_piece and trace_done */
            t.over = false;
            timer_set(&t.timer, loop, 30, trace_stop);
            trace_run(&t);
            trace_fini(&t);
        }
        sources[i].ops->cancel(NULL);
    }
}

static void test_pause(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        for (int at = 1; at < 2000; at += 700) {
            struct answer_trace t = {.pause_at = at};
            struct question q;
            question_init(&q, "many-deltas");
            ask(&t, &sources[i], &q);
            trace_run(&t);
            check_int(t.end.e, ERR_NONE);
            check_int(t.seen.len, 5000 + strlen("t: done:stop"));
            trace_fini(&t);
        }
    }
}

/* An end in time, whatever the source does. */
static void test_deadline(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        struct answer_trace t = {0};
        struct question q;
        question_init(&q, "slow");
        uv_update_time(loop_uv(loop));
        q.ask.deadline_ms = loop_now_ms(loop) + 200;
        ask(&t, &sources[i], &q);
        trace_run(&t);
        check_int(t.end.e, ERR_TIMEOUT);
        check_true(t.pieces > 1 && t.pieces < 100);
        trace_fini(&t);
    }
}

static void test_many(void **state)
{
    static struct answer_trace t[40];
    static struct question q[40];
    static char text[40][40];
    char want[80];

    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(text[i], sizeof text[i], "number %d", i);
        question_init(&q[i], text[i]);
        t[i] = (struct answer_trace){0};
        ask(&t[i], &sources[i % SOURCES], &q[i]);
    }
    for (int i = 0; i < 40; i++) {
        trace_run(&t[i]);
        snprintf(want, sizeof want, "t:%.40s done:stop", text[i]);
        check_str(buf_str(&t[i].seen), str_of(want));
        trace_fini(&t[i]);
    }
}

struct chain {
    struct source *source;
    struct question question;
    struct answer *answer;
    int left;
};

static void on_link(void *ctx, const struct answer_end *end)
{
    struct chain *c = ctx;

    check_int(end->e, ERR_NONE);
    c->answer = NULL;
    if (--c->left == 0) {
        uv_stop(loop_uv(loop));
        return;
    }
    struct sink to = {.ctx = c, .done = on_link}; /* no other function is needed */
    check_int(c->source->ops->ask(&c->answer, c->source->backend, loop, &c->question.ask, to, NULL),
              ERR_NONE);
}

static void test_ask_inside_done(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        struct chain c = {.source = &sources[i], .left = 20};
        question_init(&c.question, "reasoning");
        on_link(&c, &(struct answer_end){.e = ERR_NONE});
        while (c.left) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    }
}

static int ready;

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    (void)ctx, (void)why;
    check_int(e, ERR_NONE);
    ready++;
    uv_stop(loop_uv(loop));
}

static void test_prepare(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        ready = 0;
        sources[i].ops->prepare(sources[i].backend, loop, on_ready, NULL);
        while (!ready) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
        check_int(ready, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_cancel_at_a_piece),
        cmocka_unit_test(test_cancel_between),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_ask_inside_done),
        cmocka_unit_test(test_prepare),
    };
    return cmocka_run_group_tests_name("contract/backend", tests, setup, teardown);
}
