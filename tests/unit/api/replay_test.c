/* Kept answers: every reader sees every event once and in order, from its own loop and at its own
 * pace; who comes back finds what it missed, and nobody else's. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#include "api/replay.h"
#include "base/loop.h"
#include "conf/limits.h"

static const char id_a[] = "00000000-0000-4000-8000-00000000000a";
static int nudges;

static void count_nudge(void *ctx)
{
    nudges++;
}

struct seen {
    struct reader *reader;
    struct buf text;
    int wakes;
    enum replay_took took;
};

static void render(void *ctx, struct buf *to, const struct replay_event *e)
{
    buf_addf(to, "%lld%c", (long long)e->id, "CFE"[e->kind]);
    buf_add(to, e->json);
    buf_add_char(to, ' ');
}

static void take_all(void *ctx)
{
    struct seen *s = ctx;

    s->wakes++;
    s->took = replay_take(s->reader, &s->text, SIZE_MAX, SIZE_MAX, render);
}

static void only_count(void *ctx)
{
    struct seen *s = ctx;
    s->wakes++;
}

struct room {
    struct loop *loop;
    struct replays *table;
    struct replay *replay;
};

/* The body runs on a loop of its own, as everything here must. */
static void on_loop(void (*body)(struct room *room));

struct start {
    struct task task;
    void (*body)(struct room *room);
    struct room room;
    struct timer end;
};

static void stop_soon(struct timer *t)
{
    struct start *s = container_of(t, struct start, end);
    loop_stop(s->room.loop);
}

static void run_body(struct task *t)
{
    struct start *s = container_of(t, struct start, task);
    const struct replay_conf conf = {.table = s->room.table,
                                     .loop = s->room.loop,
                                     .message_id = id_a,
                                     .owner = STR("user:amina"),
                                     .session = str_span("s\0x", 3),
                                     .nudge = count_nudge};

    nudges = 0;
    check_int(replay_new(&s->room.replay, &conf), ERR_NONE);
    s->body(&s->room);
    timer_set(&s->end, s->room.loop, 30, stop_soon);
}

static void on_loop(void (*body)(struct room *room))
{
    static struct start s;

    s = (struct start){.task = {.run = run_body}, .body = body};
    check_int(loop_new(&s.room.loop, NULL), ERR_NONE);
    check_int(replays_new(&s.room.table), ERR_NONE);
    loop_post(s.room.loop, &s.task);
    loop_run(s.room.loop);
    loop_free(s.room.loop);
    replays_free(s.room.table);
}

static bool add(struct room *room, enum replay_kind kind, const char *json)
{
    bool bad = false;
    bool lagging = replay_add(room->replay, kind, str_of(json), &bad);
    check_true(!bad);
    return lagging;
}

static enum err resume(struct room *room, struct seen *s, int64_t after, str owner, str session,
                       const char *id)
{
    buf_init(&s->text, 1 << 20);
    return replay_resume(&s->reader, room->table, str_of(id), after, owner, session, room->loop,
                         only_count, s);
}

#define OWNER STR("user:amina")
#define SESSION str_span("s\0x", 3)

static void body_order(struct room *room)
{
    struct seen first = {0}, again = {0}, late = {0};

    buf_init(&first.text, 1 << 20);
    check_int(replay_read(&first.reader, room->replay, room->loop, take_all, &first), ERR_NONE);
    take_all(&first);
    check_int(first.took, REPLAY_TOOK_ALL);
    add(room, REPLAY_CHUNK, "a");
    check_int(first.wakes, 2); /* at once: it lives on the same loop */
    add(room, REPLAY_CHUNK, "b");
    check_str(buf_str(&first.text), STR("0Ca 1Cb "));

    check_int(resume(room, &again, -1, OWNER, SESSION, id_a), ERR_NONE);
    check_int(replay_take(again.reader, &again.text, SIZE_MAX, 1, render), REPLAY_TOOK_SOME);
    check_str(buf_str(&again.text), STR("0Ca "));
    check_int(resume(room, &late, 1, OWNER, SESSION, id_a), ERR_NONE);
    check_int(replay_take(late.reader, &late.text, SIZE_MAX, SIZE_MAX, render), REPLAY_TOOK_ALL);
    check_str(buf_str(&late.text), STR(""));

    add(room, REPLAY_FINAL, "z");
    check_str(buf_str(&first.text), STR("0Ca 1Cb 2Fz "));
    check_int(first.took, REPLAY_TOOK_LAST);
    check_int(replay_take(again.reader, &again.text, SIZE_MAX, SIZE_MAX, render), REPLAY_TOOK_LAST);
    check_str(buf_str(&again.text), STR("0Ca 1Cb 2Fz "));
    check_int(replay_take(late.reader, &late.text, SIZE_MAX, SIZE_MAX, render), REPLAY_TOOK_LAST);
    check_str(buf_str(&late.text), STR("2Fz "));
    replay_leave(first.reader);
    replay_leave(again.reader);
    replay_leave(late.reader);
    buf_fini(&first.text);
    buf_fini(&again.text);
    buf_fini(&late.text);
    replay_drop(room->replay);
}

static void test_order(void **state)
{
    (void)state;
    on_loop(body_order);
    check_int(nudges, 0); /* nobody left before the end */
}

static void body_unknown(struct room *room)
{
    struct seen s = {0};

    add(room, REPLAY_CHUNK, "a");
    add(room, REPLAY_CHUNK, "b");
    check_int(resume(room, &s, 2, OWNER, SESSION, id_a), ERR_NOT_FOUND); /* never given out */
    check_int(resume(room, &s, 0, STR("user:zawadi"), SESSION, id_a), ERR_NOT_FOUND);
    check_int(resume(room, &s, 0, STR(""), SESSION, id_a), ERR_NOT_FOUND);
    check_int(resume(room, &s, 0, OWNER, STR("s"), id_a), ERR_NOT_FOUND);
    check_int(resume(room, &s, 0, OWNER, SESSION, "00000000-0000-4000-8000-00000000000b"),
              ERR_NOT_FOUND);
    check_int(resume(room, &s, 1, OWNER, SESSION, id_a), ERR_NONE);
    replay_leave(s.reader);
    add(room, REPLAY_FINAL, "z");
    check_int(resume(room, &s, 1, OWNER, SESSION, id_a), ERR_NONE);
    replay_leave(s.reader);
    check_int(resume(room, &s, 2, OWNER, SESSION, id_a), ERR_NOT_FOUND); /* delivered to its end */
    replay_drop(room->replay);
    check_int(resume(room, &s, 0, OWNER, SESSION, id_a), ERR_NOT_FOUND); /* no longer kept */
}

static void test_unknown(void **state)
{
    (void)state;
    on_loop(body_unknown);
}

static void body_failed(struct room *room)
{
    struct seen s = {0}, live = {0};

    add(room, REPLAY_CHUNK, "a");
    check_int(resume(room, &live, -1, OWNER, SESSION, id_a), ERR_NONE);
    add(room, REPLAY_ERROR, "e");
    check_int(replay_take(live.reader, &live.text, SIZE_MAX, SIZE_MAX, render), REPLAY_TOOK_LAST);
    check_str(buf_str(&live.text), STR("0Ca 1Ee "));
    replay_leave(live.reader);
    buf_fini(&live.text);
    check_int(resume(room, &s, 0, OWNER, SESSION, id_a), ERR_NOT_FOUND);
    replay_drop(room->replay);
}

static void test_failed(void **state)
{
    (void)state;
    on_loop(body_failed);
}

/* The last reader that leaves a running answer is reported, to the answer's loop and not from
 * within. */
static void body_left(struct room *room)
{
    struct seen s = {0};

    check_int(replay_read(&s.reader, room->replay, room->loop, only_count, &s), ERR_NONE);
    add(room, REPLAY_CHUNK, "a");
    replay_leave(s.reader);
    check_int(nudges, 0);
    check_int(replay_readers(room->replay), 0);
}

static void test_left(void **state)
{
    (void)state;
    struct replay *r;
    static struct start s;

    s = (struct start){.task = {.run = run_body}, .body = body_left};
    check_int(loop_new(&s.room.loop, NULL), ERR_NONE);
    check_int(replays_new(&s.room.table), ERR_NONE);
    loop_post(s.room.loop, &s.task);
    loop_run(s.room.loop);
    check_int(nudges, 1);
    r = s.room.replay;
    struct loop *l = s.room.loop;
    (void)l;
    replay_drop(r);
    loop_free(s.room.loop);
    replays_free(s.room.table);
}

/* A reader that lags makes the source pause, and is told of nothing twice; what nobody needs goes.
 */
static void body_lag(struct room *room)
{
    struct seen s = {0}, gone = {0};
    char big[8 * 1024];
    int added = 0;

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    buf_init(&s.text, 64 << 20);
    check_int(replay_read(&s.reader, room->replay, room->loop, only_count, &s), ERR_NONE);
    while (!add(room, REPLAY_CHUNK, big)) added++;
    check_true(added >= 2 && added < 8);
    check_true(replay_lagging(room->replay));
    check_int(s.wakes, 1); /* once, until it has taken all */
    check_int(replay_take(s.reader, &s.text, SIZE_MAX, SIZE_MAX, render), REPLAY_TOOK_ALL);
    check_true(!replay_lagging(room->replay));

    for (int i = 0; i < 1000; i++) { /* 8 MB: the oldest are out of reach then */
        add(room, REPLAY_CHUNK, big);
        replay_take(s.reader, &s.text, SIZE_MAX, SIZE_MAX, render);
    }
    check_int(resume(room, &gone, 0, OWNER, SESSION, id_a), ERR_NOT_FOUND);
    check_int(resume(room, &gone, added + 1000 - 100, OWNER, SESSION, id_a), ERR_NONE);
    replay_leave(gone.reader);
    replay_leave(s.reader);
    buf_fini(&s.text);
    add(room, REPLAY_FINAL, "z");
    replay_drop(room->replay);
}

static void test_lag(void **state)
{
    (void)state;
    on_loop(body_lag);
}

/* ---- readers on another loop ---- */

enum { EVENTS = 20000 };

struct far {
    struct loop *loop;
    struct replays *table;
    struct task task;
    struct seen seen;
    int64_t next;
    bool over, wrong;
    pthread_t thread;
};

static void render_check(void *ctx, struct buf *to, const struct replay_event *e)
{
    struct far *f = ctx;

    f->wrong = f->wrong || e->id != f->next;
    f->next++;
    buf_add_char(to, 'x');
}

static void far_ready(void *ctx)
{
    struct far *f = ctx;
    struct buf to;

    buf_init(&to, 1 << 20);
    enum replay_took took;
    do took = replay_take(f->seen.reader, &to, 100, 7, render_check);
    while (took == REPLAY_TOOK_SOME && (buf_clear(&to), true));
    buf_fini(&to);
    if (took == REPLAY_TOOK_LAST && !f->over) {
        f->over = true;
        replay_leave(f->seen.reader);
        loop_stop(f->loop);
    }
}

static void far_begin(struct task *t)
{
    struct far *f = container_of(t, struct far, task);

    check_int(replay_resume(&f->seen.reader, f->table, str_of(id_a), -1, OWNER, SESSION, f->loop,
                            far_ready, f),
              ERR_NONE);
    far_ready(f);
}

static void *far_thread(void *ctx)
{
    struct far *f = ctx;
    loop_run(f->loop);
    return NULL;
}

static struct far fars[3];
static struct timer feed;
static int fed;
static struct room *fed_room;

static void on_feed(struct timer *t)
{
    if (replay_readers(fed_room->replay) < 3) { /* all see it from the start */
        timer_set(t, fed_room->loop, 1, on_feed);
        return;
    }
    for (int i = 0; i < 500 && fed < EVENTS; i++, fed++) add(fed_room, REPLAY_CHUNK, "text");
    if (fed < EVENTS) {
        timer_set(t, fed_room->loop, 0, on_feed);
        return;
    }
    add(fed_room, REPLAY_FINAL, "");
    loop_stop(fed_room->loop);
}

static void test_other_loops(void **state)
{
    (void)state;
    static struct room room;
    const struct replay_conf conf = {.owner = OWNER,
                                     .session = SESSION,
                                     .message_id = id_a,
                                     .nudge = count_nudge};
    struct replay_conf mine = conf;

    fed = 0;
    fed_room = &room;
    check_int(loop_new(&room.loop, NULL), ERR_NONE);
    check_int(replays_new(&room.table), ERR_NONE);
    mine.table = room.table;
    mine.loop = room.loop;
    check_int(replay_new(&room.replay, &mine), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        fars[i] = (struct far){.table = room.table, .task = {.run = far_begin}};
        check_int(loop_new(&fars[i].loop, NULL), ERR_NONE);
        loop_post(fars[i].loop, &fars[i].task);
        pthread_create(&fars[i].thread, NULL, far_thread, &fars[i]);
    }
    timer_set(&feed, room.loop, 1, on_feed);
    loop_run(room.loop);
    for (int i = 0; i < 3; i++) {
        pthread_join(fars[i].thread, NULL);
        check_true(!fars[i].wrong);
        check_int(fars[i].next, EVENTS + 1);
        loop_free(fars[i].loop);
    }
    replay_drop(room.replay);
    loop_free(room.loop);
    replays_free(room.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),  cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_failed), cmocka_unit_test(test_left),
        cmocka_unit_test(test_lag),    cmocka_unit_test(test_other_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
