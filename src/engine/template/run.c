/* Statements.  `if` opens no scope of its own; the body of a loop, macro, call, filter and set
 * block and `with` do, so that what is set inside is gone after it. */
#include "engine/template/render.h"

static void bind_target(struct render *r, struct scope *s, const struct node *target, value v)
{
    if (target->kind == NODE_NAME) {
        scope_set(r, s, target->name, v);
        return;
    }
    const struct value_list *parts = value_elements(r, v);
    if (r->failed) return;
    if (parts->count != target->kids_count) {
        render_fail(r, ERR_UNSUPPORTED, "%zu values cannot be unpacked into %u names", parts->count,
                    target->kids_count);
        return;
    }
    for (uint32_t i = 0; i < target->kids_count; i++)
        bind_target(r, s, target->kids[i], parts->at[i]);
}

void run_assign(struct render *r, struct scope *s, const struct node *target, value v)
{
    if (r->failed) return;
    if (target->kind != NODE_SPACE_ATTR) {
        bind_target(r, s, target, v);
        return;
    }
    value space = scope_get(r, s, target->name);
    if (space.kind != VALUE_SPACE) {
        render_fail(r, ERR_UNSUPPORTED, "cannot assign attribute on non-namespace object");
        return;
    }
    dict_set(r, space.u.dict, value_str(target->text), v);
}

value run_to_text(struct render *r, struct scope *s, const struct node *body)
{
    struct buf text, *outer = r->out;

    render_buf(&text);
    r->out = &text;
    if (run(r, s, body) != FLOW_ON)
        render_fail(r, ERR_UNSUPPORTED, "'break' or 'continue' outside a loop");
    r->out = outer;
    return render_text(r, &text);
}

/* ---- for ---- */

/* The elements that pass the loop's own `if`. */
static const struct value_list *sift(struct render *r, struct scope *s, const struct node *n,
                                     const struct value_list *over)
{
    struct value_list *kept = value_list(r, VALUE_LIST, over->count).u.list;
    struct scope inner = {.up = s};
    size_t count = 0;

    for (size_t i = 0; i < kept->count && !r->failed; i++) {
        inner.count = 0;
        bind_target(r, &inner, n->a, over->at[i]);
        if (r->failed) break;
        if (value_true(eval(r, &inner, n->c))) kept->at[count++] = over->at[i];
    }
    if (kept->at) kept->count = count; /* else it is the shared empty list */
    return kept;
}

void run_for(struct render *r, struct scope *s, const struct node *n, const struct value_list *over,
             unsigned level)
{
    if (n->c) over = sift(r, s, n, over);
    if (r->failed) return;
    struct loop *loop = render_take(r, sizeof *loop);
    struct scope *inner =
        render_take(r, sizeof *inner); /* macros of the body may outlive the loop */
    if (loop == NULL || inner == NULL) return;
    *loop = (struct loop){.node = n, .around = s, .over = over, .level = level};
    inner->up = s;
    bool completed = false; /* some round, not left by break or continue: as the reference counts */
    for (; loop->at < over->count && !r->failed; loop->at++) {
        inner->count = 0;
        scope_set(r, inner, r->t->loop, (value){.kind = VALUE_LOOP, .u.loop = loop});
        bind_target(r, inner, n->a, over->at[loop->at]);
        if (r->failed) return;
        enum flow flow = run(r, inner, n->body);
        completed = completed || flow == FLOW_ON;
        if (flow == FLOW_BREAK) break;
    }
    if (completed || n->otherwise == NULL || r->failed) return;
    struct scope other = {.up = s};
    run(r, &other, n->otherwise);
}

/* ---- the rest ---- */

static enum flow run_if(struct render *r, struct scope *s, const struct node *n)
{
    for (; n && n->kind == NODE_IF; n = n->otherwise) {
        bool holds = value_true(eval(r, s, n->a));
        if (r->failed) return FLOW_ON;
        if (holds) return run(r, s, n->body);
    }
    return n ? run(r, s, n) : FLOW_ON;
}

static value make_macro(struct render *r, struct scope *s, const struct node *n)
{
    struct macro *m = render_take(r, sizeof *m);
    if (m == NULL) return value_none();
    *m = (struct macro){.node = n, .around = s, .name = r->t->names[n->name]};
    return (value){.kind = VALUE_MACRO, .u.macro = m};
}

static void run_call_block(struct render *r, struct scope *s, const struct node *n)
{
    struct args args;
    value caller = make_macro(r, s, n->b), what = eval(r, s, n->a->a);

    call_args(r, s, n->a->call, &args);
    if (r->failed) return;
    if (what.kind != VALUE_MACRO) {
        render_fail(r, ERR_UNSUPPORTED, "only a macro can be called with a block");
        return;
    }
    struct macro with = *what.u.macro;
    with.has_caller = true;
    with.caller = caller;
    struct macro *kept = render_take(r, sizeof *kept);
    if (kept == NULL) return;
    *kept = with;
    print_value(r, r->out, call_macro(r, kept, &args));
}

static void run_set_block(struct render *r, struct scope *s, const struct node *n)
{
    struct scope *inner = render_take(r, sizeof *inner);
    if (inner == NULL) return;
    inner->up = s;
    value text = run_to_text(r, inner, n->body);
    if (n->b) text = eval_block_filters(r, s, n->b, text);
    run_assign(r, s, n->a, text);
}

static void run_filter_block(struct render *r, struct scope *s, const struct node *n)
{
    struct scope *inner = render_take(r, sizeof *inner);
    if (inner == NULL) return;
    inner->up = s;
    value text = run_to_text(r, inner, n->body);
    print_value(r, r->out, eval_block_filters(r, s, n->b, text));
}

static enum flow run_with(struct render *r, struct scope *s, const struct node *n)
{
    struct scope *inner = render_take(r, sizeof *inner);
    if (inner == NULL) return FLOW_ON;
    inner->up = s;
    for (uint32_t i = 0; i + 1 < n->kids_count; i += 2)
        scope_set(r, inner, n->kids[i]->name, eval(r, s, n->kids[i + 1]));
    return run(r, inner, n->body);
}

static void run_loop(struct render *r, struct scope *s, const struct node *n)
{
    value over = eval(r, s, n->b);
    if (r->failed) return;
    const struct value_list *elements = value_elements(r, over);
    if (!r->failed) run_for(r, s, n, elements, 0);
}

static enum flow run_node(struct render *r, struct scope *s, const struct node *n)
{
    value v;

    switch (n->kind) {
    case NODE_TEXT:
        buf_add(r->out, n->text);
        render_bytes(r, n->text.len);
        return FLOW_ON;
    case NODE_PRINT:
        v = eval(r, s, n->a);
        if (!r->failed) print_value(r, r->out, v);
        return FLOW_ON;
    case NODE_BODY: return run(r, s, n);
    case NODE_IF: return run_if(r, s, n);
    case NODE_FOR: run_loop(r, s, n); return FLOW_ON;
    case NODE_SET: run_assign(r, s, n->a, eval(r, s, n->b)); return FLOW_ON;
    case NODE_SET_BLOCK: run_set_block(r, s, n); return FLOW_ON;
    case NODE_MACRO: scope_set(r, s, n->name, make_macro(r, s, n)); return FLOW_ON;
    case NODE_CALL_BLOCK: run_call_block(r, s, n); return FLOW_ON;
    case NODE_FILTER_BLOCK: run_filter_block(r, s, n); return FLOW_ON;
    case NODE_WITH: return run_with(r, s, n);
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: render_fail(r, ERR_INTERNAL, "not a statement"); return FLOW_ON;
    }
}

enum flow run(struct render *r, struct scope *s, const struct node *body)
{
    enum flow flow = FLOW_ON;

    if (!render_enter(r)) return FLOW_ON;
    for (uint32_t i = 0; i < body->kids_count && flow == FLOW_ON && !r->failed; i++) {
        if (!render_step(r, 1)) break;
        r->line = body->kids[i]->line;
        flow = run_node(r, s, body->kids[i]);
        if (r->out->bad) render_fail(r, ERR_LIMIT, "the rendered text is too long");
    }
    render_leave(r);
    return flow;
}
