/* Logits -> token, in the order of the reference (local-models.md section 6): repetition penalty,
 * n-gram ban, presence and frequency, temperature, top-k, top-p, min-p.  Temperature 0 takes the
 * largest, the lowest id on ties.  One sampler belongs to one answer and one thread. */
#ifndef SEMA_ENGINE_SAMPLE_SAMPLE_H
#define SEMA_ENGINE_SAMPLE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct sample_params {
    float temperature;        /* 0: greedy */
    int top_k;                /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off */
    float presence_penalty, frequency_penalty;
    int no_repeat_ngram_size; /* 0: off */
    uint64_t seed;
};

struct sampler;

enum err sampler_new(struct sampler **out, const struct sample_params *p, int vocab);
void sampler_free(struct sampler *s);

/* Tells of tokens that stand already: `answer` false for the prompt's. */
enum err sampler_saw(struct sampler *s, int32_t token, bool answer);

/* `allowed`: a bit for each id, or NULL for all; some bit is set.  Changes `logits`. */
int32_t sampler_pick(struct sampler *s, float *logits, const uint64_t *allowed);

/* The final distribution instead of a draw: probs [vocab]; temperature 0 puts 1 on the argmax. */
void sampler_probs(struct sampler *s, float *logits, float *probs);

#endif
