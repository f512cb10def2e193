/* Reading a pattern: Oniguruma's Ruby syntax, as far as tokenizers use it, into a tree. */
#include "engine/vocab/pattern_parts.h"
#include "engine/vocab/unicode.h"

enum {
    DEPTH_MAX = 32,
    NODES_MAX = 4096,
    COUNT_MAX = 1000, /* of {n,m} */
};

static struct pattern_node *parse_alternatives(struct pattern_parse *s);

static struct pattern_node *node_new(struct pattern_parse *s, enum pattern_node_kind kind)
{
    struct pattern_node *n = ++s->nodes <= NODES_MAX ? arena_new(s->a, struct pattern_node) : NULL;
    if (n == NULL) {
        s->bad = "is too large";
        return NULL;
    }
    n->kind = kind;
    return n;
}

static bool more(const struct pattern_parse *s)
{
    return !s->beyond && !s->bad && s->at < s->text.len;
}

static bool take(struct pattern_parse *s, const char *text)
{
    if (!str_starts(str_tail(s->text, s->at), str_of(text))) return false;
    s->at += strlen(text);
    return true;
}

/* ---- single characters ---- */

static struct charset *set_new(struct pattern_parse *s, uint32_t *index)
{
    if (s->p->sets_count == s->sets_max) {
        s->bad = "is too large";
        return NULL;
    }
    *index = s->p->sets_count++;
    return &s->p->sets[*index];
}

static bool hex_take(struct pattern_parse *s, int digits_max, uint32_t *out)
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
static uint16_t property_take(struct pattern_parse *s, bool *negated)
{
    static const struct {
        const char *name;
        uint16_t kinds;
    } known[] = {
        {"L", UNICODE_L},      {"Letter", UNICODE_L},      {"Lu", UNICODE_LU},
        {"Ll", UNICODE_LL},    {"Lt", UNICODE_LT},         {"Lm", UNICODE_LM},
        {"Lo", UNICODE_LO},    {"M", UNICODE_M},           {"Mark", UNICODE_M},
        {"N", UNICODE_N},      {"Number", UNICODE_N},      {"Nd", UNICODE_DIGIT},
        {"P", UNICODE_P},      {"Punctuation", UNICODE_P}, {"S", UNICODE_S},
        {"Symbol", UNICODE_S},
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

static void set_add(struct pattern_parse *s, struct charset *set, uint32_t first, uint32_t last)
{
    if (!charset_add_range(set, s->a, first, last)) s->bad = "has a class that is too large";
}

static void set_add_kinds(struct pattern_parse *s, struct charset *set, uint16_t kinds,
                          bool negated)
{
    if (!negated)
        set->any_of |= kinds;
    else if (!charset_add_none_of(set, kinds))
        s->beyond = true;
}

/* An escape, after the backslash: true with *cp for one character, false when a kind went into the
 * set. */
static bool escape_take(struct pattern_parse *s, struct charset *set, uint32_t *cp)
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

static struct pattern_node *set_node(struct pattern_parse *s, struct charset *set, uint32_t index)
{
    struct pattern_node *n = node_new(s, NODE_SET);

    if (s->fold && !charset_fold(set, s->a)) s->beyond = true;
    charset_seal(set);
    if (n) n->set = index;
    return n;
}

/* [...], after the bracket. */
static struct pattern_node *parse_class(struct pattern_parse *s)
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

static struct pattern_node *parse_group(struct pattern_parse *s)
{
    bool fold = s->fold;
    struct pattern_node *sub = NULL;

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
        if (sub)
            sub->op = which == '='   ? PATTERN_AHEAD
                      : which == '!' ? PATTERN_NOT_AHEAD
                                     : PATTERN_ATOMIC;
    } else if (str_starts(str_tail(s->text, s->at), STR("?"))) {
        s->beyond = true;
        return NULL;
    }
    if (++s->depth > DEPTH_MAX) {
        s->bad = "is nested too deep";
        return NULL;
    }
    struct pattern_node *inner = parse_alternatives(s);
    s->depth--;
    s->fold = fold;
    if (!s->beyond && !s->bad && !take(s, ")")) s->bad = "has a group without its end";
    if (sub) sub->left = inner;
    return sub ? sub : inner;
}

static struct pattern_node *assert_node(struct pattern_parse *s, enum pattern_op op)
{
    struct pattern_node *n = node_new(s, NODE_ASSERT);
    if (n) n->op = op;
    return n;
}

static struct pattern_node *parse_atom(struct pattern_parse *s)
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

static bool number_take(struct pattern_parse *s, int *out)
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
static bool interval_take(struct pattern_parse *s, int *min, int *max)
{
    size_t at = s->at;

    if (!take(s, "{")) return false;
    *min = 0;
    bool lower = number_take(s, min), comma = take(s, ",");
    *max = comma ? PATTERN_UNBOUNDED : *min;
    bool upper = comma && number_take(s, max);
    if ((lower || upper) && take(s, "}")) return true;
    s->at = at;
    return false;
}

static struct pattern_node *repeat_node(struct pattern_parse *s, struct pattern_node *atom, int min,
                                        int max)
{
    struct pattern_node *n = node_new(s, NODE_REPEAT);

    if (n == NULL) return NULL;
    if (max != PATTERN_UNBOUNDED && max < min) s->bad = "has an interval that runs backwards";
    n->left = atom;
    n->min = min;
    n->max = max;
    return n;
}

static struct pattern_node *parse_repeated(struct pattern_parse *s)
{
    struct pattern_node *n = parse_atom(s);

    while (n && more(s)) {
        int min, max;
        bool interval = false;
        if (take(s, "*"))
            min = 0, max = PATTERN_UNBOUNDED;
        else if (take(s, "+"))
            min = 1, max = PATTERN_UNBOUNDED;
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

static struct pattern_node *pair_node(struct pattern_parse *s, enum pattern_node_kind kind,
                                      struct pattern_node *left, struct pattern_node *right)
{
    struct pattern_node *n = node_new(s, kind);
    if (n) n->left = left, n->right = right;
    return n;
}

static struct pattern_node *parse_sequence(struct pattern_parse *s)
{
    struct pattern_node *all = NULL;

    while (more(s) && s->text.at[s->at] != '|' && s->text.at[s->at] != ')') {
        struct pattern_node *one = parse_repeated(s);
        if (one == NULL) return NULL;
        all = all ? pair_node(s, NODE_CAT, all, one) : one;
    }
    return all ? all : node_new(s, NODE_EMPTY);
}

static struct pattern_node *parse_alternatives(struct pattern_parse *s)
{
    struct pattern_node *all = parse_sequence(s);

    while (all && more(s) && take(s, "|")) {
        struct pattern_node *next = parse_sequence(s);
        all = next ? pair_node(s, NODE_ALT, all, next) : NULL;
    }
    return all;
}

struct pattern_node *pattern_read(struct pattern_parse *s)
{
    struct pattern_node *tree = parse_alternatives(s);

    if (tree && more(s)) s->bad = "closes a group that was not opened";
    return s->bad || s->beyond ? NULL : tree;
}
