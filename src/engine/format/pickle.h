/* A reader of Python pickles (protocols 2 and 4) that executes nothing: it knows containers,
 * numbers, texts, the storages and tensors of PyTorch state dictionaries, and refuses everything
 * else.  Private to this folder.
 *
 * What it builds is bounded by the bytes it reads, times a constant; values live in the arena. */
#ifndef SEMA_ENGINE_FORMAT_PICKLE_H
#define SEMA_ENGINE_FORMAT_PICKLE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/format/weights.h"

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT, /* its value is not kept */
    PICKLE_STR,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,   /* items are key, value, key, value, ... */
    PICKLE_GLOBAL, /* .number is an index of the table of known ones */
    PICKLE_STORAGE,
    PICKLE_TENSOR,
};

struct pickle_storage {
    str key;
    const char *type; /* "FloatStorage" */
    int number_bytes;
    int weight_type; /* enum weight_type, or -1: not read */
    int64_t numbers;
};

struct pickle_tensor {
    const struct pickle_storage *storage;
    int64_t offset; /* in numbers */
    int dims;       /* may exceed TENSOR_DIMS_MAX: the rest of shape is not kept */
    int64_t shape[TENSOR_DIMS_MAX], stride[TENSOR_DIMS_MAX];
};

struct pickle_value {
    enum pickle_kind kind;
    int64_t number;
    str text; /* a view of the bytes read */
    struct pickle_value **items;
    size_t count, cap;
    const struct pickle_storage *storage;
    const struct pickle_tensor *tensor;
};

enum { PICKLE_FAULT_BYTES = 160 };

/* Reads one pickle off the front of *bytes.  ERR_MODEL_UNUSABLE with `fault` filled, or ERR_MEMORY.
 */
enum err pickle_read(struct pickle_value **out, struct arena *arena, str *bytes,
                     char fault[PICKLE_FAULT_BYTES]);

#endif
