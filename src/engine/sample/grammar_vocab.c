#include "engine/sample/grammar_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { TOKEN_BYTES_MAX = 4096 }; /* longer ones are left out: none is that long */

struct sort_key {
    str bytes;
    int32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct sort_key *x = a, *y = b;
    int order = str_cmp(x->bytes, y->bytes);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static size_t common(str a, str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.at[n] == b.at[n]) n++;
    return n;
}

/* How many nodes the tree has: each token adds what it does not share with the one before it. */
static size_t count_nodes(const struct sort_key *keys, size_t count)
{
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++)
        nodes += keys[i].bytes.len - (i ? common(keys[i].bytes, keys[i - 1].bytes) : 0);
    return nodes;
}

static void lay_out(struct grammar_vocab *v, const struct sort_key *keys, size_t count)
{
    static const str nothing = {"", 0};
    uint32_t path[TOKEN_BYTES_MAX + 1]; /* the node at each depth */
    str before = nothing;

    path[0] = 0;
    v->nodes_count = 1;
    for (size_t i = 0; i < count; i++) {
        str token = keys[i].bytes;
        size_t shared = common(token, before);
        for (size_t d = before.len; d > shared; d--)
            v->nodes[path[d]].end = (uint32_t)v->nodes_count;
        for (size_t d = shared + 1; d <= token.len; d++) {
            path[d] = (uint32_t)v->nodes_count++;
            v->nodes[path[d]] =
                (struct grammar_node){.depth = (uint16_t)d, .byte = (uint8_t)token.at[d - 1]};
        }
        struct grammar_node *last = &v->nodes[path[token.len]];
        if (last->count == 0) last->first = (uint32_t)i;
        last->count++;
        v->sorted[i] = keys[i].id;
        before = token;
    }
    for (size_t d = before.len; d > 0; d--) v->nodes[path[d]].end = (uint32_t)v->nodes_count;
    v->nodes[0].end = (uint32_t)v->nodes_count;
}

static bool copy_tokens(struct grammar_vocab *v, grammar_bytes *bytes, const void *ctx)
{
    size_t total = 0;

    for (int32_t id = 0; id < v->count; id++) {
        str b = bytes(ctx, id);
        if (b.len <= TOKEN_BYTES_MAX) total += b.len;
    }
    v->pool = malloc(total + 1);
    v->offset = calloc((size_t)v->count + 1, sizeof *v->offset);
    if (v->pool == NULL || v->offset == NULL) return false;
    total = 0;
    for (int32_t id = 0; id < v->count; id++) {
        str b = bytes(ctx, id);
        v->offset[id] = (uint32_t)total;
        if (b.len == 0 || b.len > TOKEN_BYTES_MAX) continue;
        memcpy(v->pool + total, b.at, b.len);
        total += b.len;
        if (b.len > v->longest) v->longest = b.len;
    }
    v->offset[v->count] = (uint32_t)total;
    return true;
}

static bool build(struct grammar_vocab *v)
{
    struct sort_key *keys = malloc(((size_t)v->count + 1) * sizeof *keys);
    size_t count = 0;

    if (keys == NULL) return false;
    for (int32_t id = 0; id < v->count; id++)
        if (grammar_token(v, id).len) keys[count++] = (struct sort_key){grammar_token(v, id), id};
    qsort(keys, count, sizeof *keys, by_bytes);
    v->nodes = calloc(count_nodes(keys, count), sizeof *v->nodes);
    v->sorted = malloc((count + 1) * sizeof *v->sorted);
    if (v->nodes && v->sorted) lay_out(v, keys, count);
    free(keys);
    return v->nodes && v->sorted;
}

/* The characters of a plain token, 0 for any other. */
static size_t plain_chars(str token)
{
    size_t count = 0, used;

    for (; token.len; token = str_tail(token, used), count++) {
        int32_t c = utf8_next(token, &used);
        if (c < 0x20 || c == '"' || c == '\\') return 0;
    }
    return count;
}

static void mark_mixed(struct grammar_vocab *v, str token)
{
    uint32_t at = 0;

    v->nodes[0].mixed = true;
    for (size_t d = 0; d < token.len; d++) {
        uint32_t kid = at + 1;
        while (v->nodes[kid].byte != (uint8_t)token.at[d]) kid = v->nodes[kid].end;
        at = kid;
        v->nodes[at].mixed = true;
    }
}

static bool find_plain(struct grammar_vocab *v)
{
    v->plain = calloc(v->words + 1, sizeof *v->plain);
    v->plain_ids = malloc(((size_t)v->count + 1) * sizeof *v->plain_ids);
    v->plain_upto = calloc(v->longest + 1, sizeof *v->plain_upto);
    uint32_t *next = calloc(v->longest + 2, sizeof *next); /* a counting sort */
    bool ok = v->plain && v->plain_ids && v->plain_upto && next;

    for (int32_t id = 0; ok && id < v->count; id++) {
        size_t chars = plain_chars(grammar_token(v, id));
        if (chars) {
            v->plain[id / 64] |= 1ull << (id % 64);
            v->plain_upto[chars]++;
        } else if (grammar_token(v, id).len) {
            mark_mixed(v, grammar_token(v, id));
        }
    }
    for (size_t chars = 1; ok && chars <= v->longest; chars++) {
        next[chars] = v->plain_upto[chars - 1];
        v->plain_upto[chars] += v->plain_upto[chars - 1];
    }
    for (int32_t id = 0; ok && id < v->count; id++) {
        size_t chars = plain_chars(grammar_token(v, id));
        if (chars) v->plain_ids[next[chars]++] = id;
    }
    free(next);
    return ok;
}

enum err grammar_vocab_new(struct grammar_vocab **out, int32_t count, grammar_bytes *bytes,
                           const void *ctx, const int32_t *ends, size_t ends_count)
{
    struct grammar_vocab *v = calloc(1, sizeof *v);

    if (v == NULL) return ERR_MEMORY;
    v->count = count;
    v->words = ((size_t)count + 63) / 64;
    v->ends = calloc(v->words + 1, sizeof *v->ends);
    if (v->ends == NULL || !copy_tokens(v, bytes, ctx) || !build(v) || !find_plain(v)) {
        grammar_vocab_free(v);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < ends_count; i++)
        if (ends[i] >= 0 && ends[i] < count) v->ends[ends[i] / 64] |= 1ull << (ends[i] % 64);
    *out = v;
    return ERR_NONE;
}

void grammar_vocab_free(struct grammar_vocab *v)
{
    if (v == NULL) return;
    free(v->nodes);
    free(v->sorted);
    free(v->pool);
    free(v->offset);
    free(v->ends);
    free(v->plain);
    free(v->plain_ids);
    free(v->plain_upto);
    free(v);
}

size_t grammar_vocab_words(const struct grammar_vocab *v)
{
    return v->words;
}
