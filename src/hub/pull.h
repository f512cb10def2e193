/* A model's files from the hub into the shared cache (local-models.md section 7): only what it
 * needs, resumed where an earlier try ended, verified before it is linked.  Blocks; on a thread of
 * its own. */
#ifndef SEMA_HUB_PULL_H
#define SEMA_HUB_PULL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct pull_progress {
    size_t files, files_done;
    int64_t bytes, bytes_done; /* of those files; what was there already counts as done */
    int64_t fetched;           /* by this pull */
    uint64_t elapsed_us;
    str file; /* at work on */
};

struct pull_conf {
    const char *endpoint; /* HF_ENDPOINT */
    const char *cache;    /* HF_HUB_CACHE */
    const char *token;    /* NULL: none */
    const char *revision; /* NULL: main */
    const _Atomic bool *cancel;
    /* A few times a second while bytes come, and at each file's end; may be NULL. */
    void (*progress)(void *ctx, const struct pull_progress *p);
    void *ctx;
};

/* `model`: OWNER/NAME[:VARIANT].  *out: the folder or GGUF file, as hub_find gives it.
 * ERR_NOT_FOUND (unknown name, no fitting files), ERR_AUTH (gated or private), ERR_NETWORK,
 * ERR_TIMEOUT, ERR_SERVER, ERR_RATE_LIMIT, ERR_IO (disk: told before anything is fetched when room
 * is missing), ERR_CANCELLED. */
enum err hub_pull(const char **out, str model, const struct pull_conf *c, struct arena *a,
                  struct err_note *why);

#endif
