/* What a probe of the model found last, shared by all who ask within 30 s (http-api.md section 10).
 */
#ifndef SEMA_API_HEALTH_H
#define SEMA_API_HEALTH_H

#include "base/err.h"

struct probe;

enum err health_probe_new(struct probe **out);
void health_probe_free(struct probe *p); /* none under way; NULL is fine */

#endif
