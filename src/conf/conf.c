/* Where values come from: flags, then the environment, then .env; the first that gives one wins. */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/dotenv.h"
#include "conf/limits.h"
#include "conf/state.h"
#include "conf/values.h"

/* ---- what the steps share ---- */

void conf_mistake(struct conf *c, const char *name, const char *format, ...)
{
    struct conf_state *s = c->state;
    int row = settings_find(str_of(name));
    va_list args;

    if (row >= 0) {
        if (s->of[row].bad) return; /* one line a setting: the first is the cause */
        s->of[row].bad = true;
    }
    for (const char *const *n = row >= 0 ? s->only : NULL; n; n++) {
        if (*n == NULL) return;
        if (strcmp(*n, name) == 0) break;
    }
    s->mistakes_count++;
    if (s->mistakes == NULL) return;
    fprintf(s->mistakes, "config: %s: ", name);
    va_start(args, format);
    vfprintf(s->mistakes, format, args);
    va_end(args);
    fputc('\n', s->mistakes);
}

void conf_warning(struct conf *c, const char *format, ...)
{
    va_list args;

    if (c->state->warnings == NULL) return;
    fputs("warning: ", c->state->warnings);
    va_start(args, format);
    vfprintf(c->state->warnings, format, args);
    va_end(args);
    fputc('\n', c->state->warnings);
}

const char *conf_env(const struct conf *c, const char *name)
{
    size_t len = strlen(name);

    for (char *const *e = c->state->environ; e && *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return (*e)[len + 1] ? *e + len + 1 : NULL;
    return NULL;
}

struct conf_source *conf_source(const struct conf *c, const char *name)
{
    return &c->state->of[settings_find(str_of(name))];
}

const char *conf_keep(struct conf *c, str s)
{
    str kept = arena_str(&c->state->arena, s);

    if (kept.at == NULL) c->state->no_memory = true;
    return kept.at ? kept.at : "";
}

const char *conf_keepf(struct conf *c, const char *format, ...)
{
    char text[4352]; /* a path of PATH_MAX and what is put around it */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return conf_keep(c, str_of(text));
}

const char *conf_quote(struct conf *c, str s)
{
    enum { SHOWN_BYTES_MAX = 100 };
    str masked = values_mask(s, &c->state->arena);
    struct buf out;

    buf_init(&out, 2 * SHOWN_BYTES_MAX);
    for (size_t i = 0; i < masked.len && i < SHOWN_BYTES_MAX; i++) {
        unsigned char byte = (unsigned char)masked.at[i];
        buf_add_char(&out, byte < ' ' || byte == 0x7f ? '?' : (char)byte);
    }
    if (masked.len > SHOWN_BYTES_MAX) buf_add(&out, STR("..."));
    const char *kept = conf_keep(c, buf_str(&out));
    buf_fini(&out);
    return kept;
}

const char *conf_path(struct conf *c, str s)
{
    const char *home = conf_env(c, "HOME");

    if (home && (str_starts(s, STR("~/")) || str_eq(s, STR("~"))))
        return conf_keepf(c, "%s%.*s", home, STR_ARG(str_tail(s, 1)));
    return conf_keep(c, s);
}

/* ---- flags ---- */

static bool is_flag(const char *arg)
{
    return arg && arg[0] == '-' && arg[1] == '-' && arg[2];
}

static int row_of_flag(str flag)
{
    char name[SETTING_NAME_BYTES_MAX];

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *r = &settings[i];
        if (r->name == NULL) continue;
        settings_flag(name, r->name);
        if (str_eq(flag, str_of(name)) || (r->flag && str_eq(flag, str_of(r->flag)))) return (int)i;
        if (r->other == NULL) continue;
        settings_flag(name, r->other);
        if (str_eq(flag, str_of(name))) return (int)i;
    }
    return -1;
}

static void unknown_flag(struct conf *c, str flag)
{
    const char *near = settings_near(flag);
    int row = near ? settings_find(str_of(near)) : -1;
    char name[SETTING_NAME_BYTES_MAX];

    if (row >= 0 && settings_is_flag(&settings[row])) {
        settings_flag(name, near);
        conf_mistake(c, conf_keepf(c, "--%s", conf_quote(c, flag)),
                     "unknown flag; did you mean --%s?", name);
    } else {
        conf_mistake(c, conf_keepf(c, "--%s", conf_quote(c, flag)), "unknown flag");
    }
}

static void read_flags(struct conf *c, int argc, char *const *argv)
{
    for (int i = 0; i < argc; i++) {
        if (!is_flag(argv[i])) {
            conf_mistake(c, conf_quote(c, str_of(argv[i])), "unexpected argument");
            continue;
        }
        str flag = str_of(argv[i] + 2);
        size_t equals = str_find_char(flag, '=');
        const char *value = equals == STR_NPOS ? NULL : flag.at + equals + 1;
        flag = str_head(flag, equals);
        /* An unknown flag's value goes with it: it may be a secret behind a misspelt name. */
        if (value == NULL && i + 1 < argc && !is_flag(argv[i + 1])) value = argv[++i];

        int row = row_of_flag(flag);
        if (row < 0) {
            unknown_flag(c, flag);
        } else if (!settings_is_flag(&settings[row])) {
            conf_mistake(
                c, settings[row].name,
                "not a flag, every list of processes would show it; set it in the environment "
                "or in .env");
        } else if (value == NULL) {
            conf_mistake(c, settings[row].name, "--%.*s needs a value", STR_ARG(flag));
        } else if (value[0] || settings[row].keeps_empty) {
            c->state->of[row] =
                (struct conf_source){.from = FROM_FLAG, .raw = conf_keep(c, str_of(value))};
        }
    }
}

/* ---- the environment ---- */

/* One candidate for each setting and each of its two names. */
struct found {
    const char *raw;
    str name;
    int rank; /* of its spelling */
    int line;
};
typedef struct found found_rows[SETTINGS_MAX][2];

static bool is_second_name(int row, str name)
{
    return !str_eq_nocase(name, str_of(settings[row].name));
}

static int spelling_rank(int row, str name)
{
    bool lower = false, upper = false;

    for (size_t i = 0; i < name.len; i++) {
        lower |= name.at[i] >= 'a' && name.at[i] <= 'z';
        upper |= name.at[i] >= 'A' && name.at[i] <= 'Z';
    }
    return lower && upper ? 1 : lower == settings[row].lower_wins ? 3 : 2;
}

static void read_environ(struct conf *c, char *const *env, found_rows found)
{
    for (char *const *e = env; e && *e; e++) {
        str name = str_of(*e);
        size_t equals = str_find_char(name, '=');
        if (equals == STR_NPOS) continue;
        const char *value = *e + equals + 1;
        name.len = equals;
        int row = settings_find(name);
        if (row < 0) continue;
        struct found *f = &found[row][is_second_name(row, name)];
        int rank = spelling_rank(row, name);
        if ((value[0] == '\0' && !settings[row].keeps_empty) || f->rank >= rank) continue;
        *f = (struct found){.raw = value, .name = name, .rank = rank};
    }
}

/* One pair of quotes around a value of the environment, as container runtimes hand it over. */
static bool in_quotes(str s)
{
    if (s.len < 2 || (s.at[0] != '"' && s.at[0] != '\'') || s.at[s.len - 1] != s.at[0])
        return false;
    return str_find_char(str_head(str_tail(s, 1), s.len - 2), s.at[0]) == STR_NPOS;
}

/* ---- the file ---- */

static void skipped(void *ctx, int line, const char *why)
{
    struct conf *c = ctx;

    conf_warning(c, "%s line %d: skipped: %s", c->state->env_path, line, why);
}

/* Names are exact here, and an empty variable is a defined one. */
static const char *env_of(void *ctx, str name)
{
    struct conf *c = ctx;

    for (char *const *e = c->state->environ; e && *e; e++)
        if (strlen(*e) > name.len && str_starts(str_of(*e), name) && (*e)[name.len] == '=')
            return *e + name.len + 1;
    return NULL;
}

/* The whole file, or an errno. */
static int read_whole(struct buf *out, const char *path, bool named, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (named ? 0 : O_NONBLOCK));
    int wrong = 0;

    if (fd < 0) return errno;
    if (fstat(fd, st) != 0) wrong = errno;
    if (!wrong && S_ISDIR(st->st_mode)) wrong = EISDIR;
    while (!wrong) {
        char *room = buf_room(out, 16384);
        if (room == NULL) {
            wrong = EFBIG;
            break;
        }
        ssize_t n = read(fd, room, 16384);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) wrong = errno;
        if (n <= 0) break;
        buf_grew(out, (size_t)n);
    }
    close(fd);
    return wrong;
}

static void warn_unknown(struct conf *c, const struct dotenv *lines, size_t at)
{
    const struct dotenv_line *l = &lines->at[at];

    for (size_t i = 0; i < at; i++) /* one warning a name */
        if (lines->at[i].value && str_eq(lines->at[i].key, l->key)) return;
    const char *near = settings_near(l->key);
    conf_warning(c, "%s line %d: unknown name \"%s\"%s%s%s", c->state->env_path, l->line,
                 conf_quote(c, l->key), near ? "; did you mean " : "", near ? near : "",
                 near ? "?" : "");
}

static void take_lines(struct conf *c, const struct dotenv *lines, found_rows found)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct dotenv_line *l = &lines->at[i];
        if (l->value == NULL) continue;
        int row = settings_find(l->key);
        if (row < 0) {
            warn_unknown(c, lines, i);
            continue;
        }
        found[row][is_second_name(row, l->key)] =
            (struct found){.raw = l->value, .name = l->key, .line = l->line};
    }
}

/* SEMA_ENV_FILE, which must exist when it is given, or .env where the program was started. */
static void read_file(struct conf *c, const char *given, found_rows found)
{
    struct conf_state *s = c->state;
    const char *path = given ? conf_path(c, str_of(given)) : ".env";
    const char *full =
        path[0] == '/' || s->cwd == NULL ? path : conf_keepf(c, "%s/%s", s->cwd, path);
    struct buf text;
    struct stat st;
    struct dotenv lines;

    buf_init(&text, ENV_FILE_BYTES_MAX);
    int wrong = read_whole(&text, full, given != NULL, &st);
    if (wrong) {
        if (given)
            conf_mistake(c, "SEMA_ENV_FILE", "cannot read \"%s\": %s", conf_quote(c, str_of(path)),
                         strerror(wrong));
        else if (wrong != ENOENT && wrong != EISDIR)
            conf_warning(c, "cannot read \"%s\": %s", path, strerror(wrong));
    } else {
        s->env_path = path;
        if (S_ISREG(st.st_mode) && (st.st_mode & S_IROTH))
            conf_warning(c, "%s can be read by other users of this machine; chmod 600 %s", path,
                         path);
        struct dotenv_events to = {.ctx = c, .env = env_of, .skipped = skipped};
        if (dotenv_parse(&lines, buf_str(&text), &s->arena, to))
            s->no_memory = true;
        else
            take_lines(c, &lines, found);
    }
    buf_fini(&text);
}

/* ---- the choice ---- */

static bool counts(const struct found *f, const struct setting *r)
{
    return f->raw && (f->raw[0] || r->keeps_empty);
}

static void choose(struct conf *c, size_t row, struct found env[2], struct found file[2])
{
    const struct setting *r = &settings[row];
    struct conf_source *source = &c->state->of[row];

    if (source->from == FROM_FLAG) return;
    for (int second = 0; second < 2; second++) {
        const struct found *f = NULL;
        enum conf_from from = FROM_ENVIRONMENT;
        if (counts(&env[second], r)) {
            f = &env[second];
        } else if (counts(&file[second], r)) {
            f = &file[second];
            from = FROM_FILE;
        }
        if (f == NULL) continue;
        bool bad = source->bad;
        *source = (struct conf_source){.from = from,
                                       .raw = conf_keep(c, str_of(f->raw)),
                                       .line = f->line,
                                       .bad = bad};
        if (second) source->name = conf_keep(c, f->name);
        return;
    }
}

static void unquote(struct conf *c, size_t row, struct found *f)
{
    if (f->raw == NULL || !in_quotes(str_of(f->raw))) return;
    conf_warning(c, "%.*s: took off the quotes around its value in the environment",
                 STR_ARG(f->name));
    f->raw = conf_keep(c, str_span(f->raw + 1, strlen(f->raw) - 2));
}

static enum err load(struct conf *c, const struct conf_input *in)
{
    /* Two names of 128 settings twice: some 20 kB, gone after the start. */
    found_rows *found = calloc(2, sizeof *found);
    struct conf_state *s = c->state;
    int env_file = settings_find(STR("SEMA_ENV_FILE"));

    if (found == NULL) return ERR_MEMORY;
    read_flags(c, in->argc, in->argv);
    read_environ(c, in->environ, found[0]);
    for (size_t i = 0; i < settings_count; i++)
        for (int second = 0; second < 2; second++) unquote(c, i, &found[0][i][second]);
    choose(c, (size_t)env_file, found[0][env_file], found[1][env_file]);
    if (!s->of[env_file].bad) read_file(c, s->of[env_file].raw, found[1]);
    memset(found[1][env_file], 0, sizeof found[1][env_file]); /* a file does not name itself */
    for (size_t i = 0; i < settings_count; i++)
        if (settings[i].name) choose(c, i, found[0][i], found[1][i]);
    free(found);

    take_values(c);
    settle_defaults(c);
    check_all(c);
    s->environ = NULL;
    s->mistakes = s->warnings = NULL;
    if (s->no_memory) return ERR_MEMORY;
    return s->mistakes_count ? ERR_INVALID : ERR_NONE;
}

enum err conf_load(struct conf **out, const struct conf_input *in, FILE *mistakes)
{
    struct conf *c = calloc(1, sizeof *c);
    struct conf_state *s = calloc(1, sizeof *s);

    if (c == NULL || s == NULL) {
        free(c);
        free(s);
        return ERR_MEMORY;
    }
    c->state = s;
    arena_init(&s->arena, 0);
    s->environ = in->environ;
    s->cwd = in->cwd;
    s->cpus = in->cpus;
    s->mistakes = mistakes;
    s->warnings = in->warnings;
    s->only = in->only;
    enum err e = load(c, in);
    if (e)
        conf_free(c);
    else
        *out = c;
    return e;
}

void conf_free(struct conf *c)
{
    if (c == NULL) return;
    arena_fini(&c->state->arena);
    free(c->state);
    free(c);
}

void conf_wipe_environ(char **env)
{
    for (char **e = env; e && *e; e++) {
        str name = str_of(*e);
        size_t equals = str_find_char(name, '=');
        if (equals == STR_NPOS) continue;
        int row = settings_find(str_head(name, equals));
        if (row >= 0 && settings[row].type == SETTING_SECRET)
            explicit_bzero(*e + equals + 1, name.len - equals - 1);
    }
}
