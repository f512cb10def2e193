/* What a client sent, against a table of fields (http-api.md sections 4 to 6): lax coercions in,
 * typed values out, and for what does not fit the exact words that clients of the original know.
 *
 * It is pure: values in, values and complaints out. */
#ifndef SEMA_API_VALIDATE_H
#define SEMA_API_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/query.h"
#include "base/arena.h"
#include "base/json.h"

/* ---- complaints: the list under "detail" ---- */

struct complaints {
    struct buf json; /* "[{...},...", without the closing bracket */
    struct json_out out;
    size_t count;
};

void complaints_init(struct complaints *c);
void complaints_fini(struct complaints *c);

/* One entry up to `loc`, then its message; `input` follows by one of the two, then complaint_end.
 */
struct complaint {
    const char *type;
    const char *place; /* "body" or "query" */
    const char *field; /* NULL: the place itself */
    int64_t index;     /* of a list's element, or the offset of bad JSON; -1: none */
    const char *msg;   /* the message, complete */
    const char *ctx;   /* JSON, or NULL */
};
/* `input`: NULL value and NULL text print `null`. */
void complain(struct complaints *c, const struct complaint *what, yyjson_val *input, str text);

/* ---- fields ---- */

enum field_kind {
    FIELD_STRING, /* min..max code points */
    FIELD_FLOAT,  /* min..max */
    FIELD_INT,
    FIELD_BOOL,
    FIELD_CHOICE,        /* one of `choices` */
    FIELD_CHOICE_NOCASE, /* the same in any case; the value is as in `choices` */
    FIELD_IMAGES,        /* at most max strings, each a data address of an image or an https one */
};

/* Where a field is known. */
enum field_in { IN_BODY = 1, IN_QUERY = 2, IN_FRAME = 4 };

#define FIELD_NO_MAX INT64_MAX

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    unsigned in; /* IN_* */
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
    size_t at;                  /* of the value in the result, see below */
};

/* A field's value in the result: str, double, int64_t, bool, str, struct images.  An absent
 * optional field leaves what was there. */
struct images {
    str *at;
    size_t count;
};

/* Complaints come in the order of the fields.  ERR_INVALID when there was one, ERR_MEMORY. */
enum err validate_object(const struct field *fields, size_t count, enum field_in in,
                         yyjson_val *object, void *result, struct arena *a, struct complaints *c);
enum err validate_query(const struct field *fields, size_t count, const struct query *q,
                        void *result, struct arena *a, struct complaints *c);

/* ---- bodies ---- */

enum body_fault {
    BODY_FINE,
    BODY_INVALID,    /* complained of: 422 */
    BODY_UNREADABLE, /* not UTF-8 or too deep: 400 */
    BODY_MEMORY,
};

/* A request's body as a JSON object, by its Content-Type (.at NULL: absent).  *out is freed by
 * yyjson_doc_free. */
enum body_fault validate_body(yyjson_doc **out, str type, str body, struct complaints *c);
/* A text that is to be a JSON object. */
enum body_fault validate_json(yyjson_doc **out, str text, struct complaints *c);

/* ---- the chat request ---- */

struct chat_request {
    str message, session_id;
    str system_prompt;  /* empty: none */
    double temperature; /* NaN: not given */
    int64_t max_tokens; /* -1: not given */
    bool stream;
    str prompt_type; /* empty: not given */
    bool reasoning;
    struct images images;
    str last_event_id;     /* of the query; .at NULL when absent */
    int64_t resume_window; /* seconds; -1: not given */
};

extern const struct field chat_fields[];
extern const size_t chat_fields_count;
void chat_request_init(struct chat_request *r);

#endif
