/* The regular expressions of tokenizers.  The constructs that published tokenizers use are matched
 * by our own small backtracking matcher over our own character tables (unicode.h), so that the
 * pieces do not depend on the Unicode version of an installed library; anything else goes to PCRE2.
 * Both run under a bound on the work, so a pattern from a hostile file ends with an error, never
 * with a hang. */
#ifndef SEMA_ENGINE_VOCAB_PATTERN_H
#define SEMA_ENGINE_VOCAB_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    PATTERN_BYTES_MAX = 16 << 10, /* of the pattern's text; the longest published one has 2 KiB */
    PATTERN_STEPS_PER_BYTE = 256, /* of the text, on average; published patterns need at most 20 */
    PATTERN_STEPS_BASE = 1 << 20, /* on top, so that short texts are never refused */
    PATTERN_BACKTRACKS_MAX = 1 << 20, /* remembered alternatives of one match: 32 MiB */
};

struct pattern;

/* ERR_MODEL_UNUSABLE with the reason.  `literal`: the text stands for itself. */
enum err pattern_new(struct pattern **out, struct arena *a, str text, bool literal,
                     struct err_note *why);
void pattern_free(struct pattern *p); /* the memory is the arena's; this ends what PCRE2 holds */

struct pattern_work { /* one caller's memory and what it may still spend; zeroed is empty */
    struct pattern_mark *marks;
    size_t marks_count, marks_cap;
    void *pcre, *pcre_limits; /* match data and context */
    uint64_t steps_left;
    const _Atomic bool *stop; /* may be NULL */
};
void pattern_work_init(struct pattern_work *w, size_t text_bytes, const _Atomic bool *stop);
void pattern_work_fini(struct pattern_work *w);

/* The leftmost match at or after `from`: *at and *end, or *at = STR_NPOS when there is none. `text`
 * is valid UTF-8 and is seen whole by look-behind and anchors.  ERR_LIMIT, ERR_CANCELLED,
 * ERR_MEMORY. */
enum err pattern_find(const struct pattern *p, struct pattern_work *w, str text, size_t from,
                      size_t *at, size_t *end, struct err_note *why);

#endif
