/* What a compiled pattern is: pattern_read.c reads the text, pattern.c
 * makes the program, pattern_match.c runs it. */
#ifndef SEMA_ENGINE_VOCAB_PATTERN_PARTS_H
#define SEMA_ENGINE_VOCAB_PATTERN_PARTS_H

#include "engine/vocab/charset.h"
#include "engine/vocab/pattern.h"

enum pattern_op {
    PATTERN_SET,        /* one character of set `set` */
    PATTERN_REPEAT,     /* `min` to `max` of set `set`, as many as there are; gives back */
    PATTERN_POSSESS,    /* the same, gives nothing back */
    PATTERN_SPLIT,      /* go on at `to`; if that fails, at `other` */
    PATTERN_JUMP,       /* go on at `to` */
    PATTERN_AHEAD,      /* what follows up to SUB_END must match here, then go on at `to` */
    PATTERN_NOT_AHEAD,  /* must not */
    PATTERN_ATOMIC,     /* must match, and its alternatives are forgotten */
    PATTERN_SUB_END,    /* end of the part that one of the three above runs */
    PATTERN_LINE_BEGIN, /* ^ as Ruby has it */
    PATTERN_LINE_END,
    PATTERN_TEXT_BEGIN,
    PATTERN_TEXT_END,
    PATTERN_TEXT_END_LINE, /* \Z: before a last newline too */
    PATTERN_WORD_EDGE,
    PATTERN_NOT_WORD_EDGE,
    PATTERN_MATCH,
};

struct pattern_step {
    enum pattern_op op;
    uint32_t set, to, other;
    uint32_t min, max; /* max UINT32_MAX: no bound */
};

struct pattern {
    str literal; /* .at not NULL: this text, nothing else */
    struct pattern_step *steps;
    uint32_t steps_count;
    struct charset *sets;
    uint32_t sets_count;
    void *pcre; /* pcre2_code, where our own matcher does not know a construct */
};

/* An alternative to come back to: go on at step `step` with the text at `at`; a repeat may then
 * give back further characters, down to `low`. */
struct pattern_mark {
    uint32_t step;
    uint32_t at, low;
};

/* ---- the tree that a text is read into ---- */

enum { PATTERN_UNBOUNDED = -1 };

enum pattern_node_kind {
    NODE_EMPTY,
    NODE_SET,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT,
    NODE_SUB,
    NODE_ASSERT
};

struct pattern_node {
    enum pattern_node_kind kind;
    struct pattern_node *left, *right; /* CAT, ALT; REPEAT and SUB have only left */
    uint32_t set;
    enum pattern_op op; /* SUB, ASSERT */
    int min, max;       /* REPEAT; max PATTERN_UNBOUNDED */
    bool lazy, possessive;
};

/* A construct that only PCRE2 knows makes `beyond`; `bad` is a fault of the pattern itself, in
 * words. */
struct pattern_parse {
    struct arena *a;
    str text;
    size_t at;
    int depth, nodes;
    bool fold; /* (?i) is in force */
    bool beyond;
    const char *bad;
    struct pattern *p; /* takes the sets, and later the program */
    uint32_t sets_max, steps_max;
    struct pattern_step nowhere; /* takes what does not fit; `bad` is set then */
};

/* The whole text as a tree; NULL with `beyond` or `bad`. */
struct pattern_node *pattern_read(struct pattern_parse *s);

#endif
