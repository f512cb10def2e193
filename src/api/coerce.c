#include "api/coerce.h"

#include <math.h>
#include <stdlib.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single underscores between them, at the front of *s; gives how many digits. */
static size_t take_digits(str *s, char *to, size_t to_max, size_t *to_len)
{
    size_t i = 0, digits = 0;

    while (i < s->len) {
        bool between = s->at[i] == '_' && digits && i + 1 < s->len && is_digit(s->at[i + 1]);
        if (!is_digit(s->at[i]) && !between) break;
        if (!between) {
            digits++;
            if (*to_len < to_max) to[(*to_len)++] = s->at[i];
        }
        i++;
    }
    *s = str_tail(*s, i);
    return digits;
}

static bool take_sign(str *s)
{
    bool minus = s->len && s->at[0] == '-';
    if (s->len && (s->at[0] == '-' || s->at[0] == '+')) *s = str_tail(*s, 1);
    return minus;
}

enum coerced coerce_int_text(str s, int64_t *out)
{
    s = str_trim(s);
    bool minus = take_sign(&s), beyond = false;
    uint64_t n = 0;
    size_t digits = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '_' && digits && i + 1 < s.len && is_digit(s.at[i + 1])) continue;
        if (c == '.' && digits) { /* a fraction of zeros */
            for (i++; i < s.len; i++)
                if (s.at[i] != '0') return COERCE_PARSING;
            break;
        }
        if (!is_digit(c)) return COERCE_PARSING;
        digits++;
        beyond = beyond || n > (uint64_t)INT64_MAX / 10 - 1;
        if (!beyond) n = n * 10 + (uint64_t)(c - '0');
    }
    if (digits == 0) return COERCE_PARSING;
    if (beyond)
        *out = minus ? INT64_MIN : INT64_MAX;
    else
        *out = minus ? -(int64_t)n : (int64_t)n;
    return COERCED;
}

enum coerced coerce_int(yyjson_val *v, int64_t *out)
{
    if (yyjson_is_bool(v)) {
        *out = yyjson_get_bool(v);
    } else if (yyjson_is_uint(v)) {
        uint64_t n = yyjson_get_uint(v);
        *out = n > INT64_MAX ? INT64_MAX : (int64_t)n;
    } else if (yyjson_is_sint(v)) {
        *out = yyjson_get_sint(v);
    } else if (yyjson_is_real(v)) {
        double n = yyjson_get_real(v);
        if (n != floor(n)) return COERCE_FRACTION;
        *out = n >= 9.2e18 ? INT64_MAX : n <= -9.2e18 ? INT64_MIN : (int64_t)n;
    } else if (yyjson_is_raw(v)) { /* a number that no 64 bits hold */
        double n;
        if (coerce_float_text(json_str(v), &n) != COERCED) return COERCE_PARSING;
        *out = n > 0 ? INT64_MAX : INT64_MIN;
    } else if (yyjson_is_str(v)) {
        return coerce_int_text(json_str(v), out);
    } else {
        return COERCE_TYPE;
    }
    return COERCED;
}

enum coerced coerce_float_text(str s, double *out)
{
    char plain[400]; /* more digits than a double can tell apart */
    size_t len = 0, most = sizeof plain - 32;

    s = str_trim(s);
    bool minus = take_sign(&s);
    if (str_eq_nocase(s, STR("inf")) || str_eq_nocase(s, STR("infinity"))) {
        *out = minus ? -INFINITY : INFINITY;
        return COERCED;
    }
    if (minus) plain[len++] = '-';
    size_t digits = take_digits(&s, plain, most, &len);
    bool cut = len == most;
    if (s.len && s.at[0] == '.') {
        s = str_tail(s, 1);
        if (!cut) plain[len++] = '.';
        digits += take_digits(&s, plain, most, &len);
    }
    if (digits == 0) return COERCE_PARSING;
    if (s.len && (s.at[0] == 'e' || s.at[0] == 'E')) {
        s = str_tail(s, 1);
        plain[len++] = 'e';
        if (take_sign(&s)) plain[len++] = '-';
        size_t exponent_max = len + 9;
        if (take_digits(&s, plain, exponent_max, &len) == 0) return COERCE_PARSING;
    }
    if (s.len || cut) return COERCE_PARSING;
    plain[len] = '\0';
    *out = strtod(plain, NULL);
    return COERCED;
}

enum coerced coerce_float(yyjson_val *v, double *out)
{
    if (yyjson_is_bool(v)) {
        *out = yyjson_get_bool(v);
    } else if (yyjson_is_num(v)) {
        *out = yyjson_get_num(v);
    } else if (yyjson_is_raw(v) || yyjson_is_str(v)) {
        return coerce_float_text(json_str(v), out);
    } else {
        return COERCE_TYPE;
    }
    return COERCED;
}

enum coerced coerce_bool_text(str s, bool *out)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off",
                                        "y",    "n",     "t",   "f",  "1",  "0"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!str_eq_nocase(s, str_of(words[i]))) continue;
        *out = i % 2 == 0;
        return COERCED;
    }
    return COERCE_PARSING;
}

enum coerced coerce_bool(yyjson_val *v, bool *out)
{
    double n;

    if (yyjson_is_bool(v)) {
        *out = yyjson_get_bool(v);
        return COERCED;
    }
    if (yyjson_is_str(v)) return coerce_bool_text(json_str(v), out);
    if (!yyjson_is_num(v) && !yyjson_is_raw(v)) return COERCE_TYPE;
    if (coerce_float(v, &n) != COERCED) return COERCE_PARSING;
    if (n != floor(n)) return COERCE_TYPE; /* as pydantic 2 has it */
    if (n != 0 && n != 1) return COERCE_PARSING;
    *out = n == 1;
    return COERCED;
}
