/* Arithmetic, and nothing else: no files, no threads, no memory of its own.  scalar.c is the
 * definition; avx2.c and avx512.c add in another order and stay within KERNEL_DOT_REL of it
 * (tests/unit/engine).
 *
 * Every result row depends on its own input row and the weights only, never on how many rows are
 * computed together or in which pieces: a sequence says the same alone and in a batch.
 *
 * Numbers are float32 in and out; weights stay in their stored type and are widened in registers,
 * sums are float32. */
#ifndef SEMA_ENGINE_KERNEL_KERNEL_H
#define SEMA_ENGINE_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest difference between two levels, relative to sum |x_i w_i| of the product: float32 sums of
 * n terms in 8 or more parts drift by about sqrt(n / 8) * 2^-24, for n = 16384 that is 3e-6. */
#define KERNEL_DOT_REL 1e-5f

enum kernel_type { KERNEL_F32, KERNEL_F16, KERNEL_BF16 }; /* little-endian, any alignment */

struct kernels {
    const char *name;

    /* out[a][at + b] = sum over i of x[a][i] * w[b][i].
     * x: [nx][k], rows x_stride floats apart; w: [nw][k], rows w_stride bytes apart. */
    void (*rows)(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                 const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k);
    /* out[a][at + b] += sum over i of x[a][i] * w[i][b], added in the order of i.
     * x: [nx][k]; w: [k][nw]. */
    void (*columns)(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                    const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k);

    /* All on vectors of n numbers; out may be x. */
    void (*rms_norm)(float *out, const float *x, const float *w, size_t n, float eps);
    void (*layer_norm)(float *out, const float *x, const float *w, const float *b, size_t n,
                       float eps);
    void (*add)(float *to, const float *x, size_t n);
    void (*scale)(float *to, float by, size_t n);
    void (*silu_times)(float *gate, const float *up, size_t n); /* gate = silu(gate) * up */
    void (*gelu_times)(float *gate, const float *up, size_t n); /* gate = gelu_tanh(gate) * up */
    void (*gelu)(float *x, size_t n);                           /* the tanh form */
    void (*softcap)(float *x, float cap, size_t n);             /* x = cap * tanh(x / cap) */
    /* x = softmax(cap(x * scale)); cap 0: none. */
    void (*softmax)(float *x, size_t n, float scale, float cap);
    /* Rotates `half` pairs by the angles with these cosines and sines; a pair is (i, i + half), or
     * (2i, 2i + 1). */
    void (*rope_halves)(float *x, const float *cosines, const float *sines, size_t half);
    void (*rope_neighbours)(float *x, const float *cosines, const float *sines, size_t half);
};

extern const struct kernels kernels_scalar;
/* The levels that this processor has, the best first; scalar is always among them. */
enum { KERNEL_LEVELS_MAX = 3 };
size_t kernels_here(const struct kernels *out[KERNEL_LEVELS_MAX]);

/* ---- a matrix times rows --------------------------------------------------------------------- */

/* Widens `count` numbers of a block format, from a block's border. */
typedef void kernel_widen(int format, const uint8_t *from, float *to, size_t count);

struct kernel_matrix {
    const uint8_t *data;
    size_t outs, ins;    /* y = W x: W is [outs][ins] */
    size_t stride_bytes; /* from one stored row to the next */
    enum kernel_type type;
    bool by_columns;     /* stored as [ins][outs] (GPT-2) */
    kernel_widen *widen; /* not NULL: block format `format` instead of `type`; never by_columns */
    int format;
};

/* Floats of scratch that kernel_multiply needs. */
size_t kernel_multiply_scratch(const struct kernel_matrix *m);

/* out[a][o] = W[o] . x[a] for o in [from, to) and all nx rows. */
void kernel_multiply(const struct kernels *k, float *const *out, const float *x, size_t x_stride,
                     size_t nx, const struct kernel_matrix *m, size_t from, size_t to,
                     float *scratch);

/* ---- attention ------------------------------------------------------------------------------- */

/* Keys and values lie in pages of KERNEL_PAGE positions; in a page one head's keys are
 * [position][head_dim] at k_offset, its values likewise at v_offset (in floats). */
enum { KERNEL_PAGE = 32 };

struct kernel_attention {
    float *const *pages;
    size_t k_offset, v_offset;
    size_t head_dim;
    size_t group;  /* query heads that share these keys */
    size_t window; /* position i sees j with i - window < j <= i; 0: all */
    float scale, cap;
};

/* `rows` neighbouring positions, the first at `position`; q and out: [rows][group][head_dim], rows
 * `stride` floats apart.  Scratch: kernel_attention_scratch floats. */
size_t kernel_attention_scratch(const struct kernel_attention *a, size_t position, size_t rows);
void kernel_attend(const struct kernels *k, const struct kernel_attention *a, float *out,
                   const float *q, size_t stride, size_t position, size_t rows, float *scratch);

/* cos and sin of position * frequencies[i], both times `scale`.  The angle is rounded to float32
 * before the cosine is taken, as the reference does. */
void kernel_angles(float *cosines, float *sines, const float *frequencies, size_t half,
                   size_t position, float scale);

#endif
