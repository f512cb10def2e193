#include "base/str.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool str_eq_nocase(str a, str b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i])) return false;
    return true;
}

bool str_starts_nocase(str s, str prefix)
{
    return s.len >= prefix.len && str_eq_nocase(str_head(s, prefix.len), prefix);
}

int str_cmp(str a, str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.at, b.at, common) : 0;

    if (order != 0) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

size_t str_find(str s, str needle)
{
    if (needle.len == 0) return 0;
    if (s.len < needle.len) return STR_NPOS;
    const char *hit = memmem(s.at, s.len, needle.at, needle.len);
    return hit ? (size_t)(hit - s.at) : STR_NPOS;
}

size_t str_find_char(str s, char c)
{
    const char *hit = s.len ? memchr(s.at, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.at) : STR_NPOS;
}

size_t str_rfind_char(str s, char c)
{
    for (size_t i = s.len; i > 0; i--)
        if (s.at[i - 1] == c) return i - 1;
    return STR_NPOS;
}

str str_trim(str s)
{
    while (s.len && is_blank(s.at[0])) s = str_tail(s, 1);
    while (s.len && is_blank(s.at[s.len - 1])) s.len--;
    return s;
}

bool str_split(str *rest, char sep, str *part)
{
    if (rest->at == NULL) return false;
    size_t at = str_find_char(*rest, sep);
    if (at == STR_NPOS) {
        *part = *rest;
        *rest = STR_NONE;
    } else {
        *part = str_head(*rest, at);
        *rest = str_tail(*rest, at + 1);
    }
    return true;
}

bool str_to_u64(str s, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

bool str_eq_secret(str a, str b)
{
    unsigned char differs = a.len != b.len;

    for (size_t i = 0; i < a.len; i++)
        differs |= (unsigned char)(a.at[i] ^ (b.len ? b.at[i % b.len] : 0));
    return !differs;
}
