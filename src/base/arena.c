#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *older;
    alignas(max_align_t) char bytes[];
};

/* Most requests fit into the first block; each further block is twice as large, up to a megabyte.
 */
enum { BLOCK_FIRST_BYTES = 1024, BLOCK_MAX_BYTES = 1 << 20 };

void arena_init(struct arena *a, size_t bytes_max)
{
    *a = (struct arena){.bytes_max = bytes_max};
}

void arena_fini(struct arena *a)
{
    for (struct arena_block *b = a->newest; b;) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
    *a = (struct arena){0};
}

static bool arena_add_block(struct arena *a, size_t least)
{
    size_t bytes = a->bytes < BLOCK_FIRST_BYTES ? BLOCK_FIRST_BYTES : a->bytes;
    if (bytes > BLOCK_MAX_BYTES) bytes = BLOCK_MAX_BYTES;
    if (bytes < least) bytes = least;
    if (a->bytes_max && (a->bytes > a->bytes_max || bytes > a->bytes_max - a->bytes)) {
        bytes = least;
        if (a->bytes > a->bytes_max || bytes > a->bytes_max - a->bytes) return false;
    }
    struct arena_block *b = malloc(sizeof *b + bytes);
    if (b == NULL) return false;
    b->older = a->newest;
    a->newest = b;
    a->at = b->bytes;
    a->end = b->bytes + bytes;
    a->bytes += bytes;
    return true;
}

void *arena_take(struct arena *a, size_t bytes)
{
    size_t align = alignof(max_align_t);

    if (bytes > SIZE_MAX - align - sizeof(struct arena_block)) return NULL;
    bytes = (bytes + align - 1) / align * align;
    if ((size_t)(a->end - a->at) < bytes && !arena_add_block(a, bytes)) return NULL;
    if (a->at == NULL) return NULL;
    char *p = a->at;
    a->at += bytes;
    return memset(p, 0, bytes);
}

void *arena_take_array(struct arena *a, size_t count, size_t each_bytes)
{
    if (each_bytes && count > SIZE_MAX / each_bytes) return NULL;
    return arena_take(a, count && each_bytes ? count * each_bytes : 1);
}

str arena_str(struct arena *a, str s)
{
    char *p = s.len < SIZE_MAX ? arena_take(a, s.len + 1) : NULL;
    if (p == NULL) return STR_NONE;
    if (s.len) memcpy(p, s.at, s.len);
    return (str){p, s.len};
}

str arena_strf(struct arena *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n >= 0 ? arena_take(a, (size_t)n + 1) : NULL;
    if (p == NULL) return STR_NONE;
    va_start(args, format);
    vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    return (str){p, (size_t)n};
}
