#include "engine/sched/sched.h"

#include <assert.h>
#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/arch/model.h"

enum {
    STEP_ROWS_MAX =
        256, /* of one forward pass: long enough for a prompt to be read at full speed */
    STEP_ROWS_SHARED = 64, /* while others write: a piece of a prompt must not stop them for long */
    PARKED_MAX = 32,       /* finished conversations whose KV is kept */
    REUSE_LEAST = 8,       /* tokens in common below which a parked KV is not worth taking */
    /* Seconds without work after which parked KV is given back (reliability.md section 7): first
     * all but the newest, whose owner may be thinking of the next question, then that as well. */
    CALM_S = 5,
    CALM_LAST_S = 60,
};

/* A sequence: the tokens that its KV holds, or will hold. */
struct seq {
    struct sched_job *job; /* NULL: parked */
    struct kv *kv;
    int32_t *ids; /* prompt, then answer */
    int len, cap; /* of ids */
    int fed;      /* ids whose keys and values are in kv */
    int reused, answered;
    size_t reserved; /* bytes of KV that it may come to need */
    struct sampler *sampler;
    float *logits;
    bool wants;    /* a row of this step gives its logits */
    uint64_t used; /* parked: when, for the oldest to go first */
};

struct sched {
    struct model *model;
    struct sched_conf conf;
    int32_t *ends;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows up to `stopping` */
    pthread_cond_t news;
    struct sched_job *fresh, **fresh_last;
    bool wake, stopping;

    /* The scheduler thread's own: */
    struct sched_job *waiting;
    struct seq **running;
    int running_count;
    struct seq *parked[PARKED_MAX];
    int parked_count;
    size_t reserved;
    uint64_t ticks;
    struct model_row rows[STEP_ROWS_MAX];
};

static void seq_free(struct sched *s, struct seq *q)
{
    if (q == NULL) return;
    s->reserved -= q->reserved;
    kv_free(q->kv);
    sampler_free(q->sampler);
    free(q->logits);
    free(q->ids);
    free(q);
}

/* ---- parked conversations ---- */

static void drop_parked(struct sched *s, int i)
{
    seq_free(s, s->parked[i]);
    s->parked[i] = s->parked[--s->parked_count];
}

static bool drop_oldest(struct sched *s)
{
    int oldest = 0;

    if (s->parked_count == 0) return false;
    for (int i = 1; i < s->parked_count; i++)
        if (s->parked[i]->used < s->parked[oldest]->used) oldest = i;
    drop_parked(s, oldest);
    return true;
}

/* After CALM_S, then CALM_LAST_S, without work.  The C library would keep what is freed between
 * pieces that stay. */
static void give_back_parked(struct sched *s)
{
    int left = s->parked_count > 1 ? 1 : 0;

    while (s->parked_count > left) drop_oldest(s);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void park(struct sched *s, struct seq *q)
{
    q->job = NULL;
    sampler_free(q->sampler);
    q->sampler = NULL;
    free(q->logits);
    q->logits = NULL;
    q->len = q->fed;
    q->used = ++s->ticks;

    size_t real = kv_bytes(q->kv);
    s->reserved = s->reserved - q->reserved + real;
    q->reserved = real;

    if (s->parked_count == PARKED_MAX) drop_oldest(s);
    s->parked[s->parked_count++] = q;
}

static int common_prefix(const struct seq *q, const struct sched_job *job)
{
    int n = q->fed < job->prompt_len - 1
                ? q->fed
                : job->prompt_len - 1; /* the last is computed: its logits */
    int i = 0;

    while (i < n && q->ids[i] == job->prompt[i]) i++;
    return i;
}

/* The parked sequence that saves most, when it would not be spoilt for its own conversation: one
 * that shares only the system prompt is left to its owner. */
static struct seq *take_parked(struct sched *s, const struct sched_job *job, int *common)
{
    int best = -1;

    *common = REUSE_LEAST - 1;
    for (int i = 0; i < s->parked_count; i++) {
        int n = common_prefix(s->parked[i], job);
        if (n > *common && n * 2 >= s->parked[i]->fed) {
            best = i;
            *common = n;
        }
    }
    if (best < 0) return NULL;
    struct seq *q = s->parked[best];
    s->parked[best] = s->parked[--s->parked_count];
    return q;
}

/* ---- jobs ---- */

static void job_end(struct sched *s, struct sched_job *job, enum err e, enum sched_end end,
                    const struct err_note *why)
{
    struct seq *q = job->seq;
    int reused = q ? q->reused : 0, answered = q ? q->answered : 0;

    job->seq = NULL;
    if (q) {
        for (int i = 0; i < s->running_count; i++)
            if (s->running[i] == q) s->running[i] = s->running[--s->running_count];
        if (e && e != ERR_CANCELLED)
            seq_free(s, q);
        else
            park(s, q);
    }
    job->done(job->ctx, e, end, reused, answered, why);
}

static size_t job_bytes(const struct sched *s, const struct sched_job *job)
{
    return model_info(s->model)->kv_bytes_per_token * (size_t)(job->prompt_len + job->max_tokens);
}

static enum err seq_prepare(struct seq *q, struct sched *s, struct sched_job *job, int common)
{
    const struct model_info *info = model_info(s->model);
    int cap = job->prompt_len + job->max_tokens;
    enum err e = ERR_NONE;

    if (q->kv == NULL) e = kv_new(&q->kv, s->model, info->ctx_tokens);
    if (!e && q->cap < cap) {
        int32_t *ids = realloc(q->ids, sizeof *ids * (size_t)cap);
        if (ids == NULL) return ERR_MEMORY;
        q->ids = ids;
        q->cap = cap;
    }
    if (!e) e = sampler_new(&q->sampler, &job->sampling, info->vocab);
    if (!e) {
        q->logits = malloc(sizeof(float) * (size_t)info->vocab);
        if (q->logits == NULL) e = ERR_MEMORY;
    }
    if (e) return e;

    memcpy(q->ids, job->prompt, sizeof *q->ids * (size_t)job->prompt_len);
    q->len = job->prompt_len;
    kv_cut(q->kv, common);
    q->fed = q->reused = common;
    q->answered = 0;
    for (int i = 0; i < job->prompt_len && !e; i++)
        e = sampler_saw(q->sampler, job->prompt[i], false);
    return e;
}

/* True when the job has its place (or ended for want of memory); false when it must go on waiting.
 */
static bool admit(struct sched *s, struct sched_job *job)
{
    int common = 0;
    size_t bytes = job_bytes(s, job);
    struct seq *q = take_parked(s, job, &common);

    if (q == NULL) {
        q = calloc(1, sizeof *q);
        common = 0;
        if (q == NULL) {
            job_end(s, job, ERR_MEMORY, SCHED_STOP, NULL);
            return true;
        }
    }
    size_t more = bytes > q->reserved ? bytes - q->reserved : 0;
    while (s->reserved + more > s->conf.kv_bytes_max && drop_oldest(s)) continue;
    if (s->reserved + more > s->conf.kv_bytes_max && s->running_count > 0) {
        if (q->kv)
            s->parked[s->parked_count++] = q; /* room: it was taken from there */
        else
            free(q);
        return false;
    }
    s->reserved += more;
    q->reserved += more;

    enum err e = seq_prepare(q, s, job, common);
    if (e) {
        seq_free(s, q);
        job_end(s, job, e, SCHED_STOP, NULL);
        return true;
    }
    q->job = job;
    job->seq = q;
    s->running[s->running_count++] = q;
    return true;
}

static int running_of(const struct sched *s, uint64_t fair_key)
{
    int n = 0;
    for (int i = 0; i < s->running_count; i++) n += s->running[i]->job->fair_key == fair_key;
    return n;
}

/* The first of those whose asker has least running now. */
static struct sched_job **next_waiting(struct sched *s)
{
    struct sched_job **best = NULL;
    int least = 0;

    for (struct sched_job **at = &s->waiting; *at; at = &(*at)->next) {
        int n = running_of(s, (*at)->fair_key);
        if (best == NULL || n < least) {
            best = at;
            least = n;
        }
        if (least == 0) break;
    }
    return best;
}

static void admit_waiting(struct sched *s)
{
    while (s->waiting && s->running_count < s->conf.running_max) {
        /* Off the list first: a job that ends in admit may be released before it returns. */
        struct sched_job **at = next_waiting(s);
        struct sched_job *job = *at;
        *at = job->next;
        if (admit(s, job)) continue;
        job->next = *at;
        *at = job;
        break;
    }
}

static void drop_cancelled(struct sched *s)
{
    for (struct sched_job **at = &s->waiting; *at;) {
        struct sched_job *job = *at;
        if (!atomic_load(&job->cancel)) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job_end(s, job, ERR_CANCELLED, SCHED_STOP, NULL);
    }
    for (int i = 0; i < s->running_count;) {
        struct sched_job *job = s->running[i]->job;
        if (atomic_load(&job->cancel))
            job_end(s, job, ERR_CANCELLED, SCHED_STOP, NULL);
        else
            i++;
    }
}

/* ---- a step ---- */

static bool is_reading(const struct seq *q)
{
    return q->len - q->fed > 1;
}

/* Rows of `q`: up to `most` of its tokens that are not in the KV yet, the last one with logits when
 * it is the newest. */
static size_t add_rows(struct sched *s, struct seq *q, size_t at, int most)
{
    int n = q->len - q->fed < most ? q->len - q->fed : most;

    for (int i = 0; i < n; i++) {
        bool newest = q->fed + i == q->len - 1;
        s->rows[at + (size_t)i] = (struct model_row){.kv = q->kv,
                                                     .token = q->ids[q->fed + i],
                                                     .logits = newest ? q->logits : NULL};
        q->wants = q->wants || newest;
    }
    return (size_t)n;
}

static size_t plan_step(struct sched *s)
{
    size_t count = 0;
    bool writing = false;
    int readers = 0;

    for (int i = 0; i < s->running_count; i++) {
        struct seq *q = s->running[i];
        q->wants = false;
        if (atomic_load(&q->job->pause)) continue;
        if (is_reading(q)) {
            readers++;
        } else {
            count += add_rows(s, q, count, 1);
            writing = true;
        }
    }
    size_t room = writing ? STEP_ROWS_SHARED : STEP_ROWS_MAX;
    if (room > STEP_ROWS_MAX - count) room = STEP_ROWS_MAX - count;
    /* Readers share the room, the first of them gets what the others leave: short prompts soon
     * answer. */
    for (int i = 0; i < s->running_count && readers > 0 && room > 0; i++) {
        struct seq *q = s->running[i];
        if (atomic_load(&q->job->pause) || !is_reading(q)) continue;
        int share = (int)(room / (size_t)readers--);
        size_t added = add_rows(s, q, count, share > 0 ? share : 1);
        count += added;
        room -= added;
    }
    return count;
}

static bool is_end(const struct sched *s, int32_t id)
{
    for (size_t i = 0; i < s->conf.ends_count; i++)
        if (s->ends[i] == id) return true;
    return false;
}

static void take_token(struct sched *s, struct seq *q)
{
    struct sched_job *job = q->job;

    for (int i = s->conf.vocab; i < model_info(s->model)->vocab; i++) q->logits[i] = -INFINITY;
    const uint64_t *allowed = NULL;
    if (job->allowed && !job->allowed(job->ctx, &allowed)) {
        job_end(s, job, ERR_NONE, SCHED_STOP, NULL);
        return;
    }
    int32_t id = sampler_pick(q->sampler, q->logits, allowed);

    if (is_end(s, id)) {
        job_end(s, job, ERR_NONE, SCHED_STOP, NULL);
        return;
    }
    if (sampler_saw(q->sampler, id, true)) {
        job_end(s, job, ERR_MEMORY, SCHED_STOP, NULL);
        return;
    }
    q->ids[q->len++] = id;
    q->answered++;
    if (!job->token(job->ctx, id))
        job_end(s, job, ERR_NONE, SCHED_STOP, NULL);
    else if (q->answered >= job->max_tokens)
        job_end(s, job, ERR_NONE, SCHED_LENGTH, NULL);
}

static void fail_all(struct sched *s, enum err e, const struct err_note *why)
{
    while (s->running_count > 0) job_end(s, s->running[0]->job, e, SCHED_STOP, why);
}

static void step(struct sched *s, size_t count)
{
    struct err_note why = {0};

    enum err e = model_forward(s->model, s->rows, count, &why);
    if (e) {
        /* A file that can no longer be read fails what runs and what was kept alike. */
        while (e == ERR_IO && s->parked_count > 0) drop_oldest(s);
        fail_all(s, e == ERR_MEMORY ? ERR_MEMORY : ERR_LOCAL_FAILED, &why);
        return;
    }
    for (int i = 0; i < s->running_count; i++) s->running[i]->fed = kv_len(s->running[i]->kv);

    /* A sequence that ends takes the place of another in the list: walk backwards. */
    for (int i = s->running_count - 1; i >= 0; i--)
        if (i < s->running_count && s->running[i]->wants) {
            s->running[i]->wants = false;
            take_token(s, s->running[i]);
        }
}

/* ---- the thread ---- */

/* With `lock` held, until there is news. */
static void wait_for_news(struct sched *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += s->parked_count > 1 ? CALM_S : CALM_LAST_S;
    while (!s->fresh && !s->wake && !s->stopping) {
        if (s->parked_count == 0) {
            pthread_cond_wait(&s->news, &s->lock);
        } else if (pthread_cond_timedwait(&s->news, &s->lock, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&s->lock);
            give_back_parked(s);
            pthread_mutex_lock(&s->lock);
            until.tv_sec += CALM_LAST_S - CALM_S;
        }
    }
}

/* Moves what was put meanwhile to the waiting list; waits for news when there is nothing to do. */
static bool take_fresh(struct sched *s, bool idle)
{
    pthread_mutex_lock(&s->lock);
    if (idle) wait_for_news(s);
    struct sched_job *fresh = s->fresh;
    s->fresh = NULL;
    s->fresh_last = &s->fresh;
    s->wake = false;
    bool stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);

    struct sched_job **last = &s->waiting;
    while (*last) last = &(*last)->next;
    *last = fresh;
    return !stopping;
}

static void *sched_thread(void *arg)
{
    struct sched *s = arg;
    size_t rows = 0;

    while (take_fresh(s, rows == 0)) {
        drop_cancelled(s);
        admit_waiting(s);
        rows = plan_step(s);
        if (rows > 0) step(s, rows);
    }
    while (s->waiting) {
        struct sched_job *job = s->waiting;
        s->waiting = job->next;
        job_end(s, job, ERR_CANCELLED, SCHED_STOP, NULL);
    }
    fail_all(s, ERR_CANCELLED, NULL);
    return NULL;
}

enum err sched_new(struct sched **out, struct model *m, const struct sched_conf *c,
                   struct err_note *why)
{
    struct sched *s = calloc(1, sizeof *s);
    if (s == NULL) return err_set(why, ERR_MEMORY, "out of memory for a scheduler");

    assert(c->running_max >= 1 && c->running_max <= STEP_ROWS_SHARED);
    s->model = m;
    s->conf = *c;
    s->fresh_last = &s->fresh;
    s->ends = malloc(sizeof *s->ends * (c->ends_count + 1));
    s->running = calloc((size_t)c->running_max, sizeof(struct seq *));
    pthread_condattr_t steady; /* a wall clock set back would keep the KV for longer */
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->news, &steady);
    pthread_condattr_destroy(&steady);
    if (s->ends && c->ends_count) memcpy(s->ends, c->ends, sizeof *s->ends * c->ends_count);
    if (!s->ends || !s->running || pthread_create(&s->thread, NULL, sched_thread, s) != 0) {
        free(s->ends);
        free(s->running);
        free(s);
        return err_set(why, ERR_MEMORY, "cannot start a scheduler thread");
    }
    *out = s;
    return ERR_NONE;
}

void sched_put(struct sched *s, struct sched_job *job)
{
    job->next = NULL;
    job->seq = NULL;
    pthread_mutex_lock(&s->lock);
    *s->fresh_last = job;
    s->fresh_last = &job->next;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

void sched_wake(struct sched *s)
{
    pthread_mutex_lock(&s->lock);
    s->wake = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

void sched_free(struct sched *s)
{
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while (s->parked_count > 0) drop_oldest(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->news);
    free(s->running);
    free(s->ends);
    free(s);
}
