/* How the readers of the containers fill a `struct weights`; private to this folder. */
#ifndef SEMA_ENGINE_FORMAT_TABLE_H
#define SEMA_ENGINE_FORMAT_TABLE_H

#include <stdbool.h>

#include "base/arena.h"
#include "engine/format/files.h"
#include "engine/format/gguf.h"
#include "engine/format/weights.h"

enum { TENSOR_TYPE_NAME_BYTES = 16 };

struct entry {
    struct tensor t;                     /* .name lives in weights.names */
    char unread[TENSOR_TYPE_NAME_BYTES]; /* a type that is skipped, by name; "" for the others */
    const char *file;                    /* it stands in */
};

struct weights {
    struct files *files;
    struct gguf *gguf;
    struct arena names;
    struct entry *at;
    size_t count, cap;
    size_t read_count; /* those whose type is read; they stand first once all files are in */
    uint32_t *slots;   /* open addressing by name: index + 1, 0 is free */
    size_t slots_cap;
};

/* Adds a tensor whose place, size and shape were checked; copies the name.  `file` must outlive w.
 * ERR_MODEL_UNUSABLE when the name is there already. */
enum err table_add(struct weights *w, const char *file, const struct entry *e,
                   struct err_note *why);
const struct entry *table_find(const struct weights *w, str name);

/* Product of the shape; false when it does not fit or a dimension is 0. */
bool table_numbers(const uint64_t *shape, int dims, uint64_t *out);
/* Bytes of that many numbers, whole blocks a row; false when a row is not whole or it does not fit.
 */
bool table_bytes(const struct tensor *t, uint64_t *out);

/* Each adds what one file holds. */
enum err safetensors_read(struct weights *w, const char *file, str bytes, struct err_note *why);
enum err torch_read(struct weights *w, const char *file, str bytes, struct err_note *why);
enum err gguf_read(struct weights *w, struct err_note *why);

#endif
