/* Expressions.  From the loosest to the tightest: a if b else c; or; and; not; comparisons; + -; ~;
 * * / // %;
 * **; the signs; then what follows a value: .name [x] (args), |filter, is test. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/template/parse.h"
#include "engine/template/render.h"

static struct node *parse_unary(struct parse *p, bool filters);

/* ---- what a value begins with ---- */

static struct node *constant(struct parse *p, value v)
{
    struct node *n = parse_node(p, NODE_CONST);
    if (n) n->constant = v;
    return n;
}

static struct node *parse_number(struct parse *p)
{
    str text = p->at->text;
    char digits[64];

    if (p->at->kind == TOKEN_INTEGER) {
        errno = 0;
        if (text.len < sizeof digits) {
            memcpy(digits, text.at, text.len);
            digits[text.len] = '\0';
            long long i = strtoll(digits, NULL, 10);
            if (errno == 0) return constant(p, value_int(i));
        }
        if (text.len > 4300) return parse_fail(p, "a number is too long"); /* Python's own limit */
        while (text.len > 1 && text.at[0] == '0') text = str_tail(text, 1);
        value big = value_str(text);
        big.kind = VALUE_BIG;
        return constant(p, big);
    }
    if (text.len >= sizeof digits) return parse_fail(p, "a number is too long");
    memcpy(digits, text.at, text.len);
    digits[text.len] = '\0';
    return constant(p, value_float(strtod(digits, NULL)));
}

static struct node *parse_strings(struct parse *p) /* adjacent ones are one */
{
    str all = p->at->text;

    p->at++;
    while (p->at->kind == TOKEN_STRING) {
        char *joined = parse_take(p, all.len + p->at->text.len + 1, 1);
        if (joined == NULL) return NULL;
        if (all.len) memcpy(joined, all.at, all.len);
        if (p->at->text.len) memcpy(joined + all.len, p->at->text.at, p->at->text.len);
        all = (str){joined, all.len + p->at->text.len};
        p->at++;
    }
    return constant(p, value_str(all));
}

static struct node *parse_list(struct parse *p)
{
    struct node *n = parse_node(p, NODE_LIST);
    struct kids kids = {0};

    while (n && !parse_is_op(p, "]")) {
        if (kids.count && !parse_expect_op(p, ",")) return NULL;
        if (parse_is_op(p, "]")) break;
        parse_kid(p, &kids, expr_parse(p, true));
        if (p->failed) return NULL;
    }
    if (!n || !parse_expect_op(p, "]")) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}

static struct node *parse_dict(struct parse *p)
{
    struct node *n = parse_node(p, NODE_DICT);
    struct kids kids = {0};

    while (n && !parse_is_op(p, "}")) {
        if (kids.count && !parse_expect_op(p, ",")) return NULL;
        if (parse_is_op(p, "}")) break;
        parse_kid(p, &kids, expr_parse(p, true));
        if (!parse_expect_op(p, ":")) return NULL;
        parse_kid(p, &kids, expr_parse(p, true));
        if (p->failed) return NULL;
    }
    if (!n || !parse_expect_op(p, "}")) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}

static struct node *parse_name(struct parse *p)
{
    static const struct {
        const char *name;
        value v;
    } fixed[] = {
        {"true", {.kind = VALUE_BOOL, .u.truth = true}},
        {"True", {.kind = VALUE_BOOL, .u.truth = true}},
        {"false", {.kind = VALUE_BOOL, .u.truth = false}},
        {"False", {.kind = VALUE_BOOL, .u.truth = false}},
        {"none", {.kind = VALUE_NONE}},
        {"None", {.kind = VALUE_NONE}},
    };
    str name = p->at->text;

    p->at++;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (str_eq(name, str_of(fixed[i].name))) return constant(p, fixed[i].v);
    struct node *n = parse_node(p, NODE_NAME);
    if (n) n->name = parse_intern(p, name);
    return n;
}

struct node *expr_primary(struct parse *p)
{
    struct node *n;

    switch (p->at->kind) {
    case TOKEN_NAME: return parse_name(p);
    case TOKEN_STRING: return parse_strings(p);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        n = parse_number(p);
        p->at++;
        return n;
    default: break;
    }
    if (parse_skip_op(p, "(")) {
        if (parse_skip_op(p, ")")) return parse_node(p, NODE_TUPLE);
        n = expr_tuple(p, true);
        return n && parse_expect_op(p, ")") ? n : NULL;
    }
    if (parse_skip_op(p, "[")) return parse_list(p);
    if (parse_skip_op(p, "{")) return parse_dict(p);
    return parse_fail(p, "an expression is expected");
}

/* ---- what follows a value ---- */

static struct call *parse_call_args(struct parse *p) /* after "(" */
{
    struct call *c = parse_take(p, 1, sizeof *c);
    struct kids at = {0}, named = {0};
    str names[64];

    for (bool first = true; c && !parse_is_op(p, ")"); first = false) {
        if (!first && !parse_expect_op(p, ",")) return NULL;
        if (parse_is_op(p, ")")) break;
        if (parse_skip_op(p, "*")) {
            if (c->star || c->star_star) return (void *)parse_fail(p, "invalid syntax for a call");
            c->star = expr_parse(p, true);
        } else if (parse_skip_op(p, "**")) {
            if (c->star_star) return (void *)parse_fail(p, "invalid syntax for a call");
            c->star_star = expr_parse(p, true);
        } else if (p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_OP &&
                   strcmp(p->at[1].op, "=") == 0) {
            if (named.count == sizeof names / sizeof *names || c->star_star)
                return (void *)parse_fail(p, "invalid syntax for a call");
            names[named.count] = p->at->text;
            p->at += 2;
            parse_kid(p, &named, expr_parse(p, true));
        } else {
            if (named.count || c->star || c->star_star)
                return (void *)parse_fail(p, "a positional argument follows a named one");
            parse_kid(p, &at, expr_parse(p, true));
        }
        if (p->failed) return NULL;
    }
    if (!c || !parse_expect_op(p, ")")) return NULL;
    c->at = at.at;
    c->count = at.count;
    c->named = named.at;
    c->named_count = named.count;
    if (named.count) {
        c->names = parse_take(p, named.count, sizeof *c->names);
        if (c->names == NULL) return NULL;
        memcpy(c->names, names, named.count * sizeof *names);
    }
    return c;
}

static struct node *parse_subscript_part(struct parse *p)
{
    if (parse_is_op(p, ":") || parse_is_op(p, "]") || parse_is_op(p, ",")) return NULL;
    return expr_parse(p, true);
}

static struct node *parse_subscript(struct parse *p, struct node *of) /* after "[" */
{
    struct node *part[3] = {0};
    int parts = 0;

    part[0] = parse_subscript_part(p);
    while (parts < 2 && parse_skip_op(p, ":")) part[++parts] = parse_subscript_part(p);
    if (p->failed) return NULL;
    if (parts == 0 && part[0] == NULL) return parse_fail(p, "a subscript is expected");
    struct node *n = parse_node(p, parts ? NODE_SLICE : NODE_ITEM);
    if (n == NULL) return NULL;
    n->a = of;
    if (parts) {
        n->kids = parse_take(p, 3, sizeof *n->kids);
        if (n->kids == NULL) return NULL;
        memcpy(n->kids, part, sizeof part);
        n->kids_count = 3;
    } else if (parse_is_op(p, ",")) { /* a[1, 2]: the key is a tuple */
        struct kids kids = {0};
        n->b = parse_node(p, NODE_TUPLE);
        parse_kid(p, &kids, part[0]);
        while (!p->failed && parse_skip_op(p, ",")) parse_kid(p, &kids, expr_parse(p, true));
        if (p->failed) return NULL;
        n->b->kids = kids.at;
        n->b->kids_count = kids.count;
    } else {
        n->b = part[0];
    }
    return parse_expect_op(p, "]") ? n : NULL;
}

static struct node *parse_call(struct parse *p, struct node *of) /* after "(" */
{
    struct node *n = parse_node(p, NODE_CALL);
    if (n == NULL) return NULL;
    n->a = of;
    n->call = parse_call_args(p);
    return p->failed ? NULL : n;
}

static struct node *parse_dot(struct parse *p, struct node *of) /* after "." */
{
    struct node *n;

    if (p->at->kind == TOKEN_NAME) {
        n = parse_node(p, NODE_ATTR);
        if (n) n->text = p->at->text;
    } else if (p->at->kind == TOKEN_INTEGER) {
        n = parse_node(p, NODE_ITEM);
        if (n) n->b = parse_number(p);
    } else {
        return parse_fail(p, "a name is expected after '.'");
    }
    p->at++;
    if (n) n->a = of;
    return n;
}

static struct node *parse_postfix(struct parse *p, struct node *n)
{
    while (n) {
        if (parse_skip_op(p, "."))
            n = parse_dot(p, n);
        else if (parse_skip_op(p, "["))
            n = parse_subscript(p, n);
        else if (parse_skip_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static str parse_dotted(struct parse *p) /* a filter's or test's name, which may hold dots */
{
    str name = p->at->text;

    if (p->at->kind != TOKEN_NAME) {
        parse_fail(p, "a name is expected");
        return STR_NONE;
    }
    p->at++;
    while (parse_is_op(p, ".") && p->at[1].kind == TOKEN_NAME) {
        p->at++;
        name.len = (size_t)(p->at->text.at + p->at->text.len - name.at);
        p->at++;
    }
    return name;
}

static struct node *parse_filter(struct parse *p, struct node *of) /* after "|" */
{
    struct node *n = parse_node(p, NODE_FILTER);
    if (n == NULL) return NULL;
    n->a = of;
    n->label = parse_dotted(p);
    n->resolved = (void (*)(void))filter_find(n->label);
    if (parse_skip_op(p, "(")) n->call = parse_call_args(p);
    return p->failed ? NULL : n;
}

static bool begins_test_argument(const struct parse *p)
{
    switch (p->at->kind) {
    case TOKEN_NAME:
        return !parse_is_name(p, "else") && !parse_is_name(p, "or") && !parse_is_name(p, "and");
    case TOKEN_STRING:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT: return true;
    case TOKEN_OP: return parse_is_op(p, "[") || parse_is_op(p, "{");
    default: return false;
    }
}

static struct node *parse_test(struct parse *p, struct node *of) /* after "is" */
{
    bool negated = parse_skip_name(p, "not");
    struct node *n = parse_node(p, NODE_TEST);

    if (n == NULL) return NULL;
    n->a = of;
    n->label = parse_dotted(p);
    n->resolved = (void (*)(void))test_find(n->label);
    if (parse_skip_op(p, "(")) {
        n->call = parse_call_args(p);
    } else if (begins_test_argument(p)) {
        if (parse_is_name(p, "is")) return parse_fail(p, "tests cannot be chained with 'is'");
        struct kids kids = {0};
        parse_kid(p, &kids, parse_postfix(p, expr_primary(p)));
        n->call = parse_take(p, 1, sizeof *n->call);
        if (p->failed) return NULL;
        n->call->at = kids.at;
        n->call->count = 1;
    }
    if (p->failed || !negated) return p->failed ? NULL : n;
    struct node *not = parse_node(p, NODE_NOT);
    if (not ) not ->a = n;
    return not ;
}

static struct node *parse_filters(struct parse *p, struct node *n)
{
    while (n) {
        if (parse_skip_op(p, "|"))
            n = parse_filter(p, n);
        else if (parse_skip_name(p, "is"))
            n = parse_test(p, n);
        else if (parse_skip_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

struct node *expr_filters(struct parse *p)
{
    struct node *n = parse_filter(p, NULL);
    while (n && parse_skip_op(p, "|")) n = parse_filter(p, n);
    return n;
}

struct node *expr_postfix_only(struct parse *p)
{
    return parse_postfix(p, expr_primary(p));
}

/* ---- operators ---- */

static struct node *parse_sign(struct parse *p, enum node_kind kind)
{
    struct node *n = parse_node(p, kind);
    if (n) n->a = parse_unary(p, false);
    return p->failed ? NULL : n;
}

static struct node *parse_unary(struct parse *p, bool filters)
{
    struct node *n;

    if (!parse_enter(p)) return NULL;
    if (parse_skip_op(p, "-"))
        n = parse_sign(p, NODE_NEGATE);
    else if (parse_skip_op(p, "+"))
        n = parse_sign(p, NODE_PLUS);
    else
        n = expr_primary(p);
    n = parse_postfix(p, n);
    if (filters) n = parse_filters(p, n);
    p->depth--;
    return n;
}

static struct node *binary(struct parse *p, enum node_kind kind, enum node_op op, struct node *a,
                           struct node *b)
{
    struct node *n = parse_node(p, kind);
    if (n == NULL || a == NULL || b == NULL) return NULL;
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    return n;
}

static struct node *parse_power(struct parse *p)
{
    struct node *n = parse_unary(p, true);
    while (n && parse_skip_op(p, "**")) n = binary(p, NODE_BINARY, OP_POW, n, parse_unary(p, true));
    return n;
}

static struct node *parse_product(struct parse *p)
{
    struct node *n = parse_power(p);

    while (n) {
        enum node_op op = parse_skip_op(p, "*")    ? OP_MUL
                          : parse_skip_op(p, "/")  ? OP_DIV
                          : parse_skip_op(p, "//") ? OP_FLOOR_DIV
                          : parse_skip_op(p, "%")  ? OP_MOD
                                                   : OP_NONE;
        if (op == OP_NONE) break;
        n = binary(p, NODE_BINARY, op, n, parse_power(p));
    }
    return n;
}

static struct node *parse_concat(struct parse *p)
{
    struct node *first = parse_product(p);
    struct kids kids = {0};

    if (first == NULL || !parse_is_op(p, "~")) return first;
    parse_kid(p, &kids, first);
    while (!p->failed && parse_skip_op(p, "~")) parse_kid(p, &kids, parse_product(p));
    struct node *n = parse_node(p, NODE_CONCAT);
    if (n == NULL || p->failed) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}

static struct node *parse_sum(struct parse *p)
{
    struct node *n = parse_concat(p);

    while (n) {
        enum node_op op = parse_skip_op(p, "+") ? OP_ADD : parse_skip_op(p, "-") ? OP_SUB : OP_NONE;
        if (op == OP_NONE) break;
        n = binary(p, NODE_BINARY, op, n, parse_concat(p));
    }
    return n;
}

static enum node_op comparison(struct parse *p)
{
    static const struct {
        const char *text;
        enum node_op op;
    } ops[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
               {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}};

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (parse_skip_op(p, ops[i].text)) return ops[i].op;
    if (parse_skip_name(p, "in")) return OP_IN;
    if (parse_is_name(p, "not") && p->at[1].kind == TOKEN_NAME &&
        str_eq(p->at[1].text, STR("in"))) {
        p->at += 2;
        return OP_NOT_IN;
    }
    return OP_NONE;
}

static struct node *parse_compare(struct parse *p)
{
    struct node *first = parse_sum(p), *n = NULL;
    struct kids kids = {0};
    enum node_op op;

    while (first && !p->failed && (op = comparison(p)) != OP_NONE) {
        struct node *operand = parse_node(p, NODE_OPERAND);
        if (operand == NULL) return NULL;
        operand->op = (uint8_t)op;
        operand->a = parse_sum(p);
        parse_kid(p, &kids, operand);
    }
    if (p->failed || kids.count == 0) return p->failed ? NULL : first;
    n = parse_node(p, NODE_COMPARE);
    if (n == NULL) return NULL;
    n->a = first;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}

static struct node *parse_not(struct parse *p)
{
    if (!parse_skip_name(p, "not")) return parse_compare(p);
    if (!parse_enter(p)) return NULL;
    struct node *n = parse_node(p, NODE_NOT);
    if (n) n->a = parse_not(p);
    p->depth--;
    return p->failed ? NULL : n;
}

static struct node *parse_and(struct parse *p)
{
    struct node *n = parse_not(p);
    while (n && parse_skip_name(p, "and")) n = binary(p, NODE_AND, OP_NONE, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parse *p)
{
    struct node *n = parse_and(p);
    while (n && parse_skip_name(p, "or")) n = binary(p, NODE_OR, OP_NONE, n, parse_and(p));
    return n;
}

struct node *expr_parse(struct parse *p, bool choice)
{
    if (!parse_enter(p)) return NULL;
    struct node *n = parse_or(p);
    while (choice && n && parse_skip_name(p, "if")) {
        struct node *c = parse_node(p, NODE_CHOICE);
        if (c == NULL) return NULL;
        c->a = n;
        c->b = parse_or(p);
        if (parse_skip_name(p, "else")) c->c = expr_parse(p, true);
        n = p->failed ? NULL : c;
    }
    p->depth--;
    return n;
}

static bool ends_tuple(const struct parse *p)
{
    return p->at->kind == TOKEN_PRINT_END || p->at->kind == TOKEN_BLOCK_END ||
           parse_is_op(p, ")") || parse_is_name(p, "in") || parse_is_name(p, "recursive");
}

struct node *expr_tuple(struct parse *p, bool choice)
{
    struct node *first = expr_parse(p, choice);
    struct kids kids = {0};

    if (first == NULL || !parse_is_op(p, ",")) return first;
    parse_kid(p, &kids, first);
    while (!p->failed && parse_skip_op(p, ",")) {
        if (ends_tuple(p)) break;
        parse_kid(p, &kids, expr_parse(p, choice));
    }
    struct node *n = parse_node(p, NODE_TUPLE);
    if (n == NULL || p->failed) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}
