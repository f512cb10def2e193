/* UTF-8, RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF. */
#ifndef SEMA_BASE_UTF8_H
#define SEMA_BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

bool utf8_valid(str s);
size_t utf8_count(str s); /* code points of valid text */

/* The bytes that make up the first n code points of valid text. */
size_t utf8_bytes_of(str s, size_t n);

/* One code point off the front.  On a bad byte: -1, and *used is the length of the maximal bad part
 * (Unicode 3.9, "substitution of maximal subparts").  s is not empty. */
int32_t utf8_next(str s, size_t *used);

size_t utf8_put(char out[4], uint32_t code_point); /* 1..4 bytes; a surrogate gives U+FFFD */

/* How many trailing bytes are the start of a character that is not complete yet: 0..3. */
size_t utf8_partial(str s);

/* Adds s with U+FFFD for every maximal bad part. */
void utf8_add_repaired(struct buf *to, str s);

#endif
