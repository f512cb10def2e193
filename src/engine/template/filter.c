/* The filters of one value. */
#include "engine/template/text.h"

#include "engine/template/filter.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/limits.h"
#include "engine/template/method.h"

bool filter_flag(value v, bool otherwise)
{
    return v.kind == VALUE_MISSING ? otherwise : value_true(v);
}

int64_t filter_int(struct render *r, value v, int64_t otherwise)
{
    if (v.kind == VALUE_MISSING) return otherwise;
    if (v.kind == VALUE_INT) return v.u.i;
    if (v.kind == VALUE_BOOL) return v.u.truth;
    render_fail(r, ERR_UNSUPPORTED, "'%s' object cannot be interpreted as an integer",
                value_type(v));
    return otherwise;
}

str filter_str(struct render *r, value v)
{
    value text = print_to_str(r, v);
    return text.kind == VALUE_STR ? value_text(text) : STR("");
}

value filter_case(struct render *r, str s, enum text_case how)
{
    struct buf b;

    render_buf(&b);
    text_case(&b, s, how);
    return render_text(r, &b);
}

static value keep_safe(value v, value as)
{
    v.safe = as.kind == VALUE_STR && as.safe;
    return v;
}

/* ---- text ---- */

static value filter_string(struct render *r, value in, const struct args *a)
{
    return print_to_str(r, in);
}

static value filter_upper(struct render *r, value in, const struct args *a)
{
    return keep_safe(filter_case(r, filter_str(r, in), TEXT_UPPER), in);
}

static value filter_lower(struct render *r, value in, const struct args *a)
{
    return keep_safe(filter_case(r, filter_str(r, in), TEXT_LOWER), in);
}

static value filter_capitalize(struct render *r, value in, const struct args *a)
{
    return keep_safe(filter_case(r, filter_str(r, in), TEXT_CAPITAL), in);
}

/* Words begin after white space, '-' and opening brackets: not quite str.title(). */
static value filter_title(struct render *r, value in, const struct args *a)
{
    str s = filter_str(r, in);
    struct buf b;
    size_t used;
    bool first = true;

    render_buf(&b);
    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        bool between = text_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
        text_case(&b, str_span(s.at + i, used), first && !between ? TEXT_UPPER : TEXT_LOWER);
        first = between;
    }
    return render_text(r, &b);
}

static value filter_trim(struct render *r, value in, const struct args *a)
{
    value chars;
    str s = filter_str(r, in);

    if (!args_bind(r, a, "trim", "chars", &chars)) return value_none();
    bool set = chars.kind == VALUE_STR;
    return keep_safe(value_str(set ? text_strip_set(s, value_text(chars), TEXT_BOTH)
                                   : text_strip(s, TEXT_BOTH)),
                     in);
}

static value filter_replace(struct render *r, value in, const struct args *a)
{
    value arg[3];

    if (!args_bind(r, a, "replace", "old new count", arg)) return value_none();
    if (arg[0].kind == VALUE_MISSING || arg[1].kind == VALUE_MISSING)
        return render_fail(r, ERR_UNSUPPORTED, "replace() takes the old and the new text");
    bool all = arg[2].kind == VALUE_MISSING || arg[2].kind == VALUE_NONE;
    int64_t count = all ? -1 : filter_int(r, arg[2], -1);
    return str_replace(r, value_str(filter_str(r, in)), filter_str(r, arg[0]),
                       filter_str(r, arg[1]), count);
}

static void indent_lines(struct buf *to, const struct value_list *lines, str indent, bool first,
                         bool blank)
{
    for (size_t i = 0; i < lines->count; i++) {
        str line = value_text(lines->at[i]);
        if (i) buf_add_char(to, '\n');
        if (i == 0 ? first : (blank || line.len)) buf_add(to, indent);
        buf_add(to, line);
    }
}

static value filter_indent(struct render *r, value in, const struct args *a)
{
    value arg[3], indent;
    struct buf b;

    if (!args_bind(r, a, "indent", "width first blank", arg)) return value_none();
    if (arg[0].kind == VALUE_STR)
        indent = arg[0];
    else
        indent = op_binary(r, OP_MUL, value_str(STR(" ")), value_int(filter_int(r, arg[0], 4)));
    if (r->failed) return value_none();
    value text = op_binary(r, OP_ADD, in, value_str(STR("\n")));
    if (r->failed) return value_none();
    value lines = str_split_lines(r, value_text(text), false);
    render_buf(&b);
    indent_lines(&b, lines.u.list, value_text(indent), filter_flag(arg[1], false),
                 filter_flag(arg[2], false));
    return render_text(r, &b);
}

static value filter_center(struct render *r, value in, const struct args *a)
{
    value width;
    if (!args_bind(r, a, "center", "width", &width)) return value_none();
    return str_pad(r, filter_str(r, in), filter_int(r, width, 80), STR(" "), '^');
}

static value filter_truncate(struct render *r, value in, const struct args *a)
{
    value arg[4];

    if (!args_bind(r, a, "truncate", "length killwords end leeway", arg)) return value_none();
    str end = arg[2].kind == VALUE_STR ? value_text(arg[2]) : STR("...");
    int64_t length = filter_int(r, arg[0], 255);
    int64_t leeway = arg[3].kind == VALUE_NONE ? 5 : filter_int(r, arg[3], 5);
    int64_t count = value_length(r, in);
    if (count < 0)
        return render_fail(r, ERR_UNSUPPORTED, "object of type '%s' has no len()", value_type(in));
    if (r->failed || count <= length + leeway) return in;
    int64_t keep = length - value_length(r, value_str(end));
    value head = op_slice(r, in, value_none(), value_int(keep), value_none());
    if (r->failed) return value_none();
    if (head.kind != VALUE_STR) return op_binary(r, OP_ADD, head, value_str(end));
    str kept = value_text(head);
    size_t blank = filter_flag(arg[1], false) ? STR_NPOS : str_rfind_char(kept, ' ');
    if (blank != STR_NPOS) kept = str_head(kept, blank);
    return op_binary(r, OP_ADD, value_str(kept), value_str(end));
}

static value filter_wordcount(struct render *r, value in, const struct args *a)
{
    str s = filter_str(r, in);
    int64_t words = 0;
    bool inside = false;
    size_t used;

    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        bool word = text_is_alpha(c) || text_is_digit(c) || c == '_';
        words += word && !inside;
        inside = word;
    }
    return value_int(words);
}

static value filter_safe(struct render *r, value in, const struct args *a)
{
    value v = print_to_str(r, in);
    v.safe = true;
    return v;
}

static value filter_escape(struct render *r, value in, const struct args *a)
{
    value v = print_to_str(r, in);
    if (v.safe || r->failed) return v;
    value none = value_str(STR(""));
    none.safe = true;
    return op_binary(r, OP_ADD, none, v);
}

static value filter_forceescape(struct render *r, value in, const struct args *a)
{
    value v = print_to_str(r, in);
    v.safe = false;
    return filter_escape(r, v, a);
}

static value filter_urlencode(struct render *r, value in, const struct args *a)
{
    str s = filter_str(r, in);
    struct buf b;

    render_buf(&b);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c && strchr("_.-~/", c));
        if (plain)
            buf_add_char(&b, c);
        else
            buf_addf(&b, "%%%02X", (unsigned char)c);
    }
    return render_text(r, &b);
}

static value filter_format(struct render *r, value in, const struct args *a)
{
    value with;

    if (a->named_count) {
        with = value_dict(r, VALUE_DICT);
        for (size_t i = 0; i < a->named_count; i++)
            dict_set(r, with.u.dict, value_str(a->named[i].name), a->named[i].v);
    } else {
        with = value_list_of(r, VALUE_TUPLE, a->at, a->count);
    }
    return r->failed ? value_none() : format_percent(r, value_str(filter_str(r, in)), with);
}

static value filter_tojson(struct render *r, value in, const struct args *a)
{
    value arg[4];
    struct json_style style = {.item_separator = STR(", "), .key_separator = STR(": ")};
    struct buf b;

    if (!args_bind(r, a, "tojson", "ensure_ascii indent separators sort_keys", arg))
        return value_none();
    style.ascii = filter_flag(arg[0], false);
    style.sort_keys = filter_flag(arg[3], false);
    if (arg[1].kind == VALUE_STR) {
        style.indent = value_text(arg[1]);
    } else if (arg[1].kind != VALUE_MISSING && arg[1].kind != VALUE_NONE) {
        value blanks =
            op_binary(r, OP_MUL, value_str(STR(" ")), value_int(filter_int(r, arg[1], 0)));
        if (r->failed) return value_none();
        style.indent = value_text(blanks);
    }
    style.indented = arg[1].kind != VALUE_MISSING && arg[1].kind != VALUE_NONE;
    if (style.indented) style.item_separator = STR(",");
    if (value_is_seq(arg[2]) && arg[2].u.list->count == 2 &&
        arg[2].u.list->at[0].kind == VALUE_STR && arg[2].u.list->at[1].kind == VALUE_STR) {
        style.item_separator = value_text(arg[2].u.list->at[0]);
        style.key_separator = value_text(arg[2].u.list->at[1]);
    }
    render_buf(&b);
    print_json(r, &b, in, &style);
    return render_text(r, &b);
}

/* ---- numbers ---- */

static bool parse_float(str s, double *out)
{
    char text[64], *end;
    size_t n = 0;

    s = text_strip(s, TEXT_BOTH);
    if (s.len == 0 || s.len >= sizeof text) return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == 'x' || c == 'X' || c == '\0') return false;
        if (c != '_') text[n++] = c;
    }
    text[n] = '\0';
    *out = strtod(text, &end);
    return n && *end == '\0';
}

static value int_of_float(struct render *r, double f, value otherwise)
{
    char text[400];

    if (!isfinite(f)) return otherwise;
    snprintf(text, sizeof text, "%.0f", trunc(f));
    return value_of_integer_text(r, str_of(text));
}

static value int_of_text(struct render *r, str s, int base, value otherwise)
{
    char text[80], *end;
    size_t n = 0;
    double f;

    s = text_strip(s, TEXT_BOTH);
    if (s.len < sizeof text && s.len) {
        for (size_t i = 0; i < s.len; i++)
            if (s.at[i] != '_') text[n++] = s.at[i];
        text[n] = '\0';
        errno = 0;
        long long i = strtoll(text, &end, base);
        if (end > text && *end == '\0')
            return errno ? value_of_integer_text(r, str_of(text)) : value_int(i);
    }
    return parse_float(s, &f) ? int_of_float(r, f, otherwise) : otherwise;
}

static value filter_int_(struct render *r, value in, const struct args *a)
{
    value arg[2];

    if (!args_bind(r, a, "int", "default base", arg)) return value_none();
    value otherwise = arg[0].kind == VALUE_MISSING ? value_int(0) : arg[0];
    switch (in.kind) {
    case VALUE_BOOL: return value_int(in.u.truth);
    case VALUE_INT:
    case VALUE_BIG: return in;
    case VALUE_FLOAT: return int_of_float(r, in.u.f, otherwise);
    case VALUE_STR:
        return int_of_text(r, value_text(in), (int)filter_int(r, arg[1], 10), otherwise);
    case VALUE_UNDEFINED:
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(in)));
    default: return otherwise;
    }
}

static value filter_float(struct render *r, value in, const struct args *a)
{
    value otherwise;
    double f;

    if (!args_bind(r, a, "float", "default", &otherwise)) return value_none();
    if (otherwise.kind == VALUE_MISSING) otherwise = value_float(0);
    if (value_is_number(in)) return value_float(value_as_float(in));
    if (in.kind == VALUE_UNDEFINED)
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(in)));
    return in.kind == VALUE_STR && parse_float(value_text(in), &f) ? value_float(f) : otherwise;
}

static value filter_abs(struct render *r, value in, const struct args *a)
{
    if (!value_is_number(in)) return render_fail(r, ERR_UNSUPPORTED, "bad operand type for abs()");
    bool minus = value_compare(r, in, value_int(0)) < 0;
    return minus ? op_negate(r, in) : eval_sign(r, in);
}

static value filter_round(struct render *r, value in, const struct args *a)
{
    value arg[2];
    char text[400];

    if (!args_bind(r, a, "round", "precision method", arg)) return value_none();
    int64_t precision = filter_int(r, arg[0], 0);
    str method = arg[1].kind == VALUE_STR ? value_text(arg[1]) : STR("common");
    if (!value_is_number(in))
        return render_fail(r, ERR_UNSUPPORTED, "'%s' cannot be rounded", value_type(in));
    if (r->failed) return value_none();
    if (precision < -300 || precision > 300) return in;
    double f = value_as_float(in), scale = pow(10, (double)precision);
    if (str_eq(method, STR("ceil"))) return value_float(ceil(f * scale) / scale);
    if (str_eq(method, STR("floor"))) return value_float(floor(f * scale) / scale);
    if (in.kind != VALUE_FLOAT && precision >= 0) return eval_sign(r, in);
    if (precision < 0) {
        double whole = nearbyint(f * scale) / scale;
        return in.kind == VALUE_FLOAT ? value_float(whole) : int_of_float(r, whole, in);
    }
    if (!isfinite(f) || fabs(f) > 1e300) return in;
    snprintf(text, sizeof text, "%.*f", (int)(precision > 50 ? 50 : precision), f);
    return value_float(strtod(text, NULL));
}

/* ---- whatever it is ---- */

static value filter_default(struct render *r, value in, const struct args *a)
{
    value arg[2];

    if (!args_bind(r, a, "default", "default_value boolean", arg)) return value_none();
    bool absent = in.kind == VALUE_UNDEFINED || (filter_flag(arg[1], false) && !value_true(in));
    if (!absent) return in;
    return arg[0].kind == VALUE_MISSING ? value_str(STR("")) : arg[0];
}

static value filter_attr(struct render *r, value in, const struct args *a)
{
    value name;
    if (!args_bind(r, a, "attr", "name", &name) || name.kind != VALUE_STR)
        return render_fail(r, ERR_UNSUPPORTED, "attr() takes a name");
    if (in.kind == VALUE_DICT && !method_exists(in, value_text(name), &(bool){false}))
        return value_undefined(value_text(name)); /* attributes only, no items */
    return eval_get_attr(r, in, value_text(name));
}

filter_call *filter_find(str name)
{
    /* clang-format off */
    static const struct filter all[] = {
        {"string", filter_string}, {"upper", filter_upper}, {"lower", filter_lower},
        {"capitalize", filter_capitalize}, {"title", filter_title}, {"trim", filter_trim},
        {"replace", filter_replace}, {"indent", filter_indent}, {"center", filter_center},
        {"truncate", filter_truncate}, {"wordcount", filter_wordcount}, {"safe", filter_safe},
        {"escape", filter_escape}, {"e", filter_escape}, {"forceescape", filter_forceescape},
        {"urlencode", filter_urlencode}, {"format", filter_format}, {"tojson", filter_tojson},
        {"int", filter_int_}, {"float", filter_float}, {"abs", filter_abs}, {"round", filter_round},
        {"default", filter_default}, {"d", filter_default}, {"attr", filter_attr},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_eq(name, str_of(all[i].name))) return all[i].call;
    for (size_t i = 0; i < filter_seq_count; i++)
        if (str_eq(name, str_of(filter_seq_all[i].name))) return filter_seq_all[i].call;
    return NULL;
}
