/* One conversation on its way through the engine: text -> prompt ids -> sampled ids -> text. */
#ifndef SEMA_ENGINE_JOB_H
#define SEMA_ENGINE_JOB_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/stops.h"
#include "engine/engine.h"
#include "engine/sample/sample.h"
#include "engine/sample/toolcall.h"
#include "engine/sched/sched.h"
#include "engine/vocab/vocab.h"

enum { JSON_DEPTH_FILE = 512 };

struct chat_form;
struct model;
struct queue;

/* Jobs to be prepared.  Long texts have a desk of their own: nobody waits behind a megabyte. */
enum { DESK_USUAL, DESK_LONG, DESKS };
struct desk {
    struct queue *fresh;
    pthread_t thread;
    bool open; /* the thread runs */
};

struct engine {
    struct engine_conf conf;
    struct files *files;
    struct model *model;
    struct vocab *vocab;
    struct chat_form *form;
    struct sched *sched;
    struct desk desks[DESKS];
    int ctx_tokens;
    struct engine_sampling own; /* generation_config.json */
    enum toolcall_form tool_form;
    pthread_mutex_t grammar_lock;
    struct grammar_vocab *grammar_vocab; /* made under the lock when first needed, then constant */
    int32_t ends[32];
    size_t ends_count;
    _Atomic size_t live;
    _Atomic bool closing;
};

struct engine_job {
    struct engine *engine;
    struct arena arena; /* copies of what was asked */
    struct engine_ask ask;
    struct engine_events events;
    _Atomic bool stop; /* looked at while the prompt is being made */

    struct ids prompt;
    struct sched_job sched;
    struct grammar *grammar; /* NULL: free text */

    /* The scheduler thread's: */
    struct vocab_stream stream;
    struct stops stops;
    struct buf piece;       /* characters of a token, before the stop strings */
    struct buf shown;       /* what they let through */
    struct toolcall *calls; /* NULL: no tools, all is text */
    bool stopped;           /* a stop string was met */
};

struct engine_job *job_new(struct engine *e, const struct engine_ask *ask,
                           struct engine_events events);
void job_free(struct engine_job *job);

/* Renders and encodes; leaves out old turns where asked.  ERR_CONTEXT_LENGTH, ERR_BAD_REQUEST,
 * ERR_CANCELLED, ERR_MEMORY, ERR_LOCAL_FAILED. */
enum err job_read(struct engine_job *job, struct err_note *why);

/* job_read, then the scheduler; or `done` with the error. */
void job_prepare(struct engine_job *job);

#endif
