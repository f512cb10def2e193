#include "store/shelf_answer.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"

struct shelf_own *shelf_answer_new(void)
{
    struct shelf_own *a = calloc(1, sizeof *a);
    if (a) arena_init(&a->arena, 0);
    return a;
}

void shelf_answer_free(struct shelf_answer *seen)
{
    if (seen == NULL) return;
    struct shelf_own *a = container_of(seen, struct shelf_own, seen);
    free(seen->messages);
    free(seen->rows);
    arena_fini(&a->arena);
    free(a);
}

/* A place at the end of one of the two arrays; NULL when memory is out. */
static void *answer_room(struct shelf_own *a, void **array, size_t count, size_t each_bytes)
{
    if (count == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 16;
        void *grown = reallocarray(*array, cap, each_bytes);
        if (grown == NULL) return NULL;
        *array = grown;
        a->cap = cap;
    }
    return (char *)*array + count * each_bytes;
}

static bool row_copy(struct shelf_own *a, struct session_row *out, const struct session_row *row)
{
    *out = *row;
    out->key.owner = arena_str(&a->arena, row->key.owner);
    out->key.id = arena_str(&a->arena, row->key.id);
    out->model_name = arena_str(&a->arena, row->model_name);
    return out->key.owner.at && out->key.id.at && out->model_name.at;
}

enum err shelf_answer_on_row(void *ctx, const struct session_row *row)
{
    struct shelf_own *a = ctx;
    return row_copy(a, &a->seen.row, row) ? ERR_NONE : ERR_MEMORY;
}

enum err shelf_answer_on_message(void *ctx, uint64_t seq, const struct stored *m)
{
    struct shelf_own *a = ctx;
    void *array = a->seen.messages;
    struct stored *to = answer_room(a, &array, a->seen.count, sizeof *to);

    a->seen.messages = array;
    if (to == NULL) return ERR_MEMORY;
    *to = *m;
    to->content = arena_str(&a->arena, m->content);
    to->metadata = arena_str(&a->arena, m->metadata);
    if (to->content.at == NULL || to->metadata.at == NULL) return ERR_MEMORY;
    if (a->seen.count++ == 0) a->seen.first_seq = seq;
    return ERR_NONE;
}

enum err shelf_answer_on_listed(void *ctx, const struct session_row *row)
{
    struct shelf_own *a = ctx;
    void *array = a->seen.rows;
    struct session_row *to = answer_room(a, &array, a->seen.rows_count, sizeof *to);

    a->seen.rows = array;
    if (to == NULL || !row_copy(a, to, row)) return ERR_MEMORY;
    a->seen.rows_count++;
    return ERR_NONE;
}

enum err shelf_answer_add(struct shelf_answer *seen, struct session_key k, const struct stored *m,
                          uint64_t before, uint64_t max)
{
    struct shelf_own *a = container_of(seen, struct shelf_own, seen);
    struct session_row row =
        seen->row.born ? seen->row : (struct session_row){.created_us = m->at_us};
    uint64_t seq = row.count;

    row.count++;
    if (row.updated_us < m->at_us) row.updated_us = m->at_us;
    row.key = k;
    if (row.born == 0) row.born = UINT64_MAX;
    if (!row_copy(a, &seen->row, &row)) return ERR_MEMORY;
    if (max == 0 || (before && before <= seq + 1)) return ERR_NONE;

    enum err e = shelf_answer_on_message(a, seq, m);
    if (e || seen->count <= max) return e;
    memmove(seen->messages, seen->messages + 1, --seen->count * sizeof *seen->messages);
    seen->first_seq++;
    return ERR_NONE;
}
