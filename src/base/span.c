#include "base/span.h"

#include "base/json.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static str skip_blanks(str s)
{
    while (s.len && is_blank(s.at[0])) s = str_tail(s, 1);
    return s;
}

/* Behind the string that `s` begins with. */
static str skip_string(str s)
{
    size_t i = 1;

    while (i < s.len && s.at[i] != '"') i += s.at[i] == '\\' ? 2 : 1;
    return str_tail(s, i + 1);
}

/* Behind the value that `s` begins with. */
static str skip_value(str s)
{
    size_t depth = 0;

    while (s.len) {
        char c = s.at[0];
        if (c == '"') {
            s = skip_string(s);
        } else if (c == '{' || c == '[') {
            depth++;
            s = str_tail(s, 1);
        } else if (c == '}' || c == ']') {
            if (depth == 0) return s; /* of whoever holds it */
            depth--;
            s = str_tail(s, 1);
        } else if (depth == 0) { /* a number or a word */
            while (s.len && !is_blank(s.at[0]) && s.at[0] != ',' && s.at[0] != '}' &&
                   s.at[0] != ']')
                s = str_tail(s, 1);
            return s;
        } else {
            s = str_tail(s, 1);
            continue; /* inside: blanks, commas, numbers, words */
        }
        if (depth == 0) return s;
    }
    return s;
}

bool span_open(struct span_iter *it, str json)
{
    if (str_starts(json, STR("\xEF\xBB\xBF"))) json = str_tail(json, 3);
    json = skip_blanks(json);
    if (json.len == 0 || (json.at[0] != '{' && json.at[0] != '[')) return false;
    *it = (struct span_iter){.rest = str_tail(json, 1), .object = json.at[0] == '{'};
    return true;
}

bool span_next(struct span_iter *it, struct span *out)
{
    str s = skip_blanks(it->rest), key = STR_NONE;

    if (s.len && s.at[0] == ',') s = skip_blanks(str_tail(s, 1));
    if (s.len == 0 || s.at[0] == '}' || s.at[0] == ']') return false;
    if (it->object) {
        if (s.at[0] != '"') return false;
        str behind = skip_string(s);
        size_t quoted = s.len - behind.len;
        if (quoted < 2) return false;
        key = str_span(s.at + 1, quoted - 2);
        s = skip_blanks(behind);
        if (s.len == 0 || s.at[0] != ':') return false;
        s = skip_blanks(str_tail(s, 1));
    }
    str behind = skip_value(s);
    if (behind.len == s.len) return false;
    *out = (struct span){.key = key, .value = str_head(s, s.len - behind.len)};
    it->rest = behind;
    return true;
}

str span_key(str key, struct arena *a)
{
    yyjson_doc *doc;

    if (str_find_char(key, '\\') == STR_NPOS) return key;
    /* The quotes stand around it. */
    if (json_read(&doc, str_span(key.at - 1, key.len + 2), 1, JSON_PLAIN, NULL)) return STR_NONE;
    str plain = arena_str(a, json_str(yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
    return plain;
}

str span_get(str object, str key)
{
    struct span_iter it;
    struct span s;
    str found = STR_NONE;

    if (!span_open(&it, object) || !it.object) return STR_NONE;
    while (span_next(&it, &s))
        if (str_eq(s.key, key)) found = s.value;
    return found;
}
