/* Expressions. */
#include "engine/template/render.h"

static value undefined_error(struct render *r, value v)
{
    return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(v)));
}

/* ---- parts of values ---- */

static value not_found(struct render *r, value of, str name)
{
    str text =
        arena_strf(&r->arena, "%s object has no attribute '%.*s'", value_type(of), STR_ARG(name));
    return value_undefined(text.at ? text : name);
}

static value bind_method(struct render *r, value of, str name)
{
    struct method *m = render_take(r, sizeof *m);
    if (m == NULL) return value_none();
    *m = (struct method){of, name};
    return (value){.kind = VALUE_METHOD, .u.method = m};
}

/* of.name: attributes first, then the item of that name. */
value eval_get_attr(struct render *r, value of, str name)
{
    bool forbidden = false;

    if (r->failed) return value_none();
    if (of.kind == VALUE_UNDEFINED) return undefined_error(r, of);
    if (str_starts(name, STR("__"))) return not_found(r, of, name);
    if (of.kind == VALUE_LOOP) return loop_attr(r, of.u.loop, name);
    if (of.kind == VALUE_SPACE) {
        value *v = dict_get_str(r, of.u.dict, name);
        return v ? *v : not_found(r, of, name);
    }
    if (of.kind == VALUE_MACRO && str_eq(name, STR("name"))) return value_str(of.u.macro->name);
    if (method_exists(of, name, &forbidden)) return bind_method(r, of, name);
    if (forbidden) return not_found(r, of, name);
    if (of.kind == VALUE_DICT) {
        value *v = dict_get_str(r, of.u.dict, name);
        if (v) return *v;
    }
    return not_found(r, of, name);
}

static bool as_index(value key, int64_t *out)
{
    if (key.kind == VALUE_INT) *out = key.u.i;
    if (key.kind == VALUE_BOOL) *out = key.u.truth;
    return key.kind == VALUE_INT || key.kind == VALUE_BOOL;
}

/* of[key]: the item first, then the attribute of that name. */
value eval_get_item(struct render *r, value of, value key)
{
    int64_t at;
    bool forbidden = false;

    if (r->failed) return value_none();
    if (of.kind == VALUE_UNDEFINED) return undefined_error(r, of);
    if (of.kind == VALUE_DICT) {
        bool hashable = key.kind != VALUE_LIST && key.kind != VALUE_DICT;
        value *v = hashable ? dict_get(r, of.u.dict, key) : NULL;
        if (v) return *v;
    } else if ((value_is_seq(of) || of.kind == VALUE_STR || of.kind == VALUE_RANGE) &&
               as_index(key, &at)) {
        int64_t count = value_length(r, of);
        if (at < 0) at += count;
        if (at >= 0 && at < count) {
            if (of.kind == VALUE_RANGE) return value_int(value_range_at(of.u.range, (uint64_t)at));
            if (of.kind == VALUE_STR)
                return op_slice(r, of, value_int(at), value_int(at + 1), value_none());
            return of.u.list->at[at];
        }
        str text =
            arena_strf(&r->arena, "%s object has no element %lld", value_type(of), (long long)at);
        return value_undefined(text);
    }
    if (key.kind == VALUE_STR) {
        str name = value_text(key);
        if (of.kind == VALUE_SPACE || of.kind == VALUE_LOOP) return eval_get_attr(r, of, name);
        if (!str_starts(name, STR("__")) && method_exists(of, name, &forbidden))
            return bind_method(r, of, name);
        return not_found(r, of, name);
    }
    if (key.kind == VALUE_UNDEFINED && of.kind == VALUE_DICT)
        return not_found(r, of, value_text(key));
    return not_found(r, of, STR("..."));
}

/* ---- nodes ---- */

static value eval_items(struct render *r, struct scope *s, const struct node *n,
                        enum value_kind kind)
{
    value v = value_list(r, kind, n->kids_count);
    for (size_t i = 0; i < v.u.list->count; i++) v.u.list->at[i] = eval(r, s, n->kids[i]);
    return v;
}

static value eval_dict(struct render *r, struct scope *s, const struct node *n)
{
    value v = value_dict(r, VALUE_DICT);
    for (uint32_t i = 0; i + 1 < n->kids_count && !r->failed; i += 2) {
        value key = eval(r, s, n->kids[i]);
        dict_set(r, v.u.dict, key, eval(r, s, n->kids[i + 1]));
    }
    return v;
}

static bool compare(struct render *r, enum node_op op, value a, value b)
{
    switch (op) {
    case OP_EQ: return value_equal(r, a, b);
    case OP_NE: return !value_equal(r, a, b);
    case OP_IN: return value_contains(r, b, a);
    case OP_NOT_IN: return !value_contains(r, b, a);
    case OP_LT: return value_compare(r, a, b) < 0;
    case OP_LE: return value_compare(r, a, b) <= 0;
    case OP_GT: return value_compare(r, a, b) > 0;
    default: return value_compare(r, a, b) >= 0;
    }
}

/* a < b < c is a < b and b < c, each evaluated once. */
static value eval_compare(struct render *r, struct scope *s, const struct node *n)
{
    value left = eval(r, s, n->a);
    bool holds = true;

    for (uint32_t i = 0; i < n->kids_count && holds && !r->failed; i++) {
        value right = eval(r, s, n->kids[i]->a);
        if (r->failed) break;
        holds = compare(r, n->kids[i]->op, left, right);
        left = right;
    }
    return value_bool(holds);
}

static value eval_concat(struct render *r, struct scope *s, const struct node *n)
{
    struct buf b;

    render_buf(&b);
    for (uint32_t i = 0; i < n->kids_count && !r->failed; i++)
        print_value(r, &b, eval(r, s, n->kids[i]));
    return render_text(r, &b);
}

static value eval_filter(struct render *r, struct scope *s, const struct node *n, value in)
{
    struct args args = {0};

    if (n->call) call_args(r, s, n->call, &args);
    if (r->failed) return value_none();
    if (n->resolved == NULL)
        return render_fail(r, ERR_UNSUPPORTED, "no filter named '%.*s'", STR_ARG(n->label));
    return ((filter_call *)n->resolved)(r, in, &args);
}

static value eval_test(struct render *r, struct scope *s, const struct node *n)
{
    struct args args = {0};
    value in = eval(r, s, n->a);

    if (n->call) call_args(r, s, n->call, &args);
    if (r->failed) return value_none();
    if (n->resolved == NULL)
        return render_fail(r, ERR_UNSUPPORTED, "no test named '%.*s'", STR_ARG(n->label));
    return value_bool(((test_call *)n->resolved)(r, in, &args));
}

static value eval_call(struct render *r, struct scope *s, const struct node *n)
{
    struct args args;
    value what = eval(r, s, n->a);

    if (r->failed) return value_none();
    call_args(r, s, n->call, &args);
    r->line = n->line;
    return r->failed ? value_none() : call_value(r, what, &args);
}

static value eval_slice(struct render *r, struct scope *s, const struct node *n)
{
    value part[3], of = eval(r, s, n->a);

    for (int i = 0; i < 3; i++) part[i] = n->kids[i] ? eval(r, s, n->kids[i]) : value_none();
    return r->failed ? value_none() : op_slice(r, of, part[0], part[1], part[2]);
}

static value eval_choice(struct render *r, struct scope *s, const struct node *n)
{
    if (value_true(eval(r, s, n->b))) return eval(r, s, n->a);
    return n->c ? eval(r, s, n->c) : value_undefined(STR("the inline if-expression without else"));
}

value eval_sign(struct render *r, value v)
{
    if (value_is_number(v)) return v.kind == VALUE_BOOL ? value_int(v.u.truth) : v;
    if (v.kind == VALUE_UNDEFINED) return undefined_error(r, v);
    return render_fail(r, ERR_UNSUPPORTED, "bad operand type for unary +: '%s'", value_type(v));
}

static value eval_node(struct render *r, struct scope *s, const struct node *n)
{
    value a;

    switch (n->kind) {
    case NODE_CONST: return n->constant;
    case NODE_NAME: return scope_get(r, s, n->name);
    case NODE_LIST: return eval_items(r, s, n, VALUE_LIST);
    case NODE_TUPLE: return eval_items(r, s, n, VALUE_TUPLE);
    case NODE_DICT: return eval_dict(r, s, n);
    case NODE_ATTR: return eval_get_attr(r, eval(r, s, n->a), n->text);
    case NODE_ITEM: a = eval(r, s, n->a); return eval_get_item(r, a, eval(r, s, n->b));
    case NODE_SLICE: return eval_slice(r, s, n);
    case NODE_CALL: return eval_call(r, s, n);
    case NODE_FILTER: return eval_filter(r, s, n, eval(r, s, n->a));
    case NODE_TEST: return eval_test(r, s, n);
    case NODE_NOT: return value_bool(!value_true(eval(r, s, n->a)));
    case NODE_NEGATE: a = eval(r, s, n->a); return r->failed ? a : op_negate(r, a);
    case NODE_PLUS: return eval_sign(r, eval(r, s, n->a));
    case NODE_AND: a = eval(r, s, n->a); return value_true(a) ? eval(r, s, n->b) : a;
    case NODE_OR: a = eval(r, s, n->a); return value_true(a) ? a : eval(r, s, n->b);
    case NODE_BINARY: a = eval(r, s, n->a); return op_binary(r, n->op, a, eval(r, s, n->b));
    case NODE_COMPARE: return eval_compare(r, s, n);
    case NODE_CONCAT: return eval_concat(r, s, n);
    case NODE_CHOICE: return eval_choice(r, s, n);
    default: return render_fail(r, ERR_INTERNAL, "not an expression");
    }
}

value eval(struct render *r, struct scope *s, const struct node *n)
{
    if (!render_step(r, 1)) return value_none();
    if (n->kind == NODE_CONST) return n->constant;
    if (!render_enter(r)) return value_none();
    r->line = n->line;
    value v = eval_node(r, s, n);
    render_leave(r);
    return v;
}

/* The filters of a block: the innermost takes the block's text. */
value eval_block_filters(struct render *r, struct scope *s, const struct node *n, value text)
{
    if (n == NULL || !render_enter(r)) return text;
    value in = eval_block_filters(r, s, n->a, text);
    value out = eval_filter(r, s, n, in);
    render_leave(r);
    return out;
}
