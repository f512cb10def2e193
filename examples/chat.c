/* A client of Sema in C, over the headers that Sema itself uses (http/client.h, http/ws_client.h):
 * chat, stream, WebSocket, sessions, switch.
 *
 *     build/examples/chat [URL] [MODEL_TYPE MODEL_NAME]
 *
 * URL is http://127.0.0.1:7860 unless given; API_KEY of the environment is sent when it is set.
 * With a model named the server is switched to it, else to the one that it has, which changes
 * nothing.
 *
 * Everything happens on an event loop: a step asks, the answer's end starts the next. */
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/rand.h"
#include "http/client.h"
#include "http/sse.h"
#include "http/ws_client.h"

enum {
    CONNECT_MS = 10 * 1000,
    ANSWER_MS = 120 * 1000, /* an answer may take no longer */
    BODY_BYTES_MAX = 16 << 20,
    EVENT_BYTES_MAX = 1 << 20,
    DEPTH_MAX = 64,
};

struct program {
    struct loop *loop;
    struct http_client *client;
    struct arena arena;
    const char *base, *bearer, *type, *name;
    char session[64];
    int step, status;
    struct task start;

    struct url url; /* of the question under way */
    int http_status;
    struct buf body;
    struct sse sse;
    struct ws_client *ws;
    bool over; /* the WebSocket's answer is whole */
    long long messages;
};

static void next(struct program *p, yyjson_val *answer);

static void end(struct program *p, int status)
{
    p->status = status;
    loop_stop(p->loop);
    uv_stop(loop_uv(p->loop)); /* a kept connection would hold the loop */
}

static void fail(struct program *p, const char *what, str words)
{
    fprintf(stderr, "%s: %.*s\n", what, STR_ARG(words));
    end(p, 1);
}

/* ---- a question and its answer ---- */

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct program *p = ctx;

    (void)h;
    p->http_status = status;
}

/* "chunk" carries a piece of text, "error" ends a stream (the same keys over a WebSocket). */
static void on_piece(struct program *p, str type, yyjson_val *data)
{
    if (str_eq(type, STR("chunk"))) {
        str text = json_get_str(data, "content");
        fwrite(text.at, 1, text.len, stdout);
        fflush(stdout);
        p->over = json_get_bool(data, "is_final", false);
    } else if (str_eq(type, STR("error"))) {
        fail(p, "\nanswer", json_get_str(data, "error"));
    }
}

static enum err on_event(void *ctx, const struct sse_event *e)
{
    yyjson_doc *doc;

    if (json_read(&doc, e->data, DEPTH_MAX, JSON_PLAIN, NULL)) return ERR_NONE;
    on_piece(ctx, e->type, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return ERR_NONE;
}

static void on_body(void *ctx, str piece)
{
    struct program *p = ctx;

    if (p->step == 1 && p->http_status == 200)
        sse_feed(&p->sse, piece, on_event, p);
    else
        buf_add(&p->body, piece);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct program *p = ctx;
    yyjson_doc *doc = NULL;

    if (e) {
        fail(p, p->base, str_of(err_text(why, e)));
    } else if (p->http_status != 200) {
        fail(p, "refused", buf_str(&p->body));
    } else if (p->status == 0) {
        if (p->body.len && json_read(&doc, buf_str(&p->body), DEPTH_MAX, JSON_PLAIN, NULL))
            doc = NULL;
        next(p, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    }
}

static bool prepare(struct program *p, struct http_ask *ask, struct header fields[2], str path)
{
    str whole = arena_strf(&p->arena, "%s%.*s", p->base, STR_ARG(path));

    if (whole.at == NULL || url_parse(&p->url, whole, &p->arena)) {
        fail(p, "not the address of a server", str_of(p->base));
        return false;
    }
    fields[0] = (struct header){STR("Content-Type"), STR("application/json")};
    if (p->bearer) fields[1] = (struct header){STR("Authorization"), str_of(p->bearer)};
    *ask = (struct http_ask){.url = &p->url,
                             .headers = fields,
                             .headers_count = p->bearer ? 2 : 1,
                             .connect_ms = CONNECT_MS,
                             .total_ms = ANSWER_MS,
                             .body_bytes_max = BODY_BYTES_MAX};
    buf_clear(&p->body);
    return true;
}

static void ask(struct program *p, const char *method, str path, str body)
{
    struct http_call_events to = {.ctx = p, .head = on_head, .body = on_body, .done = on_done};
    struct err_note why = {.text = ""};
    struct http_call *call;
    struct http_ask q;
    struct header fields[2];

    if (!prepare(p, &q, fields, path)) return;
    q.method = method;
    q.body = body;
    enum err e = http_call_start(&call, p->client, &q, to, &why);
    if (e) fail(p, p->base, str_of(err_text(&why, e)));
}

static str question(struct program *p, const char *message)
{
    return arena_strf(&p->arena, "{\"message\":\"%s\",\"session_id\":\"%s\"}", message, p->session);
}

/* ---- the WebSocket ---- */

static void ws_open(void *ctx)
{
    struct program *p = ctx;
    ws_client_say(p->ws, question(p, "And again"));
}

static void ws_text(void *ctx, str message)
{
    struct program *p = ctx;
    yyjson_doc *doc;

    if (json_read(&doc, message, DEPTH_MAX, JSON_PLAIN, NULL)) return;
    yyjson_val *frame = yyjson_doc_get_root(doc);
    on_piece(p, json_get_str(frame, "type"), frame);
    yyjson_doc_free(doc);
    if (p->over) ws_client_close(p->ws);
}

static void ws_done(void *ctx, enum err e, const struct err_note *why)
{
    struct program *p = ctx;

    ws_client_free(p->ws);
    p->ws = NULL;
    if (e)
        fail(p, "websocket", str_of(err_text(why, e)));
    else
        next(p, NULL);
}

static void talk(struct program *p)
{
    struct ws_client_events to = {.ctx = p, .open = ws_open, .text = ws_text, .done = ws_done};
    struct err_note why = {.text = ""};
    struct http_ask q;
    struct header fields[2];

    p->over = false;
    if (!prepare(p, &q, fields, STR("/api/v1/chat/ws"))) return;
    enum err e = ws_client_start(&p->ws, p->client, &q, to, &why);
    if (e) fail(p, "websocket", str_of(err_text(&why, e)));
}

/* ---- the steps ---- */

static void begin_switch(struct program *p, str name)
{
    struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    if (p->type) json_key(&o, "model_type"), json_text(&o, str_of(p->type));
    json_key(&o, "model_name"), json_text(&o, name);
    json_end_object(&o);
    ask(p, "POST", STR("/api/v1/model/switch"), buf_str(&body));
    buf_fini(&body);
}

/* `answer`: of the step before, NULL when it was no JSON. */
static void next(struct program *p, yyjson_val *answer)
{
    str session = arena_strf(&p->arena, "/api/v1/sessions/%s", p->session);

    switch (++p->step) {
    case 1:
        printf("chat: %.*s\nstream: ", STR_ARG(json_get_str(answer, "message")));
        ask(p, "GET",
            arena_strf(&p->arena, "/api/v1/chat/stream?message=Hello%%20again&session_id=%s",
                       p->session),
            STR_NONE);
        break;
    case 2:
        printf("\nwebsocket: ");
        talk(p);
        break;
    case 3: ask(p, "GET", session, STR_NONE); break;
    case 4:
        p->messages = (long long)json_get_int(answer, "message_count", 0);
        ask(p, "GET", STR("/api/v1/sessions"), STR_NONE);
        break;
    case 5:
        printf("\nsession: %lld messages, %zu sessions\n", p->messages,
               yyjson_arr_size(json_array_of(answer)));
        ask(p, "DELETE", session, STR_NONE);
        break;
    case 6: ask(p, "GET", STR("/api/v1/model/info"), STR_NONE); break;
    case 7: begin_switch(p, p->name ? str_of(p->name) : json_get_str(answer, "name")); break;
    case 8:
        printf("switch: %.*s\n", STR_ARG(json_get_str(json_get(answer, "current"), "model_name")));
        end(p, 0);
        break;
    }
}

static void on_start(struct task *t)
{
    struct program *p = container_of(t, struct program, start);
    ask(p, "POST", STR("/api/v1/chat"), question(p, "Hello"));
}

int main(int argc, char **argv)
{
    struct program p = {.start.run = on_start, .base = "http://127.0.0.1:7860"};
    const struct http_client_conf conf = {.user_agent = "sema/example"};
    const char *key = getenv("API_KEY");
    struct err_note why = {.text = ""};

    arena_init(&p.arena, 0);
    if (argc > 1) {
        str base = str_of(argv[1]);
        while (base.len && base.at[base.len - 1] == '/') base.len--;
        p.base = arena_str(&p.arena, base).at;
    }
    if (argc > 3) p.type = argv[2], p.name = argv[3];
    buf_init(&p.body, BODY_BYTES_MAX);
    sse_init(&p.sse, EVENT_BYTES_MAX);
    if (key && *key) p.bearer = arena_strf(&p.arena, "Bearer %s", key).at;
    snprintf(p.session, sizeof p.session, "example-");
    rand_uuid(p.session + strlen(p.session));

    enum err e = loop_new(&p.loop, &why);
    if (!e) e = http_client_new(&p.client, p.loop, &conf, &why);
    if (e) {
        fprintf(stderr, "%s\n", err_text(&why, e));
        return 1;
    }
    loop_post(p.loop, &p.start);
    loop_run(p.loop);

    ws_client_free(p.ws);
    http_client_free(p.client);
    loop_free(p.loop);
    sse_fini(&p.sse);
    buf_fini(&p.body);
    arena_fini(&p.arena);
    return p.status;
}
