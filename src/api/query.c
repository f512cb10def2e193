#include "api/query.h"

#include "base/buf.h"
#include "base/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

str query_decode(str text, bool plus, struct arena *a)
{
    char *to = arena_take(a, text.len + 1);
    size_t n = 0;

    if (to == NULL) return STR_NONE;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%' && i + 2 < text.len && hex(text.at[i + 1]) >= 0 && hex(text.at[i + 2]) >= 0) {
            c = (char)(hex(text.at[i + 1]) << 4 | hex(text.at[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    str out = str_span(to, n);
    if (utf8_valid(out)) return out;

    struct buf mended; /* a bad byte becomes three */
    buf_init(&mended, 3 * n);
    utf8_add_repaired(&mended, out);
    out = mended.bad ? STR_NONE : arena_str(a, buf_str(&mended));
    buf_fini(&mended);
    return out;
}

enum err query_parse(struct query *out, str text, struct arena *a)
{
    struct query q = {0};
    size_t max = 1;

    for (size_t i = 0; i < text.len; i++) max += text.at[i] == '&';
    q.at = arena_array(a, struct query_pair, max);
    if (q.at == NULL) return ERR_MEMORY;

    str rest = text, part;
    while (str_split(&rest, '&', &part)) {
        if (part.len == 0) continue;
        size_t eq = str_find_char(part, '=');
        struct query_pair p = {
            query_decode(eq == STR_NPOS ? part : str_head(part, eq), true, a),
            eq == STR_NPOS ? STR("") : query_decode(str_tail(part, eq + 1), true, a),
        };
        if (p.name.at == NULL || p.value.at == NULL) return ERR_MEMORY;
        q.at[q.count++] = p;
    }
    *out = q;
    return ERR_NONE;
}

str query_get(const struct query *q, str name)
{
    for (size_t i = q->count; i-- > 0;)
        if (str_eq(q->at[i].name, name)) return q->at[i].value;
    return STR_NONE;
}
