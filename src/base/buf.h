/* A growing byte buffer with a ceiling.  Owns its memory.  Adding past `max_bytes`, or when memory
 * is out, makes it `bad` and adds nothing more; the flag is looked at once, when the text is
 * complete. */
#ifndef SEMA_BASE_BUF_H
#define SEMA_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct buf {
    char *at;
    size_t len; /* bytes in use */
    size_t cap;
    size_t max_bytes;
    bool bad;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b); /* takes a zeroed one; may be used again after buf_init */

void buf_add(struct buf *b, str s);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_add_u64(struct buf *b, uint64_t n);

/* Room for `n` more bytes, to be written at the returned place and then counted by buf_grew; NULL
 * and bad when there is none. */
char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

void buf_drop(struct buf *b, size_t n); /* removes the first n bytes */
void buf_clear(struct buf *b);          /* empties, keeps the memory, clears `bad` */
void buf_shrink(struct buf *b);         /* gives back the memory of an empty buffer */

static inline str buf_str(const struct buf *b) /* valid until the next change */
{
    return (str){b->at, b->len};
}

static inline enum err buf_err(const struct buf *b)
{
    return b->bad ? ERR_MEMORY : ERR_NONE;
}

#endif
