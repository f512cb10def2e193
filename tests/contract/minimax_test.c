/* The minimax backend against a strict fake (tests/fakes/minimax.py): the cases of providers.md
 * section 12 that this dialect can meet. */
#define PROVIDER backend_minimax
#include "remote.h"

static char url[100];

static struct backend_conf conf_now(const char *path)
{
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, path);
    return (struct backend_conf){
        .type = "minimax",
        .model = STR("hello"),
        .base_url = str_of(url),
        .key = STR("sk-test-key-1234"),
        .retries = 2,
        .connect_ms = 2000,
        .idle_ms = 400,
        .total_ms = 4000,
    };
}

static void reopen(const char *path)
{
    struct backend_conf conf = conf_now(path);
    open_backend(&conf);
}

static const char native[] = "/v1/text/chatcompletion_v2", compatible[] = "/v1/chat/completions";

static int setup(void **state)
{
    static const char *const more[] = {"--key", "sk-test-key-1234", NULL};

    (void)state;
    if (remote_setup("minimax.py", more)) return 1;
    reopen(native);
    return 0;
}

/* clang-format off */
ROWS(plain,
    {"hello", "t:Hello! done:stop", 1},
    {"anything-else", "t:How are you? done:stop", 1},
    {"length", "t:a done:length", 1},
    {"filter", "t:a done:content_filter", 1},
    {"empty-text", "done:stop", 1},
    {"path", "t:/v1/text/chatcompletion_v2 done:stop", 1},
    {"unknown", "t:a done:stop", 1},
    {"reasoning", "r:Think t:42 done:stop", 1},
    {"whole-only", "r:hm t:one piece done:stop", 1},
    {"output-sensitive", "t:half done:content_filter", 1},
    {"input-sensitive", "provider_content_filter", 1},
    {"tool", "c0:call_a:get_weather a0:{\"city\":\"Oslo\",\"id\":12345678901234567890} done:tool_calls", 1},
    {"two-tools", "t:Let me see. c0:call_a:f a0:{\"a\": c1:call_b:g a1:{\"b\": a0:1} a1:2} done:tool_calls", 1})

/* The closing event repeats the answer: nothing of it is given twice, nor lost when it comes alone. */
ROWS(closing,
    {"closing-only", "r:hm t:all of it done:stop", 1},
    {"finish-with-text", "t:ab done:stop", 1},
    {"closing-without-finish", "t:a done:stop", 1},
    {"closing-tool", "c0:call_a:f a0:{\"a\":1} done:tool_calls", 1},
    {"closing-cut", "t:a done:stop", 1},
    {"flags-first", "t:a done:stop", 1},
    {"no-terminator", "t:a done:stop", 1},
    {"silence-after-finish", "t:a done:stop", 1},
    {"done-without-finish", "t:a provider_server", 1})

ROWS(codes,
    {"code-1004", "provider_auth", 1},
    {"code-2049", "provider_auth", 1},
    {"code-1008", "provider_quota", 1},
    {"code-2056", "provider_quota", 1},
    {"code-1026", "provider_content_filter", 1},
    {"code-1027", "done:content_filter", 1},
    {"code-1042", "provider_bad_request", 1},
    {"code-2013", "provider_bad_request", 1},
    {"context-window", "provider_context_length", 1},
    {"mid-1000", "t:some provider_server", 1},
    {"mid-1027", "t:some done:content_filter", 1},
    {"new-1004", "provider_auth", 1},
    {"new-1008", "provider_quota", 1},
    {"new-2056", "provider_quota", 1},
    {"new-context", "provider_context_length", 1})

ROWS(codes_retried,
    {"code-1000", "provider_server", 1},
    {"code-1013", "provider_server", 1},
    {"code-1024", "provider_server", 1},
    {"code-1033", "provider_server", 1},
    {"code-1001", "provider_timeout", 1},
    {"code-1002", "provider_rate_limit", 1},
    {"code-1039", "provider_rate_limit", 1},
    {"code-1041", "provider_rate_limit", 1},
    {"code-2045", "provider_rate_limit", 1},
    {"new-529", "provider_overloaded", 1},
    {"status-429", "provider_rate_limit", 1},
    {"status-500", "provider_server", 1},
    {"html-502", "provider_server", 1},
    {"html-200", "provider_server", 1},
    {"redirect", "provider_server", 1},
    {"gzip", "provider_server", 1},
    {"json-no-choices", "provider_server", 1},
    {"empty-stream", "provider_server", 1},
    {"never", "provider_timeout", 1},
    {"reset-first", "provider_network", 1},
    {"silence-first", "provider_timeout", 1})

ROWS(cuts,
    {"503-twice", "t:third done:stop", 3},
    {"reset-after-role", "t:again done:stop", 2},
    {"reset-between", "t:abc provider_network", 1},
    {"reset-inside", "t:a provider_network", 1},
    {"eof", "t:abc provider_server", 1},
    {"silence", "t:some provider_timeout", 1})

ROWS(bytes,
    {"bytes-one-by-one", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"crlf", "t:h\xC3\xA9 done:stop", 1},
    {"cr", "t:h\xC3\xA9 done:stop", 1},
    {"bom", "t:h\xC3\xA9 done:stop", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1},
    {"pings", "t:ok done:stop", 1})

ROWS(other_form,
    {"hello", "t:Hello! done:stop", 1},
    {"path", "t:/v1/chat/completions done:stop", 1},
    {"reasoning", "r:Think t:42 done:stop", 1},
    {"reasoning-details", "r:A t:x done:stop", 1},
    {"mirrored", "r:hm t:yes done:stop", 1},
    {"think", "r:hmm t:yes <think> </think> done:stop", 1},
    {"growing", "r:I begin with this thought and go on t:one two three done:stop", 1},
    {"whole-only", "r:hm t:one piece done:stop", 1},
    {"error-mid-stream", "t:some provider_server", 1},
    {"new-1004", "provider_auth", 1})
/* clang-format on */

static void test_classes(void **state)
{
    struct backend_conf conf = conf_now(native);

    conf.retries = 0;
    open_backend(&conf);
    test_codes_retried(state);
    reopen(native);
}

static void test_compatible(void **state)
{
    reopen(compatible);
    test_other_form(state);
    reopen(native);
}

static void test_messages(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("MiniMax-M2");

    (void)state;
    reopen("/anthropic");
    q.max_tokens = 10;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("r:hm t:yes, MiniMax-M2 done:stop"));
    trace_fini(&t);
    reopen(native);
}

/* OpenAI's Responses, within MiniMax's bounds. */
static void test_responses(void **state)
{
    static const struct tool tool = {.name = STR("f")};
    static const struct row rows[] = {
        {"hello", "t:Hello! done:stop", 1},
        {"interleaved",
         "t:Both. c0:call_a:f c1:call_b:g a0:{\"a\" a1:{\"b\" a0::1 a1::2 a0:} a1:} "
         "done:tool_calls",
         1},
        {"eof", "t:abc provider_server", 1},
        {"status-401", "provider_auth", 1},
    };

    (void)state;
    reopen("/v1/responses");
    check_rows(rows, sizeof rows / sizeof *rows);
    struct ask q = ask_of("request");
    q.temperature = 0;
    q.max_tokens = 20;
    q.tools = &tool;
    q.tools_count = 1;
    q.tool_choice = STR("f");
    check_request(
        &q,
        "{\"include\": [\"reasoning.encrypted_content\"], \"input\": [{\"content\": [{\"text\": "
        "\"How are you?\", \"type\": \"input_text\"}], \"role\": \"user\"}], "
        "\"max_output_tokens\": 20, \"model\": \"request\", \"store\": false, \"stream\": true, "
        "\"temperature\": 0.01, \"tool_choice\": \"auto\", \"tools\": [{\"name\": \"f\", "
        "\"parameters\": {\"properties\": {}, \"type\": \"object\"}, \"strict\": false, "
        "\"type\": \"function\"}]}");
    reopen(native);
}

static void test_large(void **state)
{
    static const struct {
        const char *model;
        size_t bytes;
    } rows[] = {{"megabyte", 1 << 20}, {"four-megabytes", 4 << 20}, {"many-deltas", 5000}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        answer(&t, &q);
        check_int(t.end.e, ERR_NONE);
        check_int(t.seen.len, rows[i].bytes + strlen("t: done:stop"));
        trace_fini(&t);
    }
}

static void test_usage(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("total-tokens");

    (void)state;
    answer(&t, &q);
    check_int(t.end.usage.completion_tokens + t.end.usage.prompt_tokens, 40);
    check_true(t.end.usage.estimated);
    trace_fini(&t);
    t = (struct answer_trace){0};
    q = ask_of("hello"); /* from the closing event */
    answer(&t, &q);
    check_int(t.end.usage.prompt_tokens, 9);
    check_int(t.end.usage.completion_tokens, 2);
    check_true(!t.end.usage.estimated);
    trace_fini(&t);
}

/* ---- what is sent ---- */

static void test_request(void **state)
{
    static const str stops[] = {STR("never said")};
    static const struct tool tool = {.name = STR("f")};
    static const struct part call = {.kind = PART_TOOL_CALL,
                                     .id = STR("call_a"),
                                     .name = STR("f"),
                                     .args_json = STR("{}")};
    struct part said[] = {{.kind = PART_REASONING,
                           .text = STR("other's"),
                           .issuer = STR("anthropic")},
                          {.kind = PART_REASONING, .text = STR("hm")},
                          call};
    struct message turns[] = {question,
                              {.role = ROLE_ASSISTANT, .parts = said, .count = 3},
                              {.role = ROLE_TOOL, .tool_call_id = STR("call_a")}};
    struct ask q = ask_of("request");

    (void)state;
    q.temperature = 0;
    q.top_p = 0;
    q.top_k = 50;
    q.max_tokens = 7;
    q.presence_penalty = 1;
    q.stops = stops;
    q.stops_count = 1;
    q.seeded = true;
    q.effort = EFFORT_HIGH;
    q.user = STR("me");
    check_request(&q,
                  "{\"max_completion_tokens\": 7, \"messages\": [{\"content\": \"How are you?\", "
                  "\"role\": \"user\"}], \"model\": \"request\", \"stream\": true, "
                  "\"stream_options\": {\"include_usage\": true}, \"temperature\": 0.01, "
                  "\"top_p\": 0.01}");

    q = ask_of("request");
    q.temperature = 1.5;
    q.messages = turns;
    q.messages_count = 3;
    q.tools = &tool;
    q.tools_count = 1;
    q.tool_choice = STR("auto");
    q.parallel_tool_calls = 1;
    reopen(compatible);
    check_request(
        &q,
        "{\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}, {\"content\": null, "
        "\"reasoning_details\": [{\"text\": \"hm\", \"type\": \"reasoning.text\"}], \"role\": "
        "\"assistant\", \"tool_calls\": [{\"function\": {\"arguments\": \"{}\", \"name\": \"f\"}, "
        "\"id\": \"call_a\", \"type\": \"function\"}]}, {\"content\": \"(no result)\", \"role\": "
        "\"tool\", \"tool_call_id\": \"call_a\"}], \"model\": \"request\", \"reasoning_split\": "
        "true, \"stream\": true, \"stream_options\": {\"include_usage\": true}, \"temperature\": "
        "1.0, \"tool_choice\": \"auto\", \"tools\": [{\"function\": {\"description\": \"f\", "
        "\"name\": \"f\", \"parameters\": {\"properties\": {}, \"type\": \"object\"}}, \"type\": "
        "\"function\"}]}");
    reopen(native);

    q = ask_of("request");
    q.format = FORMAT_JSON_SCHEMA;
    q.schema_json = STR("{\"type\":\"object\"}");
    check_request(&q, "{\"messages\": [{\"content\": \"Answer with JSON that fits this schema, and "
                      "nothing else: {\\\"type\\\":\\\"object\\\"}\", \"role\": \"system\"}, "
                      "{\"content\": \"How are you?\", \"role\": \"user\"}], \"model\": "
                      "\"request\", \"stream\": true, \"stream_options\": {\"include_usage\": "
                      "true}}");
}

/* MINIMAX_MODEL_VERSION, and a switch's model_version before it, is the id on the wire; the rules
 * are those of the id that is sent. */
static void test_version(void **state)
{
    struct backend_conf conf = conf_now(native);
    struct ask q = ask_of("MiniMax-M2");
    static const struct part image = {.kind = PART_IMAGE, .text = STR("https://example.com/a.png")};
    static const struct message seen = {.role = ROLE_USER, .parts = &image, .count = 1};
    struct err_note why = {0};
    struct answer *a = NULL;

    (void)state;
    conf.version = STR("request");
    open_backend(&conf);
    check_request(&q, "{\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}], "
                      "\"model\": \"request\", \"stream\": true, \"stream_options\": "
                      "{\"include_usage\": true}}");
    q.model_version = STR("path");
    check_request(&q, native);
    reopen(native);

    q = ask_of("MiniMax-M1");
    q.messages = &seen;
    check_int(PROVIDER.ask(&a, backend, loop, &q, (struct sink){0}, &why), ERR_UNSUPPORTED);
    check_true(strstr(why.text, "no images") != NULL);

    struct answer_trace t = {0};
    q = ask_of("abab6.5s-chat"); /* the old name of the limit, checked by the fake */
    q.max_tokens = 7;
    q.room_to_think = true;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:How are you? done:stop"));
    trace_fini(&t);
}

static void test_refused_field(void **state)
{
    struct ask q = ask_of("no-top-p");

    (void)state;
    q.top_p = 0.5;
    for (int i = 0; i < 2; i++) {
        int before = fake_calls("no-top-p");
        check_request(&q, "[\"messages\", \"model\", \"stream\", \"stream_options\"]");
        check_int(fake_calls("no-top-p") - before, i ? 1 : 2); /* remembered */
    }
}

static void test_cancel(void **state)
{
    static const struct cancel_row rows[] = {{"slow", -1, 1},
                                             {"never", 50, 1},
                                             {"silence", 100, 1},
                                             {"hello", 0, 0}};

    (void)state;
    check_cancels(rows, sizeof rows / sizeof *rows);
}

/* ---- opening ---- */

static void test_prepare(void **state)
{
    struct backend_conf conf = conf_now(native);

    (void)state;
    prepare(); /* whatever is answered to a GET */
    check_int(ready_err, ERR_NONE);
    conf.base_url = STR("http://127.0.0.1:1/v1/text/chatcompletion_v2");
    open_backend(&conf);
    prepare();
    check_int(ready_err, ERR_NETWORK);
    reopen(native);
}

static void test_open(void **state)
{
    static const struct {
        const char *url, *target;
    } rows[] = {
        {"https://api.minimax.chat/v1/text/chatcompletion_v2", "/v1/text/chatcompletion_v2"},
        {"https://api.minimax.io", "/v1/text/chatcompletion_v2"},
        {"https://api.minimax.io/v1/", "/v1/text/chatcompletion_v2"},
        {"https://api.minimax.io/v1/chat/completions", "/v1/chat/completions"},
        {"https://api.minimax.io/anthropic", "/anthropic/v1/messages"},
        {"https://proxy.example/llm?team=a", "/llm?team=a"},
        {"", "/v1/text/chatcompletion_v2"},
        {"https://api.minimax.io/v1/responses/", "/v1/responses"},
    };
    struct backend_conf conf = {.type = "minimax", .model = STR("MiniMax-M1")};
    struct backend *b = NULL;
    struct err_note why = {0};

    (void)state;
    check_int(PROVIDER.open(&b, &conf, &why), ERR_CREDENTIAL);
    check_true(strstr(why.text, "MINIMAX_API_KEY") != NULL);
    conf.key = STR("k");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        conf.base_url = str_of(rows[i].url);
        check_int(PROVIDER.open(&b, &conf, &why), ERR_NONE);
        check_str(b->base.target, str_of(rows[i].target));
        PROVIDER.close(b);
    }
    PROVIDER.close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_closing),
        cmocka_unit_test(test_codes),      cmocka_unit_test(test_classes),
        cmocka_unit_test(test_cuts),       cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_compatible), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_responses),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_usage),      cmocka_unit_test(test_request),
        cmocka_unit_test(test_version),    cmocka_unit_test(test_refused_field),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_prepare),    cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests_name("contract/minimax", tests, setup, teardown);
}
