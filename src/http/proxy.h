/* Whether a call goes through the proxy, and what it says to it. */
#ifndef SEMA_HTTP_PROXY_H
#define SEMA_HTTP_PROXY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "http/url.h"

struct proxy {
    struct url url;    /* host is empty: no proxy */
    str authorization; /* "Basic ...", or empty; a secret */
    str except;        /* NO_PROXY, as written */
};

/* `address` and `except` may be NULL.  ERR_INVALID when the address is none, or of another kind
 * than http://: socks, https.  What it keeps lives in the arena. */
enum err proxy_init(struct proxy *p, const char *address, const char *except, struct arena *a,
                    struct err_note *why);
/* Loopback never goes through it, nor what NO_PROXY names (configuration.md, "Providers"). */
bool proxy_applies(const struct proxy *p, str host, uint16_t port);

#endif
