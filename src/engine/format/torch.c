/* pytorch_model.bin (local-models.md section 1.2): a pickled dictionary of tensors over raw
 * storages, in a zip archive or, before PyTorch 1.6, in a stream.  All of it is read under guard,
 * into one arena. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/limits.h"
#include "engine/format/pickle.h"
#include "engine/format/table.h"

/* Raw numbers by key: an entry of the archive, or a place in the stream. */
struct storage {
    str key;
    const uint8_t *at;
    uint64_t bytes;
};

struct reading {
    struct weights *w;
    const char *file;
    str bytes;
    struct err_note *why;
    struct arena arena;
    enum err err;

    struct storage *storages; /* sorted by key */
    size_t storages_count;
};

static enum err bad(struct reading *r, const char *reason)
{
    return files_fault(r->w->files, r->file, ERR_MODEL_UNUSABLE, r->why, "%s", reason);
}

static int key_order(const void *a, const void *b)
{
    return str_cmp(((const struct storage *)a)->key, ((const struct storage *)b)->key);
}

static const struct storage *storage_find(const struct reading *r, str key)
{
    struct storage wanted = {.key = key};
    if (r->storages_count == 0) return NULL;
    return bsearch(&wanted, r->storages, r->storages_count, sizeof *r->storages, key_order);
}

static enum err read_pickle(struct reading *r, str *bytes, struct pickle_value **out)
{
    char fault[PICKLE_FAULT_BYTES] = "";
    str window = str_head(*bytes, PICKLE_BYTES_MAX);
    size_t before = window.len;
    enum err e = pickle_read(out, &r->arena, &window, fault);
    if (e == ERR_MODEL_UNUSABLE) return bad(r, fault);
    if (e == ERR_MEMORY && r->arena.bytes > r->arena.bytes_max / 4)
        return bad(r, "its pickle is too large");
    if (!e) *bytes = str_tail(*bytes, before - window.len);
    return e;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Rows lie one after the other, without gaps. */
static bool is_contiguous(const struct pickle_tensor *t)
{
    int64_t step = 1;
    for (int i = t->dims; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != step) return false;
        if (__builtin_mul_overflow(step, t->shape[i] ? t->shape[i] : 1, &step)) return false;
    }
    return true;
}

static enum err add_tensor(struct reading *r, str name, const struct pickle_tensor *t)
{
    const struct pickle_storage *s = t->storage;
    const struct storage *raw = storage_find(r, s->key);
    struct entry e = {.t.name = name};
    uint64_t numbers, bytes, all, offset;
    if (raw == NULL) return bad(r, "a tensor's numbers are not in it");
    if (__builtin_mul_overflow((uint64_t)s->numbers, (uint64_t)s->number_bytes, &all) ||
        all > raw->bytes) {
        return bad(r, "a tensor's numbers are fewer than it says");
    }
    for (int i = 0; i < t->dims && i < TENSOR_DIMS_MAX; i++) e.t.shape[i] = (uint64_t)t->shape[i];
    bool readable = s->weight_type >= 0 && t->dims <= TENSOR_DIMS_MAX;
    readable = readable && table_numbers(e.t.shape, t->dims, &numbers);
    if (!readable) {
        snprintf(e.unread, sizeof e.unread, "%s", s->type);
        return table_add(r->w, r->file, &e, r->why);
    }
    if (!is_contiguous(t)) {
        snprintf(e.unread, sizeof e.unread, "strided");
        return table_add(r->w, r->file, &e, r->why);
    }
    if (__builtin_mul_overflow(numbers, (uint64_t)s->number_bytes, &bytes) ||
        __builtin_mul_overflow((uint64_t)t->offset, (uint64_t)s->number_bytes, &offset) ||
        offset > all || bytes > all - offset) {
        return bad(r, "a tensor goes beyond its storage");
    }
    e.t.dims = t->dims;
    e.t.type = (enum weight_type)s->weight_type;
    e.t.data = raw->at + offset;
    e.t.bytes = bytes;
    return table_add(r->w, r->file, &e, r->why);
}

static enum err add_tensors(struct reading *r, const struct pickle_value *dict)
{
    enum err e =
        dict->kind == PICKLE_DICT ? ERR_NONE : bad(r, "it does not hold a dictionary of tensors");
    for (size_t i = 0; !e && i + 1 < dict->count; i += 2) {
        const struct pickle_value *key = dict->items[i], *v = dict->items[i + 1];
        if (key->kind != PICKLE_STR || v->kind != PICKLE_TENSOR)
            continue; /* counters and the like */
        e = add_tensor(r, key->text, v->tensor);
    }
    return e;
}

/* ---- the zip container (PKWARE's APPNOTE 6.3) ------------------------------------------------ */

static uint64_t little(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++) n |= (uint64_t)at[i] << 8 * i;
    return n;
}

/* `n` bytes at `offset` of the file; NULL when they are not all there. */
static const uint8_t *at_offset(const struct reading *r, uint64_t offset, uint64_t n)
{
    if (offset > r->bytes.len || n > r->bytes.len - offset) return NULL;
    return (const uint8_t *)r->bytes.at + offset;
}

struct directory {
    uint64_t entries, bytes, offset;
};

static bool find_directory(const struct reading *r, struct directory *out)
{
    enum { END_BYTES = 22, COMMENT_MAX = 65535, LOCATOR_BYTES = 20, END64_BYTES = 56 };
    size_t len = r->bytes.len;
    const uint8_t *file = (const uint8_t *)r->bytes.at, *end = NULL;
    for (size_t back = END_BYTES; back <= len && back <= END_BYTES + COMMENT_MAX; back++) {
        if (memcmp(file + len - back, "PK\5\6", 4) != 0) continue;
        end = file + len - back;
        break;
    }
    if (end == NULL) return false;
    *out = (struct directory){little(end + 10, 2), little(end + 12, 4), little(end + 16, 4)};
    if (out->entries != 0xffff && out->bytes != UINT32_MAX && out->offset != UINT32_MAX)
        return true;

    /* Zip64: a locator before the end record names a larger one. */
    if (end - file < LOCATOR_BYTES || memcmp(end - LOCATOR_BYTES, "PK\6\7", 4) != 0) return true;
    const uint8_t *end64 = at_offset(r, little(end - LOCATOR_BYTES + 8, 8), END64_BYTES);
    if (end64 == NULL || memcmp(end64, "PK\6\6", 4) != 0) return false;
    *out = (struct directory){little(end64 + 32, 8), little(end64 + 40, 8), little(end64 + 48, 8)};
    return true;
}

/* Sizes and offset that did not fit their 32 bits stand in an extra field, in this order. */
static bool read_zip64(const uint8_t *extra, size_t len, uint64_t *size, uint64_t *packed,
                       uint64_t *offset)
{
    while (len >= 4) {
        size_t id = (size_t)little(extra, 2), n = (size_t)little(extra + 2, 2);
        if (n > len - 4) return false;
        if (id != 1) {
            extra += 4 + n;
            len -= 4 + n;
            continue;
        }
        uint64_t *const wide[] = {size, packed, offset};
        const uint8_t *at = extra + 4;
        for (size_t i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX) continue;
            if (n < 8) return false;
            *wide[i] = little(at, 8);
            at += 8;
            n -= 8;
        }
        return true;
    }
    return *size != UINT32_MAX && *packed != UINT32_MAX && *offset != UINT32_MAX;
}

/* One entry of the directory, *at moves behind it. */
static enum err read_entry(struct reading *r, const uint8_t **at, const uint8_t *end,
                           struct storage *out)
{
    enum { CENTRAL_BYTES = 46, LOCAL_BYTES = 30 };
    const uint8_t *c = *at;
    if (end - c < CENTRAL_BYTES || memcmp(c, "PK\1\2", 4) != 0)
        return bad(r, "its zip directory is damaged");
    uint64_t flags = little(c + 8, 2), method = little(c + 10, 2);
    uint64_t packed = little(c + 20, 4), size = little(c + 24, 4), offset = little(c + 42, 4);
    size_t name = (size_t)little(c + 28, 2), extra = (size_t)little(c + 30, 2);
    size_t comment = (size_t)little(c + 32, 2);
    if ((size_t)(end - c) - CENTRAL_BYTES < name + extra + comment) {
        return bad(r, "its zip directory is damaged");
    }
    if (!read_zip64(c + CENTRAL_BYTES + name, extra, &size, &packed, &offset)) {
        return bad(r, "its zip directory is damaged");
    }
    if (method != 0 || (flags & 1) || packed != size) {
        return bad(r, "an entry of its zip archive is compressed or encrypted");
    }
    const uint8_t *local = at_offset(r, offset, LOCAL_BYTES);
    if (local == NULL || memcmp(local, "PK\3\4", 4) != 0)
        return bad(r, "its zip archive is damaged");
    uint64_t skip = LOCAL_BYTES + little(local + 26, 2) + little(local + 28, 2);
    const uint8_t *data = at_offset(r, offset + skip, size);
    if (data == NULL) return bad(r, "an entry of its zip archive goes beyond the file's end");
    *out = (struct storage){str_span(c + CENTRAL_BYTES, name), data, size};
    *at = c + CENTRAL_BYTES + name + extra + comment;
    return ERR_NONE;
}

static enum err read_directory(struct reading *r)
{
    struct directory d;
    if (!find_directory(r, &d))
        return bad(r, "neither a zip archive nor a PyTorch file, or cut off");
    const uint8_t *at = at_offset(r, d.offset, d.bytes), *end = at ? at + d.bytes : NULL;
    if (at == NULL || d.entries > ZIP_ENTRIES_MAX || d.entries > d.bytes / 46) {
        return bad(r, "its zip directory is damaged");
    }
    r->storages = arena_array(&r->arena, struct storage, (size_t)d.entries);
    if (r->storages == NULL) return ERR_MEMORY;
    enum err e = ERR_NONE;
    for (uint64_t i = 0; !e && i < d.entries; i++) {
        e = read_entry(r, &at, end, &r->storages[r->storages_count]);
        if (!e) r->storages_count++;
    }
    return e;
}

/* Entries "PREFIX/data/KEY" stay, by their keys; "PREFIX/data.pkl" is the dictionary. */
static enum err sort_entries(struct reading *r, str *dict)
{
    str prefix = STR_NONE;
    const struct storage *order = NULL;
    for (size_t i = 0; i < r->storages_count; i++) {
        str name = r->storages[i].key;
        if (!str_ends(name, STR("/data.pkl")) || prefix.at) continue;
        prefix = str_head(name, name.len - sizeof "data.pkl" + 1);
        *dict = str_span(r->storages[i].at, (size_t)r->storages[i].bytes);
    }
    if (prefix.at == NULL) return bad(r, "its zip archive has no data.pkl");
    size_t kept = 0;
    for (size_t i = 0; i < r->storages_count; i++) {
        struct storage s = r->storages[i];
        if (!str_starts(s.key, prefix)) continue;
        str rest = str_tail(s.key, prefix.len);
        if (str_eq(rest, STR("byteorder"))) order = &r->storages[i];
        if (order == &r->storages[i] && !str_eq(str_span(s.at, (size_t)s.bytes), STR("little"))) {
            return bad(r, "its numbers are not little-endian");
        }
        if (!str_starts(rest, STR("data/"))) continue;
        s.key = str_tail(rest, sizeof "data/" - 1);
        r->storages[kept++] = s;
    }
    r->storages_count = kept;
    if (kept) qsort(r->storages, kept, sizeof *r->storages, key_order);
    return ERR_NONE;
}

static enum err read_zip(struct reading *r)
{
    str dict = STR_NONE;
    struct pickle_value *v = NULL;
    enum err e = read_directory(r);
    if (!e) e = sort_entries(r, &dict);
    if (!e) e = read_pickle(r, &dict, &v);
    return e ? e : add_tensors(r, v);
}

/* ---- the stream ------------------------------------------------------------------------------ */

/* The pickles of a magic integer and of 1001, the protocol. */
static const char stream_begin[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                                   "\x80\x02M\xe9\x03.";

static bool says_big_endian(const struct pickle_value *info)
{
    for (size_t i = 0; info->kind == PICKLE_DICT && i + 1 < info->count; i += 2) {
        if (info->items[i]->kind == PICKLE_STR &&
            str_eq(info->items[i]->text, STR("little_endian"))) {
            return info->items[i + 1]->number == 0;
        }
    }
    return false;
}

/* How wide the numbers of a key are: some tensor knows. */
struct width {
    str key;
    int bytes;
};

static int width_order(const void *a, const void *b)
{
    return str_cmp(((const struct width *)a)->key, ((const struct width *)b)->key);
}

static enum err collect_widths(struct reading *r, const struct pickle_value *dict,
                               struct width **out, size_t *count)
{
    struct width *w = arena_array(&r->arena, struct width, dict->count / 2 + 1);
    if (w == NULL) return ERR_MEMORY;
    *count = 0;
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        const struct pickle_value *v = dict->items[i + 1];
        if (v->kind != PICKLE_TENSOR) continue;
        const struct pickle_storage *s = v->tensor->storage;
        w[(*count)++] = (struct width){s->key, s->number_bytes};
    }
    if (*count) qsort(w, *count, sizeof *w, width_order);
    *out = w;
    return ERR_NONE;
}

/* After the list of keys: of each an int64 count and its numbers. */
static enum err read_storages(struct reading *r, str rest, const struct pickle_value *keys,
                              const struct pickle_value *dict)
{
    struct width *widths;
    size_t count;
    enum err e = collect_widths(r, dict, &widths, &count);
    if (e) return e;
    r->storages = arena_array(&r->arena, struct storage, keys->count + 1);
    if (r->storages == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < keys->count; i++) {
        struct width wanted = {keys->items[i]->text, 0}, *known = NULL;
        if (keys->items[i]->kind != PICKLE_STR) return bad(r, "its list of storages is damaged");
        if (count) known = bsearch(&wanted, widths, count, sizeof *widths, width_order);
        if (known == NULL) return bad(r, "it holds a storage of which no tensor tells the type");
        if (rest.len < 8) return bad(r, "it is cut off");
        uint64_t numbers = little((const uint8_t *)rest.at, 8), bytes;
        rest = str_tail(rest, 8);
        if (__builtin_mul_overflow(numbers, (uint64_t)known->bytes, &bytes) || bytes > rest.len) {
            return bad(r, "a storage goes beyond its end (cut off?)");
        }
        r->storages[r->storages_count++] =
            (struct storage){wanted.key, (const uint8_t *)rest.at, bytes};
        rest = str_tail(rest, (size_t)bytes);
    }
    if (r->storages_count) qsort(r->storages, r->storages_count, sizeof *r->storages, key_order);
    return ERR_NONE;
}

static enum err read_stream(struct reading *r)
{
    str rest = str_tail(r->bytes, sizeof stream_begin - 1);
    struct pickle_value *info = NULL, *dict = NULL, *keys = NULL;
    enum err e = read_pickle(r, &rest, &info);
    if (!e && says_big_endian(info)) e = bad(r, "its numbers are not little-endian");
    if (!e) e = read_pickle(r, &rest, &dict);
    if (!e && dict->kind != PICKLE_DICT) e = bad(r, "it does not hold a dictionary of tensors");
    if (!e) e = read_pickle(r, &rest, &keys);
    if (!e && keys->kind != PICKLE_LIST) e = bad(r, "its list of storages is damaged");
    if (!e) e = read_storages(r, rest, keys, dict);
    return e ? e : add_tensors(r, dict);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void read_run(void *ctx)
{
    struct reading *r = ctx;
    bool stream = str_starts(r->bytes, str_span(stream_begin, sizeof stream_begin - 1));
    r->err = stream ? read_stream(r) : read_zip(r);
}

enum err torch_read(struct weights *w, const char *file, str bytes, struct err_note *why)
{
    struct reading r = {.w = w, .file = file, .bytes = bytes, .why = why};
    size_t most = bytes.len < PICKLE_BYTES_MAX ? bytes.len : PICKLE_BYTES_MAX;
    arena_init(&r.arena, (most + 512) * PICKLE_MEMORY_TIMES);
    enum err e = files_guard(read_run, &r);
    if (e == ERR_IO) files_fault(w->files, file, e, why, "can no longer be read");
    arena_fini(&r.arena);
    return e ? e : r.err;
}
