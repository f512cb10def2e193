/* The methods of lists and dicts; those of strings are in strings.c.  What changes a list or dict
 * does not exist here: the reference's sandbox forbids it. */
#include "engine/template/method.h"

static value fail(struct render *r, const char *what)
{
    return render_fail(r, ERR_UNSUPPORTED, "%s", what);
}

static bool one_of(str name, const char *list)
{
    str rest = str_of(list), word;
    while (str_split(&rest, ' ', &word))
        if (str_eq(word, name)) return true;
    return false;
}

bool method_exists(value of, str name, bool *forbidden)
{
    const char *may = "", *may_not = "";

    switch (of.kind) {
    case VALUE_STR: return str_method_exists(name);
    case VALUE_LIST:
        may = "count index copy";
        may_not = "append clear extend insert pop remove reverse sort";
        break;
    case VALUE_TUPLE: may = "count index"; break;
    case VALUE_DICT:
        may = "get items keys values copy";
        may_not = "clear pop popitem setdefault update";
        break;
    case VALUE_CYCLER: may = "next reset"; break;
    default: break;
    }
    *forbidden = one_of(name, may_not);
    return one_of(name, may);
}

static value dict_view(struct render *r, const struct dict *d, const char *name)
{
    value v = value_list(r, VALUE_VIEW, d->count);

    for (size_t i = 0; i < v.u.list->count; i++) {
        const struct dict_entry *e = &d->at[i];
        v.u.list->at[i] = name[5] == 'i'   ? value_pair(r, e->key, e->at)
                          : name[5] == 'k' ? e->key
                                           : e->at;
    }
    if (!r->failed) v.u.list->name = name;
    return v;
}

static value dict_method(struct render *r, const struct method *m, const struct args *a)
{
    const struct dict *d = m->of.u.dict;
    value arg[2];

    if (str_eq(m->name, STR("get"))) {
        if (!args_bind(r, a, "get", "key default", arg)) return value_none();
        if (arg[0].kind == VALUE_UNDEFINED)
            return arg[1].kind == VALUE_MISSING ? value_none() : arg[1];
        value *v = dict_get(r, d, arg[0]);
        return v ? *v : arg[1].kind == VALUE_MISSING ? value_none() : arg[1];
    }
    if (a->count + a->named_count) return fail(r, "the method takes no arguments");
    if (str_eq(m->name, STR("items"))) return dict_view(r, d, "dict_items");
    if (str_eq(m->name, STR("keys"))) return dict_view(r, d, "dict_keys");
    if (str_eq(m->name, STR("values"))) return dict_view(r, d, "dict_values");
    return m->of; /* copy: nothing changes either */
}

static value list_method(struct render *r, const struct method *m, const struct args *a)
{
    const struct value_list *l = m->of.u.list;
    int64_t n = 0;

    if (str_eq(m->name, STR("copy"))) return m->of;
    if (a->count != 1 || a->named_count) return fail(r, "the method takes one argument");
    bool count = str_eq(m->name, STR("count"));
    for (size_t i = 0; i < l->count; i++) {
        if (!value_equal(r, l->at[i], a->at[0])) continue;
        if (!count) return value_int((int64_t)i);
        n++;
    }
    return count ? value_int(n) : fail(r, "the value is not in the list");
}

static value cycler_method(struct render *r, const struct method *m)
{
    struct cycler *c = m->of.u.cycler;

    if (str_eq(m->name, STR("reset"))) {
        c->at = 0;
        return value_none();
    }
    return c->items->count ? c->items->at[c->at++ % c->items->count] : value_none();
}

value method_call(struct render *r, const struct method *m, const struct args *a)
{
    switch (m->of.kind) {
    case VALUE_LIST:
    case VALUE_TUPLE: return list_method(r, m, a);
    case VALUE_DICT: return dict_method(r, m, a);
    case VALUE_CYCLER: return cycler_method(r, m);
    default: return str_method_call(r, m, a);
    }
}
