/* A text cut into pieces, on its way from one stage of the pipeline to the next: pre-tokenizers cut
 * text, decoders put tokens together again. */
#ifndef SEMA_ENGINE_VOCAB_PIECES_H
#define SEMA_ENGINE_VOCAB_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct piece {
    uint32_t at, len; /* bytes of the text */
    bool first;       /* begins where the whole input begins */
};

struct pieces {
    struct buf text;
    struct piece *at;
    size_t count, cap;
    bool bad; /* memory or the bound on the text is out; looked at once a stage */
};

void pieces_init(struct pieces *p, size_t bytes_max); /* at most 4 GiB */
void pieces_fini(struct pieces *p);
void pieces_clear(struct pieces *p);
/* A piece of what is already in the text.  Empty ones are kept or dropped by the caller. */
void pieces_mark(struct pieces *p, size_t at, size_t len, bool first);
void pieces_add(struct pieces *p, str text, bool first); /* text and piece */
enum err pieces_err(const struct pieces *p);

static inline str pieces_at(const struct pieces *p, size_t i)
{
    if (p->text.at == NULL) return STR(""); /* nothing but empty pieces */
    return (str){p->text.at + p->at[i].at, p->at[i].len};
}

#endif
