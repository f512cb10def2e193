/* Pre-tokenizers of a tokenizer.json: they cut text into the pieces that the model encodes one by
 * one. */
#ifndef SEMA_ENGINE_VOCAB_SPLIT_H
#define SEMA_ENGINE_VOCAB_SPLIT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "engine/vocab/pattern.h"
#include "engine/vocab/pieces.h"

enum { SPLIT_STEPS_MAX = 32 };

struct split {
    struct split_step *steps;
    int count;
};

/* From the "pre_tokenizer" value (NULL or null: none).  The memory is the arena's, but patterns end
 * with split_fini.  ERR_MODEL_UNUSABLE says which part is not known or not valid. */
enum err split_from_json(struct split *s, struct arena *a, yyjson_val *json, struct err_note *why);
/* For vocabularies without such a file: a pattern whose matches are pieces, behind a blank in front
 * of the text where `prefix`; digits one by one; the byte-level alphabet, last. */
enum err split_add_pattern(struct split *s, struct arena *a, str pattern, bool prefix,
                           struct err_note *why);
enum err split_add_digits(struct split *s, struct arena *a);
enum err split_add_byte_level(struct split *s, struct arena *a);
void split_fini(struct split *s);

/* As the published files have them; the first is also that of ByteLevel with use_regex. */
extern const char split_gpt2_pattern[], split_qwen2_pattern[], split_llama3_pattern[],
    split_o200k_pattern[], split_tekken_pattern[];

struct split_work { /* one caller's memory; init with pieces_init on both */
    struct pieces one, two;
    struct split_cut *cuts;
    size_t cuts_count, cuts_cap;
    struct pattern_work *pattern;
};
void split_work_fini(struct split_work *w);

/* *out is one of the work's two, until the next call.  `first`: the text begins where the whole
 * input does.  Never an empty piece. */
enum err split_run(const struct split *s, struct split_work *w, str text, bool first,
                   struct pieces **out, struct err_note *why);

#endif
