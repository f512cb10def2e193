/* Model files: where they are found on this machine (find.c) and, later, how they get here.  The
 * cache is the one that all Hugging Face tools share (local-models.md section 7). */
#ifndef SEMA_HUB_HUB_H
#define SEMA_HUB_HUB_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

/* A model's name taken apart: "OWNER/NAME", "NAME", either with ":TYPE" or ":FILE.gguf" behind it.
 * ERR_INVALID for anything that could lead out of the folders it is looked for in. */
struct hub_name {
    str owner; /* empty when the name has none */
    str name;
    str variant; /* of a repository of GGUF files; empty: its default */
};
enum err hub_name_parse(struct hub_name *out, str text, struct err_note *why);

/* The folder or GGUF file of a model: below `model_path` (OWNER/NAME, NAME, a .gguf file; or
 * model_path itself when it is one), else the newest complete snapshot in `cache`.  Either may be
 * NULL.  Blocks for a few system calls.  ERR_NOT_FOUND: the note says where was looked and how to
 * get it; ERR_INVALID. */
enum err hub_find(const char **out, str model, const char *model_path, const char *cache,
                  struct arena *a, struct err_note *why);

/* Whether a folder holds what a model needs: a configuration and whole weights. */
bool hub_is_model_dir(const char *path);

#endif
