/* The steps of `sema check`, in the order of the walk. */
#include "cli/check.h"

#include "base/clock.h"

enum { ANSWER_TOKENS = 32, PATH_BYTES = 512 };

static const char message[] = "Say hello.";

static yyjson_val *root(const struct check *k)
{
    return yyjson_doc_get_root(k->reply.doc);
}

/* ---- alive ---- */

static void health_there(struct check *k)
{
    if (!check_good(k, true)) return;
    if (!str_eq(json_get_str(root(k), "status"), STR("healthy")))
        check_fail(k, "/health does not say \"healthy\": is this a Sema server?");
    else
        check_ok(k, "version %.*s, up for %.0f s", STR_ARG(json_get_str(root(k), "version")),
                 json_get_num(root(k), "uptime_seconds", 0));
}

static void health(struct check *k)
{
    check_ask(k, "GET", "/health", STR_NONE, CHECK_PLAIN_MS, health_there);
}

static void ready_there(struct check *k)
{
    if (!check_good(k, true)) return;
    str status = json_get_str(root(k), "status");
    if (!json_get_bool(root(k), "model_loaded", false))
        check_fail(k, "no model is ready yet; the server's log and /api/v1/backends say why");
    else if (!str_eq(status, STR("healthy")))
        check_fail(k, "the model fails at the moment (%.*s); sema test-backends says why",
                   STR_ARG(status));
    else
        check_ok(k, "a model is ready, %lld sessions",
                 (long long)json_get_int(root(k), "active_sessions", 0));
}

static void status_there(struct check *k)
{
    if (check_good(k, true))
        check_ask(k, "GET", "/api/v1/health", STR_NONE, CHECK_PLAIN_MS, ready_there);
}

static void status(struct check *k)
{
    check_ask(k, "GET", "/status", STR_NONE, CHECK_PLAIN_MS, status_there);
}

static void model_there(struct check *k)
{
    if (!check_good(k, true)) return;
    str name = json_get_str(root(k), "name"), type = json_get_str(root(k), "type");
    snprintf(k->model, sizeof k->model, "%.*s", STR_ARG(name));
    if (name.len == 0 || type.len == 0)
        check_fail(k, "/api/v1/model/info names no model");
    else if (!json_get_bool(root(k), "loaded", false))
        check_fail(k, "%s is not loaded; the server's log and /api/v1/backends say why", k->model);
    else
        check_ok(k, "%s (%.*s)", k->model, STR_ARG(type));
}

static void model(struct check *k)
{
    check_ask(k, "GET", "/api/v1/model/info", STR_NONE, CHECK_PLAIN_MS, model_there);
}

/* ---- answers ---- */

/* The body of a question of /api/v1; lives until the walk ends. */
static str question(struct check *k)
{
    return arena_strf(&k->arena, "{\"message\":\"%s\",\"session_id\":\"%s\",\"max_tokens\":%d}",
                      message, k->session, ANSWER_TOKENS);
}

static void chat_there(struct check *k)
{
    if (!check_good(k, true)) return;
    yyjson_val *text = json_get(root(k), "message");
    int64_t tokens = json_get_int(root(k), "token_count", -1);
    if (!yyjson_is_str(text)) {
        check_fail(k, "the answer has no \"message\"");
        return;
    }
    k->turns++;
    k->chat_text = json_str(text).len > 0;
    if (!k->chat_text)
        check_ok(k, "an empty answer (finish_reason %.*s)",
                 STR_ARG(json_get_str(root(k), "finish_reason")));
    else if (tokens >= 0)
        check_ok(k, "%lld tokens", (long long)tokens);
    else
        check_ok(k, "%zu bytes", json_str(text).len);
}

static void chat(struct check *k)
{
    k->session_used = true;
    check_ask(k, "POST", "/api/v1/chat", question(k), k->answer_ms, chat_there);
}

static void heard(struct check *k)
{
    const struct check_heard *h = &k->heard;

    if (h->error[0])
        check_fail(k, "%s%s%s%s", h->error, h->code[0] ? " (" : "", h->code, h->code[0] ? ")" : "");
    else if (!h->final)
        check_fail(k, "it ended before the last chunk; does a proxy in between cut streams?");
    else if (h->chunks == 0 && k->chat_text)
        check_fail(k, "no chunk had text");
    else if (h->chunks == 0)
        check_ok(k, "an empty answer");
    else
        check_ok(k, "%d chunks, the first after %lld ms", h->chunks, (long long)h->first_ms);
    if (h->final && !h->error[0]) k->turns++;
}

static bool no_streaming(struct check *k)
{
    if (k->reply.e || k->reply.status != 404) return false;
    check_skip(k, "not served; ENABLE_STREAMING=true turns it on");
    return true;
}

static void stream_there(struct check *k)
{
    if (no_streaming(k) || !check_good(k, false)) return;
    if (k->heard.final && !k->heard.done)
        check_fail(k, "the event \"done\" is missing");
    else
        heard(k);
}

static void stream(struct check *k)
{
    str path =
        arena_strf(&k->arena, "/api/v1/chat/stream?message=Say+hello.&session_id=%s&max_tokens=%d",
                   k->session, ANSWER_TOKENS);
    k->session_used = true;
    check_hear(k, path.at ? path.at : "/", stream_there);
}

static void websocket_there(struct check *k)
{
    if (no_streaming(k)) return;
    if (k->reply.e && k->heard.error[0]) /* what it said before it went wrong says more */
        heard(k);
    else if (k->reply.e == ERR_NONE && k->reply.status == 101)
        heard(k);
    else if (check_good(k, false))
        check_fail(k, "answered 200 instead of switching to WebSocket");
}

static void websocket(struct check *k)
{
    check_talk(k, "/api/v1/chat/ws", question(k), websocket_there);
}

/* ---- the conversation that came of it ---- */

static const char *session_path(struct check *k)
{
    str path = arena_strf(&k->arena, "/api/v1/sessions/%s", k->session);
    return path.at ? path.at : "/";
}

static void session_gone(struct check *k)
{
    if (k->reply.e == ERR_NONE && k->reply.status == 404)
        check_ok(k, "%d messages read, then cleared", 2 * k->turns);
    else if (check_good(k, true))
        check_fail(k, "the session is still there after it was cleared");
}

static void session_cleared(struct check *k)
{
    if (!check_good(k, true)) return;
    k->session_used = false;
    check_ask(k, "GET", session_path(k), STR_NONE, CHECK_PLAIN_MS, session_gone);
}

/* The messages of the turns above, question and answer by turns. */
static const char *history_fault(struct check *k)
{
    yyjson_val *messages = json_get(root(k), "messages"), *m;
    size_t i, n;

    if (!yyjson_is_arr(messages)) return "the history has no \"messages\"";
    if (json_get_int(root(k), "message_count", -1) != (int64_t)yyjson_arr_size(messages))
        return "message_count is not the number of messages";
    if (yyjson_arr_size(messages) < 2 * (size_t)k->turns) return "messages are missing";
    yyjson_arr_foreach(messages, i, n, m)
    {
        if (!str_eq(json_get_str(m, "role"), i % 2 ? STR("assistant") : STR("user")))
            return "questions and answers do not alternate";
    }
    return NULL;
}

static void session_there(struct check *k)
{
    if (k->reply.e == ERR_NONE && k->reply.status == 404 && k->turns == 0) {
        k->session_used = false;
        check_skip(k, "no answer above, so nothing is stored");
        return;
    }
    if (!check_good(k, true)) return;
    const char *fault = history_fault(k);
    if (fault)
        check_fail(k, "%s", fault);
    else
        check_ask(k, "DELETE", session_path(k), STR_NONE, CHECK_PLAIN_MS, session_cleared);
}

static void sessions_there(struct check *k)
{
    if (!check_good(k, true)) return;
    if (!yyjson_is_arr(root(k)))
        check_fail(k, "/api/v1/sessions is no list");
    else
        check_ask(k, "GET", session_path(k), STR_NONE, CHECK_PLAIN_MS, session_there);
}

static void sessions(struct check *k)
{
    check_ask(k, "GET", "/api/v1/sessions?limit=1", STR_NONE, CHECK_PLAIN_MS, sessions_there);
}

/* ---- the rest ---- */

static void switched(struct check *k)
{
    if (k->reply.e == ERR_NONE && k->reply.status == 403) {
        check_skip(k, "switched off: ENABLE_MODEL_SWITCH=true allows it");
        return;
    }
    if (!check_good(k, true)) return;
    str now = json_get_str(json_get(root(k), "current"), "model_name");
    if (!str_eq(now, str_of(k->model)))
        check_fail(k, "it answers with another model (%.*s)", STR_ARG(now));
    else
        check_ok(k, "to %s, which is there already: nothing changed", k->model);
}

static void switch_asked(struct check *k)
{
    struct buf body;

    /* Looked up again: nobody's switch of this minute is undone. */
    if (!check_good(k, true)) return;
    str name = json_get_str(root(k), "name");
    snprintf(k->model, sizeof k->model, "%.*s", STR_ARG(name));
    buf_init(&body, PATH_BYTES * 8);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "model_name"), json_text(&o, str_of(k->model));
    json_end_object(&o);
    str kept = arena_str(&k->arena, buf_str(&body));
    buf_fini(&body);
    check_ask(k, "POST", "/api/v1/model/switch", kept, k->answer_ms, switched);
}

static void to_switch(struct check *k)
{
    check_ask(k, "GET", "/api/v1/model/info", STR_NONE, CHECK_PLAIN_MS, switch_asked);
}

static void metrics_there(struct check *k)
{
    if (k->reply.e == ERR_NONE && k->reply.status == 404) {
        check_skip(k, "not served; ENABLE_METRICS=true turns them on");
        return;
    }
    if (!check_good(k, false)) return;
    size_t lines = 0;
    str rest = buf_str(&k->reply.body), line;
    while (str_split(&rest, '\n', &line)) lines += str_starts(line, STR("sema_"));
    if (lines == 0)
        check_fail(k, "/api/v1/metrics has no sema_ line");
    else
        check_ok(k, "%zu series", lines);
}

static void metrics(struct check *k)
{
    check_ask(k, "GET", "/api/v1/metrics", STR_NONE, CHECK_PLAIN_MS, metrics_there);
}

static void v1_models_there(struct check *k)
{
    if (!check_good(k, true)) return;
    yyjson_val *data = json_get(root(k), "data");
    str first = json_get_str(yyjson_arr_get_first(json_array_of(data)), "id");
    if (first.len == 0) {
        check_fail(k, "the list is empty");
        return;
    }
    snprintf(k->served, sizeof k->served, "%.*s", STR_ARG(first));
    check_ok(k, "%zu models, the first is %s", yyjson_arr_size(data), k->served);
}

static void v1_models(struct check *k)
{
    check_ask(k, "GET", "/v1/models", STR_NONE, CHECK_PLAIN_MS, v1_models_there);
}

static void v1_chat_there(struct check *k)
{
    if (!check_good(k, true)) return;
    yyjson_val *choice = yyjson_arr_get_first(json_array_of(json_get(root(k), "choices")));
    if (!yyjson_is_obj(json_get(choice, "message")))
        check_fail(k, "the answer has no message");
    else
        check_ok(k, "%lld tokens",
                 (long long)json_get_int(json_get(root(k), "usage"), "completion_tokens", 0));
}

static void v1_chat(struct check *k)
{
    struct buf body;

    buf_init(&body, PATH_BYTES * 8);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "model"), json_text(&o, str_of(k->served[0] ? k->served : k->model));
    json_key(&o, "max_tokens"), json_int(&o, ANSWER_TOKENS);
    json_key(&o, "messages"), json_array(&o), json_object(&o);
    json_key(&o, "role"), json_text(&o, STR("user"));
    json_key(&o, "content"), json_text(&o, str_of(message));
    json_end_object(&o), json_end_array(&o), json_end_object(&o);
    str kept = arena_str(&k->arena, buf_str(&body));
    buf_fini(&body);
    check_ask(k, "POST", "/v1/chat/completions", kept, k->answer_ms, v1_chat_there);
}

const struct check_step check_steps[] = {
    {"health", health},   {"status", status},       {"model", model},       {"chat", chat},
    {"stream", stream},   {"websocket", websocket}, {"sessions", sessions}, {"switch", to_switch},
    {"metrics", metrics}, {"v1 models", v1_models}, {"v1 chat", v1_chat},   {NULL, NULL},
};
