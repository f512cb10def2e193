/* The words of http-api.md section 4, exactly: each case is what came, and the whole list that
 * answers it. */
#include "check.h"

#include <math.h>

#include "api/coerce.h"
#include "api/validate.h"
#include "base/utf8.h"

/* The list of complaints about a body, "" when it is fine, "400" when unreadable. */
static const char *judge(str type, str body, struct chat_request *out, struct arena *a)
{
    static char text[64 * 1024];
    struct complaints list;
    yyjson_doc *doc = NULL;

    complaints_init(&list);
    chat_request_init(out);
    enum body_fault fault = validate_body(&doc, type, body, &list);
    enum err e = ERR_NONE;
    if (fault == BODY_FINE)
        e = validate_object(chat_fields, chat_fields_count, IN_BODY, yyjson_doc_get_root(doc), out,
                            a, &list);
    json_end_array(&list.out);
    if (fault == BODY_UNREADABLE)
        snprintf(text, sizeof text, "400");
    else if (fault == BODY_FINE && e == ERR_NONE)
        text[0] = '\0';
    else
        snprintf(text, sizeof text, "%.*s", STR_ARG(buf_str(&list.json)));
    /* What was taken must outlive the document here. */
    out->message = arena_str(a, out->message);
    out->session_id = arena_str(a, out->session_id);
    yyjson_doc_free(doc);
    complaints_fini(&list);
    return text;
}

static void expect(const char *body, const char *want)
{
    struct chat_request r;
    struct arena a;

    arena_init(&a, 0);
    const char *got = judge(STR_NONE, str_of(body), &r, &a);
    if (strcmp(got, want) != 0) {
        print_error("body %s\n got  %s\n want %s\n", body, got, want);
        fail();
    }
    arena_fini(&a);
}

/* One field, with the two required ones beside it. */
static void expect_field(const char *field, const char *want)
{
    char body[8 * 1024];

    snprintf(body, sizeof body, "{\"message\":\"m\",\"session_id\":\"s\",%s}", field);
    expect(body, want);
}

static void test_required(void **state)
{
    (void)state;
    expect("{\"message\":\"m\",\"session_id\":\"s\"}", "");
    expect("{}", "[{\"type\":\"missing\",\"loc\":[\"body\",\"message\"],\"msg\":\"Field required\","
                 "\"input\":{}},{\"type\":\"missing\",\"loc\":[\"body\",\"session_id\"],"
                 "\"msg\":\"Field required\",\"input\":{}}]");
    expect("{\"message\":\"m\",\"x\":[1,2.0,\"y\"]}",
           "[{\"type\":\"missing\",\"loc\":[\"body\",\"session_id\"],\"msg\":\"Field required\","
           "\"input\":{\"message\":\"m\",\"x\":[1,2.0,\"y\"]}}]");
    expect("{\"message\":null,\"session_id\":5}",
           "[{\"type\":\"string_type\",\"loc\":[\"body\",\"message\"],"
           "\"msg\":\"Input should be a valid string\",\"input\":null},"
           "{\"type\":\"string_type\",\"loc\":[\"body\",\"session_id\"],"
           "\"msg\":\"Input should be a valid string\",\"input\":5}]");
    expect("{\"message\":true,\"session_id\":\"s\"}",
           "[{\"type\":\"string_type\",\"loc\":[\"body\",\"message\"],"
           "\"msg\":\"Input should be a valid string\",\"input\":true}]");
    /* In the order of the fields, not of the body. */
    expect(
        "{\"temperature\":2,\"session_id\":\"\",\"message\":\"\"}",
        "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"message\"],"
        "\"msg\":\"String should have at least 1 character\",\"input\":\"\","
        "\"ctx\":{\"min_length\":1}},"
        "{\"type\":\"string_too_short\",\"loc\":[\"body\",\"session_id\"],"
        "\"msg\":\"String should have at least 1 character\",\"input\":\"\","
        "\"ctx\":{\"min_length\":1}},"
        "{\"type\":\"less_than_equal\",\"loc\":[\"body\",\"temperature\"],"
        "\"msg\":\"Input should be less than or equal to 1\",\"input\":2,\"ctx\":{\"le\":1.0}}]");
    /* Of repeated keys the last counts. */
    expect("{\"message\":\"\",\"session_id\":\"s\",\"message\":\"m\"}", "");
    expect("{\"message\":\"m\",\"session_id\":\"s\",\"unknown\":{}}", "");
}

static void test_bodies(void **state)
{
    (void)state;
    expect("",
           "[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":null}]");
    expect("null",
           "[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":null}]");
#define NOT_AN_OBJECT(input)                                                                       \
    "[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid "   \
    "dictionary or object to extract fields from\",\"input\":" input "}]"
    expect("[1,\"a\"]", NOT_AN_OBJECT("[1,\"a\"]"));
    expect("\"text\"", NOT_AN_OBJECT("\"text\""));
    expect("5", NOT_AN_OBJECT("5"));
    expect("true", NOT_AN_OBJECT("true"));
#define INVALID(offset, reason)                                                                    \
    "[{\"type\":\"json_invalid\",\"loc\":[\"body\"," #offset "],\"msg\":\"JSON decode error\","    \
    "\"input\":{},\"ctx\":{\"error\":\"" reason "\"}}]"
    expect("{\"message\":", INVALID(11, "Expecting value"));
    expect("{message", INVALID(1, "Expecting property name enclosed in double quotes"));
    expect("{\"a\" 1}", INVALID(5, "Expecting ':' delimiter"));
    expect("{\"a\":1 \"b\"}", INVALID(7, "Expecting ',' delimiter"));
    expect("{} x", INVALID(3, "Extra data"));
    expect("{\"a\":\"x", INVALID(5, "Unterminated string starting at"));
    expect("{\"a\":\"\\x\"}", INVALID(6, "Invalid \\\\escape"));
    expect("{\"a\":NaN}", INVALID(5, "Expecting value"));
    expect("{\"a\":Infinity}", INVALID(5, "Expecting value"));
    expect("{\"\xC3\xA4\":}", INVALID(5, "Expecting value")); /* code points, not bytes */
    expect("{\"a\":1,}", INVALID(6, "Illegal trailing comma before end of object"));
    expect("   ", INVALID(3, "Expecting value"));
    expect("{\"message\":\"\xFF\",\"session_id\":\"s\"}", "400");
    expect("\xEF\xBB\xBF{\"message\":\"m\",\"session_id\":\"s\"}", "");

    char deep[200] = "";
    for (int i = 0; i < 65; i++) strcat(deep, "[");
    expect(deep, "400");
}

static void test_content_types(void **state)
{
    (void)state;
    const char *body = "{\"message\":\"m\",\"session_id\":\"s\"}";
    const struct {
        const char *type;
        bool json;
    } cases[] = {
        {NULL, true},
        {"application/json", true},
        {"application/json; charset=latin-1", true},
        {"Application/JSON ;x=y", true},
        {"application/vnd.api+json", true},
        {"application/merge-patch+JSON", true},
        {"text/plain", false},
        {"text/json", false},
        {"application/jsonp", false},
        {"application/x-www-form-urlencoded", false},
        {"image/svg+json", false},
        {"", false},
    };
    struct chat_request r;
    struct arena a;

    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = judge(str_of(cases[i].type), str_of(body), &r, &a);
        const char *want =
            cases[i].json
                ? ""
                : NOT_AN_OBJECT("\"{\\\"message\\\":\\\"m\\\",\\\"session_id\\\":\\\"s\\\"}\"");
        if (strcmp(got, want) != 0) fail_msg("type \"%s\": %s", cases[i].type, got);
    }
    /* An empty body is missing whatever its type; what is no UTF-8 is shown repaired. */
    check_str(str_of(judge(STR("text/plain"), STR(""), &r, &a)),
              STR("[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\","
                  "\"input\":null}]"));
    check_str(str_of(judge(STR("text/plain"), STR("\xFFz"), &r, &a)),
              str_of(NOT_AN_OBJECT("\"\xEF\xBF\xBDz\"")));
    arena_fini(&a);
}

static void test_strings(void **state)
{
    (void)state;
    char body[40 * 1024], *at;
    struct chat_request r;
    struct arena a;

    arena_init(&a, 0);
    /* 4000 characters of four bytes each are fine; 4001 are not, and 200 of them are shown. */
    at = body + sprintf(body, "{\"session_id\":\"s\",\"message\":\"");
    for (int i = 0; i < 4000; i++) at += sprintf(at, "\xF0\x9F\x98\x80");
    strcpy(at, "\"}");
    check_str(str_of(judge(STR_NONE, str_of(body), &r, &a)), STR(""));
    check_int(utf8_count(r.message), 4000);
    strcpy(at, "\xF0\x9F\x98\x80\"}");
    const char *got = judge(STR_NONE, str_of(body), &r, &a);
    const char *begin = "[{\"type\":\"string_too_long\",\"loc\":[\"body\",\"message\"],\"msg\":"
                        "\"String should have at "
                        "most 4000 characters\",\"input\":\"";
    check_true(strncmp(got, begin, strlen(begin)) == 0);
    check_int(utf8_count(str_of(got)),
              strlen(begin) + 200 + strlen("\",\"ctx\":{\"max_length\":4000}}]"));
    arena_fini(&a);

    expect_field("\"system_prompt\":\"\"", "");
    expect_field("\"system_prompt\":null", "");
    expect_field("\"system_prompt\":[]",
                 "[{\"type\":\"string_type\",\"loc\":[\"body\",\"system_prompt\"],"
                 "\"msg\":\"Input should be a valid string\",\"input\":[]}]");
    expect("{\"message\":\"\\ud83d\",\"session_id\":\"\\u0000\"}", "");
}

/* What is echoed has its strings cut, wherever they stand, and is bounded as a whole. */
static void test_echo_is_cut(void **state)
{
    (void)state;
    struct buf body;
    struct chat_request r;
    struct arena a;

    arena_init(&a, 0);
    buf_init(&body, 4 << 20);
    buf_add(&body, STR("{\"session_id\":\"s\",\"x\":[\""));
    for (int i = 0; i < 1000; i++) buf_add(&body, STR("y"));
    buf_add(&body, STR("\"]}"));
    const char *got = judge(STR_NONE, buf_str(&body), &r, &a);
    check_true(strlen(got) < 400);
    check_true(strstr(got, "\"message\"],\"msg\":\"Field required\"") != NULL);

    buf_clear(&body);
    buf_add(&body, STR("{\"session_id\":\"s\",\"x\":["));
    for (int i = 0; i < 300000; i++) buf_add(&body, STR("11111,"));
    buf_add(&body, STR("1]}"));
    check_true(strlen(judge(STR_NONE, buf_str(&body), &r, &a)) < 20000);
    buf_fini(&body);
    arena_fini(&a);
}

#define BAD(type, name, msg, input)                                                                \
    "[{\"type\":\"" type "\",\"loc\":[\"body\",\"" name "\"],\"msg\":\"" msg "\",\"input\":" input \
    "}]"
#define BAD_CTX(type, name, msg, input, ctx)                                                       \
    "[{\"type\":\"" type "\",\"loc\":[\"body\",\"" name "\"],\"msg\":\"" msg "\",\"input\":" input \
    ",\"ctx\":" ctx "}]"
#define FLOAT_PARSING(input)                                                                       \
    BAD("float_parsing", "temperature",                                                            \
        "Input should be a valid number, unable to parse string as a number", input)
#define INT_PARSING(input)                                                                         \
    BAD("int_parsing", "max_tokens",                                                               \
        "Input should be a valid integer, unable to parse string as an integer", input)
#define LE_INT(input)                                                                              \
    BAD_CTX("less_than_equal", "max_tokens", "Input should be less than or equal to 2048", input,  \
            "{\"le\":2048}")
#define GE_INT(input)                                                                              \
    BAD_CTX("greater_than_equal", "max_tokens", "Input should be greater than or equal to 1",      \
            input, "{\"ge\":1}")

static void test_floats(void **state)
{
    (void)state;
    const char *const fine[] = {"0",     "1",         "0.0",     "1.0",     "0.5",     "null",
                                "true",  "false",     "\"0.5\"", "\" 1 \"", "\"+.5\"", "\"1e-3\"",
                                "\"0\"", "\"0.5_0\"", "\"1.\"",  "1e0",     "-0.0"};
    char field[64];

    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        snprintf(field, sizeof field, "\"temperature\":%s", fine[i]);
        expect_field(field, "");
    }
    expect_field("\"temperature\":1.5",
                 BAD_CTX("less_than_equal", "temperature",
                         "Input should be less than or equal to 1", "1.5", "{\"le\":1.0}"));
    expect_field("\"temperature\":-1",
                 BAD_CTX("greater_than_equal", "temperature",
                         "Input should be greater than or equal to 0", "-1", "{\"ge\":0.0}"));
    expect_field("\"temperature\":\"inf\"",
                 BAD_CTX("less_than_equal", "temperature",
                         "Input should be less than or equal to 1", "\"inf\"", "{\"le\":1.0}"));
    expect_field("\"temperature\":1e400",
                 BAD_CTX("less_than_equal", "temperature",
                         "Input should be less than or equal to 1", "1e400", "{\"le\":1.0}"));
    expect_field("\"temperature\":\"nan\"", FLOAT_PARSING("\"nan\""));
    expect_field("\"temperature\":\"\"", FLOAT_PARSING("\"\""));
    expect_field("\"temperature\":\"warm\"", FLOAT_PARSING("\"warm\""));
    expect_field("\"temperature\":\"0x1\"", FLOAT_PARSING("\"0x1\""));
    expect_field("\"temperature\":\"1 2\"", FLOAT_PARSING("\"1 2\""));
    expect_field("\"temperature\":\".\"", FLOAT_PARSING("\".\""));
    expect_field("\"temperature\":\"1e\"", FLOAT_PARSING("\"1e\""));
    expect_field("\"temperature\":\"_1\"", FLOAT_PARSING("\"_1\""));
    expect_field("\"temperature\":[]",
                 BAD("float_type", "temperature", "Input should be a valid number", "[]"));
    expect_field("\"temperature\":{\"a\":1}",
                 BAD("float_type", "temperature", "Input should be a valid number", "{\"a\":1}"));
}

static void test_ints(void **state)
{
    (void)state;
    const char *const fine[] = {"1",         "2048",    "100.0",  "1e2",     "\"100\"",
                                "\"100.0\"", "\" 7 \"", "\"+7\"", "\"1_0\"", "\"1_0_0\"",
                                "\"007\"",   "true",    "null",   "\"7.\""};
    char field[64];

    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        snprintf(field, sizeof field, "\"max_tokens\":%s", fine[i]);
        expect_field(field, "");
    }
    expect_field("\"max_tokens\":0", GE_INT("0"));
    expect_field("\"max_tokens\":false", GE_INT("false"));
    expect_field("\"max_tokens\":-5", GE_INT("-5"));
    expect_field("\"max_tokens\":2049", LE_INT("2049"));
    expect_field("\"max_tokens\":1e30", LE_INT("1e+30"));
    expect_field("\"max_tokens\":18446744073709551615", LE_INT("18446744073709551615"));
    expect_field("\"max_tokens\":184467440737095516150", LE_INT("184467440737095516150"));
    expect_field("\"max_tokens\":-184467440737095516150", GE_INT("-184467440737095516150"));
    expect_field("\"max_tokens\":\"99999999999999999999\"", LE_INT("\"99999999999999999999\""));
    expect_field("\"max_tokens\":100.5",
                 BAD("int_from_float", "max_tokens",
                     "Input should be a valid integer, got a number with a fractional part",
                     "100.5"));
    expect_field("\"max_tokens\":\"100.5\"", INT_PARSING("\"100.5\""));
    expect_field("\"max_tokens\":\"\"", INT_PARSING("\"\""));
    expect_field("\"max_tokens\":\"abc\"", INT_PARSING("\"abc\""));
    expect_field("\"max_tokens\":\"1__0\"", INT_PARSING("\"1__0\""));
    expect_field("\"max_tokens\":\"_1\"", INT_PARSING("\"_1\""));
    expect_field("\"max_tokens\":\"1_\"", INT_PARSING("\"1_\""));
    expect_field("\"max_tokens\":\"+\"", INT_PARSING("\"+\""));
    expect_field("\"max_tokens\":\"1e3\"", INT_PARSING("\"1e3\""));
    expect_field("\"max_tokens\":[]",
                 BAD("int_type", "max_tokens", "Input should be a valid integer", "[]"));
    expect_field("\"max_tokens\":{}",
                 BAD("int_type", "max_tokens", "Input should be a valid integer", "{}"));
}

static void test_bools(void **state)
{
    (void)state;
    const char *const fine[] = {"true",    "false",  "0",      "1",       "1.0",     "null",
                                "\"yes\"", "\"NO\"", "\"On\"", "\"off\"", "\"T\"",   "\"f\"",
                                "\"1\"",   "\"0\"",  "\"y\"",  "\"n\"",   "\"TRUE\""};
    char field[64];

    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        snprintf(field, sizeof field, "\"stream\":%s", fine[i]);
        expect_field(field, "");
    }
#define BOOL_PARSING(input)                                                                        \
    BAD("bool_parsing", "stream", "Input should be a valid boolean, unable to interpret input",    \
        input)
    expect_field("\"stream\":2", BOOL_PARSING("2"));
    expect_field("\"stream\":-1", BOOL_PARSING("-1"));
    expect_field("\"stream\":\"maybe\"", BOOL_PARSING("\"maybe\""));
    expect_field("\"stream\":\"\"", BOOL_PARSING("\"\""));
    expect_field("\"stream\":{}",
                 BAD("bool_type", "stream", "Input should be a valid boolean", "{}"));
    expect_field("\"reasoning\":[1]",
                 BAD("bool_type", "reasoning", "Input should be a valid boolean", "[1]"));
}

static void test_choices(void **state)
{
    (void)state;
#define CHOICES "'default', 'chat', 'code' or 'creative'"
    expect_field("\"prompt_type\":\"code\"", "");
    expect_field("\"prompt_type\":null", "");
    expect_field("\"prompt_type\":\"Code\"",
                 BAD_CTX("literal_error", "prompt_type", "Input should be " CHOICES, "\"Code\"",
                         "{\"expected\":\"" CHOICES "\"}"));
    expect_field("\"prompt_type\":7",
                 BAD_CTX("literal_error", "prompt_type", "Input should be " CHOICES, "7",
                         "{\"expected\":\"" CHOICES "\"}"));
}

static void test_images(void **state)
{
    (void)state;
    expect_field("\"images\":[]", "");
    expect_field("\"images\":null", "");
    expect_field("\"images\":[\"data:image/png;base64,AAAA\",\"https://a.example/x.png\"]", "");
    expect_field("\"images\":\"x\"",
                 BAD("list_type", "images", "Input should be a valid list", "\"x\""));
    expect_field("\"images\":[1,1,1,1,1,1,1,1,1]",
                 BAD_CTX("too_long", "images",
                         "List should have at most 8 items after validation, not 9",
                         "[1,1,1,1,1,1,1,1,1]",
                         "{\"field_type\":\"List\",\"max_length\":8,\"actual_length\":9}"));
    expect_field("\"images\":[\"https://a.example/x\",7]",
                 "[{\"type\":\"string_type\",\"loc\":[\"body\",\"images\",1],"
                 "\"msg\":\"Input should be a valid string\",\"input\":7}]");
    expect_field(
        "\"images\":[\"http://a.example/x\"]",
        "[{\"type\":\"value_error\",\"loc\":[\"body\",\"images\",0],\"msg\":\"An image should be "
        "data:image/png;base64,... (png, jpeg, webp or gif) or an https address\","
        "\"input\":\"http://a.example/x\"}]");
}

/* What comes out, not only that it passes. */
static void test_values(void **state)
{
    (void)state;
    struct chat_request r;
    struct arena a;

    arena_init(&a, 0);
    check_str(str_of(judge(STR_NONE, STR("{\"message\":\"m\",\"session_id\":\"s\"}"), &r, &a)),
              STR(""));
    check_true(isnan(r.temperature));
    check_int(r.max_tokens, -1);
    check_true(!r.stream && !r.reasoning);
    check_int(r.images.count, 0);
    judge(STR_NONE,
          STR("{\"message\":\"m\",\"session_id\":\"s\",\"temperature\":0,\"max_tokens\":\"1_0\","
              "\"stream\":\"on\",\"reasoning\":1,\"images\":[\"https://a.example/x\"]}"),
          &r, &a);
    check_true(r.temperature == 0);
    check_int(r.max_tokens, 10);
    check_true(r.stream && r.reasoning);
    check_int(r.images.count, 1);
    judge(STR_NONE, STR("{\"message\":\"m\",\"session_id\":\"s\",\"temperature\":\"0.25\"}"), &r,
          &a);
    check_true(r.temperature == 0.25);
    arena_fini(&a);
}

static void expect_query(const char *text, const char *want)
{
    struct complaints list;
    struct chat_request r;
    struct query q;
    struct arena a;

    arena_init(&a, 0);
    complaints_init(&list);
    chat_request_init(&r);
    check_int(query_parse(&q, str_of(text), &a), ERR_NONE);
    enum err e = validate_query(chat_fields, chat_fields_count, &q, &r, &a, &list);
    json_end_array(&list.out);
    str got = e ? buf_str(&list.json) : STR("");
    if (!str_eq(got, str_of(want))) {
        print_error("query %s\n got  %.*s\n want %s\n", text, STR_ARG(got), want);
        fail();
    }
    complaints_fini(&list);
    arena_fini(&a);
}

static void test_queries(void **state)
{
    (void)state;
    expect_query("message=hello+there&session_id=s", "");
    expect_query(
        "message=m&session_id=s&temperature=0.5&max_tokens=%2B7&reasoning=yes&prompt_type=chat"
        "&resume_window=30&unknown=1",
        "");
    expect_query(
        "", "[{\"type\":\"missing\",\"loc\":[\"query\",\"message\"],\"msg\":\"Field required\","
            "\"input\":null},{\"type\":\"missing\",\"loc\":[\"query\",\"session_id\"],"
            "\"msg\":\"Field required\",\"input\":null}]");
    expect_query(
        "message=&session_id=s",
        "[{\"type\":\"string_too_short\",\"loc\":[\"query\",\"message\"],\"msg\":\"String should "
        "have at least 1 character\",\"input\":\"\",\"ctx\":{\"min_length\":1}}]");
    expect_query(
        "message=m&session_id=s&temperature=",
        "[{\"type\":\"float_parsing\",\"loc\":[\"query\",\"temperature\"],\"msg\":\"Input should "
        "be a valid number, unable to parse string as a number\",\"input\":\"\"}]");
    expect_query(
        "message=m&session_id=s&max_tokens=0",
        "[{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"max_tokens\"],\"msg\":\"Input "
        "should be greater than or equal to 1\",\"input\":\"0\",\"ctx\":{\"ge\":1}}]");
    expect_query(
        "message=m&session_id=s&max_tokens=5&max_tokens=100.5",
        "[{\"type\":\"int_parsing\",\"loc\":[\"query\",\"max_tokens\"],\"msg\":\"Input should be "
        "a valid integer, unable to parse string as an integer\",\"input\":\"100.5\"}]");
    /* No field of the body's alone. */
    expect_query("message=m&session_id=s&stream=maybe&images=x", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_required),      cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_content_types), cmocka_unit_test(test_strings),
        cmocka_unit_test(test_echo_is_cut),   cmocka_unit_test(test_floats),
        cmocka_unit_test(test_ints),          cmocka_unit_test(test_bools),
        cmocka_unit_test(test_choices),       cmocka_unit_test(test_images),
        cmocka_unit_test(test_values),        cmocka_unit_test(test_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
