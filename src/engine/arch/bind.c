/* From names to checked tensors.  Vectors are widened once here; matrices stay where they are
 * mapped. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/arch/arch.h"
#include "engine/format/files.h"

enum { NAME_BYTES = 160 };

static void fault(struct bind *b, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fault(struct bind *b, enum err e, const char *format, ...)
{
    char reason[320];
    va_list args;
    if (b->err) return; /* the first one is told */
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    b->err = err_set(b->why, e, "%s", reason);
}

static void name_of(const struct bind *b, char *out, const char *json, const char *gguf,
                    const char *ending)
{
    if (b->gguf && b->layer >= 0) {
        snprintf(out, NAME_BYTES, "blk.%d.%s.%s", b->layer, gguf, ending);
    } else if (b->gguf) {
        snprintf(out, NAME_BYTES, "%s.%s", gguf, ending);
    } else if (b->layer >= 0) {
        snprintf(out, NAME_BYTES, "%s%s.%d.%s.%s", b->root, b->m->arch->layers, b->layer, json,
                 ending);
    } else {
        snprintf(out, NAME_BYTES, "%s%s.%s", b->root, json, ending);
    }
}

static const struct tensor *find(struct bind *b, const char *name, bool needed)
{
    const struct tensor *t = weights_find(b->m->weights, name);
    if (t || !needed || b->err) return t;
    const char *type = weights_unread(b->m->weights, name);
    if (type) {
        fault(b, ERR_MODEL_UNUSABLE, "tensor \"%s\" is of type %s, which is not supported", name,
              type);
    } else {
        fault(b, ERR_MODEL_UNUSABLE, "tensor \"%s\" is missing", name);
    }
    return NULL;
}

static bool vector_ok(struct bind *b, const struct tensor *t, int width)
{
    if (t->dims == 1 && t->shape[0] == (uint64_t)width) return true;
    fault(b, ERR_MODEL_UNUSABLE, "tensor \"%.*s\" has %d dimensions of %llu, not one of %d",
          STR_ARG(t->name), t->dims, (unsigned long long)t->shape[0], width);
    return false;
}

static bool matrix_ok(struct bind *b, const struct tensor *t, int rows, int columns)
{
    if (t->dims == 2 && t->shape[0] == (uint64_t)rows && t->shape[1] == (uint64_t)columns)
        return true;
    fault(b, ERR_MODEL_UNUSABLE, "tensor \"%.*s\" has the shape [%llu, %llu%s], not [%d, %d]",
          STR_ARG(t->name), (unsigned long long)t->shape[0],
          (unsigned long long)(t->dims > 1 ? t->shape[1] : 1), t->dims > 2 ? ", ..." : "", rows,
          columns);
    return false;
}

/* Numbers [from, from + count) of a vector of `all`, widened; NULL after a fault. */
static float *vector(struct bind *b, const struct tensor *t, int all, int from, int count,
                     float offset)
{
    if (!vector_ok(b, t, all)) return NULL;
    float *whole = calloc((size_t)all, sizeof *whole);
    float *part = calloc((size_t)count, sizeof *part);
    if (whole && part) {
        weights_widen(t->type, t->data, whole, (size_t)all);
        for (int i = 0; i < count; i++) part[i] = whole[from + i] + offset;
    } else {
        fault(b, ERR_MEMORY, "out of memory");
        free(part);
        part = NULL;
    }
    free(whole);
    return part;
}

void bind_norm(struct bind *b, struct norm *to, const char *json, const char *gguf, int width,
               enum bind_bias bias)
{
    char name[NAME_BYTES];
    name_of(b, name, json, gguf, "weight");
    const struct tensor *t = find(b, name, true);
    if (b->err) return;
    to->w = vector(b, t, width, 0, width, b->s->norm_offset);
    name_of(b, name, json, gguf, "bias");
    t = bias == BIAS_NONE ? NULL : find(b, name, bias == BIAS_NEEDED);
    if (t && !b->err) to->b = vector(b, t, width, 0, width, 0);
}

static void widen(int format, const uint8_t *from, float *to, size_t count)
{
    weights_widen((enum weight_type)format, from, to, count);
}

static struct kernel_matrix matrix(const struct tensor *t)
{
    const struct weight_kind *k = &weight_kinds[t->type];
    uint64_t columns = t->shape[1];
    struct kernel_matrix m = {
        .data = t->data,
        .outs = (size_t)t->shape[0],
        .ins = (size_t)columns,
        .stride_bytes = (size_t)(columns / (uint64_t)k->block_numbers * (uint64_t)k->block_bytes),
        .format = (int)t->type,
    };
    switch (t->type) {
    case WEIGHT_F32: m.type = KERNEL_F32; break;
    case WEIGHT_F16: m.type = KERNEL_F16; break;
    case WEIGHT_BF16: m.type = KERNEL_BF16; break;
    default: m.widen = widen;
    }
    return m;
}

static void bind_bias(struct bind *b, struct linear *to, const char *json, const char *gguf,
                      int all, int from, int outs, enum bind_bias bias)
{
    char name[NAME_BYTES];
    if (bias == BIAS_NONE || b->err) return;
    name_of(b, name, json, gguf, "bias");
    const struct tensor *t = find(b, name, bias == BIAS_NEEDED);
    if (t && !b->err) to->bias = vector(b, t, all, from, outs, 0);
}

void bind_part(struct bind *b, struct linear *to, const char *json, const char *gguf, int all,
               int from, int outs, int ins, enum bind_bias bias)
{
    char name[NAME_BYTES];
    name_of(b, name, json, gguf, "weight");
    const struct tensor *t = find(b, name, true);
    if (b->err || !matrix_ok(b, t, all, ins)) return;
    to->w = matrix(t);
    to->w.outs = (size_t)outs;
    to->w.data += (size_t)from * to->w.stride_bytes;
    bind_bias(b, to, json, gguf, all, from, outs, bias);
}

void bind_linear(struct bind *b, struct linear *to, const char *json, const char *gguf, int outs,
                 int ins, enum bind_bias bias)
{
    bind_part(b, to, json, gguf, outs, 0, outs, ins, bias);
}

void bind_columns(struct bind *b, struct linear *to, const char *json, const char *gguf, int all,
                  int from, int outs, int ins, enum bind_bias bias)
{
    if (b->gguf) {
        bind_part(b, to, json, gguf, all, from, outs, ins, bias);
        return;
    }
    char name[NAME_BYTES];
    name_of(b, name, json, gguf, "weight");
    const struct tensor *t = find(b, name, true);
    if (b->err || !matrix_ok(b, t, ins, all)) return;
    to->w = matrix(t); /* its rows are our inputs; plain types only, as in every safetensors file */
    to->w.outs = (size_t)outs;
    to->w.ins = (size_t)ins;
    to->w.data += (size_t)from * (to->w.type == KERNEL_F32 ? 4 : 2);
    to->w.by_columns = true;
    bind_bias(b, to, json, gguf, all, from, outs, bias);
}

const struct tensor *bind_table(struct bind *b, const char *json, const char *gguf, int rows,
                                int width)
{
    char name[NAME_BYTES];
    name_of(b, name, json, gguf, "weight");
    const struct tensor *t = find(b, name, true);
    return t && !b->err && matrix_ok(b, t, rows, width) ? t : NULL;
}

/* lm_head stands outside the root that the other names have. */
static void bind_head(struct bind *b, enum bind_bias bias)
{
    static const char *const roots[] = {"", "language_model."};
    struct model *m = b->m;
    const char *root = b->root;
    for (size_t i = 0; i < sizeof roots / sizeof *roots && !b->s->tied; i++) {
        char name[NAME_BYTES];
        b->root = roots[i];
        name_of(b, name, "lm_head", "output", "weight");
        bool there = weights_find(m->weights, name) || weights_unread(m->weights, name);
        if (there) {
            bind_linear(b, &m->head, "lm_head", "output", b->s->vocab, b->s->width, bias);
            b->root = root;
            return;
        }
    }
    b->root = root;
    if (m->embedding) m->head.w = matrix(m->embedding);
}

void bind_ends(struct bind *b, const char *norm_json, enum bind_bias norm_bias,
               enum bind_bias head_bias)
{
    struct model *m = b->m;
    m->embedding = bind_table(b, m->arch->embed, "token_embd", b->s->vocab, b->s->width);
    bind_norm(b, &m->last_norm, norm_json, "output_norm", b->s->width, norm_bias);
    if (!b->err) bind_head(b, head_bias);
}

/* Checkpoints of one family differ in what stands before the names; the embedding tells. */
static void find_root(struct bind *b)
{
    static const char *const roots[] = {"model.", "transformer.", "", "language_model.model.",
                                        "model.language_model."};
    b->root = roots[0];
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s%s.weight", roots[i], b->m->arch->embed);
        if (weights_find(b->m->weights, name) == NULL) continue;
        b->root = roots[i];
        return;
    }
}

/* The vocabulary is what the embedding has rows for; the settings must not say otherwise. */
static void check_vocab(struct bind *b)
{
    char name[NAME_BYTES];
    struct shape *s = &b->m->shape;
    name_of(b, name, b->m->arch->embed, "token_embd", "weight");
    const struct tensor *t = find(b, name, true);
    if (b->err) return;
    if (t->dims != 2 || t->shape[0] > SHAPE_VOCAB_MAX ||
        (s->vocab && t->shape[0] != (uint64_t)s->vocab)) {
        fault(b, ERR_MODEL_UNUSABLE, "tensor \"%s\" has %llu rows, but the vocabulary %d tokens",
              name, (unsigned long long)t->shape[0], s->vocab);
        return;
    }
    s->vocab = (int)t->shape[0];
}

struct binding {
    struct bind *b;
};

static void bind_all(void *ctx)
{
    struct bind *b = ((struct binding *)ctx)->b;
    struct model *m = b->m;
    check_vocab(b);
    if (!b->err) m->arch->bind(b);
    for (int i = 0; !b->err && i < m->shape.layers; i++) {
        struct layer *l = &m->layers[i];
        bool local = m->shape.local && m->shape.local[i];
        l->number = b->layer = i;
        l->window = local ? m->shape.window : 0;
        l->rope = local && m->shape.local_rope ? ROPE_LOCAL : ROPE_FULL;
        m->arch->bind_layer(b, l);
    }
}

enum err bind_model(struct model *m, struct err_note *why)
{
    struct bind b = {.m = m, .s = &m->shape, .layer = -1, .why = why};
    b.gguf = weights_gguf(m->weights) != NULL;
    find_root(&b);
    /* A layer has four tensors at least; so no more memory is taken than the file could ask for. */
    if ((size_t)m->shape.layers > weights_count(m->weights)) {
        return err_set(why, ERR_MODEL_UNUSABLE, "%d layers, but only %zu tensors", m->shape.layers,
                       weights_count(m->weights));
    }
    m->layers = calloc((size_t)m->shape.layers, sizeof *m->layers);
    if (m->layers == NULL) return ERR_MEMORY;
    enum err e = files_guard(bind_all, &(struct binding){&b});
    return e ? err_set(why, e, "its weights can no longer be read") : b.err;
}

static void norm_free(struct norm *n)
{
    free(n->w);
    free(n->b);
}

void bind_free(struct model *m)
{
    norm_free(&m->last_norm);
    free(m->head.bias);
    for (int i = 0; m->layers && i < m->shape.layers; i++) {
        struct layer *l = &m->layers[i];
        struct norm *norms[] = {&l->before_attention, &l->after_attention, &l->before_mlp,
                                &l->after_mlp,        &l->q_norm,          &l->k_norm};
        struct linear *linears[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t n = 0; n < sizeof norms / sizeof *norms; n++) norm_free(norms[n]);
        for (size_t n = 0; n < sizeof linears / sizeof *linears; n++) free(linears[n]->bias);
    }
    free(m->layers);
}
