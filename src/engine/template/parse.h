/* The parser's own state, shared by its two files: statements (parse.c) and expressions (expr.c).
 * The first failure sticks; a NULL node means that there was one. */
#ifndef SEMA_ENGINE_TEMPLATE_PARSE_H
#define SEMA_ENGINE_TEMPLATE_PARSE_H

#include "engine/template/lex.h"
#include "engine/template/node.h"

struct parse {
    struct template *t;
    const struct token *at; /* never past the TOKEN_END */
    unsigned depth;
    uint8_t macro_takes; /* of the macro being read: enum macro_takes */
    enum err failed;
    struct err_note *why;
};

struct kids { /* a growing list of nodes */
    struct node **at;
    uint32_t count, cap;
};

struct node *parse_fail(struct parse *p, const char *what);
struct node *parse_node(struct parse *p, enum node_kind kind);
bool parse_enter(struct parse *p);
void parse_kid(struct parse *p, struct kids *k, struct node *n);
uint32_t parse_intern(struct parse *p, str name);
void *parse_take(struct parse *p, size_t count, size_t each);

bool parse_is_op(const struct parse *p, const char *op);
bool parse_is_name(const struct parse *p, const char *name);
bool parse_skip_op(struct parse *p, const char *op);
bool parse_skip_name(struct parse *p, const char *name);
bool parse_expect_op(struct parse *p, const char *op);

struct node *expr_parse(struct parse *p, bool choice); /* `choice`: a if b else c is taken */
/* One expression, or several with commas between: then a tuple.  Ends before a tag's end or `in`.
 */
struct node *expr_tuple(struct parse *p, bool choice);
struct node *expr_filters(struct parse *p); /* "name(args)|name ..." of a block; its head is NULL */
struct node *expr_postfix_only(struct parse *p); /* a name or call, as {% call %} takes it */
struct node *expr_primary(struct parse *p);

#endif
