#include "engine/template/text.h"

#include <utf8proc.h>

#include "base/utf8.h"

int32_t text_at(str s, size_t at, size_t *used)
{
    unsigned char c = (unsigned char)s.at[at];

    if (c < 0x80) {
        *used = 1;
        return c;
    }
    int32_t point = utf8_next(str_tail(s, at), used);
    return point < 0 ? 0xFFFD : point;
}

int32_t text_before(str s, size_t end, size_t *used)
{
    size_t from = end - 1;

    while (from > 0 && end - from < 4 && ((unsigned char)s.at[from] & 0xC0) == 0x80) from--;
    int32_t c = text_at(str_head(s, end), from, used);
    if (from + *used != end) { /* not valid text: one byte at a time */
        *used = 1;
        return 0xFFFD;
    }
    return c;
}

bool text_is_space(int32_t c)
{
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool text_is_printable(int32_t c)
{
    if (c < 0x7F) return c >= 0x20;
    if (c == TEXT_MARKER) return true;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

bool text_is_alpha(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool text_is_digit(int32_t c)
{
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ND;
}

bool text_is_cased_upper(int32_t c)
{
    return c < 0x80 ? c >= 'A' && c <= 'Z' : utf8proc_isupper(c);
}

bool text_is_cased_lower(int32_t c)
{
    return c < 0x80 ? c >= 'a' && c <= 'z' : utf8proc_islower(c);
}

/* The unconditional mappings of Unicode's SpecialCasing.txt that yield more than one character:
 * upper, then title.  The Greek letters with ypogegrammeni (U+1F80..1FFC) follow a rule of their
 * own below. */
struct special {
    uint16_t from;
    uint16_t upper[3], title[3];
};
/* clang-format off */
static const struct special specials[] = {
    {0x00DF, {0x53, 0x53}, {0x53, 0x73}},
    {0x0149, {0x2BC, 0x4E}, {0x2BC, 0x4E}},
    {0x01F0, {0x4A, 0x30C}, {0x4A, 0x30C}},
    {0x0390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x03B0, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x0587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1E96, {0x48, 0x331}, {0x48, 0x331}},
    {0x1E97, {0x54, 0x308}, {0x54, 0x308}},
    {0x1E98, {0x57, 0x30A}, {0x57, 0x30A}},
    {0x1E99, {0x59, 0x30A}, {0x59, 0x30A}},
    {0x1E9A, {0x41, 0x2BE}, {0x41, 0x2BE}},
    {0x1F50, {0x3A5, 0x313}, {0x3A5, 0x313}},
    {0x1F52, {0x3A5, 0x313, 0x300}, {0x3A5, 0x313, 0x300}},
    {0x1F54, {0x3A5, 0x313, 0x301}, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}, {0x3A5, 0x313, 0x342}},
    {0x1FB2, {0x1FBA, 0x399}, {0x1FBA, 0x345}},
    {0x1FB3, {0x391, 0x399}, {0x1FBC}},
    {0x1FB4, {0x386, 0x399}, {0x386, 0x345}},
    {0x1FB6, {0x391, 0x342}, {0x391, 0x342}},
    {0x1FB7, {0x391, 0x342, 0x399}, {0x391, 0x342, 0x345}},
    {0x1FBC, {0x391, 0x399}, {0x1FBC}},
    {0x1FC2, {0x1FCA, 0x399}, {0x1FCA, 0x345}},
    {0x1FC3, {0x397, 0x399}, {0x1FCC}},
    {0x1FC4, {0x389, 0x399}, {0x389, 0x345}},
    {0x1FC6, {0x397, 0x342}, {0x397, 0x342}},
    {0x1FC7, {0x397, 0x342, 0x399}, {0x397, 0x342, 0x345}},
    {0x1FCC, {0x397, 0x399}, {0x1FCC}},
    {0x1FD2, {0x399, 0x308, 0x300}, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x1FD6, {0x399, 0x342}, {0x399, 0x342}},
    {0x1FD7, {0x399, 0x308, 0x342}, {0x399, 0x308, 0x342}},
    {0x1FE2, {0x3A5, 0x308, 0x300}, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x1FE4, {0x3A1, 0x313}, {0x3A1, 0x313}},
    {0x1FE6, {0x3A5, 0x342}, {0x3A5, 0x342}},
    {0x1FE7, {0x3A5, 0x308, 0x342}, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x399}, {0x1FFA, 0x345}},
    {0x1FF3, {0x3A9, 0x399}, {0x1FFC}},
    {0x1FF4, {0x38F, 0x399}, {0x38F, 0x345}},
    {0x1FF6, {0x3A9, 0x342}, {0x3A9, 0x342}},
    {0x1FF7, {0x3A9, 0x342, 0x399}, {0x3A9, 0x342, 0x345}},
    {0x1FFC, {0x3A9, 0x399}, {0x1FFC}},
    {0xFB00, {0x46, 0x46}, {0x46, 0x66}},
    {0xFB01, {0x46, 0x49}, {0x46, 0x69}},
    {0xFB02, {0x46, 0x4C}, {0x46, 0x6C}},
    {0xFB03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x46, 0x4C}, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x54}, {0x53, 0x74}},
    {0xFB06, {0x53, 0x54}, {0x53, 0x74}},
    {0xFB13, {0x544, 0x546}, {0x544, 0x576}},
    {0xFB14, {0x544, 0x535}, {0x544, 0x565}},
    {0xFB15, {0x544, 0x53B}, {0x544, 0x56B}},
    {0xFB16, {0x54E, 0x546}, {0x54E, 0x576}},
    {0xFB17, {0x544, 0x53D}, {0x544, 0x56D}},
};
/* clang-format on */

static void put(struct buf *to, int32_t c)
{
    char bytes[4];
    buf_add(to, str_span(bytes, utf8_put(bytes, (uint32_t)c)));
}

static const struct special *find_special(int32_t c)
{
    size_t low = 0, high = sizeof specials / sizeof *specials;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (specials[mid].from == c) return &specials[mid];
        if (specials[mid].from < c)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void put_upper(struct buf *to, int32_t c, bool title)
{
    if (c < 0x80) {
        buf_add_char(to, (char)(c >= 'a' && c <= 'z' ? c - 32 : c));
        return;
    }
    if (c >= 0x1F80 && c <= 0x1FAF) { /* vowel with breathing and a subscript iota */
        int32_t capital = (c & 0xFF) < 0x90 ? 0x1F08 : (c & 0xFF) < 0xA0 ? 0x1F28 : 0x1F68;
        if (title) {
            put(to, (c & ~0xF) | 8 | (c & 7));
        } else {
            put(to, capital | (c & 7));
            put(to, 0x399);
        }
        return;
    }
    const struct special *s = find_special(c);
    if (s == NULL) {
        put(to, title ? utf8proc_totitle(c) : utf8proc_toupper(c));
        return;
    }
    const uint16_t *into = title ? s->title : s->upper;
    for (int i = 0; i < 3 && into[i]; i++) put(to, into[i]);
}

static bool is_case_ignorable(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019;
    }
}

static bool is_cased(int32_t c)
{
    return text_is_cased_lower(c) || text_is_cased_upper(c) ||
           utf8proc_category(c) == UTF8PROC_CATEGORY_LT;
}

/* U+03A3 is a final sigma when a cased letter stands before it and none after (Unicode 3.13). */
static bool sigma_is_final(str s, size_t at, size_t after)
{
    bool before = false;
    size_t used;

    for (size_t i = at; i > 0; i -= used) {
        int32_t c = text_before(s, i, &used);
        if (is_case_ignorable(c)) continue;
        before = is_cased(c);
        break;
    }
    for (size_t i = after; before && i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        if (is_case_ignorable(c)) continue;
        return !is_cased(c);
    }
    return before;
}

static void put_lower(struct buf *to, str s, size_t at, int32_t c, size_t used)
{
    if (c < 0x80) {
        buf_add_char(to, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    } else if (c == 0x130) {
        put(to, 'i');
        put(to, 0x307);
    } else if (c == 0x3A3) {
        put(to, sigma_is_final(s, at, at + used) ? 0x3C2 : 0x3C3);
    } else {
        put(to, utf8proc_tolower(c));
    }
}

void text_case(struct buf *to, str s, enum text_case how)
{
    bool in_word = false; /* the character before was a cased one */
    size_t used;

    for (size_t i = 0; i < s.len; i += used) {
        int32_t c = text_at(s, i, &used);
        bool raise = how == TEXT_UPPER || (how == TEXT_TITLE && !in_word) ||
                     (how == TEXT_CAPITAL && i == 0) ||
                     (how == TEXT_SWAP && text_is_cased_lower(c));
        bool keep = how == TEXT_SWAP && !text_is_cased_lower(c) && !text_is_cased_upper(c);
        if (keep)
            put(to, c);
        else if (raise)
            put_upper(to, c, how == TEXT_TITLE || how == TEXT_CAPITAL);
        else
            put_lower(to, s, i, c, used);
        if (how == TEXT_TITLE) in_word = is_cased(c);
    }
}

/* ---- stripping ---- */

static bool set_has(str set, int32_t c)
{
    size_t used;
    for (size_t i = 0; i < set.len; i += used)
        if (text_at(set, i, &used) == c) return true;
    return false;
}

static str strip(str s, const str *set, enum text_side side)
{
    size_t from = 0, to = s.len, used;

    while ((side & TEXT_LEFT) && from < to) {
        int32_t c = text_at(s, from, &used);
        if (set ? !set_has(*set, c) : !text_is_space(c)) break;
        from += used;
    }
    while ((side & TEXT_RIGHT) && to > from) {
        int32_t c = text_before(s, to, &used);
        if (set ? !set_has(*set, c) : !text_is_space(c)) break;
        to -= used;
    }
    return (str){s.at + from, to - from};
}

str text_strip(str s, enum text_side side)
{
    return strip(s, NULL, side);
}

str text_strip_set(str s, str set, enum text_side side)
{
    return strip(s, &set, side);
}
