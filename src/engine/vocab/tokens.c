#include "engine/vocab/tokens.h"

#include <assert.h>

#include "base/hash.h"

struct tokens_slot {
    const char *at;
    uint32_t len;
    uint32_t hash;
    int32_t id; /* valid where .at is not NULL */
};

bool tokens_size_fits(int64_t id_max, size_t entries, int32_t *size)
{
    if (id_max < 0 || id_max >= TOKENS_MAX) return false;
    if ((uint64_t)id_max > (uint64_t)entries * 2 + TOKENS_HOLES_MAX) return false;
    *size = (int32_t)id_max + 1;
    return true;
}

enum err tokens_init(struct tokens *t, struct arena *a, size_t entries, size_t bytes, int32_t size)
{
    uint32_t slots = 16;

    if (entries > TOKENS_MAX) return ERR_LIMIT;
    while (slots < entries * 2) slots *= 2;
    *t = (struct tokens){.size = size, .slot_mask = slots - 1};
    t->text = arena_array(a, str, (size_t)size);
    t->slots = arena_array(a, struct tokens_slot, slots);
    t->keep = arena_take(a, bytes + 1);
    if (t->text == NULL || t->slots == NULL || t->keep == NULL) return ERR_MEMORY;
    t->keep_end = t->keep + bytes;
    for (int i = 0; i < TOKENS_NARROW; i++) t->narrow[i] = -1;
    return ERR_NONE;
}

static str tokens_keep(struct tokens *t, str text)
{
    assert(text.len <= (size_t)(t->keep_end - t->keep));
    char *at = t->keep;
    if (text.len) memcpy(at, text.at, text.len);
    t->keep += text.len;
    return (str){at, text.len};
}

static struct tokens_slot *tokens_slot(const struct tokens *t, str text, uint32_t hash)
{
    for (uint32_t i = hash & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        struct tokens_slot *s = &t->slots[i];
        if (s->at == NULL) return s;
        if (s->hash == hash && s->len == text.len && memcmp(s->at, text.at, text.len) == 0)
            return s;
    }
}

void tokens_put(struct tokens *t, str text, int32_t id)
{
    assert(id >= 0 && id < t->size);
    if (text.len == 0) text.at = "";
    uint32_t hash = (uint32_t)hash_str(text);
    struct tokens_slot *s = tokens_slot(t, text, hash);

    if (s->at == NULL) {
        str kept = tokens_keep(t, text);
        *s = (struct tokens_slot){.at = kept.at, .len = (uint32_t)kept.len, .hash = hash};
        t->count++;
    }
    s->id = id;
    t->text[id] = (str){s->at, s->len};

    const unsigned char *c = (const unsigned char *)s->at;
    uint32_t cp = TOKENS_NARROW;
    if (s->len == 1 && c[0] < 0x80) cp = c[0];
    if (s->len == 2 && c[0] >= 0xC2 && c[0] < 0xE0)
        cp = (uint32_t)(c[0] & 0x1F) << 6 | (c[1] & 0x3F);
    if (cp < TOKENS_NARROW) t->narrow[cp] = id;
}

void tokens_name(struct tokens *t, str text, int32_t id)
{
    assert(id >= 0 && id < t->size);
    t->text[id] = text;
}

int32_t tokens_find(const struct tokens *t, str text)
{
    if (text.len == 0) text.at = "";
    const struct tokens_slot *s = tokens_slot(t, text, (uint32_t)hash_str(text));
    return s->at ? s->id : -1;
}
