/* The definition of every kernel, in C for any processor. */
#include "engine/kernel/simple.h"

static inline float widen_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
    uint32_t bits;
    float f;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24 */
        f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    } else if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13;
    } else {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    }
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float load_one(const uint8_t *w, enum kernel_type type, size_t i)
{
    uint32_t bits = 0;
    uint16_t half;
    float f;
    switch (type) {
    case KERNEL_F32: memcpy(&f, w + i * 4, sizeof f); return f;
    case KERNEL_F16: memcpy(&half, w + i * 2, sizeof half); return widen_f16(half);
    default:
        memcpy(&half, w + i * 2, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
}

static inline void load_lanes(float *to, const uint8_t *w, enum kernel_type type, size_t i,
                              size_t n)
{
    for (size_t j = 0; j < n; j++) to[j] = load_one(w, type, i + j);
}

static inline float dot(const float *x, const uint8_t *w, enum kernel_type type, size_t k)
{
    float lane[LANES] = {0}, wide[LANES];
    size_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        load_lanes(wide, w, type, i, LANES);
        for (int j = 0; j < LANES; j++) lane[j] += x[i + (size_t)j] * wide[j];
    }
    for (; i < k; i++) lane[i % LANES] += x[i] * load_one(w, type, i);
    return lanes_sum(lane);
}

static inline void rows_of(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                           const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw,
                           size_t k)
{
    for (size_t b = 0; b < nw; b++) {
        for (size_t a = 0; a < nx; a++) {
            out[a][at + b] = dot(x + a * x_stride, w + b * w_stride, type, k);
        }
    }
}

static void rows(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                 const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k)
{
    /* One copy of the loops for each type. */
    switch (type) {
    case KERNEL_F32: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F32, nw, k); break;
    case KERNEL_F16: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_F16, nw, k); break;
    default: rows_of(out, at, x, x_stride, nx, w, w_stride, KERNEL_BF16, nw, k);
    }
}

static void columns(float *const *out, size_t at, const float *x, size_t x_stride, size_t nx,
                    const uint8_t *w, size_t w_stride, enum kernel_type type, size_t nw, size_t k)
{
    for (size_t a = 0; a < nx; a++) {
        float *restrict to = out[a] + at;
        for (size_t i = 0; i < k; i++) {
            const uint8_t *row = w + i * w_stride;
            float by = x[a * x_stride + i];
            float wide[LANES];
            size_t b = 0;
            for (; b + LANES <= nw; b += LANES) {
                load_lanes(wide, row, type, b, LANES);
                for (int j = 0; j < LANES; j++) to[b + (size_t)j] += by * wide[j];
            }
            for (; b < nw; b++) to[b] += by * load_one(row, type, b);
        }
    }
}

const struct kernels kernels_scalar = {.name = "scalar",
                                       .rows = rows,
                                       .columns = columns,
                                       SIMPLE_KERNELS};
