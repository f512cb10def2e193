/* Stop strings, however the text that holds them is cut. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/stops.h"

static const struct {
    const char *stops[3];
    const char *text, *want;
    bool met;
} cases[] = {
    {{"END"}, "some text", "some text", false},
    {{"END"}, "some END text", "some ", true},
    {{"END"}, "EEND", "E", true},
    {{"END"}, "an EN", "an EN", false},
    {{"aab"}, "aaab", "a", true},
    {{"\n\n"}, "a\n\nb", "a", true},
    {{"bc", "abcd"}, "xabcd", "xa", true}, /* in whatever order they are given */
    {{"abcd", "bc"}, "xabcd", "xa", true}, /* the one that ends first, however it is cut */
    {{"bc", "abc"}, "xabc", "x", true},    /* both end here: the one that began first */
    {{"", "x"}, "abx", "ab", true},
    {{"\xe1\x88\xb0\xe1\x88\x8b"}, "a\xe1\x88\xb0\xe1\x88\xb0\xe1\x88\x8b", "a\xe1\x88\xb0", true},
    {{NULL}, "anything", "anything", false},
};

/* Wherever the text is cut into pieces, what is shown is the same. */
static void test_any_cut(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        str at[3];
        size_t count = 0;
        for (; count < 3 && cases[i].stops[count]; count++)
            at[count] = str_of(cases[i].stops[count]);
        str text = str_of(cases[i].text);
        for (size_t cut = 0; cut <= text.len; cut++) {
            if (cut < text.len && ((unsigned char)text.at[cut] & 0xC0) == 0x80) continue;
            struct stops s;
            stops_init(&s, at, count);
            buf_clear(&out);
            bool met = stops_add(&s, str_head(text, cut), &out) ||
                       stops_add(&s, str_tail(text, cut), &out);
            if (!met) stops_end(&s, &out);
            check_int(met, cases[i].met);
            check_int(s.met != NULL, met);
            check_str(buf_str(&out), str_of(cases[i].want));
            stops_fini(&s);
        }
    }
    buf_fini(&out);
}

/* Only what may still become a stop string is held back. */
static void test_hold_little(void **state)
{
    str at[] = {STR("</s>")};
    struct stops s;
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    stops_init(&s, at, 1);
    check_true(!stops_add(&s, STR("a<"), &out));
    check_str(buf_str(&out), STR("a"));
    check_true(!stops_add(&s, STR("/"), &out));
    check_str(buf_str(&out), STR("a"));
    check_true(!stops_add(&s, STR("b<"), &out));
    check_str(buf_str(&out), STR("a</b"));
    stops_end(&s, &out);
    check_str(buf_str(&out), STR("a</b<"));
    stops_fini(&s);
    buf_fini(&out);
}

/* The one that counts is told: the first to end. */
static void test_which(void **state)
{
    str at[] = {STR("abcd"), STR("bc"), STR("x")};
    struct stops s;
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    stops_init(&s, at, 3);
    check_true(!stops_add(&s, STR("a"), &out) && s.met == NULL);
    check_true(stops_add(&s, STR("bcdx"), &out));
    check_true(s.met == &at[1]);
    stops_fini(&s);
    buf_fini(&out);
}

/* A zeroed one lets everything through at once. */
static void test_zeroed(void **state)
{
    struct stops s = {.count = 0};
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    check_true(!stops_add(&s, STR("all"), &out));
    check_str(buf_str(&out), STR("all"));
    stops_fini(&s);
    buf_fini(&out);
}

/* The same as by looking for each of them at each place, and in time that does not grow with how
 * many there are. */
static void naive(const str *at, size_t count, str text, size_t *shown, bool *met)
{
    *shown = text.len;
    *met = false;
    for (size_t end = 1; end <= text.len && !*met; end++)
        for (size_t i = 0; i < count; i++) {
            if (!at[i].len || !str_ends(str_head(text, end), at[i])) continue;
            if (!*met || end - at[i].len < *shown) *shown = end - at[i].len;
            *met = true;
        }
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned round = 0, seed = 1; round < 3000; round++) {
        char letters[64], text[24];
        str at[6];
        struct stops s;
        struct buf out;
        size_t shown, count = round % 6 + 1, len = 1 + round % sizeof text;
        bool want, met = false;
        for (size_t i = 0; i < sizeof letters; i++)
            letters[i] = (char)('a' + ((seed = seed * 1103515245u + 12345u) >> 16) % 2);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + ((seed = seed * 1103515245u + 12345u) >> 16) % 2);
        for (size_t i = 0; i < count; i++)
            at[i] = str_span(letters + i * 9, (round / 6 + i * 3) % 8);
        naive(at, count, str_span(text, len), &shown, &want);
        buf_init(&out, 1000);
        stops_init(&s, at, count);
        for (size_t i = 0; i < len && !met; i++) met = stops_add(&s, str_span(text + i, 1), &out);
        if (!met) stops_end(&s, &out);
        check_int(met, want);
        check_str(buf_str(&out), str_span(text, shown));
        stops_fini(&s);
        buf_fini(&out);
    }
}

static void test_many(void **state)
{
    enum { COUNT = 200000, PIECES = 20000, WIDTH = 8 };
    char *texts = malloc((size_t)COUNT * WIDTH);
    str *at = calloc(COUNT, sizeof *at);
    struct stops s;
    struct buf out;

    (void)state;
    assert_non_null(texts);
    assert_non_null(at);
    for (int i = 0; i < COUNT; i++)
        at[i] = str_span(texts + (size_t)i * WIDTH,
                         (size_t)snprintf(texts + (size_t)i * WIDTH, WIDTH, "w%d", i));
    buf_init(&out, 1 << 20);
    stops_init(&s, at, COUNT);
    clock_t began = clock();
    for (int i = 0; i < PIECES; i++) check_true(!stops_add(&s, STR("word "), &out));
    check_true(clock() - began < 2 * CLOCKS_PER_SEC); /* it was minutes */
    check_true(stops_add(&s, STR("w777"), &out));
    check_str(*s.met, STR("w7"));
    stops_fini(&s);
    buf_fini(&out);
    free(at);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut), cmocka_unit_test(test_hold_little),
        cmocka_unit_test(test_which),   cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
