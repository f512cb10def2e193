/* Running a pattern: backtracking in the order of the alternatives, under a bound on the work. */
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/vocab/pattern_parts.h"
#include "engine/vocab/unicode.h"

enum {
    STOP_LOOK_STEPS = 1 << 16, /* steps between two looks at the stop flag */
    PCRE_LIMIT_FIRST =
        20000, /* match limit of the first try; only a second, longer one is paid for */
};

struct run {
    const struct pattern *p;
    struct pattern_work *w;
    str text;
    enum err err;
};

void pattern_work_init(struct pattern_work *w, size_t text_bytes, const _Atomic bool *stop)
{
    *w = (struct pattern_work){.steps_left = (uint64_t)text_bytes * PATTERN_STEPS_PER_BYTE +
                                             PATTERN_STEPS_BASE,
                               .stop = stop};
}

void pattern_work_fini(struct pattern_work *w)
{
    free(w->marks);
    pcre2_match_data_free(w->pcre);
    pcre2_match_context_free(w->pcre_limits);
    *w = (struct pattern_work){0};
}

static bool pay(struct run *r, uint64_t steps)
{
    struct pattern_work *w = r->w;

    if (steps > w->steps_left) {
        r->err = ERR_LIMIT;
        return false;
    }
    if ((w->steps_left ^ (w->steps_left - steps)) / STOP_LOOK_STEPS && w->stop && *w->stop) {
        r->err = ERR_CANCELLED;
        return false;
    }
    w->steps_left -= steps;
    return true;
}

static bool mark_push(struct run *r, uint32_t step, size_t at, size_t low)
{
    struct pattern_work *w = r->w;

    if (w->marks_count == w->marks_cap) {
        size_t cap = w->marks_cap ? w->marks_cap * 2 : 64;
        struct pattern_mark *marks =
            cap <= PATTERN_BACKTRACKS_MAX ? realloc(w->marks, cap * sizeof *marks) : NULL;
        if (marks == NULL) {
            r->err = cap <= PATTERN_BACKTRACKS_MAX ? ERR_MEMORY : ERR_LIMIT;
            return false;
        }
        w->marks = marks;
        w->marks_cap = cap;
    }
    w->marks[w->marks_count++] = (struct pattern_mark){step, (uint32_t)at, (uint32_t)low};
    return true;
}

static bool word_at(str text, size_t at)
{
    return at < text.len && (unicode_kind(unicode_next(text.at, &at)) & UNICODE_ONIG_WORD);
}

static bool word_before(str text, size_t at)
{
    return at > 0 && word_at(text, unicode_back(text.at, at));
}

static bool assertion_holds(enum pattern_op op, str text, size_t at)
{
    switch (op) {
    case PATTERN_LINE_BEGIN: return at == 0 || text.at[at - 1] == '\n';
    case PATTERN_LINE_END: return at == text.len || text.at[at] == '\n';
    case PATTERN_TEXT_BEGIN: return at == 0;
    case PATTERN_TEXT_END: return at == text.len;
    case PATTERN_TEXT_END_LINE:
        return at == text.len || (at + 1 == text.len && text.at[at] == '\n');
    case PATTERN_WORD_EDGE: return word_before(text, at) != word_at(text, at);
    default: return word_before(text, at) == word_at(text, at); /* PATTERN_NOT_WORD_EDGE */
    }
}

/* Takes as many characters of the set as the step allows; false when too few.  *low is where the
 * text stood after the least number. */
static bool repeat_take(struct run *r, const struct pattern_step *step, size_t *at, size_t *low)
{
    const struct charset *set = &r->p->sets[step->set];
    uint32_t count = 0;
    size_t begin = *at;

    *low = *at;
    while (count < step->max && *at < r->text.len) {
        size_t next = *at;
        if (!charset_has(set, unicode_next(r->text.at, &next))) break;
        *at = next;
        if (++count == step->min) *low = next;
    }
    return pay(r, 1 + (*at - begin)) && count >= step->min;
}

/* From step `pc` with the text at `at`: true with *end where it matched.  Recursion is as deep as
 * the pattern nests look-ahead and atomic groups. */
static bool run(struct run *r, uint32_t pc, size_t at, size_t *end)
{
    struct pattern_work *w = r->w;
    size_t base = w->marks_count, low, sub_end;
    str text = r->text;

    for (;;) {
        const struct pattern_step *step = &r->p->steps[pc];
        bool good = pay(r, 1);
        if (!good) return false;
        switch (step->op) {
        case PATTERN_SET:
            good = at < text.len && charset_has(&r->p->sets[step->set], unicode_next(text.at, &at));
            pc++;
            break;
        case PATTERN_REPEAT:
            good = repeat_take(r, step, &at, &low);
            pc++;
            if (good && at > low && !mark_push(r, pc, at, low)) return false;
            break;
        case PATTERN_POSSESS:
            good = repeat_take(r, step, &at, &low);
            pc++;
            break;
        case PATTERN_SPLIT:
            if (!mark_push(r, step->other, at, at)) return false;
            pc = step->to;
            break;
        case PATTERN_JUMP: pc = step->to; break;
        case PATTERN_AHEAD:
            good = run(r, pc + 1, at, &sub_end);
            pc = step->to;
            break;
        case PATTERN_NOT_AHEAD:
            good = !run(r, pc + 1, at, &sub_end);
            pc = step->to;
            break;
        case PATTERN_ATOMIC:
            good = run(r, pc + 1, at, &sub_end);
            if (good) at = sub_end;
            pc = step->to;
            break;
        case PATTERN_SUB_END:
        case PATTERN_MATCH:
            w->marks_count = base;
            *end = at;
            return true;
        default:
            good = assertion_holds(step->op, text, at);
            pc++;
            break;
        }
        if (r->err) return false;
        if (good) continue;

        if (w->marks_count == base) return false;
        struct pattern_mark *mark = &w->marks[w->marks_count - 1];
        pc = mark->step;
        if (mark->at > mark->low) {
            mark->at = (uint32_t)unicode_back(text.at, mark->at);
            at = mark->at;
            if (mark->at == mark->low) w->marks_count--;
        } else {
            at = mark->at;
            w->marks_count--;
        }
    }
}

static enum err pcre_find(const struct pattern *p, struct pattern_work *w, str text, size_t from,
                          size_t *at, size_t *end)
{
    enum err e = ERR_NONE;

    if (w->pcre == NULL) w->pcre = pcre2_match_data_create(1, NULL);
    if (w->pcre_limits == NULL) w->pcre_limits = pcre2_match_context_create(NULL);
    pcre2_match_context *limits = w->pcre_limits;
    int n = PCRE2_ERROR_MATCHLIMIT;
    if (w->pcre == NULL || limits == NULL) return ERR_MEMORY;
    for (uint32_t limit = PCRE_LIMIT_FIRST; !e && n == PCRE2_ERROR_MATCHLIMIT; limit *= 8) {
        pcre2_set_match_limit(limits, limit);
        pcre2_set_depth_limit(limits, limit);
        uint32_t options = PCRE2_NO_UTF_CHECK;
        n = pcre2_match(p->pcre, (PCRE2_SPTR)text.at, text.len, from, options, w->pcre, limits);
        if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
            n = pcre2_match(p->pcre, (PCRE2_SPTR)text.at, text.len, from, options | PCRE2_NO_JIT,
                            w->pcre, limits);
        uint64_t price = limit == PCRE_LIMIT_FIRST ? 1 : limit;
        if (price > w->steps_left || limit > UINT32_MAX / 8) e = ERR_LIMIT;
        if (w->stop && *w->stop) e = ERR_CANCELLED;
        w->steps_left -= e ? 0 : price;
    }
    if (e) return e;
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) return ERR_LIMIT;
    const size_t *found = pcre2_get_ovector_pointer(w->pcre);
    *at = n < 0 ? STR_NPOS : found[0];
    *end = n < 0 ? STR_NPOS : found[1];
    return ERR_NONE;
}

enum err pattern_find(const struct pattern *p, struct pattern_work *w, str text, size_t from,
                      size_t *at, size_t *end, struct err_note *why)
{
    struct run r = {.p = p, .w = w, .text = text};

    if (p->literal.at) {
        size_t found = from <= text.len ? str_find(str_tail(text, from), p->literal) : STR_NPOS;
        *at = found == STR_NPOS ? STR_NPOS : from + found;
        *end = *at + p->literal.len;
        return ERR_NONE;
    }
    if (p->pcre) {
        r.err = pcre_find(p, w, text, from, at, end);
    } else {
        for (*at = from; *at <= text.len; *at += 1) {
            if (*at < text.len && ((unsigned char)text.at[*at] & 0xC0) == 0x80) continue;
            if (run(&r, 0, *at, end)) return ERR_NONE;
            w->marks_count = 0;
            if (r.err) break;
        }
        *at = STR_NPOS;
    }
    return r.err == ERR_LIMIT
               ? err_set(why, ERR_LIMIT, "a pattern of the tokenizer takes too long on this text")
               : r.err;
}
