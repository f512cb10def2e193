/* Text to tokens: added tokens, normalizer, added tokens in normalized text, pieces, model, affixes
 * (local-models.md section 4, "Order of work"). */
#include "base/utf8.h"
#include "engine/vocab/vocab_parts.h"

enum {
    ENCODE_BYTES_MAX = 1 << 24,   /* of a text: more tokens than any context holds */
    ENCODE_GROWTH = 4,            /* normalized text at most, times the original ... */
    ENCODE_GROWTH_BASE = 1 << 20, /* ... plus this */
};

struct encoding {
    const struct vocab *v;
    struct pattern_work pattern;
    struct normal_work normal;
    struct split_work split;
    struct bpe_work bpe;
    struct buf unmarked;
    bool markers;
    struct ids *out;
    struct err_note *why;
};

/* Ordinary text, as the pre-tokenizers see it. */
static enum err text_encode(struct encoding *c, str text, bool first)
{
    struct pieces *pieces;

    if (c->markers && str_find(text, STR(ADDED_MARKER)) != STR_NPOS) {
        buf_clear(&c->unmarked);
        added_unmark(text, &c->unmarked);
        if (c->unmarked.bad) return ERR_MEMORY;
        text = buf_str(&c->unmarked);
    }
    if (c->v->split.count == 0) return bpe_encode(&c->v->bpe, &c->bpe, text, c->out);
    enum err e = split_run(&c->v->split, &c->split, text, first, &pieces, c->why);
    for (size_t i = 0; !e && i < pieces->count; i++)
        e = bpe_encode(&c->v->bpe, &c->bpe, pieces_at(pieces, i), c->out);
    return e;
}

/* Text between added tokens. */
static enum err segment_encode(struct encoding *c, str text, bool first)
{
    const struct vocab *v = c->v;
    struct added_scan scan = {.added = &v->added,
                              .trie = &v->added.normalized,
                              .markers = c->markers};
    struct added_found found;
    enum err e = normal_run(&v->normal, &c->normal, text, &scan.text, c->why);

    while (!e && added_next(&scan, &found)) {
        if (found.before.len)
            e = text_encode(c, found.before, first && found.before.at == scan.text.at);
        if (!e && found.token) e = ids_add(c->out, found.token->id);
    }
    return e;
}

static enum err raw_encode(struct encoding *c, str text)
{
    struct added_scan scan = {.added = &c->v->added,
                              .trie = &c->v->added.raw,
                              .text = text,
                              .markers = c->markers};
    struct added_found found;
    enum err e = ERR_NONE;

    while (!e && added_next(&scan, &found)) {
        if (found.before.len) e = segment_encode(c, found.before, found.before.at == text.at);
        if (!e && found.token) e = ids_add(c->out, found.token->id);
        if (!e && c->bpe.stop && *c->bpe.stop) e = ERR_CANCELLED;
    }
    return e;
}

static enum err affix_add(const struct vocab_affix *affix, struct ids *out)
{
    enum err e = ERR_NONE;

    for (int i = 0; !e && i < affix->count; i++) e = ids_add(out, affix->ids[i]);
    return e;
}

enum err vocab_encode(const struct vocab *v, str text, enum vocab_flags flags, struct ids *out,
                      const _Atomic bool *stop, struct err_note *why)
{
    size_t len_before = out->len;
    struct buf repaired = {0};

    if (text.len > ENCODE_BYTES_MAX)
        return err_set(why, ERR_LIMIT, "the text has more than %d bytes", ENCODE_BYTES_MAX);
    if (!utf8_valid(text)) {
        buf_init(&repaired, ENCODE_BYTES_MAX * 3);
        utf8_add_repaired(&repaired, text);
        if (repaired.bad) return ERR_MEMORY;
        text = buf_str(&repaired);
    }

    struct encoding c = {.v = v, .markers = flags & VOCAB_GUARDED, .out = out, .why = why};
    size_t grown_max = text.len * ENCODE_GROWTH + ENCODE_GROWTH_BASE;
    if (grown_max > BPE_PIECE_BYTES_MAX / 2) grown_max = BPE_PIECE_BYTES_MAX / 2; /* bytes double */
    pattern_work_init(&c.pattern, text.len, stop);
    normal_work_init(&c.normal, grown_max, &c.pattern);
    c.split.pattern = &c.pattern;
    pieces_init(&c.split.one, grown_max * 2);
    pieces_init(&c.split.two, grown_max * 2);
    buf_init(&c.unmarked, grown_max);
    c.bpe.stop = stop;
    enum err e = flags & VOCAB_ADD_SPECIAL ? affix_add(&v->before, out) : ERR_NONE;
    if (!e) e = raw_encode(&c, text);
    if (!e && flags & VOCAB_ADD_SPECIAL) e = affix_add(&v->after, out);
    if (e) out->len = len_before;
    normal_work_fini(&c.normal);
    split_work_fini(&c.split);
    pattern_work_fini(&c.pattern);
    buf_fini(&c.unmarked);
    bpe_work_fini(&c.bpe);
    buf_fini(&repaired);
    return e;
}
