/* OpenAI's chat completions, and every server that speaks them (providers.md sections 3 and 9):
 * vLLM, llama-server, Ollama, TGI, SGLang, LM Studio.  openai_write.c makes requests, openai_read.c
 * reads what comes, openai_family.c knows OpenAI's models, openai_mend.c learns from refusals.
 * Where one needs the Responses API (openai_api.c), openai_responses_write.c and
 * openai_responses_read.c do the same for that; openai_completions.c is the whole of the old
 * completions. */
#include "backend/anthropic_in.h"
#include "backend/aside.h"
#include "backend/openai_in.h"
#include "backend/pass.h"
#include "backend/remote.h"

static const char default_url[] = "https://api.openai.com/v1", endpoint[] = "/chat/completions",
                  responses_endpoint[] = "/responses", completions_endpoint[] = "/completions";

static void sign(const struct backend *b, struct call *c)
{
    if (b->conf.key.len)
        call_header(c, "Authorization", arena_strf(&c->arena, "Bearer %.*s", STR_ARG(b->conf.key)));
    if (b->conf.organization.len) call_header(c, "OpenAI-Organization", b->conf.organization);
    if (b->conf.project.len) call_header(c, "OpenAI-Project", b->conf.project);
}

static const struct dialect responses, completions;

static enum err write_completion(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = remote_url(&c->url, a->backend, completions_endpoint, &c->arena);
    bool whole = pass_is_whole(a->q, WIRE_COMPLETIONS);

    if (e) return err_set(why, e, "out of memory for a request");
    a->dialect = &completions;
    call_header(c, "Accept", whole ? STR("application/json") : STR("text/event-stream"));
    call_header(c, "Content-Type", STR("application/json"));
    sign(a->backend, c);
    return openai_completions_write(a, c, why);
}

static enum err write_request(struct answer *a, struct call *c, struct err_note *why)
{
    struct backend *b = a->backend;

    if (b->dialect != &responses && openai_completes(a)) return write_completion(a, c, why);
    bool is_responses = b->dialect == &responses || openai_needs_responses(a);

    a->dialect = is_responses ? &responses : b->dialect;
    enum err e = remote_url(&c->url, b, is_responses ? responses_endpoint : endpoint, &c->arena);

    if (e) return err_set(why, e, "out of memory for a request");
    bool whole = pass_is_whole(a->q, is_responses ? WIRE_RESPONSES : WIRE_CHAT);
    call_header(c, "Accept", whole ? STR("application/json") : STR("text/event-stream"));
    call_header(c, "Content-Type", STR("application/json"));
    sign(b, c);
    if (is_responses) return openai_responses_write(a, c, a->q->model, NULL, why);
    /* Who goes on from a text has done with thinking. */
    if (!b->official) think_init(&a->think, a->q->prefill.len == 0 && think_opened_by(a->q->model));
    return openai_write_body(a, c, a->q->model, NULL, why);
}

static bool mend(struct answer *a, const struct fault *f)
{
    return openai_mend_api(a, f, false) || openai_mend(a, f);
}

static bool responses_mend(struct answer *a, const struct fault *f)
{
    bool may_leave = a->backend->dialect != &responses; /* the address names no other */

    return (may_leave && openai_mend_api(a, f, true)) || openai_responses_mend(a, f);
}

static const struct dialect openai = {
    .type = "openai",
    .write = write_request,
    .event = openai_read_event,
    .whole = openai_read_whole,
    .mend = mend,
    .done_event = true,
    .lenient_done = true,
};

static const struct dialect responses = {
    .type = "openai",
    .write = write_request,
    .event = openai_responses_event,
    .whole = openai_responses_whole,
    .judge = openai_responses_judge,
    .mend = responses_mend,
    .done_event = true, /* not OpenAI's, but others end every stream so */
};

static const struct dialect completions = {
    .type = "openai",
    .write = write_request,
    .event = openai_completions_event,
    .whole = openai_completions_whole,
    .mend = openai_completions_mend,
    .done_event = true,
    .lenient_done = true,
};

static bool is_official(str host)
{
    return str_eq(host, STR("api.openai.com")) || str_ends(host, STR(".api.openai.com"));
}

static enum err openai_open(struct backend **out, const struct backend_conf *c,
                            struct err_note *why)
{
    struct backend *b;
    enum err e = remote_open(&b, &openai, c, default_url, why);
    if (e) return e;

    b->key_name = "OPENAI_API_KEY";
    b->official = is_official(b->base.host);
    /* The whole endpoint may be given; other calls use it with that cut off. */
    size_t path = str_find_char(b->base.target, '?');
    str front = str_head(b->base.target, path);
    bool chat = str_ends(front, str_of(endpoint));
    bool is_responses = str_ends(front, str_of(responses_endpoint));
    if (chat || is_responses) {
        front.len -= (chat ? sizeof endpoint : sizeof responses_endpoint) - 1;
        if (is_responses) b->dialect = &responses;
        str query = path == STR_NPOS ? STR("") : str_tail(b->base.target, path);
        b->base.target = arena_strf(&b->arena, "%.*s%.*s", STR_ARG(front), STR_ARG(query));
    }
    if (b->official && b->conf.key.len == 0)
        e = err_set(why, ERR_CREDENTIAL, "OPENAI_API_KEY is required for MODEL_TYPE=openai");
    else if (b->base.target.at == NULL)
        e = err_set(why, ERR_MEMORY, "out of memory for a backend");
    if (e) {
        remote_close(b);
        return e;
    }
    *out = b;
    return ERR_NONE;
}

static const char list_path[] = "/models";

static void openai_prepare(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    remote_prepare(b, l, list_path, sign, done, ctx);
}

static void openai_list(struct backend *b, struct loop *l, uint32_t within_ms,
                        backend_list_fn *done, void *ctx)
{
    remote_list(b, l, list_path, sign, within_ms, done, ctx);
}

/* ---- embeddings ---- */

static enum err write_embed(struct aside *x, struct call *c, struct err_note *why)
{
    sign(x->backend, c);
    return aside_write_openai(x, c, "/embeddings", why);
}

static const struct aside_form embedding = {.write = write_embed,
                                            .read = aside_read_openai,
                                            .mend = aside_mend_openai};

static enum err openai_embed(struct aside **out, struct backend *b, struct loop *l,
                             const struct embed_ask *q, aside_fn *done, void *ctx,
                             struct err_note *why)
{
    const struct aside as = {
        .backend = b, .loop = l, .form = &embedding, .embed = q, .done = done, .ctx = ctx};
    return aside_start(out, &as, why);
}

/* ---- counting: OpenAI has no call for it; llama-server and others have Anthropic's (section 9)
 * ---- */

static enum err write_count(struct aside *x, struct call *c, struct err_note *why)
{
    sign(x->backend, c);
    return anthropic_write_count(x, c, "/messages/count_tokens", why);
}

static const struct aside_form counting = {.write = write_count,
                                           .read = anthropic_read_count,
                                           .counts = true};

static enum err openai_count(struct aside **out, struct backend *b, struct loop *l,
                             const struct ask *q, aside_fn *done, void *ctx, struct err_note *why)
{
    const struct aside as = {
        .backend = b, .loop = l, .form = &counting, .q = q, .done = done, .ctx = ctx};
    return b->official ? ERR_NOT_FOUND : aside_start(out, &as, why);
}

static int openai_context_length(struct backend *b)
{
    return b->context_length;
}

const struct backend_ops backend_openai = {
    .type = "openai",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_PREFILL | BACKEND_REASON,
    .open = openai_open,
    .prepare = openai_prepare,
    .ask = answer_start,
    .cancel = answer_cancel,
    .pause = answer_pause,
    .close = remote_close,
    .goes_on = openai_goes_on,
    .context_length = openai_context_length,
    .list = openai_list,
    .count = openai_count,
    .embed = openai_embed,
    .aside_cancel = aside_cancel,
};
