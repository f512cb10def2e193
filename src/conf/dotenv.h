/* The lines of a .env file (configuration.md, "`.env` file"): names, values, `${...}`.  What the
 * names mean is not known here. */
#ifndef SEMA_CONF_DOTENV_H
#define SEMA_CONF_DOTENV_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct dotenv_line {
    str key;
    const char *value; /* NULL: the line had no '=' */
    int line;          /* from 1 */
};

struct dotenv {
    struct dotenv_line *at; /* in the order of the file, repeated keys as often as they came */
    size_t count;
};

struct dotenv_events {
    void *ctx;
    /* A variable of the process, NULL when there is none: for `${NAME}`. */
    const char *(*env)(void *ctx, str name);
    /* A line that was skipped. */
    void (*skipped)(void *ctx, int line, const char *why);
};

/* Results and their texts live in the arena.  ERR_MEMORY only: what cannot be read is skipped. */
enum err dotenv_parse(struct dotenv *out, str text, struct arena *a, struct dotenv_events to);

#endif
