/* What is made of the kernels of a level, the same for all of them: matrices in pieces, attention.
 */
#include <math.h>
#include <string.h>

#include "engine/kernel/kernel.h"

/* Rows of a block format that are widened at a time: enough for every tile, few enough for the
 * second cache (16 rows of 4096 numbers are 256 KiB). */
enum { WIDE_ROWS = 16 };

size_t kernel_multiply_scratch(const struct kernel_matrix *m)
{
    return m->widen ? WIDE_ROWS * m->ins : 0;
}

void kernel_multiply(const struct kernels *k, float *const *out, const float *x, size_t x_stride,
                     size_t nx, const struct kernel_matrix *m, size_t from, size_t to,
                     float *scratch)
{
    if (m->by_columns) {
        size_t number_bytes = m->type == KERNEL_F32 ? 4 : 2;
        for (size_t a = 0; a < nx; a++) memset(out[a] + from, 0, (to - from) * sizeof(float));
        k->columns(out, from, x, x_stride, nx, m->data + from * number_bytes, m->stride_bytes,
                   m->type, to - from, m->ins);
        return;
    }
    if (m->widen == NULL) {
        k->rows(out, from, x, x_stride, nx, m->data + from * m->stride_bytes, m->stride_bytes,
                m->type, to - from, m->ins);
        return;
    }
    for (size_t o = from; o < to; o += WIDE_ROWS) {
        size_t n = to - o < WIDE_ROWS ? to - o : WIDE_ROWS;
        for (size_t b = 0; b < n; b++) {
            m->widen(m->format, m->data + (o + b) * m->stride_bytes, scratch + b * m->ins, m->ins);
        }
        k->rows(out, o, x, x_stride, nx, (const uint8_t *)scratch, m->ins * sizeof(float),
                KERNEL_F32, n, m->ins);
    }
}

/* The first position that any of the rows sees. */
static size_t first_seen(const struct kernel_attention *a, size_t position)
{
    return a->window && position + 1 > a->window ? position + 1 - a->window : 0;
}

/* Scores of a row are kept 16 numbers past the last position, for whole vectors. */
static size_t score_stride(const struct kernel_attention *a, size_t position, size_t rows)
{
    return (position + rows - first_seen(a, position) + 31) / 16 * 16;
}

size_t kernel_attention_scratch(const struct kernel_attention *a, size_t position, size_t rows)
{
    size_t lines = rows * a->group;
    size_t pointers = 2 * lines * sizeof(float *) / sizeof(float);
    return pointers + lines * (score_stride(a, position, rows) + a->head_dim);
}

void kernel_attend(const struct kernels *k, const struct kernel_attention *a, float *out,
                   const float *q, size_t stride, size_t position, size_t rows, float *scratch)
{
    size_t hd = a->head_dim, lines = rows * a->group;
    size_t low = first_seen(a, position), high = position + rows;
    size_t line_stride = score_stride(a, position, rows);
    float **score = (float **)scratch, **to = score + lines;
    float *queries = (float *)(to + lines), *scores = queries + lines * hd;

    for (size_t r = 0; r < rows; r++) {
        memcpy(queries + r * a->group * hd, q + r * stride, a->group * hd * sizeof(float));
        for (size_t g = 0; g < a->group; g++) {
            score[r * a->group + g] = scores + (r * a->group + g) * line_stride;
            to[r * a->group + g] = out + r * stride + g * hd;
        }
    }
    for (size_t at = low, next; at < high; at = next) {
        next = (at / KERNEL_PAGE + 1) * KERNEL_PAGE;
        if (next > high) next = high;
        const float *keys = a->pages[at / KERNEL_PAGE] + a->k_offset + at % KERNEL_PAGE * hd;
        k->rows(score, at - low, queries, hd, lines, (const uint8_t *)keys, hd * sizeof(float),
                KERNEL_F32, next - at, hd);
    }
    /* A row's softmax covers what it sees; the rest of its line becomes 0, and adding 0 * v changes
     * no bit, so the other rows of the piece leave no trace in it. */
    for (size_t r = 0; r < rows; r++) {
        size_t from = first_seen(a, position + r) - low, end = position + r + 1 - low;
        for (size_t g = 0; g < a->group; g++) {
            float *line = score[r * a->group + g];
            memset(line, 0, from * sizeof(float));
            k->softmax(line + from, end - from, a->scale, a->cap);
            memset(line + end, 0, (high - low - end) * sizeof(float));
            memset(to[r * a->group + g], 0, hd * sizeof(float));
        }
    }
    for (size_t at = low, next; at < high; at = next) {
        next = (at / KERNEL_PAGE + 1) * KERNEL_PAGE;
        if (next > high) next = high;
        const float *values = a->pages[at / KERNEL_PAGE] + a->v_offset + at % KERNEL_PAGE * hd;
        k->columns(to, 0, scores + (at - low), line_stride, lines, (const uint8_t *)values,
                   hd * sizeof(float), KERNEL_F32, hd, next - at);
    }
}

void kernel_angles(float *cosines, float *sines, const float *frequencies, size_t half,
                   size_t position, float scale)
{
    for (size_t i = 0; i < half; i++) {
        float angle = (float)position * frequencies[i];
        cosines[i] = (float)cos((double)angle) * scale;
        sines[i] = (float)sin((double)angle) * scale;
    }
}
