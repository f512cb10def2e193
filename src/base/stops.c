/* Stop strings.  The match that ends first wins, and of those the one that began first, so that
 * what is shown never depends on how the text was cut into pieces. */
#include "base/stops.h"

void stops_init(struct stops *s, const str *at, size_t count)
{
    *s = (struct stops){.at = at, .count = count};
    buf_init(&s->held, SIZE_MAX / 2); /* holds less than a stop string and one piece of text */
}

void stops_fini(struct stops *s)
{
    buf_fini(&s->held);
    *s = (struct stops){0};
}

static size_t find_match(struct stops *s, str text)
{
    size_t begin = STR_NPOS, end = STR_NPOS;

    for (size_t i = 0; i < s->count; i++) {
        size_t at = s->at[i].len ? str_find(text, s->at[i]) : STR_NPOS;
        if (at == STR_NPOS) continue;
        size_t to = at + s->at[i].len;
        if (to > end || (to == end && at > begin)) continue;
        begin = at;
        end = to;
        s->met = &s->at[i];
    }
    return begin;
}

/* How long an end of `text` is the beginning of some stop string. */
static size_t could_become(const struct stops *s, str text)
{
    size_t longest = 0;

    for (size_t i = 0; i < s->count; i++) {
        str stop = s->at[i];
        size_t n = stop.len ? stop.len - 1 : 0;
        if (n > text.len) n = text.len;
        while (n > longest && !str_eq(str_head(stop, n), str_tail(text, text.len - n))) n--;
        if (n > longest) longest = n;
    }
    return longest;
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
    size_t at = find_match(s, have);
    bool met = at != STR_NPOS;
    size_t shown = met ? at : have.len - could_become(s, have);
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
