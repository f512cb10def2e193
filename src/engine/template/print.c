/* Values as text: what {{ }} prints, what repr shows inside lists, and JSON as Python's json.dumps
 * writes it. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/template/render.h"
#include "engine/template/text.h"

/* The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on.
 */
void print_float(struct buf *to, double f)
{
    char digits[40];

    if (isnan(f) || isinf(f)) {
        buf_add(to, str_of(isnan(f) ? "nan" : f < 0 ? "-inf" : "inf"));
        return;
    }
    for (int precision = 0; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, f);
        if (strtod(digits, NULL) == f) break;
    }
    char *e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) { /* 1.5e-07: at least two digits, as printf has it */
        buf_add(to, str_of(digits));
        return;
    }
    char plain[40], *p = plain;
    bool minus = digits[0] == '-';
    for (const char *d = digits + minus; d < e; d++)
        if (*d != '.') *p++ = *d;
    int count = (int)(p - plain), whole = exponent + 1; /* digits before the point */
    if (minus) buf_add_char(to, '-');
    if (whole <= 0) {
        buf_add(to, STR("0."));
        for (int i = whole; i < 0; i++) buf_add_char(to, '0');
        buf_add(to, str_span(plain, (size_t)count));
        return;
    }
    for (int i = 0; i < whole; i++) buf_add_char(to, i < count ? plain[i] : '0');
    buf_add_char(to, '.');
    if (count > whole)
        buf_add(to, str_span(plain + whole, (size_t)(count - whole)));
    else
        buf_add_char(to, '0');
}

static void repr_str(struct buf *to, str s)
{
    bool has_single = str_find_char(s, '\'') != STR_NPOS,
         has_double = str_find_char(s, '"') != STR_NPOS;
    char quote = has_single && !has_double ? '"' : '\'';
    size_t used;

    buf_add_char(to, quote);
    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        if (c == quote || c == '\\') {
            buf_add_char(to, '\\');
            buf_add_char(to, (char)c);
        } else if (c == '\n') {
            buf_add(to, STR("\\n"));
        } else if (c == '\r') {
            buf_add(to, STR("\\r"));
        } else if (c == '\t') {
            buf_add(to, STR("\\t"));
        } else if (text_is_printable(c)) {
            buf_add(to, str_span(s.at + i, used));
        } else {
            buf_addf(to, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        }
    }
    buf_add_char(to, quote);
}

static void repr_list(struct render *r, struct buf *to, value v)
{
    const struct value_list *l = v.u.list;

    if (v.kind == VALUE_VIEW) buf_addf(to, "%s(", l->name);
    buf_add_char(to, v.kind == VALUE_TUPLE ? '(' : '[');
    for (size_t i = 0; i < l->count && !r->failed; i++) {
        if (i) buf_add(to, STR(", "));
        print_repr(r, to, l->at[i]);
    }
    if (v.kind == VALUE_TUPLE && l->count == 1) buf_add_char(to, ',');
    buf_add_char(to, v.kind == VALUE_TUPLE ? ')' : ']');
    if (v.kind == VALUE_VIEW) buf_add_char(to, ')');
}

static void repr_dict(struct render *r, struct buf *to, const struct dict *d)
{
    buf_add_char(to, '{');
    for (size_t i = 0; i < d->count && !r->failed; i++) {
        if (i) buf_add(to, STR(", "));
        print_repr(r, to, d->at[i].key);
        buf_add(to, STR(": "));
        print_repr(r, to, d->at[i].at);
    }
    buf_add_char(to, '}');
}

static void repr_range(struct buf *to, const struct value_range *range)
{
    buf_addf(to, "range(%lld, %lld", (long long)range->start, (long long)range->stop);
    if (range->step != 1) buf_addf(to, ", %lld", (long long)range->step);
    buf_add_char(to, ')');
}

void print_repr(struct render *r, struct buf *to, value v)
{
    size_t before = to->len;

    if (!render_enter(r)) return;
    switch (v.kind) {
    case VALUE_UNDEFINED: buf_add(to, STR("Undefined")); break;
    case VALUE_NONE: buf_add(to, STR("None")); break;
    case VALUE_BOOL: buf_add(to, str_of(v.u.truth ? "True" : "False")); break;
    case VALUE_INT: buf_addf(to, "%lld", (long long)v.u.i); break;
    case VALUE_BIG: buf_add(to, value_text(v)); break;
    case VALUE_FLOAT: print_float(to, v.u.f); break;
    case VALUE_STR: repr_str(to, value_text(v)); break;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: repr_list(r, to, v); break;
    case VALUE_DICT: repr_dict(r, to, v.u.dict); break;
    case VALUE_SPACE:
        buf_add(to, STR("<Namespace "));
        repr_dict(r, to, v.u.dict);
        buf_add_char(to, '>');
        break;
    case VALUE_RANGE: repr_range(to, v.u.range); break;
    case VALUE_MACRO: buf_addf(to, "<Macro '%.*s'>", STR_ARG(v.u.macro->name)); break;
    case VALUE_LOOP:
        buf_addf(to, "<LoopContext %zu/%zu>", v.u.loop->at + 1, v.u.loop->over->count);
        break;
    default: buf_addf(to, "<%s object>", value_type(v)); break;
    }
    render_bytes(r, to->len - before);
    render_leave(r);
}

void print_value(struct render *r, struct buf *to, value v)
{
    if (v.kind == VALUE_STR) {
        buf_add(to, value_text(v));
        render_bytes(r, v.len);
    } else if (v.kind != VALUE_UNDEFINED) {
        print_repr(r, to, v);
    }
}

value print_to_str(struct render *r, value v)
{
    struct buf b;

    if (v.kind == VALUE_STR) return v;
    render_buf(&b);
    print_value(r, &b, v);
    return render_text(r, &b);
}

/* ---- JSON ---- */

static void json_string(struct buf *to, str s, bool ascii)
{
    static const char short_from[] = "\"\\\n\r\t\f\b", short_to[] = "\"\\nrtfb";
    size_t used;

    buf_add_char(to, '"');
    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        const char *known = c && c < 0x80 ? strchr(short_from, (int)c) : NULL;
        if (known) {
            buf_add_char(to, '\\');
            buf_add_char(to, short_to[known - short_from]);
        } else if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) {
            buf_addf(to, "\\u%04x", (unsigned)c);
        } else if (ascii && c >= 0x10000 && c != TEXT_MARKER) {
            unsigned pair = (unsigned)c - 0x10000;
            buf_addf(to, "\\u%04x\\u%04x", 0xD800 + (pair >> 10), 0xDC00 + (pair & 0x3FF));
        } else {
            buf_add(to, str_span(s.at + i, used));
        }
    }
    buf_add_char(to, '"');
}

static void json_break(struct buf *to, const struct json_style *style, unsigned level)
{
    if (!style->indented) return;
    buf_add_char(to, '\n');
    while (level--) buf_add(to, style->indent);
}

static bool json_scalar(struct buf *to, value v)
{
    switch (v.kind) {
    case VALUE_NONE: buf_add(to, STR("null")); return true;
    case VALUE_BOOL: buf_add(to, str_of(v.u.truth ? "true" : "false")); return true;
    case VALUE_INT: buf_addf(to, "%lld", (long long)v.u.i); return true;
    case VALUE_BIG: buf_add(to, value_text(v)); return true;
    case VALUE_FLOAT:
        if (isfinite(v.u.f))
            print_float(to, v.u.f);
        else
            buf_add(to, str_of(isnan(v.u.f) ? "NaN" : v.u.f < 0 ? "-Infinity" : "Infinity"));
        return true;
    default: return false;
    }
}

static void json_value(struct render *r, struct buf *to, value v, const struct json_style *style,
                       unsigned level);

struct json_sort {
    struct render *r;
    const struct dict_entry *e;
};

static int by_key(const void *a, const void *b)
{
    const struct json_sort *x = a, *y = b;
    return value_compare(x->r, x->e->key, y->e->key);
}

static void json_dict(struct render *r, struct buf *to, const struct dict *d,
                      const struct json_style *style, unsigned level)
{
    struct json_sort *order = NULL;

    if (d->count == 0) {
        buf_add(to, STR("{}"));
        return;
    }
    if (style->sort_keys) {
        order = render_take_array(r, d->count, sizeof *order);
        if (order == NULL) return;
        for (size_t i = 0; i < d->count; i++) order[i] = (struct json_sort){r, &d->at[i]};
        qsort(order, d->count, sizeof *order, by_key);
    }
    buf_add_char(to, '{');
    for (size_t i = 0; i < d->count && !r->failed; i++) {
        const struct dict_entry *e = order ? order[i].e : &d->at[i];
        if (i) buf_add(to, style->item_separator);
        json_break(to, style, level + 1);
        if (e->key.kind == VALUE_STR) {
            json_string(to, value_text(e->key), style->ascii);
        } else {
            buf_add_char(to, '"');
            if (!json_scalar(to, e->key))
                render_fail(r, ERR_UNSUPPORTED,
                            "keys must be str, int, float, bool or None, not %s",
                            value_type(e->key));
            buf_add_char(to, '"');
        }
        buf_add(to, style->key_separator);
        json_value(r, to, e->at, style, level + 1);
    }
    json_break(to, style, level);
    buf_add_char(to, '}');
}

static void json_list(struct render *r, struct buf *to, const struct value_list *l,
                      const struct json_style *style, unsigned level)
{
    if (l->count == 0) {
        buf_add(to, STR("[]"));
        return;
    }
    buf_add_char(to, '[');
    for (size_t i = 0; i < l->count && !r->failed; i++) {
        if (i) buf_add(to, style->item_separator);
        json_break(to, style, level + 1);
        json_value(r, to, l->at[i], style, level + 1);
    }
    json_break(to, style, level);
    buf_add_char(to, ']');
}

static void json_value(struct render *r, struct buf *to, value v, const struct json_style *style,
                       unsigned level)
{
    if (!render_enter(r)) return;
    render_step(r, 1);
    if (v.kind == VALUE_STR) {
        json_string(to, value_text(v), style->ascii);
        render_bytes(r, v.len);
    } else if (v.kind == VALUE_DICT) {
        json_dict(r, to, v.u.dict, style, level);
    } else if (value_is_seq(v)) {
        json_list(r, to, v.u.list, style, level);
    } else if (!json_scalar(to, v)) {
        render_fail(r, ERR_UNSUPPORTED, "Object of type %s is not JSON serializable",
                    value_type(v));
    }
    render_leave(r);
}

void print_json(struct render *r, struct buf *to, value v, const struct json_style *style)
{
    json_value(r, to, v, style, 0);
}
