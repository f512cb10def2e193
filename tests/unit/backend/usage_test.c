/* Whatever a provider counts, the counts that leave are whole and consistent. */
#include "check.h"

#include "backend/usage.h"

static void test_settle(void **state)
{
    static const struct {
        int64_t prompt, completion, cached, reasoning, total; /* as told; -1: not */
        size_t answer_bytes;
        int64_t want_prompt, want_completion, want_cached, want_reasoning;
        bool estimated, answer_estimated;
    } rows[] = {
        {9, 2, 5, 1, 11, 40, 9, 2, 5, 1, false},
        {9, 2, -1, -1, -1, 40, 9, 2, -1, -1, false},
        {0, 0, 0, 0, 0, 40, 0, 0, 0, 0, false},
        {-1, -1, -1, -1, -1, 40, 3, 10, -1, -1, true, true}, /* the question has 12 bytes */
        {-1, -1, -1, -1, -1, 0, 3, 1, -1, -1, true, true},
        {-1, -1, -1, -1, 30, 40, 20, 10, -1, -1, true, true},
        {-1, -1, -1, -1, 5, 40, 3, 10, -1, -1, true, true},
        {-1, 2, -1, -1, -1, 40, 3, 2, -1, -1, true, false}, /* only the answer was counted */
        {-1, 2, -1, -1, 11, 40, 9, 2, -1, -1, false},
        {9, -1, -1, -1, 11, 40, 9, 2, -1, -1, false},
        {10, 2, 90, -1, 102, 40, 100, 2, 90, -1,
         false}, /* the prompt was told without the cached part */
        {10, 2, 90, -1, 12, 40, 10, 2, 10, -1, false},
        {10, 2, 90, -1, -1, 40, 10, 2, 10, -1, false},
        {10, 2, -1, 7, 12, 40, 10, 2, -1, 2, false},
    };
    const struct part part = {.kind = PART_TEXT, .text = STR("How are you?")};
    const struct message message = {.role = ROLE_USER, .parts = &part, .count = 1};
    struct ask q = ask_none;

    (void)state;
    q.messages = &message;
    q.messages_count = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct usage u = usage_unknown;
        u.prompt_tokens = rows[i].prompt;
        u.completion_tokens = rows[i].completion;
        u.cached_tokens = rows[i].cached;
        u.reasoning_tokens = rows[i].reasoning;
        print_message("# row %zu\n", i);
        usage_settle(&u, &q, rows[i].answer_bytes, rows[i].total);
        check_int(u.prompt_tokens, rows[i].want_prompt);
        check_int(u.completion_tokens, rows[i].want_completion);
        check_int(u.cached_tokens, rows[i].want_cached);
        check_int(u.reasoning_tokens, rows[i].want_reasoning);
        check_int(u.estimated, rows[i].estimated);
        check_int(u.answer_estimated, rows[i].answer_estimated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_settle)};
    return cmocka_run_group_tests_name("backend/usage", tests, NULL, NULL);
}
