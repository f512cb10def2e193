/* What store.h promises, asked of every store in turn. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"

static const struct store_ops *const kinds[] = {&store_memory, &store_sqlite};
static const struct store_ops *ops;
static struct store *store;
static char dir[64], path[96];

static uint64_t soon(void)
{
    return clock_mono_us() + 1000 * 1000;
}

static int setup(void **state)
{
    ops = *state;
    snprintf(dir, sizeof dir, "/tmp/sema-store-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/s.db", dir);
    struct store_conf conf = {.address = str_of(path), .sync_full = true};
    return ops->open(&store, &conf, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
    ops->close(store);
    for (const char *const *end = (const char *const[]){"", "-wal", "-shm", NULL}; *end; end++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, *end);
        unlink(name);
    }
    rmdir(dir);
    return 0;
}

/* ---- what was read, as one text: "born? count model | seq role content metadata; ..." ---- */

struct seen {
    char text[4096];
    struct session_row row;
    char model[64];
    uint64_t next;
};

static enum err on_row(void *ctx, const struct session_row *row)
{
    struct seen *s = ctx;
    s->row = *row;
    snprintf(s->model, sizeof s->model, "%.*s", STR_ARG(row->model_name));
    return ERR_NONE;
}

static enum err on_message(void *ctx, uint64_t seq, const struct stored *m)
{
    struct seen *s = ctx;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, "%llu%c:%.*s ", (unsigned long long)seq,
             m->role == STORED_USER ? 'u' : 'a', STR_ARG(m->content));
    return ERR_NONE;
}

static enum err on_listed(void *ctx, const struct session_row *row)
{
    struct seen *s = ctx;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, "%.*s/%.*s:%llu ", STR_ARG(row->key.owner),
             STR_ARG(row->key.id), (unsigned long long)row->count);
    return ERR_NONE;
}

static struct session_key key(const char *owner, const char *id)
{
    return (struct session_key){str_of(owner), str_of(id)};
}

static struct seen look(struct session_key k, uint64_t cutoff_us, uint64_t before, uint64_t max)
{
    struct seen s = {.text = ""};
    check_int(ops->read(store, k, cutoff_us, before, max, on_row, on_message, &s, NULL), ERR_NONE);
    return s;
}

static void check_list(const char *owner, uint64_t cutoff_us, const char *want)
{
    struct seen s = {.text = ""};
    check_int(ops->list(store, str_of(owner), cutoff_us, 0, 100, on_listed, &s, &s.next, NULL),
              ERR_NONE);
    check_str(str_of(s.text), str_of(want));
    check_int(s.next, 0);
}

/* One turn: question q, answer a. */
static enum err turn(struct session_key k, uint64_t born, uint64_t seq, const char *q,
                     const char *a, uint64_t now_us)
{
    struct stored m[] = {{STORED_USER, str_of(q), now_us, STR("{}")},
                         {STORED_ASSISTANT, str_of(a), now_us, STR("{\"x\":1}")}};
    struct store_append ap = {.key = k,
                              .born = born,
                              .seq = seq,
                              .messages = m,
                              .count = 2,
                              .model_name = STR("m"),
                              .now_us = now_us};
    ops->append(store, &ap, 1, soon(), NULL);
    return ap.result;
}

/* ---- the promises ---- */

static void test_turns(void **state)
{
    struct session_key k = key("", "s");
    struct stored m = {STORED_USER, STR("asked"), 60, STR("{}")};
    struct store_append ap = {.key = key("", "t"), .messages = &m, .count = 1, .now_us = 100};
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(look(ap.key, 0, 0, 0).row.created_us, 60); /* when it was asked, not stored */
    check_int(look(ap.key, 0, 0, 0).row.updated_us, 100);
    check_int(look(k, 0, 0, UINT64_MAX).row.born, 0);
    check_int(turn(k, 0, 0, "q1", "a1", 100), ERR_NONE);
    struct seen s = look(k, 0, 0, UINT64_MAX);
    check_str(str_of(s.text), STR("0u:q1 1a:a1 "));
    check_str(str_of(s.model), STR("m"));
    check_true(s.row.born != 0);
    check_int(s.row.created_us, 100);
    check_int(turn(k, s.row.born, 2, "q2", "a2", 200), ERR_NONE);
    s = look(k, 0, 0, UINT64_MAX);
    check_str(str_of(s.text), STR("0u:q1 1a:a1 2u:q2 3a:a2 "));
    check_int(s.row.created_us, 100);
    check_int(s.row.updated_us, 200);
    check_int(s.row.count, 4);
}

static void test_windows(void **state)
{
    static const struct {
        uint64_t before, max;
        const char *want;
    } cases[] = {
        {0, 0, ""},
        {0, 1, "5a:a3 "},
        {0, 3, "3a:a2 4u:q3 5a:a3 "},
        {3, 1, "1a:a1 "},
        {3, 9, "0u:q1 1a:a1 "},
        {1, 9, ""},
        {99, 2, "4u:q3 5a:a3 "},
        {4, 2, "1a:a1 2u:q2 "},
    };
    struct session_key k = key("", "s");
    turn(k, 0, 0, "q1", "a1", 1);
    uint64_t born = look(k, 0, 0, 0).row.born;
    turn(k, born, 2, "q2", "a2", 2);
    turn(k, born, 4, "q3", "a3", 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s = look(k, 0, cases[i].before, cases[i].max);
        check_str(str_of(s.text), str_of(cases[i].want));
        check_int(s.row.count, 6);
    }
}

/* The same text under two owners, and a NUL inside, are four sessions. */
static void test_keys(void **state)
{
    struct session_key a = {STR("x"), STR("id\0one")}, b = {STR("x"), STR("id\0two")},
                       c = {STR(""), STR("id\0one")}, d = {STR("xi"), STR("d\0one")};
    check_int(turn(a, 0, 0, "a", "A", 1), ERR_NONE);
    check_int(turn(b, 0, 0, "b", "B", 1), ERR_NONE);
    check_int(turn(c, 0, 0, "c", "C", 1), ERR_NONE);
    check_int(turn(d, 0, 0, "d", "D", 1), ERR_NONE);
    check_str(str_of(look(a, 0, 0, 9).text), STR("0u:a 1a:A "));
    check_str(str_of(look(b, 0, 0, 9).text), STR("0u:b 1a:B "));
    check_str(str_of(look(c, 0, 0, 9).text), STR("0u:c 1a:C "));
    check_str(str_of(look(d, 0, 0, 9).text), STR("0u:d 1a:D "));
}

/* Any bytes come back as they were. */
static void test_bytes(void **state)
{
    static const struct {
        str content, metadata;
    } cases[] = {
        {STR(""), STR("{}")},
        {STR("a\0b"), STR("{\"n\":1.10}")},
        {STR("\xf0\x9f\x98\x80"), STR("{}")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stored m = {STORED_USER, cases[i].content, 7, cases[i].metadata};
        struct store_append ap = {.key = {STR(""), str_span("0123456789" + i, 1)},
                                  .messages = &m,
                                  .count = 1,
                                  .now_us = 7};
        check_int(ops->append(store, &ap, 1, soon(), NULL), ERR_NONE);
        struct seen s = look(ap.key, 0, 0, 9);
        char want[64];
        snprintf(want, sizeof want, "0u:%.*s ", STR_ARG(cases[i].content));
        check_str(str_of(s.text), str_of(want));
    }
}

static void test_conflicts(void **state)
{
    struct session_key k = key("", "s");
    turn(k, 0, 0, "q1", "a1", 1);
    uint64_t born = look(k, 0, 0, 0).row.born;
    check_int(turn(k, 0, 0, "x", "y", 2), ERR_CONFLICT);
    check_int(turn(k, born, 0, "x", "y", 2), ERR_CONFLICT);
    check_int(turn(k, born, 3, "x", "y", 2), ERR_CONFLICT);
    check_int(turn(k, born + 1, 2, "x", "y", 2), ERR_NOT_FOUND);
    check_int(turn(key("", "t"), born, 2, "x", "y", 2), ERR_NOT_FOUND);
    check_str(str_of(look(k, 0, 0, 9).text), STR("0u:q1 1a:a1 "));
    check_int(look(key("", "t"), 0, 0, 9).row.born, 0);

    struct stored m = {STORED_USER, STR("behind"), 3, STR("{}")};
    struct store_append ap = {
        .key = k, .born = born, .at_end = true, .messages = &m, .count = 1, .now_us = 3};
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(ap.result, ERR_NONE);
    check_str(str_of(look(k, 0, 0, 9).text), STR("0u:q1 1a:a1 2u:behind "));
    ap.born++;
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(ap.result, ERR_NOT_FOUND); /* of another life all the same */
}

/* A forgotten session is another one when it comes again; a turn of its former life cannot revive
 * it. */
static void test_forget(void **state)
{
    struct session_key k = key("o", "s");
    bool was = true;
    check_int(ops->forget(store, k, &was, NULL), ERR_NONE);
    check_true(!was);
    turn(k, 0, 0, "q1", "a1", 1);
    uint64_t born = look(k, 0, 0, 0).row.born;
    check_int(ops->forget(store, k, &was, NULL), ERR_NONE);
    check_true(was);
    check_int(turn(k, born, 2, "x", "y", 2), ERR_NOT_FOUND);
    check_int(turn(k, 0, 0, "q2", "a2", 3), ERR_NONE);
    check_true(look(k, 0, 0, 0).row.born != born);
    check_int(turn(k, born, 2, "x", "y", 4), ERR_NOT_FOUND);
    check_str(str_of(look(k, 0, 0, 9).text), STR("0u:q2 1a:a2 "));
}

/* Each of a batch has its own result. */
static void test_batch(void **state)
{
    struct stored m = {STORED_USER, STR("m"), 1, STR("{}")};
    struct store_append b[] = {
        {.key = key("", "a"), .messages = &m, .count = 1, .now_us = 1},
        {.key = key("", "b"), .born = 77, .seq = 2, .messages = &m, .count = 1, .now_us = 1},
        {.key = key("", "a"), .messages = &m, .count = 1, .now_us = 1},
        {.key = key("", "c"), .messages = &m, .count = 1, .now_us = 1},
    };
    check_int(ops->append(store, b, 4, soon(), NULL), ERR_NONE);
    check_int(b[0].result, ERR_NONE);
    check_true(b[0].created);
    check_int(b[1].result, ERR_NOT_FOUND);
    check_int(b[2].result, ERR_CONFLICT);
    check_true(!b[2].created);
    check_int(b[3].result, ERR_NONE);
    check_list(NULL, 0, "/a:1 /c:1 ");
}

static void test_list(void **state)
{
    turn(key("x", "1"), 0, 0, "q", "a", 10);
    turn(key("y", "2"), 0, 0, "q", "a", 20);
    turn(key("x", "3"), 0, 0, "q", "a", 30);
    turn(key("", "4"), 0, 0, "q", "a", 40);
    turn(key("x", "1"), look(key("x", "1"), 0, 0, 0).row.born, 2, "q", "a", 50);
    check_list(NULL, 0, "x/1:4 y/2:2 x/3:2 /4:2 ");
    check_list("x", 0, "x/1:4 x/3:2 ");
    check_list("", 0, "/4:2 ");
    check_list("z", 0, "");
    check_list("x", 31, "x/1:4 ");

    struct seen s = {.text = ""};
    ops->list(store, STR_NONE, 0, 0, 2, on_listed, &s, &s.next, NULL);
    check_str(str_of(s.text), STR("x/1:4 y/2:2 "));
    check_true(s.next != 0);
    s.text[0] = '\0';
    ops->list(store, STR_NONE, 0, s.next, 2, on_listed, &s, &s.next, NULL);
    check_str(str_of(s.text), STR("x/3:2 /4:2 "));
    check_int(s.next, 0);

    static const struct {
        const char *owner;
        uint64_t cutoff_us, max;
        int want;
    } counts[] = {
        {NULL, 0, 99, 4}, {NULL, 0, 3, 3}, {"x", 0, 99, 2}, {"x", 31, 99, 1}, {"q", 0, 9, 0}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t n = 99;
        check_int(ops->count(store, str_of(counts[i].owner), counts[i].cutoff_us, counts[i].max, &n,
                             NULL),
                  ERR_NONE);
        check_int(n, counts[i].want);
    }
}

/* An expired session is gone at once; the next turn of its id begins a new one. */
static void test_expiry(void **state)
{
    struct session_key k = key("", "s");
    turn(k, 0, 0, "old", "old", 100);
    uint64_t born = look(k, 0, 0, 0).row.born;
    check_int(look(k, 100, 0, 9).row.born, born);
    check_int(look(k, 101, 0, 9).row.born, 0);
    check_list(NULL, 101, "");

    struct stored m = {STORED_USER, STR("new"), 300, STR("{}")};
    struct store_append ap = {
        .key = k, .messages = &m, .count = 1, .now_us = 300, .timeout_us = 200};
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(ap.result, ERR_CONFLICT); /* idle for exactly as long: still there */
    ap.timeout_us = 199;
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(ap.result, ERR_NONE);
    check_true(!ap.created); /* one came, one went */
    check_str(str_of(look(k, 0, 0, 9).text), STR("0u:new "));
}

static void test_owner_limit(void **state)
{
    struct stored m = {STORED_USER, STR("m"), 1, STR("{}")};
    struct store_append ap = {.messages = &m, .count = 1, .now_us = 1, .owner_sessions_max = 2};
    static const struct {
        const char *owner, *id;
        enum err want;
    } cases[] = {{"x", "1", ERR_NONE}, {"y", "1", ERR_NONE},
                 {"x", "2", ERR_NONE}, {"x", "3", ERR_SESSION_LIMIT},
                 {"y", "2", ERR_NONE}, {"y", "3", ERR_SESSION_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ap.key = key(cases[i].owner, cases[i].id);
        ops->append(store, &ap, 1, soon(), NULL);
        check_int(ap.result, cases[i].want);
    }
    /* One that exists may go on. */
    ap.key = key("x", "1");
    ap.born = look(ap.key, 0, 0, 0).row.born;
    ap.seq = 1;
    ops->append(store, &ap, 1, soon(), NULL);
    check_int(ap.result, ERR_NONE);
}

static bool two_is_busy(void *ctx, struct session_key k)
{
    return str_eq(k.id, STR("2"));
}

static void on_gone(void *ctx, struct session_key k)
{
    char *text = ctx;
    size_t n = strlen(text);
    snprintf(text + n, 64 - n, "%.*s ", STR_ARG(k.id));
}

static void test_sweep(void **state)
{
    char gone_ids[64] = "";
    uint64_t gone = 99;
    for (int i = 1; i <= 6; i++) {
        char id[2] = {(char)('0' + i), 0};
        turn(key("", id), 0, 0, "q", "a", (uint64_t)i * 10);
    }
    turn(key("", "1"), look(key("", "1"), 0, 0, 0).row.born, 2, "q", "a", 70);

    check_int(ops->sweep(store, 31, 0, two_is_busy, on_gone, gone_ids, &gone, NULL), ERR_NONE);
    check_int(gone, 1);
    check_str(str_of(gone_ids), STR("3 "));
    check_list(NULL, 0, "/1:4 /2:2 /4:2 /5:2 /6:2 ");
    /* 2 has been idle longest and 1 shortest. */
    check_int(ops->sweep(store, 0, 3, two_is_busy, on_gone, gone_ids, &gone, NULL), ERR_NONE);
    check_int(gone, 2);
    check_list(NULL, 0, "/1:4 /2:2 /6:2 ");
    check_int(ops->sweep(store, 0, 3, two_is_busy, on_gone, gone_ids, &gone, NULL), ERR_NONE);
    check_int(gone, 0);
    ops->tend(store, clock_mono_us());
    check_list(NULL, 0, "/1:4 /2:2 /6:2 ");
}

/* A callback's error ends the reading and comes out. */
static enum err enough(void *ctx, uint64_t seq, const struct stored *m)
{
    ++*(int *)ctx;
    return ERR_LIMIT;
}

static enum err pass(void *ctx, const struct session_row *row)
{
    return ERR_NONE;
}

static void test_stop(void **state)
{
    int calls = 0;
    turn(key("", "s"), 0, 0, "q", "a", 1);
    check_int(ops->read(store, key("", "s"), 0, 0, 9, pass, enough, &calls, NULL), ERR_LIMIT);
    check_int(calls, 1);
    check_str(str_of(look(key("", "s"), 0, 0, 9).text), STR("0u:q 1a:a "));
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } promises[] = {
        {"turns", test_turns},         {"windows", test_windows},
        {"keys", test_keys},           {"bytes", test_bytes},
        {"conflicts", test_conflicts}, {"forget", test_forget},
        {"batch", test_batch},         {"list", test_list},
        {"expiry", test_expiry},       {"owner_limit", test_owner_limit},
        {"sweep", test_sweep},         {"stop", test_stop},
    };
    enum { PROMISES = sizeof promises / sizeof *promises, KINDS = sizeof kinds / sizeof *kinds };
    static struct CMUnitTest tests[PROMISES * KINDS];
    static char names[PROMISES * KINDS][64];

    for (size_t i = 0; i < PROMISES * KINDS; i++) {
        const struct store_ops *kind = kinds[i / PROMISES];
        snprintf(names[i], sizeof names[i], "%s %s", kind->scheme, promises[i % PROMISES].name);
        tests[i] = (struct CMUnitTest){names[i], promises[i % PROMISES].run, setup, teardown,
                                       (void *)(uintptr_t)kind};
    }
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
