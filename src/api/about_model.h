/* How a backend is named and described to clients (http-api.md section 9.1). */
#ifndef SEMA_API_ABOUT_MODEL_H
#define SEMA_API_ABOUT_MODEL_H

#include <stdbool.h>

struct model_kind {
    const char *type;         /* MODEL_TYPE */
    const char *reported;     /* as `type` of model info */
    const char *capabilities; /* a JSON array */
    bool top_k;               /* among its parameters */
};

const struct model_kind *about_model_kind(const char *type); /* never NULL */

#endif
