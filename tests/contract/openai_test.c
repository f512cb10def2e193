/* The openai backend against a strict fake (tests/fakes/openai.py): every case of providers.md
 * section 12 that this dialect can meet. */
#define PROVIDER backend_openai
#include "remote.h"

static char base_url[64];

static struct backend_conf conf_now(void)
{
    return (struct backend_conf){
        .type = "openai",
        .model = STR("hello"),
        .base_url = str_of(base_url),
        .key = STR("sk-test-key-1234"),
        .organization = STR("org-1"),
        .project = STR("proj-1"),
        .retries = 2,
        .connect_ms = 2000,
        .idle_ms = 700,
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
    snprintf(base_url, sizeof base_url, "http://127.0.0.1:%d/v1/", fake.port);
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
    {"json-answer", "t:one piece done:stop", 1},
    {"json-as-stream", "t:ok done:stop", 1},
    {"stream-as-json", "t:ok done:stop", 1},
    {"stream-untyped", "t:ok done:stop", 1},
    {"empty-finish", "t:a done:stop", 1},
    {"unknown", "t:a done:stop", 1},
    {"http10", "t:ten done:stop", 1},
    {"odd-chunks", "t:odd done:stop", 1},
    {"path", "t:/v1/chat/completions done:stop", 1},
    {"headers", "t:{\"authorization\": \"Bearer sk-test-key-1234\", \"openai-organization\": \"org-1\", "
                "\"openai-project\": \"proj-1\", \"accept\": \"text/event-stream\", \"cookie\": null} done:stop", 1})

ROWS(tools,
    {"tool", "c0:call_a:get_weather a0:{\"city\":\"Oslo\",\"id\":12345678901234567890} done:tool_calls", 1},
    {"two-tools", "t:Let me see. c0:call_a:f a0:{\"a\": c1:call_b:g a1:{\"b\": a0:1} a1:2} done:tool_calls", 1},
    {"tool-empty-args", "c0:call_a:f a0:{} done:tool_calls", 1},
    {"tool-null-args", "c0:call_a:f a0:{} done:tool_calls", 1},
    {"json-tools", "c0:call_a:f a0:{} done:tool_calls", 1},
    {"tool-object-args", "c0:call_a:f a0:{\"n\":1.10,\"id\":12345678901234567890} done:tool_calls", 1},
    {"tool-no-index", "c0:call_a:f a0:{} c1:call_b:f a1:{\"x\":1} done:tool_calls", 1},
    {"tool-id-in-each", "c0:call_a:f a0:{} done:tool_calls", 1},
    {"tool-index-always-0", "c0:call_a:f a0:{\"a\":1} c1:call_b:f a1:{\"b\":1} c2:call_c:f a2:{\"c\":1} done:tool_calls", 1},
    {"tool-escapes", "c0:call_a:f a0:{\"t\":\"\\ud83d\\ude00\"} done:tool_calls", 1},
    {"tool-cut", "c0:call_a:f a0:{\"a\": provider_network", 1})

ROWS(reasoning,
    {"reasoning", "r:Think t:42 done:stop", 1},
    {"reasoning-twice", "r:The t:x done:stop", 1},
    {"reasoning-details", "r:A t:x done:stop", 1},
    {"json-both-reasonings", "r:A t:x done:stop", 1},
    {"think", "r:hmm t:yes <think> </think> done:stop", 1},
    {"deepseek-r1", "r:hmm t:yes done:stop", 1},
    {"qwq-silent", "r:only thoughts done:stop", 1})

ROWS(statuses,
    {"status-400", "provider_bad_request", 1},
    {"status-401", "provider_auth", 1},
    {"status-402", "provider_quota", 1},
    {"status-403", "provider_auth", 1},
    {"status-404", "provider_model_not_found", 1},
    {"status-413", "provider_bad_request", 1},
    {"status-422", "provider_bad_request", 1},
    {"quota", "provider_quota", 1},
    {"long-wait", "provider_rate_limit", 1},
    {"no-retry", "provider_server", 1},
    {"context", "provider_context_length", 1},
    {"vllm-context", "provider_context_length", 1},
    {"llama-context", "provider_context_length", 1},
    {"tgi-error", "provider_context_length", 1},
    {"policy", "provider_content_filter", 1},
    {"flat-error-200", "provider_bad_request", 1})

/* Each costs up to 1.5 s of back-off: the clock is real here. */
ROWS(retried,
    {"wait-date", "provider_overloaded", 3}, /* a date in the past: at once */
    {"503-always", "provider_overloaded", 3},
    {"429-soon", "provider_rate_limit", 3},
    {"503-twice", "t:third done:stop", 3},
    {"400-retry", "t:second done:stop", 2},
    {"reset-after-role", "t:again done:stop", 2},
    {"error-after-role", "t:again done:stop", 2})

ROWS(mid_stream,
    {"error-mid-stream", "t:some provider_server", 1},
    {"reset-between", "t:abc provider_network", 1},
    {"reset-inside", "t:a provider_network", 1},
    {"eof", "t:abc provider_server", 1},
    {"eof-hard", "t:a provider_network", 1},
    {"silence", "t:some provider_timeout", 1},
    {"huge-event", "provider_server", 3})

ROWS(endings,
    {"no-terminator", "t:a done:stop", 1},
    {"reset-after-finish", "t:a done:stop", 1},
    {"silence-after-finish", "t:a done:stop", 1},
    {"done-without-newline", "t:a done:stop", 1},
    {"done-without-finish", "t:a done:stop", 1},
    {"two-finishes", "t:a done:length", 1},
    {"text-after-finish", "t:ab done:stop", 1},
    {"broken-event", "t:ab done:stop", 1})

ROWS(bytes,
    {"bytes-one-by-one", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"bytes-by-three", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"crlf", "t:h\xC3\xA9 done:stop", 1},
    {"cr", "t:h\xC3\xA9 done:stop", 1},
    {"bom", "t:h\xC3\xA9 done:stop", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1},
    {"half-alone", "r:r\xEF\xBF\xBD t:a\xEF\xBF\xBD done:stop", 1},
    {"half-then-text", "t:\xEF\xBF\xBD" "a\xEF\xBF\xBD" "b done:stop", 1},
    {"pings", "t:ok done:stop", 1})

/* On their way to a retry; with none left the class shows. */
ROWS(without_retries,
    {"status-408", "provider_timeout", 1},
    {"status-409", "provider_server", 1},
    {"status-429", "provider_rate_limit", 1},
    {"status-500", "provider_server", 1},
    {"status-503", "provider_overloaded", 1},
    {"status-504", "provider_server", 1},
    {"status-529", "provider_overloaded", 1},
    {"subscription", "provider_rate_limit", 1},
    {"llama-loading", "provider_overloaded", 1},
    {"html-502", "provider_server", 1},
    {"html-200", "provider_server", 1},
    {"text-500", "provider_server", 1},
    {"redirect", "provider_server", 1},
    {"gzip", "provider_server", 1},
    {"json-no-choices", "provider_server", 1},
    {"json-null-choices", "provider_server", 1},
    {"error-first", "provider_rate_limit", 1},
    {"error-json-200", "provider_server", 1},
    {"error-text-200", "provider_server", 1},
    {"base-resp", "provider_server", 1},
    {"error-line", "provider_server", 1},
    {"empty-stream", "provider_server", 1},
    {"only-done", "provider_server", 1},
    {"broken-event-no-finish", "provider_server", 1},
    {"reset-first", "provider_network", 1},
    {"never", "provider_timeout", 1},
    {"silence-first", "provider_timeout", 1})
/* clang-format on */

static void test_classes(void **state)
{
    struct backend_conf conf = conf_now();

    conf.retries = 0;
    reopen(conf, false);
    test_without_retries(state);
    reopen(conf_now(), false);
}

static void test_official_done_needs_a_finish(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("done-without-finish");

    (void)state;
    backend->official = true;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:a provider_server"));
    trace_fini(&t);
    backend->official = false;
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
    static const struct {
        const char *model;
        int prompt, completion, cached, cache_write, reasoning;
        bool estimated;
    } rows[] = {
        {"hello", 9, 2, -1, -1, -1, false},
        {"no-usage", 3, 1, -1, -1, -1, true},
        {"usage-details", 100, 20, 60, 30, 15, false},
        {"usage-odd", 100, 2, 90, -1, -1, false},
        {"usage-in-every-chunk", 9, 2, -1, -1, -1, false},
        {"json-answer", 9, 2, -1, -1, -1, false},
    };

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
        check_int(u->cache_write_tokens, rows[i].cache_write);
        check_int(u->reasoning_tokens, rows[i].reasoning);
        check_int(u->estimated, rows[i].estimated);
        trace_fini(&t);
    }
}

/* What the class alone does not say. */
static void test_notes(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("long-wait");

    (void)state;
    answer(&t, &q);
    check_int(t.end.why.retry_after_ms, 14400 * 1000);
    check_int(t.end.why.http_status, 429);
    trace_fini(&t);

    t = (struct answer_trace){0};
    q = ask_of("status-413");
    answer(&t, &q);
    check_int(t.end.why.http_status, 413);
    trace_fini(&t);

    t = (struct answer_trace){0};
    q = ask_of("redirect-host");
    q.deadline_ms = loop_now_ms(loop) + 300;
    answer(&t, &q);
    check_true(strstr(t.end.why.text, "evil.example") != NULL);
    trace_fini(&t);
}

/* A kept connection that died meanwhile is not the backend's affair: no retry is counted. */
static void test_stale_connection(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("hello");

    (void)state;
    answer(&t, &q);
    trace_fini(&t);
    check_int(fake_calls("reset-first-then-ok"), 0); /* meanwhile its connection has become idle */
    t = (struct answer_trace){0};
    q = ask_of("reset-first-then-ok");
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:second done:stop"));
    check_int(t.end.calls, 1);
    check_int(fake_calls("reset-first-then-ok"), 2);
    trace_fini(&t);
}

/* Another model could answer: no time is spent on this one. */
static void test_others_ready(void **state)
{
    static const char *const rows[] = {"429-soon", "status-429"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i]);
        q.others_ready = true;
        answer(&t, &q);
        check_str(buf_str(&t.seen), STR("provider_rate_limit"));
        check_int(t.end.calls, 1);
        trace_fini(&t);
    }
}

static void test_first_byte_is_tried_twice(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("never");

    (void)state;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("provider_timeout"));
    check_int(t.end.calls, 2);
    trace_fini(&t);
}

/* Retries and all, one deadline. */
static void test_deadline(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("status-503");
    uint64_t from = clock_mono_us();

    (void)state;
    uv_update_time(loop_uv(loop));
    q.deadline_ms = loop_now_ms(loop) + 250;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("provider_overloaded")); /* a wait would be over after it */
    check_int(t.end.calls, 1);
    trace_fini(&t);

    t = (struct answer_trace){0};
    q = ask_of("slow");
    uv_update_time(loop_uv(loop));
    q.deadline_ms = loop_now_ms(loop) + 250;
    answer(&t, &q);
    check_int(t.end.e, ERR_TIMEOUT);
    check_true(t.pieces > 2);
    trace_fini(&t);
    check_true(clock_mono_us() - from < 2000000);
}

/* ---- cancel, at each of its moments ---- */

static void test_cancel(void **state)
{
    static const struct cancel_row rows[] = {
        {"never", 0, 0},     {"never", 60, 1},
        {"silence", -1, 1},  {"slow", -1, 1},
        {"slow", 80, 1},     {"status-503", 60, 0}, /* between two tries */
        {"tool-cut", -1, 0}, {"silence-after-finish", 60, 1},
        {"hello", -1, 0},
    };

    (void)state;
    check_cancels(rows, sizeof rows / sizeof *rows);
}

static void test_pause(void **state)
{
    struct answer_trace t = {.pause_at = 3};
    struct ask q = ask_of("many-deltas");

    (void)state;
    answer(&t, &q);
    check_int(t.end.e, ERR_NONE);
    check_int(t.seen.len, 5000 + strlen("t: done:stop"));
    trace_fini(&t);
}

/* ---- what is sent ---- */

static void test_request(void **state)
{
    const struct tool tools[] = {{.name = STR("f"),
                                  .description = STR("does"),
                                  .parameters_json =
                                      STR("{\"type\":\"object\",\"x\":12345678901234567890}")},
                                 {.name = STR("g")}};
    const struct message talk[] = {
        {.role = ROLE_SYSTEM,
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("Be kind.")},
         .count = 1},
        {.role = ROLE_USER,
         .parts =
             (const struct part[]){{.kind = PART_TEXT, .text = STR("What is this?")},
                                   {.kind = PART_IMAGE, .text = STR("data:image/png;base64,AAAA")}},
         .count = 2},
        {.role = ROLE_ASSISTANT,
         .parts = (const struct part[]){{.kind = PART_REASONING, .text = STR("never sent back")},
                                        {.kind = PART_TEXT, .text = STR("Let me look.")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("toolu_1"),
                                         .name = STR("f"),
                                         .args_json = STR("{\"n\": 1.10}")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("bad id!"),
                                         .name = STR("g"),
                                         .args_json = STR("")}},
         .count = 4},
        {.role = ROLE_USER,
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("and?")},
         .count = 1},
        {.role = ROLE_TOOL,
         .tool_call_id = STR("bad id!"),
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("two")},
         .count = 1},
        {.role = ROLE_TOOL,
         .tool_call_id = STR("toolu_1"),
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("one")},
         .count = 1},
    };
    struct ask q = ask_of("request");
    str stops[] = {STR("END")};

    (void)state;
    check_request(&q, "{\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}], "
                      "\"model\": \"request\", "
                      "\"stream\": true, \"stream_options\": {\"include_usage\": true}}");
    q.messages = talk;
    q.messages_count = sizeof talk / sizeof *talk;
    q.tools = tools;
    q.tools_count = 2;
    q.tool_choice = STR("f");
    q.parallel_tool_calls = 0;
    q.temperature = 0.5;
    q.top_p = 1;
    q.top_k = 7;
    q.max_tokens = 99;
    q.stops = stops;
    q.stops_count = 1;
    q.seeded = true;
    q.seed = UINT64_C(18446744073709551615);
    check_request(
        &q,
        "{\"max_tokens\": 99, \"messages\": [{\"content\": \"Be kind.\", \"role\": \"system\"}, "
        "{\"content\": [{\"text\": \"What is this?\", \"type\": \"text\"}, {\"image_url\": "
        "{\"url\": "
        "\"data:image/png;base64,AAAA\"}, \"type\": \"image_url\"}], \"role\": \"user\"}, "
        "{\"content\": \"Let me look.\", \"role\": \"assistant\", \"tool_calls\": ["
        "{\"function\": {\"arguments\": \"{\\\"n\\\": 1.10}\", \"name\": \"f\"}, \"id\": "
        "\"toolu_1\", \"type\": \"function\"}, "
        "{\"function\": {\"arguments\": \"{}\", \"name\": \"g\"}, \"id\": \"call_sema1\", "
        "\"type\": \"function\"}]}, "
        "{\"content\": \"one\", \"role\": \"tool\", \"tool_call_id\": \"toolu_1\"}, "
        "{\"content\": \"two\", \"role\": \"tool\", \"tool_call_id\": \"call_sema1\"}, "
        "{\"content\": \"and?\", \"role\": \"user\"}], \"model\": \"request\", "
        "\"parallel_tool_calls\": false, "
        "\"seed\": 18446744073709551615, \"stop\": [\"END\"], \"stream\": true, "
        "\"stream_options\": "
        "{\"include_usage\": true}, \"temperature\": 0.5, \"tool_choice\": {\"function\": "
        "{\"name\": \"f\"}, "
        "\"type\": \"function\"}, \"tools\": [{\"function\": {\"description\": \"does\", \"name\": "
        "\"f\", "
        "\"parameters\": {\"type\": \"object\", \"x\": 12345678901234567890}}, \"type\": "
        "\"function\"}, "
        "{\"function\": {\"name\": \"g\", \"parameters\": {\"properties\": {}, \"type\": "
        "\"object\"}}, "
        "\"type\": \"function\"}], \"top_k\": 7, \"top_p\": 1.0}");

    q = ask_of("request");
    q.format = FORMAT_JSON_SCHEMA;
    q.schema_name = STR("s");
    q.schema_json = STR("{\"type\":\"object\"}");
    q.schema_strict = true;
    q.effort = EFFORT_LOW;
    q.max_tokens = 10;
    q.room_to_think = true;
    q.temperature = 0.7;
    q.top_k = 50;
    q.defaults = DEFAULT_ALL;
    q.top_k_is_setting = true;
    check_request(
        &q, "{\"max_tokens\": 4106, \"messages\": [{\"content\": \"How are you?\", \"role\": "
            "\"user\"}], "
            "\"model\": \"request\", \"reasoning_effort\": \"low\", \"response_format\": "
            "{\"json_schema\": "
            "{\"name\": \"s\", \"schema\": {\"type\": \"object\"}, \"strict\": true}, \"type\": "
            "\"json_schema\"}, \"stream\": true, \"stream_options\": {\"include_usage\": true}, "
            "\"temperature\": 0.7}");
}

/* C1: the address is taken as written. */
static void test_addresses(void **state)
{
    static const struct {
        const char *end, *path;
    } rows[] = {
        {"", "/chat/completions"},
        {"/", "/chat/completions"},
        {"/v1", "/v1/chat/completions"},
        {"/v1//", "/v1/chat/completions"},
        {"/v1/chat/completions", "/v1/chat/completions"},
        {"/v1/chat/completions/", "/v1/chat/completions"},
        {"/openai/v1?api-version=1", "/openai/v1/chat/completions?api-version=1"},
        {"/v1/chat/completions?a=b", "/v1/chat/completions?a=b"},
    };
    char url[100];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct backend_conf conf = conf_now();
        struct ask q = ask_of("path");
        snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, rows[i].end);
        conf.base_url = str_of(url);
        reopen(conf, false);
        check_request(&q, rows[i].path);
    }
    reopen(conf_now(), false);
}

/* ---- the beginning of an answer ---- */

static void on_prepared(void *ctx, enum err e, const struct err_note *why)
{
    (void)why;
    check_int(e, ERR_NONE);
    *(bool *)ctx = true;
    uv_stop(loop_uv(loop));
}

/* Only servers that are known to go on are asked to, each in its way; the list says who they are.
 */
static void test_prefill(void **state)
{
    static const struct {
        const char *path, *want; /* NULL: it is not asked */
    } rows[] = {
        {"/v1", NULL},
        {"/vllm/v1", "{\"add_generation_prompt\": false, \"continue_final_message\": true, "
                     "\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}, "
                     "{\"content\": \"The answer\", \"role\": \"assistant\"}], "},
        {"/llamacpp/v1", "{\"messages\": [{\"content\": \"How are you?\", \"role\": \"user\"}, "
                         "{\"content\": \"The answer\", \"role\": \"assistant\"}], "},
        {"/llama-field/v1", "{\"messages\": "},
    };
    char url[100];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct backend_conf conf = conf_now();
        struct ask q = ask_of("request");
        struct answer_trace t = {0};
        bool done = false;
        snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, rows[i].path);
        conf.base_url = str_of(url);
        reopen(conf, false);
        backend_openai.prepare(backend, loop, on_prepared, &done);
        while (!done) uv_run(loop_uv(loop), UV_RUN_DEFAULT);
        print_message("# %s\n", rows[i].path);
        check_int(backend_openai.goes_on(backend, q.model), rows[i].want != NULL);
        q.prefill = STR("The answer");
        if (rows[i].want == NULL) {
            struct answer *a;
            struct sink none = {0};
            check_int(backend_openai.ask(&a, backend, loop, &q, none, NULL), ERR_UNSUPPORTED);
            continue;
        }
        answer(&t, &q);
        check_true(str_find(buf_str(&t.seen), str_of(rows[i].want)) != STR_NPOS);
        trace_fini(&t);
        /* One that refuses it is not asked again. */
        q.model = STR("no-prefill");
        t = (struct answer_trace){0};
        answer(&t, &q);
        check_int(t.end.e, ERR_BAD_REQUEST);
        check_int(t.end.calls, 1);
        check_true(!backend_openai.goes_on(backend, q.model));
        trace_fini(&t);
    }
    reopen(conf_now(), false);
}

/* ---- what is learned ---- */

static void test_refused_fields(void **state)
{
    static const struct {
        const char *model, *rest;
    } rows[] = {
        {"no-temperature", "[\"max_tokens\", \"stream_options\"]"},
        {"no-max-tokens", "[\"max_completion_tokens\", \"stream_options\", \"temperature\"]"},
        {"no-stream-options", "[\"max_tokens\", \"temperature\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ask q = ask_of(rows[i].model);
        q.temperature = 0.5;
        q.max_tokens = 10;
        check_request(&q, rows[i].rest);
        check_int(fake_calls(rows[i].model), 2);
        check_request(&q, rows[i].rest);
        check_int(fake_calls(rows[i].model), 3); /* remembered */
    }
    struct answer_trace t = {0};
    struct ask q = ask_of("never-happy");
    q.temperature = 0.5;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("provider_bad_request"));
    check_int(t.end.calls, 2);
    trace_fini(&t);
}

static void test_refused_system(void **state)
{
    static const struct part parts[] = {{.kind = PART_TEXT, .text = STR("S1")},
                                        {.kind = PART_TEXT, .text = STR("U1")},
                                        {.kind = PART_TEXT, .text = STR("A1")},
                                        {.kind = PART_TEXT, .text = STR("S2")},
                                        {.kind = PART_TEXT, .text = STR("U2")}};
    const struct message m[] = {{ROLE_SYSTEM, parts, 1},
                                {ROLE_USER, parts + 1, 1},
                                {ROLE_ASSISTANT, parts + 2, 1},
                                {ROLE_SYSTEM, parts + 3, 1},
                                {ROLE_USER, parts + 4, 1}};
    struct ask q = ask_of("no-late-system");

    (void)state;
    q.messages = m;
    q.messages_count = 5;
    for (int i = 0; i < 2; i++)
        check_request(&q, "[[\"system\", \"S1\"], [\"user\", \"U1\"], [\"assistant\", \"A1\"], "
                          "[\"user\", \"S2\\n\\nU2\"]]");
    check_int(fake_calls("no-late-system"), 3);
    q.model = STR("no-system");
    for (int i = 0; i < 2; i++)
        check_request(
            &q,
            "[[\"user\", \"S1\\n\\nU1\"], [\"assistant\", \"A1\"], [\"user\", \"S2\\n\\nU2\"]]");
    check_int(fake_calls("no-system"), 4); /* the late one first, then all */
}

/* ---- the free check ---- */

static void test_prepare(void **state)
{
    struct backend_conf conf = conf_now();

    (void)state;
    prepare();
    check_int(ready_err, ERR_NONE);
    check_str(str_of(ready_why.text), STR(""));

    conf.model = STR("gpt-4o-mono");
    reopen(conf, false);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_true(strstr(ready_why.text, "gpt-4o-mono") &&
               strstr(ready_why.text, "gpt-4o-mini, gpt-4o, gpt-5"));

    conf.model = STR("gpt-3.5-turbo"); /* listed, but shut down */
    reopen(conf, false);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_true(strstr(ready_why.text, "gpt-3.5-turbo") != NULL);

    conf.model = STR("with-context");
    reopen(conf, false);
    check_int(backend_openai.context_length(backend), 0);
    prepare();
    check_int(backend_openai.context_length(backend), 4096);

    conf.key = STR("sk-wrong-key-5678");
    reopen(conf, false);
    prepare();
    check_int(ready_err, ERR_AUTH);
    check_str(str_of(ready_why.text), STR("the provider rejected OPENAI_API_KEY (401)"));

    conf.base_url = STR("http://127.0.0.1:1/v1");
    reopen(conf, false);
    prepare();
    check_int(ready_err, ERR_NETWORK);
    reopen(conf_now(), false);
}

static void test_prepare_without_a_list(void **state)
{
    static const struct {
        const char *status;
        enum err e;
    } rows[] = {{"404", ERR_NONE},      {"403", ERR_NONE},       {"405", ERR_NONE},
                {"501", ERR_NONE},      {"429", ERR_RATE_LIMIT}, {"500", ERR_SERVER},
                {"503", ERR_OVERLOADED}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake other = {0};
        struct backend_conf conf = conf_now();
        char url[64];
        fake_start(&other, "openai.py",
                   (const char *const[]){"--models-status", rows[i].status, NULL});
        snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", other.port);
        conf.base_url = str_of(url);
        reopen(conf, false);
        prepare();
        check_int(ready_err, rows[i].e);
        fake_stop(&other);
    }
    reopen(conf_now(), false);
}

static void test_open(void **state)
{
    struct backend_conf conf = {.type = "openai", .model = STR("gpt-4o")};
    struct backend *b = NULL;
    struct err_note why = {0};

    (void)state;
    check_int(backend_openai.open(&b, &conf, &why), ERR_CREDENTIAL);
    check_true(strstr(why.text, "OPENAI_API_KEY") != NULL);
    conf.base_url = STR("not-a-url");
    check_int(backend_openai.open(&b, &conf, &why), ERR_INVALID);
    conf.base_url = STR("http://127.0.0.1:8000/v1"); /* a server of one's own needs no key */
    check_int(backend_openai.open(&b, &conf, &why), ERR_NONE);
    backend_openai.close(b);
    backend_openai.close(NULL);
}

/* ---- OpenAI's own families, by OpenAI's own rules ---- */

static void test_families(void **state)
{
    static const char *const models[] = {"gpt-3.5-turbo",
                                         "gpt-4o",
                                         "gpt-4o-mini",
                                         "gpt-4.1",
                                         "gpt-5-chat-latest",
                                         "o1",
                                         "o3",
                                         "o4-mini",
                                         "gpt-5",
                                         "gpt-5-mini",
                                         "gpt-5.1",
                                         "gpt-5.4",
                                         "gpt-5.6-sol",
                                         "gpt-6-sol",
                                         "gpt-6-luna"};
    static const struct tool tool = {.name = STR("f")};
    static const str stops[] = {STR("1"), STR("2"), STR("3"), STR("4"), STR("5")};
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
                q.top_k = 50;
                q.max_tokens = 10;
                q.presence_penalty = 0.5;
                q.stops = stops;
                q.stops_count = 5;
                q.effort = (enum effort)effort;
                q.tools = &tool;
                q.tools_count = (size_t)tools;
                answer(&t, &q);
                if (t.end.e)
                    print_error("%s effort %d tools %d: %s\n", models[i], effort, tools,
                                t.end.why.text);
                check_str(buf_str(&t.seen), STR("t:How are you? done:stop"));
                check_int(t.end.calls, 1); /* known beforehand, not learned */
                trace_fini(&t);
            }
        }
    }
    struct ask q = ask_of("gpt-4o");
    struct answer_trace t = {0};
    q.format = FORMAT_JSON_OBJECT;
    answer(&t, &q);
    check_int(t.end.e, ERR_NONE); /* the word is there */
    trace_fini(&t);
    reopen(conf_now(), false);
    fake_stop(&strict);
}

/* Stop strings that the model does not take, and those beyond the four that it does, end the answer
 * all the same: before them, with the call. */
static void test_stops(void **state)
{
    static const str many[] = {STR("1"), STR("2"), STR("3"), STR("4"), STR("wo"), STR("")};
    static const struct {
        const char *model, *text;
        size_t stops;
        const char *want, *met;
    } rows[] = {
        {"o3", "one two three", 6, "t:one t done:stop", "wo"},
        {"gpt-4o", "one two three", 6, "t:one t done:stop", "wo"},
        {"gpt-4o", "one two three", 4, "t:one two three done:stop", ""},
        {"gpt-5", "ends in w", 6, "t:ends in w done:stop", ""}, /* held, and never became one */
        {"gpt-5", "4 at once", 6, "done:stop", "4"},
    };
    struct backend_conf conf = conf_now();

    (void)state;
    reopen(conf, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct part text = {.kind = PART_TEXT, .text = str_of(rows[i].text)};
        struct message m = {.role = ROLE_USER, .parts = &text, .count = 1};
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        q.messages = &m;
        q.stops = many;
        q.stops_count = rows[i].stops;
        answer(&t, &q);
        check_str(buf_str(&t.seen), str_of(rows[i].want));
        check_str(t.end.stop, str_of(rows[i].met));
        check_true(t.end.usage.completion_tokens > 0);
        trace_fini(&t);
    }
    /* The provider would go on for long: it is left. */
    static const str at[] = {STR("xxx")};
    struct answer_trace t = {0};
    struct ask q = ask_of("slow");
    int gone = fake_number("gone");
    q.stops = at;
    q.stops_count = 1;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("done:stop"));
    check_str(t.end.stop, at[0]);
    trace_fini(&t);
    /* It notices at its next piece. */
    for (int tries = 0; fake_number("gone") == gone && tries < 100; tries++) uv_sleep(10);
    check_true(fake_number("gone") > gone);
    reopen(conf_now(), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_retried),
        cmocka_unit_test(test_mid_stream),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_official_done_needs_a_finish),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_stale_connection),
        cmocka_unit_test(test_others_ready),
        cmocka_unit_test(test_first_byte_is_tried_twice),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_prefill),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_refused_system),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_prepare_without_a_list),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests_name("contract/openai", tests, setup, teardown);
}
