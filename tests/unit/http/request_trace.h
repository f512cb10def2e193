/* The parser driven as a connection drives it, and what comes out of it as text: one line a
 * request, up to the first refusal.  For the tests of the parser and for fuzzing it. */
#ifndef SEMA_TESTS_REQUEST_TRACE_H
#define SEMA_TESTS_REQUEST_TRACE_H

#include "http/parser.h"

enum { TRACE_BODY_MAX = 64 };

struct trace {
    struct buf seen; /* the lines */
    struct buf kept; /* bytes of a head that is not complete */
    struct buf body;
    struct parser parser;
    struct request request;
    bool in_body, over;
};

static inline void trace_begin(struct trace *t)
{
    parser_init(&t->parser);
    t->request = (struct request){0};
    buf_init(&t->body, 1 << 20);
    t->in_body = false;
}

static inline void trace_init(struct trace *t)
{
    *t = (struct trace){0};
    buf_init(&t->seen, 1 << 20);
    buf_init(&t->kept, 1 << 20);
    trace_begin(t);
}

static inline void trace_fini(struct trace *t)
{
    buf_fini(&t->seen);
    buf_fini(&t->kept);
    buf_fini(&t->body);
    arena_fini(&t->request.arena);
}

static inline void trace_end_request(struct trace *t)
{
    struct request *r = &t->request;

    buf_addf(&t->seen, "%.*s %.*s", STR_ARG(r->method), STR_ARG(r->path));
    if (r->query.at) buf_addf(&t->seen, "?%.*s", STR_ARG(r->query));
    buf_addf(&t->seen, " %.*s%s%s", STR_ARG(r->host), r->http10 ? " 1.0" : "",
             t->parser.keep_alive ? "" : " close");
    if (t->parser.expects) buf_add(&t->seen, STR(" expects"));
    if (parser_has_body(&t->parser) || t->body.len)
        buf_addf(&t->seen, " [%.*s]", STR_ARG(buf_str(&t->body)));
    buf_add(&t->seen, STR("\n"));
    t->over = !t->parser.keep_alive;
    arena_fini(&r->arena);
    buf_fini(&t->body);
    trace_begin(t);
}

static inline size_t trace_run(struct trace *t, str in)
{
    struct parser *p = &t->parser;
    enum parsed e;
    size_t used = 0;

    if (t->in_body) {
        e = parser_body(p, in, TRACE_BODY_MAX, &t->body, &used);
        if (e == PARSED_DONE) trace_end_request(t);
    } else {
        e = parser_head(p, in);
        if (e == PARSED_DONE) {
            used = p->head_bytes;
            str head = str_span(in.at + p->line_at, p->head_bytes - p->line_at);
            e = parser_request(p, &t->request, arena_str(&t->request.arena, head));
            if (e == PARSED_DONE && !parser_has_body(p))
                trace_end_request(t);
            else if (e == PARSED_DONE && p->body_left > TRACE_BODY_MAX)
                e = PARSED_LIMIT;
            else if (e == PARSED_DONE)
                t->in_body = true;
        }
    }
    if (e == PARSED_BAD) buf_addf(&t->seen, "%d\n", p->status);
    if (e == PARSED_LIMIT) buf_add(&t->seen, STR("413\n"));
    if (e == PARSED_BAD || e == PARSED_LIMIT) t->over = true;
    return used;
}

static inline void trace_feed(struct trace *t, str in)
{
    if (t->over || in.len == 0) return;
    buf_add(&t->kept, in);
    for (size_t used = 1; used > 0 && t->kept.len > 0 && !t->over; buf_drop(&t->kept, used))
        used = trace_run(t, buf_str(&t->kept));
}

#endif
