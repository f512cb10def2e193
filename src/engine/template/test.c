/* The tests of `x is ...`. */
#include "engine/template/render.h"
#include "engine/template/text.h"

static bool test_defined(struct render *r, value v, const struct args *a)
{
    return v.kind != VALUE_UNDEFINED;
}

static bool test_undefined(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_UNDEFINED;
}

static bool test_none(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_NONE;
}

static bool test_boolean(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_BOOL;
}

static bool test_true(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_BOOL && v.u.truth;
}

static bool test_false(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_BOOL && !v.u.truth;
}

static bool test_integer(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_INT || v.kind == VALUE_BIG;
}

static bool test_float(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_FLOAT;
}

static bool test_number(struct render *r, value v, const struct args *a)
{
    return value_is_number(v);
}

static bool test_string(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_STR;
}

static bool test_mapping(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_DICT;
}

static bool test_iterable(struct render *r, value v, const struct args *a)
{
    switch (v.kind) {
    case VALUE_UNDEFINED:
    case VALUE_STR:
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW:
    case VALUE_GENERATOR:
    case VALUE_RANGE:
    case VALUE_LOOP:
    case VALUE_DICT: return true;
    default: return false;
    }
}

static bool test_sequence(struct render *r, value v, const struct args *a)
{
    switch (v.kind) {
    case VALUE_UNDEFINED:
    case VALUE_STR:
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_DICT: return true;
    default: return false;
    }
}

static bool test_callable(struct render *r, value v, const struct args *a)
{
    switch (v.kind) {
    case VALUE_UNDEFINED: /* it can be called, and says then that it is undefined */
    case VALUE_LOOP:
    case VALUE_MACRO:
    case VALUE_METHOD:
    case VALUE_FUNCTION:
    case VALUE_JOINER: return true;
    default: return false;
    }
}

static bool test_escaped(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_STR && v.safe;
}

/* ---- with an argument ---- */

static value argument(struct render *r, const struct args *a)
{
    if (a->count + a->named_count != 1) {
        render_fail(r, ERR_UNSUPPORTED, "the test takes one argument");
        return value_none();
    }
    return a->count ? a->at[0] : a->named[0].v;
}

static bool test_eq(struct render *r, value v, const struct args *a)
{
    return value_equal(r, v, argument(r, a));
}

static bool test_ne(struct render *r, value v, const struct args *a)
{
    return !value_equal(r, v, argument(r, a));
}

static bool test_lt(struct render *r, value v, const struct args *a)
{
    return value_compare(r, v, argument(r, a)) < 0;
}

static bool test_le(struct render *r, value v, const struct args *a)
{
    return value_compare(r, v, argument(r, a)) <= 0;
}

static bool test_gt(struct render *r, value v, const struct args *a)
{
    return value_compare(r, v, argument(r, a)) > 0;
}

static bool test_ge(struct render *r, value v, const struct args *a)
{
    return value_compare(r, v, argument(r, a)) >= 0;
}

static bool test_in(struct render *r, value v, const struct args *a)
{
    value in = argument(r, a);
    return !r->failed && value_contains(r, in, v);
}

static bool test_sameas(struct render *r, value v, const struct args *a)
{
    value other = argument(r, a);
    return v.kind == other.kind &&
           (v.u.list == other.u.list || (v.kind <= VALUE_STR && value_equal(r, v, other)));
}

static bool remainder_is(struct render *r, value v, int64_t by, int64_t rest)
{
    value left = op_binary(r, OP_MOD, v, value_int(by));
    return !r->failed && value_equal(r, left, value_int(rest));
}

static bool test_odd(struct render *r, value v, const struct args *a)
{
    return remainder_is(r, v, 2, 1);
}

static bool test_even(struct render *r, value v, const struct args *a)
{
    return remainder_is(r, v, 2, 0);
}

static bool test_divisibleby(struct render *r, value v, const struct args *a)
{
    value left = op_binary(r, OP_MOD, v, argument(r, a));
    return !r->failed && value_equal(r, left, value_int(0));
}

/* str.islower and str.isupper: some cased letter, and none of the other case. */
static bool all_cased(struct render *r, value v, bool upper)
{
    value text = print_to_str(r, v);
    str s = value_text(text);
    bool some = false;
    size_t used;

    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        if (upper ? text_is_cased_lower(c) : text_is_cased_upper(c)) return false;
        some = some || text_is_cased_upper(c) || text_is_cased_lower(c);
    }
    return some;
}

static bool test_lower(struct render *r, value v, const struct args *a)
{
    return all_cased(r, v, false);
}

static bool test_upper(struct render *r, value v, const struct args *a)
{
    return all_cased(r, v, true);
}

static bool test_filter(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_STR && filter_find(value_text(v)) != NULL;
}

static bool test_test(struct render *r, value v, const struct args *a)
{
    return v.kind == VALUE_STR && test_find(value_text(v)) != NULL;
}

test_call *test_find(str name)
{
    /* clang-format off */
    static const struct {
        const char *name;
        test_call *call;
    } all[] = {
        {"defined", test_defined}, {"undefined", test_undefined}, {"none", test_none},
        {"boolean", test_boolean}, {"true", test_true}, {"false", test_false},
        {"integer", test_integer}, {"float", test_float}, {"number", test_number},
        {"string", test_string}, {"mapping", test_mapping}, {"iterable", test_iterable},
        {"sequence", test_sequence}, {"callable", test_callable}, {"escaped", test_escaped},
        {"odd", test_odd}, {"even", test_even}, {"divisibleby", test_divisibleby},
        {"lower", test_lower}, {"upper", test_upper}, {"sameas", test_sameas}, {"in", test_in},
        {"eq", test_eq}, {"equalto", test_eq}, {"==", test_eq}, {"ne", test_ne}, {"!=", test_ne},
        {"lt", test_lt}, {"lessthan", test_lt}, {"<", test_lt}, {"le", test_le}, {"<=", test_le},
        {"gt", test_gt}, {"greaterthan", test_gt}, {">", test_gt}, {"ge", test_ge}, {">=", test_ge},
        {"filter", test_filter}, {"test", test_test},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_eq(name, str_of(all[i].name))) return all[i].call;
    return NULL;
}
