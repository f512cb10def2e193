#include "backend/openai_in.h"
#include "backend/pass.h"
#include "backend/shape.h"
#include "base/log.h"

enum { STOPS_MAX_OFFICIAL = 4 };

/* What one request needs to know again and again. */
struct writer {
    struct json_out o;
    struct answer *a;
    const struct ask *q;
    const struct openai_family *family; /* NULL: no model of OpenAI's own */
    bool official;                      /* no compatible server, which takes more fields */
    const struct openai_form *form;
    uint64_t refused;
    bool passes; /* the client's own text goes up */
    struct shape shape;
};

/* For a list of messages that is written into another's place. */
struct anew {
    struct writer *w;
    struct arena *arena;
};

static const struct openai_form plain_form;

static bool takes(const struct writer *w, uint64_t field)
{
    return !(w->refused & field);
}

/* ---- messages ---- */

static void put_text_of(struct writer *w, const struct message *m)
{
    size_t texts = 0, first = 0;

    for (size_t i = m->count; i-- > 0;)
        if (m->parts[i].kind == PART_TEXT) texts++, first = i;
    if (texts <= 1) {
        json_text(&w->o, texts ? m->parts[first].text : STR(""));
        return;
    }
    struct buf all;
    buf_init(&all, SIZE_MAX);
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TEXT) continue;
        if (all.len) buf_add(&all, STR("\n\n"));
        buf_add(&all, m->parts[i].text);
    }
    if (all.bad) w->o.to->bad = true;
    json_text(&w->o, buf_str(&all));
    buf_fini(&all);
}

static void put_image(struct json_out *o, str address)
{
    json_object(o);
    json_key(o, "type"), json_text(o, STR("image_url"));
    json_key(o, "image_url"), json_object(o);
    json_key(o, "url"), json_text(o, address);
    json_end_object(o);
    json_end_object(o);
}

static void put_user_parts(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;

    json_array(o);
    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (p->kind == PART_IMAGE) put_image(o, p->text);
        if (p->kind != PART_TEXT) continue;
        json_object(o);
        json_key(o, "type"), json_text(o, STR("text"));
        json_key(o, "text"), json_text(o, p->text);
        json_end_object(o);
    }
    json_end_array(o);
}

static void put_tool_calls(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;
    bool begun = false;

    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (p->kind != PART_TOOL_CALL) continue;
        if (!begun) {
            json_key(o, "tool_calls");
            json_array(o);
            begun = true;
        }
        json_object(o);
        json_key(o, "id"), json_text(o, p->id);
        json_key(o, "type"), json_text(o, STR("function"));
        json_key(o, "function"), json_object(o);
        json_key(o, "name"), json_text(o, p->name);
        json_key(o, "arguments"),
            json_text(o, str_trim(p->args_json).len ? p->args_json : STR("{}"));
        json_end_object(o);
        json_end_object(o);
    }
    if (begun) json_end_array(o);
}

/* Models that think between calls want their thoughts back, as they came (providers.md 7.2). */
static void put_reasoning(struct writer *w, const struct message *m)
{
    struct json_out *o = &w->o;
    bool begun = false;

    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (p->kind != PART_REASONING || p->text.len == 0) continue;
        if (p->issuer.len && !str_eq(p->issuer, str_of(w->form->reasoning_of))) continue;
        if (!begun) {
            json_key(o, "reasoning_details");
            json_array(o);
            begun = true;
        }
        json_object(o);
        json_key(o, "type"), json_text(o, STR("reasoning.text"));
        json_key(o, "text"), json_text(o, p->text);
        json_end_object(o);
    }
    if (begun) json_end_array(o);
}

static void put_message(struct writer *w, const struct message *m)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    struct json_out *o = &w->o;
    size_t texts = 0, images = 0;

    for (size_t i = 0; i < m->count; i++) {
        texts += m->parts[i].kind == PART_TEXT;
        images += m->parts[i].kind == PART_IMAGE;
    }
    json_object(o);
    json_key(o, "role"), json_text(o, str_of(roles[m->role]));
    if (m->role == ROLE_TOOL) json_key(o, "tool_call_id"), json_text(o, m->tool_call_id);
    json_key(o, "content");
    if (m->role == ROLE_USER && (images || texts > 1))
        put_user_parts(w, m);
    else if (m->role == ROLE_ASSISTANT && texts == 0)
        json_null(o);
    else if (m->role == ROLE_TOOL && texts == 0 && w->form->full)
        json_text(o, STR("(no result)"));
    else if (m->role == ROLE_USER && texts == 0 && w->form->full)
        json_text(o, STR("(start)"));
    else
        put_text_of(w, m);
    if (m->role == ROLE_ASSISTANT && w->form->reasoning_of && w->q->tools_count)
        put_reasoning(w, m);
    if (m->role == ROLE_ASSISTANT) put_tool_calls(w, m);
    json_end_object(o);
}

/* For models that take no response_format. */
static void put_format_in_words(struct writer *w, struct arena *a)
{
    str text = STR("Answer with a JSON object and nothing else.");

    if (w->q->format == FORMAT_JSON_SCHEMA)
        text = arena_strf(a, "Answer with JSON that fits this schema, and nothing else: %.*s",
                          STR_ARG(w->q->schema_json));
    if (text.at == NULL) w->o.to->bad = true;
    const struct part p = {.kind = PART_TEXT, .text = text};
    put_message(w, &(struct message){.role = ROLE_SYSTEM, .parts = &p, .count = 1});
}

static enum err shape(struct writer *w, struct arena *a)
{
    unsigned flags = w->refused & REFUSED_SYSTEM        ? SHAPE_FOLD_SYSTEM
                     : w->refused & REFUSED_LATE_SYSTEM ? SHAPE_FOLD_LATE_SYSTEM
                                                        : 0;
    /* A template that refuses systems mostly wants the roles to take turns as well. */
    if (flags & SHAPE_FOLD_SYSTEM) flags |= SHAPE_MERGE;
    enum err e = shape_messages(&w->shape, w->q, flags, a);
    if (e) return e;

    if (w->shape.dropped_results)
        log_event(LEVEL_WARNING, "backend", "tool_results_dropped",
                  LOG_INT("count", w->shape.dropped_results));
    return ERR_NONE;
}

static bool wants_json_said(const struct writer *w)
{
    return w->family && w->q->format == FORMAT_JSON_OBJECT && !openai_speaks_of_json(&w->shape, 0);
}

/* A result is text here: the images of all results before `end` come as a message of the user's. */
static void put_images_of_results(struct writer *w, size_t end)
{
    const struct message *at = w->shape.messages;
    size_t from = end;
    bool begun = false;

    while (from > 0 && at[from - 1].role == ROLE_TOOL) from--;
    for (size_t i = from; i < end; i++)
        for (size_t k = 0; k < at[i].count; k++) {
            if (at[i].parts[k].kind != PART_IMAGE) continue;
            if (!begun) {
                json_object(&w->o);
                json_key(&w->o, "role"), json_text(&w->o, STR("user"));
                json_key(&w->o, "content"), json_array(&w->o);
                begun = true;
            }
            put_image(&w->o, at[i].parts[k].text);
        }
    if (!begun) return;
    json_end_array(&w->o);
    json_end_object(&w->o);
}

static void put_messages(struct writer *w, struct arena *a)
{
    json_array(&w->o);
    if (wants_json_said(w)) {
        const struct part p = {.kind = PART_TEXT, .text = STR("Answer with a JSON object.")};
        put_message(w, &(struct message){.role = ROLE_SYSTEM, .parts = &p, .count = 1});
    }
    if (w->form->format_in_words && w->q->format != FORMAT_TEXT) put_format_in_words(w, a);
    for (size_t i = 0; i < w->shape.count; i++) {
        put_message(w, &w->shape.messages[i]);
        bool last_result = w->shape.messages[i].role == ROLE_TOOL &&
                           (i + 1 == w->shape.count || w->shape.messages[i + 1].role != ROLE_TOOL);
        if (last_result) put_images_of_results(w, i + 1);
    }
    if (w->q->prefill.len) {
        const struct part p = {.kind = PART_TEXT, .text = w->q->prefill};
        put_message(w, &(struct message){.role = ROLE_ASSISTANT, .parts = &p, .count = 1});
    }
    json_end_array(&w->o);
}

/* Whether the messages are, as the client wrote them, what would be sent anyway. */
static bool messages_may_stay(const struct writer *w)
{
    const struct ask *q = w->q;

    if (q->received_odd || wants_json_said(w)) return false;
    if (w->form->format_in_words && q->format != FORMAT_TEXT) return false;
    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        if (m->role == ROLE_TOOL && m->count == 0 && w->form->full) return false;
        for (size_t k = 0; k < m->count; k++)
            if (m->parts[k].kind == PART_REASONING && w->form->reasoning_of && q->tools_count)
                return false;
            else if (m->parts[k].kind == PART_IMAGE && m->role != ROLE_USER)
                return false;
    }
    return pass_is_unchanged(q, 0, &w->shape);
}

bool openai_goes_on(struct backend *b, str model)
{
    return !b->official && b->server != SERVER_UNKNOWN &&
           !(learned_get(b->learned, model) & REFUSED_PREFILL);
}

/* llama-server goes on from an assistant's message that is the last; vLLM when told to. */
static void put_going_on(struct writer *w, const struct backend *b)
{
    if (w->q->prefill.len == 0 || b->server != SERVER_VLLM) return;
    json_key(&w->o, "add_generation_prompt"), json_bool(&w->o, false);
    json_key(&w->o, "continue_final_message"), json_bool(&w->o, true);
}

/* ---- tools and form ---- */

static void put_tools(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    json_key(o, "tools"), json_array(o);
    for (size_t i = 0; i < q->tools_count; i++) {
        const struct tool *t = &q->tools[i];
        json_object(o);
        json_key(o, "type"), json_text(o, STR("function"));
        json_key(o, "function"), json_object(o);
        json_key(o, "name"), json_text(o, t->name);
        if (t->description.len || w->form->full)
            json_key(o, "description"), json_text(o, t->description.len ? t->description : t->name);
        json_key(o, "parameters");
        json_raw(o, t->parameters_json.len ? t->parameters_json
                                           : STR("{\"type\":\"object\",\"properties\":{}}"));
        if (t->strict) json_key(o, "strict"), json_bool(o, true);
        json_end_object(o);
        json_end_object(o);
    }
    json_end_array(o);
    openai_put_choice(o, q->tool_choice, w->form->words_only, "function", true);
    if (q->parallel_tool_calls >= 0 && takes(w, REFUSED_PARALLEL))
        json_key(o, "parallel_tool_calls"), json_bool(o, q->parallel_tool_calls != 0);
}

static void put_format(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    if (q->format == FORMAT_TEXT || !takes(w, REFUSED_FORMAT)) return;
    json_key(o, "response_format"), json_object(o);
    if (q->format == FORMAT_JSON_OBJECT) {
        json_key(o, "type"), json_text(o, STR("json_object"));
    } else {
        json_key(o, "type"), json_text(o, STR("json_schema"));
        json_key(o, "json_schema"), json_object(o);
        json_key(o, "name"), json_text(o, q->schema_name.len ? q->schema_name : STR("answer"));
        json_key(o, "schema"), json_raw(o, q->schema_json);
        if (q->schema_strict) json_key(o, "strict"), json_bool(o, true);
        json_end_object(o);
    }
    json_end_object(o);
}

/* ---- numbers ---- */

static enum effort effort_of(const struct writer *w)
{
    const struct openai_family *f = w->family;
    enum effort e = w->q->effort;

    if (!takes(w, REFUSED_EFFORT)) return EFFORT_UNSET;
    if (f == NULL) return e;
    if (!f->reasons) return EFFORT_UNSET;
    if (w->q->tools_count && !takes(w, REFUSED_RESPONSES)) { /* so they must do here */
        if (f->tools == TOOLS_WITHOUT_EFFORT) return EFFORT_UNSET;
        if (f->tools >= TOOLS_AT_NONE && (f->efforts & 1u << EFFORT_NONE)) return EFFORT_NONE;
    }
    return e ? openai_fit_effort(f->efforts, e) : EFFORT_UNSET;
}

static int64_t room_for(const struct writer *w, enum effort e)
{
    bool thinks = w->family ? w->family->reasons : e != EFFORT_UNSET || w->form->thinks;

    return openai_room(w->q, e, thinks);
}

static void put_number(struct writer *w, uint64_t field, const char *key, double n)
{
    if (isnan(n) || !takes(w, field)) return;
    if (field & (REFUSED_TEMPERATURE | REFUSED_TOP_P) && n < w->form->least) n = w->form->least;
    if (field == REFUSED_TEMPERATURE && w->form->temperature_most > 0)
        n = fmin(n, w->form->temperature_most);
    json_key(&w->o, key);
    json_num(&w->o, n);
}

/* The neutral request has no place for it. */
static void put_received(struct writer *w, const char *key)
{
    str value = span_get(w->q->received, str_of(key));

    if (value.len && !str_eq(value, STR("null"))) json_key(&w->o, key), json_raw(&w->o, value);
}

static void put_limits(struct writer *w, enum effort effort)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    if (effort) json_key(o, "reasoning_effort"), json_text(o, str_of(openai_effort_name(effort)));
    if (q->max_tokens < 0) return;
    bool new_name = w->family && w->family->reasons;
    if (!takes(w, REFUSED_MAX_TOKENS)) new_name = true;
    if (!takes(w, REFUSED_MAX_COMPLETION_TOKENS)) new_name = false;
    json_key(o, new_name ? "max_completion_tokens" : "max_tokens");
    json_int(o, room_for(w, effort));
}

/* Those that the model does not take, or that are too many, are watched for here. */
static void put_stops(struct writer *w)
{
    const struct openai_family *f = w->family;
    size_t n = w->q->stops_count;

    if (f && n > STOPS_MAX_OFFICIAL) n = STOPS_MAX_OFFICIAL;
    if ((f && !f->stops) || !takes(w, REFUSED_STOP)) n = 0;
    answer_watch_stops(w->a, n);
    if (n == 0) return;
    json_key(&w->o, "stop"), json_array(&w->o);
    for (size_t i = 0; i < n; i++) json_text(&w->o, w->q->stops[i]);
    json_end_array(&w->o);
}

static void put_sampling(struct writer *w, enum effort effort)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    const struct openai_family *f = w->family;
    bool sampling = f == NULL || !f->reasons || (f->sampling_at_none && effort == EFFORT_NONE);
    unsigned left_out = f && f->reasons ? q->defaults : 0; /* best left alone */

    if (sampling && !(left_out & DEFAULT_TEMPERATURE))
        put_number(w, REFUSED_TEMPERATURE, "temperature", q->temperature);
    if (sampling && !(left_out & DEFAULT_TOP_P)) put_number(w, REFUSED_TOP_P, "top_p", q->top_p);
    if (sampling) {
        put_number(w, REFUSED_PRESENCE, "presence_penalty", q->presence_penalty);
        put_number(w, REFUSED_FREQUENCY, "frequency_penalty", q->frequency_penalty);
        if (q->logit_bias_json.len && takes(w, REFUSED_LOGIT_BIAS))
            json_key(o, "logit_bias"), json_raw(o, q->logit_bias_json);
    }
    if (sampling && w->passes && takes(w, REFUSED_LOGPROBS)) {
        put_received(w, "logprobs");
        put_received(w, "top_logprobs");
    }
    if (f == NULL || (sampling && !w->official)) {
        if (q->top_k >= 0 && !q->top_k_is_setting && takes(w, REFUSED_TOP_K))
            json_key(o, "top_k"), json_int(o, q->top_k);
        put_number(w, REFUSED_MIN_P, "min_p", q->min_p);
        put_number(w, REFUSED_REPETITION, "repetition_penalty", q->repetition_penalty);
    }
    put_stops(w);
    if (q->seeded && takes(w, REFUSED_SEED)) {
        char digits[24];
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)q->seed);
        json_key(o, "seed"), json_raw(o, str_of(digits));
    }
    if (q->user.len && takes(w, REFUSED_USER)) json_key(o, "user"), json_text(o, q->user);
}

static void put_messages_anew(void *ctx, struct json_out *o)
{
    struct anew *n = ctx;
    struct json_out own = n->w->o;

    n->w->o = *o;
    put_messages(n->w, n->arena);
    *o = n->w->o;
    n->w->o = own;
}

/* What was written so far decides, the client's own text is sent. */
static enum err pass_on(struct writer *w, struct call *c, str ours)
{
    struct anew anew = {w, &c->arena};
    const struct openai_passed it = {
        .ours = ours,
        .refused = w->refused,
        .arena = &c->arena,
        .messages = messages_may_stay(w) ? NULL : put_messages_anew,
        .ctx = &anew,
    };
    struct json_out o = json_begin(&c->body);

    return openai_pass(w->a, &it, &o);
}

static void put_all(struct writer *w, struct call *c, str model)
{
    struct json_out *o = &w->o;
    enum effort effort = effort_of(w);

    json_object(o);
    json_key(o, "model"), json_text(o, model);
    if (!w->passes) json_key(o, "messages"), put_messages(w, &c->arena);
    if (c->stream) json_key(o, "stream"), json_bool(o, true);
    if (c->stream && takes(w, REFUSED_STREAM_OPTIONS)) {
        json_key(o, "stream_options"), json_object(o);
        json_key(o, "include_usage"), json_bool(o, true);
        json_end_object(o);
    }
    put_limits(w, effort);
    put_sampling(w, effort);
    if (w->q->tools_count) put_tools(w);
    put_format(w);
    put_going_on(w, w->a->backend);
    if (w->form->more) w->form->more(o, w->a);
    json_end_object(o);
}

enum err openai_write_body(struct answer *a, struct call *c, str model,
                           const struct openai_form *form, struct err_note *why)
{
    bool has_family = a->backend->official || (form == NULL && openai_family_is_known(model));
    struct writer w = {
        .o = json_begin(&c->body),
        .a = a,
        .q = a->q,
        .official = a->backend->official,
        .family = has_family ? openai_family_of(model) : NULL,
        .form = form ? form : &plain_form,
        .refused = learned_get(a->backend->learned, model) | (form ? form->omits : 0),
        .passes = pass_is_on(a->q, WIRE_CHAT) && !(form && form->own),
    };
    struct buf ours;

    if (a->q->prefill.len && !openai_goes_on(a->backend, model))
        return err_set(why, ERR_UNSUPPORTED, "%.*s does not go on from a given text",
                       STR_ARG(str_head(model, 100)));
    c->stream = !(w.passes && pass_is_whole(a->q, WIRE_CHAT));
    buf_init(&ours, c->body.max_bytes);
    enum err e = shape(&w, &c->arena);
    if (!e && w.passes) w.o = json_begin(&ours);
    if (!e) put_all(&w, c, model);
    if (!e && w.passes) e = ours.bad ? ERR_MEMORY : pass_on(&w, c, buf_str(&ours));
    buf_fini(&ours);
    if (!e) e = buf_err(&c->body);
    return e ? err_set(why, e, "out of memory for a request") : ERR_NONE;
}
