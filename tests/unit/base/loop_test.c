/* The loop: timers ring in order of time, messages arrive in order, a stop ends the run. */
#include "check.h"

#include <pthread.h>

#include "base/loop.h"
#include "base/queue.h"

static struct loop *loop;
static int rung[64], rings;

struct bell {
    struct timer timer;
    int number;
};

static void on_ring(struct timer *t)
{
    rung[rings++] = container_of(t, struct bell, timer)->number;
    if (rings == 3) loop_stop(loop);
}

static void test_timers(void **state)
{
    (void)state;
    struct bell a = {.number = 1}, b = {.number = 2}, c = {.number = 3}, d = {.number = 4};

    rings = 0;
    check_int(loop_new(&loop, NULL), ERR_NONE);
    timer_set(&c.timer, loop, 30, on_ring);
    timer_set(&a.timer, loop, 40, on_ring);
    timer_set(&b.timer, loop, 20, on_ring);
    timer_set(&d.timer, loop, 5, on_ring);
    timer_stop(&d.timer);
    timer_set(&a.timer, loop, 10, on_ring); /* moved */
    loop_run(loop);
    check_int(rings, 3);
    check_int(rung[0], 1);
    check_int(rung[1], 2);
    check_int(rung[2], 3);
    loop_free(loop);
}

static void test_many_timers(void **state)
{
    (void)state;
    static struct bell bells[1000];
    check_int(loop_new(&loop, NULL), ERR_NONE);
    for (int i = 0; i < 1000; i++)
        timer_set(&bells[i].timer, loop, (uint64_t)(i * 7919 % 1000), on_ring);
    for (int i = 0; i < 1000; i += 2) timer_stop(&bells[i].timer);
    for (int i = 1; i < 1000; i += 2) timer_stop(&bells[i].timer);
    for (int i = 0; i < 1000; i++) check_true(!timer_is_set(&bells[i].timer));
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

struct note {
    struct task task;
    int number;
};

static int seen[100], seen_count;

static void on_note(struct task *t)
{
    seen[seen_count++] = container_of(t, struct note, task)->number;
    if (seen_count == 100) loop_stop(loop);
}

static void *post_all(void *notes)
{
    struct note *n = notes;
    for (int i = 0; i < 100; i++) {
        n[i].number = i;
        n[i].task.run = on_note;
        loop_post(loop, &n[i].task);
    }
    return NULL;
}

static void test_messages(void **state)
{
    (void)state;
    struct note notes[100];
    pthread_t sender;

    check_int(loop_new(&loop, NULL), ERR_NONE);
    pthread_create(&sender, NULL, post_all, notes);
    loop_run(loop);
    pthread_join(sender, NULL);
    for (int i = 0; i < 100; i++) check_int(seen[i], i);
    loop_free(loop);
}

static void test_queue(void **state)
{
    (void)state;
    struct queue *q = queue_new(20);
    int items[21];

    for (int i = 0; i < 20; i++) check_true(queue_put(q, &items[i]));
    check_true(!queue_put(q, &items[20]));
    for (int i = 0; i < 20; i++) check_true(queue_take(q, 0) == &items[i]);
    check_true(queue_take(q, 5) == NULL);
    queue_close(q);
    check_true(queue_take(q, -1) == NULL);
    check_true(!queue_put(q, &items[0]));
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_many_timers),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests_name("base/loop", tests, NULL, NULL);
}
