#include "backend/aside.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "conf/limits.h"

enum {
    JSON_DEPTH = 64,
    ASIDE_BYTES_MAX = 160 * 1024 * 1024, /* 2048 vectors of 3072 numbers, 20 bytes each, and more */
    MENDS_MAX = 3,
    BACK_OFF_MS = 500,
    BACK_OFF_MS_MAX = 8 * 1000,
};

static enum err try_call(struct aside *x, struct err_note *why);

/* ---- the end ---- */

static void aside_free(struct aside *x)
{
    timer_stop(&x->timer);
    http_call_cancel(x->call);
    buf_fini(&x->body);
    buf_fini(&x->room);
    free(x->spans);
    free(x);
}

static void finish(struct aside *x, enum err e, const struct err_note *why)
{
    struct aside_end end = {.e = e, .tokens = x->tokens};
    struct embed_vector *at = NULL;

    if (e && why) end.why = *why;
    if (end.why.http_status < 0) end.why.http_status = 0;
    if (e && x->hints.retry_after_ms > 0) end.why.retry_after_ms = x->hints.retry_after_ms;
    if (!e && x->count && (at = calloc(x->count, sizeof *at)) == NULL) end.e = ERR_MEMORY;
    for (size_t i = 0; at && i < x->count; i++) {
        const struct aside_span *s = &x->spans[i];
        str text = str_span(x->room.at + s->at, s->bytes);
        at[i] = s->packed ? (struct embed_vector){.packed = text}
                          : (struct embed_vector){.numbers_json = text};
    }
    if (at) end.at = at, end.count = x->count;
    x->done(x->ctx, &end);
    free(at);
    aside_free(x);
}

static uint64_t left_ms(const struct aside *x)
{
    uint64_t now = loop_now_ms(x->loop);

    if (x->deadline_ms == 0) return x->backend->conf.total_ms;
    return x->deadline_ms > now ? x->deadline_ms - now : 0;
}

static void on_retry(struct timer *t)
{
    struct aside *x = container_of(t, struct aside, timer);
    struct err_note why = {0};
    enum err e = try_call(x, &why);

    if (e) finish(x, e, &why);
}

/* How long to wait before it is asked again; -1: it is not (providers.md section 10). */
static int64_t retry_wait_ms(const struct aside *x, enum err e, const struct err_note *why)
{
    int64_t wait = x->hints.retry_after_ms;
    bool wanted = x->hints.should_retry >= 0 ? x->hints.should_retry : err_row(e)->retry;

    if (!wanted || x->retries >= x->backend->conf.retries) return -1;
    if (e == ERR_NETWORK && why->http_status == HTTP_FAULT_TLS) return -1;
    if (e == ERR_TIMEOUT && x->status == 0 && x->retries) return -1;
    if (wait < 0) {
        wait = BACK_OFF_MS << (x->retries < 5 ? x->retries : 5);
        if (wait > BACK_OFF_MS_MAX) wait = BACK_OFF_MS_MAX;
        wait = (int64_t)((double)wait * (0.75 + 0.25 * rand_unit()));
    }
    return wait > UPSTREAM_RETRY_AFTER_MS_MAX || (uint64_t)wait >= left_ms(x) ? -1 : wait;
}

static void fail(struct aside *x, enum err e, const struct err_note *why)
{
    int64_t wait = retry_wait_ms(x, e, why);

    log_event(wait >= 0 ? LEVEL_WARNING : err_row(e)->level, "backend",
              wait >= 0 ? "provider_retry" : "provider_failed",
              LOG_CSTR("backend", x->backend->dialect->type),
              LOG_CSTR("call", x->form->counts ? "count" : "embed"),
              LOG_CSTR("class", err_row(e)->code), LOG_CSTR("reason", err_text(why, e)),
              LOG_CSTR("upstream_id", x->hints.request_id), LOG_INT("wait_ms", wait));
    if (wait < 0) {
        finish(x, e, why);
        return;
    }
    x->retries++;
    timer_set(&x->timer, x->loop, (uint64_t)wait, on_retry);
}

/* ---- what came ---- */

static bool is_missing(const struct fault *f)
{
    return f->status == 404 || f->status == 405 || f->status == 501;
}

/* A server that only speaks the shape of an API may answer paths that it does not know with
 * anything, a page or an answer of another kind. */
static bool counts_by_chance(const struct aside *x)
{
    return x->form->counts && !x->backend->official;
}

static void refuse(struct aside *x, int status, yyjson_val *root)
{
    struct err_note why = {0};
    struct fault f;

    fault_read(&f, status, root, buf_str(&x->body));
    if (x->mends < MENDS_MAX && x->form->mend && x->form->mend(x, &f)) {
        x->mends++;
        timer_set(&x->timer, x->loop, 0, on_retry);
        return;
    }
    fault_note(&why, &f, x->backend->host, x->backend->conf.key);
    if (f.retry_after_ms >= 0 && x->hints.retry_after_ms < 0)
        x->hints.retry_after_ms = f.retry_after_ms;
    /* Servers that only speak the shape of an API often leave the counting out. */
    if (counts_by_chance(x) && (is_missing(&f) || status == 0))
        finish(x, ERR_NOT_FOUND, &why);
    else
        fail(x, f.e, &why);
}

static void fail_text(struct aside *x, enum err e, const char *what)
{
    struct err_note why = {0};

    err_set(&why, e, "%s: %s", x->backend->host, what);
    fail(x, e, &why);
}

static size_t wanted(const struct aside *x)
{
    return x->embed && x->embed->tokens_json.len == 0 ? x->embed->count : 0;
}

static void read_answer(struct aside *x, yyjson_val *root)
{
    struct err_note why = {0};
    enum err e = x->form->read(x, root, &why);

    if (!e && x->room.bad) e = err_set(&why, ERR_MEMORY, "out of memory for vectors");
    if (e == ERR_SERVER && counts_by_chance(x)) {
        finish(x, ERR_NOT_FOUND, &why);
    } else if (e) {
        err_context(&why, e, "%s", x->backend->host);
        fail(x, e, &why);
    } else if (x->count < wanted(x) && x->count) {
        timer_set(&x->timer, x->loop, 0, on_retry); /* the next part */
    } else if (!x->form->counts && (x->count == 0 || (wanted(x) && x->count != wanted(x)))) {
        fail_text(x, ERR_SERVER, "not as many vectors as texts");
    } else {
        finish(x, ERR_NONE, NULL);
    }
}

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct aside *x = ctx;

    x->status = status;
    fault_hints_read(&x->hints, h, clock_wall_us());
}

static void on_body(void *ctx, str piece)
{
    buf_add(&((struct aside *)ctx)->body, piece);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct aside *x = ctx;
    yyjson_doc *doc = NULL;

    x->call = NULL;
    if (e) {
        fail(x, e, why);
        return;
    }
    if (x->body.bad) {
        fail_text(x, ERR_MEMORY, "out of memory for an answer");
        return;
    }
    if (json_read(&doc, buf_str(&x->body), JSON_DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (x->status >= 300 || fault_is(root))
        refuse(x, x->status < 300 ? 0 : x->status, root);
    else if (root == NULL && counts_by_chance(x))
        finish(x, ERR_NOT_FOUND, NULL);
    else if (root == NULL)
        fail_text(x, ERR_SERVER, "the answer is not JSON");
    else
        read_answer(x, root);
    yyjson_doc_free(doc);
}

/* The client of HTTP ended, and its loop with it. */
static void on_dropped(void *ctx)
{
    struct aside *x = ctx;

    x->call = NULL;
    aside_free(x);
}

/* ---- the call ---- */

static enum err start_call(struct aside *x, struct call *c, struct err_note *why)
{
    const struct backend_conf *conf = &x->backend->conf;

    call_header(c, "Accept", STR("application/json"));
    call_header(c, "Content-Type", STR("application/json"));
    for (size_t i = 0; i < c->headers_count; i++)
        if (c->headers[i].value.at == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    struct http_ask ask = {
        .method = "POST",
        .url = &c->url,
        .headers = c->headers,
        .headers_count = c->headers_count,
        .body = buf_str(&c->body),
        .connect_ms = conf->connect_ms,
        .first_byte_ms = conf->idle_ms,
        .idle_ms = conf->idle_ms,
        .total_ms = (uint32_t)left_ms(x),
        .body_bytes_max = ASIDE_BYTES_MAX,
    };
    struct http_call_events to = {
        .ctx = x, .head = on_head, .body = on_body, .done = on_done, .dropped = on_dropped};
    if (ask.total_ms == 0) return err_set(why, ERR_TIMEOUT, "no time left");
    return http_call_start(&x->call, http_client_here(), &ask, to, why);
}

static enum err try_call(struct aside *x, struct err_note *why)
{
    struct call c = {.stream = false};

    buf_fini(&x->body);
    buf_init(&x->body, ASIDE_BYTES_MAX);
    x->status = 0;
    x->hints = (struct fault_hints){.retry_after_ms = -1, .should_retry = -1};
    arena_init(&c.arena, 0);
    buf_init(&c.body, 4u * V1_BODY_BYTES_MAX);
    enum err e = x->form->write(x, &c, why);
    if (!e) e = buf_err(&c.body);
    if (!e) e = start_call(x, &c, why);
    buf_fini(&c.body);
    arena_fini(&c.arena);
    return e;
}

enum err aside_start(struct aside **out, const struct aside *as, struct err_note *why)
{
    struct aside *x = malloc(sizeof *x);
    if (x == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");

    *x = *as;
    x->tokens = -1;
    x->deadline_ms = x->embed ? x->embed->deadline_ms : x->q->deadline_ms;
    buf_init(&x->body, ASIDE_BYTES_MAX);
    buf_init(&x->room, ASIDE_BYTES_MAX);
    enum err e = try_call(x, why);
    if (e)
        aside_free(x);
    else
        *out = x;
    return e;
}

void aside_cancel(struct aside *x)
{
    if (x == NULL) return;
    loop_assert_here(x->loop);
    aside_free(x);
}

/* ---- what forms share ---- */

enum err aside_add_vector(struct aside *x, yyjson_val *v)
{
    struct aside_span span = {.at = x->room.len, .packed = yyjson_is_str(v)};

    if (!yyjson_is_arr(v) && !yyjson_is_str(v)) return ERR_SERVER;
    if (x->count == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 16;
        struct aside_span *more = realloc(x->spans, cap * sizeof *more);
        if (more == NULL) return ERR_MEMORY;
        x->spans = more;
        x->cap = cap;
    }
    if (span.packed) {
        buf_add(&x->room, json_str(v));
    } else {
        struct json_out o = json_begin(&x->room);
        yyjson_arr_iter it = yyjson_arr_iter_with(v);
        yyjson_val *n;
        json_array(&o);
        while ((n = yyjson_arr_iter_next(&it))) {
            if (!yyjson_is_raw(n)) return ERR_SERVER;
            json_raw(&o, json_str(n));
        }
        json_end_array(&o);
    }
    span.bytes = x->room.len - span.at;
    x->spans[x->count++] = span;
    return ERR_NONE;
}

void aside_as_answer(struct answer *a, const struct aside *x, const struct dialect *d)
{
    *a = (struct answer){
        .backend = x->backend,
        .dialect = d,
        .loop = x->loop,
        .q = x->q,
        .mended = x->mended,
    };
}

void aside_answer_end(struct answer *a)
{
    stops_fini(&a->stops);
}

enum err aside_keep(struct call *c, const char *const *names, size_t count)
{
    yyjson_doc *doc = NULL;
    struct buf kept;
    enum err e = json_read(&doc, buf_str(&c->body), JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL);
    if (e) return e;

    buf_init(&kept, c->body.max_bytes);
    struct json_out o = json_begin(&kept);
    json_object(&o);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *v = json_get(yyjson_doc_get_root(doc), names[i]);
        if (v) json_key(&o, names[i]), json_val(&o, v);
    }
    json_end_object(&o);
    buf_fini(&c->body);
    c->body = kept;
    yyjson_doc_free(doc);
    return buf_err(&kept);
}

/* ---- OpenAI's shape of embeddings ---- */

enum { UNPACKED = 1, PLAIN = 2 }; /* mended: without encoding_format; without what nobody knows */

enum err aside_write_openai(struct aside *x, struct call *c, const char *path, struct err_note *why)
{
    const struct embed_ask *q = x->embed;
    struct json_out o = json_begin(&c->body);

    if (remote_url(&c->url, x->backend, path, &c->arena))
        return err_set(why, ERR_MEMORY, "out of memory for a request");
    json_object(&o);
    json_key(&o, "model"), json_text(&o, q->model);
    json_key(&o, "input");
    if (q->tokens_json.len) {
        json_raw(&o, q->tokens_json);
    } else if (q->count == 1) {
        json_text(&o, q->texts[0]);
    } else {
        json_array(&o);
        for (size_t i = 0; i < q->count; i++) json_text(&o, q->texts[i]);
        json_end_array(&o);
    }
    if (!(x->mended & UNPACKED))
        json_key(&o, "encoding_format"), json_text(&o, q->packed ? STR("base64") : STR("float"));
    if (q->dimensions > 0) json_key(&o, "dimensions"), json_int(&o, q->dimensions);
    if (q->user.len && !(x->mended & PLAIN)) json_key(&o, "user"), json_text(&o, q->user);
    if (q->more_json.len && !x->backend->official && !(x->mended & PLAIN)) {
        buf_add_char(&c->body, ',');
        buf_add(&c->body, q->more_json);
    }
    json_end_object(&o);
    return ERR_NONE;
}

/* In the order of `index`, which servers keep; one that does not is put in order here. */
enum err aside_read_openai(struct aside *x, yyjson_val *root, struct err_note *why)
{
    yyjson_val *list = json_get(root, "data"), *each;
    yyjson_val **ordered = NULL;
    size_t n = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0, place = 0;
    enum err e = ERR_NONE;

    if (n == 0) return err_set(why, ERR_SERVER, "no embeddings in the answer");
    ordered = calloc(n, sizeof(yyjson_val *));
    if (ordered == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    for (; (each = yyjson_arr_iter_next(&it)); place++) {
        int64_t index = json_get_int(each, "index", (int64_t)place);
        if (index < 0 || (size_t)index >= n || ordered[index]) e = ERR_SERVER;
        if (!e) ordered[index] = json_get(each, "embedding");
    }
    for (size_t i = 0; i < n && !e; i++) e = aside_add_vector(x, ordered[i]);
    free(ordered);
    yyjson_val *usage = json_get(root, "usage");
    x->tokens = json_get_int(usage, "prompt_tokens", json_get_int(usage, "total_tokens", -1));
    return e == ERR_SERVER ? err_set(why, e, "not embeddings in OpenAI's form") : e;
}

bool aside_mend_openai(struct aside *x, const struct fault *f)
{
    bool refused = f->status == 400 || f->status == 422;
    uint64_t before = x->mended;

    if (!refused) return false;
    if (fault_says(f, "encoding_format") || str_eq(f->param, STR("encoding_format")))
        x->mended |= UNPACKED;
    else if (x->embed->user.len || x->embed->more_json.len)
        if (str_eq(f->param, STR("user")) || fault_says(f, "extra") || fault_says(f, "unknown") ||
            fault_says(f, "unrecognized"))
            x->mended |= PLAIN;
    return x->mended != before;
}
