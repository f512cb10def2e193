/* Opening a vocabulary and looking things up in it; encode.c and stream.c do the work. */
#include "engine/vocab/vocab.h"

#include <stdlib.h>

#include "engine/format/files.h"
#include "engine/vocab/vocab_parts.h"

enum {
    IDS_FIRST = 64,
    DECODED_GROWTH_MAX = 4, /* bytes of all tokens, times those of their texts ... */
    DECODED_BASE = 1 << 20, /* ... plus this; less than 4 GiB: texts come from one file */
};

enum err ids_add(struct ids *list, int32_t id)
{
    if (list->len == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : IDS_FIRST;
        int32_t *at = realloc(list->at, cap * sizeof *at);
        if (at == NULL) return ERR_MEMORY;
        list->at = at;
        list->cap = cap;
    }
    list->at[list->len++] = id;
    return ERR_NONE;
}

void ids_fini(struct ids *list)
{
    free(list->at);
    *list = (struct ids){0};
}

/* ---- opening ---- */

struct added_work {
    struct vocab *v;
    struct normal_work normal;
};

static enum err added_normalize(void *ctx, str text, str *out)
{
    struct added_work *w = ctx;
    enum err e = normal_run(&w->v->normal, &w->normal, text, out, NULL);

    if (!e) *out = arena_str(&w->v->arena, *out);
    return !e && out->at == NULL ? ERR_MEMORY : e;
}

static enum err added_make(struct vocab *v, struct err_note *why)
{
    struct pattern_work pattern;
    struct added_work w = {.v = v};
    size_t bytes = 0;

    for (size_t i = 0; i < v->added.count; i++) bytes += v->added.at[i].text.len;
    pattern_work_init(&pattern, bytes, NULL); /* one budget for all */
    normal_work_init(&w.normal, ADDED_BYTES_MAX * ADDED_GROWTH_MAX, &pattern);
    enum err e = added_build(&v->added, &v->arena, added_normalize, &w);
    normal_work_fini(&w.normal);
    pattern_work_fini(&pattern);
    return e && e != ERR_MEMORY ? err_set(why, e, "its added tokens cannot be normalized") : e;
}

static enum err facts_make(struct vocab *v, struct err_note *why)
{
    size_t count = (size_t)v->tokens.size, all = 0;

    v->facts = arena_array(&v->arena, struct vocab_token, count);
    if (v->facts == NULL) return ERR_MEMORY;
    for (size_t id = 0; id < count; id++) all += v->tokens.text[id].len;
    buf_init(&v->bytes, all * DECODED_GROWTH_MAX + DECODED_BASE);
    for (size_t i = 0; i < v->added.count; i++) {
        const struct added_token *token = &v->added.at[i];
        struct vocab_token *t = &v->facts[token->id];
        t->special = token->special;
        /* The reference knows special tokens by their text, and shows the normalized one. */
        t->shown_special = token->special && str_eq(token->shown, token->text);
        tokens_name(&v->tokens, token->shown, token->id);
    }
    for (size_t id = 0; id < count; id++) {
        struct vocab_token *t = &v->facts[id];
        t->at = (uint32_t)v->bytes.len;
        if (v->tokens.text[id].at && !t->special)
            decoder_token(&v->decoder, v->tokens.text[id], &v->bytes, &t->byte);
        t->len = (uint32_t)v->bytes.len - t->at;
    }
    return v->bytes.bad ? err_set(why, ERR_MODEL_UNUSABLE, "its tokens grow too large when decoded")
                        : ERR_NONE;
}

void vocab_affixes(struct vocab *v, int32_t before, int32_t after)
{
    if (before >= 0) v->before = (struct vocab_affix){{before}, 1};
    if (after >= 0) v->after = (struct vocab_affix){{after}, 1};
}

static int32_t affix_max(const struct vocab_affix *affix)
{
    int32_t max = -1;

    for (int i = 0; i < affix->count; i++)
        if (affix->ids[i] > max) max = affix->ids[i];
    return max;
}

/* Rows for padding may follow the last token: ids that mean nothing are none of ours.  Those around
 * a text stay, named or not: the reference gives them. */
static void size_trim(struct vocab *v)
{
    int32_t before = affix_max(&v->before), after = affix_max(&v->after);
    int32_t least = (before > after ? before : after) + 1;

    while (v->tokens.size > least && v->tokens.text[v->tokens.size - 1].at == NULL)
        v->tokens.size--;
}

static enum err vocab_read(struct vocab *v, struct files *f, struct err_note *why)
{
    str text, merges;
    enum err e;

    e = files_get(f, "tokenizer.json", &text, why);
    if (e != ERR_NOT_FOUND) return e ? e : vocab_hf_read(v, f, text, why);
    e = files_get(f, "vocab.json", &text, why);
    if (!e) e = files_get(f, "merges.txt", &merges, why);
    if (e != ERR_NOT_FOUND) return e ? e : vocab_gpt2_read(v, f, text, merges, why);
    e = files_get(f, "tokenizer.model", &text, why);
    if (e != ERR_NOT_FOUND) return e ? e : vocab_spm_read(v, f, text, why);
    if (files_gguf(f)) return vocab_gguf_read(v, f, why);
    return err_set(
        why, ERR_MODEL_UNUSABLE,
        "no tokenizer: none of tokenizer.json, vocab.json with merges.txt, tokenizer.model");
}

enum err vocab_open(struct vocab **out, struct files *f, struct err_note *why)
{
    struct vocab *v = calloc(1, sizeof *v);
    if (v == NULL) return ERR_MEMORY;

    arena_init(&v->arena, 0);
    enum err e = vocab_read(v, f, why);
    if (!e) size_trim(v);
    if (!e) e = added_make(v, why);
    if (!e) e = facts_make(v, why);
    if (e) {
        vocab_close(v);
        if (e == ERR_MEMORY) return e;
        return err_context(why, e == ERR_IO ? e : ERR_MODEL_UNUSABLE, "%s", files_label(f));
    }
    *out = v;
    return ERR_NONE;
}

void vocab_close(struct vocab *v)
{
    if (v == NULL) return;
    normal_fini(&v->normal);
    split_fini(&v->split);
    buf_fini(&v->bytes);
    arena_fini(&v->arena);
    free(v);
}

/* ---- looking up ---- */

int32_t vocab_size(const struct vocab *v)
{
    return v->tokens.size;
}

bool vocab_has(const struct vocab *v, int32_t id)
{
    return id >= 0 && id < v->tokens.size && v->tokens.text[id].at != NULL;
}

bool vocab_is_special(const struct vocab *v, int32_t id)
{
    return vocab_has(v, id) && v->facts[id].special;
}

str vocab_bytes(const struct vocab *v, int32_t id)
{
    if (!vocab_has(v, id) || v->facts[id].len == 0) return STR("");
    return (str){v->bytes.at + v->facts[id].at, v->facts[id].len};
}

int32_t vocab_find(const struct vocab *v, str token)
{
    const struct added_token *added = added_find(&v->added, token);
    return added ? added->id : tokens_find(&v->tokens, token);
}

str vocab_role(const struct vocab *v, const char *role)
{
    for (int i = 0; i < v->roles_count; i++)
        if (str_eq(v->roles[i].role, str_of(role))) return v->roles[i].text;
    return STR("");
}

void vocab_guard(const struct vocab *v, str text, struct buf *out)
{
    added_guard(&v->added, text, out);
}
