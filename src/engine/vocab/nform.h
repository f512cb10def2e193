/* Unicode normal forms (UAX 15) in time linear in the text but for the sorting of long runs of
 * marks. */
#ifndef SEMA_ENGINE_VOCAB_NFORM_H
#define SEMA_ENGINE_VOCAB_NFORM_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum nform { NFORM_C, NFORM_D, NFORM_KC, NFORM_KD };

/* Adds the normal form of valid UTF-8.  *wide is work room of *wide_cap code points, grown here and
 * freed by the caller.  ERR_MEMORY. */
enum err nform_add(enum nform form, str text, struct buf *out, int32_t **wide, size_t *wide_cap);

#endif
