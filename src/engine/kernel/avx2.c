/* AVX2 with FMA and F16C.  Eight numbers at a time, one accumulator for each (row, output) of a
 * tile, as named variables (see avx512.c).  Ends shorter than a vector go through a zeroed buffer.
 */
#include <immintrin.h>

#include "engine/kernel/simple.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 load(const uint8_t *w, enum kernel_type type, size_t i)
{
    if (type == KERNEL_F32) return _mm256_loadu_ps((const float *)(const void *)(w + i * 4));
    __m128i half = _mm_loadu_si128((const void *)(w + i * 2));
    if (type == KERNEL_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* The first n < 8 numbers, zeros behind them. */
INLINE __m256 load_part(const uint8_t *w, enum kernel_type type, size_t i, size_t n)
{
    uint8_t whole[32] = {0};
    size_t number_bytes = type == KERNEL_F32 ? 4 : 2;
    memcpy(whole, w + i * number_bytes, n * number_bytes);
    return load(whole, type, 0);
}

INLINE float total(__m256 v)
{
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

#define FMA(acc, x, w) acc = _mm256_fmadd_ps(x, w, acc)

/* 4 rows of x by 2 rows of w. */
INLINE void tile_4x2(float *const *out, size_t at, const float *x, size_t xs, const uint8_t *w,
                     size_t ws, enum kernel_type type, size_t k)
{
    __m256 z = _mm256_setzero_ps();
    __m256 a0 = z, a1 = z, b0 = z, b1 = z, c0 = z, c1 = z, d0 = z, d1 = z;
    const float *xa = x, *xb = x + xs, *xc = x + 2 * xs, *xd = x + 3 * xs;
    const uint8_t *wa = w, *wb = w + ws;
    size_t i = 0;
    for (; i + 8 <= k; i += 8) {
        __m256 w0 = load(wa, type, i), w1 = load(wb, type, i), v;
        v = _mm256_loadu_ps(xa + i);
        FMA(a0, v, w0), FMA(a1, v, w1);
        v = _mm256_loadu_ps(xb + i);
        FMA(b0, v, w0), FMA(b1, v, w1);
        v = _mm256_loadu_ps(xc + i);
        FMA(c0, v, w0), FMA(c1, v, w1);
        v = _mm256_loadu_ps(xd + i);
        FMA(d0, v, w0), FMA(d1, v, w1);
    }
    if (i < k) {
        size_t n = k - i;
        __m256 w0 = load_part(wa, type, i, n), w1 = load_part(wb, type, i, n), v;
        v = load_part((const uint8_t *)xa, KERNEL_F32, i, n);
        FMA(a0, v, w0), FMA(a1, v, w1);
        v = load_part((const uint8_t *)xb, KERNEL_F32, i, n);
        FMA(b0, v, w0), FMA(b1, v, w1);
        v = load_part((const uint8_t *)xc, KERNEL_F32, i, n);
        FMA(c0, v, w0), FMA(c1, v, w1);
        v = load_part((const uint8_t *)xd, KERNEL_F32, i, n);
        FMA(d0, v, w0), FMA(d1, v, w1);
    }
    out[0][at] = total(a0), out[0][at + 1] = total(a1);
    out[1][at] = total(b0), out[1][at + 1] = total(b1);
    out[2][at] = total(c0), out[2][at + 1] = total(c1);
    out[3][at] = total(d0), out[3][at + 1] = total(d1);
}

/* 1 row of x by 4 rows of w. */
INLINE void tile_1x4(float *to, const float *x, const uint8_t *w, size_t ws, enum kernel_type type,
                     size_t k)
{
    __m256 z = _mm256_setzero_ps(), a0 = z, a1 = z, a2 = z, a3 = z;
    const uint8_t *wa = w, *wb = w + ws, *wc = w + 2 * ws, *wd = w + 3 * ws;
    size_t i = 0;
    for (; i + 8 <= k; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        FMA(a0, v, load(wa, type, i)), FMA(a1, v, load(wb, type, i));
        FMA(a2, v, load(wc, type, i)), FMA(a3, v, load(wd, type, i));
    }
    if (i < k) {
        size_t n = k - i;
        __m256 v = load_part((const uint8_t *)x, KERNEL_F32, i, n);
        FMA(a0, v, load_part(wa, type, i, n)), FMA(a1, v, load_part(wb, type, i, n));
        FMA(a2, v, load_part(wc, type, i, n)), FMA(a3, v, load_part(wd, type, i, n));
    }
    to[0] = total(a0), to[1] = total(a1), to[2] = total(a2), to[3] = total(a3);
}

INLINE float tile_1x1(const float *x, const uint8_t *w, enum kernel_type type, size_t k)
{
    __m256 acc = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 8 <= k; i += 8) FMA(acc, _mm256_loadu_ps(x + i), load(w, type, i));
    if (i < k) {
        FMA(acc, load_part((const uint8_t *)x, KERNEL_F32, i, k - i), load_part(w, type, i, k - i));
    }
    return total(acc);
}

INLINE void rows_of(float *const *out, size_t at, const float *x, size_t xs, size_t nx,
                    const uint8_t *w, size_t ws, enum kernel_type type, size_t nw, size_t k)
{
    size_t a = 0;
    for (; a + 4 <= nx; a += 4) {
        size_t b = 0;
        for (; b + 2 <= nw; b += 2)
            tile_4x2(out + a, at + b, x + a * xs, xs, w + b * ws, ws, type, k);
        for (size_t c = a; b < nw && c < a + 4; c++) {
            out[c][at + b] = tile_1x1(x + c * xs, w + b * ws, type, k);
        }
    }
    for (size_t b = 0; a < nx && b < nw; b += 4) { /* the rest: all its rows while w is near */
        for (size_t c = a; c < nx; c++) {
            if (b + 4 <= nw) {
                tile_1x4(out[c] + at + b, x + c * xs, w + b * ws, ws, type, k);
                continue;
            }
            for (size_t d = b; d < nw; d++) {
                out[c][at + d] = tile_1x1(x + c * xs, w + d * ws, type, k);
            }
        }
    }
}

static void rows(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                 const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k)
{
    switch (type) {
    case KERNEL_F32: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F32, nw, k); break;
    case KERNEL_F16: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F16, nw, k); break;
    default: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_BF16, nw, k);
    }
}

/* 4 rows of x by 16 columns. */
INLINE void strip_4x16(float *const *out, size_t at, const float *x, size_t xs, const uint8_t *w,
                       size_t ws, enum kernel_type type, size_t k)
{
    float *oa = out[0] + at, *ob = out[1] + at, *oc = out[2] + at, *od = out[3] + at;
    __m256 a0 = _mm256_loadu_ps(oa), a1 = _mm256_loadu_ps(oa + 8);
    __m256 b0 = _mm256_loadu_ps(ob), b1 = _mm256_loadu_ps(ob + 8);
    __m256 c0 = _mm256_loadu_ps(oc), c1 = _mm256_loadu_ps(oc + 8);
    __m256 d0 = _mm256_loadu_ps(od), d1 = _mm256_loadu_ps(od + 8);
    for (size_t i = 0; i < k; i++, w += ws) {
        __m256 w0 = load(w, type, 0), w1 = load(w, type, 8), v;
        v = _mm256_set1_ps(x[i]);
        FMA(a0, v, w0), FMA(a1, v, w1);
        v = _mm256_set1_ps(x[i + xs]);
        FMA(b0, v, w0), FMA(b1, v, w1);
        v = _mm256_set1_ps(x[i + 2 * xs]);
        FMA(c0, v, w0), FMA(c1, v, w1);
        v = _mm256_set1_ps(x[i + 3 * xs]);
        FMA(d0, v, w0), FMA(d1, v, w1);
    }
    _mm256_storeu_ps(oa, a0), _mm256_storeu_ps(oa + 8, a1);
    _mm256_storeu_ps(ob, b0), _mm256_storeu_ps(ob + 8, b1);
    _mm256_storeu_ps(oc, c0), _mm256_storeu_ps(oc + 8, c1);
    _mm256_storeu_ps(od, d0), _mm256_storeu_ps(od + 8, d1);
}

/* 1 row of x by 64 columns. */
INLINE void strip_1x64(float *to, const float *x, const uint8_t *w, size_t ws,
                       enum kernel_type type, size_t k)
{
    __m256 a0 = _mm256_loadu_ps(to), a1 = _mm256_loadu_ps(to + 8);
    __m256 a2 = _mm256_loadu_ps(to + 16), a3 = _mm256_loadu_ps(to + 24);
    __m256 a4 = _mm256_loadu_ps(to + 32), a5 = _mm256_loadu_ps(to + 40);
    __m256 a6 = _mm256_loadu_ps(to + 48), a7 = _mm256_loadu_ps(to + 56);
    for (size_t i = 0; i < k; i++, w += ws) {
        __m256 v = _mm256_set1_ps(x[i]);
        FMA(a0, v, load(w, type, 0)), FMA(a1, v, load(w, type, 8));
        FMA(a2, v, load(w, type, 16)), FMA(a3, v, load(w, type, 24));
        FMA(a4, v, load(w, type, 32)), FMA(a5, v, load(w, type, 40));
        FMA(a6, v, load(w, type, 48)), FMA(a7, v, load(w, type, 56));
    }
    _mm256_storeu_ps(to, a0), _mm256_storeu_ps(to + 8, a1);
    _mm256_storeu_ps(to + 16, a2), _mm256_storeu_ps(to + 24, a3);
    _mm256_storeu_ps(to + 32, a4), _mm256_storeu_ps(to + 40, a5);
    _mm256_storeu_ps(to + 48, a6), _mm256_storeu_ps(to + 56, a7);
}

/* 1 row of x by up to 8 columns. */
INLINE void strip_1x8(float *to, const float *x, const uint8_t *w, size_t ws, enum kernel_type type,
                      size_t n, size_t k)
{
    float part[8] = {0};
    n = n < 8 ? n : 8;
    memcpy(part, to, n * sizeof *part);
    __m256 acc = _mm256_loadu_ps(part);
    for (size_t i = 0; i < k; i++, w += ws) {
        FMA(acc, _mm256_set1_ps(x[i]), n == 8 ? load(w, type, 0) : load_part(w, type, 0, n));
    }
    _mm256_storeu_ps(part, acc);
    memcpy(to, part, n * sizeof *part);
}

INLINE void columns_of(float *const *out, size_t at, const float *x, size_t xs, size_t nx,
                       const uint8_t *w, size_t ws, enum kernel_type type, size_t nw, size_t k)
{
    size_t number_bytes = type == KERNEL_F32 ? 4 : 2, a = 0;
    for (; a + 4 <= nx; a += 4) {
        size_t b = 0;
        for (; b + 16 <= nw; b += 16) {
            strip_4x16(out + a, at + b, x + a * xs, xs, w + b * number_bytes, ws, type, k);
        }
        for (; b < nw; b += 8) {
            for (size_t c = a; c < a + 4; c++) {
                strip_1x8(out[c] + at + b, x + c * xs, w + b * number_bytes, ws, type, nw - b, k);
            }
        }
    }
    for (; a < nx; a++) {
        size_t b = 0;
        for (; b + 64 <= nw; b += 64) {
            strip_1x64(out[a] + at + b, x + a * xs, w + b * number_bytes, ws, type, k);
        }
        for (; b < nw; b += 8) {
            strip_1x8(out[a] + at + b, x + a * xs, w + b * number_bytes, ws, type, nw - b, k);
        }
    }
}

static void columns(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                    const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k)
{
    switch (type) {
    case KERNEL_F32: columns_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F32, nw, k); break;
    case KERNEL_F16: columns_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F16, nw, k); break;
    default: columns_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_BF16, nw, k);
    }
}

extern const struct kernels kernels_avx2;
const struct kernels kernels_avx2 = {.name = "avx2",
                                     .rows = rows,
                                     .columns = columns,
                                     SIMPLE_KERNELS};
