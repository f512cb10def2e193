/* What the schema compiler's two files share: the set of schemas that govern a place.  Inside this
 * room. */
#ifndef SEMA_ENGINE_SAMPLE_SCHEMA_H
#define SEMA_ENGINE_SAMPLE_SCHEMA_H

#include "engine/sample/net.h"

enum { SET_MAX = 32 };

/* The schemas of one place. */
struct set {
    yyjson_val *at[SET_MAX];
    size_t count;
};

struct rule {
    struct set set;
    uint32_t node;
    struct rule *older;
};

struct compile {
    struct net *n;
    yyjson_val *root;
    struct rule *rules;
    unsigned depth;
};

/* Fails the net; gives its `nowhere`. */
uint32_t schema_fail(struct compile *c, enum err e, const char *what, str which);
bool schema_add(struct compile *c, struct set *s, yyjson_val *schema);        /* each once */
uint32_t schema_value(struct compile *c, const struct set *s, uint32_t next); /* its rule, called */
uint32_t schema_blank(struct compile *c, uint32_t next);                      /* one or none */
uint32_t schema_comma(struct compile *c, uint32_t next);                      /* ',' and a blank */

uint32_t schema_object(struct compile *c, const struct set *s, uint32_t next); /* schema_object.c */

#endif
