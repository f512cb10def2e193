/* Which members of a JSON Schema hold what: for those who rewrite one, keyword by keyword. */
#ifndef SEMA_BASE_JSON_SCHEMA_H
#define SEMA_BASE_JSON_SCHEMA_H

#include <stdbool.h>

#include "base/str.h"

/* An object whose keys are names that the schema gives, and whose values are schemas. */
bool json_schema_holds_names(str key);
/* A value, or values, in which nothing is a keyword. */
bool json_schema_holds_data(str key);

#endif
