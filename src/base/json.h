/* JSON, RFC 8259: reading through yyjson with the rules that every wire of ours needs, writing
 * straight into a buffer.
 *
 * Reading: a byte order mark is skipped; a lone surrogate escape becomes U+FFFD; of repeated keys
 * the last one counts (json_get); NaN and Infinity are refused; depth is bounded; numbers stay as
 * written where asked (JSON_RAW_NUMBERS).  On failure `struct json_fault` says what a person typed
 * wrong, in the words of http-api.md section 4, found by a second scan that only failures pay for.
 */
#ifndef SEMA_BASE_JSON_H
#define SEMA_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <yyjson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum json_flags {
    JSON_PLAIN = 0,
    JSON_RAW_NUMBERS = 1, /* every number is YYJSON_TYPE_RAW: its text as written */
    /* A lone surrogate escape is kept, as the three bytes that UTF-8 would have for it: for streams
     * that cut a pair in two (backend/halves.h).  Such strings are not valid UTF-8. */
    JSON_KEEP_HALVES = 2,
};

struct json_fault {
    const char *reason; /* "Expecting value", ...; NULL when `unreadable` */
    size_t offset;      /* of the fault, in code points */
    bool unreadable;    /* not UTF-8, or nested too deep: 400 instead of 422 */
};

/* Parses `text` whole.  *out is freed by yyjson_doc_free.  ERR_INVALID with *fault filled (may be
 * NULL), or ERR_MEMORY. */
enum err json_read(yyjson_doc **out, str text, unsigned depth_max, enum json_flags flags,
                   struct json_fault *fault);

/* Whether every escape of a surrogate half has its other half beside it.  `text` is JSON. */
bool json_is_paired(str text);

/* The last value under `key`, NULL when absent or `object` is not an object (or NULL). */
yyjson_val *json_get(yyjson_val *object, const char *key);

/* v when it is an array (an object), else an empty one, never NULL: for yyjson_arr_foreach and
 * yyjson_obj_foreach, whose pointer arithmetic on NULL is undefined. */
yyjson_val *json_array_of(yyjson_val *v);
yyjson_val *json_object_of(yyjson_val *v);

/* The text of a string value (or of a raw number); STR_NONE for anything else. */
str json_str(yyjson_val *v);
str json_get_str(yyjson_val *object, const char *key);
bool json_get_bool(yyjson_val *object, const char *key, bool otherwise);
/* A non-negative integer; also from a whole double or a numeric string, as some providers write
 * them. */
int64_t json_get_int(yyjson_val *object, const char *key, int64_t otherwise);
double json_get_num(yyjson_val *object, const char *key, double otherwise);

/* ---- writing ------------------------------------------------------------------------------------
 * Values in order, commas placed for you; no blanks, UTF-8 not escaped to ASCII.  Text that is not
 * valid UTF-8 is repaired, so what is written is always valid.  A failure shows in the buffer's
 * `bad`.
 *
 *     struct json_out o = json_begin(&buf);
 *     json_object(&o);
 *         json_key(&o, "id");  json_text(&o, id);
 *         json_key(&o, "n");   json_int(&o, 3);
 *     json_end_object(&o); */
struct json_out {
    struct buf *to;
    bool comma;      /* the next value or key needs one */
    bool js_escapes; /* also U+2028, U+2029, U+0085 as escapes: text/event-stream data */
};

static inline struct json_out json_begin(struct buf *to)
{
    return (struct json_out){.to = to};
}

void json_object(struct json_out *o);
void json_end_object(struct json_out *o);
void json_array(struct json_out *o);
void json_end_array(struct json_out *o);
void json_key(struct json_out *o, const char *key);
void json_text(struct json_out *o, str s);
void json_text_or_null(struct json_out *o, str s); /* null when s.at is NULL */
void json_int(struct json_out *o, int64_t n);
void json_num(struct json_out *o, double n); /* shortest that reads back; a whole one as "1.0" */
void json_fixed(struct json_out *o, double n, int digits); /* plain decimal */
void json_bool(struct json_out *o, bool b);
void json_null(struct json_out *o);
void json_raw(struct json_out *o, str json); /* already JSON; with js_escapes it becomes one line */
void json_val(struct json_out *o, yyjson_val *v); /* a parsed value, copied; numbers as read */

/* The inside of a JSON string (no quotes), escaped. */
void json_escape(struct buf *to, str s, bool js_escapes);

#endif
