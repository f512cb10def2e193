/* sema help [COMMAND] */
#include "cli/command.h"

static int run(struct cli *c)
{
    const struct command *of = NULL;

    if (cli_flag(c, "man")) {
        commands_manual(stdout);
        return cli_end(EXIT_FINE);
    }
    if (c->args_count) {
        of = commands_find(c->args[0]);
        if (of == NULL) return cli_fail(c, "no command \"%s\"; see sema --help", c->args[0]);
    }
    commands_help(stdout, of);
    return cli_end(EXIT_FINE);
}

static const struct cli_flag flags[] = {
    {"man", NULL, "the manual page of all commands"},
};

const struct command command_help = {
    .name = "help",
    .args = "[COMMAND]",
    .text = "tell about a command",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = 1,
    .run = run,
};
