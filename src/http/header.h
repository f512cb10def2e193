/* Header fields, as they came: names compare without regard to case (RFC 9110 5.1). */
#ifndef SEMA_HTTP_HEADER_H
#define SEMA_HTTP_HEADER_H

#include "base/str.h"

struct header {
    str name, value;
};

struct headers {
    const struct header *at;
    size_t count;
};

str headers_get(const struct headers *h, str name); /* the first; STR_NONE when absent */
/* Whether a comma-separated field (or several of one name) holds `token`, in any case. */
bool headers_has_token(const struct headers *h, str name, str token);

#endif
