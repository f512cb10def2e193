/* Local models behind the common contract: the one place where the gateway and the engine meet. The
 * engine's events come on its own threads; they are collected here and handed to the asker's loop
 * by one message at a time, however many tokens came meanwhile. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "backend/local_in.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/engine.h"
#include "engine/format/files.h"
#include "hub/hub.h"
#include "hub/pull.h"

enum {
    MESSAGES_BYTES_MAX = 128 << 20,  /* of a conversation as JSON: twice the largest body */
    PULL_TELL_US = 10 * 1000 * 1000, /* between two lines about a download */
    WAITING_BYTES_MAX = 16 << 20,    /* of an answer's text on its way to the loop */
};

/* ---- making ready ---- */

/* Only files that nobody else manages: MODEL_PATH is the owner's own folder. */
static bool may_pull(const struct backend *b)
{
    return !b->conf.offline && b->conf.hub_endpoint && b->conf.hub_cache && !b->conf.model_path &&
           str_find_char(b->conf.model, '/') != STR_NPOS;
}

static void log_progress(void *ctx, const struct pull_progress *p)
{
    struct backend *b = ctx;
    double s = (double)p->elapsed_us / 1e6;

    if (p->elapsed_us < b->pull_told_us + PULL_TELL_US && p->files_done < p->files) return;
    b->pull_told_us = p->elapsed_us;
    double rate = s > 0 ? (double)p->fetched / s : 0;
    log_event(LEVEL_INFO, "hub", "model_download", LOG_STR("model", b->conf.model),
              LOG_INT("files_done", p->files_done), LOG_INT("files", p->files),
              LOG_INT("bytes_done", p->bytes_done), LOG_INT("bytes", p->bytes),
              LOG_INT("bytes_per_second", rate),
              LOG_INT("seconds_left", rate > 0 ? (double)(p->bytes - p->bytes_done) / rate : 0));
}

static enum err pull_files(struct backend *b, const char **path, struct err_note *why)
{
    struct pull_conf c = {
        .endpoint = b->conf.hub_endpoint,
        .cache = b->conf.hub_cache,
        .token = b->conf.hub_token,
        .cancel = &b->pull_cancel,
        .progress = log_progress,
        .ctx = b,
    };
    return hub_pull(path, b->conf.model, &c, &b->arena, why);
}

/* A file that cannot be read is the model's fault here, not a provider's. */
static enum err of_model(enum err e)
{
    return e == ERR_IO ? ERR_MODEL_UNUSABLE : e;
}

static enum err open_files(struct backend *b, struct files **out, struct err_note *why)
{
    for (size_t i = 0; i < b->conf.embedded_count; i++) {
        const struct backend_embedded *m = &b->conf.embedded[i];
        if (str_eq(b->conf.model, str_of(m->model)))
            return files_of_memory(out, m->blobs, m->count, m->model);
    }
    const char *path;
    enum err e =
        hub_find(&path, b->conf.model, b->conf.model_path, b->conf.hub_cache, &b->arena, why);
    if (e == ERR_NOT_FOUND && may_pull(b)) {
        *why = (struct err_note){0}; /* a note beside success is a warning */
        e = pull_files(b, &path, why);
    }
    return e ? e : of_model(files_open(out, path, why));
}

static void *load(void *arg)
{
    struct backend *b = arg;
    struct files *files;
    struct engine_conf conf = {
        .threads = b->conf.threads,
        .ctx_tokens = b->conf.ctx_tokens,
        .jobs_max = b->conf.queue_max,
    };
    struct err_note *why = &b->load_why;

    enum err e = open_files(b, &files, why);
    if (!e) e = of_model(engine_open(&b->engine, files, &conf, why));
    b->load_err = e;
    if (e == ERR_MODEL_TOO_LARGE ||
        e == ERR_AUTH) { /* "model x is gated: ..." reads as one sentence */
        struct err_note was = *why;
        err_set(why, e, "model \"%.*s\" %.400s", STR_ARG(b->conf.model), was.text);
    } else if (e) {
        err_context(why, e, "model \"%.*s\"", STR_ARG(b->conf.model));
    }
    loop_post(b->loop, &b->loaded);
    return NULL;
}

static void on_loaded(struct task *t)
{
    struct backend *b = container_of(t, struct backend, loaded);

    if (b->loading) pthread_join(b->loader, NULL);
    b->loading = false;
    b->load_done(b->load_ctx, b->load_err, &b->load_why);
}

static void local_prepare(struct backend *b, struct loop *l,
                          void (*done)(void *ctx, enum err e, const struct err_note *why),
                          void *ctx)
{
    b->loop = l;
    b->load_done = done;
    b->load_ctx = ctx;
    b->load_err = ERR_NONE;
    b->load_why = (struct err_note){0};
    b->loaded.run = on_loaded;
    if (b->engine == NULL) {
        b->loading = pthread_create(&b->loader, NULL, load, b) == 0;
        if (b->loading) return;
        b->load_err = err_set(&b->load_why, ERR_MEMORY, "cannot start a thread");
    }
    loop_post(l, &b->loaded);
}

static const char *keep_cstr(struct arena *a, const char *s)
{
    return s ? arena_str(a, str_of(s)).at : NULL;
}

static enum err local_open(struct backend **out, const struct backend_conf *c, struct err_note *why)
{
    struct backend *b = calloc(1, sizeof *b);
    if (b == NULL) return err_set(why, ERR_MEMORY, "out of memory for a backend");

    arena_init(&b->arena, 0);
    b->conf = *c;
    b->conf.model = arena_str(&b->arena, c->model); /* may be empty, for a list */
    b->conf.model_path = keep_cstr(&b->arena, c->model_path);
    b->conf.hub_cache = keep_cstr(&b->arena, c->hub_cache);
    b->conf.hub_endpoint = keep_cstr(&b->arena, c->hub_endpoint);
    b->conf.hub_token = keep_cstr(&b->arena, c->hub_token);
    if (b->conf.model.at == NULL) {
        arena_fini(&b->arena);
        free(b);
        return err_set(why, ERR_MEMORY, "out of memory for a backend");
    }
    *out = b;
    return ERR_NONE;
}

static void *end_backend(void *arg)
{
    struct backend *b = arg;

    engine_close(b->engine);
    arena_fini(&b->arena);
    free(b);
    return NULL;
}

/* Ending a model waits for its running step and unmaps gigabytes: on a loop that happens elsewhere.
 */
static void local_close(struct backend *b)
{
    pthread_t ender;

    if (b == NULL) return;
    atomic_store(&b->pull_cancel, true);
    if (b->loading) pthread_join(b->loader, NULL);
    if (b->listing) {
        pthread_join(b->lister, NULL);
        arena_fini(&b->list_arena);
    }
    if (loop_here() && b->engine && pthread_create(&ender, NULL, end_backend, b) == 0)
        pthread_detach(ender);
    else
        end_backend(b);
}

static int local_context_length(struct backend *b)
{
    struct engine_info info;

    if (b->engine == NULL) return 0;
    engine_info(b->engine, &info);
    return info.ctx_tokens;
}

/* ---- the request, as chat templates take it ---- */

static str joined_text(struct arena *a, const struct message *m, enum part_kind kind)
{
    struct buf b;
    str only = STR_NONE;
    size_t found = 0;

    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == kind) {
            only = m->parts[i].text;
            found++;
        }
    if (found < 2) return only;
    buf_init(&b, MESSAGES_BYTES_MAX);
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == kind) buf_add(&b, m->parts[i].text);
    str all = b.bad ? STR_NONE : arena_str(a, buf_str(&b));
    buf_fini(&b);
    return all;
}

static void put_tool_calls(struct json_out *o, const struct message *m)
{
    bool any = false;

    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (p->kind != PART_TOOL_CALL) continue;
        if (!any) json_key(o, "tool_calls"), json_array(o);
        any = true;
        json_object(o);
        json_key(o, "id"), json_text(o, p->id);
        json_key(o, "type"), json_text(o, STR("function"));
        json_key(o, "function"), json_object(o);
        json_key(o, "name"), json_text(o, p->name);
        json_key(o, "arguments");
        yyjson_doc *doc = NULL;
        bool object = p->args_json.len && !json_read(&doc, p->args_json, 512, JSON_PLAIN, NULL) &&
                      yyjson_is_obj(yyjson_doc_get_root(doc));
        if (object) {
            json_raw(o, p->args_json);
        } else {
            json_object(o);
            if (p->args_json.len) json_key(o, "_raw"), json_text(o, p->args_json);
            json_end_object(o);
        }
        yyjson_doc_free(doc);
        json_end_object(o);
        json_end_object(o);
    }
    if (any) json_end_array(o);
}

static const char *const role_names[] = {[ROLE_SYSTEM] = "system",
                                         [ROLE_USER] = "user",
                                         [ROLE_ASSISTANT] = "assistant",
                                         [ROLE_TOOL] = "tool"};

static void put_messages(struct buf *to, struct arena *a, const struct ask *q)
{
    struct json_out o = json_begin(to);

    json_array(&o);
    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        str reasoning = joined_text(a, m, PART_REASONING);
        json_object(&o);
        json_key(&o, "role"), json_text(&o, str_of(role_names[m->role]));
        json_key(&o, "content"), json_text(&o, joined_text(a, m, PART_TEXT));
        if (m->role == ROLE_ASSISTANT) put_tool_calls(&o, m);
        if (m->role == ROLE_ASSISTANT && reasoning.len)
            json_key(&o, "reasoning_content"), json_text(&o, reasoning);
        if (m->role == ROLE_TOOL) {
            json_key(&o, "tool_call_id"), json_text(&o, m->tool_call_id);
            json_key(&o, "name"), json_text(&o, m->tool_name);
        }
        json_end_object(&o);
    }
    json_end_array(&o);
}

static void put_tools(struct buf *to, const struct ask *q)
{
    struct json_out o = json_begin(to);

    if (q->tools_count == 0) return;
    json_array(&o);
    for (size_t i = 0; i < q->tools_count; i++) {
        const struct tool *t = &q->tools[i];
        json_object(&o);
        json_key(&o, "type"), json_text(&o, STR("function"));
        json_key(&o, "function"), json_object(&o);
        json_key(&o, "name"), json_text(&o, t->name);
        json_key(&o, "description"), json_text(&o, t->description);
        json_key(&o, "parameters");
        if (t->parameters_json.len)
            json_raw(&o, t->parameters_json);
        else
            json_object(&o), json_end_object(&o);
        json_end_object(&o);
        json_end_object(&o);
    }
    json_end_array(&o);
}

/* ---- the answer ---- */

enum event_kind { EVENT_TEXT, EVENT_TOOL_BEGIN, EVENT_TOOL_ARGS };

struct event {
    struct event *next;
    enum event_kind kind;
    int index;
    struct buf text;
};

struct answer {
    struct loop *loop;
    struct sink to;
    const struct ask *q;
    struct engine_job *job;
    bool cancelled; /* the loop's */

    pthread_mutex_t lock; /* guards what follows: the engine's threads fill, the loop empties */
    struct task task;
    bool posted, finished;
    struct event *first, *last;
    size_t waiting_bytes;
    struct answer_end end;
};

static void answer_free(struct answer *a)
{
    for (struct event *e = a->first; e;) {
        struct event *next = e->next;
        buf_fini(&e->text);
        free(e);
        e = next;
    }
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static void deliver_event(struct answer *a, const struct event *e)
{
    str text = buf_str(&e->text);

    if (e->kind == EVENT_TEXT && a->to.text) a->to.text(a->to.ctx, text);
    if (e->kind == EVENT_TOOL_BEGIN && a->to.tool_begin)
        a->to.tool_begin(a->to.ctx, e->index, STR_NONE, text);
    if (e->kind == EVENT_TOOL_ARGS && a->to.tool_args) a->to.tool_args(a->to.ctx, e->index, text);
}

static void deliver(struct task *t)
{
    struct answer *a = container_of(t, struct answer, task);

    pthread_mutex_lock(&a->lock);
    struct event *e = a->first;
    a->first = a->last = NULL;
    a->waiting_bytes = 0;
    a->posted = false;
    bool finished = a->finished;
    pthread_mutex_unlock(&a->lock);

    while (e) {
        struct event *next = e->next;
        if (!a->cancelled) deliver_event(a, e);
        buf_fini(&e->text);
        free(e);
        e = next;
    }
    if (!finished) return;
    int stop = engine_stop_met(a->job);
    if (stop >= 0 && !a->cancelled) a->end.stop = a->q->stops[stop];
    engine_release(a->job);
    if (!a->cancelled) a->to.done(a->to.ctx, &a->end);
    answer_free(a);
}

static void post_locked(struct answer *a)
{
    if (a->posted) return;
    a->posted = true;
    loop_post(a->loop, &a->task);
}

static void add_event(struct answer *a, enum event_kind kind, int index, str text)
{
    pthread_mutex_lock(&a->lock);
    struct event *e = a->last;
    if (!(e && e->kind == kind && e->index == index && kind != EVENT_TOOL_BEGIN)) {
        e = calloc(1, sizeof *e);
        if (e) {
            e->kind = kind;
            e->index = index;
            buf_init(&e->text, WAITING_BYTES_MAX);
            if (a->last)
                a->last->next = e;
            else
                a->first = e;
            a->last = e;
        }
    }
    if (e) buf_add(&e->text, text);
    bool lost = e == NULL || e->text.bad;
    if (lost) a->end.e = ERR_MEMORY; /* a gap in the text is worse than an error */
    post_locked(a);
    pthread_mutex_unlock(&a->lock);
    if (lost) engine_cancel(a->job);
}

static void on_text(void *ctx, str text)
{
    add_event(ctx, EVENT_TEXT, 0, text);
}

static void on_tool_begin(void *ctx, int index, str name)
{
    add_event(ctx, EVENT_TOOL_BEGIN, index, name);
}

static void on_tool_args(void *ctx, int index, str fragment)
{
    add_event(ctx, EVENT_TOOL_ARGS, index, fragment);
}

static void on_done(void *ctx, enum err e, enum engine_finish finish, struct engine_usage usage,
                    const struct err_note *why)
{
    static const enum finish finishes[] = {[ENGINE_STOP] = FINISH_STOP,
                                           [ENGINE_LENGTH] = FINISH_LENGTH,
                                           [ENGINE_TOOL_CALLS] = FINISH_TOOL_CALLS};
    struct answer *a = ctx;

    pthread_mutex_lock(&a->lock);
    if (a->end.e == ERR_NONE) a->end.e = e;
    a->end.why = *why;
    a->end.why.ours = true;
    a->end.finish = finishes[finish];
    a->end.calls = 1;
    a->end.usage = usage_unknown;
    a->end.usage.prompt_tokens = usage.prompt_tokens;
    a->end.usage.completion_tokens = usage.answer_tokens;
    a->end.usage.cached_tokens = usage.reused_tokens;
    a->finished = true;
    post_locked(a);
    pthread_mutex_unlock(&a->lock);
}

static struct engine_sampling sampling_of(const struct ask *q, bool take_defaults)
{
    struct engine_sampling s = engine_sampling_none;

    unsigned taken = take_defaults ? q->defaults : ~q->defaults;

    if (taken & DEFAULT_TEMPERATURE) s.temperature = q->temperature;
    if (taken & DEFAULT_TOP_P) s.top_p = q->top_p;
    if (taken & DEFAULT_TOP_K) s.top_k = q->top_k;
    if (!take_defaults) {
        s.min_p = q->min_p;
        s.repetition_penalty = q->repetition_penalty;
        s.presence_penalty = q->presence_penalty;
        s.frequency_penalty = q->frequency_penalty;
    }
    return s;
}

static bool has_images(const struct ask *q)
{
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t j = 0; j < q->messages[i].count; j++)
            if (q->messages[i].parts[j].kind == PART_IMAGE) return true;
    return false;
}

static enum err start(struct answer *a, struct backend *b, const struct ask *q, bool count_only,
                      struct err_note *why)
{
    struct arena texts;
    struct buf messages, tools;

    arena_init(&texts, 0);
    buf_init(&messages, MESSAGES_BYTES_MAX);
    buf_init(&tools, MESSAGES_BYTES_MAX);
    put_messages(&messages, &texts, q);
    put_tools(&tools, q);

    struct engine_ask ask = {
        .messages_json = buf_str(&messages),
        .tools_json = buf_str(&tools),
        .prefill = q->prefill,
        .schema_json = q->format == FORMAT_JSON_SCHEMA   ? q->schema_json
                       : q->format == FORMAT_JSON_OBJECT ? STR("{}")
                                                         : STR_NONE,
        .tool_choice = q->tool_choice,
        .sampling = sampling_of(q, false),
        .otherwise = sampling_of(q, true),
        .max_tokens = q->max_tokens,
        .seeded = q->seeded,
        .seed = q->seed,
        .stops = q->stops,
        .stops_count = q->stops_count,
        .count_only = count_only,
        .drop_old_turns = q->trim,
        .fair_key = q->fair_key,
    };
    struct engine_events events = {.ctx = a,
                                   .text = on_text,
                                   .tool_begin = on_tool_begin,
                                   .tool_args = on_tool_args,
                                   .done = on_done};

    enum err e = messages.bad || tools.bad ? err_set(why, ERR_MEMORY, "out of memory for a request")
                                           : ERR_NONE;
    if (!e) {
        /* The first event may come before engine_ask returned: a->job is set under the lock that
         * every event takes. */
        pthread_mutex_lock(&a->lock);
        e = engine_ask(&a->job, b->engine, &ask, events, why);
        pthread_mutex_unlock(&a->lock);
    }
    buf_fini(&messages);
    buf_fini(&tools);
    arena_fini(&texts);
    return e;
}

static enum err begin(struct answer **out, struct backend *b, struct loop *l, const struct ask *q,
                      bool count_only, struct sink to, struct err_note *why)
{
    if (b->engine == NULL) return err_set(why, ERR_NOT_READY, "the model is not loaded");
    if (has_images(q)) return backend_takes_no_images(why, STR("the model"));

    struct answer *a = calloc(1, sizeof *a);
    if (a == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");
    a->loop = l;
    a->to = to;
    a->q = q;
    a->task.run = deliver;
    pthread_mutex_init(&a->lock, NULL);

    enum err e = start(a, b, q, count_only, why);
    if (e) {
        if (why) why->ours = true;
        answer_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

static enum err local_ask(struct answer **out, struct backend *b, struct loop *l,
                          const struct ask *q, struct sink to, struct err_note *why)
{
    return begin(out, b, l, q, false, to, why);
}

static void local_cancel(struct answer *a)
{
    if (a == NULL) return;
    loop_assert_here(a->loop);
    a->cancelled = true;
    engine_cancel(a->job);
}

static void local_pause(struct answer *a, bool pause)
{
    engine_pause(a->job, pause);
}

/* ---- counting: an answer that ends when its prompt is there ---- */

struct aside {
    struct answer *answer;
    aside_fn *done;
    void *ctx;
};

static void on_counted(void *ctx, const struct answer_end *end)
{
    struct aside *x = ctx;
    struct aside_end counted = {.e = end->e, .why = end->why, .tokens = end->usage.prompt_tokens};

    x->done(x->ctx, &counted);
    free(x);
}

static enum err local_count(struct aside **out, struct backend *b, struct loop *l,
                            const struct ask *q, aside_fn *done, void *ctx, struct err_note *why)
{
    struct aside *x = malloc(sizeof *x);
    if (x == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");

    *x = (struct aside){.done = done, .ctx = ctx};
    enum err e = begin(&x->answer, b, l, q, true, (struct sink){.ctx = x, .done = on_counted}, why);
    if (e)
        free(x);
    else
        *out = x;
    return e;
}

static void local_aside_cancel(struct aside *x)
{
    if (x == NULL) return;
    local_cancel(x->answer);
    free(x);
}

const struct backend_ops backend_local = {
    .type = "local",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_PREFILL,
    .open = local_open,
    .prepare = local_prepare,
    .ask = local_ask,
    .cancel = local_cancel,
    .pause = local_pause,
    .close = local_close,
    .context_length = local_context_length,
    .list = local_list_start,
    .has = local_list_has,
    .count = local_count,
    .aside_cancel = local_aside_cancel,
};
