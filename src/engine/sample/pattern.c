/* The schema keyword `pattern`: regular expressions without look-around and back-references, read
 * as anchored at both ends.  First an automaton over characters (Thompson's construction), then its
 * product with a count of characters where minLength or maxLength ask for one, as nodes of the net.
 */
#include <stdlib.h>

#include "engine/sample/net.h"

#include "base/utf8.h"

enum {
    STATES_MAX = 4000,
    REPEAT_MAX = 1000, /* in {m,n} */
    NEST_MAX = 64,
    RANGES_MAX = 128, /* of one class */
};

enum state_kind { STATE_CHARS, STATE_SPLIT, STATE_END };

struct class {
    struct net_range *at;
    size_t count;
};

struct state {
    uint8_t kind;
    uint32_t class;     /* of STATE_CHARS */
    uint32_t out, out2; /* UINT32_MAX: none */
};

struct pattern {
    struct net *net;
    str text;
    size_t at;
    unsigned depth;
    struct state *states;
    uint32_t states_count;
    struct class *classes;
    uint32_t classes_count;
};

#define NO_STATE UINT32_MAX

static uint32_t fail(struct pattern *p, const char *what)
{
    net_fail(p->net, ERR_UNSUPPORTED, "pattern: %s", what);
    return 0;
}

static uint32_t state(struct pattern *p, struct state s)
{
    if (p->states_count == STATES_MAX) {
        net_fail(p->net, ERR_LIMIT, "pattern: too large");
        return 0;
    }
    p->states[p->states_count] = s;
    return p->states_count++;
}

static char look(const struct pattern *p)
{
    return p->at < p->text.len ? p->text.at[p->at] : '\0';
}

static bool more(const struct pattern *p)
{
    return p->at < p->text.len && !p->net->failed;
}

/* ---- classes ---- */

struct set {
    struct net_range at[RANGES_MAX];
    size_t count;
};

static void set_add(struct pattern *p, struct set *s, uint32_t low, uint32_t high)
{
    if (low > high) {
        fail(p, "a range is out of order");
    } else if (s->count == RANGES_MAX) {
        net_fail(p->net, ERR_LIMIT, "pattern: a class is too large");
    } else {
        s->at[s->count++] = (struct net_range){low, high};
    }
}

static int by_low(const void *a, const void *b)
{
    const struct net_range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

static void set_tidy(struct set *s) /* sorted, apart */
{
    size_t to = 0;

    if (s->count == 0) return;
    qsort(s->at, s->count, sizeof *s->at, by_low);
    for (size_t i = 1; i < s->count; i++) {
        if (s->at[i].low <= s->at[to].high + 1) {
            if (s->at[i].high > s->at[to].high) s->at[to].high = s->at[i].high;
        } else {
            s->at[++to] = s->at[i];
        }
    }
    s->count = to + 1;
}

static void set_invert(struct pattern *p, struct set *s)
{
    struct set out = {.count = 0};
    uint32_t from = 0;

    set_tidy(s);
    for (size_t i = 0; i < s->count; i++) {
        if (s->at[i].low > from) set_add(p, &out, from, s->at[i].low - 1);
        from = s->at[i].high + 1;
    }
    if (from <= 0x10FFFF) set_add(p, &out, from, 0x10FFFF);
    *s = out;
}

static uint32_t set_state(struct pattern *p, struct set *s, uint32_t out)
{
    set_tidy(s);
    if (p->net->failed) return 0;
    struct net_range *at = arena_array(p->net->arena, struct net_range, s->count + 1);
    if (at == NULL) {
        net_fail(p->net, ERR_MEMORY, "out of memory");
        return 0;
    }
    memcpy(at, s->at, s->count * sizeof *at);
    p->classes[p->classes_count] = (struct class){at, s->count};
    return state(p, (struct state){STATE_CHARS, p->classes_count++, out, NO_STATE});
}

/* \d \w \s and their opposites, as ECMA-262 has them for ASCII. */
static bool add_shorthand(struct pattern *p, struct set *s, char c)
{
    struct set part = {.count = 0};

    switch (c | 32) {
    case 'd': set_add(p, &part, '0', '9'); break;
    case 'w':
        set_add(p, &part, '0', '9');
        set_add(p, &part, 'A', 'Z');
        set_add(p, &part, '_', '_');
        set_add(p, &part, 'a', 'z');
        break;
    case 's':
        set_add(p, &part, '\t', '\r');
        set_add(p, &part, ' ', ' ');
        set_add(p, &part, 0xA0, 0xA0);
        set_add(p, &part, 0x2028, 0x2029);
        set_add(p, &part, 0x3000, 0x3000);
        set_add(p, &part, 0xFEFF, 0xFEFF);
        break;
    default: return false;
    }
    if (c < 'a') set_invert(p, &part);
    for (size_t i = 0; i < part.count; i++) set_add(p, s, part.at[i].low, part.at[i].high);
    return true;
}

static uint32_t hex(struct pattern *p, size_t digits)
{
    uint32_t n = 0;

    for (; digits; digits--) {
        char c = look(p);
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            n = n << 4 | (uint32_t)((c | 32) - 'a' + 10);
        else
            return fail(p, "a bad hexadecimal escape");
        p->at++;
    }
    return n;
}

/* A single character after a backslash. */
static uint32_t escaped(struct pattern *p)
{
    char c = look(p);

    if (c == '\0') return fail(p, "it ends in a backslash");
    p->at++;
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    case '0': return 0;
    case 'x': return hex(p, 2);
    case 'u': return hex(p, 4);
    default: break;
    }
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (word) return fail(p, "an escape that is not supported (references, \\b, \\p are not)");
    return (unsigned char)c;
}

static uint32_t plain_char(struct pattern *p)
{
    size_t used;
    int32_t c = utf8_next(str_tail(p->text, p->at), &used);
    p->at += used;
    return c < 0 ? fail(p, "not valid UTF-8") : (uint32_t)c;
}

static uint32_t read_class(struct pattern *p, uint32_t out) /* after "[" */
{
    struct set s = {.count = 0};
    bool inverted = look(p) == '^';

    if (inverted) p->at++;
    while (more(p) && look(p) != ']') {
        if (look(p) == '\\' && p->at + 1 < p->text.len &&
            add_shorthand(p, &s, p->text.at[p->at + 1])) {
            p->at += 2;
            continue;
        }
        uint32_t low, high;
        if (look(p) == '\\') {
            p->at++;
            if (look(p) == 'b') {
                p->at++;
                low = '\b';
            } else {
                low = escaped(p);
            }
        } else {
            low = plain_char(p);
        }
        high = low;
        if (look(p) == '-' && p->at + 1 < p->text.len && p->text.at[p->at + 1] != ']') {
            p->at++;
            if (look(p) == '\\') {
                p->at++;
                high = escaped(p);
            } else {
                high = plain_char(p);
            }
        }
        if (!p->net->failed) set_add(p, &s, low, high);
    }
    if (look(p) != ']') return fail(p, "a class is not closed");
    p->at++;
    if (inverted) set_invert(p, &s);
    return set_state(p, &s, out);
}

/* ---- the language; every function is given the state that follows ---- */

static uint32_t read_choice(struct pattern *p, uint32_t out);

static uint32_t read_group(struct pattern *p, uint32_t out) /* after "(" */
{
    if (look(p) == '?') {
        char kind = p->at + 1 < p->text.len ? p->text.at[p->at + 1] : '\0';
        char after = p->at + 2 < p->text.len ? p->text.at[p->at + 2] : '\0';
        if (kind == ':') {
            p->at += 2;
        } else if (kind == '<' && after != '=' && after != '!') {
            size_t close = str_find_char(str_tail(p->text, p->at), '>');
            if (close == STR_NPOS) return fail(p, "a group's name is not closed");
            p->at += close + 1;
        } else {
            return fail(p, "look-around is not supported");
        }
    }
    if (++p->depth > NEST_MAX) return fail(p, "nested too deep");
    uint32_t begin = read_choice(p, out);
    p->depth--;
    if (look(p) != ')') return fail(p, "a group is not closed");
    p->at++;
    return begin;
}

static uint32_t read_atom(struct pattern *p, uint32_t out)
{
    struct set s = {.count = 0};
    char c = look(p);

    switch (c) {
    case '(': p->at++; return read_group(p, out);
    case '[': p->at++; return read_class(p, out);
    case '.':
        p->at++;
        set_add(p, &s, '\n', '\n');
        set_add(p, &s, '\r', '\r');
        set_add(p, &s, 0x2028, 0x2029);
        set_invert(p, &s);
        return set_state(p, &s, out);
    case '*':
    case '+':
    case '?': return fail(p, "nothing to repeat");
    case '^':
    case '$': return fail(p, "an anchor inside the pattern");
    case '\\':
        p->at++;
        if (p->at < p->text.len && add_shorthand(p, &s, look(p))) {
            p->at++;
            return set_state(p, &s, out);
        }
        set_add(p, &s, 0, 0);
        s.at[0].low = s.at[0].high = escaped(p);
        return set_state(p, &s, out);
    default:
        set_add(p, &s, 0, 0);
        s.at[0].low = s.at[0].high = plain_char(p);
        return set_state(p, &s, out);
    }
}

static bool read_count(struct pattern *p, uint32_t *n)
{
    uint32_t sum = 0;
    size_t digits = 0;

    for (; look(p) >= '0' && look(p) <= '9'; p->at++, digits++) {
        sum = sum * 10 + (uint32_t)(look(p) - '0');
        if (sum > REPEAT_MAX) {
            net_fail(p->net, ERR_LIMIT, "pattern: repeated more than %d times", REPEAT_MAX);
            return false;
        }
    }
    *n = sum;
    return digits > 0;
}

/* How often the atom before comes: *, +, ?, {n}, {n,}, {n,m}, each perhaps lazy, which changes
 * nothing. */
static void read_quantifier(struct pattern *p, uint32_t *min, uint32_t *max)
{
    size_t from = p->at;
    *min = *max = 1;

    switch (look(p)) {
    case '*': *min = 0, *max = NET_FOREVER, p->at++; break;
    case '+': *min = 1, *max = NET_FOREVER, p->at++; break;
    case '?': *min = 0, *max = 1, p->at++; break;
    case '{':
        p->at++;
        if (!read_count(p, min)) {
            p->at = from; /* a brace that is just a brace */
            return;
        }
        *max = *min;
        if (look(p) == ',') {
            p->at++;
            if (!read_count(p, max)) *max = NET_FOREVER;
        }
        if (look(p) != '}' || *min > *max) {
            fail(p, "a bad count");
            return;
        }
        p->at++;
        break;
    default: return;
    }
    if (look(p) == '?') p->at++;
}

/* An atom is read once for each time it may come: its text again, from the same place. */
static uint32_t read_repeated(struct pattern *p, uint32_t out)
{
    size_t from = p->at;
    uint32_t states = p->states_count, classes = p->classes_count, min, max;

    read_atom(p, out); /* to find its end */
    read_quantifier(p, &min, &max);
    size_t end = p->at;
    p->states_count = states;
    p->classes_count = classes;
    uint32_t begin = out;
    if (max == NET_FOREVER) {
        uint32_t loop = state(p, (struct state){STATE_SPLIT, 0, NO_STATE, out});
        p->at = from;
        uint32_t body = read_atom(p, loop);
        if (!p->net->failed) p->states[loop].out = body;
        begin = loop;
    } else {
        for (uint32_t i = min; i < max && !p->net->failed; i++) {
            p->at = from;
            uint32_t body = read_atom(p, begin);
            begin = state(p, (struct state){STATE_SPLIT, 0, body, out});
        }
    }
    for (uint32_t i = 0; i < min && !p->net->failed; i++) {
        p->at = from;
        begin = read_atom(p, begin);
    }
    p->at = end;
    return begin;
}

/* Pieces one after the other.  They are built from the last to the first, so their places are
 * noted. */
static uint32_t read_sequence(struct pattern *p, uint32_t out)
{
    size_t places[256], count = 0, end;
    uint32_t states = p->states_count, classes = p->classes_count;

    if (p->depth == 0 && look(p) == '^') p->at++;
    while (more(p) && look(p) != '|' && look(p) != ')') {
        if (p->depth == 0 && look(p) == '$' &&
            (p->at + 1 == p->text.len || p->text.at[p->at + 1] == '|'))
            break;
        if (count == sizeof places / sizeof *places) {
            net_fail(p->net, ERR_LIMIT, "pattern: too long");
            return 0;
        }
        places[count++] = p->at;
        read_repeated(p, out);
    }
    if (p->depth == 0 && look(p) == '$') p->at++;
    end = p->at;
    p->states_count = states;
    p->classes_count = classes;
    while (count-- > 0 && !p->net->failed) {
        p->at = places[count];
        out = read_repeated(p, out);
    }
    p->at = end;
    return out;
}

static uint32_t read_choice(struct pattern *p, uint32_t out)
{
    uint32_t begin = read_sequence(p, out);

    while (look(p) == '|' && !p->net->failed) {
        p->at++;
        uint32_t other = read_sequence(p, out);
        begin = state(p, (struct state){STATE_SPLIT, 0, begin, other});
    }
    return begin;
}

/* ---- as nodes of the net ---- */

struct product {
    struct pattern *p;
    uint32_t min, max, cap; /* counts above `cap` are one */
    uint32_t next;
    uint32_t *nodes; /* [states][cap + 1], 0: not made yet */
    uint32_t *rules; /* [classes]: a class as a rule, 0: not made yet */
};

static uint32_t product_node(struct product *x, uint32_t s, uint32_t count, unsigned depth)
{
    struct net *n = x->p->net;
    uint32_t *memo = &x->nodes[(size_t)s * (x->cap + 1) + count];
    const struct state *st = &x->p->states[s];

    if (n->failed) return n->nowhere;
    if (*memo) return *memo - 1;
    if (depth > 20000) {
        net_fail(n, ERR_LIMIT, "pattern: too large");
        return n->nowhere;
    }
    if (st->kind == STATE_END) return count >= x->min ? x->next : n->nowhere;
    uint32_t later = net_later(n); /* before what follows: loops come back here */
    *memo = later + 1;
    if (st->kind == STATE_SPLIT) {
        uint32_t a = product_node(x, st->out, count, depth + 1);
        uint32_t b = product_node(x, st->out2, count, depth + 1);
        net_settle(n, later, (uint32_t[]){a, b}, 2);
        return later;
    }
    if (count == x->max) return later; /* no room for one more: nowhere */
    uint32_t after = product_node(x, st->out, count < x->cap ? count + 1 : x->cap, depth + 1);
    const struct class *c = &x->p->classes[st->class];
    uint32_t node;
    if (c->count == 1 && c->at[0].high < 0x80) {
        node = net_chars(n, c->at, c->count, after);
    } else {
        if (x->rules[st->class] == 0) x->rules[st->class] = net_chars(n, c->at, c->count, n->end);
        node = net_call(n, x->rules[st->class], after);
    }
    net_settle(n, later, &node, 1);
    return later;
}

uint32_t pattern_compile(struct net *n, str pattern, uint32_t min, uint32_t max, uint32_t next)
{
    struct pattern p = {.net = n, .text = pattern};
    struct product x = {.p = &p, .min = min, .max = max, .next = next};

    p.states = arena_array(n->arena, struct state, STATES_MAX);
    p.classes = arena_array(n->arena, struct class, STATES_MAX);
    if (p.states == NULL || p.classes == NULL) {
        net_fail(n, ERR_MEMORY, "out of memory");
        return n->nowhere;
    }
    uint32_t end = state(&p, (struct state){.kind = STATE_END});
    uint32_t begin = read_choice(&p, end);
    if (!n->failed && p.at < pattern.len) fail(&p, "an unexpected ')'");
    x.cap = max != NET_FOREVER ? max : min;
    if (!n->failed && (uint64_t)p.states_count * (x.cap + 1) > 1000 * 1000)
        net_fail(n, ERR_LIMIT, "pattern: too large together with minLength or maxLength");
    if (n->failed) return n->nowhere;
    x.nodes = arena_array(n->arena, uint32_t, (size_t)p.states_count * (x.cap + 1));
    x.rules = arena_array(n->arena, uint32_t, (size_t)p.classes_count + 1);
    if (x.nodes == NULL || x.rules == NULL) {
        net_fail(n, ERR_MEMORY, "out of memory");
        return n->nowhere;
    }
    n->inner = true;
    uint32_t first = product_node(&x, begin, 0, 0);
    n->inner = false;
    return first;
}
