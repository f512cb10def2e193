/* Google AI Studio: Gemini and Gemma by generateContent (providers.md section 6).  google_write.c
 * makes requests, google_read.c reads what comes, google_family.c knows the models,
 * google_signatures.c keeps what signs tool calls. */
#include "backend/aside.h"
#include "backend/google_in.h"
#include "backend/pass.h"
#include "backend/remote.h"

static const char default_url[] = "https://generativelanguage.googleapis.com";

static void sign(const struct backend *b, struct call *c)
{
    call_header(c, "x-goog-api-key", b->conf.key); /* never "?key=": addresses are logged */
}

/* The model is a part of the path. */
static str path_of(str model, const char *call, struct arena *a)
{
    static const char hex[] = "0123456789ABCDEF";
    struct buf b;

    buf_init(&b, 4096);
    buf_add(&b, STR("/v1beta/models/"));
    for (size_t i = 0; i < model.len; i++) {
        unsigned char c = (unsigned char)model.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            buf_add_char(&b, (char)c);
        else
            buf_add(&b, str_span((char[]){'%', hex[c >> 4], hex[c & 15]}, 3));
    }
    buf_add(&b, str_of(call));
    str path = b.bad ? STR_NONE : arena_str(a, buf_str(&b)); /* ends in NUL */
    buf_fini(&b);
    return path;
}

static enum err write_request(struct answer *a, struct call *c, struct err_note *why)
{
    bool whole = pass_is_whole(a->q, WIRE_GOOGLE);
    const char *verb = whole ? ":generateContent" : ":streamGenerateContent?alt=sse";
    str path = path_of(google_model(a->q->model), verb, &c->arena);
    enum err e = path.at ? remote_url(&c->url, a->backend, path.at, &c->arena) : ERR_MEMORY;

    if (e) return err_set(why, e, "out of memory for a request");
    c->stream = !whole;
    call_header(c, "Accept", whole ? STR("application/json") : STR("text/event-stream"));
    call_header(c, "Content-Type", STR("application/json"));
    sign(a->backend, c);
    return google_write_body(a, c, why);
}

static const struct dialect google = {
    .type = "google",
    .write = write_request,
    .event = google_read_event,
    .whole = google_read_whole,
    .judge = google_judge,
    .mend = google_mend,
    .takes_files = true,
};

/* People copy the address with its version. */
static str without_version(str path)
{
    static const char *const ends[] = {"/models", "/openai", "/v1beta", "/v1"};

    while (str_ends(path, STR("/"))) path.len--;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_ends(path, str_of(ends[i]))) path.len -= strlen(ends[i]);
    while (str_ends(path, STR("/"))) path.len--;
    return path;
}

static enum err google_open(struct backend **out, const struct backend_conf *c,
                            struct err_note *why)
{
    struct backend *b;
    enum err e = remote_open(&b, &google, c, default_url, why);
    if (e) return e;

    b->key_name = "GOOGLE_API_KEY";
    b->official = str_ends(b->base.host, STR(".googleapis.com"));
    b->base.target = without_version(str_head(b->base.target, str_find_char(b->base.target, '?')));
    if (b->conf.key.len == 0) {
        remote_close(b);
        return err_set(why, ERR_CREDENTIAL, "GOOGLE_API_KEY is required for MODEL_TYPE=google");
    }
    *out = b;
    return ERR_NONE;
}

static const char list_path[] = "/v1beta/models?pageSize=1000";

static void google_prepare(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    remote_prepare(b, l, list_path, sign, done, ctx);
}

static void google_list(struct backend *b, struct loop *l, uint32_t within_ms,
                        backend_list_fn *done, void *ctx)
{
    remote_list(b, l, list_path, sign, within_ms, done, ctx);
}

/* ---- counting, free of charge, and embeddings ---- */

enum { EMBED_AT_ONCE = 100 }; /* of batchEmbedContents */

static enum err address(struct aside *x, struct call *c, str model, const char *call,
                        struct err_note *why)
{
    str path = path_of(google_model(model), call, &c->arena);
    enum err e = path.at ? remote_url(&c->url, x->backend, path.at, &c->arena) : ERR_MEMORY;

    sign(x->backend, c);
    return e ? err_set(why, e, "out of memory for a request") : ERR_NONE;
}

/* The whole request goes inside, so that tools and instructions count too. */
static enum err write_count(struct aside *x, struct call *c, struct err_note *why)
{
    struct buf outer;
    struct answer a;

    aside_as_answer(&a, x, &google);
    enum err e = address(x, c, x->q->model, ":countTokens", why);
    if (!e) e = google_write_body(&a, c, why);
    aside_answer_end(&a);
    if (e) return e;
    buf_init(&outer, c->body.max_bytes);
    struct json_out o = json_begin(&outer);
    json_object(&o);
    json_key(&o, "generateContentRequest"), json_object(&o);
    json_key(&o, "model"),
        json_text(&o, arena_strf(&c->arena, "models/%.*s", STR_ARG(google_model(x->q->model))));
    buf_add_char(&outer, ',');
    buf_add(&outer, str_tail(buf_str(&c->body), 1)); /* from behind its "{", to its "}" */
    json_end_object(&o);
    buf_fini(&c->body);
    c->body = outer;
    return ERR_NONE;
}

static enum err read_count(struct aside *x, yyjson_val *root, struct err_note *why)
{
    x->tokens = json_get_int(root, "totalTokens", -1);
    return x->tokens >= 0 ? ERR_NONE : err_set(why, ERR_SERVER, "no count of tokens");
}

static bool mend_count(struct aside *x, const struct fault *f)
{
    struct answer a;

    aside_as_answer(&a, x, &google);
    bool mended = google_mend(&a, f);
    x->mended = a.mended;
    return mended;
}

static const struct aside_form counting = {.write = write_count,
                                           .read = read_count,
                                           .mend = mend_count,
                                           .counts = true};

static enum err google_count(struct aside **out, struct backend *b, struct loop *l,
                             const struct ask *q, aside_fn *done, void *ctx, struct err_note *why)
{
    const struct aside as = {
        .backend = b, .loop = l, .form = &counting, .q = q, .done = done, .ctx = ctx};
    return aside_start(out, &as, why);
}

/* Those that have no vector yet, as many as one call takes. */
static enum err write_embed(struct aside *x, struct call *c, struct err_note *why)
{
    const struct embed_ask *q = x->embed;
    str model = arena_strf(&c->arena, "models/%.*s", STR_ARG(google_model(q->model)));
    struct json_out o = json_begin(&c->body);
    enum err e = address(x, c, q->model, ":batchEmbedContents", why);

    if (e) return e;
    json_object(&o);
    json_key(&o, "requests"), json_array(&o);
    for (size_t i = x->count; i < q->count && i < x->count + EMBED_AT_ONCE; i++) {
        json_object(&o);
        json_key(&o, "model"), json_text(&o, model);
        json_key(&o, "content"), json_object(&o);
        json_key(&o, "parts"), json_array(&o);
        json_object(&o), json_key(&o, "text"), json_text(&o, q->texts[i]), json_end_object(&o);
        json_end_array(&o);
        json_end_object(&o);
        if (q->dimensions > 0) json_key(&o, "outputDimensionality"), json_int(&o, q->dimensions);
        json_end_object(&o);
    }
    json_end_array(&o);
    json_end_object(&o);
    return ERR_NONE;
}

static enum err read_embed(struct aside *x, yyjson_val *root, struct err_note *why)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(json_get(root, "embeddings")));
    size_t before = x->count;
    enum err e = ERR_NONE;

    while (!e && (each = yyjson_arr_iter_next(&it)))
        e = aside_add_vector(x, json_get(each, "values"));
    if (!e && x->count == before) e = ERR_SERVER;
    int64_t tokens = json_get_int(json_get(root, "usageMetadata"), "promptTokenCount", -1);
    if (tokens >= 0) x->tokens = (x->tokens > 0 ? x->tokens : 0) + tokens;
    return e == ERR_SERVER ? err_set(why, e, "no embeddings in the answer") : e;
}

static const struct aside_form embedding = {.write = write_embed, .read = read_embed};

static enum err google_embed(struct aside **out, struct backend *b, struct loop *l,
                             const struct embed_ask *q, aside_fn *done, void *ctx,
                             struct err_note *why)
{
    const struct aside as = {
        .backend = b, .loop = l, .form = &embedding, .embed = q, .done = done, .ctx = ctx};
    if (q->tokens_json.len)
        return err_set(why, ERR_UNSUPPORTED, "lists of token ids are taken by openai only");
    return aside_start(out, &as, why);
}

static int google_context_length(struct backend *b)
{
    return b->context_length;
}

const struct backend_ops backend_google = {
    .type = "google",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_REASON,
    .open = google_open,
    .prepare = google_prepare,
    .ask = answer_start,
    .cancel = answer_cancel,
    .pause = answer_pause,
    .close = remote_close,
    .context_length = google_context_length,
    .list = google_list,
    .count = google_count,
    .embed = google_embed,
    .aside_cancel = aside_cancel,
};
