#include "engine/vocab/pieces.h"

#include <stdlib.h>

void pieces_init(struct pieces *p, size_t bytes_max)
{
    *p = (struct pieces){0};
    buf_init(&p->text, bytes_max < UINT32_MAX ? bytes_max : UINT32_MAX);
}

void pieces_fini(struct pieces *p)
{
    buf_fini(&p->text);
    free(p->at);
    *p = (struct pieces){0};
}

void pieces_clear(struct pieces *p)
{
    buf_clear(&p->text);
    p->count = 0;
    p->bad = false;
}

void pieces_mark(struct pieces *p, size_t at, size_t len, bool first)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 32;
        struct piece *grown = realloc(p->at, cap * sizeof *grown);
        if (grown == NULL) {
            p->bad = true;
            return;
        }
        p->at = grown;
        p->cap = cap;
    }
    p->at[p->count++] = (struct piece){(uint32_t)at, (uint32_t)len, first};
}

void pieces_add(struct pieces *p, str text, bool first)
{
    size_t at = p->text.len;

    buf_add(&p->text, text);
    if (!p->text.bad) pieces_mark(p, at, text.len, first);
}

enum err pieces_err(const struct pieces *p)
{
    return p->bad || p->text.bad ? ERR_MEMORY : ERR_NONE;
}
