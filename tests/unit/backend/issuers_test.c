/* Who gave which signature: known, unknown, forgotten after hours and under pressure. */
#include "check.h"

#include "backend/issuers.h"

static str name_of(char text[32], int n)
{
    snprintf(text, 32, "signature-%d", n);
    return str_of(text);
}

static void test_foreign(void **state)
{
    enum { HOUR_MS = 3600 * 1000 };

    (void)state;
    check_true(!issuers_is_foreign(STR("a"), 1, 1000)); /* nobody's */
    issuers_note(STR("a"), 1, 1000);
    check_true(!issuers_is_foreign(STR("a"), 1, 2000));
    check_true(issuers_is_foreign(STR("a"), 2, 2000));
    check_true(!issuers_is_foreign(STR("b"), 2, 2000));
    check_true(issuers_is_foreign(STR("a"), 2, 5 * HOUR_MS));
    check_true(!issuers_is_foreign(STR("a"), 2, 7 * HOUR_MS)); /* forgotten */
    issuers_note(STR("a"), 2, 3000);                           /* the last one counts */
    check_true(!issuers_is_foreign(STR("a"), 2, 4000));
    check_true(issuers_is_foreign(STR("a"), 1, 4000));
}

/* A flood of them takes no more room; the newest are known. */
static void test_flood(void **state)
{
    char text[32];
    int known = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) issuers_note(name_of(text, i), 1, 10000 + (uint64_t)i);
    for (int i = 98000; i < 100000; i++) known += issuers_is_foreign(name_of(text, i), 2, 200000);
    check_true(known > 1900);
    for (int i = 0; i < 2000; i++) known -= issuers_is_foreign(name_of(text, i), 2, 200000);
    check_true(known > 1900); /* the oldest made room */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_foreign),
                                       cmocka_unit_test(test_flood)};
    return cmocka_run_group_tests_name("unit/backend/issuers", tests, NULL, NULL);
}
