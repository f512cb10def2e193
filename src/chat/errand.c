#include "chat/errand.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/loop.h"
#include "chat/models.h"
#include "chat/prompt.h"

struct errand {
    struct loop *loop;
    struct errand_ask asked;
    errand_fn *done; /* NULL: cancelled */
    void *ctx;
    struct arena arena; /* folded messages */
    struct task begin;
    struct models *models;
    struct models_asker *asker; /* the name may be in a list that is on its way */
    struct timer deadline;
    uint64_t deadline_ms, asked_us;

    struct model_line line; /* its first is asked */
    struct model_use *use;
    struct aside *aside;
    struct ask q;
    struct embed_ask embed;
    struct model_wait wait;
    bool waiting;
};

/* A task or a wait that is on its way comes first. */
static void release(struct errand *e)
{
    if (e->waiting || e->begin.run) return;
    model_line_end(&e->line);
    arena_fini(&e->arena);
    free(e);
}

static void stop(struct errand *e, enum err result, const struct aside_end *end)
{
    struct usage usage = usage_unknown;

    timer_stop(&e->deadline);
    if (e->asker) models_asker_leave(e->asker);
    e->asker = NULL;
    if (e->aside) model_use_ops(e->use)->aside_cancel(e->aside);
    e->aside = NULL;
    if (e->waiting && model_line_wait_end(&e->line, 0, &e->wait)) e->waiting = false;
    if (e->use == NULL) return;
    /* A count is no request of the model: it neither fails it nor adds to its numbers. */
    if (!e->asked.embed) {
        model_use_drop(e->use);
    } else {
        if (end) usage.prompt_tokens = end->tokens;
        model_use_end(e->use, result, end ? &end->why : NULL, &usage,
                      clock_mono_us() - e->asked_us);
    }
    e->use = NULL;
}

static void finish(struct errand *e, const struct aside_end *what)
{
    struct errand_end end = {.what = what};
    errand_fn *done = e->done;

    if (e->use) {
        end.model_name = model_use_name(e->use);
        end.type = model_use_ops(e->use)->type;
    }
    e->aside = NULL;
    stop(e, what->e, what);
    e->done = NULL;
    done(e->ctx, &end);
    release(e);
}

static void end_with(struct errand *e, enum err kind, const struct err_note *why)
{
    struct aside_end end = {.e = kind, .tokens = -1};

    if (why) end.why = *why;
    finish(e, &end);
}

static void on_end(void *ctx, const struct aside_end *end)
{
    finish(ctx, end);
}

static enum err ask(struct errand *e, struct err_note *why)
{
    const struct backend_ops *ops = model_use_ops(e->use);
    struct backend *b = model_use_backend(e->use);

    e->asked_us = clock_mono_us();
    if (e->asked.embed) {
        if (ops->embed == NULL) return ERR_NOT_FOUND;
        e->embed = *e->asked.embed;
        e->embed.model = model_use_name(e->use);
        e->embed.deadline_ms = e->deadline_ms;
        return ops->embed(&e->aside, b, e->loop, &e->embed, on_end, e, why);
    }
    if (ops->count == NULL) return ERR_NOT_FOUND;
    e->q = *e->asked.count;
    e->q.model = model_use_name(e->use);
    e->q.model_version = model_use_version(e->use);
    e->q.deadline_ms = e->deadline_ms;
    enum err err = ops->can & BACKEND_SYSTEM ? ERR_NONE : prompt_fold(&e->q, &e->arena);
    return err ? err : ops->count(&e->aside, b, e->loop, &e->q, on_end, e, why);
}

static void go(struct errand *e);

static void on_model_prepared(struct model_wait *w)
{
    struct errand *e = container_of(w, struct errand, wait);

    e->waiting = false;
    if (e->done)
        go(e);
    else
        release(e);
}

static void go(struct errand *e)
{
    struct err_note why = {.text = ""};
    enum err err = model_line_use(&e->line, 0, &e->use, &why);

    if (err) {
        e->wait = (struct model_wait){.loop = e->loop, .ready = on_model_prepared};
        e->waiting = model_line_wait(&e->line, 0, true, &e->wait) == ERR_NONE;
        if (e->waiting) return;
    } else if (!e->asked.count && !e->asked.embed) {
        end_with(e, ERR_NONE, NULL); /* it is ready: that is all */
        return;
    } else {
        err = ask(e, &why);
    }
    if (err) end_with(e, err, &why);
}

static void on_begin(struct task *t)
{
    struct errand *e = container_of(t, struct errand, begin);

    e->begin.run = NULL;
    if (e->done)
        go(e);
    else
        release(e);
}

static void on_deadline(struct timer *t)
{
    struct errand *e = container_of(t, struct errand, deadline);
    struct err_note why = {.text = ""};

    err_set(&why, ERR_TIMEOUT, "not answered within the whole request's time");
    if (e->aside) model_use_ops(e->use)->aside_cancel(e->aside);
    end_with(e, ERR_TIMEOUT, &why);
}

static void on_lists(void *ctx, const struct models_offers *offers)
{
    struct errand *e = ctx;
    struct err_note why = {.text = ""};
    enum err err = models_line(e->models, false, e->asked.model, &e->line, &why);

    (void)offers; /* the models know them */
    e->asker = NULL;
    if (err)
        end_with(e, err, &why);
    else
        go(e);
}

enum err errand_start(struct errand **out, struct models *m, struct loop *l,
                      const struct errand_ask *ask, errand_fn *done, void *ctx,
                      struct err_note *why)
{
    struct errand *e = calloc(1, sizeof *e);

    if (e == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");
    enum err err = models_line(m, false, ask->model, &e->line, why);
    if (err == ERR_MODEL_NOT_FOUND && models_offers_may_tell(m))
        e->asker = models_offers(m, l, on_lists, e);
    if (err && !e->asker) {
        free(e);
        return err;
    }
    e->models = m;
    e->loop = l;
    e->asked = *ask;
    e->done = done;
    e->ctx = ctx;
    arena_init(&e->arena, 0);
    e->deadline_ms = loop_now_ms(l) + ask->total_ms;
    timer_set(&e->deadline, l, ask->total_ms, on_deadline);
    if (!e->asker) {
        e->begin.run = on_begin;
        loop_post(l, &e->begin);
    }
    *out = e;
    return ERR_NONE;
}

void errand_cancel(struct errand *e)
{
    if (e == NULL) return;
    loop_assert_here(e->loop);
    e->done = NULL;
    stop(e, ERR_CANCELLED, NULL);
    release(e);
}
