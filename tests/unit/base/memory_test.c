/* Arenas and buffers: bounds hold, nothing is cut in silence. */
#include "check.h"

#include "base/arena.h"
#include "base/buf.h"

static void test_buf_bound(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 10);
    buf_add(&b, STR("1234567890"));
    check_true(!b.bad);
    buf_add_char(&b, 'x');
    check_true(b.bad);
    check_str(buf_str(&b), STR("1234567890"));
    buf_clear(&b);
    buf_addf(&b, "%d-%s", 42, "abc");
    check_str(buf_str(&b), STR("42-abc"));
    buf_drop(&b, 3);
    check_str(buf_str(&b), STR("abc"));
    buf_fini(&b);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100000);

    for (int i = 0; i < 200; i++) {
        unsigned char *p = arena_take(&a, 100);
        check_true(p != NULL && (uintptr_t)p % 16 == 0);
        for (int j = 0; j < 100; j++) check_int(p[j], 0);
        memset(p, 0xff, 100);
    }
    check_true(arena_take(&a, 200000) == NULL);
    check_true(arena_take_array(&a, SIZE_MAX / 2, 16) == NULL);
    str s = arena_strf(&a, "%s=%d", "n", 5);
    check_str(s, STR("n=5"));
    check_int(s.at[s.len], 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buf_bound),
                                       cmocka_unit_test(test_arena)};
    return cmocka_run_group_tests_name("base/memory", tests, NULL, NULL);
}
