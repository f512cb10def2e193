/* The course of a turn: wait for its place, read the history, ask the models of the chain until one
 * answers, pass the text on, store it, tell.  turn.h draws it. */
#include "chat/turn.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/limits.h"

static bool generating(const struct turn *t)
{
    return t->state == TURN_ASKING || t->state == TURN_STREAMING;
}

static void turn_check(const struct turn *t)
{
    assert(t->reply == NULL || generating(t));
    if (t->state < TURN_ASKING) assert(t->form.text.len == 0);
    if (t->state == TURN_WAITING) assert(t->history == NULL);
    if (t->state == TURN_ASKING && t->ask.stream) assert(t->form.text.len == 0);
    if (t->state == TURN_STREAMING) assert(t->ask.stream && t->form.text.len > 0);
    if (t->state >= TURN_KEEPING) assert(t->reply == NULL && !timer_is_set(&t->deadline));
}

/* ---- the end ---- */

static void release(struct turn *t)
{
    turn_check(t);
    shelf_answer_free(t->history);
    form_fini(&t->form);
    buf_fini(&t->user_meta);
    buf_fini(&t->answer_meta);
    arena_fini(&t->arena);
    gauge_add(&t->chat->numbers.unfinished, -1);
    free(t);
}

/* The last step of every turn: the place goes to the next, the caller is told, the memory is given
 * back. What is still on its way to this loop (its call, a read, `leave`) comes first. */
static void finish(struct turn *t)
{
    assert(t->telling == 0);
    if (t->reading) return;
    if (t->place.entry && !order_leave(t->chat->order, &t->place)) return;
    if (!t->muted) {
        t->muted = true;
        t->telling++;
        if (t->state == TURN_DONE)
            t->to.done(t->to.ctx, &t->result);
        else
            t->to.failed(t->to.ctx, t->end, &t->end_why, t->ask.stream && t->form.text.len > 0);
        t->telling--;
    }
    release(t);
}

/* Whoever is told logs it in the words of its route; this is for a caller that left. */
static void say_failed(const struct turn *t)
{
    if (!t->muted || t->end == ERR_CANCELLED || t->end == ERR_SESSION_LIMIT) return;
    log_event(err_row(t->end)->level, "chat",
              t->end == ERR_NOT_READY ? "model_not_loaded" : "generation_error",
              LOG_CSTR("error", err_text(&t->end_why, t->end)),
              LOG_CSTR("code", err_row(t->end)->code), LOG_STR("session_id", t->ask.key.id));
}

/* Generation, or the way to it, is over: `e` says how. */
static void end_generation(struct turn *t, enum err e, const struct err_note *why)
{
    t->end = e;
    t->end_why = why ? *why : (struct err_note){.text = ""};
    timer_stop(&t->deadline);
    reply_cancel(t->reply);
    t->reply = NULL;
    if (t->counted) gauge_add(&t->chat->numbers.turns, -1);
    t->counted = false;
}

static void settle(struct turn *t)
{
    bool partial = t->state == TURN_STREAMING;

    turn_check(t);
    if (t->end == ERR_NONE || partial) {
        t->state = TURN_KEEPING;
        turn_check(t);
        keep_turn(t);
        return;
    }
    t->state = t->end == ERR_CANCELLED ? TURN_CANCELLED : TURN_FAILED;
    say_failed(t);
    finish(t);
}

static void fail(struct turn *t, enum err e, const struct err_note *why)
{
    turn_check(t);
    end_generation(t, e, why);
    settle(t);
}

void turn_kept(struct turn *t, enum err e, const struct err_note *why)
{
    turn_check(t);
    if (t->end == ERR_NONE) {
        t->state = e ? TURN_FAILED : TURN_DONE;
        t->end = e;
        if (e && why) t->end_why = *why;
        if (e) say_failed(t);
    } else {
        t->state = t->end == ERR_CANCELLED ? TURN_CANCELLED : TURN_FAILED;
        say_failed(t);
    }
    finish(t);
}

/* ---- events to the caller ---- */

static void tell_started(struct turn *t)
{
    if (t->told_started || t->muted || t->to.started == NULL) return;
    t->told_started = true;
    t->telling++;
    t->to.started(t->to.ctx);
    t->telling--;
}

static void tell_text(struct turn *t, str piece)
{
    if (!t->ask.stream || piece.len == 0) return;
    t->state = TURN_STREAMING;
    turn_check(t);
    if (t->muted || t->to.text == NULL) return;
    t->telling++;
    t->to.text(t->to.ctx, piece);
    t->telling--;
}

/* ---- the answer ---- */

/* Each time a model is asked.  The first whose text is shown gives the answer its name. */
static void on_started(void *ctx, str model_name, const char *type)
{
    struct turn *t = ctx;

    (void)type;
    turn_check(t);
    if (t->state == TURN_ASKING) {
        t->model_name = arena_str(&t->arena, model_name);
        form_clear(&t->form); /* hidden reasoning of one that failed */
    }
    tell_started(t);
}

static void on_text(void *ctx, str piece)
{
    struct turn *t = ctx;

    turn_check(t);
    tell_text(t, form_answer(&t->form, piece));
    turn_check(t);
}

static void on_reasoning(void *ctx, str piece)
{
    struct turn *t = ctx;

    turn_check(t);
    tell_text(t, form_reason(&t->form, piece));
    turn_check(t);
}

static void on_end(void *ctx, const struct reply_end *end)
{
    struct turn *t = ctx;
    enum err e = end->e;
    struct err_note why = end->why;

    turn_check(t);
    t->reply = NULL;
    t->finish = end->finish;
    t->usage = end->usage;
    t->rescued_by = end->rescued_by.len ? arena_str(&t->arena, end->rescued_by) : STR_NONE;
    t->rescued_at = end->rescued_at;
    if (t->muted) return; /* `leave` is on its way */
    if (e == ERR_NONE) {
        tell_text(t, form_end(&t->form));
        if (form_bad(&t->form)) e = err_set(&why, ERR_MEMORY, "answer too long");
    }
    if (t->muted) return;
    end_generation(t, e, &why);
    settle(t);
}

static void ask(struct turn *t)
{
    const struct chat_conf *c = &t->chat->conf;
    bool own_temperature = !isnan(t->ask.temperature);
    uint64_t now_ms = loop_now_ms(t->loop);
    struct err_note why = {.text = ""};
    struct ask *q = &t->q;

    *q = ask_none;
    q->messages = t->prompt.messages;
    q->messages_count = t->prompt.count;
    q->temperature = own_temperature ? t->ask.temperature : c->temperature;
    q->top_p = c->top_p;
    q->top_k = c->top_k;
    q->defaults = c->sampling_defaults & ~(own_temperature ? DEFAULT_TEMPERATURE : 0u);
    q->top_k_is_setting = true;
    q->max_tokens = t->ask.max_tokens >= 0 ? t->ask.max_tokens : c->max_new_tokens;
    q->effort = t->ask.reasoning ? EFFORT_MEDIUM : EFFORT_UNSET;
    q->stream = t->ask.stream;
    q->trim = true;
    q->room_to_think = true;
    q->fair_key = hash_mix(hash_str(t->ask.key.owner), hash_str(t->ask.key.id));

    struct reply_ask asked = {
        .ask = q,
        .reasoning = t->ask.reasoning,
        .total_ms = t->deadline_ms > now_ms ? t->deadline_ms - now_ms : 0,
        .rescue = c->stream_rescue,
        .hold = !t->ask.stream,
        .reasoning_hidden = !c->show_reasoning,
    };
    struct reply_events to = {.ctx = t,
                              .started = on_started,
                              .text = on_text,
                              .reasoning = on_reasoning,
                              .done = on_end};
    enum err e = reply_start(&t->reply, t->chat->models, t->loop, &asked, to, &why);
    timer_stop(&t->deadline); /* the reply keeps it */
    if (e) {
        fail(t, e, &why);
        return;
    }
    if (t->paused) reply_pause(t->reply, true);
}

/* ---- its place, its history ---- */

static void on_history(void *ctx, struct shelf_answer *a)
{
    struct turn *t = ctx;

    turn_check(t);
    t->reading = false;
    t->history = a;
    if (t->state != TURN_READING) { /* ended meanwhile */
        finish(t);
        return;
    }
    enum err e = a->e;
    if (!e) e = prompt_build(&t->prompt, &t->arena, &t->chat->conf, &t->ask, a);
    if (e) {
        fail(t, e, &a->why);
        return;
    }
    t->born = a->row.born;
    t->seq = a->row.born ? a->row.count : 0;
    t->asking = (struct asking){.message = t->ask.message,
                                .at_us = clock_wall_us(),
                                .images = t->ask.images_count,
                                .born = t->born,
                                .seq = t->seq};
    order_show(t->chat->order, &t->place, &t->asking);
    t->state = TURN_ASKING;
    t->began_us = clock_mono_us();
    t->counted = true;
    gauge_add(&t->chat->numbers.turns, 1);
    turn_check(t);
    ask(t);
}

static void on_called(struct place *p)
{
    struct turn *t = container_of(p, struct turn, place);
    const struct chat_conf *c = &t->chat->conf;

    turn_check(t);
    if (t->state != TURN_WAITING) { /* ended while the call was on its way */
        finish(t);
        return;
    }
    if (!order_begin(t->chat->order, p)) return; /* called again when the session is forgotten */
    t->state = TURN_READING;
    enum err e = shelf_read_for_turn(t->chat->shelf, t->loop, t->ask.key,
                                     c->max_messages ? c->max_messages : UINT64_MAX, on_history, t);
    t->reading = e == ERR_NONE;
    if (e) fail(t, e, NULL);
}

static void on_deadline(struct timer *timer)
{
    struct turn *t = container_of(timer, struct turn, deadline);
    struct err_note why = {.text = ""};

    if (t->leaving) return;
    err_set(&why, ERR_TIMEOUT, "not answered within the whole request's time");
    fail(t, ERR_TIMEOUT, &why);
}

/* ---- the caller's calls ---- */

static bool keep_ask(struct turn *t, const struct turn_ask *ask)
{
    struct arena *a = &t->arena;
    str *images = ask->images_count ? arena_array(a, str, ask->images_count) : NULL;
    bool ok = ask->images_count == 0 || images != NULL;

    t->ask = *ask;
    t->ask.key.owner = arena_str(a, ask->key.owner);
    t->ask.key.id = arena_str(a, ask->key.id);
    t->ask.message = arena_str(a, ask->message);
    t->ask.system_prompt = arena_str(a, ask->system_prompt);
    t->ask.prompt_type = arena_str(a, ask->prompt_type);
    for (size_t i = 0; i < ask->images_count && ok; i++) {
        images[i] = arena_str(a, ask->images[i]);
        ok = images[i].at != NULL;
    }
    t->ask.images = images;
    return ok && t->ask.key.owner.at && t->ask.key.id.at && t->ask.message.at &&
           t->ask.system_prompt.at && t->ask.prompt_type.at;
}

enum err turn_start(struct turn **out, struct chat *c, struct loop *l, const struct turn_ask *ask,
                    const char *message_id, struct turn_events to, struct err_note *why)
{
    struct turn *t = calloc(1, sizeof *t);

    loop_assert_here(l);
    if (t == NULL) return ERR_MEMORY;
    t->chat = c;
    t->loop = l;
    t->to = to;
    t->usage = usage_unknown;
    arena_init(&t->arena, 0);
    form_init(&t->form, c->conf.show_reasoning);
    memcpy(t->message_id, message_id, sizeof t->message_id - 1);
    enum err e = keep_ask(t, ask) ? ERR_NONE : ERR_MEMORY;
    if (!e) e = order_enter(c->order, &t->place, t->ask.key, l, on_called);
    if (e) {
        arena_fini(&t->arena);
        free(t);
        return err_set(why, e, "%s", err_row(e)->text);
    }
    uint64_t total_ms = c->conf.total_timeout_ms * (ask->stream ? 2 : 1);
    t->deadline_ms = loop_now_ms(l) + total_ms;
    timer_set(&t->deadline, l, total_ms, on_deadline);
    gauge_add(&c->numbers.unfinished, 1);
    turn_check(t);
    *out = t;
    return ERR_NONE;
}

static void on_leave(struct task *task)
{
    struct turn *t = container_of(task, struct turn, leave);

    if (t->state < TURN_KEEPING) fail(t, ERR_CANCELLED, NULL);
}

void turn_cancel(struct turn *t)
{
    loop_assert_here(t->loop);
    assert(!t->muted);
    t->muted = true;
    if (t->telling == 0) {
        if (t->state < TURN_KEEPING) fail(t, ERR_CANCELLED, NULL);
        return;
    }
    /* Inside an event: the turn itself stays until that returned. */
    reply_cancel(t->reply);
    t->reply = NULL;
    t->leaving = true;
    t->leave.run = on_leave;
    loop_post(t->loop, &t->leave);
}

void turn_pause(struct turn *t, bool pause)
{
    loop_assert_here(t->loop);
    t->paused = pause;
    if (t->reply) reply_pause(t->reply, pause);
}
