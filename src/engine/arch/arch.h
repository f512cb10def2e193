/* Inside a model: what a family is, what a layer holds, what a pass computes with.  Private to this
 * folder; the world sees model.h. */
#ifndef SEMA_ENGINE_ARCH_ARCH_H
#define SEMA_ENGINE_ARCH_ARCH_H

#include "engine/arch/model.h"
#include "engine/arch/pool.h"
#include "engine/arch/shape.h"
#include "engine/format/weights.h"
#include "engine/kernel/kernel.h"

struct bind;
struct config;
struct pass;

/* y = W x + b */
struct linear {
    struct kernel_matrix w;
    float *bias; /* [w.outs], or NULL */
};

struct norm {
    float *w; /* 1 + w already where the family says so */
    float *b; /* NULL: RMS norm; else layer norm */
};

struct layer {
    int number;
    int window;                                    /* 0: sees everything */
    int rope;                                      /* ROPE_FULL or ROPE_LOCAL */
    struct norm before_attention, after_attention; /* of the rows; Gemma 2 and 3 have the second */
    struct norm before_mlp, after_mlp;
    struct norm q_norm, k_norm; /* of each head (Qwen3, Gemma 3) */
    struct linear q, k, v, o;
    struct linear gate, up, down; /* a plain MLP is up, down */
};

/* A family: how its settings are read, its tensors found, its rows computed. */
struct arch {
    const char *family;
    const char *const *model_types; /* of config.json, NULL at the end */
    const char *gguf;               /* general.architecture */
    const char *embed, *layers;     /* "embed_tokens", "layers": names in safetensors files */
    enum err (*shape)(struct shape *s, struct config *c);
    void (*bind)(struct bind *b); /* embedding, last norm, head */
    void (*bind_layer)(struct bind *b, struct layer *l);
    void (*layer)(struct pass *p, const struct layer *l); /* p->x goes in and comes out */
};

extern const struct arch arch_llama, arch_qwen2, arch_qwen3, arch_gemma, arch_gemma2, arch_gemma3,
    arch_gpt2, arch_phi3, arch_phi2;

struct model {
    struct files *files;
    const struct arch *arch;
    struct shape shape;
    struct weights *weights;
    struct model_info info;
    const struct kernels *kernels;
    struct pool *pool;

    const struct tensor *embedding; /* [vocab][width] */
    const struct tensor *positions; /* [ctx][width], GPT-2; else NULL */
    struct norm last_norm;
    struct linear head;
    struct layer *layers;

    int32_t end_ids[32];
    size_t end_ids_count;
    struct pass *pass;
};

/* ---- binding tensors (bind.c) ---------------------------------------------------------------- */

/* Finds tensors under the names of either container, checks shapes, notes the first fault. */
struct bind {
    struct model *m;
    const struct shape *s;
    const char *root; /* what stands before the names in a safetensors file: "model.", "" */
    int layer;        /* whose tensors are being found; -1: those of no layer */
    bool gguf;
    enum err err;
    struct err_note *why;
};

enum bind_bias { BIAS_NONE, BIAS_MAYBE, BIAS_NEEDED };

/* `json`: name in safetensors files after the layer's prefix, `gguf` likewise, both without
 * ".weight". */
void bind_norm(struct bind *b, struct norm *to, const char *json, const char *gguf, int width,
               enum bind_bias bias);
void bind_linear(struct bind *b, struct linear *to, const char *json, const char *gguf, int outs,
                 int ins, enum bind_bias bias);
/* Rows [from, from + outs) of a matrix that has `all` of them: fused projections. */
void bind_part(struct bind *b, struct linear *to, const char *json, const char *gguf, int all,
               int from, int outs, int ins, enum bind_bias bias);
/* As bind_part, for matrices that a safetensors file stores as [ins][outs] (GPT-2). */
void bind_columns(struct bind *b, struct linear *to, const char *json, const char *gguf, int all,
                  int from, int outs, int ins, enum bind_bias bias);
const struct tensor *bind_table(struct bind *b, const char *json, const char *gguf, int rows,
                                int width);
/* The usual ends of a model: embedding, last norm, head (tied as the shape says, or when there is
 * none). */
void bind_ends(struct bind *b, const char *norm_json, enum bind_bias norm_bias,
               enum bind_bias head_bias);

enum err bind_model(struct model *m, struct err_note *why);
void bind_free(struct model *m);

/* ---- keys and values (kv.c) ------------------------------------------------------------------ */

struct kv {
    struct model *model;
    int len, max;
    int expected;    /* tokens that it is known to get; see kv_expect */
    int32_t *tokens; /* [max]: what it was computed from, for recomputing (longrope) */
    float **pages;   /* KERNEL_PAGE positions of all layers each */
    size_t pages_count, pages_cap;
    bool far; /* rotated with the long frequencies */
};

size_t kv_page_floats(const struct shape *s);
size_t kv_keys_at(const struct shape *s, int layer, int head); /* floats from a page's begin */
size_t kv_values_at(const struct shape *s, int layer, int head);
enum err kv_reserve(struct kv *k, int tokens); /* pages for that many */

/* ---- a pass (pass.c) ------------------------------------------------------------------------- */

enum { PASS_ROWS_MAX = 512 }; /* computed together; larger steps run as several passes */

/* Rows of one sequence, neighbours in the pass. */
struct run {
    struct kv *kv;
    size_t first, count; /* rows */
    int position;        /* of the first */
};

/* A matrix of rows: row a is at + a * width. */
struct rows {
    float *at;
    float **row; /* pointers to each */
    int width;
};

struct pass {
    struct model *m;
    enum err err; /* the first failure; later steps of the pass do nothing */
    size_t count; /* rows */
    struct run *runs;
    size_t runs_count;
    int *position; /* [count] */
    bool *far;     /* [count] */

    struct rows x;          /* between layers */
    struct rows n, branch;  /* a normed copy; what a branch yields */
    struct rows q, k, v, a; /* a: what attention yields */
    struct rows gate, up;
    struct rows cosines[ROPES], sines[ROPES]; /* [rope_dim / 2] */

    float *scratch; /* of every thread */
    size_t scratch_floats;
    size_t memory_rows; /* that the buffers have room for */
};

/* What a family's layer is written in.  `to` and `from` may be the same where no matrix is
 * involved. */
void pass_norm(struct pass *p, struct rows *to, const struct rows *from, const struct norm *n);
void pass_linear(struct pass *p, struct rows *to, const struct rows *from, const struct linear *l);
void pass_head_norm(struct pass *p, struct rows *heads, const struct norm *n); /* of each head */
void pass_rope(struct pass *p, const struct layer *l);                         /* p->q and p->k */
void pass_attend(struct pass *p, const struct layer *l); /* p->q, k, v -> p->a; keeps k and v */
void pass_add(struct pass *p, struct rows *to, const struct rows *from);
void pass_silu_times(struct pass *p, struct rows *gate, const struct rows *up);
void pass_gelu_times(struct pass *p, struct rows *gate, const struct rows *up);
void pass_gelu(struct pass *p, struct rows *x);

/* Blocks that several families have (blocks.c): p->n goes in, p->branch comes out. */
void block_attention(struct pass *p,
                     const struct layer *l); /* head norms and rotation where it has them */
void block_swiglu(struct pass *p, const struct layer *l);
void block_geglu(struct pass *p, const struct layer *l);
void block_gelu_mlp(struct pass *p, const struct layer *l);
/* The tensors of a Llama-shaped layer; `qkv` and `others`: whether its projections have a bias. */
void block_bind_llama(struct bind *b, struct layer *l, enum bind_bias qkv, enum bind_bias others);

struct pass *pass_new(struct model *m);
void pass_free(struct pass *p);
enum err pass_reserve(struct pass *p, size_t count); /* buffers for that many rows */
void pass_angles(struct pass *p);                    /* cosines and sines of p->position */
/* out[a] = W x[a] + b for `count` rows of x, `stride` floats apart. */
void pass_multiply(struct pass *p, float *const *out, const float *x, size_t stride, size_t count,
                   const struct linear *l);

#endif
