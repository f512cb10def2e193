#include "chat/reply.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/utf8.h"
#include "chat/held.h"
#include "chat/models.h"
#include "chat/prompt.h"
#include "chat/seam.h"
#include "conf/limits.h"

enum { BYTES_PER_TOKEN = 4 }; /* of text whose tokens nobody counted (providers.md section 1) */

enum reply_state { REPLY_ASKING, REPLY_SHOWING, REPLY_OVER };

struct reply {
    enum reply_state state;
    struct loop *loop;
    struct reply_ask asked;
    struct reply_events to;
    struct arena arena; /* folded messages */
    struct task begin;
    struct models *models;
    struct models_asker *asker; /* the name may be in a list that is on its way */
    struct timer deadline;
    uint64_t deadline_ms;
    int telling; /* depth of events; freed when it is 0 again */
    bool paused, cancelled;

    struct model_line line;
    size_t n; /* of the line: who is asked */
    struct model_use *use;
    struct answer *answer;
    struct ask q; /* as this model is asked */
    struct model_wait wait;
    bool waiting;
    uint64_t asked_us;
    bool first_seen;

    struct held held;       /* while nothing is shown */
    struct buf text;        /* shown, of the text channel */
    size_t reasoning_bytes; /* shown */
    bool tools;             /* shown: then nobody can go on */
    struct seam seam;
    bool rescuing; /* a second model goes on */
    bool thought;  /* it gave reasoning, which is not shown, */
    bool said;     /* and text */

    enum err
        failed; /* the first real failure, its note in end.why; of a stream that broke, that one */
    struct reply_end end;
};

static void reply_check(const struct reply *r)
{
    assert(r->answer == NULL || r->use);
    assert(r->use == NULL || r->n < r->line.count);
    if (r->state == REPLY_ASKING)
        assert(r->text.len == 0 && r->reasoning_bytes == 0 && !r->tools && !r->rescuing);
    if (r->state == REPLY_SHOWING) assert(r->end.shown);
    if (r->state == REPLY_OVER) assert(!r->answer && !r->use && !timer_is_set(&r->deadline));
}

/* ---- the end ---- */

static void leave_model(struct reply *r, enum err e, const struct err_note *why,
                        const struct usage *usage)
{
    if (r->answer) model_use_ops(r->use)->cancel(r->answer);
    r->answer = NULL;
    if (r->use) model_use_end(r->use, e, why, usage, clock_mono_us() - r->asked_us);
    r->use = NULL;
}

static void release(struct reply *r)
{
    reply_check(r);
    model_line_end(&r->line);
    held_fini(&r->held);
    buf_fini(&r->text);
    arena_fini(&r->arena);
    free(r);
}

/* Nothing of it is under way any more.  The wait, if its call is on the way, comes and calls again.
 */
static void stop(struct reply *r, enum err e, const struct err_note *why)
{
    leave_model(r, e, why, NULL);
    timer_stop(&r->deadline);
    if (r->asker) models_asker_leave(r->asker);
    r->asker = NULL;
    if (r->waiting && model_line_wait_end(&r->line, r->n, &r->wait)) r->waiting = false;
    r->state = REPLY_OVER;
}

static void release_if_still(struct reply *r)
{
    if (r->telling == 0 && !r->waiting && r->begin.run == NULL) release(r);
}

static void finish(struct reply *r, enum err e, const struct err_note *why)
{
    void (*done)(void *ctx, const struct reply_end *end) = r->to.done;

    stop(r, e, why);
    r->end.e = e;
    r->end.why = why && e ? *why : (struct err_note){.text = ""};
    r->to = (struct reply_events){.ctx = r->to.ctx};
    r->telling++;
    done(r->to.ctx, &r->end);
    r->telling--;
    release_if_still(r);
}

/* ---- showing ---- */

#define TELL(r, event, ...)                                                                        \
    do {                                                                                           \
        (r)->telling++;                                                                            \
        if ((r)->to.event) (r)->to.event((r)->to.ctx, __VA_ARGS__);                                \
        (r)->telling--;                                                                            \
    } while (0)

/* False: it was cancelled meanwhile, and is gone. */
static bool alive(struct reply *r)
{
    if (r->state != REPLY_OVER) return true;
    release_if_still(r);
    return false;
}

static void note_first(struct reply *r)
{
    if (r->end.first_us == 0) r->end.first_us = clock_mono_us();
    if (!r->first_seen) model_use_first(r->use, clock_mono_us() - r->asked_us);
    r->first_seen = true;
}

/* From here on nobody may start over. */
static void begin_showing(struct reply *r)
{
    if (r->state == REPLY_SHOWING) return;
    r->state = REPLY_SHOWING;
    r->end.shown = true;
}

static bool show_text(struct reply *r, str text)
{
    size_t from = r->text.len;

    if (text.len == 0) return true;
    begin_showing(r);
    buf_add(&r->text, text);
    if (r->text.bad) {
        struct err_note why = {.text = ""};
        finish(r, ERR_MEMORY, (err_set(&why, ERR_MEMORY, "answer too long"), &why));
        return false;
    }
    TELL(r, text, str_tail(buf_str(&r->text), from));
    return alive(r);
}

static void break_off(struct reply *r, enum err e, const struct err_note *why);

/* The text of a second model: joined to the first's. */
static void join_text(struct reply *r, str piece, bool at_end)
{
    struct buf more;
    struct err_note why = {.text = ""};

    buf_init(&more, UPSTREAM_ANSWER_BYTES_MAX);
    bool joined = at_end ? seam_end(&r->seam, &more) : seam_add(&r->seam, piece, &more);
    if (joined && !more.bad) {
        show_text(r, buf_str(&more));
    } else {
        err_set(&why, ERR_SERVER, "%s starts over instead of going on",
                model_use_ops(r->use)->type);
        break_off(r, ERR_SERVER, &why);
    }
    buf_fini(&more);
}

static void on_text(void *ctx, str text)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER) return;
    note_first(r);
    r->said = r->said || text.len > 0;
    if (r->asked.hold)
        held_text(&r->held, text);
    else if (r->rescuing)
        join_text(r, text, false);
    else
        show_text(r, text);
}

static void on_reasoning(void *ctx, str text)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER) return;
    note_first(r);
    r->thought = true;
    if (r->asked.hold) {
        held_reasoning(&r->held, text);
    } else if (!r->rescuing && text.len) { /* a second model's is not shown: the first's was */
        if (!r->asked.reasoning_hidden) begin_showing(r);
        if (!r->asked.reasoning_hidden) r->reasoning_bytes += text.len;
        TELL(r, reasoning, text);
        alive(r);
    }
}

static void on_signature(void *ctx, const struct part *part)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER || r->rescuing) return;
    if (r->asked.hold) {
        held_signature(&r->held, part);
        return;
    }
    begin_showing(r);
    TELL(r, signature, part);
    alive(r);
}

static void on_tool_begin(void *ctx, int index, str id, str name)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER) return;
    note_first(r);
    if (r->asked.hold) {
        held_tool_begin(&r->held, index, id, name);
        return;
    }
    begin_showing(r);
    r->tools = true;
    TELL(r, tool_begin, index, id, name);
    alive(r);
}

static void on_tool_args(void *ctx, int index, str fragment)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER) return;
    if (r->asked.hold) {
        held_tool_args(&r->held, index, fragment);
        return;
    }
    TELL(r, tool_args, index, fragment);
    alive(r);
}

static void on_extra(void *ctx, enum extra what, str json)
{
    struct reply *r = ctx;

    if (r->state == REPLY_OVER || r->rescuing) return;
    if (r->asked.hold) {
        held_extra(&r->held, what, json);
        return;
    }
    TELL(r, extra, what, json);
    alive(r);
}

/* A model that failed in mid-answer is to be asked anew. */
static bool on_take_back(void *ctx)
{
    struct reply *r = ctx;

    if (r->state != REPLY_ASKING) return false;
    held_clear(&r->held);
    r->thought = r->said = false;
    TELL(r, started, model_use_name(r->use), model_use_ops(r->use)->type);
    return alive(r);
}

/* ---- asking ---- */

static void ask_next(struct reply *r);
static void on_end(void *ctx, const struct answer_end *end);

static int64_t shown_tokens(const struct reply *r)
{
    return (int64_t)(r->text.len + r->reasoning_bytes) / BYTES_PER_TOKEN;
}

static enum err ask(struct reply *r, struct err_note *why)
{
    const struct backend_ops *ops = model_use_ops(r->use);
    struct sink to = {r,      on_text,  on_reasoning, on_signature, on_tool_begin, on_tool_args,
                      on_end, on_extra, on_take_back};
    struct ask *q = &r->q;
    enum err e = ERR_NONE;

    *q = *r->asked.ask;
    if (!(ops->can & BACKEND_SYSTEM)) {
        e = prompt_fold(q, &r->arena);
        q->received = STR_NONE;
    }
    q->model = model_use_name(r->use);
    q->model_version = model_use_version(r->use);
    q->deadline_ms = r->deadline_ms;
    q->others_ready = model_line_ready_after(&r->line, r->n);
    q->once = model_use_is_probe(r->use);
    if (r->rescuing) {
        q->prefill = seam_prefill(&r->seam);
        if (q->max_tokens > 0) {
            int64_t left = q->max_tokens - shown_tokens(r);
            q->max_tokens = left > 1 ? (int)left : 1;
        }
    }
    r->asked_us = clock_mono_us();
    if (!r->end.shown) {
        r->end.asked_us = r->asked_us;
        r->end.first_us = 0;
    }
    r->first_seen = r->thought = r->said = false;
    if (!e) e = ops->ask(&r->answer, model_use_backend(r->use), r->loop, q, to, why);
    if (!e && r->paused && ops->pause) ops->pause(r->answer, true);
    return e;
}

static void on_model_prepared(struct model_wait *w)
{
    struct reply *r = container_of(w, struct reply, wait);

    r->waiting = false;
    if (alive(r)) ask_next(r);
}

static void remember_failure(struct reply *r, enum err e, const struct err_note *why)
{
    if (r->failed) return;
    r->failed = e;
    r->end.why = why ? *why : (struct err_note){.text = ""};
}

/* Who gave a stream's beginning keeps its name; who goes on is the rescuer. */
static void note_model(struct reply *r)
{
    if (!r->rescuing) {
        r->end.model_name = model_use_name(r->use);
        r->end.type = model_use_ops(r->use)->type;
    }
}

/* May this one take over?  Where nothing but reasoning or white space was shown, whoever is asked
 * anew.  An answer that goes on from the asker's own beginning has two of them: too much for most.
 */
static bool can_go_on(const struct reply *r)
{
    const struct backend_ops *ops = model_use_ops(r->use);
    const struct ask *q = r->asked.ask;

    if (r->state == REPLY_ASKING || seam_prefill(&r->seam).len == 0) return true;
    if (q->messages_count && q->messages[q->messages_count - 1].role == ROLE_ASSISTANT)
        return false;
    if (ops->goes_on) return ops->goes_on(model_use_backend(r->use), model_use_name(r->use));
    return ops->can & BACKEND_PREFILL;
}

/* A name that its provider does not know is the asker's mistake: nobody else is meant by it
 * (openai-compat.md 1.1). */
static bool may_fall_back(struct reply *r, enum err e)
{
    r->end.unknown_name = e == ERR_MODEL_NOT_FOUND && r->line.named && r->n == 0;
    return err_row(e)->fallback && !r->end.unknown_name;
}

/* Nobody is left: the first failure is the cause, not the last. */
static void give_up(struct reply *r, enum err e, const struct err_note *why)
{
    remember_failure(r, e, why);
    finish(r, r->failed, &r->end.why);
}

/* Asks the model whose turn it is, or the first after it that can be asked. */
static void ask_next(struct reply *r)
{
    struct err_note idle_why = {.text = "no model is ready"};
    enum err idle = ERR_NOT_READY; /* why the first was not even asked */

    reply_check(r);
    for (size_t first = r->n;; r->n++) {
        struct err_note why = {.text = ""};
        enum err e = model_line_use(&r->line, r->n, &r->use, &why);
        if (e == ERR_NOT_FOUND) break;
        if (e) {
            r->wait = (struct model_wait){.loop = r->loop, .ready = on_model_prepared};
            bool last = r->failed != ERR_NONE && !model_line_ready_after(&r->line, r->n);
            r->waiting = model_line_wait(&r->line, r->n, last, &r->wait) == ERR_NONE;
            if (r->waiting) return;
            /* One that was chosen by name and can never be asked is not replaced by another. */
            if (r->n == 0 && r->line.named && e != ERR_NOT_READY && r->state == REPLY_ASKING &&
                !may_fall_back(r, e)) {
                give_up(r, e, &why);
                return;
            }
            if (r->n == first && e != ERR_NOT_READY) {
                idle = e;
                idle_why = why;
            } else if (idle == ERR_NOT_READY && why.retry_after_ms > idle_why.retry_after_ms)
                idle_why.retry_after_ms = why.retry_after_ms;
            continue;
        }
        if (!can_go_on(r)) {
            model_use_drop(r->use);
            r->use = NULL;
            continue;
        }
        note_model(r);
        if (r->n > 0) {
            struct models_counts *n = models_counts(r->line.of);
            counter_add(r->rescuing ? &n->rescues : &n->fallbacks, 1);
        }
        TELL(r, started, model_use_name(r->use), model_use_ops(r->use)->type);
        if (!alive(r)) return;
        e = ask(r, &why);
        if (!e) return;
        leave_model(r, e, &why, NULL);
        if (r->state == REPLY_ASKING && !may_fall_back(r, e)) {
            give_up(r, e, &why);
            return;
        }
        remember_failure(r, e, &why);
    }
    give_up(r, idle, &idle_why);
}

static void say_over(const struct reply *r, const char *event, enum err e,
                     const struct err_note *why)
{
    log_event(LEVEL_WARNING, "chat", event, LOG_CSTR("model_type", model_use_ops(r->use)->type),
              LOG_STR("model_name", model_use_name(r->use)), LOG_CSTR("code", err_row(e)->code),
              LOG_CSTR("error", err_text(why, e)));
}

/* A stream broke.  Whoever can go on from the exact text does; else the asker is told of the break.
 */
static void break_off(struct reply *r, enum err e, const struct err_note *why)
{
    bool may = r->asked.rescue && !r->tools && (r->rescuing || err_row(e)->fallback);

    if (may) say_over(r, "stream_broken", e, why);
    leave_model(r, e, why, NULL);
    if (!r->rescuing) r->failed = ERR_NONE; /* what failed before the stream began is past */
    remember_failure(r, e, why);
    if (!may) {
        finish(r, r->failed, &r->end.why);
        return;
    }
    r->rescuing = true;
    if (r->end.rescued_at == 0) r->end.rescued_at = utf8_count(buf_str(&r->text));
    seam_init(&r->seam, &r->text);
    r->n++;
    ask_next(r);
}

/* ---- an answer's end ---- */

static void add_usage(struct reply *r, const struct usage *u)
{
    r->end.usage = *u;
    if (!r->rescuing || u->completion_tokens < 0) return;
    /* The one that died did not count. */
    r->end.usage.completion_tokens += (int64_t)r->end.rescued_at / BYTES_PER_TOKEN;
    r->end.usage.estimated = r->end.usage.answer_estimated = true;
}

static void complete(struct reply *r, const struct answer_end *end)
{
    r->end.finish = end->finish;
    r->end.stop = end->stop;
    add_usage(r, &end->usage);
    if (r->rescuing) r->end.rescued_by = model_use_name(r->use);
    model_use_end(r->use, ERR_NONE, NULL, &end->usage, clock_mono_us() - r->asked_us);
    r->use = NULL;
    if (r->asked.hold && r->held.first) {
        r->end.shown = true;
        r->telling++;
        held_give(&r->held, &r->to, &r->cancelled);
        r->telling--;
        if (!alive(r)) return;
    }
    finish(r, ERR_NONE, NULL);
}

static void on_end(void *ctx, const struct answer_end *end)
{
    struct reply *r = ctx;
    struct err_note why = end->why;
    enum err e = end->e;

    r->answer = NULL;
    if (r->state == REPLY_OVER) return;
    reply_check(r);
    if (e == ERR_NONE && r->held.bad) e = err_set(&why, ERR_MEMORY, "answer too long");
    /* Its server took the text for more thinking: what it said of the answer nobody knows. */
    if (e == ERR_NONE && r->rescuing && r->thought && !r->said && seam_prefill(&r->seam).len)
        e = err_set(&why, ERR_SERVER, "%s only thought, and did not go on",
                    model_use_ops(r->use)->type);
    if (e == ERR_NONE && r->rescuing && !r->seam.joined) {
        struct answer_end kept = *end;
        r->telling++; /* outlives what join_text may end */
        join_text(r, STR_NONE, true);
        r->telling--;
        if (!alive(r) || r->use == NULL || r->answer) return; /* over, or another is asked */
        complete(r, &kept);
        return;
    }
    if (e == ERR_NONE) {
        complete(r, end);
        return;
    }
    if (r->state == REPLY_SHOWING) {
        break_off(r, e, &why);
        return;
    }
    bool next = may_fall_back(r, e);
    if (next) say_over(r, "model_failed", e, &why);
    model_use_end(r->use, e, &why, &end->usage, clock_mono_us() - r->asked_us);
    r->use = NULL;
    held_clear(&r->held);
    if (!next) {
        give_up(r, e, &why);
        return;
    }
    remember_failure(r, e, &why);
    r->n++;
    ask_next(r);
}

/* ---- the asker's calls ---- */

static void on_deadline(struct timer *t)
{
    struct reply *r = container_of(t, struct reply, deadline);
    struct err_note why = {.text = ""};

    err_set(&why, ERR_TIMEOUT, "not answered within the whole request's time");
    finish(r, ERR_TIMEOUT, &why);
}

static void on_begin(struct task *t)
{
    struct reply *r = container_of(t, struct reply, begin);

    r->begin.run = NULL;
    if (alive(r)) ask_next(r);
}

/* The lists are there, as far as they came: now the name means something, or never will. */
static void on_lists(void *ctx, const struct models_offers *offers)
{
    struct reply *r = ctx;
    struct err_note why = {.text = ""};
    enum err e = models_line(r->models, r->asked.reasoning, r->asked.model, &r->line, &why);

    (void)offers; /* the models know them */
    r->asker = NULL;
    r->end.unknown_name = e == ERR_MODEL_NOT_FOUND;
    if (e)
        finish(r, e, &why);
    else
        ask_next(r);
}

enum err reply_start(struct reply **out, struct models *m, struct loop *l,
                     const struct reply_ask *ask, struct reply_events to, struct err_note *why)
{
    struct reply *r = calloc(1, sizeof *r);

    if (r == NULL) return err_set(why, ERR_MEMORY, "out of memory for an answer");
    enum err e = models_line(m, ask->reasoning, ask->model, &r->line, why);
    if (e == ERR_MODEL_NOT_FOUND && models_offers_may_tell(m))
        r->asker = models_offers(m, l, on_lists, r);
    if (e && !r->asker) {
        free(r);
        return e;
    }
    r->models = m;
    r->loop = l;
    r->asked = *ask;
    r->to = to;
    r->end.usage = usage_unknown;
    arena_init(&r->arena, 0);
    held_init(&r->held);
    buf_init(&r->text, UPSTREAM_ANSWER_BYTES_MAX);
    r->deadline_ms = loop_now_ms(l) + ask->total_ms;
    timer_set(&r->deadline, l, ask->total_ms, on_deadline);
    if (!r->asker) {
        r->begin.run = on_begin;
        loop_post(l, &r->begin);
    }
    *out = r;
    return ERR_NONE;
}

void reply_cancel(struct reply *r)
{
    if (r == NULL) return;
    loop_assert_here(r->loop);
    r->to = (struct reply_events){.ctx = NULL};
    r->cancelled = true;
    stop(r, ERR_CANCELLED, NULL);
    release_if_still(r);
}

void reply_pause(struct reply *r, bool pause)
{
    r->paused = pause;
    if (r->answer && model_use_ops(r->use)->pause) model_use_ops(r->use)->pause(r->answer, pause);
}
