/* Whose request it is, by address: the peer, or what a trusted proxy says of it (http-api.md
 * section 13). */
#ifndef SEMA_API_CLIENT_H
#define SEMA_API_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "http/header.h"

/* An address as 16 bytes; an IPv4 one in its mapped form (RFC 4291 2.5.5.2). */
struct network {
    uint8_t at[16];
    unsigned bits;
};

struct networks {
    struct network *at;
    size_t count;
    bool all; /* "*" */
};

/* FORWARDED_ALLOW_IPS: addresses, networks, "*".  ERR_INVALID names what is neither. */
enum err networks_init(struct networks *out, const struct conf_list *list, struct err_note *why);
void networks_fini(struct networks *n);
bool networks_have(const struct networks *n, str address);

enum { CLIENT_ADDRESS_BYTES = 48 }; /* the longest IPv6 text and its NUL */

/* The peer; when that is trusted, the rightmost address of X-Forwarded-For that is not (the
 * leftmost when all are).  What a proxy wrote that is no address counts as the peer. */
void client_address(char out[CLIENT_ADDRESS_BYTES], const struct networks *trusted, str peer,
                    const struct headers *h);

#endif
