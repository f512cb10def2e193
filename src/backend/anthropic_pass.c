/* Messages that came as Messages: which of the client's bytes go up. */
#include "backend/anthropic_in.h"
#include "backend/pass.h"

enum {
    /* Longer answers may take more time than networks leave a silent connection (providers.md 5.5).
     */
    WHOLE_TOKENS_MAX = 20000,
    DEPTH = 512,
};

/* clang-format off */
static const struct pass_key keys[] = {
    {"system", PASS_WRITE, false}, {"messages", PASS_WRITE, false}, {"stream", PASS_WRITE, false},
    {"thinking", PASS_WRITE, true}, {"output_config", PASS_WRITE, true},
    {"max_tokens", PASS_KNOWN, false}, {"temperature", PASS_KNOWN, false},
    {"top_p", PASS_KNOWN, false}, {"top_k", PASS_KNOWN, false},
    {"stop_sequences", PASS_KNOWN, false}, {"metadata", PASS_EXACT, false},
    {"tools", PASS_EACH, false}, {"tool_choice", PASS_KNOWN, false},
    {"service_tier", PASS_FREE, false}, {"cache_control", PASS_FREE, false},
    {"inference_geo", PASS_FREE, false}, {"output_format", PASS_NEVER, false},
};
/* clang-format on */

enum {
    KEYS = sizeof keys / sizeof *keys,
};

struct passing {
    const struct anthropic_passed *it;
    const struct ask *q;
    bool whole;
};

bool anthropic_is_whole(const struct ask *q)
{
    return pass_is_whole(q, WIRE_MESSAGES) && q->max_tokens <= WHOLE_TOKENS_MAX;
}

/* ---- messages ---- */

/* SDK users push an answer back as it came, "id", "usage" and all. */
static bool belongs(const struct span *m)
{
    return str_eq(m->key, STR("role")) || str_eq(m->key, STR("content")) ||
           str_find_char(m->key, '\\') != STR_NPOS; /* nobody writes names so */
}

static void put_messages(str raw, struct json_out *o)
{
    struct span_iter it, inner;
    struct span each, m;
    bool clean = true;

    for (bool ok = span_open(&it, raw); ok && clean && span_next(&it, &each);)
        for (bool in = span_open(&inner, each.value); in && clean && span_next(&inner, &m);)
            clean = belongs(&m);
    if (clean || !span_open(&it, raw)) {
        json_raw(o, raw);
        return;
    }
    json_array(o);
    while (span_next(&it, &each)) {
        if (!span_open(&inner, each.value)) continue;
        json_object(o);
        while (span_next(&inner, &m)) {
            if (!belongs(&m)) continue;
            pass_key(o, &m);
            json_raw(o, m.value);
        }
        json_end_object(o);
    }
    json_end_array(o);
}

/* ---- thinking and effort ---- */

static bool takes(const struct passing *p, uint64_t what)
{
    return !(p->it->plan->refused & what);
}

static void put(const struct span *raw, yyjson_val *ours, struct json_out *o)
{
    pass_key(o, raw);
    if (ours)
        json_val(o, ours);
    else
        json_raw(o, raw->value);
}

static void put_thinking(const struct passing *p, const struct span *raw, yyjson_val *v,
                         yyjson_val *ours, struct json_out *o)
{
    const struct anthropic_family *f = p->it->plan->family;
    str type = json_get_str(v, "type");
    yyjson_val *budget = json_get(ours, "budget_tokens");

    if (str_eq(type, STR("disabled"))) {
        if (f->off == OFF_DISABLED && takes(p, NOT_DISABLED)) put(raw, NULL, o);
        return;
    }
    if (ours == NULL) return;
    bool same = str_eq(type, json_get_str(ours, "type")) &&
                (budget == NULL || pass_says(json_get(v, "budget_tokens"), budget)) &&
                (json_get(v, "display") == NULL || takes(p, NOT_DISPLAY));
    put(raw, same ? NULL : ours, o);
}

static bool takes_effort(const struct passing *p, str word)
{
    static const char *const words[] = {"low", "medium", "high", "xhigh", "max"};

    for (int i = 0; i < 5; i++)
        if (str_eq(word, str_of(words[i])))
            return p->it->plan->family->efforts & 1u << (EFFORT_LOW + i);
    return false;
}

static void put_config(const struct passing *p, const struct span *raw, yyjson_val *v,
                       yyjson_val *ours, struct json_out *o)
{
    yyjson_val *effort = json_get(v, "effort"), *format = json_get(v, "format");
    bool fits = (effort == NULL || (takes(p, NOT_EFFORT) && takes_effort(p, json_str(effort)))) &&
                (format == NULL || json_get(ours, "format"));

    if (fits)
        put(raw, NULL, o);
    else if (ours)
        put(raw, ours, o);
}

static void write_member(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                         struct json_out *o)
{
    const struct passing *p = ctx;
    yyjson_doc *doc = NULL;

    if (str_eq(key, STR("messages"))) {
        pass_key(o, raw);
        if (p->it->messages)
            p->it->messages(p->it->ctx, o);
        else
            put_messages(raw->value, o);
    } else if (str_eq(key, STR("stream"))) {
        pass_key(o, raw);
        json_raw(o, p->whole ? STR("false") : STR("true"));
    } else if (str_eq(key, STR("system"))) {
        if (ours) put(raw, p->it->messages ? ours : NULL, o);
    } else if (!str_eq(raw->value, STR("null"))) {
        if (json_read(&doc, raw->value, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
        if (str_eq(key, STR("thinking")))
            put_thinking(p, raw, yyjson_doc_get_root(doc), ours, o);
        else
            put_config(p, raw, yyjson_doc_get_root(doc), ours, o);
        yyjson_doc_free(doc);
    }
}

/* ---- the whole ---- */

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

enum err anthropic_pass(const struct answer *a, const struct anthropic_passed *it,
                        struct json_out *o)
{
    struct passing p = {.it = it, .q = a->q, .whole = anthropic_is_whole(a->q)};
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, !(it->plan->refused & NOT_EXTRAS), room);

    /* A budget becomes an effort for models that know no budgets; a schema may have come under an
     * older name. */
    bool reworded = (it->plan->thinking == THINKING_ADAPTIVE && a->q->thinking_budget >= 0) ||
                    a->q->format != FORMAT_TEXT;
    for (size_t i = 0; i < KEYS; i++)
        if (reworded && str_eq(str_of(room[i].name), STR("output_config"))) room[i].quiet = false;
    pass.ours = it->ours;
    pass.write = write_member;
    pass.ctx = &p;
    pass.arena = it->arena;
    return pass_merge(&pass, o);
}

bool anthropic_refused_extra(const struct answer *a, const struct fault *f)
{
    struct pass_key room[KEYS];
    struct pass pass = pass_of(a, true, room);
    struct arena arena;

    if (!pass_is_on(a->q, WIRE_MESSAGES)) return false;
    arena_init(&arena, 0);
    pass.arena = &arena;
    bool named = pass_names_extra(&pass, f);
    arena_fini(&arena);
    return named;
}
