/* An absolute http or https address, taken apart (RFC 3986). */
#ifndef SEMA_HTTP_URL_H
#define SEMA_HTTP_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct url {
    bool tls;
    str host; /* without brackets, lower case */
    uint16_t port;
    str target;    /* path and query, "/" at least */
    str user;      /* "name:password", empty when absent */
    str authority; /* host[:port] as the Host header wants it: default ports left out */
};

/* ERR_INVALID when it has no http(s) scheme, no host, or a bad port.  Parts live in the arena. */
enum err url_parse(struct url *out, str text, struct arena *a);

#endif
