/* AVX-512 (F, BW, VL).  Sixteen numbers at a time, one accumulator for each (row, output) of a
 * tile: the order of a sum is that of the definition, with fused multiply-add.
 *
 * Accumulators are named variables: in arrays gcc 12 keeps them on the stack, at a third of the
 * speed. */
#include <immintrin.h>

#include "engine/kernel/simple.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 load(const uint8_t *w, enum kernel_type type, size_t i)
{
    if (type == KERNEL_F32) return _mm512_loadu_ps(w + i * 4);
    __m256i half = _mm256_loadu_si256((const void *)(w + i * 2));
    if (type == KERNEL_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

INLINE __m512 load_part(const uint8_t *w, enum kernel_type type, size_t i, __mmask16 mask)
{
    if (type == KERNEL_F32) return _mm512_maskz_loadu_ps(mask, w + i * 4);
    __m256i half = _mm256_maskz_loadu_epi16(mask, w + i * 2);
    if (type == KERNEL_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* The order of lanes_sum. */
INLINE float total(__m512 v)
{
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v),
                                _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

#define FMA(acc, x, w) acc = _mm512_fmadd_ps(x, w, acc)

/* 4 rows of x by 4 rows of w. */
INLINE void tile_4x4(float *const *out, size_t at, const float *x, size_t xs, const uint8_t *w,
                     size_t ws, enum kernel_type type, size_t k)
{
    __m512 z = _mm512_setzero_ps();
    __m512 a0 = z, a1 = z, a2 = z, a3 = z, b0 = z, b1 = z, b2 = z, b3 = z;
    __m512 c0 = z, c1 = z, c2 = z, c3 = z, d0 = z, d1 = z, d2 = z, d3 = z;
    const float *xa = x, *xb = x + xs, *xc = x + 2 * xs, *xd = x + 3 * xs;
    const uint8_t *wa = w, *wb = w + ws, *wc = w + 2 * ws, *wd = w + 3 * ws;
    for (size_t i = 0; i < k; i += 16) {
        __mmask16 mask = k - i < 16 ? (__mmask16)((1u << (k - i)) - 1) : 0xffff;
        __m512 w0, w1, w2, w3, v;
        if (mask == 0xffff) {
            w0 = load(wa, type, i), w1 = load(wb, type, i);
            w2 = load(wc, type, i), w3 = load(wd, type, i);
        } else {
            w0 = load_part(wa, type, i, mask), w1 = load_part(wb, type, i, mask);
            w2 = load_part(wc, type, i, mask), w3 = load_part(wd, type, i, mask);
        }
        v = _mm512_maskz_loadu_ps(mask, xa + i);
        FMA(a0, v, w0), FMA(a1, v, w1), FMA(a2, v, w2), FMA(a3, v, w3);
        v = _mm512_maskz_loadu_ps(mask, xb + i);
        FMA(b0, v, w0), FMA(b1, v, w1), FMA(b2, v, w2), FMA(b3, v, w3);
        v = _mm512_maskz_loadu_ps(mask, xc + i);
        FMA(c0, v, w0), FMA(c1, v, w1), FMA(c2, v, w2), FMA(c3, v, w3);
        v = _mm512_maskz_loadu_ps(mask, xd + i);
        FMA(d0, v, w0), FMA(d1, v, w1), FMA(d2, v, w2), FMA(d3, v, w3);
    }
    float *to = out[0] + at;
    to[0] = total(a0), to[1] = total(a1), to[2] = total(a2), to[3] = total(a3);
    to = out[1] + at;
    to[0] = total(b0), to[1] = total(b1), to[2] = total(b2), to[3] = total(b3);
    to = out[2] + at;
    to[0] = total(c0), to[1] = total(c1), to[2] = total(c2), to[3] = total(c3);
    to = out[3] + at;
    to[0] = total(d0), to[1] = total(d1), to[2] = total(d2), to[3] = total(d3);
}

/* 1 row of x by 4 rows of w. */
INLINE void tile_1x4(float *to, const float *x, const uint8_t *w, size_t ws, enum kernel_type type,
                     size_t k)
{
    __m512 z = _mm512_setzero_ps(), a0 = z, a1 = z, a2 = z, a3 = z;
    const uint8_t *wa = w, *wb = w + ws, *wc = w + 2 * ws, *wd = w + 3 * ws;
    size_t i = 0;
    for (; i + 16 <= k; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        FMA(a0, v, load(wa, type, i)), FMA(a1, v, load(wb, type, i));
        FMA(a2, v, load(wc, type, i)), FMA(a3, v, load(wd, type, i));
    }
    if (i < k) {
        __mmask16 mask = (__mmask16)((1u << (k - i)) - 1);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        FMA(a0, v, load_part(wa, type, i, mask)), FMA(a1, v, load_part(wb, type, i, mask));
        FMA(a2, v, load_part(wc, type, i, mask)), FMA(a3, v, load_part(wd, type, i, mask));
    }
    to[0] = total(a0), to[1] = total(a1), to[2] = total(a2), to[3] = total(a3);
}

INLINE float tile_1x1(const float *x, const uint8_t *w, enum kernel_type type, size_t k)
{
    __m512 acc = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= k; i += 16) FMA(acc, _mm512_loadu_ps(x + i), load(w, type, i));
    if (i < k) {
        __mmask16 mask = (__mmask16)((1u << (k - i)) - 1);
        FMA(acc, _mm512_maskz_loadu_ps(mask, x + i), load_part(w, type, i, mask));
    }
    return total(acc);
}

INLINE void rows_of(float *const *out, size_t at, const float *x, size_t xs, size_t nx,
                    const uint8_t *w, size_t ws, enum kernel_type type, size_t nw, size_t k)
{
    size_t a = 0;
    for (; a + 4 <= nx; a += 4) {
        size_t b = 0;
        for (; b + 4 <= nw; b += 4)
            tile_4x4(out + a, at + b, x + a * xs, xs, w + b * ws, ws, type, k);
        for (; b < nw; b++) {
            for (size_t c = a; c < a + 4; c++) {
                out[c][at + b] = tile_1x1(x + c * xs, w + b * ws, type, k);
            }
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

/* 4 rows of x by 64 columns. */
INLINE void strip_4x64(float *const *out, size_t at, const float *x, size_t xs, const uint8_t *w,
                       size_t ws, enum kernel_type type, size_t k)
{
    float *oa = out[0] + at, *ob = out[1] + at, *oc = out[2] + at, *od = out[3] + at;
    __m512 a0 = _mm512_loadu_ps(oa), a1 = _mm512_loadu_ps(oa + 16);
    __m512 a2 = _mm512_loadu_ps(oa + 32), a3 = _mm512_loadu_ps(oa + 48);
    __m512 b0 = _mm512_loadu_ps(ob), b1 = _mm512_loadu_ps(ob + 16);
    __m512 b2 = _mm512_loadu_ps(ob + 32), b3 = _mm512_loadu_ps(ob + 48);
    __m512 c0 = _mm512_loadu_ps(oc), c1 = _mm512_loadu_ps(oc + 16);
    __m512 c2 = _mm512_loadu_ps(oc + 32), c3 = _mm512_loadu_ps(oc + 48);
    __m512 d0 = _mm512_loadu_ps(od), d1 = _mm512_loadu_ps(od + 16);
    __m512 d2 = _mm512_loadu_ps(od + 32), d3 = _mm512_loadu_ps(od + 48);
    for (size_t i = 0; i < k; i++, w += ws) {
        __m512 w0 = load(w, type, 0), w1 = load(w, type, 16);
        __m512 w2 = load(w, type, 32), w3 = load(w, type, 48);
        __m512 v = _mm512_set1_ps(x[i]);
        FMA(a0, v, w0), FMA(a1, v, w1), FMA(a2, v, w2), FMA(a3, v, w3);
        v = _mm512_set1_ps(x[i + xs]);
        FMA(b0, v, w0), FMA(b1, v, w1), FMA(b2, v, w2), FMA(b3, v, w3);
        v = _mm512_set1_ps(x[i + 2 * xs]);
        FMA(c0, v, w0), FMA(c1, v, w1), FMA(c2, v, w2), FMA(c3, v, w3);
        v = _mm512_set1_ps(x[i + 3 * xs]);
        FMA(d0, v, w0), FMA(d1, v, w1), FMA(d2, v, w2), FMA(d3, v, w3);
    }
    _mm512_storeu_ps(oa, a0), _mm512_storeu_ps(oa + 16, a1);
    _mm512_storeu_ps(oa + 32, a2), _mm512_storeu_ps(oa + 48, a3);
    _mm512_storeu_ps(ob, b0), _mm512_storeu_ps(ob + 16, b1);
    _mm512_storeu_ps(ob + 32, b2), _mm512_storeu_ps(ob + 48, b3);
    _mm512_storeu_ps(oc, c0), _mm512_storeu_ps(oc + 16, c1);
    _mm512_storeu_ps(oc + 32, c2), _mm512_storeu_ps(oc + 48, c3);
    _mm512_storeu_ps(od, d0), _mm512_storeu_ps(od + 16, d1);
    _mm512_storeu_ps(od + 32, d2), _mm512_storeu_ps(od + 48, d3);
}

/* 1 row of x by 128 columns: half a kilobyte of each stored row at a time. */
INLINE void strip_1x128(float *to, const float *x, const uint8_t *w, size_t ws,
                        enum kernel_type type, size_t k)
{
    __m512 a0 = _mm512_loadu_ps(to), a1 = _mm512_loadu_ps(to + 16);
    __m512 a2 = _mm512_loadu_ps(to + 32), a3 = _mm512_loadu_ps(to + 48);
    __m512 a4 = _mm512_loadu_ps(to + 64), a5 = _mm512_loadu_ps(to + 80);
    __m512 a6 = _mm512_loadu_ps(to + 96), a7 = _mm512_loadu_ps(to + 112);
    for (size_t i = 0; i < k; i++, w += ws) {
        __m512 v = _mm512_set1_ps(x[i]);
        FMA(a0, v, load(w, type, 0)), FMA(a1, v, load(w, type, 16));
        FMA(a2, v, load(w, type, 32)), FMA(a3, v, load(w, type, 48));
        FMA(a4, v, load(w, type, 64)), FMA(a5, v, load(w, type, 80));
        FMA(a6, v, load(w, type, 96)), FMA(a7, v, load(w, type, 112));
    }
    _mm512_storeu_ps(to, a0), _mm512_storeu_ps(to + 16, a1);
    _mm512_storeu_ps(to + 32, a2), _mm512_storeu_ps(to + 48, a3);
    _mm512_storeu_ps(to + 64, a4), _mm512_storeu_ps(to + 80, a5);
    _mm512_storeu_ps(to + 96, a6), _mm512_storeu_ps(to + 112, a7);
}

/* 1 row of x by up to 16 columns. */
INLINE void strip_1x16(float *to, const float *x, const uint8_t *w, size_t ws,
                       enum kernel_type type, size_t n, size_t k)
{
    __mmask16 mask = n < 16 ? (__mmask16)((1u << n) - 1) : 0xffff;
    __m512 acc = _mm512_maskz_loadu_ps(mask, to);
    for (size_t i = 0; i < k; i++, w += ws) {
        FMA(acc, _mm512_set1_ps(x[i]), load_part(w, type, 0, mask));
    }
    _mm512_mask_storeu_ps(to, mask, acc);
}

INLINE void columns_of(float *const *out, size_t at, const float *x, size_t xs, size_t nx,
                       const uint8_t *w, size_t ws, enum kernel_type type, size_t nw, size_t k)
{
    size_t number_bytes = type == KERNEL_F32 ? 4 : 2, a = 0;
    for (; a + 4 <= nx; a += 4) {
        size_t b = 0;
        for (; b + 64 <= nw; b += 64) {
            strip_4x64(out + a, at + b, x + a * xs, xs, w + b * number_bytes, ws, type, k);
        }
        for (; b < nw; b += 16) {
            for (size_t c = a; c < a + 4; c++) {
                strip_1x16(out[c] + at + b, x + c * xs, w + b * number_bytes, ws, type, nw - b, k);
            }
        }
    }
    for (; a < nx; a++) {
        size_t b = 0;
        for (; b + 128 <= nw; b += 128) {
            strip_1x128(out[a] + at + b, x + a * xs, w + b * number_bytes, ws, type, k);
        }
        for (; b < nw; b += 16) {
            strip_1x16(out[a] + at + b, x + a * xs, w + b * number_bytes, ws, type, nw - b, k);
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

extern const struct kernels kernels_avx512;
const struct kernels kernels_avx512 = {.name = "avx512",
                                       .rows = rows,
                                       .columns = columns,
                                       SIMPLE_KERNELS};
