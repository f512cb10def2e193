/* The keys and values of one sequence, in pages of KERNEL_PAGE positions: of each layer first the
 * keys of every head, then the values. */
#include <assert.h>
#include <stdlib.h>

#include "engine/arch/arch.h"

size_t kv_page_floats(const struct shape *s)
{
    return (size_t)s->layers * 2 * (size_t)s->kv_width * KERNEL_PAGE;
}

size_t kv_keys_at(const struct shape *s, int layer, int head)
{
    size_t heads_before = (size_t)layer * 2 * (size_t)s->kv_heads + (size_t)head;
    return heads_before * (size_t)s->head_dim * KERNEL_PAGE;
}

size_t kv_values_at(const struct shape *s, int layer, int head)
{
    return kv_keys_at(s, layer, head + s->kv_heads);
}

enum err kv_new(struct kv **out, struct model *m, int tokens_max)
{
    struct kv *k = calloc(1, sizeof *k);
    if (k == NULL) return ERR_MEMORY;
    k->model = m;
    k->max = tokens_max < 1 ? 1 : tokens_max;
    /* Learned positions end; rotary ones only become worse. */
    if (m->positions && k->max > m->shape.ctx) k->max = m->shape.ctx;
    *out = k;
    return ERR_NONE;
}

static void drop_pages(struct kv *k, size_t from)
{
    for (size_t i = from; i < k->pages_count; i++) free(k->pages[i]);
    if (from < k->pages_count) k->pages_count = from;
}

void kv_free(struct kv *k)
{
    if (k == NULL) return;
    drop_pages(k, 0);
    free(k->pages);
    free(k->tokens);
    free(k);
}

int kv_len(const struct kv *k)
{
    return k->len;
}

void kv_expect(struct kv *k, int tokens)
{
    k->expected = tokens;
}

static size_t pages_for(int tokens)
{
    return ((size_t)tokens + KERNEL_PAGE - 1) / KERNEL_PAGE;
}

void kv_cut(struct kv *k, int tokens)
{
    assert(tokens >= 0);
    if (tokens < k->len) k->len = tokens;
    drop_pages(k, pages_for(k->len));
}

size_t kv_bytes(const struct kv *k)
{
    size_t page = kv_page_floats(&k->model->shape) * sizeof(float);
    return k->pages_count * page +
           k->pages_cap * (sizeof *k->pages + KERNEL_PAGE * sizeof *k->tokens);
}

enum err kv_reserve(struct kv *k, int tokens)
{
    size_t need = pages_for(tokens);
    if (need > k->pages_cap) {
        size_t cap = k->pages_cap * 2 > need ? k->pages_cap * 2 : need;
        float **pages = realloc(k->pages, cap * sizeof *pages);
        if (pages) k->pages = pages;
        int32_t *ids = realloc(k->tokens, cap * KERNEL_PAGE * sizeof *ids);
        if (ids) k->tokens = ids;
        if (pages == NULL || ids == NULL) return ERR_MEMORY;
        k->pages_cap = cap;
    }
    while (k->pages_count < need) {
        float *page = NULL;
        if (posix_memalign((void **)&page, 64, kv_page_floats(&k->model->shape) * sizeof *page) !=
            0) {
            return ERR_MEMORY;
        }
        k->pages[k->pages_count++] = page;
    }
    return ERR_NONE;
}
