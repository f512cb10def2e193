/* kill -9 at any moment: every acknowledged turn is there, whole; every other is whole or absent.
 */
#include "check.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "store/store.h"

enum { ROUNDS = 25, SESSIONS = 8, BATCH = 6, TURNS_MAX = 1 << 20 };

static const struct store_ops *const ops = &store_sqlite;
static char dir[32], path[64];

static struct store *open_store(void)
{
    struct store_conf conf = {.address = str_of(path), .sync_full = true};
    struct store *s = NULL;
    struct err_note why = {.text = ""};
    if (ops->open(&s, &conf, &why)) print_error("%s\n", why.text);
    return s;
}

static struct session_key key_of(int session)
{
    static const char names[] = "abcdefgh";
    return (struct session_key){STR(""), str_span(names + session, 1)};
}

/* What a session holds: turn n is two messages whose texts are "n" and "n". */
struct seen {
    struct session_row row;
    uint64_t turns;
    bool broken;
};

static enum err on_row(void *ctx, const struct session_row *row)
{
    ((struct seen *)ctx)->row = *row;
    return ERR_NONE;
}

static enum err on_message(void *ctx, uint64_t seq, const struct stored *m)
{
    struct seen *s = ctx;
    uint64_t n = 0;
    s->broken = s->broken || !str_to_u64(str_head(m->content, 10), &n) || n != seq / 2 ||
                (m->role == STORED_USER) != (seq % 2 == 0);
    s->turns = seq / 2 + 1;
    return ERR_NONE;
}

static struct seen look(struct store *s, int session)
{
    struct seen seen = {.turns = 0};
    check_int(ops->read(s, key_of(session), 0, 0, UINT64_MAX, on_row, on_message, &seen, NULL),
              ERR_NONE);
    if (seen.row.count != seen.turns * 2) seen.broken = true;
    return seen;
}

/* The child: batches of turns as fast as it can; each that is durable is told as one byte, its
 * session. Now and then it also empties the log and forgets a session ("A".."H" before, "1".."8"
 * after). */
static void work(int to)
{
    static char texts[BATCH][3000];
    struct store *s = open_store();
    struct seen seen[SESSIONS];

    if (s == NULL) _exit(9);
    for (int i = 0; i < SESSIONS; i++) seen[i] = look(s, i);
    for (unsigned round = 1;; round++) {
        struct stored m[BATCH][2];
        struct store_append batch[BATCH];
        char acks[BATCH];
        for (int i = 0; i < BATCH; i++) {
            int k = (int)((round + (unsigned)i) % SESSIONS);
            size_t len = 10 + (size_t)(rand_u64() % 2900);
            memset(texts[i], '.', len);
            snprintf(texts[i], 11, "%010llu", (unsigned long long)seen[k].turns);
            texts[i][10] = '.';
            m[i][0] = (struct stored){STORED_USER, str_span(texts[i], len), 1, STR("{}")};
            m[i][1] = (struct stored){STORED_ASSISTANT, str_span(texts[i], len), 1, STR("{}")};
            batch[i] = (struct store_append){.key = key_of(k),
                                             .born = seen[k].row.born,
                                             .seq = seen[k].turns * 2,
                                             .messages = m[i],
                                             .count = 2,
                                             .now_us = clock_wall_us()};
            acks[i] = (char)('a' + k);
        }
        if (ops->append(s, batch, BATCH, clock_mono_us() + 5000000, NULL)) _exit(8);
        for (int i = 0; i < BATCH; i++) {
            if (batch[i].result) _exit(7);
            seen[acks[i] - 'a'].turns++;
        }
        if (write(to, acks, BATCH) != BATCH) _exit(6);
        for (int i = 0; i < SESSIONS; i++)
            if (seen[i].row.born == 0 && seen[i].turns) seen[i].row.born = look(s, i).row.born;
        if (round % 16 == 0) {
            int k = (int)(rand_u64() % SESSIONS);
            bool was;
            char before = (char)('A' + k), after = (char)('1' + k);
            if (write(to, &before, 1) != 1 || ops->forget(s, key_of(k), &was, NULL)) _exit(5);
            if (write(to, &after, 1) != 1) _exit(6);
            seen[k] = (struct seen){.turns = 0};
        }
        if (round % 40 == 0) ops->tend(s, clock_mono_us() + 3600000000u * round);
    }
}

static void test_kill(void **state)
{
    uint64_t acked[SESSIONS] = {0}, turns = 0, forgotten = 0;
    bool forgetting[SESSIONS] = {false};

    for (int round = 0; round < ROUNDS; round++) {
        int pipes[2], status;
        check_int(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) work(pipes[1]);
        close(pipes[1]);
        usleep((useconds_t)(10000 + rand_u64() % 90000));
        kill(child, SIGKILL);
        check_int(waitpid(child, &status, 0), child);
        check_true(WIFSIGNALED(status)); /* it did not end by itself */

        char ack;
        while (read(pipes[0], &ack, 1) == 1) {
            if (ack >= 'a') {
                acked[ack - 'a']++;
                turns++;
            } else if (ack >= 'A') {
                forgetting[ack - 'A'] = true;
            } else {
                acked[ack - '1'] = 0;
                forgetting[ack - '1'] = false;
                forgotten++;
            }
        }
        close(pipes[0]);

        struct store *s = open_store();
        assert_non_null(s);
        for (int i = 0; i < SESSIONS; i++) {
            struct seen seen = look(s, i);
            check_true(!seen.broken);
            /* At most the batch that was not told any more is there as well. */
            bool gone = forgetting[i] && seen.turns == 0;
            if (!gone && (seen.turns < acked[i] || seen.turns > acked[i] + 1))
                print_error("round %d, session %c: %llu turns, %llu acknowledged\n", round, 'a' + i,
                            (unsigned long long)seen.turns, (unsigned long long)acked[i]);
            check_true(gone || (seen.turns >= acked[i] && seen.turns <= acked[i] + 1));
            acked[i] = seen.turns;
            forgetting[i] = false;
        }
        ops->close(s);
    }
    print_message("# %llu turns acknowledged, %llu sessions forgotten, %d kills\n",
                  (unsigned long long)turns, (unsigned long long)forgotten, ROUNDS);
    check_true(turns > ROUNDS);
}

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/sema-kill-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/s.db", dir);
    return 0;
}

static int teardown(void **state)
{
    for (const char *const *end = (const char *const[]){"", "-wal", "-shm", NULL}; *end; end++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, *end);
        unlink(name);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_kill, setup, teardown)};
    return cmocka_run_group_tests_name("store_kill", tests, NULL, NULL);
}
