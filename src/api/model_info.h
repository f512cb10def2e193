/* How a backend is named and described to clients (http-api.md section 9.1). */
#ifndef SEMA_API_MODEL_INFO_H
#define SEMA_API_MODEL_INFO_H

#include <stdbool.h>

struct model_kind {
    const char *type;         /* MODEL_TYPE */
    const char *reported;     /* as `type` of model info */
    const char *capabilities; /* a JSON array */
    bool top_k;               /* among its parameters */
};

const struct model_kind *model_kind_of(const char *type); /* never NULL */

#endif
