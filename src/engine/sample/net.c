#include "engine/sample/net.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "conf/limits.h"

enum err net_fail(struct net *n, enum err e, const char *format, ...)
{
    char text[256];
    va_list args;

    if (n->failed) return n->failed;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return n->failed = err_set(n->why, e, "%s", text);
}

static uint32_t add(struct net *n, struct net_node node)
{
    if (n->failed) return n->nowhere;
    if (n->count == GRAMMAR_NODES_MAX) {
        net_fail(n, ERR_LIMIT, "the schema is too large (more than %d grammar nodes)",
                 GRAMMAR_NODES_MAX);
        return n->nowhere;
    }
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 256;
        struct net_node *wider = arena_array(n->arena, struct net_node, cap);
        if (wider == NULL) {
            net_fail(n, ERR_MEMORY, "out of memory");
            return n->nowhere;
        }
        if (n->count) memcpy(wider, n->at, n->count * sizeof *wider);
        n->at = wider;
        n->cap = cap;
    }
    node.inner = n->inner;
    n->at[n->count] = node;
    return n->count++;
}

enum err net_init(struct net *n, struct arena *arena, struct err_note *why)
{
    *n = (struct net){.arena = arena, .why = why};
    n->nowhere = add(n, (struct net_node){.kind = NET_BRANCH});
    n->end = add(n, (struct net_node){.kind = NET_RETURN});
    return n->failed;
}

uint32_t net_byte(struct net *n, uint8_t low, uint8_t high, uint32_t next)
{
    if (next == n->nowhere) return next;
    return add(n, (struct net_node){.kind = NET_BYTE, .low = low, .high = high, .next = next});
}

uint32_t net_text(struct net *n, str text, uint32_t next)
{
    for (size_t i = text.len; i-- > 0;)
        next = net_byte(n, (uint8_t)text.at[i], (uint8_t)text.at[i], next);
    return next;
}

uint32_t net_later(struct net *n)
{
    return add(n, (struct net_node){.kind = NET_BRANCH});
}

void net_settle(struct net *n, uint32_t later, const uint32_t *targets, size_t count)
{
    if (n->failed) return;
    if (n->targets_count + count > n->targets_cap) {
        uint32_t cap = (n->targets_count + (uint32_t)count) * 2;
        uint32_t *wider = arena_array(n->arena, uint32_t, cap);
        if (wider == NULL) {
            net_fail(n, ERR_MEMORY, "out of memory");
            return;
        }
        if (n->targets_count) memcpy(wider, n->targets, n->targets_count * sizeof *wider);
        n->targets = wider;
        n->targets_cap = cap;
    }
    struct net_node *node = &n->at[later];
    node->body = n->targets_count;
    for (size_t i = 0; i < count; i++)
        if (targets[i] != n->nowhere) n->targets[n->targets_count++] = targets[i];
    node->min = n->targets_count - node->body;
}

uint32_t net_branch(struct net *n, const uint32_t *targets, size_t count)
{
    size_t real = 0, last = 0;

    for (size_t i = 0; i < count; i++) {
        if (targets[i] == n->nowhere) continue;
        real++;
        last = i;
    }
    if (real == 0) return n->nowhere;
    if (real == 1) return targets[last];
    uint32_t later = net_later(n);
    net_settle(n, later, targets, count);
    return later;
}

uint32_t net_either(struct net *n, uint32_t a, uint32_t b)
{
    return net_branch(n, (uint32_t[]){a, b}, 2);
}

uint32_t net_call(struct net *n, uint32_t rule, uint32_t next)
{
    if (rule == n->nowhere || next == n->nowhere) return n->nowhere;
    return add(n, (struct net_node){.kind = NET_CALL, .body = rule, .next = next});
}

uint32_t net_repeat(struct net *n, uint32_t rule, uint32_t min, uint32_t max, uint32_t next)
{
    if (min > max || next == n->nowhere) return n->nowhere;
    if (max == 0) return next;
    return add(n, (struct net_node){
                      .kind = NET_REPEAT, .body = rule, .next = next, .min = min, .max = max});
}

/* ---- characters ---- */

struct starts { /* where the alternatives of one character begin */
    uint32_t at[96];
    size_t count;
};

static void start_add(struct net *n, struct starts *s, uint32_t node)
{
    if (s->count == sizeof s->at / sizeof *s->at) { /* many: fold into one */
        s->at[0] = net_branch(n, s->at, s->count);
        s->count = 1;
    }
    s->at[s->count++] = node;
}

/* Code points [low, high] that are encoded in the same number of bytes, as runs of byte ranges:
 * where a continuation byte is not free, the range is split. */
static void add_utf8(struct net *n, struct starts *s, uint32_t low, uint32_t high, uint32_t next)
{
    char from[4], to[4];
    size_t len = utf8_put(from, low);

    for (size_t i = 1; i < len; i++) {
        uint32_t span = (1u << (6 * i)) - 1; /* code points below this byte */
        if ((low & ~span) == (high & ~span)) continue;
        if (low & span) {
            add_utf8(n, s, low, low | span, next);
            add_utf8(n, s, (low | span) + 1, high, next);
            return;
        }
        if ((high & span) != span) {
            add_utf8(n, s, low, (high & ~span) - 1, next);
            add_utf8(n, s, high & ~span, high, next);
            return;
        }
    }
    utf8_put(to, high);
    for (size_t i = len; i-- > 0;) next = net_byte(n, (uint8_t)from[i], (uint8_t)to[i], next);
    start_add(n, s, next);
}

static void add_raw(struct net *n, struct starts *s, uint32_t low, uint32_t high, uint32_t next)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, 0x10FFFF};

    for (size_t i = 0; i < sizeof ends / sizeof *ends && low <= high; i++) {
        if (low > ends[i]) continue;
        uint32_t to = high < ends[i] ? high : ends[i];
        if (ends[i] != 0xDFFF) add_utf8(n, s, low, to, next); /* surrogates are no characters */
        low = to + 1;
    }
}

static uint32_t control_escape(struct net *n, uint32_t c, uint32_t next)
{
    char text[8];
    static const char short_for[] = "\b\f\n\r\t", letter[] = "bfnrt";
    const char *known = c ? strchr(short_for, (int)c) : NULL;

    if (known)
        snprintf(text, sizeof text, "\\%c", letter[known - short_for]);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    return net_text(n, str_of(text), next);
}

uint32_t net_chars(struct net *n, const struct net_range *ranges, size_t count, uint32_t next)
{
    struct starts s = {0};

    for (size_t i = 0; i < count && !n->failed; i++) {
        uint32_t low = ranges[i].low, high = ranges[i].high;
        for (; low <= high && low < 0x20; low++) start_add(n, &s, control_escape(n, low, next));
        for (uint32_t c = '"';; c = '\\') { /* the two that are escaped, in order */
            if (low <= c && c <= high) {
                if (low < c) add_raw(n, &s, low, c - 1, next);
                start_add(n, &s,
                          net_byte(n, '\\', '\\', net_byte(n, (uint8_t)c, (uint8_t)c, next)));
                low = c + 1;
            }
            if (c == '\\') break;
        }
        if (low <= high) add_raw(n, &s, low, high, next);
    }
    return net_branch(n, s.at, s.count);
}

static uint32_t hex_digits(struct net *n, size_t count, uint32_t next)
{
    for (; count; count--)
        next = net_branch(n,
                          (uint32_t[]){net_byte(n, '0', '9', next), net_byte(n, 'a', 'f', next),
                                       net_byte(n, 'A', 'F', next)},
                          3);
    return next;
}

/* After "\u": a code point of the basic plane, or a pair of surrogates. */
static uint32_t unicode_escape(struct net *n, uint32_t next)
{
    uint32_t three = hex_digits(n, 3, next), two = hex_digits(n, 2, next);
    uint32_t half = net_either(n, net_byte(n, 'c', 'f', two), net_byte(n, 'C', 'F', two));
    uint32_t second =
        net_text(n, STR("\\u"),
                 net_either(n, net_byte(n, 'd', 'd', half), net_byte(n, 'D', 'D', half)));
    uint32_t first = hex_digits(n, 2, second);
    uint32_t after_d =
        net_branch(n,
                   (uint32_t[]){net_byte(n, '0', '7', two), net_byte(n, '8', '9', first),
                                net_byte(n, 'a', 'b', first), net_byte(n, 'A', 'B', first)},
                   4);
    return net_branch(n,
                      (uint32_t[]){net_byte(n, '0', '9', three), net_byte(n, 'a', 'c', three),
                                   net_byte(n, 'A', 'C', three), net_byte(n, 'e', 'f', three),
                                   net_byte(n, 'E', 'F', three), net_byte(n, 'd', 'd', after_d),
                                   net_byte(n, 'D', 'D', after_d)},
                      7);
}

uint32_t net_any_char(struct net *n)
{
    struct starts s = {0}, escape = {0};

    if (n->any_char) return n->any_char;
    add_raw(n, &s, 0x20, '"' - 1, n->end);
    add_raw(n, &s, '"' + 1, '\\' - 1, n->end);
    add_raw(n, &s, '\\' + 1, 0x10FFFF, n->end);
    for (const char *c = "\"\\/bfnrt"; *c; c++)
        start_add(n, &escape, net_byte(n, (uint8_t)*c, (uint8_t)*c, n->end));
    start_add(n, &escape, net_byte(n, 'u', 'u', unicode_escape(n, n->end)));
    start_add(n, &s, net_byte(n, '\\', '\\', net_branch(n, escape.at, escape.count)));
    return n->any_char = net_branch(n, s.at, s.count);
}

uint32_t net_string_tail(struct net *n)
{
    if (n->string_tail == 0)
        n->string_tail =
            net_repeat(n, net_any_char(n), 0, NET_FOREVER, net_byte(n, '"', '"', n->end));
    return n->string_tail;
}

uint32_t net_json_text(struct net *n, str text, uint32_t next)
{
    for (size_t i = text.len; i-- > 0;) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < 0x20)
            next = control_escape(n, c, next);
        else
            next = net_byte(n, c, c, next);
        if (c == '"' || c == '\\') next = net_byte(n, '\\', '\\', next);
    }
    return next;
}

/* ---- what leads to an end ---- */

static bool node_live(const struct net *n, const struct net_node *node)
{
    switch (node->kind) {
    case NET_BYTE: return n->at[node->next].live;
    case NET_CALL: return n->at[node->next].live && n->at[node->body].live;
    case NET_REPEAT: return n->at[node->next].live && (node->min == 0 || n->at[node->body].live);
    case NET_RETURN: return true;
    default:
        for (uint32_t i = 0; i < node->min; i++)
            if (n->at[n->targets[node->body + i]].live) return true;
        return false;
    }
}

bool net_finish(struct net *n, uint32_t start)
{
    if (n->failed) return false;
    for (bool changed = true; changed;) { /* nodes follow what they lead to, mostly: few rounds */
        changed = false;
        for (uint32_t i = 0; i < n->count; i++) {
            if (n->at[i].live || !node_live(n, &n->at[i])) continue;
            n->at[i].live = changed = true;
        }
    }
    return n->at[start].live;
}
