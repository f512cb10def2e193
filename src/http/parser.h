/* One request off a stream of bytes (RFC 9112): the rules of reliability.md section 2, "Strict
 * framing", and nothing else.  It owns no socket and no clock, and what it says about the same
 * bytes never depends on how they were cut: each verdict falls at one byte.
 *
 *     parser_init()
 *     parser_head()*      until the head is there, each time with all bytes since the request's
 * first parser_request()    the head becomes a struct request parser_body()*      until the body is
 * there
 *
 * The request line is read here, because its statuses and limits are ours; fields, chunks and
 * trailers are read by llhttp in its strict mode, because it has been attacked for years. */
#ifndef SEMA_HTTP_PARSER_H
#define SEMA_HTTP_PARSER_H

#include <llhttp.h>

#include "base/buf.h"
#include "http/server.h"

enum parsed {
    PARSED_MORE, /* good so far */
    PARSED_DONE,
    PARSED_BAD,   /* to be refused with `status`; nothing behind it is looked at */
    PARSED_LIMIT, /* the body is longer than the request may have */
};

struct parser {
    llhttp_t ll;
    int status; /* of PARSED_BAD: 400, 414, 417, 431, 501, 505, or 503 when memory is out */

    /* the head: offsets into what parser_head is given */
    uint32_t line_at;   /* behind empty lines, which a client may send first (RFC 9112 2.2) */
    uint32_t fields_at; /* 0 while the request line is not complete */
    uint32_t seen;
    uint32_t head_bytes;
    uint16_t fields; /* counted; anew for trailers */

    /* set by parser_request */
    bool keep_alive; /* the client allows it */
    bool expects;    /* waits for 100 Continue */
    bool chunked;
    bool trailing;        /* the last chunk was read */
    uint32_t trail_bytes; /* of the trailers so far */
    uint64_t body_left;   /* of Content-Length */
    uint64_t body_raw;    /* of a chunked body: bytes so far, framing included */
    struct buf *to;       /* while parser_body runs */
};

void parser_init(struct parser *p);

/* `data`: everything since the request's first byte, what earlier calls saw included (it may have
 * moved). On PARSED_DONE the head is data[line_at, head_bytes). */
enum parsed parser_head(struct parser *p, str data);
bool parser_begun(const struct parser *p, str data); /* more than empty lines has come */

/* `head` is the head, in memory that lives as long as the request; its arena takes the rest. */
enum parsed parser_request(struct parser *p, struct request *r, str head);
bool parser_has_body(const struct parser *p);

/* Adds to `to` what `in` holds of the body, which may be body_max bytes; *used says how much of
 * `in` that took.  With Content-Length the caller has compared body_left to its maximum before. */
enum parsed parser_body(struct parser *p, str in, uint64_t body_max, struct buf *to, size_t *used);

#endif
