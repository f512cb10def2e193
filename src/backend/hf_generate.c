/* Text generation, as TGI and the older inference service have it (providers.md 8.2): the
 * conversation is written as a prompt, and what comes is cut where the model would go on with the
 * user's next turn.
 *
 * Of an answer's own memory: `own` holds the list of what stops it, an array of str for own_stops,
 * own_count[0] the bytes given, `own_state` is 1 once a stop was met. */
#include <math.h>

#include "backend/hf_in.h"
#include "backend/shape.h"
#include "conf/limits.h"

static const char next_turn[] = "\nUser:";

/* ---- the prompt ---- */

static void put_texts(struct buf *to, const struct message *m)
{
    bool begun = false;

    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TEXT) continue;
        if (begun) buf_add(to, STR("\n\n"));
        buf_add(to, m->parts[i].text);
        begun = true;
    }
}

static enum err put_prompt(struct buf *to, const struct ask *q, struct arena *room)
{
    static const char *const names[] = {"System: ", "User: ", "Assistant: ", "Tool: "};
    struct shape s;
    enum err e =
        shape_messages(&s, q, SHAPE_MERGE | SHAPE_LIFT_SYSTEM | SHAPE_FOLD_LATE_SYSTEM, room);

    if (e) return e;
    if (s.system.len) {
        buf_add(to, str_of(names[ROLE_SYSTEM]));
        buf_add(to, s.system);
        buf_add(to, STR("\n\n"));
    }
    for (size_t i = 0; i < s.count; i++) {
        buf_add(to, str_of(names[s.messages[i].role]));
        put_texts(to, &s.messages[i]);
        buf_add_char(to, '\n');
    }
    buf_add(to, STR("Assistant:"));
    if (q->prefill.len) buf_add_char(to, ' ');
    buf_add(to, q->prefill);
    return buf_err(to);
}

static bool has_images(const struct ask *q)
{
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_IMAGE) return true;
    return false;
}

/* ---- the request ---- */

static void put_sampling(struct json_out *o, const struct ask *q, uint64_t refused)
{
    if (!isnan(q->temperature) && !(refused & REFUSED_TEMPERATURE)) {
        /* 0 is refused; the likeliest token is had without sampling. */
        json_key(o, "do_sample"), json_bool(o, q->temperature > 0);
        if (q->temperature > 0) json_key(o, "temperature"), json_num(o, q->temperature);
    }
    if (q->top_p > 0 && q->top_p < 1 && !(refused & REFUSED_TOP_P))
        json_key(o, "top_p"), json_num(o, q->top_p);
    if (q->top_k > 0 && !q->top_k_is_setting && !(refused & REFUSED_TOP_K))
        json_key(o, "top_k"), json_int(o, q->top_k);
    if (q->repetition_penalty > 0 && !(refused & REFUSED_REPETITION))
        json_key(o, "repetition_penalty"), json_num(o, q->repetition_penalty);
    if (q->seeded && !(refused & REFUSED_SEED))
        json_key(o, "seed"), json_int(o, (int64_t)(q->seed & INT64_MAX));
}

enum err hf_generate_body(struct answer *a, struct call *c, bool stream, struct err_note *why)
{
    const struct ask *q = a->q;
    uint64_t refused = learned_get(a->backend->learned, q->model);
    struct buf prompt;

    if (q->tools_count && !str_eq(q->tool_choice, STR("none")))
        return backend_takes_no(why, "tools", STR("text generation"));
    if (q->format != FORMAT_TEXT)
        return backend_takes_no(why, "response_format", STR("text generation"));
    if (has_images(q)) return backend_takes_no_images(why, STR("text generation"));
    buf_init(&prompt, SIZE_MAX);
    enum err e = put_prompt(&prompt, q, &c->arena);

    struct json_out out = json_begin(&c->body), *o = &out;
    json_object(o);
    json_key(o, "inputs"), json_text(o, buf_str(&prompt));
    json_key(o, "parameters"), json_object(o);
    if (q->max_tokens >= 0) json_key(o, "max_new_tokens"), json_int(o, q->max_tokens);
    put_sampling(o, q, refused);
    if (!(refused & REFUSED_STOP)) {
        json_key(o, "stop"), json_array(o);
        json_text(o, str_of(next_turn));
        for (size_t i = 0; i < q->stops_count; i++) json_text(o, q->stops[i]);
        json_end_array(o);
    }
    json_key(o, "return_full_text"), json_bool(o, false);
    json_key(o, "details"), json_bool(o, true);
    json_end_object(o);
    json_key(o, "stream"), json_bool(o, stream);
    json_key(o, "options"), json_object(o);
    json_key(o, "wait_for_model"), json_bool(o, true);
    json_key(o, "use_cache"), json_bool(o, false);
    json_end_object(o);
    json_end_object(o);
    buf_fini(&prompt);
    c->stream = stream;
    return e ? err_set(why, e, "out of memory for a request") : buf_err(&c->body);
}

/* ---- the answer ---- */

static void give(struct answer *a, str text)
{
    /* The prompt ends in "Assistant:", so models begin with a blank. */
    while (a->own_count[0] == 0 && a->q->prefill.len == 0 && text.len &&
           (text.at[0] == ' ' || text.at[0] == '\n'))
        text = str_tail(text, 1);
    a->own_count[0] += text.len;
    answer_text(a, text);
}

/* A gap in the text is worse than an error. */
static bool is_whole(struct answer *a, const struct buf *text)
{
    const struct fault f = {.e = ERR_MEMORY,
                            .message = STR("out of memory for an answer"),
                            .retry_after_ms = -1};

    if (text->bad) answer_fault(a, &f);
    return !text->bad;
}

/* Those of the ask, and the user's next turn. */
static bool watch_stops(struct answer *a)
{
    const str turn = str_of(next_turn);

    if (a->own_stops.count) return true;
    buf_add(&a->own, str_span((const char *)&turn, sizeof turn));
    for (size_t i = 0; i < a->q->stops_count; i++)
        buf_add(&a->own, str_span((const char *)&a->q->stops[i], sizeof turn));
    if (!is_whole(a, &a->own)) return false;
    stops_init(&a->own_stops, (const str *)(const void *)a->own.at, a->q->stops_count + 1);
    return true;
}

static void take_text(struct answer *a, str piece)
{
    struct buf shown;

    if (a->own_state || a->over || !watch_stops(a)) return;
    buf_init(&shown, UPSTREAM_ANSWER_BYTES_MAX);
    bool met = stops_add(&a->own_stops, piece, &shown);
    if (met) {
        a->own_state = 1;
        answer_stop_was(a, *a->own_stops.met);
    }
    if (is_whole(a, &shown)) give(a, buf_str(&shown));
    buf_fini(&shown);
    if (met && !a->over) answer_finish(a, FINISH_STOP);
}

static void take_end(struct answer *a, yyjson_val *details)
{
    int64_t tokens = json_get_int(details, "generated_tokens", -1);
    struct usage u = usage_unknown;
    struct buf rest;

    buf_init(&rest, UPSTREAM_ANSWER_BYTES_MAX);
    stops_end(&a->own_stops, &rest);
    if (is_whole(a, &rest)) give(a, buf_str(&rest));
    buf_fini(&rest);
    if (a->over) return;
    u.completion_tokens = tokens;
    u.prompt_tokens = json_get_int(details, "input_length", -1);
    answer_usage(a, &u, -1);
    bool length = str_eq(json_get_str(details, "finish_reason"), STR("length"));
    answer_finish(a, length && !a->own_state ? FINISH_LENGTH : FINISH_STOP);
}

/* Whether the prompt is repeated in front although it was asked not to be. */
static str without_prompt(struct answer *a, str text)
{
    struct arena room;
    struct buf prompt;

    arena_init(&room, 0);
    buf_init(&prompt, SIZE_MAX);
    if (put_prompt(&prompt, a->q, &room) == ERR_NONE && str_starts(text, buf_str(&prompt)))
        text = str_tail(text, prompt.len);
    buf_fini(&prompt);
    arena_fini(&room);
    return text;
}

void hf_generate_event(struct answer *a, str type, yyjson_val *root)
{
    yyjson_val *token = json_get(root, "token"), *all = json_get(root, "generated_text");
    bool came = a->own_stops.count > 0;

    (void)type;
    if (yyjson_is_obj(token) && !json_get_bool(token, "special", false))
        take_text(a, json_get_str(token, "text"));
    else if (!came && yyjson_is_str(all) && !yyjson_is_obj(token))
        take_text(a, without_prompt(a, json_str(all))); /* a server that does not stream */
    if (!a->over && (yyjson_is_str(all) || yyjson_is_obj(json_get(root, "details"))))
        take_end(a, json_get(root, "details"));
}

void hf_generate_whole(struct answer *a, yyjson_val *root)
{
    if (yyjson_is_arr(root)) root = yyjson_arr_get_first(root);
    yyjson_val *all = json_get(root, "generated_text");
    if (!yyjson_is_str(all)) {
        struct fault f = {.e = ERR_SERVER,
                          .message = STR("no generated_text in the answer"),
                          .retry_after_ms = -1};
        answer_fault(a, &f);
        return;
    }
    take_text(a, without_prompt(a, json_str(all)));
    if (!a->over) take_end(a, json_get(root, "details"));
}
