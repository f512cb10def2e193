#include "backend/pass.h"

#include <stdlib.h>

enum {
    OBJECT_MEMBERS_MAX = 4096, /* of an object that is compared: the search may be quadratic */
    DEPTH = 512,
    NUMBER_BYTES_MAX = 64,
    NAME_BYTES_MIN = 3, /* of a field in a sentence: shorter ones stand there by chance */
};

bool pass_is_on(const struct ask *q, enum wire wire)
{
    return q->wire == wire && q->received.len && q->prefill.len == 0;
}

bool pass_is_whole(const struct ask *q, enum wire wire)
{
    return pass_is_on(q, wire) && !q->stream;
}

/* ---- comparing ---- */

static bool number_of(yyjson_val *v, double *out)
{
    char text[NUMBER_BYTES_MAX], *end;
    str s = yyjson_is_raw(v) ? json_str(v) : STR_NONE;

    if (yyjson_is_num(v)) {
        *out = yyjson_get_num(v);
        return true;
    }
    if (s.len == 0 || s.len >= sizeof text) return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool same_number(yyjson_val *raw, yyjson_val *ours)
{
    double a, b;

    if (yyjson_is_raw(raw) && yyjson_is_raw(ours) && str_eq(json_str(raw), json_str(ours)))
        return true;
    return number_of(raw, &a) && number_of(ours, &b) && a == b;
}

static bool object_says(yyjson_val *raw, yyjson_val *ours)
{
    yyjson_obj_iter ours_it, it;
    yyjson_val *key;

    if (yyjson_obj_size(raw) > OBJECT_MEMBERS_MAX) return false;
    yyjson_obj_iter_init(ours, &ours_it);
    yyjson_obj_iter_init(raw, &it);
    while ((key = yyjson_obj_iter_next(&ours_it))) {
        /* Quick where both have the same order. */
        yyjson_val *v = yyjson_obj_iter_getn(&it, yyjson_get_str(key), yyjson_get_len(key));
        if (v == NULL || !pass_says(v, yyjson_obj_iter_get_val(key))) return false;
    }
    return true;
}

bool pass_says(yyjson_val *raw, yyjson_val *ours)
{
    yyjson_arr_iter raw_it, ours_it;
    yyjson_val *one, *other;

    if (yyjson_is_obj(ours)) return yyjson_is_obj(raw) && object_says(raw, ours);
    if (yyjson_is_arr(ours)) {
        /* "stop": one text stands for a list of one. */
        if (yyjson_is_str(raw) && yyjson_arr_size(ours) == 1)
            return pass_says(raw, yyjson_arr_get_first(ours));
        if (!yyjson_is_arr(raw) || yyjson_arr_size(raw) != yyjson_arr_size(ours)) return false;
        yyjson_arr_iter_init(raw, &raw_it);
        yyjson_arr_iter_init(ours, &ours_it);
        while ((one = yyjson_arr_iter_next(&raw_it)) && (other = yyjson_arr_iter_next(&ours_it)))
            if (!pass_says(one, other)) return false;
        return true;
    }
    if (yyjson_is_str(ours)) return yyjson_is_str(raw) && str_eq(json_str(raw), json_str(ours));
    if (yyjson_is_raw(ours) || yyjson_is_num(ours)) return same_number(raw, ours);
    return yyjson_get_tag(raw) == yyjson_get_tag(ours);
}

/* ---- writing ---- */

void pass_key(struct json_out *o, const struct span *raw)
{
    json_raw(o, str_span(raw->key.at - 1, raw->key.len + 2)); /* its quotes stand around it */
    buf_add_char(o->to, ':');
    o->comma = false;
}

static void put_raw(struct json_out *o, const struct span *raw)
{
    pass_key(o, raw);
    json_raw(o, raw->value);
}

static void put_ours(struct json_out *o, const struct span *raw, yyjson_val *ours)
{
    pass_key(o, raw);
    json_val(o, ours);
}

/* `exact`: and nothing else. */
static bool text_says(str raw, yyjson_val *ours, bool exact)
{
    yyjson_doc *doc = NULL;

    if (json_read(&doc, raw, DEPTH, JSON_RAW_NUMBERS, NULL)) return false;
    yyjson_val *v = yyjson_doc_get_root(doc);
    bool says = pass_says(v, ours) && (!exact || pass_says(ours, v));
    yyjson_doc_free(doc);
    return says;
}

static void put_known(struct json_out *o, const struct span *raw, yyjson_val *ours, bool exact)
{
    if (ours == NULL) return;
    if (text_says(raw->value, ours, exact))
        put_raw(o, raw);
    else
        put_ours(o, raw, ours);
}

static str tool_name(yyjson_val *tool)
{
    yyjson_val *function = json_get(tool, "function");
    str type = json_get_str(tool, "type");

    if (yyjson_is_obj(function)) return json_get_str(function, "name");
    /* Others are run by the provider itself and are not among ours. */
    bool ours = type.len == 0 || str_eq(type, STR("function")) || str_eq(type, STR("custom"));
    return ours ? json_get_str(tool, "name") : STR_NONE;
}

/* Ours are those of the client that could be read, in its order, and perhaps more behind them. */
static void put_tools(struct json_out *o, const struct span *raw, yyjson_val *ours)
{
    yyjson_arr_iter it;
    struct span_iter spans;
    struct span each;

    if (!yyjson_is_arr(ours)) return;
    if (text_says(raw->value, ours, false)) {
        put_raw(o, raw);
        return;
    }
    yyjson_arr_iter_init(ours, &it);
    yyjson_val *next = yyjson_arr_iter_next(&it);
    pass_key(o, raw);
    json_array(o);
    bool list = span_open(&spans, raw->value) && !spans.object;
    while (list && next && span_next(&spans, &each)) {
        yyjson_doc *doc = NULL;
        if (json_read(&doc, each.value, DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
        yyjson_val *v = yyjson_doc_get_root(doc);
        bool says = doc && pass_says(v, next);
        str name = tool_name(v);
        if (says)
            json_raw(o, each.value);
        else if (name.len && str_eq(name, tool_name(next)))
            json_val(o, next), says = true;
        if (says) next = yyjson_arr_iter_next(&it);
        yyjson_doc_free(doc);
    }
    for (; next; next = yyjson_arr_iter_next(&it)) json_val(o, next);
    json_end_array(o);
}

/* ---- the members of a request ---- */

struct member {
    struct span span; /* as written */
    str key;          /* its escapes undone */
};

/* All members, of repeated ones the last.  ERR_LIMIT, ERR_MEMORY. */
static enum err collect(const struct pass *p, struct member **out, size_t *count)
{
    struct member *at = arena_array(p->arena, struct member, RECEIVED_MEMBERS_MAX);
    struct span_iter it;
    struct span s;
    size_t n = 0, seen = 0; /* repeated ones count: each is looked for among those before it */

    if (at == NULL) return ERR_MEMORY;
    if (!span_open(&it, p->received) || !it.object) return ERR_LIMIT;
    while (span_next(&it, &s)) {
        struct member m = {s, span_key(s.key, p->arena)};
        size_t same = 0;
        if (m.key.at == NULL) return ERR_MEMORY;
        if (++seen > RECEIVED_MEMBERS_MAX) return ERR_LIMIT;
        while (same < n && !str_eq(at[same].key, m.key)) same++;
        at[same] = m;
        n += same == n;
    }
    *out = at;
    *count = n;
    return ERR_NONE;
}

static const struct pass_key *rule_of(const struct pass *p, str key)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(key, str_of(p->keys[i].name))) return &p->keys[i];
    return NULL;
}

static void put_member(const struct pass *p, const struct member *m, yyjson_val *ours,
                       struct json_out *o)
{
    const struct pass_key *k = rule_of(p, m->key);
    enum pass_rule rule = k ? k->rule : ours ? PASS_KNOWN : p->others ? PASS_FREE : PASS_NEVER;

    /* null is absent in every dialect; not every server knows that. */
    if (str_eq(m->span.value, STR("null")) && rule != PASS_WRITE && ours == NULL) return;
    switch (rule) {
    case PASS_KNOWN: put_known(o, &m->span, ours, false); break;
    case PASS_EXACT: put_known(o, &m->span, ours, true); break;
    case PASS_EACH: put_tools(o, &m->span, ours); break;
    case PASS_WRITE: p->write(p->ctx, m->key, &m->span, ours, o); break;
    case PASS_FREE: put_raw(o, &m->span); break;
    case PASS_NEVER: break;
    }
}

static bool has(const struct member *at, size_t count, str key)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(at[i].key, key)) return true;
    return false;
}

enum err pass_merge(const struct pass *p, struct json_out *o)
{
    struct member *at = NULL;
    yyjson_doc *doc = NULL;
    yyjson_obj_iter it;
    yyjson_val *key;
    size_t count = 0;
    enum err e = collect(p, &at, &count);

    if (!e) e = json_read(&doc, p->ours, DEPTH, JSON_RAW_NUMBERS, NULL);
    if (e) return e;
    yyjson_val *ours = yyjson_doc_get_root(doc);
    json_object(o);
    for (size_t i = 0; i < count; i++) {
        str name = at[i].key;
        put_member(p, &at[i], yyjson_obj_getn(ours, name.at, name.len), o);
    }
    yyjson_obj_iter_init(ours, &it);
    while ((key = yyjson_obj_iter_next(&it))) {
        const struct pass_key *k = rule_of(p, json_str(key));
        if ((k && k->quiet) || has(at, count, json_str(key))) continue;
        json_key(o, yyjson_get_str(key));
        json_val(o, yyjson_obj_iter_get_val(key));
    }
    json_end_object(o);
    yyjson_doc_free(doc);
    return ERR_NONE;
}

/* ---- what was changed, and what was refused ---- */

static bool same_text(str a, str b)
{
    return a.len == b.len && (a.at == b.at || a.len == 0);
}

static bool same_message(const struct message *a, const struct message *b)
{
    if (a->role != b->role || a->count != b->count) return false;
    if (!str_eq(a->tool_call_id, b->tool_call_id)) return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct part *x = &a->parts[i], *y = &b->parts[i];
        if (x->kind != y->kind || !same_text(x->text, y->text) || !str_eq(x->id, y->id))
            return false;
    }
    return true;
}

bool pass_is_unchanged(const struct ask *q, size_t from, const struct shape *s)
{
    if (s->dropped_results || q->messages_count - from != s->count) return false;
    for (size_t i = 0; i < s->count; i++)
        if (!same_message(&q->messages[from + i], &s->messages[i])) return false;
    return true;
}

static bool is_word(char c)
{
    return c == '_' || c == '-' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

static bool has_word(str text, str word)
{
    for (size_t from = 0;;) {
        size_t at = str_find(str_tail(text, from), word);
        if (at == STR_NPOS) return false;
        at += from;
        size_t end = at + word.len;
        if ((at == 0 || !is_word(text.at[at - 1])) && (end == text.len || !is_word(text.at[end])))
            return true;
        from = at + 1;
    }
}

bool pass_names_extra(const struct pass *p, const struct fault *f)
{
    struct member *at;
    size_t count;

    if (collect(p, &at, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        const struct pass_key *k = rule_of(p, at[i].key);
        if (k ? k->rule != PASS_FREE : !p->others) continue;
        if (f->param.len ? str_eq(f->param, at[i].key)
                         : at[i].key.len >= NAME_BYTES_MIN && has_word(f->message, at[i].key))
            return true;
    }
    return false;
}
