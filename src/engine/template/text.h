/* Characters as Python's strings see them: white space, case, what repr prints as it is. */
#ifndef SEMA_ENGINE_TEMPLATE_TEXT_H
#define SEMA_ENGINE_TEMPLATE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* vocab_guard's marker: it must outlive repr and ASCII-only JSON, or a guarded text could be
 * spelled there without it. */
enum { TEXT_MARKER = 0x10F7A3 };

bool text_is_space(int32_t c); /* str.isspace */
bool text_is_printable(int32_t c);
bool text_is_alpha(int32_t c);
bool text_is_digit(int32_t c);
bool text_is_cased_upper(int32_t c);
bool text_is_cased_lower(int32_t c);

enum text_case { TEXT_UPPER, TEXT_LOWER, TEXT_TITLE, TEXT_CAPITAL, TEXT_SWAP };
/* The full mappings (one character may become three), the Greek final sigma included. */
void text_case(struct buf *to, str s, enum text_case how);

enum text_side { TEXT_LEFT = 1, TEXT_RIGHT = 2, TEXT_BOTH = 3 };
str text_strip(str s, enum text_side side);              /* white space */
str text_strip_set(str s, str set, enum text_side side); /* any of the characters of `set` */

/* The code point that begins at byte `at` of valid text, and its bytes. */
int32_t text_at(str s, size_t at, size_t *used);
int32_t text_before(str s, size_t end, size_t *used); /* the one that ends there */

#endif
