#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"
#include "engine/template/render.h"
#include "engine/template/text.h"

enum { DICT_INDEXED_FROM = 9 }; /* fewer entries are looked through */

/* ---- making ---- */

value value_list(struct render *r, enum value_kind kind, size_t count)
{
    static struct value_list none;
    struct value_list *l = render_take(r, sizeof *l);

    if (l == NULL) return (value){.kind = (uint8_t)kind, .u.list = &none};
    if (count) {
        l->at = render_take_array(r, count, sizeof *l->at);
        l->count = l->at ? count : 0;
        for (size_t i = 0; i < l->count; i++) l->at[i] = value_none();
    }
    return (value){.kind = (uint8_t)kind, .u.list = l};
}

value value_list_of(struct render *r, enum value_kind kind, const value *at, size_t count)
{
    value v = value_list(r, kind, count);
    if (v.u.list->count) memcpy(v.u.list->at, at, count * sizeof *at);
    return v;
}

value value_pair(struct render *r, value a, value b)
{
    return value_list_of(r, VALUE_TUPLE, (value[]){a, b}, 2);
}

value value_of_integer_text(struct render *r, str digits)
{
    char text[32];
    bool negative = digits.len && digits.at[0] == '-';
    str bare = str_tail(digits, negative || str_starts(digits, STR("+")));

    while (bare.len > 1 && bare.at[0] == '0') bare = str_tail(bare, 1);
    uint64_t n;
    if (str_to_u64(bare, &n) && n <= (uint64_t)INT64_MAX)
        return value_int(negative ? -(int64_t)n : (int64_t)n);
    if (bare.len < sizeof text - 1 && snprintf(text, sizeof text, "-%.*s", STR_ARG(bare)) > 0 &&
        negative && strcmp(text, "-9223372036854775808") == 0)
        return value_int(INT64_MIN);
    char *all = render_take(r, bare.len + 2);
    if (all == NULL) return value_none();
    snprintf(all, bare.len + 2, "%s%.*s", negative ? "-" : "", STR_ARG(bare));
    value v = value_str(str_of(all));
    v.kind = VALUE_BIG;
    return v;
}

static value number_of_text(struct render *r, str raw)
{
    bool whole = str_find_char(raw, '.') == STR_NPOS && str_find_char(raw, 'e') == STR_NPOS &&
                 str_find_char(raw, 'E') == STR_NPOS;
    char text[400];

    if (whole) return value_of_integer_text(r, raw);
    snprintf(text, sizeof text, "%.*s", STR_ARG(raw));
    return value_float(strtod(text, NULL));
}

value value_of_json(struct render *r, yyjson_val *v)
{
    value out = value_none();
    size_t at, max;
    yyjson_val *key, *kid;

    if (v == NULL || !render_step(r, 1) || !render_enter(r)) return out;
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_BOOL: out = value_bool(yyjson_get_bool(v)); break;
    case YYJSON_TYPE_STR: out = value_str((str){yyjson_get_str(v), yyjson_get_len(v)}); break;
    case YYJSON_TYPE_RAW:
        out = number_of_text(r, (str){yyjson_get_raw(v), yyjson_get_len(v)});
        break;
    case YYJSON_TYPE_NUM:
        if (yyjson_is_real(v)) {
            out = value_float(yyjson_get_real(v));
        } else if (yyjson_is_sint(v) || yyjson_get_uint(v) <= INT64_MAX) {
            out = value_int(yyjson_get_sint(v));
        } else {
            char text[24];
            snprintf(text, sizeof text, "%llu", (unsigned long long)yyjson_get_uint(v));
            out = value_of_integer_text(r, str_of(text));
        }
        break;
    case YYJSON_TYPE_ARR:
        out = value_list(r, VALUE_LIST, yyjson_arr_size(v));
        yyjson_arr_foreach(json_array_of(v), at, max, kid)
        {
            value one = value_of_json(r, kid);
            if (at < out.u.list->count) out.u.list->at[at] = one;
        }
        break;
    case YYJSON_TYPE_OBJ:
        out = value_dict(r, VALUE_DICT);
        yyjson_obj_foreach(json_object_of(v), at, max, key, kid)
        {
            str name = {yyjson_get_str(key), yyjson_get_len(key)};
            dict_set(r, out.u.dict, value_str(name), value_of_json(r, kid));
        }
        break;
    default: break;
    }
    render_leave(r);
    return out;
}

/* ---- dicts ---- */

value value_dict(struct render *r, enum value_kind kind)
{
    static struct dict none; /* never written: dict_set gives up on a failed rendering */
    struct dict *d = render_take(r, sizeof *d);
    return (value){.kind = (uint8_t)kind, .u.dict = d ? d : &none};
}

static bool hash_value(struct render *r, value v, uint64_t *out)
{
    switch (v.kind) {
    case VALUE_STR: *out = hash_str(value_text(v)); return true;
    case VALUE_NONE: *out = 1; return true;
    case VALUE_UNDEFINED: *out = 4; return true;
    case VALUE_RANGE: *out = hash_mix(v.u.range->count, 5); return true;
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT: {
        double f = value_as_float(v) + 0.0; /* -0.0 and 0 are one key */
        memcpy(out, &f, sizeof f);
        *out = hash_mix(*out, 2);
        return true;
    }
    case VALUE_BIG: *out = hash_str(value_text(v)); return true;
    case VALUE_TUPLE:
        *out = 3;
        if (!render_enter(r)) return false;
        for (size_t i = 0; i < v.u.list->count; i++) {
            uint64_t h;
            if (!hash_value(r, v.u.list->at[i], &h)) return false;
            *out = hash_mix(*out, h);
        }
        render_leave(r);
        return true;
    default: render_fail(r, ERR_UNSUPPORTED, "unhashable type: '%s'", value_type(v)); return false;
    }
}

static struct dict_entry *find(struct render *r, const struct dict *d, value key, uint64_t hash)
{
    if (d->index) {
        for (size_t i = hash & (d->index_cap - 1); d->index[i]; i = (i + 1) & (d->index_cap - 1)) {
            struct dict_entry *e = &d->at[d->index[i] - 1];
            if (e->hash == hash && value_equal(r, e->key, key)) return e;
        }
        return NULL;
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->at[i].hash == hash && value_equal(r, d->at[i].key, key)) return &d->at[i];
    return NULL;
}

static void index_add(struct dict *d, size_t entry)
{
    size_t i = d->at[entry].hash & (d->index_cap - 1);
    while (d->index[i]) i = (i + 1) & (d->index_cap - 1);
    d->index[i] = (uint32_t)entry + 1;
}

static bool dict_widen(struct render *r, struct dict *d)
{
    size_t cap = d->cap ? d->cap * 2 : 8;
    struct dict_entry *at = render_take_array(r, cap, sizeof *at);

    if (at == NULL) return false;
    if (d->count) memcpy(at, d->at, d->count * sizeof *at);
    d->at = at;
    d->cap = cap;
    if (cap < DICT_INDEXED_FROM) return true;
    d->index = render_take_array(r, cap * 2, sizeof *d->index);
    d->index_cap = cap * 2;
    if (d->index == NULL) return false;
    for (size_t i = 0; i < d->count; i++) index_add(d, i);
    return true;
}

void dict_set(struct render *r, struct dict *d, value key, value v)
{
    uint64_t hash;

    if (r->failed || !hash_value(r, key, &hash)) return;
    struct dict_entry *e = find(r, d, key, hash);
    if (e) {
        e->at = v;
        return;
    }
    if (d->count == d->cap && !dict_widen(r, d)) return;
    d->at[d->count] = (struct dict_entry){key, v, hash};
    if (d->index) index_add(d, d->count);
    d->count++;
}

value *dict_get(struct render *r, const struct dict *d, value key)
{
    uint64_t hash;

    if (r->failed || d->count == 0 || !hash_value(r, key, &hash)) return NULL;
    struct dict_entry *e = find(r, d, key, hash);
    return e ? &e->at : NULL;
}

value *dict_get_str(struct render *r, const struct dict *d, str key)
{
    return dict_get(r, d, value_str(key));
}

/* ---- asking ---- */

const char *value_type(value v)
{
    switch (v.kind) {
    case VALUE_NONE: return "NoneType";
    case VALUE_BOOL: return "bool";
    case VALUE_INT:
    case VALUE_BIG: return "int";
    case VALUE_FLOAT: return "float";
    case VALUE_STR: return "str";
    case VALUE_LIST: return "list";
    case VALUE_TUPLE: return "tuple";
    case VALUE_VIEW: return v.u.list->name;
    case VALUE_GENERATOR: return "generator";
    case VALUE_RANGE: return "range";
    case VALUE_DICT: return "dict";
    case VALUE_SPACE: return "Namespace";
    case VALUE_LOOP: return "LoopContext";
    case VALUE_MACRO: return "Macro";
    case VALUE_CYCLER: return "Cycler";
    case VALUE_JOINER: return "Joiner";
    case VALUE_METHOD:
    case VALUE_FUNCTION: return "function";
    default: return "Undefined";
    }
}

bool value_true(value v)
{
    switch (v.kind) {
    case VALUE_UNDEFINED:
    case VALUE_MISSING:
    case VALUE_NONE: return false;
    case VALUE_BOOL: return v.u.truth;
    case VALUE_INT: return v.u.i != 0;
    case VALUE_FLOAT: return v.u.f != 0;
    case VALUE_STR: return v.len != 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return v.u.list->count != 0;
    case VALUE_DICT: return v.u.dict->count != 0;
    case VALUE_RANGE: return v.u.range->count != 0;
    case VALUE_LOOP: return true;
    default: return true;
    }
}

bool value_is_number(value v)
{
    return v.kind == VALUE_BOOL || v.kind == VALUE_INT || v.kind == VALUE_BIG ||
           v.kind == VALUE_FLOAT;
}

double value_as_float(value v)
{
    char text[64];

    switch (v.kind) {
    case VALUE_BOOL: return v.u.truth;
    case VALUE_INT: return (double)v.u.i;
    case VALUE_FLOAT: return v.u.f;
    case VALUE_BIG:
        if (v.len >= sizeof text) return v.u.text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        snprintf(text, sizeof text, "%.*s", (int)v.len, v.u.text);
        return strtod(text, NULL);
    default: return 0;
    }
}

bool value_is_seq(value v)
{
    return v.kind == VALUE_LIST || v.kind == VALUE_TUPLE;
}

static int64_t value_as_int(value v) /* of a bool or an int */
{
    return v.kind == VALUE_BOOL ? v.u.truth : v.u.i;
}

static bool is_small_int(value v)
{
    return v.kind == VALUE_BOOL || v.kind == VALUE_INT;
}

static int compare_numbers(value a, value b)
{
    if (is_small_int(a) && is_small_int(b)) {
        int64_t x = value_as_int(a), y = value_as_int(b);
        return (x > y) - (x < y);
    }
    if (a.kind == VALUE_BIG && b.kind == VALUE_BIG) {
        bool minus_a = a.u.text[0] == '-', minus_b = b.u.text[0] == '-';
        if (minus_a != minus_b) return minus_a ? -1 : 1;
        int order = a.len != b.len ? (a.len > b.len ? 1 : -1) : memcmp(a.u.text, b.u.text, a.len);
        return minus_a ? -order : order;
    }
    if (a.kind == VALUE_BIG && is_small_int(b)) return a.u.text[0] == '-' ? -1 : 1;
    if (b.kind == VALUE_BIG && is_small_int(a)) return b.u.text[0] == '-' ? 1 : -1;
    double x = value_as_float(a), y = value_as_float(b);
    return (x > y) - (x < y);
}

static bool is_nan(value v)
{
    return v.kind == VALUE_FLOAT && isnan(v.u.f);
}

static bool lists_equal(struct render *r, const struct value_list *a, const struct value_list *b)
{
    bool same = a->count == b->count && render_enter(r);

    if (!same) return false;
    for (size_t i = 0; same && i < a->count; i++) same = value_equal(r, a->at[i], b->at[i]);
    render_leave(r);
    return same;
}

static bool dicts_equal(struct render *r, const struct dict *a, const struct dict *b)
{
    bool same = a->count == b->count && render_enter(r);

    if (!same) return false;
    for (size_t i = 0; same && i < a->count; i++) {
        value *other = dict_get(r, b, a->at[i].key);
        same = other && value_equal(r, a->at[i].at, *other);
    }
    render_leave(r);
    return same;
}

bool value_equal(struct render *r, value a, value b)
{
    if (!render_step(r, 1)) return false;
    if (value_is_number(a) && value_is_number(b))
        return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case VALUE_STR: return str_eq(value_text(a), value_text(b)) && render_bytes(r, a.len);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return lists_equal(r, a.u.list, b.u.list);
    case VALUE_DICT: return dicts_equal(r, a.u.dict, b.u.dict);
    case VALUE_UNDEFINED:
    case VALUE_NONE: return true;
    case VALUE_RANGE:
        return a.u.range->count == b.u.range->count &&
               (a.u.range->count == 0 ||
                (a.u.range->start == b.u.range->start &&
                 (a.u.range->count == 1 || a.u.range->step == b.u.range->step)));
    default: return a.u.text == b.u.text; /* the same thing */
    }
}

int value_compare(struct render *r, value a, value b)
{
    int order = 0;

    if (!render_step(r, 1)) return 0;
    if (value_is_number(a) && value_is_number(b)) return compare_numbers(a, b);
    if (a.kind == VALUE_STR && b.kind == VALUE_STR) return str_cmp(value_text(a), value_text(b));
    if (value_is_seq(a) && a.kind == b.kind && render_enter(r)) {
        const struct value_list *x = a.u.list, *y = b.u.list;
        for (size_t i = 0; i < x->count && i < y->count; i++) {
            if (value_equal(r, x->at[i], y->at[i])) continue;
            order = value_compare(r, x->at[i], y->at[i]);
            render_leave(r);
            return order;
        }
        render_leave(r);
        return (x->count > y->count) - (x->count < y->count);
    }
    if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED)
        render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined",
                    STR_ARG(value_text(a.kind == VALUE_UNDEFINED ? a : b)));
    else
        render_fail(r, ERR_UNSUPPORTED, "'%s' and '%s' cannot be ordered", value_type(a),
                    value_type(b));
    return 0;
}

bool value_contains(struct render *r, value in, value what)
{
    switch (in.kind) {
    case VALUE_STR:
        if (what.kind == VALUE_STR) {
            render_bytes(r, in.len);
            return str_find(value_text(in), value_text(what)) != STR_NPOS;
        }
        render_fail(r, ERR_UNSUPPORTED, "'in <string>' requires string as left operand, not %s",
                    value_type(what));
        return false;
    case VALUE_DICT: return dict_get(r, in.u.dict, what) != NULL;
    case VALUE_UNDEFINED: return false;
    default: break;
    }
    const struct value_list *all = value_elements(r, in);
    for (size_t i = 0; i < all->count; i++)
        if (value_equal(r, all->at[i], what)) return true;
    return false;
}

/* ---- iterating ---- */

static const struct value_list *characters(struct render *r, str s)
{
    size_t count = 0, used;

    for (size_t i = 0; i < s.len; i += used, count++) text_at(s, i, &used);
    if (!render_step(r, count)) count = 0;
    struct value_list *l = value_list(r, VALUE_LIST, count).u.list;
    for (size_t i = 0, n = 0; n < l->count; i += used, n++) {
        text_at(s, i, &used);
        l->at[n] = value_str(str_span(s.at + i, used));
    }
    return l;
}

const struct value_list *value_elements(struct render *r, value v)
{
    static const struct value_list none;
    struct value_list *l;

    switch (v.kind) {
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return v.u.list;
    case VALUE_GENERATOR:
        if (r->failed || v.u.list->spent) return &none;
        v.u.list->spent = true;
        return v.u.list;
    case VALUE_STR: return characters(r, value_text(v));
    case VALUE_UNDEFINED: return &none;
    case VALUE_DICT:
        l = value_list(r, VALUE_LIST, v.u.dict->count).u.list;
        for (size_t i = 0; i < l->count; i++) l->at[i] = v.u.dict->at[i].key;
        return l;
    case VALUE_RANGE:
        l = value_list(r, VALUE_LIST, v.u.range->count).u.list;
        for (size_t i = 0; i < l->count; i++) l->at[i] = value_int(value_range_at(v.u.range, i));
        return l;
    default:
        render_fail(r, ERR_UNSUPPORTED, "'%s' object is not iterable", value_type(v));
        return &none;
    }
}

int64_t value_length(struct render *r, value v)
{
    size_t used;
    int64_t count = 0;

    switch (v.kind) {
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return (int64_t)v.u.list->count;
    case VALUE_DICT: return (int64_t)v.u.dict->count;
    case VALUE_RANGE: return (int64_t)v.u.range->count;
    case VALUE_UNDEFINED: return 0;
    case VALUE_LOOP: return (int64_t)v.u.loop->over->count;
    case VALUE_STR:
        render_bytes(r, v.len);
        for (size_t i = 0; i < v.len; i += used, count++) text_at(value_text(v), i, &used);
        return count;
    default: return -1;
    }
}
