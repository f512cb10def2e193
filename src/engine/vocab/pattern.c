/* Reading a pattern: Oniguruma's Ruby syntax, as far as tokenizers use it.  The text becomes a tree, the
 * tree a program for pattern_match.c. */
#include "engine/vocab/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/utf8.h"
#include "engine/vocab/pattern_parts.h"
#include "engine/vocab/unicode.h"

enum {
    DEPTH_MAX = 32,
    NODES_MAX = 4096,
    STEPS_BASE = 1024, /* of the program, and ... */
    STEPS_PER_BYTE = 8, /* ... this many more for each byte of the text */
    COUNT_MAX = 1000, /* of {n,m} */
    UNBOUNDED = -1,
};

enum node_kind { NODE_EMPTY, NODE_SET, NODE_CAT, NODE_ALT, NODE_REPEAT, NODE_SUB, NODE_ASSERT };

struct node {
    enum node_kind kind;
    struct node *left, *right; /* CAT, ALT; REPEAT and SUB have only left */
    uint32_t set;
    enum pattern_op op; /* SUB, ASSERT */
    int min, max;
    bool lazy, possessive;
};

/* A construct that only PCRE2 knows makes `beyond`; `bad` is a fault of the pattern itself. */
struct parse {
    struct arena *a;
    str text;
    size_t at;
    int depth, nodes;
    bool fold; /* (?i) is in force */
    bool beyond;
    const char *bad;
    struct pattern *p;
    uint32_t sets_max, steps_max;
    struct pattern_step nowhere; /* takes what does not fit; `bad` is set then */
};

static struct node *parse_alternatives(struct parse *s);

static struct node *node_new(struct parse *s, enum node_kind kind)
{
    struct node *n = ++s->nodes <= NODES_MAX ? arena_new(s->a, struct node) : NULL;
    if (n == NULL) {
        s->bad = "is too large";
        return NULL;
    }
    n->kind = kind;
    return n;
}

static bool more(const struct parse *s)
{
    return !s->beyond && !s->bad && s->at < s->text.len;
}

static bool take(struct parse *s, const char *text)
{
    if (!str_starts(str_tail(s->text, s->at), str_of(text))) return false;
    s->at += strlen(text);
    return true;
}

/* ---- single characters ---- */

static struct charset *set_new(struct parse *s, uint32_t *index)
{
    if (s->p->sets_count == s->sets_max) {
        s->bad = "is too large";
        return NULL;
    }
    *index = s->p->sets_count++;
    return &s->p->sets[*index];
}

static bool hex_take(struct parse *s, int digits_max, uint32_t *out)
{
    uint32_t n = 0;
    int digits = 0;

    for (; digits < digits_max && s->at < s->text.len; digits++, s->at++) {
        char c = s->text.at[s->at];
        if (c >= '0' && c <= '9')
            n = n * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            n = n * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            break;
    }
    *out = n;
    return digits > 0 && n <= 0x10FFFF;
}

/* \p{Name}, after the p.  Kinds that the tables have; others are beyond us. */
static uint16_t property_take(struct parse *s, bool *negated)
{
    static const struct {
        const char *name;
        uint16_t kinds;
    } known[] = {
        {"L", UNICODE_L},   {"Letter", UNICODE_L},      {"Lu", UNICODE_LU}, {"Ll", UNICODE_LL},
        {"Lt", UNICODE_LT}, {"Lm", UNICODE_LM},         {"Lo", UNICODE_LO}, {"M", UNICODE_M},
        {"Mark", UNICODE_M}, {"N", UNICODE_N},          {"Number", UNICODE_N}, {"Nd", UNICODE_DIGIT},
        {"P", UNICODE_P},   {"Punctuation", UNICODE_P}, {"S", UNICODE_S},   {"Symbol", UNICODE_S},
    };
    str rest = str_tail(s->text, s->at), name = str_head(rest, 1);

    if (take(s, "{")) {
        if (take(s, "^")) *negated = !*negated;
        rest = str_tail(s->text, s->at);
        size_t end = str_find_char(rest, '}');
        if (end == STR_NPOS) {
            s->bad = "has a \\p without its end";
            return 0;
        }
        name = str_head(rest, end);
        s->at += end + 1;
    } else {
        s->at += name.len;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(name, str_of(known[i].name))) return known[i].kinds;
    s->beyond = true;
    return 0;
}

static void set_add(struct parse *s, struct charset *set, uint32_t first, uint32_t last)
{
    if (!charset_add_range(set, s->a, first, last)) s->bad = "has a class that is too large";
}

static void set_add_kinds(struct parse *s, struct charset *set, uint16_t kinds, bool negated)
{
    if (!negated)
        set->any_of |= kinds;
    else if (!charset_add_none_of(set, kinds))
        s->beyond = true;
}

/* An escape, after the backslash: true with *cp for one character, false when a kind went into the set. */
static bool escape_take(struct parse *s, struct charset *set, uint32_t *cp)
{
    bool negated = false;

    if (s->at >= s->text.len) {
        s->bad = "ends with a backslash";
        return false;
    }
    *cp = unicode_next(s->text.at, &s->at);
    switch (*cp) {
    case 'n': *cp = '\n'; return true;
    case 'r': *cp = '\r'; return true;
    case 't': *cp = '\t'; return true;
    case 'f': *cp = '\f'; return true;
    case 'v': *cp = '\v'; return true;
    case 'a': *cp = '\a'; return true;
    case 'e': *cp = 27; return true;
    case 'x':
        if (take(s, "{")) {
            if (hex_take(s, 8, cp) && take(s, "}")) return true;
        } else if (hex_take(s, 2, cp)) {
            if (*cp >= 128) s->beyond = true; /* a byte, not a character */
            return true;
        }
        s->bad = "has a bad \\x";
        return false;
    case 'u':
        if (hex_take(s, 4, cp)) return true;
        s->bad = "has a bad \\u";
        return false;
    case 's': set_add_kinds(s, set, UNICODE_SPACE, false); return false;
    case 'S': set_add_kinds(s, set, UNICODE_SPACE, true); return false;
    case 'd': set_add_kinds(s, set, UNICODE_DIGIT, false); return false;
    case 'D': set_add_kinds(s, set, UNICODE_DIGIT, true); return false;
    case 'w': set_add_kinds(s, set, UNICODE_ONIG_WORD, false); return false;
    case 'W': set_add_kinds(s, set, UNICODE_ONIG_WORD, true); return false;
    case 'P': negated = true; /* fall through */
    case 'p': {
        uint16_t kinds = property_take(s, &negated);
        set_add_kinds(s, set, kinds, negated);
        return false;
    }
    default:
        if ((*cp | 32) >= 'a' && (*cp | 32) <= 'z') s->beyond = true;
        if (*cp >= '0' && *cp <= '9') s->beyond = true; /* a back-reference or an octal number */
        return true;
    }
}

static struct node *set_node(struct parse *s, struct charset *set, uint32_t index)
{
    struct node *n = node_new(s, NODE_SET);

    if (s->fold && !charset_fold(set, s->a)) s->beyond = true;
    charset_seal(set);
    if (n) n->set = index;
    return n;
}

/* [...], after the bracket. */
static struct node *parse_class(struct parse *s)
{
    uint32_t index = 0, first, last;
    struct charset *set = set_new(s, &index);
    bool any = false, negated = take(s, "^");

    while (set && more(s) && (!any || s->text.at[s->at] != ']')) {
        any = true;
        if (s->text.at[s->at] == '[' || str_starts(str_tail(s->text, s->at), STR("&&"))) {
            s->bad = "has a class within a class"; /* PCRE2 would read it otherwise */
            return NULL;
        }
        if (take(s, "\\")) {
            if (!escape_take(s, set, &first)) continue;
        } else {
            first = unicode_next(s->text.at, &s->at);
        }
        last = first;
        str rest = str_tail(s->text, s->at);
        if (rest.len >= 2 && rest.at[0] == '-' && rest.at[1] != ']') {
            s->at++;
            if (take(s, "\\")) {
                if (!escape_take(s, set, &last)) s->beyond = true;
            } else {
                last = unicode_next(s->text.at, &s->at);
            }
        }
        if (last < first) s->bad = "has a range that runs backwards";
        set_add(s, set, first, last);
    }
    if (set == NULL || s->beyond || s->bad) return NULL;
    if (!take(s, "]")) {
        s->bad = "has a class without its end";
        return NULL;
    }
    set->negated = negated;
    return set_node(s, set, index);
}

/* ---- groups, quantifiers, sequences ---- */

static struct node *parse_group(struct parse *s)
{
    bool fold = s->fold;
    struct node *sub = NULL;

    if (take(s, "?:")) {
    } else if (take(s, "?i:")) {
        s->fold = true;
    } else if (take(s, "?-i:")) {
        s->fold = false;
    } else if (take(s, "?i)")) { /* until the group around it ends */
        s->fold = true;
        return node_new(s, NODE_EMPTY);
    } else if (take(s, "?=") || take(s, "?!") || take(s, "?>")) {
        char which = s->text.at[s->at - 1];
        sub = node_new(s, NODE_SUB);
        if (sub) sub->op = which == '=' ? PATTERN_AHEAD : which == '!' ? PATTERN_NOT_AHEAD : PATTERN_ATOMIC;
    } else if (str_starts(str_tail(s->text, s->at), STR("?"))) {
        s->beyond = true;
        return NULL;
    }
    if (++s->depth > DEPTH_MAX) {
        s->bad = "is nested too deep";
        return NULL;
    }
    struct node *inner = parse_alternatives(s);
    s->depth--;
    s->fold = fold;
    if (!s->beyond && !s->bad && !take(s, ")")) s->bad = "has a group without its end";
    if (sub) sub->left = inner;
    return sub ? sub : inner;
}

static struct node *assert_node(struct parse *s, enum pattern_op op)
{
    struct node *n = node_new(s, NODE_ASSERT);
    if (n) n->op = op;
    return n;
}

static struct node *parse_atom(struct parse *s)
{
    uint32_t index = 0, cp;

    if (take(s, "(")) return parse_group(s);
    if (take(s, "[")) return parse_class(s);
    if (take(s, "^")) return assert_node(s, PATTERN_LINE_BEGIN);
    if (take(s, "$")) return assert_node(s, PATTERN_LINE_END);
    if (take(s, "\\A")) return assert_node(s, PATTERN_TEXT_BEGIN);
    if (take(s, "\\z")) return assert_node(s, PATTERN_TEXT_END);
    if (take(s, "\\Z")) return assert_node(s, PATTERN_TEXT_END_LINE);
    if (take(s, "\\b")) return assert_node(s, PATTERN_WORD_EDGE);
    if (take(s, "\\B")) return assert_node(s, PATTERN_NOT_WORD_EDGE);

    struct charset *set = set_new(s, &index);
    if (set == NULL) return NULL;
    if (take(s, ".")) {
        set_add(s, set, '\n', '\n');
        set->negated = true;
    } else if (take(s, "\\")) {
        if (escape_take(s, set, &cp)) set_add(s, set, cp, cp);
    } else {
        cp = unicode_next(s->text.at, &s->at);
        if (cp == '*' || cp == '+' || cp == '?') s->bad = "repeats nothing";
        set_add(s, set, cp, cp);
    }
    return s->bad || s->beyond ? NULL : set_node(s, set, index);
}

static bool number_take(struct parse *s, int *out)
{
    int n = 0, digits = 0;

    for (; s->at < s->text.len && s->text.at[s->at] >= '0' && s->text.at[s->at] <= '9'; s->at++) {
        if (n <= COUNT_MAX) n = n * 10 + (s->text.at[s->at] - '0');
        digits++;
    }
    if (n > COUNT_MAX) s->bad = "repeats too often";
    if (digits) *out = n;
    return digits > 0;
}

/* {n}, {n,}, {,m}, {n,m}; anything else after { is that character. */
static bool interval_take(struct parse *s, int *min, int *max)
{
    size_t at = s->at;

    if (!take(s, "{")) return false;
    *min = 0;
    bool lower = number_take(s, min), comma = take(s, ",");
    *max = comma ? UNBOUNDED : *min;
    bool upper = comma && number_take(s, max);
    if ((lower || upper) && take(s, "}")) return true;
    s->at = at;
    return false;
}

static struct node *repeat_node(struct parse *s, struct node *atom, int min, int max)
{
    struct node *n = node_new(s, NODE_REPEAT);

    if (n == NULL) return NULL;
    if (max != UNBOUNDED && max < min) s->bad = "has an interval that runs backwards";
    n->left = atom;
    n->min = min;
    n->max = max;
    return n;
}

static struct node *parse_repeated(struct parse *s)
{
    struct node *n = parse_atom(s);

    while (n && more(s)) {
        int min, max;
        bool interval = false;
        if (take(s, "*"))
            min = 0, max = UNBOUNDED;
        else if (take(s, "+"))
            min = 1, max = UNBOUNDED;
        else if (take(s, "?"))
            min = 0, max = 1;
        else if (interval_take(s, &min, &max))
            interval = true;
        else
            break;
        n = repeat_node(s, n, min, max);
        if (n == NULL) break;
        /* After an interval Ruby's + is a repetition of its own, and so is ? after {n}. */
        if (!(interval && min == max) && take(s, "?"))
            n->lazy = true;
        else if (!interval && take(s, "+"))
            n->possessive = true;
    }
    return n;
}

static struct node *pair_node(struct parse *s, enum node_kind kind, struct node *left, struct node *right)
{
    struct node *n = node_new(s, kind);
    if (n) n->left = left, n->right = right;
    return n;
}

static struct node *parse_sequence(struct parse *s)
{
    struct node *all = NULL;

    while (more(s) && s->text.at[s->at] != '|' && s->text.at[s->at] != ')') {
        struct node *one = parse_repeated(s);
        if (one == NULL) return NULL;
        all = all ? pair_node(s, NODE_CAT, all, one) : one;
    }
    return all ? all : node_new(s, NODE_EMPTY);
}

static struct node *parse_alternatives(struct parse *s)
{
    struct node *all = parse_sequence(s);

    while (all && more(s) && take(s, "|")) {
        struct node *next = parse_sequence(s);
        all = next ? pair_node(s, NODE_ALT, all, next) : NULL;
    }
    return all;
}

/* ---- the program ---- */

static bool may_be_empty(const struct node *n)
{
    switch (n->kind) {
    case NODE_SET: return false;
    case NODE_CAT: return may_be_empty(n->left) && may_be_empty(n->right);
    case NODE_ALT: return may_be_empty(n->left) || may_be_empty(n->right);
    case NODE_REPEAT: return n->min == 0 || may_be_empty(n->left);
    case NODE_SUB: return n->op != PATTERN_ATOMIC || may_be_empty(n->left);
    default: return true;
    }
}

static struct pattern_step *step_new(struct parse *s, enum pattern_op op)
{
    if (s->p->steps_count == s->steps_max) {
        s->bad = "is too large";
        return &s->nowhere;
    }
    struct pattern_step *step = &s->p->steps[s->p->steps_count++];
    step->op = op;
    return step;
}

static void emit(struct parse *s, const struct node *n);

static void emit_sub(struct parse *s, enum pattern_op op, const struct node *inner)
{
    struct pattern_step *step = step_new(s, op);
    emit(s, inner);
    step_new(s, PATTERN_SUB_END);
    step->to = s->p->steps_count;
}

/* A choice between going on right here and at a place that is set later. */
static struct pattern_step *emit_split(struct parse *s)
{
    struct pattern_step *split = step_new(s, PATTERN_SPLIT);
    split->to = s->p->steps_count;
    return split;
}

static void split_end(struct pattern_step *split, uint32_t end, bool lazy)
{
    split->other = end;
    if (lazy) {
        split->other = split->to;
        split->to = end;
    }
}

static void emit_repeat(struct parse *s, const struct node *n)
{
    const struct node *inner = n->left;

    if (n->possessive && inner->kind != NODE_SET) {
        struct node greedy = *n;
        greedy.possessive = false;
        emit_sub(s, PATTERN_ATOMIC, &greedy);
        return;
    }
    if (inner->kind == NODE_SET && !n->lazy) {
        struct pattern_step *step = step_new(s, n->possessive ? PATTERN_POSSESS : PATTERN_REPEAT);
        step->set = inner->set;
        step->min = (uint32_t)n->min;
        step->max = n->max == UNBOUNDED ? UINT32_MAX : (uint32_t)n->max;
        return;
    }
    if (n->max == UNBOUNDED && may_be_empty(inner)) {
        s->beyond = true; /* would need a check for rounds that match nothing */
        return;
    }
    for (int i = 0; i < n->min && !s->bad; i++) emit(s, inner);
    if (n->max == UNBOUNDED) {
        uint32_t begin = s->p->steps_count;
        struct pattern_step *split = emit_split(s);
        emit(s, inner);
        step_new(s, PATTERN_JUMP)->to = begin;
        split_end(split, s->p->steps_count, n->lazy);
    } else if (n->max > n->min) { /* x{0,n} is (x(x...)?)? */
        struct node rest = *n;
        struct pattern_step *split = emit_split(s);
        emit(s, inner);
        rest.min = 0;
        rest.max = n->max - n->min - 1;
        if (rest.max && !s->bad) emit_repeat(s, &rest);
        split_end(split, s->p->steps_count, n->lazy);
    }
}

static void emit(struct parse *s, const struct node *n)
{
    struct pattern_step *split, *jump;

    if (s->bad || s->beyond) return;
    switch (n->kind) {
    case NODE_EMPTY: break;
    case NODE_SET: step_new(s, PATTERN_SET)->set = n->set; break;
    case NODE_CAT:
        emit(s, n->left);
        emit(s, n->right);
        break;
    case NODE_ALT:
        split = emit_split(s);
        emit(s, n->left);
        jump = step_new(s, PATTERN_JUMP);
        split_end(split, s->p->steps_count, false);
        emit(s, n->right);
        jump->to = s->p->steps_count;
        break;
    case NODE_REPEAT: emit_repeat(s, n); break;
    case NODE_SUB: emit_sub(s, n->op, n->left); break;
    case NODE_ASSERT: step_new(s, n->op); break;
    }
}

/* ---- PCRE2, for the rest ---- */

static enum err pcre_new(struct pattern *p, str text, struct err_note *why)
{
    int code;
    size_t at;

    p->pcre = pcre2_compile((PCRE2_SPTR)text.at, text.len, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                            PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (p->pcre == NULL) {
        unsigned char said[128];
        pcre2_get_error_message(code, said, sizeof said);
        return err_set(why, ERR_MODEL_UNUSABLE, "a pattern is not valid: %s (at byte %zu)", (char *)said, at);
    }
    pcre2_jit_compile(p->pcre, PCRE2_JIT_COMPLETE); /* without it the interpreter runs */
    return ERR_NONE;
}

/* Reads the text with work room that is given back, and keeps what came out of it. */
static enum err compile(struct pattern *p, struct arena *keep, struct arena *room, str text, bool *beyond,
                        struct err_note *why)
{
    struct parse s = {.a = room, .text = text, .p = p, .sets_max = (uint32_t)text.len,
                      .steps_max = STEPS_BASE + STEPS_PER_BYTE * (uint32_t)text.len};

    p->sets = arena_array(room, struct charset, s.sets_max);
    p->steps = arena_array(room, struct pattern_step, s.steps_max);
    if (p->sets == NULL || p->steps == NULL) return ERR_MEMORY;
    struct node *tree = parse_alternatives(&s);
    if (tree && more(&s)) s.bad = "closes a group that was not opened";
    if (tree && !s.bad && !s.beyond) {
        emit(&s, tree);
        step_new(&s, PATTERN_MATCH);
    }
    *beyond = s.beyond;
    if (s.bad) return err_set(why, ERR_MODEL_UNUSABLE, "a pattern %s", s.bad);
    if (s.beyond) return ERR_NONE;

    struct charset *sets = arena_array(keep, struct charset, p->sets_count);
    struct pattern_step *steps = arena_array(keep, struct pattern_step, p->steps_count);
    if (sets == NULL || steps == NULL) return ERR_MEMORY;
    memcpy(steps, p->steps, p->steps_count * sizeof *steps);
    for (uint32_t i = 0; i < p->sets_count; i++) {
        sets[i] = p->sets[i];
        sets[i].ranges = arena_array(keep, struct charset_range, sets[i].ranges_count);
        if (sets[i].ranges == NULL) return ERR_MEMORY;
        if (sets[i].ranges_count)
            memcpy(sets[i].ranges, p->sets[i].ranges, sets[i].ranges_count * sizeof *sets[i].ranges);
    }
    p->sets = sets;
    p->steps = steps;
    return ERR_NONE;
}

enum err pattern_new(struct pattern **out, struct arena *a, str text, bool literal, struct err_note *why)
{
    struct pattern *p = arena_new(a, struct pattern);
    struct arena room;
    bool beyond = false;

    if (p == NULL) return ERR_MEMORY;
    if (text.len == 0 || text.len > PATTERN_BYTES_MAX || !utf8_valid(text))
        return err_set(why, ERR_MODEL_UNUSABLE, "a pattern is empty, not UTF-8 or over %d bytes",
                       PATTERN_BYTES_MAX);
    if (literal) {
        p->literal = arena_str(a, text);
        if (p->literal.at == NULL) return ERR_MEMORY;
        *out = p;
        return ERR_NONE;
    }
    arena_init(&room, 0);
    enum err e = compile(p, a, &room, text, &beyond, why);
    arena_fini(&room);
    if (!e && beyond) e = pcre_new(p, text, why);
    if (!e) *out = p;
    return e;
}

void pattern_free(struct pattern *p)
{
    if (p == NULL) return;
    pcre2_code_free(p->pcre);
    p->pcre = NULL;
}
