/* Where a second model's text is joined to a first's: nothing twice, nothing missing, however it is
 * cut. */
#include "check.h"

#include <string.h>

#include "chat/seam.h"

static const struct {
    const char *shown, *prefill, *said;
    const char *joined; /* what is shown of it; NULL: cannot be joined */
} cases[] = {
    /* goes on */
    {"The capital is", "The capital is", " Paris.", " Paris."},
    {"The capital is ", "The capital is", " Paris.", "Paris."},
    {"The capital is ", "The capital is", "Paris.", "Paris."},
    {"a list:\n\n", "a list:", "\n\n- x", "- x"},
    {"a list:\n", "a list:", "\n\n- x", "\n- x"},
    {"a list: ", "a list:", "\n- x", "\n- x"},
    {"The capital is", "The capital is", "", ""},
    /* starts over */
    {"The capital is", "The capital is", "The capital is Paris.", " Paris."},
    {"The capital is ", "The capital is", "The capital is Paris.", "Paris."},
    {"The capital is", "The capital is", "The capital is", ""},
    {"Oui", "Oui", "Oui, bien", ", bien"},
    /* starts over in other words */
    {"The capital is", "The capital is", "The capital of France is Paris.", NULL},
    {"The capital is", "The capital is", "The ", NULL},
    /* goes on with what only looks so */
    {"The sky is blue. ", "The sky is blue.", " The grass is green.", "The grass is green."},
    {"That is it.", "That is it.", "Th\xc3\xa9o says", "Th\xc3\xa9o says"},
    {"\xc3\xa9\xc3\xa8", "\xc3\xa9\xc3\xa8", "\xc3\xa9\xc3\xa9", "\xc3\xa9\xc3\xa9"},
    {"I am", "I am", "I", "I"},
    /* nothing was shown but reasoning */
    {"", "", "all of it", "all of it"},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 1; cut < 30; cut++) {
            struct buf shown, out;
            struct seam s;
            bool ok = true;
            buf_init(&shown, 1000);
            buf_init(&out, 1000);
            buf_add(&shown, str_of(cases[i].shown));
            seam_init(&s, &shown);
            check_str(seam_prefill(&s), str_of(cases[i].prefill));
            for (str rest = str_of(cases[i].said); rest.len && ok;) {
                size_t n = cut;
                while (n < rest.len && ((unsigned char)rest.at[n] & 0xc0) == 0x80) n++;
                struct buf more;
                buf_init(&more, 1000);
                ok = seam_add(&s, str_head(rest, n), &more);
                buf_add(&out, buf_str(&more));
                buf_add(&shown, buf_str(&more)); /* grows meanwhile */
                buf_fini(&more);
                rest = str_tail(rest, n);
            }
            if (ok) ok = seam_end(&s, &out);
            if (ok != (cases[i].joined != NULL))
                print_error("\"%s\" + \"%s\", cut %zu\n", cases[i].shown, cases[i].said, cut);
            check_int(ok, cases[i].joined != NULL);
            if (ok) check_str(buf_str(&out), str_of(cases[i].joined));
            buf_fini(&shown);
            buf_fini(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests_name("seam", tests, NULL, NULL);
}
