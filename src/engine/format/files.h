/* The files of one model: a directory, one GGUF file (or its split parts), or bytes inside the
 * program. Weights (.safetensors, .gguf, .bin) are mapped read-only and not copied; one that
 * shrinks under its map raises SIGBUS: see files_guard.  All other files are small and read into
 * memory.  Any thread. */
#ifndef SEMA_ENGINE_FORMAT_FILES_H
#define SEMA_ENGINE_FORMAT_FILES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct files;

struct files_blob { /* a file inside the program; lives as long as the program */
    const char *name;
    str bytes;
};

/* `path`: a model directory, a .gguf file, or a .safetensors or .bin file with its settings beside
 * it. ERR_NOT_FOUND, ERR_IO; the note names the path. */
enum err files_open(struct files **out, const char *path, struct err_note *why);
enum err files_of_memory(struct files **out, const struct files_blob *blobs, size_t count,
                         const char *label);
void files_close(struct files *f); /* NULL is fine; unmaps everything handed out */

/* The bytes of the file `name` (no path separators), opened on first use and kept until
 * files_close. ERR_NOT_FOUND (note not written), ERR_IO. */
enum err files_get(struct files *f, const char *name, str *out, struct err_note *why);
bool files_has(struct files *f, const char *name);
const char *files_label(const struct files *f); /* for messages: the path as given */
/* "DIR/NAME: ..." into the note, on one line whatever the words hold; gives `e`. */
enum err files_fault(const struct files *f, const char *name, enum err e, struct err_note *why,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Name of the (first) GGUF file, or NULL when the weights are in another format.  Of several in a
 * directory: Q4_K_M, Q4_0, Q8_0 in this order, else NULL. */
const char *files_gguf(const struct files *f);
/* The one file of weights that the path named, when it is no GGUF file; else NULL. */
const char *files_only(const struct files *f);

/* Runs `work` so that a mapped file which can no longer be read ends it with ERR_IO instead of
 * ending the process.  It counts for the calling thread only; the innermost of nested calls ends.
 * `work` must hold no lock and own no memory across the fault that would be missed. */
enum err files_guard(void (*work)(void *ctx), void *ctx);

#endif
