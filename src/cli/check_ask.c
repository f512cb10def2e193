/* One question of `sema check` and its answer. */
#include "cli/check.h"

#include "base/clock.h"
#include "base/loop.h"

enum { EVENT_BYTES_MAX = 1 << 20, JSON_DEPTH_MAX = 64 };

static void forget(struct check *k)
{
    struct check_reply *r = &k->reply;

    yyjson_doc_free(r->doc);
    buf_fini(&r->body);
    *r = (struct check_reply){.status = 0};
    buf_init(&r->body, CHECK_BODY_BYTES_MAX);
    k->heard = (struct check_heard){.first_ms = -1};
    k->streams = false;
    sse_fini(&k->sse);
    sse_init(&k->sse, EVENT_BYTES_MAX);
    k->asked_us = clock_mono_us();
}

static void ended(struct check *k, enum err e, const struct err_note *why)
{
    struct check_reply *r = &k->reply;
    check_then *then = k->then;

    k->call = NULL;
    r->e = e;
    if (why) r->why = *why;
    if (!e && r->body.len &&
        json_read(&r->doc, buf_str(&r->body), JSON_DEPTH_MAX, JSON_PLAIN, NULL))
        r->doc = NULL;
    k->then = NULL;
    if (then) then(k);
}

/* ---- what a stream says: the same keys over SSE and a WebSocket (http-api.md 6, 7) ---- */

static void hear(struct check *k, str type, str data)
{
    struct check_heard *h = &k->heard;
    yyjson_doc *doc;

    if (json_read(&doc, data, JSON_DEPTH_MAX, JSON_PLAIN, NULL)) {
        snprintf(h->error, sizeof h->error, "an event that is no JSON");
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (str_eq(type, STR("chunk"))) {
        h->final = json_get_bool(root, "is_final", false);
        if (json_get_str(root, "content").len) {
            h->chunks++;
            if (h->first_ms < 0) h->first_ms = (int64_t)(clock_mono_us() - k->asked_us) / 1000;
        }
    } else if (str_eq(type, STR("done"))) {
        h->done = true;
    } else if (str_eq(type, STR("error"))) {
        snprintf(h->error, sizeof h->error, "%.*s", STR_ARG(json_get_str(root, "error")));
        snprintf(h->code, sizeof h->code, "%.*s", STR_ARG(json_get_str(root, "code")));
    }
    yyjson_doc_free(doc);
}

static enum err on_event(void *ctx, const struct sse_event *e)
{
    hear(ctx, e->type, e->data);
    return ERR_NONE;
}

/* ---- a call ---- */

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct check *k = ctx;

    k->reply.status = status;
    snprintf(k->reply.location, sizeof k->reply.location, "%.*s",
             STR_ARG(headers_get(h, STR("location"))));
}

static void on_body(void *ctx, str piece)
{
    struct check *k = ctx;

    if (k->streams && k->reply.status == 200)
        sse_feed(&k->sse, piece, on_event, k);
    else
        buf_add(&k->reply.body, piece);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    ended(ctx, e, why);
}

/* The address and fields of a question; false: it was told that it cannot be asked. */
static bool prepare(struct check *k, struct http_ask *ask, struct header fields[3],
                    const char *path, uint32_t total_ms)
{
    str whole = arena_strf(&k->arena, "%s%s", k->base, path);

    if (whole.at == NULL || url_parse(&k->url, whole, &k->arena)) {
        ended(k, ERR_MEMORY, NULL);
        return false;
    }
    size_t count = 0;
    fields[count++] = (struct header){STR("Accept"), STR("*/*")};
    if (k->bearer) fields[count++] = (struct header){STR("Authorization"), str_of(k->bearer)};
    *ask = (struct http_ask){.method = "GET",
                             .url = &k->url,
                             .host = k->host,
                             .headers = fields,
                             .headers_count = count,
                             .connect_ms = CHECK_CONNECT_MS,
                             .total_ms = total_ms,
                             .body_bytes_max = CHECK_BODY_BYTES_MAX};
    return true;
}

static void start(struct check *k, const struct http_ask *ask)
{
    struct http_call_events to = {.ctx = k, .head = on_head, .body = on_body, .done = on_done};
    struct err_note why = {.text = ""};
    enum err e = http_call_start(&k->call, k->client, ask, to, &why);

    if (e) ended(k, e, &why);
}

void check_ask(struct check *k, const char *method, const char *path, str body, uint32_t total_ms,
               check_then *then)
{
    struct http_ask ask;
    struct header fields[3];

    forget(k);
    k->then = then;
    if (!prepare(k, &ask, fields, path, total_ms)) return;
    ask.method = method;
    ask.body = body;
    if (body.len)
        fields[ask.headers_count++] = (struct header){STR("Content-Type"), STR("application/json")};
    start(k, &ask);
}

void check_hear(struct check *k, const char *path, check_then *then)
{
    struct http_ask ask;
    struct header fields[3];

    forget(k);
    k->then = then;
    k->streams = true;
    if (!prepare(k, &ask, fields, path, k->answer_ms)) return;
    fields[0].value = STR("text/event-stream");
    start(k, &ask);
}

/* ---- a WebSocket ---- */

static void ws_open(void *ctx)
{
    struct check *k = ctx;

    k->reply.status = 101;
    ws_client_say(k->ws, buf_str(&k->reply.body)); /* what to say was put there */
    buf_clear(&k->reply.body);
}

static void ws_text(void *ctx, str message)
{
    struct check *k = ctx;
    yyjson_doc *doc;

    if (json_read(&doc, message, JSON_DEPTH_MAX, JSON_PLAIN, NULL)) doc = NULL;
    hear(k, json_get_str(yyjson_doc_get_root(doc), "type"), message);
    yyjson_doc_free(doc);
    if (k->heard.final || k->heard.error[0]) ws_client_close(k->ws);
}

static void ws_done(void *ctx, enum err e, const struct err_note *why)
{
    struct check *k = ctx;
    struct err_note note = *why;

    if (note.http_status > 0) { /* it answered, and did not switch */
        k->reply.status = note.http_status;
        e = ERR_NONE;
    }
    ws_client_free(k->ws);
    k->ws = NULL;
    buf_clear(&k->reply.body);
    ended(k, e, &note);
}

void check_talk(struct check *k, const char *path, str say, check_then *then)
{
    struct http_ask ask;
    struct header fields[3];
    struct ws_client_events to = {.ctx = k, .open = ws_open, .text = ws_text, .done = ws_done};
    struct err_note why = {.text = ""};

    forget(k);
    k->then = then;
    buf_add(&k->reply.body, say);
    if (!prepare(k, &ask, fields, path, k->answer_ms)) return;
    enum err e = ws_client_start(&k->ws, k->client, &ask, to, &why);
    if (e) ended(k, e, &why);
}
