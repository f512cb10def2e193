/* A surrogate pair whose halves came in two pieces becomes one character again; a half that stays
 * alone becomes U+FFFD (providers.md section 2).  One of these for each channel of text. */
#ifndef SEMA_BACKEND_HALVES_H
#define SEMA_BACKEND_HALVES_H

#include "base/buf.h"
#include "base/str.h"

struct halves {
    char high[3]; /* the first half that waits for the second; high[0] is 0 when none does */
};

/* `in` as JSON_KEEP_HALVES gives it.  The result is valid UTF-8: `in` itself, or in `room`, which
 * is cleared first.  STR_NONE when memory is out. */
str halves_join(struct halves *h, str in, struct buf *room);
/* What is left when no more comes: U+FFFD or nothing. */
str halves_end(struct halves *h);

#endif
