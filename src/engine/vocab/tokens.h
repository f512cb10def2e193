/* The pieces of a vocabulary: id -> text and text -> id.  Filled once, then read by any thread; the
 * memory is the arena's. */
#ifndef SEMA_ENGINE_VOCAB_TOKENS_H
#define SEMA_ENGINE_VOCAB_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    TOKENS_MAX = 1 << 24,     /* ids are below it; the largest vocabularies have 2^18 */
    TOKENS_HOLES_MAX = 65536, /* ids that no entry names: bounds memory by the file's size */
    TOKENS_NARROW = 0x300,    /* code points whose one-character token is found without hashing */
};

struct tokens {
    str *text;     /* [size]; .at NULL in a hole */
    int32_t size;  /* ids are below it */
    int32_t count; /* different texts that were put */
    struct tokens_slot *slots;
    uint32_t slot_mask;
    int32_t narrow[TOKENS_NARROW]; /* -1: no such token */
    char *keep, *keep_end;         /* room for the texts */
};

/* Room for `entries` texts of `bytes` together and for ids below `size`.  ERR_MEMORY. */
enum err tokens_init(struct tokens *t, struct arena *a, size_t entries, size_t bytes, int32_t size);

/* Copies the text.  A later entry with the same text or the same id wins.  The room must suffice.
 */
void tokens_put(struct tokens *t, str text, int32_t id);

/* Gives an id its text without making it findable: control tokens, which are matched elsewhere. The
 * text is not copied. */
void tokens_name(struct tokens *t, str text, int32_t id);

int32_t tokens_find(const struct tokens *t, str text); /* -1 when absent */

/* Whether ids up to `id_max` may exist in a file of `entries` entries; *size is then id_max + 1. */
bool tokens_size_fits(int64_t id_max, size_t entries, int32_t *size);

#endif
