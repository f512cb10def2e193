/* What a model may write where tool calls are looked for.  The first byte of an input tells the
 * form and where to cut; the events must not depend on the cut, and text without a call comes out
 * unchanged. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/sample/toolcall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct buf all, text;
    bool open;
    int count;
};

static void on_text(void *ctx, str text)
{
    struct seen *s = ctx;
    if (s->open || text.len == 0) abort();
    buf_add(&s->all, text);
    buf_add(&s->text, text);
}

static void on_begin(void *ctx, int index, str name)
{
    struct seen *s = ctx;
    if (s->open || index != s->count) abort();
    s->open = true;
    buf_addf(&s->all, "\x01%d %.*s\x01", index, STR_ARG(name));
}

static void on_args(void *ctx, int index, str fragment)
{
    struct seen *s = ctx;
    if (!s->open || index != s->count) abort();
    buf_add(&s->all, fragment);
}

static void on_end(void *ctx, int index)
{
    struct seen *s = ctx;
    if (!s->open || index != s->count) abort();
    s->open = false;
    s->count++;
    buf_add_char(&s->all, '\x02');
}

static void run(enum toolcall_form form, bool inside, yyjson_val *tools, str text, size_t piece,
                struct seen *s)
{
    struct toolcall *t;
    struct toolcall_events events = {s, on_text, on_begin, on_args, on_end};

    memset(s, 0, sizeof *s);
    buf_init(&s->all, 1 << 24);
    buf_init(&s->text, 1 << 24);
    if (toolcall_new(&t, form, tools, inside, events)) exit(1);
    for (; text.len; text = str_tail(text, piece))
        if (toolcall_feed(t, str_head(text, piece))) exit(1);
    if (toolcall_end(t)) exit(1);
    if (s->open || toolcall_count(t) != s->count) abort();
    toolcall_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static yyjson_doc *tools;
    struct seen whole, pieces;

    if (tools == NULL)
        tools = yyjson_read("[{\"function\":{\"name\":\"f\"}},{\"name\":\"g\"}]", 39, 0);
    if (size == 0) return 0;
    enum toolcall_form form = data[0] % 5;
    bool inside = data[0] & 0x80;
    str text = str_span(data + 1, size - 1);
    run(form, inside, yyjson_doc_get_root(tools), text, size, &whole);
    run(form, inside, yyjson_doc_get_root(tools), text, 1 + data[0] / 5 % 8, &pieces);
    if (!str_eq(buf_str(&whole.all), buf_str(&pieces.all))) abort();
    if (whole.count == 0 && !inside && !str_eq(buf_str(&whole.text), text)) abort();
    buf_fini(&whole.all);
    buf_fini(&whole.text);
    buf_fini(&pieces.all);
    buf_fini(&pieces.text);
    return 0;
}
