/* What a refusal means (providers.md sections 3 to 10), and that its note holds no key. */
#include "check.h"

#include "backend/fault.h"
#include "backend/learned.h"
#include "base/utf8.h"

static void test_classes(void **state)
{
    static const struct {
        int status; /* of the answer; 200: the body came with success */
        const char *body;
        enum err e;
        int want_status;
    } rows[] = {
        /* the status alone */
        {400, "", ERR_BAD_REQUEST, 400},
        {401, "", ERR_AUTH, 401},
        {402, "", ERR_QUOTA, 402},
        {403, "", ERR_AUTH, 403},
        {404, "", ERR_MODEL_NOT_FOUND, 404},
        {405, "", ERR_BAD_REQUEST, 405},
        {408, "", ERR_TIMEOUT, 408},
        {409, "", ERR_SERVER, 409},
        {410, "", ERR_MODEL_NOT_FOUND, 410},
        {413, "", ERR_BAD_REQUEST, 413},
        {415, "", ERR_BAD_REQUEST, 415},
        {418, "", ERR_BAD_REQUEST, 418},
        {422, "", ERR_BAD_REQUEST, 422},
        {424, "", ERR_SERVER, 424},
        {425, "", ERR_SERVER, 425},
        {429, "", ERR_RATE_LIMIT, 429},
        {500, "<html>", ERR_SERVER, 500},
        {501, "", ERR_SERVER, 501},
        {502, "", ERR_SERVER, 502},
        {503, "", ERR_OVERLOADED, 503},
        {504, "", ERR_SERVER, 504},
        {529, "", ERR_OVERLOADED, 529},
        {307, "", ERR_SERVER, 307},
        /* OpenAI */
        {400, "{\"error\":{\"message\":\"x\",\"code\":\"context_length_exceeded\"}}",
         ERR_CONTEXT_LENGTH, 400},
        {400, "{\"error\":{\"message\":\"x\",\"code\":\"content_policy_violation\"}}",
         ERR_CONTENT_FILTER, 400},
        {400, "{\"error\":{\"code\":\"model_not_supported\"}}", ERR_MODEL_NOT_FOUND, 400},
        {429, "{\"error\":{\"code\":\"insufficient_quota\"}}", ERR_QUOTA, 429},
        {429, "{\"error\":{\"type\":\"insufficient_quota\"}}", ERR_QUOTA, 429},
        {429, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", ERR_RATE_LIMIT, 429},
        /* words about tokens are no context length where a rate is meant */
        {429, "{\"error\":{\"message\":\"maximum context length\"}}", ERR_RATE_LIMIT, 429},
        {401, "{\"error\":{\"message\":\"context window\"}}", ERR_AUTH, 401},
        /* vLLM, SGLang, llama-server, TGI */
        {400,
         "{\"object\":\"error\",\"message\":\"This model's maximum context length is "
         "8\",\"type\":\"BadRequestError\",\"code\":400}",
         ERR_CONTEXT_LENGTH, 400},
        {400, "{\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\"}}",
         ERR_CONTEXT_LENGTH, 400},
        {422,
         "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
         "9\",\"error_type\":\"validation\"}",
         ERR_CONTEXT_LENGTH, 422},
        {503,
         "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
         ERR_OVERLOADED, 503},
        /* Anthropic */
        {400,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt "
         "is too long: 9 tokens > 8 maximum\"}}",
         ERR_CONTEXT_LENGTH, 400},
        {400,
         "{\"error\":{\"message\":\"input length and `max_tokens` exceed context limit: 199000 + "
         "20000 > 200000\"}}",
         ERR_CONTEXT_LENGTH, 400},
        {400, "{\"error\":{\"message\":\"Your credit balance is too low to access the API\"}}",
         ERR_QUOTA, 400},
        {429,
         "{\"error\":{\"type\":\"rate_limit_error\",\"details\":{\"error_code\":\"contract_spend_"
         "limit_reached\"}}}",
         ERR_QUOTA, 429},
        {529, "{\"error\":{\"type\":\"overloaded_error\"}}", ERR_OVERLOADED, 529},
        /* Google */
        {400,
         "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_"
         "KEY_INVALID\"}]}}",
         ERR_AUTH, 400},
        {429,
         "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"violations\":["
         "{\"quotaId\":\"RequestsPerDay\"}]}]}}",
         ERR_QUOTA, 429},
        {429, "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}]", ERR_RATE_LIMIT,
         429},
        {400,
         "{\"error\":{\"code\":400,\"message\":\"The input token count (9) exceeds the maximum "
         "number of tokens allowed (8).\"}}",
         ERR_CONTEXT_LENGTH, 400},
        /* HF and others */
        {429, "{\"detail\":\"rate limit of your subscription\"}", ERR_RATE_LIMIT, 429},
        {404, "{\"detail\":\"Not Found\"}", ERR_MODEL_NOT_FOUND, 404},
        {422, "{\"detail\":[{\"msg\":\"field required\"}]}", ERR_BAD_REQUEST, 422},
        {500, "not json", ERR_SERVER, 500},
        /* inside success: a status in the body, else the words */
        {200, "{\"error\":{\"message\":\"limit\",\"code\":429}}", ERR_RATE_LIMIT, 429},
        {200, "{\"error\":{\"message\":\"x\",\"code\":\"502\"}}", ERR_SERVER, 502},
        {200, "{\"error\":{\"status\":503}}", ERR_OVERLOADED, 503},
        {200, "{\"error\":{\"message\":\"x\",\"http_code\":\"401\"}}", ERR_AUTH, 401},
        {200, "{\"error\":{\"message\":\"x\",\"code\":7}}", ERR_SERVER, 0},
        {200, "{\"error\":\"boom\"}", ERR_SERVER, 0},
        {200,
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"
         "}",
         ERR_OVERLOADED, 0},
        {200, "{\"error\":{\"type\":\"server_error\"}}", ERR_SERVER, 0},
        {200, "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long\"}}",
         ERR_CONTEXT_LENGTH, 0},
        {200, "{\"error\":{\"type\":\"invalid_request_error\"}}", ERR_BAD_REQUEST, 0},
        {200, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", ERR_RATE_LIMIT, 0},
        {500, "{\"error\":{\"message\":\"x\",\"code\":429}}", ERR_RATE_LIMIT, 429},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yyjson_doc *doc = NULL;
        struct fault f;
        str body = str_of(rows[i].body);
        print_message("# %d row %zu\n", rows[i].status, i);
        if (json_read(&doc, body, 32, JSON_RAW_NUMBERS, NULL)) doc = NULL;
        fault_read(&f, rows[i].status, yyjson_doc_get_root(doc), body);
        check_int(f.e, rows[i].e);
        check_int(f.status, rows[i].want_status);
        yyjson_doc_free(doc);
    }
}

static void test_is_fault(void **state)
{
    static const struct {
        const char *json;
        bool is;
    } rows[] = {
        {"{\"error\":{\"message\":\"x\"}}", true},
        {"{\"error\":\"x\"}", true},
        {"[{\"error\":{\"code\":1}}]", true},
        {"{\"object\":\"error\",\"message\":\"x\"}", true},
        {"{\"type\":\"error\",\"error\":{}}", true},
        {"{\"base_resp\":{\"status_code\":1004}}", true},
        {"{\"base_resp\":{\"status_code\":0},\"choices\":[]}", false},
        {"{\"error\":null,\"choices\":[]}", false},
        {"{\"error\":\"\",\"choices\":[]}", false},
        {"{\"error\":{},\"choices\":[]}", false},
        {"{\"error\":false}", false},
        {"{\"choices\":[]}", false},
        {"{\"object\":\"chat.completion\"}", false},
        {"[]", false},
        {"3", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yyjson_doc *doc;
        print_message("# %s\n", rows[i].json);
        check_int(json_read(&doc, str_of(rows[i].json), 8, JSON_RAW_NUMBERS, NULL), ERR_NONE);
        check_int(fault_is(yyjson_doc_get_root(doc)), rows[i].is);
        yyjson_doc_free(doc);
    }
}

static void test_hints(void **state)
{
    const uint64_t now_us = UINT64_C(1795000000) * 1000000; /* Wed, 18 Nov 2026 11:06:40 GMT */
    static const struct {
        const char *name, *value;
        int retry_after_ms, should_retry;
    } rows[] = {
        {"Retry-After", "3", 3000, -1},
        {"retry-after", "0.5", 500, -1},
        {"Retry-After", " 7 ", 7000, -1},
        {"Retry-After", "14400", 14400000, -1},
        {"Retry-After", "1e99", INT32_MAX, -1},
        {"Retry-After", "-5", 0, -1},
        {"Retry-After", "nan", -1, -1},
        {"Retry-After", "soon", -1, -1},
        {"Retry-After", "", -1, -1},
        {"Retry-After", "Wed, 18 Nov 2026 11:06:45 GMT", 5000, -1},
        {"Retry-After", "Wed, 18 Nov 2026 11:06:35 GMT", 0, -1},
        {"Retry-After", "Wed, 18 Nov 2026", -1, -1},
        {"Retry-After-Ms", "250", 250, -1},
        {"X-Should-Retry", "true", -1, 1},
        {"x-should-retry", "FALSE", -1, 0},
        {"x-should-retry", "maybe", -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct header h = {str_of(rows[i].name), str_of(rows[i].value)};
        struct headers all = {&h, 1};
        struct fault_hints hints;
        print_message("# %s: %s\n", rows[i].name, rows[i].value);
        fault_hints_read(&hints, &all, now_us);
        check_int(hints.retry_after_ms, rows[i].retry_after_ms);
        check_int(hints.should_retry, rows[i].should_retry);
    }
    struct header both[] = {{STR("retry-after"), STR("9")},
                            {STR("retry-after-ms"), STR("20")},
                            {STR("x-request-id"), STR("req_1")}};
    struct fault_hints hints;
    fault_hints_read(&hints, &(struct headers){both, 3}, now_us);
    check_int(hints.retry_after_ms, 20);
    check_str(str_of(hints.request_id), STR("req_1"));
}

static void test_retry_info(void **state)
{
    str body = STR("{\"error\":{\"code\":429,\"details\":[{\"@type\":\"x.RetryInfo\","
                   "\"retryDelay\":\"37.5s\"}]}}");
    yyjson_doc *doc;
    struct fault f;

    (void)state;
    check_int(json_read(&doc, body, 16, JSON_RAW_NUMBERS, NULL), ERR_NONE);
    fault_read(&f, 429, yyjson_doc_get_root(doc), body);
    check_int(f.retry_after_ms, 37500);
    yyjson_doc_free(doc);
}

static void test_mask(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain text, no key", "plain text, no key"},
        {"Incorrect API key provided: sk-proj-abc_DEF-123.", "Incorrect API key provided: ***"},
        {"key my-own-secret!", "key ***!"},
        {"xmy-own-secretx", "x***x"},
        {"my-own-secretmy-own-secret", "******"},
        {"at https://h/x?key=AbC123&a=b", "at https://h/x?key=***&a=b"},
        {"hf_abcdefgh and AIzaSyAbcdefg", "*** and ***"},
        {"sk-1 is short", "sk-1 is short"},
        {"two\r\nlines\ttab", "two  lines tab"},
        {"h\xC3\xA9", "h\xC3\xA9"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 1000);
        fault_mask(&b, str_of(rows[i].text), STR("my-own-secret"));
        check_str(buf_str(&b), str_of(rows[i].want));
        buf_fini(&b);
    }
    struct err_note why = {0};
    struct fault f = {.e = ERR_AUTH,
                      .status = 401,
                      .code = STR("invalid_api_key"),
                      .message = STR("no: my-own-secret")};
    fault_note(&why, &f, "h:1", STR("my-own-secret"));
    check_str(str_of(why.text), STR("h:1: 401 invalid_api_key: no: ***"));
    check_int(why.http_status, 401);

    /* Where the words are cut, neither a part of the key nor half a character is left. */
    for (size_t before = 380; before <= 400; before++) {
        char words[600];
        memset(words, 'a', before - 1);
        memcpy(words + before - 1,
               " my-own-secret \xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 28);
        f.message = str_head((str){words, sizeof words}, before + 26);
        fault_note(&why, &f, "h:1", STR("my-own-secret"));
        check_true(strstr(why.text, "my-") == NULL);
        check_true(utf8_valid(str_of(why.text)));
    }
}

static void test_learned(void **state)
{
    struct learned *l = learned_new();
    char name[16];

    (void)state;
    check_int(learned_get(l, STR("a")), 0);
    check_true(learned_add(l, STR("a"), 1));
    check_true(!learned_add(l, STR("a"), 1));
    check_true(learned_add(l, STR("a"), 3));
    check_int(learned_get(l, STR("a")), 3);
    check_int(learned_get(l, STR("b")), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "m%d", i);
        learned_add(l, str_of(name), 4);
    }
    check_int(learned_get(l, STR("m0")), 4);
    check_int(learned_get(l, STR("m999")), 0); /* the table is bounded */
    learned_free(l);
    learned_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes), cmocka_unit_test(test_is_fault),
        cmocka_unit_test(test_hints),   cmocka_unit_test(test_retry_info),
        cmocka_unit_test(test_mask),    cmocka_unit_test(test_learned),
    };
    return cmocka_run_group_tests_name("backend/fault", tests, NULL, NULL);
}
