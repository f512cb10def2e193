/* The scripted backend gives what its file says. */
#include "answer_trace.h"

#include <unistd.h>

static const char script[] =
    "# a comment\n"
    "\n"
    "{\"when\":\"fail "
    "once\",\"times\":1,\"pieces\":[{\"error\":\"rate_limit\",\"retry_after_ms\":70,"
    "\"status\":429}]}\n"
    "{\"when\":\"fail once\",\"pieces\":[\"now\"]}\n"
    "{\"when\":\"fail late\",\"pieces\":[\"some \",\"text\",{\"error\":\"network\"}]}\n"
    "{\"when\":\"think\",\"pieces\":[{\"reasoning\":\"hm\"},\"yes\"],\"finish\":\"length\","
    "\"usage\":{\"prompt\":9,\"completion\":2,\"cached\":3,\"reasoning\":1}}\n"
    "{\"when\":\"rate\",\"pieces\":[{\"text\":\"w "
    "\",\"repeat\":5,\"every_ms\":2}],\"obey_max_tokens\":true}\n"
    "{\"when\":\"many\",\"pieces\":[{\"text\":\"w\",\"repeat\":1000}]}\n"
    "{\"when\":\"tool\",\"pieces\":[{\"tool\":{\"id\":\"c1\",\"name\":\"f\",\"args\":[\"{\\\"a\\\":"
    "\",\"1}\"]}}]}\n"
    "{\"when\":\"hang\",\"pieces\":[{\"hang\":true}]}\n"
    "{\"when\":\"slow\",\"pieces\":[\"a\",{\"text\":\"b\",\"wait_ms\":10000}]}\n"
    "{\"when\":\"history\",\"pieces\":[{\"echo\":\"conversation\"}]}\n"
    "{\"when\":\"fields\",\"pieces\":[{\"echo\":\"request\"}]}\n"
    "{\"when\":\"echo\",\"pieces\":[{\"echo\":\"last\"}]}\n"
    "{\"when\":\"*\",\"system\":\"pirate\",\"pieces\":[\"Arr\"]}\n"
    "{\"prepare\":{\"wait_ms\":1,\"error\":\"overloaded\",\"times\":2,\"context_length\":77}}\n";

static struct loop *loop;
static struct backend *backend;
static char path[] = "/tmp/sema-script-XXXXXX";

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    ssize_t n = write(fd, script, sizeof script - 1);
    close(fd);
    struct backend_conf conf = {.type = "scripted", .model = str_of(path), .idle_ms = 40};
    struct err_note why = {0};
    enum err e = backend_scripted.open(&backend, &conf, &why);
    if (e) print_error("%s\n", why.text);
    return n != sizeof script - 1 || e || loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    backend_scripted.close(backend);
    loop_free(loop);
    unlink(path);
    return 0;
}

static void answer(struct answer_trace *t, const char *said, struct ask q)
{
    const struct part parts[] = {{.kind = PART_TEXT, .text = STR("you are a pirate")},
                                 {.kind = PART_TEXT, .text = str_of(said)}};
    const struct message messages[] = {{.role = ROLE_SYSTEM, .parts = parts, .count = 1},
                                       {.role = ROLE_USER, .parts = parts + 1, .count = 1}};
    q.messages = messages;
    q.messages_count = 2;
    trace_ask(t, loop, &backend_scripted, backend, &q);
    trace_run(t);
}

static void check_answer(const char *said, const char *want)
{
    struct answer_trace t = {0};

    answer(&t, said, ask_none);
    check_str(buf_str(&t.seen), str_of(want));
    trace_fini(&t);
}

static void test_answers(void **state)
{
    (void)state;
    check_answer("please think", "r:hm t:yes done:length");
    check_answer("fail late", "t:some text provider_network");
    check_answer("rate", "t:w w w w w  done:stop");
    check_answer("use a tool", "c0:c1:f a0:{\"a\":1} done:tool_calls");
    check_answer("history", "t:system: you are a pirate\nuser: history\n done:stop");
    check_answer("echo this", "t:echo this done:stop");
    check_answer("hello", "t:Arr done:stop");
    check_answer("hang", "provider_timeout");
    check_answer("slow", "t:a provider_timeout");
}

static void test_times(void **state)
{
    struct answer_trace t = {0};

    (void)state;
    answer(&t, "fail once", ask_none);
    check_str(buf_str(&t.seen), STR("provider_rate_limit"));
    check_int(t.end.why.retry_after_ms, 70);
    check_int(t.end.why.http_status, 429);
    trace_fini(&t);
    check_answer("fail once", "t:now done:stop");
}

static void test_request(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_none;

    (void)state;
    q.temperature = 0.5;
    q.max_tokens = 3;
    q.model = STR("m");
    answer(&t, "fields", q);
    check_str(
        buf_str(&t.seen),
        STR("t:{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"text\":\"you are a pirate\"},"
            "{\"role\":\"user\",\"text\":\"fields\"}],\"temperature\":0.5,\"max_tokens\":3,"
            "\"stream\":false,\"sampling_is_default\":false} done:stop"));
    trace_fini(&t);

    t = (struct answer_trace){0};
    answer(&t, "rate", q);
    check_str(buf_str(&t.seen), STR("t:w w w  done:length"));
    trace_fini(&t);

    t = (struct answer_trace){0};
    q.prefill = STR("y");
    answer(&t, "think", q);
    check_str(buf_str(&t.seen), STR("r:hm t:es done:length"));
    trace_fini(&t);
}

static void test_usage(void **state)
{
    struct answer_trace t = {0};

    (void)state;
    answer(&t, "think", ask_none);
    check_int(t.end.usage.prompt_tokens, 9);
    check_int(t.end.usage.cached_tokens, 3);
    check_true(!t.end.usage.estimated);
    trace_fini(&t);

    t = (struct answer_trace){0};
    answer(&t, "many", ask_none);
    check_int(t.pieces, 1000);
    check_int(t.end.usage.completion_tokens, 250);
    check_true(t.end.usage.estimated);
    trace_fini(&t);
}

static void test_cancel_and_pause(void **state)
{
    struct answer_trace t = {.cancel_at = 3};

    (void)state;
    answer(&t, "many", ask_none);
    check_int(t.pieces, 3);
    check_int(t.done, 0);
    trace_fini(&t);

    t = (struct answer_trace){.pause_at = 300};
    answer(&t, "many", ask_none);
    check_int(t.pieces, 1000);
    check_int(t.done, 1);
    trace_fini(&t);
}

static int prepared;
static enum err prepare_error;

static void on_prepared(void *ctx, enum err e, const struct err_note *why)
{
    (void)why;
    check_true(ctx == &prepared);
    prepare_error = e;
    prepared++;
    uv_stop(loop_uv(loop));
}

static void test_prepare(void **state)
{
    (void)state;
    for (int i = 1; i <= 3; i++) {
        backend_scripted.prepare(backend, loop, on_prepared, &prepared);
        while (prepared < i) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
        check_int(prepare_error, i < 3 ? ERR_OVERLOADED : ERR_NONE);
    }
    check_int(backend_scripted.context_length(backend), 77);
}

/* Whoever closes it while it gets ready hears no more of it. */
static void test_close_early(void **state)
{
    struct backend_conf conf = {.type = "scripted", .model = str_of(path)};
    struct backend *b;

    (void)state;
    check_int(backend_scripted.open(&b, &conf, NULL), ERR_NONE);
    prepared = 0;
    backend_scripted.prepare(b, loop, on_prepared, &prepared);
    backend_scripted.prepare(b, loop, on_prepared, &prepared);
    backend_scripted.close(b);
    usleep(3000);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    check_int(prepared, 0);
}

static void test_bad_script(void **state)
{
    static const char *const rows[] = {
        "{\"when\":\"*\"}",
        "{\"pieces\":[]}",
        "{\"when\":\"*\",\"pieces\":[1]}",
        "{\"when\":\"*\",\"pieces\":[{\"error\":\"no such\"}]}",
        "{",
    };
    struct err_note why = {0};
    struct backend *b = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[] = "/tmp/sema-script-XXXXXX";
        int fd = mkstemp(name);
        dprintf(fd, "# first\n%s\n", rows[i]);
        close(fd);
        struct backend_conf conf = {.model = str_of(name)};
        check_int(backend_scripted.open(&b, &conf, &why), ERR_INVALID);
        check_true(strstr(why.text, "line 2") != NULL);
        unlink(name);
    }
    struct backend_conf conf = {.model = STR("/nonexistent/x")};
    check_int(backend_scripted.open(&b, &conf, &why), ERR_NOT_FOUND);
    check_true(b == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),          cmocka_unit_test(test_times),
        cmocka_unit_test(test_request),          cmocka_unit_test(test_usage),
        cmocka_unit_test(test_cancel_and_pause), cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_close_early),      cmocka_unit_test(test_bad_script),
    };
    return cmocka_run_group_tests_name("backend/scripted", tests, setup, teardown);
}
