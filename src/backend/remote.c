#include "backend/remote.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    LIST_BYTES_MAX = 8 * 1024 * 1024, /* the longest known list has some hundred kB */
    LIST_DEPTH = 64,
    LIST_NAMES = 5,
    OFFERS_MAX = 2048,
    PAGES_MAX = 8,
    DETAIL_MS_MAX = 10 * 1000,
    DETAIL_PATH_BYTES_MAX = 4096,
};

/* ---- opening ---- */

static str kept(struct arena *a, str s, bool *ok)
{
    str to = arena_str(a, s);
    if (to.at == NULL) *ok = false;
    return to;
}

static const char *kept_cstr(struct arena *a, const char *s, bool *ok)
{
    return s ? kept(a, str_of(s), ok).at : NULL;
}

enum err remote_open(struct backend **out, const struct dialect *d, const struct backend_conf *c,
                     const char *default_url, struct err_note *why)
{
    struct backend *b = calloc(1, sizeof *b);
    bool ok = b != NULL;
    if (!ok) return err_set(why, ERR_MEMORY, "out of memory for a backend");

    b->dialect = d;
    b->conf = *c;
    arena_init(&b->arena, 0);
    b->conf.type = kept_cstr(&b->arena, c->type ? c->type : d->type, &ok);
    b->conf.model = kept(&b->arena, c->model, &ok);
    b->conf.key = kept(&b->arena, c->key, &ok);
    b->conf.version = kept(&b->arena, c->version, &ok);
    b->conf.organization = kept(&b->arena, c->organization, &ok);
    b->conf.project = kept(&b->arena, c->project, &ok);
    b->conf.base_url = kept(&b->arena, c->base_url.len ? c->base_url : str_of(default_url), &ok);
    b->learned = learned_new();
    ok = ok && b->learned;

    enum err e = ok ? url_parse(&b->base, b->conf.base_url, &b->arena) : ERR_MEMORY;
    if (e == ERR_INVALID)
        err_set(why, e, "not a valid http(s) address: \"%.*s\"", STR_ARG(b->conf.base_url));
    if (!e) {
        while (b->base.target.len && str_ends(b->base.target, STR("/"))) b->base.target.len--;
        b->host = arena_strf(&b->arena, "%.*s", STR_ARG(b->base.authority)).at;
        if (b->host == NULL) e = ERR_MEMORY;
    }
    if (e) {
        remote_close(b);
        return e == ERR_MEMORY ? err_set(why, e, "out of memory for a backend") : e;
    }
    *out = b;
    return ERR_NONE;
}

void remote_close(struct backend *b)
{
    if (b == NULL) return;
    learned_free(b->learned);
    arena_fini(&b->arena);
    free(b);
}

enum err remote_url(struct url *out, const struct backend *b, const char *path, struct arena *a)
{
    str target = b->base.target;
    size_t query = str_find_char(target, '?');
    str front = str_head(target, query),
        back = query == STR_NPOS ? STR("") : str_tail(target, query);

    while (str_ends(front, STR("/"))) front.len--;
    *out = b->base;
    out->target = arena_strf(a, "%.*s%s%.*s", STR_ARG(front), path, STR_ARG(back));
    return out->target.at ? ERR_NONE : ERR_MEMORY;
}

/* ---- the free check ---- */

struct preparing {
    struct backend *backend;
    remote_ready_fn *done;
    backend_list_fn *listed; /* in place of `done` */
    void *ctx;
    bool reach; /* any answer will do */
    int status;
    bool llama;  /* by its Server field */
    bool absent; /* the list came, without the model */
    bool detail; /* this is the call for the one model, and `unlisted` what the list said */
    struct err_note unlisted;
    struct fault_hints hints;
    struct buf body;

    const char *path; /* of the list */
    void (*sign)(const struct backend *b, struct call *c);

    /* Of a list, over its pages: */
    uint64_t until_ms; /* loop's clock */
    struct loop *loop;
    struct arena arena;
    struct backend_offer *offers;
    size_t count;
    int pages;
};

static void preparing_free(void *ctx)
{
    struct preparing *p = ctx;

    buf_fini(&p->body);
    arena_fini(&p->arena);
    free(p);
}

/* Lists give a date, a time stamp or null. */
static bool is_shut_down(yyjson_val *model, const char *today)
{
    str date = json_str(json_get(model, "shutdown_date"));
    uint64_t stamp;

    if (str_eq(json_get_str(model, "lifecycle"), STR("retired"))) return true;
    if (date.len == 0) return false;
    if (str_to_u64(date, &stamp)) return stamp <= clock_wall_us() / 1000000;
    return date.len >= 10 && str_cmp(str_head(date, 10), str_of(today)) <= 0;
}

static str id_of(yyjson_val *model)
{
    str id = json_get_str(model, "id");

    if (id.len == 0) id = json_get_str(model, "name");
    return str_starts(id, STR("models/")) ? str_tail(id, 7) : id;
}

/* Google's list has models for other things too. */
static bool answers(yyjson_val *model)
{
    yyjson_val *methods = json_get(model, "supportedGenerationMethods"), *m;
    yyjson_arr_iter it;

    if (!yyjson_is_arr(methods)) return true;
    yyjson_arr_iter_init(methods, &it);
    while ((m = yyjson_arr_iter_next(&it)))
        if (str_eq(json_str(m), STR("generateContent"))) return true;
    return false;
}

/* As it is compared: "Claude-3 Opus" is how people say claude-3-opus. */
static char folded(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c == ' ' || c == '_' ? '-' : c;
}

static size_t likeness(str a, str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && folded(a.at[n]) == folded(b.at[n])) n++;
    return n;
}

/* The names that most resemble what was asked for, best first. */
struct names {
    str at[LIST_NAMES];
    size_t like[LIST_NAMES], count;
};

static void add_name(struct names *n, str id, size_t like)
{
    size_t at = n->count < LIST_NAMES ? n->count++ : LIST_NAMES - 1;

    if (at == LIST_NAMES - 1 && n->count == LIST_NAMES && n->at[at].len && n->like[at] >= like)
        return;
    while (at > 0 && n->like[at - 1] < like) {
        n->at[at] = n->at[at - 1];
        n->like[at] = n->like[at - 1];
        at--;
    }
    n->at[at] = id;
    n->like[at] = like;
}

/* The first of these names that holds a sensible number; 0 for none. */
static int tokens_of(yyjson_val *model, const char *const *names)
{
    for (; *names; names++) {
        int64_t n = json_get_int(model, *names, 0);
        if (n > 0 && n < INT32_MAX) return (int)n;
    }
    return 0;
}

/* vLLM, Google, Anthropic, OpenRouter and LM Studio, Groq; Hugging Face says it of each provider:
 * the smallest holds wherever the router leads. */
static int context_of(yyjson_val *model)
{
    static const char *const names[] = {"max_model_len",
                                        "inputTokenLimit",
                                        "max_input_tokens",
                                        "context_length",
                                        "context_window",
                                        "max_context_length",
                                        NULL};
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(json_get(model, "providers")));
    int ctx = tokens_of(model, names), smallest = 0;

    while ((each = yyjson_arr_iter_next(&it))) {
        int own = tokens_of(each, (const char *const[]){"context_length", NULL});
        if (own && (!smallest || own < smallest)) smallest = own;
    }
    return ctx ? ctx : smallest;
}

static int output_of(yyjson_val *model)
{
    static const char *const names[] = {"outputTokenLimit", "max_output_tokens",
                                        "max_completion_tokens", NULL};
    /* Anthropic's `max_tokens` stands beside max_input_tokens; elsewhere the word means anything.
     */
    static const char *const anthropic[] = {"max_tokens", NULL};
    int out = tokens_of(model, names);

    return !out && json_get(model, "max_input_tokens") ? tokens_of(model, anthropic) : out;
}

static str model_of(const struct backend *b)
{
    str model = b->conf.model;
    return str_starts(model, STR("models/")) ? str_tail(model, 7) : model;
}

static void look_at_list(struct preparing *p, yyjson_val *root, struct err_note *why)
{
    struct backend *b = p->backend;
    yyjson_val *list = json_get(root, "data"), *m;
    yyjson_arr_iter it;
    struct names names = {0};
    char today[CLOCK_ISO_BYTES], text[300] = "";
    size_t n = 0;
    str model = model_of(b);

    if (!yyjson_is_arr(list)) list = json_get(root, "models");
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0) return;
    clock_iso(today, clock_wall_us());
    yyjson_arr_iter_init(list, &it);
    while ((m = yyjson_arr_iter_next(&it))) {
        str id = id_of(m);
        bool dead = is_shut_down(m, today) || !answers(m);
        /* Hugging Face's router takes "org/name:provider" and lists "org/name". */
        bool same = str_eq(id, model) || str_eq(id, str_head(model, str_find_char(model, ':')));
        if (same && !dead) {
            int ctx = context_of(m);
            if (ctx) b->context_length = ctx;
            return;
        }
        if (!dead && id.len) add_name(&names, id, likeness(id, model));
    }
    for (size_t i = 0; i < names.count && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? ", " : "",
                              STR_ARG(str_head(names.at[i], 60)));
    p->absent = true;
    err_set(why, ERR_NONE, "the provider does not list the model \"%.*s\"; it has %s",
            STR_ARG(str_head(model, 100)), names.count ? text : "none");
}

/* vLLM and llama-server name themselves as the owner of every model; llama-server in a field too.
 */
static void look_at_server(struct preparing *p, yyjson_val *root)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(root, "data"));
    str owner = json_get_str(first, "owned_by");

    if (str_eq(owner, STR("vllm")))
        p->backend->server = SERVER_VLLM;
    else if (str_eq(owner, STR("llamacpp")) || p->llama)
        p->backend->server = SERVER_LLAMA;
}

static void judge_list(struct preparing *p, enum err *e, struct err_note *why)
{
    const struct backend *b = p->backend;
    yyjson_doc *doc = NULL;

    if (p->status == 401) {
        *e = err_set(why, ERR_AUTH, "the provider rejected %s (401)", b->key_name);
        why->http_status = 401;
        return;
    }
    if (json_read(&doc, buf_str(&p->body), LIST_DEPTH, JSON_PLAIN, NULL)) doc = NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool passes = p->status == 408 || p->status == 429 || p->status >= 500;
    if (p->status < 300) {
        look_at_server(p, root);
        look_at_list(p, root, why);
    } else {
        struct fault f;
        fault_read(&f, p->status, root, buf_str(&p->body));
        /* Google's form of a wrong key is a 400. */
        if (f.e == ERR_AUTH && p->status == 400) {
            *e = err_set(why, ERR_AUTH, "the provider rejected %s (400)", b->key_name);
        } else if (p->status == 501 || p->status == 505 || !passes) {
            /* No list here, or none for this key: the first request will tell. */
            if (p->status == 403) fault_note(why, &f, b->host, b->conf.key);
        } else {
            fault_note(why, &f, b->host, b->conf.key);
            *e = f.e;
            if (p->hints.retry_after_ms > 0) why->retry_after_ms = p->hints.retry_after_ms;
        }
    }
    yyjson_doc_free(doc);
}

static void start(const struct preparing *as, const char *path,
                  void (*sign)(const struct backend *b, struct call *c), uint32_t within_ms);

static void add_escaped(struct buf *to, str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr(more, c));
        buf_addf(to, plain ? "%c" : "%%%02X", c);
    }
}

/* A list may lag behind, so the model itself is asked for.  False: it cannot be. */
static bool ask_detail(const struct preparing *p, const struct err_note *said)
{
    const struct backend *b = p->backend;
    struct preparing as = {
        .backend = p->backend, .done = p->done, .ctx = p->ctx, .detail = true, .unlisted = *said};
    struct buf path;

    buf_init(&path, DETAIL_PATH_BYTES_MAX);
    buf_add(&path, str_head(str_of(p->path), str_find_char(str_of(p->path), '?')));
    buf_add_char(&path, '/');
    add_escaped(&path, model_of(b), "-._~/");
    buf_add_char(&path, '\0');
    bool can = !path.bad;
    if (can)
        start(&as, path.at, p->sign,
              b->conf.total_ms < DETAIL_MS_MAX ? b->conf.total_ms : DETAIL_MS_MAX);
    buf_fini(&path);
    return can;
}

/* Neither listed nor known by name: there is no such model.  Less than that is only a warning: many
 * a server has no such call, and some repeat the path that they do not know. */
static void judge_detail(const struct preparing *p, enum err *e, struct err_note *why)
{
    str body = buf_str(&p->body);
    yyjson_doc *doc = NULL;
    struct fault f = {.e = ERR_NONE};

    if (*e == ERR_NONE && p->status >= 400 && p->status < 500) {
        if (json_read(&doc, body, LIST_DEPTH, JSON_PLAIN, NULL)) doc = NULL;
        fault_read(&f, p->status, yyjson_doc_get_root(doc), body);
    }
    bool named = f.e == ERR_MODEL_NOT_FOUND && doc && str_find(body, STR("/models/")) == STR_NPOS &&
                 str_find(body, model_of(p->backend)) != STR_NPOS;
    *e = named ? ERR_MODEL_NOT_FOUND : ERR_NONE;
    *why = p->unlisted;
    yyjson_doc_free(doc);
}

static enum err add_page(struct preparing *p, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "data"), *m;
    char today[CLOCK_ISO_BYTES];

    if (!yyjson_is_arr(list)) list = json_get(root, "models");
    if (p->status >= 300) {
        struct fault f;
        fault_read(&f, p->status, root, buf_str(&p->body));
        return f.e;
    }
    if (!yyjson_is_arr(list)) return ERR_SERVER;
    if (!p->offers) p->offers = arena_array(&p->arena, struct backend_offer, OFFERS_MAX);
    if (!p->offers) return ERR_MEMORY;
    clock_iso(today, clock_wall_us());
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((m = yyjson_arr_iter_next(&it)) && p->count < OFFERS_MAX) {
        str id = id_of(m);
        if (id.len == 0 || is_shut_down(m, today) || !answers(m)) continue;
        id = arena_str(&p->arena, id);
        if (id.at == NULL) return ERR_MEMORY;
        p->offers[p->count++] = (struct backend_offer){.id = id,
                                                       .context_length = context_of(m),
                                                       .output_tokens = output_of(m)};
    }
    return ERR_NONE;
}

/* The address of the next page: Anthropic's after_id, Google's pageToken; NULL: this was the last.
 */
static const char *next_page(struct preparing *p, yyjson_val *root)
{
    const char *name = "pageToken";
    str mark = json_get_str(root, "nextPageToken");
    struct buf path;

    if (json_get_bool(root, "has_more", false))
        name = "after_id", mark = json_get_str(root, "last_id");
    if (mark.len == 0 || ++p->pages >= PAGES_MAX || p->count == OFFERS_MAX) return NULL;
    buf_init(&path, 4096);
    buf_addf(&path, "%s%c%s=", p->path, strchr(p->path, '?') ? '&' : '?', name);
    add_escaped(&path, mark, "-._~");
    const char *kept = path.bad ? NULL : arena_str(&p->arena, buf_str(&path)).at;
    buf_fini(&path);
    return kept;
}

/* A page of the list came: the next is asked for, or who asked gets them all. */
static void give_list(struct preparing *p, enum err e)
{
    yyjson_doc *doc = NULL;
    const char *path = NULL;

    bool readable = !e && !json_read(&doc, buf_str(&p->body), LIST_DEPTH, JSON_PLAIN, NULL);
    yyjson_val *root = readable ? yyjson_doc_get_root(doc) : NULL;
    if (!e) e = add_page(p, root);
    if (!e) path = next_page(p, root);
    yyjson_doc_free(doc);
    uint64_t now_ms = loop_now_ms(p->loop);
    if (path && now_ms < p->until_ms) {
        buf_fini(&p->body);
        start(p, path, p->sign, (uint32_t)(p->until_ms - now_ms));
        free(p); /* what it owned is the next one's */
        return;
    }
    if (e && p->count) e = ERR_NONE; /* the pages before are better than none */
    p->listed(p->ctx, e, p->offers, e ? 0 : p->count);
    preparing_free(p);
}

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct preparing *p = ctx;

    p->status = status;
    p->llama = str_starts_nocase(str_trim(headers_get(h, STR("server"))), STR("llama.cpp"));
    fault_hints_read(&p->hints, h, clock_wall_us());
}

static void on_body(void *ctx, str piece)
{
    buf_add(&((struct preparing *)ctx)->body, piece);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct preparing *p = ctx;
    struct err_note note = *why;
    remote_ready_fn *done = p->done;

    if (p->listed) {
        give_list(p, e);
        return;
    }
    ctx = p->ctx;
    if (p->reach && p->status)
        e = ERR_NONE;
    else if (p->detail)
        judge_detail(p, &e, &note);
    else if (!e)
        judge_list(p, &e, &note);
    if (!e && p->absent && ask_detail(p, &note)) {
        preparing_free(p);
        return;
    }
    if (e && note.http_status < 0) note.http_status = 0;
    preparing_free(p);
    done(ctx, e, &note);
}

static void start(const struct preparing *as, const char *path,
                  void (*sign)(const struct backend *b, struct call *c), uint32_t within_ms)
{
    struct preparing *p = calloc(1, sizeof *p);
    struct backend *b = as->backend;
    struct err_note why = {0};
    struct call c = {0};
    struct http_call *call;
    enum err e = p ? ERR_NONE : ERR_MEMORY;

    arena_init(&c.arena, 0);
    if (!e) {
        *p = *as;
        buf_init(&p->body, LIST_BYTES_MAX);
        e = remote_url(&c.url, b, path, &c.arena);
    }
    if (!e) {
        call_header(&c, "Accept", STR("application/json"));
        if (sign) sign(b, &c);
        for (size_t i = 0; i < c.headers_count; i++)
            if (c.headers[i].value.at == NULL) e = ERR_MEMORY;
    }
    if (!e) {
        struct http_ask ask = {
            .method = "GET",
            .url = &c.url,
            .headers = c.headers,
            .headers_count = c.headers_count,
            .connect_ms = b->conf.connect_ms,
            .first_byte_ms = b->conf.idle_ms,
            .idle_ms = b->conf.idle_ms,
            .total_ms = within_ms,
            .body_bytes_max = LIST_BYTES_MAX,
        };
        struct http_call_events to = {
            .ctx = p, .head = on_head, .body = on_body, .done = on_done, .dropped = preparing_free};
        e = http_call_start(&call, http_client_here(), &ask, to, &why);
    }
    arena_fini(&c.arena);
    if (!e) return;
    if (as->listed) as->listed(as->ctx, e, NULL, 0);
    struct arena pages = as->arena; /* those of a list that went on here */
    if (p)
        preparing_free(p);
    else
        arena_fini(&pages);
    if (!as->listed) as->done(as->ctx, e, &why);
}

void remote_prepare(struct backend *b, struct loop *l, const char *path,
                    void (*sign)(const struct backend *b, struct call *c), remote_ready_fn *done,
                    void *ctx)
{
    (void)l;
    start(&(struct preparing){.backend = b, .done = done, .ctx = ctx, .path = path, .sign = sign},
          path, sign, b->conf.total_ms);
}

void remote_reach(struct backend *b, struct loop *l, remote_ready_fn *done, void *ctx)
{
    (void)l;
    start(&(struct preparing){.backend = b, .reach = true, .done = done, .ctx = ctx}, "", NULL,
          b->conf.total_ms);
}

void remote_list(struct backend *b, struct loop *l, const char *path,
                 void (*sign)(const struct backend *b, struct call *c), uint32_t within_ms,
                 backend_list_fn *done, void *ctx)
{
    start(&(struct preparing){.backend = b,
                              .listed = done,
                              .ctx = ctx,
                              .path = path,
                              .sign = sign,
                              .loop = l,
                              .until_ms = loop_now_ms(l) + within_ms},
          path, sign, within_ms);
}
