/* Notes about names that a file brings along: they are strangers' bytes, and a note is one line. */
#ifndef SEMA_ENGINE_VOCAB_REFUSE_H
#define SEMA_ENGINE_VOCAB_REFUSE_H

#include "base/err.h"
#include "base/str.h"

/* ERR_MODEL_UNUSABLE: `what "name" is not supported`; the name cut and made printable. */
enum err refuse_kind(struct err_note *why, const char *what, str name);

#endif
