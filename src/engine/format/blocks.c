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

/* ---- blocks of 32: a scale, perhaps a minimum, whole numbers --------------------------------- */

static void widen_q8_0(const uint8_t *b, float *to)
{
    float d = f16(b);
    for (int i = 0; i < 32; i++) to[i] = d * (float)(int8_t)b[2 + i];
}

static void widen_q4_0(const uint8_t *b, float *to)
{
    float d = f16(b);
    for (int i = 0; i < 16; i++) {
        to[i] = (float)((b[2 + i] & 15) - 8) * d;
        to[i + 16] = (float)((b[2 + i] >> 4) - 8) * d;
    }
}

static void widen_q4_1(const uint8_t *b, float *to)
{
    float d = f16(b), least = f16(b + 2);
    for (int i = 0; i < 16; i++) {
        to[i] = (float)(b[4 + i] & 15) * d + least;
        to[i + 16] = (float)(b[4 + i] >> 4) * d + least;
    }
}

/* The fifth bits of a block's numbers, number i's at bit i. */
static uint32_t fifth_bits(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void widen_q5_0(const uint8_t *b, float *to)
{
    float d = f16(b);
    uint32_t high = fifth_bits(b + 2);
    for (int i = 0; i < 16; i++) {
        int low = (b[6 + i] & 15) | (int)(high >> i & 1) << 4;
        int up = (b[6 + i] >> 4) | (int)(high >> (i + 16) & 1) << 4;
        to[i] = (float)(low - 16) * d;
        to[i + 16] = (float)(up - 16) * d;
    }
}

static void widen_q5_1(const uint8_t *b, float *to)
{
    float d = f16(b), least = f16(b + 2);
    uint32_t high = fifth_bits(b + 4);
    for (int i = 0; i < 16; i++) {
        int low = (b[8 + i] & 15) | (int)(high >> i & 1) << 4;
        int up = (b[8 + i] >> 4) | (int)(high >> (i + 16) & 1) << 4;
        to[i] = (float)low * d + least;
        to[i + 16] = (float)up * d + least;
    }
}

/* The steps of a non-linear 4-bit format, from ggml's kvalues_iq4nl. */
static const int8_t iq4_steps[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

static void iq4_numbers(const uint8_t *from, float d, float *to)
{
    for (int i = 0; i < 16; i++) {
        to[i] = d * (float)iq4_steps[from[i] & 15];
        to[i + 16] = d * (float)iq4_steps[from[i] >> 4];
    }
}

static void widen_iq4_nl(const uint8_t *b, float *to)
{
    iq4_numbers(b + 2, f16(b), to);
}

/* ---- blocks of 256: scales of their parts are whole numbers too ------------------------------ */

/* 16 bytes of 4-bit scales and minima, 64 of numbers, scale of the scales, scale of the minima.  Of
 * each half the four bit pairs of 32 bytes are 4 x 32 numbers. */
static void widen_q2_k(const uint8_t *b, float *to)
{
    float d = f16(b + 80), least = f16(b + 82);
    for (int part = 0; part < 16; part++) { /* of 16 numbers */
        int half = part / 8, pair = part % 8 / 2, side = part % 2;
        const uint8_t *q = b + 16 + 32 * half + 16 * side;
        float by = d * (float)(b[part] & 15), less = least * (float)(b[part] >> 4);
        for (int i = 0; i < 16; i++) to[16 * part + i] = by * (float)(q[i] >> 2 * pair & 3) - less;
    }
}

/* 32 bytes of third bits, 64 of bit pairs laid out as in Q2_K, 12 of 6-bit scales, scale of the
 * scales. */
static void widen_q3_k(const uint8_t *b, float *to)
{
    const uint8_t *scales = b + 96;
    float d = f16(b + 108);
    for (int part = 0; part < 16; part++) {
        int half = part / 8, pair = part % 8 / 2, side = part % 2;
        int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
        int high = scales[8 + part % 4] >> 2 * (part / 4) & 3;
        const uint8_t *third = b + 16 * side, *q = b + 32 + 32 * half + 16 * side;
        float by = d * (float)((low | high << 4) - 32);
        for (int i = 0; i < 16; i++) {
            int set = third[i] >> (4 * half + pair) & 1;
            to[16 * part + i] = by * (float)((q[i] >> 2 * pair & 3) - (set ? 0 : 4));
        }
    }
}

/* Scale and minimum of part i (0 to 7) out of the 12 packed bytes of Q4_K and Q5_K: 6 bits each. */
static void part_scale(const uint8_t *packed, int i, int *scale, int *least)
{
    if (i < 4) {
        *scale = packed[i] & 63;
        *least = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
        *least = packed[i + 4] >> 4 | (packed[i] >> 6) << 4;
    }
}

static void widen_q4_k(const uint8_t *b, float *to)
{
    float d = f16(b), least = f16(b + 2);
    for (int part = 0; part < 8; part++) { /* of 32 numbers */
        const uint8_t *q = b + 16 + 32 * (part / 2);
        int scale, minimum, shift = part % 2 * 4;
        part_scale(b + 4, part, &scale, &minimum);
        float by = d * (float)scale, less = least * (float)minimum;
        for (int i = 0; i < 32; i++) to[32 * part + i] = by * (float)(q[i] >> shift & 15) - less;
    }
}

static void widen_q5_k(const uint8_t *b, float *to)
{
    float d = f16(b), least = f16(b + 2);
    const uint8_t *fifth = b + 16;
    for (int part = 0; part < 8; part++) {
        const uint8_t *q = b + 48 + 32 * (part / 2);
        int scale, minimum, shift = part % 2 * 4;
        part_scale(b + 4, part, &scale, &minimum);
        float by = d * (float)scale, less = least * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int number = (q[i] >> shift & 15) | (fifth[i] >> part & 1) << 4;
            to[32 * part + i] = by * (float)number - less;
        }
    }
}

/* 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, scale of the scales. */
static void widen_q6_k(const uint8_t *b, float *to)
{
    float d = f16(b + 208);
    for (int part = 0; part < 16; part++) { /* of 16 numbers */
        int half = part / 8, quarter = part % 8 / 2, side = part % 2;
        const uint8_t *low = b + 64 * half + 32 * (quarter % 2) + 16 * side;
        const uint8_t *high = b + 128 + 32 * half + 16 * side;
        float by = d * (float)(int8_t)b[192 + part];
        for (int i = 0; i < 16; i++) {
            int number = (low[i] >> 4 * (quarter / 2) & 15) | (high[i] >> 2 * quarter & 3) << 4;
            to[16 * part + i] = by * (float)(number - 32);
        }
    }
}

/* Scale of the scales, upper bit pairs and low nibbles of eight 6-bit scales, numbers as in IQ4_NL.
 */
static void widen_iq4_xs(const uint8_t *b, float *to)
{
    float d = f16(b);
    int high = b[2] | b[3] << 8;
    for (int part = 0; part < 8; part++) {
        int low = b[4 + part / 2] >> 4 * (part % 2) & 15;
        int scale = (low | (high >> 2 * part & 3) << 4) - 32;
        iq4_numbers(b + 8 + 16 * part, d * (float)scale, to + 32 * part);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

typedef void widen_block(const uint8_t *block, float *to);

static widen_block *const blocks[WEIGHT_TYPES] = {
    [WEIGHT_Q8_0] = widen_q8_0, [WEIGHT_Q4_0] = widen_q4_0,     [WEIGHT_Q4_1] = widen_q4_1,
    [WEIGHT_Q5_0] = widen_q5_0, [WEIGHT_Q5_1] = widen_q5_1,     [WEIGHT_Q2_K] = widen_q2_k,
    [WEIGHT_Q3_K] = widen_q3_k, [WEIGHT_Q4_K] = widen_q4_k,     [WEIGHT_Q5_K] = widen_q5_k,
    [WEIGHT_Q6_K] = widen_q6_k, [WEIGHT_IQ4_NL] = widen_iq4_nl, [WEIGHT_IQ4_XS] = widen_iq4_xs,
};

void weights_widen(enum weight_type type, const uint8_t *from, float *to, size_t count)
{
    const struct weight_kind *k = &weight_kinds[type];
    switch (type) {
    case WEIGHT_F32: widen_f32(from, to, count); break;
    case WEIGHT_F16: widen_f16(from, to, count); break;
    case WEIGHT_BF16: widen_bf16(from, to, count); break;
    default:
        for (size_t i = 0; i < count; i += (size_t)k->block_numbers, from += k->block_bytes) {
            blocks[type](from, to + i);
        }
    }
}
