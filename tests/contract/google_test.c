/* The google backend against a strict fake (tests/fakes/google.py): the cases of providers.md
 * section 12 that this dialect can meet. */
#define PROVIDER backend_google
#include "remote.h"

static char base_url[64];

static struct backend_conf conf_now(void)
{
    return (struct backend_conf){
        .type = "google",
        .model = STR("hello"),
        .base_url = str_of(base_url),
        .key = STR("sk-test-key-1234"),
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
    static const char *const more[] = {"--key", "sk-test-key-1234", "--retired", NULL};

    (void)state;
    if (remote_setup("google.py", more)) return 1;
    snprintf(base_url, sizeof base_url, "http://127.0.0.1:%d", fake.port);
    reopen(conf_now());
    return 0;
}

/* clang-format off */
ROWS(plain,
    {"hello", "t:Hello! done:stop", 1},
    {"anything-else", "t:How are you? done:stop", 1},
    {"length", "t:a done:length", 1},
    {"continuation", "t:a done:length", 1},
    {"safety", "t:a done:content_filter", 1},
    {"image-safety", "t:a done:content_filter", 1},
    {"other", "t:a done:stop", 1},
    {"empty-text", "done:stop", 1},
    {"finish-with-text", "t:all done:stop", 1},
    {"finish-without-parts", "t:a done:stop", 1},
    {"literal-tags", "t:<think>no</think> done:stop", 1},
    {"json-answer", "t:one piece done:stop", 1},
    {"json-array", "t:two pieces done:stop", 1},
    {"unknown", "t:a done:stop", 1},
    {"path", "t:/v1beta/models/path:streamGenerateContent?alt=sse done:stop", 1},
    {"headers", "t:{\"authorization\": null, \"accept\": \"text/event-stream\", \"cookie\": null} done:stop", 1},
    {"reasoning", "r:Think t:42 done:stop", 1})

ROWS(tools,
    {"tool", "c0:fc_1:get_weather a0:{\"city\":\"Oslo\",\"id\":12345678901234567890,\"n\":1.10} done:tool_calls", 1},
    {"tool-no-args", "c0:fc_1:f a0:{} done:tool_calls", 1},
    {"signed", "c0:call_r3f:f a0:{\"a\":1} c1:call_r3g:g a1:{\"b\":2} done:tool_calls", 1})

ROWS(statuses,
    {"status-400", "provider_bad_request", 1},
    {"status-401", "provider_auth", 1},
    {"status-402", "provider_quota", 1},
    {"status-403", "provider_auth", 1},
    {"status-404", "provider_model_not_found", 1},
    {"gemini-1.5-pro", "provider_model_not_found", 1},
    {"status-413", "provider_bad_request", 1},
    {"status-422", "provider_bad_request", 1},
    {"bad-key", "provider_auth", 1},
    {"location", "provider_auth", 1},
    {"billing", "provider_quota", 1},
    {"context", "provider_context_length", 1},
    {"per-minute", "provider_rate_limit", 1}, /* 37 s are too long to wait */
    {"per-day", "provider_quota", 1},
    {"blocked", "provider_content_filter", 1},
    {"json-blocked", "provider_content_filter", 1})

ROWS(retried,
    {"503-twice", "t:third done:stop", 3},
    {"soon-always", "provider_rate_limit", 3},
    {"malformed-call", "provider_server", 2},
    {"malformed-once", "t:again done:stop", 2})

ROWS(mid_stream,
    {"error-mid-stream", "t:some provider_overloaded", 1},
    {"error-bare", "t:some provider_overloaded", 1},
    {"error-bare-at-once", "t:some provider_overloaded", 1},
    {"reset-between", "t:abc provider_network", 1},
    {"reset-inside", "t:a provider_network", 1},
    {"eof", "t:abc provider_server", 1},
    {"silence", "t:some provider_timeout", 1},
    {"reset-after-finish", "t:a done:stop", 1},
    {"silence-after-finish", "t:a done:stop", 1},
    {"text-after-finish", "t:ab done:stop", 1},
    {"no-blank-line", "t:ab done:stop", 1},
    {"broken-event", "t:ab done:stop", 1})

ROWS(bytes,
    {"lf", "t:h\xC3\xA9 done:stop", 1},
    {"crlf", "t:h\xC3\xA9 done:stop", 1},
    {"cr", "t:h\xC3\xA9 done:stop", 1},
    {"bom", "t:h\xC3\xA9 done:stop", 1},
    {"halves", "t:ok \xF0\x9F\x98\x80! done:stop", 1})

ROWS(without_retries,
    {"status-408", "provider_timeout", 1},
    {"status-429", "provider_rate_limit", 1},
    {"status-499", "provider_server", 1},
    {"status-500", "provider_server", 1},
    {"status-503", "provider_overloaded", 1},
    {"status-504", "provider_server", 1},
    {"status-529", "provider_overloaded", 1},
    {"html-502", "provider_server", 1},
    {"html-200", "provider_server", 1},
    {"redirect", "provider_server", 1},
    {"gzip", "provider_server", 1},
    {"json-nothing", "provider_server", 1},
    {"json-error-array", "provider_overloaded", 1},
    {"error-first", "provider_rate_limit", 1},
    {"error-bare-first", "provider_rate_limit", 1},
    {"error-json-200", "provider_overloaded", 1},
    {"empty-stream", "provider_server", 1},
    {"other-silent", "provider_server", 1},
    {"reset-first", "provider_network", 1},
    {"never", "provider_timeout", 1})
/* clang-format on */

static void test_classes(void **state)
{
    struct backend_conf conf = conf_now();

    conf.retries = 0;
    reopen(conf);
    test_without_retries(state);
    reopen(conf_now());
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
    } rows[] = {
        {"hello", 9, 2, -1, -1, false},
        {"no-usage", 3, 1, -1, -1, true},
        {"usage-details", 107, 35, 60, 15, false},
        {"usage-zero", 5, 0, -1, -1, false},
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
        check_int(u->reasoning_tokens, rows[i].reasoning);
        check_int(u->estimated, rows[i].estimated);
        trace_fini(&t);
    }
}

static void test_notes(void **state)
{
    struct answer_trace t = {0};
    struct ask q = ask_of("per-minute");

    (void)state;
    answer(&t, &q);
    check_int(t.end.why.retry_after_ms, 37 * 1000);
    check_int(t.end.why.http_status, 429);
    trace_fini(&t);
}

static void test_cancel(void **state)
{
    static const struct cancel_row rows[] = {{"hello", 0, 0},
                                             {"never", 100, 1},
                                             {"slow", -1, 1},
                                             {"slow", 100, 1},
                                             {"status-503", 60, 0}};

    (void)state;
    check_cancels(rows, sizeof rows / sizeof *rows);
}

/* ---- requests ---- */

#define TEXT(t)                                                                                    \
    &(const struct part)                                                                           \
    {                                                                                              \
        .kind = PART_TEXT, .text = STR(t)                                                          \
    }

static void test_request(void **state)
{
    static const struct tool tools[] = {
        {.name = STR("f"),
         .description = STR("does f"),
         .parameters_json = STR("{\"type\":\"object\",\"properties\":{\"n\":{\"const\":1.10}}}")},
        {.name = STR("g")},
    };
    const struct message talk[] = {
        {.role = ROLE_SYSTEM, .parts = TEXT("Be brief."), .count = 1},
        {.role = ROLE_SYSTEM, .parts = TEXT("Be kind."), .count = 1},
        {.role = ROLE_USER,
         .parts =
             (const struct part[]){{.kind = PART_TEXT, .text = STR("look")},
                                   {.kind = PART_IMAGE, .text = STR("data:image/jpg;base64,AAAA")}},
         .count = 2},
        {.role = ROLE_ASSISTANT,
         .parts = (const struct part[]){{.kind = PART_REASONING, .text = STR("hm")},
                                        {.kind = PART_TEXT, .text = STR("Calling.")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("toolu_1"),
                                         .name = STR("f"),
                                         .args_json = STR("{\"n\": 12345678901234567890}")},
                                        {.kind = PART_TOOL_CALL,
                                         .id = STR("toolu_2"),
                                         .name = STR("g"),
                                         .args_json = STR("oops")}},
         .count = 4},
        {.role = ROLE_USER, .parts = TEXT("and?"), .count = 1},
        {.role = ROLE_TOOL,
         .tool_call_id = STR("toolu_2"),
         .parts = TEXT("two"),
         .count = 1,
         .is_error = true},
        {.role = ROLE_TOOL, .tool_call_id = STR("toolu_1"), .parts = TEXT("one"), .count = 1},
    };
    struct ask q = ask_of("request");
    str stops[] = {STR("1"), STR("2"), STR("3"), STR("4"), STR("5"), STR("6th")};

    (void)state;
    check_request(
        &q, "{\"contents\": [{\"parts\": [{\"text\": \"How are you?\"}], \"role\": \"user\"}], "
            "\"generationConfig\": {}}");
    q.messages = talk;
    q.messages_count = sizeof talk / sizeof *talk;
    q.tools = tools;
    q.tools_count = 2;
    q.tool_choice = STR("f");
    q.parallel_tool_calls = 0;
    q.temperature = 0.5;
    q.top_p = 1;
    q.top_k = 7;
    q.min_p = 0.1;
    q.max_tokens = 99;
    q.stops = stops;
    q.stops_count = 6;
    q.seeded = true;
    q.seed = UINT64_C(18446744073709551615);
    q.presence_penalty = 1;
    q.user = STR("u");
    q.effort = EFFORT_NONE;
    check_request(
        &q,
        "{\"contents\": [{\"parts\": [{\"text\": \"look\"}, {\"inlineData\": {\"data\": \"AAAA\", "
        "\"mimeType\": \"image/jpeg\"}}], \"role\": \"user\"}, "
        "{\"parts\": [{\"text\": \"Calling.\"}, "
        "{\"functionCall\": {\"args\": {\"n\": 12345678901234567890}, \"name\": \"f\"}, "
        "\"thoughtSignature\": \"skip_thought_signature_validator\"}, "
        "{\"functionCall\": {\"args\": {\"_raw\": \"oops\"}, \"name\": \"g\"}}], \"role\": "
        "\"model\"}, "
        "{\"parts\": [{\"functionResponse\": {\"name\": \"f\", \"response\": {\"output\": "
        "\"one\"}}}, "
        "{\"functionResponse\": {\"name\": \"g\", \"response\": {\"error\": \"two\"}}}, "
        "{\"text\": \"and?\"}], \"role\": \"user\"}], "
        "\"generationConfig\": {\"maxOutputTokens\": 99, \"presencePenalty\": 1.0, \"seed\": "
        "2147483647, "
        "\"stopSequences\": [\"1\", \"2\", \"3\", \"4\", \"5\"], \"temperature\": 0.5, "
        "\"thinkingConfig\": {\"thinkingLevel\": \"LOW\"}, \"topK\": 7, \"topP\": 1.0}, "
        "\"systemInstruction\": {\"parts\": [{\"text\": \"Be brief.\\n\\nBe kind.\"}]}, "
        "\"toolConfig\": {\"functionCallingConfig\": {\"allowedFunctionNames\": [\"f\"], \"mode\": "
        "\"ANY\"}}, "
        "\"tools\": [{\"functionDeclarations\": [{\"description\": \"does f\", \"name\": \"f\", "
        "\"parametersJsonSchema\": {\"properties\": {\"n\": {\"const\": 1.1}}, \"type\": "
        "\"object\"}}, "
        "{\"name\": \"g\", \"parametersJsonSchema\": {\"properties\": {}, \"type\": "
        "\"object\"}}]}]}");

    q = ask_of("request");
    q.format = FORMAT_JSON_SCHEMA;
    q.schema_json = STR("{\"type\":\"object\",\"properties\":{\"const\":{\"const\":\"x\"}}}");
    q.effort = EFFORT_MAX;
    q.max_tokens = 10;
    q.room_to_think = true;
    q.defaults = DEFAULT_ALL; /* such a model is left alone */
    q.temperature = 0.7;
    q.top_k = 50;
    check_request(
        &q, "{\"contents\": [{\"parts\": [{\"text\": \"How are you?\"}], \"role\": \"user\"}], "
            "\"generationConfig\": {\"maxOutputTokens\": 24586, "
            "\"responseJsonSchema\": {\"properties\": {\"const\": {\"enum\": [\"x\"]}}, "
            "\"type\": \"object\"}, \"responseMimeType\": \"application/json\", "
            "\"thinkingConfig\": {\"includeThoughts\": true, \"thinkingLevel\": \"HIGH\"}}}");
}

/* What ask() says to a question with a tool. */
static enum err ask_with_tool(const char *model)
{
    static const struct tool tool = {.name = STR("f")};
    struct ask q = ask_of(model);
    struct answer *a = NULL;

    q.tools = &tool;
    q.tools_count = 1;
    enum err e = backend_google.ask(&a, backend, loop, &q, (struct sink){0}, NULL);
    if (!e) backend_google.cancel(a);
    return e;
}

/* What a family does not take never goes out: the fake refuses it. */
static void test_families(void **state)
{
    static const char *const models[] = {"gemma-3n-e4b-it",        "gemma-3-27b-it",
                                         "gemma-4-31b-it",         "gemini-2.0-flash",
                                         "gemini-2.5-pro",         "gemini-2.5-flash",
                                         "gemini-3.1-flash-lite",  "gemini-3.8-flash",
                                         "gemini-3.1-pro-preview", "gemini-4-argon",
                                         "something-new"};
    const struct message talk[] = {
        {.role = ROLE_SYSTEM, .parts = TEXT("Be brief."), .count = 1},
        {.role = ROLE_ASSISTANT, .parts = TEXT("Hi."), .count = 1},
        {.role = ROLE_USER, .parts = TEXT("What?"), .count = 1},
        {.role = ROLE_USER, .parts = TEXT("Tell me."), .count = 1},
        {.role = ROLE_ASSISTANT, .parts = TEXT("Well"), .count = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        for (int effort = EFFORT_UNSET; effort <= EFFORT_MAX; effort++) {
            struct answer_trace t = {0};
            struct ask q = ask_of(models[i]);
            q.messages = talk;
            q.messages_count = 5;
            q.effort = (enum effort)effort;
            q.format = FORMAT_JSON_OBJECT;
            print_message("# %s, effort %d\n", models[i], effort);
            answer(&t, &q);
            check_str(buf_str(&t.seen), STR("t:Continue. done:stop"));
            check_int(t.end.calls, 1);
            trace_fini(&t);
        }
    }
    check_int(ask_with_tool("gemma-3-27b-it"), ERR_UNSUPPORTED);
    check_int(ask_with_tool("gemma-4-31b-it"), ERR_NONE);
}

/* The system text of a Gemma goes in front of the first user text; so does what JSON is wanted. */
static void test_gemma(void **state)
{
    const struct message talk[] = {
        {.role = ROLE_SYSTEM, .parts = TEXT("Be brief."), .count = 1},
        {.role = ROLE_USER, .parts = TEXT("What?"), .count = 1},
    };
    struct answer_trace t = {0};
    struct ask q = ask_of("gemma-3-12b-it");

    (void)state;
    q.messages = talk;
    q.messages_count = 2;
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:Be brief.\n\nWhat? done:stop"));
    trace_fini(&t);

    t = (struct answer_trace){0};
    q.format = FORMAT_JSON_SCHEMA;
    q.schema_json = STR("{\"type\":\"object\"}");
    answer(&t, &q);
    check_str(buf_str(&t.seen),
              STR("t:Be brief.\n\nAnswer with JSON and nothing else, of this JSON Schema:\n"
                  "{\"type\":\"object\"}\n\nWhat? done:stop"));
    trace_fini(&t);
}

/* T2: three calls in three chunks, and their results. */
static void test_three_chunks(void **state)
{
    static char ids[3][64];
    static const struct part results[3] = {{.kind = PART_TEXT, .text = STR("of Lima")},
                                           {.kind = PART_TEXT, .text = STR("of Rome")},
                                           {.kind = PART_TEXT, .text = STR("of Oslo")}};
    struct part calls[3];
    struct message talk[5] = {question, {.role = ROLE_ASSISTANT, .parts = calls, .count = 3}};
    struct answer_trace t = {0};
    struct ask q = ask_of("three-chunks");
    char seen[400];

    (void)state;
    answer(&t, &q);
    snprintf(seen, sizeof seen, "%.*s", STR_ARG(buf_str(&t.seen)));
    check_int(sscanf(seen,
                     "c0:%29[^:]:get_weather a0:{\"city\":\"Oslo\"} c1:%29[^:]:get_weather "
                     "a1:{\"city\":\"Rome\"} c2:%29[^:]:get_weather a2:{\"city\":\"Lima\"}",
                     ids[0], ids[1], ids[2]),
              3);
    check_true(strcmp(ids[0], ids[1]) != 0 && strcmp(ids[1], ids[2]) != 0);
    trace_fini(&t);

    for (int i = 0; i < 3; i++) {
        calls[i] = (struct part){.kind = PART_TOOL_CALL,
                                 .id = str_of(ids[i]),
                                 .name = STR("get_weather"),
                                 .args_json = STR("{}")};
        talk[2 + i] = (struct message){.role = ROLE_TOOL,
                                       .tool_call_id = str_of(ids[2 - i]),
                                       .parts = &results[i],
                                       .count = 1};
    }
    q.messages = talk;
    q.messages_count = 5;
    t = (struct answer_trace){0};
    answer(&t, &q);
    check_str(buf_str(&t.seen), STR("t:[[\"of Oslo\", \"of Rome\", \"of Lima\"]] done:stop"));
    trace_fini(&t);
}

/* R3: the signature comes back on the call that it came with, and on no other; after a restart the
 * placeholder does. */
static void test_signatures(void **state)
{
    static const struct part calls[] = {
        {.kind = PART_TOOL_CALL,
         .id = STR("call_r3f"),
         .name = STR("f"),
         .args_json = STR("{\"a\":1}")},
        {.kind = PART_TOOL_CALL,
         .id = STR("call_r3g"),
         .name = STR("g"),
         .args_json = STR("{\"b\":2}")},
        {.kind = PART_TOOL_CALL, .id = STR("call_old"), .name = STR("f"), .args_json = STR("{}")},
    };
    struct message talk[] = {
        question,
        {.role = ROLE_ASSISTANT, .parts = &calls[0], .count = 1},
        {.role = ROLE_ASSISTANT, .parts = &calls[1], .count = 1},
        {.role = ROLE_TOOL, .tool_call_id = STR("call_r3f"), .parts = TEXT("1"), .count = 1},
        {.role = ROLE_TOOL, .tool_call_id = STR("call_r3g"), .parts = TEXT("2"), .count = 1},
        {.role = ROLE_ASSISTANT, .parts = &calls[2], .count = 1},
        {.role = ROLE_TOOL, .tool_call_id = STR("call_old"), .parts = TEXT("3"), .count = 1},
    };
    struct answer_trace t = {0};
    struct ask q = ask_of("signed");

    (void)state;
    answer(&t, &q);
    trace_fini(&t);
    q.messages = talk;
    q.messages_count = 7;
    t = (struct answer_trace){0};
    answer(&t, &q);
    check_str(buf_str(&t.seen),
              STR("t:[\"sig-R3\", null, \"skip_thought_signature_validator\"] done:stop"));
    trace_fini(&t);
}

static void test_cannot_be_asked(void **state)
{
    static const struct part image = {.kind = PART_IMAGE,
                                      .text = STR("https://img.example/cat.png?token=secret")};
    static const struct message m = {.role = ROLE_USER, .parts = &image, .count = 1};
    struct ask q = ask_of("hello");
    struct err_note why = {0};
    struct answer *a;

    (void)state;
    q.messages = &m;
    check_int(backend_google.ask(&a, backend, loop, &q, (struct sink){0}, &why), ERR_UNSUPPORTED);
    check_true(strstr(why.text, "https://img.example/cat.png") != NULL);
    check_true(strstr(why.text, "secret") == NULL);
    q = ask_of("hello");
    q.prefill = STR("Once");
    check_int(backend_google.ask(&a, backend, loop, &q, (struct sink){0}, &why), ERR_UNSUPPORTED);
}

/* C1 */
static void test_addresses(void **state)
{
    static const char *const ends[] = {"", "/", "/v1beta", "/v1beta/", "/v1", "/v1beta/models"};
    char url[100];

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct backend_conf conf = conf_now();
        struct ask q = ask_of("path");
        snprintf(url, sizeof url, "http://127.0.0.1:%d%s", fake.port, ends[i]);
        conf.base_url = str_of(url);
        reopen(conf);
        check_request(&q, "/v1beta/models/path:streamGenerateContent?alt=sse");
    }
    reopen(conf_now());
    struct ask q = ask_of("models/path"); /* as the list names it */
    check_request(&q, "/v1beta/models/path:streamGenerateContent?alt=sse");
}

static void test_refused_fields(void **state)
{
    struct ask q = ask_of("no-penalty");

    (void)state;
    for (int i = 0; i < 2; i++) {
        q.presence_penalty = 1;
        q.max_tokens = 5;
        check_request(&q, "[\"maxOutputTokens\"]");
    }
    check_int(fake_calls("no-penalty"), 3); /* remembered */
    q = ask_of("no-thinking");
    q.effort = EFFORT_HIGH;
    check_request(&q, "[]");
    const struct message talk[] = {
        {.role = ROLE_SYSTEM, .parts = TEXT("Be brief."), .count = 1},
        {.role = ROLE_USER, .parts = TEXT("What?"), .count = 1},
    };
    q = ask_of("no-system");
    q.messages = talk;
    q.messages_count = 2;
    check_request(&q, "[{\"role\": \"user\", \"parts\": [{\"text\": \"Be brief.\\n\\nWhat?\"}]}]");
}

static void test_prepare(void **state)
{
    struct backend_conf conf = conf_now();

    (void)state;
    conf.model = STR("gemini-2.5-flash");
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_int(strlen(ready_why.text), 0);
    check_int(backend_google.context_length(backend), 1048576);

    conf.model = STR("gemini-1.5-pro"); /* gone, by the list and by name: others are named */
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_MODEL_NOT_FOUND);
    check_true(strstr(ready_why.text, "gemini-2.5-pro") != NULL);

    conf.model = STR("text-embedding-9"); /* there, but not for answers */
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_NONE);
    check_true(strstr(ready_why.text, "does not list") != NULL);

    conf.key = STR("sk-wrong-key");
    reopen(conf);
    prepare();
    check_int(ready_err, ERR_AUTH);
    check_true(strstr(ready_why.text, "GOOGLE_API_KEY") != NULL);
    check_true(strstr(ready_why.text, "sk-") == NULL);
    reopen(conf_now());
}

static void test_open(void **state)
{
    struct backend_conf conf = {.type = "google", .model = STR("gemini-4-argon")};
    struct backend *b;
    struct err_note why = {0};

    (void)state;
    check_int(backend_google.open(&b, &conf, &why), ERR_CREDENTIAL);
    check_true(strstr(why.text, "GOOGLE_API_KEY") != NULL);
    conf.key = STR("k");
    check_int(backend_google.open(&b, &conf, &why), ERR_NONE);
    check_str(b->base.host, STR("generativelanguage.googleapis.com"));
    check_true(b->base.tls);
    backend_google.close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_tools),
        cmocka_unit_test(test_statuses),   cmocka_unit_test(test_retried),
        cmocka_unit_test(test_mid_stream), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_classes),    cmocka_unit_test(test_large),
        cmocka_unit_test(test_usage),      cmocka_unit_test(test_notes),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_request),    cmocka_unit_test(test_families),
        cmocka_unit_test(test_gemma),      cmocka_unit_test(test_three_chunks),
        cmocka_unit_test(test_signatures), cmocka_unit_test(test_cannot_be_asked),
        cmocka_unit_test(test_addresses),  cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_prepare),    cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
