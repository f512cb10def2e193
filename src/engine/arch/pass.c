/* The steps that layers are written in, each spread over the model's threads.  Arithmetic is in
 * kernel/. */
#include "engine/arch/arch.h"

#include <stdlib.h>
#include <string.h>

/* Multiplications that are worth a piece of their own: some 10 us of one core, several times what
 * it costs to hand one over. */
#define CHUNK_WORK ((size_t)1 << 17)
/* Weights of a piece that many rows go over should stay in a core's second cache. */
#define CHUNK_BYTES ((size_t)256 << 10)

/* ---- memory ---------------------------------------------------------------------------------- */

struct pass *pass_new(struct model *m)
{
    struct pass *p = calloc(1, sizeof *p);
    if (p) p->m = m;
    return p;
}

static void rows_fini(struct rows *r)
{
    free(r->at);
    free(r->row);
    *r = (struct rows){0};
}

static bool rows_init(struct rows *r, int width, size_t count)
{
    rows_fini(r);
    void *at = NULL;
    r->width = width;
    if (width == 0) return true;
    if (posix_memalign(&at, 64, count * (size_t)width * sizeof(float)) != 0) return false;
    r->at = at;
    r->row = calloc(count, sizeof *r->row);
    if (r->row == NULL) return false;
    for (size_t i = 0; i < count; i++) r->row[i] = r->at + i * (size_t)width;
    return true;
}

void pass_free(struct pass *p)
{
    if (p == NULL) return;
    struct rows *all[] = {&p->x,          &p->n,        &p->branch,  &p->q,  &p->k,
                          &p->v,          &p->a,        &p->gate,    &p->up, &p->cosines[0],
                          &p->cosines[1], &p->sines[0], &p->sines[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) rows_fini(all[i]);
    free(p->position);
    free(p->far);
    free(p->runs);
    free(p->scratch);
    free(p);
}

enum err pass_reserve(struct pass *p, size_t count)
{
    const struct shape *s = &p->m->shape;
    if (count <= p->memory_rows) return ERR_NONE;
    size_t n = count < 8 ? 8 : count;
    int half = s->rope_dim / 2, local = s->local_rope ? half : 0;
    p->memory_rows = 0;
    free(p->position);
    free(p->far);
    free(p->runs);
    p->position = calloc(n, sizeof *p->position);
    p->far = calloc(n, sizeof *p->far);
    p->runs = calloc(n, sizeof *p->runs);
    bool ok = p->position && p->far && p->runs;
    ok = ok && rows_init(&p->x, s->width, n) && rows_init(&p->n, s->width, n);
    ok = ok && rows_init(&p->branch, s->width, n) && rows_init(&p->q, s->q_width, n);
    ok = ok && rows_init(&p->k, s->kv_width, n) && rows_init(&p->v, s->kv_width, n);
    ok = ok && rows_init(&p->a, s->q_width, n) && rows_init(&p->gate, s->ffn, n);
    ok = ok && rows_init(&p->up, s->ffn, n);
    ok = ok && rows_init(&p->cosines[ROPE_FULL], half, n) &&
         rows_init(&p->sines[ROPE_FULL], half, n);
    ok = ok && rows_init(&p->cosines[ROPE_LOCAL], local, n);
    ok = ok && rows_init(&p->sines[ROPE_LOCAL], local, n);
    if (!ok) return ERR_MEMORY;
    p->memory_rows = n;
    return ERR_NONE;
}

/* Scratch of `floats` for every thread; thread t's begins at t * scratch_floats. */
static bool need_scratch(struct pass *p, size_t floats)
{
    floats = (floats + 15) / 16 * 16;
    if (floats <= p->scratch_floats) return true;
    void *at = NULL;
    size_t threads = (size_t)pool_threads(p->m->pool);
    if (posix_memalign(&at, 64, threads * floats * sizeof(float)) != 0) {
        p->err = ERR_MEMORY;
        return false;
    }
    free(p->scratch);
    p->scratch = at;
    p->scratch_floats = floats;
    return true;
}

static float *scratch_of(const struct pass *p, int thread)
{
    return p->scratch ? p->scratch + (size_t)thread * p->scratch_floats : NULL;
}

static void run(struct pass *p, pool_fn *fn, void *ctx, size_t chunks)
{
    if (!p->err) p->err = pool_run(p->m->pool, fn, ctx, chunks);
}

/* ---- matrices -------------------------------------------------------------------------------- */

struct multiply {
    struct pass *p;
    float *const *out;
    const float *x;
    size_t stride, count, chunk_outs;
    const struct linear *l;
};

static void multiply_chunk(void *ctx, int thread, size_t chunk)
{
    const struct multiply *j = ctx;
    const struct linear *l = j->l;
    size_t from = chunk * j->chunk_outs, to = from + j->chunk_outs;
    if (to > l->w.outs) to = l->w.outs;
    kernel_multiply(j->p->m->kernels, j->out, j->x, j->stride, j->count, &l->w, from, to,
                    scratch_of(j->p, thread));
    for (size_t a = 0; l->bias && a < j->count; a++) {
        j->p->m->kernels->add(j->out[a] + from, l->bias + from, to - from);
    }
}

/* Outputs that a thread computes in one piece. */
static size_t chunk_outs(const struct kernel_matrix *w, size_t rows)
{
    size_t few = CHUNK_WORK / (rows * w->ins) + 1; /* fewer are not worth it */
    size_t fit = w->by_columns ? 128 : CHUNK_BYTES / (w->stride_bytes + 1);
    if (fit > 64 && !w->by_columns) fit = 64;
    size_t n = few > fit ? few : fit;
    size_t whole = w->by_columns ? 128 : 16;
    return (n + whole - 1) / whole * whole;
}

void pass_multiply(struct pass *p, float *const *out, const float *x, size_t stride, size_t count,
                   const struct linear *l)
{
    if (p->err || count == 0 || !need_scratch(p, kernel_multiply_scratch(&l->w))) return;
    struct multiply j = {p, out, x, stride, count, chunk_outs(&l->w, count), l};
    run(p, multiply_chunk, &j, (l->w.outs + j.chunk_outs - 1) / j.chunk_outs);
}

void pass_linear(struct pass *p, struct rows *to, const struct rows *from, const struct linear *l)
{
    pass_multiply(p, to->row, from->at, (size_t)from->width, p->count, l);
}

/* ---- row by row ------------------------------------------------------------------------------ */

struct each {
    struct pass *p;
    void (*row)(const struct each *j, size_t row);
    struct rows *to;
    const struct rows *from;
    const void *with;
    size_t chunk_rows;
};

static void each_chunk(void *ctx, int thread, size_t chunk)
{
    const struct each *j = ctx;
    (void)thread;
    size_t end = (chunk + 1) * j->chunk_rows;
    if (end > j->p->count) end = j->p->count;
    for (size_t i = chunk * j->chunk_rows; i < end; i++) j->row(j, i);
}

static void each_row(struct pass *p, struct each j, int width)
{
    if (p->err) return;
    j.p = p;
    j.chunk_rows = CHUNK_WORK / 8 / (size_t)width + 1;
    run(p, each_chunk, &j, (p->count + j.chunk_rows - 1) / j.chunk_rows);
}

static void norm_vector(const struct kernels *k, float *to, const float *from, const struct norm *n,
                        int width, float eps)
{
    if (n->b) {
        k->layer_norm(to, from, n->w, n->b, (size_t)width, eps);
    } else {
        k->rms_norm(to, from, n->w, (size_t)width, eps);
    }
}

static void norm_row(const struct each *j, size_t i)
{
    const struct model *m = j->p->m;
    norm_vector(m->kernels, j->to->row[i], j->from->row[i], j->with, j->from->width, m->shape.eps);
}

void pass_norm(struct pass *p, struct rows *to, const struct rows *from, const struct norm *n)
{
    each_row(p, (struct each){.row = norm_row, .to = to, .from = from, .with = n}, from->width);
}

static void head_norm_row(const struct each *j, size_t i)
{
    const struct model *m = j->p->m;
    for (int at = 0; at < j->to->width; at += m->shape.head_dim) {
        float *head = j->to->row[i] + at;
        norm_vector(m->kernels, head, head, j->with, m->shape.head_dim, m->shape.eps);
    }
}

void pass_head_norm(struct pass *p, struct rows *heads, const struct norm *n)
{
    each_row(p, (struct each){.row = head_norm_row, .to = heads, .with = n}, heads->width);
}

static void rotate(const struct model *m, float *x, int width, const float *cosines,
                   const float *sines)
{
    const struct shape *s = &m->shape;
    size_t half = (size_t)s->rope_dim / 2;
    for (int at = 0; at < width; at += s->head_dim) {
        if (s->rope_neighbours) {
            m->kernels->rope_neighbours(x + at, cosines, sines, half);
        } else {
            m->kernels->rope_halves(x + at, cosines, sines, half);
        }
    }
}

static void rope_row(const struct each *j, size_t i)
{
    struct pass *p = j->p;
    const struct layer *l = j->with;
    const float *cosines = p->cosines[l->rope].row[i], *sines = p->sines[l->rope].row[i];
    rotate(p->m, p->q.row[i], p->q.width, cosines, sines);
    rotate(p->m, p->k.row[i], p->k.width, cosines, sines);
}

void pass_rope(struct pass *p, const struct layer *l)
{
    each_row(p, (struct each){.row = rope_row, .with = l}, p->q.width);
}

static void angles_row(const struct each *j, size_t i)
{
    struct pass *p = j->p;
    const struct shape *s = &p->m->shape;
    for (int r = 0; r < ROPES; r++) {
        const struct rope *rope = &s->ropes[r];
        bool far = p->far[i] && rope->long_frequencies;
        if (rope->frequencies == NULL) continue;
        kernel_angles(p->cosines[r].row[i], p->sines[r].row[i],
                      far ? rope->long_frequencies : rope->frequencies, (size_t)s->rope_dim / 2,
                      (size_t)p->position[i], far ? rope->long_scale : rope->scale);
    }
}

void pass_angles(struct pass *p)
{
    if (p->m->shape.rope_dim == 0) return;
    each_row(p, (struct each){.row = angles_row},
             p->m->shape.rope_dim * 32); /* cosines cost more */
}

static void add_row(const struct each *j, size_t i)
{
    j->p->m->kernels->add(j->to->row[i], j->from->row[i], (size_t)j->to->width);
}

void pass_add(struct pass *p, struct rows *to, const struct rows *from)
{
    each_row(p, (struct each){.row = add_row, .to = to, .from = from}, to->width);
}

static void silu_row(const struct each *j, size_t i)
{
    j->p->m->kernels->silu_times(j->to->row[i], j->from->row[i], (size_t)j->to->width);
}

void pass_silu_times(struct pass *p, struct rows *gate, const struct rows *up)
{
    each_row(p, (struct each){.row = silu_row, .to = gate, .from = up}, gate->width * 4);
}

static void gelu_times_row(const struct each *j, size_t i)
{
    j->p->m->kernels->gelu_times(j->to->row[i], j->from->row[i], (size_t)j->to->width);
}

void pass_gelu_times(struct pass *p, struct rows *gate, const struct rows *up)
{
    each_row(p, (struct each){.row = gelu_times_row, .to = gate, .from = up}, gate->width * 4);
}

static void gelu_row(const struct each *j, size_t i)
{
    j->p->m->kernels->gelu(j->to->row[i], (size_t)j->to->width);
}

void pass_gelu(struct pass *p, struct rows *x)
{
    each_row(p, (struct each){.row = gelu_row, .to = x}, x->width * 4);
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Each piece is some neighbouring rows of one sequence under one key/value head. */
struct attend {
    struct pass *p;
    const struct layer *l;
    size_t block;  /* rows of a piece */
    size_t pieces; /* of all */
    size_t chunk_pieces;
};

static struct kernel_attention attention_of(const struct pass *p, const struct layer *l,
                                            const struct run *r, int head)
{
    const struct shape *s = &p->m->shape;
    return (struct kernel_attention){
        .pages = r->kv->pages,
        .k_offset = kv_keys_at(s, l->number, head),
        .v_offset = kv_values_at(s, l->number, head),
        .head_dim = (size_t)s->head_dim,
        .group = (size_t)(s->heads / s->kv_heads),
        .window = (size_t)l->window,
        .scale = s->attention_scale,
        .cap = s->attention_cap,
    };
}

static size_t run_pieces(const struct run *r, size_t block, int kv_heads)
{
    return (r->count + block - 1) / block * (size_t)kv_heads;
}

static void attend_piece(const struct attend *j, int thread, size_t piece)
{
    struct pass *p = j->p;
    const struct shape *s = &p->m->shape;
    const struct run *r = p->runs;
    for (size_t n; piece >= (n = run_pieces(r, j->block, s->kv_heads)); r++) piece -= n;

    int head = (int)(piece % (size_t)s->kv_heads);
    size_t skip = piece / (size_t)s->kv_heads * j->block;
    size_t rows = r->count - skip < j->block ? r->count - skip : j->block;
    struct kernel_attention a = attention_of(p, j->l, r, head);
    size_t at = (size_t)head * a.group * a.head_dim;
    kernel_attend(p->m->kernels, &a, p->a.row[r->first + skip] + at, p->q.row[r->first + skip] + at,
                  (size_t)s->q_width, (size_t)r->position + skip, rows, scratch_of(p, thread));
}

static void attend_chunk(void *ctx, int thread, size_t chunk)
{
    const struct attend *j = ctx;
    size_t end = (chunk + 1) * j->chunk_pieces;
    if (end > j->pieces) end = j->pieces;
    for (size_t i = chunk * j->chunk_pieces; i < end; i++) attend_piece(j, thread, i);
}

static void keep_row(const struct each *j, size_t i)
{
    struct pass *p = j->p;
    const struct layer *l = j->with;
    const struct shape *s = &p->m->shape;
    const struct run *r = p->runs;
    while (i >= r->first + r->count) r++;
    size_t hd = (size_t)s->head_dim, place = (size_t)p->position[i];
    float *page = r->kv->pages[place / KERNEL_PAGE] + place % KERNEL_PAGE * hd;
    for (int head = 0; head < s->kv_heads; head++) {
        memcpy(page + kv_keys_at(s, l->number, head), p->k.row[i] + (size_t)head * hd,
               hd * sizeof *page);
        memcpy(page + kv_values_at(s, l->number, head), p->v.row[i] + (size_t)head * hd,
               hd * sizeof *page);
    }
}

void pass_attend(struct pass *p, const struct layer *l)
{
    const struct shape *s = &p->m->shape;
    each_row(p, (struct each){.row = keep_row, .with = l}, 2 * s->kv_width);

    struct attend j = {.p = p, .l = l};
    size_t group = (size_t)(s->heads / s->kv_heads), most = 0, work = 0;
    j.block = group >= 16 ? 1 : 16 / group; /* about 16 queries go over each key that is read */
    for (size_t i = 0; i < p->runs_count; i++) {
        const struct run *r = &p->runs[i];
        struct kernel_attention a = attention_of(p, l, r, 0);
        size_t rows = r->count < j.block ? r->count : j.block;
        /* The last piece sees most, but for a window: then all see the same. */
        size_t last = (size_t)r->position + r->count - rows;
        size_t need = kernel_attention_scratch(&a, last, rows);
        if (need > most) most = need;
        j.pieces += run_pieces(r, j.block, s->kv_heads);
        work += r->count * ((size_t)r->position + r->count) * (size_t)s->q_width * 2;
    }
    if (p->err || !need_scratch(p, most)) return;
    size_t chunks = work / CHUNK_WORK + 1;
    if (chunks > j.pieces) chunks = j.pieces;
    j.chunk_pieces = (j.pieces + chunks - 1) / chunks;
    run(p, attend_chunk, &j, (j.pieces + j.chunk_pieces - 1) / j.chunk_pieces);
}
