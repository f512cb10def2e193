/* Rotary frequencies and their scalings (local-models.md section 2.6; YaRN: arXiv 2309.00071;
 * LongRoPE: arXiv 2402.13753).  Powers and logarithms in double, the table in float32 as the
 * reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/arch/shape.h"
#include "engine/format/config.h"
#include "engine/format/weights.h"

static const double two_pi = 6.283185307179586;

/* Where a rope's settings stand: "rope_scaling", "rope_parameters",
 * "rope_parameters.full_attention". */
struct source {
    struct config *c;
    const char *at; /* NULL in a GGUF file, or when there are none */
};

static double num(const struct source *s, const char *json, const char *gguf, double otherwise,
                  double min, double max)
{
    char path[96];
    if (s->at == NULL) return config_num(s->c, NULL, gguf, otherwise, min, max);
    snprintf(path, sizeof path, "%s.%s", s->at, json);
    return config_num(s->c, path, gguf, otherwise, min, max);
}

static str kind_of(const struct source *s)
{
    char path[96];
    if (s->at == NULL) return config_str(s->c, NULL, "rope.scaling.type");
    snprintf(path, sizeof path, "%s.rope_type", s->at);
    str kind = config_str(s->c, path, NULL);
    if (kind.len) return kind;
    snprintf(path, sizeof path, "%s.type", s->at);
    return config_str(s->c, path, NULL);
}

static double original_ctx(const struct shape *s, const struct source *from)
{
    double ctx = num(from, "original_max_position_embeddings",
                     "rope.scaling.original_context_length", 0, 0, SHAPE_CTX_MAX);
    if (ctx > 0) return ctx;
    /* Phi-3 has it beside rope_scaling. */
    return config_num(from->c, "original_max_position_embeddings", NULL, s->ctx, 1, SHAPE_CTX_MAX);
}

static double factor_of(const struct source *from)
{
    return num(from, "factor", "rope.scaling.factor", CONFIG_NEEDED_NUM, 1e-3, 1e6);
}

static void plain(float *to, int half, double base)
{
    for (int i = 0; i < half; i++) to[i] = (float)pow(base, -(double)i / half);
}

static void llama3(float *to, int half, const struct source *from, double original)
{
    double factor = factor_of(from);
    double low = num(from, "low_freq_factor", NULL, 1, 1e-6, 1e6);
    double high = num(from, "high_freq_factor", NULL, 4, 1e-6, 1e6);
    if (low >= high) {
        config_bad(from->c, "low_freq_factor is not below high_freq_factor");
        return;
    }
    for (int i = 0; i < half; i++) {
        double wave = two_pi / to[i];
        if (wave > original / low) {
            to[i] = (float)(to[i] / factor);
        } else if (wave >= original / high) {
            double s = (original / wave - low) / (high - low);
            to[i] = (float)(to[i] * ((1 - s) / factor + s));
        }
    }
}

static float yarn(float *to, int half, const struct source *from, double base, double original)
{
    double factor = factor_of(from);
    double fast = num(from, "beta_fast", "rope.scaling.yarn_beta_fast", 32, 1e-6, 1e6);
    double slow = num(from, "beta_slow", "rope.scaling.yarn_beta_slow", 1, 1e-6, 1e6);
    int dim = 2 * half;
    double low = floor(dim * log(original / (two_pi * fast)) / (2 * log(base)));
    double high = ceil(dim * log(original / (two_pi * slow)) / (2 * log(base)));
    low = fmax(low, 0);
    high = fmin(high, dim - 1);
    if (low == high) high += 0.001; /* as the reference: no division by zero */
    for (int i = 0; i < half; i++) {
        double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        to[i] = (float)(to[i] * (1 - ramp) + to[i] / factor * ramp);
    }
    double known = num(from, "attention_factor", NULL, 0, 0, 1e3);
    double extra = num(from, "attn_factor", "rope.scaling.attn_factor", 1, 1e-3, 1e3);
    return (float)(known > 0 ? known : (factor > 1 ? 0.1 * log(factor) + 1 : 1) * extra);
}

/* frequencies[i] / list[i]; the list is a JSON array or, in a GGUF file, a tensor. */
static float *divided(const float *from, int half, struct config *c, const struct weights *w,
                      const char *json, const char *tensor)
{
    const struct tensor *t = weights_find(w, tensor);
    float *to = calloc((size_t)half, sizeof *to);
    if (to == NULL) return NULL;
    if (t && t->type == WEIGHT_F32 && t->dims == 1 && t->shape[0] == (uint64_t)half) {
        weights_widen(t->type, t->data, to, (size_t)half);
    } else if (!config_is_gguf(c) && config_count(c, json) == (size_t)half) {
        for (int i = 0; i < half; i++) to[i] = (float)config_num_at(c, json, (size_t)i);
    } else {
        config_bad(c, "%s does not hold %d factors", config_is_gguf(c) ? tensor : json, half);
    }
    for (int i = 0; i < half; i++) {
        if (!(to[i] > 0))
            config_bad(c, "%s has a factor that is not positive",
                       config_is_gguf(c) ? tensor : json);
        to[i] = from[i] / to[i];
    }
    return to;
}

static enum err longrope(struct rope *r, const struct shape *s, int half, const struct source *from,
                         const struct weights *w)
{
    char short_path[96] = "", long_path[96] = "";
    double original = original_ctx(s, from);
    if (from->at) {
        snprintf(short_path, sizeof short_path, "%s.short_factor", from->at);
        snprintf(long_path, sizeof long_path, "%s.long_factor", from->at);
    }
    float *near =
        divided(r->frequencies, half, from->c, w, short_path, "rope_factors_short.weight");
    float *far = divided(r->frequencies, half, from->c, w, long_path, "rope_factors_long.weight");
    free(r->frequencies);
    r->frequencies = near;
    r->long_frequencies = far;
    if (near == NULL || far == NULL) return ERR_MEMORY;

    double ratio = s->ctx / original;
    double scale = ratio > 1 && original > 1 ? sqrt(1 + log(ratio) / log(original)) : 1;
    double known = num(from, "attention_factor", "rope.scaling.attn_factor", 0, 0, 1e3);
    r->scale = r->long_scale = (float)(known > 0 ? known : scale);
    r->long_after = (int)original;
    return ERR_NONE;
}

static enum err scaled(struct rope *r, const struct shape *s, int half, const struct source *from,
                       double base, const struct weights *w)
{
    str kind = kind_of(from);
    double original = original_ctx(s, from);
    if (kind.len == 0 || str_eq(kind, STR("default")) || str_eq(kind, STR("none"))) {
        /* Phi-3's GGUF files have the factors and no scaling type. */
        if (config_is_gguf(from->c) && weights_find(w, "rope_factors_long.weight")) {
            return longrope(r, s, half, from, w);
        }
    } else if (str_eq(kind, STR("linear"))) {
        double factor = factor_of(from);
        for (int i = 0; i < half; i++) r->frequencies[i] = (float)(r->frequencies[i] / factor);
    } else if (str_eq(kind, STR("llama3"))) {
        llama3(r->frequencies, half, from, original);
    } else if (str_eq(kind, STR("yarn"))) {
        r->scale = yarn(r->frequencies, half, from, base, original);
    } else if (str_eq(kind, STR("longrope")) || str_eq(kind, STR("su"))) {
        return longrope(r, s, half, from, w);
    } else {
        config_bad(from->c,
                   "rotary scaling \"%.*s\" is not known (default, linear, llama3, yarn, "
                   "longrope)",
                   STR_ARG(str_head(kind, 40)));
    }
    return ERR_NONE;
}

/* llama3 scaling of a GGUF file: a tensor of divisors, and no key. */
static enum err by_tensor(struct rope *r, int half, struct config *c, const struct weights *w)
{
    if (!config_is_gguf(c) || weights_find(w, "rope_freqs.weight") == NULL) return ERR_NONE;
    float *to = divided(r->frequencies, half, c, w, "", "rope_freqs.weight");
    if (to == NULL) return ERR_MEMORY;
    free(r->frequencies);
    r->frequencies = to;
    return ERR_NONE;
}

static enum err rope_one(struct rope *r, const struct shape *s, const struct source *from,
                         double base, bool scale, const struct weights *w)
{
    int half = s->rope_dim / 2;
    r->scale = 1;
    r->frequencies = calloc((size_t)half, sizeof *r->frequencies);
    if (r->frequencies == NULL) return ERR_MEMORY;
    plain(r->frequencies, half, base);
    enum err e = scale ? scaled(r, s, half, from, base, w) : ERR_NONE;
    if (!e && scale) e = by_tensor(r, half, from->c, w);
    return e;
}

enum err rope_init(struct shape *s, struct config *c, const struct weights *w)
{
    if (s->rope_dim < 2 || s->rope_dim > s->head_dim || s->rope_dim % 2 != 0) {
        config_bad(c, "%d rotated numbers do not fit heads of %d", s->rope_dim, s->head_dim);
        s->rope_dim = 0;
        return ERR_NONE;
    }
    /* The newest configs hold base and scaling together, Gemma 3's once for each kind of layer. */
    struct source full = {c, NULL}, local = {c, NULL};
    if (config_has(c, "rope_parameters.full_attention", NULL)) {
        full.at = "rope_parameters.full_attention";
        local.at = "rope_parameters.sliding_attention";
    } else if (config_has(c, "rope_parameters", NULL)) {
        full.at = "rope_parameters";
    } else if (config_has(c, "rope_scaling", NULL)) {
        full.at = "rope_scaling";
    }
    double base = config_num(c, "rope_theta", "rope.freq_base", s->rope_base, 1.5, 1e15);
    if (full.at) base = num(&full, "rope_theta", "rope.freq_base", base, 1.5, 1e15);
    enum err e = rope_one(&s->ropes[ROPE_FULL], s, &full, base, true, w);
    if (e || !s->local_rope) return e;

    base = config_num(c, "rope_local_base_freq", "rope.freq_base_swa", 10000, 1.5, 1e15);
    if (local.at) base = num(&local, "rope_theta", "rope.freq_base_swa", base, 1.5, 1e15);
    return rope_one(&s->ropes[ROPE_LOCAL], s, &local, base, false, w);
}
