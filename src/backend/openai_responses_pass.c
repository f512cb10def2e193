/* A request that came as Responses: which of the client's bytes go up to a provider that speaks it
 * (pass.h).  The list of items stays as it was written, white space and all; where one of them
 * needs a hand (a token of ours around a thought, a member that OpenAI has not), only that one is
 * written anew. */
#include "backend/openai_in.h"
#include "backend/pass.h"

enum { DEPTH = 512 };

/* clang-format off */
static const struct pass_key keys[] = {
    {"input", PASS_WRITE, false}, {"stream", PASS_WRITE, false}, {"stream_options", PASS_WRITE, false},
    {"reasoning", PASS_WRITE, false}, {"text", PASS_WRITE, false}, {"include", PASS_WRITE, false},
    {"tool_choice", PASS_WRITE, false},
    {"tools", PASS_EACH, false}, {"instructions", PASS_KNOWN, false},
    {"max_output_tokens", PASS_KNOWN, false}, {"parallel_tool_calls", PASS_KNOWN, false},
    {"store", PASS_KNOWN, false}, {"temperature", PASS_KNOWN, false}, {"top_p", PASS_KNOWN, false},
    {"max_tool_calls", PASS_FREE, false}, {"metadata", PASS_FREE, false},
    {"prompt_cache_key", PASS_FREE, false}, {"prompt_cache_retention", PASS_FREE, false},
    {"safety_identifier", PASS_FREE, false}, {"service_tier", PASS_FREE, false},
    {"truncation", PASS_FREE, false}, {"user", PASS_FREE, false},
    {"background", PASS_NEVER, false}, {"conversation", PASS_NEVER, false},
    {"previous_response_id", PASS_NEVER, false}, {"prompt", PASS_NEVER, false},
    {"top_logprobs", PASS_NEVER, false},
};
/* clang-format on */

struct passing {
    const struct openai_responses_passed *it;
    const struct ask *q;
    bool official;
    bool among; /* all tools go up, and the choice of some of them */
};

/* ---- items ---- */

enum kind { KIND_OTHER, KIND_SAID, KIND_CALL, KIND_CUSTOM, KIND_THOUGHT };

static bool is_absent(str value)
{
    return value.len == 0 || str_eq(value, STR("null"));
}

/* By the words of the reader in api/served: what it skips is no item of ours. */
static enum kind kind_of(str item)
{
    str type = span_get(item, STR("type"));

    if (str_eq(type, STR("\"message\""))) return KIND_SAID;
    if (str_eq(type, STR("\"reasoning\""))) return KIND_THOUGHT;
    if (str_eq(type, STR("\"function_call\"")) || str_eq(type, STR("\"function_call_output\"")))
        return KIND_CALL;
    if (str_eq(type, STR("\"custom_tool_call\"")) ||
        str_eq(type, STR("\"custom_tool_call_output\"")))
        return KIND_CUSTOM;
    bool named = str_starts(type, STR("\"")) && type.len > 2;
    return !named && !is_absent(span_get(item, STR("role"))) ? KIND_SAID : KIND_OTHER;
}

/* Nobody escapes letters that need it not; who does is understood, not passed on. */
static bool is_plain(str item)
{
    struct span_iter it;
    struct span m;

    for (bool ok = span_open(&it, item); ok && span_next(&it, &m);) {
        bool word = str_eq(m.key, STR("type")) || str_eq(m.key, STR("role"));
        if (str_find_char(m.key, '\\') != STR_NPOS) return false;
        if (word && str_find_char(m.value, '\\') != STR_NPOS) return false;
    }
    return true;
}

bool openai_responses_may_stay(const struct answer *a, bool custom)
{
    str raw = span_get(a->q->received, STR("input"));
    struct span_iter it;
    struct span item;

    for (bool ok = span_open(&it, a->q->received); ok && span_next(&it, &item);)
        if (str_find_char(item.key, '\\') != STR_NPOS) return false;
    for (bool list = span_open(&it, raw); list && span_next(&it, &item);)
        if (!is_plain(item.value) || (!custom && kind_of(item.value) == KIND_CUSTOM)) return false;
    return true;
}

static bool has_text(yyjson_val *parts)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(parts));
    yyjson_val *each;

    while ((each = yyjson_arr_iter_next(&it)))
        if (json_get_str(each, "text").len) return true;
    return false;
}

/* What becomes of the next thought; `*nth` counts those that the reader made a part of. */
static enum openai_thought fate_of(const struct passing *p, str item, size_t *nth)
{
    enum openai_thought fate = THOUGHT_LEFT_OUT;
    yyjson_doc *doc = NULL;

    if (json_read(&doc, item, DEPTH, JSON_RAW_NUMBERS, NULL)) return fate;
    yyjson_val *v = yyjson_doc_get_root(doc);
    str token = json_get_str(v, "encrypted_content");
    if (token.len || has_text(json_get(v, "summary")) || has_text(json_get(v, "content")))
        fate = p->it->thought(p->it->ctx, (*nth)++, token);
    yyjson_doc_free(doc);
    return fate;
}

/* Members that OpenAI has; it refuses others. */
static bool goes(const struct passing *p, const struct span *m)
{
    static const char *const official[] = {"type",
                                           "role",
                                           "content",
                                           "id",
                                           "status",
                                           "phase",
                                           "call_id",
                                           "name",
                                           "arguments",
                                           "input",
                                           "output",
                                           "summary",
                                           "encrypted_content",
                                           "namespace",
                                           "caller"};

    for (size_t i = 0; i < sizeof official / sizeof *official; i++)
        if (str_eq(m->key, str_of(official[i]))) return true;
    return !p->official;
}

/* "developer" is a word of OpenAI's own. */
static bool is_reworded(const struct passing *p, const struct span *m)
{
    return !p->official && str_eq(m->key, STR("role")) && str_eq(m->value, STR("\"developer\""));
}

static bool is_clean(const struct passing *p, str item)
{
    struct span_iter it;
    struct span m;

    for (bool ok = span_open(&it, item); ok && span_next(&it, &m);)
        if (!goes(p, &m) || is_reworded(p, &m)) return false;
    return true;
}

static void put_item(const struct passing *p, str item, struct json_out *o)
{
    struct span_iter it;
    struct span m;

    if (is_clean(p, item) || !span_open(&it, item)) {
        json_raw(o, item);
        return;
    }
    json_object(o);
    while (span_next(&it, &m)) {
        if (!goes(p, &m)) continue;
        pass_key(o, &m);
        json_raw(o, is_reworded(p, &m) ? STR("\"system\"") : m.value);
    }
    json_end_object(o);
}

static bool input_is_clean(const struct passing *p, str raw)
{
    struct span_iter it;
    struct span item;
    size_t nth = 0;

    for (bool list = span_open(&it, raw); list && span_next(&it, &item);) {
        enum kind kind = kind_of(item.value);
        if (kind == KIND_OTHER || !is_clean(p, item.value)) return false;
        if (kind == KIND_THOUGHT && fate_of(p, item.value, &nth) != THOUGHT_STAYS) return false;
    }
    return true;
}

/* What stands between two pieces of one text. */
static str between(const char *end, const char *begin)
{
    return begin > end ? str_span(end, (size_t)(begin - end)) : STR("");
}

/* What stands between the items stays as well: a prompt is kept by its very bytes. */
static void put_items(const struct passing *p, str raw, struct span_iter it, struct json_out *o)
{
    const char *end = it.rest.at;
    struct span item;
    size_t nth = 0;
    bool any = false;

    json_array(o);
    for (bool first = true; span_next(&it, &item); first = false) {
        enum kind kind = kind_of(item.value);
        str gap = between(end, item.value.at); /* with its comma */
        size_t which = nth;
        enum openai_thought fate =
            kind == KIND_THOUGHT ? fate_of(p, item.value, &nth) : THOUGHT_STAYS;
        end = item.value.at + item.value.len;
        if (kind == KIND_OTHER || fate == THOUGHT_LEFT_OUT) continue;
        if (first || any) buf_add(o->to, gap);
        o->comma = false; /* it is in the gap */
        any = true;
        if (fate == THOUGHT_ANEW)
            p->it->put_thought(p->it->ctx, which, o);
        else
            put_item(p, item.value, o);
    }
    buf_add(o->to, between(end, raw.at + raw.len - 1));
    json_end_array(o);
}

static void put_input(const struct passing *p, str raw, struct json_out *o)
{
    struct span_iter it;

    if (input_is_clean(p, raw) || !span_open(&it, raw))
        json_raw(o, raw);
    else
        put_items(p, raw, it, o);
}

/* ---- the other members that are more than one value ---- */

static bool is_said(yyjson_val *object, const char *key)
{
    yyjson_val *v = json_get(object, key);
    return v && !yyjson_is_null(v);
}

/* As it came where it says all that ours says, and no effort, summary or verbosity that ours
 * leaves out: it is not taken then.  `alone`: also where ours says nothing. */
static void put_object(const struct span *raw, yyjson_val *v, yyjson_val *ours, bool alone,
                       struct json_out *o)
{
    static const char *const ruled[] = {"effort", "summary", "verbosity"};
    bool same = yyjson_is_obj(v) && (ours == NULL || pass_says(v, ours));

    for (size_t i = 0; i < sizeof ruled / sizeof *ruled; i++)
        same = same && (!is_said(v, ruled[i]) || json_get(ours, ruled[i]));
    if (ours == NULL && !(alone && same)) return;
    pass_key(o, raw);
    if (same)
        json_raw(o, raw->value);
    else
        json_val(o, ours);
}

#define ENCRYPTED STR("\"reasoning.encrypted_content\"")

/* With the thoughts encrypted whoever asks, where they are taken; the rest as it came. */
static void put_include(const struct span *raw, bool encrypted, struct json_out *o)
{
    struct span_iter it;
    struct span each;
    bool has = false, others = false;

    for (bool list = span_open(&it, raw->value); list && span_next(&it, &each);)
        str_eq(each.value, ENCRYPTED) ? (has = true) : (others = true);
    if (!encrypted && !others) return;
    pass_key(o, raw);
    if (has == encrypted) {
        json_raw(o, raw->value);
        return;
    }
    json_array(o);
    for (bool list = span_open(&it, raw->value); list && span_next(&it, &each);)
        if (!str_eq(each.value, ENCRYPTED)) json_raw(o, each.value);
    if (encrypted) json_raw(o, ENCRYPTED);
    json_end_array(o);
}

/* Whether each is a tool that goes up as it came. */
static bool are_proper(yyjson_val *tools, bool custom)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(tools));
    yyjson_val *each;

    while ((each = yyjson_arr_iter_next(&it))) {
        str type = json_get_str(each, "type");
        bool function =
            str_eq(type, STR("function")) && yyjson_is_obj(json_get(each, "parameters"));
        if (!function && !(custom && str_eq(type, STR("custom")))) return false;
    }
    return true;
}

/* {"type":"allowed_tools","mode":"auto","tools":[...]}: the reader left only those; here all of
 * them go up with that choice, as it is made to keep the prompt's beginning the same. */
static bool chooses_among(const struct answer *a, const struct openai_responses_passed *it)
{
    str choice = span_get(a->q->received, STR("tool_choice"));
    str tools = span_get(a->q->received, STR("tools"));
    yyjson_doc *doc = NULL;

    if (!it->among || !str_eq(span_get(choice, STR("type")), STR("\"allowed_tools\"")))
        return false;
    if (json_read(&doc, tools, DEPTH, JSON_RAW_NUMBERS, NULL)) return false;
    bool proper = are_proper(yyjson_doc_get_root(doc), it->custom);
    yyjson_doc_free(doc);
    return proper;
}

static void put_choice(const struct passing *p, const struct span *raw, yyjson_val *v,
                       yyjson_val *ours, struct json_out *o)
{
    if (ours == NULL) return;
    pass_key(o, raw);
    if (p->among || pass_says(v, ours))
        json_raw(o, raw->value);
    else
        json_val(o, ours);
}

static void write_member(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                         struct json_out *o)
{
    const struct passing *p = ctx;
    yyjson_doc *doc = NULL;

    if (str_eq(key, STR("input"))) {
        pass_key(o, raw);
        if (p->it->stay)
            put_input(p, raw->value, o);
        else
            p->it->put_input(p->it->ctx, o);
        return;
    }
    if (str_eq(key, STR("stream"))) {
        pass_key(o, raw);
        json_raw(o, p->q->stream ? STR("true") : STR("false"));
        return;
    }
    if (str_eq(key, STR("include"))) {
        put_include(raw, ours != NULL, o);
        return;
    }
    if (str_eq(key, STR("stream_options"))) {
        if (!p->q->stream || is_absent(raw->value) || p->it->refused & REFUSED_EXTRAS) return;
        pass_key(o, raw);
        json_raw(o, raw->value);
        return;
    }
    if (json_read(&doc, raw->value, DEPTH, JSON_RAW_NUMBERS, NULL)) return;
    if (str_eq(key, STR("tool_choice")))
        put_choice(p, raw, yyjson_doc_get_root(doc), ours, o);
    else
        put_object(raw, yyjson_doc_get_root(doc), ours, str_eq(key, STR("text")), o);
    yyjson_doc_free(doc);
}

/* ---- the whole ---- */

enum {
    KEYS = sizeof keys / sizeof *keys,
};

static struct pass pass_of(const struct answer *a, bool extras, struct pass_key *room)
{
    for (size_t i = 0; i < KEYS; i++) {
        room[i] = keys[i];
        if (!extras && room[i].rule == PASS_FREE) room[i].rule = PASS_NEVER;
    }
    return (struct pass){.keys = room,
                         .count = KEYS,
                         .others = extras && !a->backend->official,
                         .received = a->q->received};
}

enum err openai_responses_pass(const struct answer *a, const struct openai_responses_passed *it,
                               struct json_out *o)
{
    struct passing p = {.it = it, .q = a->q, .official = a->backend->official};
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, !(it->refused & REFUSED_EXTRAS), room);

    p.among = chooses_among(a, it);
    for (size_t i = 0; i < KEYS; i++)
        if (p.among && str_eq(str_of(room[i].name), STR("tools"))) room[i].rule = PASS_FREE;
    pass.ours = it->ours;
    pass.write = write_member;
    pass.ctx = &p;
    pass.arena = it->arena;
    return pass_merge(&pass, o);
}

bool openai_responses_has_instructions(const struct answer *a)
{
    str value = span_get(a->q->received, STR("instructions"));
    return str_starts(value, STR("\"")) && value.len > 2;
}

str openai_responses_said(const struct answer *a, const char *object, const char *key)
{
    if (!pass_is_on(a->q, WIRE_RESPONSES)) return STR_NONE;
    str value = span_get(span_get(a->q->received, str_of(object)), str_of(key));
    bool text = str_starts(value, STR("\"")) && value.len > 2;

    return text ? value : STR_NONE;
}

bool openai_responses_names_extra(const struct answer *a, const struct fault *f)
{
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, true, room);
    struct arena arena;

    if (!pass_is_on(a->q, WIRE_RESPONSES)) return false;
    arena_init(&arena, 0);
    pass.arena = &arena;
    bool named = pass_names_extra(&pass, f);
    arena_fini(&arena);
    return named;
}
