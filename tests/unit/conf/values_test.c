#include "check.h"

#include <math.h>

#include "conf/values.h"

static void test_int(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } rows[] = {
        {"10", true, 10},
        {" 7 ", true, 7},
        {"+7", true, 7},
        {"-3", true, -3},
        {"1_000", true, 1000},
        {"10.0", true, 10},
        {"10.00", true, 10},
        {"007", true, 7},
        {"10.5", false, 0},
        {"10.", false, 0},
        {"", false, 0},
        {" ", false, 0},
        {"abc", false, 0},
        {"1__0", false, 0},
        {"_1", false, 0},
        {"1_", false, 0},
        {"1 0", false, 0},
        {"0x10", false, 0},
        {"--1", false, 0},
        {"1e3", false, 0},
        {"99999999999999999999999", true, INT64_MAX},
        {"9223372036854775807", true, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t n = -77;
        if (values_int(str_of(rows[i].text), &n) != rows[i].good ||
            (rows[i].good && n != rows[i].want)) {
            print_error("input \"%s\" gave %lld\n", rows[i].text, (long long)n);
            fail();
        }
    }
}

static void test_float(void **state)
{
    static const struct {
        const char *text;
        bool good;
        double want;
    } rows[] = {
        {"0.5", true, 0.5},  {" 1 ", true, 1},     {".5", true, 0.5},         {"5.", true, 5},
        {"1e-1", true, .1},  {"-2E2", true, -200}, {"1e999", true, HUGE_VAL}, {"nan", false, 0},
        {"inf", false, 0},   {"", false, 0},       {".", false, 0},           {"1e", false, 0},
        {"0x1p3", false, 0}, {"1,5", false, 0},    {"infinity", false, 0},    {"1 2", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double n = -77;
        if (values_float(str_of(rows[i].text), &n) != rows[i].good ||
            (rows[i].good && n != rows[i].want)) {
            print_error("input \"%s\" gave %g\n", rows[i].text, n);
            fail();
        }
    }
}

static void test_bool(void **state)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "t", "y", "TRUE", "Yes", " on "};
    static const char *const no[] = {"false", "0", "no", "off", "f", "n", "OFF", "False"};
    static const char *const bad[] = {"", "2", "maybe", "tru", "yess", "null"};
    bool b;

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        check_true(values_bool(str_of(yes[i]), &b) && b);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        check_true(values_bool(str_of(no[i]), &b) && !b);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_true(!values_bool(str_of(bad[i]), &b));
}

static void test_list(void **state)
{
    static const struct {
        const char *text, *want; /* items between '|'; NULL: refused */
    } rows[] = {
        {"[\"https://a.example\"]", "https://a.example|"},
        {"[\"a\", \"b\"]", "a|b|"},
        {"a,b , c", "a|b|c|"},
        {"*", "*|"},
        {"[\"*\"]", "*|"},
        {"[]", ""},
        {"a,,b,", "a|b|"},
        {"[::1],a", "[::1]|a|"},
        {"[1]", NULL},
        {"[\"a\"", NULL},
        {"[\"a\"] x", NULL},
        {"[[\"a\"]]", NULL},
        {"[\"a\\u0000b\"]", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a;
        struct conf_list list = {0};
        char seen[200] = "";
        arena_init(&a, 0);
        enum err e = values_list(&list, str_of(rows[i].text), &a);
        check_int(e, rows[i].want ? ERR_NONE : ERR_INVALID);
        for (size_t k = 0; k < list.count; k++) {
            strncat(seen, list.at[k], 50);
            strncat(seen, "|", 2);
        }
        if (rows[i].want) check_str(str_of(seen), str_of(rows[i].want));
        arena_fini(&a);
    }
}

static void test_address(void **state)
{
    static const struct {
        const char *text, *host, *port, *rest, *user;
    } good[] = {
        {"http://h", "h", "", "", NULL},
        {"https://h.example:8080/v1/", "h.example", "8080", "/v1/", NULL},
        {"HTTP://[::1]:1/x?y#z", "::1", "1", "/x?y#z", NULL},
        {"redis://:p@h/0", "h", "", "/0", ":p"},
        {"http://u:p@h", "h", "", "", "u:p"},
        {"http://u:p@q@h?x", "h", "", "?x", "u:p@q"},
    };
    static const char *const bad[] = {"not-a-url",  "h:80",       "http://",        "http:///x",
                                      "://h",       "http://h:x", "http://h:70000", "http://h:0",
                                      "http://[x]", "http://h h", "http://h\n",     "http://:80",
                                      "http:/h",    "1http://h",  "http://[::1]x",  "",
                                      "http://a,b"};
    struct address a;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        check_true(values_address(&a, str_of(good[i].text)));
        check_str(a.host, str_of(good[i].host));
        check_str(a.port, str_of(good[i].port));
        check_str(a.rest, str_of(good[i].rest));
        check_str(a.user, str_of(good[i].user));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!values_address(&a, str_of(bad[i]))) continue;
        print_error("accepted: \"%s\"\n", bad[i]);
        fail();
    }
}

static void test_mask(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"http://u:secret@h:1/x", "http://u:***@h:1/x"},
        {"redis://:secret@h/0", "redis://:***@h/0"},
        {"http://secret@h", "http://***@h"},
        {"http://h/a@b:c", "http://h/a@b:c"},
        {"u:secret@h", "u:***@h"},
        {"http://u:sec/ret@h", "http://u:***@h"},
        {"plain", "plain"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a;
        arena_init(&a, 0);
        check_str(values_mask(str_of(rows[i].text), &a), str_of(rows[i].want));
        arena_fini(&a);
    }
}

static void test_addresses(void **state)
{
    static const char *const loopback[] = {"127.0.0.1",       "127.9.9.9", "::1",
                                           "localhost",       "LOCALHOST", "a.localhost",
                                           "::ffff:127.0.0.1"};
    static const char *const other[] = {"0.0.0.0", "::",        "10.0.0.1",  "localhost.example",
                                        "",        "128.0.0.1", "xlocalhost"};
    static const char *const networks[] = {"10.0.0.0/8", "fd00::/8", "1.2.3.4", "::1", "0.0.0.0/0"};
    static const char *const no_networks[] = {"10.0.0.0/33", "a/8", "10.0.0.0/", "10.0.0",
                                              "::/129"};

    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
        check_true(values_is_loopback(str_of(loopback[i])));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        check_true(!values_is_loopback(str_of(other[i])));
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        check_true(values_network(str_of(networks[i])));
    for (size_t i = 0; i < sizeof no_networks / sizeof *no_networks; i++)
        check_true(!values_network(str_of(no_networks[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int),       cmocka_unit_test(test_float),
        cmocka_unit_test(test_bool),      cmocka_unit_test(test_list),
        cmocka_unit_test(test_address),   cmocka_unit_test(test_mask),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
