/* What a client may name as an image (http-api.md section 5): a data address of a known kind and
 * bounded size, or an https address, which is handed to the provider and never fetched. */
#ifndef SEMA_API_IMAGE_H
#define SEMA_API_IMAGE_H

#include "base/str.h"

/* NULL when it may stand; else what is wrong and what would be right. */
const char *image_fault(str text);

#endif
