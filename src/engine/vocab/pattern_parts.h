/* What a compiled pattern is: pattern.c reads the text, pattern_match.c runs it. */
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

/* An alternative to come back to: go on at step `step` with the text at `at`; a repeat may then give back
 * further characters, down to `low`. */
struct pattern_mark {
    uint32_t step;
    uint32_t at, low;
};

#endif
