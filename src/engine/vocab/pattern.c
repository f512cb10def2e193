/* From a pattern's tree to the program that pattern_match.c runs; what goes beyond it, to PCRE2. */
#include "engine/vocab/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/utf8.h"
#include "engine/vocab/pattern_parts.h"

enum {
    STEPS_BASE = 1024,  /* of the program, and ... */
    STEPS_PER_BYTE = 8, /* ... this many more for each byte of the text */
};

static bool may_be_empty(const struct pattern_node *n)
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

static struct pattern_step *step_new(struct pattern_parse *s, enum pattern_op op)
{
    if (s->p->steps_count == s->steps_max) {
        s->bad = "is too large";
        return &s->nowhere;
    }
    struct pattern_step *step = &s->p->steps[s->p->steps_count++];
    step->op = op;
    return step;
}

static void emit(struct pattern_parse *s, const struct pattern_node *n);

static void emit_sub(struct pattern_parse *s, enum pattern_op op, const struct pattern_node *inner)
{
    struct pattern_step *step = step_new(s, op);
    emit(s, inner);
    step_new(s, PATTERN_SUB_END);
    step->to = s->p->steps_count;
}

/* A choice between going on right here and at a place that is set later. */
static struct pattern_step *emit_split(struct pattern_parse *s)
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

static void emit_repeat(struct pattern_parse *s, const struct pattern_node *n)
{
    const struct pattern_node *inner = n->left;

    if (n->possessive && inner->kind != NODE_SET) {
        struct pattern_node greedy = *n;
        greedy.possessive = false;
        emit_sub(s, PATTERN_ATOMIC, &greedy);
        return;
    }
    if (inner->kind == NODE_SET && !n->lazy) {
        struct pattern_step *step = step_new(s, n->possessive ? PATTERN_POSSESS : PATTERN_REPEAT);
        step->set = inner->set;
        step->min = (uint32_t)n->min;
        step->max = n->max == PATTERN_UNBOUNDED ? UINT32_MAX : (uint32_t)n->max;
        return;
    }
    if (n->max == PATTERN_UNBOUNDED && may_be_empty(inner)) {
        s->beyond = true; /* would need a check for rounds that match nothing */
        return;
    }
    for (int i = 0; i < n->min && !s->bad; i++) emit(s, inner);
    if (n->max == PATTERN_UNBOUNDED) {
        uint32_t begin = s->p->steps_count;
        struct pattern_step *split = emit_split(s);
        emit(s, inner);
        step_new(s, PATTERN_JUMP)->to = begin;
        split_end(split, s->p->steps_count, n->lazy);
    } else if (n->max > n->min) { /* x{0,n} is (x(x...)?)? */
        struct pattern_node rest = *n;
        struct pattern_step *split = emit_split(s);
        emit(s, inner);
        rest.min = 0;
        rest.max = n->max - n->min - 1;
        if (rest.max && !s->bad) emit_repeat(s, &rest);
        split_end(split, s->p->steps_count, n->lazy);
    }
}

static void emit(struct pattern_parse *s, const struct pattern_node *n)
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

    p->pcre = pcre2_compile((PCRE2_SPTR)text.at, text.len,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, NULL);
    if (p->pcre == NULL) {
        unsigned char said[128];
        pcre2_get_error_message(code, said, sizeof said);
        return err_set(why, ERR_MODEL_UNUSABLE, "a pattern is not valid: %s (at byte %zu)",
                       (char *)said, at);
    }
    pcre2_jit_compile(p->pcre, PCRE2_JIT_COMPLETE); /* without it the interpreter runs */
    return ERR_NONE;
}

/* Reads the text with work room that is given back, and keeps what came out of it. */
static enum err compile(struct pattern *p, struct arena *keep, struct arena *room, str text,
                        bool *beyond, struct err_note *why)
{
    struct pattern_parse s = {.a = room,
                              .text = text,
                              .p = p,
                              .sets_max = (uint32_t)text.len,
                              .steps_max = STEPS_BASE + STEPS_PER_BYTE * (uint32_t)text.len};

    p->sets = arena_array(room, struct charset, s.sets_max);
    p->steps = arena_array(room, struct pattern_step, s.steps_max);
    if (p->sets == NULL || p->steps == NULL) return ERR_MEMORY;
    struct pattern_node *tree = pattern_read(&s);
    if (tree) {
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
            memcpy(sets[i].ranges, p->sets[i].ranges,
                   sets[i].ranges_count * sizeof *sets[i].ranges);
    }
    p->sets = sets;
    p->steps = steps;
    return ERR_NONE;
}

enum err pattern_new(struct pattern **out, struct arena *a, str text, bool literal,
                     struct err_note *why)
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
