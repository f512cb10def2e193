/* The syntax of single values (configuration.md, "Value syntax"); no setting is known here. */
#ifndef SEMA_CONF_VALUES_H
#define SEMA_CONF_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "conf/conf.h"

/* Outer blanks are passed over.  Too large for the type: the nearest that fits. */
bool values_int(str s, int64_t *out);
bool values_float(str s, double *out); /* never NaN; an overflow is HUGE_VAL */
bool values_bool(str s, bool *out);

/* A JSON array of strings, or items between commas (trimmed, empty ones left out).  ERR_INVALID,
 * ERR_MEMORY. */
enum err values_list(struct conf_list *out, str s, struct arena *a);

/* An absolute address.  The parts are views into `s`. */
struct address {
    str scheme; /* without ':' */
    str user;   /* what stands before '@'; .at NULL when there is none */
    str host;   /* without brackets */
    str port;   /* digits, or empty */
    str rest;   /* path and what follows */
};
bool values_address(struct address *out,
                    str s); /* false: no scheme, no host, bad port, odd bytes */

/* For printing: the password of "scheme://user:password@host", well-formed or not, becomes "***".
 */
str values_mask(str s, struct arena *a);

/* An address, or one with a prefix length ("10.0.0.0/8"). */
bool values_ip(str s);
bool values_network(str s);
bool values_is_loopback(str host); /* 127.0.0.0/8, ::1, localhost and names below it */

#endif
