/* Widening: the exact value of every number in every stored format (ggml's block layouts). */
#include <string.h>

#include "engine/format/weights.h"

static float f16(const uint8_t *at)
{
    uint32_t h = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff, bits;
    float f;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24 */
        f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = exponent == 31 ? sign | 0x7f800000 | mantissa << 13
                          : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void widen_f32(const uint8_t *from, float *to, size_t count)
{
    memcpy(to, from, count * sizeof *to);
}

static void widen_f16(const uint8_t *from, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = f16(from + 2 * i);
}

static void widen_bf16(const uint8_t *from, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)from[2 * i] << 16 | (uint32_t)from[2 * i + 1] << 24;
        memcpy(to + i, &bits, sizeof bits);
    }
}

typedef void widen_fn(const uint8_t *from, float *to, size_t count);

static widen_fn *const table[WEIGHT_TYPES] = {
    [WEIGHT_F32] = widen_f32,
    [WEIGHT_F16] = widen_f16,
    [WEIGHT_BF16] = widen_bf16,
};

void weights_widen(enum weight_type type, const uint8_t *from, float *to, size_t count)
{
    table[type](from, to, count);
}
