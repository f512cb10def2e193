/* What the commands share, for src/cli alone. */
#ifndef SEMA_CLI_COMMAND_H
#define SEMA_CLI_COMMAND_H

#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"

struct conf;

enum { CLI_FLAGS_MAX = 16, CLI_ARGS_MAX = 64 };

struct cli_flag {
    const char *name; /* without dashes */
    const char
        *value; /* how its value is called, "DIR", or all of them, "a|b"; NULL: it takes none */
    const char *text;
};

struct cli; /* one call of a command */

struct command {
    const char *name;
    const char *args; /* of the usage line: "list | show ID"; "" for none */
    const char *text; /* one line for the list of commands */
    const char *more; /* further lines for --help; NULL: none */
    const struct cli_flag *flags;
    size_t flags_count;
    size_t args_max;
    bool settings;     /* takes the settings as flags */
    bool settings_all; /* and --help lists them */
    int (*run)(struct cli *c);
};

extern const struct command *const commands[]; /* NULL-terminated, in the order of the help */
const struct command *commands_find(const char *name);
void commands_help(FILE *to, const struct command *c); /* NULL: of the program */
void commands_manual(FILE *to);                        /* sema(1) */

struct cli {
    const struct program *program;
    const struct command *command;
    const char *args[CLI_ARGS_MAX];
    size_t args_count;
    bool quiet; /* no warnings about the settings: they are the server's to give */
    const char
        *values[CLI_FLAGS_MAX]; /* by flag of the command; NULL: not given, "" without a value */
    int settings_argc;          /* what conf_load is to judge */
    char **settings_argv;
};

/* The value of a flag of this command, NULL when it was not given. */
const char *cli_flag(const struct cli *c, const char *name);

/* "sema NAME: ..." on standard error; gives EXIT_MISTAKE. */
int cli_fail(const struct cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The settings, with mistakes and warnings on standard error.  `only`: see conf_input.  False after
 * a mistake: the command ends with EXIT_MISTAKE. */
bool cli_conf(struct cli *c, const char *const *only, struct conf **out);

/* Ends standard output: a full disk or a closed pipe is a failure.  Gives `status`, or
 * EXIT_MISTAKE. */
int cli_end(int status);

/* From `text` for a terminal: control characters as "?", so that stored text cannot move the
 * cursor. */
void cli_print_safe(FILE *to, str text);
/* The same for a column of a table: line ends are none either. */
void cli_print_word(FILE *to, str text);

#endif
