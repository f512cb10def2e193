/* JSON: the faults a client is told about, the mending of surrogates, and what we write reads back.
 */
#include "check.h"

#include "base/json.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),      cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_surrogates),  cmocka_unit_test(test_last_key_wins_and_bom),
        cmocka_unit_test(test_raw_numbers), cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
