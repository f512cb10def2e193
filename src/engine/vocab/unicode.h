/* What kind of character a code point is, by our own tables of Unicode 16: the installed libraries
 * may know an older Unicode, and then a tokenizer would split text where its model never saw a
 * split. */
#ifndef SEMA_ENGINE_VOCAB_UNICODE_H
#define SEMA_ENGINE_VOCAB_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { /* a code point has one of the first nine or none, and any of the others; see
          tools/unicode-table */
       UNICODE_LU = 1 << 0,
       UNICODE_LL = 1 << 1,
       UNICODE_LT = 1 << 2,
       UNICODE_LM = 1 << 3,
       UNICODE_LO = 1 << 4,
       UNICODE_M = 1 << 5,
       UNICODE_N = 1 << 6,
       UNICODE_P = 1 << 7,
       UNICODE_S = 1 << 8,
       UNICODE_SPACE = 1 << 9,  /* White_Space: 25 code points */
       UNICODE_DIGIT = 1 << 10, /* Nd */
       UNICODE_WORD = 1 << 11,  /* \w: alphabetic, mark, decimal digit, connector or joiner */
       UNICODE_ONIG_WORD =
           1 << 12, /* \w in patterns: without joiners, with the numbers of Latin-1 */
       UNICODE_L = UNICODE_LU | UNICODE_LL | UNICODE_LT | UNICODE_LM | UNICODE_LO,
};

unsigned unicode_kind(uint32_t code_point); /* the bits above; 0 beyond U+10FFFF */

/* The next code point of valid UTF-8; *at is inside the text and moves past it.  No checks. */
static inline uint32_t unicode_next(const char *text, size_t *at)
{
    const unsigned char *p = (const unsigned char *)text + *at;

    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *at += 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (p[0] < 0xF0) {
        *at += 3;
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    *at += 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
           (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}

/* Where the character before `at` (> 0) begins. */
static inline size_t unicode_back(const char *text, size_t at)
{
    do at--;
    while (((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

#endif
