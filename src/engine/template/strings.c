/* The methods of strings. */
#include "engine/template/method.h"

#include "conf/limits.h"
#include "engine/template/text.h"

struct str_call { /* one call of a string's method */
    struct render *r;
    value self;
    str s;
    const struct args *a;
    value arg[3];
};

static value fail(struct render *r, const char *what)
{
    return render_fail(r, ERR_UNSUPPORTED, "%s", what);
}

/* An argument that must be a string. */
static bool text_arg(struct str_call *c, size_t at, str *out)
{
    if (c->arg[at].kind != VALUE_STR) {
        render_fail(c->r, ERR_UNSUPPORTED, "must be str, not %s", value_type(c->arg[at]));
        return false;
    }
    *out = value_text(c->arg[at]);
    return true;
}

static int64_t int_arg(struct str_call *c, size_t at, int64_t otherwise)
{
    value v = c->arg[at];

    if (v.kind == VALUE_MISSING || v.kind == VALUE_NONE) return otherwise;
    if (v.kind == VALUE_INT) return v.u.i;
    if (v.kind == VALUE_BOOL) return v.u.truth;
    fail(c->r, "an integer is required");
    return otherwise;
}

static value like_self(struct str_call *c, value v)
{
    v.safe = c->self.safe;
    return v;
}

/* ---- shared with filters ---- */

value str_replace(struct render *r, value in, str old, str new, int64_t count)
{
    str s = value_text(in);
    struct buf b;
    size_t at = 0, used;

    render_buf(&b);
    if (old.len == 0) { /* before every character and at the end */
        for (; count != 0 && at <= s.len; count--) {
            buf_add(&b, new);
            if (at == s.len) break;
            text_at(s, at, &used);
            buf_add(&b, str_span(s.at + at, used));
            at += used;
        }
    } else {
        for (; count != 0 && !b.bad; count--) {
            size_t hit = str_find(str_tail(s, at), old);
            if (hit == STR_NPOS) break;
            buf_add(&b, str_span(s.at + at, hit));
            buf_add(&b, new);
            at += hit + old.len;
        }
    }
    buf_add(&b, str_tail(s, at));
    value v = render_text(r, &b);
    v.safe = in.safe;
    return v;
}

static size_t line_break(str s, size_t at, size_t *used) /* its bytes, or 0 */
{
    int32_t c = text_at(s, at, used);
    bool breaks =
        (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;

    if (!breaks) return 0;
    return c == '\r' && at + 1 < s.len && s.at[at + 1] == '\n' ? 2 : *used;
}

value str_split_lines(struct render *r, str s, bool keep_ends)
{
    size_t count = 0, used, from = 0;
    value v = {0};

    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        size_t n = 0;
        from = 0;
        for (size_t i = 0; i < s.len;) {
            size_t breaks = line_break(s, i, &used);
            if (breaks == 0) {
                i += used;
                continue;
            }
            if (pass && n < v.u.list->count)
                v.u.list->at[n] =
                    value_str(str_span(s.at + from, i - from + (keep_ends ? breaks : 0)));
            n++;
            i += breaks;
            from = i;
        }
        if (from < s.len) {
            if (pass && n < v.u.list->count) v.u.list->at[n] = value_str(str_tail(s, from));
            n++;
        }
        count = n;
        if (pass == 0) v = value_list(r, VALUE_LIST, render_step(r, count) ? count : 0);
    }
    return v;
}

value str_pad(struct render *r, str s, int64_t width, str fill, char side)
{
    struct buf b;
    int64_t have = value_length(r, value_str(s)), missing = width > have ? width - have : 0;

    if (missing > TEMPLATE_VALUE_BYTES_MAX / 4) return render_fail(r, ERR_LIMIT, "padded too far");
    /* str.center puts the odd blank left when the width is odd; see CPython's pad(). */
    int64_t left = side == '>' ? missing : side == '^' ? missing / 2 + (missing & width & 1) : 0;
    render_buf(&b);
    for (int64_t i = 0; i < left; i++) buf_add(&b, fill);
    buf_add(&b, s);
    for (int64_t i = left; i < missing; i++) buf_add(&b, fill);
    return render_text(r, &b);
}

value str_join(struct render *r, str between, const struct value_list *parts)
{
    struct buf b;

    render_buf(&b);
    for (size_t i = 0; i < parts->count && !r->failed; i++) {
        if (parts->at[i].kind != VALUE_STR)
            render_fail(r, ERR_UNSUPPORTED, "sequence item %zu: expected str instance, %s found", i,
                        value_type(parts->at[i]));
        if (i) buf_add(&b, between);
        buf_add(&b, value_text(parts->at[i]));
        render_bytes(r, parts->at[i].len);
    }
    return render_text(r, &b);
}

/* ---- case and stripping ---- */

static value cased(struct str_call *c, enum text_case how)
{
    struct buf b;
    render_buf(&b);
    text_case(&b, c->s, how);
    return like_self(c, render_text(c->r, &b));
}

static value str_upper(struct str_call *c)
{
    return cased(c, TEXT_UPPER);
}

static value str_lower(struct str_call *c)
{
    return cased(c, TEXT_LOWER);
}

static value str_title(struct str_call *c)
{
    return cased(c, TEXT_TITLE);
}

static value str_capitalize(struct str_call *c)
{
    return cased(c, TEXT_CAPITAL);
}

static value str_swapcase(struct str_call *c)
{
    return cased(c, TEXT_SWAP);
}

static value stripped(struct str_call *c, enum text_side side)
{
    str set;

    if (c->arg[0].kind == VALUE_MISSING || c->arg[0].kind == VALUE_NONE)
        return like_self(c, value_str(text_strip(c->s, side)));
    if (!text_arg(c, 0, &set)) return value_none();
    return like_self(c, value_str(text_strip_set(c->s, set, side)));
}

static value str_strip(struct str_call *c)
{
    return stripped(c, TEXT_BOTH);
}

static value str_lstrip(struct str_call *c)
{
    return stripped(c, TEXT_LEFT);
}

static value str_rstrip(struct str_call *c)
{
    return stripped(c, TEXT_RIGHT);
}

static value str_removeprefix(struct str_call *c)
{
    str what;
    if (!text_arg(c, 0, &what)) return value_none();
    return like_self(c, value_str(str_starts(c->s, what) ? str_tail(c->s, what.len) : c->s));
}

static value str_removesuffix(struct str_call *c)
{
    str what;
    if (!text_arg(c, 0, &what)) return value_none();
    return like_self(c,
                     value_str(str_ends(c->s, what) ? str_head(c->s, c->s.len - what.len) : c->s));
}

/* ---- splitting and joining ---- */

struct pieces {
    struct render *r;
    value *at;
    size_t count, cap;
};

static void piece_add(struct pieces *p, str s)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        value *wider = render_take_array(p->r, cap, sizeof *wider);
        if (wider == NULL) return;
        if (p->count) memcpy(wider, p->at, p->count * sizeof *wider);
        p->at = wider;
        p->cap = cap;
    }
    render_step(p->r, 1);
    p->at[p->count++] = value_str(s);
}

static size_t space_run(str s, size_t at) /* bytes of white space from here */
{
    size_t from = at, used;
    while (at < s.len && text_is_space(text_at(s, at, &used))) at += used;
    return at - from;
}

static void split_blanks(struct pieces *p, str s, int64_t max)
{
    size_t at = space_run(s, 0), used;

    while (at < s.len && !p->r->failed) {
        if (max-- == 0) {
            piece_add(p, text_strip(str_tail(s, at), TEXT_RIGHT));
            return;
        }
        size_t from = at;
        while (at < s.len && !text_is_space(text_at(s, at, &used))) at += used;
        piece_add(p, str_span(s.at + from, at - from));
        at += space_run(s, at);
    }
}

static value str_split_(struct str_call *c)
{
    struct pieces p = {.r = c->r};
    int64_t max = int_arg(c, 1, -1);
    str sep, rest = c->s;

    if (c->arg[0].kind == VALUE_MISSING || c->arg[0].kind == VALUE_NONE) {
        split_blanks(&p, rest, max);
        return value_list_of(c->r, VALUE_LIST, p.at, p.count);
    }
    if (!text_arg(c, 0, &sep)) return value_none();
    if (sep.len == 0) return fail(c->r, "empty separator");
    while (max != 0 && !c->r->failed) {
        size_t at = str_find(rest, sep);
        if (at == STR_NPOS) break;
        piece_add(&p, str_head(rest, at));
        rest = str_tail(rest, at + sep.len);
        max--;
    }
    piece_add(&p, rest);
    return value_list_of(c->r, VALUE_LIST, p.at, p.count);
}

static size_t find_last(str s, str what)
{
    for (size_t at = s.len >= what.len ? s.len - what.len + 1 : 0; at-- > 0;)
        if (str_starts(str_tail(s, at), what)) return at;
    return STR_NPOS;
}

static void rsplit_blanks(struct pieces *p, str s, int64_t max)
{
    size_t used;

    for (s = text_strip(s, TEXT_RIGHT); s.len && !p->r->failed; s = text_strip(s, TEXT_RIGHT)) {
        if (max-- == 0) {
            piece_add(p, text_strip(s, TEXT_LEFT));
            return;
        }
        size_t from = s.len;
        while (from > 0 && !text_is_space(text_before(s, from, &used))) from -= used;
        piece_add(p, str_tail(s, from));
        s = str_head(s, from);
    }
}

static value str_rsplit(struct str_call *c)
{
    struct pieces p = {.r = c->r};
    int64_t max = int_arg(c, 1, -1);
    str sep, rest = c->s;

    if (c->arg[0].kind == VALUE_MISSING || c->arg[0].kind == VALUE_NONE) {
        rsplit_blanks(&p, rest, max);
    } else {
        if (!text_arg(c, 0, &sep)) return value_none();
        if (sep.len == 0) return fail(c->r, "empty separator");
        while (max != 0 && !c->r->failed) {
            size_t at = find_last(rest, sep);
            if (at == STR_NPOS) break;
            piece_add(&p, str_tail(rest, at + sep.len));
            rest = str_head(rest, at);
            max--;
        }
        piece_add(&p, rest);
    }
    value v = value_list(c->r, VALUE_LIST, p.count);
    for (size_t i = 0; i < v.u.list->count; i++) v.u.list->at[i] = p.at[p.count - 1 - i];
    return v;
}

static value str_splitlines(struct str_call *c)
{
    return str_split_lines(c->r, c->s, c->arg[0].kind != VALUE_MISSING && value_true(c->arg[0]));
}

static value partition(struct str_call *c, bool last)
{
    str sep;

    if (!text_arg(c, 0, &sep)) return value_none();
    if (sep.len == 0) return fail(c->r, "empty separator");
    size_t at = last ? find_last(c->s, sep) : str_find(c->s, sep);
    value part[3] = {value_str(STR("")), value_str(STR("")), value_str(STR(""))};
    if (at == STR_NPOS) {
        part[last ? 2 : 0] = value_str(c->s);
    } else {
        part[0] = value_str(str_head(c->s, at));
        part[1] = value_str(sep);
        part[2] = value_str(str_tail(c->s, at + sep.len));
    }
    return value_list_of(c->r, VALUE_TUPLE, part, 3);
}

static value str_partition(struct str_call *c)
{
    return partition(c, false);
}

static value str_rpartition(struct str_call *c)
{
    return partition(c, true);
}

static value str_join_(struct str_call *c)
{
    if (c->arg[0].kind == VALUE_MISSING) return fail(c->r, "join() takes one argument");
    const struct value_list *parts = value_elements(c->r, c->arg[0]);
    return c->r->failed ? value_none() : str_join(c->r, c->s, parts);
}

static value str_replace_(struct str_call *c)
{
    str old, new;
    if (!text_arg(c, 0, &old) || !text_arg(c, 1, &new)) return value_none();
    return str_replace(c->r, c->self, old, new, int_arg(c, 2, -1));
}

/* ---- looking ---- */

/* The part of the string that the optional arguments 1 and 2 choose, and where it begins. */
static str part_of(struct str_call *c, int64_t *from)
{
    int64_t count = value_length(c->r, c->self), to = int_arg(c, 2, count);

    *from = int_arg(c, 1, 0);
    if (*from < 0) *from = *from < -count ? 0 : *from + count;
    value part = op_slice(c->r, c->self, value_int(*from), value_int(to), value_none());
    return part.kind == VALUE_STR ? value_text(part) : STR("");
}

static value matches(struct str_call *c, bool end)
{
    int64_t from;
    str s = part_of(c, &from), what;

    if (c->arg[0].kind != VALUE_TUPLE) {
        if (!text_arg(c, 0, &what)) return value_none();
        return value_bool(end ? str_ends(s, what) : str_starts(s, what));
    }
    const struct value_list *any = c->arg[0].u.list;
    bool hit = false;
    for (size_t i = 0; i < any->count && !hit; i++) {
        if (any->at[i].kind != VALUE_STR) return fail(c->r, "a tuple of str is required");
        what = value_text(any->at[i]);
        hit = end ? str_ends(s, what) : str_starts(s, what);
    }
    return value_bool(hit);
}

static value str_startswith(struct str_call *c)
{
    return matches(c, false);
}

static value str_endswith(struct str_call *c)
{
    return matches(c, true);
}

static value find_char(struct str_call *c, bool last, bool must)
{
    int64_t from;
    str s = part_of(c, &from), what;

    if (!text_arg(c, 0, &what)) return value_none();
    size_t at = last ? find_last(s, what) : str_find(s, what);
    if (at == STR_NPOS || from > value_length(c->r, c->self))
        return must ? fail(c->r, "substring not found") : value_int(-1);
    return value_int(from + value_length(c->r, value_str(str_head(s, at))));
}

static value str_find_(struct str_call *c)
{
    return find_char(c, false, false);
}

static value str_rfind_(struct str_call *c)
{
    return find_char(c, true, false);
}

static value str_index(struct str_call *c)
{
    return find_char(c, false, true);
}

static value str_rindex(struct str_call *c)
{
    return find_char(c, true, true);
}

static value str_count(struct str_call *c)
{
    int64_t from, n = 0;
    str s = part_of(c, &from), what;

    if (!text_arg(c, 0, &what)) return value_none();
    if (what.len == 0) return value_int(value_length(c->r, value_str(s)) + 1);
    for (size_t at; (at = str_find(s, what)) != STR_NPOS; n++) s = str_tail(s, at + what.len);
    return value_int(n);
}

typedef bool char_class(int32_t c);

static bool is_alnum(int32_t c)
{
    return text_is_alpha(c) || text_is_digit(c);
}

static value all_of(struct str_call *c, char_class *is)
{
    size_t used;
    bool all = c->s.len > 0;

    for (size_t i = 0; all && i < c->s.len; i += used) all = is(text_at(c->s, i, &used));
    return value_bool(all);
}

static value str_isalpha(struct str_call *c)
{
    return all_of(c, text_is_alpha);
}

static value str_isdigit(struct str_call *c)
{
    return all_of(c, text_is_digit);
}

static value str_isalnum(struct str_call *c)
{
    return all_of(c, is_alnum);
}

static value str_isspace(struct str_call *c)
{
    return all_of(c, text_is_space);
}

static value str_islower(struct str_call *c)
{
    return value_bool(test_find(STR("lower"))(c->r, c->self, c->a));
}

static value str_isupper(struct str_call *c)
{
    return value_bool(test_find(STR("upper"))(c->r, c->self, c->a));
}

/* ---- width ---- */

static value padded(struct str_call *c, char side)
{
    str fill = STR(" ");
    if (c->arg[1].kind != VALUE_MISSING && !text_arg(c, 1, &fill)) return value_none();
    if (value_length(c->r, value_str(fill)) != 1)
        return fail(c->r, "the fill must be one character");
    int64_t width = int_arg(c, 0, 0);
    return c->r->failed ? value_none() : str_pad(c->r, c->s, width, fill, side);
}

static value str_ljust(struct str_call *c)
{
    return padded(c, '<');
}

static value str_rjust(struct str_call *c)
{
    return padded(c, '>');
}

static value str_center(struct str_call *c)
{
    return padded(c, '^');
}

static value str_zfill(struct str_call *c)
{
    bool sign = str_starts(c->s, STR("-")) || str_starts(c->s, STR("+"));
    int64_t width = int_arg(c, 0, 0);
    value digits = str_pad(c->r, str_tail(c->s, sign), width - sign, STR("0"), '>');
    if (!sign || c->r->failed) return digits;
    return op_binary(c->r, OP_ADD, value_str(str_head(c->s, 1)), digits);
}

static value str_format(struct str_call *c)
{
    return format_braces(c->r, c->s, c->a);
}

/* clang-format off */
static const struct str_method {
    const char *name;
    value (*call)(struct str_call *c);
    const char *args; /* NULL: the method looks at them itself */
} str_methods[] = {
    {"upper", str_upper, ""}, {"lower", str_lower, ""}, {"title", str_title, ""},
    {"capitalize", str_capitalize, ""}, {"swapcase", str_swapcase, ""},
    {"strip", str_strip, "chars"}, {"lstrip", str_lstrip, "chars"}, {"rstrip", str_rstrip, "chars"},
    {"removeprefix", str_removeprefix, "prefix"}, {"removesuffix", str_removesuffix, "suffix"},
    {"split", str_split_, "sep maxsplit"}, {"rsplit", str_rsplit, "sep maxsplit"},
    {"splitlines", str_splitlines, "keepends"}, {"partition", str_partition, "sep"},
    {"rpartition", str_rpartition, "sep"}, {"join", str_join_, "iterable"},
    {"replace", str_replace_, "old new count"}, {"startswith", str_startswith, "prefix start end"},
    {"endswith", str_endswith, "suffix start end"}, {"find", str_find_, "sub start end"},
    {"rfind", str_rfind_, "sub start end"}, {"index", str_index, "sub start end"},
    {"rindex", str_rindex, "sub start end"}, {"count", str_count, "sub start end"},
    {"isalpha", str_isalpha, ""}, {"isdigit", str_isdigit, ""}, {"isdecimal", str_isdigit, ""},
    {"isnumeric", str_isdigit, ""}, {"isalnum", str_isalnum, ""}, {"isspace", str_isspace, ""},
    {"islower", str_islower, ""}, {"isupper", str_isupper, ""}, {"ljust", str_ljust, "width fillchar"},
    {"rjust", str_rjust, "width fillchar"}, {"center", str_center, "width fillchar"},
    {"zfill", str_zfill, "width"}, {"format", str_format, NULL},
};
/* clang-format on */

static const struct str_method *str_method(str name)
{
    for (size_t i = 0; i < sizeof str_methods / sizeof *str_methods; i++)
        if (str_eq(name, str_of(str_methods[i].name))) return &str_methods[i];
    return NULL;
}

bool str_method_exists(str name)
{
    return str_method(name) != NULL;
}

value str_method_call(struct render *r, const struct method *m, const struct args *a)
{
    const struct str_method *method = str_method(m->name);
    struct str_call c = {.r = r, .self = m->of, .s = value_text(m->of), .a = a};
    if (method->args && *method->args && !args_bind(r, a, method->name, method->args, c.arg))
        return value_none();
    if (method->args && !*method->args && a->count + a->named_count)
        return fail(r, "the method takes no arguments");
    for (int i = 0; i < 3; i++)
        if (c.arg[i].kind == VALUE_UNDEFINED && c.arg[i].u.text == NULL) c.arg[i] = value_missing();
    return render_bytes(r, c.s.len) ? method->call(&c) : value_none();
}
