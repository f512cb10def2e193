#include "api/validate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "api/coerce.h"
#include "api/image.h"
#include "base/utf8.h"
#include "conf/limits.h"

enum {
    INPUT_CHARS_MAX = 200, /* of a string that is shown again (http-api.md section 4) */
    INPUT_BYTES_MAX =
        16 * 1024, /* of one `input`: what would follow in lists and objects is left out */
    COMPLAINTS_BYTES_MAX = 1 << 20, /* of all: fields are few, inputs bounded */
};

/* ---- complaints ---- */

void complaints_init(struct complaints *c)
{
    buf_init(&c->json, COMPLAINTS_BYTES_MAX);
    c->out = json_begin(&c->json);
    c->count = 0;
    json_array(&c->out);
}

void complaints_fini(struct complaints *c)
{
    buf_fini(&c->json);
}

static void put_cut(struct json_out *o, str s)
{
    json_text(o, str_head(s, utf8_bytes_of(s, INPUT_CHARS_MAX)));
}

/* The value as it came, strings cut; depth is bounded by the reader's. */
static void put_input(struct json_out *o, yyjson_val *v, size_t bytes_end)
{
    yyjson_val *each;

    if (v == NULL) {
        json_null(o);
    } else if (yyjson_is_str(v)) {
        put_cut(o, json_str(v));
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_iter it;
        yyjson_arr_iter_init(v, &it);
        json_array(o);
        while (o->to->len < bytes_end && (each = yyjson_arr_iter_next(&it)))
            put_input(o, each, bytes_end);
        json_end_array(o);
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_iter it;
        yyjson_obj_iter_init(v, &it);
        json_object(o);
        while (o->to->len < bytes_end && (each = yyjson_obj_iter_next(&it))) {
            char key[4 * INPUT_CHARS_MAX + 1];
            str name = json_str(each);
            name = str_head(name, utf8_bytes_of(name, INPUT_CHARS_MAX));
            /* json_key takes no U+0000: what follows one is not shown. */
            snprintf(key, sizeof key, "%.*s", STR_ARG(name));
            json_key(o, key);
            put_input(o, yyjson_obj_iter_get_val(each), bytes_end);
        }
        json_end_object(o);
    } else if (yyjson_is_raw(v) && yyjson_get_len(v) > INPUT_CHARS_MAX) {
        put_cut(o,
                json_str(v)); /* a number of thousands of digits: as text, so that it may be cut */
    } else {
        json_val(o, v);
    }
}

void complain(struct complaints *c, const struct complaint *what, yyjson_val *input, str text)
{
    struct json_out *o = &c->out;

    json_object(o);
    json_key(o, "type"), json_text(o, str_of(what->type));
    json_key(o, "loc"), json_array(o);
    json_text(o, str_of(what->place));
    if (what->field) json_text(o, str_of(what->field));
    if (what->index >= 0) json_int(o, what->index);
    json_end_array(o);
    json_key(o, "msg"), json_text(o, str_of(what->msg));
    json_key(o, "input");
    if (text.at)
        put_cut(o, text);
    else
        put_input(o, input, c->json.len + INPUT_BYTES_MAX);
    if (what->ctx) json_key(o, "ctx"), json_raw(o, str_of(what->ctx));
    json_end_object(o);
    c->count++;
}

/* ---- one value ---- */

/* What is looked at: a JSON value, or the text of a query. */
struct given {
    yyjson_val *v;
    str text;
    const char *place;
};

struct check {
    struct complaints *c;
    const struct field *f;
    struct given g;
};

static enum err wrong(struct check *k, const char *type, const char *msg, const char *ctx)
{
    const struct complaint what = {type, k->g.place, k->f->name, -1, msg, ctx};
    complain(k->c, &what, k->g.v, k->g.text);
    return ERR_INVALID;
}

static enum err check_chars(struct check *k, str s)
{
    char msg[80], ctx[48];
    uint64_t count = utf8_count(s);

    if (count < (uint64_t)k->f->min) {
        snprintf(msg, sizeof msg, "String should have at least %" PRId64 " character%s", k->f->min,
                 k->f->min == 1 ? "" : "s");
        snprintf(ctx, sizeof ctx, "{\"min_length\":%" PRId64 "}", k->f->min);
        return wrong(k, "string_too_short", msg, ctx);
    }
    if (count > (uint64_t)k->f->max) {
        snprintf(msg, sizeof msg, "String should have at most %" PRId64 " character%s", k->f->max,
                 k->f->max == 1 ? "" : "s");
        snprintf(ctx, sizeof ctx, "{\"max_length\":%" PRId64 "}", k->f->max);
        return wrong(k, "string_too_long", msg, ctx);
    }
    return ERR_NONE;
}

static enum err check_range(struct check *k, double n)
{
    char msg[80], ctx[48];
    const char *fraction = k->f->kind == FIELD_FLOAT ? ".0" : "";

    if (n < (double)k->f->min) {
        snprintf(msg, sizeof msg, "Input should be greater than or equal to %" PRId64, k->f->min);
        snprintf(ctx, sizeof ctx, "{\"ge\":%" PRId64 "%s}", k->f->min, fraction);
        return wrong(k, "greater_than_equal", msg, ctx);
    }
    if (k->f->max != FIELD_NO_MAX && n > (double)k->f->max) {
        snprintf(msg, sizeof msg, "Input should be less than or equal to %" PRId64, k->f->max);
        snprintf(ctx, sizeof ctx, "{\"le\":%" PRId64 "%s}", k->f->max, fraction);
        return wrong(k, "less_than_equal", msg, ctx);
    }
    return ERR_NONE;
}

static str given_str(const struct given *g)
{
    if (g->v == NULL) return g->text;
    return yyjson_is_str(g->v) ? json_str(g->v) : STR_NONE;
}

static enum err check_string(struct check *k, str *out)
{
    str s = given_str(&k->g);

    if (s.at == NULL) return wrong(k, "string_type", "Input should be a valid string", NULL);
    enum err e = check_chars(k, s);
    if (!e) *out = s;
    return e;
}

static enum err check_float(struct check *k, double *out)
{
    double n = 0;
    enum coerced how = k->g.v ? coerce_float(k->g.v, &n) : coerce_float_text(k->g.text, &n);

    if (how == COERCE_TYPE) return wrong(k, "float_type", "Input should be a valid number", NULL);
    if (how != COERCED)
        return wrong(k, "float_parsing",
                     "Input should be a valid number, unable to parse string as a number", NULL);
    enum err e = check_range(k, n);
    if (!e) *out = n;
    return e;
}

static enum err check_int(struct check *k, int64_t *out)
{
    int64_t n = 0;
    enum coerced how = k->g.v ? coerce_int(k->g.v, &n) : coerce_int_text(k->g.text, &n);

    if (how == COERCE_TYPE) return wrong(k, "int_type", "Input should be a valid integer", NULL);
    if (how == COERCE_FRACTION)
        return wrong(k, "int_from_float",
                     "Input should be a valid integer, got a number with a fractional part", NULL);
    if (how != COERCED)
        return wrong(k, "int_parsing",
                     "Input should be a valid integer, unable to parse string as an integer", NULL);
    enum err e = check_range(k, (double)n);
    if (!e) *out = n;
    return e;
}

static enum err check_bool(struct check *k, bool *out)
{
    bool b = false;
    enum coerced how = k->g.v ? coerce_bool(k->g.v, &b) : coerce_bool_text(k->g.text, &b);

    if (how == COERCE_TYPE) return wrong(k, "bool_type", "Input should be a valid boolean", NULL);
    if (how != COERCED)
        return wrong(k, "bool_parsing",
                     "Input should be a valid boolean, unable to interpret input", NULL);
    *out = b;
    return ERR_NONE;
}

static enum err check_choice(struct check *k, str *out)
{
    str s = given_str(&k->g);
    char names[160] = "", msg[200], ctx[200];
    size_t n = 0;

    for (const char *const *c = k->f->choices; *c; c++) {
        bool fits =
            k->f->kind == FIELD_CHOICE ? str_eq(s, str_of(*c)) : str_eq_nocase(s, str_of(*c));
        if (s.at && fits) {
            *out = str_of(*c);
            return ERR_NONE;
        }
        const char *before = c == k->f->choices ? "" : c[1] ? ", " : " or ";
        n += (size_t)snprintf(names + n, n < sizeof names ? sizeof names - n : 0, "%s'%s'", before,
                              *c);
    }
    snprintf(msg, sizeof msg, "Input should be %s", names);
    snprintf(ctx, sizeof ctx, "{\"expected\":\"%s\"}", names);
    return wrong(k, "literal_error", msg, ctx);
}

static enum err check_images(struct check *k, struct images *out, struct arena *a)
{
    yyjson_arr_iter it;
    yyjson_val *each;
    char msg[120], ctx[120];
    size_t n = yyjson_arr_size(k->g.v), before = k->c->count;

    if (!yyjson_is_arr(k->g.v)) return wrong(k, "list_type", "Input should be a valid list", NULL);
    if (n > (uint64_t)k->f->max) {
        snprintf(msg, sizeof msg,
                 "List should have at most %" PRId64 " items after validation, not %zu", k->f->max,
                 n);
        snprintf(ctx, sizeof ctx,
                 "{\"field_type\":\"List\",\"max_length\":%" PRId64 ",\"actual_length\":%zu}",
                 k->f->max, n);
        return wrong(k, "too_long", msg, ctx);
    }
    struct images images = {.at = arena_array(a, str, n + 1)};
    if (images.at == NULL) return ERR_MEMORY;
    yyjson_arr_iter_init(k->g.v, &it);
    while ((each = yyjson_arr_iter_next(&it))) {
        const char *why = NULL, *type = "string_type";
        if (!yyjson_is_str(each)) {
            why = "Input should be a valid string";
        } else {
            type = "value_error";
            why = image_fault(json_str(each));
        }
        if (why) {
            const struct complaint what = {type, k->g.place, k->f->name, (int64_t)images.count,
                                           why,  NULL};
            complain(k->c, &what, each, STR_NONE);
        }
        images.at[images.count++] = json_str(each);
    }
    if (k->c->count > before) return ERR_INVALID;
    *out = images;
    return ERR_NONE;
}

static enum err check_value(struct check *k, void *result, struct arena *a)
{
    void *at = (char *)result + k->f->at;

    switch (k->f->kind) {
    case FIELD_STRING: return check_string(k, at);
    case FIELD_FLOAT: return check_float(k, at);
    case FIELD_INT: return check_int(k, at);
    case FIELD_BOOL: return check_bool(k, at);
    case FIELD_CHOICE:
    case FIELD_CHOICE_NOCASE: return check_choice(k, at);
    case FIELD_IMAGES: return check_images(k, at, a);
    }
    return ERR_INTERNAL;
}

/* ---- all fields ---- */

/* Memory that is out ends the check; complaints only add up. */
static enum err worse(enum err so_far, enum err e)
{
    return so_far == ERR_MEMORY || e == ERR_NONE ? so_far : e;
}

enum err validate_object(const struct field *fields, size_t count, enum field_in in,
                         yyjson_val *object, void *result, struct arena *a, struct complaints *c)
{
    enum err e = ERR_NONE;

    for (size_t i = 0; i < count; i++) {
        const struct field *f = &fields[i];
        yyjson_val *v = json_get(object, f->name);
        if (!(f->in & in)) continue;
        if (v == NULL && f->required) {
            const struct complaint what = {"missing", "body", f->name, -1, "Field required", NULL};
            complain(c, &what, object, STR_NONE);
            e = worse(e, ERR_INVALID);
        } else if (v && (f->required || !yyjson_is_null(v))) {
            struct check k = {c, f, {.v = v, .place = "body"}};
            e = worse(e, check_value(&k, result, a));
        }
    }
    return c->json.bad ? ERR_MEMORY : e;
}

enum err validate_query(const struct field *fields, size_t count, const struct query *q,
                        void *result, struct arena *a, struct complaints *c)
{
    enum err e = ERR_NONE;

    for (size_t i = 0; i < count; i++) {
        const struct field *f = &fields[i];
        str text = query_get(q, str_of(f->name));
        if (!(f->in & IN_QUERY)) continue;
        if (text.at) {
            struct check k = {c, f, {.text = text, .place = "query"}};
            e = worse(e, check_value(&k, result, a));
        } else if (f->required) {
            const struct complaint what = {"missing", "query", f->name, -1, "Field required", NULL};
            complain(c, &what, NULL, STR_NONE);
            e = worse(e, ERR_INVALID);
        }
    }
    return c->json.bad ? ERR_MEMORY : e;
}

/* ---- bodies ---- */

static bool is_json_type(str type)
{
    if (type.at == NULL) return true;
    str name = str_trim(
        str_head(type, str_find_char(type, ';') == STR_NPOS ? type.len : str_find_char(type, ';')));
    if (str_eq_nocase(name, STR("application/json"))) return true;
    str ending = STR("+json");
    return str_starts_nocase(name, STR("application/")) && name.len > ending.len &&
           str_eq_nocase(str_tail(name, name.len - ending.len), ending);
}

static enum body_fault not_an_object(struct complaints *c, yyjson_val *v, str text)
{
    const struct complaint what = {
        "model_attributes_type",
        "body",
        NULL,
        -1,
        "Input should be a valid dictionary or object to extract fields from",
        NULL};
    complain(c, &what, v, text);
    return BODY_INVALID;
}

static enum body_fault missing(struct complaints *c)
{
    const struct complaint what = {"missing", "body", NULL, -1, "Field required", NULL};
    complain(c, &what, NULL, STR_NONE);
    return BODY_INVALID;
}

static enum body_fault bad_json(struct complaints *c, const struct json_fault *fault)
{
    struct buf ctx;
    struct json_out *o = &c->out;

    buf_init(&ctx, 256);
    buf_add(&ctx, STR("{\"error\":\""));
    json_escape(&ctx, str_of(fault->reason), false);
    buf_add(&ctx, STR("\"}"));
    json_object(o);
    json_key(o, "type"), json_text(o, STR("json_invalid"));
    json_key(o, "loc"), json_array(o);
    json_text(o, STR("body")), json_int(o, (int64_t)fault->offset);
    json_end_array(o);
    json_key(o, "msg"), json_text(o, STR("JSON decode error"));
    json_key(o, "input"), json_object(o), json_end_object(o);
    json_key(o, "ctx"), json_raw(o, buf_str(&ctx));
    json_end_object(o);
    c->count++;
    buf_fini(&ctx);
    return BODY_INVALID;
}

enum body_fault validate_json(yyjson_doc **out, str text, struct complaints *c)
{
    struct json_fault fault;
    yyjson_doc *doc;

    enum err e = json_read(&doc, text, JSON_DEPTH_API, JSON_PLAIN, &fault);
    if (e == ERR_MEMORY) return BODY_MEMORY;
    if (e) return fault.unreadable ? BODY_UNREADABLE : bad_json(c, &fault);

    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_is_obj(root)) {
        *out = doc;
        return BODY_FINE;
    }
    enum body_fault f = yyjson_is_null(root) ? missing(c) : not_an_object(c, root, STR_NONE);
    yyjson_doc_free(doc);
    return f;
}

enum body_fault validate_body(yyjson_doc **out, str type, str body, struct complaints *c)
{
    if (body.len == 0) return missing(c);
    if (is_json_type(type)) return validate_json(out, body, c);

    /* Another type is one string, whatever it holds: shown as far as it is shown at all. */
    struct buf text;
    buf_init(&text, 16 * INPUT_CHARS_MAX);
    utf8_add_repaired(&text, str_head(body, 4 * INPUT_CHARS_MAX));
    if (text.bad) {
        buf_fini(&text);
        return BODY_MEMORY;
    }
    enum body_fault f = not_an_object(c, NULL, buf_str(&text));
    buf_fini(&text);
    return f;
}

/* ---- the chat request ---- */

static const char *const prompt_types[] = {"default", "chat", "code", "creative", NULL};

#define AT(member) offsetof(struct chat_request, member)
/* clang-format off */
const struct field chat_fields[] = {
    {"message",       FIELD_STRING, true,  IN_BODY | IN_QUERY | IN_FRAME, 1, MESSAGE_CHARS_MAX, NULL, AT(message)},
    {"session_id",    FIELD_STRING, true,  IN_BODY | IN_QUERY | IN_FRAME, 1, SESSION_ID_CHARS_MAX, NULL, AT(session_id)},
    {"system_prompt", FIELD_STRING, false, IN_BODY | IN_QUERY | IN_FRAME, 0, SYSTEM_PROMPT_CHARS_MAX, NULL, AT(system_prompt)},
    {"temperature",   FIELD_FLOAT,  false, IN_BODY | IN_QUERY | IN_FRAME, 0, 1, NULL, AT(temperature)},
    {"max_tokens",    FIELD_INT,    false, IN_BODY | IN_QUERY | IN_FRAME, 1, 2048, NULL, AT(max_tokens)},
    {"stream",        FIELD_BOOL,   false, IN_BODY, 0, 0, NULL, AT(stream)},
    {"prompt_type",   FIELD_CHOICE, false, IN_BODY | IN_QUERY | IN_FRAME, 0, 0, prompt_types, AT(prompt_type)},
    {"reasoning",     FIELD_BOOL,   false, IN_BODY | IN_QUERY | IN_FRAME, 0, 0, NULL, AT(reasoning)},
    {"images",        FIELD_IMAGES, false, IN_BODY, 0, IMAGES_MAX, NULL, AT(images)},
    {"last_event_id", FIELD_STRING, false, IN_QUERY, 0, FIELD_NO_MAX, NULL, AT(last_event_id)},
    {"resume_window", FIELD_INT,    false, IN_QUERY, 0, FIELD_NO_MAX, NULL, AT(resume_window)},
};
/* clang-format on */
#undef AT
const size_t chat_fields_count = sizeof chat_fields / sizeof *chat_fields;

void chat_request_init(struct chat_request *r)
{
    *r = (struct chat_request){.temperature = NAN, .max_tokens = -1, .resume_window = -1};
}
