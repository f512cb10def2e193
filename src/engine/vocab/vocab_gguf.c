/* The vocabulary inside a GGUF file (local-models.md section 3). */
#include "base/utf8.h"
#include "engine/format/files.h"
#include "engine/format/gguf.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/unicode.h"
#include "engine/vocab/vocab_parts.h"

struct reading {
    struct vocab *v;
    struct gguf *g;
    struct vocab_pieces pieces;
    struct vocab_extras extras;
    struct err_note *why;
};

static enum err pieces_read(struct reading *r)
{
    struct gguf_array texts, scores = {0}, types = {0};

    if (!gguf_array(r->g, "tokenizer.ggml.tokens", &texts) || texts.type != GGUF_STR)
        return err_set(r->why, ERR_MODEL_UNUSABLE, "no tokenizer.ggml.tokens");
    if (texts.left > TOKENS_MAX) return err_set(r->why, ERR_MODEL_UNUSABLE, "too many tokens");
    gguf_array(r->g, "tokenizer.ggml.scores", &scores);
    gguf_array(r->g, "tokenizer.ggml.token_type", &types);
    r->pieces.at = arena_array(&r->v->arena, struct vocab_piece, (size_t)texts.left);
    if (r->pieces.at == NULL) return ERR_MEMORY;

    struct vocab_piece piece;
    while (gguf_next_str(&texts, &piece.text)) {
        int64_t type = PIECE_NORMAL;
        double score = 0;
        gguf_next_num(&scores, &score);
        gguf_next_int(&types, &type);
        piece.score = (float)score;
        piece.type =
            type >= PIECE_NORMAL && type <= PIECE_BYTE ? (enum vocab_piece_type)type : PIECE_UNUSED;
        if (piece.text.at == NULL) piece.text = STR("");
        r->pieces.at[r->pieces.count++] = piece;
    }
    return ERR_NONE;
}

static bool blank_run(str text)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t cp = unicode_next(text.at, &at);
        if (cp != 0x2581 && !(unicode_kind(cp) & UNICODE_SPACE)) return false;
    }
    return text.len > 0;
}

/* Gemma's runs of blanks are added tokens.  A file made from its tokenizer.json forgets that: it
 * calls them normal and gives them all the score 0, which in a trained vocabulary one piece has at
 * most. */
static void runs_restore(struct reading *r)
{
    size_t found = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < r->pieces.count; i++) {
            struct vocab_piece *piece = &r->pieces.at[i];
            if (piece->type != PIECE_NORMAL || piece->score != 0) continue;
            if (!utf8_valid(piece->text) || !blank_run(piece->text)) continue;
            if (pass == 0)
                found++;
            else if (found > 1)
                piece->type = PIECE_USER_DEFINED;
        }
    }
}

static int32_t token_id(const struct reading *r, const char *key)
{
    int64_t id;

    if (!gguf_int(r->g, key, &id) || id < 0 || id >= (int64_t)r->pieces.count) return -1;
    return (int32_t)id;
}

/* Special tokens are given by number here; roles are texts. */
static void roles_make(struct reading *r)
{
    static const struct {
        const char *key, *role;
    } roles[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token"},
        {"tokenizer.ggml.eos_token_id", "eos_token"},
        {"tokenizer.ggml.eot_token_id", "eot_token"},
        {"tokenizer.ggml.eom_token_id", "eom_token"},
        {"tokenizer.ggml.unknown_token_id", "unk_token"},
        {"tokenizer.ggml.padding_token_id", "pad_token"},
    };

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int32_t id = token_id(r, roles[i].key);
        if (id >= 0) vocab_extras_role(r->v, str_of(roles[i].role), r->pieces.at[id].text);
    }
}

static bool flag(const struct reading *r, const char *key, bool otherwise)
{
    bool value = otherwise;
    gguf_bool(r->g, key, &value);
    return value;
}

static void affixes_make(struct reading *r, bool bos)
{
    vocab_affixes(r->v,
                  flag(r, "tokenizer.ggml.add_bos_token", bos)
                      ? token_id(r, "tokenizer.ggml.bos_token_id")
                      : -1,
                  flag(r, "tokenizer.ggml.add_eos_token", false)
                      ? token_id(r, "tokenizer.ggml.eos_token_id")
                      : -1);
}

/* ---- byte-level ---- */

/* What `tokenizer.ggml.pre` stands for. */
static const struct pre {
    const char *name;
    const char *pattern;
    bool digits; /* each digit is cut off first */
    bool nfc, ignore_merges;
} pres[] = {
    {"default", split_gpt2_pattern, .digits = false},
    {"gpt-2", split_gpt2_pattern, .digits = false},
    {"phi-2", split_gpt2_pattern, .digits = false},
    {"olmo", split_gpt2_pattern, .digits = false},
    {"mpt", split_gpt2_pattern, .digits = false},
    {"smollm", split_gpt2_pattern, .digits = true},
    {"starcoder", split_gpt2_pattern, .digits = true},
    {"llama-bpe", split_llama3_pattern, .ignore_merges = true},
    {"llama3", split_llama3_pattern, .ignore_merges = true},
    {"llama-v3", split_llama3_pattern, .ignore_merges = true},
    {"dbrx", split_llama3_pattern, .digits = false},
    {"qwen2", split_qwen2_pattern, .nfc = true},
    {"deepseek-r1-qwen", split_qwen2_pattern, .nfc = true},
    {"tekken", split_tekken_pattern, .ignore_merges = true},
    {"gpt-4o", split_o200k_pattern, .digits = false},
    {"llama4", split_o200k_pattern, .digits = false},
};

static const struct pre *pre_find(const struct reading *r, enum err *e)
{
    str name = STR("default");

    gguf_str(r->g, "tokenizer.ggml.pre", &name);
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (str_eq(name, str_of(pres[i].name))) return &pres[i];
    *e = refuse_kind(r->why, "tokenizer.ggml.pre", name);
    return NULL;
}

static enum err merges_read(struct reading *r)
{
    struct gguf_array merges;
    str line;

    if (!gguf_array(r->g, "tokenizer.ggml.merges", &merges) || merges.type != GGUF_STR)
        return err_set(r->why, ERR_MODEL_UNUSABLE, "no tokenizer.ggml.merges");
    if (merges.left > UINT32_MAX / 4) return err_set(r->why, ERR_MODEL_UNUSABLE, "too many merges");
    enum err e = bpe_merges_init(&r->v->bpe, &r->v->arena, (size_t)merges.left);
    for (uint32_t rank = 0; !e && gguf_next_str(&merges, &line); rank++) {
        size_t blank = str_find_char(line, ' ');
        e = blank == STR_NPOS
                ? ERR_INVALID
                : bpe_merge_add(&r->v->bpe, str_head(line, blank), str_tail(line, blank + 1), rank);
        if (e == ERR_INVALID)
            return err_set(r->why, ERR_MODEL_UNUSABLE,
                           "tokenizer.ggml.merges: entry %u is no pair of known tokens", rank);
    }
    return e;
}

static enum err byte_level_tokens(struct reading *r)
{
    struct vocab *v = r->v;
    size_t bytes = 0;

    if (r->pieces.count == 0) return err_set(r->why, ERR_MODEL_UNUSABLE, "the vocabulary is empty");
    for (size_t i = 0; i < r->pieces.count; i++) {
        if (!utf8_valid(r->pieces.at[i].text))
            return err_set(r->why, ERR_MODEL_UNUSABLE, "token %zu is not UTF-8", i);
        bytes += r->pieces.at[i].text.len;
    }
    enum err e =
        tokens_init(&v->tokens, &v->arena, r->pieces.count, bytes, (int32_t)r->pieces.count);
    for (size_t i = 0; !e && i < r->pieces.count; i++)
        tokens_put(&v->tokens, r->pieces.at[i].text, (int32_t)i);
    v->bpe.tokens = &v->tokens;
    v->bpe.unk = -1;
    return e;
}

static enum err byte_level_build(struct reading *r)
{
    struct vocab *v = r->v;
    struct vocab_extras none = {0};
    enum err e = ERR_NONE;
    const struct pre *pre = pre_find(r, &e);

    if (pre == NULL) return e;
    e = byte_level_tokens(r);
    if (!e) e = merges_read(r);
    if (!e) e = vocab_spm_added(v, &r->pieces, &r->extras);
    if (!e) e = vocab_extras_add(v, &none, &r->extras, r->why);
    v->bpe.ignore_merges = pre->ignore_merges;
    if (!e && flag(r, "tokenizer.ggml.normalizer.nfc", pre->nfc))
        e = normal_add_nfc(&v->normal, &v->arena);
    if (!e && pre->digits) e = split_add_digits(&v->split, &v->arena);
    if (!e)
        e = split_add_pattern(&v->split, &v->arena, str_of(pre->pattern),
                              flag(r, "tokenizer.ggml.add_space_prefix", false), r->why);
    if (!e) e = split_add_byte_level(&v->split, &v->arena);
    return e ? e : decoder_byte_level(&v->decoder, &v->arena);
}

/* ---- all of it ---- */

static enum err read_all(struct reading *r)
{
    str model = STR("");
    enum err e = pieces_read(r);

    if (e) return e;
    gguf_str(r->g, "tokenizer.ggml.model", &model);
    bool scores = str_eq(model, STR("llama"));
    if (!scores && !str_eq(model, STR("gpt2")))
        return refuse_kind(r->why, "tokenizer.ggml.model", model);
    if (scores) runs_restore(r);
    r->pieces.ties_by_id = true; /* pieces with one score for all were merges of ascending rank */
    r->pieces.prefix = flag(r, "tokenizer.ggml.add_space_prefix", true);
    e = scores ? vocab_spm_build(r->v, &r->pieces, &r->extras, r->why) : byte_level_build(r);
    if (e) return e;
    roles_make(r);
    affixes_make(r, scores);
    return ERR_NONE;
}

enum err vocab_gguf_read(struct vocab *v, struct files *f, struct err_note *why)
{
    struct reading r = {.v = v, .why = why};

    enum err e = gguf_open(&r.g, f, why);
    if (e) return e;
    e = read_all(&r);
    gguf_close(r.g);
    return e ? err_context(why, e, "%s", files_gguf(f)) : ERR_NONE;
}
