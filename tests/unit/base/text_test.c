/* Views, UTF-8 and time as text. */
#include "check.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/utf8.h"

static void test_split(void **state)
{
    (void)state;
    str rest = STR("a,,b,"), part;

    check_true(str_split(&rest, ',', &part));
    check_str(part, STR("a"));
    check_true(str_split(&rest, ',', &part));
    check_str(part, STR(""));
    check_true(str_split(&rest, ',', &part));
    check_str(part, STR("b"));
    check_true(str_split(&rest, ',', &part));
    check_str(part, STR(""));
    check_true(!str_split(&rest, ',', &part));
}

static void test_u64(void **state)
{
    (void)state;
    uint64_t n = 7;

    check_true(str_to_u64(STR("18446744073709551615"), &n) && n == UINT64_MAX);
    check_true(!str_to_u64(STR("18446744073709551616"), &n));
    check_true(!str_to_u64(STR(""), &n) && !str_to_u64(STR("+1"), &n) &&
               !str_to_u64(STR("1 "), &n));
}

static void test_secret_compare(void **state)
{
    (void)state;
    check_true(str_eq_secret(STR("abc"), STR("abc")));
    check_true(!str_eq_secret(STR("abc"), STR("abd")));
    check_true(!str_eq_secret(STR("abc"), STR("ab")));
    check_true(!str_eq_secret(STR("abab"), STR("ab")));
    check_true(!str_eq_secret(STR("a"), STR("")));
    check_true(str_eq_secret(STR(""), STR("")));
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *in, *repaired;
        size_t partial;
    } rows[] = {
        {"a\xC3\xA9", "a\xC3\xA9", 0},
        {"\xE2\x82", "\xEF\xBF\xBD", 2},
        {"\xF0\x9F\x98", "\xEF\xBF\xBD", 3},
        {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD", 0},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 0},
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 0},
        {"x\xC3", "x\xEF\xBF\xBD", 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 100);
        utf8_add_repaired(&b, str_of(rows[i].in));
        check_str(buf_str(&b), str_of(rows[i].repaired));
        check_int(utf8_partial(str_of(rows[i].in)), rows[i].partial);
        check_true(utf8_valid(buf_str(&b)));
        check_int(utf8_valid(str_of(rows[i].in)), i == 0);
        buf_fini(&b);
    }
    check_true(!utf8_valid(STR("12345678\xff")));
    check_int(utf8_count(STR("a\xC3\xA9\xF0\x9F\x98\x80")), 3);
    check_int(utf8_bytes_of(STR("a\xC3\xA9z"), 2), 3);
}

static void test_times(void **state)
{
    (void)state;
    char iso[CLOCK_ISO_BYTES], http[CLOCK_HTTP_BYTES];

    clock_iso(iso, UINT64_C(1769850487000042));
    check_str(str_of(iso), STR("2026-01-31T09:08:07.000042Z"));
    clock_http(http, UINT64_C(1769850487000042));
    check_str(str_of(http), STR("Sat, 31 Jan 2026 09:08:07 GMT"));
}

static void test_uuid(void **state)
{
    (void)state;
    char a[RAND_UUID_BYTES], b[RAND_UUID_BYTES];

    rand_uuid(a);
    rand_uuid(b);
    check_true(!str_eq(str_of(a), str_of(b)));
    check_int(strlen(a), 36);
    check_int(a[14], '4');
    check_true(strchr("89ab", a[19]) != NULL);
    check_true(hash_str(STR("a")) == hash_str(STR("a")) &&
               hash_str(STR("a")) != hash_str(STR("b")));
}

/* The vectors of RFC 4648 section 10, both ways; padding may be missing. */
static void test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const bad[] = {"Z", "Zm9v!", "Zm=v", "Z===", "====", "Zm9vY", "Zg==Zg=="};
    struct buf b;

    buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        str text = str_of(pairs[i][1]);
        buf_clear(&b);
        base64_encode(&b, str_of(pairs[i][0]));
        check_str(buf_str(&b), text);
        for (int cut = 0; cut < 2; cut++) {
            buf_clear(&b);
            check_true(base64_decode(&b, text));
            check_str(buf_str(&b), str_of(pairs[i][0]));
            while (str_ends(text, STR("="))) text.len--;
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_true(!base64_decode(&b, str_of(bad[i])));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),          cmocka_unit_test(test_u64),
        cmocka_unit_test(test_secret_compare), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_times),          cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
