/* Added tokens: texts that are found as they stand before the model sees the rest - control tokens,
 * tool marks, runs of blanks.  Scanning follows the reference: leftmost, then longest; a match
 * whose token wants a whole word and is none is passed over; white space beside it may be
 * swallowed. */
#ifndef SEMA_ENGINE_VOCAB_ADDED_H
#define SEMA_ENGINE_VOCAB_ADDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/vocab/tokens.h"

enum {
    ADDED_BYTES_MAX = 1024, /* of one token's text; the longest seen has 93 */
    ADDED_MAX = 1 << 20,
    ADDED_GROWTH_MAX = 16, /* of all texts by normalizing them */
};

/* Stands before text that must not be read as an added token: see vocab_guard.  A private-use code
 * point of plane 16 that nobody's text holds. */
#define ADDED_MARKER "\xF4\x8F\x9E\xA3" /* U+10F7A3 */
enum { ADDED_MARKER_BYTES = sizeof ADDED_MARKER - 1 };

struct added_token {
    str text;
    str shown; /* what decoding gives: the normalized text of `normalized` ones; set by added_build
                */
    int32_t id;
    bool special;    /* left out by skip_special */
    bool normalized; /* searched in normalized text */
    bool lstrip, rstrip;
    bool single_word;
    bool guarded; /* means something to a template: users may not write it */
};

struct added_trie {
    struct added_node *nodes; /* node 0 is the root */
    size_t count, cap;
    int32_t first[256]; /* the root's children by byte; 0: none */
};

struct added {
    struct added_token *at;
    size_t count, cap;
    struct tokens names;          /* text -> index */
    struct added_trie raw;        /* of texts to find before normalizing */
    struct added_trie normalized; /* of normalized texts to find afterwards */
    struct added_trie guarded;    /* of the raw texts that vocab_guard looks for */
    struct added_trie endings;    /* of the same, from the last byte to the first */
};

/* Room for `count` tokens whose texts have `bytes` together.  ERR_LIMIT, ERR_MEMORY. */
enum err added_init(struct added *a, struct arena *arena, size_t count, size_t bytes);
/* Copies the text.  An empty one, one over ADDED_BYTES_MAX and one that is
 * already there are ignored. */
void added_put(struct added *a, struct added_token token);
const struct added_token *added_find(const struct added *a, str text); /* NULL when absent */

/* After the last added_put.  `normalized(ctx, text, &out)` gives a text's normalized form, living
 * as long as `a`. */
typedef enum err added_normalize_fn(void *ctx, str text, str *out);
enum err added_build(struct added *a, struct arena *arena, added_normalize_fn *normalized,
                     void *ctx);

/* One scan over a text, segment by segment. */
struct added_scan {
    const struct added *added;
    const struct added_trie *trie;
    str text;
    bool markers; /* honour ADDED_MARKER */
    size_t at;    /* the next place to look */
    size_t start; /* of the text that was not handed out yet */
};
struct added_found {
    str before;                      /* ordinary text, may be empty, may still hold markers */
    const struct added_token *token; /* what follows it, NULL at the end of the text */
};
/* False when everything was handed out. */
bool added_next(struct added_scan *s, struct added_found *found);

void added_guard(const struct added *a, str text, struct buf *out); /* see vocab_guard */
void added_unmark(str text, struct buf *out);                       /* adds it without markers */

#endif
