/* Google AI Studio: Gemini and Gemma by generateContent (providers.md section 6).  google_write.c
 * makes requests, google_read.c reads what comes, google_family.c knows the models,
 * google_signatures.c keeps what signs tool calls. */
#include "backend/google_in.h"
#include "backend/remote.h"

static const char default_url[] = "https://generativelanguage.googleapis.com";

static void sign(const struct backend *b, struct call *c)
{
    call_header(c, "x-goog-api-key", b->conf.key); /* never "?key=": addresses are logged */
}

/* The model is a part of the path. */
static str path_of(str model, struct arena *a)
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
    buf_add(&b, STR(":streamGenerateContent?alt=sse"));
    str path = b.bad ? STR_NONE : arena_str(a, buf_str(&b)); /* ends in NUL */
    buf_fini(&b);
    return path;
}

static enum err write_request(struct answer *a, struct call *c, struct err_note *why)
{
    str path = path_of(google_model(a->q->model), &c->arena);
    enum err e = path.at ? remote_url(&c->url, a->backend, path.at, &c->arena) : ERR_MEMORY;

    if (e) return err_set(why, e, "out of memory for a request");
    call_header(c, "Accept", STR("text/event-stream"));
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
    (void)l;
    remote_list(b, list_path, sign, within_ms, done, ctx);
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
};
