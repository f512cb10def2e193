#include "engine/job.h"

#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "base/rand.h"
#include "engine/sample/grammar.h"
#include "engine/template/template.h"

enum {
    PROMPT_BYTES_MAX =
        256 << 20,             /* of a rendered conversation: beyond any body that a server takes */
    PIECE_BYTES_MAX = 1 << 20, /* of one token's text and what was held back */
};

/* ---- life ---- */

static void copy_str(struct arena *a, str *s, bool *ok)
{
    if (s->len == 0) {
        *s = STR_NONE;
        return;
    }
    *s = arena_str(a, *s);
    *ok = *ok && s->at;
}

struct engine_job *job_new(struct engine *e, const struct engine_ask *ask,
                           struct engine_events events)
{
    struct engine_job *job = calloc(1, sizeof *job);
    bool ok = true;
    if (job == NULL) return NULL;

    job->engine = e;
    job->ask = *ask;
    job->events = events;
    arena_init(&job->arena, 0);
    buf_init(&job->piece, PIECE_BYTES_MAX);
    buf_init(&job->shown, PIECE_BYTES_MAX);

    struct engine_ask *a = &job->ask;
    copy_str(&job->arena, &a->messages_json, &ok);
    copy_str(&job->arena, &a->tools_json, &ok);
    copy_str(&job->arena, &a->kwargs_json, &ok);
    copy_str(&job->arena, &a->prefill, &ok);
    copy_str(&job->arena, &a->schema_json, &ok);
    copy_str(&job->arena, &a->tool_choice, &ok);
    str *stops = arena_array(&job->arena, str, a->stops_count + 1);
    ok = ok && stops;
    for (size_t i = 0; ok && i < a->stops_count; i++) {
        stops[i] = ask->stops[i];
        copy_str(&job->arena, &stops[i], &ok);
    }
    a->stops = stops;
    if (!ok) {
        job_free(job);
        return NULL;
    }
    stops_init(&job->stops, a->stops, a->stops_count);
    return job;
}

void job_free(struct engine_job *job)
{
    if (job == NULL) return;
    grammar_free(job->grammar);
    toolcall_free(job->calls);
    ids_fini(&job->prompt);
    stops_fini(&job->stops);
    buf_fini(&job->piece);
    buf_fini(&job->shown);
    arena_fini(&job->arena);
    free(job);
}

/* ---- the prompt ---- */

/* A conversation taken apart: messages before `first_turn` (the system's) always stay; turns[i] is
 * the place of the i-th turn's first message. */
struct history {
    yyjson_val *messages;
    size_t count, first_turn;
    size_t *turns, turns_count;
};

static enum err history_read(struct history *h, struct arena *a, yyjson_val *messages)
{
    size_t count = yyjson_arr_size(messages);
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(messages);

    *h = (struct history){.messages = messages, .count = count, .first_turn = count};
    h->turns = arena_array(a, size_t, count + 1);
    if (h->turns == NULL) return ERR_MEMORY;
    for (size_t i = 0; (each = yyjson_arr_iter_next(&it)); i++) {
        str role = json_get_str(each, "role");
        if (str_eq(role, STR("system")) && h->first_turn == count) continue;
        if (h->first_turn == count) h->first_turn = i;
        if (h->turns_count == 0 || str_eq(role, STR("user"))) h->turns[h->turns_count++] = i;
    }
    return ERR_NONE;
}

/* The messages without the oldest `dropped` turns. */
static enum err history_cut(const struct history *h, size_t dropped, yyjson_doc **out)
{
    struct buf b;
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(h->messages);
    size_t from = dropped < h->turns_count ? h->turns[dropped] : h->count;

    buf_init(&b, PROMPT_BYTES_MAX);
    struct json_out o = json_begin(&b);
    json_array(&o);
    for (size_t i = 0; (each = yyjson_arr_iter_next(&it)); i++)
        if (i < h->first_turn || i >= from) json_val(&o, each);
    json_end_array(&o);
    enum err e =
        b.bad ? ERR_MEMORY : json_read(out, buf_str(&b), JSON_DEPTH_FILE, JSON_PLAIN, NULL);
    buf_fini(&b);
    return e;
}

/* A call must come: the answer then begins inside it. */
static bool forced(const struct engine_job *job)
{
    str choice = job->ask.tool_choice;
    return job->ask.tools_json.len && choice.len && !str_eq(choice, STR("auto")) &&
           !str_eq(choice, STR("none"));
}

static enum err render_and_encode(struct engine_job *job, yyjson_val *messages, yyjson_val *tools,
                                  yyjson_val *kwargs, struct err_note *why)
{
    struct engine *e = job->engine;
    struct buf text;
    time_t now = time(NULL);
    struct chat_form_ask ask = {
        .messages = messages,
        .tools = tools,
        .kwargs = kwargs,
        .add_generation_prompt = true,
        .guard = true,
    };

    localtime_r(&now, &ask.now);
    buf_init(&text, PROMPT_BYTES_MAX);
    enum err err = chat_form_render(e->form, &ask, &text, why);
    if (!err && job->ask.prefill.len) vocab_guard(e->vocab, job->ask.prefill, &text);
    if (!err && forced(job)) buf_add(&text, toolcall_open(e->tool_form));
    if (!err && text.bad) err = ERR_MEMORY;
    job->prompt.len = 0;
    if (!err)
        err = vocab_encode(e->vocab, buf_str(&text), VOCAB_GUARDED, &job->prompt, &job->stop, why);
    buf_fini(&text);
    /* A template's refusal is the asker's fault; its other failures are told in the same way. */
    if (err == ERR_INVALID || err == ERR_UNSUPPORTED || err == ERR_LIMIT) return ERR_BAD_REQUEST;
    return err;
}

static int room_wanted(const struct engine_job *job)
{
    int quarter = job->engine->ctx_tokens / 4;
    return job->ask.max_tokens < quarter ? job->ask.max_tokens : quarter;
}

static enum err read_with(struct engine_job *job, size_t dropped, const struct history *h,
                          yyjson_val *tools, yyjson_val *kwargs, struct err_note *why)
{
    yyjson_doc *cut = NULL;
    enum err e = ERR_NONE;

    if (dropped) e = history_cut(h, dropped, &cut);
    if (!e)
        e = render_and_encode(job, cut ? yyjson_doc_get_root(cut) : h->messages, tools, kwargs,
                              why);
    yyjson_doc_free(cut);
    return e;
}

/* Leaves out as few of the oldest turns as needed: a prompt of fewer turns is never longer, so the
 * number is found by halving. */
static enum err read_trimmed(struct engine_job *job, const struct history *h, yyjson_val *tools,
                             yyjson_val *kwargs, struct err_note *why)
{
    int most = job->engine->ctx_tokens - room_wanted(job);
    enum err e = read_with(job, 0, h, tools, kwargs, why);
    if (e || (int)job->prompt.len <= most || !job->ask.drop_old_turns || h->turns_count < 2)
        return e;

    size_t low = 1, high = h->turns_count - 1, made = 0;
    while (!e && low < high) {
        size_t middle = low + (high - low) / 2;
        e = read_with(job, made = middle, h, tools, kwargs, why);
        if ((int)job->prompt.len <= most)
            high = middle;
        else
            low = middle + 1;
    }
    if (!e && made != low) e = read_with(job, low, h, tools, kwargs, why);
    return e;
}

static yyjson_val *read_part(str json, yyjson_doc **doc, enum err *e)
{
    if (json.len == 0 || *e) return NULL;
    *e = json_read(doc, json, JSON_DEPTH_FILE, JSON_PLAIN, NULL);
    return *e ? NULL : yyjson_doc_get_root(*doc);
}

enum err job_read(struct engine_job *job, struct err_note *why)
{
    yyjson_doc *docs[3] = {0};
    struct history h;
    enum err e = ERR_NONE;

    yyjson_val *messages = read_part(job->ask.messages_json, &docs[0], &e);
    bool hidden = str_eq(job->ask.tool_choice, STR("none"));
    yyjson_val *tools = hidden ? NULL : read_part(job->ask.tools_json, &docs[1], &e);
    yyjson_val *kwargs = read_part(job->ask.kwargs_json, &docs[2], &e);
    if (!e) e = history_read(&h, &job->arena, messages);
    if (!e) e = read_trimmed(job, &h, tools, kwargs, why);
    for (int i = 0; i < 3; i++) yyjson_doc_free(docs[i]);
    if (e) return e == ERR_INVALID ? ERR_BAD_REQUEST : e;

    int ctx = job->engine->ctx_tokens, len = (int)job->prompt.len;
    if (len == 0) return err_set(why, ERR_BAD_REQUEST, "the conversation gives an empty prompt");
    if (len >= ctx)
        return err_set(why, ERR_CONTEXT_LENGTH,
                       "the prompt has %d tokens, the model's context holds %d with the answer",
                       len, ctx);
    return ERR_NONE;
}

/* ---- parameters: what was asked, else the model's own, else the caller's, else off ---- */

static double choose(double asked, double own, double otherwise, double off)
{
    return !isnan(asked) ? asked : !isnan(own) ? own : !isnan(otherwise) ? otherwise : off;
}

static int choose_int(int asked, int own, int otherwise, int off)
{
    return asked >= 0 ? asked : own >= 0 ? own : otherwise >= 0 ? otherwise : off;
}

static struct sample_params choose_sampling(const struct engine_job *job)
{
    const struct engine_sampling *a = &job->ask.sampling, *m = &job->engine->own,
                                 *o = &job->ask.otherwise;

    return (struct sample_params){
        .temperature = (float)choose(a->temperature, m->temperature, o->temperature, 1),
        .top_k = choose_int(a->top_k, m->top_k, o->top_k, 0),
        .top_p = (float)choose(a->top_p, m->top_p, o->top_p, 1),
        .min_p = (float)choose(a->min_p, m->min_p, o->min_p, 0),
        .repetition_penalty =
            (float)choose(a->repetition_penalty, m->repetition_penalty, o->repetition_penalty, 1),
        .presence_penalty = (float)choose(a->presence_penalty, NAN, o->presence_penalty, 0),
        .frequency_penalty = (float)choose(a->frequency_penalty, NAN, o->frequency_penalty, 0),
        .no_repeat_ngram_size = choose_int(a->no_repeat_ngram_size, m->no_repeat_ngram_size,
                                           o->no_repeat_ngram_size, 0),
        .seed = job->ask.seeded ? job->ask.seed : rand_u64(),
    };
}

/* ---- what the asker is shown ---- */

static void show(struct engine_job *job)
{
    if (job->shown.len && job->events.text) job->events.text(job->events.ctx, buf_str(&job->shown));
    buf_clear(&job->shown);
}

static void on_plain_text(void *ctx, str text)
{
    struct engine_job *job = ctx;

    if (!job->stopped) job->stopped = stops_add(&job->stops, text, &job->shown);
    show(job);
}

static void on_call(void *ctx, int index, str name)
{
    struct engine_job *job = ctx;

    if (job->stopped) return;
    stops_end(&job->stops, &job->shown);
    show(job);
    if (job->events.tool_begin) job->events.tool_begin(job->events.ctx, index, name);
}

static void on_call_args(void *ctx, int index, str fragment)
{
    struct engine_job *job = ctx;
    if (job->events.tool_args) job->events.tool_args(job->events.ctx, index, fragment);
}

static void on_call_end(void *ctx, int index)
{
    (void)ctx, (void)index; /* the next call, or the answer's end, says it */
}

/* ---- the form of the answer ---- */

static str token_bytes(const void *ctx, int32_t id)
{
    return vocab_bytes(ctx, id);
}

/* What it costs is paid by the first answer that wants a form. */
static enum err need_grammar_vocab(struct engine *e)
{
    enum err err = ERR_NONE;

    pthread_mutex_lock(&e->grammar_lock);
    if (e->grammar_vocab == NULL)
        err = grammar_vocab_new(&e->grammar_vocab, vocab_size(e->vocab), token_bytes, e->vocab,
                                e->ends, e->ends_count);
    pthread_mutex_unlock(&e->grammar_lock);
    return err;
}

static enum err make_grammar(struct engine_job *job, struct err_note *why)
{
    struct engine_ask *a = &job->ask;
    enum err e;

    if (a->schema_json.len == 0) return ERR_NONE;
    e = need_grammar_vocab(job->engine);
    if (e) return e;
    str schema = str_eq(a->schema_json, STR("{}")) ? STR("{\"type\":\"object\"}") : a->schema_json;
    e = grammar_new_text(&job->grammar, job->engine->grammar_vocab, schema, why);
    if (!e && a->prefill.len && !grammar_accept_text(job->grammar, a->prefill))
        e = err_set(why, ERR_BAD_REQUEST, "the text to go on from does not fit the schema");
    /* ERR_UNSUPPORTED stays: it names a keyword, and that is told apart from other bad requests. */
    return e == ERR_INVALID || e == ERR_LIMIT ? ERR_BAD_REQUEST : e;
}

static enum err make_forced_call(struct engine_job *job, yyjson_val *tools, struct err_note *why)
{
    struct engine *e = job->engine;
    struct grammar_frame frame = toolcall_frame(e->tool_form);
    str choice = job->ask.tool_choice;
    str only = str_eq(choice, STR("required")) ? STR_NONE : choice;

    enum err err = need_grammar_vocab(e);
    if (!err) err = grammar_new_call(&job->grammar, e->grammar_vocab, tools, only, &frame, why);
    return err == ERR_INVALID || err == ERR_LIMIT || err == ERR_NOT_FOUND ? ERR_BAD_REQUEST : err;
}

static enum err make_calls(struct engine_job *job, struct err_note *why)
{
    struct engine_ask *a = &job->ask;
    yyjson_doc *doc = NULL;

    if (a->tools_json.len == 0 || str_eq(a->tool_choice, STR("none"))) return ERR_NONE;
    enum err e = json_read(&doc, a->tools_json, JSON_DEPTH_FILE, JSON_PLAIN, NULL);
    yyjson_val *tools = e ? NULL : yyjson_doc_get_root(doc);
    struct toolcall_events to = {.ctx = job,
                                 .text = on_plain_text,
                                 .begin = on_call,
                                 .args = on_call_args,
                                 .end = on_call_end};
    if (!e) e = toolcall_new(&job->calls, job->engine->tool_form, tools, forced(job), to);
    if (!e && forced(job)) e = make_forced_call(job, tools, why);
    yyjson_doc_free(doc);
    return e == ERR_INVALID ? ERR_BAD_REQUEST : e;
}

static bool allowed(void *ctx, const uint64_t **mask)
{
    struct engine_job *job = ctx;

    *mask = grammar_mask(job->grammar);
    return *mask != NULL;
}

/* ---- the answer ---- */

static void take_piece(struct engine_job *job)
{
    str piece = buf_str(&job->piece);

    if (job->calls == NULL)
        on_plain_text(job, piece);
    else if (toolcall_feed(job->calls, piece))
        job->piece.bad = true;
}

/* Control tokens that begin a call are left out of text: the parser of calls gets them as they are.
 */
static void add_token(struct engine_job *job, int32_t id)
{
    const struct vocab *v = job->engine->vocab;

    vocab_stream_add(&job->stream, id, &job->piece);
    if (job->calls == NULL || !vocab_is_special(v, id)) return;
    size_t before = job->piece.len;
    vocab_decode(v, &id, 1, false, &job->piece);
    str marker = str_tail(buf_str(&job->piece), before);
    if (!toolcall_is_marker(job->engine->tool_form, str_trim(marker))) job->piece.len = before;
}

static bool on_token(void *ctx, int32_t id)
{
    struct engine_job *job = ctx;

    if (job->grammar) grammar_accept(job->grammar, id);
    buf_clear(&job->piece);
    add_token(job, id);
    take_piece(job);
    return !job->stopped && !job->piece.bad;
}

static void finish(struct engine_job *job, enum err e, enum engine_finish how,
                   struct engine_usage usage, const struct err_note *why)
{
    struct err_note none = {0};

    atomic_fetch_sub(&job->engine->live, 1);
    job->events.done(job->events.ctx, e, how, usage, why ? why : &none);
}

static void on_done(void *ctx, enum err e, enum sched_end end, int reused, int answered,
                    const struct err_note *why)
{
    struct engine_job *job = ctx;

    struct err_note unfinished = {0};

    if (!e && job->grammar && end == SCHED_STOP && !grammar_done(job->grammar)) {
        e = err_set(&unfinished, ERR_LOCAL_FAILED, "no token goes on with the wanted form");
        why = &unfinished;
    }
    if (!e && job->piece.bad) e = ERR_MEMORY;
    if (!e) { /* bytes of a character that was cut stay unsent (local-models.md section 6) */
        if (job->calls && toolcall_end(job->calls)) e = ERR_MEMORY;
        if (!job->stopped) stops_end(&job->stops, &job->shown);
        show(job);
    }
    enum engine_finish how = end == SCHED_LENGTH ? ENGINE_LENGTH : ENGINE_STOP;
    if (job->calls && toolcall_count(job->calls) > 0 && end == SCHED_STOP) how = ENGINE_TOOL_CALLS;
    struct engine_usage usage = {(int)job->prompt.len, reused, answered};
    finish(job, e, how, usage, why);
}

void job_prepare(struct engine_job *job)
{
    struct engine *e = job->engine;
    struct err_note why = {0};

    enum err err =
        atomic_load(&job->stop) || atomic_load(&e->closing) ? ERR_CANCELLED : job_read(job, &why);
    if (job->ask.count_only && (!err || err == ERR_CONTEXT_LENGTH)) {
        finish(job, ERR_NONE, ENGINE_STOP, (struct engine_usage){(int)job->prompt.len, 0, 0}, NULL);
        return;
    }
    if (!err) err = make_grammar(job, &why);
    if (!err) err = make_calls(job, &why);
    if (err) {
        finish(job, err, ENGINE_STOP, (struct engine_usage){(int)job->prompt.len, 0, 0}, &why);
        return;
    }
    int room = e->ctx_tokens - (int)job->prompt.len;
    struct sched_job *s = &job->sched;

    vocab_stream_init(&job->stream, e->vocab, true);
    if (job->ask.prefill.len) vocab_stream_mid(&job->stream);
    s->prompt = job->prompt.at;
    s->prompt_len = (int)job->prompt.len;
    s->max_tokens =
        job->ask.max_tokens > 0 && job->ask.max_tokens < room ? job->ask.max_tokens : room;
    s->sampling = choose_sampling(job);
    s->fair_key = job->ask.fair_key;
    s->ctx = job;
    s->token = on_token;
    s->allowed = job->grammar ? allowed : NULL;
    s->done = on_done;
    sched_put(e->sched, s);
}
