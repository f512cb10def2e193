/* Normalizers of a tokenizer.json: what is done to text before it is cut. */
#ifndef SEMA_ENGINE_VOCAB_NORMAL_H
#define SEMA_ENGINE_VOCAB_NORMAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "engine/vocab/pattern.h"

enum {
    NORMAL_STEPS_MAX = 32,
    NORMAL_TEXT_MAX = 4096, /* bytes that a step puts in: more would be an attack on memory */
};

struct normal {
    struct normal_step *steps;
    int count;
};

/* From the "normalizer" value (NULL or null: none).  The memory is the arena's, but patterns end
 * with normal_fini.  ERR_MODEL_UNUSABLE says which part is not known or not valid. */
enum err normal_from_json(struct normal *n, struct arena *a, yyjson_val *json,
                          struct err_note *why);
/* The same by hand, for vocabularies without such a file. */
enum err normal_add_prepend(struct normal *n, struct arena *a, str text);
enum err normal_add_replace(struct normal *n, struct arena *a, str from, str to);
enum err normal_add_nfc(struct normal *n, struct arena *a);
enum err normal_add_squeeze(struct normal *n,
                            struct arena *a); /* SentencePiece: no repeated, no outer blanks */
void normal_fini(struct normal *n);

struct normal_work { /* one caller's memory */
    struct buf one, two;
    int32_t *wide; /* code points, while a normal form is made */
    size_t wide_cap;
    struct pattern_work *pattern;
};
void normal_work_init(struct normal_work *w, size_t bytes_max, struct pattern_work *pattern);
void normal_work_fini(struct normal_work *w);

/* *out is `text` itself, or lies in one of the buffers until the next call.  Valid UTF-8 in and
 * out. */
enum err normal_run(const struct normal *n, struct normal_work *w, str text, str *out,
                    struct err_note *why);

#endif
