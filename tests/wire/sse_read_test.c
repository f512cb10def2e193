/* Reading text/event-stream: wherever the network cuts the stream, the events are the same. */
#include "check.h"

#include "base/buf.h"
#include "http/sse.h"

struct trace {
    struct sse sse;
    struct buf seen; /* "type|data;" for each event, then "!limit" or the like */
    int stop_at;     /* the event at which to say no; 0: never */
    int count;
};

static void trace_init(struct trace *t, size_t event_bytes_max)
{
    *t = (struct trace){0};
    sse_init(&t->sse, event_bytes_max);
    buf_init(&t->seen, SIZE_MAX);
}

static void trace_fini(struct trace *t)
{
    sse_fini(&t->sse);
    buf_fini(&t->seen);
}

static enum err trace_add(void *ctx, const struct sse_event *e)
{
    struct trace *t = ctx;

    buf_addf(&t->seen, "%.*s|%.*s;", STR_ARG(e->type), STR_ARG(e->data));
    return ++t->count == t->stop_at ? ERR_SERVER : ERR_NONE;
}

static void check_any_cut(str stream, str want)
{
    for (size_t cut = 0; cut <= stream.len; cut++) {
        struct trace t;
        trace_init(&t, 1 << 20);
        check_int(sse_feed(&t.sse, str_head(stream, cut), trace_add, &t), ERR_NONE);
        check_int(sse_feed(&t.sse, str_tail(stream, cut), trace_add, &t), ERR_NONE);
        check_int(sse_end(&t.sse, trace_add, &t), ERR_NONE);
        check_str(buf_str(&t.seen), want);
        trace_fini(&t);
    }
    struct trace t;
    trace_init(&t, 1 << 20);
    for (size_t i = 0; i < stream.len; i++)
        check_int(sse_feed(&t.sse, str_span(stream.at + i, 1), trace_add, &t), ERR_NONE);
    check_int(sse_end(&t.sse, trace_add, &t), ERR_NONE);
    check_str(buf_str(&t.seen), want);
    trace_fini(&t);
}

#define CUT(name, stream, want)                                                                    \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_any_cut(STR(stream), STR(want));                                                     \
    }

/* clang-format off */
CUT(plain, "data: a\n\ndata: b\n\n", "|a;|b;")
CUT(no_blank_after_colon, "data:a\n\ndata:  b\n\n", "|a;| b;")
CUT(crlf, "data: a\r\n\r\ndata: b\r\n\r\n", "|a;|b;")
CUT(cr, "data: a\r\rdata: b\r\r", "|a;|b;")
CUT(mixed_line_ends, "data: a\r\ndata: b\n\rdata: c\r\r\n", "|a\nb;|c;")
CUT(lines_join, "data: {\"x\":\r\ndata: 1}\r\n\r\n", "|{\"x\":\n1};")
CUT(empty_line_inside_data, "data: a\ndata\ndata: b\n\n", "|a\n\nb;")
CUT(mark_at_start, "\xEF\xBB\xBF" "data: a\n\n", "|a;")
CUT(mark_is_stripped_once, "\xEF\xBB\xBF\xEF\xBB\xBF" "data: a\n\ndata: b\n\n", "|b;")
CUT(mark_later_is_no_mark, "data: a\n\n\xEF\xBB\xBF" "data: b\n\n", "|a;")
CUT(types, "event: ping\ndata: {}\n\ndata: x\n\nevent: a\nevent: b\ndata: y\n\n", "ping|{};|x;b|y;")
CUT(type_without_data, "event: keepalive\n\ndata: x\n\n", "|x;")
CUT(comments, ": PROCESSING\n\n:\n:x\ndata: a\n: y\ndata: b\n\n", "|a\nb;")
CUT(blank_data_is_no_event, "data:\n\ndata: \n\ndata\n\ndata:   \ndata: \t\n\ndata: x\n\n", "|x;")
CUT(unknown_fields, "id: 7\nretry: 1000\n\nfoo: bar\nid\ndata: x\nDATA: y\ndatax: z\n\n", "|x;")
CUT(characters, "data: h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\n\n", "|h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80;")
CUT(colons_in_data, "data: a:b: c\n\n", "|a:b: c;")
CUT(many_blank_lines, "\n\n\r\n\r\rdata: a\n\n\n\n", "|a;")
CUT(error_field, "error: {\"code\":500}\n\n", "error|{\"code\":500};")
CUT(bare_object, "data: a\n\n{\"error\":{\"code\":503}}\n\n", "|a;|{\"error\":{\"code\":503}};")
CUT(bare_lines, "data: a\n\n{\n \"error\": {\n  \"code\": 503\n }\n}\n", "|a;|{\n \"error\": {\n  \"code\": 503\n }\n};")
CUT(bare_then_field, "{\"a\":1}\nevent: b\n \"x\"\n\ndata: [DONE]\n\n", "b|{\"a\":1};|[DONE];")

CUT(end_json, "data: a\n\ndata: {\"x\":[1]}", "|a;|{\"x\":[1]};")
CUT(end_json_one_line_end, "data: {\"x\":1}\r\n", "|{\"x\":1};")
CUT(end_done, "data: {}\n\ndata: [DONE]", "|{};|[DONE];")
CUT(end_done_one_line_end, "data: [DONE]\n", "|[DONE];")
CUT(end_cut_json, "data: a\n\ndata: {\"x\":", "|a;")
CUT(end_text, "data: a\n\ndata: hello", "|a;")
CUT(end_inside_name, "data: a\n\nda", "|a;")
CUT(end_bare_object, "{\"error\":\"x\"}", "|{\"error\":\"x\"};")
/* clang-format on */

/* S1 of the field cases: every kind of line end, data over several lines, a mark in front. */
static void test_s1(void **state)
{
    static const char *const ends[] = {"\n", "\r", "\r\n"};
    char stream[256], want[256];

    (void)state;
    for (int mark = 0; mark < 2; mark++) {
        for (int i = 0; i < 3; i++) {
            const char *nl = ends[i];
            snprintf(stream, sizeof stream,
                     "%sdata:{\"choices\":[{\"index\":0,%sdata:\"delta\":{\"content\":"
                     "\"h\xC3\xA9\"}}]}%s%sdata: "
                     "[DONE]%s%s",
                     mark ? "\xEF\xBB\xBF" : "", nl, nl, nl, nl, nl);
            snprintf(
                want, sizeof want,
                "|{\"choices\":[{\"index\":0,\n\"delta\":{\"content\":\"h\xC3\xA9\"}}]};|[DONE];");
            check_any_cut(str_of(stream), str_of(want));
        }
    }
}

/* An event may be as long as the limit, and one byte more is refused, however it is cut. */
static void test_limit(void **state)
{
    enum { MAX = 100 };
    char stream[3 * MAX];

    (void)state;
    for (size_t data = MAX - 12; data < MAX + 8; data++) {
        for (int lines = 1; lines <= 2; lines++) {
            int n = snprintf(stream, sizeof stream, "data: %0*d\n", (int)data / lines, 0);
            if (lines == 2)
                n += snprintf(stream + n, sizeof stream - (size_t)n, "data: %0*d\n",
                              (int)data / lines, 0);
            n += snprintf(stream + n, sizeof stream - (size_t)n, "\n");

            enum err first = ERR_COUNT;
            for (int cut = 0; cut <= n; cut++) {
                struct trace t;
                trace_init(&t, MAX);
                enum err e = sse_feed(&t.sse, str_span(stream, (size_t)cut), trace_add, &t);
                if (!e)
                    e = sse_feed(&t.sse, str_span(stream + cut, (size_t)(n - cut)), trace_add, &t);
                if (first == ERR_COUNT) first = e;
                check_int(e, first);
                if (data < MAX - 10) check_int(e, ERR_NONE);
                if (data > MAX) check_int(e, ERR_LIMIT);
                trace_fini(&t);
            }
        }
    }

    /* A line that never ends is refused before it is kept. */
    struct trace t;
    trace_init(&t, MAX);
    enum err e = ERR_NONE;
    int fed = 0;
    for (; !e && fed < 1000; fed++) e = sse_feed(&t.sse, STR("x"), trace_add, &t);
    check_int(e, ERR_LIMIT);
    check_int(fed, MAX + 1);
    trace_fini(&t);
}

static void test_megabyte(void **state)
{
    size_t n = 1 << 20;
    char *text = malloc(n);
    struct trace t;

    (void)state;
    memset(text, 'x', n);
    trace_init(&t, 16 << 20);
    check_int(sse_feed(&t.sse, STR("data: "), trace_add, &t), ERR_NONE);
    for (size_t at = 0; at < n; at += 4096)
        check_int(sse_feed(&t.sse, str_span(text + at, 4096), trace_add, &t), ERR_NONE);
    check_int(t.count, 0);
    check_int(sse_feed(&t.sse, STR("\n\n"), trace_add, &t), ERR_NONE);
    check_int(t.count, 1);
    check_int(t.seen.len, n + 2);
    trace_fini(&t);
    free(text);
}

/* What `each` answers ends the feed: nothing after it is shown. */
static void test_stop(void **state)
{
    struct trace t;

    (void)state;
    trace_init(&t, 1000);
    t.stop_at = 2;
    check_int(sse_feed(&t.sse, STR("data: a\n\ndata: b\n\ndata: c\n\n"), trace_add, &t),
              ERR_SERVER);
    check_str(buf_str(&t.seen), STR("|a;|b;"));
    trace_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_no_blank_after_colon),
        cmocka_unit_test(test_crlf),
        cmocka_unit_test(test_cr),
        cmocka_unit_test(test_mixed_line_ends),
        cmocka_unit_test(test_lines_join),
        cmocka_unit_test(test_empty_line_inside_data),
        cmocka_unit_test(test_mark_at_start),
        cmocka_unit_test(test_mark_is_stripped_once),
        cmocka_unit_test(test_mark_later_is_no_mark),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_type_without_data),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_blank_data_is_no_event),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_colons_in_data),
        cmocka_unit_test(test_many_blank_lines),
        cmocka_unit_test(test_error_field),
        cmocka_unit_test(test_bare_object),
        cmocka_unit_test(test_bare_lines),
        cmocka_unit_test(test_bare_then_field),
        cmocka_unit_test(test_end_json),
        cmocka_unit_test(test_end_json_one_line_end),
        cmocka_unit_test(test_end_done),
        cmocka_unit_test(test_end_done_one_line_end),
        cmocka_unit_test(test_end_cut_json),
        cmocka_unit_test(test_end_text),
        cmocka_unit_test(test_end_inside_name),
        cmocka_unit_test(test_end_bare_object),
        cmocka_unit_test(test_s1),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_megabyte),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests_name("wire/sse_read", tests, NULL, NULL);
}
