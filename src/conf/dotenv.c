#include "conf/dotenv.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "conf/limits.h"

struct reader {
    str rest;
    int line; /* of rest.at */
    struct arena *arena;
    struct dotenv_events to;
    struct dotenv *out;
    size_t cap;
    size_t value_bytes; /* of all values so far: `${...}` multiplies */
};

static bool is_blank(char c) /* white space within a line */
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static bool is_end(char c)
{
    return c == '\n' || c == '\r';
}

static char peek(const struct reader *r)
{
    return r->rest.len ? r->rest.at[0] : '\0';
}

static void skip_blanks(struct reader *r)
{
    while (r->rest.len && is_blank(r->rest.at[0])) r->rest = str_tail(r->rest, 1);
}

/* Line ends within the first n bytes: LF, CR, CR LF. */
static int line_ends(str s, size_t n)
{
    int ends = 0;

    for (size_t i = 0; i < n; i++)
        ends += s.at[i] == '\n' || (s.at[i] == '\r' && !(i + 1 < s.len && s.at[i + 1] == '\n'));
    return ends;
}

static void skip_rest_of_line(struct reader *r)
{
    size_t n = 0;

    while (n < r->rest.len && !is_end(r->rest.at[n])) n++;
    n += str_starts(str_tail(r->rest, n), STR("\r\n")) ? 2 : n < r->rest.len;
    r->line += line_ends(r->rest, n);
    r->rest = str_tail(r->rest, n);
}

/* ---- names ---- */

static const char *read_key(struct reader *r, str *key)
{
    size_t n = 0;

    if (peek(r) == '\'') {
        size_t end = str_find_char(str_tail(r->rest, 1), '\'');
        *key = str_head(str_tail(r->rest, 1), end);
        for (n = 0; n < key->len && !is_end(key->at[n]); n++) {
        }
        if (end == STR_NPOS || end == 0 || n < key->len) return "no name";
        r->rest = str_tail(r->rest, end + 2);
        return NULL;
    }
    while (n < r->rest.len && !is_blank(r->rest.at[n]) && !is_end(r->rest.at[n]) &&
           r->rest.at[n] != '=' && r->rest.at[n] != '#')
        n++;
    *key = str_head(r->rest, n);
    r->rest = str_tail(r->rest, n);
    return n ? NULL : "no name";
}

/* ---- values ---- */

/* The byte that `\c` stands for within `quote`, or 0. */
static char escaped(char quote, char c)
{
    static const char from[] = "\\'\"abfnrtv", into[] = "\\'\"\a\b\f\n\r\t\v";
    enum { IN_SINGLE = 2 }; /* \\ and \' alone */
    const char *hit = c ? strchr(from, c) : NULL;

    if (hit == NULL || (quote == '\'' && hit - from >= IN_SINGLE)) return '\0';
    return into[hit - from];
}

static const char *read_quoted(struct reader *r, struct buf *value)
{
    char quote = peek(r);
    str s = str_tail(r->rest, 1);
    size_t i = 0;

    while (i < s.len && s.at[i] != quote) {
        char c = s.at[i] == '\\' && i + 1 < s.len ? escaped(quote, s.at[i + 1]) : '\0';
        buf_add_char(value, c ? c : s.at[i]);
        i += c ? 2 : 1;
    }
    if (i == s.len) return "the quote is never closed";
    r->line += line_ends(s, i);
    r->rest = str_tail(s, i + 1);
    return NULL;
}

static void read_unquoted(struct reader *r, struct buf *value)
{
    size_t n = 0, end = 0;

    for (; n < r->rest.len && !is_end(r->rest.at[n]); n++) {
        if (r->rest.at[n] == '#' && n > 0 && is_blank(r->rest.at[n - 1])) break;
        if (!is_blank(r->rest.at[n])) end = n + 1;
    }
    buf_add(value, str_head(r->rest, end));
    r->rest = str_tail(r->rest, n);
}

/* What ${name} stands for: the process first, then an earlier line. */
static const char *lookup(const struct reader *r, str name)
{
    const char *value = r->to.env ? r->to.env(r->to.ctx, name) : NULL;

    for (size_t i = r->out->count; value == NULL && i > 0; i--)
        if (str_eq(r->out->at[i - 1].key, name)) value = r->out->at[i - 1].value;
    return value;
}

/* ${name} and ${name:-text}; anything else that begins so stays as it is. */
static void expand(const struct reader *r, str s, struct buf *out)
{
    for (size_t at; (at = str_find(s, STR("${"))) != STR_NPOS;) {
        size_t end = str_find_char(str_tail(s, at), '}');
        if (end == STR_NPOS) break;
        str inside = str_head(str_tail(s, at + 2), end - 2);
        size_t colon = str_find_char(inside, ':');
        str name = str_head(inside, colon), otherwise = STR_NONE;
        bool known = colon == STR_NPOS || str_starts(str_tail(inside, colon), STR(":-"));

        buf_add(out, str_head(s, at));
        if (known) {
            const char *value = lookup(r, name);
            if (colon != STR_NPOS) otherwise = str_tail(inside, colon + 2);
            buf_add(out, value ? str_of(value) : otherwise);
            s = str_tail(s, at + end + 1);
        } else {
            buf_add(out, STR("${"));
            s = str_tail(s, at + 2);
        }
    }
    buf_add(out, s);
}

/* ---- lines ---- */

static enum err add(struct reader *r, str key, const char *value, int line)
{
    struct dotenv *d = r->out;

    if (d->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 32;
        struct dotenv_line *more = arena_array(r->arena, struct dotenv_line, cap);
        if (more == NULL) return ERR_MEMORY;
        if (d->count) memcpy(more, d->at, d->count * sizeof *more);
        d->at = more;
        r->cap = cap;
    }
    key = arena_str(r->arena, key);
    if (key.at == NULL) return ERR_MEMORY;
    d->at[d->count++] = (struct dotenv_line){.key = key, .value = value, .line = line};
    return ERR_NONE;
}

/* After a value: blanks, a comment, the line's end. */
static const char *read_end(struct reader *r)
{
    skip_blanks(r);
    if (r->rest.len && peek(r) != '#' && !is_end(peek(r)))
        return "more text than a name and a value";
    skip_rest_of_line(r);
    return NULL;
}

/* A name and, behind '=', its raw value. */
static const char *read_binding(struct reader *r, str *key, bool *set, struct buf *raw)
{
    if (str_starts(r->rest, STR("export")) && r->rest.len > 6 && is_blank(r->rest.at[6])) {
        r->rest = str_tail(r->rest, 6);
        skip_blanks(r);
    }
    const char *wrong = read_key(r, key);
    if (wrong) return wrong;
    skip_blanks(r);
    *set = peek(r) == '=';
    if (*set) {
        r->rest = str_tail(r->rest, 1);
        bool blank = r->rest.len && is_blank(r->rest.at[0]);
        skip_blanks(r);
        if (peek(r) == '\'' || peek(r) == '"')
            wrong = read_quoted(r, raw);
        else if (!(blank && peek(r) == '#')) /* "A= # c" is empty */
            read_unquoted(r, raw);
    }
    if (wrong) return wrong;
    wrong = read_end(r);
    /* As a hosted space's settings are shown, "NAME: value". */
    if (wrong && !*set && str_ends(*key, STR(":")))
        return "a line here is NAME=value, without a colon";
    return wrong;
}

/* One line, or several when a quoted value spans them.  A reason when it is to be skipped. */
static const char *read_line(struct reader *r, struct buf *raw, struct buf *value, enum err *e)
{
    int line = r->line;
    str key, kept = STR_NONE;
    bool set;
    const char *wrong = read_binding(r, &key, &set, raw);

    if (wrong) {
        skip_rest_of_line(r);
        return wrong;
    }
    if (r->out->count == ENV_NAMES_MAX) return "too many names";
    if (set) {
        expand(r, buf_str(raw), value);
        if (raw->bad || value->bad) return "the value is too long";
        if (r->value_bytes + value->len > ENV_VALUES_BYTES_MAX) return "the values are too long";
        if (!utf8_valid(buf_str(value))) return "not UTF-8";
        if (value->len && memchr(value->at, 0, value->len)) return "a NUL byte";
        r->value_bytes += value->len;
        kept = arena_str(r->arena, buf_str(value));
        if (kept.at == NULL) *e = ERR_MEMORY;
    }
    if (!utf8_valid(key)) return "not UTF-8";
    if (!*e) *e = add(r, key, kept.at, line);
    return NULL;
}

enum err dotenv_parse(struct dotenv *out, str text, struct arena *a, struct dotenv_events to)
{
    struct dotenv lines = {0};
    struct reader r = {.rest = text, .line = 1, .arena = a, .to = to, .out = &lines};
    struct buf raw, value;
    enum err e = ERR_NONE;

    if (str_starts(text, STR("\xef\xbb\xbf"))) r.rest = str_tail(text, 3);
    buf_init(&raw, ENV_FILE_BYTES_MAX);
    buf_init(&value, ENV_VALUE_BYTES_MAX);
    for (;;) {
        skip_blanks(&r);
        if (e || r.rest.len == 0) break;
        if (peek(&r) == '#' || is_end(peek(&r))) {
            skip_rest_of_line(&r);
            continue;
        }
        int line = r.line;
        buf_clear(&raw);
        buf_clear(&value);
        const char *wrong = read_line(&r, &raw, &value, &e);
        if (wrong && to.skipped) to.skipped(to.ctx, line, wrong);
    }
    buf_fini(&raw);
    buf_fini(&value);
    if (!e) *out = lines;
    return e;
}
