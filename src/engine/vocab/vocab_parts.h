/* What a vocabulary is made of, for the files of this room: each reader fills the parts from one kind of
 * file, vocab_finish makes the rest out of them. */
#ifndef SEMA_ENGINE_VOCAB_VOCAB_PARTS_H
#define SEMA_ENGINE_VOCAB_VOCAB_PARTS_H

#include "base/arena.h"
#include "base/json.h"
#include "engine/vocab/added.h"
#include "engine/vocab/bpe.h"
#include "engine/vocab/decoder.h"
#include "engine/vocab/normal.h"
#include "engine/vocab/split.h"
#include "engine/vocab/tokens.h"
#include "engine/vocab/vocab.h"

enum {
    VOCAB_ROLES_MAX = 32,
    VOCAB_AFFIX_MAX = 16, /* special tokens put before or after a text */
    VOCAB_JSON_DEPTH = 64,
};

struct vocab_role {
    str role; /* "bos_token" */
    str text;
};

struct vocab_affix {
    int32_t ids[VOCAB_AFFIX_MAX];
    int count;
};

struct vocab {
    struct arena arena;
    struct tokens tokens;
    struct bpe bpe;
    struct added added;
    struct normal normal;
    struct split split;
    struct decoder decoder;
    struct vocab_affix before, after;
    struct vocab_role roles[VOCAB_ROLES_MAX];
    int roles_count;
    /* By id, made by vocab_finish. */
    struct vocab_token *facts;
    struct buf bytes; /* of all tokens, one after the other */
};

struct vocab_token {
    uint32_t at, len; /* its bytes */
    bool special;
    bool shown_special; /* left out by vocab_decode with skip_special */
    bool byte;          /* one byte, to be joined with others */
};

/* Added tokens and roles of the files beside the vocabulary: tokenizer_config.json, added_tokens.json,
 * special_tokens_map.json.  The list is in the order of those files and may repeat texts. */
struct vocab_extras {
    struct added_token *list;
    size_t count, cap;
};
enum err vocab_extras_read(struct vocab *v, struct files *f, struct vocab_extras *x, struct err_note *why);
/* A role that no file named yet. */
void vocab_extras_role(struct vocab *v, str role, str text);

/* Makes the added tokens: `first`, then what `more` has beyond them, and names every id of theirs.  The
 * model's tokens must be there with room for the ids, which vocab_extras_room raises. */
enum err vocab_extras_add(struct vocab *v, const struct vocab_extras *first,
                          const struct vocab_extras *more, struct err_note *why);
void vocab_extras_room(const struct vocab_extras *x, size_t *entries, int64_t *id_max);

/* The readers.  ERR_MODEL_UNUSABLE without the file's name, which vocab_open puts in front. */
enum err vocab_hf_read(struct vocab *v, struct files *f, str json, struct err_note *why);

#endif
