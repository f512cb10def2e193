/* GGUF headers: keys, then tensor infos, then aligned data.  A header is measured once over the
 * map, under guard and without taking memory, then copied and read from the copy: nothing that is
 * kept can change. */
#include "conf/limits.h"
#include "engine/format/gguf_header.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/format/table.h"

/* ---- reading untrusted bytes ----------------------------------------------------------------- */

/* Once something does not fit, `fault` sticks, every later read gives nothing, and a record is
 * judged once at its end. */
struct cur {
    const uint8_t *at, *end;
    const char *fault;
};

static void set_fault(struct cur *c, const char *fault)
{
    if (c->fault == NULL) c->fault = fault;
}

static const uint8_t *take(struct cur *c, uint64_t n)
{
    if (c->fault == NULL && n > (uint64_t)(c->end - c->at)) c->fault = "it ends inside its header";
    if (c->fault) return NULL;
    c->at += n;
    return c->at - n;
}

static uint64_t little(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; at && i < bytes; i++) n |= (uint64_t)at[i] << 8 * i;
    return n;
}

static uint32_t take_u32(struct cur *c)
{
    return (uint32_t)little(take(c, 4), 4);
}

static uint64_t take_u64(struct cur *c)
{
    return little(take(c, 8), 8);
}

static str take_str(struct cur *c, uint64_t max)
{
    uint64_t n = take_u64(c);
    if (n > max) set_fault(c, "a text in its header is too long");
    const uint8_t *at = take(c, n);
    return at ? str_span(at, (size_t)n) : STR_NONE;
}

/* Bytes of a value; 0 for those without a fixed size. */
static size_t fixed_bytes(enum gguf_type type)
{
    static const uint8_t bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return bytes[type];
}

static void skip_array(struct cur *c, struct gguf_key *k, int depth)
{
    uint32_t type = take_u32(c);
    uint64_t count = take_u64(c), bytes;
    if (type >= GGUF_TYPES) set_fault(c, "an array in its header has an unknown type");
    if (depth > GGUF_NEST_MAX) set_fault(c, "arrays in its header are nested too deep");
    if (c->fault) return;
    if (k) *k = (struct gguf_key){k->name, (enum gguf_type)type, true, count, c->at};
    size_t each = fixed_bytes((enum gguf_type)type);
    if (each) {
        if (__builtin_mul_overflow(count, each, &bytes)) bytes = UINT64_MAX;
        take(c, bytes);
        return;
    }
    for (uint64_t i = 0; i < count && c->fault == NULL; i++) {
        if (type == GGUF_STR) {
            take_str(c, UINT64_MAX);
        } else {
            skip_array(c, NULL, depth + 1);
        }
    }
}

static void take_key(struct cur *c, struct gguf_key *k)
{
    *k = (struct gguf_key){.name = take_str(c, GGUF_KEY_BYTES_MAX)};
    uint32_t type = take_u32(c);
    if (c->fault == NULL && k->name.len == 0) set_fault(c, "a key in its header has no name");
    if (type >= GGUF_TYPES) set_fault(c, "a key in its header has an unknown type");
    if (c->fault) return;
    k->type = (enum gguf_type)type;
    k->at = c->at;
    if (type == GGUF_ARRAY) {
        skip_array(c, k, 0);
    } else if (type == GGUF_STR) {
        take_str(c, UINT64_MAX);
    } else {
        take(c, fixed_bytes(k->type));
    }
}

static void take_info(struct cur *c, struct gguf_info *t)
{
    *t = (struct gguf_info){.name = take_str(c, GGUF_NAME_BYTES_MAX)};
    uint32_t dims = take_u32(c);
    if (c->fault == NULL && t->name.len == 0) set_fault(c, "a tensor has no name");
    if (c->fault == NULL && (dims == 0 || dims > TENSOR_DIMS_MAX)) {
        set_fault(c, "a tensor has no dimension or more than 4");
    }
    for (uint32_t i = 0; i < dims && c->fault == NULL; i++) {
        t->shape[i] = take_u64(c);
        if (c->fault == NULL && t->shape[i] == 0) set_fault(c, "a tensor has a dimension of 0");
    }
    t->dims = (int)dims;
    t->type = take_u32(c);
    t->offset = take_u64(c);
}

static void *grown(void *at, size_t *cap, size_t each)
{
    size_t more = *cap ? *cap * 2 : 32;
    void *p = realloc(at, more * each);
    if (p) *cap = more;
    return p;
}

static enum err keep_key(struct gguf *g, const struct gguf_key *k)
{
    if (g->keys_count == g->keys_cap) {
        void *p = grown(g->keys, &g->keys_cap, sizeof *g->keys);
        if (p == NULL) return ERR_MEMORY;
        g->keys = p;
    }
    g->keys[g->keys_count++] = *k;
    return ERR_NONE;
}

static enum err keep_info(struct gguf *g, const struct gguf_info *t)
{
    if (g->infos_count == g->infos_cap) {
        void *p = grown(g->infos, &g->infos_cap, sizeof *g->infos);
        if (p == NULL) return ERR_MEMORY;
        g->infos = p;
    }
    g->infos[g->infos_count++] = *t;
    return ERR_NONE;
}

/* The whole header; `g` NULL: only its length (c->at) is wanted. */
static enum err take_header(struct cur *c, struct gguf *g)
{
    const uint8_t *magic = take(c, 4);
    if (magic && memcmp(magic, "GGUF", 4) != 0) set_fault(c, "not a GGUF file");
    uint32_t version = take_u32(c);
    if (c->fault == NULL && version != 2 && version != 3) {
        set_fault(c, "its GGUF version is neither 2 nor 3");
    }
    uint64_t infos = take_u64(c), keys = take_u64(c);
    enum err e = ERR_NONE;
    struct gguf_key k;
    struct gguf_info t;
    for (uint64_t i = 0; i < keys && c->fault == NULL && !e; i++) {
        take_key(c, &k);
        if (g && c->fault == NULL) e = keep_key(g, &k);
    }
    for (uint64_t i = 0; i < infos && c->fault == NULL && !e; i++) {
        take_info(c, &t);
        if (g && c->fault == NULL) e = keep_info(g, &t);
    }
    return e;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int key_order(const void *a, const void *b)
{
    return str_cmp(((const struct gguf_key *)a)->name, ((const struct gguf_key *)b)->name);
}

static const struct gguf_key *key_find(const struct gguf *g, const char *name)
{
    struct gguf_key wanted = {.name = str_of(name)};
    return g->keys_count ? bsearch(&wanted, g->keys, g->keys_count, sizeof *g->keys, key_order)
                         : NULL;
}

static enum err settle_keys(struct gguf *g, struct files *f, const char *file, struct err_note *why)
{
    if (g->keys_count) qsort(g->keys, g->keys_count, sizeof *g->keys, key_order);
    for (size_t i = 1; i < g->keys_count; i++) {
        if (!str_eq(g->keys[i].name, g->keys[i - 1].name)) continue;
        return files_fault(f, file, ERR_MODEL_UNUSABLE, why, "the key \"%.*s\" is there twice",
                           STR_ARG(str_head(g->keys[i].name, 80)));
    }
    int64_t alignment = 32;
    gguf_int(g, "general.alignment", &alignment);
    if (alignment <= 0 || alignment > GGUF_ALIGNMENT_BYTES_MAX ||
        (alignment & (alignment - 1)) != 0) {
        return files_fault(f, file, ERR_MODEL_UNUSABLE, why,
                           "general.alignment of %lld is not usable", (long long)alignment);
    }
    g->alignment = (uint64_t)alignment;
    return ERR_NONE;
}

struct measure {
    str bytes;
    struct cur cur;
    uint8_t *copy;
    size_t copy_bytes;
};

static void measure_run(void *ctx)
{
    struct measure *m = ctx;
    take_header(&m->cur, NULL);
}

static void copy_run(void *ctx)
{
    struct measure *m = ctx;
    memcpy(m->copy, m->bytes.at, m->copy_bytes);
}

enum err gguf_open_part(struct gguf **out, struct files *f, const char *file, struct err_note *why)
{
    struct measure m = {0};
    enum err e = files_get(f, file, &m.bytes, why);
    if (e == ERR_NOT_FOUND) return files_fault(f, file, ERR_MODEL_UNUSABLE, why, "missing");
    if (e) return e;
    const uint8_t *begin = (const uint8_t *)m.bytes.at;
    m.cur = (struct cur){begin, begin + m.bytes.len, NULL};
    e = files_guard(measure_run, &m);
    if (!e && m.cur.fault) return files_fault(f, file, ERR_MODEL_UNUSABLE, why, "%s", m.cur.fault);

    struct gguf *g = e ? NULL : calloc(1, sizeof *g);
    if (!e && g == NULL) e = ERR_MEMORY;
    if (!e) {
        m.copy_bytes = g->bytes = (size_t)(m.cur.at - begin);
        m.copy = g->copy = malloc(g->bytes);
        e = g->copy ? files_guard(copy_run, &m) : ERR_MEMORY;
    }
    if (e == ERR_IO) files_fault(f, file, e, why, "can no longer be read");
    if (!e) {
        struct cur c = {g->copy, g->copy + g->bytes, NULL};
        e = take_header(&c, g);
        if (!e && c.fault) e = files_fault(f, file, ERR_MODEL_UNUSABLE, why, "%s", c.fault);
    }
    if (!e) e = settle_keys(g, f, file, why);
    if (e) {
        gguf_close(g);
        return e;
    }
    *out = g;
    return ERR_NONE;
}

enum err gguf_open(struct gguf **out, struct files *f, struct err_note *why)
{
    const char *file = files_gguf(f);
    return file ? gguf_open_part(out, f, file, why) : ERR_NOT_FOUND;
}

void gguf_close(struct gguf *g)
{
    if (g == NULL) return;
    free(g->copy);
    free(g->keys);
    free(g->infos);
    free(g);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The integer at `at`; false for other types, or above INT64_MAX. */
static bool value_int(enum gguf_type type, const uint8_t *at, int64_t *out)
{
    size_t bytes = fixed_bytes(type);
    uint64_t n = little(at, bytes);
    switch (type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        if (n > INT64_MAX) return false;
        *out = (int64_t)n;
        return true;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: {
        unsigned unused = 64 - 8 * (unsigned)bytes; /* bits above the value's own: sign extension */
        *out = (int64_t)(n << unused) >> unused;
        return true;
    }
    default: return false;
    }
}

static bool value_num(enum gguf_type type, const uint8_t *at, double *out)
{
    int64_t whole;
    float f;
    if (type == GGUF_F32) {
        memcpy(&f, at, sizeof f);
        *out = (double)f;
        return true;
    }
    if (type == GGUF_F64) {
        memcpy(out, at, sizeof *out);
        return true;
    }
    if (!value_int(type, at, &whole)) return false;
    *out = (double)whole;
    return true;
}

/* A text whose place was checked when the header was read. */
static str value_str(const uint8_t *at)
{
    return str_span(at + 8, (size_t)little(at, 8));
}

size_t gguf_count(const struct gguf *g)
{
    return g->keys_count;
}

str gguf_key(const struct gguf *g, size_t i)
{
    return g->keys[i].name;
}

bool gguf_str(const struct gguf *g, const char *key, str *out)
{
    const struct gguf_key *k = key_find(g, key);
    if (k == NULL || k->is_array || k->type != GGUF_STR) return false;
    *out = value_str(k->at);
    return true;
}

bool gguf_int(const struct gguf *g, const char *key, int64_t *out)
{
    const struct gguf_key *k = key_find(g, key);
    return k && !k->is_array && value_int(k->type, k->at, out);
}

bool gguf_num(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_key *k = key_find(g, key);
    return k && !k->is_array && value_num(k->type, k->at, out);
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out)
{
    const struct gguf_key *k = key_find(g, key);
    if (k == NULL || k->is_array || k->type != GGUF_BOOL) return false;
    *out = k->at[0] != 0;
    return true;
}

bool gguf_array(const struct gguf *g, const char *key, struct gguf_array *out)
{
    const struct gguf_key *k = key_find(g, key);
    if (k == NULL || !k->is_array || k->type == GGUF_ARRAY) return false;
    *out = (struct gguf_array){k->type, k->count, k->at};
    return true;
}

bool gguf_next_str(struct gguf_array *a, str *out)
{
    if (a->left == 0 || a->type != GGUF_STR) return false;
    *out = value_str(a->at);
    a->at += 8 + out->len;
    a->left--;
    return true;
}

bool gguf_next_int(struct gguf_array *a, int64_t *out)
{
    if (a->left == 0 || !value_int(a->type, a->at, out)) return false;
    a->at += fixed_bytes(a->type);
    a->left--;
    return true;
}

bool gguf_next_num(struct gguf_array *a, double *out)
{
    if (a->left == 0 || !value_num(a->type, a->at, out)) return false;
    a->at += fixed_bytes(a->type);
    a->left--;
    return true;
}
