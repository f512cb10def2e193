/* The kernels without a matrix, written so that compilers vectorise them; every level's file
 * includes this and is built for its own instructions.  Sums run in LANES parts, added up at the
 * end: the order is fixed by the source, so that it is the same wherever fused multiply-add is. */
#ifndef SEMA_ENGINE_KERNEL_SIMPLE_H
#define SEMA_ENGINE_KERNEL_SIMPLE_H

#include <math.h>
#include <string.h>

#include "engine/kernel/kernel.h"

enum { LANES = 16 };

/* e^x for x <= 88, relative error below 2e-7; below -87 it gives about 1e-38 instead of less.
 * x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor polynomial of e^r of degree 7. */
static inline float near_exp(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to a whole number */
    uint32_t bits;
    memcpy(&bits, &n, sizeof bits);
    n -= 12582912.0f;
    float r =
        x - n * 0.693359375f; /* ln 2 in two parts; the first has 9 bits, so n times it is exact */
    r += n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = (bits + 127) << 23; /* 2^n: the low bits of the rounded sum are n */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float near_tanh(float x)
{
    return 1.0f - 2.0f / (near_exp(2.0f * x) + 1.0f);
}

static inline float gelu_one(float z)
{
    const float root = 0.797884560802865f; /* sqrt(2 / pi) */
    return 0.5f * z * (1.0f + near_tanh(root * (z + 0.044715f * z * z * z)));
}

static inline float lanes_sum(const float *lane)
{
    float half[8], quarter[4];
    for (int i = 0; i < 8; i++) half[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

static float sum(const float *x, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) lane[j] += x[i + (size_t)j];
    }
    for (; i < n; i++) lane[i % LANES] += x[i];
    return lanes_sum(lane);
}

/* Sum of (x - mean)^2. */
static float sum_squares(const float *x, size_t n, float mean)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float d = x[i + (size_t)j] - mean;
            lane[j] += d * d;
        }
    }
    for (; i < n; i++) lane[i % LANES] += (x[i] - mean) * (x[i] - mean);
    return lanes_sum(lane);
}

static void rms_norm(float *out, const float *x, const float *w, size_t n, float eps)
{
    float by = 1.0f / sqrtf(sum_squares(x, n, 0.0f) / (float)n + eps);
    for (size_t i = 0; i < n; i++) out[i] = x[i] * by * w[i];
}

static void layer_norm(float *out, const float *x, const float *w, const float *b, size_t n,
                       float eps)
{
    float mean = sum(x, n) / (float)n;
    float by = 1.0f / sqrtf(sum_squares(x, n, mean) / (float)n + eps);
    for (size_t i = 0; i < n; i++) out[i] = (x[i] - mean) * by * w[i] + b[i];
}

static void add(float *restrict to, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += x[i];
}

static void scale(float *to, float by, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] *= by;
}

static void silu_times(float *restrict gate, const float *restrict up, size_t n)
{
    for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + near_exp(-gate[i])) * up[i];
}

static void gelu_times(float *restrict gate, const float *restrict up, size_t n)
{
    for (size_t i = 0; i < n; i++) gate[i] = gelu_one(gate[i]) * up[i];
}

static void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = gelu_one(x[i]);
}

static void softcap(float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = cap * near_tanh(x[i] / cap);
}

static void softmax(float *x, size_t n, float by, float cap)
{
    scale(x, by, n);
    if (cap > 0) softcap(x, cap, n);
    float top[LANES];
    for (int j = 0; j < LANES; j++) top[j] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++)
            top[j] = x[i + (size_t)j] > top[j] ? x[i + (size_t)j] : top[j];
    }
    for (; i < n; i++) top[0] = x[i] > top[0] ? x[i] : top[0];
    for (int j = 1; j < LANES; j++) top[0] = top[j] > top[0] ? top[j] : top[0];
    float most = top[0];
    for (i = 0; i < n; i++) x[i] = near_exp(x[i] - most);
    scale(x, 1.0f / sum(x, n), n);
}

static void rope_halves(float *x, const float *restrict cosines, const float *restrict sines,
                        size_t half)
{
    float *restrict a = x, *restrict b = x + half;
    for (size_t i = 0; i < half; i++) {
        float p = a[i], q = b[i];
        a[i] = p * cosines[i] - q * sines[i];
        b[i] = q * cosines[i] + p * sines[i];
    }
}

static void rope_neighbours(float *x, const float *cosines, const float *sines, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float p = x[2 * i], q = x[2 * i + 1];
        x[2 * i] = p * cosines[i] - q * sines[i];
        x[2 * i + 1] = q * cosines[i] + p * sines[i];
    }
}

#define SIMPLE_KERNELS                                                                             \
    .rms_norm = rms_norm, .layer_norm = layer_norm, .add = add, .scale = scale,                    \
    .silu_times = silu_times, .gelu_times = gelu_times, .gelu = gelu, .softcap = softcap,          \
    .softmax = softmax, .rope_halves = rope_halves, .rope_neighbours = rope_neighbours

#endif
