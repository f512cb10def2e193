#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

/* ---- the look before parsing: depth, and escapes that yyjson refuses ---- */

static bool hex4(const char *p, uint32_t *out)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return false;
        n = n << 4 | digit;
    }
    *out = n;
    return true;
}

struct look {
    unsigned depth; /* deepest nesting */
    bool surrogate; /* an escape of D800..DFFF occurs */
};

static struct look look_over(str s)
{
    struct look seen = {0};
    unsigned depth = 0;
    bool inside = false; /* a string */

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (inside) {
            if (c == '"') {
                inside = false;
            } else if (c == '\\') {
                i++;
                if (i + 2 < s.len && s.at[i] == 'u' && (s.at[i + 1] | 32) == 'd' &&
                    s.at[i + 2] > '7')
                    seen.surrogate = true;
            }
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            if (++depth > seen.depth) seen.depth = depth;
        } else if (c == '}' || c == ']') {
            if (depth) depth--;
        }
    }
    return seen;
}

/* In place: a lone half becomes \ufffd, which is just as long, or the three bytes that UTF-8 would
 * have for it.  Gives the new length. */
static size_t mend_surrogates(char *p, size_t len, bool keep)
{
    uint32_t half, other;
    size_t to = 0;

    for (size_t i = 0; i < len; i++) {
        p[to++] = p[i];
        if (p[i] != '\\' || i + 1 == len) continue;
        p[to++] = p[++i];
        if (p[i] != 'u' || i + 4 >= len || !hex4(p + i + 1, &half)) continue;
        if (half < 0xD800 || half > 0xDFFF) continue;
        bool pair = half < 0xDC00 && i + 10 < len && p[i + 5] == '\\' && p[i + 6] == 'u' &&
                    hex4(p + i + 7, &other) && other >= 0xDC00 && other <= 0xDFFF;
        if (pair) {
            memmove(p + to, p + i + 1, 10);
            to += 10;
            i += 10;
        } else if (keep) {
            p[to - 2] = (char)0xED;
            p[to - 1] = (char)(0x80 | (half >> 6 & 0x3F));
            p[to++] = (char)(0x80 | (half & 0x3F));
            i += 4;
        } else {
            memcpy(p + to, "fffd", 4);
            to += 4;
            i += 4;
        }
    }
    return to;
}

bool json_is_paired(str s)
{
    uint32_t half, other;

    for (size_t i = 0; i < s.len; i++) {
        const char *next = memchr(s.at + i, '\\', s.len - i);
        if (next == NULL) return true;
        i = (size_t)(next - s.at) + 1;
        if (i + 4 >= s.len || s.at[i] != 'u' || !hex4(s.at + i + 1, &half)) continue;
        if (half < 0xD800 || half > 0xDFFF) continue;
        bool pair = half < 0xDC00 && i + 10 < s.len && s.at[i + 5] == '\\' && s.at[i + 6] == 'u' &&
                    hex4(s.at + i + 7, &other) && other >= 0xDC00 && other <= 0xDFFF;
        if (!pair) return false;
        i += 10;
    }
    return true;
}

/* ---- the second scan: where and why, as http-api.md section 4 words it ---- */

struct scan {
    const char *p, *at, *end;
    const char *reason;
    const char *fault; /* place of the fault */
};

static bool scan_value(struct scan *s);

static bool scan_fail(struct scan *s, const char *reason, const char *at)
{
    s->reason = reason;
    s->fault = at;
    return false;
}

static void scan_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool scan_is(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool scan_string(struct scan *s) /* at its opening quote */
{
    const char *begin = s->at++;
    uint32_t unused;

    for (; s->at < s->end; s->at++) {
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20) return scan_fail(s, "Invalid control character at", s->at);
        if (c != '\\') continue;
        if (++s->at == s->end) break;
        if (*s->at == 'u') {
            if (s->end - s->at < 6 || !hex4(s->at + 1, &unused))
                return scan_fail(s, "Invalid \\uXXXX escape", s->at);
            s->at += 4;
        } else if (!strchr("\"\\/bfnrt", *s->at) || *s->at == '\0') {
            return scan_fail(s, "Invalid \\escape", s->at - 1);
        }
    }
    return scan_fail(s, "Unterminated string starting at", begin);
}

static bool scan_object(struct scan *s)
{
    const char *comma = NULL;

    s->at++;
    for (;;) {
        scan_blanks(s);
        if (scan_is(s, '}')) {
            if (comma) return scan_fail(s, "Illegal trailing comma before end of object", comma);
            s->at++;
            return true;
        }
        if (!scan_is(s, '"'))
            return scan_fail(s, "Expecting property name enclosed in double quotes", s->at);
        if (!scan_string(s)) return false;
        scan_blanks(s);
        if (!scan_is(s, ':')) return scan_fail(s, "Expecting ':' delimiter", s->at);
        s->at++;
        if (!scan_value(s)) return false;
        scan_blanks(s);
        if (scan_is(s, '}')) {
            s->at++;
            return true;
        }
        if (!scan_is(s, ',')) return scan_fail(s, "Expecting ',' delimiter", s->at);
        comma = s->at++;
    }
}

static bool scan_array(struct scan *s)
{
    const char *comma = NULL;

    s->at++;
    for (;;) {
        scan_blanks(s);
        if (scan_is(s, ']')) {
            if (comma) return scan_fail(s, "Illegal trailing comma before end of array", comma);
            s->at++;
            return true;
        }
        if (!scan_value(s)) return false;
        scan_blanks(s);
        if (scan_is(s, ']')) {
            s->at++;
            return true;
        }
        if (!scan_is(s, ',')) return scan_fail(s, "Expecting ',' delimiter", s->at);
        comma = s->at++;
    }
}

static size_t scan_digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') s->at++;
    return (size_t)(s->at - from);
}

static bool scan_number(struct scan *s)
{
    const char *begin = s->at;

    if (scan_is(s, '-')) s->at++;
    if (scan_is(s, '0')) {
        s->at++;
    } else if (scan_digits(s) == 0) {
        return scan_fail(s, "Expecting value", begin);
    }
    const char *whole = s->at;
    if (scan_is(s, '.')) {
        s->at++;
        if (scan_digits(s) == 0) {
            s->at = whole;
            return true;
        }
        whole = s->at;
    }
    if (scan_is(s, 'e') || scan_is(s, 'E')) {
        s->at++;
        if (scan_is(s, '+') || scan_is(s, '-')) s->at++;
        if (scan_digits(s) == 0) s->at = whole;
    }
    return true;
}

/* Recursion is bounded: texts nested deeper than the caller's limit never come here. */
static bool scan_value(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};

    scan_blanks(s);
    if (scan_is(s, '"')) return scan_string(s);
    if (scan_is(s, '{')) return scan_object(s);
    if (scan_is(s, '[')) return scan_array(s);
    for (int i = 0; i < 3; i++) {
        if (str_starts(str_span(s->at, (size_t)(s->end - s->at)), str_of(words[i]))) {
            s->at += strlen(words[i]);
            return true;
        }
    }
    return scan_number(s);
}

static void find_fault(str text, struct json_fault *fault)
{
    struct scan s = {.p = text.at, .at = text.at, .end = text.at + text.len};

    if (scan_value(&s)) {
        scan_blanks(&s);
        scan_fail(&s, s.at < s.end ? "Extra data" : "Expecting value", s.at);
    }
    fault->reason = s.reason;
    fault->offset = utf8_count(str_span(text.at, (size_t)(s.fault - text.at)));
}

enum err json_read(yyjson_doc **out, str text, unsigned depth_max, enum json_flags flags,
                   struct json_fault *fault)
{
    struct json_fault unused;
    if (fault == NULL) fault = &unused;
    *fault = (struct json_fault){0};

    if (str_starts(text, STR("\xEF\xBB\xBF"))) text = str_tail(text, 3);

    struct look seen = look_over(text);
    if (seen.depth > depth_max) {
        fault->unreadable = true;
        return ERR_INVALID;
    }
    char *mended = NULL;
    str in = text;
    bool keep = seen.surrogate && (flags & JSON_KEEP_HALVES);
    if (keep && !utf8_valid(text)) { /* yyjson will not look at it */
        fault->unreadable = true;
        return ERR_INVALID;
    }
    if (seen.surrogate) {
        mended = malloc(text.len);
        if (mended == NULL) return ERR_MEMORY;
        memcpy(mended, text.at, text.len);
        in = (str){mended, mend_surrogates(mended, text.len, keep)};
    }

    yyjson_read_err why;
    yyjson_read_flag how =
        flags & JSON_RAW_NUMBERS ? YYJSON_READ_NUMBER_AS_RAW : YYJSON_READ_BIGNUM_AS_RAW;
    if (keep) how |= YYJSON_READ_ALLOW_INVALID_UNICODE;
    yyjson_doc *doc =
        in.len ? yyjson_read_opts((char *)(uintptr_t)in.at, in.len, how, NULL, &why) : NULL;
    free(mended);
    if (doc) {
        *out = doc;
        return ERR_NONE;
    }
    if (in.len && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) return ERR_MEMORY;
    if (!utf8_valid(text))
        fault->unreadable = true;
    else
        find_fault(text, fault);
    return ERR_INVALID;
}

/* ---- getters ---- */

yyjson_val *json_get(yyjson_val *object, const char *key)
{
    yyjson_val *found = NULL, *k;
    yyjson_obj_iter it;

    if (!yyjson_is_obj(object)) return NULL;
    size_t len = strlen(key);
    yyjson_obj_iter_init(object, &it);
    while ((k = yyjson_obj_iter_next(&it)))
        if (yyjson_equals_strn(k, key, len)) found = yyjson_obj_iter_get_val(k);
    return found;
}

yyjson_val *json_array_of(yyjson_val *v)
{
    static yyjson_val none = {.tag = YYJSON_TYPE_ARR}; /* never written */
    return yyjson_is_arr(v) ? v : &none;
}

yyjson_val *json_object_of(yyjson_val *v)
{
    static yyjson_val none = {.tag = YYJSON_TYPE_OBJ};
    return yyjson_is_obj(v) ? v : &none;
}

str json_str(yyjson_val *v)
{
    if (yyjson_is_str(v)) return (str){yyjson_get_str(v), yyjson_get_len(v)};
    if (yyjson_is_raw(v)) return (str){yyjson_get_raw(v), yyjson_get_len(v)};
    return STR_NONE;
}

str json_get_str(yyjson_val *object, const char *key)
{
    yyjson_val *v = json_get(object, key);
    return yyjson_is_str(v) ? json_str(v) : STR_NONE;
}

bool json_get_bool(yyjson_val *object, const char *key, bool otherwise)
{
    yyjson_val *v = json_get(object, key);
    return yyjson_is_bool(v) ? yyjson_get_bool(v) : otherwise;
}

double json_get_num(yyjson_val *object, const char *key, double otherwise)
{
    yyjson_val *v = json_get(object, key);
    char text[64];

    if (yyjson_is_num(v)) return yyjson_get_num(v);
    str s = json_str(v);
    if (s.len == 0 || s.len >= sizeof text) return otherwise;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    char *end;
    double n = strtod(text, &end);
    return *end == '\0' && isfinite(n) ? n : otherwise;
}

int64_t json_get_int(yyjson_val *object, const char *key, int64_t otherwise)
{
    yyjson_val *v = json_get(object, key);
    uint64_t exact;

    if (yyjson_is_uint(v))
        exact = yyjson_get_uint(v);
    else if (!str_to_u64(json_str(v), &exact)) {
        double n = json_get_num(object, key, -1);
        return n >= 0 && n < 9e15 && n == floor(n) ? (int64_t)n : otherwise;
    }
    return exact <= INT64_MAX ? (int64_t)exact : otherwise;
}

/* ---- writing ---- */

void json_escape(struct buf *to, str s, bool js_escapes)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0, i = 0;

    while (i < s.len) {
        unsigned char c = (unsigned char)s.at[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != 0x7F) {
            i++;
            continue;
        }
        size_t used = 1;
        int32_t cp = c < 0x80 ? c : utf8_next(str_tail(s, i), &used);
        bool escape =
            cp < 0x80 ? c != 0x7F : js_escapes && (cp == 0x2028 || cp == 0x2029 || cp == 0x85);
        if (cp >= 0 && !escape) {
            i += used;
            continue;
        }
        buf_add(to, str_span(s.at + from, i - from));
        if (cp < 0) {
            buf_add(to, STR("\xEF\xBF\xBD"));
        } else if (cp >= 0x80) {
            char e[6] = {'\\',        'u', hex[cp >> 12 & 15], hex[cp >> 8 & 15], hex[cp >> 4 & 15],
                         hex[cp & 15]};
            buf_add(to, str_span(e, 6));
        } else {
            switch (c) {
            case '"': buf_add(to, STR("\\\"")); break;
            case '\\': buf_add(to, STR("\\\\")); break;
            case '\n': buf_add(to, STR("\\n")); break;
            case '\r': buf_add(to, STR("\\r")); break;
            case '\t': buf_add(to, STR("\\t")); break;
            case '\b': buf_add(to, STR("\\b")); break;
            case '\f': buf_add(to, STR("\\f")); break;
            default: {
                char e[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
                buf_add(to, str_span(e, 6));
            }
            }
        }
        i += used;
        from = i;
    }
    buf_add(to, str_tail(s, from));
}

static void before(struct json_out *o)
{
    if (o->comma) buf_add_char(o->to, ',');
    o->comma = true;
}

void json_object(struct json_out *o)
{
    before(o);
    buf_add_char(o->to, '{');
    o->comma = false;
}

void json_end_object(struct json_out *o)
{
    buf_add_char(o->to, '}');
    o->comma = true;
}

void json_array(struct json_out *o)
{
    before(o);
    buf_add_char(o->to, '[');
    o->comma = false;
}

void json_end_array(struct json_out *o)
{
    buf_add_char(o->to, ']');
    o->comma = true;
}

void json_key(struct json_out *o, const char *key)
{
    json_text(o, str_of(key));
    buf_add_char(o->to, ':');
    o->comma = false;
}

void json_text(struct json_out *o, str s)
{
    before(o);
    buf_add_char(o->to, '"');
    json_escape(o->to, s, o->js_escapes);
    buf_add_char(o->to, '"');
}

void json_text_or_null(struct json_out *o, str s)
{
    if (s.at)
        json_text(o, s);
    else
        json_null(o);
}

void json_int(struct json_out *o, int64_t n)
{
    before(o);
    if (n < 0) buf_add_char(o->to, '-');
    buf_add_u64(o->to, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void json_num(struct json_out *o, double n)
{
    char text[32];

    before(o);
    if (!isfinite(n)) {
        buf_add(o->to, STR("null"));
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, n);
        if (strtod(text, NULL) == n) break;
    }
    buf_add(o->to, str_of(text));
    if (strcspn(text, ".e") == strlen(text)) buf_add(o->to, STR(".0"));
}

void json_fixed(struct json_out *o, double n, int digits)
{
    before(o);
    buf_addf(o->to, "%.*f", digits, n);
}

void json_bool(struct json_out *o, bool b)
{
    before(o);
    buf_add(o->to, b ? STR("true") : STR("false"));
}

void json_null(struct json_out *o)
{
    before(o);
    buf_add(o->to, STR("null"));
}

/* One line of it: what ends one stands inside of strings, where it has an escape, or is white
 * space.
 */
static void add_line(struct buf *to, str json)
{
    size_t from = 0;

    for (size_t i = 0; i < json.len; i++) {
        str rest = str_tail(json, i);
        const char *instead = NULL;
        size_t used = 1;
        if (json.at[i] == '\n' || json.at[i] == '\r')
            instead = " ";
        else if (json.at[i] == '\xE2' && str_starts(rest, STR("\xE2\x80\xA8")))
            instead = "\\u2028", used = 3;
        else if (json.at[i] == '\xE2' && str_starts(rest, STR("\xE2\x80\xA9")))
            instead = "\\u2029", used = 3;
        else if (json.at[i] == '\xC2' && str_starts(rest, STR("\xC2\x85")))
            instead = "\\u0085", used = 2;
        if (instead == NULL) continue;
        buf_add(to, str_span(json.at + from, i - from));
        buf_add(to, str_of(instead));
        from = i + used;
    }
    buf_add(to, str_tail(json, from));
}

void json_raw(struct json_out *o, str json)
{
    before(o);
    if (o->js_escapes)
        add_line(o->to, json);
    else
        buf_add(o->to, json);
}

void json_val(struct json_out *o, yyjson_val *v)
{
    yyjson_arr_iter items;
    yyjson_obj_iter members;
    yyjson_val *each;

    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_RAW: json_raw(o, json_str(v)); break;
    case YYJSON_TYPE_STR: json_text(o, json_str(v)); break;
    case YYJSON_TYPE_BOOL: json_bool(o, yyjson_get_bool(v)); break;
    case YYJSON_TYPE_NUM:
        if (yyjson_is_real(v)) {
            json_num(o, yyjson_get_real(v));
        } else if (yyjson_is_sint(v)) {
            json_int(o, yyjson_get_sint(v));
        } else {
            before(o);
            buf_add_u64(o->to, yyjson_get_uint(v));
        }
        break;
    case YYJSON_TYPE_ARR:
        json_array(o);
        yyjson_arr_iter_init(v, &items);
        while ((each = yyjson_arr_iter_next(&items))) json_val(o, each);
        json_end_array(o);
        break;
    case YYJSON_TYPE_OBJ:
        json_object(o);
        yyjson_obj_iter_init(v, &members);
        while ((each = yyjson_obj_iter_next(&members))) {
            json_text(o, json_str(each));
            buf_add_char(o->to, ':');
            o->comma = false;
            json_val(o, yyjson_obj_iter_get_val(each));
        }
        json_end_object(o);
        break;
    default: json_null(o);
    }
}
