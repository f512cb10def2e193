/* safetensors (local-models.md section 1.1): 8 bytes of header length, a JSON header, the data.
 * Nothing in it is believed before it was held against the size of the file. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "conf/limits.h"
#include "engine/format/table.h"

struct dtype {
    const char *name;
    int bytes;
    int type; /* enum weight_type, or -1: skipped */
};

static const struct dtype dtypes[] = {
    {"F32", 4, WEIGHT_F32}, {"F16", 2, WEIGHT_F16}, {"BF16", 2, WEIGHT_BF16},
    {"F64", 8, -1},         {"I64", 8, -1},         {"U64", 8, -1},
    {"I32", 4, -1},         {"U32", 4, -1},         {"I16", 2, -1},
    {"U16", 2, -1},         {"I8", 1, -1},          {"U8", 1, -1},
    {"BOOL", 1, -1},        {"F8_E4M3", 1, -1},     {"F8_E5M2", 1, -1},
};

struct span {
    uint64_t begin, end;
};

struct reading {
    struct weights *w;
    const char *file;
    const uint8_t *data;
    uint64_t data_bytes;
    struct span *spans;
    size_t spans_count;
    struct err_note *why;
};

#define BAD(r, ...) files_fault((r)->w->files, (r)->file, ERR_MODEL_UNUSABLE, (r)->why, __VA_ARGS__)

static const struct dtype *dtype_find(str name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (str_eq(name, str_of(dtypes[i].name))) return &dtypes[i];
    }
    return NULL;
}

/* A whole number of JSON; false for anything else. */
static bool read_u64(yyjson_val *v, uint64_t *out)
{
    if (!yyjson_is_uint(v)) return false;
    *out = yyjson_get_uint(v);
    return true;
}

static enum err read_span(struct reading *r, str name, yyjson_val *v, struct span *out)
{
    yyjson_val *offsets = json_get(v, "data_offsets");
    if (yyjson_arr_size(offsets) != 2 || !read_u64(yyjson_arr_get(offsets, 0), &out->begin) ||
        !read_u64(yyjson_arr_get(offsets, 1), &out->end)) {
        return BAD(r, "tensor \"%.*s\" has no two data_offsets", STR_ARG(name));
    }
    if (out->begin > out->end || out->end > r->data_bytes) {
        return BAD(r, "tensor \"%.*s\" lies outside the file", STR_ARG(name));
    }
    return ERR_NONE;
}

/* The shape, and how many numbers it holds: 0 when a dimension is 0. */
static enum err read_shape(struct reading *r, str name, yyjson_val *v, struct tensor *t,
                           bool *too_many, uint64_t *numbers)
{
    yyjson_val *shape = json_get(v, "shape"), *dim;
    if (!yyjson_is_arr(shape)) return BAD(r, "tensor \"%.*s\" has no shape", STR_ARG(name));
    uint64_t n = 1, d;
    bool zero = false, over = false;
    yyjson_arr_iter it = yyjson_arr_iter_with(shape);
    *too_many = yyjson_arr_size(shape) > TENSOR_DIMS_MAX;
    while ((dim = yyjson_arr_iter_next(&it))) {
        if (!read_u64(dim, &d)) return BAD(r, "tensor \"%.*s\" has a bad shape", STR_ARG(name));
        if (!*too_many) t->shape[t->dims++] = d;
        zero = zero || d == 0;
        over = over || __builtin_mul_overflow(n, d ? d : 1, &n);
    }
    if (over) return BAD(r, "tensor \"%.*s\" has an impossible shape", STR_ARG(name));
    *numbers = zero ? 0 : n;
    return ERR_NONE;
}

static enum err read_tensor(struct reading *r, str full_name, yyjson_val *v)
{
    str name = str_head(full_name, 80); /* for messages */
    if (!yyjson_is_obj(v)) return BAD(r, "tensor \"%.*s\" is not described", STR_ARG(name));

    struct entry entry = {.t.name = full_name};
    struct span span = {0, 0};
    bool too_many = false;
    uint64_t numbers = 0, bytes;
    enum err e = read_span(r, name, v, &span);
    if (!e) e = read_shape(r, name, v, &entry.t, &too_many, &numbers);
    if (e) return e;

    str dtype_name = json_get_str(v, "dtype");
    const struct dtype *dtype = dtype_find(dtype_name);
    if (dtype_name.len == 0) return BAD(r, "tensor \"%.*s\" has no dtype", STR_ARG(name));
    if (dtype && (__builtin_mul_overflow(numbers, (uint64_t)dtype->bytes, &bytes) ||
                  bytes != span.end - span.begin)) {
        return BAD(r, "tensor \"%.*s\": its shape does not fit its %llu bytes", STR_ARG(name),
                   (unsigned long long)(span.end - span.begin));
    }
    entry.t.data = r->data + span.begin;
    entry.t.bytes = span.end - span.begin;
    if (dtype && dtype->type >= 0 && !too_many && numbers > 0) {
        entry.t.type = (enum weight_type)dtype->type;
    } else {
        snprintf(entry.unread, sizeof entry.unread, "%.*s", STR_ARG(str_head(dtype_name, 12)));
    }
    if (span.begin < span.end) r->spans[r->spans_count++] = span;
    return table_add(r->w, r->file, &entry, r->why);
}

static int span_order(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static enum err check_overlap(struct reading *r)
{
    qsort(r->spans, r->spans_count, sizeof *r->spans, span_order);
    for (size_t i = 1; i < r->spans_count; i++) {
        if (r->spans[i].begin < r->spans[i - 1].end) return BAD(r, "two tensors overlap");
    }
    return ERR_NONE;
}

static enum err read_header(struct reading *r, yyjson_val *root)
{
    if (!yyjson_is_obj(root)) return BAD(r, "its header is not a JSON object");
    r->spans = calloc(yyjson_obj_size(root) + 1, sizeof *r->spans);
    if (r->spans == NULL) return ERR_MEMORY;

    enum err e = ERR_NONE;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    for (yyjson_val *key; !e && (key = yyjson_obj_iter_next(&it));) {
        str name = json_str(key);
        if (str_eq(name, STR("__metadata__"))) continue;
        e = read_tensor(r, name, yyjson_obj_iter_get_val(key));
    }
    if (!e) e = check_overlap(r);
    free(r->spans);
    return e;
}

/* The header leaves the map before it is parsed: a file that shrinks costs an error and no memory.
 */
struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

static void copy_run(void *ctx)
{
    struct copy *c = ctx;
    memcpy(c->to, c->from, c->bytes);
}

enum err safetensors_read(struct weights *w, const char *file, str bytes, struct err_note *why)
{
    struct reading r = {.w = w, .file = file, .why = why};
    uint8_t length[8];
    if (bytes.len < sizeof length) return BAD(&r, "too short for a safetensors file");
    enum err e = files_guard(copy_run, &(struct copy){length, bytes.at, sizeof length});
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof length; i++) n |= (uint64_t)length[i] << 8 * i;
    if (!e && n > bytes.len - sizeof length) {
        return BAD(
            &r, "its header of %llu bytes goes beyond the file's end (cut off, or not safetensors)",
            (unsigned long long)n);
    }
    if (!e && n > SAFETENSORS_HEADER_BYTES_MAX)
        return BAD(&r, "its header of %llu bytes is too large", (unsigned long long)n);
    char *header = e ? NULL : malloc(n ? n : 1);
    if (!e && header == NULL) e = ERR_MEMORY;
    if (!e) e = files_guard(copy_run, &(struct copy){header, bytes.at + sizeof length, n});
    if (e == ERR_IO) files_fault(w->files, file, e, why, "can no longer be read");

    yyjson_doc *doc = NULL;
    struct json_fault fault = {0};
    if (!e) e = json_read(&doc, str_span(header, n), 16, JSON_PLAIN, &fault);
    if (e == ERR_INVALID) {
        BAD(&r, "its header is not JSON: %s", fault.reason ? fault.reason : "unreadable");
        e = ERR_MODEL_UNUSABLE;
    }
    free(header);
    if (!e) {
        r.data = (const uint8_t *)bytes.at + sizeof length + n;
        r.data_bytes = bytes.len - sizeof length - n;
        e = read_header(&r, yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
    return e;
}
