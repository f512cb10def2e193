/* Patterns: what our own matcher does must be what the reference's does, and what it does not know
 * must reach PCRE2. */
#include "check.h"

#include "base/buf.h"
#include "engine/vocab/pattern.h"

/* Every match of `pattern` in `text`, each in brackets. */
static void check_matches(const char *pattern, str text, const char *want)
{
    struct arena a;
    struct pattern *p = NULL;
    struct pattern_work w;
    struct err_note why = {0};
    struct buf got;
    size_t from = 0, at, end;

    arena_init(&a, 0);
    buf_init(&got, 4096);
    pattern_work_init(&w, text.len, NULL);
    enum err e = pattern_new(&p, &a, str_of(pattern), false, &why);
    while (!e && from <= text.len) {
        e = pattern_find(p, &w, text, from, &at, &end, &why);
        if (e || at == STR_NPOS) break;
        buf_addf(&got, "[%.*s]", (int)(end - at), text.at + at);
        from = end > at ? end : end + 1;
    }
    if (e) buf_addf(&got, "%s", why.text);
    if (!str_eq(buf_str(&got), str_of(want))) print_error("pattern %s\n", pattern);
    check_str(buf_str(&got), str_of(want));
    pattern_free(p);
    pattern_work_fini(&w);
    buf_fini(&got);
    arena_fini(&a);
}

static void test_constructs(void **state)
{
    static const struct {
        const char *pattern, *text, *want;
    } cases[] = {
        {"a", "banana", "[a][a][a]"},
        {"an|a", "banana", "[an][an][a]"},
        {"a|an", "banana", "[a][a][a]"},
        {"(?:an)+", "banana", "[anan]"},
        {"(an)*a", "banana", "[anana]"},
        {"a?", "ba", "[][a][]"},
        {"\\p{L}+", "abc \xC3\xA9t\xC3\xA9 12", "[abc][\xC3\xA9t\xC3\xA9]"},
        {"\\pL\\PL", "a1b2", "[a1][b2]"},
        {"[^\\s\\p{L}]+", "a1!  2b", "[1!][2]"},
        {"[a-c\\d-]+", "x-b3-z", "[-b3-]"},
        {"[]a]+", "x]a", "[]a]"},
        {"[\\]\\\\]+", "x]\\y", "[]\\]"},
        {"\\s+(?!\\S)|\\s+", "a   b  ", "[  ][ ][  ]"},
        {"a(?=b)", "abac", "[a]"},
        {"x{2}", "xxxxx", "[xx][xx]"},
        {"x{2,3}", "xxxxx", "[xxx][xx]"},
        {"x{,2}y", "xxxy", "[xxy]"},
        {"x{2", "ax{2b", "[x{2]"},
        {"(?:ab){2}", "ababab", "[abab]"},
        {"(?:ab){1,2}c", "ababc", "[ababc]"},
        {"\\d{1,3}+", "12345", "[12345]"}, /* Ruby: an interval and then + is not possessive */
        {"a+?b", "aab", "[aab]"},
        {"a*?", "a", "[][]"},
        {"a++a", "aaa", ""},
        {"(?>a+)a", "aaa", ""},
        {"(?i:'s|'LL)x", "'Sx 'llx 'sX", "['Sx]['llx]"},
        {"(?i)k[a-z]",
         "K\xC5\xBF \xE2\x84\xAA"
         "A",
         "[K\xC5\xBF][\xE2\x84\xAA"
         "A]"},
        {"^a|b$", "a\nab\nb", "[a][a][b][b]"},
        {"\\Aa|b\\z", "a\nab\nb", "[a][b]"},
        {"\\bfoo\\b", "foo food foo", "[foo][foo]"},
        {"\\Boo", "foo oo", "[oo]"},
        {".+", "ab\ncd", "[ab][cd]"},
        {"\\x41\\x{42}\\u0043", "ABC", "[ABC]"},
        {"\\r?\\n|\\t", "a\r\nb\n\t", "[\r\n][\n][\t]"},
        {"[\\w]+", "a_1 \xC2\xB2", "[a_1][\xC2\xB2]"},
        /* beyond our own matcher */
        {"(a)\\1", "aab", "[aa]"},
        {"(?<=a)b", "abb", "[b]"},
        {"\\p{Han}+", "a\xE4\xBD\xA0\xE5\xA5\xBD", "[\xE4\xBD\xA0\xE5\xA5\xBD]"},
        {"(?:a?)*b", "aab", "[aab]"},
        /* faults */
        {"[a", "a", "a pattern has a class without its end"},
        {"[b-a]", "a", "a pattern has a range that runs backwards"},
        {"*a", "a", "a pattern repeats nothing"},
        {"a{1,9999}", "a", "a pattern repeats too often"},
        {"a\\", "a", "a pattern ends with a backslash"},
        {"[a[b]]", "a", "a pattern has a class within a class"},
        {"[a&&b]", "a", "a pattern has a class within a class"},
        {"(((a{999}){999}){999}){999}", "a", "a pattern is too large"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_matches(cases[i].pattern, str_of(cases[i].text), cases[i].want);
}

/* The work is bounded whatever the pattern, and a stop is seen in the middle of it. */
static void test_bounds(void **state)
{
    static const char *const patterns[] = {"(?:a|a|b)*c", "(a+)+\\1[bc]"};
    char text[20000];
    _Atomic bool stop = true;

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < 2; i++) {
        struct arena a;
        struct pattern *p = NULL;
        struct pattern_work w;
        size_t at, end;

        arena_init(&a, 0);
        check_int(pattern_new(&p, &a, str_of(patterns[i]), false, NULL), ERR_NONE);
        pattern_work_init(&w, sizeof text, NULL);
        check_int(pattern_find(p, &w, str_span(text, sizeof text), 0, &at, &end, NULL), ERR_LIMIT);
        pattern_work_fini(&w);
        pattern_work_init(&w, sizeof text, &stop);
        check_int(pattern_find(p, &w, str_span(text, sizeof text), 0, &at, &end, NULL),
                  ERR_CANCELLED);
        pattern_work_fini(&w);
        pattern_free(p);
        arena_fini(&a);
    }
}

/* Deep nesting is refused, not followed. */
static void test_depth(void **state)
{
    char pattern[201];

    memset(pattern, '(', 100);
    memset(pattern + 100, ')', 100);
    pattern[200] = '\0';
    check_matches(pattern, STR("a"), "a pattern is nested too deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constructs),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
