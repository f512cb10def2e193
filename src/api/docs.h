/* The page over /openapi.json: one document that needs nothing from elsewhere (http-api.md section
 * 12). */
#ifndef SEMA_API_DOCS_H
#define SEMA_API_DOCS_H

#include "base/buf.h"

/* Initialises and fills both: the page, and the Content-Security-Policy that lets nothing but its
 * own style and script in. */
enum err docs_make(struct buf *page, struct buf *policy);

#endif
