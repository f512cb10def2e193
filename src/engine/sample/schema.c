/* JSON schemas as nets.  A place in the output is governed by a set of schemas that all must hold
 * (allOf, $ref beside other keywords, a property named in two of them); what they say together is
 * worked out, and each such set becomes one rule, so that recursive schemas are rules that call
 * themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "conf/limits.h"
#include "engine/sample/schema.h"

uint32_t schema_fail(struct compile *c, enum err e, const char *what, str which)
{
    net_fail(c->n, e, "%s%.*s", what, (int)(which.len > 80 ? 80 : which.len),
             which.at ? which.at : "");
    return c->n->nowhere;
}

/* ---- keywords ---- */

static bool named(str name, const char *list)
{
    str rest = str_of(list), word;
    while (str_split(&rest, ' ', &word))
        if (str_eq(word, name)) return true;
    return false;
}

static const char known[] =
    "type properties required additionalProperties items prefixItems minItems maxItems enum const "
    "anyOf "
    "oneOf allOf $ref $defs definitions minLength maxLength pattern format minimum maximum title "
    "description default examples $schema $id";

static bool check_keywords(struct compile *c, yyjson_val *schema)
{
    size_t i, max;
    yyjson_val *key, *v;

    if (yyjson_is_bool(schema)) return true;
    if (!yyjson_is_obj(schema)) {
        schema_fail(c, ERR_INVALID, "a schema must be an object or a boolean", STR_NONE);
        return false;
    }
    yyjson_obj_foreach(json_object_of(schema), i, max, key, v)
    {
        if (named(json_str(key), known)) continue;
        schema_fail(c, ERR_UNSUPPORTED, "schema keyword not supported: ", json_str(key));
        return false;
    }
    return true;
}

enum type {
    T_NULL = 1,
    T_BOOL = 2,
    T_INT = 4,
    T_NUM = 8,
    T_STR = 16,
    T_ARR = 32,
    T_OBJ = 64,
    T_ALL = 127
};

static unsigned type_named(struct compile *c, yyjson_val *v)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"null", T_NULL},          {"boolean", T_BOOL}, {"integer", T_INT},
                 {"number", T_INT | T_NUM}, {"string", T_STR},   {"array", T_ARR},
                 {"object", T_OBJ}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq(json_str(v), str_of(types[i].name))) return types[i].type;
    schema_fail(c, ERR_INVALID, "unknown type: ", json_str(v));
    return 0;
}

static unsigned type_of_schema(struct compile *c, yyjson_val *schema)
{
    yyjson_val *type = json_get(schema, "type"), *one;
    size_t i, max;
    unsigned all = 0;

    if (type == NULL) return T_ALL;
    if (!yyjson_is_arr(type)) return type_named(c, type);
    yyjson_arr_foreach(json_array_of(type), i, max, one) all |= type_named(c, one);
    return all;
}

static bool has_any(yyjson_val *schema, const char *list)
{
    str rest = str_of(list), word;
    while (str_split(&rest, ' ', &word)) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", STR_ARG(word));
        if (json_get(schema, key)) return true;
    }
    return false;
}

/* Without `type`, keywords of one type mean that type: a schema of properties wants an object. */
static unsigned implied_types(yyjson_val *schema)
{
    unsigned all = 0;

    if (json_get(schema, "type")) return T_ALL;
    if (has_any(schema, "properties required additionalProperties")) all |= T_OBJ;
    if (has_any(schema, "items prefixItems minItems maxItems")) all |= T_ARR;
    if (has_any(schema, "minLength maxLength pattern")) all |= T_STR;
    if (has_any(schema, "minimum maximum")) all |= T_INT | T_NUM;
    return all ? all : T_ALL;
}

/* A count that must not be negative. */
static uint32_t count_of(struct compile *c, yyjson_val *schema, const char *key, uint32_t otherwise)
{
    yyjson_val *v = json_get(schema, key);

    if (v == NULL) return otherwise;
    double d = yyjson_get_num(v);
    if (!yyjson_is_num(v) || !(d >= 0) || d != floor(d)) {
        schema_fail(c, ERR_INVALID, "not a count: ", str_of(key));
        return otherwise;
    }
    return d > 1e9 ? 1000000000u : (uint32_t)d;
}

/* What all schemas of a set say about counts together. */
static void counts_of(struct compile *c, const struct set *s, const char *low, const char *high,
                      uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = NET_FOREVER;
    for (size_t i = 0; i < s->count; i++) {
        uint32_t a = count_of(c, s->at[i], low, 0), b = count_of(c, s->at[i], high, NET_FOREVER);
        if (a > *min) *min = a;
        if (b < *max) *max = b;
    }
}

/* ---- rules ---- */

static uint32_t rule_of(struct compile *c, const struct set *s);

uint32_t schema_value(struct compile *c, const struct set *s, uint32_t next)
{
    return net_call(c->n, rule_of(c, s), next);
}

bool schema_add(struct compile *c, struct set *s, yyjson_val *schema)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->at[i] == schema) return true;
    if (s->count == SET_MAX) {
        schema_fail(c, ERR_LIMIT, "too many schemas hold at one place", STR_NONE);
        return false;
    }
    s->at[s->count++] = schema;
    return true;
}

uint32_t schema_blank(struct compile *c, uint32_t next) /* one or none */
{
    return net_either(c->n, next, net_byte(c->n, ' ', ' ', next));
}

uint32_t schema_comma(struct compile *c, uint32_t next)
{
    return net_byte(c->n, ',', ',', schema_blank(c, next));
}

/* ---- strings ---- */

/* The dates of a common year, so that every one exists. */
#define DATE                                                                                       \
    "\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|"  \
    "1\\d|2[0-8]))"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"

static const char *format_pattern(str format)
{
    static const struct {
        const char *name, *pattern;
    } formats[] = {
        {"date", DATE},
        {"time", TIME},
        {"date-time", DATE "T" TIME},
        {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (str_eq(format, str_of(formats[i].name))) return formats[i].pattern;
    return NULL;
}

static uint32_t string_of(struct compile *c, const struct set *s, uint32_t next)
{
    uint32_t min, max, body;
    str pattern = STR_NONE;

    counts_of(c, s, "minLength", "maxLength", &min, &max);
    for (size_t i = 0; i < s->count; i++) {
        const char *format = format_pattern(json_get_str(s->at[i], "format"));
        str given[2] = {json_get_str(s->at[i], "pattern"), str_of(format)};
        for (int k = 0; k < 2; k++) {
            if (given[k].at == NULL || str_eq(given[k], pattern)) continue;
            if (pattern.at)
                return schema_fail(c, ERR_UNSUPPORTED, "two patterns or formats for one string",
                                   STR_NONE);
            pattern = given[k];
        }
    }
    if (min > max) return c->n->nowhere;
    if (pattern.at == NULL && min == 0 && max == NET_FOREVER)
        return net_byte(c->n, '"', '"', net_call(c->n, net_string_tail(c->n), next));
    uint32_t close = net_byte(c->n, '"', '"', next);
    body = pattern.at ? pattern_compile(c->n, pattern, min, max, close)
                      : net_repeat(c->n, net_any_char(c->n), min, max, close);
    return net_byte(c->n, '"', '"', body);
}

/* ---- arrays ---- */

/* The schemas of the element at `index`; false: there may be none. */
static bool element_set(struct compile *c, const struct set *s, size_t index, struct set *out)
{
    *out = (struct set){.count = 0};
    for (size_t i = 0; i < s->count; i++) {
        yyjson_val *prefix = json_get(s->at[i], "prefixItems"),
                   *items = json_get(s->at[i], "items");
        yyjson_val *mine = index < yyjson_arr_size(prefix) ? yyjson_arr_get(prefix, index) : items;
        if (mine && !schema_add(c, out, mine)) return false;
        if (mine && yyjson_is_false(mine)) return false;
    }
    return true;
}

static uint32_t array_of(struct compile *c, const struct set *s, uint32_t next)
{
    struct net *n = c->n;
    struct set element;
    uint32_t min, max;
    size_t prefix = 0;
    bool items = false;

    counts_of(c, s, "minItems", "maxItems", &min, &max);
    for (size_t i = 0; i < s->count; i++) {
        size_t count = yyjson_arr_size(json_get(s->at[i], "prefixItems"));
        if (count > prefix) prefix = count;
        items = items || json_get(s->at[i], "items");
    }
    if (prefix && !items && max > prefix && min <= prefix)
        max = (uint32_t)prefix; /* nothing said of more */
    if (prefix > max) prefix = max;
    if (min > max) return n->nowhere;

    uint32_t close = net_byte(n, ']', ']', next), at = n->nowhere;
    bool rest = max > prefix && element_set(c, s, prefix, &element);
    if (n->failed) return n->nowhere;
    /* Behind the prefix: any number of like elements. */
    uint32_t rest_min = min > prefix ? min - (uint32_t)prefix : 0;
    uint32_t rest_max = max == NET_FOREVER ? NET_FOREVER : max - (uint32_t)prefix;
    if (rest) {
        uint32_t more = schema_comma(c, schema_value(c, &element, n->end));
        if (prefix) {
            at = net_repeat(n, more, rest_min, rest_max, close);
        } else {
            uint32_t least = rest_min ? rest_min - 1 : 0;
            uint32_t most = rest_max == NET_FOREVER ? NET_FOREVER : rest_max - 1;
            at = schema_value(c, &element, net_repeat(n, more, least, most, close));
            if (min == 0) at = net_either(n, at, close);
        }
    } else if (min <= prefix) {
        at = close;
    }
    for (size_t i = prefix; i-- > 0 && !n->failed;) {
        uint32_t one = n->nowhere;
        if (element_set(c, s, i, &element)) {
            one = schema_value(c, &element, at);
            if (i > 0) one = schema_comma(c, one);
        }
        at = i >= min ? net_either(n, one, close) : one;
    }
    return net_byte(n, '[', '[', at);
}

/* ---- enum and const ---- */

static unsigned type_of_value(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: return T_NULL;
    case YYJSON_TYPE_BOOL: return T_BOOL;
    case YYJSON_TYPE_STR: return T_STR;
    case YYJSON_TYPE_ARR: return T_ARR;
    case YYJSON_TYPE_OBJ: return T_OBJ;
    default: return yyjson_get_num(v) == floor(yyjson_get_num(v)) ? T_INT : T_NUM;
    }
}

static bool one_of(yyjson_val *v, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *one;

    yyjson_arr_foreach(json_array_of(list), i, max, one)
    {
        bool numbers = yyjson_is_num(v) && yyjson_is_num(one);
        if (numbers ? yyjson_get_num(v) == yyjson_get_num(one) : yyjson_equals(v, one)) return true;
    }
    return false;
}

static bool enum_allows(const struct set *s, yyjson_val *v)
{
    for (size_t i = 0; i < s->count; i++) {
        yyjson_val *list = json_get(s->at[i], "enum"), *fixed = json_get(s->at[i], "const");
        if (list && !one_of(v, list)) return false;
        bool numbers = fixed && yyjson_is_num(v) && yyjson_is_num(fixed);
        if (fixed &&
            !(numbers ? yyjson_get_num(v) == yyjson_get_num(fixed) : yyjson_equals(v, fixed)))
            return false;
    }
    return true;
}

static uint32_t literal(struct compile *c, yyjson_val *v, uint32_t next)
{
    struct buf b;

    buf_init(&b, GRAMMAR_SCHEMA_BYTES_MAX * 2);
    struct json_out out = json_begin(&b);
    json_val(&out, v);
    uint32_t node = b.bad ? schema_fail(c, ERR_MEMORY, "out of memory", STR_NONE)
                          : net_text(c->n, buf_str(&b), next);
    buf_fini(&b);
    return node;
}

/* The values listed, without those that another schema of the place rules out. */
static uint32_t enum_of(struct compile *c, const struct set *s, yyjson_val *from, unsigned types,
                        uint32_t next)
{
    yyjson_val *v = from;
    size_t count = yyjson_is_arr(from) ? yyjson_arr_size(from) : 1;
    bool list = false;
    uint32_t all = c->n->nowhere;

    for (size_t i = 0; i < s->count; i++) {
        list = list || json_get(s->at[i], "enum") == from;
        if (has_any(s->at[i],
                    "properties required additionalProperties items prefixItems minItems maxItems "
                    "minLength maxLength pattern minimum maximum"))
            return schema_fail(c, ERR_UNSUPPORTED,
                               "enum or const beside keywords that limit it further", STR_NONE);
    }
    if (!list) count = 1;
    for (size_t i = 0; i < count && !c->n->failed; i++) {
        if (list) v = yyjson_arr_get(from, i);
        if ((type_of_value(v) & types) && enum_allows(s, v))
            all = net_either(c->n, all, literal(c, v, next));
    }
    return all;
}

/* ---- a set without references and alternatives ---- */

static void bounds_of(struct compile *c, const struct set *s, bool *has_min, double *min,
                      bool *has_max, double *max)
{
    *has_min = *has_max = false;
    *min = *max = 0;
    for (size_t i = 0; i < s->count; i++) {
        yyjson_val *low = json_get(s->at[i], "minimum"), *high = json_get(s->at[i], "maximum");
        if ((low && !yyjson_is_num(low)) || (high && !yyjson_is_num(high))) {
            schema_fail(c, ERR_INVALID, "minimum and maximum must be numbers", STR_NONE);
            return;
        }
        if (low && (!*has_min || yyjson_get_num(low) > *min)) *min = yyjson_get_num(low);
        if (high && (!*has_max || yyjson_get_num(high) < *max)) *max = yyjson_get_num(high);
        *has_min = *has_min || low;
        *has_max = *has_max || high;
    }
}

static uint32_t plain_of(struct compile *c, const struct set *s)
{
    struct net *n = c->n;
    unsigned types = T_ALL;
    yyjson_val *values = NULL;
    uint32_t all[8];
    size_t count = 0;
    bool has_min, has_max;
    double min, max;

    for (size_t i = 0; i < s->count; i++) {
        types &= type_of_schema(c, s->at[i]) & implied_types(s->at[i]);
        yyjson_val *list = json_get(s->at[i], "enum"), *fixed = json_get(s->at[i], "const");
        if (list && !yyjson_is_arr(list))
            return schema_fail(c, ERR_INVALID, "enum must be a list", STR_NONE);
        if (values == NULL) values = list ? list : fixed;
    }
    if (n->failed) return n->nowhere;
    if (values) return enum_of(c, s, values, types, n->end);
    bounds_of(c, s, &has_min, &min, &has_max, &max);
    if (types & T_NULL) all[count++] = net_text(n, STR("null"), n->end);
    if (types & T_BOOL) {
        all[count++] = net_text(n, STR("true"), n->end);
        all[count++] = net_text(n, STR("false"), n->end);
    }
    if (types & T_NUM)
        all[count++] = net_number(n, has_min, min, has_max, max, n->end);
    else if (types & T_INT)
        all[count++] = net_integer(n, has_min, min, has_max, max, n->end);
    if (types & T_STR) all[count++] = string_of(c, s, n->end);
    if (types & T_ARR) all[count++] = array_of(c, s, n->end);
    if (types & T_OBJ) all[count++] = schema_object(c, s, n->end);
    return net_branch(n, all, count);
}

/* ---- references, allOf, anyOf ---- */

struct todo { /* a schema still to be looked into, and through which ones it was reached */
    yyjson_val *schema;
    const struct todo *from;
    struct todo *rest;
};

struct expansion {
    struct compile *c;
    uint32_t all; /* of the alternatives so far */
    size_t count;
};

static yyjson_val *resolve(struct compile *c, str ref)
{
    char pointer[512];

    if (str_eq(ref, STR("#"))) return c->root;
    yyjson_val *found = NULL;
    if (str_starts(ref, STR("#/")) && ref.len < sizeof pointer) {
        snprintf(pointer, sizeof pointer, "%.*s", STR_ARG(str_tail(ref, 1)));
        found = yyjson_ptr_getn(c->root, pointer, strlen(pointer));
    }
    if (found == NULL) schema_fail(c, ERR_INVALID, "$ref leads nowhere in the schema: ", ref);
    return found;
}

static void expand(struct expansion *x, struct todo *todo, struct set plain);

static void expand_branches(struct expansion *x, const struct todo *here, struct todo *rest,
                            yyjson_val *branches, struct set plain)
{
    size_t i, max;
    yyjson_val *one;

    yyjson_arr_foreach(json_array_of(branches), i, max, one)
    {
        struct todo branch = {one, here, rest};
        expand(x, &branch, plain);
        if (x->c->n->failed) return;
    }
}

/* One schema of the list, then the rest; alternatives are followed one after the other. */
static void expand(struct expansion *x, struct todo *todo, struct set plain)
{
    struct compile *c = x->c;
    size_t i, max;

    if (c->n->failed) return;
    if (todo == NULL) {
        if (++x->count > GRAMMAR_ALTERNATIVES_MAX)
            schema_fail(c, ERR_LIMIT, "too many alternatives at one place", STR_NONE);
        else
            x->all = net_either(c->n, x->all, plain_of(c, &plain));
        return;
    }
    yyjson_val *schema = todo->schema;
    if (!check_keywords(c, schema) || yyjson_is_false(schema)) return;
    unsigned steps = 0;
    for (const struct todo *t = todo->from; t; t = t->from, steps++)
        if (t->schema == schema) return; /* through itself to itself: adds nothing */
    if (steps > GRAMMAR_DEPTH_MAX) {
        schema_fail(c, ERR_LIMIT, "references nested too deep", STR_NONE);
        return;
    }
    struct todo *rest = todo->rest;
    if (yyjson_is_true(schema)) {
        expand(x, rest, plain);
        return;
    }
    for (i = 0; i < plain.count; i++)
        if (plain.at[i] == schema) { /* held already */
            expand(x, rest, plain);
            return;
        }
    if (!schema_add(c, &plain, schema)) return;

    struct todo ref, *members;
    yyjson_val *reference = json_get(schema, "$ref"), *all_of = json_get(schema, "allOf");
    size_t count = yyjson_arr_size(all_of);
    members = count ? arena_array(c->n->arena, struct todo, count) : NULL;
    if (count && members == NULL) {
        schema_fail(c, ERR_MEMORY, "out of memory", STR_NONE);
        return;
    }
    for (i = count; i-- > 0; rest = &members[i]) /* the first one is looked into first */
        members[i] = (struct todo){yyjson_arr_get(all_of, i), todo, rest};
    if (reference) {
        ref = (struct todo){resolve(c, json_str(reference)), todo, rest};
        if (ref.schema == NULL) return;
        rest = &ref;
    }
    yyjson_val *any = json_get(schema, "anyOf"), * or = json_get(schema, "oneOf");
    if ((any && !yyjson_is_arr(any)) || (or &&!yyjson_is_arr(or)) ||
        (all_of && !yyjson_is_arr(all_of))) {
        schema_fail(c, ERR_INVALID, "anyOf, oneOf and allOf must be lists", STR_NONE);
        return;
    }
    if (any && or) {
        yyjson_val *first;
        yyjson_arr_foreach(json_array_of(any), i, max, first)
        {
            struct todo branch = {first, todo, rest};
            expand_branches(x, todo, &branch, or, plain);
        }
    } else if (any || or) {
        expand_branches(x, todo, rest, any ? any : or, plain);
    } else {
        expand(x, rest, plain);
    }
}

static bool same_set(const struct set *a, const struct set *b)
{
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof *a->at) == 0;
}

static uint32_t rule_of(struct compile *c, const struct set *s)
{
    struct net *n = c->n;

    for (struct rule *r = c->rules; r; r = r->older)
        if (same_set(&r->set, s)) return r->node;
    struct rule *r = arena_new(n->arena, struct rule);
    if (r == NULL) return schema_fail(c, ERR_MEMORY, "out of memory", STR_NONE);
    if (++c->depth > GRAMMAR_DEPTH_MAX)
        return schema_fail(c, ERR_LIMIT, "the schema is nested too deep", STR_NONE);
    *r = (struct rule){.set = *s, .node = net_later(n), .older = c->rules};
    c->rules = r;
    struct todo *todo = arena_array(n->arena, struct todo, s->count + 1);
    if (todo == NULL) return schema_fail(c, ERR_MEMORY, "out of memory", STR_NONE);
    for (size_t i = 0; i < s->count; i++)
        todo[i] = (struct todo){s->at[i], NULL, i + 1 < s->count ? &todo[i + 1] : NULL};
    struct expansion x = {.c = c, .all = n->nowhere};
    expand(&x, s->count ? todo : NULL, (struct set){.count = 0});
    net_settle(n, r->node, &x.all, 1);
    c->depth--;
    return r->node;
}

uint32_t schema_compile(struct net *n, yyjson_val *root, yyjson_val *schema, uint32_t next)
{
    struct compile c = {.n = n, .root = root};
    struct set s = {.at = {schema}, .count = 1};

    return schema_value(&c, &s, next);
}
