/* The tensors of a GGUF file and its parts: types, places, names of parts. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/limits.h"
#include "engine/format/gguf_header.h"
#include "engine/format/table.h"

/* ggml's numbers of the types that are read; the others are named in messages. */
static bool type_of(uint32_t ggml, enum weight_type *out)
{
    static const int8_t types[] = {
        [0] = WEIGHT_F32,     [1] = WEIGHT_F16,     [2] = WEIGHT_Q4_0,  [3] = WEIGHT_Q4_1,
        [6] = WEIGHT_Q5_0,    [7] = WEIGHT_Q5_1,    [8] = WEIGHT_Q8_0,  [10] = WEIGHT_Q2_K,
        [11] = WEIGHT_Q3_K,   [12] = WEIGHT_Q4_K,   [13] = WEIGHT_Q5_K, [14] = WEIGHT_Q6_K,
        [20] = WEIGHT_IQ4_NL, [23] = WEIGHT_IQ4_XS, [30] = WEIGHT_BF16,
    };
    if (ggml >= sizeof types) return false;
    if (types[ggml] == WEIGHT_F32 && ggml != 0) return false; /* a gap of the table */
    *out = (enum weight_type)types[ggml];
    return true;
}

static const char *type_name(uint32_t ggml)
{
    static const char *const names[] = {
        [9] = "Q8_1",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
        [19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S",   [24] = "I8",     [25] = "I16",
        [26] = "I32",   [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [34] = "TQ1_0",
        [35] = "TQ2_0", [39] = "MXFP4",
    };
    return ggml < sizeof names / sizeof *names ? names[ggml] : NULL;
}

struct part {
    struct weights *w;
    const char *file;
    const struct gguf *g;
    str bytes;
    struct err_note *why;
};

#define BAD(p, ...) files_fault((p)->w->files, (p)->file, ERR_MODEL_UNUSABLE, (p)->why, __VA_ARGS__)

/* Where a tensor lies, in the file; checked. */
struct span {
    uint64_t begin, end;
};

static enum err add_tensor(const struct part *p, const struct gguf_info *t, uint64_t data_at,
                           struct span *span)
{
    struct entry e = {.t = {.name = t->name, .dims = t->dims}};
    str name = str_head(t->name, 80);
    uint64_t numbers;
    for (int i = 0; i < t->dims; i++) e.t.shape[i] = t->shape[t->dims - 1 - i];
    if (!table_numbers(t->shape, t->dims, &numbers)) {
        return BAD(p, "tensor \"%.*s\" has an impossible shape", STR_ARG(name));
    }
    if (t->offset % p->g->alignment != 0 || t->offset > p->bytes.len - data_at) {
        return BAD(p, "tensor \"%.*s\" lies outside the file or is not aligned", STR_ARG(name));
    }
    e.t.data = (const uint8_t *)p->bytes.at + data_at + t->offset;
    if (!type_of(t->type, &e.t.type)) {
        const char *type = type_name(t->type);
        if (type) snprintf(e.unread, sizeof e.unread, "%s", type);
        if (!type) snprintf(e.unread, sizeof e.unread, "number %u", t->type & 0xffffff);
        return table_add(p->w, p->file, &e, p->why);
    }
    if (!table_bytes(&e.t, &e.t.bytes)) {
        return BAD(p, "tensor \"%.*s\" has rows that are not whole blocks", STR_ARG(name));
    }
    if (e.t.bytes > p->bytes.len - data_at - t->offset) {
        return BAD(p, "tensor \"%.*s\" goes beyond the file's end (cut off?)", STR_ARG(name));
    }
    *span = (struct span){t->offset, t->offset + e.t.bytes};
    return table_add(p->w, p->file, &e, p->why);
}

static int span_order(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static enum err add_tensors(const struct part *p)
{
    const struct gguf *g = p->g;
    uint64_t data_at = (g->bytes + g->alignment - 1) / g->alignment * g->alignment;
    if (g->infos_count == 0) return ERR_NONE;
    if (data_at > p->bytes.len) return BAD(p, "it ends before its data begin");

    struct span *spans = calloc(g->infos_count, sizeof *spans);
    enum err e = spans ? ERR_NONE : ERR_MEMORY;
    for (size_t i = 0; !e && i < g->infos_count; i++) {
        e = add_tensor(p, &g->infos[i], data_at, &spans[i]);
    }
    if (!e) qsort(spans, g->infos_count, sizeof *spans, span_order);
    for (size_t i = 1; !e && i < g->infos_count; i++) {
        if (spans[i].begin < spans[i - 1].end) e = BAD(p, "two tensors overlap");
    }
    free(spans);
    return e;
}

static enum err read_part(struct weights *w, const char *file, const struct gguf *g,
                          struct err_note *why)
{
    struct part p = {.w = w, .file = file, .g = g, .why = why};
    enum err e = files_get(w->files, file, &p.bytes, why);
    return e ? e : add_tensors(&p);
}

/* Part `i` of a split file, by the name of the first: "x-00001-of-00003.gguf". */
static str part_name(struct weights *w, const char *first, int i, int count)
{
    static const char digits[] = "00001-of-00000.gguf";
    str name = str_of(first);
    if (name.len < sizeof digits) return STR_NONE;
    str stem = str_head(name, name.len - (sizeof digits - 1));
    return arena_strf(&w->names, "%.*s%05d-of-%05d.gguf", STR_ARG(stem), i, count);
}

static enum err read_other_part(struct weights *w, int i, int count, struct err_note *why)
{
    str name = part_name(w, files_gguf(w->files), i, count);
    struct gguf *g = NULL;
    if (name.at == NULL) return ERR_MEMORY;
    enum err e = gguf_open_part(&g, w->files, name.at, why);
    if (e) return e;
    int64_t no = -1, of = -1;
    gguf_int(g, "split.no", &no);
    gguf_int(g, "split.count", &of);
    if (no != i - 1 || of != count) {
        e = files_fault(w->files, name.at, ERR_MODEL_UNUSABLE, why,
                        "says that it is part %lld of %lld", (long long)no + 1, (long long)of);
    }
    if (!e) e = read_part(w, name.at, g, why);
    gguf_close(g);
    return e;
}

enum err gguf_read(struct weights *w, struct err_note *why)
{
    const char *file = files_gguf(w->files);
    int64_t count = 1, tensors = -1;
    enum err e = gguf_open(&w->gguf, w->files, why);
    if (!e) e = read_part(w, file, w->gguf, why);
    if (e) return e;
    gguf_int(w->gguf, "split.count", &count);
    if (count <= 1) return ERR_NONE;

    str first = part_name(w, file, 1, (int)(count & 0xffff));
    if (count > MODEL_PARTS_MAX || !str_eq(first, str_of(file))) {
        return files_fault(w->files, file, ERR_MODEL_UNUSABLE, why,
                           "one of %lld parts, but its name does not say so", (long long)count);
    }
    for (int i = 2; !e && i <= (int)count; i++) e = read_other_part(w, i, (int)count, why);
    gguf_int(w->gguf, "split.tensors.count", &tensors);
    if (!e && tensors >= 0 && (uint64_t)tensors != w->count) {
        return files_fault(w->files, file, ERR_MODEL_UNUSABLE, why,
                           "its parts hold %zu tensors, not the %lld it names", w->count,
                           (long long)tensors);
    }
    return e;
}
