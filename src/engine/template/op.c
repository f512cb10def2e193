/* Arithmetic, joining and slicing, with Python's rules: % and // follow the sign of the divisor, /
 * always gives a float, integers past 64 bits can be printed but not computed with. */
#include <math.h>

#include "conf/limits.h"
#include "engine/template/render.h"
#include "engine/template/text.h"

static const char *const op_text[] = {
    [OP_ADD] = "+",        [OP_SUB] = "-", [OP_MUL] = "*",  [OP_DIV] = "/",
    [OP_FLOOR_DIV] = "//", [OP_MOD] = "%", [OP_POW] = "**",
};

static value too_large(struct render *r)
{
    return render_fail(r, ERR_UNSUPPORTED, "integer too large to compute with");
}

static value floor_mod(struct render *r, enum node_op op, int64_t a, int64_t b)
{
    if (b == 0) return render_fail(r, ERR_UNSUPPORTED, "division by zero");
    if (b == -1) return op == OP_MOD ? value_int(0) : op_negate(r, value_int(a));
    int64_t quotient = a / b, rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return value_int(op == OP_MOD ? rest : quotient);
}

static value power(struct render *r, int64_t base, int64_t exponent)
{
    int64_t out = 1;

    if (exponent < 0) {
        if (base == 0)
            return render_fail(r, ERR_UNSUPPORTED, "0 cannot be raised to a negative power");
        return value_float(pow((double)base, (double)exponent));
    }
    while (exponent) {
        if (exponent & 1 && __builtin_mul_overflow(out, base, &out)) return too_large(r);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return too_large(r);
    }
    return value_int(out);
}

static value on_ints(struct render *r, enum node_op op, int64_t a, int64_t b)
{
    int64_t out;

    switch (op) {
    case OP_ADD: return __builtin_add_overflow(a, b, &out) ? too_large(r) : value_int(out);
    case OP_SUB: return __builtin_sub_overflow(a, b, &out) ? too_large(r) : value_int(out);
    case OP_MUL: return __builtin_mul_overflow(a, b, &out) ? too_large(r) : value_int(out);
    case OP_DIV:
        if (b == 0) return render_fail(r, ERR_UNSUPPORTED, "division by zero");
        return value_float((double)a / (double)b);
    case OP_POW: return power(r, a, b);
    default: return floor_mod(r, op, a, b);
    }
}

static value on_floats(struct render *r, enum node_op op, double a, double b)
{
    switch (op) {
    case OP_ADD: return value_float(a + b);
    case OP_SUB: return value_float(a - b);
    case OP_MUL: return value_float(a * b);
    case OP_POW:
        if (a == 0 && b < 0)
            return render_fail(r, ERR_UNSUPPORTED, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b))
            return render_fail(r, ERR_UNSUPPORTED, "a root of a negative number");
        return value_float(pow(a, b));
    default: break;
    }
    if (b == 0) return render_fail(r, ERR_UNSUPPORTED, "float division by zero");
    if (op == OP_DIV) return value_float(a / b);
    double rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return value_float(op == OP_MOD ? rest : floor((a - rest) / b + 0.5));
}

static value on_numbers(struct render *r, enum node_op op, value a, value b)
{
    if (a.kind == VALUE_FLOAT || b.kind == VALUE_FLOAT)
        return on_floats(r, op, value_as_float(a), value_as_float(b));
    if (a.kind == VALUE_BIG || b.kind == VALUE_BIG) return too_large(r);
    return on_ints(r, op, a.kind == VALUE_BOOL ? a.u.truth : a.u.i,
                   b.kind == VALUE_BOOL ? b.u.truth : b.u.i);
}

static void add_escaped(struct buf *to, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.at[i]) {
        case '&': buf_add(to, STR("&amp;")); break;
        case '<': buf_add(to, STR("&lt;")); break;
        case '>': buf_add(to, STR("&gt;")); break;
        case '\'': buf_add(to, STR("&#39;")); break;
        case '"': buf_add(to, STR("&#34;")); break;
        default: buf_add_char(to, s.at[i]);
        }
    }
}

static value join_strings(struct render *r, value a, value b)
{
    struct buf out;
    bool safe = a.safe || b.safe;

    if (!safe) {
        size_t len = (size_t)a.len + b.len;
        char *at = render_bytes(r, len) ? render_take_array(r, len + 1, 1) : NULL;
        if (at == NULL) return value_none();
        memcpy(at, a.u.text, a.len);
        memcpy(at + a.len, b.u.text, b.len);
        return value_str((str){at, len});
    }
    render_buf(&out);
    if (a.safe)
        buf_add(&out, value_text(a));
    else
        add_escaped(&out, value_text(a));
    if (b.safe)
        buf_add(&out, value_text(b));
    else
        add_escaped(&out, value_text(b));
    value v = render_text(r, &out);
    v.safe = true;
    return v;
}

static value join_lists(struct render *r, value a, value b)
{
    size_t x = a.u.list->count, y = b.u.list->count;
    value v = value_list(r, a.kind, render_step(r, x + y) ? x + y : 0);

    if (v.u.list->count == 0) return v;
    if (x) memcpy(v.u.list->at, a.u.list->at, x * sizeof *v.u.list->at);
    if (y) memcpy(v.u.list->at + x, b.u.list->at, y * sizeof *v.u.list->at);
    return v;
}

static value repeat(struct render *r, value what, int64_t times)
{
    size_t n = times > 0 ? (size_t)times : 0, total;
    size_t each = what.kind == VALUE_STR ? what.len : what.u.list->count;

    if (__builtin_mul_overflow(n, each, &total) || total > TEMPLATE_VALUE_BYTES_MAX)
        return render_fail(r, ERR_LIMIT, "repeated too often");
    if (!render_step(r, total / 16)) return value_none();
    if (what.kind == VALUE_STR) {
        char *at = render_take_array(r, total + 1, 1);
        for (size_t i = 0; at && i < total; i += each) memcpy(at + i, what.u.text, each);
        value v = value_str((str){at, at ? total : 0});
        v.safe = what.safe;
        return v;
    }
    value v = value_list(r, what.kind, total);
    for (size_t i = 0; i < v.u.list->count; i++) v.u.list->at[i] = what.u.list->at[i % each];
    return v;
}

static bool is_whole(value v)
{
    return v.kind == VALUE_INT || v.kind == VALUE_BOOL;
}

value op_binary(struct render *r, enum node_op op, value a, value b)
{
    if (r->failed) return value_none();
    if (op == OP_MOD && a.kind == VALUE_STR) return format_percent(r, a, b);
    if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED)
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined",
                           STR_ARG(value_text(a.kind == VALUE_UNDEFINED ? a : b)));
    if (value_is_number(a) && value_is_number(b)) return on_numbers(r, op, a, b);
    if (op == OP_ADD && a.kind == VALUE_STR && b.kind == VALUE_STR) return join_strings(r, a, b);
    if (op == OP_ADD && value_is_seq(a) && a.kind == b.kind) return join_lists(r, a, b);
    if (op == OP_MUL && (a.kind == VALUE_STR || value_is_seq(a)) && is_whole(b))
        return repeat(r, a, b.kind == VALUE_BOOL ? b.u.truth : b.u.i);
    if (op == OP_MUL && is_whole(a) && (b.kind == VALUE_STR || value_is_seq(b)))
        return repeat(r, b, a.kind == VALUE_BOOL ? a.u.truth : a.u.i);
    return render_fail(r, ERR_UNSUPPORTED, "unsupported operand types for %s: '%s' and '%s'",
                       op_text[op], value_type(a), value_type(b));
}

value op_negate(struct render *r, value v)
{
    switch (v.kind) {
    case VALUE_BOOL: return value_int(-(int64_t)v.u.truth);
    case VALUE_INT: return v.u.i == INT64_MIN ? too_large(r) : value_int(-v.u.i);
    case VALUE_FLOAT: return value_float(-v.u.f);
    case VALUE_BIG: {
        if (v.u.text[0] == '-') return value_of_integer_text(r, str_tail(value_text(v), 1));
        char *text = render_take(r, (size_t)v.len + 2);
        if (text == NULL) return value_none();
        text[0] = '-';
        memcpy(text + 1, v.u.text, v.len);
        return value_of_integer_text(r, (str){text, (size_t)v.len + 1});
    }
    case VALUE_UNDEFINED:
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(v)));
    default:
        return render_fail(r, ERR_UNSUPPORTED, "bad operand type for unary -: '%s'", value_type(v));
    }
}

/* ---- slices ---- */

static bool slice_part(struct render *r, value v, int64_t *out)
{
    if (v.kind == VALUE_NONE || v.kind == VALUE_MISSING) return false;
    if (!is_whole(v)) {
        render_fail(r, ERR_UNSUPPORTED, "slice indices must be integers or None");
        return false;
    }
    *out = v.kind == VALUE_BOOL ? v.u.truth : v.u.i;
    return true;
}

/* Python's rule: what lies outside is pulled to the nearest end. */
static int64_t slice_bound(int64_t at, int64_t count, bool backwards)
{
    if (at < 0) at = at < -count ? -1 : at + count;
    if (at < 0) return backwards ? -1 : 0;
    if (at >= count) return backwards ? count - 1 : count;
    return at;
}

value op_slice(struct render *r, value of, value start, value stop, value step)
{
    int64_t by = 1, from, to;

    if (slice_part(r, step, &by) && by == 0)
        return render_fail(r, ERR_UNSUPPORTED, "slice step cannot be zero");
    bool list = value_is_seq(of) || of.kind == VALUE_RANGE;
    if (of.kind == VALUE_UNDEFINED)
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(of)));
    if (!list && of.kind != VALUE_STR)
        return render_fail(r, ERR_UNSUPPORTED, "'%s' object cannot be sliced", value_type(of));
    const struct value_list *all = list ? value_elements(r, of) : NULL;
    int64_t count = list ? (int64_t)all->count : value_length(r, of);
    from = slice_part(r, start, &from) ? slice_bound(from, count, by < 0) : by < 0 ? count - 1 : 0;
    to = slice_part(r, stop, &to) ? slice_bound(to, count, by < 0) : by < 0 ? -1 : count;
    if (r->failed) return value_none();
    uint64_t stride = by < 0 ? -(uint64_t)by : (uint64_t)by;
    uint64_t span =
        by < 0 ? (from > to ? (uint64_t)(from - to) : 0) : (to > from ? (uint64_t)(to - from) : 0);
    size_t n = (size_t)(span / stride + (span % stride != 0));
    if (!render_step(r, n)) return value_none();

    if (of.kind == VALUE_RANGE) {
        const struct value_range *whole = of.u.range;
        struct value_range *part = render_take(r, sizeof *part);
        if (part == NULL) return value_none();
        *part = (struct value_range){.start = value_range_at(whole, (uint64_t)from),
                                     .stop = value_range_at(whole, (uint64_t)to),
                                     .step = (int64_t)((uint64_t)whole->step * (uint64_t)by),
                                     .count = n};
        return (value){.kind = VALUE_RANGE, .u.range = part};
    }
    if (list) {
        value v = value_list(r, of.kind == VALUE_TUPLE ? VALUE_TUPLE : VALUE_LIST, n);
        for (size_t i = 0; i < v.u.list->count; i++)
            v.u.list->at[i] = all->at[from + (int64_t)i * by];
        return v;
    }
    str s = value_text(of), out = {s.at, 0};
    if (by == 1) {
        size_t used, at = 0;
        for (int64_t i = 0; i < from; i++, at += used) text_at(s, at, &used);
        out.at = s.at + at;
        for (size_t i = 0; i < n; i++, at += used) text_at(s, at, &used);
        out.len = (size_t)(s.at + at - out.at);
        value v = value_str(out);
        v.safe = of.safe;
        return v;
    }
    all = value_elements(r, of);
    struct buf b;
    render_buf(&b);
    for (size_t i = 0; i < n && all->count; i++)
        buf_add(&b, value_text(all->at[from + (int64_t)i * by]));
    return render_text(r, &b);
}
