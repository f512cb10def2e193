/* Kernels: every level that this machine has says what plain arithmetic in double says, and a row's
 * result has the same bits whatever is computed beside it. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "engine/kernel/kernel.h"

enum { K_MAX = 700, ROWS_MAX = 11, OUTS_MAX = 140 };

static const struct kernels *levels[KERNEL_LEVELS_MAX];
static size_t levels_count;

/* The same numbers in every run; from -1 to 1. */
static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (float)(1 << 23) - 1.0f;
}

static void fill(float *to, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) to[i] = noise(&seed);
}

/* Half precision of n / 1024, |n| <= 1024: exact. */
static uint16_t half_of(int n)
{
    unsigned m = (unsigned)abs(n), high = 0;
    if (m == 0) return 0;
    while (m >> (high + 1)) high++;
    return (uint16_t)((n < 0 ? 0x8000 : 0) | (high + 5) << 10 | (m << (10 - high) & 0x3ff));
}

/* A number as stored in `type`, and its exact value. */
static float store(uint8_t *to, enum kernel_type type, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (type == KERNEL_BF16) {
        bits &= 0xffff0000;
        memcpy(&x, &bits, sizeof x);
        to[0] = (uint8_t)(bits >> 16), to[1] = (uint8_t)(bits >> 24);
    } else if (type == KERNEL_F16) {
        int steps = (int)(x * 1024);
        uint16_t half = half_of(steps);
        memcpy(to, &half, sizeof half);
        x = (float)steps / 1024;
    } else {
        memcpy(to, &x, sizeof x);
    }
    return x;
}

struct problem {
    enum kernel_type type;
    size_t nx, nw, k;
};

static const struct problem problems[] = {
    {KERNEL_F32, 1, 1, 1},     {KERNEL_F32, 1, 4, 16},    {KERNEL_F32, 4, 4, 32},
    {KERNEL_F32, 5, 7, 33},    {KERNEL_BF16, 1, 64, 192}, {KERNEL_BF16, 4, 9, 70},
    {KERNEL_BF16, 11, 6, 257}, {KERNEL_F16, 1, 3, 5},     {KERNEL_F16, 8, 130, 64},
    {KERNEL_F16, 3, 66, 31},   {KERNEL_F32, 9, 65, 128},  {KERNEL_BF16, 7, 139, 641},
};

struct arrays {
    float x[ROWS_MAX * K_MAX];
    uint8_t w[OUTS_MAX * K_MAX * 4 + 64];
    float wide[OUTS_MAX * K_MAX];
    float out[ROWS_MAX * OUTS_MAX], alone[OUTS_MAX];
    float *row[ROWS_MAX];
};

/* w: [lines][width], rows `stride` bytes apart, from an odd address on. */
static uint8_t *make_weights(struct arrays *a, enum kernel_type type, size_t lines, size_t width,
                             size_t *stride)
{
    size_t each = type == KERNEL_F32 ? 4 : 2;
    uint32_t seed = 7;
    uint8_t *w = a->w + 1;
    *stride = width * each;
    for (size_t i = 0; i < lines * width; i++) a->wide[i] = store(w + i * each, type, noise(&seed));
    return w;
}

static void check_product(float got, double want, double magnitude, const char *level)
{
    if (fabs((double)got - want) <= (double)KERNEL_DOT_REL * magnitude + 1e-30) return;
    print_error("%s: %.9g, want %.9g of %g\n", level, (double)got, want, magnitude);
    fail();
}

static void test_rows(void **state)
{
    (void)state;
    struct arrays *a = calloc(1, sizeof *a);
    for (size_t p = 0; p < sizeof problems / sizeof *problems; p++) {
        struct problem q = problems[p];
        size_t stride;
        uint8_t *w = make_weights(a, q.type, q.nw, q.k, &stride);
        fill(a->x, sizeof a->x / sizeof *a->x, 3);
        for (size_t l = 0; l < levels_count; l++) {
            for (size_t r = 0; r < q.nx; r++) a->row[r] = a->out + r * OUTS_MAX;
            levels[l]->rows(a->row, 1, a->x, K_MAX, q.nx, w, stride, q.type, q.nw - 1, q.k);
            for (size_t r = 0; r < q.nx; r++) {
                for (size_t o = 0; o + 1 < q.nw; o++) {
                    double want = 0, magnitude = 0;
                    for (size_t i = 0; i < q.k; i++) {
                        double term = (double)a->x[r * K_MAX + i] * (double)a->wide[o * q.k + i];
                        want += term;
                        magnitude += fabs(term);
                    }
                    check_product(a->row[r][1 + o], want, magnitude, levels[l]->name);
                }
                float *to = a->alone;
                levels[l]->rows(&to, 0, a->x + r * K_MAX, K_MAX, 1, w, stride, q.type, q.nw - 1,
                                q.k);
                check_int(memcmp(a->alone, a->row[r] + 1, (q.nw - 1) * sizeof(float)), 0);
            }
        }
    }
    free(a);
}

static void test_columns(void **state)
{
    (void)state;
    struct arrays *a = calloc(1, sizeof *a);
    for (size_t p = 0; p < sizeof problems / sizeof *problems; p++) {
        struct problem q = problems[p];
        size_t stride;
        uint8_t *w = make_weights(a, q.type, q.k, q.nw, &stride);
        fill(a->x, sizeof a->x / sizeof *a->x, 3);
        for (size_t l = 0; l < levels_count; l++) {
            fill(a->out, sizeof a->out / sizeof *a->out, 5);
            for (size_t r = 0; r < q.nx; r++) a->row[r] = a->out + r * OUTS_MAX;
            levels[l]->columns(a->row, 0, a->x, K_MAX, q.nx, w, stride, q.type, q.nw, q.k);
            float before[ROWS_MAX * OUTS_MAX];
            fill(before, sizeof before / sizeof *before, 5);
            for (size_t r = 0; r < q.nx; r++) {
                for (size_t o = 0; o < q.nw; o++) {
                    double want = (double)before[r * OUTS_MAX + o], magnitude = fabs(want);
                    for (size_t i = 0; i < q.k; i++) {
                        double term = (double)a->x[r * K_MAX + i] * (double)a->wide[i * q.nw + o];
                        want += term;
                        magnitude += fabs(term);
                    }
                    check_product(a->row[r][o], want, magnitude, levels[l]->name);
                }
                float *to = memcpy(a->alone, before + r * OUTS_MAX, q.nw * sizeof(float));
                levels[l]->columns(&to, 0, a->x + r * K_MAX, K_MAX, 1, w, stride, q.type, q.nw,
                                   q.k);
                check_int(memcmp(a->alone, a->row[r], q.nw * sizeof(float)), 0);
            }
        }
    }
    free(a);
}

static void check_close(float got, double want, double tolerance, const char *what)
{
    if (fabs((double)got - want) <= tolerance) return;
    print_error("%s: %.9g, want %.9g\n", what, (double)got, want);
    fail();
}

static double gelu_of(double z)
{
    return 0.5 * z * (1 + tanh(sqrt(2 / 3.14159265358979) * (z + 0.044715 * z * z * z)));
}

static void test_activations(void **state)
{
    (void)state;
    enum { N = 101 }; /* not a multiple of any vector */
    for (size_t l = 0; l < levels_count; l++) {
        const struct kernels *k = levels[l];
        float x[N], silu[N], gated[N], plain[N], capped[N], twos[N];
        for (int i = 0; i < N; i++) {
            x[i] = (float)(i - 50) * 0.37f;
            silu[i] = gated[i] = plain[i] = capped[i] = x[i];
            twos[i] = 2;
        }
        k->silu_times(silu, twos, N);
        k->gelu_times(gated, twos, N);
        k->gelu(plain, N);
        k->softcap(capped, 6, N);
        for (int i = 0; i < N; i++) {
            double z = (double)x[i], near = 1e-6 * (1 + fabs(z));
            check_close(silu[i], 2 * z / (1 + exp(-z)), near, "silu");
            check_close(gated[i], 2 * gelu_of(z), near, "gelu_times");
            check_close(plain[i], gelu_of(z), near, "gelu");
            check_close(capped[i], 6 * tanh(z / 6), 5e-6, "softcap");
        }
    }
}

static void test_softmax(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 16, 17, 40};
    for (size_t l = 0; l < levels_count; l++) {
        for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
            float x[40];
            double z[40], sum = 0;
            fill(x, lengths[n], 11);
            x[0] = 9; /* the largest score stands in no special place otherwise */
            for (size_t i = 0; i < lengths[n]; i++) {
                z[i] = exp(4 * tanh((double)x[i] * 3 / 4) - 4);
                sum += z[i];
            }
            levels[l]->softmax(x, lengths[n], 3, 4);
            for (size_t i = 0; i < lengths[n]; i++) check_close(x[i], z[i] / sum, 2e-6, "softmax");
        }
    }
}

/* Scores that differ by more than float32 can tell, and very negative ones, give 0 and not
 * nonsense. */
static void test_softmax_far(void **state)
{
    (void)state;
    for (size_t l = 0; l < levels_count; l++) {
        float x[] = {-3e38f, 1000, -1000, 0, 999.5f};
        levels[l]->softmax(x, 5, 1, 0);
        check_close(x[0], 0, 1e-30, "far");
        check_close(x[1], 1 / (1 + exp(-0.5)), 1e-6, "far");
        check_close(x[2], 0, 1e-30, "far");
        check_close(x[4], exp(-0.5) / (1 + exp(-0.5)), 1e-6, "far");
    }
}

static void test_norms(void **state)
{
    (void)state;
    enum { N = 37 };
    for (size_t l = 0; l < levels_count; l++) {
        float x[N], w[N], b[N], rms[N], layer[N];
        double squares = 0, mean = 0, spread = 0;
        fill(x, N, 1), fill(w, N, 2), fill(b, N, 3);
        for (int i = 0; i < N; i++) {
            squares += (double)x[i] * (double)x[i] / N;
            mean += (double)x[i] / N;
        }
        for (int i = 0; i < N; i++) spread += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
        levels[l]->rms_norm(rms, x, w, N, 1e-3f);
        levels[l]->layer_norm(layer, x, w, b, N, 1e-3f);
        for (int i = 0; i < N; i++) {
            check_close(rms[i], (double)x[i] / sqrt(squares + 1e-3) * (double)w[i], 1e-5,
                        "rms_norm");
            double want = ((double)x[i] - mean) / sqrt(spread + 1e-3) * (double)w[i] + (double)b[i];
            check_close(layer[i], want, 1e-5, "layer_norm");
        }
    }
}

/* (a, b) -> (a cos - b sin, b cos + a sin) for pairs (i, i + half) and (2i, 2i + 1). */
static void test_rope(void **state)
{
    (void)state;
    enum { HALF = 5 };
    float frequencies[HALF], cosines[HALF], sines[HALF];
    for (int i = 0; i < HALF; i++) frequencies[i] = powf(100, -(float)i / HALF);
    kernel_angles(cosines, sines, frequencies, HALF, 7, 0.5f);
    for (size_t l = 0; l < levels_count; l++) {
        float halves[2 * HALF], pairs[2 * HALF], x[2 * HALF];
        fill(x, 2 * HALF, 4);
        memcpy(halves, x, sizeof x);
        memcpy(pairs, x, sizeof x);
        levels[l]->rope_halves(halves, cosines, sines, HALF);
        levels[l]->rope_neighbours(pairs, cosines, sines, HALF);
        for (int i = 0; i < HALF; i++) {
            double angle = 7 * (double)frequencies[i], c = cos(angle) / 2, s = sin(angle) / 2;
            double a = (double)x[i], b = (double)x[i + HALF];
            check_close(halves[i], a * c - b * s, 1e-6, "halves");
            check_close(halves[i + HALF], b * c + a * s, 1e-6, "halves");
            a = (double)x[2 * i], b = (double)x[2 * i + 1];
            check_close(pairs[2 * i], a * c - b * s, 1e-6, "neighbours");
            check_close(pairs[2 * i + 1], b * c + a * s, 1e-6, "neighbours");
        }
    }
}

/* Attention over pages against the textbook, with a window and a cap, rows in one piece and alone.
 */
static void test_attention(void **state)
{
    (void)state;
    enum { HD = 10, GROUP = 3, LAST = 75, PAGES = 3, ROWS = 4, STRIDE = 40 };
    static float pages[PAGES][2 * HD * KERNEL_PAGE];
    float *page[PAGES], q[ROWS * STRIDE], out[ROWS * STRIDE], alone[ROWS * STRIDE];
    for (int i = 0; i < PAGES; i++) {
        fill(pages[i], 2 * HD * KERNEL_PAGE, (uint32_t)i + 20);
        page[i] = pages[i];
    }
    fill(q, ROWS * STRIDE, 40);
    for (size_t l = 0; l < levels_count; l++) {
        for (size_t window = 0; window <= 40; window += 40) {
            struct kernel_attention a = {.pages = page,
                                         .v_offset = HD * KERNEL_PAGE,
                                         .head_dim = HD,
                                         .group = GROUP,
                                         .window = window,
                                         .scale = 1.7f,
                                         .cap = 3};
            size_t first = LAST + 1 - ROWS;
            float *scratch = calloc(kernel_attention_scratch(&a, first, ROWS), sizeof *scratch);
            kernel_attend(levels[l], &a, out, q, STRIDE, first, ROWS, scratch);
            for (size_t r = 0; r < ROWS; r++) {
                kernel_attend(levels[l], &a, alone, q + r * STRIDE, STRIDE, first + r, 1, scratch);
                check_int(memcmp(alone, out + r * STRIDE, GROUP * HD * sizeof(float)), 0);
            }
            free(scratch);
            for (size_t r = 0; r < ROWS; r++) {
                size_t at = first + r, from = window && at + 1 > window ? at + 1 - window : 0;
                for (size_t g = 0; g < GROUP; g++) {
                    double sum = 0, want[HD] = {0};
                    for (size_t j = from; j <= at; j++) {
                        const float *key = pages[j / KERNEL_PAGE] + j % KERNEL_PAGE * HD;
                        double score = 0;
                        for (int i = 0; i < HD; i++) {
                            score += (double)q[r * STRIDE + g * HD + (size_t)i] * (double)key[i];
                        }
                        score = exp(3 * tanh(score * 1.7 / 3));
                        sum += score;
                        for (int i = 0; i < HD; i++) {
                            want[i] += score * (double)key[HD * KERNEL_PAGE + i];
                        }
                    }
                    for (size_t i = 0; i < HD; i++) {
                        check_close(out[r * STRIDE + g * HD + i], want[i] / sum, 1e-5, "attention");
                    }
                }
            }
        }
    }
}

int main(void)
{
    levels_count = kernels_here(levels);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_far), cmocka_unit_test(test_norms),
        cmocka_unit_test(test_rope),        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests_name("engine/kernel", tests, NULL, NULL);
}
