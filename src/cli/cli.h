/* The command line: `sema COMMAND ...`.  What it is put together from comes from main.c; here no
 * backend, store or model is known by name.
 *
 * A command is one file with one `struct command` and one row in commands.c; --help is made from
 * it. */
#ifndef SEMA_CLI_CLI_H
#define SEMA_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/backend.h"
#include "store/store.h"

/* A backend and the settings that it takes: offsets in struct conf of the texts, 0 where there is
 * none. */
struct program_backend {
    const struct backend_ops *ops;
    size_t base_url, key, version, organization, project;
    size_t bearer; /* a key that goes as bearer token, when `key` is not set */
};

struct program {
    const char *version; /* of the program; APP_VERSION is a setting */
    const struct program_backend *backends;
    size_t backends_count;
    const struct store_ops *const *stores; /* NULL-terminated */
    const struct backend_embedded *embedded;
    size_t embedded_count;
};

/* Gives the exit status: 0, 1 for a mistake of the caller, 3 for a start that failed. */
int cli_run(const struct program *p, int argc, char **argv);

enum { EXIT_FINE = 0, EXIT_MISTAKE = 1, EXIT_START = 3 };

#endif
