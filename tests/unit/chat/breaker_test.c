/* The breaker: opens at so many failures in 30 s, for 15 s, then lets exactly one through. */
#include "check.h"

#include "chat/breaker.h"

static void failed(struct breaker *b, uint64_t now_ms)
{
    check_int(breaker_ask(b, now_ms), BREAKER_PASS);
    breaker_report(b, BREAKER_FAILED, false, 5, now_ms);
}

static void test_opens(void **state)
{
    struct breaker b = {0};
    for (uint64_t t = 0; t < 4; t++) failed(&b, t * 1000);
    check_int(breaker_state(&b, 3000), BREAKER_CLOSED);
    breaker_report(&b, BREAKER_OK, false, 5, 3500); /* a success takes nothing back */
    breaker_report(&b, BREAKER_NOTHING, false, 5, 3600);
    failed(&b, 4000);
    check_int(breaker_state(&b, 4000), BREAKER_OPEN);
    check_int(breaker_ask(&b, 18999), BREAKER_REFUSE);
    check_int(breaker_state(&b, 19000), BREAKER_HALF_OPEN);
}

/* Failures further apart do not add up; those of the window do, wherever it begins. */
static void test_window(void **state)
{
    struct breaker b = {0};
    for (uint64_t t = 0; t < 200; t++) failed(&b, t * 8000); /* five in 32 s */
    check_int(breaker_state(&b, 200 * 8000), BREAKER_CLOSED);
    struct breaker c = {0};
    failed(&c, 1000);
    for (uint64_t t = 0; t < 4; t++) failed(&c, 40000 + t);
    check_int(breaker_state(&c, 40003), BREAKER_CLOSED);
    failed(&c, 69999);
    check_int(breaker_state(&c, 69999), BREAKER_OPEN);
}

static void test_one_probe(void **state)
{
    struct breaker b = {0};
    for (uint64_t t = 0; t < 5; t++) failed(&b, t);
    breaker_report(&b, BREAKER_FAILED, false, 5, 10); /* one that was under way */
    check_int(breaker_ask(&b, 20000), BREAKER_PROBE);
    check_int(breaker_ask(&b, 20000), BREAKER_REFUSE);
    check_int(breaker_ask(&b, 90000), BREAKER_REFUSE);
    breaker_report(&b, BREAKER_NOTHING, true, 5, 90000); /* it learned nothing: the next may try */
    check_int(breaker_ask(&b, 90001), BREAKER_PROBE);
    breaker_report(&b, BREAKER_FAILED, true, 5, 90002);
    check_int(breaker_ask(&b, 105001), BREAKER_REFUSE);
    check_int(breaker_ask(&b, 105002), BREAKER_PROBE);
    breaker_report(&b, BREAKER_OK, true, 5, 105003);
    check_int(breaker_state(&b, 105003), BREAKER_CLOSED);
    for (uint64_t t = 0; t < 4; t++) failed(&b, 105010 + t); /* counts anew */
    check_int(breaker_state(&b, 105020), BREAKER_CLOSED);
}

static void test_settings(void **state)
{
    struct breaker never = {0}, once = {0}, many = {0};
    for (uint64_t t = 0; t < 1000; t++) breaker_report(&never, BREAKER_FAILED, false, 0, t);
    check_int(breaker_state(&never, 1000), BREAKER_CLOSED);
    breaker_report(&once, BREAKER_FAILED, false, 1, 0);
    check_int(breaker_state(&once, 0), BREAKER_OPEN);
    for (uint64_t t = 0; t < 99; t++) breaker_report(&many, BREAKER_FAILED, false, 1000, t);
    check_int(breaker_state(&many, 99), BREAKER_CLOSED);
    breaker_report(&many, BREAKER_FAILED, false, 1000, 100);
    check_int(breaker_state(&many, 100), BREAKER_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_one_probe),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
