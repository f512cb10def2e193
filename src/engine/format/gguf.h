/* The metadata of a GGUF file, version 2 or 3 (ggml's docs/gguf.md): keys with typed values.  The
 * whole header is read and checked once when it is opened, out of a private copy, so no getter can
 * fail on damaged bytes or on a file that changes.  Immutable after opening; any thread.
 *
 * The tensors of the file are in weights.h. */
#ifndef SEMA_ENGINE_FORMAT_GGUF_H
#define SEMA_ENGINE_FORMAT_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct files;
struct gguf;

/* The numbers are those of the file. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STR,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

/* Metadata of files_gguf(f); of split files the first part has it.  ERR_NOT_FOUND when the model is
 * not a GGUF file, ERR_MODEL_UNUSABLE, ERR_IO, ERR_MEMORY. */
enum err gguf_open(struct gguf **out, struct files *f, struct err_note *why);
void gguf_close(struct gguf *g); /* NULL is fine; views of strings die */

size_t gguf_count(const struct gguf *g);
str gguf_key(const struct gguf *g, size_t i); /* sorted */

/* Each gives false, and leaves *out alone, when the key is absent or its value is of another kind.
 * Strings are views into g: any bytes, no terminator. */
bool gguf_str(const struct gguf *g, const char *key, str *out);
bool gguf_int(const struct gguf *g, const char *key, int64_t *out); /* any integer type that fits */
bool gguf_num(const struct gguf *g, const char *key, double *out);  /* any number */
bool gguf_bool(const struct gguf *g, const char *key, bool *out);

/* An array of numbers or strings, walked from front to back; `left` elements are still to come.
 * Arrays of arrays are skipped when the file is read and not found here. */
struct gguf_array {
    enum gguf_type type; /* of the elements; never GGUF_ARRAY */
    uint64_t left;
    const uint8_t *at;
};
bool gguf_array(const struct gguf *g, const char *key, struct gguf_array *out);
bool gguf_next_str(struct gguf_array *a, str *out); /* false at the end or for other elements */
bool gguf_next_int(struct gguf_array *a, int64_t *out);
bool gguf_next_num(struct gguf_array *a, double *out);

#endif
