/* Names to addresses: resolved on libuv's threads, never on the loop; answers are remembered for
 * DNS_KEPT_MS, failures for DNS_FAILED_KEPT_MS.  Askers of one name share one lookup.
 *
 * Threads: a resolver and its waits belong to one loop. */
#ifndef SEMA_HTTP_DNS_H
#define SEMA_HTTP_DNS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "conf/limits.h"

struct loop;
struct dns;
struct dns_name;

union dns_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct dns_result {
    enum err e; /* ERR_NETWORK: `note` says why */
    char note[128];
    size_t count; /* addresses in the order to try them: families take turns (RFC 8305 section 4) */
    union dns_address at[UPSTREAM_ADDRESSES_MAX];
};

/* Embedded in whoever waits; zeroed before its first use. */
struct dns_wait {
    void (*done)(struct dns_wait *w, const struct dns_result *r); /* the view dies on return */
    struct dns_name *name;                                        /* NULL when not waiting */
    struct dns_wait *prev, *next;
};

struct dns *dns_new(struct loop *l); /* NULL when memory is out */
void dns_free(struct dns *d);        /* nobody waits; NULL is fine */

/* Address literals, localhost and what is remembered: true, with `*out` filled, port and all. */
bool dns_known(struct dns *d, str host, uint16_t port, struct dns_result *out);
/* Asks for a name that is not known; `done` comes later, once, unless dns_leave came before. */
enum err dns_ask(struct dns *d, str host, struct dns_wait *w, struct err_note *why);
void dns_leave(struct dns_wait *w); /* not waiting is fine */

#endif
