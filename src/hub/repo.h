/* What a repository of the hub holds, and which of its files a model needs (local-models.md section
 * 7). */
#ifndef SEMA_HUB_REPO_H
#define SEMA_HUB_REPO_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "hub/hub.h"

struct repo_file {
    str name;     /* below the snapshot; no path that leads out of it */
    int64_t size; /* -1: not told */
    str sha256;   /* of large files; empty otherwise */
    str blob_id;  /* of small files (git), empty when not told */
};

struct repo {
    str commit;
    struct repo_file *files;
    size_t count;
    bool gated;
};

/* From the answer of GET /api/models/OWNER/NAME/revision/REV?blobs=true.  ERR_SERVER when it is not
 * one. */
enum err repo_read(struct repo *out, str json, struct arena *a, struct err_note *why);

const struct repo_file *repo_find(const struct repo *r, str name);

/* The files to get, in order: small ones first.  `index`: the text of the weights' index when that
 * was fetched, else empty; when the choice needs it first, *needs_index names it and the list is of
 * what comes before.  ERR_NOT_FOUND: no weights, no fitting GGUF (the note lists what there is). */
struct repo_choice {
    const struct repo_file **files;
    size_t count;
    const struct repo_file *needs_index;
};
enum err repo_choose(struct repo_choice *out, const struct repo *r, const struct hub_name *n,
                     str index, struct arena *a, struct err_note *why);

#endif
