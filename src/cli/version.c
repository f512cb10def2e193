#include "cli/command.h"

static int run(struct cli *c)
{
    printf("sema %s\n", c->program->version);
    return cli_end(EXIT_FINE);
}

const struct command command_version = {
    .name = "version",
    .args = "",
    .text = "the program's version",
    .run = run,
};
