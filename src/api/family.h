/* The API families that Sema serves.  A request belongs to one by its path, before anything else is
 * known of it, so that even a refused one gets its family's error shape (openai-compat.md). */
#ifndef SEMA_API_FAMILY_H
#define SEMA_API_FAMILY_H

#include "base/buf.h"
#include "base/str.h"
#include "http/header.h"

enum family {
    FAMILY_SEMA,      /* /api/v1/..., pages, health: {"detail":...} */
    FAMILY_OPENAI,    /* /v1/... */
    FAMILY_ANTHROPIC, /* /v1/messages..., and /v1/models with an anthropic-version field */
    FAMILY_OLLAMA,    /* /api/chat, /api/tags, ... */
    FAMILY_GOOGLE,    /* /v1beta/... */
};

enum family family_of(str path, const struct headers *h);

/* What went wrong, for any family; each writes what its shape has. */
struct family_error {
    int status;       /* HTTP */
    const char *code; /* OpenAI's: "context_length_exceeded"; NULL: none */
    str param;        /* the field; empty: none */
    str message;      /* one line for people */
    bool lasting;     /* of a 503: waiting a little does not mend it (a quota) */
};

/* The status that the family's clients understand: Anthropic's 529 for overload, say. */
int family_status(enum family f, const struct family_error *e);
/* The body of an error answer. */
void family_error(struct buf *to, enum family f, const struct family_error *e, str request_id);

#endif
