#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 128 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_fini(struct buf *b)
{
    free(b->at);
    *b = (struct buf){0};
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->bad || n > b->max_bytes - b->len || b->len > b->max_bytes) {
        b->bad = true;
        return NULL;
    }
    if (b->cap - b->len < n) {
        size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
        while (cap - b->len < n) cap += cap / 2;
        if (cap > b->max_bytes) cap = b->max_bytes;
        char *at = realloc(b->at, cap);
        if (at == NULL) {
            b->bad = true;
            return NULL;
        }
        b->at = at;
        b->cap = cap;
    }
    return b->at + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

void buf_add(struct buf *b, str s)
{
    char *to = s.len ? buf_room(b, s.len) : NULL;
    if (to == NULL) return;
    memcpy(to, s.at, s.len);
    b->len += s.len;
}

void buf_add_char(struct buf *b, char c)
{
    char *to = buf_room(b, 1);
    if (to == NULL) return;
    *to = c;
    b->len++;
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    char small[256];

    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        b->bad = true;
    } else if ((size_t)n < sizeof small) {
        buf_add(b, (str){small, (size_t)n});
    } else {
        char *to = buf_room(b, (size_t)n + 1); /* vsnprintf wants room for its terminator */
        if (to) {
            vsnprintf(to, (size_t)n + 1, format, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
}

void buf_add_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(b, (str){digits + at, sizeof digits - at});
}

void buf_drop(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n && n < b->len) memmove(b->at, b->at + n, b->len - n);
    b->len -= n;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->bad = false;
}

void buf_shrink(struct buf *b)
{
    if (b->len) return;
    free(b->at);
    b->at = NULL;
    b->cap = 0;
}
