/* The filters of what can be iterated.  Where the reference gives a generator, so do we: it is
 * true, has no length and is read once. */
#include <stdlib.h>

#include "engine/template/filter.h"
#include "engine/template/method.h"

static value fail(struct render *r, const char *what)
{
    return render_fail(r, ERR_UNSUPPORTED, "%s", what);
}

/* "a.b.0" of a value: items first at each step. */
static value attribute(struct render *r, value of, value path)
{
    if (path.kind == VALUE_INT) return eval_get_item(r, of, path);
    str rest = value_text(path), name;
    while (str_split(&rest, '.', &name) && !r->failed) {
        uint64_t n;
        bool digits = str_to_u64(name, &n) && n <= INT64_MAX;
        of = eval_get_item(r, of, digits ? value_int((int64_t)n) : value_str(name));
    }
    return of;
}

static bool is_path(value v)
{
    return v.kind == VALUE_STR || v.kind == VALUE_INT;
}

static value fold_case(struct render *r, value v)
{
    return v.kind == VALUE_STR ? filter_case(r, value_text(v), TEXT_LOWER) : v;
}

/* ---- sorting: stable, and a comparison may fail ---- */

struct keyed {
    value key, at;
};

static void merge_sort(struct render *r, struct keyed *at, struct keyed *spare, size_t count,
                       bool falling)
{
    if (count < 2 || r->failed) return;
    size_t half = count / 2;
    merge_sort(r, at, spare, half, falling);
    merge_sort(r, at + half, spare, count - half, falling);
    size_t i = 0, j = half;
    for (size_t n = 0; n < count; n++) {
        bool right = i == half;
        if (!right && j < count) {
            int order = value_compare(r, at[i].key, at[j].key);
            right = falling ? order < 0 : order > 0;
        }
        spare[n] = right ? at[j++] : at[i++];
    }
    memcpy(at, spare, count * sizeof *at);
}

/* The key of one element: its attributes (several with commas between), letter case folded. */
static value sort_key(struct render *r, value v, value path, bool fold)
{
    if (!is_path(path)) return fold ? fold_case(r, v) : v;
    if (path.kind == VALUE_INT || str_find_char(value_text(path), ',') == STR_NPOS) {
        v = attribute(r, v, path);
        return fold ? fold_case(r, v) : v;
    }
    str rest = value_text(path), one;
    value parts[8];
    size_t count = 0;
    while (count < 8 && str_split(&rest, ',', &one)) {
        parts[count] = attribute(r, v, value_str(one));
        if (fold) parts[count] = fold_case(r, parts[count]);
        count++;
    }
    return value_list_of(r, VALUE_TUPLE, parts, count);
}

static value sorted(struct render *r, const struct value_list *in, value path, bool fold,
                    bool falling)
{
    struct keyed *at = render_take_array(r, in->count * 2 + 1, sizeof *at);
    value v = value_list(r, VALUE_LIST, in->count);

    if (r->failed) return value_none();
    for (size_t i = 0; i < in->count; i++) {
        value key = sort_key(r, in->at[i], path, fold);
        /* In a list: there equal ones, undefined too, need no order. */
        if (is_path(path)) key = value_list_of(r, VALUE_LIST, &key, 1);
        at[i] = (struct keyed){key, in->at[i]};
    }
    merge_sort(r, at, at + in->count, in->count, falling);
    for (size_t i = 0; i < v.u.list->count; i++) v.u.list->at[i] = at[i].at;
    return v;
}

static value filter_sort(struct render *r, value in, const struct args *a)
{
    value arg[3];

    if (!args_bind(r, a, "sort", "reverse case_sensitive attribute", arg)) return value_none();
    const struct value_list *all = value_elements(r, in);
    return r->failed
               ? value_none()
               : sorted(r, all, arg[2], !filter_flag(arg[1], false), filter_flag(arg[0], false));
}

static value dict_pairs(struct render *r, value in, enum value_kind kind)
{
    const struct dict *d = in.u.dict;
    value v = value_list(r, kind, d->count);
    for (size_t i = 0; i < v.u.list->count; i++)
        v.u.list->at[i] = value_pair(r, d->at[i].key, d->at[i].at);
    return v;
}

static value filter_dictsort(struct render *r, value in, const struct args *a)
{
    value arg[3];

    if (!args_bind(r, a, "dictsort", "case_sensitive by reverse", arg)) return value_none();
    if (in.kind != VALUE_DICT) return fail(r, "dictsort() takes a mapping");
    bool by_value = arg[1].kind == VALUE_STR && str_eq(value_text(arg[1]), STR("value"));
    value pairs = dict_pairs(r, in, VALUE_LIST);
    return r->failed ? value_none()
                     : sorted(r, pairs.u.list, value_int(by_value), !filter_flag(arg[0], false),
                              filter_flag(arg[2], false));
}

static value filter_items(struct render *r, value in, const struct args *a)
{
    if (in.kind == VALUE_UNDEFINED) return value_list(r, VALUE_GENERATOR, 0);
    if (in.kind != VALUE_DICT) return fail(r, "Can only get item pairs from a mapping.");
    return dict_pairs(r, in, VALUE_GENERATOR);
}

static value filter_unique(struct render *r, value in, const struct args *a)
{
    value arg[2], seen = value_dict(r, VALUE_DICT);

    if (!args_bind(r, a, "unique", "case_sensitive attribute", arg)) return value_none();
    const struct value_list *all = value_elements(r, in);
    struct value_list *kept = value_list(r, VALUE_GENERATOR, all->count).u.list;
    size_t count = 0;
    for (size_t i = 0; i < kept->count && !r->failed; i++) {
        value key = sort_key(r, all->at[i], arg[1], !filter_flag(arg[0], false));
        if (dict_get(r, seen.u.dict, key)) continue;
        dict_set(r, seen.u.dict, key, value_none());
        kept->at[count++] = all->at[i];
    }
    if (kept->at) kept->count = count;
    return (value){.kind = VALUE_GENERATOR, .u.list = kept};
}

static value extreme(struct render *r, value in, const struct args *a, int sign)
{
    value arg[2];

    if (!args_bind(r, a, "min", "case_sensitive attribute", arg)) return value_none();
    const struct value_list *all = value_elements(r, in);
    if (r->failed || all->count == 0)
        return value_undefined(STR("No aggregated item, sequence was empty."));
    bool fold = !filter_flag(arg[0], false);
    size_t best = 0;
    value best_key = sort_key(r, all->at[0], arg[1], fold);
    for (size_t i = 1; i < all->count && !r->failed; i++) {
        value key = sort_key(r, all->at[i], arg[1], fold);
        if (value_compare(r, key, best_key) * sign <= 0) continue;
        best = i;
        best_key = key;
    }
    return all->at[best];
}

static value filter_min(struct render *r, value in, const struct args *a)
{
    return extreme(r, in, a, -1);
}

static value filter_max(struct render *r, value in, const struct args *a)
{
    return extreme(r, in, a, 1);
}

/* ---- picking and mapping ---- */

static struct args args_after(const struct args *a, size_t n)
{
    struct args rest = *a;
    rest.at += n;
    rest.count -= n;
    return rest;
}

/* select, reject, selectattr, rejectattr. */
static value pick(struct render *r, value in, const struct args *a, bool by_attribute, bool wanted)
{
    size_t at = by_attribute;
    test_call *test = NULL;
    struct args rest = {0};

    if (a->count < at || (by_attribute && !is_path(a->at[0])))
        return fail(r, "the attribute's name is missing");
    if (a->count > at) {
        if (a->at[at].kind != VALUE_STR) return fail(r, "the test's name is no text");
        test = test_find(value_text(a->at[at]));
        if (test == NULL)
            return render_fail(r, ERR_UNSUPPORTED, "no test named '%.*s'",
                               STR_ARG(value_text(a->at[at])));
        rest = args_after(a, at + 1);
    }
    if (!value_true(in)) return value_list(r, VALUE_GENERATOR, 0);
    const struct value_list *all = value_elements(r, in);
    struct value_list *kept = value_list(r, VALUE_GENERATOR, all->count).u.list;
    size_t count = 0;
    for (size_t i = 0; i < kept->count && !r->failed; i++) {
        value v = by_attribute ? attribute(r, all->at[i], a->at[0]) : all->at[i];
        if (r->failed || !render_step(r, 1)) break;
        if ((test ? test(r, v, &rest) : value_true(v)) == wanted) kept->at[count++] = all->at[i];
    }
    if (kept->at) kept->count = count;
    return (value){.kind = VALUE_GENERATOR, .u.list = kept};
}

static value filter_select(struct render *r, value in, const struct args *a)
{
    return pick(r, in, a, false, true);
}

static value filter_reject(struct render *r, value in, const struct args *a)
{
    return pick(r, in, a, false, false);
}

static value filter_selectattr(struct render *r, value in, const struct args *a)
{
    return pick(r, in, a, true, true);
}

static value filter_rejectattr(struct render *r, value in, const struct args *a)
{
    return pick(r, in, a, true, false);
}

static value filter_map(struct render *r, value in, const struct args *a)
{
    value path = value_missing(), otherwise = value_missing();
    filter_call *call = NULL;
    struct args rest = {0};

    if (a->count == 0) {
        for (size_t i = 0; i < a->named_count; i++) {
            if (str_eq(a->named[i].name, STR("attribute")))
                path = a->named[i].v;
            else if (str_eq(a->named[i].name, STR("default")))
                otherwise = a->named[i].v;
            else
                return fail(r, "map() got an unexpected keyword argument");
        }
        if (!is_path(path)) return fail(r, "map requires a filter argument");
    } else {
        if (a->at[0].kind != VALUE_STR) return fail(r, "the filter's name is no text");
        call = filter_find(value_text(a->at[0]));
        if (call == NULL)
            return render_fail(r, ERR_UNSUPPORTED, "no filter named '%.*s'",
                               STR_ARG(value_text(a->at[0])));
        rest = args_after(a, 1);
    }
    if (in.kind != VALUE_UNDEFINED && !value_true(in)) return value_list(r, VALUE_GENERATOR, 0);
    if (!render_enter(r)) return value_none();
    const struct value_list *all = value_elements(r, in);
    value v = value_list(r, VALUE_GENERATOR, all->count);
    for (size_t i = 0; i < v.u.list->count && render_step(r, 1); i++) {
        value one = call ? call(r, all->at[i], &rest) : attribute(r, all->at[i], path);
        bool absent = !call && one.kind == VALUE_UNDEFINED && otherwise.kind != VALUE_MISSING;
        v.u.list->at[i] = absent ? otherwise : one;
    }
    render_leave(r);
    return v;
}

/* ---- the rest ---- */

static value filter_first(struct render *r, value in, const struct args *a)
{
    const struct value_list *all = value_elements(r, in);
    return all->count ? all->at[0] : value_undefined(STR("No first item, sequence was empty."));
}

static value filter_last(struct render *r, value in, const struct args *a)
{
    const struct value_list *all = value_elements(r, in);
    return all->count ? all->at[all->count - 1]
                      : value_undefined(STR("No last item, sequence was empty."));
}

static value filter_length(struct render *r, value in, const struct args *a)
{
    int64_t n = value_length(r, in);
    if (n >= 0) return value_int(n);
    return render_fail(r, ERR_UNSUPPORTED, "object of type '%s' has no len()", value_type(in));
}

static value filter_list(struct render *r, value in, const struct args *a)
{
    const struct value_list *all = value_elements(r, in);
    return value_list_of(r, VALUE_LIST, all->at, r->failed ? 0 : all->count);
}

static value filter_join(struct render *r, value in, const struct args *a)
{
    value arg[2];

    if (!args_bind(r, a, "join", "d attribute", arg)) return value_none();
    const struct value_list *all = value_elements(r, in);
    value parts = value_list(r, VALUE_LIST, all->count);
    for (size_t i = 0; i < parts.u.list->count && !r->failed; i++) {
        value one = is_path(arg[1]) ? attribute(r, all->at[i], arg[1]) : all->at[i];
        parts.u.list->at[i] = print_to_str(r, one);
    }
    str between = arg[0].kind == VALUE_MISSING ? STR("") : filter_str(r, arg[0]);
    return r->failed ? value_none() : str_join(r, between, parts.u.list);
}

static value filter_reverse(struct render *r, value in, const struct args *a)
{
    if (in.kind == VALUE_STR) return op_slice(r, in, value_none(), value_none(), value_int(-1));
    const struct value_list *all = value_elements(r, in);
    value v = value_list(r, VALUE_GENERATOR, all->count);
    for (size_t i = 0; i < v.u.list->count; i++) v.u.list->at[i] = all->at[all->count - 1 - i];
    return v;
}

static value filter_sum(struct render *r, value in, const struct args *a)
{
    value arg[2];

    if (!args_bind(r, a, "sum", "attribute start", arg)) return value_none();
    value sum = arg[1].kind == VALUE_MISSING ? value_int(0) : arg[1];
    const struct value_list *all = value_elements(r, in);
    for (size_t i = 0; i < all->count && !r->failed; i++) {
        value one = is_path(arg[0]) ? attribute(r, all->at[i], arg[0]) : all->at[i];
        sum = op_binary(r, OP_ADD, sum, one);
    }
    return sum;
}

static value filter_batch(struct render *r, value in, const struct args *a)
{
    value arg[2];

    if (!args_bind(r, a, "batch", "linecount fill_with", arg)) return value_none();
    int64_t each = filter_int(r, arg[0], 0);
    const struct value_list *all = value_elements(r, in);
    if (r->failed || each <= 0) return fail(r, "batch() takes a positive count");
    size_t n = all->count ? (size_t)(((uint64_t)all->count - 1) / (uint64_t)each) + 1 : 0;
    bool filled = arg[1].kind != VALUE_MISSING && arg[1].kind != VALUE_NONE;
    value rows = value_list(r, VALUE_GENERATOR, n);
    for (size_t i = 0; i < rows.u.list->count; i++) {
        size_t from = i * (size_t)each, count = all->count - from;
        if (count > (size_t)each) count = (size_t)each;
        size_t wide = filled ? (size_t)each : count;
        if (!render_step(r, wide)) break;
        value row = value_list(r, VALUE_LIST, wide);
        for (size_t k = 0; k < row.u.list->count; k++)
            row.u.list->at[k] = k < count ? all->at[from + k] : arg[1];
        rows.u.list->at[i] = row;
    }
    return rows;
}

/* clang-format off */
const struct filter filter_seq_all[] = {
    {"sort", filter_sort}, {"dictsort", filter_dictsort}, {"items", filter_items},
    {"unique", filter_unique}, {"min", filter_min}, {"max", filter_max}, {"select", filter_select},
    {"reject", filter_reject}, {"selectattr", filter_selectattr}, {"rejectattr", filter_rejectattr},
    {"map", filter_map}, {"first", filter_first}, {"last", filter_last}, {"length", filter_length},
    {"count", filter_length}, {"list", filter_list}, {"join", filter_join},
    {"reverse", filter_reverse}, {"sum", filter_sum}, {"batch", filter_batch},
};
/* clang-format on */
const size_t filter_seq_count = sizeof filter_seq_all / sizeof *filter_seq_all;
