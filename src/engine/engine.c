/* A model ready to answer: its files, tokenizer, chat form, weights and scheduler, and the thread
 * that turns conversations into prompts (a megabyte of pasted text must delay nobody's next token).
 */
#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/queue.h"
#include "base/rand.h"
#include "engine/arch/model.h"
#include "engine/format/files.h"
#include "engine/job.h"
#include "engine/machine.h"
#include "engine/sample/grammar.h"
#include "engine/sched/sched.h"
#include "engine/template/template.h"
#include "engine/vocab/vocab.h"

enum {
    RUNNING_MAX = 32,           /* conversations that decode together */
    ENDS_MAX = 32,              /* end tokens of a model */
    PREPARE_QUEUE_MAX = 200000, /* LOCAL_QUEUE's largest value and those that run */
    LONG_TEXT = 64 << 10,       /* bytes: some milliseconds of reading */
};

const struct engine_sampling engine_sampling_none = {
    .temperature = NAN,
    .top_p = NAN,
    .min_p = NAN,
    .repetition_penalty = NAN,
    .presence_penalty = NAN,
    .frequency_penalty = NAN,
    .top_k = -1,
    .no_repeat_ngram_size = -1,
};

/* ---- opening ---- */

static void read_generation_config(struct engine *e)
{
    str text;
    yyjson_doc *doc;

    e->own = engine_sampling_none;
    if (files_get(e->files, "generation_config.json", &text, NULL)) return;
    if (json_read(&doc, text, JSON_DEPTH_FILE, JSON_PLAIN, NULL)) return;
    yyjson_val *root = yyjson_doc_get_root(doc);
    e->own.temperature = json_get_num(root, "temperature", NAN);
    e->own.top_p = json_get_num(root, "top_p", NAN);
    e->own.min_p = json_get_num(root, "min_p", NAN);
    e->own.repetition_penalty = json_get_num(root, "repetition_penalty", NAN);
    e->own.top_k = (int)json_get_int(root, "top_k", -1);
    e->own.no_repeat_ngram_size = (int)json_get_int(root, "no_repeat_ngram_size", -1);
    yyjson_doc_free(doc);
}

static void add_end(int32_t *ends, size_t *count, int32_t id)
{
    if (id < 0 || *count == ENDS_MAX) return;
    for (size_t i = 0; i < *count; i++)
        if (ends[i] == id) return;
    ends[(*count)++] = id;
}

/* The stop set of local-models.md section 6. */
static size_t collect_ends(const struct engine *e, int32_t ends[ENDS_MAX])
{
    static const char *const turn_ends[] = {"<|im_end|>", "<end_of_turn>", "<|eot_id|>",
                                            "<|eom_id|>", "<|end|>"};
    const int32_t *ids;
    size_t count = 0, n = model_end_ids(e->model, &ids);
    str source = chat_form_source(e->form);

    for (size_t i = 0; i < n; i++)
        if (vocab_has(e->vocab, ids[i])) add_end(ends, &count, ids[i]);
    str eos = vocab_role(e->vocab, "eos_token");
    if (eos.len) add_end(ends, &count, vocab_find(e->vocab, eos));
    for (size_t i = 0; i < sizeof turn_ends / sizeof *turn_ends; i++)
        if (str_find(source, str_of(turn_ends[i])) != STR_NPOS)
            add_end(ends, &count, vocab_find(e->vocab, str_of(turn_ends[i])));
    return count;
}

static enum err check_memory(const struct engine *e, struct err_note *why)
{
    uint64_t need = model_info(e->model)->weight_bytes, free_bytes = machine_free_bytes();

    if (free_bytes == 0 || need <= free_bytes) return ERR_NONE;
    return err_set(why, ERR_MODEL_TOO_LARGE, "needs %.1f GB, %.1f GB are free", (double)need / 1e9,
                   (double)free_bytes / 1e9);
}

static enum err open_sched(struct engine *e, struct err_note *why)
{
    int32_t ends[ENDS_MAX];
    size_t kv_bytes = e->conf.kv_bytes_max;

    if (kv_bytes == 0) {
        uint64_t free_bytes = machine_free_bytes();
        kv_bytes = free_bytes ? free_bytes / 2 : (size_t)1 << 30;
    }
    struct sched_conf c = {
        .running_max = RUNNING_MAX,
        .kv_bytes_max = kv_bytes,
        .ends = ends,
        .ends_count = collect_ends(e, ends),
        .vocab = vocab_size(e->vocab),
    };
    e->ends_count = c.ends_count;
    memcpy(e->ends, ends, sizeof *ends * c.ends_count);
    return sched_new(&e->sched, e->model, &c, why);
}

static void *prepare_thread(void *arg)
{
    struct desk *d = arg;
    struct engine_job *job;

    while ((job = queue_take(d->fresh, -1))) job_prepare(job);
    return NULL;
}

static enum err open_desks(struct engine *e, struct err_note *why)
{
    for (size_t i = 0; i < DESKS; i++) {
        struct desk *d = &e->desks[i];
        d->fresh = queue_new(PREPARE_QUEUE_MAX);
        if (d->fresh == NULL) return ERR_MEMORY;
        d->open = pthread_create(&d->thread, NULL, prepare_thread, d) == 0;
        if (!d->open) return err_set(why, ERR_MEMORY, "cannot start a thread");
    }
    return ERR_NONE;
}

static void close_desks(struct engine *e)
{
    for (size_t i = 0; i < DESKS; i++) {
        struct desk *d = &e->desks[i];
        if (d->fresh) queue_close(d->fresh);
        if (d->open) pthread_join(d->thread, NULL);
    }
}

static void free_desks(struct engine *e)
{
    for (size_t i = 0; i < DESKS; i++)
        if (e->desks[i].fresh) queue_free(e->desks[i].fresh);
}

static struct desk *desk_for(struct engine *e, const struct engine_ask *ask)
{
    size_t bytes = ask->messages_json.len + ask->tools_json.len + ask->schema_json.len;

    return &e->desks[bytes > LONG_TEXT ? DESK_LONG : DESK_USUAL];
}

enum err engine_open(struct engine **out, struct files *files, const struct engine_conf *conf,
                     struct err_note *why)
{
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        files_close(files);
        return err_set(why, ERR_MEMORY, "out of memory for a model");
    }
    e->files = files;
    e->conf = *conf;
    pthread_mutex_init(&e->grammar_lock, NULL);

    int threads = conf->threads > 0 ? conf->threads : machine_threads();
    enum err err = model_open(&e->model, files, threads, why);
    if (!err) err = check_memory(e, why);
    if (!err) err = vocab_open(&e->vocab, files, why);
    if (!err) err = chat_form_open(&e->form, files, e->vocab, model_info(e->model)->family, why);
    if (!err) {
        int own = model_info(e->model)->ctx_tokens;
        e->ctx_tokens = conf->ctx_tokens > 0 && conf->ctx_tokens < own ? conf->ctx_tokens : own;
        read_generation_config(e);
        e->tool_form = toolcall_form_of(chat_form_source(e->form), chat_form_takes_tools(e->form));
        err = open_sched(e, why);
    }
    if (!err) err = open_desks(e, why);
    if (err) {
        close_desks(e);
        sched_free(e->sched);
        free_desks(e);
        pthread_mutex_destroy(&e->grammar_lock);
        chat_form_close(e->form);
        vocab_close(e->vocab);
        model_close(e->model);
        files_close(e->files);
        free(e);
        return err;
    }
    *out = e;
    return ERR_NONE;
}

void engine_close(struct engine *e)
{
    if (e == NULL) return;
    atomic_store(&e->closing, true);
    close_desks(e);
    sched_free(e->sched);
    grammar_vocab_free(e->grammar_vocab);
    pthread_mutex_destroy(&e->grammar_lock);
    free_desks(e);
    chat_form_close(e->form);
    vocab_close(e->vocab);
    model_close(e->model);
    files_close(e->files);
    free(e);
}

void engine_info(const struct engine *e, struct engine_info *out)
{
    const struct model_info *m = model_info(e->model);

    *out = (struct engine_info){
        .ctx_tokens = e->ctx_tokens,
        .vocab_tokens = vocab_size(e->vocab),
        .parameters = m->parameters,
        .weight_bytes = m->weight_bytes,
        .takes_system = chat_form_takes_system(e->form),
        .takes_tools = chat_form_takes_tools(e->form),
    };
    size_t n = strlen(m->family);
    memcpy(out->family, m->family, n < sizeof out->family ? n : sizeof out->family - 1);
}

/* ---- jobs ---- */

enum err engine_ask(struct engine_job **out, struct engine *e, const struct engine_ask *ask,
                    struct engine_events events, struct err_note *why)
{
    size_t live = atomic_fetch_add(&e->live, 1);
    if (live >= RUNNING_MAX + e->conf.jobs_max) {
        atomic_fetch_sub(&e->live, 1);
        return err_set(why, ERR_QUEUE_FULL, "%zu requests wait for the local model",
                       e->conf.jobs_max);
    }
    struct engine_job *job = job_new(e, ask, events);
    if (job == NULL) {
        atomic_fetch_sub(&e->live, 1);
        return err_set(why, ERR_MEMORY, "out of memory for a request");
    }
    *out = job;
    if (!queue_put(desk_for(e, ask)->fresh, job)) {
        job_free(job);
        atomic_fetch_sub(&e->live, 1);
        return err_set(why, ERR_QUEUE_FULL, "the local model is closing");
    }
    return ERR_NONE;
}

void engine_cancel(struct engine_job *job)
{
    atomic_store(&job->stop, true);
    atomic_store(&job->sched.cancel, true);
    sched_wake(job->engine->sched);
}

void engine_pause(struct engine_job *job, bool pause)
{
    atomic_store(&job->sched.pause, pause);
    if (!pause) sched_wake(job->engine->sched);
}

void engine_release(struct engine_job *job)
{
    job_free(job);
}

int engine_stop_met(const struct engine_job *job)
{
    return job->stops.met ? (int)(job->stops.met - job->stops.at) : -1;
}

enum err engine_count(struct engine *e, const struct engine_ask *ask, int *out,
                      struct err_note *why)
{
    struct engine_job *job = job_new(e, ask, (struct engine_events){0});
    if (job == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");

    enum err err = job_read(job, why);
    if (!err) *out = (int)job->prompt.len;
    job_free(job);
    return err;
}
