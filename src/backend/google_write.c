/* The body of generateContent (providers.md 6.1). */
#include "backend/google_in.h"
#include "backend/issuers.h"
#include "backend/pass.h"
#include "backend/shape.h"
#include "base/json_schema.h"
#include "base/log.h"

enum {
    STOPS_MAX = 5,
    DEPTH = 512,
    BUDGET_LOW = 1024,
    BUDGET_MEDIUM = 8192,
    BUDGET_HIGH = 24576,
    THINKING_ROOM_TOKENS = 4096, /* providers.md 3.1: where no effort says more */
};

/* What Google's documentation names for calls whose signature is lost. */
static const char placeholder[] = "skip_thought_signature_validator";

/* What one request needs to know again and again. */
struct writer {
    struct json_out o;
    struct answer *a;
    const struct ask *q;
    const struct google_family *family;
    uint64_t refused;
    struct arena *arena;
    struct shape shape;
    uint64_t now_ms, issuer;
    bool passes, stay; /* the client's own text goes up; its contents as they came */
};

static bool takes(const struct writer *w, uint64_t what)
{
    return !(w->refused & what);
}

/* ---- messages, before they are written ---- */

static bool takes_json(const struct writer *w)
{
    return !w->family->no_json && takes(w, NOT_JSON) &&
           (w->q->format != FORMAT_JSON_SCHEMA || takes(w, NOT_SCHEMA));
}

/* A model without a mode for it is told in words. */
static str form_in_words(const struct writer *w)
{
    if (w->q->format == FORMAT_TEXT || takes_json(w)) return STR("");
    if (w->q->format == FORMAT_JSON_OBJECT)
        return STR("Answer with a JSON object and nothing else.");
    return arena_strf(w->arena, "Answer with JSON and nothing else, of this JSON Schema:\n%.*s",
                      STR_ARG(w->q->schema_json));
}

static enum err shape(struct writer *w, struct err_note *why)
{
    const struct ask *q = w->q;
    bool folds = w->family->folds_system || !takes(w, NOT_SYSTEM);
    unsigned flags = SHAPE_MERGE | SHAPE_FIRST_USER | SHAPE_LAST_USER |
                     (folds ? SHAPE_FOLD_SYSTEM : SHAPE_LIFT_SYSTEM);
    str words = form_in_words(w);
    struct ask with_words = *q;

    if (words.len) {
        struct message *to = arena_array(w->arena, struct message, q->messages_count + 1);
        struct part *p = arena_new(w->arena, struct part);
        size_t front = 0;
        if (to == NULL || p == NULL) return err_set(why, ERR_MEMORY, "out of memory for a request");
        *p = (struct part){.kind = PART_TEXT, .text = words};
        while (front < q->messages_count && q->messages[front].role == ROLE_SYSTEM) front++;
        for (size_t i = 0; i < q->messages_count; i++) to[i < front ? i : i + 1] = q->messages[i];
        to[front] = (struct message){.role = ROLE_SYSTEM, .parts = p, .count = 1};
        with_words.messages = to;
        with_words.messages_count++;
    }
    if (words.at == NULL || shape_messages(&w->shape, &with_words, flags, w->arena))
        return err_set(why, ERR_MEMORY, "out of memory for a request");
    if (w->shape.dropped_results)
        log_event(LEVEL_WARNING, "backend", "tool_results_dropped",
                  LOG_INT("count", w->shape.dropped_results));
    return ERR_NONE;
}

/* What this provider cannot be asked. */
static enum err check(const struct writer *w, struct err_note *why)
{
    const struct ask *q = w->q;
    enum err e = ERR_NONE;

    if (q->prefill.len)
        e = err_set(why, ERR_UNSUPPORTED, "%.*s does not go on from a given text",
                    STR_ARG(str_head(q->model, 100)));
    if (!e && q->tools_count && w->family->no_tools && !str_eq(q->tool_choice, STR("none")))
        e = backend_takes_no(why, "tools", q->model);
    for (size_t i = 0; !e && i < q->messages_count; i++)
        for (size_t k = 0; !e && k < q->messages[i].count; k++) {
            const struct part *p = &q->messages[i].parts[k];
            if (p->kind == PART_IMAGE && !str_starts_nocase(p->text, STR("data:"))) {
                if (why) why->about = "images";
                e = err_set(why, ERR_UNSUPPORTED,
                            "google takes images as data only, not by their address: %.*s",
                            STR_ARG(str_head(str_head(p->text, str_find_char(p->text, '?')), 200)));
            }
        }
    if (e && why) why->ours = true;
    return e;
}

/* ---- parts ---- */

static void put_text(struct json_out *o, str text, str signature)
{
    json_object(o);
    json_key(o, "text"), json_text(o, text);
    if (signature.len) json_key(o, "thoughtSignature"), json_text(o, signature);
    json_end_object(o);
}

/* The one that the client gave back, unless somebody else made it. */
static str own_signature(const struct writer *w, const struct part *p)
{
    bool foreign = !w->family->signs || issuers_is_foreign(p->signature, w->issuer, w->now_ms);
    return p->signature.len && !foreign ? p->signature : STR("");
}

/* "data:image/png;base64,AAAA" taken apart. */
static void put_image(struct json_out *o, str from)
{
    static const char base64[] = ";base64,";
    size_t mark = str_find(from, STR(";base64,"));
    str type = str_tail(str_head(from, mark), 5),
        data = mark == STR_NPOS ? STR("") : str_tail(from, mark + sizeof base64 - 1);

    type = str_head(type, str_find_char(type, ';'));
    if (str_eq_nocase(type, STR("image/jpg"))) type = STR("image/jpeg");
    json_object(o);
    json_key(o, "inlineData"), json_object(o);
    json_key(o, "mimeType"), json_text(o, type);
    json_key(o, "data"), json_text(o, data);
    json_end_object(o);
    json_end_object(o);
}

/* Arguments are an object here; the text of one goes out as it is. */
static void put_args(struct json_out *o, str args)
{
    yyjson_doc *doc = NULL;

    args = str_trim(args);
    if (args.len && json_read(&doc, args, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    json_key(o, "args");
    if (yyjson_is_obj(yyjson_doc_get_root(doc))) {
        json_raw(o, args);
    } else {
        json_object(o);
        if (args.len) json_key(o, "_raw"), json_text(o, args);
        json_end_object(o);
    }
    yyjson_doc_free(doc);
}

static void put_call(struct writer *w, const struct part *p, bool first)
{
    struct json_out *o = &w->o;
    str signature = own_signature(w, p);

    if (signature.len == 0) signature = google_signature_of(p->id, w->now_ms, w->arena);

    if (signature.at == NULL) o->to->bad = true;
    /* Of parallel calls only the first was signed. */
    if (signature.len == 0 && first && w->family->signs) signature = str_of(placeholder);
    json_object(o);
    json_key(o, "functionCall"), json_object(o);
    json_key(o, "name"), json_text(o, p->name);
    put_args(o, p->args_json);
    json_end_object(o);
    if (signature.len) json_key(o, "thoughtSignature"), json_text(o, signature);
    json_end_object(o);
}

static void put_result(struct json_out *o, const struct message *m)
{
    struct buf all;

    buf_init(&all, SIZE_MAX);
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TEXT) continue;
        if (all.len) buf_add(&all, STR("\n\n"));
        buf_add(&all, m->parts[i].text);
    }
    if (all.bad) o->to->bad = true;
    json_object(o);
    json_key(o, "functionResponse"), json_object(o);
    json_key(o, "name"), json_text(o, m->tool_name);
    json_key(o, "response"), json_object(o);
    json_key(o, m->is_error ? "error" : "output"), json_text(o, buf_str(&all));
    json_end_object(o);
    json_end_object(o);
    json_end_object(o);
    buf_fini(&all);
}

/* Whether what came in Google's form can go up as it came: nothing had to be put right, and each
 * signature that is wanted is there, none of them somebody else's. */
static bool contents_stay(const struct writer *w, bool reworded)
{
    size_t front = 0;

    if (!w->passes || w->q->received_odd || reworded) return false;
    while (front < w->q->messages_count && w->q->messages[front].role == ROLE_SYSTEM) front++;
    if (!pass_is_unchanged(w->q, front, &w->shape)) return false;
    for (size_t i = 0; i < w->shape.count; i++) {
        const struct message *m = &w->shape.messages[i];
        bool called = false;
        for (size_t k = 0; k < m->count; k++) {
            const struct part *p = &m->parts[k];
            bool call = p->kind == PART_TOOL_CALL;
            if (p->signature.len && issuers_is_foreign(p->signature, w->issuer, w->now_ms))
                return false;
            if (call && !called && w->family->signs && p->signature.len == 0) return false;
            called = called || call;
        }
    }
    return true;
}

/* ---- contents ---- */

/* Thoughts do not go back: the signatures of calls carry what is needed. */
static void put_parts(struct writer *w, const struct message *m)
{
    bool called = false;

    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        switch (p->kind) {
        case PART_TEXT: put_text(&w->o, p->text, own_signature(w, p)); break;
        case PART_IMAGE: put_image(&w->o, p->text); break;
        case PART_TOOL_CALL:
            put_call(w, p, !called);
            called = true;
            break;
        case PART_REASONING: break;
        }
    }
}

/* Results, the images among them, and what the user says beside them are one content, in this
 * order.  Gives the index behind it. */
static size_t put_content(struct writer *w, size_t at)
{
    struct json_out *o = &w->o;
    const struct shape *s = &w->shape;
    size_t first = at;
    bool model = s->messages[at].role == ROLE_ASSISTANT;

    json_object(o);
    json_key(o, "role"), json_text(o, model ? STR("model") : STR("user"));
    json_key(o, "parts"), json_array(o);
    for (; at < s->count && s->messages[at].role == ROLE_TOOL; at++)
        put_result(o, &s->messages[at]);
    for (size_t i = first; i < at; i++)
        for (size_t k = 0; k < s->messages[i].count; k++)
            if (s->messages[i].parts[k].kind == PART_IMAGE)
                put_image(o, s->messages[i].parts[k].text);
    if (at < s->count && (at == first || s->messages[at].role == ROLE_USER))
        put_parts(w, &s->messages[at++]);
    json_end_array(o);
    json_end_object(o);
    return at;
}

static void put_contents(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct shape *s = &w->shape;

    if (s->system.len) {
        json_key(o, "systemInstruction"), json_object(o);
        json_key(o, "parts"), json_array(o);
        put_text(o, s->system, STR(""));
        json_end_array(o);
        json_end_object(o);
    }
    json_key(o, "contents"), json_array(o);
    for (size_t i = 0; i < s->count && !w->stay;) i = put_content(w, i);
    json_end_array(o);
}

/* ---- tools ---- */

static void put_choice(struct writer *w)
{
    struct json_out *o = &w->o;
    str choice = w->q->tool_choice, mode = STR("ANY");
    bool named = false;

    if (choice.len == 0) return;
    if (str_eq(choice, STR("auto")))
        mode = STR("AUTO");
    else if (str_eq(choice, STR("none")))
        mode = STR("NONE");
    else
        named = !str_eq(choice, STR("required"));
    json_key(o, "toolConfig"), json_object(o);
    json_key(o, "functionCallingConfig"), json_object(o);
    json_key(o, "mode"), json_text(o, mode);
    if (named) {
        json_key(o, "allowedFunctionNames"), json_array(o);
        json_text(o, choice);
        json_end_array(o);
    }
    json_end_object(o);
    json_end_object(o);
}

static void put_tools(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    if (q->tools_count == 0 || w->family->no_tools) return;
    json_key(o, "tools"), json_array(o), json_object(o);
    json_key(o, "functionDeclarations"), json_array(o);
    for (size_t i = 0; i < q->tools_count; i++) {
        const struct tool *t = &q->tools[i];
        json_object(o);
        json_key(o, "name"), json_text(o, t->name);
        if (t->description.len) json_key(o, "description"), json_text(o, t->description);
        json_key(o, "parametersJsonSchema");
        json_raw(o, t->parameters_json.len ? t->parameters_json
                                           : STR("{\"type\":\"object\",\"properties\":{}}"));
        json_end_object(o);
    }
    json_end_array(o);
    json_end_object(o), json_end_array(o);
    put_choice(w);
}

/* ---- the form ---- */

/* A schema whose "const" is an "enum" of one.  `names`: the keys are names that the schema gives.
 */
static void put_schema(struct json_out *o, yyjson_val *v, bool names)
{
    yyjson_arr_iter items;
    yyjson_obj_iter fields;
    yyjson_val *one;

    if (yyjson_is_arr(v)) {
        json_array(o);
        yyjson_arr_iter_init(v, &items);
        while ((one = yyjson_arr_iter_next(&items))) put_schema(o, one, false);
        json_end_array(o);
        return;
    }
    if (!yyjson_is_obj(v)) {
        json_val(o, v);
        return;
    }
    json_object(o);
    yyjson_obj_iter_init(v, &fields);
    while ((one = yyjson_obj_iter_next(&fields))) {
        yyjson_val *value = yyjson_obj_iter_get_val(one);
        str key = json_str(one);
        if (!names && str_eq(key, STR("const"))) {
            json_key(o, "enum"), json_array(o), json_val(o, value), json_end_array(o);
            continue;
        }
        json_key(o, yyjson_get_str(one));
        if (!names && json_schema_holds_data(key))
            json_val(o, value);
        else
            put_schema(o, value, !names && json_schema_holds_names(key));
    }
    json_end_object(o);
}

static void put_form(struct writer *w)
{
    struct json_out *o = &w->o;
    yyjson_doc *doc = NULL;

    if (w->q->format == FORMAT_TEXT || !takes_json(w)) return;
    json_key(o, "responseMimeType"), json_text(o, STR("application/json"));
    if (w->q->format != FORMAT_JSON_SCHEMA) return;
    if (json_read(&doc, w->q->schema_json, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    if (doc) json_key(o, "responseJsonSchema"), put_schema(o, yyjson_doc_get_root(doc), false);
    yyjson_doc_free(doc);
}

/* ---- numbers ---- */

/* The effort that was asked for, or that a budget stands for. */
static enum effort wanted_effort(const struct ask *q)
{
    if (q->effort != EFFORT_UNSET || q->thinking_budget < 0) return q->effort;
    return q->thinking_budget == 0                ? EFFORT_NONE
           : q->thinking_budget <= BUDGET_LOW * 2 ? EFFORT_LOW
           : q->thinking_budget <= BUDGET_MEDIUM  ? EFFORT_MEDIUM
                                                  : EFFORT_HIGH;
}

static int budget_of(const struct google_family *f, const struct ask *q, enum effort wanted)
{
    int budget = wanted == EFFORT_NONE     ? 0
                 : wanted <= EFFORT_LOW    ? BUDGET_LOW
                 : wanted == EFFORT_MEDIUM ? BUDGET_MEDIUM
                                           : BUDGET_HIGH;

    if (q->effort == EFFORT_UNSET && q->thinking_budget >= 0) budget = q->thinking_budget;
    if (budget == 0 && f->can_rest) return 0;
    if (budget < f->budget_min) budget = f->budget_min;
    return budget > f->budget_max ? f->budget_max : budget;
}

static const char *level_of(const struct google_family *f, enum effort wanted)
{
    if (wanted < f->lowest) wanted = f->lowest;
    return wanted <= EFFORT_MINIMAL  ? "MINIMAL"
           : wanted == EFFORT_LOW    ? "LOW"
           : wanted == EFFORT_MEDIUM ? "MEDIUM"
                                     : "HIGH";
}

static bool thinks(const struct writer *w)
{
    return w->family->thinking != THINKING_NONE && takes(w, NOT_THINKING);
}

static void put_thinking(struct writer *w)
{
    struct json_out *o = &w->o;
    enum effort wanted = wanted_effort(w->q);

    if (!thinks(w) || wanted == EFFORT_UNSET) return;
    json_key(o, "thinkingConfig"), json_object(o);
    if (wanted != EFFORT_NONE) json_key(o, "includeThoughts"), json_bool(o, true);
    if (w->family->thinking == THINKING_BUDGET && takes(w, NOT_BUDGET))
        json_key(o, "thinkingBudget"), json_int(o, budget_of(w->family, w->q, wanted));
    if (w->family->thinking == THINKING_LEVEL && takes(w, NOT_LEVEL))
        json_key(o, "thinkingLevel"), json_text(o, str_of(level_of(w->family, wanted)));
    json_end_object(o);
}

/* On /api/v1 the limit is meant for the text alone: what a model thinks comes on top. */
static int64_t room_to_think(const struct writer *w)
{
    enum effort wanted = wanted_effort(w->q);

    if (!w->q->room_to_think || !thinks(w)) return 0;
    if (wanted == EFFORT_NONE && w->family->can_rest) return 0;
    if (wanted == EFFORT_MEDIUM) return BUDGET_MEDIUM;
    return wanted > EFFORT_MEDIUM ? BUDGET_HIGH : THINKING_ROOM_TOKENS;
}

static void put_stops(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    answer_watch_stops(w->a, takes(w, NOT_STOP) ? STOPS_MAX : 0);
    if (q->stops_count == 0 || !takes(w, NOT_STOP)) return;
    json_key(o, "stopSequences"), json_array(o);
    for (size_t i = 0; i < q->stops_count && i < STOPS_MAX; i++) json_text(o, q->stops[i]);
    json_end_array(o);
}

static void put_number(struct writer *w, const char *key, double n, double low, double high)
{
    if (isnan(n)) return;
    json_key(&w->o, key);
    json_num(&w->o, n < low ? low : n > high ? high : n);
}

static void put_config(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    json_key(o, "generationConfig"), json_object(o);
    /* Those that sign were made for their own temperature: others let them loop. */
    unsigned left_out = w->family->signs ? q->defaults : 0;
    if (!(left_out & DEFAULT_TEMPERATURE)) put_number(w, "temperature", q->temperature, 0, 2);
    if (!(left_out & DEFAULT_TOP_P)) put_number(w, "topP", q->top_p, 0, 1);
    if (!(left_out & DEFAULT_TOP_K) && q->top_k > 0 && takes(w, NOT_TOP_K))
        json_key(o, "topK"), json_int(o, q->top_k);
    if (q->max_tokens >= 0)
        json_key(o, "maxOutputTokens"), json_int(o, q->max_tokens + room_to_think(w));
    put_stops(w);
    if (q->seeded && takes(w, NOT_SEED)) /* 32 bits here */
        json_key(o, "seed"), json_int(o, (int64_t)(q->seed & INT32_MAX));
    if (takes(w, NOT_PENALTIES)) {
        put_number(w, "presencePenalty", q->presence_penalty, -2, 2);
        put_number(w, "frequencyPenalty", q->frequency_penalty, -2, 2);
    }
    put_form(w);
    put_thinking(w);
    json_end_object(o);
}

enum err google_write_body(struct answer *a, struct call *c, struct err_note *why)
{
    struct writer w = {
        .o = json_begin(&c->body),
        .a = a,
        .q = a->q,
        .family = google_family_of(a->q->model),
        .refused = learned_get(a->backend->learned, a->q->model),
        .arena = &c->arena,
        .now_ms = loop_now_ms(a->loop),
        .issuer = answer_issuer(a),
        .passes = pass_is_on(a->q, WIRE_GOOGLE),
    };
    struct buf ours;
    enum err e = check(&w, why);

    if (!e) e = shape(&w, why);
    if (e) return e;
    w.stay = contents_stay(&w, form_in_words(&w).len > 0);
    buf_init(&ours, c->body.max_bytes);
    if (w.passes) w.o = json_begin(&ours);
    json_object(&w.o);
    put_contents(&w);
    put_tools(&w);
    put_config(&w);
    json_end_object(&w.o);
    if (w.passes) {
        const struct google_passed it = {buf_str(&ours), w.stay, w.arena};
        struct json_out o = json_begin(&c->body);
        e = ours.bad ? ERR_MEMORY : google_pass(a, &it, &o);
    }
    buf_fini(&ours);
    return e ? e : buf_err(&c->body);
}
