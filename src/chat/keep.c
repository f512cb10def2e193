/* Storing a turn: both messages in one step, at the place the turn read its history from. */
#include "base/clock.h"
#include "base/json.h"
#include "chat/turn.h"
#include "conf/limits.h"

enum {
    KEEP_TRIES = 3
}; /* another process may add to the same session meanwhile, again and again */

static const char *finish_text(enum finish f)
{
    switch (f) {
    case FINISH_STOP:
    case FINISH_TOOL_CALLS: return "stop"; /* no tools are offered here */
    case FINISH_LENGTH: return "length";
    case FINISH_CONTENT_FILTER: return "content_filter";
    case FINISH_NONE: return NULL;
    }
    return NULL;
}

/* http-api.md 8: the keys and their order. */
static void write_metadata(struct turn *t)
{
    const struct turn_result *r = &t->result;
    struct json_out o = json_begin(&t->user_meta);

    json_object(&o);
    json_key(&o, "session_id");
    json_text(&o, t->ask.key.id);
    if (t->ask.images_count) {
        json_key(&o, "images");
        json_int(&o, (int64_t)t->ask.images_count);
    }
    json_end_object(&o);

    o = json_begin(&t->answer_meta);
    json_object(&o);
    json_key(&o, "session_id");
    json_text(&o, t->ask.key.id);
    json_key(&o, "message_id");
    json_text(&o, str_of(t->message_id));
    json_key(&o, "model_name");
    json_text(&o, t->model_name);
    if (r->finish_reason.at) {
        json_key(&o, "finish_reason");
        json_text(&o, r->finish_reason);
    }
    if (r->reasoning.at) {
        json_key(&o, "reasoning");
        json_text(&o, r->reasoning);
    }
    if (t->rescued_by.len) {
        json_key(&o, "rescued_by");
        json_text(&o, t->rescued_by);
        json_key(&o, "rescued_at");
        json_int(&o, (int64_t)t->rescued_at);
    }
    json_end_object(&o);
}

static void fill_result(struct turn *t)
{
    struct turn_result *r = &t->result;
    uint64_t now = clock_mono_us();
    str reasoning = str_trim(buf_str(&t->form.reasoning));

    *r = (struct turn_result){
        .message = str_trim(buf_str(&t->form.text)),
        .model_name = t->model_name,
        .token_count = t->usage.answer_estimated ? -1 : t->usage.completion_tokens,
        .at_us = clock_wall_us(),
        .generation_us = now - t->began_us,
        .rescued_by = t->rescued_by.len ? t->rescued_by.at : NULL,
    };
    if (r->message.at == NULL) r->message = STR("");
    if (reasoning.len) r->reasoning = reasoning;
    r->finish_reason = t->end == ERR_NONE        ? str_of(finish_text(t->finish))
                       : t->end == ERR_CANCELLED ? STR("cancelled")
                                                 : STR("error");
}

static void on_appended(void *ctx, struct shelf_answer *a);

static enum err append(struct turn *t)
{
    struct order *o = t->chat->order;
    struct stored messages[] = {
        {STORED_USER, t->ask.message, t->asking.at_us, buf_str(&t->user_meta)},
        /* A stream's client received the text as it is, a POST's without its outer white space. */
        {STORED_ASSISTANT, t->ask.stream ? buf_str(&t->form.text) : t->result.message,
         t->result.at_us, buf_str(&t->answer_meta)},
    };
    struct store_append a = {.key = t->ask.key,
                             .messages = messages,
                             .count = 2,
                             .model_name = t->model_name};

    /* Under the table's lock, so that a DELETE is either seen here or reaches the store behind
     * this. */
    order_hold(o, &t->place);
    enum err e = ERR_NOT_FOUND;
    if (!t->place.forgotten) {
        if (t->place.swept)
            t->born = t->seq = 0; /* went to make room: begins again with this turn */
        a.born = t->born;
        a.seq = t->seq;
        a.at_end = t->at_end;
        e = shelf_append(t->chat->shelf, t->loop, &a, on_appended, t);
    }
    order_release(o, &t->place);
    return e;
}

static void go(struct turn *t)
{
    enum err e = append(t);
    struct err_note why = {.text = "session store: too many turns wait to be stored"};

    if (e == ERR_NONE) return; /* on_appended comes */
    if (e == ERR_MEMORY) why = (struct err_note){.text = ""};
    turn_kept(t, e == ERR_NOT_FOUND ? ERR_NONE : ERR_STORE, &why);
}

/* Another process made the session meanwhile, or made it anew: which one is it now? */
static void on_read_again(void *ctx, struct shelf_answer *a)
{
    struct turn *t = ctx;
    enum err e = a->e;
    struct err_note why = a->why;

    t->born = a->row.born;
    t->seq = 0;
    shelf_answer_free(a);
    if (e)
        turn_kept(t, ERR_STORE, &why);
    else
        go(t);
}

static void on_appended(void *ctx, struct shelf_answer *a)
{
    struct turn *t = ctx;
    enum err e = a->e;
    struct err_note why = a->why;
    bool swept, forgotten;

    shelf_answer_free(a);
    order_hold(t->chat->order, &t->place);
    swept = t->place.swept;
    forgotten = t->place.forgotten;
    order_release(t->chat->order, &t->place);

    if (e == ERR_CONFLICT && !forgotten && ++t->keep_tries < KEEP_TRIES) {
        /* Turns of another process came between: this one goes behind them, whole. */
        t->at_end = true;
        if (t->born) {
            go(t);
            return;
        }
        e = shelf_read(t->chat->shelf, t->loop, t->ask.key, 0, 0, on_read_again, t);
        if (e == ERR_NONE) return;
    } else if (e == ERR_NOT_FOUND && swept && !forgotten && ++t->keep_tries < KEEP_TRIES) {
        go(t);
        return;
    }
    if (e == ERR_NOT_FOUND || forgotten)
        e = ERR_NONE; /* deleted meanwhile: delivered, not stored */
    turn_kept(t, e == ERR_CONFLICT || e == ERR_MEMORY ? ERR_STORE : e, &why);
}

void keep_turn(struct turn *t)
{
    fill_result(t);
    buf_init(&t->user_meta, UPSTREAM_ANSWER_BYTES_MAX);
    buf_init(&t->answer_meta, UPSTREAM_ANSWER_BYTES_MAX);
    write_metadata(t);
    if (t->user_meta.bad || t->answer_meta.bad || form_bad(&t->form)) {
        turn_kept(t, ERR_MEMORY, NULL);
        return;
    }
    go(t);
}
