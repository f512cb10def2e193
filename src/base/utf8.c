#include "base/utf8.h"

int32_t utf8_next(str s, size_t *used)
{
    const unsigned char *p = (const unsigned char *)s.at;
    unsigned char first = p[0];
    unsigned low = 0x80, high = 0xBF; /* bounds of the second byte, Unicode table 3-7 */
    size_t need;
    uint32_t cp;

    *used = 1;
    if (first < 0x80) return first;
    if (first >= 0xC2 && first <= 0xDF) {
        need = 1, cp = first & 0x1F;
    } else if (first >= 0xE0 && first <= 0xEF) {
        need = 2, cp = first & 0x0F;
        if (first == 0xE0) low = 0xA0;
        if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        need = 3, cp = first & 0x07;
        if (first == 0xF0) low = 0x90;
        if (first == 0xF4) high = 0x8F;
    } else {
        return -1;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= s.len || p[i] < low || p[i] > high) return -1;
        cp = cp << 6 | (p[i] & 0x3F);
        low = 0x80, high = 0xBF;
        *used = i + 1;
    }
    return (int32_t)cp;
}

bool utf8_valid(str s)
{
    while (s.len > 0) {
        size_t used = 0;

        /* Most text is ASCII: eight bytes at a time as long as it lasts. */
        while (s.len >= 8) {
            uint64_t word;
            memcpy(&word, s.at, 8);
            if (word & UINT64_C(0x8080808080808080)) break;
            s = str_tail(s, 8);
        }
        if (s.len == 0) break;
        if (utf8_next(s, &used) < 0) return false;
        s = str_tail(s, used);
    }
    return true;
}

size_t utf8_count(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.at[i] & 0xC0) != 0x80;
    return n;
}

size_t utf8_bytes_of(str s, size_t n)
{
    size_t i = 0;
    for (; i < s.len; i++)
        if (((unsigned char)s.at[i] & 0xC0) != 0x80 && n-- == 0) break;
    return i;
}

size_t utf8_put(char out[4], uint32_t cp)
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

size_t utf8_partial(str s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        unsigned char c = (unsigned char)s.at[s.len - back];
        if ((c & 0xC0) == 0x80) continue;
        size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        if (need <= back) return 0;
        /* A start that can no longer become a character is bad, not partial. */
        size_t used;
        str tail = str_tail(s, s.len - back);
        return utf8_next(tail, &used) < 0 && used == back ? back : 0;
    }
    return 0;
}

void utf8_add_repaired(struct buf *to, str s)
{
    while (s.len > 0) {
        size_t used;
        if (utf8_next(s, &used) < 0)
            buf_add(to, STR("\xEF\xBF\xBD"));
        else
            buf_add(to, str_head(s, used));
        s = str_tail(s, used);
    }
}
