/* Reasoning that a model writes into its text as <think>...</think> (providers.md section 9): told
 * apart while it streams.  Tags may be cut at any byte; only one at the very start of the text
 * opens.
 *
 *     START -> IN     "<think>" after nothing but white space
 *     START -> TEXT   anything else
 *     IN    -> TEXT   "</think>"; white space after it is dropped
 */
#ifndef SEMA_BACKEND_THINK_H
#define SEMA_BACKEND_THINK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct think {
    enum { THINK_TEXT, THINK_START, THINK_IN } state;
    bool opened;       /* the prompt had the tag: reasoning from the first byte, a tag of its own is
                          dropped */
    bool strip;        /* white space after the closing tag */
    size_t matched;    /* bytes of the tag that may be coming: they are held */
    struct buf blanks; /* START: white space, held too */
};

/* Views die on return; neither is called with nothing. */
struct think_to {
    void *ctx;
    void (*text)(void *ctx, str text);
    void (*reasoning)(void *ctx, str text);
};

void think_init(struct think *t, bool opened);
void think_fini(struct think *t); /* a zeroed one passes everything as text */
void think_feed(struct think *t, str in, const struct think_to *to);
void think_end(struct think *t, const struct think_to *to); /* what was held comes out */

/* Whether this model's template opens the tag in the prompt. */
bool think_opened_by(str model);

#endif
