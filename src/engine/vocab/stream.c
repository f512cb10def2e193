/* Tokens to text: whole, as the reference's decoder gives it, and one by one. */
#include "base/utf8.h"
#include "engine/vocab/vocab_parts.h"

enum {
    DECODE_GROWTH_MAX = 16, /* a text, times the texts of its tokens ... */
    DECODE_BASE = 1 << 20,  /* ... plus this */
};

enum err vocab_decode(const struct vocab *v, const int32_t *ids, size_t count, bool skip_special,
                      struct buf *out)
{
    struct pieces tokens, other;

    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (vocab_has(v, ids[i])) bytes += v->tokens.text[ids[i]].len;
    pieces_init(&tokens, bytes * DECODE_GROWTH_MAX + DECODE_BASE);
    pieces_init(&other, bytes * DECODE_GROWTH_MAX + DECODE_BASE);
    for (size_t i = 0; i < count; i++)
        if (vocab_has(v, ids[i]) && !(skip_special && v->facts[ids[i]].shown_special))
            pieces_add(&tokens, v->tokens.text[ids[i]], i == 0);
    enum err e = pieces_err(&tokens);
    if (!e) e = decoder_run(&v->decoder, &tokens, &other, out);
    pieces_fini(&tokens);
    pieces_fini(&other);
    return e;
}

void vocab_stream_init(struct vocab_stream *s, const struct vocab *v, bool skip_special)
{
    *s = (struct vocab_stream){.v = v, .skip_special = skip_special};
}

void vocab_stream_mid(struct vocab_stream *s)
{
    s->begun = true;
}

/* What the decoder takes off the beginning of a text: a prefix that was added when encoding. */
static str lead_dropped(struct vocab_stream *s, str text, int32_t id)
{
    const struct decoder *d = &s->v->decoder;

    if (d->lead_token.len) { /* every mark of the first token: they are blanks in its bytes */
        s->begun = true;
        size_t marks = 0;
        str token = s->v->tokens.text[id];
        while (str_starts(token, d->lead_token)) {
            token = str_tail(token, d->lead_token.len);
            marks++;
        }
        return str_tail(text, marks);
    }
    while (text.len && s->lead_dropped < d->lead_max && text.at[0] == d->lead_byte) {
        text = str_tail(text, 1);
        s->lead_dropped++;
    }
    if (text.len || s->lead_dropped >= d->lead_max) s->begun = true;
    return text;
}

/* Complete characters leave; the start of one stays, at most three bytes.  A bad part becomes
 * U+FFFD: one for the part, or one for each byte where bytes are tokens of their own. */
static void held_flush(struct vocab_stream *s, bool end, struct buf *out)
{
    str held = {(const char *)s->held, s->held_len};
    size_t keep = end ? 0 : utf8_partial(held);

    while (held.len > keep) {
        size_t used;
        if (utf8_next(held, &used) >= 0) {
            buf_add(out, str_head(held, used));
        } else {
            if (s->v->decoder.byte_fallback) used = 1;
            buf_add(out, STR("\xEF\xBF\xBD"));
        }
        held = str_tail(held, used);
    }
    memmove(s->held, held.at, held.len);
    s->held_len = (uint8_t)held.len;
}

static void bytes_add(struct vocab_stream *s, str bytes, struct buf *out)
{
    while (bytes.len) {
        size_t room = sizeof s->held - s->held_len;
        str now = str_head(bytes, room);
        memcpy(s->held + s->held_len, now.at, now.len);
        s->held_len = (uint8_t)(s->held_len + now.len);
        bytes = str_tail(bytes, now.len);
        held_flush(s, false, out);
    }
}

void vocab_stream_add(struct vocab_stream *s, int32_t id, struct buf *out)
{
    const struct vocab *v = s->v;
    struct buf special = {0};

    if (!vocab_has(v, id) || (s->skip_special && v->facts[id].special)) return;
    str bytes = vocab_bytes(v, id);
    if (v->facts[id].special) {
        bool byte;
        buf_init(&special, ADDED_BYTES_MAX * 4);
        decoder_token(&v->decoder, v->tokens.text[id], &special, &byte);
        bytes = buf_str(&special);
    }
    if (!s->begun) bytes = lead_dropped(s, bytes, id);
    /* A piece is whole characters: what byte tokens left unfinished can no longer be completed. */
    if (v->decoder.byte_fallback && !v->facts[id].byte) held_flush(s, true, out);
    bytes_add(s, bytes, out);
    buf_fini(&special);
}

void vocab_stream_end(struct vocab_stream *s, struct buf *out)
{
    held_flush(s, true, out);
}
