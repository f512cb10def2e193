/* SentencePiece vocabularies: tokenizer.model, and what GGUF files keep of one (vocab_gguf.c). */
#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/vocab_parts.h"

static const str low_line = {"\xE2\x96\x81", 3}; /* U+2581 stands for a blank */

/* ---- building ---- */

struct ranked {
    float score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    float x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;
    int32_t id_x = ((const struct ranked *)a)->id, id_y = ((const struct ranked *)b)->id;
    return x < y ? 1 : x > y ? -1 : id_x < id_y ? -1 : id_x > id_y;
}

/* Scores become ranks, equal ones the same: the encoder then takes the leftmost, as SentencePiece
 * does. */
static enum err ranks_make(struct vocab *v, const struct vocab_pieces *p)
{
    uint32_t *rank = arena_array(&v->arena, uint32_t, (size_t)v->tokens.size);
    struct ranked *order = calloc(p->count, sizeof *order);
    size_t joined = 0;
    uint32_t at = 0;

    if (rank == NULL || order == NULL) {
        free(order);
        return ERR_MEMORY;
    }
    for (int32_t i = 0; i < v->tokens.size; i++) rank[i] = UINT32_MAX;
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i].type != PIECE_NORMAL && p->at[i].type != PIECE_USER_DEFINED) continue;
        float score = p->at[i].score;
        order[joined++] = (struct ranked){isnan(score) ? -INFINITY : score, (int32_t)i};
    }
    qsort(order, joined, sizeof *order, by_score);
    for (size_t i = 0; i < joined; i++) {
        if (i > 0 && (p->ties_by_id || order[i].score != order[i - 1].score)) at++;
        rank[order[i].id] = at;
    }
    free(order);
    v->bpe.score_rank = rank;
    return ERR_NONE;
}

/* Control and unknown pieces can be named but never come out of ordinary text. */
static bool findable(enum vocab_piece_type type)
{
    return type != PIECE_CONTROL && type != PIECE_UNKNOWN && type != PIECE_UNUSED;
}

static enum err tokens_make(struct vocab *v, const struct vocab_pieces *p,
                            const struct vocab_extras *x, struct err_note *why)
{
    int64_t id_max = (int64_t)p->count - 1;
    size_t bytes = 0, all = p->count;
    int32_t size;

    for (size_t i = 0; i < p->count; i++) {
        if (!utf8_valid(p->at[i].text))
            return err_set(why, ERR_MODEL_UNUSABLE, "token %zu is not UTF-8", i);
        bytes += p->at[i].text.len;
    }
    if (p->count == 0) return err_set(why, ERR_MODEL_UNUSABLE, "the vocabulary is empty");
    vocab_extras_room(x, &all, &id_max);
    if (!tokens_size_fits(id_max, all, &size))
        return err_set(why, ERR_MODEL_UNUSABLE, "token ids reach far beyond the number of tokens");
    enum err e = tokens_init(&v->tokens, &v->arena, p->count, bytes, size);
    for (size_t i = 0; !e && i < p->count; i++) {
        if (findable(p->at[i].type)) {
            tokens_put(&v->tokens, p->at[i].text, (int32_t)i);
        } else {
            str kept = arena_str(&v->arena, p->at[i].text);
            if (kept.at == NULL) return ERR_MEMORY;
            tokens_name(&v->tokens, kept, (int32_t)i);
            if (p->at[i].type == PIECE_UNKNOWN) v->bpe.unk = (int32_t)i;
        }
    }
    return e;
}

enum err vocab_spm_added(struct vocab *v, const struct vocab_pieces *p, struct vocab_extras *x)
{
    enum err e = ERR_NONE;

    for (size_t i = 0; !e && i < p->count; i++) {
        const struct vocab_piece *piece = &p->at[i];
        bool special = piece->type == PIECE_CONTROL || piece->type == PIECE_UNKNOWN;
        if (!special && piece->type != PIECE_USER_DEFINED) continue;
        if (piece->text.len > ADDED_BYTES_MAX) continue;
        e = vocab_extras_put(
            v, x, (struct added_token){.text = piece->text, .id = (int32_t)i, .special = special});
    }
    return e;
}

enum err vocab_spm_build(struct vocab *v, const struct vocab_pieces *p, struct vocab_extras *x,
                         struct err_note *why)
{
    struct vocab_extras none = {0};

    v->bpe.tokens = &v->tokens;
    v->bpe.unk = -1;
    v->bpe.fuse_unk = true;
    v->bpe.byte_fallback = true;
    enum err e = tokens_make(v, p, x, why);
    if (!e) bpe_bytes_find(&v->bpe);
    if (!e) e = ranks_make(v, p);
    if (!e) e = vocab_spm_added(v, p, x);
    if (!e) e = vocab_extras_add(v, &none, x, why);
    if (!e && p->squeeze) e = normal_add_squeeze(&v->normal, &v->arena);
    if (!e && p->prefix) e = normal_add_prepend(&v->normal, &v->arena, low_line);
    if (!e) e = normal_add_replace(&v->normal, &v->arena, STR(" "), low_line);
    return e ? e : decoder_sentence(&v->decoder, &v->arena, p->prefix);
}

/* ---- tokenizer.model: sentencepiece_model.proto ---- */

struct proto { /* once a read does not fit, `bad` sticks */
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t proto_varint(struct proto *p)
{
    uint64_t n = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        if (p->at == p->end) break;
        uint8_t byte = *p->at++;
        n |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return n;
    }
    p->bad = true;
    return 0;
}

static const uint8_t *proto_take(struct proto *p, uint64_t bytes)
{
    p->bad = p->bad || bytes > (uint64_t)(p->end - p->at);
    if (p->bad) return NULL;
    p->at += bytes;
    return p->at - bytes;
}

struct field {
    uint32_t number;
    uint64_t varint;
    str bytes; /* of a string or message */
    float number_f32;
};

/* The next field of a message; false at its end or when it is damaged. */
static bool proto_next(struct proto *p, struct field *f)
{
    if (p->bad || p->at == p->end) return false;
    uint64_t key = proto_varint(p);
    const uint8_t *fixed;

    *f = (struct field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case 0: f->varint = proto_varint(p); break;
    case 1: (void)proto_take(p, 8); break;
    case 2:
        f->bytes.len = proto_varint(p);
        f->bytes.at = (const char *)proto_take(p, f->bytes.len);
        break;
    case 5:
        fixed = proto_take(p, 4);
        if (fixed) memcpy(&f->number_f32, fixed, 4);
        break;
    default: p->bad = true;
    }
    return !p->bad;
}

static struct proto proto_of(str bytes)
{
    return (struct proto){(const uint8_t *)bytes.at, (const uint8_t *)bytes.at + bytes.len, false};
}

struct model {          /* what the file says beside its pieces */
    uint64_t algorithm; /* 1 unigram, 2 BPE */
    str rule;           /* name of the normalization rule */
    uint64_t bos, eos;
};

/* SentencePiece { piece = 1, score = 2, type = 3 } */
static bool read_piece(str message, struct vocab_piece *piece)
{
    struct proto p = proto_of(message);
    struct field f;

    *piece = (struct vocab_piece){.text = STR(""), .type = PIECE_NORMAL};
    while (proto_next(&p, &f)) {
        if (f.number == 1 && f.bytes.at) piece->text = f.bytes;
        if (f.number == 2) piece->score = f.number_f32;
        if (f.number == 3)
            piece->type = f.varint <= PIECE_BYTE ? (enum vocab_piece_type)f.varint : 0;
    }
    return !p.bad && piece->type != 0;
}

/* TrainerSpec { model_type = 3, bos_id = 41, eos_id = 42 } */
static bool read_trainer(str message, struct model *m)
{
    struct proto p = proto_of(message);
    struct field f;

    while (proto_next(&p, &f)) {
        if (f.number == 3) m->algorithm = f.varint;
        if (f.number == 41) m->bos = f.varint;
        if (f.number == 42) m->eos = f.varint;
    }
    return !p.bad;
}

/* NormalizerSpec { name = 1, add_dummy_prefix = 3, remove_extra_whitespaces = 4 }, both true by
 * default */
static bool read_normalizer(str message, struct model *m, struct vocab_pieces *out)
{
    struct proto p = proto_of(message);
    struct field f;

    while (proto_next(&p, &f)) {
        if (f.number == 1 && f.bytes.at) m->rule = f.bytes;
        if (f.number == 3) out->prefix = f.varint != 0;
        if (f.number == 4) out->squeeze = f.varint != 0;
    }
    return !p.bad;
}

static enum err model_read(struct vocab *v, str bytes, struct model *m, struct vocab_pieces *out,
                           struct err_note *why)
{
    struct proto p = proto_of(bytes);
    struct field f;
    size_t count = 0;
    bool good = true;

    while (proto_next(&p, &f)) count += f.number == 1;
    out->at = count <= TOKENS_MAX ? arena_array(&v->arena, struct vocab_piece, count) : NULL;
    if (out->at == NULL) return ERR_MEMORY;
    p = proto_of(bytes);
    while (good && proto_next(&p, &f)) {
        if (f.number == 1) good = f.bytes.at && read_piece(f.bytes, &out->at[out->count++]);
        if (f.number == 2) good = f.bytes.at && read_trainer(f.bytes, m);
        if (f.number == 3) good = f.bytes.at && read_normalizer(f.bytes, m, out);
    }
    if (!good || p.bad)
        return err_set(why, ERR_MODEL_UNUSABLE, "damaged near piece %zu", out->count);
    if (m->algorithm != 2)
        return err_set(why, ERR_MODEL_UNUSABLE,
                       "only vocabularies of byte pair encoding are supported");
    if (m->rule.len && !str_eq(m->rule, STR("identity")))
        return refuse_kind(why, "normalization rule", m->rule);
    return ERR_NONE;
}

/* A control token by its role, else by the number in the file. */
static int32_t affix_id(const struct vocab *v, const char *role, uint64_t number)
{
    str text = vocab_role(v, role);
    int32_t id = text.len ? vocab_find(v, text) : -1;

    if (id < 0 && number < (uint64_t)v->tokens.size) id = (int32_t)number;
    return id;
}

enum err vocab_spm_read(struct vocab *v, struct files *f, str proto, struct err_note *why)
{
    struct model m = {.algorithm = 1, .bos = 1, .eos = 2};
    struct vocab_pieces pieces = {.prefix = true, .squeeze = true};
    struct vocab_extras x;

    enum err e = vocab_extras_read(v, f, &x, why);
    if (e) return e;
    e = model_read(v, proto, &m, &pieces, why);
    if (!e) e = vocab_spm_build(v, &pieces, &x, why);
    if (e) return err_context(why, e, "tokenizer.model");
    int32_t bos = affix_id(v, "bos_token", m.bos), eos = affix_id(v, "eos_token", m.eos);
    if (vocab_has(v, bos)) vocab_extras_role(v, STR("bos_token"), v->tokens.text[bos]);
    if (vocab_has(v, eos)) vocab_extras_role(v, STR("eos_token"), v->tokens.text[eos]);
    vocab_affixes(v, x.add_bos == 0 ? -1 : bos, x.add_eos == 1 ? eos : -1);
    return ERR_NONE;
}
