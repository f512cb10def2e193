/* The SQLite store and what happens to its file: not there, not ours, damaged, full disk, a second
 * process, text that was to be forgotten (reliability.md section 4). */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "store/store.h"

static char dir[32], path[64];
static const struct store_ops *const ops = &store_sqlite;

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/sema-file-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/s.db", dir);
    return 0;
}

static int teardown(void **state)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static enum err open_at(struct store **out, const char *at, struct err_note *why)
{
    struct store_conf conf = {.address = str_of(at), .sync_full = false};
    return ops->open(out, &conf, why);
}

static struct store *open_store(void)
{
    struct store *s = NULL;
    struct err_note why = {.text = ""};
    if (open_at(&s, path, &why)) print_error("%s\n", why.text);
    assert_non_null(s);
    return s;
}

static struct session_key key(const char *id)
{
    return (struct session_key){STR(""), str_of(id)};
}

/* ---- reading, for what follows ---- */

struct seen {
    struct session_row row;
    uint64_t messages, bytes;
    uint64_t next_seq;
    bool out_of_order;
};

static enum err on_row(void *ctx, const struct session_row *row)
{
    ((struct seen *)ctx)->row = *row;
    return ERR_NONE;
}

static enum err on_message(void *ctx, uint64_t seq, const struct stored *m)
{
    struct seen *s = ctx;
    s->out_of_order =
        s->out_of_order || seq != s->next_seq || (m->role == STORED_USER) != (seq % 2 == 0);
    s->next_seq++;
    s->messages++;
    s->bytes += m->content.len;
    return ERR_NONE;
}

static enum err look(struct store *s, const char *id, struct seen *out)
{
    *out = (struct seen){.messages = 0};
    return ops->read(s, key(id), 0, 0, UINT64_MAX, on_row, on_message, out, NULL);
}

/* Adds one turn to whatever the session holds. */
static enum err add(struct store *s, const char *id, str text, uint64_t until_us)
{
    struct stored m[] = {{STORED_USER, text, 1, STR("{}")}, {STORED_ASSISTANT, text, 1, STR("{}")}};
    struct seen seen;
    enum err e = look(s, id, &seen);
    if (e) return e;
    struct store_append a = {.key = key(id),
                             .born = seen.row.born,
                             .seq = seen.row.count,
                             .messages = m,
                             .count = 2,
                             .now_us = clock_wall_us()};
    ops->append(s, &a, 1, until_us, NULL);
    return a.result;
}

static uint64_t in_ms(uint64_t ms)
{
    return clock_mono_us() + ms * 1000;
}

/* ---- files as bytes ---- */

static char *slurp(const char *at, size_t *len)
{
    FILE *f = fopen(at, "rb");
    *len = 0;
    if (f == NULL) return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*len + 1);
    check_int(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

static void spill(const char *at, const void *bytes, size_t len)
{
    FILE *f = fopen(at, "wb");
    check_int(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static bool holds(const char *suffix, const char *text)
{
    char name[128];
    size_t len;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    char *bytes = slurp(name, &len);
    bool found = bytes && memmem(bytes, len, text, strlen(text)) != NULL;
    free(bytes);
    return found;
}

/* Which of "SECRET00000|", "SECRET00001|", ... are in the file or its log. */
static void secrets(bool *found, int count)
{
    memset(found, 0, (size_t)count);
    for (const char *const *end = (const char *const[]){"", "-wal", NULL}; *end; end++) {
        char name[128];
        size_t len;
        snprintf(name, sizeof name, "%s%s", path, *end);
        char *bytes = slurp(name, &len);
        /* Not memmem: under a sanitizer each call looks at all that is left. */
        for (size_t at = 0; at + 11 < len; at++) {
            if (bytes[at] != 'S' || memcmp(bytes + at, "SECRET", 6) != 0) continue;
            int i = (int)strtol(bytes + at + 6, NULL, 10);
            if (i < count) found[i] = true;
            at += 11;
        }
        free(bytes);
    }
}

static long long size_of(const char *suffix)
{
    char name[128];
    struct stat st;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0 ? (long long)st.st_size : -1;
}

static void sql(const char *at, const char *text)
{
    sqlite3 *db;
    check_int(sqlite3_open(at, &db), SQLITE_OK);
    check_int(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* ---- opening ---- */

static void test_made(void **state)
{
    struct stat st;
    char deep[128], folder[128];
    struct store *s = NULL;
    snprintf(deep, sizeof deep, "%s/a/b/s.db", dir);
    snprintf(folder, sizeof folder, "%s/a/b", dir);
    umask(0);
    check_int(open_at(&s, deep, NULL), ERR_NONE);
    umask(022);
    check_int(stat(deep, &st), 0);
    check_int(st.st_mode & 0777, 0600);
    check_int(stat(folder, &st), 0);
    check_int(st.st_mode & 0777, 0700);
    ops->close(s);
}

static void test_empty_file_is_taken(void **state)
{
    spill(path, "", 0);
    struct store *s = open_store();
    check_int(add(s, "s", STR("x"), in_ms(1000)), ERR_NONE);
    ops->close(s);
}

static void refused(const char *name, const char *reason)
{
    size_t before_len, after_len;
    char *before = slurp(path, &before_len);
    struct store *s = NULL;
    struct err_note why = {.text = ""};
    char want[160];

    enum err e = open_at(&s, path, &why);
    if (e != ERR_STORE) print_error("%s: %d\n", name, e);
    check_int(e, ERR_STORE);
    snprintf(want, sizeof want, "cannot open the session store %s: ", path);
    if (!str_starts(str_of(why.text), str_of(want)) || strstr(why.text, reason) == NULL ||
        strchr(why.text, '\n')) {
        print_error("%s: \"%s\"\n", name, why.text);
        fail();
    }
    char *after = slurp(path, &after_len);
    check_int(after_len, before_len);
    check_true(before_len == 0 || memcmp(before, after, after_len) == 0);
    free(before);
    free(after);
}

/* A sound file of some size, as bytes. */
static char *sound(size_t *len)
{
    char text[2000];
    memset(text, 'x', sizeof text);
    struct store *s = open_store();
    for (int i = 0; i < 30; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i % 7);
        check_int(add(s, id, str_span(text, sizeof text), in_ms(1000)), ERR_NONE);
    }
    ops->close(s);
    return slurp(path, len);
}

static void test_refused(void **state)
{
    size_t len;
    char *bytes = sound(&len), *bad = malloc(len);

    spill(path,
          "just some text, longer than a header of one hundred bytes ...................."
          "...................................",
          110);
    refused("text", "file is not a database");
    spill(path, "short", 5);
    refused("short", "file is not a database");

    spill(path, bytes, len / 2 + 100);
    refused("cut", "");
    spill(path, bytes, 4096);
    refused("first page only", "");

    memcpy(bad, bytes, len);
    for (size_t page = 1; page < len / 4096; page++) {
        memcpy(bad, bytes, len);
        memset(bad + page * 4096, 0xff, 4096);
        spill(path, bad, len);
        if (page < 6) refused("damaged page", ""); /* roots of tables and indexes */
    }

    memcpy(bad, bytes, len);
    bad[63] = 2; /* user_version */
    spill(path, bad, len);
    refused("newer", "newer version of Sema");
    memcpy(bad, bytes, len);
    bad[71] = 'X'; /* application_id */
    spill(path, bad, len);
    refused("foreign", "another program's database");

    unlink(path);
    sql(path, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    refused("foreign, unnamed", "another program's database");

    unlink(path);
    check_int(mkdir(path, 0700), 0);
    struct store *s = NULL;
    struct err_note why = {.text = ""};
    check_int(open_at(&s, path, &why), ERR_STORE);
    check_true(strstr(why.text, "Is a directory") != NULL);
    rmdir(path);

    char below[128];
    spill(path, bytes, len);
    snprintf(below, sizeof below, "%s/s.db", path);
    check_int(open_at(&s, below, &why), ERR_STORE);
    check_true(strstr(why.text, "Not a directory") != NULL);
    free(bytes);
    free(bad);
}

/* A newer schema that is in the log only, as after a kill: refused, and the log is not written
 * back. */
static void test_newer_in_log(void **state)
{
    char copy[64], log[128], copy_log[128];
    size_t len, log_len;

    ops->close(open_store());
    sqlite3 *db;
    check_int(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA wal_autocheckpoint=0; PRAGMA user_version=9", NULL, NULL, NULL);
    snprintf(log, sizeof log, "%s-wal", path);
    char *bytes = slurp(path, &len), *log_bytes = slurp(log, &log_len);
    sqlite3_close(db);
    check_true(log_len > 0);
    snprintf(copy, sizeof copy, "%s/copy.db", dir);
    snprintf(copy_log, sizeof copy_log, "%s-wal", copy);
    spill(copy, bytes, len);
    spill(copy_log, log_bytes, log_len);
    strcpy(path, copy);
    refused("newer in log", "newer version of Sema");
    check_int(size_of("-wal"), log_len);
    free(bytes);
    free(log_bytes);
}

/* ---- damage while it is open ---- */

static void test_damaged_later(void **state)
{
    enum { SESSIONS = 40 };
    static char text[60000];
    size_t failed = 0;
    struct seen seen;

    memset(text, 'x', sizeof text);
    struct store *s = open_store(), *reader = NULL;
    for (int i = 0; i < SESSIONS * 2; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i % SESSIONS);
        check_int(add(s, id, str_span(text, sizeof text), in_ms(1000)), ERR_NONE);
    }
    ops->tend(s, clock_mono_us());
    int fd = open(path, O_RDWR);
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    for (off_t at = size_of("") / 4096 / 2; at < size_of("") / 4096; at += 3)
        check_int(pwrite(fd, junk, sizeof junk, at * 4096), sizeof junk);
    close(fd);
    check_int(ops->open_reader(&reader, s, NULL), ERR_NONE);
    for (int i = 0; i < SESSIONS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        failed += ops->read(reader, key(id), 0, 0, UINT64_MAX, on_row, on_message, &seen, NULL) !=
                  ERR_NONE;
        add(s, id, STR("y"), in_ms(1000)); /* whatever comes of it */
        bool was;
        if (i % 5 == 0) ops->forget(s, key(id), &was, NULL);
    }
    check_true(failed > 0);
    ops->close(reader);
    ops->close(s);
}

/* One turn that meets a damaged page, or does not fit, does not fail those that share its commit.
 */
static void test_neighbours(void **state)
{
    static char big[1 << 20];
    struct rlimit was, small;
    struct stored m = {STORED_USER, STR("small"), 1, STR("{}")},
                  huge = {STORED_USER, str_span(big, sizeof big), 1, STR("{}")};
    struct store_append batch[] = {
        {.key = key("a"), .messages = &m, .count = 1, .now_us = 1},
        {.key = key("b"), .messages = &huge, .count = 1, .now_us = 1},
        {.key = key("c"), .messages = &m, .count = 1, .now_us = 1},
    };

    memset(big, 'b', sizeof big);
    struct store *s = open_store();
    signal(SIGXFSZ, SIG_IGN);
    check_int(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 256 * 1024;
    check_int(setrlimit(RLIMIT_FSIZE, &small), 0);
    check_int(ops->append(s, batch, 3, in_ms(2000), NULL), ERR_NONE);
    check_int(setrlimit(RLIMIT_FSIZE, &was), 0);
    check_int(batch[0].result, ERR_NONE);
    check_int(batch[1].result, ERR_STORE);
    check_int(batch[2].result, ERR_NONE);
    ops->close(s);
}

/* ---- a full disk ---- */

static void test_full(void **state)
{
    static char big[100 * 1000];
    struct rlimit was, small;
    struct seen seen;
    int kept = 0;

    memset(big, 'b', sizeof big);
    signal(SIGXFSZ, SIG_IGN);
    check_int(getrlimit(RLIMIT_FSIZE, &was), 0);
    struct store *s = open_store();
    check_int(add(s, "s", STR("before"), in_ms(1000)), ERR_NONE);
    small = was;
    small.rlim_cur = 512 * 1024;
    check_int(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err e = ERR_NONE;
    while (!e && kept < 100) {
        e = add(s, "s", str_span(big, sizeof big), in_ms(1000));
        if (!e) kept++;
    }
    check_int(e, ERR_STORE);
    check_int(add(s, "s", str_span(big, sizeof big), in_ms(1000)), ERR_STORE);
    ops->tend(s, clock_mono_us());            /* may fail too */
    check_int(look(s, "s", &seen), ERR_NONE); /* reading goes on */
    check_int(seen.messages, 2 + 2 * kept);
    check_true(!seen.out_of_order);
    check_int(setrlimit(RLIMIT_FSIZE, &was), 0);
    check_int(add(s, "s", str_span(big, sizeof big), in_ms(1000)), ERR_NONE); /* heals by itself */
    ops->close(s);

    s = open_store();
    check_int(look(s, "s", &seen), ERR_NONE);
    check_int(seen.messages, 4 + 2 * kept);
    ops->close(s);
}

/* ---- a second process ---- */

/* In a child: holds the write lock for hold_ms once the parent says go. */
static pid_t holder(int hold_ms, int *ready)
{
    int pipes[2];
    check_int(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db;
        sqlite3_open(path, &db);
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (write(pipes[1], "x", 1) != 1) _exit(1);
        usleep((useconds_t)hold_ms * 1000);
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        sqlite3_close(db);
        _exit(0);
    }
    close(pipes[1]);
    *ready = pipes[0];
    return child;
}

static void test_lock_held_elsewhere(void **state)
{
    int ready, status;
    char x;
    struct seen seen;
    ops->close(open_store());
    pid_t child = holder(600, &ready);
    check_int(read(ready, &x, 1), 1);

    struct store *s = open_store();
    uint64_t began = clock_mono_us();
    check_int(add(s, "s", STR("too soon"), in_ms(150)), ERR_STORE);
    check_true(clock_mono_us() - began < 400 * 1000);
    check_int(look(s, "s", &seen), ERR_NONE); /* reading does not wait */
    check_int(seen.row.born, 0);
    check_int(add(s, "s", STR("waited"), in_ms(4000)), ERR_NONE);
    check_int(waitpid(child, &status, 0), child);
    close(ready);
    ops->close(s);
}

/* Two processes add to one session; who finds it changed reads again.  Nothing is lost or doubled.
 */
static void test_two_write(void **state)
{
    enum { EACH = 60 };
    struct seen seen;
    ops->close(open_store());
    pid_t child = fork();
    struct store *s = NULL;
    int done = 0, tries = 0;
    if (open_at(&s, path, NULL)) _exit(2);
    while (done < EACH && ++tries < 10000) {
        enum err e = add(s, "s", STR("m"), in_ms(4000));
        if (e == ERR_NONE)
            done++;
        else if (e != ERR_CONFLICT && e != ERR_NOT_FOUND)
            break;
    }
    if (child == 0) {
        ops->close(s);
        _exit(done == EACH ? 0 : 1);
    }
    int status = -1;
    check_int(waitpid(child, &status, 0), child);
    check_int(status, 0);
    check_int(done, EACH);
    check_int(look(s, "s", &seen), ERR_NONE);
    check_int(seen.messages, 4 * EACH);
    check_true(!seen.out_of_order);
    ops->close(s);
}

/* ---- text that is gone ---- */

static uint64_t dice = 88172645463325252u;

static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice % sides);
}

/* Sessions of all sizes, interleaved, some forgotten between: whatever SQLite moves about, no copy
 * of a forgotten text is in the file or its log once the store was looked after. */
static void test_no_trace(void **state)
{
    enum { SESSIONS = 50, TEXT = 6000 };
    static const unsigned repeats[] = {1, 5, 20, 60, 150, 400};
    char id[16], text[TEXT];
    bool gone[SESSIONS] = {false}, was;
    uint64_t now = clock_mono_us();
    struct store *s = open_store();

    for (int step = 0; step < 1200; step++) {
        int i = (int)roll(SESSIONS);
        size_t n = 0;
        snprintf(id, sizeof id, "SECRET%05d|", i);
        for (unsigned r = repeats[roll(6)]; r && n + 12 < TEXT; r--) {
            memcpy(text + n, id, 12);
            n += 12;
        }
        if (step < 900 || !gone[i]) check_int(add(s, id, str_span(text, n), in_ms(1000)), ERR_NONE);
        if (step > 900 && step % 10 == 0) {
            check_int(ops->forget(s, key(id), &was, NULL), ERR_NONE);
            gone[i] = true;
            ops->tend(s, now += 21 * 1000 * 1000);
        }
    }
    bool found[SESSIONS];
    secrets(found, SESSIONS);
    for (int i = 0; i < SESSIONS; i++) {
        if (found[i] == gone[i]) print_error("session %d\n", i);
        check_true(found[i] == !gone[i]); /* the test can see what is there */
    }
    ops->close(s);
}

/* The same while room is given back: what stays is moved past the cut, many rows at a time. */
static void test_no_trace_in_room(void **state)
{
    enum { SESSIONS = 4000, STAY = 400 };
    static bool gone[SESSIONS], found[SESSIONS];
    char id[16], text[2200];
    bool was;
    uint64_t now = clock_mono_us();
    struct store *s = open_store();

    for (int i = 0; i < SESSIONS; i++) {
        size_t n = 0, want = 700 + roll(1400);
        snprintf(id, sizeof id, "SECRET%05d|", i);
        for (; n < want; n += 12) memcpy(text + n, id, 12);
        check_int(add(s, id, str_span(text, n), in_ms(1000)), ERR_NONE);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SESSIONS; i++) {
            if (gone[i] || i % (SESSIONS / STAY) == 0 || roll(3) == 0) continue;
            snprintf(id, sizeof id, "SECRET%05d|", i);
            check_int(ops->forget(s, key(id), &was, NULL), ERR_NONE);
            gone[i] = true;
            if (i % 400 == 1) ops->tend(s, now);
        }
        for (int i = 0; i < 8; i++) ops->tend(s, now += 21 * 1000 * 1000);
        secrets(found, SESSIONS);
        for (int i = 0; i < SESSIONS; i++) {
            if (found[i] == gone[i]) print_error("session %d\n", i);
            check_true(found[i] == !gone[i]);
        }
    }
    ops->close(s);
}

/* Room of what was forgotten is used again, and moving what stays leaves no copies either. */
static void test_room(void **state)
{
    enum { ROUNDS = 40, KEPT_EVERY = 10 };
    static char text[40000];
    char id[16];
    bool was;
    long long half = 0;
    uint64_t now = clock_mono_us();
    struct seen seen;
    struct store *s = open_store();

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(id, sizeof id, "R%03d-%03d", round, i);
            size_t n = 200 + roll(sizeof text - 300);
            memset(text, 'x', n);
            memcpy(text + roll((unsigned)n - 20), id, 8);
            check_int(add(s, id, str_span(text, n), in_ms(1000)), ERR_NONE);
        }
        for (int i = 0; i < 20; i++) {
            snprintf(id, sizeof id, "R%03d-%03d", round, i);
            if (i % KEPT_EVERY) check_int(ops->forget(s, key(id), &was, NULL), ERR_NONE);
        }
        for (int i = 0; i < 4; i++) ops->tend(s, now += 21 * 1000 * 1000);
        if (round == ROUNDS / 2) half = size_of("");
    }
    /* 20 rounds wrote 16 MB more, of which 1.6 MB stay. */
    print_message("# file: %lld bytes after half, %lld at the end\n", half, size_of(""));
    check_true(size_of("") < half + 4 * 1024 * 1024);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(id, sizeof id, "R%03d-%03d", round, i);
            check_int(look(s, id, &seen), ERR_NONE);
            check_int(seen.messages, i % KEPT_EVERY ? 0 : 2);
        }
    }
    for (int round = 0; round < ROUNDS; round += 3) {
        snprintf(id, sizeof id, "R%03d-%03d", round, 10);
        check_int(ops->forget(s, key(id), &was, NULL), ERR_NONE);
        ops->tend(s, now += 21 * 1000 * 1000);
        check_true(!holds("", id) && !holds("-wal", id));
    }
    ops->close(s);
    sqlite3 *db;
    sqlite3_stmt *q;
    sqlite3_open(path, &db);
    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &q, NULL);
    check_int(sqlite3_step(q), SQLITE_ROW);
    check_str(str_of((const char *)sqlite3_column_text(q, 0)), STR("ok"));
    sqlite3_finalize(q);
    sqlite3_close(db);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(made),         CASE(empty_file_is_taken), CASE(refused),
        CASE(newer_in_log), CASE(damaged_later),       CASE(neighbours),
        CASE(full),         CASE(lock_held_elsewhere), CASE(two_write),
        CASE(no_trace),     CASE(no_trace_in_room),    CASE(room),
    };
    return cmocka_run_group_tests_name("store_file", tests, NULL, NULL);
}
