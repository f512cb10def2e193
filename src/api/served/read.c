/* Reading requests of other families: what their validation shares.  Bodies are parsed with numbers
 * as they were written, so every number here is text first. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/served/served.h"
#include "conf/limits.h"

enum {
    NUMBER_BYTES_MAX = 64,
    JSON_BYTES_MAX = 64 << 20,
    TEXTS_MAX = 1 << 18, /* stop strings are sorted, on a loop: this many in some 50 ms */
};

static bool absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

static bool wrong(struct family_error *why, struct arena *a, const char *key, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));

static bool wrong(struct family_error *why, struct arena *a, const char *key, const char *format,
                  ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *why = (struct family_error){.status = 400,
                                 .code = "invalid_value",
                                 .param = str_of(key),
                                 .message = arena_strf(a, "%s: %s", key, text)};
    return false;
}

bool served_parse(struct call *c, yyjson_doc **out, struct family_error *why)
{
    struct json_fault fault;
    struct arena *a = &c->r->arena;

    enum err e = json_read(out, c->r->body, JSON_DEPTH_V1, JSON_RAW_NUMBERS, &fault);
    if (!e && yyjson_is_obj(yyjson_doc_get_root(*out))) return true;
    *why = (struct family_error){.status = 400, .code = "invalid_value"};
    if (!e)
        why->message = STR("the body must be a JSON object");
    else if (e == ERR_MEMORY)
        *why = (struct family_error){.status = 503,
                                     .code = "overloaded",
                                     .message = STR("out of memory")};
    else if (fault.unreadable)
        why->message = STR("the body is not UTF-8, or nested too deep");
    else
        why->message =
            arena_strf(a, "the body is not JSON: %s (character %zu)", fault.reason, fault.offset);
    if (!e) yyjson_doc_free(*out);
    return false;
}

bool served_text(yyjson_val *root, const char *key, str *out, struct family_error *why,
                 struct arena *a)
{
    yyjson_val *v = json_get(root, key);

    if (absent(v)) return true;
    if (!yyjson_is_str(v)) return wrong(why, a, key, "expected a string");
    *out = json_str(v);
    return true;
}

/* The number of a value; NaN for what is none. */
static double number_of(yyjson_val *v)
{
    char text[NUMBER_BYTES_MAX];
    str s = json_str(v);
    char *end;

    if (yyjson_is_num(v)) return yyjson_get_num(v);
    if (!yyjson_is_raw(v) || s.len >= sizeof text) return NAN;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    double n = strtod(text, &end);
    return *end == '\0' ? n : NAN;
}

bool served_number(yyjson_val *root, const char *key, double low, double high, double *out,
                   struct family_error *why, struct arena *a)
{
    yyjson_val *v = json_get(root, key);

    if (absent(v)) return true;
    double n = number_of(v);
    if (isnan(n)) return wrong(why, a, key, "expected a number");
    if (n < low || n > high) return wrong(why, a, key, "must be between %g and %g", low, high);
    *out = n;
    return true;
}

/* A whole number as written: beyond 2^53 its text says more than a double could. */
static bool exact_of(yyjson_val *v, int64_t *out)
{
    str s = yyjson_is_raw(v) ? json_str(v) : STR_NONE;
    bool minus = str_starts(s, STR("-"));
    uint64_t n;

    if (!str_to_u64(minus ? str_tail(s, 1) : s, &n) || n > INT64_MAX) return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

bool served_whole(yyjson_val *root, const char *key, int64_t low, int64_t high, int64_t *out,
                  struct family_error *why, struct arena *a)
{
    yyjson_val *v = json_get(root, key);
    int64_t whole;

    if (absent(v)) return true;
    bool exact = exact_of(v, &whole);
    double n = exact ? 0 : number_of(v);
    if (isnan(n) || n != floor(n)) return wrong(why, a, key, "expected an integer");
    if (!exact && fabs(n) < 0x1p63) exact = true, whole = (int64_t)n;
    if (exact && whole >= low && whole <= high) {
        *out = whole;
        return true;
    }
    if (low == high) return wrong(why, a, key, "only %lld is taken", (long long)low);
    return wrong(why, a, key, "must be between %lld and %lld", (long long)low, (long long)high);
}

bool served_bool(yyjson_val *root, const char *key, bool *out, struct family_error *why,
                 struct arena *a)
{
    yyjson_val *v = json_get(root, key);

    if (absent(v)) return true;
    if (!yyjson_is_bool(v)) return wrong(why, a, key, "expected true or false");
    *out = yyjson_get_bool(v);
    return true;
}

bool served_texts(yyjson_val *root, const char *key, const str **out, size_t *count,
                  struct family_error *why, struct arena *a)
{
    yyjson_val *v = json_get(root, key), *each;

    if (absent(v)) return true;
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return wrong(why, a, key, "expected a string or an array of strings");
    size_t n = yyjson_is_str(v) ? 1 : yyjson_arr_size(v);
    if (n > TEXTS_MAX) return wrong(why, a, key, "at most %d are taken", TEXTS_MAX);
    str *list = arena_array(a, str, n + 1);
    if (list == NULL) return wrong(why, a, key, "out of memory");
    if (yyjson_is_str(v)) list[0] = json_str(v);
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    for (size_t i = 0; (each = yyjson_arr_iter_next(&it)); i++) {
        if (!yyjson_is_str(each)) return wrong(why, a, key, "expected an array of strings");
        list[i] = json_str(each);
    }
    *out = list;
    *count = n;
    return true;
}

str served_json(yyjson_val *v, struct arena *a)
{
    struct buf text;

    buf_init(&text, JSON_BYTES_MAX);
    struct json_out o = json_begin(&text);
    json_val(&o, v);
    str kept = text.bad ? STR_NONE : arena_str(a, buf_str(&text));
    buf_fini(&text);
    return kept;
}

void served_keep(struct served *s, yyjson_val *root, enum wire wire, bool odd)
{
    str body = s->call->r->body;

    if (yyjson_obj_size(root) > RECEIVED_MEMBERS_MAX || !json_is_paired(body)) return;
    s->ask.wire = wire;
    s->ask.received = body;
    s->ask.received_odd = odd;
}

/* ---- messages ---- */

void served_messages_init(struct served_messages *m, struct arena *a)
{
    *m = (struct served_messages){.a = a};
}

/* Twice the room, in the arena; what was there before stays until the arena goes. */
static void *grow(struct served_messages *m, const void *old, size_t count, size_t *cap,
                  size_t each)
{
    size_t more = *cap ? *cap * 2 : 8;
    void *at = arena_take_array(m->a, more, each);

    if (at == NULL) {
        m->bad = true;
        return NULL;
    }
    if (count) memcpy(at, old, count * each);
    *cap = more;
    return at;
}

struct message *served_message(struct served_messages *m, enum role role)
{
    static struct message nobody;

    if (m->count == m->cap) {
        struct message *at = grow(m, m->at, m->count, &m->cap, sizeof *at);
        if (at == NULL) return &nobody;
        m->at = at;
    }
    m->parts = NULL;
    m->parts_cap = 0;
    m->at[m->count] = (struct message){.role = role};
    return &m->at[m->count++];
}

struct part *served_part(struct served_messages *m, enum part_kind kind)
{
    static struct part nothing;
    struct message *newest = m->count ? &m->at[m->count - 1] : NULL;

    if (newest == NULL) return &nothing;
    if (newest->count == m->parts_cap) {
        struct part *at = grow(m, m->parts, newest->count, &m->parts_cap, sizeof *at);
        if (at == NULL) return &nothing;
        m->parts = at;
        newest->parts = at;
    }
    m->parts[newest->count] = (struct part){.kind = kind};
    return &m->parts[newest->count++];
}
