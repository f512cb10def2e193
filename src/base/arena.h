/* Memory with one lifetime: a request, a connection, an answer.  Everything taken from an arena
 * dies with it; nothing is freed singly.  A function that allocates its result takes the arena, so
 * that the call shows the lifetime.  One thread at a time. */
#ifndef SEMA_BASE_ARENA_H
#define SEMA_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *newest;
    char *at, *end;   /* free room of the newest block */
    size_t bytes;     /* taken from the system */
    size_t bytes_max; /* 0: no ceiling of its own */
};

void arena_init(struct arena *a, size_t bytes_max);
void arena_fini(struct arena *a); /* takes a zeroed one; afterwards it is as zeroed */

/* Zeroed, aligned for any type; NULL when memory or the ceiling is reached. */
void *arena_take(struct arena *a, size_t bytes);
void *arena_take_array(struct arena *a, size_t count, size_t each_bytes); /* checks the product */

#define arena_new(arena, type) ((type *)arena_take((arena), sizeof(type)))
#define arena_array(arena, type, count) ((type *)arena_take_array((arena), (count), sizeof(type)))

/* Copies; the copy ends with a NUL that its len does not count.  .at is NULL when memory is out. */
str arena_str(struct arena *a, str s);
str arena_strf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
