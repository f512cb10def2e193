#include "http/url.h"

#include <arpa/inet.h>

/* Visible ASCII only: a blank or control character in a request line would split it (RFC 9112 3).
 */
static bool is_plain(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] <= ' ' || (unsigned char)s.at[i] >= 0x7F) return false;
    return true;
}

/* reg-name of RFC 3986 3.2.2 without percent-encoding, which no name in the DNS has. */
static bool is_name(str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];
        bool fits =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (!fits) return false;
    }
    return host.len > 0 && host.len <= 253 && host.at[0] != '.';
}

static bool is_ipv6(str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr unused;

    if (host.len == 0 || host.len >= sizeof text) return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET6, text, &unused) == 1;
}

static str lower(struct arena *a, str s)
{
    char *to = arena_take(a, s.len + 1);
    if (to == NULL) return STR_NONE;
    for (size_t i = 0; i < s.len; i++)
        to[i] = s.at[i] >= 'A' && s.at[i] <= 'Z' ? (char)(s.at[i] + 32) : s.at[i];
    return (str){to, s.len};
}

/* "host", "host:port", "[address]:port"; *port stays as it is when absent or empty. */
static bool split_authority(str authority, str *host, bool *bracketed, uint16_t *port)
{
    str rest;

    *bracketed = authority.len && authority.at[0] == '[';
    if (*bracketed) {
        size_t close = str_find_char(authority, ']');
        if (close == STR_NPOS) return false;
        *host = str_span(authority.at + 1, close - 1);
        rest = str_tail(authority, close + 1);
        if (rest.len && rest.at[0] != ':') return false;
    } else {
        size_t colon = str_find_char(authority, ':');
        *host = str_head(authority, colon);
        rest = colon == STR_NPOS ? STR_NONE : str_tail(authority, colon);
    }
    if (rest.len <= 1) return true;
    uint64_t n;
    if (!str_to_u64(str_tail(rest, 1), &n) || n == 0 || n > 65535) return false;
    *port = (uint16_t)n;
    return true;
}

enum err url_parse(struct url *out, str text, struct arena *a)
{
    struct url u = {0};
    str rest = text;

    if (!is_plain(text)) return ERR_INVALID;
    if (str_starts_nocase(text, STR("https://"))) {
        u.tls = true;
        rest = str_tail(text, 8);
    } else if (str_starts_nocase(text, STR("http://"))) {
        rest = str_tail(text, 7);
    } else {
        return ERR_INVALID;
    }
    rest = str_head(rest, str_find_char(rest, '#'));

    size_t end = 0;
    while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?') end++;
    str authority = str_head(rest, end), target = str_tail(rest, end), host;

    size_t at = str_rfind_char(authority, '@');
    if (at != STR_NPOS) {
        u.user = str_head(authority, at);
        authority = str_tail(authority, at + 1);
    }
    uint16_t standard = u.tls ? 443 : 80;
    bool bracketed;
    u.port = standard;
    if (!split_authority(authority, &host, &bracketed, &u.port)) return ERR_INVALID;
    u.host = lower(a, host);
    if (u.host.at == NULL) return ERR_MEMORY;
    if (bracketed ? !is_ipv6(u.host) : !is_name(u.host)) return ERR_INVALID;

    u.user = arena_str(a, u.user);
    u.target = target.len && target.at[0] == '/' ? arena_str(a, target)
                                                 : arena_strf(a, "/%.*s", STR_ARG(target));
    const char *open = bracketed ? "[" : "", *close = bracketed ? "]" : "";
    u.authority = u.port == standard ? arena_strf(a, "%s%.*s%s", open, STR_ARG(u.host), close)
                                     : arena_strf(a, "%s%.*s%s:%u", open, STR_ARG(u.host), close,
                                                  (unsigned)u.port);
    if (u.user.at == NULL || u.target.at == NULL || u.authority.at == NULL) return ERR_MEMORY;
    *out = u;
    return ERR_NONE;
}
