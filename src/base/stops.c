/* Stop strings.  The match that ends first wins, and of those the one that began first, so that
 * what is shown never depends on how the text was cut into pieces.
 *
 * A client may give a hundred thousand of them.  They are sorted, so that those that begin as the
 * text does at some place are neighbours: each byte of the text narrows their range by a binary
 * search, and most places end at the first byte. */
#include "base/stops.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 };

static int compare(const void *a, const void *b)
{
    const str *x = *(const str *const *)a, *y = *(const str *const *)b;
    int order = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);

    if (order) return order;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    return x < y ? -1 : x > y;
}

void stops_init(struct stops *s, const str *at, size_t count)
{
    size_t begun = 0;

    *s = (struct stops){.at = at, .count = count};
    buf_init(&s->held, SIZE_MAX / 2); /* holds less than a stop string and one piece of text */
    if (count == 0) return;
    s->sorted = malloc(count * sizeof *s->sorted);
    s->from = malloc((BYTES + 1) * sizeof *s->from);
    if (!s->sorted || !s->from) {
        s->held.bad = true; /* stops_add tells */
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (at[i].len) s->sorted[s->sorted_count++] = &at[i];
    qsort(s->sorted, s->sorted_count, sizeof *s->sorted, compare);
    for (size_t i = 0; i < s->sorted_count; i++)
        while (begun <= (unsigned char)s->sorted[i]->at[0]) s->from[begun++] = i;
    while (begun <= BYTES) s->from[begun++] = s->sorted_count;
}

void stops_fini(struct stops *s)
{
    buf_fini(&s->held);
    free(s->sorted);
    free(s->from);
    *s = (struct stops){0};
}

/* Of lo..hi, which agree up to `depth` and are longer, the first whose byte there is not below
 * `byte`. */
static size_t bound(const struct stops *s, size_t lo, size_t hi, size_t depth, unsigned byte)
{
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if ((unsigned char)s->sorted[middle]->at[depth] < byte)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* What stands at the begin of `text`: the shortest stop string, or NULL; *open: none yet, but more
 * text could make it one. */
static const str *match(const struct stops *s, str text, bool *open)
{
    unsigned first = (unsigned char)text.at[0];
    size_t lo = s->from[first], hi = s->from[first + 1], depth = 1;

    for (; lo < hi; depth++) {
        const str *shortest = s->sorted[lo];
        if (shortest->len == depth) return shortest;
        if (depth == text.len) break;
        if (hi - lo == 1) {
            size_t n = shortest->len < text.len ? shortest->len : text.len;
            if (memcmp(shortest->at + depth, text.at + depth, n - depth) != 0) return NULL;
            if (n == shortest->len) return shortest;
            break;
        }
        unsigned byte = (unsigned char)text.at[depth];
        lo = bound(s, lo, hi, depth, byte);
        hi = bound(s, lo, hi, depth, byte + 1);
    }
    *open = lo < hi;
    return NULL;
}

/* The bytes of `text` that can be shown; s->met is set when a stop string is behind them. */
static size_t shown_of(struct stops *s, str text)
{
    size_t begin = text.len, end = STR_NPOS;

    for (size_t i = 0; i < text.len && i < end; i++) {
        bool open = false;
        const str *stop = match(s, str_tail(text, i), &open);
        if (open && !s->met && i < begin) begin = i;
        if (stop == NULL || i + stop->len >= end) continue;
        begin = i;
        end = i + stop->len;
        s->met = stop;
    }
    return begin;
}

bool stops_add(struct stops *s, str text, struct buf *out)
{
    if (s->count == 0) {
        buf_add(out, text);
        return false;
    }
    buf_add(&s->held, text);
    if (s->held.bad) { /* out of memory shows where the caller looks for it */
        out->bad = true;
        return false;
    }
    str have = buf_str(&s->held);
    size_t shown = shown_of(s, have);
    bool met = s->met != NULL;
    buf_add(out, str_head(have, shown));
    if (met)
        buf_clear(&s->held);
    else
        buf_drop(&s->held, shown);
    return met;
}

void stops_end(struct stops *s, struct buf *out)
{
    buf_add(out, buf_str(&s->held));
    buf_clear(&s->held);
}
