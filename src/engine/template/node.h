/* A parsed template: statements and expressions as nodes, all in the template's arena. */
#ifndef SEMA_ENGINE_TEMPLATE_NODE_H
#define SEMA_ENGINE_TEMPLATE_NODE_H

#include "base/arena.h"
#include "base/err.h"
#include "engine/template/value.h"

enum node_kind {
    /* expressions */
    NODE_CONST,   /* constant */
    NODE_NAME,    /* name */
    NODE_LIST,    /* kids */
    NODE_TUPLE,   /* kids */
    NODE_DICT,    /* kids: key, value, key, value ... */
    NODE_ATTR,    /* a.text */
    NODE_ITEM,    /* a[b] */
    NODE_SLICE,   /* a[kids[0]:kids[1]:kids[2]], NULL where left out */
    NODE_CALL,    /* a(call) */
    NODE_FILTER,  /* a|text(call); a is NULL at the head of a filter block */
    NODE_TEST,    /* a is text(call) */
    NODE_NOT,     /* a */
    NODE_NEGATE,  /* -a */
    NODE_PLUS,    /* +a */
    NODE_AND,     /* a, b */
    NODE_OR,      /* a, b */
    NODE_BINARY,  /* a op b */
    NODE_COMPARE, /* a, then each kid (a NODE_OPERAND) */
    NODE_OPERAND, /* op, a */
    NODE_CONCAT,  /* kids */
    NODE_CHOICE,  /* a if b else c; c may be NULL */
    /* statements */
    NODE_BODY,         /* kids */
    NODE_TEXT,         /* text */
    NODE_PRINT,        /* a */
    NODE_IF,           /* a, body, otherwise (NULL, a NODE_IF or a NODE_BODY) */
    NODE_FOR,          /* a: target, b: over, c: filter or NULL, body, otherwise, op: recursive */
    NODE_SET,          /* a: target, b */
    NODE_SET_BLOCK,    /* a: target, b: filters or NULL, body */
    NODE_SPACE_ATTR,   /* a target only: name.text */
    NODE_MACRO,        /* name, kids: parameters (names), defaults, body; op: enum macro_takes */
    NODE_CALL_BLOCK,   /* a: the call; macro: what caller() runs */
    NODE_FILTER_BLOCK, /* b: filters, body */
    NODE_WITH,         /* kids: target, value, target, value ...; body */
    NODE_BREAK,
    NODE_CONTINUE,
};

enum node_op {
    OP_NONE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR_DIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN,
};

enum macro_takes { MACRO_VARARGS = 1, MACRO_KWARGS = 2 }; /* because the body mentions the name */

struct call {
    struct node **at;
    uint32_t count;
    str *names; /* of keyword arguments */
    struct node **named;
    uint32_t named_count;
    struct node *star, *star_star; /* *args and **kwargs, or NULL */
};

struct node {
    uint8_t kind, op;
    uint32_t line;
    uint32_t name; /* interned */
    uint32_t kids_count;
    struct node **kids;
    struct node *a, *b, *c;
    struct node *body, *otherwise;
    union {
        value constant;
        str text;
        struct call *call;
    };
    str label;              /* of filters, tests, attributes with a call beside them */
    void (*resolved)(void); /* a filter_call or test_call, NULL when there is none of that name */
    /* of a macro */
    struct node **defaults; /* for the last defaults_count parameters */
    uint32_t defaults_count;
};

/* A template's names are numbers below names_count. */
struct template
{
    struct arena arena;
    struct node *body;
    str *names;
    uint32_t names_count, names_cap;
    uint32_t loop, varargs, kwargs, caller; /* names that the language gives meaning */
};

uint32_t template_name(struct template *t, str name); /* interned; UINT32_MAX when memory is out */

/* parse.c: fills t->body.  ERR_INVALID with the line and the fault, ERR_LIMIT, ERR_MEMORY. */
enum err parse_template(struct template *t, str source, struct err_note *why);

#endif
