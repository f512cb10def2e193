/* The body of POST /v1/messages (providers.md 5.1, 5.2). */
#include "backend/anthropic_in.h"
#include "backend/issuers.h"
#include "backend/pass.h"
#include "backend/shape.h"
#include "base/log.h"

enum { DEPTH = 512 };

const char anthropic_json_tool[] = "json";

/* What one request needs to know again and again. */
struct writer {
    struct json_out o;
    struct answer *a;
    const struct ask *q;
    struct arena *arena;
    struct shape shape;
    size_t loop_from; /* the first message of the tool loop that is open; shape.count: none is */
    uint64_t issuer;
    uint64_t now_ms;

    struct anthropic_plan plan;
    bool prefill; /* the last message is the beginning of the answer */
    bool passes;  /* the client's own text goes up */
    bool stay;    /* its messages too */
};

static bool takes(const struct writer *w, uint64_t what)
{
    return !(w->plan.refused & what);
}

/* ---- messages, before they are written ---- */

static bool is_blank(str text)
{
    return str_trim(text).len == 0;
}

/* The ask without blank texts, which are refused, and with the beginning of the answer as its last
 * message. */
static enum err prepared(struct writer *w, struct ask *out)
{
    const struct ask *q = w->q;
    struct message *to = arena_array(w->arena, struct message, q->messages_count + 1);
    size_t n = 0;

    *out = *q;
    if (to == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        struct part *parts = arena_array(w->arena, struct part, m->count + 1);
        if (parts == NULL) return ERR_MEMORY;
        to[n] = *m;
        to[n].parts = parts;
        to[n].count = 0;
        for (size_t k = 0; k < m->count; k++)
            if (m->parts[k].kind != PART_TEXT || !is_blank(m->parts[k].text))
                parts[to[n].count++] = m->parts[k];
        n++;
    }
    if (q->prefill.len && !is_blank(q->prefill)) {
        struct part *p = arena_new(w->arena, struct part);
        if (p == NULL) return ERR_MEMORY;
        *p = (struct part){.kind = PART_TEXT, .text = q->prefill};
        to[n++] = (struct message){.role = ROLE_ASSISTANT, .parts = p, .count = 1};
    }
    out->messages = to;
    out->messages_count = n;
    return ERR_NONE;
}

/* The loop begins behind the newest message of the user that answers no call. */
static size_t open_loop_from(const struct shape *s)
{
    for (size_t i = s->count; i-- > 0;)
        if (s->messages[i].role == ROLE_USER && (i == 0 || s->messages[i - 1].role != ROLE_TOOL))
            return i + 1;
    return 0;
}

bool anthropic_goes_on(struct backend *b, str model)
{
    return anthropic_family_of(model, b->official)->prefill &&
           !(learned_get(b->learned, model) & NOT_PREFILL);
}

static str right_trimmed(str text)
{
    str trimmed = str_trim(text);
    text.len = trimmed.len ? (size_t)(trimmed.at - text.at) + trimmed.len : 0;
    return text;
}

/* Whether the messages are, as the client wrote them, what would be sent anyway; two of one role in
 * a row may stay.  `q` is without blank texts. */
static enum err look_whether_they_may_stay(struct writer *w, const struct ask *q, unsigned flags)
{
    const struct ask *from = w->q;
    struct shape s;
    size_t front = 0;

    if (!w->passes || from->received_odd || from->format == FORMAT_JSON_OBJECT) return ERR_NONE;
    enum err e = shape_messages(&s, q, flags & ~SHAPE_MERGE, w->arena);
    if (e) return e;
    while (front < from->messages_count && from->messages[front].role == ROLE_SYSTEM) front++;
    for (size_t i = 0; i < from->messages_count; i++)
        for (size_t k = 0; k < from->messages[i].count; k++) {
            const struct part *p = &from->messages[i].parts[k];
            str token = p->redacted.len ? p->redacted : p->signature;
            if (p->kind == PART_TEXT && i < front && is_blank(p->text)) return ERR_NONE;
            if (p->kind != PART_REASONING) continue;
            if (!takes(w, NOT_THOUGHTS) || token.len == 0) return ERR_NONE;
            if (issuers_is_foreign(token, w->issuer, w->now_ms)) return ERR_NONE;
        }
    const struct message *last = &from->messages[from->messages_count - 1];
    if (last->role == ROLE_ASSISTANT && last->count) {
        str text = last->parts[last->count - 1].text;
        if (right_trimmed(text).len != text.len) return ERR_NONE;
    }
    w->stay = !s.late_system && pass_is_unchanged(from, front, &s);
    return ERR_NONE;
}

static enum err shape(struct writer *w, struct err_note *why)
{
    bool prefill = w->plan.family->prefill && takes(w, NOT_PREFILL);
    unsigned flags = SHAPE_MERGE | SHAPE_FIRST_USER | SHAPE_LIFT_SYSTEM;
    struct ask q;

    if (w->q->prefill.len && !prefill)
        return err_set(why, ERR_UNSUPPORTED, "%.*s does not go on from a given text",
                       STR_ARG(str_head(w->q->model, 100)));
    if (!prefill) flags |= SHAPE_LAST_USER;
    enum err e = prepared(w, &q);
    if (!e) e = shape_messages(&w->shape, &q, flags, w->arena);
    if (!e) e = look_whether_they_may_stay(w, &q, flags);
    if (e) return err_set(why, e, "out of memory for a request");

    const struct shape *s = &w->shape;
    if (s->dropped_results)
        log_event(LEVEL_WARNING, "backend", "tool_results_dropped",
                  LOG_INT("count", s->dropped_results));
    w->prefill = s->count && s->messages[s->count - 1].role == ROLE_ASSISTANT;
    w->loop_from = open_loop_from(s);
    return ERR_NONE;
}

/* Thinking goes back while its tool loop is open, to whom it came from. */
static bool goes_back(const struct writer *w, size_t at, const struct part *p)
{
    if (p->kind != PART_REASONING || at < w->loop_from || !takes(w, NOT_THOUGHTS)) return false;
    str token = p->redacted.len ? p->redacted : p->signature;
    /* Clients of another API bring it back with its issuer's name. */
    if (p->issuer.len && !str_eq(p->issuer, str_of(w->a->dialect->type))) return false;
    return token.len && !issuers_is_foreign(token, w->issuer, w->now_ms);
}

/* A model that thinks to a budget wants the round that goes on to begin with its thinking. */
static bool loop_lacks_thinking(const struct writer *w)
{
    const struct shape *s = &w->shape;

    for (size_t i = s->count; i-- > w->loop_from;) {
        if (s->messages[i].role != ROLE_ASSISTANT) continue;
        return s->messages[i].count == 0 || !goes_back(w, i, &s->messages[i].parts[0]);
    }
    return false;
}

/* ---- blocks ---- */

static void open_block(struct json_out *o, const char *type)
{
    json_object(o);
    json_key(o, "type"), json_text(o, str_of(type));
}

/* The end of a block. */
static void close_block(struct json_out *o, bool cache)
{
    if (cache) {
        json_key(o, "cache_control"), open_block(o, "ephemeral");
        json_end_object(o);
    }
    json_end_object(o);
}

static void put_text(struct json_out *o, str text, bool cache)
{
    open_block(o, "text");
    json_key(o, "text"), json_text(o, text);
    close_block(o, cache);
}

/* "data:image/png;base64,AAAA" taken apart; what is no data URI is an address. */
static void put_image(struct json_out *o, str from, bool cache)
{
    static const char base64[] = ";base64,";
    size_t mark = str_find(from, STR(";base64,"));

    open_block(o, "image");
    json_key(o, "source");
    if (str_starts_nocase(from, STR("data:")) && mark != STR_NPOS) {
        str type = str_tail(str_head(from, mark), 5);
        size_t parameter = str_find_char(type, ';');
        if (parameter != STR_NPOS) type = str_head(type, parameter);
        if (str_eq_nocase(type, STR("image/jpg"))) type = STR("image/jpeg");
        open_block(o, "base64");
        json_key(o, "media_type"), json_text(o, type);
        json_key(o, "data"), json_text(o, str_tail(from, mark + sizeof base64 - 1));
    } else {
        open_block(o, "url");
        json_key(o, "url"), json_text(o, from);
    }
    json_end_object(o);
    close_block(o, cache);
}

/* Arguments are an object here; the text of one goes out as it is. */
static void put_input(struct json_out *o, str args)
{
    yyjson_doc *doc = NULL;

    args = str_trim(args);
    if (args.len && json_read(&doc, args, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    json_key(o, "input");
    if (yyjson_is_obj(yyjson_doc_get_root(doc))) {
        json_raw(o, args);
    } else {
        json_object(o);
        if (args.len) json_key(o, "_raw"), json_text(o, args);
        json_end_object(o);
    }
    yyjson_doc_free(doc);
}

static void put_thinking(struct json_out *o, const struct part *p)
{
    open_block(o, p->redacted.len ? "redacted_thinking" : "thinking");
    if (p->redacted.len) {
        json_key(o, "data"), json_text(o, p->redacted);
    } else {
        json_key(o, "thinking"), json_text(o, p->text);
        json_key(o, "signature"), json_text(o, p->signature);
    }
    json_end_object(o);
}

static void put_part(struct writer *w, size_t at, const struct part *p)
{
    struct json_out *o = &w->o;

    switch (p->kind) {
    case PART_TEXT: put_text(o, p->text, p->cache); break;
    case PART_IMAGE: put_image(o, p->text, p->cache); break;
    case PART_REASONING:
        if (goes_back(w, at, p)) put_thinking(o, p);
        break;
    case PART_TOOL_CALL:
        open_block(o, "tool_use");
        json_key(o, "id"), json_text(o, p->id);
        json_key(o, "name"), json_text(o, p->name);
        put_input(o, p->args_json);
        close_block(o, p->cache);
        break;
    }
}

static void put_result(struct json_out *o, const struct message *m)
{
    open_block(o, "tool_result");
    json_key(o, "tool_use_id"), json_text(o, m->tool_call_id);
    if (m->count == 1 && m->parts[0].kind == PART_TEXT) {
        json_key(o, "content"), json_text(o, m->parts[0].text);
    } else if (m->count) {
        json_key(o, "content"), json_array(o);
        for (size_t i = 0; i < m->count; i++)
            if (m->parts[i].kind == PART_IMAGE)
                put_image(o, m->parts[i].text, false);
            else if (m->parts[i].kind == PART_TEXT)
                put_text(o, m->parts[i].text, false);
        json_end_array(o);
    }
    if (m->is_error) json_key(o, "is_error"), json_bool(o, true);
    close_block(o, m->count && m->parts[m->count - 1].cache);
}

/* ---- messages ---- */

/* Results, and what the user says beside them, are one message, results first.  Gives the index
 * behind it. */
static size_t put_message(struct writer *w, size_t at)
{
    struct json_out *o = &w->o;
    const struct shape *s = &w->shape;
    const struct message *m = &s->messages[at];
    bool last = at + 1 == s->count;

    json_object(o);
    json_key(o, "role");
    json_text(o, m->role == ROLE_ASSISTANT ? STR("assistant") : STR("user"));
    json_key(o, "content");
    if (m->role != ROLE_TOOL && m->count == 1 && m->parts[0].kind == PART_TEXT &&
        !m->parts[0].cache) {
        str text = m->parts[0].text;
        /* A beginning that ends in white space is refused. */
        if (last && m->role == ROLE_ASSISTANT) text = right_trimmed(text);
        json_text(o, text);
        json_end_object(o);
        return at + 1;
    }
    json_array(o);
    for (; at < s->count && s->messages[at].role == ROLE_TOOL; at++)
        put_result(o, &s->messages[at]);
    if (at < s->count && (m->role != ROLE_TOOL || s->messages[at].role == ROLE_USER)) {
        m = &s->messages[at];
        for (size_t i = 0; i < m->count; i++) {
            struct part p = m->parts[i];
            bool ends = at + 1 == s->count && m->role == ROLE_ASSISTANT && i + 1 == m->count;
            if (ends && p.kind == PART_TEXT) p.text = right_trimmed(p.text);
            put_part(w, at, &p);
        }
        at++;
    }
    json_end_array(o);
    json_end_object(o);
    return at;
}

static void put_system(struct writer *w)
{
    struct json_out *o = &w->o;
    str system = w->shape.system, json = STR("Answer with a JSON object.");

    if (w->q->format == FORMAT_JSON_OBJECT)
        system = system.len ? arena_strf(w->arena, "%.*s\n\n%.*s", STR_ARG(system), STR_ARG(json))
                            : json;
    if (system.at == NULL) o->to->bad = true;
    if (system.len && w->shape.system_cache) {
        json_key(o, "system"), json_array(o);
        put_text(o, system, true);
        json_end_array(o);
    } else if (system.len) {
        json_key(o, "system"), json_text(o, system);
    }
}

static void put_messages(struct writer *w)
{
    struct json_out *o = &w->o;

    json_array(o);
    for (size_t i = 0; i < w->shape.count;) i = put_message(w, i);
    json_end_array(o);
}

/* ---- tools ---- */

/* A schema whose type is not "object" is refused. */
static void put_schema(struct json_out *o, str schema)
{
    yyjson_doc *doc = NULL;
    yyjson_obj_iter it;
    yyjson_val *key;

    if (schema.len && json_read(&doc, schema, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    json_key(o, "input_schema");
    if (str_eq(json_get_str(root, "type"), STR("object"))) {
        json_raw(o, schema);
    } else {
        json_object(o);
        json_key(o, "type"), json_text(o, STR("object"));
        if (json_get(root, "properties") == NULL)
            json_key(o, "properties"), json_object(o), json_end_object(o);
        if (yyjson_is_obj(root)) {
            yyjson_obj_iter_init(root, &it);
            while ((key = yyjson_obj_iter_next(&it))) {
                if (str_eq(json_str(key), STR("type"))) continue;
                json_key(o, yyjson_get_str(key)), json_val(o, yyjson_obj_iter_get_val(key));
            }
        }
        json_end_object(o);
    }
    yyjson_doc_free(doc);
}

static void put_tool(struct json_out *o, str name, str description, str schema, bool cache)
{
    json_object(o);
    json_key(o, "name"), json_text(o, name);
    if (description.len) json_key(o, "description"), json_text(o, description);
    put_schema(o, schema);
    close_block(o, cache);
}

static void put_choice(struct writer *w, bool json_tool)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    str choice = q->tool_choice, type = STR("tool");
    bool no_parallel = q->parallel_tool_calls == 0 && takes(w, NOT_PARALLEL);

    if (json_tool) choice = q->tools_count ? STR("required") : str_of(anthropic_json_tool);
    if (str_eq(choice, STR("auto")) || str_eq(choice, STR("none"))) type = choice;
    if (str_eq(choice, STR("required"))) type = STR("any");
    if (choice.len == 0) {
        if (!no_parallel) return;
        type = STR("auto");
    }
    bool forced = str_eq(type, STR("tool")) || str_eq(type, STR("any"));
    if (forced && (w->plan.family->no_forced_tool || w->plan.thinking == THINKING_BUDGET ||
                   !takes(w, NOT_FORCED)))
        type = STR("auto");
    json_key(o, "tool_choice"), json_object(o);
    json_key(o, "type"), json_text(o, type);
    if (str_eq(type, STR("tool"))) json_key(o, "name"), json_text(o, choice);
    if (no_parallel && !str_eq(type, STR("none")))
        json_key(o, "disable_parallel_tool_use"), json_bool(o, true);
    json_end_object(o);
}

static void put_tools(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    bool json_tool = anthropic_uses_json_tool(w->a);

    if (q->tools_count == 0 && !json_tool) return;
    json_key(o, "tools"), json_array(o);
    for (size_t i = 0; i < q->tools_count; i++)
        put_tool(o, q->tools[i].name, q->tools[i].description, q->tools[i].parameters_json,
                 q->tools[i].cache);
    if (json_tool)
        put_tool(o, str_of(anthropic_json_tool), STR("Takes the answer."), q->schema_json, false);
    json_end_array(o);
    put_choice(w, json_tool);
}

/* ---- the rest ---- */

static void put_thinking_fields(struct writer *w)
{
    static const char *const types[] = {"", "disabled", "adaptive", "enabled"};
    static const char *const efforts[] = {"", "", "", "low", "medium", "high", "xhigh", "max"};
    struct json_out *o = &w->o;
    bool schema = w->q->format == FORMAT_JSON_SCHEMA && !anthropic_uses_json_tool(w->a);

    if (w->plan.thinking != THINKING_UNSAID) {
        json_key(o, "thinking"), open_block(o, types[w->plan.thinking]);
        if (w->plan.thinking == THINKING_BUDGET)
            json_key(o, "budget_tokens"), json_int(o, w->plan.budget);
        if (w->plan.thinking == THINKING_ADAPTIVE && takes(w, NOT_DISPLAY))
            json_key(o, "display"), json_text(o, STR("summarized"));
        json_end_object(o);
    }
    if (!schema && !w->plan.effort) return;
    json_key(o, "output_config"), json_object(o);
    if (w->plan.effort) json_key(o, "effort"), json_text(o, str_of(efforts[w->plan.effort]));
    if (schema) {
        json_key(o, "format"), open_block(o, "json_schema");
        json_key(o, "schema"), json_raw(o, w->q->schema_json);
        json_end_object(o);
    }
    json_end_object(o);
}

/* Since 2026-10-21 no model takes any. */
static bool version_samples(str version)
{
    return str_cmp(version, STR("2026-10-21")) < 0;
}

static void put_sampling(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;
    bool thinks = w->plan.thinking == THINKING_BUDGET || w->plan.thinking == THINKING_ADAPTIVE;
    size_t stops = 0;

    if (w->plan.family->sampling == SAMPLING_ANY && !thinks &&
        version_samples(w->a->backend->conf.version)) {
        /* 4.1 to 4.6 refuse both together. */
        if (!isnan(q->temperature) && takes(w, NOT_TEMPERATURE))
            json_key(o, "temperature"), json_num(o, q->temperature > 1 ? 1 : q->temperature);
        else if (!isnan(q->top_p) && takes(w, NOT_TOP_P))
            json_key(o, "top_p"), json_num(o, q->top_p);
        if (q->top_k > 0 && !q->top_k_is_setting && takes(w, NOT_TOP_K))
            json_key(o, "top_k"), json_int(o, q->top_k);
    }
    for (size_t i = 0; takes(w, NOT_STOP) && i < q->stops_count; i++) {
        if (is_blank(q->stops[i])) continue;
        if (stops++ == 0) json_key(o, "stop_sequences"), json_array(o);
        json_text(o, q->stops[i]);
    }
    if (stops) json_end_array(o);
    if (stops < q->stops_count) answer_watch_stops(w->a, 0);
}

/* Whether the client spoke of thinking itself: an effort alone is no wish for it. */
static struct ask as_planned(const struct writer *w)
{
    struct ask q = *w->q;
    str thinking = w->passes ? span_get(q.received, STR("thinking")) : STR_NONE;

    if (w->passes && q.thinking_budget < 0 && (thinking.len == 0 || str_eq(thinking, STR("null"))))
        q.effort = EFFORT_UNSET;
    return q;
}

static void put_all(struct writer *w, const struct call *c)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    json_object(o);
    json_key(o, "model"), json_text(o, q->model);
    json_key(o, "max_tokens"), json_int(o, w->plan.max_tokens);
    if (c->stream) json_key(o, "stream"), json_bool(o, true);
    put_thinking_fields(w);
    put_sampling(w);
    if (q->user.len && takes(w, NOT_USER)) {
        json_key(o, "metadata"), json_object(o);
        json_key(o, "user_id"), json_text(o, q->user);
        json_end_object(o);
    }
    put_tools(w);
    put_system(w);
    if (!w->passes) json_key(o, "messages"), put_messages(w);
    json_end_object(o);
}

static void put_messages_anew(void *ctx, struct json_out *o)
{
    struct writer *w = ctx;
    struct json_out own = w->o;

    w->o = *o;
    put_messages(w);
    *o = w->o;
    w->o = own;
}

/* What was written so far decides, the client's own text is sent. */
static enum err pass_on(struct writer *w, struct call *c, str ours)
{
    const struct anthropic_passed it = {
        .ours = ours,
        .plan = &w->plan,
        .arena = w->arena,
        .messages = w->stay ? NULL : put_messages_anew,
        .ctx = w,
    };
    struct json_out o = json_begin(&c->body);

    return anthropic_pass(w->a, &it, &o);
}

enum err anthropic_write_body(struct answer *a, struct call *c, struct err_note *why)
{
    struct writer w = {
        .o = json_begin(&c->body),
        .a = a,
        .q = a->q,
        .plan = {.family = anthropic_family_of(a->q->model, a->backend->official),
                 .refused = anthropic_refused(a)},
        .arena = &c->arena,
        .issuer = answer_issuer(a),
        .now_ms = loop_now_ms(a->loop),
        .passes = pass_is_on(a->q, WIRE_MESSAGES),
    };
    struct buf ours;
    enum err e = shape(&w, why);

    if (e) return e;
    /* A schema's tool, and a beginning of the answer, are worth more than the thinking that they
     * exclude. */
    struct ask planned = as_planned(&w);
    anthropic_plan(&w.plan, &planned,
                   !w.prefill && !anthropic_uses_json_tool(a) && !loop_lacks_thinking(&w));
    c->stream = !anthropic_is_whole(a->q);
    buf_init(&ours, c->body.max_bytes);
    if (w.passes) w.o = json_begin(&ours);
    put_all(&w, c);
    if (w.passes) e = ours.bad ? ERR_MEMORY : pass_on(&w, c, buf_str(&ours));
    buf_fini(&ours);
    if (!e) e = buf_err(&c->body);
    return e ? err_set(why, e, "out of memory for a request") : ERR_NONE;
}
