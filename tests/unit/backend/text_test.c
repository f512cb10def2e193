/* Text on its way through: halves of characters, and reasoning in tags, cut anywhere. */
#include "check.h"

#include "backend/halves.h"
#include "backend/think.h"
#include "base/json.h"
#include "base/utf8.h"

/* ---- halves ---- */

#define HIGH "\xED\xA0\xBD" /* \ud83d */
#define LOW "\xED\xB8\x80"  /* \ude00 */
#define FACE "\xF0\x9F\x98\x80"
#define ODD "\xEF\xBF\xBD"

static void test_halves(void **state)
{
    static const struct {
        const char *pieces[4];
        const char *want; /* what is left at the end included */
    } rows[] = {
        {{"plain", " text"}, "plain text"},
        {{"a" HIGH, LOW "b"}, "a" FACE "b"},
        {{HIGH, LOW}, FACE},
        {{HIGH}, ODD},
        {{LOW}, ODD},
        {{HIGH, "x"}, ODD "x"},
        {{HIGH, HIGH, LOW}, ODD FACE},
        {{HIGH, LOW LOW}, FACE ODD},
        {{HIGH LOW}, FACE},
        {{LOW HIGH}, ODD ODD},
        {{"\xED\x9F\xBF" HIGH, LOW "\xED\x9F\xBF"},
         "\xED\x9F\xBF" FACE "\xED\x9F\xBF"}, /* U+D7FF */
        {{"\xED\x95\x9C\xEA\xB8\x80"}, "\xED\x95\x9C\xEA\xB8\x80"},
        {{HIGH, "", LOW}, FACE},
        {{"\xED\xA0\xBC", "\xED\xBC\x8D"}, "\xF0\x9F\x8C\x8D"},
        {{"\xED\xAF\xBF", "\xED\xBF\xBF"}, "\xF4\x8F\xBF\xBF"}, /* the last of all */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct halves h = {0};
        struct buf room, seen;
        print_message("# row %zu\n", i);
        buf_init(&room, 1000);
        buf_init(&seen, 1000);
        for (int k = 0; k < 4 && rows[i].pieces[k]; k++) {
            str out = halves_join(&h, str_of(rows[i].pieces[k]), &room);
            check_true(utf8_valid(out));
            buf_add(&seen, out);
        }
        buf_add(&seen, halves_end(&h));
        buf_add(&seen, halves_end(&h)); /* nothing more */
        check_str(buf_str(&seen), str_of(rows[i].want));
        buf_fini(&room);
        buf_fini(&seen);
    }
}

/* From the escapes of two JSON texts to one character. */
static void test_halves_of_json(void **state)
{
    static const struct {
        const char *json;
        const char *want;
    } rows[] = {
        {"\"a\\ud83d\"", "a" HIGH},
        {"\"\\ude00b\"", LOW "b"},
        {"\"\\ud83d\\ude00\"", FACE},
        {"\"\\\\ud83d\"", "\\ud83d"},
        {"\"\\ud83d\\ud83d\\ude00\"", HIGH FACE},
        {"\"\\ud83dx\\n\\u00e9\"", HIGH "x\n\xC3\xA9"},
        {"\"\\uD83D\"", HIGH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yyjson_doc *doc;
        check_int(json_read(&doc, str_of(rows[i].json), 8, JSON_KEEP_HALVES, NULL), ERR_NONE);
        check_str(json_str(yyjson_doc_get_root(doc)), str_of(rows[i].want));
        yyjson_doc_free(doc);
    }
    yyjson_doc *doc;
    check_int(json_read(&doc, STR("\"\\ud83d\xff\""), 8, JSON_KEEP_HALVES, NULL), ERR_INVALID);
    check_int(json_read(&doc, STR("\"\\ud83d"), 8, JSON_KEEP_HALVES, NULL), ERR_INVALID);
}

/* ---- think ---- */

struct trace {
    struct buf seen;
    char channel;
};

static void add(struct trace *t, char channel, str s)
{
    check_true(s.len > 0);
    if (t->channel != channel) {
        if (t->seen.len) buf_add_char(&t->seen, '|');
        buf_add_char(&t->seen, channel);
        buf_add_char(&t->seen, ':');
        t->channel = channel;
    }
    buf_add(&t->seen, s);
}

static void on_text(void *ctx, str s)
{
    add(ctx, 't', s);
}

static void on_reasoning(void *ctx, str s)
{
    add(ctx, 'r', s);
}

static void check_think(bool opened, str in, str want)
{
    for (size_t cut = 0; cut <= in.len; cut++) {
        for (size_t second = cut; second <= in.len; second += in.len < 40 ? 1 : 7) {
            struct trace trace = {0};
            struct think t;
            const struct think_to to = {&trace, on_text, on_reasoning};
            buf_init(&trace.seen, 10000);
            think_init(&t, opened);
            think_feed(&t, str_head(in, cut), &to);
            think_feed(&t, str_span(in.at + cut, second - cut), &to);
            think_feed(&t, str_tail(in, second), &to);
            think_end(&t, &to);
            check_str(buf_str(&trace.seen), want);
            think_fini(&t);
            buf_fini(&trace.seen);
        }
    }
}

static void test_think(void **state)
{
    static const struct {
        bool opened;
        const char *in, *want;
    } rows[] = {
        {false, "hello", "t:hello"},
        {false, "<think>a</think>b", "r:a|t:b"},
        {false, " \n<think>\na\n</think>\n\n b ", "r:\na\n|t:b "},
        {false, "<think></think>b", "t:b"},
        {false, "<think>a</think>", "r:a"},
        {false, "<think>only", "r:only"},
        {false, "<think>a</thin", "r:a</thin"},
        {false, "<think>a</thi</think>b", "r:a</thi|t:b"},
        {false, "<think>a<b</think>c", "r:a<b|t:c"},
        {false, "<think>a<</think>c", "r:a<|t:c"},
        {false, "<think>a</<</think>c", "r:a</<|t:c"},
        {false, "<thi", "t:<thi"},
        {false, "<thing>", "t:<thing>"},
        {false, "  x <think>y</think>", "t:  x <think>y</think>"},
        {false, "a</think>b", "t:a</think>b"},
        {false, "<think>a</think>b<think>c</think>", "r:a|t:b<think>c</think>"},
        {false, "<think>a</think> \n\t", "r:a"},
        {false, "  ", "t:  "},
        {false, "<<think>a</think>", "t:<<think>a</think>"},
        {false, "<THINK>a", "t:<THINK>a"},
        {true, "a</think>b", "r:a|t:b"},
        {true, "<think>a</think>b", "r:a|t:b"},
        {true, " \n<think>a</think>b", "r:a|t:b"},
        {true, "  a</think> b", "r:  a|t:b"},
        {true, "never closed", "r:never closed"},
        {true, "<thi</think>b", "r:<thi|t:b"},
        {true, "", ""},
        {false, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("# row %zu\n", i);
        check_think(rows[i].opened, str_of(rows[i].in), str_of(rows[i].want));
    }

    struct think off = {0}; /* never asked to look */
    struct trace trace = {0};
    const struct think_to to = {&trace, on_text, on_reasoning};
    buf_init(&trace.seen, 100);
    think_feed(&off, STR("<think>a"), &to);
    think_end(&off, &to);
    check_str(buf_str(&trace.seen), STR("t:<think>a"));
    buf_fini(&trace.seen);
}

static void test_opened_by(void **state)
{
    (void)state;
    check_true(think_opened_by(STR("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B")));
    check_true(think_opened_by(STR("Qwen/QwQ-32B")));
    check_true(think_opened_by(STR("Qwen/Qwen3-4B-Thinking-2507")));
    check_true(think_opened_by(STR("x-think")));
    check_true(!think_opened_by(STR("Qwen/Qwen3-4B")));
    check_true(!think_opened_by(STR("thinker")));
    check_true(!think_opened_by(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_halves_of_json),
        cmocka_unit_test(test_think),
        cmocka_unit_test(test_opened_by),
    };
    return cmocka_run_group_tests_name("backend/text", tests, NULL, NULL);
}
