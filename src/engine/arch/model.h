/* A loaded model: its shape, its weights, and the forward pass.  One file per family fills `struct
 * arch`; a pass reads top to bottom there.  Immutable after opening: any number of threads may
 * look, one at a time may call model_forward. */
#ifndef SEMA_ENGINE_ARCH_MODEL_H
#define SEMA_ENGINE_ARCH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct files;
struct model;
struct kv;

struct model_info {
    const char *family;
    int vocab;      /* rows of the head; may exceed the tokenizer's size */
    int ctx_tokens; /* the model's own limit */
    int layers, width;
    uint64_t parameters, weight_bytes;
    size_t kv_bytes_per_token;
};

/* threads: that compute, 1 or more; they are the model's own and sleep between passes.  `f` must
 * outlive the model.  ERR_MODEL_UNUSABLE: damaged, unreadable, unknown; the note names file and
 * reason. ERR_MEMORY. */
enum err model_open(struct model **out, struct files *f, int threads, struct err_note *why);
void model_close(struct model *m);
const struct model_info *model_info(const struct model *m);

/* The keys and values of one sequence.  Memory grows in pages as tokens come. */
enum err kv_new(struct kv **out, struct model *m, int tokens_max);
void kv_free(struct kv *k);
int kv_len(const struct kv *k);        /* tokens in it */
void kv_cut(struct kv *k, int tokens); /* forgets what follows the first `tokens` */
size_t kv_bytes(const struct kv *k);
/* The sequence will have at least `tokens`: LongRoPE rotates by that length from the first one on,
 * as the reference does with a sequence that it gets whole.  Before the first step. */
void kv_expect(struct kv *k, int tokens);

/* One row of a step: a token at the next place of its sequence. */
struct model_row {
    struct kv *kv;
    int32_t token;
    float *logits; /* [vocab] where wanted, else NULL */
};

/* Computes `count` rows; rows of one sequence stand together and in order, several sequences may
 * share a step.  Each row's token is appended to its kv.  The result of a sequence does not depend
 * on what else is in the step, nor on how its tokens are cut into steps: the same bits every time.
 * (But for LongRoPE, which rotates a long sequence otherwise than a short one: the step that
 * crosses the border computes the whole sequence anew.)
 *
 * On an error nothing was appended: ERR_MEMORY, ERR_INVALID (no such token), ERR_LIMIT (the kv is
 * full), ERR_IO (a weight file can no longer be read). */
enum err model_forward(struct model *m, const struct model_row *rows, size_t count,
                       struct err_note *why);

/* Ids that end an answer by the model's files (config.json, generation_config.json). */
size_t model_end_ids(const struct model *m, const int32_t **out);

#endif
