/* MiniMax (providers.md section 7).  The path of MINIMAX_API_URL selects the form: the provider's
 * own chatcompletion_v2, OpenAI's chat completions or Responses, or Anthropic's messages.
 * minimax_read.c reads the first two. */
#include "backend/anthropic_in.h"
#include "backend/minimax_in.h"
#include "backend/openai_in.h"
#include "backend/pass.h"
#include "backend/remote.h"

static const char default_url[] = "https://api.minimax.io/v1/text/chatcompletion_v2",
                  anthropic_version[] = "2023-06-01";

/* ---- models ---- */

static bool begins(str model, const char *name)
{
    return str_starts_nocase(model, str_of(name));
}

static bool is_old(str model)
{
    return begins(model, "abab") || begins(model, "MiniMax-M1") ||
           begins(model, "MiniMax-Text-01") || begins(model, "MiniMax-VL-01");
}

static bool thinks(str model)
{
    return begins(model, "MiniMax-M");
}

static bool sees(str model)
{
    return !begins(model, "MiniMax-M1") && !begins(model, "MiniMax-M2") && !begins(model, "abab");
}

static bool has_images(const struct ask *q)
{
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_IMAGE) return true;
    return false;
}

/* ---- requests ---- */

static str wire_model(const struct answer *a)
{
    const struct backend *b = a->backend;

    if (a->q->model_version.len) return a->q->model_version;
    return b->conf.version.len ? b->conf.version : a->q->model;
}

/* The provider knows two words only (providers.md 7.1): a call cannot be had by force. */
static bool forces_a_tool(const struct ask *q)
{
    str c = q->tool_choice;
    return q->tools_count && c.len && !str_eq(c, STR("auto")) && !str_eq(c, STR("none"));
}

/* What every form begins with. */
static enum err begin(struct answer *a, struct call *c, bool whole, struct err_note *why)
{
    struct backend *b = a->backend;

    answer_rename(a, wire_model(a));
    if (has_images(a->q) && !sees(a->q->model)) return backend_takes_no_images(why, a->q->model);
    c->url = b->base;
    call_header(c, "Accept", whole ? STR("application/json") : STR("text/event-stream"));
    call_header(c, "Content-Type", STR("application/json"));
    call_header(c, "Authorization", arena_strf(&c->arena, "Bearer %.*s", STR_ARG(b->conf.key)));
    return ERR_NONE;
}

static struct openai_form form_of(const struct ask *q)
{
    str model = q->model;
    bool formats = begins(model, "MiniMax-Text-01") && q->format != FORMAT_JSON_OBJECT;

    return (struct openai_form){
        /* Not in the provider's list of fields. */
        .omits = REFUSED_TOP_K | REFUSED_MIN_P | REFUSED_REPETITION | REFUSED_PRESENCE |
                 REFUSED_FREQUENCY | REFUSED_STOP | REFUSED_SEED | REFUSED_LOGIT_BIAS |
                 REFUSED_EFFORT | REFUSED_PARALLEL | REFUSED_USER |
                 (is_old(model) ? REFUSED_MAX_COMPLETION_TOKENS : REFUSED_MAX_TOKENS) |
                 (formats ? 0 : REFUSED_FORMAT),
        .thinks = thinks(model),
        .words_only = true,
        .full = true,
        .format_in_words = !formats,
        .least = 0.01, /* 0 is an error */
        .temperature_most = 1,
    };
}

static enum err write_native(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = forces_a_tool(a->q) ? backend_takes_no(why, "tool_choice", a->q->model)
                                     : begin(a, c, false, why);
    if (e) return e;

    struct openai_form form = form_of(a->q);
    form.own = true;
    a->own_state = FRAGMENTS_NEW;
    think_init(&a->think, false);
    return openai_write_body(a, c, a->q->model, &form, why);
}

static void put_thinking(struct json_out *o, const struct answer *a)
{
    enum effort e = a->q->effort;

    json_key(o, "reasoning_split"), json_bool(o, true);
    if (e == EFFORT_UNSET || !begins(a->q->model, "MiniMax-M3")) return;
    json_key(o, "thinking"), json_object(o);
    json_key(o, "type"), json_text(o, e == EFFORT_NONE ? STR("disabled") : STR("adaptive"));
    json_end_object(o);
}

static enum err write_compatible(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = forces_a_tool(a->q) ? backend_takes_no(why, "tool_choice", a->q->model)
                                     : begin(a, c, pass_is_whole(a->q, WIRE_CHAT), why);
    if (e) return e;

    struct openai_form form = form_of(a->q);
    form.reasoning_of = "minimax";
    form.more = put_thinking;
    think_init(&a->think, false);
    return openai_write_body(a, c, a->q->model, &form, why);
}

static enum err write_messages(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = begin(a, c, anthropic_is_whole(a->q), why);
    if (e) return e;

    call_header(c, "anthropic-version", str_of(anthropic_version));
    return anthropic_write_body(a, c, why);
}

static enum err write_responses(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = begin(a, c, pass_is_whole(a->q, WIRE_RESPONSES), why);
    if (e) return e;

    struct openai_form form = form_of(a->q);
    return openai_responses_write(a, c, a->q->model, &form, why);
}

/* A refusal inside of HTTP 200 is one of 400. */
static struct fault as_400(const struct fault *f)
{
    struct fault to = *f;

    if (f->e == ERR_BAD_REQUEST && f->status < 400) to.status = 400;
    return to;
}

static bool mend(struct answer *a, const struct fault *f)
{
    struct fault refusal = as_400(f);
    return openai_mend(a, &refusal);
}

static bool responses_mend(struct answer *a, const struct fault *f)
{
    struct fault refusal = as_400(f);
    return openai_responses_mend(a, &refusal);
}

static const struct dialect native = {
    .type = "minimax",
    .write = write_native,
    .event = minimax_read_event,
    .whole = minimax_read_whole,
    .judge = minimax_judge,
    .mend = mend,
    .done_event = true,
};

static const struct dialect compatible = {
    .type = "minimax",
    .write = write_compatible,
    .event = minimax_read_event,
    .whole = minimax_read_whole,
    .judge = minimax_judge,
    .mend = mend,
    .done_event = true,
};

static const struct dialect messages = {
    .type = "minimax",
    .write = write_messages,
    .event = anthropic_read_event,
    .whole = anthropic_read_whole,
    .judge = minimax_judge,
    .mend = anthropic_mend,
};

static const struct dialect responses = {
    .type = "minimax",
    .write = write_responses,
    .event = openai_responses_event,
    .whole = openai_responses_whole,
    .judge = minimax_judge,
    .mend = responses_mend,
    .done_event = true,
};

/* ---- the backend ---- */

/* The setting is the whole address; a host alone, or what other programs take as a base, is
 * completed. */
static enum err choose_form(struct backend *b, struct err_note *why)
{
    static const struct {
        const char *end, *more;
        const struct dialect *dialect;
    } forms[] = {
        {"/chat/completions", "", &compatible},
        {"/messages", "", &messages},
        {"/responses", "", &responses},
        {"/anthropic", "/v1/messages", &messages},
        {"/v1", "/text/chatcompletion_v2", &native},
        {"", "", &native},
    };
    size_t path = str_find_char(b->base.target, '?');
    str front = str_head(b->base.target, path);
    str query = path == STR_NPOS ? STR("") : str_tail(b->base.target, path);
    const char *more = "";

    while (str_ends(front, STR("/"))) front.len--;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!str_ends(front, str_of(forms[i].end))) continue;
        b->dialect = forms[i].dialect;
        more = forms[i].more;
        break;
    }
    if (front.len == 0) more = "/v1/text/chatcompletion_v2";
    b->base.target = arena_strf(&b->arena, "%.*s%s%.*s", STR_ARG(front), more, STR_ARG(query));
    return b->base.target.at ? ERR_NONE : err_set(why, ERR_MEMORY, "out of memory for a backend");
}

static enum err minimax_open(struct backend **out, const struct backend_conf *c,
                             struct err_note *why)
{
    struct backend *b;
    enum err e = remote_open(&b, &native, c, default_url, why);
    if (e) return e;

    b->key_name = "MINIMAX_API_KEY";
    if (b->conf.key.len == 0)
        e = err_set(why, ERR_CREDENTIAL, "MINIMAX_API_KEY is required for MODEL_TYPE=minimax");
    else
        e = choose_form(b, why);
    if (e) {
        remote_close(b);
        return e;
    }
    *out = b;
    return ERR_NONE;
}

/* There is no list of models and no free call: only that somebody is there can be seen. */
static void minimax_prepare(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    remote_reach(b, l, done, ctx);
}

/* In Anthropic's form an assistant's message at the end is the answer's beginning, by that API's
 * own rule; of the other forms nothing of the kind is known. */
static bool minimax_goes_on(struct backend *b, str model)
{
    str wire = b->conf.version.len ? b->conf.version : model;
    return b->dialect == &messages && anthropic_goes_on(b, wire);
}

const struct backend_ops backend_minimax = {
    .type = "minimax",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_PREFILL | BACKEND_REASON,
    .open = minimax_open,
    .prepare = minimax_prepare,
    .ask = answer_start,
    .cancel = answer_cancel,
    .pause = answer_pause,
    .close = remote_close,
    .goes_on = minimax_goes_on,
};
