#include "cli/talk.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/rand.h"
#include "chat/chat.h"
#include "http/client.h"
#include "http/sse.h"

enum {
    EVENT_BYTES_MAX = 1 << 20, /* of the stream; Sema's own events are far smaller */
    BODY_BYTES_MAX = 64 << 20,
    CONNECT_MS = 10 * 1000,
    SILENCE_MS = 120 * 1000, /* pings come every 15 s */
    TOTAL_MS = 3600 * 1000,
    FAILURE_BYTES = 512,
};

struct talk {
    struct talk_events to;
    const char *session;
    char failure[FAILURE_BYTES];
    struct task failed_task; /* a start that failed is told later */

    /* in process */
    struct chat *chat;
    struct loop *loop;
    struct turn *turn;

    /* with a server */
    struct http_client *client;
    struct arena arena;
    struct url url;
    const char *bearer;
    struct http_call *call;
    struct sse sse;
    int status;
    struct buf body; /* of an answer that is no stream */
    bool ended;      /* `done` or `error` came */
};

static void finish(struct talk *t, bool failed)
{
    t->turn = NULL;
    t->call = NULL;
    t->to.done(t->to.ctx, failed ? t->failure : NULL);
}

static void fail_later(struct task *task)
{
    finish(container_of(task, struct talk, failed_task), true);
}

static void cannot_start(struct talk *t, const char *why)
{
    snprintf(t->failure, sizeof t->failure, "%s", why);
    t->failed_task.run = fail_later;
    loop_post(loop_here(), &t->failed_task);
}

/* ---- in this process ---- */

static void on_text(void *ctx, str text)
{
    struct talk *t = ctx;

    t->to.text(t->to.ctx, text);
}

static void on_done(void *ctx, const struct turn_result *r)
{
    (void)r;
    finish(ctx, false);
}

static void on_failed(void *ctx, enum err e, const struct err_note *why, bool text_sent)
{
    struct talk *t = ctx;

    (void)text_sent;
    snprintf(t->failure, sizeof t->failure, "%s", err_text(why, e));
    finish(t, true);
}

static void say_here(struct talk *t, str text)
{
    char id[RAND_UUID_BYTES];
    struct err_note why = {0};
    struct turn_ask ask = {.key.id = str_of(t->session),
                           .message = text,
                           .temperature = NAN,
                           .max_tokens = -1,
                           .stream = true};
    struct turn_events to = {.ctx = t, .text = on_text, .done = on_done, .failed = on_failed};

    rand_uuid(id);
    enum err e = turn_start(&t->turn, t->chat, t->loop, &ask, id, to, &why);
    if (e) cannot_start(t, err_text(&why, e));
}

enum err talk_in_process(struct talk **out, struct chat *chat, struct loop *l,
                         struct talk_events to, struct err_note *why)
{
    struct talk *t = calloc(1, sizeof *t);
    if (t == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    t->to = to;
    t->chat = chat;
    t->loop = l;
    *out = t;
    return ERR_NONE;
}

/* ---- with a server ---- */

static enum err on_event(void *ctx, const struct sse_event *e)
{
    struct talk *t = ctx;
    yyjson_doc *doc;

    if (json_read(&doc, e->data, 64, JSON_PLAIN, NULL)) return ERR_NONE;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (str_eq(e->type, STR("chunk"))) {
        str content = json_get_str(root, "content");
        if (content.len) t->to.text(t->to.ctx, content);
    } else if (str_eq(e->type, STR("done"))) {
        t->ended = true;
    } else if (str_eq(e->type, STR("error"))) {
        snprintf(t->failure, sizeof t->failure, "%.*s", STR_ARG(json_get_str(root, "error")));
        t->ended = true;
    }
    yyjson_doc_free(doc);
    return ERR_NONE;
}

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct talk *t = ctx;

    (void)h;
    t->status = status;
}

static void on_body(void *ctx, str piece)
{
    struct talk *t = ctx;

    if (t->status == 200)
        sse_feed(&t->sse, piece, on_event, t);
    else
        buf_add(&t->body, piece);
}

/* `{"detail":"..."}`, `{"detail":[{"msg":...}]}` or `{"error":"..."}`. */
static void failure_of_body(struct talk *t)
{
    yyjson_doc *doc = NULL;
    str said = STR_NONE;

    if (json_read(&doc, buf_str(&t->body), 64, JSON_PLAIN, NULL) == ERR_NONE) {
        yyjson_val *root = yyjson_doc_get_root(doc), *detail = json_get(root, "detail");
        said = json_str(yyjson_is_arr(detail) ? json_get(yyjson_arr_get_first(detail), "msg")
                                              : detail);
        if (said.len == 0) said = json_get_str(root, "error");
    }
    snprintf(t->failure, sizeof t->failure, "%d %.*s%s", t->status, STR_ARG(said),
             t->status == 401 ? " (set API_KEY in the environment or .env)" : "");
    yyjson_doc_free(doc);
}

static void on_call_done(void *ctx, enum err e, const struct err_note *why)
{
    struct talk *t = ctx;

    if (e)
        snprintf(t->failure, sizeof t->failure, "%s", err_text(why, e));
    else if (t->status != 200)
        failure_of_body(t);
    else if (!t->ended)
        snprintf(t->failure, sizeof t->failure, "the answer broke off");
    finish(t, t->failure[0] != '\0');
}

static void say_there(struct talk *t, str text)
{
    struct err_note why = {0};
    struct buf body;
    struct header headers[3] = {{STR("Content-Type"), STR("application/json")},
                                {STR("Accept"), STR("text/event-stream")},
                                {STR("Authorization"), str_of(t->bearer)}};
    struct http_call_events to = {.ctx = t, .head = on_head, .body = on_body, .done = on_call_done};

    buf_init(&body, BODY_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "message"), json_text(&o, text);
    json_key(&o, "session_id"), json_text(&o, str_of(t->session));
    json_key(&o, "stream"), json_bool(&o, true);
    json_end_object(&o);

    t->failure[0] = '\0';
    t->status = 0;
    t->ended = false;
    buf_clear(&t->body);
    sse_fini(&t->sse);
    sse_init(&t->sse, EVENT_BYTES_MAX);
    struct http_ask ask = {.method = "POST",
                           .url = &t->url,
                           .headers = headers,
                           .headers_count = t->bearer ? 3 : 2,
                           .body = buf_str(&body),
                           .connect_ms = CONNECT_MS,
                           .first_byte_ms = SILENCE_MS,
                           .idle_ms = SILENCE_MS,
                           .total_ms = TOTAL_MS,
                           .body_bytes_max = BODY_BYTES_MAX};
    enum err e = buf_err(&body);
    if (!e) e = http_call_start(&t->call, t->client, &ask, to, &why);
    buf_fini(&body);
    if (e) cannot_start(t, err_text(&why, e));
}

enum err talk_with_server(struct talk **out, struct http_client *client, const char *url,
                          const char *key, struct talk_events to, struct err_note *why)
{
    struct talk *t = calloc(1, sizeof *t);
    if (t == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    t->to = to;
    t->client = client;
    arena_init(&t->arena, 0);
    buf_init(&t->body, BODY_BYTES_MAX);
    sse_init(&t->sse, EVENT_BYTES_MAX);
    str base = str_of(url);
    while (base.len && base.at[base.len - 1] == '/') base.len--;
    str whole = arena_strf(&t->arena, "%.*s/api/v1/chat", STR_ARG(base));
    if (key) t->bearer = arena_strf(&t->arena, "Bearer %s", key).at;
    enum err e =
        whole.at == NULL || (key && !t->bearer) ? ERR_MEMORY : url_parse(&t->url, whole, &t->arena);
    if (e) {
        talk_free(t);
        return err_set(why, e, "--url: not a valid http(s) address: \"%s\"", url);
    }
    *out = t;
    return ERR_NONE;
}

/* ---- both ---- */

void talk_free(struct talk *t)
{
    if (t == NULL) return;
    talk_cancel(t);
    sse_fini(&t->sse);
    buf_fini(&t->body);
    arena_fini(&t->arena);
    free(t);
}

void talk_session(struct talk *t, const char *id)
{
    t->session = id;
}

void talk_say(struct talk *t, str text)
{
    if (t->chat)
        say_here(t, text);
    else
        say_there(t, text);
}

void talk_cancel(struct talk *t)
{
    if (t->turn) turn_cancel(t->turn);
    http_call_cancel(t->call);
    t->turn = NULL;
    t->call = NULL;
}
