/* Many turns of few sessions on two loops at once, with cancelling, forgetting and reading between
 * them: sessions stay whole and in order, an acknowledged turn is stored.  Made for the thread
 * sanitizer. */
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/rand.h"
#include "chat/chat.h"
#include "chat/models.h"

enum { LOOPS = 2, CALLERS = 12, TURNS = 60, SESSIONS = 4 };

/* ---- a backend that answers the question's own text, a little later ---- */

struct backend {
    int unused;
};

struct answer {
    struct timer timer;
    struct loop *loop;
    struct sink to;
    char text[32];
    int steps;
};

static enum err echo_open(struct backend **out, const struct backend_conf *c, struct err_note *why)
{
    *out = calloc(1, sizeof **out);
    return ERR_NONE;
}

static void echo_prepare(struct backend *b, struct loop *l,
                         void (*done)(void *ctx, enum err e, const struct err_note *why), void *ctx)
{
    done(ctx, ERR_NONE, NULL);
}

static void on_step(struct timer *t)
{
    struct answer *a = container_of(t, struct answer, timer);

    if (a->steps++ == 0) {
        timer_set(&a->timer, a->loop, rand_u64() % 2, on_step);
        a->to.text(a->to.ctx, str_of(a->text));
        return;
    }
    struct answer_end end = {.finish = FINISH_STOP, .usage = usage_unknown};
    if (rand_u64() % 10 == 0) end.e = ERR_SERVER;
    struct sink to = a->to;
    free(a);
    to.done(to.ctx, &end);
}

static enum err echo_ask(struct answer **out, struct backend *b, struct loop *l,
                         const struct ask *q, struct sink to, struct err_note *why)
{
    struct answer *a = calloc(1, sizeof *a);
    const struct part *last = &q->messages[q->messages_count - 1].parts[0];
    /* Questions of turns that failed are not in the history: roles alternate. */
    for (size_t i = 0; i < q->messages_count; i++)
        if (q->messages[i].role != (i % 2 ? ROLE_ASSISTANT : ROLE_USER)) abort();
    a->to = to;
    a->loop = l;
    snprintf(a->text, sizeof a->text, "%.*s", STR_ARG(last->text));
    timer_set(&a->timer, l, rand_u64() % 3, on_step);
    *out = a;
    return ERR_NONE;
}

static void echo_cancel(struct answer *a)
{
    if (a == NULL) return;
    timer_stop(&a->timer);
    free(a);
}

static void echo_close(struct backend *b)
{
    free(b);
}

static const struct backend_ops echo = {.type = "echo",
                                        .can = BACKEND_SYSTEM,
                                        .open = echo_open,
                                        .prepare = echo_prepare,
                                        .ask = echo_ask,
                                        .cancel = echo_cancel,
                                        .close = echo_close};

/* ---- callers: each runs turn after turn ---- */

static struct shelf *shelf;
static struct models *models;
static struct chat *chat;
static _Atomic int done_turns[SESSIONS], kept_turns[SESSIONS];
static _Atomic int busy, failed, cancelled, looks;

struct caller {
    struct loop *loop;
    struct timer timer;
    struct turn *turn;
    int left;
    int session;
    bool sent;
};

struct worker {
    struct loop *loop;
    pthread_t thread;
    struct caller callers[CALLERS];
    struct timer watch;
    int idle;
};

static void next_turn(struct timer *t);

static struct session_key key_of(int session)
{
    static const char names[] = "abcd";
    return (struct session_key){STR(""), str_span(names + session, 1)};
}

static void again(struct caller *c)
{
    c->turn = NULL;
    timer_set(&c->timer, c->loop, rand_u64() % 2, next_turn);
}

static void on_text(void *ctx, str text)
{
    ((struct caller *)ctx)->sent = true;
}

static void on_done(void *ctx, const struct turn_result *r)
{
    struct caller *c = ctx;
    done_turns[c->session]++;
    again(c);
}

static void on_failed(void *ctx, enum err e, const struct err_note *why, bool text_sent)
{
    struct caller *c = ctx;
    failed++;
    if (text_sent) kept_turns[c->session]++;
    again(c);
}

static void on_looked(void *ctx, struct shelf_answer *a)
{
    for (size_t i = 0; i < a->count; i++)
        if ((a->messages[i].role == STORED_USER) != ((a->first_seq + i) % 2 == 0)) abort();
    looks++;
    shelf_answer_free(a);
}

static void cancel_turn(struct timer *t)
{
    struct caller *c = container_of(t, struct caller, timer);
    turn_cancel(c->turn);
    cancelled++;
    if (c->sent) kept_turns[c->session]++; /* may also have been stored whole */
    again(c);
}

static void next_turn(struct timer *t)
{
    struct caller *c = container_of(t, struct caller, timer);
    struct turn_events to = {.ctx = c, .text = on_text, .done = on_done, .failed = on_failed};
    char text[32];

    if (c->left-- == 0) return;
    c->session = (int)(rand_u64() % SESSIONS);
    c->sent = false;
    snprintf(text, sizeof text, "%d", c->left);
    struct turn_ask ask = {.key = key_of(c->session),
                           .message = str_of(text),
                           .temperature = NAN,
                           .max_tokens = -1,
                           .stream = rand_u64() % 2};
    enum err e =
        turn_start(&c->turn, chat, c->loop, &ask, "6b225332-8d98-45c4-9aad-edef69b6adab", to, NULL);
    if (e == ERR_SESSION_BUSY) {
        busy++;
        again(c);
    } else if (e)
        abort();
    else if (c->session == 3 && rand_u64() % 3 == 0) /* one session is cancelled in and forgotten */
        timer_set(&c->timer, c->loop, rand_u64() % 4, cancel_turn);
    if (c->session == 3 && rand_u64() % 4 == 0)
        chat_forget(chat, c->loop, key_of(3), on_looked, NULL);
    if (rand_u64() % 4 == 0)
        chat_session(chat, c->loop, key_of(c->session), 0, 20, on_looked, NULL);
}

static void on_watch(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, watch);
    bool over = gauge_read(&chat_numbers(chat)->unfinished) == 0;

    for (int i = 0; i < CALLERS; i++) over = over && w->callers[i].left < 0;
    w->idle = over ? w->idle + 1 : 0;
    if (w->idle > 20) /* reads and deletes are answered by now */
        loop_stop(w->loop);
    else
        timer_set(&w->watch, w->loop, 10, on_watch);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < CALLERS; i++) {
        w->callers[i] = (struct caller){.loop = w->loop, .left = TURNS};
        timer_set(&w->callers[i].timer, w->loop, 0, next_turn);
    }
    timer_set(&w->watch, w->loop, 10, on_watch);
    loop_run(w->loop);
    return NULL;
}

static enum err on_row(void *ctx, const struct session_row *row)
{
    *(struct session_row *)ctx = *row;
    return ERR_NONE;
}

static void test_loops(void **state)
{
    static struct worker workers[LOOPS];
    static const struct store_ops *const kinds[] = {&store_sqlite, NULL};
    char dir[] = "/tmp/sema-loops-XXXXXX", path[64];
    struct shelf_conf sc = {.kinds = kinds};
    struct model_conf mc = {MODEL_PRIMARY, &echo, {.model = STR("m")}};
    struct chat_conf conf = {.max_messages = 20, .total_timeout_ms = 60000, .show_reasoning = true};

    log_open(&(struct log_conf){.threshold = LEVEL_CRITICAL, .to_stderr = true}, NULL);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s.db", dir);
    sc.address = str_of(path);
    check_int(shelf_open(&shelf, &sc, NULL), ERR_NONE);
    for (int i = 0; i < LOOPS; i++) check_int(loop_new(&workers[i].loop, NULL), ERR_NONE);
    check_int(models_new(&models, workers[0].loop, &mc, 1, NULL), ERR_NONE);
    models_prepare(models, NULL, NULL);
    check_int(chat_new(&chat, &conf, shelf, models, NULL), ERR_NONE);
    for (int i = 0; i < LOOPS; i++) pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (int i = 0; i < LOOPS; i++) pthread_join(workers[i].thread, NULL);
    chat_free(chat);
    models_free(models);
    shelf_close(shelf);
    for (int i = 0; i < LOOPS; i++) loop_free(workers[i].loop);

    struct store *s = NULL;
    struct store_conf stc = {.address = sc.address};
    check_int(store_sqlite.open(&s, &stc, NULL), ERR_NONE);
    for (int i = 0; i < SESSIONS - 1; i++) {
        struct session_row row;
        check_int(store_sqlite.read(s, key_of(i), 0, 0, 0, on_row, NULL, &row, NULL), ERR_NONE);
        check_int(row.count, 2 * (done_turns[i] + kept_turns[i]));
    }
    store_sqlite.close(s);
    print_message("# %d done, %d busy, %d failed, %d cancelled, %d looks\n",
                  done_turns[0] + done_turns[1] + done_turns[2] + done_turns[3], busy, failed,
                  cancelled, looks);
    check_true(done_turns[0] > 0 && cancelled > 0 && failed > 0 && looks > 0);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loops)};
    return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
