/* The table of commands, and the help that is made from it. */
#include "cli/command.h"
#include "conf/conf.h"

extern const struct command command_serve, command_chat, command_sessions, command_config,
    command_tokenize, command_detokenize, command_template, command_logits, command_generate,
    command_sample_probs, command_inspect, command_pull, command_models, command_rm, command_help,
    command_version;

/* clang-format off */
const struct command *const commands[] = {
    &command_serve,
    &command_chat,
    &command_sessions,
    &command_config,
    &command_pull,
    &command_models,
    &command_rm,
    &command_inspect,
    &command_tokenize,
    &command_detokenize,
    &command_template,
    &command_logits,
    &command_generate,
    &command_sample_probs,
    &command_help,
    &command_version,
    NULL,
};
/* clang-format on */

const struct command *commands_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static void print_flag(FILE *to, const char *name, const char *value, const char *text)
{
    int n = fprintf(to, "  --%s%s%s", name, value ? " " : "", value ? value : "");

    fprintf(to, "%*s%s\n", n < 24 ? 24 - n : 2, "", text);
}

static void help_of_program(FILE *to)
{
    fputs("Sema answers chat requests over HTTP, from a model on this machine or from a provider.\n"
          "\n"
          "usage: sema COMMAND [FLAGS]\n"
          "\n",
          to);
    for (size_t i = 0; commands[i]; i++)
        fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->text);
    fputs("\n"
          "First steps: `sema serve` answers on http://localhost:7860 without key or download, "
          "`sema chat`\n"
          "talks to the same model here.  `sema COMMAND --help` tells more.\n",
          to);
}

void commands_help(FILE *to, const struct command *c)
{
    if (c == NULL) {
        help_of_program(to);
        return;
    }
    fprintf(to, "usage: sema %s%s%s [FLAGS]\n\n%s\n", c->name, c->args[0] ? " " : "", c->args,
            c->text);
    if (c->more) fprintf(to, "\n%s", c->more);
    fputc('\n', to);
    for (size_t i = 0; i < c->flags_count; i++)
        print_flag(to, c->flags[i].name, c->flags[i].value, c->flags[i].text);
    print_flag(to, "help", NULL, "this text");
    print_flag(to, "version", NULL, "the program's version");
    if (c->settings_all)
        conf_help(to);
    else if (c->settings)
        fputs("\nEvery setting is a flag as well, as in `sema serve --help`; secrets come from the "
              "environment\n"
              "or .env.\n",
              to);
}
