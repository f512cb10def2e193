#include "http/sse.h"

#include "base/json.h"

/* Depth to which an unterminated last block is looked at; data of a provider is never that deep. */
enum { JSON_DEPTH = 512 };

void sse_init(struct sse *s, size_t event_bytes_max)
{
    *s = (struct sse){.event_bytes_max = event_bytes_max};
    buf_init(&s->line, event_bytes_max);
    buf_init(&s->type, event_bytes_max);
    buf_init(&s->data, event_bytes_max);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->line);
    buf_fini(&s->type);
    buf_fini(&s->data);
    *s = (struct sse){0};
}

static bool fits(const struct sse *s, size_t more)
{
    size_t have = s->line.len + s->type.len + s->data.len;
    return have <= s->event_bytes_max && more <= s->event_bytes_max - have;
}

static void add_data(struct sse *s, str value)
{
    if (s->has_data) buf_add_char(&s->data, '\n');
    buf_add(&s->data, value);
    s->has_data = true;
}

static void set_type(struct sse *s, str value)
{
    buf_clear(&s->type);
    buf_add(&s->type, value);
}

static enum err dispatch(struct sse *s, sse_fn *each, void *ctx)
{
    struct sse_event e = {buf_str(&s->type), buf_str(&s->data)};
    enum err result = ERR_NONE;

    if (s->has_data && str_trim(e.data).len) result = each(ctx, &e);
    buf_clear(&s->type);
    buf_clear(&s->data);
    s->has_data = false;
    s->bare = false;
    return result;
}

/* A line of JSON that stands there without a field name.  Over several lines, no later one looks
 * like a field either. */
static bool is_bare(const struct sse *s, str line)
{
    if (line.at[0] == '{') return true;
    return s->bare && memchr(" \t\"}]", line.at[0], 5) != NULL;
}

static enum err take_line(struct sse *s, str line, sse_fn *each, void *ctx)
{
    if (!s->begun) {
        s->begun = true;
        if (str_starts(line, STR("\xEF\xBB\xBF"))) line = str_tail(line, 3);
    }
    if (line.len == 0) return dispatch(s, each, ctx);
    if (line.at[0] == ':') return ERR_NONE;
    if (!fits(s, line.len + 1)) return ERR_LIMIT;

    /* Two habits of servers that no field name can look like: an error object without a field name,
     * and one under the name "error" (providers.md sections 6.3 and 9). */
    if (is_bare(s, line)) {
        add_data(s, line);
        s->bare = true;
    } else {
        s->bare = false;
        size_t colon = str_find_char(line, ':');
        str name = str_head(line, colon), value = STR_NONE;
        if (colon != STR_NPOS) value = str_tail(line, colon + 1);
        if (value.len && value.at[0] == ' ') value = str_tail(value, 1);
        if (str_eq(name, STR("data"))) {
            add_data(s, value);
        } else if (str_eq(name, STR("event"))) {
            set_type(s, value);
        } else if (str_eq(name, STR("error"))) {
            set_type(s, STR("error"));
            add_data(s, value);
        }
    }
    return s->data.bad || s->type.bad ? ERR_MEMORY : ERR_NONE;
}

/* The first CR or LF; most lines have no CR, so the two searches seldom both run long. */
static size_t line_end(str in)
{
    const char *lf = memchr(in.at, '\n', in.len);
    size_t n = lf ? (size_t)(lf - in.at) : in.len;
    const char *cr = memchr(in.at, '\r', n);
    return cr ? (size_t)(cr - in.at) : lf ? n : STR_NPOS;
}

enum err sse_feed(struct sse *s, str in, sse_fn *each, void *ctx)
{
    while (in.len) {
        if (s->after_cr) {
            s->after_cr = false;
            if (in.at[0] == '\n') {
                in = str_tail(in, 1);
                continue;
            }
        }
        size_t end = line_end(in);
        if (end == STR_NPOS) {
            if (!fits(s, in.len)) return ERR_LIMIT;
            buf_add(&s->line, in);
            return buf_err(&s->line);
        }
        str line = str_head(in, end);
        if (s->line.len) {
            if (!fits(s, end)) return ERR_LIMIT;
            buf_add(&s->line, line);
            if (s->line.bad) return ERR_MEMORY;
        }
        s->after_cr = in.at[end] == '\r';
        in = str_tail(in, end + 1);

        /* `line` is emptied first, so that a long line counts once against the limit. */
        str whole = s->line.len ? buf_str(&s->line) : line;
        s->line.len = 0;
        enum err e = take_line(s, whole, each, ctx);
        if (e) return e;
    }
    return ERR_NONE;
}

enum err sse_end(struct sse *s, sse_fn *each, void *ctx)
{
    str whole = buf_str(&s->line);
    s->line.len = 0;
    enum err e = whole.len ? take_line(s, whole, each, ctx) : ERR_NONE;
    if (e || !s->has_data) return e;

    str data = str_trim(buf_str(&s->data));
    yyjson_doc *doc = NULL;
    if (!str_eq(data, STR("[DONE]"))) {
        e = json_read(&doc, data, JSON_DEPTH, JSON_PLAIN, NULL);
        yyjson_doc_free(doc);
        if (e == ERR_MEMORY) return e;
        if (e) return ERR_NONE; /* cut in the middle: no event */
    }
    return dispatch(s, each, ctx);
}
