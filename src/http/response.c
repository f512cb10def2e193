#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"
#include "conf/limits.h"
#include "http/server_private.h"

struct extra {
    struct extra *next;
    str name, value;
};

const char *http_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 529: return "Overloaded";
    default: return "Unknown";
    }
}

/* ---- the head ---- */

static void add_status(struct http_conn *c, struct buf *b, int status)
{
    char line[16] = "HTTP/1.1 000 ";

    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    buf_add(b, str_span(line, 13));
    buf_add(b, str_of(http_reason(status)));
    buf_add(b, server_common(c->server));
}

static void add_field(struct buf *b, str name, str value)
{
    buf_add(b, STR("\r\n"));
    buf_add(b, name);
    buf_add(b, STR(": "));
    buf_add(b, value);
}

/* Seconds as a plain decimal with six digits (http-api.md section 2). */
static void add_process_time(struct buf *b, uint64_t us)
{
    char fraction[7] = ".000000";
    uint64_t rest = us % 1000000;

    for (int i = 6; i > 0; i--, rest /= 10) fraction[i] = (char)('0' + rest % 10);
    buf_add(b, STR("\r\nX-Process-Time: "));
    buf_add_u64(b, us / 1000000);
    buf_add(b, str_span(fraction, sizeof fraction));
}

static void add_common(struct http_conn *c, struct buf *b, int status)
{
    struct request *r = &c->request;

    add_status(c, b, status);
    add_process_time(b, clock_mono_us() - r->started_us);
    add_field(b, STR("X-Request-ID"), str_of(r->id));
    for (struct extra *x = c->extra; x; x = x->next) add_field(b, x->name, x->value);
}

static void add_length(struct buf *b, size_t length)
{
    buf_add(b, STR("\r\nContent-Length: "));
    buf_add_u64(b, length);
}

static void add_end(struct http_conn *c, struct buf *b)
{
    if (c->close || c->server->draining) {
        c->close = true;
        buf_add(b, STR("\r\nConnection: close"));
    } else if (c->request.http10 || c->say_kept) {
        buf_add(b, STR("\r\nConnection: keep-alive"));
    }
    buf_add(b, STR("\r\n\r\n"));
}

static void begin(struct http_conn *c, int status)
{
    assert(c->has_request && !c->begun && !c->answered);
    c->begun = true;
    c->status = status;
    c->headless = status == 204 || status == 304 || str_eq(c->request.method, STR("HEAD"));
}

static void tell(struct http_conn *c, uint64_t total_us, bool gone)
{
    const struct http_app *app = &c->server->app;
    if (app->answered) app->answered(app->ctx, &c->request, c->status, total_us, gone);
}

void response_done(struct http_conn *c, bool gone)
{
    uint64_t us = clock_mono_us() - c->request.started_us;

    if (!c->begun) c->status = 499;
    tell(c, us ? us : 1, gone);
}

/* ---- for the app ---- */

void response_header(struct request *r, const char *name, str value)
{
    struct http_conn *c = r->conn;
    struct extra *x = arena_new(&r->arena, struct extra);

    assert(!c->begun);
    if (str_eq_nocase(str_of(name), STR("Connection"))) {
        c->close |= str_eq_nocase(value, STR("close"));
        c->say_kept |= str_eq_nocase(value, STR("keep-alive"));
        return;
    }
    if (x == NULL) return;
    x->name = arena_str(&r->arena, str_of(name));
    x->value = arena_str(&r->arena, value);
    if (x->name.at == NULL || x->value.at == NULL) return;
    /* Whatever a value was made from, it stays one line. */
    char *at = (char *)x->value.at;
    for (size_t i = 0; i < x->value.len; i++)
        if ((unsigned char)at[i] < ' ' || at[i] == 0x7f) at[i] = ' ';
    if (c->extra == NULL) c->extra_end = &c->extra;
    *c->extra_end = x;
    c->extra_end = &x->next;
}

void response_send(struct request *r, int status, const char *type, str body)
{
    struct http_conn *c = r->conn;

    begin(c, status);
    struct buf *b = output_begin(c);
    add_common(c, b, status);
    if (type) add_field(b, STR("Content-Type"), str_of(type));
    if (status != 204 && status != 304) add_length(b, body.len);
    add_end(c, b);
    output_end(c, c->headless ? STR_NONE : body, STR_NONE);
    tell(c, 0, false);
    response_done(c, false);
    exchange_answered(c);
}

void response_stream(struct request *r, int status, const char *type)
{
    struct http_conn *c = r->conn;

    begin(c, status);
    c->stream = true;
    c->chunked = !r->http10 && status != 204 && status != 304;
    if (r->http10) c->close = true;
    struct buf *b = output_begin(c);
    add_common(c, b, status);
    if (type) add_field(b, STR("Content-Type"), str_of(type));
    if (c->chunked) buf_add(b, STR("\r\nTransfer-Encoding: chunked"));
    add_end(c, b);
    output_end(c, STR_NONE, STR_NONE);
    tell(c, 0, false);
}

size_t response_write(struct request *r, str bytes)
{
    struct http_conn *c = r->conn;

    assert(c->stream && !c->answered);
    if (bytes.len > 0 && !c->headless) { /* an empty chunk would be the last one */
        struct buf *b = output_begin(c);
        if (c->chunked) {
            char size[20];
            buf_add(b, str_span(size, (size_t)snprintf(size, sizeof size, "%zx\r\n", bytes.len)));
        }
        output_end(c, bytes, c->chunked ? STR("\r\n") : STR_NONE);
    }
    size_t unsent = output_unsent(c);
    if (unsent > STREAM_UNSENT_BYTES_MAX) c->full = true;
    return unsent;
}

void response_end(struct request *r)
{
    struct http_conn *c = r->conn;

    assert(c->stream && !c->answered);
    if (c->chunked && !c->headless) {
        output_begin(c);
        output_end(c, STR("0\r\n\r\n"), STR_NONE);
    }
    response_done(c, false);
    exchange_answered(c);
}

void response_abort(struct request *r)
{
    struct http_conn *c = r->conn;

    assert(c->has_request && !c->answered);
    c->close = true;
    /* Without chunks the end of the connection is the end of the answer: a reset tells the two
     * apart. */
    c->reset = !c->chunked;
    response_done(c, false);
    exchange_answered(c);
}

bool response_begun(const struct request *r)
{
    return r->conn->begun;
}

/* ---- the server's own ---- */

void response_refuse(struct http_conn *c, int status)
{
    const struct http_app *app = &c->server->app;
    str body = STR("Invalid HTTP request received."), type = STR("text/plain; charset=utf-8");
    char id[RAND_UUID_BYTES];

    if (status == 408) {
        body = STR("{\"detail\":\"Request timeout\"}");
        type = STR("application/json");
    } else if (status == 503) {
        body = STR("{\"detail\":\"Out of memory\",\"code\":\"overloaded\"}");
        type = STR("application/json");
    }
    struct buf *b = output_begin(c);
    add_status(c, b, status);
    rand_uuid(id);
    add_field(b, STR("X-Request-ID"), str_of(id));
    if (status != 400) add_process_time(b, clock_mono_us() - c->request.started_us);
    if (status == 503) add_field(b, STR("Retry-After"), STR("1"));
    add_field(b, STR("Content-Type"), type);
    add_length(b, body.len);
    buf_add(b, STR("\r\nConnection: close\r\n\r\n"));
    output_end(c, body, STR_NONE);
    if (app->refused) app->refused(app->ctx, status);
}

void response_switch(struct request *r, str accept)
{
    struct http_conn *c = r->conn;

    begin(c, 101);
    struct buf *b = output_begin(c);
    add_common(c, b, 101);
    add_field(b, STR("Upgrade"), STR("websocket"));
    add_field(b, STR("Connection"), STR("Upgrade"));
    add_field(b, STR("Sec-WebSocket-Accept"), accept);
    buf_add(b, STR("\r\n\r\n"));
    output_end(c, STR_NONE, STR_NONE);
    tell(c, 0, false);
}
