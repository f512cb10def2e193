/* What the shared cache holds: for `sema models` and `sema rm`.  Blocks. */
#ifndef SEMA_HUB_CACHE_H
#define SEMA_HUB_CACHE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct cached_model {
    str name;         /* OWNER/NAME */
    const char *path; /* the model's folder or GGUF file; NULL: files that Sema does not run */
    uint64_t bytes;   /* on disk, all snapshots */
};

/* Each repository of models, in order of name.  A cache that is not there has none. */
enum err cache_list(const char *cache, struct cached_model **out, size_t *count, struct arena *a,
                    struct err_note *why);

/* The models in the owner's own folder (MODEL_PATH): NAME, OWNER/NAME, NAME.gguf as "NAME"; or the
 * one that the path itself is.  In no order; what is not there has none. */
enum err folder_list(const char *path, struct cached_model **out, size_t *count, struct arena *a);

/* Removes a repository with all its snapshots.  ERR_NOT_FOUND, ERR_IO. */
enum err cache_remove(const char *cache, str model, uint64_t *bytes, struct err_note *why);

#endif
