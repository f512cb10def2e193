/* sema help [COMMAND] */
#include "cli/command.h"
#include "cli/completion.h"

static int run(struct cli *c)
{
    const struct command *of = NULL;
    const char *shell = cli_flag(c, "completion");

    if (cli_flag(c, "man")) {
        commands_manual(stdout);
        return cli_end(EXIT_FINE);
    }
    if (shell) {
        if (completion_print(stdout, shell)) return cli_end(EXIT_FINE);
        return cli_fail(c, "no completions for \"%s\"; one of bash, zsh, fish", shell);
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
    {"completion", "bash|zsh|fish", "what completes this command line in that shell"},
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
