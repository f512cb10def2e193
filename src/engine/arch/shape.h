/* What the settings of a model say about its shape: numbers only, checked.  Each family fills one
 * from a `struct config`, most of it by shape_common. */
#ifndef SEMA_ENGINE_ARCH_SHAPE_H
#define SEMA_ENGINE_ARCH_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct config;
struct weights;

/* Bounds of what is believed: some ten times the largest published models.  They keep every product
 * of two of them inside 63 bits. */
enum {
    SHAPE_LAYERS_MAX = 1024,
    SHAPE_HEADS_MAX = 4096,
    SHAPE_HEAD_DIM_MAX = 4096,
    SHAPE_WIDTH_MAX = 1 << 20,
    SHAPE_VOCAB_MAX = 1 << 24,
    SHAPE_CTX_MAX = 1 << 26,
};

/* Rotary angles: position * frequencies[i]; cos and sin times `scale` (local-models.md
 * section 2.6). */
struct rope {
    float *frequencies; /* [shape.rope_dim / 2] */
    float scale;
    float *long_frequencies; /* for sequences longer than long_after; NULL when there are none */
    float long_scale;
    int long_after;
};

enum { ROPE_FULL, ROPE_LOCAL, ROPES }; /* Gemma 3 has two */

struct shape {
    const char *family;
    int width; /* d: numbers of a row between layers */
    int layers, heads, kv_heads, head_dim, ffn, vocab, ctx;
    int q_width, kv_width; /* heads * head_dim, kv_heads * head_dim */
    float eps;
    float attention_scale, attention_cap, logit_cap; /* cap 0: none */
    float embed_scale;                               /* 1: none */
    float norm_offset; /* added to stored norm weights: Gemma's 1 + w */
    bool tied;         /* the head is the embedding, also when one is there */

    int rope_dim;         /* rotated numbers of a head, from its front; 0: learned positions */
    bool rope_neighbours; /* pairs are (2i, 2i + 1): GGUF of architecture llama */
    double rope_base;     /* when the settings name none */
    struct rope ropes[ROPES];

    int window;      /* of the layers that have one; 0: none */
    bool *local;     /* [layers]: has the window */
    bool local_rope; /* local layers rotate with ROPE_LOCAL */
};

void shape_fini(struct shape *s);

/* What a family's published settings leave out; 0: nothing stands in for it (head_dim: width /
 * heads). */
struct shape_defaults {
    int heads, kv_heads, head_dim, ctx;
};

/* Reads what most families share and checks that it fits together.  Faults go to the config. */
void shape_common(struct shape *s, struct config *c, struct shape_defaults d);
/* The second half of it, for a family that reads the counts under names of its own. */
void shape_derive(struct shape *s, struct config *c);
/* The activation must be one of `known` (NULL at the end); absent is fine. */
void shape_activation(struct config *c, const char *json, const char *const *known);
extern const char *const shape_silu[], *const shape_gelu_tanh[];

/* Marks the local layers: by layer_types when the config lists them, else by `rule` (NULL: none has
 * a window).  ERR_MEMORY. */
enum err shape_windows(struct shape *s, struct config *c, bool (*rule)(int layer, const void *arg),
                       const void *arg);
bool shape_every_layer(int layer, const void *arg); /* a rule */

/* The tables of rotary frequencies, from rope_scaling, rope_parameters or the GGUF keys and
 * tensors. */
enum err rope_init(struct shape *s, struct config *c, const struct weights *w);

#endif
