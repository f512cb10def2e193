/* "%s" % x and "{}".format(x): the parts of Python's two little languages that make sense in a
 * prompt. */
#include <math.h>
#include <stdio.h>

#include "engine/template/method.h"
#include "engine/template/text.h"

enum { WIDTH_MAX = 100000, PRECISION_MAX = 300 };

struct spec { /* how one value is laid out */
    str fill;
    char align; /* '<' '>' '^' '=', or 0 */
    char sign;  /* '+', ' ' or 0 */
    bool alternate, zero, comma;
    int width, precision; /* -1: not given */
    char type;            /* 0: by the value */
};

static value fail(struct render *r, const char *what)
{
    return render_fail(r, ERR_UNSUPPORTED, "%s", what);
}

static value float_text(struct render *r, const struct spec *s, double f, char type)
{
    char format[8], text[700];
    int precision = s->precision < 0 ? 6 : s->precision;

    if (type == '%') f *= 100;
    snprintf(format, sizeof format, "%%.*%c", type == '%' ? 'f' : type);
    if (!isfinite(f))
        snprintf(text, sizeof text, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    else
        snprintf(text, sizeof text, format, precision, f);
    str out = arena_strf(&r->arena, "%s%s", text, type == '%' ? "%" : "");
    return out.at ? value_str(out) : fail(r, "out of memory");
}

static value int_text(struct render *r, const struct spec *s, value v, char type)
{
    char text[80];

    if (v.kind == VALUE_BIG)
        return type == 'd' ? value_str(value_text(v)) : fail(r, "integer too large");
    int64_t i = v.kind == VALUE_BOOL ? v.u.truth : v.u.i;
    uint64_t magnitude = i < 0 ? -(uint64_t)i : (uint64_t)i;
    const char *prefix = !s->alternate ? ""
                         : type == 'x' ? "0x"
                         : type == 'X' ? "0X"
                         : type == 'o' ? "0o"
                         : type == 'b' ? "0b"
                                       : "";
    char digits[72], *p = digits + sizeof digits;
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    int count = 0;
    *--p = '\0';
    do {
        if (s->comma && base == 10 && count && count % 3 == 0) *--p = ',';
        *--p = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
        count++;
    } while (magnitude /= base);
    snprintf(text, sizeof text, "%s%s%s", i < 0 ? "-" : "", prefix, p);
    str out = arena_str(&r->arena, str_of(text));
    return out.at ? value_str(out) : fail(r, "out of memory");
}

/* A number or text in its field. */
static value lay_out(struct render *r, const struct spec *s, value text, bool number)
{
    str t = value_text(text);
    bool minus = number && str_starts(t, STR("-"));
    struct buf b;

    if (r->failed) return value_none();
    if (s->width > WIDTH_MAX) return render_fail(r, ERR_LIMIT, "a field is too wide");
    str sign = minus                     ? STR("-")
               : !number || s->sign == 0 ? STR("")
               : s->sign == '+'          ? STR("+")
                                         : STR(" ");
    if (minus) t = str_tail(t, 1);
    char align = s->align ? s->align : s->zero && number ? '=' : number ? '>' : '<';
    str fill = s->fill.len ? s->fill : s->zero && number ? STR("0") : STR(" ");
    if (align == '=') {
        value body = str_pad(r, t, s->width - (int)sign.len, fill, '>');
        return op_binary(r, OP_ADD, value_str(sign), body);
    }
    render_buf(&b);
    buf_add(&b, sign);
    buf_add(&b, t);
    value whole = render_text(r, &b);
    return r->failed ? value_none() : str_pad(r, value_text(whole), s->width, fill, align);
}

static value cut(struct render *r, value text, int precision)
{
    if (precision < 0 || r->failed) return text;
    return op_slice(r, text, value_none(), value_int(precision), value_none());
}

static value as_repr(struct render *r, value v)
{
    struct buf b;
    render_buf(&b);
    print_repr(r, &b, v);
    return render_text(r, &b);
}

static value as_integer(struct render *r, value v)
{
    if (v.kind == VALUE_FLOAT) {
        struct args none = {0};
        return filter_find(STR("int"))(r, v, &none);
    }
    return v;
}

static value format_number(struct render *r, const struct spec *s, value v)
{
    char type = s->type;

    if (!value_is_number(v))
        return render_fail(r, ERR_UNSUPPORTED, "a number is required, not %s", value_type(v));
    if (s->precision > PRECISION_MAX) return render_fail(r, ERR_LIMIT, "too many digits");
    if (strchr("eEfFgG%", type))
        return lay_out(r, s, float_text(r, s, value_as_float(v), type), true);
    value i = as_integer(r, v);
    return r->failed
               ? value_none()
               : lay_out(r, s, int_text(r, s, i, type == 'i' || type == 'u' ? 'd' : type), true);
}

/* ---- % ---- */

struct walk {
    str s;
    size_t at;
};

static char look(const struct walk *w)
{
    return w->at < w->s.len ? w->s.at[w->at] : '\0';
}

static int read_int(struct walk *w)
{
    int n = -1;
    for (; look(w) >= '0' && look(w) <= '9'; w->at++) {
        n = (n < 0 ? 0 : n) * 10 + (look(w) - '0');
        if (n > WIDTH_MAX) n = WIDTH_MAX + 1;
    }
    return n;
}

static void read_percent(struct walk *w, struct spec *s)
{
    *s = (struct spec){.width = -1, .precision = -1, .align = '\0'};
    bool left = false;
    for (; look(w) && strchr("-+ #0", look(w)); w->at++) {
        char c = look(w);
        if (c == '-') left = true;
        if (c == '+' || (c == ' ' && s->sign == 0)) s->sign = c;
        if (c == '#') s->alternate = true;
        if (c == '0') s->zero = true;
    }
    s->width = read_int(w);
    if (look(w) == '.') {
        w->at++;
        s->precision = read_int(w);
        if (s->precision < 0) s->precision = 0;
    }
    s->type = look(w);
    if (s->type) w->at++;
    if (left) {
        s->align = '<';
        s->zero = false;
    }
}

static value percent_one(struct render *r, const struct spec *s, value v)
{
    struct spec right = *s;

    switch (s->type) {
    case 's':
    case 'r':
    case 'a':
        if (!right.align) right.align = '>';
        right.zero = false;
        return lay_out(r, &right,
                       cut(r, s->type == 's' ? print_to_str(r, v) : as_repr(r, v), s->precision),
                       false);
    case 'c':
        if (v.kind != VALUE_STR || value_length(r, v) != 1)
            return fail(r, "%c requires a character");
        if (!right.align) right.align = '>';
        return lay_out(r, &right, v, false);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': return format_number(r, s, v);
    default: return fail(r, "unsupported format character");
    }
}

value format_percent(struct render *r, value format, value with)
{
    struct walk w = {.s = value_text(format)};
    const struct value_list *all = with.kind == VALUE_TUPLE ? with.u.list : NULL;
    size_t next = 0;
    bool named = false;
    struct buf b;

    render_buf(&b);
    while (w.at < w.s.len && !r->failed) {
        if (look(&w) != '%') {
            buf_add_char(&b, w.s.at[w.at++]);
            continue;
        }
        w.at++;
        struct spec s;
        value v = value_missing();
        if (look(&w) == '(') {
            size_t close = str_find_char(str_tail(w.s, w.at), ')');
            value *found =
                close == STR_NPOS || with.kind != VALUE_DICT
                    ? NULL
                    : dict_get_str(r, with.u.dict, str_span(w.s.at + w.at + 1, close - 1));
            if (found == NULL) {
                fail(r, "format requires a mapping with the key");
                break;
            }
            v = *found;
            named = true;
            w.at += close + 1;
        }
        read_percent(&w, &s);
        if (s.type == '%') {
            buf_add_char(&b, '%');
            continue;
        }
        if (v.kind == VALUE_MISSING) {
            if (all ? next >= all->count : next > 0) {
                fail(r, "not enough arguments for format string");
                break;
            }
            v = all ? all->at[next] : with;
            next++;
        }
        value text = percent_one(r, &s, v);
        if (!r->failed) buf_add(&b, value_text(text));
    }
    bool mapping = with.kind == VALUE_DICT || with.kind == VALUE_LIST || with.kind == VALUE_RANGE ||
                   with.kind == VALUE_UNDEFINED; /* whatever can be subscripted counts as one */
    if (!r->failed && !named && !format.safe && (all ? next < all->count : next == 0 && !mapping))
        fail(r, "not all arguments converted during string formatting");
    value text = render_text(r, &b);
    text.safe = format.safe;
    return text;
}

/* ---- {} ---- */

static void read_spec(struct walk *w, struct spec *s)
{
    size_t used = 0;

    *s = (struct spec){.width = -1, .precision = -1};
    if (w->at < w->s.len) text_at(w->s, w->at, &used);
    if (used && w->at + used < w->s.len && strchr("<>^=", w->s.at[w->at + used])) {
        s->fill = str_span(w->s.at + w->at, used);
        w->at += used;
        s->align = w->s.at[w->at++];
    } else if (look(w) && strchr("<>^=", look(w))) {
        s->align = w->s.at[w->at++];
    }
    if (look(w) && strchr("+- ", look(w))) {
        s->sign = look(w) == '-' ? '\0' : look(w);
        w->at++;
    }
    if (look(w) == '#') {
        s->alternate = true;
        w->at++;
    }
    if (look(w) == '0') {
        s->zero = true;
        w->at++;
    }
    s->width = read_int(w);
    if (look(w) == ',') {
        s->comma = true;
        w->at++;
    }
    if (look(w) == '.') {
        w->at++;
        s->precision = read_int(w);
    }
    if (look(w)) s->type = w->s.at[w->at++];
}

static value braces_one(struct render *r, str text, value v)
{
    struct walk w = {.s = text};
    struct spec s;

    read_spec(&w, &s);
    if (w.at != w.s.len) return fail(r, "Invalid format specifier");
    if (s.type == 0 && value_is_number(v) && v.kind != VALUE_BOOL) {
        if (v.kind != VALUE_FLOAT)
            s.type = 'd';
        else if (s.precision >= 0)
            s.type = 'g';
        else
            return lay_out(r, &s, print_to_str(r, v), true);
    }
    if (s.type && strchr("dxXobeEfFgG%", s.type)) return format_number(r, &s, v);
    if (s.type && s.type != 's') return fail(r, "unknown format code");
    return lay_out(r, &s, cut(r, print_to_str(r, v), s.precision), false);
}

/* "0.name[key]" of the arguments. */
static value braces_field(struct render *r, str field, const struct args *a, size_t *next)
{
    size_t n = 0;
    uint64_t at;
    value v = value_missing();

    while (n < field.len && field.at[n] != '.' && field.at[n] != '[') n++;
    str head = str_head(field, n);
    if (head.len == 0) at = (*next)++;
    if (head.len == 0 || str_to_u64(head, &at)) {
        if (at < a->count) v = a->at[at];
    } else {
        for (size_t i = 0; i < a->named_count; i++)
            if (str_eq(a->named[i].name, head)) v = a->named[i].v;
    }
    if (v.kind == VALUE_MISSING) return fail(r, "a replacement field has no argument");
    for (str rest = str_tail(field, n); rest.len && !r->failed;) {
        size_t end = 1;
        bool item = rest.at[0] == '[';
        while (end < rest.len &&
               (item ? rest.at[end] != ']' : rest.at[end] != '.' && rest.at[end] != '['))
            end++;
        str name = str_span(rest.at + 1, end - 1);
        bool digits = item && str_to_u64(name, &at) && at <= INT64_MAX;
        v = item ? eval_get_item(r, v, digits ? value_int((int64_t)at) : value_str(name))
                 : eval_get_attr(r, v, name);
        rest = str_tail(rest, item ? end + 1 : end);
    }
    return v;
}

value format_braces(struct render *r, str format, const struct args *a)
{
    struct buf b;
    size_t next = 0;

    render_buf(&b);
    for (size_t i = 0; i < format.len && !r->failed; i++) {
        char c = format.at[i], after = i + 1 < format.len ? format.at[i + 1] : '\0';
        if ((c == '{' || c == '}') && after == c) {
            buf_add_char(&b, c);
            i++;
        } else if (c == '}') {
            fail(r, "Single '}' encountered in format string");
        } else if (c == '{') {
            size_t end = str_find_char(str_tail(format, i), '}');
            if (end == STR_NPOS) {
                fail(r, "Single '{' encountered in format string");
                break;
            }
            str field = str_span(format.at + i + 1, end - 1), spec = STR("");
            size_t colon = str_find_char(field, ':');
            if (colon != STR_NPOS) {
                spec = str_tail(field, colon + 1);
                field = str_head(field, colon);
            }
            size_t bang = str_find_char(field, '!');
            value v = braces_field(r, str_head(field, bang), a, &next);
            if (bang != STR_NPOS && !r->failed)
                v = field.at[field.len - 1] == 's' ? print_to_str(r, v) : as_repr(r, v);
            value text = r->failed ? value_none() : braces_one(r, spec, v);
            if (!r->failed) buf_add(&b, value_text(text));
            i += end;
        } else {
            buf_add_char(&b, c);
        }
    }
    return render_text(r, &b);
}
