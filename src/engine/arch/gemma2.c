/* Gemma 2: four norms a layer, soft caps on attention scores and logits, a window on every other
 * layer, an attention scale of its own. */
#include <math.h>

#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"gemma2", NULL};

static bool even_layer(int layer, const void *arg)
{
    (void)arg;
    return layer % 2 == 0;
}

/* `null` switches a cap off; leaving it out does not. */
static float cap(struct config *c, const char *name, double otherwise)
{
    if (config_is_null(c, name)) return 0;
    return (float)config_num(c, name, name, otherwise, 0, 1e6);
}

static enum err shape(struct shape *s, struct config *c)
{
    enum { BLOCKS_27B = 46 };
    shape_common(s, c, (struct shape_defaults){.head_dim = 256, .ctx = 8192});
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, true);
    s->embed_scale = sqrtf((float)s->width);
    s->norm_offset = config_is_gguf(c) ? 0 : 1; /* GGUF files store 1 + w */
    s->attention_cap = cap(c, "attn_logit_softcapping", 50);
    s->logit_cap = cap(c, "final_logit_softcapping", 30);

    double scalar = config_num(c, "query_pre_attn_scalar", NULL, 256, 1e-3, 1e6);
    /* GGUF files leave it out: it is the head's width, but for the 27b model. */
    if (config_is_gguf(c)) scalar = s->layers == BLOCKS_27B ? s->width / s->heads : s->head_dim;
    s->attention_scale = (float)(1 / sqrt(scalar));

    s->window =
        (int)config_int(c, "sliding_window", "attention.sliding_window", 4096, 0, SHAPE_CTX_MAX);
    return shape_windows(s, c, even_layer, NULL);
}

static void bind(struct bind *b)
{
    bind_ends(b, "norm", BIAS_NONE, BIAS_NONE);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    const struct shape *s = b->s;
    bind_norm(b, &l->before_attention, "input_layernorm", "attn_norm", s->width, BIAS_NONE);
    bind_linear(b, &l->q, "self_attn.q_proj", "attn_q", s->q_width, s->width, BIAS_MAYBE);
    bind_linear(b, &l->k, "self_attn.k_proj", "attn_k", s->kv_width, s->width, BIAS_MAYBE);
    bind_linear(b, &l->v, "self_attn.v_proj", "attn_v", s->kv_width, s->width, BIAS_MAYBE);
    bind_linear(b, &l->o, "self_attn.o_proj", "attn_output", s->width, s->q_width, BIAS_MAYBE);
    bind_norm(b, &l->after_attention, "post_attention_layernorm", "post_attention_norm", s->width,
              BIAS_NONE);
    bind_norm(b, &l->before_mlp, "pre_feedforward_layernorm", "ffn_norm", s->width, BIAS_NONE);
    bind_linear(b, &l->gate, "mlp.gate_proj", "ffn_gate", s->ffn, s->width, BIAS_NONE);
    bind_linear(b, &l->up, "mlp.up_proj", "ffn_up", s->ffn, s->width, BIAS_NONE);
    bind_linear(b, &l->down, "mlp.down_proj", "ffn_down", s->width, s->ffn, BIAS_NONE);
    bind_norm(b, &l->after_mlp, "post_feedforward_layernorm", "post_ffw_norm", s->width, BIAS_NONE);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    block_attention(p, l);
    pass_norm(p, &p->branch, &p->branch, &l->after_attention);
    pass_add(p, &p->x, &p->branch);

    pass_norm(p, &p->n, &p->x, &l->before_mlp);
    block_geglu(p, l);
    pass_norm(p, &p->branch, &p->branch, &l->after_mlp);
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_gemma2 = {
    .family = "gemma2",
    .model_types = model_types,
    .gguf = "gemma2",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
