#include "base/base64.h"

#include <stdint.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *to, str bytes)
{
    char *out = buf_room(to, (bytes.len + 2) / 3 * 4);
    size_t n = 0;

    if (out == NULL) return;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < have ? (unsigned char)bytes.at[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) out[n++] = k <= have ? letters[v >> (18 - 6 * k) & 63] : '=';
    }
    buf_grew(to, n);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct buf *to, str text)
{
    if (text.len && text.len % 4 == 0) /* at most two signs of padding */
        for (int i = 0; i < 2 && text.at[text.len - 1] == '='; i++) text.len--;
    if (text.len % 4 == 1) return false;
    char *out = buf_room(to, text.len / 4 * 3 + 3);
    size_t n = 0, bits = 0;
    uint32_t v = 0;
    if (out == NULL) return false;
    for (size_t i = 0; i < text.len; i++) {
        int d = value_of(text.at[i]);
        if (d < 0) return false;
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(v >> bits & 0xFF);
        }
    }
    buf_grew(to, n);
    return true;
}
