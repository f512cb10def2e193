/* What a vocabulary is made of, for the files of this room: each reader fills the parts from one
 * kind of file, vocab_finish makes the rest out of them. */
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

/* Added tokens and roles of the files beside the vocabulary: tokenizer_config.json,
 * added_tokens.json, special_tokens_map.json.  The list is in the order of those files and may
 * repeat texts. */
struct vocab_extras {
    struct added_token *list;
    size_t count, cap;
    str tokenizer_class; /* from tokenizer_config.json, as are the flags: -1 when it says nothing */
    int add_bos, add_eos, add_prefix_space;
};
enum err vocab_extras_read(struct vocab *v, struct files *f, struct vocab_extras *x,
                           struct err_note *why);
enum err vocab_extras_put(struct vocab *v, struct vocab_extras *x, struct added_token token);
/* A role that no file named yet. */
void vocab_extras_role(struct vocab *v, str role, str text);

/* Makes the added tokens: `first`, then what `more` has beyond them, and names every id of theirs.
 * The model's tokens must be there with room for the ids, which vocab_extras_room raises. */
enum err vocab_extras_add(struct vocab *v, const struct vocab_extras *first,
                          const struct vocab_extras *more, struct err_note *why);
void vocab_extras_room(const struct vocab_extras *x, size_t *entries, int64_t *id_max);

/* The readers.  ERR_MODEL_UNUSABLE with the file's own name in the note, not the model's. */
enum err vocab_hf_read(struct vocab *v, struct files *f, str json, struct err_note *why);
enum err vocab_gpt2_read(struct vocab *v, struct files *f, str json, str merges,
                         struct err_note *why);
enum err vocab_spm_read(struct vocab *v, struct files *f, str proto, struct err_note *why);
enum err vocab_gguf_read(struct vocab *v, struct files *f, struct err_note *why);

/* The tokens of a {"text": id, ...} object; `first` and `more` will be added to them. */
enum err vocab_hf_tokens(struct vocab *v, yyjson_val *object, const struct vocab_extras *first,
                         const struct vocab_extras *more, struct err_note *why);

/* Vocabularies made of pieces with scores. */
enum vocab_piece_type { /* numbers of SentencePiece and of GGUF */
                        PIECE_NORMAL = 1,
                        PIECE_UNKNOWN = 2,
                        PIECE_CONTROL = 3,
                        PIECE_USER_DEFINED = 4,
                        PIECE_UNUSED = 5,
                        PIECE_BYTE = 6,
};
struct vocab_piece {
    str text; /* a view; copied */
    float score;
    enum vocab_piece_type type;
};
struct vocab_pieces {
    struct vocab_piece *at; /* by id */
    size_t count;
    bool prefix;     /* a blank goes in front of every text */
    bool squeeze;    /* repeated and outer blanks go */
    bool ties_by_id; /* of joins with equal scores the lower id goes first, not the leftmost */
};
enum err vocab_spm_build(struct vocab *v, const struct vocab_pieces *p, struct vocab_extras *x,
                         struct err_note *why);
/* The control and user-defined pieces as added tokens, behind what the list already has. */
enum err vocab_spm_added(struct vocab *v, const struct vocab_pieces *p, struct vocab_extras *x);

/* BOS and EOS around a text; -1 for none. */
void vocab_affixes(struct vocab *v, int32_t before, int32_t after);

#endif
