/* The JSON object that a request of /api/v1 brings, checked against a table of fields. */
#ifndef SEMA_API_BODY_H
#define SEMA_API_BODY_H

#include "api/inside.h"
#include "api/validate.h"

/* False: the call is answered (400 or 422) and *out stays.  *out is freed by yyjson_doc_free. */
bool body_read(struct call *c, const struct field *fields, size_t count, void *result,
               yyjson_doc **out);

#endif
