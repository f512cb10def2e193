/* A GGUF header as it was read; private to this folder.  gguf.c fills it, gguf_tensors.c makes
 * tensors of it. */
#ifndef SEMA_ENGINE_FORMAT_GGUF_HEADER_H
#define SEMA_ENGINE_FORMAT_GGUF_HEADER_H

#include "engine/format/gguf.h"
#include "engine/format/weights.h"

struct files;

struct gguf_key {
    str name;
    enum gguf_type type; /* of the value, or of an array's elements */
    bool is_array;
    uint64_t count; /* elements of an array */
    const uint8_t *at;
};

struct gguf_info {
    str name;
    int dims;
    uint64_t shape[TENSOR_DIMS_MAX]; /* as in the file: innermost first */
    uint32_t type;
    uint64_t offset;
};

struct gguf {
    uint8_t *copy; /* of the header */
    size_t bytes;
    struct gguf_key *keys; /* sorted by name once all are read */
    size_t keys_count, keys_cap;
    struct gguf_info *infos;
    size_t infos_count, infos_cap;
    uint64_t alignment;
};

/* One part of a split file, by its name; for the whole model see gguf_open. */
enum err gguf_open_part(struct gguf **out, struct files *f, const char *file, struct err_note *why);

#endif
