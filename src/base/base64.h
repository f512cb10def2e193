/* Base64 with padding, RFC 4648 section 4. */
#ifndef SEMA_BASE_BASE64_H
#define SEMA_BASE_BASE64_H

#include <stdbool.h>

#include "base/buf.h"

void base64_encode(struct buf *to, str bytes);
/* Padding may be missing; anything else that is not base64 is false, with part of it added. */
bool base64_decode(struct buf *to, str text);

#endif
