/* JSON: the faults a client is told about, the mending of surrogates, and what we write reads back.
 */
#include "check.h"

#include "base/json.h"
#include "base/span.h"

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *in, *reason;
        size_t offset;
    } rows[] = {
        {"{", "Expecting property name enclosed in double quotes", 1},
        {"{\"a\"}", "Expecting ':' delimiter", 4},
        {"{\"a\":}", "Expecting value", 5},
        {"{\"a\":1 \"b\"}", "Expecting ',' delimiter", 7},
        {"{\"a\":1,}", "Illegal trailing comma before end of object", 6},
        {"[1,]", "Illegal trailing comma before end of array", 2},
        {"{\"a\":NaN}", "Expecting value", 5},
        {"{\"a\":-Infinity}", "Expecting value", 5},
        {"{} x", "Extra data", 3},
        {"{\"\xC3\xA9\":\"b", "Unterminated string starting at", 5},
        {"\"a\tb\"", "Invalid control character at", 2},
        {"\"a\\qb\"", "Invalid \\escape", 2},
        {"\"a\\u12\"", "Invalid \\uXXXX escape", 3},
        {"01", "Extra data", 1},
        {"[1.]", "Expecting ',' delimiter", 2},
        {"", "Expecting value", 0},
        {"nul", "Expecting value", 0},
        {"{'a':1}", "Expecting property name enclosed in double quotes", 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_fault f;
        yyjson_doc *doc;
        check_int(json_read(&doc, str_of(rows[i].in), 64, JSON_PLAIN, &f), ERR_INVALID);
        check_true(!f.unreadable);
        check_str(str_of(f.reason), str_of(rows[i].reason));
        check_int(f.offset, rows[i].offset);
    }
}

static void test_unreadable(void **state)
{
    (void)state;
    struct json_fault f;
    yyjson_doc *doc;

    check_int(json_read(&doc, STR("{\"a\":\"\xff\"}"), 64, JSON_PLAIN, &f), ERR_INVALID);
    check_true(f.unreadable);
    check_int(json_read(&doc, STR("[[[1]]]"), 2, JSON_PLAIN, &f), ERR_INVALID);
    check_true(f.unreadable);
    check_int(json_read(&doc, STR("[[\"[[[\"]]"), 2, JSON_PLAIN, &f), ERR_NONE);
    yyjson_doc_free(doc);
}

static void test_surrogates(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"},
        {"\"a\\ud83d\"", "a\xEF\xBF\xBD"},
        {"\"\\ude00b\"", "\xEF\xBF\xBD"
                         "b"},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80"},
        {"\"\\\\ud83d\"", "\\ud83d"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yyjson_doc *doc;
        check_int(json_read(&doc, str_of(rows[i].in), 64, JSON_PLAIN, NULL), ERR_NONE);
        check_str(json_str(yyjson_doc_get_root(doc)), str_of(rows[i].out));
        yyjson_doc_free(doc);
    }
}

static void test_last_key_wins_and_bom(void **state)
{
    (void)state;
    yyjson_doc *doc;

    check_int(json_read(&doc, STR("\xEF\xBB\xBF{\"a\":1,\"a\":\"2\"}"), 64, JSON_PLAIN, NULL), 0);
    check_str(json_get_str(yyjson_doc_get_root(doc), "a"), STR("2"));
    check_int(json_get_int(yyjson_doc_get_root(doc), "a", -1), 2);
    yyjson_doc_free(doc);
}

static void test_raw_numbers(void **state)
{
    (void)state;
    yyjson_doc *doc;
    struct buf b;

    buf_init(&b, 1000);
    check_int(json_read(&doc, STR("[1234567890123456789,1.10,-0,1e5]"), 64, JSON_RAW_NUMBERS, NULL),
              0);
    struct json_out o = json_begin(&b);
    json_val(&o, yyjson_doc_get_root(doc));
    check_str(buf_str(&b), STR("[1234567890123456789,1.10,-0,1e5]"));
    yyjson_doc_free(doc);
    buf_fini(&b);
}

static void test_writing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    struct json_out o = json_begin(&b);
    o.js_escapes = true;

    json_object(&o);
    json_key(&o, "t"), json_text(&o, STR("a\"\\\n\x01\xE2\x80\xA8\xff\xC3\xA9"));
    json_key(&o, "n"), json_array(&o), json_int(&o, INT64_MIN), json_num(&o, 0.1), json_num(&o, 3);
    json_end_array(&o);
    json_key(&o, "z"), json_null(&o);
    json_key(&o, "e"), json_object(&o), json_end_object(&o);
    json_end_object(&o);
    check_str(buf_str(&b),
              STR("{\"t\":\"a\\\"\\\\\\n\\u0001\\u2028\xEF\xBF\xBD\xC3\xA9\",\"n\":[-9223372036"
                  "854775808,0.1,3.0],\"z\":null,\"e\":{}}"));
    buf_fini(&b);
}

/* JSON from elsewhere goes into an event or a line of NDJSON: it must not end it. */
static void test_raw_is_one_line(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    struct json_out o = json_begin(&b);
    str given = STR("{\r\n \"a\":\"\\n\xE2\x80\xA8\xE2\x80\xA9\xC2\x85\xE2\x82\xAC\"\n}");

    json_raw(&o, given);
    check_str(buf_str(&b), given);
    buf_clear(&b);
    o = json_begin(&b);
    o.js_escapes = true;
    json_raw(&o, given);
    check_str(buf_str(&b), STR("{   \"a\":\"\\n\\u2028\\u2029\\u0085\xE2\x82\xAC\" }"));
    buf_fini(&b);
}

static void test_paired(void **state)
{
    static const struct {
        const char *text;
        bool paired;
    } cases[] = {
        {"", true},
        {"\"plain \\u00e9 \\\\ud83d\"", true}, /* a backslash, then letters */
        {"\"\\ud83d\\ude00\"", true},
        {"\"\\uD83D\\uDE00 \\ud83d\\ude00\"", true},
        {"\"\\ud83d\"", false},
        {"\"\\ude00\"", false},
        {"\"\\ud83d\\u0041\"", false},
        {"\"\\ud83d\\ud83d\\ude00\"", false},
        {"\"\\ud83d\\ude0", false},
        {"\\", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (json_is_paired(str_of(cases[i].text)) != cases[i].paired) fail_msg("%s", cases[i].text);
}

/* ---- span.h ---- */

/* "key=value|" of each; elements have no key. */
static void check_spans(const char *json, const char *want)
{
    struct span_iter it;
    struct span s;
    struct buf b;

    buf_init(&b, 1000);
    if (!span_open(&it, str_of(json)))
        buf_add(&b, STR("neither"));
    else
        while (span_next(&it, &s)) buf_addf(&b, "%.*s=%.*s|", STR_ARG(s.key), STR_ARG(s.value));
    if (!str_eq(buf_str(&b), str_of(want)))
        print_error("%s\n got  %.*s\n want %s\n", json, STR_ARG(buf_str(&b)), want);
    check_true(str_eq(buf_str(&b), str_of(want)));
    buf_fini(&b);
}

static void test_spans(void **state)
{
    (void)state;
    check_spans("{}", "");
    check_spans(" [ ] ", "");
    check_spans("3", "neither");
    check_spans("", "neither");
    check_spans("\xEF\xBB\xBF {\"a\" : 1.10 ,\n\"b\":[ 1, {\"x\":\"]}\"} ]}",
                "a=1.10|b=[ 1, {\"x\":\"]}\"} ]|");
    check_spans("{\"a\\\"b\":\"\\\\\",\"\":null}", "a\\\"b=\"\\\\\"|=null|");
    check_spans("[1,\"a,b\",[],{},true,-0e1]", "=1|=\"a,b\"|=[]|={}|=true|=-0e1|");
    check_str(span_get(STR("{\"a\":1,\"b\":2,\"a\":3}"), STR("a")), STR("3"));
    check_true(span_get(STR("[1]"), STR("a")).at == NULL);
}

/* Whatever is cut off, no byte behind the end is looked at, and every walk ends. */
static void test_spans_cut(void **state)
{
    static const char whole[] = "{\"a\":{\"b\":[1,\"x\\\"\",{}]},\"c\\u0041\":\"\\\\\",\"d\" : tru";
    (void)state;
    for (size_t cut = 0; cut < sizeof whole; cut++) {
        char *alone = malloc(cut ? cut : 1); /* a sanitizer guards its end */
        struct span_iter it;
        struct span s;
        size_t seen = 0;
        memcpy(alone, whole, cut);
        if (span_open(&it, str_span(alone, cut)))
            while (span_next(&it, &s)) check_true(++seen < 10);
        free(alone);
    }
}

static void test_span_key(void **state)
{
    struct arena a;
    struct span_iter it;
    struct span s;

    (void)state;
    arena_init(&a, 0);
    check_true(span_open(&it, STR("{\"m\\u006fdel\":1}")) && span_next(&it, &s));
    check_str(span_key(s.key, &a), STR("model"));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),          cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_surrogates),      cmocka_unit_test(test_last_key_wins_and_bom),
        cmocka_unit_test(test_raw_numbers),     cmocka_unit_test(test_writing),
        cmocka_unit_test(test_raw_is_one_line), cmocka_unit_test(test_paired),
        cmocka_unit_test(test_spans),           cmocka_unit_test(test_spans_cut),
        cmocka_unit_test(test_span_key),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
