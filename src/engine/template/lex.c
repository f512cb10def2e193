#include "engine/template/lex.h"

#include "base/utf8.h"
#include "engine/template/text.h"

enum { NEST_MAX = 256 }; /* open brackets in one tag */

struct lex {
    struct arena *arena;
    str src;
    size_t at;
    uint32_t line;
    bool fresh_line; /* the last tag ended with a newline, or nothing stands before */
    struct token *out;
    size_t count, cap;
    struct err_note *why;
};

static enum err lex_fail(struct lex *l, const char *what)
{
    return err_set(l->why, ERR_INVALID, "template line %u: %s", l->line, what);
}

static enum err add(struct lex *l, struct token t)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct token *wider = arena_array(l->arena, struct token, cap);
        if (wider == NULL) return ERR_MEMORY;
        if (l->count) memcpy(wider, l->out, l->count * sizeof *wider);
        l->out = wider;
        l->cap = cap;
    }
    l->out[l->count++] = t;
    return ERR_NONE;
}

static char peek(const struct lex *l, size_t ahead)
{
    return l->at + ahead < l->src.len ? l->src.at[l->at + ahead] : '\0';
}

static bool ahead_is(const struct lex *l, str what)
{
    return str_starts(str_tail(l->src, l->at), what);
}

static void skip(struct lex *l, size_t bytes)
{
    for (; bytes; bytes--)
        if (l->src.at[l->at++] == '\n') l->line++;
}

static void skip_space(struct lex *l)
{
    while (l->at < l->src.len) {
        size_t used;
        int32_t c = text_at(l->src, l->at, &used);
        if (!text_is_space(c)) break;
        skip(l, used);
    }
}

/* What the sign of the tag after it does to a text: '-' takes all white space off its end; without
 * a sign the blanks before a block or comment at the start of a line go. */
static str trim_before(const struct lex *l, str text, char sign, bool prints)
{
    if (sign == '-') return text_strip(text, TEXT_RIGHT);
    if (sign == '+' || prints) return text;
    size_t newline = str_rfind_char(text, '\n');
    size_t from = newline == STR_NPOS ? 0 : newline + 1;
    if (from == 0 && !l->fresh_line) return text;
    return text_strip(str_tail(text, from), TEXT_LEFT).len == 0 ? str_head(text, from) : text;
}

static enum err add_text(struct lex *l, str text)
{
    if (text.len == 0) return ERR_NONE;
    return add(l, (struct token){.kind = TOKEN_TEXT, .line = l->line, .text = text});
}

/* At the end of a tag: "-%}" eats white space, "%}" one newline when `eats_newline`.  `close` is
 * the two characters of the end. */
static bool tag_end(struct lex *l, const char *close, bool plus_allowed, bool eats_newline)
{
    char sign = peek(l, 0);
    size_t skipped = sign == '-' || (sign == '+' && plus_allowed) ? 1 : 0;

    if (peek(l, skipped) != close[0] || peek(l, skipped + 1) != close[1]) return false;
    size_t from = l->at;
    skip(l, skipped + 2);
    if (skipped && sign == '-')
        skip_space(l);
    else if (!skipped && eats_newline && peek(l, 0) == '\n')
        skip(l, 1);
    l->fresh_line = l->at > from && l->src.at[l->at - 1] == '\n';
    return true;
}

/* ---- inside a tag ---- */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static unsigned hex_value(char c)
{
    return is_digit(c) ? (unsigned)(c - '0') : ((unsigned)(c | 32) - 'a') + 10;
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Python's escapes; one that it does not know keeps its backslash. */
static size_t unescape(str s, size_t i, struct buf *to, bool *bad)
{
    char c = s.at[i];
    char plain[4];
    static const char from[] = "abfnrtv\\'\"", into[] = "\a\b\f\n\r\t\v\\'\"";
    const char *known = c ? strchr(from, c) : NULL;

    if (c == '\n') return 1;
    if (known) {
        buf_add_char(to, into[known - from]);
        return 1;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t point = 0;
    if (digits) {
        for (size_t d = 1; d <= digits; d++) {
            if (i + d >= s.len || !is_hex(s.at[i + d])) {
                *bad = true;
                return 1;
            }
            point = point << 4 | hex_value(s.at[i + d]);
        }
        if (point > 0x10ffff) *bad = true;
        buf_add(to, str_span(plain, utf8_put(plain, *bad ? 0 : point)));
        return digits + 1;
    }
    if (c >= '0' && c <= '7') {
        size_t d = 0;
        while (d < 3 && i + d < s.len && s.at[i + d] >= '0' && s.at[i + d] <= '7')
            point = point * 8 + (uint32_t)(s.at[i + d++] - '0');
        buf_add(to, str_span(plain, utf8_put(plain, point)));
        return d;
    }
    buf_add_char(to, '\\');
    return 0; /* the character itself follows as any other */
}

static enum err lex_string(struct lex *l)
{
    char quote = peek(l, 0);
    size_t from = l->at + 1, i = from;
    bool escapes = false;

    while (i < l->src.len && l->src.at[i] != quote) {
        if (l->src.at[i] == '\\') {
            escapes = true;
            i++;
        }
        i++;
    }
    if (i >= l->src.len) return lex_fail(l, "a string is not closed");
    struct token t = {.kind = TOKEN_STRING, .line = l->line};
    t.text = str_span(l->src.at + from, i - from);
    skip(l, i + 1 - l->at);
    if (escapes) {
        struct buf b;
        bool bad = false;
        buf_init(&b, l->src.len * 4 + 4);
        for (size_t at = 0; at < t.text.len;) {
            char c = t.text.at[at++];
            if (c == '\\' && at < t.text.len)
                at += unescape(t.text, at, &b, &bad);
            else
                buf_add_char(&b, c);
        }
        t.text = arena_str(l->arena, buf_str(&b));
        bool out_of_memory = b.bad || t.text.at == NULL;
        buf_fini(&b);
        if (bad) return lex_fail(l, "a bad escape in a string");
        if (out_of_memory) return ERR_MEMORY;
    }
    return add(l, t);
}

static size_t digits_from(const struct lex *l,
                          size_t at) /* digits with single underscores between */
{
    size_t n = 0;
    while (is_digit(peek(l, at + n)) ||
           (n && peek(l, at + n) == '_' && is_digit(peek(l, at + n + 1))))
        n++;
    return n;
}

/* Without underscores; 0x, 0o and 0b become decimal when they fit. */
static enum err lex_number(struct lex *l)
{
    struct token t = {.kind = TOKEN_INTEGER, .line = l->line};
    char base = (char)(peek(l, 1) | 32);
    size_t n = digits_from(l, 0);

    if (peek(l, 0) == '0' && (base == 'x' || base == 'o' || base == 'b')) {
        unsigned width = base == 'x' ? 4 : base == 'o' ? 3 : 1;
        uint64_t sum = 0;
        for (n = 2; is_hex(peek(l, n)) || peek(l, n) == '_'; n++) {
            if (peek(l, n) == '_') continue;
            unsigned digit = hex_value(peek(l, n));
            if (digit >> width) break;
            if (sum >> 58) return lex_fail(l, "a number is too large");
            sum = sum << width | digit;
        }
        if (n == 2) return lex_fail(l, "a number without digits");
        skip(l, n);
        t.text = arena_strf(l->arena, "%llu", (unsigned long long)sum);
        return t.text.at ? add(l, t) : ERR_MEMORY;
    }
    size_t fraction = peek(l, n) == '.' ? digits_from(l, n + 1) : 0;
    if (fraction) n += 1 + fraction;
    if ((peek(l, n) | 32) == 'e') {
        size_t sign = peek(l, n + 1) == '+' || peek(l, n + 1) == '-';
        size_t exponent = digits_from(l, n + 1 + sign);
        if (exponent) {
            n += 1 + sign + exponent;
            t.kind = TOKEN_FLOAT;
        }
    }
    if (fraction) t.kind = TOKEN_FLOAT;
    char *plain = arena_take(l->arena, n + 1);
    if (plain == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        if (peek(l, i) != '_') plain[t.text.len++] = peek(l, i);
    t.text.at = plain;
    skip(l, n);
    return add(l, t);
}

static enum err lex_op(struct lex *l, char *open, size_t *depth)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    struct token t = {.kind = TOKEN_OP, .line = l->line, .op = {peek(l, 0)}};
    char c = t.op[0];

    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (c == two[i][0] && peek(l, 1) == two[i][1]) t.op[1] = two[i][1];
    if (t.op[1] == '\0' && (c == '\0' || !strchr("+-/*%~[](){}><=.:|,;", c)))
        return lex_fail(l, "an unexpected character");
    if (strchr("([{", c)) {
        if (*depth == NEST_MAX) return lex_fail(l, "brackets nested too deep");
        open[(*depth)++] = c;
    } else if (strchr(")]}", c)) {
        char want = c == ')' ? '(' : c == ']' ? '[' : '{';
        if (*depth == 0 || open[--*depth] != want) return lex_fail(l, "an unexpected bracket");
    }
    skip(l, t.op[1] ? 2 : 1);
    return add(l, t);
}

static enum err lex_tag(struct lex *l, bool prints)
{
    char open[NEST_MAX];
    size_t depth = 0;
    const char *close = prints ? "}}" : "%}";
    enum err e = ERR_NONE;

    while (!e) {
        if (depth == 0 && tag_end(l, close, !prints, !prints))
            return add(l, (struct token){.kind = prints ? TOKEN_PRINT_END : TOKEN_BLOCK_END,
                                         .line = l->line});
        if (l->at >= l->src.len) return lex_fail(l, "a tag is not closed");
        char c = peek(l, 0);
        size_t used;
        int32_t point = text_at(l->src, l->at, &used);
        if (text_is_space(point)) {
            skip(l, used);
        } else if (is_digit(c)) {
            e = lex_number(l);
        } else if (is_name_start(c)) {
            struct token t = {.kind = TOKEN_NAME, .line = l->line};
            size_t n = 1;
            while (is_name_start(peek(l, n)) || is_digit(peek(l, n))) n++;
            t.text = str_span(l->src.at + l->at, n);
            skip(l, n);
            e = add(l, t);
        } else if (c == '"' || c == '\'') {
            e = lex_string(l);
        } else {
            e = lex_op(l, open, &depth);
        }
    }
    return e;
}

/* ---- between tags ---- */

static size_t sign_len(const struct lex *l, size_t at)
{
    return peek(l, at) == '-' || peek(l, at) == '+';
}

/* "{% raw %}" at the place: how long, and whether it eats the white space after it. */
static size_t raw_begin(const struct lex *l, const char *word)
{
    size_t n = 2 + sign_len(l, 2), word_len = strlen(word);

    while (text_is_space((unsigned char)peek(l, n))) n++;
    if (!str_starts(str_tail(l->src, l->at + n), str_of(word))) return 0;
    n += word_len;
    while (text_is_space((unsigned char)peek(l, n))) n++;
    return n;
}

static enum err lex_raw(struct lex *l, size_t head)
{
    skip(l, head);
    if (!tag_end(l, "%}", false, false)) return lex_fail(l, "a raw tag is not closed");
    size_t from = l->at;
    for (; l->at < l->src.len; skip(l, 1)) {
        size_t n = ahead_is(l, STR("{%")) ? raw_begin(l, "endraw") : 0;
        if (n == 0) continue;
        char close = peek(l, n), sign = peek(l, 2);
        if (close != '%' && close != '-' && close != '+') continue;
        str text = str_span(l->src.at + from, l->at - from);
        enum err e = add_text(l, trim_before(l, text, sign, false));
        skip(l, n);
        if (!e && !tag_end(l, "%}", true, true)) e = lex_fail(l, "an endraw tag is not closed");
        return e;
    }
    return lex_fail(l, "a raw block is not closed");
}

static enum err lex_comment(struct lex *l)
{
    skip(l, 2 + sign_len(l, 2));
    for (; l->at < l->src.len; skip(l, 1)) {
        bool ends = ahead_is(l, STR("#}")) || ahead_is(l, STR("-#}")) || ahead_is(l, STR("+#}"));
        if (ends && tag_end(l, "#}", true, true)) return ERR_NONE;
    }
    return lex_fail(l, "a comment is not closed");
}

enum err lex_template(struct arena *a, str source, struct token **out, size_t *count,
                      struct err_note *why)
{
    struct lex l = {.arena = a, .src = source, .line = 1, .fresh_line = true, .why = why};
    enum err e = ERR_NONE;

    while (!e && l.at < source.len) {
        size_t from = l.at;
        while (l.at < source.len &&
               !(peek(&l, 0) == '{' &&
                 (peek(&l, 1) == '{' || peek(&l, 1) == '%' || peek(&l, 1) == '#')))
            skip(&l, 1);
        str text = str_span(source.at + from, l.at - from);
        if (l.at >= source.len) {
            e = add_text(&l, text);
            break;
        }
        char mark = peek(&l, 1), sign = peek(&l, 2);
        e = add_text(&l, trim_before(&l, text, sign, mark == '{'));
        if (e) break;
        size_t raw = mark == '%' ? raw_begin(&l, "raw") : 0;
        char next = raw ? peek(&l, raw) : '\0';
        if (raw && (next == '%' || next == '-')) {
            e = lex_raw(&l, raw);
        } else if (mark == '#') {
            e = lex_comment(&l);
        } else {
            e = add(&l, (struct token){.kind = mark == '{' ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN,
                                       .line = l.line});
            skip(&l, 2 + sign_len(&l, 2));
            l.fresh_line = false;
            if (!e) e = lex_tag(&l, mark == '{');
        }
    }
    if (!e) e = add(&l, (struct token){.kind = TOKEN_END, .line = l.line});
    if (e) return e;
    *out = l.out;
    *count = l.count;
    return ERR_NONE;
}
