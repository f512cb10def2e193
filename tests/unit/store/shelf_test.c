/* The shelf: blocking stores behind loops.  Deadlines, order, who is swept, what a close still
 * writes. */
#include "check.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "conf/limits.h"
#include "store/store.h"

static struct loop *loop;
static struct shelf *shelf;
static const struct store_ops *const kinds[] = {&store_memory, &store_sqlite, NULL};
static char dir[32], path[64];

static void on_tick(struct timer *t)
{
}

#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        uint64_t until_ = clock_mono_us() + 8000000;                                               \
        while (!(cond)) {                                                                          \
            static struct timer tick_;                                                             \
            timer_set(&tick_, loop, 2, on_tick);                                                   \
            uv_run(loop_uv(loop), UV_RUN_ONCE);                                                    \
            timer_stop(&tick_);                                                                    \
            check_true(clock_mono_us() < until_);                                                  \
        }                                                                                          \
    } while (0)

static void open_shelf(struct shelf_conf c)
{
    struct err_note why = {.text = ""};
    log_open(&(struct log_conf){.threshold = LEVEL_CRITICAL, .to_stderr = true}, NULL);
    check_int(loop_new(&loop, NULL), ERR_NONE);
    if (c.kinds == NULL) c.kinds = kinds;
    if (shelf_open(&shelf, &c, &why)) print_error("%s\n", why.text);
    assert_non_null(shelf);
}

static void close_shelf(void)
{
    shelf_close(shelf);
    shelf = NULL;
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

/* ---- asking ---- */

struct got {
    int calls;
    struct shelf_answer *a;
};

static void on_done(void *ctx, struct shelf_answer *a)
{
    struct got *g = ctx;
    g->calls++;
    shelf_answer_free(g->a);
    g->a = a;
}

static struct session_key key(const char *owner, const char *id)
{
    return (struct session_key){str_of(owner), str_of(id)};
}

static enum err add(const char *owner, const char *id, uint64_t born, uint64_t seq)
{
    struct stored m[] = {{STORED_USER, STR("q"), 1, STR("{}")},
                         {STORED_ASSISTANT, STR("a"), 1, STR("{}")}};
    struct store_append a = {
        .key = key(owner, id), .born = born, .seq = seq, .messages = m, .count = 2};
    struct got g = {0};
    check_int(shelf_append(shelf, loop, &a, on_done, &g), ERR_NONE);
    UNTIL(g.calls);
    enum err e = g.a->e;
    shelf_answer_free(g.a);
    return e;
}

/* How many messages; -1: no such session, -2: an error. */
static int count_of(const char *owner, const char *id)
{
    struct got g = {0};
    check_int(shelf_read(shelf, loop, key(owner, id), 0, UINT64_MAX, on_done, &g), ERR_NONE);
    UNTIL(g.calls);
    int n = g.a->e ? -2 : g.a->row.born ? (int)g.a->count : -1;
    check_true(n < 0 || g.a->row.count == g.a->count);
    shelf_answer_free(g.a);
    return n;
}

/* ---- the ordinary, on both stores ---- */

static void test_ordinary(const char *address)
{
    struct got g = {0};
    open_shelf((struct shelf_conf){.address = str_of(address), .sync_full = true});
    check_int(count_of("", "s"), -1);
    check_int(add("", "s", 0, 0), ERR_NONE);
    check_int(count_of("", "s"), 2); /* what was acknowledged is read by the next */
    check_int(add("", "t", 0, 0), ERR_NONE);
    check_int(shelf_sessions(shelf), 2);
    check_int(shelf_list(shelf, loop, STR(""), 0, 1, on_done, &g), ERR_NONE);
    UNTIL(g.calls == 1);
    check_int(g.a->rows_count, 1);
    check_str(g.a->rows[0].key.id, STR("s"));
    check_true(g.a->next != 0);
    check_int(shelf_forget(shelf, loop, key("", "s"), on_done, &g), ERR_NONE);
    check_int(g.calls, 1); /* later, never inside the call */
    UNTIL(g.calls == 2);
    check_int(g.a->e, ERR_NONE);
    check_int(count_of("", "s"), -1);
    check_int(shelf_sessions(shelf), 1);
    shelf_answer_free(g.a);
    close_shelf();
}

static void test_memory(void **state)
{
    test_ordinary("memory:");
}

static void test_sqlite(void **state)
{
    char address[80];
    snprintf(address, sizeof address, "sqlite:%s", path);
    test_ordinary(address);
    open_shelf((struct shelf_conf){.address = str_of(path)}); /* a bare path */
    check_int(shelf_sessions(shelf), 1);
    check_int(count_of("", "t"), 2);
    close_shelf();
}

static void test_close_writes(void **state)
{
    struct stored m = {STORED_USER, STR("q"), 1, STR("{}")};
    open_shelf((struct shelf_conf){.address = str_of(path)});
    static struct got g[50];
    for (int i = 0; i < 50; i++) {
        struct store_append a = {
            .key = {STR(""), str_span("01234567890123456789012345678901234567890123456789"
                                      "0" +
                                          i,
                                      2)},
            .messages = &m,
            .count = 1};
        a.key.owner = str_span("abcde" + i / 10, 1);
        check_int(shelf_append(shelf, loop, &a, on_done, &g[i]), ERR_NONE);
    }
    shelf_close(shelf);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    for (int i = 0; i < 50; i++) {
        check_int(g[i].calls, 1);
        check_int(g[i].a->e, ERR_NONE);
        shelf_answer_free(g[i].a);
    }
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    open_shelf((struct shelf_conf){.address = str_of(path)});
    check_int(shelf_sessions(shelf), 50);
    close_shelf();
}

static void test_unknown(void **state)
{
    struct shelf *s = NULL;
    struct err_note why = {.text = ""};
    static const struct store_ops *const none[] = {&store_memory, NULL};
    struct shelf_conf c = {.kinds = none, .address = STR("redis://x")};
    check_int(shelf_open(&s, &c, &why), ERR_STORE);
    check_str(str_of(why.text), STR("unknown session store \"redis://x\""));
}

/* ---- limits ---- */

static void test_owner_limit(void **state)
{
    struct got g = {0};
    open_shelf((struct shelf_conf){.address = STR("memory:"), .owner_sessions_max = 1});
    check_int(add("x", "1", 0, 0), ERR_NONE);
    check_int(add("x", "2", 0, 0), ERR_SESSION_LIMIT);
    check_int(add("", "1", 0, 0), ERR_NONE); /* nobody in particular: not counted */
    check_int(add("", "2", 0, 0), ERR_NONE);
    static const struct {
        const char *owner, *id;
        enum err want;
    } cases[] = {{"x", "1", ERR_NONE},
                 {"x", "2", ERR_SESSION_LIMIT},
                 {"", "3", ERR_NONE},
                 {"y", "1", ERR_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        g.calls = 0;
        shelf_read_for_turn(shelf, loop, key(cases[i].owner, cases[i].id), 9, on_done, &g);
        UNTIL(g.calls);
        check_int(g.a->e, cases[i].want);
    }
    shelf_answer_free(g.a);
    close_shelf();
}

static bool one_is_busy(void *ctx, struct session_key k)
{
    return str_eq(k.id, STR("1"));
}

static _Atomic int gone_count;

static void on_gone(void *ctx, struct session_key k)
{
    gone_count++;
}

static void test_sessions_max(void **state)
{
    open_shelf((struct shelf_conf){.address = STR("memory:"), .sessions_max = 2});
    shelf_watch(shelf, one_is_busy, on_gone, NULL);
    gone_count = 0;
    check_int(add("", "1", 0, 0), ERR_NONE);
    check_int(add("", "2", 0, 0), ERR_NONE);
    check_int(add("", "3", 0, 0), ERR_NONE);
    UNTIL(shelf_sessions(shelf) == 2);
    check_int(gone_count, 1);
    check_int(count_of("", "1"), 2); /* the oldest, but busy */
    check_int(count_of("", "2"), -1);
    check_int(count_of("", "3"), 2);
    close_shelf();
}

static void test_timeout(void **state)
{
    open_shelf((struct shelf_conf){.address = STR("memory:"), .timeout_us = 50 * 1000});
    check_int(add("", "s", 0, 0), ERR_NONE);
    check_int(count_of("", "s"), 2);
    usleep(60 * 1000);
    check_int(count_of("", "s"), -1); /* gone at once */
    check_int(add("", "s", 0, 0), ERR_NONE);
    check_int(count_of("", "s"), 2);
    check_int(shelf_sessions(shelf), 1);
    close_shelf();
}

/* ---- a store that hangs ---- */

static pthread_mutex_t stuck = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int appended;

static enum err slow_append(struct store *s, struct store_append *batch, size_t count,
                            uint64_t until_us, struct err_note *why)
{
    pthread_mutex_lock(&stuck);
    pthread_mutex_unlock(&stuck);
    appended += (int)count;
    return store_memory.append(s, batch, count, until_us, why);
}

/* The writer is stuck in a commit: what waits behind it is told so after STORE_WAIT_MS, and is not
 * written when the writer comes back. */
static void test_stuck(void **state)
{
    struct store_ops slow = store_memory;
    const struct store_ops *const slow_kinds[] = {&slow, NULL};
    struct stored m = {STORED_USER, STR("q"), 1, STR("{}")};
    struct store_append a = {.key = key("", "1"), .messages = &m, .count = 1},
                        b = {.key = key("", "2"), .messages = &m, .count = 1};
    struct got first = {0}, second = {0}, third = {0};

    slow.append = slow_append;
    appended = 0;
    open_shelf((struct shelf_conf){.kinds = slow_kinds, .address = STR("memory:")});
    pthread_mutex_lock(&stuck);
    shelf_append(shelf, loop, &a, on_done, &first);
    usleep(20 * 1000);
    uint64_t began = clock_mono_us();
    shelf_append(shelf, loop, &b, on_done, &second);
    shelf_forget(shelf, loop, key("", "2"), on_done, &third);
    UNTIL(second.calls && third.calls);
    uint64_t waited_ms = (clock_mono_us() - began) / 1000;
    check_true(waited_ms > STORE_WAIT_MS - 100 && waited_ms < STORE_WAIT_MS + 500);
    check_int(second.a->e, ERR_STORE);
    check_int(third.a->e, ERR_STORE);
    check_int(first.calls, 0); /* a begun commit is waited for */
    pthread_mutex_unlock(&stuck);
    UNTIL(first.calls);
    check_int(first.a->e, ERR_NONE);
    check_int(count_of("", "2"), -1);
    check_int(appended, 1);
    shelf_answer_free(first.a);
    shelf_answer_free(second.a);
    shelf_answer_free(third.a);
    close_shelf();
}

/* ---- many turns at once share commits ---- */

static _Atomic int commits;

static enum err counting_append(struct store *s, struct store_append *batch, size_t count,
                                uint64_t until_us, struct err_note *why)
{
    commits++;
    usleep(1000);
    return store_memory.append(s, batch, count, until_us, why);
}

static void test_group(void **state)
{
    struct store_ops counting = store_memory;
    const struct store_ops *const counting_kinds[] = {&counting, NULL};
    struct stored m = {STORED_USER, STR("q"), 1, STR("{}")};
    static struct got g[200];

    counting.append = counting_append;
    commits = 0;
    open_shelf((struct shelf_conf){.kinds = counting_kinds, .address = STR("memory:")});
    for (int i = 0; i < 200; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        struct store_append a = {.key = key("", id), .messages = &m, .count = 1};
        check_int(shelf_append(shelf, loop, &a, on_done, &g[i]), ERR_NONE);
    }
    int done;
    do {
        done = 0;
        UNTIL(shelf_sessions(shelf) == 200);
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
        for (int i = 0; i < 200; i++) done += g[i].calls;
    } while (done < 200);
    check_true(commits < 100);
    for (int i = 0; i < 200; i++) {
        check_int(g[i].a->e, ERR_NONE);
        shelf_answer_free(g[i].a);
    }
    close_shelf();
}

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/sema-shelf-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/s.db", dir);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(dir); /* a clean close leaves the one file */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(memory),       CASE(sqlite),  CASE(close_writes), CASE(unknown), CASE(owner_limit),
        CASE(sessions_max), CASE(timeout), CASE(stuck),        CASE(group),
    };
    return cmocka_run_group_tests_name("shelf", tests, NULL, NULL);
}
