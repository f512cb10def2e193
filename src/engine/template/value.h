/* The values that a template computes with, as Python has them: small structs passed by copy, their
 * parts in the arena of one rendering.  Values never change once made (the reference runs templates
 * in a sandbox that forbids it); only a namespace does. */
#ifndef SEMA_ENGINE_TEMPLATE_VALUE_H
#define SEMA_ENGINE_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include <yyjson.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct render;
struct node;
struct scope;

enum value_kind {
    VALUE_UNDEFINED, /* text: the name that was not found, for messages */
    VALUE_MISSING,   /* an argument that was not given; never seen by a template */
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_BIG, /* an integer past 64 bits: its decimal text */
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_VIEW,      /* what dict.keys(), .values() and .items() give */
    VALUE_GENERATOR, /* what map, select and their like give: read once */
    VALUE_RANGE,
    VALUE_DICT,
    VALUE_SPACE, /* a namespace */
    VALUE_LOOP,
    VALUE_MACRO,
    VALUE_METHOD,   /* of a string, list or dict, bound to it */
    VALUE_FUNCTION, /* a built-in one */
    VALUE_CYCLER,
    VALUE_JOINER,
};

struct value_list {
    struct value *at;
    size_t count;
    bool spent;       /* a generator that was read */
    const char *name; /* of a view: "dict_items" */
};

struct value_range {
    int64_t start, stop, step;
    size_t count;
};

/* The i-th number.  Reckoned modulo 2^64: between two elements that fit there may be a step that
 * does not. */
static inline int64_t value_range_at(const struct value_range *r, uint64_t i)
{
    return (int64_t)((uint64_t)r->start + i * (uint64_t)r->step);
}

typedef struct value {
    uint8_t kind;
    bool safe;    /* a string marked by `safe` or `escape`: + escapes what is added to it */
    uint32_t len; /* bytes of the text */
    union {
        bool truth;
        int64_t i;
        double f;
        const char *text;
        struct value_list *list; /* list, tuple, view, generator */
        const struct value_range *range;
        struct dict *dict; /* dict and namespace */
        struct loop *loop;
        const struct macro *macro;
        const struct method *method;
        const struct function *function;
        struct cycler *cycler;
    } u;
} value;

/* ---- making ---- */

static inline value value_none(void)
{
    return (value){.kind = VALUE_NONE};
}

static inline value value_missing(void)
{
    return (value){.kind = VALUE_MISSING};
}

static inline value value_bool(bool b)
{
    return (value){.kind = VALUE_BOOL, .u.truth = b};
}

static inline value value_int(int64_t i)
{
    return (value){.kind = VALUE_INT, .u.i = i};
}

static inline value value_float(double f)
{
    return (value){.kind = VALUE_FLOAT, .u.f = f};
}

/* The view is kept: it must live as long as the rendering.  Texts are below 4 GiB (the arena's
 * ceiling). */
static inline value value_str(str s)
{
    return (value){.kind = VALUE_STR, .len = (uint32_t)s.len, .u.text = s.at ? s.at : ""};
}

static inline value value_undefined(str name)
{
    return (value){.kind = VALUE_UNDEFINED, .len = (uint32_t)name.len, .u.text = name.at};
}

static inline str value_text(value v) /* of a string, a big integer, an undefined one */
{
    return (str){v.u.text, v.len};
}

/* Room for `count` values, set to none; a failed rendering gives an empty list. */
value value_list(struct render *r, enum value_kind kind, size_t count);
value value_list_of(struct render *r, enum value_kind kind, const value *at, size_t count);
value value_pair(struct render *r, value a, value b); /* a tuple */
/* Strings are views into the document; of repeated keys the last value counts. */
value value_of_json(struct render *r, yyjson_val *v);
value value_of_integer_text(struct render *r, str digits); /* decimal, may be of any length */

/* ---- dicts: in order of insertion ---- */

struct dict_entry {
    value key, at;
    uint64_t hash;
};

struct dict {
    struct dict_entry *at;
    size_t count, cap;
    uint32_t *index; /* open addressing over entries + 1, once there are many */
    size_t index_cap;
};

value value_dict(struct render *r, enum value_kind kind);
void dict_set(struct render *r, struct dict *d, value key, value v); /* fails on unhashable keys */
value *dict_get(struct render *r, const struct dict *d, value key);  /* NULL when absent */
value *dict_get_str(struct render *r, const struct dict *d, str key);

/* ---- asking ---- */

bool value_true(value v);
bool value_is_number(value v); /* bool counts, as in Python */
double value_as_float(value v);
bool value_is_seq(value v); /* list or tuple */
bool value_equal(struct render *r, value a, value b);
/* <0, 0, >0; fails the rendering for what Python does not order. */
int value_compare(struct render *r, value a, value b);
bool value_contains(struct render *r, value in, value what);
const char *value_type(value v); /* Python's name: "str", "NoneType" */

/* The elements of anything that can be iterated, as a plain list; fails for the rest. */
const struct value_list *value_elements(struct render *r, value v);
/* The length, or -1 when it has none. */
int64_t value_length(struct render *r, value v);

#endif
