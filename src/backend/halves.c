#include "backend/halves.h"

#include "base/utf8.h"

#define REPLACEMENT STR("\xEF\xBF\xBD")

/* Where the next half is; its three bytes are there.  STR_NPOS: none. */
static size_t find_half(str s)
{
    for (size_t from = 0; from + 2 < s.len;) {
        const char *p = memchr(s.at + from, 0xED, s.len - from - 2);
        if (p == NULL) return STR_NPOS;
        if ((unsigned char)p[1] >= 0xA0) return (size_t)(p - s.at);
        from = (size_t)(p - s.at) + 1;
    }
    return STR_NPOS;
}

static bool is_high(const char *half)
{
    return (unsigned char)half[1] < 0xB0;
}

static uint32_t bits_of(const char *half)
{
    return (uint32_t)((unsigned char)half[1] & 0x0F) << 6 | ((unsigned char)half[2] & 0x3F);
}

static void take_half(struct halves *h, const char *half, struct buf *to)
{
    char character[4];

    if (h->high[0] && !is_high(half)) {
        size_t n = utf8_put(character, 0x10000 + (bits_of(h->high) << 10 | bits_of(half)));
        buf_add(to, str_span(character, n));
        h->high[0] = 0;
        return;
    }
    if (h->high[0]) buf_add(to, REPLACEMENT);
    h->high[0] = 0;
    if (is_high(half))
        memcpy(h->high, half, 3);
    else
        buf_add(to, REPLACEMENT);
}

str halves_join(struct halves *h, str in, struct buf *room)
{
    size_t at = find_half(in);

    if (at == STR_NPOS && !h->high[0]) return in;
    buf_clear(room);
    while (in.len) {
        str plain = str_head(in, at);
        if (plain.len) {
            if (h->high[0]) buf_add(room, REPLACEMENT);
            h->high[0] = 0;
            utf8_add_repaired(room, plain);
        }
        if (at == STR_NPOS) break;
        take_half(h, in.at + at, room);
        in = str_tail(in, at + 3);
        at = find_half(in);
    }
    if (room->bad) return STR_NONE;
    return room->len ? buf_str(room) : STR("");
}

str halves_end(struct halves *h)
{
    bool alone = h->high[0] != 0;

    h->high[0] = 0;
    return alone ? REPLACEMENT : STR("");
}
