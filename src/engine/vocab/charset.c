#include "engine/vocab/charset.h"

#include <string.h>

#include "engine/vocab/unicode.h"

enum { RANGES_MAX = 4096 };

bool charset_add_range(struct charset *s, struct arena *a, uint32_t first, uint32_t last)
{
    if (s->ranges_count == s->ranges_cap) {
        uint32_t cap = s->ranges_cap ? s->ranges_cap * 2 : 4;
        struct charset_range *ranges =
            cap <= RANGES_MAX ? arena_array(a, struct charset_range, cap) : NULL;
        if (ranges == NULL) return false;
        if (s->ranges_count) memcpy(ranges, s->ranges, s->ranges_count * sizeof *ranges);
        s->ranges = ranges;
        s->ranges_cap = cap;
    }
    s->ranges[s->ranges_count++] = (struct charset_range){first, last};
    return true;
}

bool charset_add_none_of(struct charset *s, uint16_t kinds)
{
    if (s->none_count == CHARSET_NOT_MAX) return false;
    s->none_of[s->none_count++] = kinds;
    return true;
}

static bool ranges_have(const struct charset *s, uint32_t cp)
{
    for (uint32_t i = 0; i < s->ranges_count; i++)
        if (cp >= s->ranges[i].first && cp <= s->ranges[i].last) return true;
    return false;
}

bool charset_fold(struct charset *s, struct arena *a)
{
    uint16_t cased = UNICODE_LU | UNICODE_LL | UNICODE_LT;
    uint32_t count = s->ranges_count;

    if ((s->any_of & cased) && (s->any_of & cased) != cased) return false;
    for (int i = 0; i < s->none_count; i++)
        if ((s->none_of[i] & cased) && (s->none_of[i] & cased) != cased) return false;
    for (uint32_t i = 0; i < count; i++)
        if (s->ranges[i].last >= 128 && (s->ranges[i].first < 0x2E80 || s->ranges[i].last > 0xA000))
            return false;
    for (uint32_t lower = 'a'; lower <= 'z'; lower++) {
        uint32_t upper = lower - 32;
        if (!ranges_have(s, lower) && !ranges_have(s, upper)) continue;
        if (!charset_add_range(s, a, lower, lower) || !charset_add_range(s, a, upper, upper))
            return false;
        if (lower == 's' && !charset_add_range(s, a, 0x17F, 0x17F)) return false;
        if (lower == 'k' && !charset_add_range(s, a, 0x212A, 0x212A)) return false;
    }
    return true;
}

bool charset_has_wide(const struct charset *s, uint32_t cp)
{
    unsigned kind = unicode_kind(cp);
    bool in = kind & s->any_of;

    for (int i = 0; !in && i < s->none_count; i++) in = (kind & s->none_of[i]) == 0;
    if (!in && s->ranges_count) in = ranges_have(s, cp);
    return in != s->negated;
}

void charset_seal(struct charset *s)
{
    memset(s->low, 0, sizeof s->low);
    for (uint32_t cp = 0; cp < 256; cp++)
        if (charset_has_wide(s, cp)) s->low[cp / 32] |= UINT32_C(1) << cp % 32;
}
