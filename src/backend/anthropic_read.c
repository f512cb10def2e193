/* Events and whole answers (providers.md 5.3, 5.4). */
#include "backend/anthropic_in.h"
#include "conf/limits.h"

static enum finish finish_of(const struct answer *a, str word)
{
    if (word.len == 0) return FINISH_NONE;
    if (str_eq(word, STR("max_tokens")) || str_eq(word, STR("model_context_window_exceeded")))
        return FINISH_LENGTH;
    if (str_eq(word, STR("refusal"))) return FINISH_CONTENT_FILTER;
    /* The schema's tool is none to the client. */
    if (str_eq(word, STR("tool_use")))
        return a->tools.begun || a->text_block < 0 ? FINISH_TOOL_CALLS : FINISH_STOP;
    return FINISH_STOP; /* end_turn, stop_sequence, pause_turn */
}

/* Counts are cumulative: what is there replaces, what is missing stays.  The three of the input are
 * apart from each other here. */
static void read_usage(struct answer *a, yyjson_val *usage)
{
    struct usage u = a->usage;
    int64_t read = u.cached_tokens > 0 ? u.cached_tokens : 0,
            written = u.cache_write_tokens > 0 ? u.cache_write_tokens : 0;
    int64_t input = u.prompt_tokens < 0 ? -1 : u.prompt_tokens - read - written;

    if (!yyjson_is_obj(usage)) return;
    input = json_get_int(usage, "input_tokens", input);
    u.cached_tokens = json_get_int(usage, "cache_read_input_tokens", u.cached_tokens);
    u.cache_write_tokens = json_get_int(usage, "cache_creation_input_tokens", u.cache_write_tokens);
    u.completion_tokens = json_get_int(usage, "output_tokens", u.completion_tokens);
    u.reasoning_tokens = json_get_int(json_get(usage, "output_tokens_details"), "thinking_tokens",
                                      u.reasoning_tokens);
    read = u.cached_tokens > 0 ? u.cached_tokens : 0;
    written = u.cache_write_tokens > 0 ? u.cache_write_tokens : 0;
    u.prompt_tokens = input < 0 ? -1 : input + read + written;
    answer_usage(a, &u, -1);
}

/* ---- blocks ---- */

static void end_block(struct answer *a)
{
    if (a->signature.len) answer_signature(a, buf_str(&a->signature), STR_NONE);
    buf_clear(&a->signature);
}

/* The input of a tool that stands in one piece; an empty one is only the place of what comes. */
static void read_input(struct answer *a, const struct tool_piece *of, yyjson_val *input, bool text)
{
    struct buf room;

    if (!yyjson_is_obj(input) || yyjson_obj_size(input) == 0) return;
    buf_init(&room, 3u * UPSTREAM_EVENT_BYTES_MAX);
    struct json_out o = json_begin(&room);
    json_val(&o, input);
    struct tool_piece p = {.index = of->index, .args = buf_str(&room)};
    if (text)
        answer_text(a, buf_str(&room));
    else
        answer_tool(a, &p);
    buf_fini(&room);
}

static void read_tool(struct answer *a, yyjson_val *block, int64_t index)
{
    struct tool_piece p = {.index = index,
                           .id = json_get_str(block, "id"),
                           .name = json_get_str(block, "name")};
    bool text = str_eq(p.name, str_of(anthropic_json_tool)) && anthropic_uses_json_tool(a);

    if (text)
        a->text_block = index;
    else
        answer_tool(a, &p);
    if (!a->over) read_input(a, &p, json_get(block, "input"), text);
}

/* A block at its start, or whole: what it holds already counts. */
static void read_block(struct answer *a, yyjson_val *block, int64_t index)
{
    str type = json_get_str(block, "type");

    if (str_eq(type, STR("text"))) {
        answer_text(a, json_get_str(block, "text"));
    } else if (str_eq(type, STR("thinking"))) {
        answer_reasoning(a, REASONING_CONTENT, json_get_str(block, "thinking"));
        buf_add(&a->signature, json_get_str(block, "signature"));
    } else if (str_eq(type, STR("redacted_thinking"))) {
        answer_signature(a, STR_NONE, json_get_str(block, "data"));
    } else if (str_eq(type, STR("tool_use"))) {
        read_tool(a, block, index);
    }
}

static void read_delta(struct answer *a, yyjson_val *delta, int64_t index)
{
    str type = json_get_str(delta, "type");

    if (str_eq(type, STR("text_delta"))) {
        answer_text(a, json_get_str(delta, "text"));
    } else if (str_eq(type, STR("thinking_delta"))) {
        answer_reasoning(a, REASONING_CONTENT, json_get_str(delta, "thinking"));
    } else if (str_eq(type, STR("signature_delta"))) {
        buf_add(&a->signature, json_get_str(delta, "signature"));
    } else if (str_eq(type, STR("input_json_delta"))) {
        struct tool_piece p = {.index = index, .args = json_get_str(delta, "partial_json")};
        if (index == a->text_block)
            answer_text(a, p.args);
        else
            answer_tool(a, &p);
    }
}

/* ---- the whole ---- */

void anthropic_read_event(struct answer *a, str name, yyjson_val *root)
{
    str type = json_get_str(root, "type");
    int64_t index = json_get_int(root, "index", 0);

    if (type.len == 0) type = name;
    if (str_eq(type, STR("message_start"))) {
        read_usage(a, json_get(json_get(root, "message"), "usage"));
    } else if (str_eq(type, STR("content_block_start"))) {
        end_block(a);
        read_block(a, json_get(root, "content_block"), index);
    } else if (str_eq(type, STR("content_block_delta"))) {
        read_delta(a, json_get(root, "delta"), index);
    } else if (str_eq(type, STR("content_block_stop"))) {
        end_block(a);
    } else if (str_eq(type, STR("message_delta"))) {
        end_block(a);
        read_usage(a, json_get(root, "usage"));
        answer_stop_was(a, json_get_str(json_get(root, "delta"), "stop_sequence"));
        answer_finish(a, finish_of(a, json_get_str(json_get(root, "delta"), "stop_reason")));
    } else if (str_eq(type, STR("message_stop"))) {
        answer_complete(a);
    }
}

void anthropic_read_whole(struct answer *a, yyjson_val *root)
{
    yyjson_val *content = json_get(root, "content"), *block;
    yyjson_arr_iter it;
    int64_t index = 0;

    read_usage(a, json_get(root, "usage"));
    if (!yyjson_is_arr(content)) {
        struct fault f = {.e = ERR_SERVER,
                          .message = STR("no content in the answer"),
                          .retry_after_ms = -1};
        answer_fault(a, &f);
        return;
    }
    yyjson_arr_iter_init(content, &it);
    while (!a->over && (block = yyjson_arr_iter_next(&it))) {
        read_block(a, block, index++);
        end_block(a);
    }
    if (a->over) return;
    answer_stop_was(a, json_get_str(root, "stop_sequence"));
    answer_finish(a, finish_of(a, json_get_str(root, "stop_reason")));
    /* A whole answer that says nothing about its end came to it. */
    if (!a->finish) answer_finish(a, FINISH_STOP);
}
