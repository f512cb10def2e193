/* The asynchronous side of a store: one thread that writes, and where the store allows it some that
 * read, so that no read waits behind a commit.  What waits for the writer is written together: one
 * commit, one disk sync for all.
 *
 * A job belongs to its loop's call until it is queued, then to whoever moves its `state` on:
 *
 *   WAITING -> TAKEN     thread_claim   a store thread works on it
 *   WAITING -> DROPPED   on_late        not reached in STORE_WAIT_MS: ERR_STORE; the thread frees
 *   TAKEN   -> DROPPED   on_late        outcome unknown after STORE_COMMIT_MS: likewise
 *   TAKEN   -> ANSWERED  job_answer     posted to its loop, which frees it */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "conf/limits.h"
#include "store/shelf_answer.h"

enum job_kind { JOB_READ, JOB_LIST, JOB_APPEND, JOB_FORGET };
enum job_state { JOB_WAITING, JOB_TAKEN, JOB_DROPPED, JOB_ANSWERED };

struct job {
    struct task task;
    struct timer late;
    _Atomic int state;
    enum job_kind kind;
    struct loop *loop;
    shelf_done_fn *done;
    void *ctx;
    uint64_t entered_us; /* clock_mono_us() */
    struct shelf_own *answer;

    struct session_key key; /* copied behind the struct, like all texts below */
    str owner;              /* of a list */
    bool for_turn;          /* of a read */
    uint64_t before, max;   /* of a read; of a list: cursor, max */
    struct store_append append;
};

struct reader {
    struct shelf *shelf;
    struct store *store;
    pthread_t thread;
    bool running;
};

struct shelf {
    const struct store_ops *ops;
    struct store *store;          /* the writer's */
    struct queue *writes, *reads; /* the same one where the store has no parallel readers */
    pthread_t writer;
    bool writing;
    struct reader reader[STORE_READERS];
    uint64_t timeout_us, sessions_max, owner_sessions_max;
    _Atomic uint64_t sessions;
    uint64_t tended_us, swept_us; /* writer's */
    bool failing;                 /* writer's: the last commit failed; said once */

    pthread_mutex_t watch_lock;
    bool (*busy)(void *ctx, struct session_key k);
    void (*gone)(void *ctx, struct session_key k);
    void *watch_ctx;
};

/* ---- jobs: on the loop ---- */

static void job_free(struct job *j)
{
    if (j->answer) shelf_answer_free(&j->answer->seen);
    free(j);
}

static void job_tell(struct job *j, struct shelf_own *a)
{
    j->done(j->ctx, &a->seen);
}

static void on_answered(struct task *t)
{
    struct job *j = container_of(t, struct job, task);
    struct shelf_own *a = j->answer;

    timer_stop(&j->late);
    j->answer = NULL;
    job_tell(j, a);
    job_free(j);
}

static void on_late(struct timer *t)
{
    struct job *j = container_of(t, struct job, late);
    int state = atomic_load(&j->state);
    uint64_t waited_ms = (clock_mono_us() - j->entered_us) / 1000;

    if (state == JOB_ANSWERED) return; /* on its way here */
    if (state == JOB_TAKEN && waited_ms < STORE_WAIT_MS + STORE_COMMIT_MS) {
        timer_set(&j->late, j->loop, STORE_WAIT_MS + STORE_COMMIT_MS - waited_ms, on_late);
        return;
    }
    struct shelf_own *a = shelf_answer_new();
    shelf_done_fn *done = j->done;
    void *ctx = j->ctx;
    if (a == NULL || !atomic_compare_exchange_strong(&j->state, &state, JOB_DROPPED)) {
        if (a) shelf_answer_free(&a->seen);
        timer_set(&j->late, j->loop, 100, on_late); /* answered or taken just now, or no memory */
        return;
    }
    a->seen.e = err_set(&a->seen.why, ERR_STORE,
                        state == JOB_TAKEN ? "session store: not done after %d s, outcome unknown"
                                           : "session store: busy for %d s",
                        (state == JOB_TAKEN ? STORE_COMMIT_MS : STORE_WAIT_MS) / 1000);
    done(ctx, &a->seen); /* the job is the thread's */
}

static enum err job_put(struct queue *q, struct job *j)
{
    j->entered_us = clock_mono_us();
    timer_set(&j->late, j->loop, STORE_WAIT_MS, on_late);
    if (queue_put(q, j)) return ERR_NONE;
    timer_stop(&j->late);
    job_free(j);
    return ERR_STORE;
}

static struct job *job_new(enum job_kind kind, struct loop *l, shelf_done_fn *done, void *ctx,
                           size_t text_bytes)
{
    struct job *j = calloc(1, sizeof *j + text_bytes);

    loop_assert_here(l);
    if (j) j->answer = shelf_answer_new();
    if (j == NULL || j->answer == NULL) {
        free(j);
        return NULL;
    }
    j->kind = kind;
    j->loop = l;
    j->done = done;
    j->ctx = ctx;
    return j;
}

static str keep(char **at, str s)
{
    str kept = {*at, s.len};
    if (s.len) memcpy(*at, s.at, s.len);
    *at += s.len;
    return kept;
}

static enum err read_put(struct shelf *s, struct loop *l, struct session_key k, uint64_t before,
                         uint64_t max, bool for_turn, shelf_done_fn *done, void *ctx)
{
    struct job *j = job_new(JOB_READ, l, done, ctx, k.owner.len + k.id.len);
    if (j == NULL) return ERR_MEMORY;

    char *at = (char *)(j + 1);
    j->key = (struct session_key){keep(&at, k.owner), keep(&at, k.id)};
    j->before = before;
    j->max = max;
    j->for_turn = for_turn;
    return job_put(s->reads, j);
}

enum err shelf_read(struct shelf *s, struct loop *l, struct session_key k, uint64_t before,
                    uint64_t max, shelf_done_fn *done, void *ctx)
{
    return read_put(s, l, k, before, max, false, done, ctx);
}

enum err shelf_read_for_turn(struct shelf *s, struct loop *l, struct session_key k, uint64_t max,
                             shelf_done_fn *done, void *ctx)
{
    return read_put(s, l, k, 0, max, true, done, ctx);
}

enum err shelf_list(struct shelf *s, struct loop *l, str owner, uint64_t cursor, uint64_t max,
                    shelf_done_fn *done, void *ctx)
{
    struct job *j = job_new(JOB_LIST, l, done, ctx, owner.len);
    if (j == NULL) return ERR_MEMORY;

    char *at = (char *)(j + 1);
    j->owner = owner.at ? keep(&at, owner) : STR_NONE;
    j->before = cursor;
    j->max = max;
    return job_put(s->reads, j);
}

enum err shelf_append(struct shelf *s, struct loop *l, const struct store_append *a,
                      shelf_done_fn *done, void *ctx)
{
    size_t texts =
        a->count * sizeof *a->messages + a->key.owner.len + a->key.id.len + a->model_name.len;
    for (size_t i = 0; i < a->count; i++)
        texts += a->messages[i].content.len + a->messages[i].metadata.len;
    struct job *j = job_new(JOB_APPEND, l, done, ctx, texts);
    if (j == NULL) return ERR_MEMORY;

    struct stored *m = (struct stored *)(j + 1);
    char *at = (char *)(m + a->count);
    for (size_t i = 0; i < a->count; i++) {
        m[i] = a->messages[i];
        m[i].content = keep(&at, m[i].content);
        m[i].metadata = keep(&at, m[i].metadata);
    }
    j->append = *a;
    j->append.messages = m;
    j->append.key = (struct session_key){keep(&at, a->key.owner), keep(&at, a->key.id)};
    j->append.model_name = keep(&at, a->model_name);
    j->append.now_us = clock_wall_us();
    j->append.timeout_us = s->timeout_us;
    j->append.owner_sessions_max = a->key.owner.len ? s->owner_sessions_max : 0;
    return job_put(s->writes, j);
}

enum err shelf_forget(struct shelf *s, struct loop *l, struct session_key k, shelf_done_fn *done,
                      void *ctx)
{
    struct job *j = job_new(JOB_FORGET, l, done, ctx, k.owner.len + k.id.len);
    if (j == NULL) return ERR_MEMORY;

    char *at = (char *)(j + 1);
    j->key = (struct session_key){keep(&at, k.owner), keep(&at, k.id)};
    return job_put(s->writes, j);
}

uint64_t shelf_sessions(const struct shelf *s)
{
    return atomic_load_explicit(&s->sessions, memory_order_relaxed);
}

void shelf_watch(struct shelf *s, bool (*busy)(void *ctx, struct session_key k),
                 void (*gone)(void *ctx, struct session_key k), void *ctx)
{
    pthread_mutex_lock(&s->watch_lock);
    s->busy = busy;
    s->gone = gone;
    s->watch_ctx = ctx;
    pthread_mutex_unlock(&s->watch_lock);
}

/* ---- jobs: on a store thread ---- */

static bool thread_claim(struct job *j)
{
    int waiting = JOB_WAITING;
    if (atomic_compare_exchange_strong(&j->state, &waiting, JOB_TAKEN)) return true;
    job_free(j);
    return false;
}

static void job_answer(struct job *j, enum err e)
{
    int taken = JOB_TAKEN;

    j->answer->seen.e = e;
    if (!atomic_compare_exchange_strong(&j->state, &taken, JOB_ANSWERED)) {
        job_free(j);
        return;
    }
    j->task.run = on_answered;
    loop_post(j->loop, &j->task);
}

static uint64_t cutoff_us(const struct shelf *s)
{
    uint64_t now = clock_wall_us();
    return s->timeout_us && now > s->timeout_us ? now - s->timeout_us : 0;
}

static enum err read_run(const struct shelf *s, struct store *store, struct job *j)
{
    struct shelf_own *a = j->answer;
    uint64_t has = 0, cutoff = cutoff_us(s);

    enum err e = s->ops->read(store, j->key, cutoff, j->before, j->max, shelf_answer_on_row,
                              shelf_answer_on_message, a, &a->seen.why);
    if (e || !j->for_turn || a->seen.row.born || s->owner_sessions_max == 0 ||
        j->key.owner.len == 0)
        return e;
    e = s->ops->count(store, j->key.owner, cutoff, s->owner_sessions_max, &has, &a->seen.why);
    return !e && has >= s->owner_sessions_max ? ERR_SESSION_LIMIT : e;
}

static void reading_run(const struct shelf *s, struct store *store, struct job *j)
{
    struct shelf_own *a = j->answer;

    if (j->kind == JOB_READ)
        job_answer(j, read_run(s, store, j));
    else
        job_answer(j, s->ops->list(store, j->owner, cutoff_us(s), j->before, j->max,
                                   shelf_answer_on_listed, a, &a->seen.next, &a->seen.why));
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;

    for (struct job *j; (j = queue_take(r->shelf->reads, -1));)
        if (thread_claim(j)) reading_run(r->shelf, r->store, j);
    return NULL;
}

static void sessions_add(struct shelf *s, int64_t n)
{
    uint64_t was = atomic_load_explicit(&s->sessions, memory_order_relaxed);
    atomic_store_explicit(&s->sessions, n < 0 && (uint64_t)-n > was ? 0 : was + (uint64_t)n,
                          memory_order_relaxed);
}

/* Once when it begins to fail and once when it is well again: a full disk is not a line for each
 * turn. */
static void say_failing(struct shelf *s, enum err e, const struct err_note *why)
{
    bool failing = e == ERR_STORE;

    if (failing == s->failing) return;
    s->failing = failing;
    if (failing)
        log_event(LEVEL_ERROR, "store", "session_store_failed",
                  LOG_CSTR("error", err_text(why, e)));
    else
        log_event(LEVEL_INFO, "store", "session_store_recovered");
}

static void append_run(struct shelf *s, struct job **jobs, size_t count)
{
    struct store_append batch[STORE_BATCH_MAX];
    struct err_note why = {.text = ""};
    int64_t created = 0;

    for (size_t i = 0; i < count; i++) batch[i] = jobs[i]->append;
    /* The first has waited longest: its deadline is the batch's. */
    enum err e =
        s->ops->append(s->store, batch, count, jobs[0]->entered_us + STORE_WAIT_MS * 1000, &why);
    say_failing(s, e, &why);
    /* Counted before it is told: who hears of a session finds it in the number. */
    for (size_t i = 0; i < count; i++) created += batch[i].created;
    sessions_add(s, created);
    for (size_t i = 0; i < count; i++) {
        jobs[i]->answer->seen.why = why;
        job_answer(jobs[i], batch[i].result);
    }
}

static void forget_run(struct shelf *s, struct job *j)
{
    bool was = false;
    enum err e = s->ops->forget(s->store, j->key, &was, &j->answer->seen.why);

    say_failing(s, e, &j->answer->seen.why);
    if (was) sessions_add(s, -1);
    job_answer(j, e);
}

/* In order; appends that follow each other share a commit. */
static void batch_run(struct shelf *s, struct job **jobs, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 0; i + n < count && jobs[i + n]->kind == JOB_APPEND; n++) {
        }
        if (n) {
            append_run(s, jobs + i, n);
            continue;
        }
        n = 1;
        if (jobs[i]->kind == JOB_FORGET)
            forget_run(s, jobs[i]);
        else
            reading_run(s, s->store, jobs[i]);
    }
}

static bool is_busy(void *ctx, struct session_key k)
{
    struct shelf *s = ctx;

    pthread_mutex_lock(&s->watch_lock);
    bool busy = s->busy && s->busy(s->watch_ctx, k);
    pthread_mutex_unlock(&s->watch_lock);
    return busy;
}

static void on_gone(void *ctx, struct session_key k)
{
    struct shelf *s = ctx;

    pthread_mutex_lock(&s->watch_lock);
    if (s->gone) s->gone(s->watch_ctx, k);
    pthread_mutex_unlock(&s->watch_lock);
}

/* The work that nobody waits for, a bounded piece of it. */
static void look_after(struct shelf *s)
{
    uint64_t now = clock_mono_us(), gone = 0;
    bool surplus = s->sessions_max && shelf_sessions(s) > s->sessions_max;
    bool due = now - s->swept_us >= STORE_SWEEP_MS * 1000;

    if (surplus || (due && s->timeout_us)) {
        enum err e = s->ops->sweep(s->store, cutoff_us(s), s->sessions_max, is_busy, on_gone, s,
                                   &gone, NULL);
        sessions_add(s, -(int64_t)gone);
        if (e || gone == 0) s->swept_us = now;
    }
    if (due && gone == 0) { /* another process may have added some */
        uint64_t count = 0;
        s->swept_us = now;
        if (!s->ops->count(s->store, STR_NONE, cutoff_us(s), UINT64_MAX, &count, NULL))
            atomic_store_explicit(&s->sessions, count, memory_order_relaxed);
    }
    s->ops->tend(s->store, now);
    s->tended_us = now;
}

static void *writer_main(void *arg)
{
    struct shelf *s = arg;
    void *jobs[STORE_BATCH_MAX];

    for (;;) {
        size_t count = 0, claimed = 0;
        jobs[0] = queue_take(s->writes, STORE_TEND_MS);
        if (jobs[0]) count = 1 + queue_take_all(s->writes, jobs + 1, STORE_BATCH_MAX - 1);
        if (count == 0 && queue_closed(s->writes)) return NULL;
        for (size_t i = 0; i < count; i++)
            if (thread_claim(jobs[i])) jobs[claimed++] = jobs[i];
        batch_run(s, (struct job **)jobs, claimed);
        look_after(s);
    }
}

/* ---- life ---- */

/* "sqlite:PATH", a bare path (sqlite), "memory:". */
static const struct store_ops *kind_of(const struct shelf_conf *c, struct store_conf *to)
{
    size_t colon = str_find_char(c->address, ':');

    to->sync_full = c->sync_full;
    to->address = c->address;
    for (const struct store_ops *const *k = c->kinds; *k; k++) {
        if (colon == STR_NPOS || !str_eq(str_head(c->address, colon), str_of((*k)->scheme)))
            continue;
        to->address = str_tail(c->address, colon + 1);
        return *k;
    }
    for (const struct store_ops *const *k = c->kinds; *k; k++)
        if (str_eq(STR("sqlite"), str_of((*k)->scheme))) return *k;
    return NULL;
}

/* Store threads take no signals: SIGXFSZ (a file over `ulimit -f`) stays an error of the write, and
 * SIGTERM goes to who waits for it. */
static bool thread_start(pthread_t *out, void *(*run)(void *), void *arg)
{
    sigset_t all, was;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int rc = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return rc == 0;
}

static enum err threads_start(struct shelf *s, struct err_note *why)
{
    for (int i = 0; i < STORE_READERS && s->ops->parallel_reads; i++) {
        struct reader *r = &s->reader[i];
        r->shelf = s;
        enum err e = s->ops->open_reader(&r->store, s->store, why);
        if (e) return e;
        r->running = thread_start(&r->thread, reader_main, r);
        if (!r->running) return err_set(why, ERR_STORE, "cannot open the session store: no thread");
    }
    s->writing = thread_start(&s->writer, writer_main, s);
    return s->writing ? ERR_NONE
                      : err_set(why, ERR_STORE, "cannot open the session store: no thread");
}

enum err shelf_open(struct shelf **out, const struct shelf_conf *c, struct err_note *why)
{
    struct store_conf conf = {.sync_full = c->sync_full};
    struct shelf *s = calloc(1, sizeof *s);
    uint64_t count = 0;

    if (s == NULL) return err_set(why, ERR_MEMORY, "out of memory for the session store");
    pthread_mutex_init(&s->watch_lock, NULL);
    s->timeout_us = c->timeout_us;
    s->sessions_max = c->sessions_max;
    s->owner_sessions_max = c->owner_sessions_max;
    s->ops = kind_of(c, &conf);
    enum err e =
        s->ops ? s->ops->open(&s->store, &conf, why)
               : err_set(why, ERR_STORE, "unknown session store \"%.*s\"", STR_ARG(c->address));
    if (!e) e = s->ops->count(s->store, STR_NONE, cutoff_us(s), UINT64_MAX, &count, why);
    atomic_store(&s->sessions, count);
    if (!e) {
        s->writes = queue_new(STORE_QUEUE_MAX);
        s->reads = s->ops->parallel_reads ? queue_new(STORE_QUEUE_MAX) : s->writes;
        if (s->writes == NULL || s->reads == NULL)
            e = err_set(why, ERR_MEMORY, "out of memory for the session store");
    }
    if (!e) e = threads_start(s, why);
    if (e) {
        shelf_close(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void shelf_close(struct shelf *s)
{
    if (s == NULL) return;
    if (s->writes) queue_close(s->writes);
    if (s->reads) queue_close(s->reads);
    if (s->writing) pthread_join(s->writer, NULL);
    for (int i = 0; i < STORE_READERS; i++) {
        if (s->reader[i].running) pthread_join(s->reader[i].thread, NULL);
        if (s->reader[i].store) s->ops->close(s->reader[i].store);
    }
    if (s->ops) s->ops->close(s->store);
    if (s->reads != s->writes) queue_free(s->reads);
    queue_free(s->writes);
    pthread_mutex_destroy(&s->watch_lock);
    free(s);
}
