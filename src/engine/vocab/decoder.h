/* Decoders of a tokenizer.json: tokens back to text. */
#ifndef SEMA_ENGINE_VOCAB_DECODER_H
#define SEMA_ENGINE_VOCAB_DECODER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "engine/vocab/pieces.h"

enum {
    DECODER_STEPS_MAX = 32,
    DECODER_TEXT_MAX = 256, /* bytes that a step puts in */
};

struct decoder {
    struct decoder_step *steps;
    int count;
    bool byte_level;    /* the characters of a token stand for bytes */
    bool byte_fallback; /* <0xNN> tokens stand for bytes */
    bool joined;        /* no decoder: tokens are joined by blanks */
    /* What the beginning of a whole text loses; see decoder_begin. */
    char lead_byte; /* this character of ASCII, up to lead_max times */
    uint8_t lead_max;
    str lead_token; /* or every occurrence of this in the first token (Metaspace) */
};

/* From the "decoder" value (NULL or null: tokens joined by blanks).  ERR_MODEL_UNUSABLE with the
 * part. */
enum err decoder_from_json(struct decoder *d, struct arena *a, yyjson_val *json,
                           struct err_note *why);
/* For vocabularies without such a file. */
enum err decoder_byte_level(struct decoder *d, struct arena *a);
enum err decoder_sentence(struct decoder *d, struct arena *a, bool drop_prefix);

/* Tokens, as pieces of *in, to text; uses both as work room.  The reference's own result. */
enum err decoder_run(const struct decoder *d, struct pieces *in, struct pieces *other,
                     struct buf *out);

/* The bytes of one token in the middle of a text.  *byte: it is a <0xNN> token. */
void decoder_token(const struct decoder *d, str token, struct buf *out, bool *byte);

/* The byte-level alphabet: the byte that a character stands for, -1 when it is none of the 256. */
int decoder_byte_of(uint32_t code_point);
/* The character of a byte; all are below U+0144. */
uint32_t decoder_character_of(uint8_t byte);

#endif
