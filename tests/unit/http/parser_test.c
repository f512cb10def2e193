/* Requests are what RFC 9112 and reliability.md section 2 say, refusals have the status they
 * promise, and neither depends on how the bytes were cut. */
#include "check.h"

#include "conf/limits.h"
#include "unit/http/request_trace.h"

/* The whole at once, every single cut, and byte by byte. */
static void check_cuts(str in, str want)
{
    struct trace t;

    for (size_t cut = 0; cut <= in.len; cut++) {
        trace_init(&t);
        trace_feed(&t, str_head(in, cut));
        trace_feed(&t, str_tail(in, cut));
        if (!str_eq(buf_str(&t.seen), want))
            print_error("input: \"%.*s\" cut at %zu\n", STR_ARG(in), cut);
        check_str(buf_str(&t.seen), want);
        trace_fini(&t);
    }
    trace_init(&t);
    for (size_t i = 0; i < in.len; i++) trace_feed(&t, str_head(str_tail(in, i), 1));
    check_str(buf_str(&t.seen), want);
    trace_fini(&t);
}

struct row {
    str in, want;
};
#define ROW(in_, want_)                                                                            \
    {                                                                                              \
        {in_, sizeof(in_) - 1},                                                                    \
        {                                                                                          \
            want_, sizeof(want_) - 1                                                               \
        }                                                                                          \
    }
#define H "Host: a\r\n"

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) check_cuts(rows[i].in, rows[i].want);
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void test_good(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("GET / HTTP/1.1\r\n" H "\r\n", "GET / a\n"),
        ROW("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / a\n"),
        ROW("GET /a/b?c=d?e HTTP/1.1\r\nhost:\t A.Example:80 \r\n\r\n",
            "GET /a/b?c=d?e a.example\n"),
        ROW("GET /? HTTP/1.1\r\n" H "\r\n", "GET /? a\n"),
        ROW("GET / HTTP/1.1\r\nHost: [::1]:7860\r\n\r\n", "GET / ::1\n"),
        ROW("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / a\n"),
        ROW("GET http://a/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y a\n"),
        ROW("GET http://A?y HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /?y a\n"),
        ROW("GET http://a:81/ HTTP/1.1\r\nHost: a:81\r\n\r\n", "GET / a\n"),
        ROW("GET http://a/ HTTP/1.0\r\n\r\n", "GET / a 1.0 close\n"),
        ROW("GET / HTTP/1.0\r\n\r\n", "GET /  1.0 close\n"),
        ROW("GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            "GET /  1.0\nGET /b  1.0 close\n"),
        ROW("GET /a HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n", "GET /a a\nGET /b a\n"),
        ROW("GET /a HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n",
            "GET /a a close\n"),
        ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloPUT / HTTP/1.1\r\n" H "\r\n",
            "POST / a [hello]\nPUT / a\n"),
        ROW("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
            "POST / a\nGET / a\n"),
        ROW("POST / HTTP/1.1\r\n" H
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b;c=\"d\"\r\n!\r\n"
            "0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
            "POST / a [hello!]\nGET / a\n"),
        ROW("POST / HTTP/1.1\r\n" H
            "Transfer-Encoding: CHUNKED\r\n\r\n00A\r\n0123456789\r\n00\r\n\r\n",
            "POST / a [0123456789]\n"),
        ROW("POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
            "POST / a expects [x]\n"),
        ROW("POST / HTTP/1.1\r\n" H
            "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
            "POST / a [x]\n"),
        ROW("POST / HTTP/1.1\r\n" H
            "Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n"
            "\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
            "POST / a [x]\nGET / a\n"),
        ROW("GET / HTTP/1.1\r\n" H "X: caf\xc3\xa9\r\nEmpty:\r\n\r\n", "GET / a\n"),
        ROW("GET /caf\xc3\xa9 HTTP/1.1\r\n" H "\r\n", "GET /caf\xc3\xa9 a\n"),
        ROW("OPTIONS / HTTP/1.1\r\n" H "\r\nTRACE / HTTP/1.1\r\n" H "\r\n",
            "OPTIONS / a\nTRACE / a\n"),
    };
    CHECK_ROWS(rows);
}

static void test_lines(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("GET / HTTP/1.1\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1.1\rHost: a\r\n\r\n", "400\n"),
        ROW("\nGET / HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("\rGET / HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n\rX", "400\n"),
        ROW("GET  / HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET /  HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1.1 \r\n" H "\r\n", "400\n"),
        ROW(" GET / HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET\t/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET /\x01 HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET /\x00 HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET /\x7f HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("\x16\x03\x01\x02", "400\n"),
        ROW("GET /\r\n\r\n", "400\n"),
        ROW("GET\r\n\r\n", "400\n"),
        ROW("GET / http/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1.10\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/2.0\r\n" H "\r\n", "505\n"),
        ROW("GET / HTTP/1.2\r\n" H "\r\n", "505\n"),
        ROW("GET / HTTP/0.9\r\n" H "\r\n", "505\n"),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505\n"),
        ROW("BREW / HTTP/1.1\r\n" H "\r\n", "501\n"),
        ROW("get / HTTP/1.1\r\n" H "\r\n", "501\n"),
        ROW("G@T / HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("CONNECT a:80 HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("OPTIONS * HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET a/b HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET /#f HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET https://a/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET ftp://a/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET http://b/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET http://a:81/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET http://u@a/ HTTP/1.1\r\n" H "\r\n", "400\n"),
        ROW("GET http:///x HTTP/1.1\r\n" H "\r\n", "400\n"),
    };
    CHECK_ROWS(rows);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct row rows[] = {
        ROW("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X:\r\n b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H ": a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X y: a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X\x80: a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X: a\x00\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\n" H H "\r\n", "400\n"),
        ROW("GET / HTTP/1.0\r\n" H H "\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: [x]\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "400\n"),
        ROW("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "400\n"),
        ROW("POST / HTTP/1.1\r\n" H "Expect: later\r\nContent-Length: 1\r\n\r\nx", "417\n"),
        ROW("POST / HTTP/1.1\r\n" H "Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx",
            "417\n"),
    };
    CHECK_ROWS(rows);
}

/* Two readers must not disagree where a body ends. */
static void test_smuggling(void **state)
{
    (void)state;
#define POST "POST / HTTP/1.1\r\n" H
    static const struct row rows[] = {
        ROW(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5, 5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: +5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: -5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 0x5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5 5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5a\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5.0\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length:\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 18446744073709551616\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 18446744073709551615\r\n\r\nhello", "413\n"),
        ROW(POST "Content-Length : 5\r\n\r\nhello", "400\n"),
        ROW(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", "400\n"),
        ROW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400\n"),
        ROW(POST "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n0\r\n\r\n",
            "400\n"),
        ROW(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400\n"),
        ROW(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400\n"),
        ROW("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400\n"),
    };
    CHECK_ROWS(rows);
}

static void test_chunks(void **state)
{
    (void)state;
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    static const struct row rows[] = {
        ROW(CHUNKED "+5\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "-5\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED " 5\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5 \r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\t;a\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "g\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5;a\nb\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\rhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello!\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r0\r\n\r\n", "400\n"),
        ROW(CHUNKED "10000000000000000\r\nhello\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "ffffffffffffffff\r\nhello\r\n", ""),
        ROW(CHUNKED "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r\n0\r\nX : a\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r\n0\r\n\n", "400\n"),
        ROW(CHUNKED "5\r\nhello\r\n0\n\r\n", "400\n"),
    };
    CHECK_ROWS(rows);
}

/* Sixty-four bytes may come, framing and all. */
static void test_body_limit(void **state)
{
    (void)state;
#define X10 "0123456789"
    static const struct row rows[] = {
        ROW(POST "Content-Length: 64\r\n\r\n" X10 X10 X10 X10 X10 X10 "0123",
            "POST / a [" X10 X10 X10 X10 X10 X10 "0123]\n"),
        ROW(POST "Content-Length: 65\r\n\r\n" X10 X10 X10 X10 X10 X10 "01234", "413\n"),
        ROW(CHUNKED "35\r\n" X10 X10 X10 X10 X10 "012\r\n000\r\n\r\n",
            "POST / a [" X10 X10 X10 X10 X10 "012]\n"),
        ROW(CHUNKED "35\r\n" X10 X10 X10 X10 X10 "012\r\n0000\r\n\r\n", "413\n"),
        ROW(CHUNKED "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r"
                    "\n1\r\na\r\n"
                    "1\r\na\r\n1\r\na\r\n0\r\n\r\n",
            "413\n"),
        ROW(CHUNKED "1;" X10 X10 X10 X10 X10 X10 "0\r\na\r\n0\r\n\r\n", "413\n"),
        ROW(CHUNKED "1;" X10 X10 X10 X10 X10 X10 "0\x01\r\na\r\n0\r\n\r\n", "400\n"),
        ROW(CHUNKED "1;" X10 X10 X10 X10 X10 X10 "01\x01\r\na\r\n0\r\n\r\n", "413\n"),
    };
    CHECK_ROWS(rows);
}

/* ---- the large limits: whole, and in pieces that straddle them ---- */

static void check_pieces(str in, str want)
{
    static const size_t pieces[] = {1, 7, 4096, 65536, SIZE_MAX};

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct trace t;
        trace_init(&t);
        if (pieces[i] ==
            1) { /* byte by byte only where it matters: copying what was kept is slow here */
            trace_feed(&t, str_head(in, in.len > 40 ? in.len - 40 : 0));
            for (size_t at = in.len > 40 ? in.len - 40 : 0; at < in.len; at++)
                trace_feed(&t, str_head(str_tail(in, at), 1));
        } else {
            for (str rest = in; rest.len > 0; rest = str_tail(rest, pieces[i]))
                trace_feed(&t, str_head(rest, pieces[i]));
        }
        check_str(str_tail(buf_str(&t.seen), t.seen.len > 8 ? t.seen.len - 8 : 0), want);
        trace_fini(&t);
    }
}

static void add_many(struct buf *b, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) buf_add(b, str_of(text));
}

static void test_line_limit(void **state)
{
    (void)state;
    static const struct {
        size_t target;
        const char *want;
    } rows[] = {{64 * 1024, "aaa a\n"},
                {REQUEST_LINE_BYTES_MAX - 14, "aaa a\n"},
                {REQUEST_LINE_BYTES_MAX - 13, "414\n"},
                {96 * 1024, "414\n"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_add(&b, STR("GET /"));
        add_many(&b, "a", rows[i].target - 1);
        buf_add(&b, STR(" HTTP/1.1\r\n" H "\r\n"));
        str want = str_of(rows[i].want);
        for (size_t cut = 0; cut < 3; cut++) {
            struct trace t;
            trace_init(&t);
            trace_feed(&t, str_head(buf_str(&b), 70000 * cut / 2));
            trace_feed(&t, str_tail(buf_str(&b), 70000 * cut / 2));
            check_str(str_tail(buf_str(&t.seen), t.seen.len > want.len ? t.seen.len - want.len : 0),
                      want);
            trace_fini(&t);
        }
        buf_fini(&b);
    }
}

static void test_head_limit(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        size_t times;
        const char *want;
    } rows[] = {
        {"X: y\r\n", 99, "GET / a\n"},
        {"X: y\r\n", 100, "431\n"},
        {"X: "
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "901234567\r\n",
         99, "GET / a\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_add(&b, STR("GET / HTTP/1.1\r\n" H));
        add_many(&b, rows[i].field, rows[i].times);
        buf_add(&b, STR("\r\n"));
        check_pieces(buf_str(&b), str_of(rows[i].want));
        buf_fini(&b);
    }
    for (int over = 0; over < 2; over++) { /* one long field, up to the last byte */
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_add(&b, STR("GET / HTTP/1.1\r\n" H "X: "));
        add_many(&b, "y", REQUEST_HEAD_BYTES_MAX - strlen(H "X: \r\n\r\n") + (size_t)over);
        buf_add(&b, STR("\r\n\r\n"));
        check_pieces(buf_str(&b), over ? STR("431\n") : STR("GET / a\n"));
        buf_fini(&b);
    }
}

static void test_trailer_limit(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        size_t times;
        const char *want;
    } rows[] = {{"X: y\r\n", 100, "/ a [a]\n"}, {"X: y\r\n", 101, "431\n"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_add(&b, STR(CHUNKED "1\r\na\r\n0\r\n"));
        add_many(&b, rows[i].field, rows[i].times);
        buf_add(&b, STR("\r\n"));
        check_pieces(buf_str(&b), str_of(rows[i].want));
        buf_fini(&b);
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_add(&b, STR(CHUNKED "1\r\na\r\n0\r\nX: "));
    add_many(&b, "y", REQUEST_HEAD_BYTES_MAX);
    buf_add(&b, STR("\r\n\r\n"));
    check_pieces(buf_str(&b), STR("431\n"));
    buf_fini(&b);
}

/* What a head becomes: fields in order, values trimmed, names as they came. */
static void test_request(void **state)
{
    (void)state;
    struct parser p;
    struct request r = {0};
    str in = STR("GET /p?q HTTP/1.1\r\nHost: a\r\nX-One:  1 \r\nx-two:\r\nAccept: b, C\r\naccept: "
                 "d\r\n\r\n");

    parser_init(&p);
    check_int(parser_head(&p, in), PARSED_DONE);
    check_int(p.head_bytes, in.len);
    check_int(parser_request(&p, &r, arena_str(&r.arena, in)), PARSED_DONE);
    check_int(r.headers.count, 5);
    check_str(r.headers.at[1].name, STR("X-One"));
    check_str(r.headers.at[1].value, STR("1"));
    check_str(headers_get(&r.headers, STR("X-TWO")), STR(""));
    check_true(headers_get(&r.headers, STR("X-Two")).at != NULL);
    check_true(headers_get(&r.headers, STR("X-Three")).at == NULL);
    check_str(headers_get(&r.headers, STR("accept")), STR("b, C"));
    check_true(headers_has_token(&r.headers, STR("Accept"), STR("c")));
    check_true(headers_has_token(&r.headers, STR("Accept"), STR("D")));
    check_true(!headers_has_token(&r.headers, STR("Accept"), STR("b, C")));
    arena_fini(&r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_lines),
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_chunks),        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_line_limit),    cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_trailer_limit), cmocka_unit_test(test_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
