/* The anthropic backend against a strict fake (tests/fakes/anthropic.py): every case of
 * providers.md section 12 that this dialect can meet. */
#define PROVIDER backend_anthropic
#include "remote.h"

static char base_url[64];

static struct backend_conf conf_now(void)
{
    return (struct backend_conf){
        .type = "anthropic",
        .model = STR("hello"),
        .base_url = str_of(base_url),
        .key = STR("sk-ant-test-1234"),
        .retries = 2,
        .connect_ms = 2000,
        .idle_ms = 400,
        .total_ms = 4000,
    };
}

static void reopen(struct backend_conf conf)
{
    open_backend(&conf);
}

static int setup(void **state)
{
    static const char *const more[] = {"--key", "sk-ant-test-1234", NULL};

    (void)state;
    if (remote_setup("anthropic.py", more)) return 1;
    snprintf(base_url, sizeof base_url, "http://127.0.0.1:%d", fake.port);
    reopen(conf_now());
    return 0;
}

/* clang-format off */
ROWS(plain,
    {"hello", "t:Hello! done:stop", 1},
    {"anything-else", "t:How are you? done:stop", 1},
    {"length", "t:a done:length", 1},
    {"window", "t:a done:length", 1},
    {"stop-sequence", "t:a done:stop", 1},
    {"pause-turn", "t:a done:stop", 1},
    {"filter", "t:a done:content_filter", 1},
    {"refusal-empty", "done:content_filter", 1},
    {"empty-text", "done:stop", 1},
    {"json-answer", "t:one piece done:stop", 1},
    {"json-as-stream", "t:ok done:stop", 1},
    {"stream-as-json", "t:ok done:stop", 1},
    {"unknown", "t:a done:stop", 1},
    {"unnamed-events", "t:ok done:stop", 1},
    {"http10", "t:ten done:stop", 1},
    {"odd-chunks", "t:odd done:stop", 1},
    {"path", "t:/v1/messages done:stop", 1},
    {"headers", "t:{\"x-api-key\": \"sk-ant-test-1234\", \"authorization\": null, \"anthropic-version\": \"2023-06-01\", "
                "\"accept\": \"text/event-stream\", \"cookie\": null} done:stop", 1})

ROWS(tools,
    {"tool", "c0:toolu_a:get_weather a0:{\"city\":\"Oslo\",\"id\":12345678901234567890} done:tool_calls", 1},
    {"two-tools", "t:Let me see. c0:call_a:f a0:{\"a\":1} c1:call_b:g a1:{\"b\":2} done:tool_calls", 1},
    {"tool-no-args", "c0:toolu_a:f a0:{} done:tool_calls", 1},
    {"tool-whole-input", "c0:toolu_a:f a0:{\"n\":1.10,\"id\":12345678901234567890} done:tool_calls", 1},
    {"json-tools", "c0:toolu_a:f c1:toolu_b:g a1:{\"n\":1} a0:{} done:tool_calls", 1},
    {"tool-escapes", "c0:toolu_a:f a0:{\"t\":\"\\ud83d\\ude00\"} done:tool_calls", 1},
    {"tool-cut", "c0:toolu_a:f a0:{\"a\": provider_network", 1})

ROWS(statuses,
    {"status-400", "provider_bad_request", 1},
    {"status-401", "provider_auth", 1},
    {"status-402", "provider_quota", 1},
    {"status-403", "provider_auth", 1},
    {"status-404", "provider_model_not_found", 1},
    {"status-413", "provider_bad_request", 1},
    {"status-422", "provider_bad_request", 1},
    {"balance", "provider_quota", 1},
    {"spend", "provider_quota", 1},
    {"long-wait", "provider_rate_limit", 1},
    {"no-retry", "provider_server", 1},
    {"context", "provider_context_length", 1},
    {"context-sum", "provider_context_length", 1})

ROWS(retried,
    {"529-always", "provider_overloaded", 3},
    {"429-soon", "provider_rate_limit", 3},
    {"529-twice", "t:third done:stop", 3},
    {"reset-after-start", "t:again done:stop", 2},
    {"error-after-start", "t:again done:stop", 2})

ROWS(mid_stream,
    {"error-mid-stream", "t:some provider_overloaded", 1},
    {"reset-between", "t:abc provider_network", 1},
    {"reset-inside", "t:a provider_network", 1},
    {"eof", "t:abc provider_server", 1},
    {"eof-hard", "t:a provider_network", 1},
    {"silence", "t:some provider_timeout", 1})

ROWS(endings,
    {"no-terminator", "t:a done:stop", 1},
    {"reset-after-finish", "t:a done:stop", 1},
    {"silence-after-finish", "t:a done:stop", 1},
    {"stop-without-newline", "t:a done:stop", 1},
    {"two-finishes", "t:a done:length", 1},
    {"broken-event", "t:ab done:stop", 1})

ROWS(bytes,
    {"bytes-one-by-one", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"bytes-by-three", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"crlf", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"cr", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"bom", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"several-lines", "t:h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 done:stop", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1},
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
    {"html-502", "provider_server", 1},
    {"html-200", "provider_server", 1},
    {"text-500", "provider_server", 1},
    {"redirect", "provider_server", 1},
    {"gzip", "provider_server", 1},
    {"json-no-content", "provider_server", 1},
    {"error-first", "provider_overloaded", 1},
    {"error-rate-first", "provider_rate_limit", 1},
    {"error-json-200", "provider_server", 1},
    {"empty-stream", "provider_server", 1},
    {"only-stop", "provider_server", 1},
    {"broken-event-no-finish", "provider_server", 1},
    {"never", "provider_timeout", 1},
    {"reset-first", "provider_network", 1}, /* no kept connection is there to be blamed */
    {"silence-first", "provider_timeout", 1})
/* clang-format on */

static void test_classes(void **state)
{
    struct backend_conf conf = conf_now();

    conf.retries = 0;
    reopen(conf);
    test_without_retries(state);
    reopen(conf_now());
}

static void test_reasoning(void **state)
{
    static const struct {
        const char *model, *want;
    } rows[] = {
        {"reasoning", "r:Think s:sig t:42 done:stop"},
        {"signature-in-pieces", "r:Think s:sig t:42 done:stop"},
        {"thinking-omitted", "s:sig t:42 done:stop"},
        {"redacted", "x:sig t:42 done:stop"},
        {"interleaved", "r:A s:sig t:b r:C s:sig t:d done:stop"},
        {"json-thinking", "r:Hm s:sig x:sig t:x done:stop"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer_trace t = {.signatures = true};
        struct ask q = ask_of(rows[i].model);
        answer(&t, &q);
        check_str(buf_str(&t.seen), str_of(rows[i].want));
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
        {"usage-details", 1000, 20, 600, 300, 15, false},
        {"usage-late", 25, 4, 20, 0, -1, false},
        {"usage-twice", 9, 7, -1, -1, -1, false},
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

/* ---- what is sent ---- */

static void test_request(void **state)
{
    const struct tool tools[] = {{.name = STR("f"),
                                  .description = STR("does"),
                                  .parameters_json =
                                      STR("{\"type\":\"object\",\"x\":12345678901234567890}")},
                                 {.name = STR("g"), .parameters_json = STR("{\"required\":[]}")}};
    const struct message talk[] = {
        {.role = ROLE_SYSTEM,
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("Be kind.")},
         .count = 1},
        {.role = ROLE_ASSISTANT,
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("Welcome.")},
         .count = 1},
        {.role = ROLE_USER,
         .parts =
             (const struct part[]){{.kind = PART_TEXT, .text = STR(" \n")},
                                   {.kind = PART_TEXT, .text = STR("What is this?")},
                                   {.kind = PART_IMAGE, .text = STR("data:image/jpg;base64,AAAA")},
                                   {.kind = PART_IMAGE, .text = STR("https://x.example/a.png")}},
         .count = 4},
        {.role = ROLE_ASSISTANT,
         .parts = (const struct part[]){{.kind = PART_REASONING, .text = STR("unsigned")},
                                        {.kind = PART_TEXT, .text = STR("Let me look.")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("toolu_1"),
                                         .name = STR("f"),
                                         .args_json = STR("{\"n\":1.10}")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("bad id!"),
                                         .name = STR("g"),
                                         .args_json = STR("")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("toolu_2"),
                                         .name = STR("g"),
                                         .args_json = STR("[1]")}},
         .count = 5},
        {.role = ROLE_USER, /* T5 */
         .parts = &(const struct part){.kind = PART_TEXT, .text = STR("and?")},
         .count = 1},
        {.role = ROLE_TOOL,
         .tool_call_id = STR("bad id!"),
         .is_error = true,
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
    check_request(&q, "{\"max_tokens\": 32000, \"messages\": [{\"content\": \"How are you?\", "
                      "\"role\": \"user\"}], \"model\": \"request\", \"stream\": true}");
    q.messages = talk;
    q.messages_count = sizeof talk / sizeof *talk;
    q.tools = tools;
    q.tools_count = 2;
    q.tool_choice = STR("f");
    q.parallel_tool_calls = 0;
    q.temperature = 1.5;
    q.top_p = 0.9;
    q.top_k = 7;
    q.presence_penalty = 1;
    q.seeded = true;
    q.max_tokens = 99;
    q.stops = stops;
    q.stops_count = 1;
    q.user = STR("u1");
    check_request(
        &q,
        "{\"max_tokens\": 99, \"messages\": [{\"content\": \"(start)\", \"role\": \"user\"}, "
        "{\"content\": \"Welcome.\", \"role\": \"assistant\"}, {\"content\": [{\"text\": \"What is "
        "this?\", \"type\": \"text\"}, {\"source\": {\"data\": \"AAAA\", \"media_type\": "
        "\"image/jpeg\", \"type\": \"base64\"}, \"type\": \"image\"}, {\"source\": {\"type\": "
        "\"url\", \"url\": \"https://x.example/a.png\"}, \"type\": \"image\"}], \"role\": "
        "\"user\"}, {\"content\": [{\"text\": \"Let me look.\", \"type\": \"text\"}, {\"id\": "
        "\"toolu_1\", \"input\": {\"n\": 1.1}, \"name\": \"f\", \"type\": \"tool_use\"}, {\"id\": "
        "\"call_sema1\", \"input\": {}, \"name\": \"g\", \"type\": \"tool_use\"}, {\"id\": "
        "\"toolu_2\", \"input\": {\"_raw\": \"[1]\"}, \"name\": \"g\", \"type\": \"tool_use\"}], "
        "\"role\": \"assistant\"}, {\"content\": [{\"content\": \"one\", \"tool_use_id\": "
        "\"toolu_1\", \"type\": \"tool_result\"}, {\"content\": \"two\", \"is_error\": true, "
        "\"tool_use_id\": \"call_sema1\", \"type\": \"tool_result\"}, {\"content\": \"(no "
        "result)\", \"tool_use_id\": \"toolu_2\", \"type\": \"tool_result\"}, {\"text\": "
        "\"and?\", \"type\": \"text\"}], \"role\": \"user\"}], "
        "\"metadata\": {\"user_id\": \"u1\"}, \"model\": \"request\", \"stop_sequences\": "
        "[\"END\"], \"stream\": true, \"system\": \"Be kind.\", \"temperature\": 1.0, "
        "\"tool_choice\": {\"disable_parallel_tool_use\": true, \"name\": \"f\", \"type\": "
        "\"tool\"}, \"tools\": [{\"description\": \"does\", \"input_schema\": {\"type\": "
        "\"object\", \"x\": 12345678901234567890}, \"name\": \"f\"}, {\"input_schema\": "
        "{\"properties\": {}, \"required\": [], \"type\": \"object\"}, \"name\": \"g\"}], "
        "\"top_k\": 7}");
}

/* C1: one right path for each form. */
static void test_addresses(void **state)
{
    static const struct {
        const char *end, *path;
    } rows[] = {
        {"", "/v1/messages"},
        {"/", "/v1/messages"},
        {"/v1", "/v1/messages"},
        {"/v1//", "/v1/messages"},
        {"/v1/messages", "/v1/messages"},
        {"/v1/messages/", "/v1/messages"},
        {"/anthropic", "/anthropic/v1/messages"},
        {"/anthropic/v1/", "/anthropic/v1/messages"},
        {"/anthropic?a=b", "/anthropic/v1/messages?a=b"},
    };
    char url[100];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct backend_conf conf = conf_now();
        struct ask q = ask_of("path");
        snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, rows[i].end);
        conf.base_url = str_of(url);
        reopen(conf);
        check_request(&q, rows[i].path);
    }
    reopen(conf_now());
}

static void test_bearer_and_version(void **state)
{
    struct fake newer = {0};
    struct backend_conf conf = conf_now();
    struct ask q = ask_of("headers");
    char url[64];

    (void)state;
    fake_start(&newer, "anthropic.py", (const char *const[]){"--version", "2026-10-21", NULL});
    snprintf(url, sizeof url, "http://127.0.0.1:%d", newer.port);
    conf.base_url = str_of(url);
    conf.version = STR("2026-10-21");
    conf.key_is_bearer = true;
    q.temperature = 0.5; /* no model takes any by this version */
    q.top_k = 3;
    reopen(conf);
    check_request(&q, "{\"x-api-key\": null, \"authorization\": \"Bearer sk-ant-test-1234\", "
                      "\"anthropic-version\": \"2026-10-21\", \"accept\": \"text/event-stream\", "
                      "\"cookie\": null}");
    reopen(conf_now());
    fake_stop(&newer);
}

/* Every family, by its own rules: what it does not take is known beforehand, not learned. */
static void test_families(void **state)
{
    static const char *const models[] = {"claude-sonnet-5-5",
                                         "claude-opus-5-5",
                                         "claude-fable-5-1",
                                         "claude-haiku-5-5",
                                         "claude-opus-5",
                                         "claude-fable-5",
                                         "claude-mythos-1",
                                         "claude-opus-4-8",
                                         "claude-sonnet-5",
                                         "claude-opus-4-6",
                                         "claude-sonnet-4-6",
                                         "claude-opus-4-5-20251101",
                                         "claude-haiku-4-5",
                                         "claude-sonnet-4-20250514",
                                         "claude-opus-4-1-20250805",
                                         "claude-3-5-haiku",
                                         "claude-3-haiku-20240307",
                                         "claude-next-9",
                                         "MiniMax-M3",
                                         "anthropic.claude-opus-4-6-v1:0"};
    static const struct tool tool = {.name = STR("f")};
    static const struct part said = {.kind = PART_TEXT, .text = STR("So: ")};
    static const struct message talk[] = {{.role = ROLE_USER, .parts = &hello, .count = 1},
                                          {.role = ROLE_ASSISTANT, .parts = &said, .count = 1}};

    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        for (int n = 0; n < (EFFORT_MAX + 1) * 16; n++) {
            struct answer_trace t = {0};
            struct ask q = ask_of(models[i]);
            q.temperature = 0.7;
            q.top_p = 0.9;
            q.top_k = 50;
            q.effort = (enum effort)(n / 16);
            q.tools = &tool;
            q.tools_count = n & 1;
            if (n & 1) q.tool_choice = STR("f");
            q.max_tokens = n & 2 ? 10 : n & 4 ? 1000000 : -1;
            q.room_to_think = n & 4;
            if (n & 8) q.messages = talk, q.messages_count = 2;
            if (n % 5 == 0) q.thinking_budget = n * 100;
            if (n % 7 == 0) {
                q.format = FORMAT_JSON_SCHEMA;
                q.schema_json = STR("{\"type\":\"object\"}");
            }
            answer(&t, &q);
            if (t.end.e) print_error("%s case %d: %s\n", models[i], n, t.end.why.text);
            check_int(t.end.e, ERR_NONE);
            check_int(t.end.calls, 1);
            trace_fini(&t);
        }
    }
}

/* The fields that thinking, its limits and a schema lead to. */
static void test_thinking(void **state)
{
    static const struct {
        const char *model;
        enum effort effort;
        int budget, max_tokens;
        bool room;
        const char *want; /* a part of the request */
    } rows[] = {
        {"claude-opus-5-5+request", EFFORT_HIGH, -1, 100, true,
         "\"max_tokens\": 16484, \"messages\""},
        {"claude-opus-5-5+request", EFFORT_HIGH, -1, 100, false,
         "\"output_config\": {\"effort\": \"high\"}"},
        {"claude-opus-5-5+request", EFFORT_HIGH, -1, 100, false,
         "\"thinking\": {\"display\": \"summarized\", \"type\": \"adaptive\"}"},
        {"claude-opus-5-5+request", EFFORT_UNSET, -1, 100, true, "\"max_tokens\": 4196,"},
        {"claude-opus-5-5+request", EFFORT_UNSET, -1, -1, false, "\"max_tokens\": 128000,"},
        {"claude-opus-5-5+request", EFFORT_UNSET, -1, 100, false, "\"max_tokens\": 100,"},
        {"claude-haiku-5-5+request", EFFORT_NONE, -1, 100, true,
         "\"thinking\": {\"type\": \"disabled\"}"},
        {"claude-haiku-5-5+request", EFFORT_NONE, -1, 100, true, "\"max_tokens\": 100,"},
        {"claude-opus-4-6+request", EFFORT_XHIGH, -1, 100, false, "\"effort\": \"high\""},
        {"claude-opus-4-6+request", EFFORT_MEDIUM, 2000, 3000, false,
         "\"thinking\": {\"budget_tokens\": 2000, \"type\": \"enabled\"}"},
        {"claude-haiku-4-5+request", EFFORT_LOW, -1, 100, false,
         "\"thinking\": {\"budget_tokens\": 2048, \"type\": \"enabled\"}"},
        {"claude-haiku-4-5+request", EFFORT_LOW, -1, 100, false, "\"max_tokens\": 2148,"},
        {"claude-haiku-4-5+request", EFFORT_MEDIUM, 2000, 3000, false, "\"max_tokens\": 3000,"},
        {"claude-haiku-4-5+request", EFFORT_MEDIUM, 2000, 1000, false, "\"max_tokens\": 3000,"},
        {"claude-haiku-4-5+request", EFFORT_MEDIUM, 10, 3000, false, "\"budget_tokens\": 1024,"},
        {"claude-haiku-4-5+request", EFFORT_MEDIUM, 900000, 3000, false,
         "\"thinking\": {\"budget_tokens\": 63999, \"type\": \"enabled\"}"},
        {"claude-opus-4-5+request", EFFORT_LOW, -1, 100, false, "\"effort\": \"low\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        q.effort = rows[i].effort;
        q.thinking_budget = rows[i].budget;
        q.max_tokens = rows[i].max_tokens;
        q.room_to_think = rows[i].room;
        answer(&t, &q);
        if (str_find(buf_str(&t.seen), str_of(rows[i].want)) == STR_NPOS)
            print_error("row %zu: %.*s\n", i, STR_ARG(buf_str(&t.seen)));
        check_true(str_find(buf_str(&t.seen), str_of(rows[i].want)) != STR_NPOS);
        trace_fini(&t);
    }
}

/* Where a model has no schemas, a tool's input is the text. */
static void test_schema(void **state)
{
    static const struct {
        const char *model, *want;
    } rows[] = {
        {"claude-opus-4-1+json-tool", "t:{\"say\":\"How are you?\"} done:stop"},
        {"claude-sonnet-4-5+json-tool",
         "c0:toolu_a:none a0:{\"say\":\"How are you?\"} done:tool_calls"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        q.format = FORMAT_JSON_SCHEMA;
        q.schema_json = STR("{\"type\":\"object\"}");
        answer(&t, &q);
        check_str(buf_str(&t.seen), str_of(rows[i].want));
        trace_fini(&t);
    }
    struct ask q = ask_of("request");
    q.format = FORMAT_JSON_OBJECT;
    check_request(&q, "{\"max_tokens\": 32000, \"messages\": [{\"content\": \"How are you?\", "
                      "\"role\": \"user\"}], \"model\": \"request\", \"stream\": true, "
                      "\"system\": \"Answer with a JSON object.\"}");
}

/* ---- thinking that goes back ---- */

struct loop_talk {
    struct part said[2], result;
    struct message messages[3];
};

static struct ask loop_ask(struct loop_talk *l, const char *model, const char *signature)
{
    static const struct tool tool = {.name = STR("f")};
    struct ask q = ask_of(model);

    l->said[0] = (struct part){.kind = PART_REASONING,
                               .text = STR("I should look."),
                               .signature = str_of(signature)};
    l->said[1] = (struct part){.kind = PART_TOOL_CALL,
                               .id = STR("toolu_a"),
                               .name = STR("f"),
                               .args_json = STR("{\"a\":1}")};
    l->result = (struct part){.kind = PART_TEXT, .text = STR("yes")};
    l->messages[0] = question;
    l->messages[1] = (struct message){.role = ROLE_ASSISTANT, .parts = l->said, .count = 2};
    l->messages[2] = (struct message){.role = ROLE_TOOL,
                                      .tool_call_id = STR("toolu_a"),
                                      .parts = &l->result,
                                      .count = 1};
    q.messages = l->messages;
    q.messages_count = 3;
    q.tools = &tool;
    q.tools_count = 1;
    q.effort = EFFORT_LOW;
    return q;
}

static bool sent_thinking(const struct ask *q, int calls)
{
    struct answer_trace t = {0};

    answer(&t, q);
    if (t.end.e) print_error("%s\n", t.end.why.text);
    check_int(t.end.e, ERR_NONE);
    check_int(t.end.calls, calls);
    bool sent = str_find(buf_str(&t.seen), STR("\"signature\": ")) != STR_NPOS;
    check_true(str_find(buf_str(&t.seen), STR("tool_use")) != STR_NPOS);
    trace_fini(&t);
    return sent;
}

static void test_signatures(void **state)
{
    static const char *const models[] = {"claude-haiku-4-5+tool-loop", "claude-opus-5-5+tool-loop"};
    static const char *const asking[] = {"claude-haiku-4-5+request", "claude-opus-5-5+request"};
    struct loop_talk l;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct answer_trace t = {.signatures = true};
        struct ask q = ask_of(models[i]), own;
        static const struct tool tool = {.name = STR("f")};
        char signature[100];
        q.tools = &tool;
        q.tools_count = 1;
        q.effort = EFFORT_LOW;
        answer(&t, &q);
        check_str(buf_str(&t.seen),
                  STR("r:I should look. s:sig c0:toolu_a:f a0:{\"a\":1} done:tool_calls"));
        snprintf(signature, sizeof signature, "%s", t.signature);
        trace_fini(&t);

        own = loop_ask(&l, asking[i], signature);
        check_true(sent_thinking(&own, 1));
        own = loop_ask(&l, asking[i], ""); /* unsigned: never */
        check_true(!sent_thinking(&own, 1));
        /* Unknown: sent, refused, repeated once without; the next conversation has its own. */
        own = loop_ask(&l, asking[i], "of-somebody");
        check_true(!sent_thinking(&own, 2));
        own = loop_ask(&l, asking[i], signature);
        check_true(sent_thinking(&own, 1));

        /* A loop that is over keeps its thinking to itself. */
        static const struct part more = {.kind = PART_TEXT, .text = STR("Thanks. And now?")};
        struct message talk[4];
        memcpy(talk, l.messages, sizeof l.messages);
        own = loop_ask(&l, asking[i], signature);
        memcpy(talk, l.messages, sizeof l.messages);
        talk[3] = (struct message){.role = ROLE_USER, .parts = &hello, .count = 1};
        (void)more;
        struct part closing = {.kind = PART_TEXT, .text = STR("It is so.")};
        struct message over[5] = {talk[0],
                                  talk[1],
                                  talk[2],
                                  {.role = ROLE_ASSISTANT, .parts = &closing, .count = 1},
                                  talk[3]};
        own.messages = over;
        own.messages_count = 5;
        check_true(!sent_thinking(&own, 1));
    }
}

/* R2: known as given by somebody else, here the same API at another address. */
static void test_foreign_signature(void **state)
{
    struct fake other = {0};
    struct backend_conf conf = conf_now();
    struct answer_trace t = {0};
    struct ask q = ask_of("reasoning");
    struct loop_talk l;
    char url[64], signature[100];

    (void)state;
    /* The other's numbers are beyond what this one has given. */
    fake_start(&other, "anthropic.py", NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", other.port);
    conf.base_url = str_of(url);
    reopen(conf);
    for (int i = 0; i < 40; i++) {
        t = (struct answer_trace){0};
        answer(&t, &q);
        snprintf(signature, sizeof signature, "%s", t.signature);
        trace_fini(&t);
    }
    struct ask own = loop_ask(&l, "claude-opus-5-5+request", signature);
    check_true(sent_thinking(&own, 1));
    reopen(conf_now());
    check_true(!sent_thinking(&own, 1));
    fake_stop(&other);
}

/* ---- the beginning of an answer ---- */

static void test_prefill(void **state)
{
    static const struct {
        const char *model, *want; /* the last message; NULL: it is not asked */
    } rows[] = {
        {"claude-sonnet-4-5+request", "{\"content\": \"The answer is\", \"role\": \"assistant\"}]"},
        {"claude-opus-4-6+request", NULL},
        {"claude-opus-5-5+request", NULL},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct ask q = ask_of(rows[i].model);
        struct sink none = {0};
        struct answer *a = NULL;
        q.prefill = STR("The answer is \n");
        if (rows[i].want == NULL) {
            check_int(backend_anthropic.ask(&a, backend, loop, &q, none, NULL), ERR_UNSUPPORTED);
            continue;
        }
        struct answer_trace t = {0};
        answer(&t, &q);
        check_true(str_find(buf_str(&t.seen), str_of(rows[i].want)) != STR_NPOS);
        trace_fini(&t);
    }
}

/* ---- what is learned ---- */

static void test_refused_fields(void **state)
{
    static const struct {
        const char *model, *rest;
    } rows[] = {
        {"no-temperature",
         "{\"max_tokens\": 10, \"metadata\": {\"user_id\": \"u\"}, \"top_k\": 5}"},
        {"no-top-k",
         "{\"max_tokens\": 10, \"metadata\": {\"user_id\": \"u\"}, \"temperature\": 0.5}"},
        {"no-user", "{\"max_tokens\": 10, \"temperature\": 0.5, \"top_k\": 5}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ask q = ask_of(rows[i].model);
        q.temperature = 0.5;
        q.top_k = 5;
        q.max_tokens = 10;
        q.user = STR("u");
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

static void test_refused_numbers(void **state)
{
    struct ask q = ask_of("small-limit");

    (void)state;
    for (int i = 0; i < 2; i++) check_request(&q, "{\"max_tokens\": 4096}");
    check_int(fake_calls("small-limit"), 3);

    q = ask_of("no-budget");
    q.effort = EFFORT_LOW;
    for (int i = 0; i < 2; i++)
        check_request(&q, "{\"max_tokens\": 32000, \"thinking\": {\"display\": \"summarized\", "
                          "\"type\": \"adaptive\"}}");
    check_int(fake_calls("no-budget"), 3);

    q = ask_of("no-thinking");
    q.effort = EFFORT_LOW;
    for (int i = 0; i < 2; i++) check_request(&q, "{\"max_tokens\": 32000}");
    check_int(fake_calls("no-thinking"), 3);

    static const struct part said = {.kind = PART_TEXT, .text = STR("So:")};
    const struct message talk[] = {question, {.role = ROLE_ASSISTANT, .parts = &said, .count = 1}};
    q = ask_of("no-prefill");
    q.messages = talk;
    q.messages_count = 2;
    for (int i = 0; i < 2; i++) check_request(&q, "{\"max_tokens\": 32000}");
    check_int(fake_calls("no-prefill"), 3);
}

/* ---- the free check ---- */

static void test_prepare(void **state)
{
    struct backend_conf conf = conf_now();

    (void)state;
    prepare();
    check_int(ready_err, ERR_NONE);
    check_str(str_of(ready_why.text), STR(""));
    check_int(backend_anthropic.context_length(backend), 200000);

    conf.model = STR("claude-3-opus-20240229"); /* listed, but retired */
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_true(strstr(ready_why.text, "claude-3-opus-20240229") &&
               strstr(ready_why.text, "claude-opus-5-5"));

    conf.key = STR("sk-ant-wrong-5678");
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_AUTH);
    check_str(str_of(ready_why.text), STR("the provider rejected ANTHROPIC_API_KEY (401)"));

    conf.key_is_bearer = true;
    reopen(conf);
    prepare();
    check_str(str_of(ready_why.text), STR("the provider rejected ANTHROPIC_AUTH_TOKEN (401)"));

    conf.base_url = STR("http://127.0.0.1:1");
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_NETWORK);
    reopen(conf_now());
}

static void test_open(void **state)
{
    struct backend_conf conf = {.type = "anthropic", .model = STR("claude-opus-5-5")};
    struct backend *b = NULL;
    struct err_note why = {0};

    (void)state;
    check_int(backend_anthropic.open(&b, &conf, &why), ERR_CREDENTIAL);
    check_true(strstr(why.text, "ANTHROPIC_API_KEY") != NULL);
    conf.base_url = STR("not-a-url");
    check_int(backend_anthropic.open(&b, &conf, &why), ERR_INVALID);
    backend_anthropic.close(NULL);
}

/* Which stop string it was is told, where the provider tells it; a blank one, which it refuses, is
 * watched for here. */
static void test_stops(void **state)
{
    static const struct {
        const char *model, *stops[2], *want, *met;
    } rows[] = {
        {"stop-sequence", {"END", "\n"}, "t:a done:stop", "END"},
        {"stop-sequence", {" ", ""}, "t:a done:stop", ""}, /* "?": none of ours */
        {"echo", {"END", " "}, "t:How done:stop", " "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str at[] = {str_of(rows[i].stops[0]), str_of(rows[i].stops[1])};
        struct answer_trace t = {0};
        struct ask q = ask_of(rows[i].model);
        q.stops = at;
        q.stops_count = 2;
        answer(&t, &q);
        check_str(buf_str(&t.seen), str_of(rows[i].want));
        check_str(t.end.stop, str_of(rows[i].met));
        trace_fini(&t);
    }
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
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_bearer_and_version),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_foreign_signature),
        cmocka_unit_test(test_prefill),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_refused_numbers),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests_name("contract/anthropic", tests, setup, teardown);
}
