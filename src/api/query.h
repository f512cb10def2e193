/* The query of an address, as web frameworks read it: names and values percent-decoded, `+` a
 * blank, bad UTF-8 repaired, a `%` without two digits left alone, of a repeated name the last
 * counts. */
#ifndef SEMA_API_QUERY_H
#define SEMA_API_QUERY_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct query_pair {
    str name, value;
};

struct query {
    struct query_pair *at;
    size_t count;
};

enum err query_parse(struct query *out, str text, struct arena *a);
/* STR_NONE when absent; an empty value has .at. */
str query_get(const struct query *q, str name);

/* Percent-decoded and repaired; `plus`: `+` is a blank.  .at NULL when memory is out. */
str query_decode(str text, bool plus, struct arena *a);

#endif
