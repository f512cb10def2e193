/* Texts and JSON values as numbers and truths, by the lax rules of http-api.md section 4. */
#ifndef SEMA_API_COERCE_H
#define SEMA_API_COERCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

enum coerced {
    COERCED,
    COERCE_TYPE,     /* of a kind that can never be one */
    COERCE_PARSING,  /* a text, or a number, that is none */
    COERCE_FRACTION, /* a number with a fraction where a whole one is wanted */
};

/* Whole numbers beyond the range of int64_t come out as its ends. */
enum coerced coerce_int_text(str s, int64_t *out);
enum coerced coerce_int(yyjson_val *v, int64_t *out);
/* Never NaN; beyond the range of a double: infinite. */
enum coerced coerce_float_text(str s, double *out);
enum coerced coerce_float(yyjson_val *v, double *out);
enum coerced coerce_bool_text(str s, bool *out);
enum coerced coerce_bool(yyjson_val *v, bool *out);

#endif
