/* The hf backend against a strict fake (tests/fakes/huggingface.py): the cases of providers.md
 * section 12 that its two dialects can meet beyond those of openai_test.c, whose reader it has. */
#define PROVIDER backend_hf
#include "remote.h"

static char url[100];

static struct backend_conf conf_now(const char *path)
{
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, path);
    return (struct backend_conf){
        .type = "hf_api",
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

static int setup(void **state)
{
    static const char *const more[] = {"--key", "sk-test-key-1234", NULL};

    (void)state;
    if (remote_setup("huggingface.py", more)) return 1;
    reopen("/v1");
    return 0;
}

/* clang-format off */
ROWS(router,
    {"hello", "t:Hello! done:stop", 1},
    {"anything-else", "t:How are you? done:stop", 1},
    {"path", "t:/v1/chat/completions done:stop", 1},
    {"length", "t:a done:length", 1},
    {"no-space", "t:a done:stop", 1},
    {"reasoning", "r:Think t:42 done:stop", 1},
    {"reasoning-twice", "r:The t:x done:stop", 1},
    {"think", "r:hmm t:yes <think> </think> done:stop", 1},
    {"json-answer", "t:one piece done:stop", 1},
    {"done-without-finish", "t:a done:stop", 1},
    {"two-tools", "t:Let me see. c0:call_a:f a0:{\"a\": c1:call_b:g a1:{\"b\": a0:1} a1:2} done:tool_calls", 1},
    {"bytes-one-by-one", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1},
    {"error-mid-stream", "t:some provider_server", 1},
    {"reset-between", "t:abc provider_network", 1},
    {"silence", "t:some provider_timeout", 1},
    {"503-twice", "t:third done:stop", 3},
    {"loading", "t:true done:stop", 2})

ROWS(errors,
    {"error-text", "provider_auth", 1},
    {"error-message", "provider_rate_limit", 3},
    {"error-detail", "provider_bad_request", 1},
    {"error-plain", "provider_bad_request", 1},
    {"credits", "provider_quota", 1},
    {"gated", "provider_auth", 1},
    {"not-supported", "provider_model_not_found", 1},
    {"loading-long", "provider_overloaded", 1}) /* 20 s: longer than the whole request may take */
/* clang-format on */

/* Another model is ready: a model that loads is not waited for. */
static void test_loading_with_others(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("loading-long");

    (void)state;
    q.others_ready = true;
    q.deadline_ms = loop_now_ms(loop) + 60000;
    answer(&t, &q);
    check_int(t.end.e, ERR_OVERLOADED);
    check_int(t.end.calls, 1);
    trace_fini(&t);
}

/* Up to 30 s are waited for, more than another retry-after's. */
static void test_loading_is_waited_for(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("loading-long");

    (void)state;
    uv_update_time(loop_uv(loop));
    q.deadline_ms = loop_now_ms(loop) + 60000;
    trace_ask(&t, loop, &PROVIDER, backend, &q);
    while (t.answer->state == ANSWER_ASKING) uv_run(loop_uv(loop), UV_RUN_ONCE);
    check_int(t.answer->state, ANSWER_WAITING);
    PROVIDER.cancel(t.answer);
    t.answer = NULL;
    trace_fini(&t);
}

static void test_request(void **state)
{
    static const struct tool tool = {.name = STR("f")};
    struct ask q = ask_of("request");

    (void)state;
    q.temperature = 0;
    q.top_p = 0.9;
    q.top_k = 50;
    q.top_k_is_setting = true;
    q.min_p = 0.1;
    q.max_tokens = 7;
    q.effort = EFFORT_HIGH;
    q.user = STR("me");
    q.seeded = true;
    q.seed = 3;
    q.logit_bias_json = STR("{\"1\":2}");
    q.tools = &tool;
    q.tools_count = 1;
    q.parallel_tool_calls = 1;
    q.tool_choice = STR("f");
    q.max_tokens = 7;
    check_request(
        &q,
        "{\"max_tokens\": 7, \"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}], "
        "\"model\": \"request\", \"seed\": 3, \"stream\": true, \"stream_options\": "
        "{\"include_usage\": true}, \"temperature\": 0.0, \"tool_choice\": {\"function\": "
        "{\"name\": \"f\"}, \"type\": \"function\"}, \"tools\": [{\"function\": {\"name\": "
        "\"f\", \"parameters\": {\"properties\": {}, \"type\": \"object\"}}, \"type\": "
        "\"function\"}], \"top_p\": 0.9}");
    q = ask_of("request"); /* asked for by the client itself */
    q.top_k = 50;
    check_request(&q, "{\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}], "
                      "\"model\": \"request\", \"stream\": true, \"stream_options\": "
                      "{\"include_usage\": true}, \"top_k\": 50}");
}

static void test_cold(void **state)
{
    struct ask q = ask_of("not-cold");

    (void)state;
    q.temperature = 0;
    for (int i = 0; i < 2; i++) {
        int before = fake_calls("not-cold");
        check_request(&q, "0.01");
        check_int(fake_calls("not-cold") - before, i ? 1 : 2); /* remembered */
    }
}

/* ---- addresses ---- */

static void test_addresses(void **state)
{
    static const struct {
        const char *url, *model, *want;
    } rows[] = {
        {"/v1/chat/completions", "path", "/v1/chat/completions"},
        {"/endpoint", "path", "/endpoint/v1/chat/completions"},
        {"/endpoint/", "path", "/endpoint/v1/chat/completions"},
        {"/hf-inference/models", "path", "/hf-inference/models/path/v1/chat/completions"},
        {"/hf-inference/models/", "google/path",
         "/hf-inference/models/google/path/v1/chat/completions"},
    };
    struct answer *a = NULL;
    struct err_note why = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ask q = ask_of(rows[i].model);
        reopen(rows[i].url);
        check_request(&q, rows[i].want);
    }
    static const char *const wrong[] = {"../path", "a//path", "a/.."};
    for (size_t i = 0; i < 3; i++) {
        struct ask q = ask_of(wrong[i]);
        check_int(PROVIDER.ask(&a, backend, loop, &q, (struct sink){0}, &why), ERR_BAD_REQUEST);
    }
    reopen("/old/models");
    struct answer_trace t = {0};
    struct ask q = ask_of("google/gemma-2b-it");
    answer(&t, &q);
    check_int(t.end.e, ERR_MODEL_NOT_FOUND);
    check_true(strstr(t.end.why.text, "https://router.huggingface.co") != NULL);
    trace_fini(&t);
    reopen("/v1");
}

/* ---- text generation ---- */

static struct answer_trace generated(const char *text, struct ask q)
{
    struct answer_trace t = {0};
    struct part p = {.kind = PART_TEXT, .text = str_of(text)};
    struct message m = {.role = ROLE_USER, .parts = &p, .count = 1};

    q.messages = &m;
    q.messages_count = 1;
    answer(&t, &q);
    return t;
}

static void check_text(const char *said, const char *want)
{
    struct answer_trace t = generated(said, ask_of("google/gemma-2b-it"));

    print_message("# %s\n", said);
    if (t.end.e) print_error("%s\n", t.end.why.text);
    check_str(buf_str(&t.seen), str_of(want));
    check_true(strstr(t.end.why.text, "sk-") == NULL);
    trace_fini(&t);
}

static void test_generate(void **state)
{
    static const char *const urls[] = {"/generate", "/models/google/gemma-2b-it"};
    static const char *const paths[] = {"t:/generate_stream done:stop",
                                        "t:/models/google/gemma-2b-it done:stop"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        reopen(urls[i]);
        check_text("[path]", paths[i]);
        check_text("How are you?", "t:How are you? done:stop");
        check_text("[length]", "t:a b c done:length");
        check_text("[full]", "t:after the prompt done:stop");
        check_text("[object]", "t:one done:length");
        check_text("[context]", "provider_context_length");
        check_text("[error-mid]", "t:some provider_server");
        check_text("[eof]", "t:some provider_server");
    }
    struct backend_conf conf = conf_now("/generate");
    conf.retries = 0;
    open_backend(&conf);
    check_text("[nothing]", "provider_server");
    check_text("[overloaded]", "provider_rate_limit");
    check_text("[failed]", "provider_server");
    reopen("/v1");
}

/* The model would go on with the user's next turn: nothing of it is given. */
static void test_generate_stops(void **state)
{
    struct answer_trace t;
    struct ask q = ask_of("m");
    static const str stops[] = {STR("tw")};

    (void)state;
    reopen("/generate");
    check_text("[turn]", "t:fine done:stop");
    check_text("[almost]", "t:one\nUsers two\nU done:stop"); /* only the begin of a stop */
    q.stops = stops;
    q.stops_count = 1;
    t = generated("one two", q);
    check_str(buf_str(&t.seen), STR("t:one  done:stop"));
    trace_fini(&t);
    reopen("/v1");
}

static void test_generate_without_a_stream(void **state)
{
    struct fake plain = {0};
    struct backend_conf conf = conf_now("/generate");
    char other[64];

    (void)state;
    fake_start(&plain, "huggingface.py", (const char *const[]){"--no-stream", NULL});
    snprintf(other, sizeof other, "http://127.0.0.1:%d/generate", plain.port);
    conf.base_url = str_of(other);
    open_backend(&conf);
    check_text("[path]", "t:/generate done:stop");
    check_text("[turn]", "t:fine done:stop");
    fake_stop(&plain);
    reopen("/v1");
}

static void test_generate_request(void **state)
{
    static const struct part sys = {.kind = PART_TEXT, .text = STR("Be brief.")};
    static const struct part said[] = {{.kind = PART_TEXT, .text = STR("a")},
                                       {.kind = PART_TEXT, .text = STR("b")},
                                       {.kind = PART_TEXT, .text = STR("[request]")}};
    static const struct message turns[] = {
        {.role = ROLE_SYSTEM, .parts = &sys, .count = 1},
        {.role = ROLE_USER, .parts = &said[0], .count = 1},
        {.role = ROLE_ASSISTANT, .parts = &said[1], .count = 1},
        {.role = ROLE_USER, .parts = &said[2], .count = 1},
    };
    static const struct tool tool = {.name = STR("f")};
    struct ask q = ask_of("m");
    struct answer *a = NULL;
    struct err_note why = {0};

    (void)state;
    reopen("/generate");
    q.messages = turns;
    q.messages_count = 4;
    q.temperature = 0;
    q.top_p = 1;
    q.top_k = 0;
    q.max_tokens = 9;
    check_request(
        &q, "{\"inputs\": \"System: Be brief.\\n\\nUser: a\\nAssistant: b\\nUser: "
            "[request]\\nAssistant:\", \"options\": {\"use_cache\": false, \"wait_for_model\": "
            "true}, \"parameters\": {\"details\": true, \"do_sample\": false, \"max_new_tokens\": "
            "9, \"return_full_text\": false, \"stop\": [\"\\nUser:\"]}, \"stream\": true}");
    q.tools = &tool;
    q.tools_count = 1;
    check_int(PROVIDER.ask(&a, backend, loop, &q, (struct sink){0}, &why), ERR_UNSUPPORTED);
    reopen("/v1");
}

static void test_usage(void **state)
{
    struct answer_trace t;

    (void)state;
    reopen("/generate");
    t = generated("[length]", ask_of("m"));
    check_int(t.end.usage.completion_tokens, 2);
    trace_fini(&t);
    reopen("/v1");
}

/* ---- opening ---- */

static void test_prepare(void **state)
{
    struct backend_conf conf = conf_now("/v1");

    (void)state;
    prepare();
    check_int(ready_err, ERR_NONE);
    check_str(str_of(ready_why.text), STR(""));
    conf.model = STR("google/gemma-2b-it:groq"); /* listed without its suffix */
    open_backend(&conf);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_str(str_of(ready_why.text), STR(""));
    conf.model = STR("microsoft/DialoGPT-medium"); /* a warning */
    open_backend(&conf);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_true(strstr(ready_why.text, "does not list") != NULL);
    reopen("/generate");
    prepare();
    check_int(ready_err, ERR_NONE);
    reopen("/v1");
}

static void test_open(void **state)
{
    struct backend_conf conf = {.type = "hf_api", .model = STR("google/gemma-2b-it")};
    struct backend *b = NULL;
    struct err_note why = {0};

    (void)state;
    check_int(PROVIDER.open(&b, &conf, &why), ERR_CREDENTIAL);
    check_true(strstr(why.text, "HF_API_TOKEN") != NULL);
    conf.key = STR("k");
    check_int(PROVIDER.open(&b, &conf, &why), ERR_NONE);
    check_str(b->base.host, STR("router.huggingface.co"));
    check_str(b->base.target, STR("/v1"));
    PROVIDER.close(b);
    PROVIDER.close(NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_loading_with_others),
        cmocka_unit_test(test_loading_is_waited_for),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_cold),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_generate_stops),
        cmocka_unit_test(test_generate_without_a_stream),
        cmocka_unit_test(test_generate_request),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("contract/huggingface", tests, setup, teardown);
}
