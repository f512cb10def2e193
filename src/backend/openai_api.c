/* Which of OpenAI's two APIs a request needs: what the table says, and what refusals taught. */
#include "backend/openai_in.h"

bool openai_needs_responses(const struct answer *a)
{
    const struct ask *q = a->q;
    uint64_t learned = learned_get(a->backend->learned, q->model);
    const struct openai_family *f = openai_family_of(q->model);
    bool tools = q->tools_count > 0;

    if (learned & REFUSED_RESPONSES) return false;
    if (learned & NEEDS_RESPONSES || (tools && learned & TOOLS_NEED_RESPONSES)) return true;
    if (!a->backend->official && !openai_family_is_known(q->model)) return false;
    if (f->only_responses || (f->max && q->effort == EFFORT_MAX)) return true;
    if (!tools) return false;
    switch (f->tools) {
    case TOOLS_WITHOUT_EFFORT: return q->effort != EFFORT_UNSET;
    case TOOLS_AT_NONE: return q->effort != EFFORT_NONE || !(f->efforts & 1u << EFFORT_NONE);
    case TOOLS_NEVER: return true;
    default: return false;
    }
}

/* "Function tools with reasoning_effort are not supported for ... in /v1/chat/completions. To use
 * function tools, use /v1/responses ...": other requests may do in chat completions. */
static bool teach_responses(struct answer *a, const struct fault *f)
{
    struct learned *l = a->backend->learned;
    const struct openai_family *family = openai_family_of(a->q->model);
    bool told = fault_says(f, "/responses") || fault_says(f, "Responses API");
    /* A server that has only the one does not know the other's address, or the model there; and
     * not everybody who refuses says what to do. */
    bool silent = f->status == 404 && family->only_responses;
    bool of_tools =
        a->q->tools_count && (fault_says(f, "tool") || str_starts(f->param, STR("tool")));
    bool by_table = of_tools && f->status < 500 && family->tools != TOOLS_FINE &&
                    openai_family_is_known(a->q->model);

    if (!told && !silent && !by_table) return false;
    if (learned_get(l, a->q->model) & REFUSED_RESPONSES) return false;
    return learned_add(l, a->q->model, of_tools ? TOOLS_NEED_RESPONSES : NEEDS_RESPONSES);
}

static bool teach_chat(struct answer *a, const struct fault *f)
{
    bool told = fault_says(f, "/chat/completions") || fault_says(f, "Chat Completions API");
    bool no_such_route = (f->status == 404 || f->status == 405 || f->status == 501) &&
                         !a->backend->official && !str_eq(f->code, STR("model_not_found"));

    return (told || no_such_route) &&
           learned_add(a->backend->learned, a->q->model, REFUSED_RESPONSES);
}

bool openai_mend_api(struct answer *a, const struct fault *f, bool responses)
{
    if (f->status < 400 || f->status >= 502 || f->e == ERR_AUTH) return false;
    return responses ? teach_chat(a, f) : teach_responses(a, f);
}
