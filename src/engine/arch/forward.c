/* model_forward: rows into passes, tokens into numbers, numbers into logits.  What happens in
 * between is the family's (struct arch). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch/arch.h"
#include "engine/format/files.h"

/* ---- one pass -------------------------------------------------------------------------------- */

struct ends {
    struct pass *p;
    const struct model_row *rows;
    float **logits; /* of the rows that want them */
    size_t count;
};

/* One row of a table, widened. */
static void table_row(const struct tensor *t, int64_t row, float *to)
{
    const struct weight_kind *k = &weight_kinds[t->type];
    size_t stride = (size_t)(t->shape[1] / (uint64_t)k->block_numbers) * (size_t)k->block_bytes;
    weights_widen(t->type, t->data + (size_t)row * stride, to, (size_t)t->shape[1]);
}

static void embed(void *ctx, int thread, size_t chunk)
{
    struct ends *j = ctx;
    struct pass *p = j->p;
    const struct model *m = p->m;
    size_t width = (size_t)m->shape.width;
    (void)thread;
    (void)chunk;
    for (size_t i = 0; i < p->count; i++) {
        table_row(m->embedding, j->rows[i].token, p->x.row[i]);
        if (m->shape.embed_scale != 1) m->kernels->scale(p->x.row[i], m->shape.embed_scale, width);
        if (m->positions) {
            table_row(m->positions, p->position[i], p->n.row[i]);
            m->kernels->add(p->x.row[i], p->n.row[i], width);
        }
    }
}

static void cap_logits(void *ctx, int thread, size_t chunk)
{
    struct ends *j = ctx;
    const struct model *m = j->p->m;
    (void)thread;
    m->kernels->softcap(j->logits[chunk], m->shape.logit_cap, (size_t)m->shape.vocab);
}

/* The last norm and the head, for the rows that want them only. */
static void head(struct ends *j)
{
    struct pass *p = j->p;
    const struct model *m = p->m;
    size_t width = (size_t)m->shape.width;
    for (size_t i = 0; i < p->count; i++) {
        if (j->rows[i].logits == NULL) continue;
        if (j->count != i) memcpy(p->x.row[j->count], p->x.row[i], width * sizeof(float));
        j->logits[j->count++] = j->rows[i].logits;
    }
    p->count = j->count;
    if (p->count == 0) return;
    pass_norm(p, &p->n, &p->x, &m->last_norm);
    pass_multiply(p, j->logits, p->n.at, width, p->count, &m->head);
    if (m->shape.logit_cap > 0 && !p->err) p->err = pool_run(m->pool, cap_logits, j, p->count);
}

/* Which rows belong together, where they stand, and which frequencies turn them. */
static void lay_out(struct pass *p, const struct model_row *rows, size_t count)
{
    p->count = count;
    p->runs_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct run *r = p->runs_count ? &p->runs[p->runs_count - 1] : NULL;
        if (r == NULL || r->kv != rows[i].kv) {
            r = &p->runs[p->runs_count++];
            *r = (struct run){.kv = rows[i].kv, .first = i, .position = rows[i].kv->len};
        }
        p->position[i] = r->position + (int)r->count++;
        p->far[i] = r->kv->far;
        r->kv->tokens[p->position[i]] = rows[i].token;
    }
}

static enum err one_pass(struct model *m, const struct model_row *rows, size_t count)
{
    struct pass *p = m->pass;
    float *logits[PASS_ROWS_MAX];
    struct ends ends = {.p = p, .rows = rows, .logits = logits};
    lay_out(p, rows, count);
    p->err = pool_run(m->pool, embed, &ends, 1);
    pass_angles(p);
    for (int i = 0; i < m->shape.layers; i++) m->arch->layer(p, &m->layers[i]);
    if (p->err) return p->err;
    for (size_t i = 0; i < p->runs_count; i++) p->runs[i].kv->len += (int)p->runs[i].count;
    head(&ends);
    return p->err;
}

static enum err passes(struct model *m, const struct model_row *rows, size_t count)
{
    enum err e = pass_reserve(m->pass, count < PASS_ROWS_MAX ? count : PASS_ROWS_MAX);
    for (size_t at = 0, n; !e && at < count; at += n) {
        n = count - at < PASS_ROWS_MAX ? count - at : PASS_ROWS_MAX;
        e = one_pass(m, rows + at, n);
    }
    return e;
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* The rows from `at` on that belong to one sequence. */
static size_t run_length(const struct model_row *rows, size_t count, size_t at)
{
    size_t n = 1;
    while (at + n < count && rows[at + n].kv == rows[at].kv) n++;
    return n;
}

static enum err check(const struct model *m, const struct model_row *rows, size_t count,
                      struct err_note *why)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].token >= 0 && rows[i].token < m->shape.vocab) continue;
        return err_set(why, ERR_INVALID, "token %d is not one of the model's %d", rows[i].token,
                       m->shape.vocab);
    }
    for (size_t i = 0, n; i < count; i += n) {
        n = run_length(rows, count, i);
        const struct kv *k = rows[i].kv;
        assert(k->model == m);
        if (n > (size_t)(k->max - k->len)) {
            return err_set(why, ERR_LIMIT, "a sequence of %d tokens has no room for %zu more of %d",
                           k->len, n, k->max);
        }
    }
    return ERR_NONE;
}

static enum err reserve(const struct model_row *rows, size_t count)
{
    enum err e = ERR_NONE;
    for (size_t i = 0, n; !e && i < count; i += n) {
        n = run_length(rows, count, i);
        e = kv_reserve(rows[i].kv, rows[i].kv->len + (int)n);
    }
    return e;
}

/* LongRoPE rotates a sequence with other frequencies once it is long.  Its keys so far are worth
 * nothing then, so they are computed again from its tokens. */
static enum err turn_over(struct model *m, struct kv *k, size_t more)
{
    const struct rope *r = &m->shape.ropes[ROPE_FULL];
    int len = k->len, all = len + (int)more;
    if (all < k->expected) all = k->expected;
    bool far = r->long_frequencies && all > r->long_after;
    if (k->far == far) return ERR_NONE;
    k->far = far;
    k->len = 0;
    enum err e = ERR_NONE;
    for (int at = 0; !e && at < len;) {
        struct model_row rows[PASS_ROWS_MAX];
        size_t n = 0;
        for (; n < PASS_ROWS_MAX && at < len; at++) {
            rows[n++] = (struct model_row){.kv = k, .token = k->tokens[at]};
        }
        e = passes(m, rows, n);
    }
    return e;
}

enum err model_forward(struct model *m, const struct model_row *rows, size_t count,
                       struct err_note *why)
{
    enum err e = check(m, rows, count, why);
    if (e || count == 0) return e;
    int *before = calloc(count, sizeof *before); /* lengths, at the first row of each sequence */
    if (before == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) before[i] = rows[i].kv->len;

    e = reserve(rows, count);
    for (size_t i = 0, n; !e && i < count; i += n) {
        n = run_length(rows, count, i);
        e = turn_over(m, rows[i].kv, n);
    }
    if (!e) e = passes(m, rows, count);
    for (size_t i = 0; e && i < count; i++) kv_cut(rows[i].kv, before[i]);
    free(before);
    if (e == ERR_IO) {
        err_set(why, e, "%s: a file of its weights can no longer be read", files_label(m->files));
    }
    return e;
}
