/* What is counted (http-api.md section 11).  Labels come from our own tables and the settings only;
 * adding is a relaxed atomic, any thread. */
#ifndef SEMA_API_METRICS_H
#define SEMA_API_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct api;
struct route;
struct metrics;

enum err metrics_new(struct metrics **out);
void metrics_free(struct metrics *m);

/* `route` NULL: none was found, or none was read. */
void metrics_request(struct metrics *m, const struct route *route, str method, int status,
                     uint64_t total_us);
void metrics_rate_limited(struct metrics *m);
void metrics_switched(struct metrics *m, bool ok); /* a switch that was asked for has ended */

/* All of it, in the text format 0.0.4 of Prometheus. */
void metrics_print(struct buf *to, struct api *a);

#endif
