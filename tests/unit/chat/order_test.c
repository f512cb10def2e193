/* The table of places by itself: who is called when, and what a deletion holds up. */
#include "check.h"

#include <uv.h>

#include "base/loop.h"
#include "chat/order.h"

static struct loop *loop;
static struct order *order;
static const struct session_key key = {{"", 0}, {"s", 1}};

struct guest {
    struct place place;
    int calls;
};

static void on_called(struct place *p)
{
    container_of(p, struct guest, place)->calls++;
}

static void enter(struct guest *g)
{
    g->calls = 0;
    check_int(order_enter(order, &g->place, key, loop, on_called), ERR_NONE);
}

static void run(void)
{
    for (int i = 0; i < 3; i++) uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

static enum err queued(void *ctx)
{
    return ERR_NONE;
}

static enum err not_queued(void *ctx)
{
    return ERR_STORE;
}

static void test_one_after_the_other(void **state)
{
    struct guest a, b, c;
    enter(&a);
    check_int(a.calls, 0); /* later, never inside the call */
    enter(&b);
    enter(&c);
    run();
    check_int(a.calls, 1);
    check_true(order_begin(order, &a.place));
    check_int(b.calls, 0);
    check_true(order_leave(order, &b.place)); /* one that waits may go */
    check_true(order_leave(order, &a.place));
    check_true(!order_leave(order, &c.place)); /* called, but it did not hear of it yet */
    run();
    check_int(c.calls, 1);
    check_int(b.calls, 0);
    check_true(order_busy(order, key));
    check_true(order_leave(order, &c.place));
    check_true(!order_busy(order, key));
}

/* While a session is being forgotten no turn of it begins; the one that runs is marked. */
static void test_forgetting(void **state)
{
    struct entry *e = NULL, *again = NULL;
    struct guest a, b;

    enter(&a);
    run();
    check_true(order_begin(order, &a.place));
    enter(&b);
    check_int(order_forget(order, key, queued, NULL, &e), ERR_NONE);
    check_true(a.place.forgotten);
    check_int(order_forget(order, key, queued, NULL, &again), ERR_NONE);
    check_true(order_leave(order, &a.place));
    run();
    check_int(b.calls, 0);
    order_forgot(order, e);
    run();
    check_int(b.calls, 0); /* the second is still under way */
    order_forgot(order, again);
    run();
    check_int(b.calls, 1);
    check_true(!b.place.forgotten);
    /* Between its call and its beginning: called again. */
    check_int(order_forget(order, key, queued, NULL, &e), ERR_NONE);
    check_true(!order_begin(order, &b.place));
    order_forgot(order, e);
    run();
    check_int(b.calls, 2);
    check_true(order_begin(order, &b.place));
    check_true(!b.place.forgotten);
    /* A deletion that the store did not take changes nothing. */
    check_int(order_forget(order, key, not_queued, NULL, &e), ERR_STORE);
    check_true(!b.place.forgotten);
    check_true(order_leave(order, &b.place));
    check_int(order_forget(order, key, not_queued, NULL, &e), ERR_STORE);
    check_int(order_forget(order, key, queued, NULL, &e), ERR_NONE);
    enter(&a);
    run();
    check_int(a.calls, 0);
    order_forgot(order, e);
    run();
    check_int(a.calls, 1);
    check_true(order_leave(order, &a.place));
}

static void copy(void *ctx, const struct asking *a)
{
    *(uint64_t *)ctx = a->at_us;
}

static void test_asking(void **state)
{
    struct asking q = {.at_us = 7};
    struct entry *e = NULL;
    struct guest a;
    uint64_t seen = 0;

    enter(&a);
    run();
    check_true(order_begin(order, &a.place));
    order_asking(order, key, copy, &seen);
    check_int(seen, 0);
    order_show(order, &a.place, &q);
    order_asking(order, key, copy, &seen);
    check_int(seen, 7);
    order_swept(order, key);
    check_true(a.place.swept);
    check_int(order_forget(order, key, queued, NULL, &e), ERR_NONE);
    seen = 0;
    order_asking(order, key, copy, &seen);
    check_int(seen, 0);
    order_forgot(order, e);
    check_true(order_leave(order, &a.place));
}

static int setup(void **state)
{
    return loop_new(&loop, NULL) || order_new(&order);
}

static int teardown(void **state)
{
    order_free(order); /* empty, it asserts */
    loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgetting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asking, setup, teardown),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
