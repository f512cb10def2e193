/* The threads that compute for one model.  They sleep between passes; during one they spin briefly
 * for the next piece of work.  One thread at a time may call pool_run; it computes too. */
#ifndef SEMA_ENGINE_ARCH_POOL_H
#define SEMA_ENGINE_ARCH_POOL_H

#include <stddef.h>

#include "base/err.h"

struct pool;

/* `thread` is below the count given to pool_new; the caller of pool_run is 0. */
typedef void pool_fn(void *ctx, int thread, size_t chunk);

enum err pool_new(struct pool **out, int threads);
void pool_free(struct pool *p); /* NULL is fine */
int pool_threads(const struct pool *p);

/* fn for every chunk from 0 to count - 1, in any order and on any thread; returns when all are
 * done. ERR_IO when a mapped file could not be read (files_guard): the results are worth nothing
 * then. */
enum err pool_run(struct pool *p, pool_fn *fn, void *ctx, size_t count);

#endif
