/* Statements, and what both parser files stand on. */
#include "engine/template/parse.h"

#include "conf/limits.h"
#include "engine/template/render.h"

/* ---- shared with expr.c ---- */

struct node *parse_fail(struct parse *p, const char *what)
{
    if (p->failed) return NULL;
    p->failed = ERR_INVALID;
    if (p->at->kind == TOKEN_NAME && p->at->text.len < 64)
        err_set(p->why, ERR_INVALID, "template line %u: %s, found '%.*s'", p->at->line, what,
                STR_ARG(p->at->text));
    else
        err_set(p->why, ERR_INVALID, "template line %u: %s", p->at->line, what);
    return NULL;
}

void *parse_take(struct parse *p, size_t count, size_t each)
{
    void *at = p->failed ? NULL : arena_take_array(&p->t->arena, count, each);
    if (at == NULL && !p->failed) p->failed = err_set(p->why, ERR_MEMORY, "template too large");
    return at;
}

struct node *parse_node(struct parse *p, enum node_kind kind)
{
    struct node *n = parse_take(p, 1, sizeof *n);
    if (n == NULL) return NULL;
    n->kind = (uint8_t)kind;
    n->line = p->at->line;
    return n;
}

bool parse_enter(struct parse *p)
{
    if (p->failed) return false;
    if (++p->depth <= TEMPLATE_NEST_MAX) return true;
    p->failed = err_set(p->why, ERR_LIMIT, "template line %u: nested too deep", p->at->line);
    return false;
}

void parse_kid(struct parse *p, struct kids *k, struct node *n)
{
    if (p->failed || n == NULL) return;
    if (k->count == k->cap) {
        uint32_t cap = k->cap ? k->cap * 2 : 4;
        struct node **wider = parse_take(p, cap, sizeof *wider);
        if (wider == NULL) return;
        if (k->count) memcpy(wider, k->at, k->count * sizeof *wider);
        k->at = wider;
        k->cap = cap;
    }
    k->at[k->count++] = n;
}

bool parse_is_op(const struct parse *p, const char *op)
{
    return p->at->kind == TOKEN_OP && strcmp(p->at->op, op) == 0;
}

bool parse_is_name(const struct parse *p, const char *name)
{
    return p->at->kind == TOKEN_NAME && str_eq(p->at->text, str_of(name));
}

bool parse_skip_op(struct parse *p, const char *op)
{
    bool is = !p->failed && parse_is_op(p, op);
    if (is) p->at++;
    return is;
}

bool parse_skip_name(struct parse *p, const char *name)
{
    bool is = !p->failed && parse_is_name(p, name);
    if (is) p->at++;
    return is;
}

bool parse_expect_op(struct parse *p, const char *op)
{
    char what[32];

    if (parse_skip_op(p, op)) return true;
    snprintf(what, sizeof what, "'%s' is expected", op);
    parse_fail(p, what);
    return false;
}

uint32_t template_name(struct template *t, str name)
{
    for (uint32_t i = 0; i < t->names_count; i++)
        if (str_eq(t->names[i], name)) return i;
    if (t->names_count == t->names_cap) {
        uint32_t cap = t->names_cap ? t->names_cap * 2 : 32;
        str *wider = arena_array(&t->arena, str, cap);
        if (wider == NULL) return UINT32_MAX;
        if (t->names_count) memcpy(wider, t->names, t->names_count * sizeof *wider);
        t->names = wider;
        t->names_cap = cap;
    }
    t->names[t->names_count] = name;
    return t->names_count++;
}

uint32_t parse_intern(struct parse *p, str name)
{
    uint32_t n = template_name(p->t, name);
    if (n == p->t->varargs) p->macro_takes |= MACRO_VARARGS;
    if (n == p->t->kwargs) p->macro_takes |= MACRO_KWARGS;
    if (n == UINT32_MAX && !p->failed)
        p->failed = err_set(p->why, ERR_MEMORY, "template too large");
    return n;
}

/* ---- statements ---- */

/* Up to one of the tags in `ends` ("endif else elif"), whose name is left to be read; NULL: to the
 * end. */
static struct node *parse_body(struct parse *p, const char *ends);

static bool name_in(str name, const char *list)
{
    str rest = str_of(list), word;
    while (str_split(&rest, ' ', &word))
        if (str_eq(word, name)) return true;
    return false;
}

static bool block_end(struct parse *p)
{
    if (p->failed) return false;
    if (p->at->kind != TOKEN_BLOCK_END) {
        parse_fail(p, "the end of the tag is expected");
        return false;
    }
    p->at++;
    return true;
}

/* The rest of the opening tag, the body, and the end tag's name; the tag's end is read unless the
 * name is one that goes on. */
static struct node *body_of(struct parse *p, const char *ends)
{
    if (!block_end(p)) return NULL;
    struct node *body = parse_body(p, ends);
    return body;
}

static bool end_tag(struct parse *p, const char *name)
{
    return (parse_skip_name(p, name) || parse_fail(p, "another end tag is expected")) &&
           block_end(p);
}

static struct node *target_name(struct parse *p)
{
    if (p->at->kind != TOKEN_NAME || name_in(p->at->text, "true false none True False None"))
        return parse_fail(p, "a name to assign to is expected");
    struct node *n = parse_node(p, NODE_NAME);
    if (n) n->name = parse_intern(p, p->at->text);
    p->at++;
    return n;
}

static struct node *target_tuple(struct parse *p);

static struct node *target_one(struct parse *p)
{
    if (!parse_skip_op(p, "(")) return target_name(p);
    if (!parse_enter(p)) return NULL;
    struct node *n = target_tuple(p);
    p->depth--;
    return n && parse_expect_op(p, ")") ? n : NULL;
}

static struct node *target_tuple(struct parse *p)
{
    struct node *first = target_one(p);
    struct kids kids = {0};

    if (first == NULL || !parse_is_op(p, ",")) return first;
    parse_kid(p, &kids, first);
    while (!p->failed && parse_skip_op(p, ",")) {
        if (parse_is_name(p, "in") || parse_is_op(p, "=") || parse_is_op(p, ")")) break;
        parse_kid(p, &kids, target_one(p));
    }
    struct node *n = parse_node(p, NODE_TUPLE);
    if (n == NULL || p->failed) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    return n;
}

static struct node *parse_if(struct parse *p)
{
    struct node *n = parse_node(p, NODE_IF);

    if (n == NULL || !parse_enter(p)) return NULL;
    n->a = expr_tuple(p, false);
    n->body = body_of(p, "elif else endif");
    if (p->failed) return NULL;
    if (parse_skip_name(p, "elif")) {
        n->otherwise = parse_if(p);
    } else if (parse_skip_name(p, "else")) {
        n->otherwise = body_of(p, "endif");
        end_tag(p, "endif");
    } else {
        end_tag(p, "endif");
    }
    p->depth--;
    return p->failed ? NULL : n;
}

static struct node *parse_for(struct parse *p)
{
    struct node *n = parse_node(p, NODE_FOR);

    if (n == NULL) return NULL;
    n->a = target_tuple(p);
    if (!parse_skip_name(p, "in")) return parse_fail(p, "'in' is expected");
    n->b = expr_tuple(p, false);
    if (parse_skip_name(p, "if")) n->c = expr_parse(p, true);
    n->op = parse_skip_name(p, "recursive");
    n->body = body_of(p, "endfor else");
    if (parse_skip_name(p, "else")) n->otherwise = body_of(p, "endfor");
    return end_tag(p, "endfor") ? n : NULL;
}

static struct node *parse_set(struct parse *p)
{
    struct node *n = parse_node(p, NODE_SET);

    if (n == NULL) return NULL;
    if (p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_OP && strcmp(p->at[1].op, ".") == 0) {
        n->a = parse_node(p, NODE_SPACE_ATTR);
        if (n->a == NULL) return NULL;
        n->a->name = parse_intern(p, p->at->text);
        p->at += 2;
        if (p->at->kind != TOKEN_NAME) return parse_fail(p, "a name is expected after '.'");
        n->a->text = p->at->text;
        p->at++;
    } else {
        n->a = target_tuple(p);
    }
    if (parse_skip_op(p, "=")) {
        n->b = expr_tuple(p, true);
        return block_end(p) ? n : NULL;
    }
    n->kind = NODE_SET_BLOCK;
    if (parse_skip_op(p, "|")) n->b = expr_filters(p);
    n->body = body_of(p, "endset");
    return end_tag(p, "endset") ? n : NULL;
}

/* "(a, b='x')" of a macro or call block, after its "(". */
static void parse_parameters(struct parse *p, struct node *n)
{
    struct kids names = {0}, defaults = {0};

    while (!p->failed && !parse_is_op(p, ")")) {
        if (names.count && !parse_expect_op(p, ",")) return;
        parse_kid(p, &names, target_name(p));
        if (parse_skip_op(p, "="))
            parse_kid(p, &defaults, expr_parse(p, true));
        else if (defaults.count)
            parse_fail(p, "a parameter without a default follows one with a default");
    }
    if (!parse_expect_op(p, ")")) return;
    n->kids = names.at;
    n->kids_count = names.count;
    n->defaults = defaults.at;
    n->defaults_count = defaults.count;
}

static struct node *parse_macro(struct parse *p)
{
    struct node *n = parse_node(p, NODE_MACRO);

    if (n == NULL) return NULL;
    struct node *name = target_name(p);
    if (name == NULL || !parse_expect_op(p, "(")) return NULL;
    n->name = name->name;
    uint8_t outer_takes = p->macro_takes;
    p->macro_takes = 0;
    parse_parameters(p, n);
    n->body = body_of(p, "endmacro");
    n->op = p->macro_takes;
    p->macro_takes = outer_takes;
    return end_tag(p, "endmacro") ? n : NULL;
}

static struct node *parse_call_block(struct parse *p)
{
    struct node *n = parse_node(p, NODE_CALL_BLOCK), *caller = parse_node(p, NODE_MACRO);

    if (n == NULL || caller == NULL) return NULL;
    caller->name = p->t->caller;
    if (parse_skip_op(p, "(")) parse_parameters(p, caller);
    n->a = expr_postfix_only(p);
    if (n->a && n->a->kind != NODE_CALL) return parse_fail(p, "a call is expected");
    n->b = caller;
    caller->body = body_of(p, "endcall");
    caller->op = MACRO_VARARGS | MACRO_KWARGS;
    return end_tag(p, "endcall") ? n : NULL;
}

static struct node *parse_filter_block(struct parse *p)
{
    struct node *n = parse_node(p, NODE_FILTER_BLOCK);

    if (n == NULL) return NULL;
    n->b = expr_filters(p);
    n->body = body_of(p, "endfilter");
    return end_tag(p, "endfilter") ? n : NULL;
}

static struct node *parse_with(struct parse *p)
{
    struct node *n = parse_node(p, NODE_WITH);
    struct kids kids = {0};

    while (n && !p->failed && p->at->kind != TOKEN_BLOCK_END) {
        if (kids.count && !parse_expect_op(p, ",")) return NULL;
        parse_kid(p, &kids, target_name(p));
        if (!parse_expect_op(p, "=")) return NULL;
        parse_kid(p, &kids, expr_parse(p, true));
    }
    if (n == NULL) return NULL;
    n->kids = kids.at;
    n->kids_count = kids.count;
    n->body = body_of(p, "endwith");
    return end_tag(p, "endwith") ? n : NULL;
}

static struct node *parse_generation(
    struct parse *p) /* marks the assistant's text; just its body */
{
    struct node *body = body_of(p, "endgeneration");
    return end_tag(p, "endgeneration") ? body : NULL;
}

static struct node *parse_break(struct parse *p)
{
    struct node *n = parse_node(p, NODE_BREAK);
    return n && block_end(p) ? n : NULL;
}

static struct node *parse_continue(struct parse *p)
{
    struct node *n = parse_node(p, NODE_CONTINUE);
    return n && block_end(p) ? n : NULL;
}

static struct node *parse_statement(struct parse *p)
{
    static const struct {
        const char *name;
        struct node *(*parse)(struct parse *p);
    } known[] = {
        {"if", parse_if},           {"for", parse_for},
        {"set", parse_set},         {"macro", parse_macro},
        {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},       {"generation", parse_generation},
        {"break", parse_break},     {"continue", parse_continue},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (parse_skip_name(p, known[i].name)) return known[i].parse(p);
    return parse_fail(p, "an unknown tag");
}

static struct node *parse_print(struct parse *p)
{
    struct node *n = parse_node(p, NODE_PRINT);

    if (n == NULL) return NULL;
    n->a = expr_tuple(p, true);
    if (p->failed) return NULL;
    if (p->at->kind != TOKEN_PRINT_END) return parse_fail(p, "the end of the output is expected");
    p->at++;
    return n;
}

static struct node *parse_body(struct parse *p, const char *ends)
{
    struct node *body = parse_node(p, NODE_BODY);
    struct kids kids = {0};

    if (body == NULL || !parse_enter(p)) return NULL;
    while (!p->failed) {
        struct node *n = NULL;
        if (p->at->kind == TOKEN_END) {
            if (ends) parse_fail(p, "a block is not closed");
            break;
        }
        if (p->at->kind == TOKEN_TEXT) {
            n = parse_node(p, NODE_TEXT);
            if (n) n->text = p->at->text;
            p->at++;
        } else if (p->at->kind == TOKEN_PRINT_BEGIN) {
            p->at++;
            n = parse_print(p);
        } else { /* TOKEN_BLOCK_BEGIN */
            p->at++;
            if (ends && p->at->kind == TOKEN_NAME && name_in(p->at->text, ends)) break;
            n = parse_statement(p);
        }
        parse_kid(p, &kids, n);
    }
    p->depth--;
    if (p->failed) return NULL;
    body->kids = kids.at;
    body->kids_count = kids.count;
    return body;
}

enum err parse_template(struct template *t, str source, struct err_note *why)
{
    struct parse p = {.t = t, .why = why};
    struct token *tokens;
    size_t count;

    enum err e = lex_template(&t->arena, source, &tokens, &count, why);
    if (e) return e;
    p.at = tokens;
    t->body = parse_body(&p, NULL);
    return p.failed;
}
