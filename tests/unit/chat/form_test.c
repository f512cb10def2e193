/* The one text made of reasoning and answer: exact, and the same however the pieces are cut. */
#include "check.h"

#include <string.h>

#include "chat/form.h"

/* A story: r: reasoning, a: answer; what it forms, without and with the end's outer white space
 * cut. */
static const struct {
    const char *pieces[6]; /* "r:..." or "a:..." */
    const char *shown, *hidden;
} stories[] = {
    {{"a:Hi"}, "Hi", "Hi"},
    {{"a: Hi ", "a:you\n"}, " Hi you\n", " Hi you\n"},
    {{"r:think", "a:Hi"}, "[Reasoning: think]\n\nHi", "Hi"},
    {{"r: \n think \n", "a:\n\n Hi "}, "[Reasoning: think]\n\nHi ", "Hi "},
    {{"r:one ", "r:\n two", "a:Hi"}, "[Reasoning: one \n two]\n\nHi", "Hi"},
    {{"r:only"}, "[Reasoning: only]", ""},
    {{"r:only  ", "a:  "}, "[Reasoning: only]", ""},
    {{"r:  ", "a:Hi"}, "Hi", "Hi"},
    {{"r:  "}, "", ""},
    {{"r:a]b", "a:Hi"}, "[Reasoning: a]b]\n\nHi", "Hi"},
    {{"r:first", "a:Hi", "r:late", "a: you"}, "[Reasoning: first]\n\nHi you", "Hi you"},
    {{"a:Hi", "r:late"}, "Hi", "Hi"},
    {{""}, "", ""},
};
enum { STORIES = sizeof stories / sizeof *stories };

/* Plays a story in pieces of at most `cut` bytes; gives what came out, put together. */
static void play(struct form *f, size_t story, size_t cut, struct buf *out)
{
    for (size_t i = 0; i < 6 && stories[story].pieces[i]; i++) {
        str piece = str_of(stories[story].pieces[i]);
        if (piece.len == 0) continue;
        bool reasoning = piece.at[0] == 'r';
        for (str rest = str_tail(piece, 2); rest.len; rest = str_tail(rest, cut)) {
            str part = str_head(rest, cut);
            buf_add(out, reasoning ? form_reason(f, part) : form_answer(f, part));
        }
    }
    buf_add(out, form_end(f));
}

static void test_stories(void **state)
{
    for (size_t i = 0; i < STORIES; i++) {
        for (size_t cut = 1; cut < 12; cut++) {
            for (int show = 0; show < 2; show++) {
                struct form f;
                struct buf out;
                form_init(&f, show);
                buf_init(&out, 1000);
                play(&f, i, cut, &out);
                check_str(buf_str(&out), str_of(show ? stories[i].shown : stories[i].hidden));
                check_str(buf_str(&f.text), buf_str(&out));
                check_true(!form_bad(&f));
                buf_fini(&out);
                form_fini(&f);
            }
        }
    }
}

/* What was formed is taken apart again: later turns get the answer alone, whatever a model thought.
 */
static void test_taken_apart(void **state)
{
    static const char *const want[STORIES] = {"Hi", " Hi you\n", "Hi", "Hi ",    "Hi", "", "",
                                              "Hi", "",          "Hi", "Hi you", "Hi", ""};
    for (size_t i = 0; i < STORIES; i++) {
        struct form f;
        struct buf out;
        form_init(&f, true);
        buf_init(&out, 1000);
        play(&f, i, 100, &out);
        str reasoning = str_trim(buf_str(&f.reasoning));
        check_str(form_answer_of(buf_str(&out), reasoning), str_of(want[i]));
        check_str(str_tail(buf_str(&f.text), f.answer_from), str_of(want[i]));
        /* Broken off anywhere inside the reasoning (never sent up to a blank: those are held back):
         * nothing of it is the answer. */
        for (size_t n = 13; form_may_reason(buf_str(&out)) && n + 3 <= f.answer_from; n++) {
            if (n > 12 + reasoning.len || out.at[n - 1] == ' ' || out.at[n - 1] == '\n') continue;
            check_str(form_answer_of(str_head(buf_str(&out), n), str_head(reasoning, n - 12)),
                      STR(""));
        }
        buf_fini(&out);
        form_fini(&f);
    }
}

static void test_not_ours(void **state)
{
    static const struct {
        const char *content, *reasoning, *want;
    } cases[] = {
        /* The words are the answer's own, not a bracket of ours. */
        {"[Reasoning: x]\n\ny", "", "[Reasoning: x]\n\ny"},
        {"[Reasoning: x]\n\ny", "other", "[Reasoning: x]\n\ny"},
        {"plain", "thought", "plain"}, /* SHOW_REASONING was off */
        /* Reasoning that went on after the answer began, with a bracket in it. */
        {"[Reasoning: ab]\n\nans", "ab]x", "ans"},
        {"[Reasoning: ab]\n\nans", "ab]\n\nzz", "ans"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_str(form_answer_of(str_of(cases[i].content), str_of(cases[i].reasoning)),
                  str_of(cases[i].want));
}

static void test_cleared(void **state)
{
    struct form f;
    form_init(&f, true);
    form_reason(&f, STR("thought"));
    form_answer(&f, STR("half"));
    form_clear(&f);
    form_answer(&f, STR("whole"));
    form_end(&f);
    check_str(buf_str(&f.text), STR("whole"));
    check_int(f.reasoning.len, 0);
    form_fini(&f);
}

/* Time does not depend on how small the pieces are. */
static void test_linear(void **state)
{
    struct form f;
    form_init(&f, true);
    form_reason(&f, STR("x"));
    for (int i = 0; i < 2000000; i++) form_reason(&f, STR(" "));
    form_reason(&f, STR("y"));
    check_int(f.text.len, 12 + 2000002);
    form_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),  cmocka_unit_test(test_taken_apart),
        cmocka_unit_test(test_not_ours), cmocka_unit_test(test_cleared),
        cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
