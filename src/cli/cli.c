/* Takes the command line apart: which command, its own flags, its arguments, settings. */
#include "cli/cli.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/command.h"
#include "conf/conf.h"

const char *cli_flag(const struct cli *c, const char *name)
{
    for (size_t i = 0; i < c->command->flags_count; i++)
        if (strcmp(c->command->flags[i].name, name) == 0) return c->values[i];
    return NULL;
}

int cli_fail(const struct cli *c, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "sema %s: ", c->command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_MISTAKE;
}

static int cpus_here(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

bool cli_conf(struct cli *c, const char *const *only, struct conf **out)
{
    char cwd[4096];
    struct conf_input in = {.argc = c->settings_argc,
                            .argv = c->settings_argv,
                            .environ = environ,
                            .warnings = c->quiet ? NULL : stderr,
                            .cpus = cpus_here(),
                            .only = only};

    in.cwd = getcwd(cwd, sizeof cwd) ? cwd : NULL;
    enum err e = conf_load(out, &in, stderr);
    if (e == ERR_MEMORY) cli_fail(c, "%s", err_text(NULL, e));
    return e == ERR_NONE;
}

int cli_end(int status)
{
    bool bad = ferror(stdout) != 0;

    if (fflush(stdout) != 0 || bad) {
        fprintf(stderr, "sema: cannot write the output: %s\n", strerror(errno));
        return status == EXIT_FINE ? EXIT_MISTAKE : status;
    }
    return status;
}

void cli_print_safe(FILE *to, str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        fputc((byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f ? '?' : byte, to);
    }
}

void cli_print_word(FILE *to, str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        fputc(byte < ' ' || byte == 0x7f ? '?' : byte, to);
    }
}

/* ---- the words ---- */

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static bool is_version(const char *arg)
{
    return strcmp(arg, "--version") == 0 || strcmp(arg, "-V") == 0;
}

static int print_version(const struct program *p)
{
    printf("sema %s\n", p->version);
    return cli_end(EXIT_FINE);
}

/* A flag of the command itself: takes it and its value.  False when it is none of them. */
static bool take_own(struct cli *c, int argc, char **argv, int *i, bool *wrong)
{
    str arg = str_of(argv[*i] + 2);
    size_t equals = str_find_char(arg, '=');
    str name = str_head(arg, equals);

    for (size_t k = 0; k < c->command->flags_count; k++) {
        const struct cli_flag *f = &c->command->flags[k];
        if (!str_eq(name, str_of(f->name))) continue;
        if (f->value == NULL) {
            *wrong = equals != STR_NPOS;
            if (*wrong) cli_fail(c, "--%s takes no value", f->name);
            c->values[k] = "";
        } else if (equals != STR_NPOS) {
            c->values[k] = arg.at + equals + 1;
        } else if (*i + 1 < argc) {
            c->values[k] = argv[++*i];
        } else {
            cli_fail(c, "--%s needs a value: --%s %s", f->name, f->name, f->value);
            *wrong = true;
        }
        return true;
    }
    return false;
}

static bool take_args(struct cli *c, int argc, char **argv)
{
    bool wrong = false, only_args = false;

    for (int i = 0; i < argc; i++) {
        bool flag = !only_args && argv[i][0] == '-' && argv[i][1] != '\0';
        if (flag && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (flag && argv[i][1] == '-' && take_own(c, argc, argv, &i, &wrong)) {
            if (wrong) return false;
        } else if (flag && argv[i][1] == '-' && c->command->settings) {
            /* With its value: what is not a flag may be one.  conf_load judges. */
            c->settings_argv[c->settings_argc++] = argv[i];
            if (!strchr(argv[i], '=') && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
                c->settings_argv[c->settings_argc++] = argv[++i];
        } else if (flag) {
            str name = str_head(str_of(argv[i]), str_find_char(str_of(argv[i]), '='));
            cli_fail(c, "unknown flag %.*s; see sema %s --help", STR_ARG(name), c->command->name);
            return false;
        } else if (c->args_count == c->command->args_max || c->args_count == CLI_ARGS_MAX) {
            cli_fail(c, "unexpected argument \"%s\"; see sema %s --help", argv[i],
                     c->command->name);
            return false;
        } else {
            c->args[c->args_count++] = argv[i];
        }
    }
    return true;
}

static int unknown_command(const char *name)
{
    if (name[0] == '-')
        fprintf(stderr, "sema: flags come after the command: sema serve %s; see sema --help\n",
                name);
    else
        fprintf(stderr, "sema: unknown command \"%s\"; see sema --help\n", name);
    return EXIT_MISTAKE;
}

int cli_run(const struct program *p, int argc, char **argv)
{
    struct cli c = {.program = p};

    if (argc < 2 || is_help(argv[1])) {
        commands_help(stdout, NULL);
        return cli_end(EXIT_FINE);
    }
    if (is_version(argv[1])) return print_version(p);
    c.command = commands_find(argv[1]);
    if (c.command == NULL) return unknown_command(argv[1]);
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) break;
        if (is_help(argv[i])) {
            commands_help(stdout, c.command);
            return cli_end(EXIT_FINE);
        }
        if (is_version(argv[i])) return print_version(p);
    }
    c.settings_argv = calloc((size_t)argc, sizeof *c.settings_argv);
    if (c.settings_argv == NULL) return cli_fail(&c, "%s", err_text(NULL, ERR_MEMORY));
    int status = take_args(&c, argc - 2, argv + 2) ? c.command->run(&c) : EXIT_MISTAKE;
    free(c.settings_argv);
    return status;
}
