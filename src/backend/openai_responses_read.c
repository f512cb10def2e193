/* Events and whole answers of the Responses API (providers.md section 4).
 *
 * Several items may be open at once: each event names its own by item_id, by output_index, or by
 * both.  What was seen of an item is kept in the answer's own memory, an array of struct item; what
 * came in deltas is not given again when the item is repeated whole, at its end and in the last
 * event. */
#include "backend/openai_in.h"
#include "base/hash.h"
#include "conf/limits.h"

enum { ITEMS_MAX = 4096 };

enum item_kind { ITEM_OTHER, ITEM_MESSAGE, ITEM_REASONING, ITEM_CALL, ITEM_CUSTOM };

struct item {
    int64_t index; /* output_index; -1: not told */
    uint64_t id;   /* a hash of the item's id; 0: it has none */
    enum item_kind kind;
    bool given;           /* text, summary or arguments came in deltas */
    bool named;           /* the call's id and name were given */
    bool signed_;         /* its encrypted content was given */
    bool closed;          /* the custom call's arguments were given to their end */
    struct halves halves; /* of the custom call's input */
    int64_t part;         /* the last of its parts that was given; -1: none */
};

/* ---- items ---- */

static size_t items_count(const struct answer *a)
{
    return a->own.len / sizeof(struct item);
}

static struct item *item_at(const struct answer *a, size_t n)
{
    return (struct item *)(void *)a->own.at + n;
}

static uint64_t id_of(str id)
{
    uint64_t key = id.len ? hash_str(id) : 0;
    return id.len && key == 0 ? 1 : key;
}

static enum item_kind kind_of(str type)
{
    if (str_eq(type, STR("message"))) return ITEM_MESSAGE;
    if (str_eq(type, STR("reasoning"))) return ITEM_REASONING;
    if (str_eq(type, STR("function_call"))) return ITEM_CALL;
    if (str_eq(type, STR("custom_tool_call"))) return ITEM_CUSTOM;
    return ITEM_OTHER;
}

static void too_much(struct answer *a, const char *what)
{
    struct fault f = {.e = ERR_SERVER, .message = str_of(what), .retry_after_ms = -1};
    answer_fault(a, &f);
}

static size_t add(struct answer *a, uint64_t id, int64_t index, enum item_kind kind)
{
    size_t count = items_count(a);
    struct item fresh = {.index = index, .id = id, .kind = kind, .part = -1};

    if (count < ITEMS_MAX) buf_add(&a->own, str_span((const char *)&fresh, sizeof fresh));
    if (count < ITEMS_MAX && !a->own.bad) return count;
    too_much(a, "too many items");
    return SIZE_MAX;
}

/* The place of the item that an event speaks of, which may be a new one; some servers tell one of
 * the two names only, or begin no item before they fill it.  SIZE_MAX: there is no room. */
static size_t find(struct answer *a, uint64_t id, int64_t index, enum item_kind kind, bool begins)
{
    size_t count = items_count(a);

    for (size_t i = count; id && i-- > 0;)
        if (item_at(a, i)->id == id) return i;
    /* Some servers make up an id for each event: the place tells then, but for what begins. */
    if (begins && id) return add(a, id, index, kind);
    for (size_t i = count; index >= 0 && i-- > 0;)
        if (item_at(a, i)->index == index && item_at(a, i)->kind == kind) return i;
    if (id == 0 && index < 0) /* nothing said: the newest of its kind */
        for (size_t i = count; i-- > 0;)
            if (item_at(a, i)->kind == kind) return i;
    return add(a, id, index, kind);
}

static size_t find_of_event(struct answer *a, yyjson_val *root, enum item_kind kind)
{
    return find(a, id_of(json_get_str(root, "item_id")), json_get_int(root, "output_index", -1),
                kind, false);
}

/* ---- what items hold ---- */

static void give_call(struct answer *a, size_t n, str id, str name, str args)
{
    struct item *it = item_at(a, n);
    struct tool_piece p = {.index = (int64_t)n, .args = args};

    if (!it->named) p.id = id, p.name = name;
    it->named = it->named || name.len;
    it->given = it->given || args.len;
    answer_tool(a, &p);
}

/* A custom tool is called with one text: here it is a function's arguments, {"input":"..."}.  What
 * came of the text, its end with it when `ends`. */
static void give_input(struct answer *a, size_t n, str text, bool ends)
{
    struct item *it = item_at(a, n);
    struct buf joined, args;
    bool begins = !it->given;

    if (it->closed || (!ends && text.len == 0)) return;
    it->given = true;
    it->closed = ends;
    buf_init(&joined, UPSTREAM_EVENT_BYTES_MAX * 3);
    buf_init(&args, UPSTREAM_EVENT_BYTES_MAX * 6);
    if (begins) buf_add(&args, STR("{\"input\":\""));
    json_escape(&args, halves_join(&it->halves, text, &joined), false);
    if (ends) json_escape(&args, halves_end(&it->halves), false);
    if (ends) buf_add(&args, STR("\"}"));
    const struct tool_piece p = {.index = (int64_t)n, .args = buf_str(&args)};
    if (joined.bad || args.bad)
        too_much(a, "a tool's input is too long");
    else
        answer_tool(a, &p);
    buf_fini(&joined);
    buf_fini(&args);
}

static void give_custom_call(struct answer *a, size_t n, yyjson_val *item, bool ended)
{
    bool given = item_at(a, n)->given;

    give_call(a, n, json_get_str(item, "call_id"), json_get_str(item, "name"), STR(""));
    if (ended && !a->over) give_input(a, n, given ? STR("") : json_get_str(item, "input"), true);
}

/* Those whose end was never told. */
static void end_custom_calls(struct answer *a)
{
    for (size_t n = 0; !a->over && n < items_count(a); n++)
        if (item_at(a, n)->kind == ITEM_CUSTOM && item_at(a, n)->named)
            give_input(a, n, STR(""), true);
}

static void give_refusal(struct answer *a, str text)
{
    if (text.len == 0) return;
    a->refused = true;
    answer_text(a, text);
}

static void give_part(struct answer *a, size_t n, int64_t part, str text, bool refusal)
{
    struct item *it = item_at(a, n);

    if (text.len == 0) return;
    it->given = true;
    if (part > it->part) it->part = part;
    if (refusal)
        give_refusal(a, text);
    else
        answer_text(a, text);
}

/* Parts of a summary are paragraphs, and so are the thoughts of two items. */
static void give_thought(struct answer *a, size_t n, int64_t part, enum reasoning_source from,
                         str text)
{
    struct item *it = item_at(a, n);
    bool first = it->part != part;

    if (text.len == 0) return;
    if (first && a->own_count[0] && a->source == from) answer_reasoning(a, from, STR("\n\n"));
    if (a->over) return;
    it->part = part;
    it->given = true;
    a->own_count[0]++;
    answer_reasoning(a, from, text);
}

static void give_message(struct answer *a, yyjson_val *content)
{
    yyjson_arr_iter it;
    yyjson_val *p;

    if (yyjson_is_str(content)) answer_text(a, json_str(content));
    if (!yyjson_is_arr(content)) return;
    yyjson_arr_iter_init(content, &it);
    while (!a->over && (p = yyjson_arr_iter_next(&it))) {
        answer_text(a, json_get_str(p, "text"));
        if (!a->over) give_refusal(a, json_get_str(p, "refusal"));
    }
}

static void give_thoughts(struct answer *a, size_t n, yyjson_val *parts, enum reasoning_source from)
{
    yyjson_arr_iter it;
    yyjson_val *p;
    int64_t part = 0;

    if (!yyjson_is_arr(parts)) return;
    yyjson_arr_iter_init(parts, &it);
    while (!a->over && (p = yyjson_arr_iter_next(&it)))
        give_thought(a, n, part++, from, json_get_str(p, "text"));
}

/* An item as it begins, as it ended, or in the last event: what is new in it counts. */
static void take_item(struct answer *a, yyjson_val *item, int64_t index, bool ended)
{
    enum item_kind kind = kind_of(json_get_str(item, "type"));

    if (kind == ITEM_OTHER) return; /* tools of the provider's own */
    str id = json_get_str(item, "id");
    size_t n = find(a, id_of(id), index, kind, !ended);
    if (n == SIZE_MAX) return;
    bool given = item_at(a, n)->given;
    if (item_at(a, n)->kind != kind) return;
    if (kind == ITEM_CALL) {
        str args = ended && !given ? json_get_str(item, "arguments") : STR("");
        give_call(a, n, json_get_str(item, "call_id"), json_get_str(item, "name"), args);
        return;
    }
    if (kind == ITEM_CUSTOM) {
        give_custom_call(a, n, item, ended);
        return;
    }
    if (!ended) return;
    if (kind == ITEM_MESSAGE) {
        item_at(a, n)->given = true;
        if (!given) give_message(a, json_get(item, "content"));
        return;
    }
    if (!given) give_thoughts(a, n, json_get(item, "summary"), REASONING_CONTENT);
    if (!a->over && !item_at(a, n)->given)
        give_thoughts(a, n, json_get(item, "content"), REASONING_PLAIN);
    str token = json_get_str(item, "encrypted_content");
    if (a->over || item_at(a, n)->signed_ || token.len == 0) return;
    item_at(a, n)->signed_ = true;
    answer_part_signature(a, PART_REASONING, id, token);
}

/* ---- the end ---- */

static void read_usage(struct answer *a, yyjson_val *usage)
{
    yyjson_val *in = json_get(usage, "input_tokens_details"),
               *out = json_get(usage, "output_tokens_details");
    struct usage u = usage_unknown;

    if (!yyjson_is_obj(usage)) return;
    u.prompt_tokens = json_get_int(usage, "input_tokens", -1);
    u.completion_tokens = json_get_int(usage, "output_tokens", -1);
    u.cached_tokens = json_get_int(in, "cached_tokens", -1);
    u.cache_write_tokens = json_get_int(in, "cache_write_tokens", -1);
    u.reasoning_tokens = json_get_int(out, "reasoning_tokens", -1);
    answer_usage(a, &u, json_get_int(usage, "total_tokens", -1));
}

static void fail(struct answer *a, yyjson_val *response, str otherwise)
{
    struct fault f;

    fault_read(&f, 0, response, otherwise);
    if (f.message.len == 0) f.message = otherwise;
    openai_responses_judge(a, &f, response);
    answer_fault(a, &f);
}

static void finish(struct answer *a, yyjson_val *response, str status)
{
    str reason = json_get_str(json_get(response, "incomplete_details"), "reason");
    enum finish f = FINISH_STOP;

    if (str_eq(status, STR("incomplete")))
        f = str_eq(reason, STR("content_filter")) ? FINISH_CONTENT_FILTER : FINISH_LENGTH;
    else if (a->refused)
        f = FINISH_CONTENT_FILTER;
    answer_finish(a, f); /* with calls it becomes their finish */
    answer_complete(a);
}

/* The response as it ended; `status` where it does not tell its own. */
static void take_response(struct answer *a, yyjson_val *response, str status)
{
    yyjson_val *output = json_get(response, "output"), *item;
    str own = json_get_str(response, "status");
    yyjson_arr_iter it;
    int64_t index = 0;

    if (own.len) status = own;
    read_usage(a, json_get(response, "usage"));
    if (!str_eq(status, STR("completed")) && !str_eq(status, STR("incomplete"))) {
        fail(a, response,
             str_eq(status, STR("cancelled")) ? STR("the response was cancelled")
             : str_eq(status, STR("failed"))  ? STR("the response failed")
                                              : STR("the response is not finished"));
        return;
    }
    if (yyjson_is_arr(output)) {
        yyjson_arr_iter_init(output, &it);
        while (!a->over && (item = yyjson_arr_iter_next(&it))) take_item(a, item, index++, true);
    }
    end_custom_calls(a);
    if (!a->over) finish(a, response, status);
}

/* ---- events ---- */

static void take_delta(struct answer *a, str type, yyjson_val *root)
{
    str delta = json_get_str(root, "delta");
    bool summary = str_eq(type, STR("reasoning_summary_text.delta"));
    bool thought = str_eq(type, STR("reasoning_text.delta"));
    bool refusal = str_eq(type, STR("refusal.delta"));
    size_t n;

    if (str_eq(type, STR("output_text.delta")) || refusal) {
        n = find_of_event(a, root, ITEM_MESSAGE);
        if (n == SIZE_MAX) return;
        give_part(a, n, json_get_int(root, "content_index", 0), delta, refusal);
    } else if (str_eq(type, STR("function_call_arguments.delta"))) {
        n = find_of_event(a, root, ITEM_CALL);
        if (n != SIZE_MAX) give_call(a, n, STR_NONE, STR_NONE, delta);
    } else if (str_eq(type, STR("custom_tool_call_input.delta"))) {
        n = find_of_event(a, root, ITEM_CUSTOM);
        if (n != SIZE_MAX) give_input(a, n, delta, false);
    } else if (summary || thought) {
        n = find_of_event(a, root, ITEM_REASONING);
        if (n == SIZE_MAX) return;
        int64_t part = json_get_int(root, summary ? "summary_index" : "content_index", 0);
        give_thought(a, n, part, summary ? REASONING_CONTENT : REASONING_PLAIN, delta);
    }
}

/* The whole of what deltas gave; it counts where none came. */
static void take_done(struct answer *a, str type, yyjson_val *root)
{
    bool refusal = str_eq(type, STR("refusal.done"));
    bool summary = str_eq(type, STR("reasoning_summary_text.done"));
    size_t n;

    if (str_eq(type, STR("output_text.done")) || refusal) {
        int64_t part = json_get_int(root, "content_index", 0);
        n = find_of_event(a, root, ITEM_MESSAGE);
        if (n == SIZE_MAX || part <= item_at(a, n)->part) return;
        give_part(a, n, part, json_get_str(root, refusal ? "refusal" : "text"), refusal);
        return;
    }
    if (summary || str_eq(type, STR("reasoning_text.done"))) {
        int64_t part = json_get_int(root, summary ? "summary_index" : "content_index", 0);
        n = find_of_event(a, root, ITEM_REASONING);
        if (n == SIZE_MAX || part <= item_at(a, n)->part) return;
        give_thought(a, n, part, summary ? REASONING_CONTENT : REASONING_PLAIN,
                     json_get_str(root, "text"));
        return;
    }
    if (str_eq(type, STR("custom_tool_call_input.done"))) {
        n = find_of_event(a, root, ITEM_CUSTOM);
        if (n == SIZE_MAX) return;
        bool begun = item_at(a, n)->given;
        give_input(a, n, begun ? STR("") : json_get_str(root, "input"), true);
        return;
    }
    if (!str_eq(type, STR("function_call_arguments.done"))) return;
    n = find_of_event(a, root, ITEM_CALL);
    if (n == SIZE_MAX) return;
    bool given = item_at(a, n)->given;
    give_call(a, n, STR_NONE, json_get_str(root, "name"),
              given ? STR("") : json_get_str(root, "arguments"));
}

void openai_responses_event(struct answer *a, str name, yyjson_val *root)
{
    static const char head[] = "response.";
    str type = json_get_str(root, "type");

    if (type.len == 0) type = name;
    if (!str_starts(type, STR("response."))) return; /* pings, and what is still to come */
    type = str_tail(type, sizeof head - 1);
    if (str_ends(type, STR(".delta"))) {
        take_delta(a, type, root);
    } else if (str_eq(type, STR("output_item.added"))) {
        take_item(a, json_get(root, "item"), json_get_int(root, "output_index", -1), false);
    } else if (str_eq(type, STR("output_item.done"))) {
        take_item(a, json_get(root, "item"), json_get_int(root, "output_index", -1), true);
    } else if (str_ends(type, STR(".done"))) {
        take_done(a, type, root);
    } else if (str_eq(type, STR("completed")) || str_eq(type, STR("incomplete")) ||
               str_eq(type, STR("failed")) || str_eq(type, STR("cancelled"))) {
        take_response(a, json_get(root, "response"), type);
    }
}

void openai_responses_whole(struct answer *a, yyjson_val *root)
{
    if (!yyjson_is_arr(json_get(root, "output")))
        fail(a, root, STR("no output in the answer"));
    else
        take_response(a, root, STR("completed"));
}

/* What a failed response says of its cause, beside the words of refusals. */
void openai_responses_judge(struct answer *a, struct fault *f, yyjson_val *root)
{
    (void)a, (void)root;
    if (str_eq(f->code, STR("invalid_prompt")))
        f->e = fault_says(f, "flagged") || fault_says(f, "policy") ? ERR_CONTENT_FILTER
                                                                   : ERR_BAD_REQUEST;
    else if (str_starts(f->code, STR("invalid_image")) || str_starts(f->code, STR("image_")) ||
             str_eq(f->code, STR("unsupported_image_media_type")))
        f->e = ERR_BAD_REQUEST;
}
