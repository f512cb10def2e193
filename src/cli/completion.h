/* Completions of the command line for a shell, from the tables of commands and settings.  For
 * src/cli alone. */
#ifndef SEMA_CLI_COMPLETION_H
#define SEMA_CLI_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

/* `shell`: bash, zsh or fish; false for another. */
bool completion_print(FILE *to, const char *shell);

#endif
