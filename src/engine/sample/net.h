/* The automaton behind a grammar: nodes that read one byte, branch, call rules, repeat.  Built back
 * to front: every function takes the node that follows and gives the one to begin at.  The first
 * failure sticks.  Inside this room. */
#ifndef SEMA_ENGINE_SAMPLE_NET_H
#define SEMA_ENGINE_SAMPLE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yyjson.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum net_kind {
    NET_BYTE,   /* a byte of [low, high], then next */
    NET_BRANCH, /* any of targets[first], ... [first + count - 1] */
    NET_CALL,   /* the rule at `body`, then next */
    NET_RETURN, /* the end of a rule */
    NET_REPEAT, /* the rule at `body` min to max times, then next */
};

#define NET_FOREVER UINT32_MAX

struct net_node {
    uint8_t kind;
    uint8_t low, high;
    bool inner;          /* part of a pattern: see grammar.c, local states */
    bool live;           /* a text leads from here to the end */
    uint32_t next, body; /* a branch: `body` is its first target */
    uint32_t min, max;   /* a branch: `min` is their count */
};

struct net {
    struct arena *arena;
    struct net_node *at;
    uint32_t count, cap;
    uint32_t *targets;
    uint32_t targets_count, targets_cap;
    uint32_t end;                   /* the one NET_RETURN */
    uint32_t nowhere;               /* a branch without targets */
    uint32_t any_char, string_tail; /* rules that are built on first use, see below */
    bool inner;                     /* nodes made now are inner ones */
    enum err failed;
    struct err_note *why;
};

enum err net_init(struct net *n, struct arena *arena, struct err_note *why);
enum err net_fail(struct net *n, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint32_t net_byte(struct net *n, uint8_t low, uint8_t high, uint32_t next);
uint32_t net_text(struct net *n, str text, uint32_t next);
uint32_t net_branch(struct net *n, const uint32_t *targets, size_t count);
uint32_t net_either(struct net *n, uint32_t a, uint32_t b);
uint32_t net_call(struct net *n, uint32_t rule, uint32_t next);
uint32_t net_repeat(struct net *n, uint32_t rule, uint32_t min, uint32_t max, uint32_t next);
/* A branch whose targets are told later: what loops and recursion lead back to. */
uint32_t net_later(struct net *n);
void net_settle(struct net *n, uint32_t later, const uint32_t *targets, size_t count);

/* ---- characters of JSON strings ---- */
struct net_range {
    uint32_t low, high; /* code points */
};
/* One character of the ranges as it stands inside a JSON string: raw, escaped where it must be. */
uint32_t net_chars(struct net *n, const struct net_range *ranges, size_t count, uint32_t next);
uint32_t net_any_char(struct net *n);    /* the rule: any character or escape */
uint32_t net_string_tail(struct net *n); /* the rule: any characters, then the closing quote */
uint32_t net_json_text(struct net *n, str text,
                       uint32_t next); /* the inside of a string, `text` escaped */

/* ---- numbers (net_number.c) ---- */
uint32_t net_integer(struct net *n, bool has_min, double min, bool has_max, double max,
                     uint32_t next);
uint32_t net_number(struct net *n, bool has_min, double min, bool has_max, double max,
                    uint32_t next);

/* ---- patterns (pattern.c): the whole string between its quotes, of min to max characters ---- */
uint32_t pattern_compile(struct net *n, str pattern, uint32_t min, uint32_t max, uint32_t next);

/* ---- schemas (schema.c) ---- */
uint32_t schema_compile(struct net *n, yyjson_val *root, yyjson_val *schema, uint32_t next);

/* Marks live nodes; false when `start` is not. */
bool net_finish(struct net *n, uint32_t start);

#endif
