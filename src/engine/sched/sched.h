/* Who computes next.  One scheduler thread for each loaded model: it admits prepared jobs, lets
 * them decode together in one step, reads long prompts in pieces beside them, and keeps the KV of
 * finished conversations so that a next turn reads only its new tokens; when there has been nothing
 * to do for a while, that memory is given back.
 *
 *     WAITING -> READING   admitted: a place and KV memory are there
 *     READING -> WRITING   the last prompt token's logits: first sample
 *     WRITING -> (done)    end token, stop string, limit, cancel, error
 *
 * The answer of a job depends on its prompt, parameters and seed only, never on what else runs. */
#ifndef SEMA_ENGINE_SCHED_SCHED_H
#define SEMA_ENGINE_SCHED_SCHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/sample/sample.h"

struct model;
struct sched;

enum sched_end { SCHED_STOP, SCHED_LENGTH };

/* A prepared job; the asker's memory, the scheduler's to change between sched_put and `done`. */
struct sched_job {
    const int32_t *prompt;
    int prompt_len;
    int max_tokens; /* of the answer; prompt_len + max_tokens fits the context */
    struct sample_params sampling;
    uint64_t fair_key;

    void *ctx;
    /* A sampled token, not an end token.  False: the answer ends here (a stop string), with
     * SCHED_STOP. */
    bool (*token)(void *ctx, int32_t id);
    /* Ids that may come next as a bit set over the vocabulary, end tokens included where they may.
     * False: nothing can come, the answer ends here.  NULL: all may come. */
    bool (*allowed)(void *ctx, const uint64_t **mask);
    void (*done)(void *ctx, enum err e, enum sched_end end, int reused, int answered,
                 const struct err_note *why);

    _Atomic bool cancel, pause;

    /* The scheduler's own: */
    struct sched_job *next;
    struct seq *seq;
};

struct sched_conf {
    int running_max;     /* jobs that decode together */
    size_t kv_bytes_max; /* running and parked */
    const int32_t *ends; /* end tokens; copied */
    size_t ends_count;
    int vocab; /* ids at and above it are never sampled */
};

enum err sched_new(struct sched **out, struct model *m, const struct sched_conf *c,
                   struct err_note *why);
void sched_put(struct sched *s, struct sched_job *job);
void sched_wake(struct sched *s); /* a flag of a job changed */
void sched_free(struct sched *s); /* ends every job with ERR_CANCELLED */

#endif
