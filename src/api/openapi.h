/* /openapi.json (http-api.md section 12): OpenAPI 3.1.0, made from the table of routes and that of
 * the chat request's fields, so that it cannot say what the program does not do. */
#ifndef SEMA_API_OPENAPI_H
#define SEMA_API_OPENAPI_H

#include "base/buf.h"
#include "conf/conf.h"

/* Initialises and fills *to. */
enum err openapi_make(struct buf *to, const struct conf *conf);

#endif
