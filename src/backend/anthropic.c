/* Anthropic's Messages API, and servers that speak it (providers.md section 5).  anthropic_write.c
 * makes requests, anthropic_read.c reads what comes, anthropic_family.c knows the models,
 * anthropic_mend.c what was refused. */
#include "backend/anthropic_in.h"
#include "backend/aside.h"
#include "backend/remote.h"

static const char default_url[] = "https://api.anthropic.com", endpoint[] = "/v1/messages",
                  default_version[] = "2023-06-01";

static void sign(const struct backend *b, struct call *c)
{
    if (b->conf.key_is_bearer)
        call_header(c, "Authorization", arena_strf(&c->arena, "Bearer %.*s", STR_ARG(b->conf.key)));
    else
        call_header(c, "x-api-key", b->conf.key);
    call_header(c, "anthropic-version", b->conf.version);
}

static enum err write_request(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = remote_url(&c->url, a->backend, endpoint, &c->arena);

    if (e) return err_set(why, e, "out of memory for a request");
    call_header(c, "Accept",
                anthropic_is_whole(a->q) ? STR("application/json") : STR("text/event-stream"));
    call_header(c, "Content-Type", STR("application/json"));
    sign(a->backend, c);
    return anthropic_write_body(a, c, why);
}

static const struct dialect anthropic = {
    .type = "anthropic",
    .write = write_request,
    .event = anthropic_read_event,
    .whole = anthropic_read_whole,
    .mend = anthropic_mend,
};

static bool is_official(str host)
{
    return str_eq(host, STR("api.anthropic.com")) || str_ends(host, STR(".anthropic.com"));
}

/* People copy the address with "/v1", or all of the endpoint. */
static str without_endpoint(str path)
{
    static const char *const ends[] = {"/v1/messages", "/v1"};

    while (str_ends(path, STR("/"))) path.len--;
    for (size_t i = 0; i < 2; i++)
        if (str_ends(path, str_of(ends[i]))) {
            path.len -= strlen(ends[i]);
            break;
        }
    while (str_ends(path, STR("/"))) path.len--;
    return path;
}

static enum err anthropic_open(struct backend **out, const struct backend_conf *c,
                               struct err_note *why)
{
    struct backend_conf conf = *c;
    struct backend *b;

    if (conf.version.len == 0) conf.version = str_of(default_version);
    enum err e = remote_open(&b, &anthropic, &conf, default_url, why);
    if (e) return e;

    b->key_name = conf.key_is_bearer ? "ANTHROPIC_AUTH_TOKEN" : "ANTHROPIC_API_KEY";
    b->official = is_official(b->base.host);
    size_t path = str_find_char(b->base.target, '?');
    str front = without_endpoint(str_head(b->base.target, path));
    str query = path == STR_NPOS ? STR("") : str_tail(b->base.target, path);
    b->base.target = arena_strf(&b->arena, "%.*s%.*s", STR_ARG(front), STR_ARG(query));
    if (b->conf.key.len == 0)
        e = err_set(why, ERR_CREDENTIAL, "ANTHROPIC_API_KEY is required for MODEL_TYPE=anthropic");
    else if (b->base.target.at == NULL)
        e = err_set(why, ERR_MEMORY, "out of memory for a backend");
    if (e) {
        remote_close(b);
        return e;
    }
    *out = b;
    return ERR_NONE;
}

static const char list_path[] = "/v1/models?limit=1000";

static void anthropic_prepare(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    remote_prepare(b, l, list_path, sign, done, ctx);
}

static void anthropic_list(struct backend *b, struct loop *l, uint32_t within_ms,
                           backend_list_fn *done, void *ctx)
{
    remote_list(b, l, list_path, sign, within_ms, done, ctx);
}

/* ---- counting, free of charge (section 5) ---- */

enum err anthropic_write_count(struct aside *x, struct call *c, const char *path,
                               struct err_note *why)
{
    static const char *const counted[] = {"model",       "system",   "messages",     "tools",
                                          "tool_choice", "thinking", "output_config"};
    struct answer a;

    aside_as_answer(&a, x, &anthropic);
    enum err e = remote_url(&c->url, x->backend, path, &c->arena);
    if (e) return err_set(why, e, "out of memory for a request");
    e = anthropic_write_body(&a, c, why);
    aside_answer_end(&a);
    return e ? e : aside_keep(c, counted, sizeof counted / sizeof *counted);
}

static enum err write_count(struct aside *x, struct call *c, struct err_note *why)
{
    sign(x->backend, c);
    return anthropic_write_count(x, c, "/v1/messages/count_tokens", why);
}

enum err anthropic_read_count(struct aside *x, yyjson_val *root, struct err_note *why)
{
    x->tokens = json_get_int(root, "input_tokens", -1);
    return x->tokens >= 0 ? ERR_NONE : err_set(why, ERR_SERVER, "no count of tokens");
}

static bool mend_count(struct aside *x, const struct fault *f)
{
    struct answer a;

    aside_as_answer(&a, x, &anthropic);
    bool mended = anthropic_mend(&a, f);
    x->mended = a.mended;
    return mended;
}

static const struct aside_form counting = {.write = write_count,
                                           .read = anthropic_read_count,
                                           .mend = mend_count,
                                           .counts = true};

static enum err anthropic_count(struct aside **out, struct backend *b, struct loop *l,
                                const struct ask *q, aside_fn *done, void *ctx,
                                struct err_note *why)
{
    const struct aside as = {
        .backend = b, .loop = l, .form = &counting, .q = q, .done = done, .ctx = ctx};
    return aside_start(out, &as, why);
}

static int anthropic_context_length(struct backend *b)
{
    return b->context_length;
}

const struct backend_ops backend_anthropic = {
    .type = "anthropic",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_PREFILL | BACKEND_REASON,
    .open = anthropic_open,
    .prepare = anthropic_prepare,
    .ask = answer_start,
    .cancel = answer_cancel,
    .pause = answer_pause,
    .close = remote_close,
    .goes_on = anthropic_goes_on,
    .context_length = anthropic_context_length,
    .list = anthropic_list,
    .count = anthropic_count,
    .aside_cancel = aside_cancel,
};
