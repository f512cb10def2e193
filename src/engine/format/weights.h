/* Tensors by name, whatever the container: safetensors (single, sharded), GGUF, pytorch_model.bin.
 * Data stay where they are mapped; every offset, size and shape has been checked against the file.
 */
#ifndef SEMA_ENGINE_FORMAT_WEIGHTS_H
#define SEMA_ENGINE_FORMAT_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct files;
struct weights;

enum weight_type {
    WEIGHT_F32,
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_Q8_0,
    WEIGHT_Q4_0,
    WEIGHT_Q4_1,
    WEIGHT_Q5_0,
    WEIGHT_Q5_1,
    WEIGHT_Q2_K,
    WEIGHT_Q3_K,
    WEIGHT_Q4_K,
    WEIGHT_Q5_K,
    WEIGHT_Q6_K,
    WEIGHT_IQ4_NL,
    WEIGHT_IQ4_XS,
    WEIGHT_TYPES
};

struct weight_kind {
    const char *name;
    int block_numbers; /* numbers in a block; 1 for the plain types */
    int block_bytes;
};
extern const struct weight_kind weight_kinds[WEIGHT_TYPES];

enum { TENSOR_DIMS_MAX = 4 };

struct tensor {
    str name;
    enum weight_type type;
    int dims;
    uint64_t shape[TENSOR_DIMS_MAX]; /* outermost first: a matrix is [rows][columns] */
    const uint8_t *data;             /* maybe unaligned for its type */
    uint64_t bytes;
};

/* Finds the one set of weights that local-models.md section 7 names.  The files must outlive it. */
enum err weights_open(struct weights **out, struct files *f, struct err_note *why);
void weights_close(struct weights *w);

const struct tensor *weights_find(const struct weights *w, const char *name); /* NULL when absent */
/* The type's name when the tensor is there in a type that is not read; else NULL. */
const char *weights_unread(const struct weights *w, const char *name);
/* All that are read, in the files' order. */
size_t weights_count(const struct weights *w);
const struct tensor *weights_at(const struct weights *w, size_t i);

struct gguf;
const struct gguf *weights_gguf(const struct weights *w); /* its metadata, or NULL: format/gguf.h */

/* Widens `count` numbers, starting at a block border, to float32; exact for every type's
 * definition. */
void weights_widen(enum weight_type type, const uint8_t *from, float *to, size_t count);

#endif
