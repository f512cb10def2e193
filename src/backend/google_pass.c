/* A request that came in Google's form: which of the client's bytes go up (pass.h). */
#include "backend/google_in.h"
#include "backend/pass.h"

/* Names in snake_case are Google's too; ours, in camelCase, stand for them. */
/* clang-format off */
static const struct pass_key keys[] = {
    {"contents", PASS_WRITE, false}, {"generationConfig", PASS_WRITE, false},
    {"systemInstruction", PASS_KNOWN, false}, {"tools", PASS_KNOWN, false}, {"toolConfig", PASS_KNOWN, false},
    {"safetySettings", PASS_FREE, false}, {"serviceTier", PASS_FREE, false}, {"model", PASS_NEVER, false},
    {"cachedContent", PASS_NEVER, false}, {"system_instruction", PASS_NEVER, false},
    {"tool_config", PASS_NEVER, false}, {"generation_config", PASS_NEVER, false},
    {"safety_settings", PASS_NEVER, false}, {"cached_content", PASS_NEVER, false},
};
static const struct pass_key config_keys[] = {
    {"temperature", PASS_KNOWN, false}, {"topP", PASS_KNOWN, false}, {"topK", PASS_KNOWN, false},
    {"maxOutputTokens", PASS_KNOWN, false}, {"stopSequences", PASS_KNOWN, false}, {"seed", PASS_KNOWN, false},
    {"presencePenalty", PASS_KNOWN, false}, {"frequencyPenalty", PASS_KNOWN, false},
    {"responseMimeType", PASS_KNOWN, false}, {"responseSchema", PASS_NEVER, false},
    {"responseJsonSchema", PASS_KNOWN, false}, {"thinkingConfig", PASS_KNOWN, false},
    {"candidateCount", PASS_FREE, false}, {"mediaResolution", PASS_FREE, false},
    {"top_p", PASS_NEVER, false}, {"top_k", PASS_NEVER, false}, {"max_output_tokens", PASS_NEVER, false},
    {"stop_sequences", PASS_NEVER, false}, {"presence_penalty", PASS_NEVER, false},
    {"frequency_penalty", PASS_NEVER, false}, {"response_mime_type", PASS_NEVER, false},
    {"response_schema", PASS_NEVER, false}, {"response_json_schema", PASS_NEVER, false},
    {"thinking_config", PASS_NEVER, false}, {"candidate_count", PASS_NEVER, false},
    {"media_resolution", PASS_NEVER, false},
};
/* clang-format on */

struct passing {
    const struct google_passed *it;
    bool others;
    enum err e;
};

/* The settings one by one, so that a number stays as it was written beside one that is clamped. */
static void put_config(struct passing *p, const struct span *raw, yyjson_val *ours,
                       struct json_out *o)
{
    struct buf text;

    if (ours == NULL) return;
    buf_init(&text, o->to->max_bytes);
    struct json_out own = json_begin(&text);
    json_val(&own, ours);
    const struct pass pass = {.keys = config_keys,
                              .count = sizeof config_keys / sizeof *config_keys,
                              .others = p->others,
                              .received = raw->value,
                              .ours = buf_str(&text),
                              .arena = p->it->arena};
    pass_key(o, raw);
    p->e = text.bad ? ERR_MEMORY : pass_merge(&pass, o);
    if (p->e == ERR_LIMIT) { /* more of them than Google ever had: nothing of it was written */
        json_val(o, ours);
        p->e = ERR_NONE;
    }
    buf_fini(&text);
}

static void write_member(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                         struct json_out *o)
{
    struct passing *p = ctx;

    if (str_eq(key, STR("generationConfig"))) {
        if (!p->e) put_config(p, raw, ours, o);
    } else if (ours) { /* contents */
        pass_key(o, raw);
        if (p->it->stay)
            json_raw(o, raw->value);
        else
            json_val(o, ours);
    }
}

enum err google_pass(const struct answer *a, const struct google_passed *it, struct json_out *o)
{
    struct passing p = {.it = it, .others = !a->backend->official};
    const struct pass pass = {.keys = keys,
                              .count = sizeof keys / sizeof *keys,
                              .others = p.others,
                              .received = a->q->received,
                              .ours = it->ours,
                              .write = write_member,
                              .ctx = &p,
                              .arena = it->arena};
    enum err e = pass_merge(&pass, o);

    return e ? e : p.e;
}
