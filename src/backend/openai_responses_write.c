/* Requests to the Responses API (providers.md section 4): a conversation as a list of items.
 * Nothing is stored there, so what a model thought comes back to it as it gave it, encrypted. */
#include "backend/issuers.h"
#include "backend/openai_in.h"
#include "backend/pass.h"
#include "backend/shape.h"
#include "base/log.h"

struct writer {
    struct json_out o;
    struct answer *a;
    const struct ask *q;
    const struct openai_family *family; /* NULL: no model of OpenAI's own */
    const struct openai_form *form;
    uint64_t refused;
    bool passes; /* the client's own text goes up */
    bool custom; /* tools that came as custom ones stay so */
    struct shape shape;
    size_t system;                /* messages in front that are the instructions */
    const struct place *thoughts; /* of the ask's messages, in their order */
    size_t thoughts_count;
};

struct place {
    const struct message *m;
    size_t at; /* a part of it */
};

static bool takes(const struct writer *w, uint64_t field)
{
    return !(w->refused & field);
}

static bool reasons(const struct writer *w)
{
    return w->family == NULL || w->family->reasons;
}

/* ---- items ---- */

static bool has_image(const struct message *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == PART_IMAGE) return true;
    return false;
}

static void put_part(struct json_out *o, const struct part *p, const char *text_type)
{
    json_object(o);
    if (p->kind == PART_IMAGE) {
        json_key(o, "type"), json_text(o, STR("input_image"));
        json_key(o, "image_url"), json_text(o, p->text);
    } else {
        json_key(o, "type"), json_text(o, str_of(text_type));
        json_key(o, "text"), json_text(o, p->text);
    }
    json_end_object(o);
}

static void put_parts(struct writer *w, const struct message *m, const char *text_type)
{
    json_array(&w->o);
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == PART_TEXT || m->parts[i].kind == PART_IMAGE)
            put_part(&w->o, &m->parts[i], text_type);
    json_end_array(&w->o);
}

static void add_texts(struct buf *all, const struct message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TEXT) continue;
        if (all->len) buf_add(all, STR("\n\n"));
        buf_add(all, m->parts[i].text);
    }
}

static void put_said(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;

    json_object(o);
    json_key(o, "role"), json_text(o, m->role == ROLE_USER ? STR("user") : STR("system"));
    json_key(o, "content"), put_parts(w, m, "input_text");
    json_end_object(o);
}

static void put_result(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;
    struct buf text;

    json_object(o);
    json_key(o, "type"), json_text(o, STR("function_call_output"));
    json_key(o, "call_id"), json_text(o, m->tool_call_id);
    json_key(o, "output");
    if (has_image(m)) {
        put_parts(w, m, "input_text");
    } else {
        buf_init(&text, SIZE_MAX);
        add_texts(&text, m);
        if (text.bad) o->to->bad = true;
        json_text(o, buf_str(&text));
        buf_fini(&text);
    }
    json_end_object(o);
}

/* Only its own, and only in front of what it led to. */
static bool goes_back(const struct writer *w, const struct message *m, size_t at)
{
    const struct part *p = &m->parts[at];

    if (p->signature.len == 0 || w->a->mended & MENDED_THOUGHTS || !reasons(w)) return false;
    if (!str_eq(p->issuer, str_of(w->a->dialect->type))) return false;
    if (issuers_is_foreign(p->signature, answer_issuer(w->a), loop_now_ms(w->a->loop)))
        return false;
    while (++at < m->count)
        if (m->parts[at].kind == PART_TEXT || m->parts[at].kind == PART_TOOL_CALL) return true;
    return false;
}

static void put_reasoning(struct writer *w, const struct part *p)
{
    struct json_out *o = &w->o;

    json_object(o);
    json_key(o, "type"), json_text(o, STR("reasoning"));
    if (p->id.len) json_key(o, "id"), json_text(o, p->id);
    json_key(o, "summary"), json_array(o);
    if (p->text.len) {
        json_object(o);
        json_key(o, "type"), json_text(o, STR("summary_text"));
        json_key(o, "text"), json_text(o, p->text);
        json_end_object(o);
    }
    json_end_array(o);
    json_key(o, "encrypted_content"), json_text(o, p->signature);
    json_end_object(o);
}

static void put_call(struct writer *w, const struct part *p)
{
    struct json_out *o = &w->o;

    json_object(o);
    json_key(o, "type"), json_text(o, STR("function_call"));
    json_key(o, "call_id"), json_text(o, p->id);
    json_key(o, "name"), json_text(o, p->name);
    json_key(o, "arguments"), json_text(o, str_trim(p->args_json).len ? p->args_json : STR("{}"));
    json_end_object(o);
}

/* Each part is an item of its own, in the order in which they came. */
static void put_answer(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;

    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (p->kind == PART_REASONING && goes_back(w, m, i)) put_reasoning(w, p);
        if (p->kind == PART_TOOL_CALL) put_call(w, p);
        if (p->kind != PART_TEXT) continue;
        json_object(o);
        json_key(o, "role"), json_text(o, STR("assistant"));
        json_key(o, "content"), json_array(o);
        put_part(o, p, "output_text");
        json_end_array(o);
        json_end_object(o);
    }
}

/* ---- the conversation ---- */

static enum err shape(struct writer *w, struct arena *arena)
{
    struct shape *s = &w->shape;
    enum err e = shape_messages(s, w->q, 0, arena);

    if (e) return e;
    if (s->dropped_results)
        log_event(LEVEL_WARNING, "backend", "tool_results_dropped",
                  LOG_INT("count", s->dropped_results));
    /* A client that speaks this API itself has said which of them are. */
    size_t most = w->passes ? openai_responses_has_instructions(w->a) : s->count;
    while (w->system < most && s->messages[w->system].role == ROLE_SYSTEM) w->system++;
    if (w->system == s->count) w->system = 0; /* there must be an item */
    return ERR_NONE;
}

static bool wants_json_said(const struct writer *w)
{
    return w->q->format == FORMAT_JSON_OBJECT && !openai_speaks_of_json(&w->shape, w->system);
}

static void put_instructions(struct writer *w)
{
    struct json_out *o = &w->o;
    struct buf all;

    buf_init(&all, SIZE_MAX);
    for (size_t i = 0; i < w->system; i++) add_texts(&all, &w->shape.messages[i]);
    if (all.bad) o->to->bad = true;
    if (all.len) json_key(o, "instructions"), json_text(o, buf_str(&all));
    buf_fini(&all);
}

static void put_input(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct part json = {.kind = PART_TEXT, .text = STR("Answer with a JSON object.")};

    json_array(o);
    if (wants_json_said(w))
        put_said(w, &(struct message){.role = ROLE_SYSTEM, .parts = &json, .count = 1});
    for (size_t i = w->system; i < w->shape.count; i++) {
        const struct message *m = &w->shape.messages[i];
        if (m->role == ROLE_ASSISTANT)
            put_answer(w, m);
        else if (m->role == ROLE_TOOL)
            put_result(w, m);
        else
            put_said(w, m);
    }
    json_end_array(o);
}

/* ---- tools and form ---- */

static bool is_custom(const struct writer *w, str name)
{
    for (size_t i = 0; w->custom && i < w->q->tools_count; i++)
        if (w->q->tools[i].custom && str_eq(w->q->tools[i].name, name)) return true;
    return false;
}

static void put_tool(struct writer *w, const struct tool *t)
{
    struct json_out *o = &w->o;
    bool custom = w->custom && t->custom;
    str schema = t->parameters_json;

    json_object(o);
    json_key(o, "type"), json_text(o, custom ? STR("custom") : STR("function"));
    json_key(o, "name"), json_text(o, t->name);
    if (t->description.len) json_key(o, "description"), json_text(o, t->description);
    if (!custom) {
        json_key(o, "parameters");
        json_raw(o, schema.len ? schema : STR("{\"type\":\"object\",\"properties\":{}}"));
        /* True where it is left out: a client that speaks this API means what it leaves out. */
        bool said = !w->passes || t->strict || t->custom || schema.len == 0;
        if (said) json_key(o, "strict"), json_bool(o, t->strict);
    }
    json_end_object(o);
}

static void put_tools(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    if (q->tools_count == 0) return;
    json_key(o, "tools"), json_array(o);
    for (size_t i = 0; i < q->tools_count; i++) put_tool(w, &q->tools[i]);
    json_end_array(o);
    const char *type = is_custom(w, q->tool_choice) ? "custom" : "function";
    openai_put_choice(o, q->tool_choice, w->form->words_only, type, false);
    if (q->parallel_tool_calls >= 0 && takes(w, REFUSED_PARALLEL))
        json_key(o, "parallel_tool_calls"), json_bool(o, q->parallel_tool_calls != 0);
}

static void put_form(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    json_key(o, "format"), json_object(o);
    if (q->format == FORMAT_JSON_OBJECT) {
        json_key(o, "type"), json_text(o, STR("json_object"));
    } else {
        json_key(o, "type"), json_text(o, STR("json_schema"));
        json_key(o, "name"), json_text(o, q->schema_name.len ? q->schema_name : STR("answer"));
        json_key(o, "schema"), json_raw(o, q->schema_json);
        if (!w->passes || q->schema_strict) json_key(o, "strict"), json_bool(o, q->schema_strict);
    }
    json_end_object(o);
}

static void put_format(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    str verbosity =
        takes(w, REFUSED_VERBOSITY) ? openai_responses_said(w->a, "text", "verbosity") : STR_NONE;

    if (q->format == FORMAT_TEXT && verbosity.len == 0) return;
    json_key(o, "text"), json_object(o);
    if (verbosity.len) json_key(o, "verbosity"), json_raw(o, verbosity);
    if (q->format != FORMAT_TEXT) put_form(w);
    json_end_object(o);
}

/* ---- numbers ---- */

static enum effort effort_of(const struct writer *w)
{
    const struct openai_family *f = w->family;
    enum effort e = w->q->effort;

    if (e == EFFORT_UNSET || !reasons(w) || !takes(w, REFUSED_EFFORT | REFUSED_REASONING))
        return EFFORT_UNSET;
    if (f == NULL) return e;
    return openai_fit_effort(f->efforts | (f->max ? 1u << EFFORT_MAX : 0), e);
}

/* What it thinks is asked for as a summary, and encrypted for the next turn. */
static void put_reasoning_fields(struct writer *w, enum effort effort)
{
    struct json_out *o = &w->o;
    bool thinks = w->family ? w->family->reasons : effort != EFFORT_UNSET;
    bool summary = thinks && effort != EFFORT_NONE && takes(w, REFUSED_SUMMARY | REFUSED_REASONING);
    str said = openai_responses_said(w->a, "reasoning", "summary");

    if (w->passes && said.len == 0) summary = false; /* nor is it wanted */

    if (effort || summary) {
        json_key(o, "reasoning"), json_object(o);
        if (effort) json_key(o, "effort"), json_text(o, str_of(openai_effort_name(effort)));
        if (summary) {
            json_key(o, "summary"), json_raw(o, said.len ? said : STR("\"auto\""));
        }
        json_end_object(o);
    }
    if (takes(w, REFUSED_STORE)) json_key(o, "store"), json_bool(o, false);
    if (reasons(w) && takes(w, REFUSED_INCLUDE)) {
        json_key(o, "include"), json_array(o);
        json_text(o, STR("reasoning.encrypted_content"));
        json_end_array(o);
    }
}

static void put_number(struct writer *w, uint64_t field, const char *key, double n)
{
    if (isnan(n) || !takes(w, field)) return;
    n = fmax(n, w->form->least);
    if (w->form->temperature_most > 0) n = fmin(n, w->form->temperature_most);
    json_key(&w->o, key), json_num(&w->o, n);
}

static void put_numbers(struct writer *w, enum effort effort)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    const struct openai_family *f = w->family;
    bool sampling = f == NULL || !f->reasons || (f->sampling_at_none && effort == EFFORT_NONE);
    unsigned left_out = f && f->reasons ? q->defaults : 0; /* best left alone */
    bool thinks = f ? f->reasons : w->form->thinks || effort != EFFORT_UNSET;
    int64_t most = openai_room(q, effort, thinks);

    if (most >= 0 && takes(w, REFUSED_MAX_TOKENS)) {
        bool least = w->a->backend->official || w->a->mended & MENDED_LEAST;
        if (least && most < OUTPUT_TOKENS_LEAST) most = OUTPUT_TOKENS_LEAST;
        json_key(o, "max_output_tokens"), json_int(o, most);
    }
    if (!sampling) return;
    if (!(left_out & DEFAULT_TEMPERATURE))
        put_number(w, REFUSED_TEMPERATURE, "temperature", q->temperature);
    if (!(left_out & DEFAULT_TOP_P)) put_number(w, REFUSED_TOP_P, "top_p", q->top_p);
}

/* ---- the client's own text ---- */

static enum err find_thoughts(struct writer *w, struct arena *arena)
{
    const struct ask *q = w->q;
    size_t count = 0;

    for (size_t i = 0; i < q->messages_count; i++) count += q->messages[i].count;
    struct place *at = arena_array(arena, struct place, count + 1);
    if (at == NULL) return ERR_MEMORY;
    w->thoughts = at;
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_REASONING)
                at[w->thoughts_count++] = (struct place){&q->messages[i], k};
    return ERR_NONE;
}

static enum openai_thought fate_of(void *ctx, size_t nth, str token)
{
    const struct writer *w = ctx;
    const struct place *p = nth < w->thoughts_count ? &w->thoughts[nth] : NULL;

    if (p == NULL || !goes_back(w, p->m, p->at)) return THOUGHT_LEFT_OUT;
    return str_eq(p->m->parts[p->at].signature, token) ? THOUGHT_STAYS : THOUGHT_ANEW;
}

static void put_thought(void *ctx, size_t nth, struct json_out *o)
{
    struct writer *w = ctx;
    struct json_out own = w->o;

    w->o = *o;
    put_reasoning(w, &w->thoughts[nth].m->parts[w->thoughts[nth].at]);
    *o = w->o;
    w->o = own;
}

static void put_input_anew(void *ctx, struct json_out *o)
{
    struct writer *w = ctx;
    struct json_out own = w->o;

    w->o = *o;
    put_input(w);
    *o = w->o;
    w->o = own;
}

/* Custom tools and their calls go as such together or not at all: with the items as they came. */
static bool input_stays(struct writer *w)
{
    bool custom = w->family && openai_family_has_custom(w->family) && takes(w, REFUSED_CUSTOM);
    bool stays = w->passes && !w->q->received_odd && !wants_json_said(w) &&
                 openai_responses_may_stay(w->a, custom) && pass_is_unchanged(w->q, 0, &w->shape);

    w->custom = custom && stays;
    return stays;
}

/* What was written so far decides, the client's own text is sent. */
static enum err pass_on(struct writer *w, struct call *c, str ours, bool stay)
{
    const struct openai_responses_passed it = {
        .ours = ours,
        .refused = w->refused,
        .stay = stay,
        .custom = w->custom,
        .among = !w->form->words_only,
        .arena = &c->arena,
        .thought = fate_of,
        .put_thought = put_thought,
        .put_input = put_input_anew,
        .ctx = w,
    };
    struct json_out o = json_begin(&c->body);
    enum err e = find_thoughts(w, &c->arena);

    return e ? e : openai_responses_pass(w->a, &it, &o);
}

static void put_all(struct writer *w, struct call *c, str model)
{
    struct json_out *o = &w->o;
    enum effort effort = effort_of(w);

    json_object(o);
    json_key(o, "model"), json_text(o, model);
    put_instructions(w);
    if (!w->passes) json_key(o, "input"), put_input(w);
    if (c->stream) json_key(o, "stream"), json_bool(o, true);
    put_numbers(w, effort);
    put_reasoning_fields(w, effort);
    put_tools(w);
    put_format(w);
    json_end_object(o);
}

enum err openai_responses_write(struct answer *a, struct call *c, str model,
                                const struct openai_form *form, struct err_note *why)
{
    static const struct openai_form plain_form;
    bool has_family = a->backend->official || (form == NULL && openai_family_is_known(model));
    struct writer w = {
        .o = json_begin(&c->body),
        .a = a,
        .q = a->q,
        .family = has_family ? openai_family_of(model) : NULL,
        .form = form ? form : &plain_form,
        .refused = learned_get(a->backend->learned, model),
        .passes = pass_is_on(a->q, WIRE_RESPONSES),
    };
    struct buf ours;

    if (a->q->prefill.len)
        return err_set(why, ERR_UNSUPPORTED, "%.*s does not go on from a given text",
                       STR_ARG(str_head(model, 100)));
    c->stream = !pass_is_whole(a->q, WIRE_RESPONSES);
    buf_init(&ours, c->body.max_bytes);
    enum err e = shape(&w, &c->arena);
    if (!e) {
        bool stay = input_stays(&w);
        if (w.passes) w.o = json_begin(&ours);
        put_all(&w, c, model);
        if (w.passes) e = ours.bad ? ERR_MEMORY : pass_on(&w, c, buf_str(&ours), stay);
    }
    buf_fini(&ours);
    answer_watch_stops(a, 0); /* it knows none */
    if (!e) e = buf_err(&c->body);
    return e ? err_set(why, e, "out of memory for a request") : ERR_NONE;
}
