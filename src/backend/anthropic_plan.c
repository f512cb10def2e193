/* What a model's family, what was refused, and the request make of thinking and its limits
 * (providers.md 5.2). */
#include "backend/anthropic_in.h"

enum {
    BUDGET_TOKENS_MIN = 1024,
    BUDGET_LOW = 2048,
    BUDGET_MEDIUM = 8192,
    BUDGET_HIGH = 16384,
    THINKING_ROOM_TOKENS = 4096, /* providers.md 3.1: where no effort says more */
};

static bool takes(const struct anthropic_plan *p, uint64_t what)
{
    return !(p->refused & what);
}

uint64_t anthropic_refused(const struct answer *a)
{
    return learned_get(a->backend->learned, a->q->model) | a->mended;
}

bool anthropic_uses_json_tool(const struct answer *a)
{
    return a->q->format == FORMAT_JSON_SCHEMA &&
           (!anthropic_family_of(a->q->model, a->backend->official)->schema ||
            (anthropic_refused(a) & NOT_FORMAT));
}

static int64_t budget_of(enum effort e)
{
    return e <= EFFORT_LOW ? BUDGET_LOW : e == EFFORT_MEDIUM ? BUDGET_MEDIUM : BUDGET_HIGH;
}

/* The effort that was asked for, or that a budget stands for. */
static enum effort wanted_effort(const struct ask *q)
{
    if (q->effort != EFFORT_UNSET || q->thinking_budget < 0) return q->effort;
    return q->thinking_budget <= BUDGET_LOW      ? EFFORT_LOW
           : q->thinking_budget <= BUDGET_MEDIUM ? EFFORT_MEDIUM
                                                 : EFFORT_HIGH;
}

/* The nearest lower effort that the family knows; else its lowest. */
static enum effort fit_effort(unsigned efforts, enum effort wanted)
{
    for (int e = wanted; e > EFFORT_NONE; e--)
        if (efforts & 1u << e) return (enum effort)e;
    for (int e = wanted; e <= EFFORT_MAX; e++)
        if (efforts & 1u << e) return (enum effort)e;
    return EFFORT_UNSET;
}

static void plan_thinking(struct anthropic_plan *p, const struct ask *q, enum effort wanted,
                          bool budget)
{
    const struct anthropic_family *f = p->family;
    bool adaptive =
        f->thinks == THINKS_ADAPTIVE || (f->thinks == THINKS_EITHER && q->thinking_budget < 0);

    if (wanted == EFFORT_NONE && f->off == OFF_DISABLED && takes(p, NOT_DISABLED))
        p->thinking = THINKING_OFF;
    if (wanted <= EFFORT_NONE || f->thinks == THINKS_NOT) return;
    if (takes(p, NOT_EFFORT)) p->effort = fit_effort(f->efforts, wanted);
    if (!takes(p, NOT_ADAPTIVE)) adaptive = false;
    if (!takes(p, NOT_BUDGET)) adaptive = true;
    if (adaptive && takes(p, NOT_ADAPTIVE)) p->thinking = THINKING_ADAPTIVE;
    if (!adaptive && budget) p->thinking = THINKING_BUDGET;
}

static int64_t limit_of(const struct anthropic_plan *p)
{
    int64_t told = (int64_t)(p->refused >> ANTHROPIC_LIMIT_SHIFT) * ANTHROPIC_LIMIT_UNIT;
    return told && told < p->family->out_tokens ? told : p->family->out_tokens;
}

/* On /api/v1 the limit is meant for the text alone: what a model thinks comes on top. */
static int64_t thinking_room(const struct anthropic_plan *p, const struct ask *q,
                             enum effort wanted)
{
    const struct anthropic_family *f = p->family;
    bool by_itself = f->off == OFF_NEVER || (f->off == OFF_OMITTED && wanted == EFFORT_UNSET);

    if (!q->room_to_think) return 0;
    if (p->thinking == THINKING_ADAPTIVE) return budget_of(wanted);
    return f->thinks == THINKS_ADAPTIVE && by_itself ? THINKING_ROOM_TOKENS : 0;
}

void anthropic_plan(struct anthropic_plan *p, const struct ask *q, bool budget)
{
    enum effort wanted = wanted_effort(q);
    int64_t limit = limit_of(p);

    plan_thinking(p, q, wanted, budget);
    p->max_tokens = q->max_tokens < 0 ? limit : q->max_tokens + thinking_room(p, q, wanted);
    if (p->thinking == THINKING_BUDGET) {
        bool own = q->thinking_budget >= 0;
        p->budget = own ? q->thinking_budget : budget_of(wanted);
        if (p->budget < BUDGET_TOKENS_MIN) p->budget = BUDGET_TOKENS_MIN;
        /* Who names a budget within the limit means both as they are. */
        if (!own || q->room_to_think || p->max_tokens <= p->budget) p->max_tokens += p->budget;
    }
    if (p->max_tokens > limit) p->max_tokens = limit;
    if (p->max_tokens < 1) p->max_tokens = 1;
    if (p->budget >= p->max_tokens) p->budget = p->max_tokens - 1;
    if (p->thinking == THINKING_BUDGET && p->budget < BUDGET_TOKENS_MIN)
        p->thinking = THINKING_UNSAID;
}
