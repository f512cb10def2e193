/* Hugging Face (providers.md section 8): the router and dedicated endpoints speak OpenAI's chat
 * completions; older addresses generate text from a prompt, which is hf_generate.c's.  What is
 * called follows from HF_INFERENCE_URL (configuration.md note 1). */
#include "backend/aside.h"
#include "backend/hf_in.h"
#include "backend/pass.h"
#include "backend/remote.h"

static const char default_url[] = "https://router.huggingface.co/v1",
                  endpoint[] = "/chat/completions";

enum { LOADING_MS_MAX = 30 * 1000 };

/* ---- requests ---- */

static void sign(const struct backend *b, struct call *c)
{
    call_header(c, "Authorization", arena_strf(&c->arena, "Bearer %.*s", STR_ARG(b->conf.key)));
}

static void put_headers(struct answer *a, struct call *c, bool stream)
{
    call_header(c, "Accept", stream ? STR("text/event-stream") : STR("application/json"));
    call_header(c, "Content-Type", STR("application/json"));
    sign(a->backend, c);
    if (a->loading) call_header(c, "x-wait-for-model", STR("true"));
}

static enum err write_chat_body(struct answer *a, struct call *c, struct err_note *why)
{
    bool cold = !(learned_get(a->backend->learned, a->q->model) & HF_NOT_COLD);
    /* What the router's many providers have in common; a client of this dialect knows more of the
     * one that it asks for. */
    uint64_t rare =
        REFUSED_MIN_P | REFUSED_LOGIT_BIAS | REFUSED_EFFORT | REFUSED_PARALLEL | REFUSED_USER;
    const struct openai_form form = {
        .omits = pass_is_on(a->q, WIRE_CHAT) ? 0 : rare,
        .least = cold ? 0 : 0.01,
    };

    put_headers(a, c, !pass_is_whole(a->q, WIRE_CHAT));
    think_init(&a->think, a->q->prefill.len == 0 && think_opened_by(a->q->model));
    return openai_write_body(a, c, a->q->model, &form, why);
}

static enum err write_chat(struct answer *a, struct call *c, struct err_note *why)
{
    enum err e = remote_url(&c->url, a->backend, endpoint, &c->arena);

    return e ? err_set(why, e, "out of memory for a request") : write_chat_body(a, c, why);
}

/* A model's name as a part of a path.  A client may have chosen it: it leads nowhere else. */
static enum err put_name(struct buf *to, str model, struct err_note *why)
{
    str rest = model, part;

    while (str_split(&rest, '/', &part))
        if (part.len == 0 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
            return err_set(why, ERR_BAD_REQUEST, "not the name of a model: \"%.*s\"",
                           STR_ARG(str_head(model, 100)));
    for (size_t i = 0; i < model.len; i++) {
        unsigned char c = (unsigned char)model.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
        if (plain)
            buf_add_char(to, (char)c);
        else
            buf_addf(to, "%%%02X", c);
    }
    return ERR_NONE;
}

/* Each model has an address of its own. */
static enum err write_single(struct answer *a, struct call *c, struct err_note *why)
{
    struct buf path;

    buf_init(&path, 4096);
    buf_add_char(&path, '/');
    enum err e = put_name(&path, a->q->model, why);
    buf_addf(&path, "/v1%s", endpoint);
    buf_add_char(&path, '\0');
    if (!e && (path.bad || remote_url(&c->url, a->backend, path.at, &c->arena)))
        e = err_set(why, ERR_MEMORY, "out of memory for a request");
    buf_fini(&path);
    return e ? e : write_chat_body(a, c, why);
}

static bool has_path_end(const struct backend *b, const char *end)
{
    return str_ends(str_head(b->base.target, str_find_char(b->base.target, '?')), str_of(end));
}

/* TGI has two addresses, the older service one that looks at `stream`. */
static enum err write_generate(struct answer *a, struct call *c, struct err_note *why)
{
    bool whole = learned_get(a->backend->learned, a->q->model) & HF_NOT_STREAM;
    bool apart = has_path_end(a->backend, "/generate") && !whole;
    enum err e = remote_url(&c->url, a->backend, apart ? "_stream" : "", &c->arena);

    if (e) return err_set(why, e, "out of memory for a request");
    put_headers(a, c, !whole);
    return hf_generate_body(a, c, !whole, why);
}

/* ---- refusals ---- */

static void judge(struct answer *a, struct fault *f, yyjson_val *root)
{
    double seconds = json_get_num(root, "estimated_time", -1);

    if (f->status == 410 && str_ends(a->backend->base.host, STR("api-inference.huggingface.co")))
        f->message = STR("this address is no longer served; set HF_INFERENCE_URL to "
                         "https://router.huggingface.co/v1");
    if (f->status != 503 || !(seconds >= 0)) return;
    f->loading = true;
    f->retry_after_ms = seconds * 1000 < LOADING_MS_MAX ? (int)(seconds * 1000) : LOADING_MS_MAX;
}

static bool mend(struct answer *a, const struct fault *f)
{
    bool names = fault_says(f, "temperature") || str_eq(f->param, STR("temperature"));

    if (f->status >= 400 && f->status < 500 && names && a->q->temperature < 0.01 &&
        learned_add(a->backend->learned, a->q->model, HF_NOT_COLD))
        return true;
    return openai_mend(a, f);
}

static bool mend_generate(struct answer *a, const struct fault *f)
{
    bool missing = f->status == 404 || f->status == 405;

    if (missing && has_path_end(a->backend, "/generate") &&
        learned_add(a->backend->learned, a->q->model, HF_NOT_STREAM))
        return true;
    return openai_mend(a, f);
}

static const struct dialect chat = {
    .type = "hf_api",
    .write = write_chat,
    .event = openai_read_event,
    .whole = openai_read_whole,
    .judge = judge,
    .mend = mend,
    .done_event = true,
    .lenient_done = true,
};

static const struct dialect single = {
    .type = "hf_api",
    .write = write_single,
    .event = openai_read_event,
    .whole = openai_read_whole,
    .judge = judge,
    .mend = mend,
    .done_event = true,
    .lenient_done = true,
};

static const struct dialect generate = {
    .type = "hf_api",
    .write = write_generate,
    .event = hf_generate_event,
    .whole = hf_generate_whole,
    .judge = judge,
    .mend = mend_generate,
};

/* ---- the backend ---- */

/* ".../models/OWNER/NAME" */
static bool names_a_model(str path)
{
    for (int i = 0; i < 2; i++) {
        size_t slash = str_rfind_char(path, '/');
        if (slash == STR_NPOS || slash + 1 == path.len) return false;
        path.len = slash;
    }
    return str_ends(path, STR("/models"));
}

static enum err choose_form(struct backend *b, struct err_note *why)
{
    size_t path = str_find_char(b->base.target, '?');
    str front = str_head(b->base.target, path);
    str query = path == STR_NPOS ? STR("") : str_tail(b->base.target, path);
    const char *more = "";

    while (str_ends(front, STR("/"))) front.len--;
    if (str_ends(front, str_of(endpoint))) {
        front.len -= sizeof endpoint - 1; /* the list of models stands beside it */
    } else if (str_ends(front, STR("/generate")) || str_ends(front, STR("/generate_stream")) ||
               names_a_model(front)) {
        b->dialect = &generate;
    } else if (str_ends(front, STR("/models"))) {
        b->dialect = &single;
    } else if (!str_ends(front, STR("/v1"))) {
        more = "/v1";
    }
    b->base.target = arena_strf(&b->arena, "%.*s%s%.*s", STR_ARG(front), more, STR_ARG(query));
    return b->base.target.at ? ERR_NONE : err_set(why, ERR_MEMORY, "out of memory for a backend");
}

static enum err hf_open(struct backend **out, const struct backend_conf *c, struct err_note *why)
{
    struct backend *b;
    enum err e = remote_open(&b, &chat, c, default_url, why);
    if (e) return e;

    b->key_name = "HF_API_TOKEN";
    if (b->conf.key.len == 0)
        e = err_set(why, ERR_CREDENTIAL, "HF_API_TOKEN is required for MODEL_TYPE=hf_api");
    else
        e = choose_form(b, why);
    if (e) {
        remote_close(b);
        return e;
    }
    *out = b;
    return ERR_NONE;
}

static void hf_prepare(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    if (b->dialect == &chat)
        remote_prepare(b, l, "/models", sign, done, ctx);
    else
        remote_reach(b, l, done, ctx);
}

static void hf_list(struct backend *b, struct loop *l, uint32_t within_ms, backend_list_fn *done,
                    void *ctx)
{
    (void)l;
    if (b->dialect == &chat)
        remote_list(b, l, "/models", sign, within_ms, done, ctx);
    else
        done(ctx, ERR_NONE, NULL, 0); /* an address for itself: nothing lists it */
}

/* ---- embeddings: a dedicated endpoint speaks OpenAI's shape; elsewhere a model's own address
 * computes features ---- */

static enum err write_dedicated(struct aside *x, struct call *c, struct err_note *why)
{
    sign(x->backend, c);
    return aside_write_openai(x, c, "/embeddings", why);
}

static const struct aside_form dedicated = {.write = write_dedicated,
                                            .read = aside_read_openai,
                                            .mend = aside_mend_openai};

static enum err write_features(struct aside *x, struct call *c, struct err_note *why)
{
    struct backend *b = x->backend;
    const struct embed_ask *q = x->embed;
    struct json_out o = json_begin(&c->body);
    struct buf path;
    enum err e = ERR_NONE;

    buf_init(&path, 4096);
    if (b->dialect == &chat) buf_add(&path, STR("/hf-inference/models"));
    if (b->dialect != &generate) buf_add_char(&path, '/');
    if (b->dialect != &generate) e = put_name(&path, q->model, why);
    buf_add(&path, STR("/pipeline/feature-extraction"));
    buf_add_char(&path, '\0');
    if (!e && (path.bad || remote_url(&c->url, b, path.at, &c->arena)))
        e = err_set(why, ERR_MEMORY, "out of memory for a request");
    /* The router's chat has "/v1" in front, its models have not. */
    if (!e && b->dialect == &chat) {
        size_t v1 = str_find(c->url.target, STR("/v1/hf-inference/"));
        if (v1 != STR_NPOS) c->url.target = str_tail(c->url.target, v1 + strlen("/v1"));
    }
    buf_fini(&path);
    if (e) return e;
    sign(b, c);
    json_object(&o);
    json_key(&o, "inputs"), json_array(&o);
    for (size_t i = 0; i < q->count; i++) json_text(&o, q->texts[i]);
    json_end_array(&o);
    json_end_object(&o);
    return ERR_NONE;
}

/* A vector for each text; some models give one for each token, which is no embedding of the text.
 */
static enum err read_features(struct aside *x, yyjson_val *root, struct err_note *why)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(root));
    enum err e = ERR_NONE;

    while (!e && (each = yyjson_arr_iter_next(&it))) {
        if (yyjson_is_arr(yyjson_arr_get_first(each)))
            return err_set(why, ERR_UNSUPPORTED, "the model gives a vector for each token");
        e = aside_add_vector(x, each);
    }
    if (!e && x->count == 0) e = ERR_SERVER;
    return e == ERR_SERVER ? err_set(why, e, "no vectors in the answer") : e;
}

static const struct aside_form features = {.write = write_features, .read = read_features};

static enum err hf_embed(struct aside **out, struct backend *b, struct loop *l,
                         const struct embed_ask *q, aside_fn *done, void *ctx, struct err_note *why)
{
    bool router = str_eq(b->base.host, STR("router.huggingface.co"));
    const struct aside as = {
        .backend = b,
        .loop = l,
        .form = b->dialect == &chat && !router ? &dedicated : &features,
        .embed = q,
        .done = done,
        .ctx = ctx,
    };

    if (b->dialect == &generate && !names_a_model(b->base.target))
        return err_set(why, ERR_UNSUPPORTED, "HF_INFERENCE_URL generates text only");
    if (as.form == &features && q->tokens_json.len)
        return err_set(why, ERR_UNSUPPORTED, "lists of token ids are taken by openai only");
    if (as.form == &features && q->dimensions > 0)
        return err_set(why, ERR_UNSUPPORTED, "dimensions cannot be chosen here");
    return aside_start(out, &as, why);
}

static int hf_context_length(struct backend *b)
{
    return b->context_length;
}

/* Text generation goes on from whatever its prompt ends with. */
static bool hf_goes_on(struct backend *b, str model)
{
    return b->dialect == &generate || openai_goes_on(b, model);
}

const struct backend_ops backend_hf = {
    .type = "hf_api",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_PREFILL | BACKEND_REASON,
    .open = hf_open,
    .prepare = hf_prepare,
    .ask = answer_start,
    .cancel = answer_cancel,
    .pause = answer_pause,
    .close = remote_close,
    .goes_on = hf_goes_on,
    .context_length = hf_context_length,
    .list = hf_list,
    .embed = hf_embed,
    .aside_cancel = aside_cancel,
};
