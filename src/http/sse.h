/* text/event-stream, WHATWG HTML 9.2, reading.  Bytes may be cut anywhere, inside a character or
 * between CR and LF; the events never depend on where.  A block without data, or with blank data,
 * is no event. At the end, an unterminated last block counts when its data is complete JSON or
 * "[DONE]" (providers.md section 2).  Two habits beside the standard are read as data too: a
 * JSON object without a field name, on one line or indented over several, and the field "error",
 * whose event has the type "error" then. */
#ifndef SEMA_HTTP_SSE_H
#define SEMA_HTTP_SSE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct sse_event {
    str type; /* "" when the block names none */
    str data; /* lines joined by LF */
};

/* The views die when it returns.  A result other than ERR_NONE ends the feed and is its result. */
typedef enum err sse_fn(void *ctx, const struct sse_event *e);

struct sse {
    struct buf line, type, data; /* together at most event_bytes_max */
    size_t event_bytes_max;
    bool begun;    /* past a possible byte order mark */
    bool after_cr; /* an LF that follows belongs to it */
    bool has_data;
    bool bare; /* the last line was JSON without a field name */
};

void sse_init(struct sse *s, size_t event_bytes_max);
void sse_fini(struct sse *s); /* takes a zeroed one */
/* ERR_LIMIT when an event grows past event_bytes_max, ERR_MEMORY, or what `each` returned. */
enum err sse_feed(struct sse *s, str in, sse_fn *each, void *ctx);
enum err sse_end(struct sse *s, sse_fn *each, void *ctx);

#endif
