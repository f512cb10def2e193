/* The openai backend over the Responses API, against the same strict fake
 * (tests/fakes/responses.py): the cases of providers.md section 12 that it can meet, field case T6,
 * and which of the two APIs a request goes to. */
#define PROVIDER backend_openai
#include "remote.h"

static char base_url[64];

static struct backend_conf conf_now(void)
{
    return (struct backend_conf){
        .type = "openai",
        .model = STR("hello"),
        .base_url = str_of(base_url), /* names the API, so that every model is asked there */
        .key = STR("sk-test-key-1234"),
        .organization = STR("org-1"),
        .project = STR("proj-1"),
        .retries = 2,
        .connect_ms = 2000,
        .idle_ms = 400,
        .total_ms = 4000,
    };
}

static void reopen(struct backend_conf conf, bool official)
{
    open_backend(&conf);
    backend->official = official;
}

static int setup(void **state)
{
    static const char *const more[] = {"--key", "sk-test-key-1234", NULL};

    (void)state;
    if (remote_setup("openai.py", more)) return 1;
    snprintf(base_url, sizeof base_url, "http://127.0.0.1:%d/v1/responses", fake.port);
    reopen(conf_now(), false);
    return 0;
}

/* clang-format off */
ROWS(plain,
    {"hello", "t:Hello! done:stop", 1},
    {"anything-else", "t:How are you? done:stop", 1},
    {"length", "t:a done:length", 1},
    {"filter", "t:a done:content_filter", 1},
    {"empty-text", "done:stop", 1},
    {"refusal", "t:I cannot. done:content_filter", 1},
    {"whole", "r:Hm\n\nso t:one piece done:stop", 1},
    {"unnamed", "t:ok done:stop", 1},
    {"unknown", "t:a done:stop", 1},
    {"empty-output", "t:seen before done:stop", 1},
    {"done-only", "r:Hm t:all c0:call_a:f a0:{\"a\":1} done:tool_calls", 1},
    {"parts-done", "r:Hm\n\nso t:ab done:stop", 1},
    {"last-only", "t:all c0:call_a:f a0:{} done:tool_calls", 1},
    {"path", "t:/v1/responses done:stop", 1},
    {"headers", "t:{\"authorization\": \"Bearer sk-test-key-1234\", \"openai-organization\": \"org-1\", "
                "\"openai-project\": \"proj-1\", \"accept\": \"text/event-stream\", \"cookie\": null} done:stop", 1})

/* T6: calls that are open at once, whatever names them; the client's id is the call_id. */
ROWS(tools,
    {"tool", "c0:call_a:get_weather a0:{\"city\":\"Oslo\",\"id\":12345678901234567890} done:tool_calls", 1},
    {"tool-no-args", "c0:call_a:f a0:{} done:tool_calls", 1},
    {"text-and-tools", "t:I look. c0:call_a:f a0:{} c1:call_b:g a1:{\"b\":2} done:tool_calls", 1},
    {"whole-tools", "c0:call_a:f a0:{\"n\":1.10,\"id\":12345678901234567890} done:tool_calls", 1},
    {"interleaved", "t:Both. c0:call_a:f c1:call_b:g a0:{\"a\" a1:{\"b\" a0::1 a1::2 a0:} a1:} done:tool_calls", 1},
    {"interleaved-by-index", "t:Both. c0:call_a:f c1:call_b:g a0:{\"a\" a1:{\"b\" a0::1 a1::2 a0:} a1:} done:tool_calls", 1},
    {"interleaved-same-index", "c0:call_a:f c1:call_b:g a0:{\"a\" a1:{\"b\" a0::1} a1::2} done:tool_calls", 1},
    {"other-ids", "c0:call_a:f a0:{\"a\":1} done:tool_calls", 1},
    {"no-added", "c0:call_a:f a0:{\"a\":1} t:ok done:tool_calls", 1})

/* The one text of a custom tool, as a function's arguments, however it is told. */
ROWS(custom,
    {"custom", "c0:call_c:c a0:{\"input\":\"a\\\"\\n\xF0\x9F\x98\x80 {b}\"} c1:call_f:f a1:{} done:tool_calls", 1},
    {"custom-by-item", "c0:call_c:c a0:{\"input\":\"a\\\"\\n\xF0\x9F\x98\x80 {b}\"} c1:call_f:f a1:{} done:tool_calls", 1},
    {"custom-by-deltas", "c0:call_c:c a0:{\"input\":\"a\\\"\\n\xF0\x9F\x98\x80 {b} c1:call_f:f a1:{} a0:\"} done:tool_calls", 1},
    {"custom-halves", "c0:call_c:c a0:{\"input\":\"ok \xF0\x9F\x98\x80!\"} done:tool_calls", 1})

ROWS(reasoning,
    {"reasoning", "r:Think\n\nmore t:42 done:stop", 1},
    {"hidden-reasoning", "t:42 done:stop", 1},
    {"reasoning-text", "r:Think t:42 done:stop", 1})

ROWS(faults,
    {"status-400", "provider_bad_request", 1},
    {"status-401", "provider_auth", 1},
    {"status-403", "provider_auth", 1},
    {"status-404", "provider_model_not_found", 1},
    {"quota", "provider_quota", 1},
    {"context", "provider_context_length", 1},
    {"policy", "provider_content_filter", 1},
    {"failed-prompt", "provider_content_filter", 1},
    {"failed-image", "provider_bad_request", 1},
    {"failed-context", "provider_context_length", 1},
    {"failed-after-text", "t:some provider_server", 1},
    {"error-event", "t:some provider_server", 1},
    {"reset-between", "t:abc provider_network", 1},
    {"reset-inside", "t:a provider_network", 1},
    {"eof", "t:abc provider_server", 1},
    {"done-without-end", "t:abc provider_server", 1},
    {"eof-in-call", "c0:call_a:f a0:{\"a\": provider_server", 1},
    {"silence", "t:some provider_timeout", 1})

ROWS(endings,
    {"reset-after-end", "t:a done:stop", 1},
    {"broken-event", "t:ab done:stop", 1},
    {"503-twice", "t:third done:stop", 3},
    {"failed-then-ok", "t:again done:stop", 2})

ROWS(bytes,
    {"bytes-one-by-one", "r:\xC3\xA9! t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 c0:call_a:f a0:{} done:tool_calls", 1},
    {"crlf", "r:\xC3\xA9! t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 c0:call_a:f a0:{} done:tool_calls", 1},
    {"cr", "r:\xC3\xA9! t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 c0:call_a:f a0:{} done:tool_calls", 1},
    {"bom", "r:\xC3\xA9! t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 c0:call_a:f a0:{} done:tool_calls", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1},
    {"pings", "t:ok done:stop", 1})

/* On their way to a retry; with none left the class shows. */
ROWS(without_retries,
    {"status-429", "provider_rate_limit", 1},
    {"status-500", "provider_server", 1},
    {"status-503", "provider_overloaded", 1},
    {"failed", "provider_server", 1},
    {"failed-limit", "provider_rate_limit", 1},
    {"error-first", "provider_rate_limit", 1},
    {"whole-failed", "provider_server", 1},
    {"whole-queued", "provider_server", 1},
    {"whole-nothing", "provider_server", 1},
    {"html-200", "provider_server", 1},
    {"empty-stream", "provider_server", 1},
    {"never", "provider_timeout", 1},
    {"silence-first", "provider_timeout", 1},
    {"reset-first", "provider_network", 1})
/* clang-format on */

static void test_classes(void **state)
{
    struct backend_conf conf = conf_now();

    conf.retries = 0;
    reopen(conf, false);
    test_without_retries(state);
    reopen(conf_now(), false);
}

static void test_large(void **state)
{
    static const struct {
        const char *model;
        size_t bytes;
    } rows[] = {{"megabyte", 1 << 20}, {"many-deltas", 5000}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
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
    static const struct {
        const char *model;
        int prompt, completion, cached, reasoning;
        bool estimated;
    } rows[] = {{"hello", 9, 5, 4, 3, false},
                {"whole", 9, 5, 4, 3, false},
                {"length", 9, 5, 4, 3, false},
                {"no-usage", 3, 1, -1, -1, true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        print_message("# %s\n", rows[i].model);
        answer(&t, &q);
        const struct usage *u = &t.end.usage;
        check_int(u->prompt_tokens, rows[i].prompt);
        check_int(u->completion_tokens, rows[i].completion);
        check_int(u->cached_tokens, rows[i].cached);
        check_int(u->reasoning_tokens, rows[i].reasoning);
        check_int(u->estimated, rows[i].estimated);
        trace_fini(&t);
    }
}

static void test_cancel(void **state)
{
    static const struct cancel_row rows[] = {
        {"never", 0, 0}, {"never", 60, 1},      {"silence", -1, 1}, {"slow", -1, 1},
        {"slow", 80, 1}, {"status-503", 60, 0}, {"hello", -1, 0},
    };

    (void)state;
    check_cancels(rows, sizeof rows / sizeof *rows);
}

/* There are no stop strings in this API: all are watched for. */
static void test_stops(void **state)
{
    static const str stops[] = {STR("are"), STR("you")};
    struct answer_trace t = {0};
    struct ask q = ask_of("echo");

    (void)state;
    q.stops = stops;
    q.stops_count = 2;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:How  done:stop"));
    check_str(t.end.stop, stops[0]);
    trace_fini(&t);
}

/* ---- what is sent ---- */

#define SAID(role_, ...)                                                                           \
    {                                                                                              \
        .role = role_, .parts = (const struct part[]){__VA_ARGS__},                                \
        .count = sizeof(const struct part[]){__VA_ARGS__} / sizeof(struct part)                    \
    }
#define TEXT(text_)                                                                                \
    {                                                                                              \
        .kind = PART_TEXT, .text = STR(text_)                                                      \
    }

static void test_request(void **state)
{
    const struct tool tools[] = {{.name = STR("f"),
                                  .description = STR("does"),
                                  .parameters_json =
                                      STR("{\"type\":\"object\",\"x\":12345678901234567890}")},
                                 {.name = STR("g"), .strict = true}};
    const struct part look[] = {TEXT("Let me look."),
                                {.kind = PART_TOOL_CALL,
                                 .id = STR("toolu_1"),
                                 .name = STR("f"),
                                 .args_json = STR("{\"n\": 1.10}")},
                                {.kind = PART_TOOL_CALL, .id = STR("bad id!"), .name = STR("g")}};
    const struct part image = {.kind = PART_IMAGE, .text = STR("data:image/png;base64,AAAA")};
    const struct part what[] = {TEXT("What is this?"), image}, seen[] = {TEXT("one"), image};
    const struct message talk[] = {
        SAID(ROLE_SYSTEM, TEXT("Be kind.")),
        SAID(ROLE_SYSTEM, TEXT("Be brief.")),
        {.role = ROLE_USER, .parts = what, .count = 2},
        {.role = ROLE_ASSISTANT, .parts = look, .count = 3},
        {.role = ROLE_TOOL, .tool_call_id = STR("bad id!")},
        {.role = ROLE_TOOL, .tool_call_id = STR("toolu_1"), .parts = seen, .count = 2},
        SAID(ROLE_SYSTEM, TEXT("Late.")),
        SAID(ROLE_USER, TEXT("and?")),
    };
    static const str stops[] = {STR("\x01")};
    struct ask q = ask_of("request");

    (void)state;
    check_request(&q,
                  "{\"include\": [\"reasoning.encrypted_content\"], \"input\": [{\"content\": "
                  "[{\"text\": \"How are you?\", \"type\": \"input_text\"}], \"role\": \"user\"}], "
                  "\"model\": \"request\", \"store\": false, \"stream\": true}");
    q.messages = talk;
    q.messages_count = sizeof talk / sizeof *talk;
    q.tools = tools;
    q.tools_count = 2;
    q.tool_choice = STR("f");
    q.parallel_tool_calls = 0;
    q.temperature = 0.5;
    q.top_p = 1;
    q.top_k = 7; /* this and the next are not in this API */
    q.seeded = true;
    q.presence_penalty = 1;
    q.user = STR("u");
    q.stops = stops;
    q.stops_count = 1;
    q.max_tokens = 99;
    q.effort = EFFORT_LOW;
    check_request(
        &q,
        "{\"include\": [\"reasoning.encrypted_content\"], \"input\": ["
        "{\"content\": [{\"text\": \"What is this?\", \"type\": \"input_text\"}, {\"image_url\": "
        "\"data:image/png;base64,AAAA\", \"type\": \"input_image\"}], \"role\": \"user\"}, "
        "{\"content\": [{\"text\": \"Let me look.\", \"type\": \"output_text\"}], \"role\": "
        "\"assistant\"}, "
        "{\"arguments\": \"{\\\"n\\\": 1.10}\", \"call_id\": \"toolu_1\", \"name\": \"f\", "
        "\"type\": \"function_call\"}, "
        "{\"arguments\": \"{}\", \"call_id\": \"call_sema1\", \"name\": \"g\", \"type\": "
        "\"function_call\"}, "
        "{\"call_id\": \"toolu_1\", \"output\": [{\"text\": \"one\", \"type\": \"input_text\"}, "
        "{\"image_url\": \"data:image/png;base64,AAAA\", \"type\": \"input_image\"}], \"type\": "
        "\"function_call_output\"}, "
        "{\"call_id\": \"call_sema1\", \"output\": \"\", \"type\": \"function_call_output\"}, "
        "{\"content\": [{\"text\": \"Late.\", \"type\": \"input_text\"}], \"role\": \"system\"}, "
        "{\"content\": [{\"text\": \"and?\", \"type\": \"input_text\"}], \"role\": \"user\"}], "
        "\"instructions\": \"Be kind.\\n\\nBe brief.\", \"max_output_tokens\": 99, \"model\": "
        "\"request\", \"parallel_tool_calls\": false, \"reasoning\": {\"effort\": \"low\", "
        "\"summary\": \"auto\"}, \"store\": false, \"stream\": true, \"temperature\": 0.5, "
        "\"tool_choice\": {\"name\": \"f\", \"type\": \"function\"}, \"tools\": ["
        "{\"description\": \"does\", \"name\": \"f\", \"parameters\": {\"type\": \"object\", "
        "\"x\": 12345678901234567890}, \"strict\": false, \"type\": \"function\"}, "
        "{\"name\": \"g\", \"parameters\": {\"properties\": {}, \"type\": \"object\"}, "
        "\"strict\": true, \"type\": \"function\"}], \"top_p\": 1.0}");

    q = ask_of("request");
    q.format = FORMAT_JSON_SCHEMA;
    q.schema_name = STR("s");
    q.schema_json = STR("{\"type\":\"object\"}");
    q.max_tokens = 10; /* less than it takes: said once more with what it does */
    check_request(
        &q,
        "{\"include\": [\"reasoning.encrypted_content\"], \"input\": [{\"content\": [{\"text\": "
        "\"How are you?\", \"type\": \"input_text\"}], \"role\": \"user\"}], "
        "\"max_output_tokens\": 16, \"model\": \"request\", \"store\": false, \"stream\": true, "
        "\"text\": {\"format\": {\"name\": \"s\", \"schema\": {\"type\": \"object\"}, "
        "\"strict\": false, \"type\": \"json_schema\"}}}");
    struct answer_trace t = {0};
    q = ask_of("anything");
    q.format = FORMAT_JSON_OBJECT;
    answer(&t, &q);
    check_int(t.end.e, ERR_NONE); /* the word is there */
    trace_fini(&t);
}

/* ---- reasoning that goes back ---- */

static void test_reasoning_goes_back(void **state)
{
    static char id[100], token[100];
    struct answer_trace t = {.signatures = true};
    struct ask q = ask_of("reasoning");

    (void)state;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("r:Think\n\nmore s:gAA t:42 done:stop"));
    snprintf(token, sizeof token, "%s", t.signature);
    snprintf(id, sizeof id, "%s", t.signature_id);
    check_true(strncmp(id, "rs_", 3) == 0);
    trace_fini(&t);

    struct part said[] = {{.kind = PART_REASONING,
                           .text = STR("Think\n\nmore"),
                           .id = str_of(id),
                           .signature = str_of(token),
                           .issuer = STR("openai")},
                          TEXT("42"),
                          {.kind = PART_REASONING, .issuer = STR("openai"), .signature = STR("x")}};
    const struct message talk[] = {question,
                                   {.role = ROLE_ASSISTANT, .parts = said, .count = 3},
                                   question};
    q = ask_of("roundtrip");
    q.messages = talk;
    q.messages_count = 3;
    check_request(&q, "user reasoning assistant user"); /* the last part leads to nothing */

    said[0].issuer = STR("anthropic"); /* somebody else's is not sent */
    check_request(&q, "user assistant user");
    said[0].issuer = STR("openai");
    said[0].signature = STR("gAAAAunknown"); /* from another account: once without */
    int calls = fake_calls("roundtrip");
    check_request(&q, "user assistant user");
    check_int(fake_calls("roundtrip"), calls + 2);
}

/* ---- what is learned ---- */

static void test_refused_fields(void **state)
{
    static const struct {
        const char *model, *rest;
    } rows[] = {
        {"no-temperature", "[\"include\", \"max_output_tokens\", \"reasoning\", \"store\"]"},
        {"no-include", "[\"max_output_tokens\", \"reasoning\", \"store\", \"temperature\"]"},
        {"no-summary",
         "[\"include\", \"max_output_tokens\", \"reasoning\", \"store\", \"temperature\"]"},
        {"no-store", "[\"include\", \"max_output_tokens\", \"reasoning\", \"temperature\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ask q = ask_of(rows[i].model);
        q.temperature = 0.5;
        q.max_tokens = 20;
        q.effort = EFFORT_LOW;
        check_request(&q, rows[i].rest);
        check_int(fake_calls(rows[i].model), 2);
        check_request(&q, rows[i].rest);
        check_int(fake_calls(rows[i].model), 3); /* remembered */
    }
}

/* ---- which of the two ---- */

static void check_path(struct backend_conf conf, const char *end, const struct ask *q,
                       const char *want)
{
    char url[100];

    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, end);
    conf.base_url = str_of(url);
    reopen(conf, false);
    check_request(q, want);
}

static void test_addresses(void **state)
{
    struct ask q = ask_of("path");

    (void)state;
    check_path(conf_now(), "/v1/responses", &q, "/v1/responses");
    check_path(conf_now(), "/v1/responses/", &q, "/v1/responses");
    check_path(conf_now(), "/v1/responses?api-version=1", &q, "/v1/responses?api-version=1");
    check_path(conf_now(), "/v1/chat/completions", &q, "/v1/chat/completions");
    check_path(conf_now(), "/v1", &q, "/v1/chat/completions");
    reopen(conf_now(), false);
    prepare(); /* the list is beside it */
    check_int(ready_err, ERR_NONE);
    check_str(str_of(ready_why.text), STR(""));
}

static const struct tool tool = {.name = STR("f")};

/* Another server is asked in chat completions until it says otherwise. */
static void test_learned(void **state)
{
    static const struct {
        const char *model;
        bool tools;
        enum effort effort;
        int first, then; /* calls */
    } rows[] = {
        {"gpt-5.3-codex", false, EFFORT_UNSET, 1, 1}, {"gpt-5-pro", false, EFFORT_UNSET, 1, 1},
        {"gpt-6-sol", true, EFFORT_UNSET, 1, 1},      {"gpt-6-sol", false, EFFORT_UNSET, 1, 1},
        {"gpt-6-sol", true, EFFORT_NONE, 1, 1},       {"gpt-6.1-sol", true, EFFORT_HIGH, 1, 1},
        {"gpt-5.4", true, EFFORT_HIGH, 1, 1},         {"gpt-4o", true, EFFORT_HIGH, 1, 1},
    };
    struct fake strict = {0};
    struct backend_conf conf = conf_now();
    char url[64];

    (void)state;
    fake_start(&strict, "openai.py", (const char *const[]){"--official", NULL});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", strict.port);
    conf.base_url = str_of(url);
    reopen(conf, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int again = 0; again < 2; again++) {
            struct answer_trace t = {0};
            struct ask q = ask_of(rows[i].model);
            print_message("# %s %d\n", rows[i].model, again);
            q.tools = &tool;
            q.tools_count = rows[i].tools;
            q.effort = rows[i].effort;
            answer(&t, &q);
            check_str(buf_str(&t.seen), STR("t:How are you? done:stop"));
            /* What a row of the same model before it taught is known. */
            int want = again || (i && rows[i].effort == EFFORT_NONE) ? rows[i].then : rows[i].first;
            check_int(t.end.calls, want);
            trace_fini(&t);
        }
    }
    fake_stop(&strict);

    /* A gateway without the new API: what can be asked in the old one is. */
    fake_start(&strict, "openai.py", (const char *const[]){"--official", "--no-responses", NULL});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", strict.port);
    reopen(conf, false);
    for (int again = 0; again < 2; again++) {
        struct answer_trace t = {0};
        struct ask q = ask_of("gpt-6-sol");
        q.tools = &tool;
        q.tools_count = 1;
        q.effort = EFFORT_HIGH;
        answer(&t, &q);
        check_str(buf_str(&t.seen), STR("t:How are you? done:stop"));
        check_int(t.end.calls, again ? 1 : 2);
        trace_fini(&t);
    }
    fake_stop(&strict);

    /* One that has nothing else, whatever the model is called. */
    fake_start(&strict, "openai.py", (const char *const[]){"--only-responses", NULL});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", strict.port);
    reopen(conf, false);
    struct ask q = ask_of("path");
    check_request(&q, "/v1/responses");
    check_request(&q, "/v1/responses");
    fake_stop(&strict);
    reopen(conf_now(), false);
}

/* OpenAI itself is asked in the right one at once; efforts become ones that the model has. */
static void test_families(void **state)
{
    static const char *const models[] = {
        "gpt-5-pro",         "gpt-5.2-pro", "gpt-5-codex", "gpt-5.1-codex-max",
        "codex-mini-latest", "gpt-5.4",     "gpt-5.6-sol", "gpt-6-sol",
        "gpt-6-astra",       "gpt-6.1-sol", "gpt-6-luna",  "o1-pro",
        "gpt-5.3-codex",     "gpt-5",       "gpt-4o",
    };
    struct fake strict = {0};
    struct backend_conf conf = conf_now();
    char url[64];

    (void)state;
    fake_start(&strict, "openai.py", (const char *const[]){"--official", NULL});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", strict.port);
    conf.base_url = str_of(url);
    reopen(conf, true);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        for (int effort = EFFORT_UNSET; effort <= EFFORT_MAX; effort++) {
            for (int tools = 0; tools < 2; tools++) {
                struct answer_trace t = {0};
                struct ask q = ask_of(models[i]);
                q.temperature = 0.7;
                q.top_p = 0.9;
                q.max_tokens = 20;
                q.effort = (enum effort)effort;
                q.tools = &tool;
                q.tools_count = (size_t)tools;
                answer(&t, &q);
                if (t.end.e || t.end.calls > 1)
                    print_error("%s effort %d tools %d: %s\n", models[i], effort, tools,
                                t.end.why.text);
                check_str(buf_str(&t.seen), STR("t:How are you? done:stop"));
                check_int(t.end.calls, 1); /* known beforehand, not learned */
                trace_fini(&t);
            }
        }
    }
    reopen(conf_now(), false);
    fake_stop(&strict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_reasoning_goes_back),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_learned),
        cmocka_unit_test(test_families),
    };
    return cmocka_run_group_tests_name("contract/openai_responses", tests, setup, teardown);
}
