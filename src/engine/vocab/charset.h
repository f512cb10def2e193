/* A set of characters, as a pattern's class describes it: ranges and kinds, any of them negated. */
#ifndef SEMA_ENGINE_VOCAB_CHARSET_H
#define SEMA_ENGINE_VOCAB_CHARSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

enum { CHARSET_NOT_MAX = 8 };

struct charset {
    uint32_t low[8]; /* characters below 256, all rules applied; made by charset_seal */
    uint16_t any_of; /* kinds of unicode.h: in the set when the character has one of them */
    uint16_t none_of[CHARSET_NOT_MAX]; /* in the set when it has none of these */
    int none_count;
    bool negated; /* the whole */
    struct charset_range {
        uint32_t first, last;
    } * ranges;
    uint32_t ranges_count, ranges_cap;
};

/* False when memory is out or there are too many. */
bool charset_add_range(struct charset *s, struct arena *a, uint32_t first, uint32_t last);
bool charset_add_none_of(struct charset *s, uint16_t kinds);
/* Both cases of every ASCII letter in it, and the two other characters that fold to ASCII letters:
 * U+017F (long s) and U+212A (Kelvin).  False when a range holds other characters that have cases.
 */
bool charset_fold(struct charset *s, struct arena *a);
void charset_seal(struct charset *s); /* after the last addition */

bool charset_has_wide(const struct charset *s, uint32_t code_point);

static inline bool charset_has(const struct charset *s, uint32_t cp)
{
    return cp < 256 ? s->low[cp / 32] >> cp % 32 & 1 : charset_has_wide(s, cp);
}

#endif
