/* Calls: arguments put into place, macros, the functions that every template has, loop's own
 * attributes. */
#include "conf/limits.h"
#include "engine/template/render.h"

/* ---- arguments ---- */

void call_args(struct render *r, struct scope *s, const struct call *c, struct args *out)
{
    value star = c->star ? eval(r, s, c->star) : value_missing();
    value star_star = c->star_star ? eval(r, s, c->star_star) : value_missing();
    const struct value_list *more = c->star && !r->failed ? value_elements(r, star) : NULL;
    const struct dict *more_named = star_star.kind == VALUE_DICT ? star_star.u.dict : NULL;

    *out = (struct args){0};
    if (c->star_star && more_named == NULL)
        render_fail(r, ERR_UNSUPPORTED, "argument after ** must be a mapping, not %s",
                    value_type(star_star));
    if (r->failed) return;
    size_t count = c->count + (more ? more->count : 0);
    size_t named = c->named_count + (more_named ? more_named->count : 0);
    out->at = count ? render_take_array(r, count, sizeof *out->at) : NULL;
    out->named = named ? render_take_array(r, named, sizeof *out->named) : NULL;
    if (r->failed) return;
    for (uint32_t i = 0; i < c->count; i++) out->at[out->count++] = eval(r, s, c->at[i]);
    for (size_t i = 0; more && i < more->count; i++) out->at[out->count++] = more->at[i];
    for (uint32_t i = 0; i < c->named_count; i++)
        out->named[out->named_count++] = (struct named){c->names[i], eval(r, s, c->named[i])};
    for (size_t i = 0; more_named && i < more_named->count; i++) {
        value key = more_named->at[i].key;
        if (key.kind != VALUE_STR) {
            render_fail(r, ERR_UNSUPPORTED, "keywords must be strings");
            return;
        }
        out->named[out->named_count++] = (struct named){value_text(key), more_named->at[i].at};
    }
}

bool args_bind(struct render *r, const struct args *a, const char *what, const char *names,
               value *out)
{
    str rest = str_of(names), name;
    size_t at = 0, used = 0;

    while (str_split(&rest, ' ', &name)) {
        out[at] = at < a->count ? a->at[at] : value_missing();
        for (size_t i = 0; i < a->named_count; i++) {
            if (!str_eq(a->named[i].name, name)) continue;
            if (out[at].kind != VALUE_MISSING) {
                render_fail(r, ERR_UNSUPPORTED, "%s() got multiple values for argument '%.*s'",
                            what, STR_ARG(name));
                return false;
            }
            out[at] = a->named[i].v;
            used++;
        }
        at++;
    }
    if (a->count > at || used < a->named_count)
        render_fail(r, ERR_UNSUPPORTED, "%s() got an argument that it does not take", what);
    return !r->failed;
}

/* ---- macros ---- */

static value macro_argument(struct render *r, const struct macro *m, const struct args *a,
                            uint32_t at, struct scope *inner)
{
    const struct node *n = m->node;
    str name = r->t->names[n->kids[at]->name];
    value v = at < a->count ? a->at[at] : value_missing();

    for (size_t i = 0; i < a->named_count; i++) {
        if (!str_eq(a->named[i].name, name)) continue;
        if (v.kind != VALUE_MISSING)
            return render_fail(r, ERR_UNSUPPORTED, "macro '%.*s' got multiple values for '%.*s'",
                               STR_ARG(m->name), STR_ARG(name));
        v = a->named[i].v;
    }
    if (v.kind != VALUE_MISSING) return v;
    uint32_t plain = n->kids_count - n->defaults_count;
    return at >= plain ? eval(r, inner, n->defaults[at - plain]) : value_undefined(name);
}

/* The arguments that no parameter takes: an error unless the macro looks at varargs or kwargs. */
static void macro_rest(struct render *r, const struct macro *m, const struct args *a,
                       struct scope *inner)
{
    uint32_t takes = m->node->kids_count;
    size_t over = a->count > takes ? a->count - takes : 0;
    value kwargs = value_dict(r, VALUE_DICT);

    for (size_t i = 0; i < a->named_count; i++) {
        bool taken = false;
        for (uint32_t k = 0; k < takes && !taken; k++)
            taken = str_eq(a->named[i].name, r->t->names[m->node->kids[k]->name]);
        if (!taken) dict_set(r, kwargs.u.dict, value_str(a->named[i].name), a->named[i].v);
    }
    if (over && !(m->node->op & MACRO_VARARGS))
        render_fail(r, ERR_UNSUPPORTED, "macro '%.*s' takes not more than %u argument(s)",
                    STR_ARG(m->name), takes);
    if (kwargs.u.dict->count && !(m->node->op & MACRO_KWARGS))
        render_fail(r, ERR_UNSUPPORTED, "macro '%.*s' takes no keyword argument '%.*s'",
                    STR_ARG(m->name), STR_ARG(value_text(kwargs.u.dict->at[0].key)));
    scope_set(r, inner, r->t->varargs,
              value_list_of(r, VALUE_TUPLE, over ? a->at + takes : NULL, over));
    scope_set(r, inner, r->t->kwargs, kwargs);
}

value call_macro(struct render *r, const struct macro *m, const struct args *a)
{
    struct scope *inner = render_take(r, sizeof *inner);

    if (inner == NULL || !render_enter(r)) return value_none();
    inner->up = m->around;
    if (m->has_caller) scope_set(r, inner, r->t->caller, m->caller);
    for (uint32_t i = 0; i < m->node->kids_count && !r->failed; i++)
        scope_set(r, inner, m->node->kids[i]->name, macro_argument(r, m, a, i, inner));
    if (!r->failed) macro_rest(r, m, a, inner);
    value text = r->failed ? value_none() : run_to_text(r, inner, m->node->body);
    render_leave(r);
    return text;
}

/* ---- loop ---- */

value loop_attr(struct render *r, struct loop *l, str name)
{
    size_t count = l->over->count, at = l->at;

    if (str_eq(name, STR("index"))) return value_int((int64_t)at + 1);
    if (str_eq(name, STR("index0"))) return value_int((int64_t)at);
    if (str_eq(name, STR("first"))) return value_bool(at == 0);
    if (str_eq(name, STR("last"))) return value_bool(at + 1 == count);
    if (str_eq(name, STR("length"))) return value_int((int64_t)count);
    if (str_eq(name, STR("revindex"))) return value_int((int64_t)(count - at));
    if (str_eq(name, STR("revindex0"))) return value_int((int64_t)(count - at) - 1);
    if (str_eq(name, STR("previtem")))
        return at > 0 ? l->over->at[at - 1] : value_undefined(STR("there is no previous item"));
    if (str_eq(name, STR("nextitem")))
        return at + 1 < count ? l->over->at[at + 1] : value_undefined(STR("there is no next item"));
    if (str_eq(name, STR("depth"))) return value_int((int64_t)l->level + 1);
    if (str_eq(name, STR("depth0"))) return value_int((int64_t)l->level);
    if (str_eq(name, STR("cycle")) || str_eq(name, STR("changed"))) {
        struct method *m = render_take(r, sizeof *m);
        if (m == NULL) return value_none();
        *m = (struct method){(value){.kind = VALUE_LOOP, .u.loop = l}, name};
        return (value){.kind = VALUE_METHOD, .u.method = m};
    }
    return value_undefined(name);
}

static value loop_method(struct render *r, const struct method *m, const struct args *a)
{
    struct loop *l = m->of.u.loop;

    if (str_eq(m->name, STR("cycle"))) {
        if (a->count == 0) return render_fail(r, ERR_UNSUPPORTED, "no items for cycling given");
        return a->at[l->at % a->count];
    }
    value now = value_list_of(r, VALUE_TUPLE, a->at, a->count);
    bool changed = !l->watched || !value_equal(r, now, l->last_watched);
    l->watched = true;
    l->last_watched = now;
    return value_bool(changed);
}

/* loop(x) of a recursive loop: the loop again, over x; gives its text. */
value loop_call(struct render *r, struct loop *l, const struct args *a)
{
    struct buf text, *outer = r->out;

    if (!l->node->op) return render_fail(r, ERR_UNSUPPORTED, "the loop is not marked recursive");
    if (a->count != 1) return render_fail(r, ERR_UNSUPPORTED, "loop() takes one argument");
    const struct value_list *over = value_elements(r, a->at[0]);
    if (r->failed || !render_enter(r)) return value_none();
    render_buf(&text);
    r->out = &text;
    run_for(r, l->around, l->node, over, l->level + 1);
    r->out = outer;
    render_leave(r);
    return render_text(r, &text);
}

/* ---- functions ---- */

static value call_range(struct render *r, const struct args *a)
{
    int64_t part[3] = {0, 0, 1};

    if (a->count < 1 || a->count > 3 || a->named_count)
        return render_fail(r, ERR_UNSUPPORTED, "range() takes one to three integers");
    for (size_t i = 0; i < a->count; i++) {
        value v = a->at[i];
        if (v.kind != VALUE_INT && v.kind != VALUE_BOOL)
            return render_fail(r, ERR_UNSUPPORTED,
                               "'%s' object cannot be interpreted as an integer", value_type(v));
        part[a->count == 1 ? 1 : i] = v.kind == VALUE_BOOL ? v.u.truth : v.u.i;
    }
    int64_t from = part[0], to = part[1], by = part[2];
    if (by == 0) return render_fail(r, ERR_UNSUPPORTED, "range() arg 3 must not be zero");
    uint64_t span = by > 0 ? (to > from ? (uint64_t)to - (uint64_t)from : 0)
                           : (from > to ? (uint64_t)from - (uint64_t)to : 0);
    uint64_t stride = by > 0 ? (uint64_t)by : -(uint64_t)by;
    uint64_t count = span / stride + (span % stride != 0);
    if (count > TEMPLATE_RANGE_MAX)
        return render_fail(r, ERR_LIMIT, "range too big, the limit is %d", TEMPLATE_RANGE_MAX);
    struct value_range *range = render_take(r, sizeof *range);
    if (range == NULL) return value_none();
    *range = (struct value_range){from, to, by, (size_t)count};
    return (value){.kind = VALUE_RANGE, .u.range = range};
}

/* Pairs of a dict, or of a list of pairs, and keyword arguments, into `d`. */
static void fill(struct render *r, struct dict *d, const struct args *a)
{
    if (a->count > 1) {
        render_fail(r, ERR_UNSUPPORTED, "expected at most one positional argument");
        return;
    }
    if (a->count == 1 && a->at[0].kind == VALUE_DICT) {
        const struct dict *from = a->at[0].u.dict;
        for (size_t i = 0; i < from->count; i++) dict_set(r, d, from->at[i].key, from->at[i].at);
    } else if (a->count == 1) {
        const struct value_list *pairs = value_elements(r, a->at[0]);
        for (size_t i = 0; i < pairs->count && !r->failed; i++) {
            const struct value_list *pair = value_elements(r, pairs->at[i]);
            if (pair->count != 2)
                render_fail(r, ERR_UNSUPPORTED, "a dict is made of pairs");
            else
                dict_set(r, d, pair->at[0], pair->at[1]);
        }
    }
    for (size_t i = 0; i < a->named_count; i++)
        dict_set(r, d, value_str(a->named[i].name), a->named[i].v);
}

static value call_dict(struct render *r, const struct args *a)
{
    value v = value_dict(r, VALUE_DICT);
    fill(r, v.u.dict, a);
    return v;
}

static value call_namespace(struct render *r, const struct args *a)
{
    value v = value_dict(r, VALUE_SPACE);
    fill(r, v.u.dict, a);
    return v;
}

static value call_raise(struct render *r, const struct args *a)
{
    struct buf text;

    render_buf(&text);
    if (a->count) print_value(r, &text, a->at[0]);
    render_fail(r, ERR_INVALID, "%.*s", (int)text.len, text.at ? text.at : "");
    buf_fini(&text);
    return value_none();
}

static value call_strftime(struct render *r, const struct args *a)
{
    struct buf text;
    char made[128];

    if (a->count != 1 || a->at[0].kind != VALUE_STR)
        return render_fail(r, ERR_UNSUPPORTED, "strftime_now() takes a format");
    str s = value_text(a->at[0]);
    render_buf(&text);
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] != '%' || i + 1 == s.len) {
            buf_add_char(&text, s.at[i]);
            continue;
        }
        /* One directive at a time, "%d", or "%-d" with one flag of the C library: no widths, so
         * that each gives a bounded text. */
        bool flag = strchr("-_0^#", s.at[i + 1]) != NULL && i + 2 < s.len;
        const char one[4] = {'%', s.at[i + 1], flag ? s.at[i + 2] : '\0', '\0'};
        i += flag ? 2 : 1;
        if (s.at[i] == '%' && !flag)
            buf_add_char(&text, '%');
        else
            buf_add(&text, str_span(made, strftime(made, sizeof made, one, &r->now)));
    }
    return render_text(r, &text);
}

static value call_cycler(struct render *r, const struct args *a)
{
    struct cycler *c = render_take(r, sizeof *c);

    if (c == NULL) return value_none();
    if (a->count == 0)
        return render_fail(r, ERR_UNSUPPORTED, "at least one item has to be provided");
    c->items = value_list_of(r, VALUE_LIST, a->at, a->count).u.list;
    return (value){.kind = VALUE_CYCLER, .u.cycler = c};
}

static value call_joiner(struct render *r, const struct args *a)
{
    struct cycler *c = render_take(r, sizeof *c);
    value sep;

    if (c == NULL || !args_bind(r, a, "joiner", "sep", &sep)) return value_none();
    c->sep = sep.kind == VALUE_MISSING ? value_str(STR(", ")) : sep;
    return (value){.kind = VALUE_JOINER, .u.cycler = c};
}

static value call_lipsum(struct render *r, const struct args *a)
{
    return render_fail(r, ERR_UNSUPPORTED, "lipsum() is not available");
}

const struct function *function_find(str name)
{
    static const struct function all[] = {
        {"range", call_range},           {"dict", call_dict},
        {"namespace", call_namespace},   {"raise_exception", call_raise},
        {"strftime_now", call_strftime}, {"cycler", call_cycler},
        {"joiner", call_joiner},         {"lipsum", call_lipsum},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_eq(name, str_of(all[i].name))) return &all[i];
    return NULL;
}

value call_value(struct render *r, value what, const struct args *a)
{
    struct cycler *c;

    switch (what.kind) {
    case VALUE_MACRO: return call_macro(r, what.u.macro, a);
    case VALUE_FUNCTION: return what.u.function->call(r, a);
    case VALUE_METHOD:
        if (what.u.method->of.kind == VALUE_LOOP) return loop_method(r, what.u.method, a);
        return method_call(r, what.u.method, a);
    case VALUE_LOOP: return loop_call(r, what.u.loop, a);
    case VALUE_JOINER:
        c = what.u.cycler;
        if (c->used) return c->sep;
        c->used = true;
        return value_str(STR(""));
    case VALUE_UNDEFINED:
        return render_fail(r, ERR_UNSUPPORTED, "'%.*s' is undefined", STR_ARG(value_text(what)));
    default:
        return render_fail(r, ERR_UNSUPPORTED, "'%s' object is not callable", value_type(what));
    }
}
