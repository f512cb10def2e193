/* One rendering under way: shared by the files of this room, nobody else's business.  The first
 * failure sticks: afterwards everything gives undefined values quickly and the caller looks once.
 */
#ifndef SEMA_ENGINE_TEMPLATE_RENDER_H
#define SEMA_ENGINE_TEMPLATE_RENDER_H

#include <time.h>

#include "base/buf.h"
#include "engine/template/node.h"
#include "engine/template/value.h"

struct binding {
    uint32_t name;
    value v;
};

/* Names and their values; looked up from the inside out. */
struct scope {
    struct scope *up;
    struct binding *at;
    uint32_t count, cap;
};

struct render {
    const struct template *t;
    yyjson_val *context;
    struct arena arena; /* of all values */
    struct tm now;
    struct buf *out;    /* where text goes at the moment */
    struct scope given; /* variables of the caller, read on first use */
    struct scope root;  /* what the template sets at its top */
    uint64_t steps;     /* done so far */
    unsigned depth;     /* of nested evaluation */
    enum err failed;
    struct err_note *why;
    uint32_t line; /* being evaluated, for messages */
};

/* Keeps the first failure.  Returns an undefined value, to be returned at once. */
value render_fail(struct render *r, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts work: a step for each node and for each few hundred bytes.  False: over the limit. */
bool render_step(struct render *r, size_t steps);
static inline bool render_bytes(struct render *r, size_t bytes)
{
    return render_step(r, 1 + bytes / 256);
}
bool render_enter(struct render *r); /* one level deeper; false when too deep */
static inline void render_leave(struct render *r)
{
    r->depth--;
}
void *render_take(struct render *r, size_t bytes); /* zeroed; NULL and failed when over the limit */
void *render_take_array(struct render *r, size_t count, size_t each);
/* A text under construction, at most as large as an output may be; closed by render_text. */
void render_buf(struct buf *b);
value render_text(struct render *r, struct buf *b); /* copies into the arena, ends the buffer */

/* ---- scopes ---- */
void scope_set(struct render *r, struct scope *s, uint32_t name, value v);
value scope_get(struct render *r, struct scope *s, uint32_t name);

/* ---- eval.c: expressions; run.c: statements ---- */
enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
value eval(struct render *r, struct scope *s, const struct node *n);
enum flow run(struct render *r, struct scope *s, const struct node *body);
/* Runs a body and gives its text. */
value run_to_text(struct render *r, struct scope *s, const struct node *body);
void run_for(struct render *r, struct scope *s, const struct node *n, const struct value_list *over,
             unsigned level);
void run_assign(struct render *r, struct scope *s, const struct node *target, value v);
value eval_block_filters(struct render *r, struct scope *s, const struct node *n, value text);
value eval_sign(struct render *r, value v); /* +v */
value eval_get_attr(struct render *r, value of, str name);
value eval_get_item(struct render *r, value of, value key);

/* ---- calls ---- */
struct named {
    str name;
    value v;
};

struct args {
    value *at;
    size_t count;
    struct named *named;
    size_t named_count;
};

void call_args(struct render *r, struct scope *s, const struct call *c, struct args *out);
value call_value(struct render *r, value what, const struct args *a);
value call_macro(struct render *r, const struct macro *m, const struct args *a);
/* Puts the arguments into the order of `names` ("a b c"); VALUE_MISSING for those not given.  Fails
 * on unknown, doubled and too many. */
bool args_bind(struct render *r, const struct args *a, const char *what, const char *names,
               value *out);

struct macro {
    const struct node *node;
    struct scope *around; /* names it sees besides its own */
    str name;
    bool has_caller;
    value caller;
};

struct loop {
    const struct node *node;
    struct scope *around;
    const struct value_list *over;
    size_t at;
    unsigned level; /* of recursive loops, from 0 */
    bool watched;   /* changed() was called */
    value last_watched;
};

struct cycler {
    const struct value_list *items;
    size_t at;
    bool used;
    value sep;
};

struct method {
    value of;
    str name;
};

typedef value function_call(struct render *r, const struct args *a);
typedef value filter_call(struct render *r, value in, const struct args *a);
typedef bool test_call(struct render *r, value in, const struct args *a);

struct function {
    const char *name;
    function_call *call;
};

const struct function *function_find(str name);
bool method_exists(value of, str name, bool *forbidden);
value method_call(struct render *r, const struct method *m, const struct args *a);
value loop_attr(struct render *r, struct loop *l, str name);
value loop_call(struct render *r, struct loop *l, const struct args *a);

/* ---- filters and tests, by name; NULL: there is none ---- */
filter_call *filter_find(str name);
test_call *test_find(str name);

/* ---- op.c: arithmetic ---- */
value op_binary(struct render *r, enum node_op op, value a, value b);
value op_negate(struct render *r, value v);
value op_slice(struct render *r, value of, value start, value stop, value step);

/* ---- print.c: values as text ---- */
void print_value(struct render *r, struct buf *to, value v); /* Python's str() */
void print_repr(struct render *r, struct buf *to, value v);  /* Python's repr() */
value print_to_str(struct render *r, value v);               /* a string stays what it is */
void print_float(struct buf *to, double f);
struct json_style {
    bool ascii, sort_keys;
    bool indented;
    str indent; /* for each level */
    str item_separator, key_separator;
};
void print_json(struct render *r, struct buf *to, value v, const struct json_style *style);

/* ---- format.c: "%s" % x and "{}".format(x) ---- */
value format_percent(struct render *r, value format, value with);
value format_braces(struct render *r, str format, const struct args *a);

#endif
