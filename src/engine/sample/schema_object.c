/* Objects: the listed properties in their order, then others where the schemas let them be. */
#include <assert.h>

#include "base/json.h"
#include "engine/sample/schema.h"

struct property {
    str name;
    struct set set;
    bool required, forbidden;
};

struct object {
    struct property *at;
    size_t count, cap;
    uint32_t anything, wide; /* the rest of a key; the same after a character beyond ASCII */
    bool more;               /* others may follow */
    struct set rest;         /* what they must be */
};

static struct property *property_named(struct object *o, str name)
{
    for (size_t i = 0; i < o->count; i++)
        if (str_eq(o->at[i].name, name)) return &o->at[i];
    assert(o->count < o->cap);
    o->at[o->count] = (struct property){.name = name};
    return &o->at[o->count++];
}

static void object_names(struct compile *c, const struct set *s, struct object *o)
{
    size_t i, max;
    yyjson_val *key, *v;

    for (size_t k = 0; k < s->count; k++) {
        yyjson_val *properties = json_get(s->at[k], "properties"),
                   *required = json_get(s->at[k], "required");
        if (properties && !yyjson_is_obj(properties))
            schema_fail(c, ERR_INVALID, "properties must be an object", STR_NONE);
        if (required && !yyjson_is_arr(required))
            schema_fail(c, ERR_INVALID, "required must be a list", STR_NONE);
        yyjson_obj_foreach(json_object_of(properties), i, max, key, v)
        {
            property_named(o, json_str(key));
        }
    }
    for (size_t k = 0; k < s->count; k++) {
        yyjson_arr_foreach(json_array_of(json_get(s->at[k], "required")), i, max, v)
        {
            if (!yyjson_is_str(v))
                schema_fail(c, ERR_INVALID, "required must be a list of names", STR_NONE);
            property_named(o, json_str(v))->required = true;
        }
    }
}

static void object_read(struct compile *c, const struct set *s, struct object *o)
{
    for (size_t k = 0; k < s->count; k++)
        o->cap += yyjson_obj_size(json_get(s->at[k], "properties")) +
                  yyjson_arr_size(json_get(s->at[k], "required"));
    o->at = arena_array(c->n->arena, struct property, o->cap + 1);
    if (o->at == NULL) {
        schema_fail(c, ERR_MEMORY, "out of memory", STR_NONE);
        return;
    }
    object_names(c, s, o);
    o->more = true;
    for (size_t k = 0; k < s->count && !c->n->failed; k++) {
        yyjson_val *properties = json_get(s->at[k], "properties");
        yyjson_val *rest = json_get(s->at[k], "additionalProperties");
        for (size_t i = 0; i < o->count; i++) {
            struct property *p = &o->at[i];
            yyjson_val *mine = yyjson_obj_getn(properties, p->name.at, p->name.len);
            if (mine == NULL) mine = rest;
            if (mine && yyjson_is_false(mine)) p->forbidden = true;
            if (mine && !schema_add(c, &p->set, mine)) return;
        }
        if (rest && yyjson_is_false(rest)) o->more = false;
        if (rest && !schema_add(c, &o->rest, rest)) return;
        /* Not said: then only the properties that are named, the least surprising of what is
         * allowed. */
        if (rest == NULL && yyjson_obj_size(properties)) o->more = false;
    }
}

/* The inside of a key that is none of the names: off their common way at some character, then
 * anything. */
static uint32_t other_key(struct compile *c, const struct object *o, str so_far, uint32_t close)
{
    struct net *n = c->n;
    uint32_t starts[130];
    struct net_range free_chars[130];
    bool taken[256] = {false}, is_name = false;
    size_t count = 0, ranges = 0;

    for (size_t i = 0; i < o->count; i++) {
        str name = o->at[i].name;
        if (!str_starts(name, so_far)) continue;
        if (name.len == so_far.len)
            is_name = true;
        else
            taken[(unsigned char)name.at[so_far.len]] = true;
    }
    for (unsigned b = 0x20; b < 0x80; b++)
        if (!taken[b] && b != '"' && b != '\\') free_chars[ranges++] = (struct net_range){b, b};
    /* Beyond ASCII only where no name goes on with such a byte. */
    bool wide = true;
    for (unsigned b = 0x80; b < 0x100; b++) wide = wide && !taken[b];
    if (wide) starts[count++] = o->wide;
    size_t to = 0; /* neighbours joined */
    for (size_t i = 1; i < ranges; i++) {
        if (free_chars[i].low == free_chars[to].high + 1)
            free_chars[to].high = free_chars[i].high;
        else
            free_chars[++to] = free_chars[i];
    }
    starts[count++] = ranges ? net_chars(n, free_chars, to + 1, o->anything) : n->nowhere;
    if (!is_name && so_far.len) starts[count++] = close;
    for (unsigned b = 0x20; b < 0x80; b++) {
        if (!taken[b] || b == '"' || b == '\\') continue;
        for (size_t i = 0; i < o->count; i++) {
            str name = o->at[i].name;
            if (!str_starts(name, so_far) || name.len <= so_far.len ||
                (unsigned char)name.at[so_far.len] != b)
                continue;
            starts[count++] = net_byte(n, (uint8_t)b, (uint8_t)b,
                                       other_key(c, o, str_head(name, so_far.len + 1), close));
            break;
        }
        if (n->failed) return n->nowhere;
    }
    return net_branch(n, starts, count);
}

/* Properties in order, each once; two rows of nodes: nothing written yet, and something. */
uint32_t schema_object(struct compile *c, const struct set *s, uint32_t next)
{
    struct net *n = c->n;
    struct object o = {0};

    object_read(c, s, &o);
    if (n->failed) return n->nowhere;
    uint32_t close = net_byte(n, '}', '}', next), first = close, after = close;
    if (o.more) {
        uint32_t value = net_byte(n, ':', ':', schema_blank(c, schema_value(c, &o.rest, n->end)));
        o.anything = net_call(n, net_string_tail(n), value);
        o.wide = net_chars(n, &(struct net_range){0x80, 0x10FFFF}, 1, o.anything);
        uint32_t close_key = net_byte(n, '"', '"', value);
        uint32_t pair = net_byte(n, '"', '"', other_key(c, &o, STR(""), close_key));
        after = net_repeat(n, schema_comma(c, net_call(n, pair, n->end)), 0, NET_FOREVER, close);
        first = net_either(n, net_call(n, pair, after), close);
    }
    for (size_t i = o.count; i-- > 0 && !n->failed;) {
        struct property *p = &o.at[i];
        if (p->forbidden) {
            if (p->required) return n->nowhere;
            continue;
        }
        uint32_t value = net_byte(n, ':', ':', schema_blank(c, schema_value(c, &p->set, n->end)));
        uint32_t pair =
            net_byte(n, '"', '"', net_json_text(n, p->name, net_byte(n, '"', '"', value)));
        uint32_t begins = net_call(n, pair, after),
                 goes_on = schema_comma(c, net_call(n, pair, after));
        first = p->required ? begins : net_either(n, begins, first);
        after = p->required ? goes_on : net_either(n, goes_on, after);
    }
    return net_byte(n, '{', '{', first);
}
