/* The members of a JSON object, or the elements of an array, as pieces of the very text they were
 * written in: for passing on what somebody wrote, byte for byte, with one member changed.  The text
 * is one that json_read took; any other gives nonsense, but never a byte outside of it. */
#ifndef SEMA_BASE_SPAN_H
#define SEMA_BASE_SPAN_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

struct span {
    str key;   /* of a member: between its quotes, as written; STR_NONE for an element */
    str value; /* without the white space around it */
};

struct span_iter {
    str rest;
    bool object;
};

/* At the first member or element; false when `json` is neither an object nor an array. */
bool span_open(struct span_iter *it, str json);
bool span_next(struct span_iter *it, struct span *out); /* false: there is no further one */

/* A key with its escapes undone; in the arena only when there are any.  .at NULL: no memory. */
str span_key(str key, struct arena *a);

/* The value of the last member of that name, as repeated keys count; STR_NONE when there is none.
 */
str span_get(str object, str key);

#endif
