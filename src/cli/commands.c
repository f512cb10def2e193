/* The table of commands, and the help that is made from it. */
#include "cli/command.h"
#include "conf/conf.h"

extern const struct command command_serve, command_chat, command_sessions, command_config,
    command_tokenize, command_detokenize, command_template, command_logits, command_generate,
    command_sample_probs, command_inspect, command_pull, command_models, command_rm, command_check,
    command_test_backends, command_help, command_version;

/* clang-format off */
const struct command *const commands[] = {
    &command_serve,
    &command_chat,
    &command_sessions,
    &command_config,
    &command_check,
    &command_test_backends,
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
        fprintf(to, "  %-13s %s\n", commands[i]->name, commands[i]->text);
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

/* ---- sema(1), in the words of the table ---- */

static void man_text(FILE *to, const char *text)
{
    /* A dot or quote at the start of a line would be a request, a backslash an escape. */
    bool start = true;

    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\'')) fputs("\\&", to);
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
        start = *text == '\n';
    }
}

static void man_command(FILE *to, const struct command *c)
{
    fprintf(to, ".SS sema %s%s", c->name, c->args[0] ? " " : "");
    man_text(to, c->args);
    fputc('\n', to);
    man_text(to, c->text);
    fputs(".\n", to);
    if (c->more) {
        fputs(".PP\n.nf\n", to);
        man_text(to, c->more);
        fputs(".fi\n", to);
    }
    for (size_t i = 0; i < c->flags_count; i++) {
        fputs(".TP\n.B \\-\\-", to);
        man_text(to, c->flags[i].name);
        if (c->flags[i].value) fprintf(to, " \\fI%s\\fR", c->flags[i].value);
        fputc('\n', to);
        man_text(to, c->flags[i].text);
        fputc('\n', to);
    }
}

void commands_manual(FILE *to)
{
    fputs(".TH SEMA 1 2026-11-26\n.SH NAME\nsema \\- a chat API in front of every model\n.SH "
          "SYNOPSIS\n.B sema\n"
          ".I COMMAND\n[\n.I FLAGS\n]\n.SH DESCRIPTION\nSema answers chat requests over HTTP, "
          "server-sent "
          "events and WebSocket, from a model on this machine or from a provider, and keeps "
          "conversations.\n.SH COMMANDS\n",
          to);
    for (size_t i = 0; commands[i]; i++) man_command(to, commands[i]);
    fputs(".SH SETTINGS\nEnvironment variables, lines of\n.I .env\nin the working directory, and "
          "flags of\n",
          to);
    const char *between = "";
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->settings) continue;
        fputs(between, to);
        man_text(to, commands[i]->name);
        between = ",\n";
    }
    fputs(":\nMODEL_TYPE is \\-\\-model\\-type there. Secrets are no flags. sema.env(5) has them "
          "all.\n"
          ".SH EXIT STATUS\n0 after success, 1 after a mistake in arguments or settings, 3 when "
          "the start of a "
          "server failed.\n.SH SEE ALSO\n.BR sema.env (5)\n",
          to);
}
