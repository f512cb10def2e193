/* The table of tensors, and which files of a model fill it (local-models.md section 7). */
#include "engine/format/weights.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"
#include "conf/limits.h"
#include "engine/format/table.h"

/* clang-format off */
const struct weight_kind weight_kinds[WEIGHT_TYPES] = {
    [WEIGHT_F32]    = {"F32", 1, 4},
    [WEIGHT_F16]    = {"F16", 1, 2},
    [WEIGHT_BF16]   = {"BF16", 1, 2},
    [WEIGHT_Q8_0]   = {"Q8_0", 32, 34},
    [WEIGHT_Q4_0]   = {"Q4_0", 32, 18},
    [WEIGHT_Q4_1]   = {"Q4_1", 32, 20},
    [WEIGHT_Q5_0]   = {"Q5_0", 32, 22},
    [WEIGHT_Q5_1]   = {"Q5_1", 32, 24},
    [WEIGHT_Q2_K]   = {"Q2_K", 256, 84},
    [WEIGHT_Q3_K]   = {"Q3_K", 256, 110},
    [WEIGHT_Q4_K]   = {"Q4_K", 256, 144},
    [WEIGHT_Q5_K]   = {"Q5_K", 256, 176},
    [WEIGHT_Q6_K]   = {"Q6_K", 256, 210},
    [WEIGHT_IQ4_NL] = {"IQ4_NL", 32, 18},
    [WEIGHT_IQ4_XS] = {"IQ4_XS", 256, 136},
};
/* clang-format on */

/* ---- the table ------------------------------------------------------------------------------- */

static size_t slot_of(const struct weights *w, str name)
{
    size_t mask = w->slots_cap - 1, i = (size_t)hash_str(name) & mask;
    while (w->slots[i] && !str_eq(w->at[w->slots[i] - 1].t.name, name)) i = (i + 1) & mask;
    return i;
}

static bool table_grow(struct weights *w)
{
    size_t cap = w->cap ? w->cap * 2 : 64;
    struct entry *at = realloc(w->at, cap * sizeof *at);
    if (at == NULL) return false;
    w->at = at;
    uint32_t *slots = calloc(cap * 2, sizeof *slots); /* at most half full */
    if (slots == NULL) return false;
    free(w->slots);
    w->slots = slots;
    w->slots_cap = cap * 2;
    w->cap = cap;
    for (size_t i = 0; i < w->count; i++) w->slots[slot_of(w, w->at[i].t.name)] = (uint32_t)i + 1;
    return true;
}

enum err table_add(struct weights *w, const char *file, const struct entry *e, struct err_note *why)
{
    if (w->count >= UINT32_MAX / 4) return ERR_MEMORY;
    if (w->count == w->cap && !table_grow(w)) return ERR_MEMORY;
    size_t slot = slot_of(w, e->t.name);
    if (w->slots[slot]) {
        return files_fault(w->files, file, ERR_MODEL_UNUSABLE, why,
                           "tensor \"%.*s\" is there twice", STR_ARG(str_head(e->t.name, 80)));
    }
    struct entry *to = &w->at[w->count];
    *to = *e;
    to->file = file;
    to->t.name = arena_str(&w->names, e->t.name);
    if (to->t.name.at == NULL) return ERR_MEMORY;
    w->slots[slot] = (uint32_t)++w->count;
    return ERR_NONE;
}

const struct entry *table_find(const struct weights *w, str name)
{
    if (w->slots_cap == 0) return NULL;
    uint32_t at = w->slots[slot_of(w, name)];
    return at ? &w->at[at - 1] : NULL;
}

bool table_numbers(const uint64_t *shape, int dims, uint64_t *out)
{
    uint64_t n = 1;
    for (int i = 0; i < dims; i++) {
        if (shape[i] == 0 || __builtin_mul_overflow(n, shape[i], &n)) return false;
    }
    *out = n;
    return true;
}

bool table_bytes(const struct tensor *t, uint64_t *out)
{
    const struct weight_kind *k = &weight_kinds[t->type];
    uint64_t numbers, row = t->dims ? t->shape[t->dims - 1] : 1;
    if (!table_numbers(t->shape, t->dims, &numbers)) return false;
    if (row % (uint64_t)k->block_numbers != 0) return false;
    return !__builtin_mul_overflow(numbers / (uint64_t)k->block_numbers, (uint64_t)k->block_bytes,
                                   out);
}

/* ---- which files ----------------------------------------------------------------------------- */

typedef enum err read_fn(struct weights *w, const char *file, str bytes, struct err_note *why);

static enum err read_file(struct weights *w, const char *file, read_fn *read, struct err_note *why)
{
    str bytes;
    enum err e = files_get(w->files, file, &bytes, why);
    return e ? e : read(w, file, bytes, why);
}

static bool shard_name_ok(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.at[i];
        if (c == '/' || c == '\\' || c < 0x20) return false;
    }
    return name.len > 0 && name.len < 256 && !str_eq(name, STR("..")) && !str_eq(name, STR("."));
}

static enum err add_shard(struct weights *w, const char *index, str name, const char **shards,
                          size_t *count, struct err_note *why)
{
    if (!shard_name_ok(name)) {
        return files_fault(w->files, index, ERR_MODEL_UNUSABLE, why,
                           "\"%.*s\" is not the name of a file beside it",
                           STR_ARG(str_head(name, 80)));
    }
    for (size_t i = *count; i-- > 0;) { /* neighbours usually share a shard: newest first */
        if (str_eq(str_of(shards[i]), name)) return ERR_NONE;
    }
    if (*count == MODEL_PARTS_MAX) {
        return files_fault(w->files, index, ERR_MODEL_UNUSABLE, why, "names more than %d files",
                           MODEL_PARTS_MAX);
    }
    str kept = arena_str(&w->names, name);
    if (kept.at == NULL) return ERR_MEMORY;
    shards[(*count)++] = kept.at;
    return ERR_NONE;
}

/* Every tensor of the index must stand in the very file that the index says. */
static enum err check_map(struct weights *w, const char *index, yyjson_val *map,
                          struct err_note *why)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
        str name = json_str(key), file = json_str(yyjson_obj_iter_get_val(key));
        const struct entry *e = table_find(w, name);
        if (e != NULL && str_eq(str_of(e->file), file)) continue;
        return files_fault(w->files, index, ERR_MODEL_UNUSABLE, why,
                           "tensor \"%.*s\" is not in %.*s as it says", STR_ARG(str_head(name, 80)),
                           STR_ARG(str_head(file, 80)));
    }
    return ERR_NONE;
}

static enum err read_shards(struct weights *w, const char *index, yyjson_val *map, read_fn *read,
                            struct err_note *why)
{
    const char **shards = calloc(MODEL_PARTS_MAX, sizeof *shards);
    enum err e = shards ? ERR_NONE : ERR_MEMORY;
    size_t count = 0;

    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    for (yyjson_val *key; !e && (key = yyjson_obj_iter_next(&it));) {
        e = add_shard(w, index, json_str(yyjson_obj_iter_get_val(key)), shards, &count, why);
    }
    /* All are looked for before the first is read, so that an interrupted download is told at once.
     */
    for (size_t i = 0; !e && i < count; i++) {
        if (files_has(w->files, shards[i])) continue;
        e = files_fault(w->files, shards[i], ERR_MODEL_UNUSABLE, why, "missing, but %s names it",
                        index);
    }
    for (size_t i = 0; !e && i < count; i++) e = read_file(w, shards[i], read, why);
    if (!e) e = check_map(w, index, map, why);
    free(shards);
    return e;
}

static enum err read_index(struct weights *w, const char *index, read_fn *read,
                           struct err_note *why)
{
    str text;
    enum err e = files_get(w->files, index, &text, why);
    if (e) return e;

    yyjson_doc *doc = NULL;
    struct json_fault fault = {0};
    e = json_read(&doc, text, 16, JSON_PLAIN, &fault);
    if (e == ERR_INVALID) {
        return files_fault(w->files, index, ERR_MODEL_UNUSABLE, why, "not JSON: %s",
                           fault.reason ? fault.reason : "unreadable");
    }
    if (e) return e;
    yyjson_val *map = json_get(yyjson_doc_get_root(doc), "weight_map");
    if (yyjson_obj_size(map) == 0) {
        e = files_fault(w->files, index, ERR_MODEL_UNUSABLE, why, "holds no weight_map");
    } else {
        e = read_shards(w, index, map, read, why);
    }
    yyjson_doc_free(doc);
    return e;
}

/* Exactly one set is read, never a mixture. */
static enum err read_set(struct weights *w, struct err_note *why)
{
    struct files *f = w->files;
    const char *only = files_only(f);
    if (files_gguf(f)) return gguf_read(w, why);
    if (only) {
        bool torch = str_ends(str_of(only), STR(".bin"));
        return read_file(w, only, torch ? torch_read : safetensors_read, why);
    }
    if (files_has(f, "model.safetensors")) {
        return read_file(w, "model.safetensors", safetensors_read, why);
    }
    if (files_has(f, "model.safetensors.index.json")) {
        return read_index(w, "model.safetensors.index.json", safetensors_read, why);
    }
    if (files_has(f, "pytorch_model.bin"))
        return read_file(w, "pytorch_model.bin", torch_read, why);
    if (files_has(f, "pytorch_model.bin.index.json")) {
        return read_index(w, "pytorch_model.bin.index.json", torch_read, why);
    }
    return err_set(
        why, ERR_MODEL_UNUSABLE,
        "%s: no weights: neither model.safetensors nor pytorch_model.bin (or an index of "
        "either), nor one GGUF file to choose",
        files_label(f));
}

/* Those that are read come first, in their order; so that weights_at is an index. */
static enum err put_unread_last(struct weights *w)
{
    struct entry *sorted = calloc(w->cap ? w->cap : 1, sizeof *sorted);
    if (sorted == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < w->count; i++) {
        if (w->at[i].unread[0] == '\0') sorted[w->read_count++] = w->at[i];
    }
    size_t at = w->read_count;
    for (size_t i = 0; i < w->count; i++) {
        if (w->at[i].unread[0]) sorted[at++] = w->at[i];
    }
    free(w->at);
    w->at = sorted;
    if (w->slots_cap) memset(w->slots, 0, w->slots_cap * sizeof *w->slots);
    for (size_t i = 0; i < w->count; i++) w->slots[slot_of(w, w->at[i].t.name)] = (uint32_t)i + 1;
    return ERR_NONE;
}

enum err weights_open(struct weights **out, struct files *f, struct err_note *why)
{
    struct weights *w = calloc(1, sizeof *w);
    if (w == NULL) return ERR_MEMORY;
    w->files = f;
    arena_init(&w->names, 0);
    enum err e = read_set(w, why);
    if (e == ERR_NOT_FOUND) { /* went away between looking and opening */
        e = err_set(why, ERR_MODEL_UNUSABLE, "%s: a file of its weights is missing",
                    files_label(f));
    }
    if (!e) e = put_unread_last(w);
    if (!e && w->read_count == 0) {
        e = err_set(why, ERR_MODEL_UNUSABLE, "%s: its weights hold no tensor", files_label(f));
    }
    if (e) {
        weights_close(w);
        return e;
    }
    *out = w;
    return ERR_NONE;
}

void weights_close(struct weights *w)
{
    if (w == NULL) return;
    gguf_close(w->gguf);
    arena_fini(&w->names);
    free(w->at);
    free(w->slots);
    free(w);
}

/* ---- looking --------------------------------------------------------------------------------- */

const struct tensor *weights_find(const struct weights *w, const char *name)
{
    const struct entry *e = table_find(w, str_of(name));
    return e && e->unread[0] == '\0' ? &e->t : NULL;
}

const char *weights_unread(const struct weights *w, const char *name)
{
    const struct entry *e = table_find(w, str_of(name));
    return e && e->unread[0] ? e->unread : NULL;
}

size_t weights_count(const struct weights *w)
{
    return w->read_count;
}

const struct tensor *weights_at(const struct weights *w, size_t i)
{
    return &w->at[i].t;
}

const struct gguf *weights_gguf(const struct weights *w)
{
    return w->gguf;
}
