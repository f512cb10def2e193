/* A view of bytes: a pointer and a length, no terminator, no ownership.  It is valid as long as the
 * bytes it looks at; a function that keeps one says so.  A zeroed str is the empty one. */
#ifndef SEMA_BASE_STR_H
#define SEMA_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
    const char *at;
    size_t len; /* bytes */
} str;

#define STR(literal) ((str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((str){NULL, 0})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).at ? (s).at : ""

static inline str str_of(const char *cstr) /* NULL gives the empty view */
{
    return (str){cstr, cstr ? strlen(cstr) : 0};
}

static inline str str_span(const void *at, size_t len)
{
    return (str){at, len};
}

/* The first `n` bytes, and what follows them; beyond the end: all, and nothing. */
static inline str str_head(str s, size_t n)
{
    return (str){s.at, n < s.len ? n : s.len};
}

static inline str str_tail(str s, size_t n)
{
    if (s.len == 0) return s; /* nothing may be added to a null pointer, not even 0 */
    return n < s.len ? (str){s.at + n, s.len - n} : (str){s.at + s.len, 0};
}

static inline bool str_eq(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool str_starts(str s, str prefix)
{
    return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix);
}

static inline bool str_ends(str s, str suffix)
{
    return s.len >= suffix.len && str_eq(str_tail(s, s.len - suffix.len), suffix);
}

bool str_eq_nocase(str a, str b); /* ASCII only */
bool str_starts_nocase(str s, str prefix);
int str_cmp(str a, str b); /* bytewise, as memcmp; the shorter of two equal starts is less */

#define STR_NPOS SIZE_MAX
size_t str_find(str s, str needle); /* STR_NPOS when absent; an empty needle is at 0 */
size_t str_find_char(str s, char c);
size_t str_rfind_char(str s, char c);

/* Without leading and trailing ASCII white space (blank, \t \n \v \f \r). */
str str_trim(str s);

/* Takes the part before the first `sep` off *rest.  False when *rest is used up; a trailing
 * separator yields a last empty part.  Start with the whole text; *rest.at is NULL once it is done.
 */
bool str_split(str *rest, char sep, str *part);

/* Decimal digits only, no sign, no blanks, no overflow; false leaves *out alone. */
bool str_to_u64(str s, uint64_t *out);

/* In time that depends on the lengths only: for comparing secrets. */
bool str_eq_secret(str a, str b);

#endif
