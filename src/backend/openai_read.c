#include "backend/openai_in.h"
#include "backend/pass.h"
#include "conf/limits.h"

/* ---- parts of a message or a delta ---- */

static void read_details(struct answer *a, yyjson_val *details)
{
    yyjson_arr_iter it;
    yyjson_val *d;

    if (!yyjson_is_arr(details)) return;
    yyjson_arr_iter_init(details, &it);
    while ((d = yyjson_arr_iter_next(&it)))
        answer_reasoning(a, REASONING_DETAILS, json_get_str(d, "text"));
}

/* Text is a string, or parts where a server answers in the form of requests. */
static void read_text(struct answer *a, yyjson_val *content)
{
    yyjson_arr_iter it;
    yyjson_val *p;

    if (yyjson_is_str(content)) {
        answer_text(a, json_str(content));
    } else if (yyjson_is_arr(content)) {
        yyjson_arr_iter_init(content, &it);
        while ((p = yyjson_arr_iter_next(&it))) answer_text(a, json_get_str(p, "text"));
    }
}

static void read_tool(struct answer *a, yyjson_val *call, struct buf *room)
{
    yyjson_val *function = json_get(call, "function"), *args;

    if (!yyjson_is_obj(function)) function = call; /* seen flat */
    args = json_get(function, "arguments");
    struct tool_piece p = {
        .index = json_get_int(call, "index", -1),
        .id = json_get_str(call, "id"),
        .name = json_get_str(function, "name"),
        .args = json_get_str(function, "arguments"),
    };
    if (yyjson_is_obj(args) || yyjson_is_arr(args)) {
        struct json_out o = json_begin(room);
        buf_clear(room);
        json_val(&o, args);
        p.args = buf_str(room);
    }
    answer_tool(a, &p);
}

void openai_read_tools(struct answer *a, yyjson_val *delta)
{
    yyjson_val *calls = json_get(delta, "tool_calls"), *old = json_get(delta, "function_call"),
               *call;
    yyjson_arr_iter it;
    struct buf room;

    if (!yyjson_is_arr(calls) && !yyjson_is_obj(old)) return;
    buf_init(&room, 3u * UPSTREAM_EVENT_BYTES_MAX);
    if (yyjson_is_arr(calls)) {
        yyjson_arr_iter_init(calls, &it);
        while (!a->over && (call = yyjson_arr_iter_next(&it)))
            if (yyjson_is_obj(call)) read_tool(a, call, &room);
    } else {
        read_tool(a, old, &room);
    }
    buf_fini(&room);
}

static void read_message(struct answer *a, yyjson_val *m)
{
    yyjson_val *reasoning = json_get(m, "reasoning");

    answer_reasoning(a, REASONING_CONTENT, json_get_str(m, "reasoning_content"));
    if (yyjson_is_str(reasoning)) answer_reasoning(a, REASONING_PLAIN, json_str(reasoning));
    read_details(a, json_get(m, "reasoning_details"));
    read_text(a, json_get(m, "content"));
    str refusal = json_get_str(m, "refusal");
    if (refusal.len) {
        answer_text(a, refusal);
        a->refused = true;
    }
    openai_read_tools(a, m);
}

/* ---- the rest ---- */

enum finish openai_finish_of(str word)
{
    if (word.len == 0) return FINISH_NONE;
    if (str_eq(word, STR("length")) || str_eq(word, STR("max_tokens"))) return FINISH_LENGTH;
    if (str_eq(word, STR("tool_calls")) || str_eq(word, STR("function_call")))
        return FINISH_TOOL_CALLS;
    if (str_eq(word, STR("content_filter"))) return FINISH_CONTENT_FILTER;
    return FINISH_STOP; /* "stop", "eos", and what others call it */
}

void openai_read_usage(struct answer *a, yyjson_val *usage)
{
    if (!yyjson_is_obj(usage)) return;
    yyjson_val *in = json_get(usage, "prompt_tokens_details"),
               *out = json_get(usage, "completion_tokens_details");
    struct usage u = usage_unknown;

    u.prompt_tokens = json_get_int(usage, "prompt_tokens", -1);
    u.completion_tokens = json_get_int(usage, "completion_tokens", -1);
    u.cached_tokens =
        json_get_int(in, "cached_tokens", json_get_int(usage, "prompt_cache_hit_tokens", -1));
    u.cache_write_tokens = json_get_int(in, "cache_write_tokens", -1);
    u.reasoning_tokens =
        json_get_int(out, "reasoning_tokens", json_get_int(usage, "reasoning_tokens", -1));
    answer_usage(a, &u, json_get_int(usage, "total_tokens", -1));
}

static void read_choice(struct answer *a, yyjson_val *choice, const char *key)
{
    if (json_get_int(choice, "index", 0) != 0) return; /* one answer was asked for */
    yyjson_val *m = json_get(choice, key);
    if (!yyjson_is_obj(m)) m = json_get(choice, strcmp(key, "delta") == 0 ? "message" : "delta");
    if (pass_is_on(a->q, WIRE_CHAT)) {
        yyjson_val *logprobs = json_get(choice, "logprobs");
        if (yyjson_is_obj(logprobs)) answer_extra(a, EXTRA_LOGPROBS, logprobs);
    }
    read_message(a, m);
    if (a->over) return;
    enum finish f = openai_finish_of(json_get_str(choice, "finish_reason"));
    if (f == FINISH_STOP && a->refused) f = FINISH_CONTENT_FILTER;
    answer_finish(a, f);
}

void openai_read_event(struct answer *a, str type, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));

    (void)type;
    openai_read_usage(a, json_get(root, "usage"));
    if (choice) read_choice(a, choice, "delta");
}

void openai_read_whole(struct answer *a, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));

    openai_read_usage(a, json_get(root, "usage"));
    if (pass_is_on(a->q, WIRE_CHAT) && yyjson_is_str(json_get(root, "system_fingerprint")))
        answer_extra(a, EXTRA_FINGERPRINT, json_get(root, "system_fingerprint"));
    if (choice == NULL) {
        struct fault f = {.e = ERR_SERVER,
                          .message = STR("no choices in the answer"),
                          .retry_after_ms = -1};
        answer_fault(a, &f);
        return;
    }
    read_choice(a, choice, "message");
    /* A whole answer that says nothing about its end came to it. */
    if (!a->over && !a->finish) answer_finish(a, a->refused ? FINISH_CONTENT_FILTER : FINISH_STOP);
}
