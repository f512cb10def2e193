/* Stop strings, found in a text that comes in pieces: an answer ends before the first of them. */
#ifndef SEMA_BASE_STOPS_H
#define SEMA_BASE_STOPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

struct stops {
    const str *at; /* the caller's, living as long */
    size_t count;
    const str *met;     /* which one was found; NULL: none */
    struct buf held;    /* text that may still become a stop string */
    const str **sorted; /* those of `at` that are not empty, by their bytes */
    size_t sorted_count;
    size_t *from; /* for each first byte, and one past the last: its place in `sorted` */
};

void stops_init(struct stops *s, const str *at, size_t count);
void stops_fini(struct stops *s); /* a zeroed one is fine, and holds nothing back */
/* Adds to `out` what can be shown, in whole characters as `text` is.  True when a stop string was
 * met: it and what follows is dropped. */
bool stops_add(struct stops *s, str text, struct buf *out);
void stops_end(struct stops *s, struct buf *out); /* what was held back and never became one */

#endif
