#include "engine/vocab/bpe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "engine/vocab/unicode.h"

enum { STOP_LOOK_EVERY = 4096 }; /* joins or characters between two looks at the stop flag */

struct bpe_merge {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank;
    int32_t joined; /* 0 in an empty slot means nothing by itself: see `used` */
    bool used;
};

/* A link of the chain that the piece is cut into.  A symbol that was joined to its left one has len
 * 0. */
struct bpe_symbol {
    int32_t id; /* -1: text without a token, only with scores */
    int32_t before, after;
    uint32_t at, len; /* bytes of the piece */
};

/* A join that was possible when it was found.  Symbols only ever grow to the right, so it still is
 * when both symbols together are as long as they were. */
struct bpe_join {
    uint64_t order; /* rank << 32 | index of the left symbol: the least goes first */
    uint32_t len;
    int32_t id;
};

/* ---- merges ---- */

enum err bpe_merges_init(struct bpe *m, struct arena *a, size_t count)
{
    uint64_t slots = 16;

    if (count > UINT32_MAX) return ERR_LIMIT;
    while (slots < count + count / 2) slots *= 2;
    m->merges = arena_array(a, struct bpe_merge, slots);
    m->merge_mask = slots - 1;
    m->merge_spread = hash_str(STR("merges")) | 1;
    return m->merges ? ERR_NONE : ERR_MEMORY;
}

static struct bpe_merge *merge_slot(const struct bpe *m, uint64_t pair)
{
    uint64_t mixed = pair * m->merge_spread;

    for (uint64_t i = (mixed ^ mixed >> 32) & m->merge_mask;; i = (i + 1) & m->merge_mask)
        if (!m->merges[i].used || m->merges[i].pair == pair) return &m->merges[i];
}

/* The joined text loses the right part's mark of the middle of a word. */
static int32_t joined_find(const struct bpe *m, str left, str right)
{
    char text[BPE_TOKEN_BYTES_MAX];

    if (m->word_prefix.len && str_starts(right, m->word_prefix))
        right = str_tail(right, m->word_prefix.len);
    if (left.len > sizeof text || right.len > sizeof text - left.len) return -1;
    memcpy(text, left.at, left.len);
    memcpy(text + left.len, right.at, right.len);
    return tokens_find(m->tokens, (str){text, left.len + right.len});
}

enum err bpe_merge_add(struct bpe *m, str left, str right, uint32_t rank)
{
    int32_t a = tokens_find(m->tokens, left), b = tokens_find(m->tokens, right);
    int32_t joined = a >= 0 && b >= 0 ? joined_find(m, left, right) : -1;

    if (joined < 0) return ERR_INVALID;
    uint64_t pair = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
    *merge_slot(m, pair) = (struct bpe_merge){pair, rank, joined, true};
    return ERR_NONE;
}

void bpe_bytes_find(struct bpe *m)
{
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        m->byte_id[byte] = tokens_find(m->tokens, str_of(name));
    }
}

/* ---- the heap of possible joins ---- */

static bool heap_push(struct bpe_work *w, struct bpe_join join)
{
    if (w->heap_len == w->heap_cap) {
        size_t cap = w->heap_cap ? w->heap_cap * 2 : 64;
        struct bpe_join *heap = realloc(w->heap, cap * sizeof *heap);
        if (heap == NULL) return false;
        w->heap = heap;
        w->heap_cap = cap;
    }
    size_t i = w->heap_len++;
    for (; i > 0 && w->heap[(i - 1) / 2].order > join.order; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = join;
    return true;
}

static struct bpe_join heap_pop(struct bpe_work *w)
{
    struct bpe_join least = w->heap[0], last = w->heap[--w->heap_len];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < w->heap_len; i = child) {
        if (child + 1 < w->heap_len && w->heap[child + 1].order < w->heap[child].order) child++;
        if (w->heap[child].order >= last.order) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return least;
}

/* ---- encoding ---- */

static bool stopped(const struct bpe_work *w)
{
    return w->stop && *w->stop;
}

/* Offers the join of a symbol with the one after it, if the model has it. */
static bool join_offer(const struct bpe *m, struct bpe_work *w, str piece, int32_t left)
{
    const struct bpe_symbol *a = &w->symbols[left];
    if (a->after < 0) return true;
    const struct bpe_symbol *b = &w->symbols[a->after];
    struct bpe_join join = {.len = a->len + b->len};
    uint32_t rank;

    if (m->score_rank) {
        join.id = tokens_find(m->tokens, (str){piece.at + a->at, join.len});
        rank = join.id >= 0 ? m->score_rank[join.id] : UINT32_MAX;
        if (rank == UINT32_MAX) return true;
    } else {
        uint64_t pair = (uint64_t)(uint32_t)a->id << 32 | (uint32_t)b->id;
        const struct bpe_merge *merge = merge_slot(m, pair);
        if (!merge->used) return true;
        rank = merge->rank;
        join.id = merge->joined;
    }
    join.order = (uint64_t)rank << 32 | (uint32_t)left;
    return heap_push(w, join);
}

static enum err merge_all(const struct bpe *m, struct bpe_work *w, str piece, size_t count)
{
    w->heap_len = 0;
    for (size_t i = 0; i + 1 < count; i++)
        if (!join_offer(m, w, piece, (int32_t)i)) return ERR_MEMORY;

    for (size_t joins = 0; w->heap_len > 0; joins++) {
        if (joins % STOP_LOOK_EVERY == 0 && stopped(w)) return ERR_CANCELLED;
        struct bpe_join join = heap_pop(w);
        int32_t at = (int32_t)(uint32_t)join.order;
        struct bpe_symbol *a = &w->symbols[at];
        if (a->len == 0 || a->after < 0) continue;
        struct bpe_symbol *b = &w->symbols[a->after];
        if (a->len + b->len != join.len) continue;

        a->id = join.id;
        a->len = join.len;
        a->after = b->after;
        b->len = 0;
        if (a->after >= 0) w->symbols[a->after].before = at;
        if (a->before >= 0 && !join_offer(m, w, piece, a->before)) return ERR_MEMORY;
        if (!join_offer(m, w, piece, at)) return ERR_MEMORY;
    }
    return ERR_NONE;
}

static void symbol_add(struct bpe_work *w, size_t *count, int32_t id, size_t at, size_t len)
{
    w->symbols[*count] = (struct bpe_symbol){id, (int32_t)*count - 1, (int32_t)*count + 1,
                                             (uint32_t)at, (uint32_t)len};
    ++*count;
}

/* The token of one character; with the affixes of models that mark the middle and the end of words.
 */
static int32_t character_find(const struct bpe *m, str piece, size_t at, size_t end, uint32_t cp)
{
    bool first = at == 0, last = end == piece.len;
    char text[256];
    size_t len = 0;

    if (m->word_prefix.len == 0 && m->word_suffix.len == 0)
        return cp < TOKENS_NARROW ? m->tokens->narrow[cp]
                                  : tokens_find(m->tokens, (str){piece.at + at, end - at});
    if (m->word_prefix.len + m->word_suffix.len + 4 > sizeof text) return -1;
    if (!first) {
        memcpy(text, m->word_prefix.at, m->word_prefix.len);
        len = m->word_prefix.len;
    }
    memcpy(text + len, piece.at + at, end - at);
    len += end - at;
    if (last) {
        memcpy(text + len, m->word_suffix.at, m->word_suffix.len);
        len += m->word_suffix.len;
    }
    return tokens_find(m->tokens, (str){text, len});
}

/* True when every byte of the character has its token. */
static bool bytes_known(const struct bpe *m, str piece, size_t at, size_t end)
{
    for (size_t i = at; i < end; i++)
        if (m->byte_id[(unsigned char)piece.at[i]] < 0) return false;
    return true;
}

/* Cuts the piece into characters.  What has no token becomes bytes, or the unknown token: a run of
 * it one symbol where `fuse_unk`.  As in the reference, unknown text waits for the next known
 * character. */
static size_t symbols_of(const struct bpe *m, struct bpe_work *w, str piece)
{
    size_t count = 0, unk_at = 0, unk_len = 0;

    for (size_t at = 0; at < piece.len;) {
        size_t start = at;
        uint32_t cp = unicode_next(piece.at, &at);
        int32_t id = character_find(m, piece, start, at, cp);

        if (id >= 0 || m->score_rank) {
            if (unk_len) symbol_add(w, &count, m->unk, unk_at, unk_len);
            unk_len = 0;
            symbol_add(w, &count, id, start, at - start);
        } else if (m->byte_fallback && bytes_known(m, piece, start, at)) {
            for (size_t i = start; i < at; i++)
                symbol_add(w, &count, m->byte_id[(unsigned char)piece.at[i]], i, 1);
        } else if (m->unk >= 0) {
            if (unk_len && !m->fuse_unk) {
                symbol_add(w, &count, m->unk, unk_at, unk_len);
                unk_len = 0;
            }
            if (unk_len == 0) unk_at = start;
            unk_len += at - start;
        }
    }
    if (unk_len) symbol_add(w, &count, m->unk, unk_at, unk_len);
    if (count) w->symbols[count - 1].after = -1;
    return count;
}

/* With scores, text that no token covers is only now known to stay so. */
static enum err uncovered_add(const struct bpe *m, str text, bool *unk_before, struct ids *out)
{
    enum err e = ERR_NONE;

    if (m->byte_fallback && bytes_known(m, text, 0, text.len)) {
        for (size_t i = 0; !e && i < text.len; i++)
            e = ids_add(out, m->byte_id[(unsigned char)text.at[i]]);
    } else if (m->unk >= 0) {
        if (!*unk_before || !m->fuse_unk) e = ids_add(out, m->unk);
        *unk_before = true;
    }
    return e;
}

static enum err symbols_out(const struct bpe *m, const struct bpe_work *w, str piece,
                            struct ids *out)
{
    enum err e = ERR_NONE;
    bool unk_before = false;

    for (int32_t i = 0; !e && i >= 0; i = w->symbols[i].after) {
        const struct bpe_symbol *s = &w->symbols[i];
        if (s->id >= 0) {
            e = ids_add(out, s->id);
            unk_before = false;
        } else {
            e = uncovered_add(m, (str){piece.at + s->at, s->len}, &unk_before, out);
        }
    }
    return e;
}

enum err bpe_encode(const struct bpe *m, struct bpe_work *w, str piece, struct ids *out)
{
    assert(piece.len <= BPE_PIECE_BYTES_MAX);
    if (piece.len == 0) return ERR_NONE;
    if (m->ignore_merges) {
        int32_t whole = tokens_find(m->tokens, piece);
        if (whole >= 0) return ids_add(out, whole);
    }
    if (w->symbols_cap < piece.len) {
        size_t cap = piece.len < 64 ? 64 : piece.len;
        struct bpe_symbol *symbols = realloc(w->symbols, cap * sizeof *symbols);
        if (symbols == NULL) return ERR_MEMORY;
        w->symbols = symbols;
        w->symbols_cap = cap;
    }
    size_t count = symbols_of(m, w, piece);
    if (count == 0) return ERR_NONE;
    enum err e = merge_all(m, w, piece, count);
    return e ? e : symbols_out(m, w, piece, out);
}

void bpe_work_fini(struct bpe_work *w)
{
    free(w->symbols);
    free(w->heap);
    *w = (struct bpe_work){0};
}
