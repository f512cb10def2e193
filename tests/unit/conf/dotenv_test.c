/* Every line form of configuration.md's table of `.env` lines. */
#include "check.h"

#include "base/buf.h"
#include "conf/dotenv.h"
#include "conf/limits.h"

static const char *process_env(void *ctx, str name)
{
    (void)ctx;
    return str_eq(name, STR("HOME")) ? "/h" : str_eq(name, STR("EMPTY")) ? "" : NULL;
}

static void note_skipped(void *ctx, int line, const char *why)
{
    (void)why;
    buf_addf(ctx, "!%d\n", line);
}

/* "KEY=value" a line, "KEY" for a name that is not set, "!N" for a line that was skipped (in
 * front). */
static void parse_to(struct buf *seen, str text)
{
    struct arena a;
    struct dotenv lines;
    struct dotenv_events to = {.ctx = seen, .env = process_env, .skipped = note_skipped};

    arena_init(&a, 0);
    assert_int_equal(dotenv_parse(&lines, text, &a, to), ERR_NONE);
    for (size_t i = 0; i < lines.count; i++) {
        buf_add(seen, lines.at[i].key);
        if (lines.at[i].value) buf_addf(seen, "=%s", lines.at[i].value);
        buf_add_char(seen, '\n');
    }
    arena_fini(&a);
}

static void check_lines(const char *text, const char *want)
{
    struct buf seen;

    buf_init(&seen, 1 << 20);
    parse_to(&seen, str_of(text));
    check_str(buf_str(&seen), str_of(want));
    buf_fini(&seen);
}

struct row {
    const char *text, *want;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) check_lines(rows[i].text, rows[i].want);
}
#define CHECK_ROWS(...)                                                                            \
    do {                                                                                           \
        static const struct row rows_[] = {__VA_ARGS__};                                           \
        check_rows(rows_, sizeof rows_ / sizeof *rows_);                                           \
    } while (0)

static void test_plain(void **state)
{
    CHECK_ROWS({"A=b", "A=b\n"}, {"A = b ", "A=b\n"}, {"  A=b", "A=b\n"}, {"export A=b", "A=b\n"},
               {"export\t A=b", "A=b\n"}, {"exportA=b", "exportA=b\n"}, {"export=b", "export=b\n"},
               {"'A'=b", "A=b\n"}, {"\"A\"=b", "\"A\"=b\n"}, {"A=", "A=\n"}, {"A= ", "A=\n"},
               {"A", "A\n"}, {"A\nB=c", "A\nB=c\n"}, {"export A", "A\n"}, {"", ""}, {"\n\n", ""},
               {"# text", ""}, {"  # text\nA=b", "A=b\n"}, {"A=a=b", "A=a=b\n"},
               {"a.b-c=d", "a.b-c=d\n"}, {"A=b c", "A=b c\n"});
}

static void test_comments(void **state)
{
    CHECK_ROWS({"A=b # c", "A=b\n"}, {"A=b #c", "A=b\n"}, {"A=b\t#c", "A=b\n"},
               {"A=b#c", "A=b#c\n"}, {"A='b' # c", "A=b\n"}, {"A=\"x\"#c", "A=x\n"},
               {"A=# c", "A=# c\n"}, {"A= # c", "A=\n"}, {"A # c", "A\n"},
               {"A=b c # d # e", "A=b c\n"});
}

static void test_quotes(void **state)
{
    CHECK_ROWS({"A='x\\ny'", "A=x\\ny\n"}, {"A='x\\\\y\\'z'", "A=x\\y'z\n"},
               {"A=\"x\\ny\"", "A=x\ny\n"},
               {"A=\"\\\\ \\' \\\" \\a\\b\\f\\n\\r\\t\\v\"", "A=\\ ' \" \a\b\f\n\r\t\v\n"},
               {"A=\"\\u00e9\"", "A=\\u00e9\n"}, {"A=\"two\nlines\"", "A=two\nlines\n"},
               {"A='two\nlines'\nB=c", "A=two\nlines\nB=c\n"}, {"A=' b '", "A= b \n"},
               {"A=\"\"", "A=\n"}, {"A='it''s'", "!1\n"}, {"A=b'c", "A=b'c\n"},
               {"A=[\"x\",\"y\"]", "A=[\"x\",\"y\"]\n"}, {"A=\"a#b\"", "A=a#b\n"});
}

static void test_variables(void **state)
{
    CHECK_ROWS({"A=${HOME}", "A=/h\n"}, {"B=1\nA=${B}", "B=1\nA=1\n"},
               {"HOME=x\nA=${HOME}", "HOME=x\nA=/h\n"}, {"A=${NONE}", "A=\n"},
               {"A=${B}\nB=1", "A=\nB=1\n"}, {"A=${NONE:-text}", "A=text\n"},
               {"A=${EMPTY:-text}", "A=\n"}, {"B=\nA=${B:-text}", "B=\nA=\n"},
               {"A=${NONE:-}", "A=\n"}, {"B=1\nA='${B}'", "B=1\nA=1\n"},
               {"B=1\nA=\"<${B}>\"", "B=1\nA=<1>\n"}, {"A=$HOME", "A=$HOME\n"},
               {"A=${HOME", "A=${HOME\n"}, {"A=${HOME:x}", "A=${HOME:x}\n"},
               {"A=\\${HOME}", "A=\\/h\n"}, {"B=1\nB=2\nA=${B}", "B=1\nB=2\nA=2\n"},
               {"A=1\nA=${A}2", "A=1\nA=12\n"}, {"A=${HOME}${HOME}", "A=/h/h\n"});
}

static void test_line_ends(void **state)
{
    CHECK_ROWS({"A=b\r\nC=d\r\n", "A=b\nC=d\n"}, {"A=b\rC=d\r", "A=b\nC=d\n"},
               {"\xef\xbb\xbf"
                "A=b",
                "A=b\n"},
               {"A=\r\nB=c", "A=\nB=c\n"}, {"A='b'\r\nB=c", "A=b\nB=c\n"}, {"# c\rA=b", "A=b\n"});
}

static void test_unparsable(void **state)
{
    CHECK_ROWS({"A B=c\nD=e", "!1\nD=e\n"}, {"=b\nD=e", "!1\nD=e\n"},
               {"A=\"b\" tail\nD=e", "!1\nD=e\n"}, {"A=\"b\nD=e", "!1\nD=e\n"},
               {"A='b\nD=e\n", "!1\nD=e\n"}, {"X=1\r\n\r\nA B\r\nD=e", "!3\nX=1\nD=e\n"},
               {"A=\"1\n2\" tail\nB C\nD=e", "!1\n!3\nD=e\n"}, {"'A=b\nD=e", "!1\nD=e\n"},
               {"''=b", "!1\n"}, {"A=b\xff\nD=e", "!1\nD=e\n"}, {"export =b", "!1\n"},
               {"A='C:\\x\\'\nD=e", "!1\nD=e\n"});
}

/* A file of strangers' making neither hangs nor takes the memory. */
static void test_bounds(void **state)
{
    struct buf text, seen;

    buf_init(&text, 1 << 24);
    buf_init(&seen, 1 << 26);
    buf_add(&text, STR("A0=0123456789abcdef\n"));
    for (int i = 1; i < 40; i++) buf_addf(&text, "A%d=${A%d}${A%d}\n", i, i - 1, i - 1);
    parse_to(&seen, buf_str(&text));
    check_true(seen.len > 0 && seen.len < 2 * (ENV_VALUES_BYTES_MAX + 4096) && !seen.bad);
    check_true(str_find(buf_str(&seen), STR("!17\n")) != STR_NPOS);

    buf_clear(&text);
    buf_clear(&seen);
    for (int i = 0; i < ENV_NAMES_MAX + 5; i++) buf_addf(&text, "N%d=x\n", i);
    parse_to(&seen, buf_str(&text));
    check_true(str_starts(buf_str(&seen), STR("!2001\n")));

    buf_clear(&text);
    buf_clear(&seen);
    for (int i = 0; i < 200000; i++) buf_add(&text, STR("A=\"\n"));
    parse_to(&seen, buf_str(&text));
    buf_fini(&text);
    buf_fini(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_comments),
        cmocka_unit_test(test_quotes),    cmocka_unit_test(test_variables),
        cmocka_unit_test(test_line_ends), cmocka_unit_test(test_unparsable),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
