/* How many requests a client may make (http-api.md section 13): a bucket that refills evenly, for
 * each client one.  A bucket is one number, the time at which it will be full again, so a client
 * that has not come for a minute needs no memory; the table is of fixed size, and under a flood of
 * clients the bucket that is nearest to full gives way.
 *
 * Threads: any; time is the caller's. */
#ifndef SEMA_API_LIMIT_H
#define SEMA_API_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct limit;

struct limit_verdict {
    bool allowed;
    uint64_t remaining; /* requests that would pass now */
    uint64_t retry_s;   /* whole seconds until one passes; 0 when allowed */
    uint64_t full_s;    /* whole seconds until the bucket is full */
};

enum err limit_new(struct limit **out, uint64_t per_minute); /* 0: no limit */
void limit_free(struct limit *l);                            /* NULL is fine */
uint64_t limit_per_minute(const struct limit *l);
void limit_take(struct limit *l, str client, uint64_t now_us, struct limit_verdict *out);

#endif
