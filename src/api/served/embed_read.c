/* Requests for embeddings, and the two forms of a vector. */
#include <stdio.h>
#include <stdlib.h>

#include "api/served/embed.h"
#include "base/base64.h"

enum {
    VECTOR_BYTES_MAX = 16 << 20, /* of one, in either form */
    NUMBER_BYTES_MAX = 64,
    MORE_BYTES_MAX = 1 << 20,
};

static bool wrong(struct family_error *why, const char *param, const char *text)
{
    *why = (struct family_error){.status = 400,
                                 .code = "invalid_value",
                                 .param = str_of(param),
                                 .message = str_of(text)};
    return false;
}

/* ---- requests ---- */

static bool is_ids(yyjson_val *v)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(v);

    while ((each = yyjson_arr_iter_next(&it)))
        if (!yyjson_is_raw(each)) return false;
    return yyjson_arr_size(v) > 0;
}

/* One list of token ids, or several. */
static bool is_tokens(yyjson_val *v)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(v);

    if (!yyjson_is_arr(yyjson_arr_get_first(v))) return is_ids(v);
    while ((each = yyjson_arr_iter_next(&it)))
        if (!yyjson_is_arr(each) || !is_ids(each)) return false;
    return true;
}

static bool read_texts(struct embed *m, yyjson_val *v, const char *name, struct family_error *why)
{
    yyjson_val *each;
    size_t n = yyjson_is_arr(v) ? yyjson_arr_size(v) : 1;

    if (n > EMBED_TEXTS_MAX) return wrong(why, name, "at most 2048 texts are taken at once");
    str *texts = arena_array(&m->call->r->arena, str, n + 1);
    if (texts == NULL) return wrong(why, name, "out of memory");
    if (yyjson_is_str(v)) texts[0] = json_str(v);
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    for (size_t i = 0; (each = yyjson_arr_iter_next(&it)); i++) {
        if (!yyjson_is_str(each))
            return wrong(why, name, "expected a string, or an array of strings or of token ids");
        texts[i] = json_str(each);
    }
    for (size_t i = 0; i < n; i++) m->input_bytes += texts[i].len;
    m->ask.texts = texts;
    m->ask.count = n;
    return true;
}

static bool read_model(struct embed *m, yyjson_val *root, struct family_error *why)
{
    struct arena *a = &m->call->r->arena;
    int64_t dimensions = -1;

    if (!served_text(root, "model", &m->model, why, a)) return false;
    if (m->model.len == 0) return wrong(why, "model", "you must provide a model parameter");
    m->model = arena_str(a, m->model); /* it is written when the document is gone */
    if (!served_whole(root, "dimensions", 1, 1 << 20, &dimensions, why, a)) return false;
    m->ask.dimensions = (int)dimensions;
    return true;
}

/* What Sema does not know itself. */
static str more_of(yyjson_val *root, struct arena *a)
{
    static const char *const known[] = {"model",      "input", "encoding_format",
                                        "dimensions", "user",  "prompt"};
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    struct buf more;
    yyjson_val *key;

    buf_init(&more, MORE_BYTES_MAX);
    while ((key = yyjson_obj_iter_next(&it))) {
        bool skip = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            skip = skip || str_eq(json_str(key), str_of(known[i]));
        if (skip) continue;
        if (more.len) buf_add_char(&more, ',');
        struct json_out o = json_begin(&more);
        json_text(&o, json_str(key));
        buf_add_char(&more, ':');
        o = json_begin(&more);
        json_val(&o, yyjson_obj_iter_get_val(key));
    }
    str kept = more.bad ? STR_NONE : arena_str(a, buf_str(&more));
    buf_fini(&more);
    return kept;
}

bool embed_read_openai(struct embed *m, yyjson_val *root, struct family_error *why)
{
    struct arena *a = &m->call->r->arena;
    yyjson_val *input = json_get(root, "input");
    str form = STR("float");

    if (!read_model(m, root, why) || !served_text(root, "encoding_format", &form, why, a) ||
        !served_text(root, "user", &m->ask.user, why, a))
        return false;
    m->ask.packed = str_eq(form, STR("base64"));
    if (!m->ask.packed && !str_eq(form, STR("float")))
        return wrong(why, "encoding_format", "encoding_format is \"float\" or \"base64\"");
    m->ask.more_json = more_of(root, a);
    if (!yyjson_is_str(input) && (!yyjson_is_arr(input) || yyjson_arr_size(input) == 0))
        return wrong(why, "input",
                     "input: expected a string, or a non-empty array of strings or of token ids");
    if (yyjson_is_arr(input) && is_tokens(input)) {
        if (yyjson_is_arr(yyjson_arr_get_first(input)) && yyjson_arr_size(input) > EMBED_TEXTS_MAX)
            return wrong(why, "input", "at most 2048 texts are taken at once");
        m->ask.tokens_json = served_json(input, a);
        m->input_bytes = m->ask.tokens_json.len;
        return m->ask.tokens_json.at || wrong(why, "input", "out of memory");
    }
    return read_texts(m, input, "input", why);
}

static bool read_ollama(struct embed *m, yyjson_val *root, const char *name,
                        struct family_error *why)
{
    yyjson_val *input = json_get(root, name);

    if (!read_model(m, root, why)) return false;
    if (str_ends(m->model, STR(":latest"))) m->model.len -= strlen(":latest");
    if (input == NULL || yyjson_is_null(input)) return true; /* it only loads */
    if (!yyjson_is_str(input) && !yyjson_is_arr(input))
        return wrong(why, name, "expected a string or an array of strings");
    if (yyjson_is_str(input) && json_str(input).len == 0) return true;
    return read_texts(m, input, name, why);
}

bool embed_read_ollama(struct embed *m, yyjson_val *root, struct family_error *why)
{
    return read_ollama(m, root, "input", why);
}

bool embed_read_ollama_old(struct embed *m, yyjson_val *root, struct family_error *why)
{
    return read_ollama(m, root, "prompt", why);
}

/* ---- vectors ---- */

/* The shortest that reads back as the same float. */
static void put_float(struct json_out *o, float f)
{
    char text[NUMBER_BYTES_MAX];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f) break;
    }
    json_raw(o, str_of(text));
}

bool embed_put_numbers(struct json_out *o, const struct embed_vector *v)
{
    struct buf bytes;

    if (v->numbers_json.len) {
        json_raw(o, v->numbers_json);
        return true;
    }
    buf_init(&bytes, VECTOR_BYTES_MAX);
    bool ok = base64_decode(&bytes, v->packed) && !bytes.bad && bytes.len % 4 == 0;
    json_array(o);
    for (size_t i = 0; ok && i < bytes.len; i += 4) {
        const unsigned char *b = (const unsigned char *)bytes.at + i;
        uint32_t bits =
            (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        float f;
        memcpy(&f, &bits, sizeof f);
        if (!isfinite(f)) ok = false;
        if (ok) put_float(o, f);
    }
    json_end_array(o);
    buf_fini(&bytes);
    return ok;
}

/* "[1,2.5,...]", as aside_add_vector writes it: no blanks. */
static bool pack(struct buf *bytes, str numbers)
{
    str rest = str_span(numbers.at + 1, numbers.len - 2), one;
    char text[NUMBER_BYTES_MAX];

    while (str_split(&rest, ',', &one)) {
        uint32_t bits;
        if (one.len == 0 || one.len >= sizeof text) return false;
        memcpy(text, one.at, one.len);
        text[one.len] = '\0';
        float f = strtof(text, NULL);
        memcpy(&bits, &f, sizeof bits);
        for (int i = 0; i < 4; i++) buf_add_char(bytes, (char)(bits >> (8 * i) & 0xFF));
    }
    return !bytes->bad;
}

bool embed_put_packed(struct json_out *o, const struct embed_vector *v)
{
    struct buf bytes, text;

    if (v->packed.len) {
        json_text(o, v->packed);
        return true;
    }
    buf_init(&bytes, VECTOR_BYTES_MAX);
    buf_init(&text, VECTOR_BYTES_MAX);
    bool ok = v->numbers_json.len > 2 && pack(&bytes, v->numbers_json);
    if (ok) base64_encode(&text, buf_str(&bytes));
    ok = ok && !text.bad;
    json_text(o, ok ? buf_str(&text) : STR(""));
    buf_fini(&bytes);
    buf_fini(&text);
    return ok;
}
