/* Three dialects of one thing: the commands; the words that may follow one; its flags; what a
 * flag's value may be.  Nothing here knows a command or a setting by name. */
#include "cli/completion.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "cli/command.h"
#include "conf/conf.h"

/* A value is one of a few words, a file, or anything. */
enum value { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_ANY };

struct flag {
    const char *name;
    str text; /* one sentence */
    enum value value;
    const char *const *list; /* of words: this or */
    str bars;                /* "a|b" */
};

static str sentence(const char *text)
{
    const char *end = strstr(text, ". ");
    str s = end ? str_span(text, (size_t)(end - text)) : str_of(text);

    return s.len && s.at[s.len - 1] == '.' ? str_head(s, s.len - 1) : s;
}

static struct flag of_command(const struct cli_flag *f)
{
    struct flag out = {.name = f->name, .text = sentence(f->text), .value = VALUE_ANY};

    if (f->value == NULL) {
        out.value = VALUE_NONE;
    } else if (strchr(f->value, '|')) {
        out.value = VALUE_WORDS;
        out.bars = str_of(f->value);
    } else if (strcmp(f->value, "FILE") == 0 || strcmp(f->value, "DIR") == 0 ||
               strcmp(f->value, "MODEL") == 0) {
        out.value = VALUE_FILE;
    }
    return out;
}

static struct flag of_setting(const struct conf_flag *f)
{
    return (struct flag){.name = f->name,
                         .text = sentence(f->text),
                         .value = f->words  ? VALUE_WORDS
                                  : f->path ? VALUE_FILE
                                            : VALUE_ANY,
                         .list = f->words};
}

/* With blanks between.  "cuda:N" stands for many and is none of them. */
static void put_words(FILE *to, const struct flag *f)
{
    str rest = f->bars, word;
    const char *between = "";

    for (size_t i = 0; f->list && f->list[i]; i++) {
        if (strchr(f->list[i], ':')) continue;
        fprintf(to, "%s%s", between, f->list[i]);
        between = " ";
    }
    while (rest.len && str_split(&rest, '|', &word)) {
        fprintf(to, "%s%.*s", between, STR_ARG(word));
        between = " ";
    }
}

/* Between single quotes; `escaped`: characters that also get a backslash. */
static void put_quoted(FILE *to, str s, const char *quote, const char *escaped)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\'')
            fputs(quote, to);
        else if (strchr(escaped, s.at[i]))
            fprintf(to, "\\%c", s.at[i]);
        else
            fputc(s.at[i], to);
    }
}

/* The first words of a command that its usage names, "[list | show ID...]": gives one at a time. */
static bool next_word(const char **usage, str *out)
{
    const char *at = *usage;

    while (*at == ' ' || *at == '[' || *at == '|') at++;
    const char *end = at;
    while (islower((unsigned char)*end)) end++;
    const char *bar = strchr(end, '|');
    *usage = bar ? bar : end + strlen(end);
    *out = str_span(at, (size_t)(end - at));
    return end > at;
}

static bool names_commands(const struct command *c)
{
    return strcmp(c->args, "[COMMAND]") == 0;
}

static bool takes_files(const struct command *c)
{
    return strstr(c->args, "FILE_OR_DIR") != NULL;
}

static void put_commands(FILE *to)
{
    for (size_t i = 0; commands[i]; i++) fprintf(to, "%s%s", i ? " " : "", commands[i]->name);
}

/* ---- bash ---- */

/* A case of "command flag", the word before the cursor: what may stand at the cursor. */
static void bash_value(FILE *to, const char *command, const struct flag *f)
{
    fprintf(to, "        %s' --%s') ", command, f->name);
    if (f->value == VALUE_WORDS) {
        fputs("words='", to);
        put_words(to, f);
        fputs("' ;;\n", to);
    } else {
        fprintf(to, "%s;;\n", f->value == VALUE_FILE ? "files=yes " : "");
    }
}

static void bash_setting(void *to, const struct conf_flag *s)
{
    struct flag f = of_setting(s);

    if (f.value == VALUE_WORDS || f.value == VALUE_FILE) bash_value(to, "*", &f);
}

static void bash_name(void *to, const struct conf_flag *s)
{
    fprintf(to, " --%s", s->name);
}

static void bash_command(FILE *to, const struct command *c)
{
    const char *usage = c->args;
    str word;

    fprintf(to, "                %s) words='", c->name);
    while (next_word(&usage, &word)) fprintf(to, "%.*s ", STR_ARG(word));
    if (names_commands(c)) put_commands(to);
    fputs("'\n                    flags='--help --version", to);
    for (size_t i = 0; i < c->flags_count; i++) fprintf(to, " --%s", c->flags[i].name);
    fprintf(to, "'%s%s ;;\n", c->settings ? "$settings" : "", takes_files(c) ? " files=yes" : "");
}

static void bash(FILE *to)
{
    fputs("# bash completion of sema(1), made by `sema help --completion bash`.\n"
          "_sema() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local command=${COMP_WORDS[1]} words= flags= files= settings='",
          to);
    conf_flags(bash_name, to);
    fputs("'\n"
          "    COMPREPLY=()\n"
          "    # --flag=value comes as three words.\n"
          "    if [ \"$current\" = = ]; then\n"
          "        current=\n"
          "    elif [ \"$before\" = = ]; then\n"
          "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    [ \"$COMP_CWORD\" -gt 1 ] || command= before=\n"
          "    case \"$command $before\" in\n",
          to);
    for (size_t i = 0; commands[i]; i++)
        for (size_t k = 0; k < commands[i]->flags_count; k++) {
            struct flag f = of_command(&commands[i]->flags[k]);
            if (f.value != VALUE_NONE) bash_value(to, commands[i]->name, &f);
        }
    for (size_t i = 0; commands[i]; i++)
        for (size_t k = 0; k < commands[i]->flags_count; k++)
            if (commands[i]->flags[k].value == NULL)
                fprintf(to, "        %s' --%s') before= ;;\n", commands[i]->name,
                        commands[i]->flags[k].name);
    conf_flags(bash_setting, to);
    fputs("    esac\n"
          "    case $before in\n"
          "        --*) ;; # its value, which is anything where nothing is known\n"
          "        *)\n"
          "            case $command in\n"
          "                '') words='",
          to);
    put_commands(to);
    fputs(" --help --version' ;;\n", to);
    for (size_t i = 0; commands[i]; i++) bash_command(to, commands[i]);
    fputs("            esac\n"
          "            case $current in\n"
          "                -*) words=$flags files= ;;\n"
          "                *) [ -n \"$words$files\" ] || words=$flags ;;\n"
          "            esac\n"
          "            ;;\n"
          "    esac\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "    if [ -n \"$files\" ]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        COMPREPLY+=($(compgen -f -- \"$current\"))\n"
          "    fi\n"
          "}\n"
          "complete -F _sema sema\n",
          to);
}

/* ---- zsh ---- */

/* One specification of _arguments: '--flag=[text]:value:action'. */
static void zsh_flag(FILE *to, const struct flag *f)
{
    fprintf(to, "'--%s%s[", f->name, f->value == VALUE_NONE ? "" : "=");
    put_quoted(to, f->text, "'\\''", "[]:\\");
    fputs("]", to);
    if (f->value == VALUE_WORDS) {
        fputs(":value:(", to);
        put_words(to, f);
        fputc(')', to);
    } else if (f->value != VALUE_NONE) {
        fputs(f->value == VALUE_FILE ? ":file:_files" : ":value: ", to);
    }
    fputs("'\n", to);
}

static void zsh_setting(void *to, const struct conf_flag *s)
{
    struct flag f = of_setting(s);

    fputs("        ", to);
    zsh_flag(to, &f);
}

static void zsh_command(FILE *to, const struct command *c)
{
    const char *usage = c->args;
    bool first = true;

    fprintf(to, "                %s)\n                    flags+=(\n", c->name);
    for (size_t i = 0; i < c->flags_count; i++) {
        struct flag f = of_command(&c->flags[i]);
        fputs("                        ", to);
        zsh_flag(to, &f);
    }
    if (names_commands(c)) fputs("                        '1:command:_sema_commands'\n", to);
    if (takes_files(c)) fputs("                        '*:file:_files'\n", to);
    for (str word; next_word(&usage, &word); first = false)
        fprintf(to, "%s%.*s", first ? "                        '1:what:(" : " ", STR_ARG(word));
    fprintf(to, "%s                    )\n", first ? "" : ")'\n");
    fprintf(to, "%s                    ;;\n",
            c->settings ? "                    flags+=($settings)\n" : "");
}

static void zsh(FILE *to)
{
    fputs("#compdef sema\n"
          "# zsh completion of sema(1), made by `sema help --completion zsh`.\n"
          "_sema_commands() {\n"
          "    local -a commands=(\n",
          to);
    for (size_t i = 0; commands[i]; i++) {
        fprintf(to, "        '%s:", commands[i]->name);
        put_quoted(to, str_of(commands[i]->text), "'\\''", ":\\");
        fputs("'\n", to);
    }
    fputs("    )\n"
          "    _describe command commands\n"
          "}\n"
          "_sema() {\n"
          "    local curcontext=$curcontext state line\n"
          "    typeset -A opt_args\n"
          "    local -a flags=('--help[what it does]' '--version[the version of the program]')\n"
          "    local -a settings=(\n",
          to);
    conf_flags(zsh_setting, to);
    fputs("    )\n"
          "    _arguments -C $flags '1:command:_sema_commands' '*::argument:->arguments'\n"
          "    case $state in\n"
          "        arguments)\n"
          "            case $words[1] in\n",
          to);
    for (size_t i = 0; commands[i]; i++) zsh_command(to, commands[i]);
    fputs("            esac\n"
          "            _arguments $flags\n"
          "            ;;\n"
          "    esac\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _sema ]; then\n"
          "    _sema \"$@\"\n"
          "else\n"
          "    compdef _sema sema\n"
          "fi\n",
          to);
}

/* ---- fish ---- */

static void fish_flag(FILE *to, const char *when, const struct flag *f)
{
    fprintf(to, "complete -c sema -n '%s' -l %s", when, f->name);
    if (f->value == VALUE_WORDS) {
        fputs(" -x -a '", to);
        put_words(to, f);
        fputc('\'', to);
    } else if (f->value != VALUE_NONE) {
        fputs(f->value == VALUE_FILE ? " -r -F" : " -x", to);
    }
    fputs(" -d '", to);
    put_quoted(to, f->text, "\\'", "\\");
    fputs("'\n", to);
}

static void fish_setting(void *to, const struct conf_flag *s)
{
    struct flag f = of_setting(s);

    fish_flag(to, "__sema_takes_settings", &f);
}

static void fish_command(FILE *to, const struct command *c)
{
    const char *usage = c->args;
    char when[96];
    str word;

    fputs("complete -c sema -n __sema_no_command -a ", to);
    fprintf(to, "%s -d '", c->name);
    put_quoted(to, str_of(c->text), "\\'", "\\");
    fputs("'\n", to);
    snprintf(when, sizeof when, "__sema_command %s", c->name);
    for (size_t i = 0; i < c->flags_count; i++) {
        struct flag f = of_command(&c->flags[i]);
        fish_flag(to, when, &f);
    }
    while (next_word(&usage, &word))
        fprintf(to, "complete -c sema -n '%s' -a %.*s\n", when, STR_ARG(word));
    if (takes_files(c)) fprintf(to, "complete -c sema -n '%s' -F\n", when);
    if (names_commands(c)) {
        fprintf(to, "complete -c sema -n '%s' -a '", when);
        put_commands(to);
        fputs("'\n", to);
    }
}

static void fish(FILE *to)
{
    fputs("# fish completion of sema(1), made by `sema help --completion fish`.\n"
          "function __sema_no_command\n"
          "    test (count (commandline -opc)) -eq 1\n"
          "end\n"
          "function __sema_command\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -gt 1; and contains -- $words[2] $argv\n"
          "end\n"
          "function __sema_takes_settings\n"
          "    __sema_command",
          to);
    for (size_t i = 0; commands[i]; i++)
        if (commands[i]->settings) fprintf(to, " %s", commands[i]->name);
    fputs("\n"
          "end\n"
          "complete -c sema -f\n"
          "complete -c sema -l help -d 'what it does'\n"
          "complete -c sema -l version -d 'the version of the program'\n",
          to);
    for (size_t i = 0; commands[i]; i++) fish_command(to, commands[i]);
    conf_flags(fish_setting, to);
}

bool completion_print(FILE *to, const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(FILE *to);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shell, shells[i].name) != 0) continue;
        shells[i].print(to);
        return true;
    }
    return false;
}
