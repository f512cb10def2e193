/* What an answer gave, as one line of text that tests compare: pieces joined, so that the cuts of
 * the source do not show.  "t:" text, "r:" reasoning, "s:" signature (its first
 * letters, where they are asked for), "c0:id:name" and "a0:" a tool
 * call, then "done" with the finish, or the error's code. */
#ifndef SEMA_TESTS_ANSWER_TRACE_H
#define SEMA_TESTS_ANSWER_TRACE_H

#include "check.h"

#include <uv.h>

#include "backend/backend.h"
#include "base/buf.h"
#include "base/loop.h"
#include "base/utf8.h"

struct answer_trace {
    struct loop *loop;
    const struct backend_ops *ops;
    struct answer *answer;
    struct buf seen;
    char last[16]; /* the channel that is being added to */
    int pieces, done;
    bool over;               /* `done` came, or the quiet time after a cancel has passed */
    bool signatures;         /* are traced */
    char signature[100];     /* the last, or redacted reasoning */
    char signature_id[100];  /* of its item */
    int cancel_at, pause_at; /* at this piece; 0: never */
    struct answer_end end;
    struct timer timer; /* ends a pause, or the wait for events that must not come */
};

static inline void trace_channel(struct answer_trace *t, const char *channel)
{
    if (strcmp(t->last, channel) == 0) return;
    buf_addf(&t->seen, "%s%s", t->seen.len ? " " : "", channel);
    snprintf(t->last, sizeof t->last, "%s", channel);
}

static inline void trace_over(struct answer_trace *t)
{
    t->over = true;
    uv_stop(loop_uv(t->loop)); /* else the loop may wait for events that nobody needs any more */
}

static void trace_go_on(struct timer *timer)
{
    struct answer_trace *t = container_of(timer, struct answer_trace, timer);
    if (t->answer) t->ops->pause(t->answer, false);
}

static void trace_stop(struct timer *timer)
{
    trace_over(container_of(timer, struct answer_trace, timer));
}

static inline void trace_piece(struct answer_trace *t, const char *channel, str text)
{
    check_int(t->done, 0);         /* nothing after the end */
    check_true(t->answer != NULL); /* nothing after a cancel, nothing before ask() returned */
    check_true(utf8_valid(text));
    check_true(text.len > 0);
    trace_channel(t, channel);
    buf_add(&t->seen, text);
    t->pieces++;
    if (t->pieces == t->pause_at) {
        t->ops->pause(t->answer, true);
        timer_set(&t->timer, t->loop, 30, trace_go_on);
    }
    if (t->pieces == t->cancel_at) {
        t->ops->cancel(t->answer);
        t->answer = NULL;
        timer_set(&t->timer, t->loop, 60, trace_stop);
    }
}

static void trace_text(void *ctx, str text)
{
    trace_piece(ctx, "t:", text);
}

static void trace_reasoning(void *ctx, str text)
{
    trace_piece(ctx, "r:", text);
}

static void trace_signature(void *ctx, const struct part *p)
{
    struct answer_trace *t = ctx;

    check_int(t->done, 0);
    check_true(t->answer != NULL);
    check_true(p->issuer.len > 0);
    check_true(p->kind == PART_TOOL_CALL ? p->id.len > 0
                                         : p->kind == PART_REASONING || p->kind == PART_TEXT);
    str token = p->redacted.len ? p->redacted : p->signature;
    snprintf(t->signature, sizeof t->signature, "%.*s", STR_ARG(token));
    snprintf(t->signature_id, sizeof t->signature_id, "%.*s", STR_ARG(p->id));
    if (!t->signatures) return;
    trace_channel(t, p->redacted.len ? "x:" : "s:");
    buf_add(&t->seen, str_head(token, 3));
}

static void trace_tool_begin(void *ctx, int index, str id, str name)
{
    struct answer_trace *t = ctx;
    char channel[16];

    snprintf(channel, sizeof channel, "c%d:", index);
    trace_channel(t, channel);
    buf_addf(&t->seen, "%.*s:%.*s", STR_ARG(id), STR_ARG(name));
}

static void trace_tool_args(void *ctx, int index, str fragment)
{
    char channel[16];

    snprintf(channel, sizeof channel, "a%d:", index);
    trace_piece(ctx, channel, fragment);
}

static void trace_done(void *ctx, const struct answer_end *end)
{
    static const char *const finishes[] = {"none", "stop", "length", "tool_calls",
                                           "content_filter"};
    struct answer_trace *t = ctx;

    check_true(t->answer != NULL);
    t->done++;
    t->end = *end;
    t->answer = NULL;
    buf_addf(&t->seen, "%s", t->seen.len ? " " : "");
    if (end->e)
        buf_addf(&t->seen, "%s", err_row(end->e)->code);
    else
        buf_addf(&t->seen, "done:%s", finishes[end->finish]);
    timer_stop(&t->timer);
    trace_over(t);
}

/* Turns the loop until the answer's end. */
static inline void trace_run(struct answer_trace *t)
{
    while (!t->over) uv_run(loop_uv(t->loop), UV_RUN_DEFAULT);
}

static inline void trace_ask(struct answer_trace *t, struct loop *l, const struct backend_ops *ops,
                             struct backend *b, const struct ask *q)
{
    struct sink to = {
        .ctx = t,
        .text = trace_text,
        .reasoning = trace_reasoning,
        .signature = trace_signature,
        .tool_begin = trace_tool_begin,
        .tool_args = trace_tool_args,
        .done = trace_done,
    };
    struct err_note why = {0};

    t->loop = l;
    t->ops = ops;
    buf_init(&t->seen, SIZE_MAX);
    enum err e = ops->ask(&t->answer, b, l, q, to, &why);
    if (e) print_error("ask: %s\n", err_text(&why, e));
    check_int(e, ERR_NONE);
}

static inline void trace_fini(struct answer_trace *t)
{
    if (t->answer) t->ops->cancel(t->answer);
    timer_stop(&t->timer);
    buf_fini(&t->seen);
}

#endif
