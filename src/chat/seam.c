#include "chat/seam.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

str seam_prefill(const struct seam *s)
{
    str text = str_head(buf_str(s->shown), s->shown_bytes);

    while (text.len && is_space(text.at[text.len - 1])) text.len--;
    return text;
}

void seam_init(struct seam *s, const struct buf *shown)
{
    *s = (struct seam){.shown = shown, .shown_bytes = shown->len};
    s->space = seam_prefill(s).len;
    s->joined = shown->len == 0;
}

/* The text goes on: without what of the white space is there already. */
static void go_on(struct seam *s, str piece, struct buf *out)
{
    const char *shown = s->shown->at;

    while (s->skipping && piece.len && s->space < s->shown_bytes &&
           piece.at[0] == shown[s->space]) {
        piece = str_tail(piece, 1);
        s->space++;
    }
    if (piece.len) s->skipping = false;
    buf_add(out, piece);
}

/* It departs from what was shown: chance, or a model that starts over in other words. */
static bool depart(struct seam *s, struct buf *out)
{
    if (s->same >= SEAM_SAME_BYTES_MIN) return false;
    s->joined = s->skipping = true;
    go_on(s, str_span(s->shown->at, s->same), out);
    return true;
}

bool seam_add(struct seam *s, str piece, struct buf *out)
{
    if (!s->joined) {
        const char *shown = s->shown->at;
        while (piece.len && s->same < s->shown_bytes && piece.at[0] == shown[s->same]) {
            piece = str_tail(piece, 1);
            s->same++;
        }
        if (s->same == s->shown_bytes)
            s->joined = true;
        else if (piece.len && !depart(s, out))
            return false;
    }
    if (s->joined) go_on(s, piece, out);
    return true;
}

bool seam_end(struct seam *s, struct buf *out)
{
    return s->joined || depart(s, out);
}
