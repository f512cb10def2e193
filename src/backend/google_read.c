/* Chunks and whole answers, which have one form, and what Google's refusals mean (providers.md 6.2
 * to 6.4). */
#include "backend/google_in.h"
#include "backend/speech.h"
#include "conf/limits.h"

static void fail(struct answer *a, enum err e, str message)
{
    const struct fault f = {.e = e, .message = message, .retry_after_ms = -1};
    answer_fault(a, &f);
}

/* ---- parts ---- */

static bool has_call(const struct answer *a, str id)
{
    for (size_t i = 0; i < a->tools.count; i++)
        if (str_eq(a->tools.at[i].id, id)) return true;
    return false;
}

/* Calls come whole, without an index of their own: the order in which they come numbers them. */
static void read_call(struct answer *a, yyjson_val *part, yyjson_val *call)
{
    yyjson_val *args = json_get(call, "args");
    char made[TOOL_ID_BYTES];
    struct buf room;
    struct tool_piece p = {.index = (int64_t)a->tools.count,
                           .id = json_get_str(call, "id"),
                           .name = json_get_str(call, "name")};

    if (p.id.len == 0 || has_call(a, p.id)) {
        tools_make_id(made);
        p.id = str_of(made);
    }
    google_signature_keep(p.id, json_get_str(part, "thoughtSignature"), loop_now_ms(a->loop));
    buf_init(&room, 3u * UPSTREAM_EVENT_BYTES_MAX);
    if (yyjson_is_obj(args)) {
        struct json_out o = json_begin(&room);
        json_val(&o, args);
        p.args = buf_str(&room);
    }
    answer_tool(a, &p);
    answer_part_signature(a, PART_TOOL_CALL, p.id, json_get_str(part, "thoughtSignature"));
    buf_fini(&room);
}

static void read_part(struct answer *a, yyjson_val *part)
{
    yyjson_val *call = json_get(part, "functionCall");
    str text = json_get_str(part, "text");

    if (yyjson_is_obj(call))
        read_call(a, part, call);
    else if (json_get_bool(part, "thought", false))
        answer_reasoning(a, REASONING_CONTENT, text);
    else
        answer_text(a, text);
    if (!yyjson_is_obj(call) && !json_get_bool(part, "thought", false))
        answer_part_signature(a, PART_TEXT, STR_NONE, json_get_str(part, "thoughtSignature"));
}

/* ---- the end ---- */

static bool is_any(str word, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(word, str_of(*words))) return true;
    return false;
}

static void read_finish(struct answer *a, str word)
{
    static const char *const filters[] = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT",
                                          "SPII",   "LANGUAGE",   NULL};
    static const char *const failures[] = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL",
                                           "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", NULL};

    if (word.len == 0 || a->over) return;
    if (str_eq(word, STR("STOP"))) {
        answer_finish(a, a->tools.begun ? FINISH_TOOL_CALLS : FINISH_STOP);
    } else if (str_eq(word, STR("MAX_TOKENS")) || str_eq(word, STR("CONTINUATION"))) {
        answer_finish(a, FINISH_LENGTH);
    } else if (is_any(word, filters) || str_starts(word, STR("IMAGE_"))) {
        answer_finish(a, FINISH_CONTENT_FILTER);
    } else if (is_any(word, failures)) {
        if (a->retries) a->hints.should_retry = 0; /* once is worth a try */
        fail(a, ERR_SERVER, word);
    } else if (a->bytes || speech_holds(a)) {
        answer_finish(a, FINISH_STOP);
    } else {
        fail(a, ERR_SERVER, word);
    }
}

/* Each chunk has it all so far; a counter that is missing is 0. */
static void read_usage(struct answer *a, yyjson_val *m)
{
    struct usage u = usage_unknown;

    if (!yyjson_is_obj(m)) return;
    int64_t prompt = json_get_int(m, "promptTokenCount", -1),
            tools = json_get_int(m, "toolUsePromptTokenCount", 0),
            total = json_get_int(m, "totalTokenCount", -1),
            said = json_get_int(m, "candidatesTokenCount", -1),
            thought = json_get_int(m, "thoughtsTokenCount", -1);
    if (prompt < 0 && total < 0) return;
    u.prompt_tokens = (prompt < 0 ? 0 : prompt) + tools;
    if (said < 0 && thought < 0)
        u.completion_tokens = total > u.prompt_tokens ? total - u.prompt_tokens : 0;
    else
        u.completion_tokens = (said < 0 ? 0 : said) + (thought < 0 ? 0 : thought);
    u.reasoning_tokens = thought;
    u.cached_tokens = json_get_int(m, "cachedContentTokenCount", -1);
    answer_usage(a, &u, total);
}

/* ---- the whole ---- */

void google_read_event(struct answer *a, str type, yyjson_val *root)
{
    yyjson_val *candidate = yyjson_arr_get_first(json_get(root, "candidates")), *part;
    yyjson_arr_iter it;

    (void)type;
    read_usage(a, json_get(root, "usageMetadata"));
    if (candidate == NULL) {
        str reason = json_get_str(json_get(root, "promptFeedback"), "blockReason");
        if (reason.len) fail(a, ERR_CONTENT_FILTER, reason);
        return;
    }
    if (json_get_int(candidate, "index", 0) != 0) return; /* one answer was asked for */
    yyjson_arr_iter_init(json_array_of(json_get(json_get(candidate, "content"), "parts")), &it);
    while (!a->over && (part = yyjson_arr_iter_next(&it))) read_part(a, part);
    read_finish(a, json_get_str(candidate, "finishReason"));
}

static bool waits(const struct answer *a)
{
    return a->over || a->state == ANSWER_WAITING;
}

/* A server that ignores "alt=sse" sends its chunks as one array. */
void google_read_whole(struct answer *a, yyjson_val *root)
{
    yyjson_val *one;
    yyjson_arr_iter it;
    bool any = false;

    if (!yyjson_is_arr(root)) {
        any = yyjson_arr_size(json_get(root, "candidates")) > 0;
        google_read_event(a, STR(""), root);
    } else {
        yyjson_arr_iter_init(root, &it);
        while (!waits(a) && (one = yyjson_arr_iter_next(&it))) {
            struct fault f;
            any = any || yyjson_arr_size(json_get(one, "candidates")) > 0;
            if (fault_is(one)) {
                fault_read(&f, 0, one, STR(""));
                google_judge(a, &f, one);
                answer_fault(a, &f);
            } else {
                google_read_event(a, STR(""), one);
            }
        }
    }
    if (waits(a)) return;
    if (!any)
        fail(a, ERR_SERVER, STR("no candidates in the answer"));
    else if (!a->finish)
        answer_finish(a,
                      FINISH_STOP); /* a whole answer that says nothing about its end came to it */
}

/* ---- refusals ---- */

void google_judge(struct answer *a, struct fault *f, yyjson_val *root)
{
    (void)a, (void)root;
    if (f->status == 499) f->e = ERR_SERVER; /* cancelled, on their side */
    if (f->e != ERR_BAD_REQUEST) return;
    if (fault_says(f, "API key not valid") || fault_says(f, "API key expired")) f->e = ERR_AUTH;
    if (!str_eq(f->type, STR("FAILED_PRECONDITION"))) return;
    if (fault_says(f, "billing")) f->e = ERR_QUOTA;
    if (fault_says(f, "location")) f->e = ERR_AUTH; /* no request from here is taken */
}

bool google_mend(struct answer *a, const struct fault *f)
{
    /* Google says it in words only.  The first that fits counts. */
    static const struct {
        const char *words;
        uint64_t bit;
    } rows[] = {
        {"developer instruction", NOT_SYSTEM},
        {"system instruction", NOT_SYSTEM},
        {"systemInstruction", NOT_SYSTEM},
        {"system_instruction", NOT_SYSTEM},
        {"JSON mode", NOT_JSON},
        {"responseJsonSchema", NOT_SCHEMA},
        {"response_json_schema", NOT_SCHEMA},
        {"response schema", NOT_SCHEMA},
        {"responseMimeType", NOT_JSON},
        {"response_mime_type", NOT_JSON},
        {"penalty", NOT_PENALTIES},
        {"penalties", NOT_PENALTIES},
        {"thinking level", NOT_LEVEL},
        {"thinking_level", NOT_LEVEL},
        {"thinkingLevel", NOT_LEVEL},
        {"thinking budget", NOT_BUDGET},
        {"thinking_budget", NOT_BUDGET},
        {"thinkingBudget", NOT_BUDGET},
        {"thinking", NOT_THINKING},
        {"seed", NOT_SEED},
        {"topK", NOT_TOP_K},
        {"top_k", NOT_TOP_K},
        {"stopSequences", NOT_STOP},
        {"stop_sequences", NOT_STOP},
        {"stop sequences", NOT_STOP},
    };

    if (f->e != ERR_BAD_REQUEST || (f->status && f->status != 400)) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (fault_says(f, rows[i].words))
            return learned_add(a->backend->learned, a->q->model, rows[i].bit);
    return false;
}
