/* Byte pair encoding of one piece of text, in the two forms that models use: merges with ranks
 * (tokenizer.json, merges.txt) and joined tokens with scores (SentencePiece).  Time n log n. */
#ifndef SEMA_ENGINE_VOCAB_BPE_H
#define SEMA_ENGINE_VOCAB_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/vocab/tokens.h"
#include "engine/vocab/vocab.h"

enum {
    BPE_PIECE_BYTES_MAX = 1 << 27, /* longer text is refused before it comes here */
    BPE_TOKEN_BYTES_MAX = 4096, /* of a token that merges make; published ones have 400 at most */
};

struct bpe {
    const struct tokens *tokens;
    struct bpe_merge *merges; /* hashed by pair */
    uint64_t merge_mask;
    uint64_t
        merge_spread; /* odd, drawn by this process: the file's author cannot choose collisions */
    const uint32_t
        *score_rank; /* by id, 0 the best, UINT32_MAX never joined; NULL: merges decide */
    int32_t unk;     /* -1: characters without a token vanish */
    bool fuse_unk;
    bool byte_fallback;
    bool ignore_merges;
    int32_t byte_id[256]; /* <0xNN>; -1 when absent */
    str word_prefix; /* "continuing_subword_prefix" and "end_of_word_suffix"; empty in every model
                      */
    str word_suffix; /* that we know */
};

/* Room for `count` merges.  ERR_MEMORY. */
enum err bpe_merges_init(struct bpe *m, struct arena *a, size_t count);
/* ERR_INVALID when the vocabulary lacks one of both or what they make.  A later entry for the same
 * pair wins, as in the reference. */
enum err bpe_merge_add(struct bpe *m, str left, str right, uint32_t rank);

/* Looks for the <0xNN> tokens. */
void bpe_bytes_find(struct bpe *m);

struct bpe_work { /* memory of one caller's calls; zeroed is empty */
    struct bpe_symbol *symbols;
    size_t symbols_cap;
    struct bpe_join *heap;
    size_t heap_len, heap_cap;
    const _Atomic bool *stop; /* may be NULL */
};
void bpe_work_fini(struct bpe_work *w);

/* Appends the tokens of valid UTF-8 text.  ERR_MEMORY, ERR_CANCELLED. */
enum err bpe_encode(const struct bpe *m, struct bpe_work *w, str piece, struct ids *out);

#endif
