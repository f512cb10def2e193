#include "conf/values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "conf/limits.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single '_' between them (PEP 515). */
static bool digits(str *s, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;

    for (; i < s->len; i++) {
        char c = s->at[i];
        if (c == '_' && i > 0 && s->at[i - 1] != '_' && i + 1 < s->len && is_digit(s->at[i + 1]))
            continue;
        if (!is_digit(c)) break;
        unsigned digit = (unsigned)(c - '0');
        n = n > ((uint64_t)INT64_MAX - digit) / 10 ? INT64_MAX : n * 10 + digit;
    }
    if (i == 0 || !is_digit(s->at[0])) return false;
    *out = n;
    *s = str_tail(*s, i);
    return true;
}

bool values_int(str s, int64_t *out)
{
    uint64_t n;

    s = str_trim(s);
    bool minus = s.len && s.at[0] == '-';
    if (s.len && (s.at[0] == '-' || s.at[0] == '+')) s = str_tail(s, 1);
    if (!digits(&s, &n)) return false;
    if (s.len && s.at[0] == '.') { /* 10.0, and nothing else of that kind */
        s = str_tail(s, 1);
        if (s.len == 0) return false;
        while (s.len && s.at[0] == '0') s = str_tail(s, 1);
    }
    if (s.len) return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

bool values_float(str s, double *out)
{
    char text[64]; /* longer ones have no use as a setting */
    size_t i = 0, whole, part = 0;

    s = str_trim(s);
    if (s.len == 0 || s.len >= sizeof text) return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    if (text[i] == '-' || text[i] == '+') i++;
    for (whole = 0; is_digit(text[i]); i++) whole++;
    if (text[i] == '.')
        for (i++; is_digit(text[i]); i++) part++;
    if (whole + part == 0) return false;
    if (text[i] == 'e' || text[i] == 'E') {
        i++;
        if (text[i] == '-' || text[i] == '+') i++;
        if (!is_digit(text[i])) return false;
        while (is_digit(text[i])) i++;
    }
    if (i != s.len) return false;
    *out = strtod(text, NULL);
    return true;
}

bool values_bool(str s, bool *out)
{
    static const char *const words[] = {"true",  "1", "yes", "on",  "t", "y",
                                        "false", "0", "no",  "off", "f", "n"};
    enum { TRUE_WORDS = 6, WORDS = 12 };

    s = str_trim(s);
    for (int i = 0; i < WORDS; i++) {
        if (str_eq_nocase(s, str_of(words[i]))) {
            *out = i < TRUE_WORDS;
            return true;
        }
    }
    return false;
}

static enum err list_of_json(struct conf_list *out, str s, struct arena *a)
{
    yyjson_doc *doc;
    enum err e = json_read(&doc, s, JSON_DEPTH_API, JSON_PLAIN, NULL);
    if (e) return e;

    yyjson_val *root = yyjson_doc_get_root(doc), *item;
    size_t i, count, kept = 0;
    const char **at = NULL;

    if (!yyjson_is_arr(root)) {
        e = ERR_INVALID;
    } else if (yyjson_arr_size(root) > 0) {
        at = arena_array(a, const char *, yyjson_arr_size(root));
        if (at == NULL) e = ERR_MEMORY;
    }
    yyjson_arr_foreach(root, i, count, item)
    {
        if (e) break;
        str text = json_str(item);
        if (!yyjson_is_str(item) || memchr(text.at, 0, text.len)) {
            e = ERR_INVALID;
            break;
        }
        text = str_trim(text);
        if (text.len == 0) continue;
        at[kept] = arena_str(a, text).at;
        if (at[kept++] == NULL) e = ERR_MEMORY;
    }
    yyjson_doc_free(doc);
    if (!e) *out = (struct conf_list){.at = at, .count = kept, .set = true};
    return e;
}

enum err values_list(struct conf_list *out, str s, struct arena *a)
{
    s = str_trim(s);
    if (s.len && s.at[0] == '[') {
        /* "[::1],name" is no array. */
        size_t end = str_find_char(s, ']');
        if (end == STR_NPOS || !values_ip(str_head(str_tail(s, 1), end - 1)))
            return list_of_json(out, s, a);
    }

    size_t most = 1, kept = 0;
    for (size_t i = 0; i < s.len; i++) most += s.at[i] == ',';
    const char **at = arena_array(a, const char *, most);
    if (at == NULL) return ERR_MEMORY;
    for (str part; str_split(&s, ',', &part);) {
        part = str_trim(part);
        if (part.len == 0) continue;
        at[kept] = arena_str(a, part).at;
        if (at[kept++] == NULL) return ERR_MEMORY;
    }
    *out = (struct conf_list){.at = at, .count = kept, .set = true};
    return ERR_NONE;
}

/* RFC 3986 3.1 */
static bool scheme_of(str s, str *scheme)
{
    size_t n = 0;

    while (n < s.len && ((s.at[n] >= 'a' && s.at[n] <= 'z') || (s.at[n] >= 'A' && s.at[n] <= 'Z') ||
                         (n > 0 && (is_digit(s.at[n]) || strchr("+-.", s.at[n])))))
        n++;
    if (n == 0 || !str_starts(str_tail(s, n), STR("://"))) return false;
    *scheme = str_head(s, n);
    return true;
}

static bool host_of(str authority, struct address *out)
{
    str port = STR_NONE;

    if (authority.len && authority.at[0] == '[') {
        size_t end = str_find_char(authority, ']');
        if (end == STR_NPOS) return false;
        out->host = str_head(str_tail(authority, 1), end - 1);
        port = str_tail(authority, end + 1);
        if (!values_ip(out->host)) return false;
        if (port.len && port.at[0] != ':') return false;
        port = str_tail(port, 1);
    } else {
        size_t colon = str_find_char(authority, ':');
        out->host = str_head(authority, colon);
        if (colon != STR_NPOS) port = str_tail(authority, colon + 1);
        for (size_t i = 0; i < out->host.len; i++)
            if (strchr("\"'<>\\^`{|}%[],;()", out->host.at[i])) return false;
    }
    uint64_t n = 1;
    if (port.len && (!str_to_u64(port, &n) || n < 1 || n > 65535)) return false;
    out->port = port;
    return out->host.len > 0;
}

bool values_address(struct address *out, str s)
{
    struct address a = {0};

    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f) return false;
    if (!scheme_of(s, &a.scheme)) return false;
    str rest = str_tail(s, a.scheme.len + 3);
    size_t end = 0;
    while (end < rest.len && !strchr("/?#", rest.at[end])) end++;
    str authority = str_head(rest, end);
    a.rest = str_tail(rest, end);
    size_t sign = str_rfind_char(authority, '@');
    if (sign != STR_NPOS) {
        a.user = str_head(authority, sign);
        authority = str_tail(authority, sign + 1);
    }
    if (!host_of(authority, &a)) return false;
    *out = a;
    return true;
}

str values_mask(str s, struct arena *a)
{
    struct address parts;
    str scheme = STR_NONE, user;
    size_t sign;

    if (values_address(&parts, s)) {
        if (parts.user.at == NULL) return arena_str(a, s);
        user = parts.user;
        sign = (size_t)(user.at - s.at) + user.len;
    } else {
        /* Malformed: whatever stands before the last '@' may be a password. */
        sign = str_rfind_char(s, '@');
        if (sign == STR_NPOS) return arena_str(a, s);
        size_t begin = str_find(s, STR("://"));
        begin = begin == STR_NPOS || begin > sign ? 0 : begin + 3;
        user = str_span(s.at + begin, sign - begin);
    }
    scheme = str_head(s, (size_t)(user.at - s.at));
    size_t colon = str_find_char(user, ':');
    str name = colon == STR_NPOS ? STR("***") : str_head(user, colon);
    return arena_strf(a, "%.*s%.*s%s%.*s", STR_ARG(scheme), STR_ARG(name),
                      colon == STR_NPOS ? "" : ":***", STR_ARG(str_tail(s, sign)));
}

static int ip_bits(str s)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    if (s.len == 0 || s.len >= sizeof text) return 0;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    if (strlen(text) != s.len) return 0;
    return inet_pton(AF_INET, text, bytes) == 1    ? 32
           : inet_pton(AF_INET6, text, bytes) == 1 ? 128
                                                   : 0;
}

bool values_ip(str s)
{
    return ip_bits(s) > 0;
}

bool values_network(str s)
{
    size_t slash = str_find_char(s, '/');
    int bits = ip_bits(str_head(s, slash));
    uint64_t prefix;

    if (bits == 0) return false;
    return slash == STR_NPOS ||
           (str_to_u64(str_tail(s, slash + 1), &prefix) && prefix <= (uint64_t)bits);
}

bool values_is_loopback(str host)
{
    struct in_addr v4;
    struct in6_addr v6;
    char text[INET6_ADDRSTRLEN];

    if (str_eq_nocase(host, STR("localhost")) ||
        (host.len > 10 && str_eq_nocase(str_tail(host, host.len - 10), STR(".localhost"))))
        return true;
    if (host.len >= sizeof text) return false;
    memcpy(text, host.len ? host.at : "", host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, text, &v6) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}
