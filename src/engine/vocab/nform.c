/* The mappings are utf8proc's.  Its own function for whole texts sorts marks by exchanging
 * neighbours, which a megabyte of marks makes quadratic, so the order of work is ours. */
#include "engine/vocab/nform.h"

#include <stdlib.h>

#include <utf8proc.h>

#include "base/utf8.h"
#include "engine/vocab/unicode.h"

enum { EXPANSION_MAX = 32 }; /* code points that one decomposes to: 18 in Unicode 16 */

static uint32_t class_of(int32_t cp)
{
    return (uint32_t)utf8proc_get_property(cp)->combining_class;
}

static bool room(int32_t **wide, size_t *cap, size_t least)
{
    if (*cap >= least) return true;
    size_t grown = *cap + *cap / 2 > least ? *cap + *cap / 2 : least;
    int32_t *at = realloc(*wide, grown * sizeof *at);
    if (at == NULL) return false;
    *wide = at;
    *cap = grown;
    return true;
}

/* Orders a run of marks by their classes, equal ones as they came: one pass counts, one places. */
static bool run_sort(int32_t *marks, size_t count)
{
    size_t places[257] = {0};
    int32_t small[64], *sorted = small;
    bool ordered = true;

    for (size_t i = 1; ordered && i < count; i++)
        ordered = class_of(marks[i - 1]) <= class_of(marks[i]);
    if (ordered) return true;
    if (count > sizeof small / sizeof *small) sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) return false;
    for (size_t i = 0; i < count; i++) places[class_of(marks[i]) + 1]++;
    for (size_t c = 1; c < 257; c++) places[c] += places[c - 1];
    for (size_t i = 0; i < count; i++) sorted[places[class_of(marks[i])]++] = marks[i];
    memcpy(marks, sorted, count * sizeof *marks);
    if (sorted != small) free(sorted);
    return true;
}

static bool marks_sort(int32_t *cps, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t begin = i;
        while (i < count && class_of(cps[i]) != 0) i++;
        if (i - begin > 1 && !run_sort(cps + begin, i - begin)) return false;
        if (i == begin) i++;
    }
    return true;
}

/* U+11A7 stands one before the first trailing consonant of Hangul and composes with nothing;
 * utf8proc 2.8 takes it for one, so the text is composed on both sides of it. */
static size_t composed(int32_t *cps, size_t count)
{
    size_t made = 0;

    for (size_t i = 0; i <= count;) {
        size_t end = i;
        while (end < count && cps[end] != 0x11A7) end++;
        utf8proc_ssize_t n = utf8proc_normalize_utf32(cps + i, (utf8proc_ssize_t)(end - i),
                                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (n < 0) n = (utf8proc_ssize_t)(end - i); /* not for valid code points */
        memmove(cps + made, cps + i, (size_t)n * sizeof *cps);
        made += (size_t)n;
        if (end < count) cps[made++] = 0x11A7;
        i = end + 1;
    }
    return made;
}

static enum err part_add(enum nform form, str text, struct buf *out, int32_t **wide,
                         size_t *wide_cap)
{
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    size_t count = 0;

    if (form == NFORM_KC || form == NFORM_KD) options |= UTF8PROC_COMPAT;
    for (size_t at = 0; at < text.len;) {
        int32_t cp = (int32_t)unicode_next(text.at, &at);
        int boundary = 0;
        if (!room(wide, wide_cap, count + EXPANSION_MAX)) return ERR_MEMORY;
        utf8proc_ssize_t n =
            utf8proc_decompose_char(cp, *wide + count, EXPANSION_MAX, options, &boundary);
        if (n < 0 || n > EXPANSION_MAX) {
            (*wide)[count] = cp;
            n = 1;
        }
        count += (size_t)n;
    }
    if (!marks_sort(*wide, count)) return ERR_MEMORY;
    if (form == NFORM_C || form == NFORM_KC) count = composed(*wide, count);
    for (size_t i = 0; i < count && !out->bad; i++) {
        char bytes[4];
        buf_add(out, (str){bytes, utf8_put(bytes, (uint32_t)(*wide)[i])});
    }
    return ERR_NONE;
}

/* Characters below `plain` are starters that the form leaves alone, unless a mark follows. */
enum err nform_add(enum nform form, str text, struct buf *out, int32_t **wide, size_t *wide_cap)
{
    uint32_t plain = form == NFORM_C ? 0x300 : 0x80;
    size_t done = 0, last = 0; /* what was added; where the character before `at` begins */
    enum err e = ERR_NONE;

    for (size_t at = 0; !e && at < text.len;) {
        size_t here = at;
        if (unicode_next(text.at, &at) < plain) {
            last = here;
            continue;
        }
        buf_add(out, (str){text.at + done, last - done});
        size_t end = at;
        while (end < text.len) {
            size_t next = end;
            if (unicode_next(text.at, &next) < plain) break;
            end = next;
        }
        e = part_add(form, (str){text.at + last, end - last}, out, wide, wide_cap);
        done = last = at = end;
    }
    if (!e) buf_add(out, str_tail(text, done));
    return e;
}
