/* What MiniMax answers, in its own form and in that of OpenAI's chat completions. */
#include "backend/minimax_in.h"
#include "backend/openai_in.h"

enum { CHANNEL_TEXT, CHANNEL_REASONING };

/* As much must stand there again before a fragment counts as the text so far: shorter ones repeat
 * by chance. */
enum { REPEATED_BYTES_MIN = 16 };

/* ---- fragments ---- */

/* The live service sends what is new, its documentation shows the text so far in each fragment
 * (providers.md 7.2).  The first fragment after 16 bytes of a channel decides. */
static str only_new(struct answer *a, int channel, str piece)
{
    size_t given = a->own_count[channel];
    /* One buffer: what is undecided is short, and only the channel that is open can decide. */
    str so_far = buf_str(&a->own);

    if (a->own_state == FRAGMENTS_UNKNOWN) {
        if (given == 0) buf_clear(&a->own), so_far = STR("");
        if (given >= REPEATED_BYTES_MIN && so_far.len == given)
            a->own_state = str_starts(piece, so_far) ? FRAGMENTS_ALL : FRAGMENTS_NEW;
        else
            buf_add(&a->own, piece);
    }
    if (a->own_state != FRAGMENTS_ALL) {
        a->own_count[channel] += piece.len;
        return piece;
    }
    str rest = str_tail(piece, given < piece.len ? given : piece.len);
    a->own_count[channel] += rest.len;
    return rest;
}

static void read_details(struct answer *a, yyjson_val *details)
{
    yyjson_arr_iter it;
    yyjson_val *d;

    if (!yyjson_is_arr(details)) return;
    yyjson_arr_iter_init(details, &it);
    while (!a->over && (d = yyjson_arr_iter_next(&it))) {
        str text = json_get_str(d, "text");
        if (text.len && (a->source == REASONING_NONE || a->source == REASONING_DETAILS))
            answer_reasoning(a, REASONING_DETAILS, only_new(a, CHANNEL_REASONING, text));
    }
}

static void read_message(struct answer *a, yyjson_val *m)
{
    str reasoning = json_get_str(m, "reasoning_content"), text = json_get_str(m, "content");

    if (reasoning.len && (a->source == REASONING_NONE || a->source == REASONING_CONTENT))
        answer_reasoning(a, REASONING_CONTENT, only_new(a, CHANNEL_REASONING, reasoning));
    read_details(a, json_get(m, "reasoning_details"));
    if (a->over) return;
    if (text.len) answer_text(a, only_new(a, CHANNEL_TEXT, text));
    if (!a->over) openai_read_tools(a, m);
}

/* ---- events ---- */

/* True: the input was refused, and that has been said. */
static bool read_flags(struct answer *a, yyjson_val *root)
{
    struct fault f = {.e = ERR_CONTENT_FILTER,
                      .message = STR("the input is sensitive"),
                      .retry_after_ms = -1};

    if (json_get_bool(root, "output_sensitive", false)) answer_finish(a, FINISH_CONTENT_FILTER);
    if (!json_get_bool(root, "input_sensitive", false)) return false;
    answer_fault(a, &f);
    return true;
}

static bool came_something(const struct answer *a)
{
    return a->own_count[CHANNEL_TEXT] || a->own_count[CHANNEL_REASONING] || a->tools.count;
}

static void finish(struct answer *a, yyjson_val *choice)
{
    enum finish f = openai_finish_of(json_get_str(choice, "finish_reason"));

    if (a->finish != FINISH_CONTENT_FILTER) answer_finish(a, f);
}

/* The last event, or a whole answer, holds all the text: it counts only when no delta came. */
static void read_all(struct answer *a, yyjson_val *choice)
{
    if (!came_something(a)) read_message(a, json_get(choice, "message"));
    if (a->over) return;
    finish(a, choice);
    if (!a->finish) answer_finish(a, FINISH_STOP); /* it is whole */
}

void minimax_read_event(struct answer *a, str type, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));
    bool closes = str_eq(json_get_str(root, "object"), STR("chat.completion"));

    (void)type;
    if (read_flags(a, root) || a->over) return;
    openai_read_usage(a, json_get(root, "usage"));
    if (choice == NULL || json_get_int(choice, "index", 0) != 0) return;
    if (closes || (json_get(choice, "message") && !json_get(choice, "delta"))) {
        read_all(a, choice);
        answer_complete(a);
        return;
    }
    read_message(a, json_get(choice, "delta"));
    if (!a->over) finish(a, choice);
}

void minimax_read_whole(struct answer *a, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));

    if (read_flags(a, root) || a->over) return;
    openai_read_usage(a, json_get(root, "usage"));
    if (choice) {
        read_all(a, choice);
    } else if (!a->finish) {
        struct fault f = {.e = ERR_SERVER,
                          .message = STR("no choices in the answer"),
                          .retry_after_ms = -1};
        answer_fault(a, &f);
    }
}

/* ---- refusals ---- */

/* base_resp.status_code; elsewhere the number in parentheses that ends the message. */
static int64_t number_of(const struct fault *f, yyjson_val *root)
{
    int64_t code = json_get_int(json_get(root, "base_resp"), "status_code", 0);
    size_t open = str_rfind_char(f->message, '(');
    uint64_t n = 0;

    if (code || open == STR_NPOS) return code;
    str rest = str_tail(f->message, open + 1);
    if (!str_to_u64(str_head(rest, str_find_char(rest, ')')), &n) || n > INT32_MAX) return 0;
    return (int64_t)n;
}

void minimax_judge(struct answer *a, struct fault *f, yyjson_val *root)
{
    switch (number_of(f, root)) {
    case 1000:
    case 1013:
    case 1024:
    case 1033: f->e = ERR_SERVER; break;
    case 1001: f->e = ERR_TIMEOUT; break;
    case 1002:
    case 1039:
    case 1041:
    case 2045: f->e = ERR_RATE_LIMIT; break;
    case 1004:
    case 2049: f->e = ERR_AUTH; break;
    case 1008:
    case 2056: f->e = ERR_QUOTA; break;
    case 1026: f->e = ERR_CONTENT_FILTER; break;
    case 1027: /* the output: an end, not a fault */
        f->e = ERR_CONTENT_FILTER;
        answer_finish(a, FINISH_CONTENT_FILTER);
        break;
    case 1042: f->e = ERR_BAD_REQUEST; break;
    case 2013:
        if (f->e != ERR_CONTEXT_LENGTH) f->e = ERR_BAD_REQUEST;
        break;
    default: break;
    }
}
