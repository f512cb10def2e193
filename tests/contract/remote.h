/* What the tests of remote backends share: one loop, one client, one fake, and rows of questions
 * with what comes of them.  A test program includes this after defining PROVIDER, its backend_ops.
 */
#ifndef SEMA_TESTS_REMOTE_H
#define SEMA_TESTS_REMOTE_H

#include "answer_trace.h"

#include "backend/dialect.h"
#include "base/clock.h"
#include "base/log.h"
#include "fake_process.h"
#include "http/client.h"

static struct loop *loop;
static struct http_client *client;
static struct backend *backend;
static struct fake fake;

static void open_backend(const struct backend_conf *conf)
{
    struct err_note why = {0};

    PROVIDER.close(backend);
    enum err e = PROVIDER.open(&backend, conf, &why);
    if (e) print_error("%s\n", why.text);
    check_int(e, ERR_NONE);
}

static int remote_setup(const char *name, const char *const *more)
{
    log_threshold = LEVEL_CRITICAL;
    fake_start(&fake, name, more);
    if (loop_new(&loop, NULL)) return 1;
    struct http_client_conf conf = {.user_agent = "sema/test"};
    if (http_client_new(&client, loop, &conf, NULL)) return 1;
    http_client_set_here(client);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    PROVIDER.close(backend);
    http_client_free(client);
    loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static const struct part hello = {.kind = PART_TEXT, .text = STR("How are you?")};
static const struct message question = {.role = ROLE_USER, .parts = &hello, .count = 1};

static struct ask ask_of(const char *model)
{
    struct ask q = ask_none;
    q.model = str_of(model);
    q.messages = &question;
    q.messages_count = 1;
    q.stream = true;
    return q;
}

static void answer(struct answer_trace *t, const struct ask *q)
{
    uv_update_time(loop_uv(loop));
    trace_ask(t, loop, &PROVIDER, backend, q);
    trace_run(t);
}

/* Small numbers that a GET of the fake gives. */
struct number {
    struct buf body;
    bool done;
};

static void on_number_body(void *ctx, str piece)
{
    buf_add(&((struct number *)ctx)->body, piece);
}

static void on_number_done(void *ctx, enum err e, const struct err_note *why)
{
    (void)why;
    check_int(e, ERR_NONE);
    ((struct number *)ctx)->done = true;
    uv_stop(loop_uv(loop));
}

static int fake_number(const char *path)
{
    struct number n = {0};
    struct arena a;
    struct url u;
    struct http_call *call;
    char text[200];

    arena_init(&a, 0);
    buf_init(&n.body, 1000);
    snprintf(text, sizeof text, "http://127.0.0.1:%d/fake/%s", fake.port, path);
    check_int(url_parse(&u, str_of(text), &a), ERR_NONE);
    struct http_ask ask = {
        .method = "GET", .url = &u, .connect_ms = 1000, .total_ms = 2000, .body_bytes_max = 1000};
    struct http_call_events to = {.ctx = &n, .body = on_number_body, .done = on_number_done};
    uv_update_time(loop_uv(loop));
    check_int(http_call_start(&call, client, &ask, to, NULL), ERR_NONE);
    while (!n.done) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    buf_add_char(&n.body, '\0');
    int result = (int)strtol(strchr(n.body.at, ':') + 1, NULL, 10);
    buf_fini(&n.body);
    arena_fini(&a);
    return result;
}

static int fake_calls(const char *model)
{
    char path[100];
    snprintf(path, sizeof path, "calls?model=%s", model);
    return fake_number(path);
}

struct row {
    const char *model, *want;
    int calls; /* that the fake saw in all */
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        int before = fake_calls(rows[i].model);
        print_message("# %s\n", rows[i].model);
        answer(&t, &q);
        if (!str_eq(buf_str(&t.seen), str_of(rows[i].want))) print_error("%s\n", t.end.why.text);
        check_str(buf_str(&t.seen), str_of(rows[i].want));
        check_int(t.done, 1);
        check_int(t.end.calls, rows[i].calls);
        check_int(fake_calls(rows[i].model) - before, rows[i].calls);
        /* The key is in no note; its note says who it was. */
        check_true(strstr(t.end.why.text, "sk-") == NULL);
        if (t.end.e) check_true(strstr(t.end.why.text, "127.0.0.1:") != NULL);
        trace_fini(&t);
    }
}

#define ROWS(name, ...)                                                                            \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        static const struct row rows[] = {__VA_ARGS__};                                            \
        (void)state;                                                                               \
        check_rows(rows, sizeof rows / sizeof *rows);                                              \
    }

static void on_cancel(struct timer *timer)
{
    struct answer_trace *t = container_of(timer, struct answer_trace, timer);

    t->ops->cancel(t->answer);
    t->answer = NULL;
    timer_set(&t->timer, t->loop, 100, trace_stop);
}

struct cancel_row {
    const char *model;
    int after_ms; /* -1: with the first piece */
    int gone;     /* whether the fake saw a client leave in the middle */
};

static void check_cancels(const struct cancel_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct answer_trace t = {.cancel_at = rows[i].after_ms < 0 ? 1 : 0};
        struct ask q = ask_of(rows[i].model);
        int gone = fake_number("gone"), calls = fake_calls(rows[i].model);
        print_message("# %s %d\n", rows[i].model, rows[i].after_ms);
        uv_update_time(loop_uv(loop));
        trace_ask(&t, loop, &PROVIDER, backend, &q);
        if (rows[i].after_ms == 0) {
            PROVIDER.cancel(t.answer);
            t.answer = NULL;
            timer_set(&t.timer, loop, 100, trace_stop);
        } else if (rows[i].after_ms > 0) {
            timer_set(&t.timer, loop, (uint64_t)rows[i].after_ms, on_cancel);
        }
        trace_run(&t);
        check_int(t.done, 0);
        check_true(fake_calls(rows[i].model) - calls <= 1); /* no call after it */
        if (rows[i].gone) check_int(fake_number("gone"), gone + 1);
        trace_fini(&t);
    }
    PROVIDER.cancel(NULL);
}

static void check_request(const struct ask *q, const char *want)
{
    struct answer_trace t = {0};

    answer(&t, q);
    str seen = buf_str(&t.seen);
    if (t.end.e) print_error("%s\n", t.end.why.text);
    check_int(t.end.e, ERR_NONE);
    seen = str_head(str_tail(seen, 2), seen.len - 2 - strlen(" done:stop"));
    check_str(seen, str_of(want));
    trace_fini(&t);
}

static enum err ready_err;
static struct err_note ready_why;
static int ready;

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    (void)ctx;
    ready_err = e;
    ready_why = *why;
    ready++;
    uv_stop(loop_uv(loop));
}

static void prepare(void)
{
    ready = 0;
    uv_update_time(loop_uv(loop));
    PROVIDER.prepare(backend, loop, on_ready, NULL);
    while (!ready) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    check_int(ready, 1);
}

/* 50 in parallel, each gets its own. */
static void test_many(void **state)
{
    static struct answer_trace t[50];
    static struct part parts[50];
    static struct message messages[50];
    static struct ask q[50];
    char text[50][64], want[100];

    (void)state;
    uv_update_time(loop_uv(loop));
    for (int i = 0; i < 50; i++) {
        snprintf(text[i], sizeof text[i], "number %d of fifty, in pieces of three", i);
        parts[i] = (struct part){.kind = PART_TEXT, .text = str_of(text[i])};
        messages[i] = (struct message){.role = ROLE_USER, .parts = &parts[i], .count = 1};
        q[i] = ask_of("echo");
        q[i].messages = &messages[i];
        t[i] = (struct answer_trace){0};
        trace_ask(&t[i], loop, &PROVIDER, backend, &q[i]);
    }
    for (int i = 0; i < 50; i++) {
        trace_run(&t[i]);
        snprintf(want, sizeof want, "t:%.64s done:stop", text[i]);
        check_str(buf_str(&t[i].seen), str_of(want));
        trace_fini(&t[i]);
    }
}

#endif
