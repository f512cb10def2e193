/* A conversation in the shape that a template can render.  None of this is done for `exact`
 * renderings: the reference leaves it to the caller. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "conf/limits.h"
#include "engine/template/form.h"
#include "engine/vocab/vocab.h"

struct shape {
    yyjson_mut_doc *doc;
    const struct form_habits *habits;
    bool bad; /* out of memory */
};

/* ---- small helpers over mutable values ---- */

static str text_of(yyjson_mut_val *v)
{
    return yyjson_mut_is_str(v) ? (str){yyjson_mut_get_str(v), yyjson_mut_get_len(v)} : STR_NONE;
}

static yyjson_mut_val *get(yyjson_mut_val *object, const char *key)
{
    return yyjson_mut_obj_get(object, key);
}

static bool has_role(yyjson_mut_val *message, const char *role)
{
    return str_eq(text_of(get(message, "role")), str_of(role));
}

static yyjson_mut_val *new_text(struct shape *s, str text)
{
    yyjson_mut_val *v = yyjson_mut_strncpy(s->doc, text.at ? text.at : "", text.len);
    s->bad = s->bad || v == NULL;
    return v;
}

static yyjson_mut_val *end_text(struct shape *s, struct buf *b)
{
    s->bad = s->bad || b->bad;
    yyjson_mut_val *v = new_text(s, buf_str(b));
    buf_fini(b);
    return v;
}

/* In its old place, or as the last member. */
static void put(struct shape *s, yyjson_mut_val *object, const char *key, yyjson_mut_val *v)
{
    yyjson_mut_val *name = yyjson_mut_str(s->doc, key);

    if (v == NULL || name == NULL) {
        s->bad = true;
        return;
    }
    if (!get(object, key))
        yyjson_mut_obj_add(object, name, v);
    else
        yyjson_mut_obj_replace(object, name, v);
}

static void text_buf(struct buf *b)
{
    buf_init(b, TEMPLATE_OUTPUT_BYTES_MAX);
}

/* `v` written as JSON, the blanks as the reference's tojson has them. */
static void add_json(struct shape *s, struct buf *to, yyjson_mut_val *v)
{
    size_t len;
    char *json = yyjson_mut_val_write(v, 0, &len);

    s->bad = s->bad || json == NULL;
    for (size_t i = 0, inside = 0; json && i < len; i++) {
        buf_add_char(to, json[i]);
        if (inside && json[i] == '\\')
            buf_add_char(to, json[++i]);
        else if (json[i] == '"')
            inside = !inside;
        else if (!inside && (json[i] == ':' || json[i] == ','))
            buf_add_char(to, ' ');
    }
    free(json);
}

/* ---- content ---- */

static bool is_text_part(yyjson_mut_val *part)
{
    str type = text_of(get(part, "type"));
    return yyjson_mut_is_str(part) || str_eq(type, STR("text")) ||
           str_eq(type, STR("input_text")) || str_eq(type, STR("output_text"));
}

static str part_text(yyjson_mut_val *part)
{
    return yyjson_mut_is_str(part) ? text_of(part) : text_of(get(part, "text"));
}

/* All texts of a list, nothing between them: what stood in two parts is guarded as one. */
static yyjson_mut_val *join_parts(struct shape *s, yyjson_mut_val *list)
{
    struct buf b;
    size_t i, max;
    yyjson_mut_val *part;

    text_buf(&b);
    yyjson_mut_arr_foreach(list, i, max, part)
    {
        if (is_text_part(part)) buf_add(&b, part_text(part));
    }
    return end_text(s, &b);
}

static yyjson_mut_val *new_part(struct shape *s, yyjson_mut_val *text)
{
    yyjson_mut_val *part = yyjson_mut_obj(s->doc);
    put(s, part, "type", yyjson_mut_str(s->doc, "text"));
    put(s, part, "text", text);
    return part;
}

/* Neighbouring text parts become one; the others stay. */
static yyjson_mut_val *merge_parts(struct shape *s, yyjson_mut_val *list)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc), *part;
    struct buf b;
    bool open = false;
    size_t i, max;

    text_buf(&b);
    yyjson_mut_arr_foreach(list, i, max, part)
    {
        if (is_text_part(part)) {
            buf_add(&b, part_text(part));
            open = true;
            continue;
        }
        if (open) {
            yyjson_mut_arr_append(out, new_part(s, new_text(s, buf_str(&b))));
            s->bad = s->bad || b.bad;
            buf_clear(&b);
            open = false;
        }
        yyjson_mut_arr_append(out, yyjson_mut_val_mut_copy(s->doc, part));
    }
    yyjson_mut_val *last = end_text(s, &b);
    if (open) yyjson_mut_arr_append(out, new_part(s, last));
    return out;
}

static void shape_content(struct shape *s, yyjson_mut_val *message)
{
    yyjson_mut_val *content = get(message, "content");
    bool calls = yyjson_mut_arr_size(get(message, "tool_calls")) > 0;

    if (yyjson_mut_is_arr(content)) {
        content =
            s->habits->list_content && !calls ? merge_parts(s, content) : join_parts(s, content);
        put(s, message, "content", content);
    } else if (yyjson_mut_is_str(content) && !s->habits->text_content && s->habits->list_content) {
        yyjson_mut_val *list = yyjson_mut_arr(s->doc);
        yyjson_mut_arr_append(list, new_part(s, new_text(s, text_of(content))));
        put(s, message, "content", list);
    }
    bool empty = content == NULL || yyjson_mut_is_null(content) ||
                 (yyjson_mut_is_str(content) && yyjson_mut_get_len(content) == 0);
    if (calls && empty)
        put(s, message, "content",
            s->habits->empty_text ? new_text(s, STR("")) : yyjson_mut_null(s->doc));
    else if (content == NULL || yyjson_mut_is_null(content))
        put(s, message, "content", new_text(s, STR("")));
}

/* Text in front of or behind what a message says. */
static void add_to_content(struct shape *s, yyjson_mut_val *message, str text, bool front)
{
    yyjson_mut_val *content = get(message, "content");
    struct buf b;

    text_buf(&b);
    if (yyjson_mut_is_arr(content)) {
        buf_add(&b, front ? text : STR("\n\n"));
        buf_add(&b, front ? STR("\n\n") : text);
        yyjson_mut_val *part = new_part(s, end_text(s, &b));
        if (front)
            yyjson_mut_arr_prepend(content, part);
        else
            yyjson_mut_arr_append(content, part);
        put(s, message, "content", merge_parts(s, content));
        return;
    }
    str old = text_of(content);
    buf_add(&b, front ? text : old);
    if (old.len && text.len) buf_add(&b, STR("\n\n"));
    buf_add(&b, front ? old : text);
    put(s, message, "content", end_text(s, &b));
}

static yyjson_mut_val *new_message(struct shape *s, const char *role, str text)
{
    yyjson_mut_val *m = yyjson_mut_obj(s->doc);
    put(s, m, "role", yyjson_mut_str(s->doc, role));
    put(s, m, "content", new_text(s, text));
    shape_content(s, m);
    return m;
}

/* The text of a system message, whichever form its content has. */
static void add_content_text(struct buf *to, yyjson_mut_val *message)
{
    yyjson_mut_val *content = get(message, "content"), *part;
    size_t i, max;

    if (to->len) buf_add(to, STR("\n\n"));
    if (yyjson_mut_is_str(content)) buf_add(to, text_of(content));
    if (!yyjson_mut_is_arr(content)) return;
    yyjson_mut_arr_foreach(content, i, max, part)
    {
        if (is_text_part(part)) buf_add(to, part_text(part));
    }
}

/* Texts that go behind what one message says, put there at once: a hundred thousand of them one by
 * one would copy the first a hundred thousand times. */
struct behind {
    yyjson_mut_val *message; /* NULL: none waits */
    struct buf text;
};

static void put_behind(struct shape *s, struct behind *b)
{
    if (b->message && b->text.len) add_to_content(s, b->message, buf_str(&b->text), false);
    s->bad = s->bad || b->text.bad;
    buf_clear(&b->text);
    b->message = NULL;
}

static void add_behind(struct shape *s, struct behind *b, yyjson_mut_val *message,
                       yyjson_mut_val *from)
{
    if (b->message != message) put_behind(s, b);
    b->message = message;
    size_t before = b->text.len;
    add_content_text(&b->text, from);
    if (before && b->text.len == before + strlen("\n\n"))
        b->text.len = before; /* it says nothing */
}

/* ---- system messages where the template has no place for them ---- */

static void fold_system(struct shape *s, yyjson_mut_val *messages)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc), *m, *front = NULL, *last = NULL;
    struct behind more = {NULL};
    struct buf pending;
    size_t i, max;

    text_buf(&pending);
    text_buf(&more.text);
    yyjson_mut_arr_foreach(messages, i, max, m)
    {
        yyjson_mut_val *copy = yyjson_mut_val_mut_copy(s->doc, m);
        bool system = has_role(m, "system");
        if (system && (i == 0 ? s->habits->system : s->habits->late_system)) {
            if (i == 0) front = copy;
        } else if (system && front && last == front) { /* a second one at the front */
            add_behind(s, &more, front, m);
            continue;
        } else if (system) {
            add_content_text(&pending, m);
            continue;
        } else if (pending.len && has_role(m, "user")) {
            add_to_content(s, copy, buf_str(&pending), true);
            buf_clear(&pending);
        }
        last = copy;
        yyjson_mut_arr_append(out, copy);
    }
    put_behind(s, &more);
    if (pending.len) { /* nobody comes after it */
        if (last && has_role(last, "user"))
            add_to_content(s, last, buf_str(&pending), false);
        else if (front)
            add_to_content(s, front, buf_str(&pending), false);
        else
            yyjson_mut_arr_append(out, new_message(s, "user", buf_str(&pending)));
    }
    s->bad = s->bad || pending.bad;
    buf_fini(&pending);
    buf_fini(&more.text);
    yyjson_mut_arr_clear(messages);
    while ((m = yyjson_mut_arr_remove_first(out))) yyjson_mut_arr_append(messages, m);
}

/* ---- tool calls ---- */

/* Nine characters out of an id of any length, the same ones each time (FNV-1a, base 36). */
static void shorten_id(struct shape *s, yyjson_mut_val *object, const char *key)
{
    str id = text_of(get(object, key));
    uint64_t h = 0xcbf29ce484222325u;
    char out[9];

    if (id.len == sizeof out) return;
    for (size_t i = 0; i < id.len; i++) h = (h ^ (unsigned char)id.at[i]) * 0x100000001b3u;
    for (size_t i = 0; i < sizeof out; i++, h /= 36)
        out[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[h % 36];
    put(s, object, key, new_text(s, str_span(out, sizeof out)));
}

static yyjson_mut_val *function_of(yyjson_mut_val *call)
{
    yyjson_mut_val *f = get(call, "function");
    return f ? f : call;
}

static void shape_arguments(struct shape *s, yyjson_mut_val *call)
{
    yyjson_mut_val *f = function_of(call), *args = get(f, "arguments");
    str text = text_of(args);
    yyjson_doc *doc;

    if (!yyjson_mut_is_obj(f)) return;
    if (s->habits->text_args) {
        if (args == NULL || yyjson_mut_is_str(args)) return;
        struct buf b;
        text_buf(&b);
        add_json(s, &b, args);
        put(s, f, "arguments", end_text(s, &b));
        return;
    }
    if (args == NULL || yyjson_mut_is_null(args) ||
        (yyjson_mut_is_str(args) && str_trim(text).len == 0)) {
        put(s, f, "arguments", yyjson_mut_obj(s->doc));
        return;
    }
    /* What is no object (a model's broken answer) stays the text it is. */
    if (!yyjson_mut_is_str(args) || json_read(&doc, text, JSON_DEPTH_V1, JSON_RAW_NUMBERS, NULL))
        return;
    if (yyjson_is_obj(yyjson_doc_get_root(doc)))
        put(s, f, "arguments", yyjson_val_mut_copy(s->doc, yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
}

static void shape_calls(struct shape *s, yyjson_mut_val *message)
{
    yyjson_mut_val *calls = get(message, "tool_calls"), *call;
    size_t i, max;

    if (calls && yyjson_mut_arr_size(calls) == 0) yyjson_mut_obj_remove_key(message, "tool_calls");
    yyjson_mut_arr_foreach(calls, i, max, call)
    {
        if (!yyjson_mut_is_obj(call)) continue;
        shape_arguments(s, call);
        if (s->habits->short_ids && get(call, "id")) shorten_id(s, call, "id");
    }
    if (s->habits->short_ids && has_role(message, "tool") && get(message, "tool_call_id"))
        shorten_id(s, message, "tool_call_id");
}

/* The results of one message's calls, found by the id of their call. */
struct results {
    struct result {
        yyjson_mut_val *message; /* NULL: taken */
        size_t next;             /* of the same id; NOBODY */
    } * at;
    size_t count, mask;
    size_t *first; /* by hash, the first of an id; NOBODY: the place is free */
};

#define NOBODY SIZE_MAX

static str call_id_of(yyjson_mut_val *result)
{
    return text_of(get(result, "tool_call_id"));
}

/* Where the results of this id are, or would be. */
static size_t *place_of(const struct results *r, str id, const str *ids)
{
    size_t i = hash_str(id) & r->mask;

    while (r->first[i] != NOBODY && !str_eq(ids[r->first[i]], id)) i = (i + 1) & r->mask;
    return &r->first[i];
}

/* Takes the results in front of `messages` out of it. */
static void take_results(struct shape *s, yyjson_mut_val *messages, struct results *r, str **ids)
{
    size_t size = 16, room = 0;
    yyjson_mut_val *m = yyjson_mut_arr_get_first(messages);

    for (; room < yyjson_mut_arr_size(messages) && has_role(m, "tool"); m = m->next) room++;
    while (size < 2 * room) size *= 2;
    *r = (struct results){.mask = size - 1};
    r->at = calloc(room + 1, sizeof *r->at);
    r->first = malloc(size * sizeof *r->first);
    *ids = calloc(room + 1, sizeof **ids);
    if (!r->at || !r->first || !*ids) {
        s->bad = true;
        return;
    }
    for (size_t i = 0; i < size; i++) r->first[i] = NOBODY;
    for (; r->count < room; r->count++) {
        r->at[r->count].message = yyjson_mut_arr_remove_first(messages);
        (*ids)[r->count] = call_id_of(r->at[r->count].message);
    }
    for (size_t i = room; i-- > 0;) {
        size_t *place = place_of(r, (*ids)[i], *ids);
        r->at[i].next = *place;
        *place = i;
    }
}

/* What the model said goes with the first of its calls. */
static yyjson_mut_val *message_of_call(struct shape *s, yyjson_mut_val *m, yyjson_mut_val *call,
                                       bool first)
{
    yyjson_mut_val *only = yyjson_mut_arr(s->doc), *one = m;

    yyjson_mut_arr_append(only, yyjson_mut_val_mut_copy(s->doc, call));
    if (!first) {
        one = yyjson_mut_obj(s->doc);
        put(s, one, "role", yyjson_mut_str(s->doc, "assistant"));
        put(s, one, "content",
            s->habits->empty_text ? new_text(s, STR("")) : yyjson_mut_null(s->doc));
    }
    put(s, one, "tool_calls", only);
    return one;
}

/* One message for each call, its result right after it, for templates that take one call at a time.
 */
static void split_calls(struct shape *s, yyjson_mut_val *messages)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc), *m, *call, *calls;
    size_t i, max;

    while ((m = yyjson_mut_arr_remove_first(messages))) {
        calls = get(m, "tool_calls");
        if (yyjson_mut_arr_size(calls) < 2) {
            yyjson_mut_arr_append(out, m);
            continue;
        }
        struct results r;
        str *ids = NULL;
        take_results(s, messages, &r, &ids);
        yyjson_mut_arr_foreach(calls, i, max, call)
        {
            yyjson_mut_arr_append(out, message_of_call(s, m, call, i == 0));
            if (s->bad) break;
            for (size_t k = *place_of(&r, text_of(get(call, "id")), ids); k != NOBODY;
                 k = r.at[k].next) {
                if (r.at[k].message == NULL) break; /* an earlier call of this id has them all */
                yyjson_mut_arr_append(out, r.at[k].message);
                r.at[k].message = NULL;
            }
        }
        for (size_t k = 0; k < r.count; k++)
            if (r.at[k].message) yyjson_mut_arr_append(out, r.at[k].message);
        free(r.at), free(r.first), free(ids);
    }
    while ((m = yyjson_mut_arr_remove_first(out))) yyjson_mut_arr_append(messages, m);
}

/* ---- tools as plain text, for templates that know nothing of them ---- */

static void flatten_call_message(struct shape *s, yyjson_mut_val *m)
{
    yyjson_mut_val *calls = get(m, "tool_calls"), *call;
    size_t i, max;
    struct buf b;

    text_buf(&b);
    add_content_text(&b, m);
    yyjson_mut_arr_foreach(calls, i, max, call)
    {
        yyjson_mut_val *f = function_of(call), *args = get(f, "arguments"), *name = get(f, "name");
        if (b.len) buf_add_char(&b, '\n');
        buf_add(&b, STR("{\"name\": "));
        if (name) add_json(s, &b, name);
        buf_add(&b, STR(", \"arguments\": "));
        if (yyjson_mut_is_str(args))
            buf_add(&b, str_trim(text_of(args)).len ? text_of(args) : STR("{}"));
        else if (args)
            add_json(s, &b, args);
        else
            buf_add(&b, STR("{}"));
        buf_add_char(&b, '}');
    }
    put(s, m, "content", end_text(s, &b));
    yyjson_mut_obj_remove_key(m, "tool_calls");
}

static void flatten_history(struct shape *s, yyjson_mut_val *messages)
{
    yyjson_mut_val *out = yyjson_mut_arr(s->doc), *m, *last = NULL;
    struct behind more = {NULL};

    text_buf(&more.text);
    while ((m = yyjson_mut_arr_remove_first(messages))) {
        bool result = has_role(m, "tool");
        if (yyjson_mut_arr_size(get(m, "tool_calls"))) flatten_call_message(s, m);
        if (result) {
            struct buf b;
            str name = text_of(get(m, "name"));
            text_buf(&b);
            buf_addf(&b, "Result of %.*s:\n", STR_ARG(name.len ? name : STR("the function")));
            str head = buf_str(&b);
            add_to_content(s, m, str_head(head, head.len - 1), true);
            buf_fini(&b);
            put(s, m, "role", yyjson_mut_str(s->doc, "user"));
            yyjson_mut_obj_remove_key(m, "tool_call_id");
        }
        /* Results, and the question after them, are one turn: roles keep alternating. */
        bool joins = last && has_role(m, "user");
        if (joins)
            add_behind(s, &more, last, m);
        else
            yyjson_mut_arr_append(out, m);
        if (!joins) last = result ? m : NULL;
    }
    put_behind(s, &more);
    buf_fini(&more.text);
    while ((m = yyjson_mut_arr_remove_first(out))) yyjson_mut_arr_append(messages, m);
}

/* The instruction that stands in for a template's own list of tools (local-models.md section 8,
 * form "none"). */
static void instruct(struct shape *s, yyjson_mut_val *messages, yyjson_mut_val *tools)
{
    yyjson_mut_val *tool, *first = yyjson_mut_arr_get_first(messages);
    size_t i, max;
    struct buf b;

    text_buf(&b);
    buf_add(
        &b,
        STR("You may call one of these functions. To call one, answer with only a JSON object "
            "{\"name\": FUNCTION, \"arguments\": {...}} and nothing else; its result follows in "
            "the next message. Otherwise answer in plain text.\nFunctions:"));
    yyjson_mut_arr_foreach(tools, i, max, tool)
    {
        buf_add_char(&b, '\n');
        add_json(s, &b, function_of(tool));
    }
    if (has_role(first, "system"))
        add_to_content(s, first, buf_str(&b), false);
    else
        yyjson_mut_arr_prepend(messages, new_message(s, "system", buf_str(&b)));
    s->bad = s->bad || b.bad;
    buf_fini(&b);
}

/* ---- all of it ---- */

enum err chat_form_shape(yyjson_mut_doc *doc, yyjson_mut_val *messages, yyjson_mut_val **tools,
                         const struct form_habits *habits)
{
    struct shape s = {.doc = doc, .habits = habits};
    yyjson_mut_val *m;
    size_t i, max;

    yyjson_mut_arr_foreach(messages, i, max, m)
    {
        if (!yyjson_mut_is_obj(m)) continue;
        if (has_role(m, "developer") && !habits->developer)
            put(&s, m, "role", yyjson_mut_str(doc, "system"));
        shape_content(&s, m);
        if (habits->calls) shape_calls(&s, m);
    }
    if (!habits->calls)
        flatten_history(&s, messages);
    else if (!habits->many_calls)
        split_calls(&s, messages);
    if (*tools && !habits->tools) {
        instruct(&s, messages, *tools);
        *tools = NULL;
    }
    fold_system(&s, messages);
    return s.bad ? ERR_MEMORY : ERR_NONE;
}

/* ---- guarding ---- */

static void guard_text(yyjson_mut_doc *doc, yyjson_mut_val *v, const struct vocab *vocab, bool *bad)
{
    struct buf b;
    str text = text_of(v);

    buf_init(&b, text.len * 4 + 64);
    vocab_guard(vocab, text, &b);
    if (b.bad) {
        *bad = true;
    } else if (!str_eq(buf_str(&b), text)) {
        yyjson_mut_val *copy = yyjson_mut_strncpy(doc, b.at ? b.at : "", b.len);
        if (copy)
            unsafe_yyjson_set_strn(v, yyjson_mut_get_str(copy), yyjson_mut_get_len(copy));
        else
            *bad = true;
    }
    buf_fini(&b);
}

static void guard_all(yyjson_mut_doc *doc, yyjson_mut_val *v, const struct vocab *vocab, bool *bad)
{
    size_t i, max;
    yyjson_mut_val *key, *kid;

    if (yyjson_mut_is_str(v)) {
        guard_text(doc, v, vocab, bad);
    } else if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_foreach(v, i, max, kid) guard_all(doc, kid, vocab, bad);
    } else if (yyjson_mut_is_obj(v)) {
        yyjson_mut_obj_foreach(v, i, max, key, kid)
        {
            guard_text(doc, key, vocab, bad);
            guard_all(doc, kid, vocab, bad);
        }
    }
}

enum err shape_guard(yyjson_mut_doc *doc, yyjson_mut_val *v, const struct vocab *vocab)
{
    bool bad = false;
    if (v) guard_all(doc, v, vocab, &bad);
    return bad ? ERR_MEMORY : ERR_NONE;
}
