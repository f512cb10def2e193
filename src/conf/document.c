/* The table as text: the flags of --help, docs/guide/settings.md, .env.example, the manual page. */
#include "base/buf.h"
#include "conf/settings.h"

enum { HELP_COLUMNS = 96, DOCUMENT_BYTES_MAX = 1 << 20 };

/* Words of `s`, each line at most `columns` wide, the lines after the first behind `indent`. */
static void add_wrapped(struct buf *to, str s, size_t column, size_t columns, const char *indent)
{
    bool first = true;

    for (str word; str_split(&s, ' ', &word); first = false) {
        if (!first && column + 1 + word.len > columns) {
            buf_addf(to, "\n%s", indent);
            column = strlen(indent);
        } else if (!first) {
            buf_add_char(to, ' ');
            column++;
        }
        buf_add(to, word);
        column += word.len;
    }
}

/* "The sentence. 1..65535, default 7860, in seconds." */
static void add_facts(struct buf *to, const struct setting *r)
{
    size_t begin = to->len;

    settings_range(to, r);
    if (to->len > begin && r->unit && r->type != SETTING_SECRET) buf_addf(to, " %s", r->unit);
    if (to->len == begin && r->unit) buf_add(to, str_of(r->unit));
    if (r->otherwise || r->fallback)
        buf_addf(to, "%sdefault: %s", to->len > begin ? "; " : "", settings_default(r));
}

static void help_of(struct buf *to, const struct setting *r)
{
    char name[SETTING_NAME_BYTES_MAX];
    struct buf words;
    static const char indent[] = "                                ";
    size_t before = to->len;

    settings_flag(name, r->name);
    buf_addf(to, "  --%s %s", r->flag ? r->flag : name, settings_type(r));
    size_t width = to->len - before, column = sizeof indent - 1;
    if (width + 2 > column)
        buf_addf(to, "\n%s", indent);
    else
        buf_addf(to, "%*s", (int)(column - width), "");
    buf_init(&words, 4096);
    buf_add(&words, str_of(r->text));
    buf_add(&words, STR(" ["));
    size_t facts = words.len;
    add_facts(&words, r);
    if (words.len == facts)
        words.len -= 2;
    else
        buf_add_char(&words, ']');
    add_wrapped(to, buf_str(&words), column, HELP_COLUMNS, indent);
    buf_fini(&words);
    buf_add_char(to, '\n');
}

void conf_help(FILE *to)
{
    struct buf text;

    buf_init(&text, DOCUMENT_BYTES_MAX);
    for (size_t i = 0; i < settings_count; i++) {
        if (settings[i].name == NULL)
            buf_addf(&text, "\n%s:\n", settings[i].text);
        else if (settings_is_flag(&settings[i]))
            help_of(&text, &settings[i]);
    }
    buf_add(&text,
            STR("\nSecrets, which are no flags because lists of processes would show them:\n  "));
    size_t column = 2;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name == NULL || settings_is_flag(r)) continue;
        if (column + strlen(r->name) + 1 > HELP_COLUMNS) {
            buf_add(&text, STR("\n  "));
            column = 2;
        }
        buf_addf(&text, "%s ", r->name);
        column += strlen(r->name) + 1;
    }
    buf_add_char(&text, '\n');
    fwrite(text.at, 1, text.len, to);
    buf_fini(&text);
}

void conf_flags(conf_flag_fn *each, void *ctx)
{
    static const char *const bools[] = {"true", "false", NULL};

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        char name[SETTING_NAME_BYTES_MAX];
        if (!settings_is_flag(r)) continue;
        settings_flag(name, r->name);
        each(ctx, &(struct conf_flag){.name = r->flag ? r->flag : name,
                                      .text = r->text,
                                      .words = r->type == SETTING_BACKEND ? settings_backends
                                               : r->type == SETTING_BOOL  ? bools
                                                                          : r->words,
                                      .path = r->type == SETTING_PATH});
    }
}

/* ---- documents ---- */

static void markdown(struct buf *to)
{
    buf_add(
        to,
        STR("# Settings\n\n"
            "<!-- Made by `sema config --document markdown` from the table in src/conf/settings.c. "
            "-->\n\n"
            "Each is an environment variable, a line of `.env`, or a flag of `sema serve` (its "
            "name in lower case with dashes:\n"
            "`--model-type google`). Flags come first, then the environment, then `.env`, then "
            "the default. Secrets are no flags.\n"
            "`sema config` prints what is in effect and where it came from.\n"));
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name == NULL) {
            buf_addf(
                to,
                "\n## %s\n\n| Name | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n",
                r->text);
            continue;
        }
        buf_addf(to, "| %s | %s | ", r->name, settings_type(r));
        if (r->otherwise)
            buf_add(to, str_of(r->otherwise));
        else if (r->fallback)
            buf_addf(to, "`%s`", r->fallback);
        buf_add(to, STR(" | "));
        settings_range(to, r);
        if (r->unit && r->type != SETTING_SECRET) buf_addf(to, " (%s)", r->unit);
        buf_addf(to, " | %s |\n", r->text);
    }
}

static void env_file(struct buf *to)
{
    buf_add(
        to,
        STR("# Settings of Sema.  Copy this file to .env and take the # off the lines you need;\n"
            "# chmod 600 .env when it holds a key.  Made by `sema config --document env`.\n"));
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name == NULL) {
            buf_addf(to, "\n# ---- %s ----\n", r->text);
            continue;
        }
        if (strcmp(r->name, "SEMA_ENV_FILE") == 0) continue; /* a file does not name itself */
        buf_add(to, STR("\n# "));
        add_wrapped(to, str_of(r->text), 2, HELP_COLUMNS, "# ");
        struct buf facts;
        buf_init(&facts, 4096);
        add_facts(&facts, r);
        if (facts.len) {
            buf_add(to, STR("\n# "));
            add_wrapped(to, buf_str(&facts), 2, HELP_COLUMNS, "# ");
        }
        buf_fini(&facts);
        buf_addf(to, "\n#%s=%s\n", r->name, r->fallback ? r->fallback : "");
    }
}

/* mdoc(7)'s older sister man(7), which every reader shows. */
static void man(struct buf *to)
{
    buf_add(to, STR(".TH SEMA.ENV 5 2026-11-26\n.SH NAME\nsema.env \\- settings of sema(1)\n.SH "
                    "DESCRIPTION\n"
                    "Each setting is an environment variable, a line of\n.I .env\nin the working "
                    "directory, or a flag of\n.B sema serve\n(its name in lower case with dashes). "
                    "Flags come first, then the environment, then the file, then the default. "
                    "Secrets are no flags.\n"));
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name == NULL) {
            buf_addf(to, ".SH %s\n", r->text);
            continue;
        }
        buf_addf(to, ".TP\n.B %s\n%s\n", r->name, r->text);
        struct buf facts;
        buf_init(&facts, 4096);
        add_facts(&facts, r);
        /* A dot at the start of a line would be a request. */
        if (facts.len) buf_addf(to, ".br\n\\&%.*s\n", STR_ARG(buf_str(&facts)));
        buf_fini(&facts);
    }
}

bool conf_document(FILE *to, const char *format)
{
    static const struct {
        const char *name;
        void (*make)(struct buf *to);
    } formats[] = {{"markdown", markdown}, {"env", env_file}, {"man", man}};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(format, formats[i].name) != 0) continue;
        struct buf text;
        buf_init(&text, DOCUMENT_BYTES_MAX);
        formats[i].make(&text);
        fwrite(text.at, 1, text.len, to);
        buf_fini(&text);
        return true;
    }
    return false;
}
