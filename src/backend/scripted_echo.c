#include "backend/scripted_echo.h"

#include "base/json.h"

static const char *role_name(enum role r)
{
    static const char *const names[] = {"system", "user", "assistant", "tool"};
    return names[r];
}

void scripted_message_text(struct buf *to, const struct message *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == PART_TEXT) buf_add(to, m->parts[i].text);
}

const struct message *scripted_newest(const struct ask *q, enum role role)
{
    for (size_t i = q->messages_count; i-- > 0;)
        if (q->messages[i].role == role) return &q->messages[i];
    return NULL;
}

static void add_number(struct json_out *o, const char *key, double n)
{
    if (isnan(n)) return;
    json_key(o, key);
    json_num(o, n);
}

static void add_count(struct json_out *o, const char *key, int64_t n)
{
    if (n < 0) return;
    json_key(o, key);
    json_int(o, n);
}

static void add_request(struct buf *to, const struct ask *q)
{
    struct json_out o = json_begin(to);
    struct buf text;

    buf_init(&text, ECHO_BYTES_MAX);
    json_object(&o);
    json_key(&o, "model"), json_text(&o, q->model);
    json_key(&o, "messages"), json_array(&o);
    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        int images = 0;
        for (size_t k = 0; k < m->count; k++) images += m->parts[k].kind == PART_IMAGE;
        buf_clear(&text);
        scripted_message_text(&text, m);
        json_object(&o);
        json_key(&o, "role"), json_text(&o, str_of(role_name(m->role)));
        json_key(&o, "text"), json_text(&o, buf_str(&text));
        if (images) add_count(&o, "images", images);
        json_end_object(&o);
    }
    json_end_array(&o);
    add_number(&o, "temperature", q->temperature);
    add_number(&o, "top_p", q->top_p);
    add_count(&o, "top_k", q->top_k);
    add_count(&o, "max_tokens", q->max_tokens);
    if (q->seeded) add_count(&o, "seed", (int64_t)q->seed);
    if (q->effort) add_count(&o, "effort", q->effort);
    json_key(&o, "stream"), json_bool(&o, q->stream);
    json_key(&o, "sampling_is_default"), json_bool(&o, q->defaults == DEFAULT_ALL);
    json_end_object(&o);
    buf_fini(&text);
}

/* ---- everything, as it is ---- */

static void add_text(struct json_out *o, const char *key, str s)
{
    if (s.len) json_key(o, key), json_text(o, s);
}

static void add_part(struct json_out *o, const struct part *p)
{
    json_object(o);
    switch (p->kind) {
    case PART_TEXT: json_key(o, "text"), json_text(o, p->text); break;
    case PART_IMAGE: json_key(o, "image"), json_text(o, p->text); break;
    case PART_TOOL_CALL:
        json_key(o, "call"), json_text(o, p->name);
        add_text(o, "id", p->id);
        add_text(o, "args", p->args_json);
        break;
    case PART_REASONING:
        json_key(o, "reasoning"), json_text(o, p->text);
        add_text(o, "signature", p->signature);
        add_text(o, "redacted", p->redacted);
        break;
    }
    json_end_object(o);
}

static void add_messages(struct json_out *o, const struct ask *q)
{
    json_key(o, "messages"), json_array(o);
    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        json_object(o);
        json_key(o, "role"), json_text(o, str_of(role_name(m->role)));
        add_text(o, "of", m->tool_call_id);
        if (m->is_error) json_key(o, "error"), json_bool(o, true);
        json_key(o, "parts"), json_array(o);
        for (size_t k = 0; k < m->count; k++) add_part(o, &m->parts[k]);
        json_end_array(o);
        json_end_object(o);
    }
    json_end_array(o);
}

static void add_tools(struct json_out *o, const struct ask *q)
{
    json_key(o, "tools"), json_array(o);
    for (size_t i = 0; i < q->tools_count; i++) {
        const struct tool *t = &q->tools[i];
        json_object(o);
        json_key(o, "name"), json_text(o, t->name);
        add_text(o, "description", t->description);
        add_text(o, "parameters", t->parameters_json);
        if (t->strict) json_key(o, "strict"), json_bool(o, true);
        json_end_object(o);
    }
    json_end_array(o);
    add_text(o, "tool_choice", q->tool_choice);
    add_count(o, "parallel_tool_calls", q->parallel_tool_calls);
}

static void add_all(struct buf *to, const struct ask *q)
{
    static const char *const formats[] = {"text", "json_object", "json_schema"};
    struct json_out out = json_begin(to), *o = &out;

    json_object(o);
    add_messages(o, q);
    add_tools(o, q);
    json_key(o, "format"), json_text(o, str_of(formats[q->format]));
    add_text(o, "schema_name", q->schema_name);
    add_text(o, "schema", q->schema_json);
    add_number(o, "temperature", q->temperature);
    add_number(o, "top_p", q->top_p);
    add_number(o, "min_p", q->min_p);
    add_number(o, "repetition_penalty", q->repetition_penalty);
    add_number(o, "presence_penalty", q->presence_penalty);
    add_number(o, "frequency_penalty", q->frequency_penalty);
    add_count(o, "top_k", q->top_k);
    add_count(o, "max_tokens", q->max_tokens);
    if (q->seeded) add_count(o, "seed", (int64_t)q->seed);
    json_key(o, "stops"), json_array(o);
    for (size_t i = 0; i < q->stops_count; i++) json_text(o, q->stops[i]);
    json_end_array(o);
    add_text(o, "user", q->user);
    json_end_object(o);
}

void scripted_echo(struct buf *to, const struct ask *q, str which)
{
    if (str_eq(which, STR("request"))) {
        add_request(to, q);
    } else if (str_eq(which, STR("all"))) {
        add_all(to, q);
    } else if (str_eq(which, STR("conversation"))) {
        for (size_t i = 0; i < q->messages_count; i++) {
            buf_addf(to, "%s: ", role_name(q->messages[i].role));
            scripted_message_text(to, &q->messages[i]);
            buf_add_char(to, '\n');
        }
    } else {
        const struct message *m = scripted_newest(q, ROLE_USER);
        if (m) scripted_message_text(to, m);
    }
}
