/* Phi-3, 3.5, 4 and 4-mini: the Llama shape with fused projections and, in some, partial rotation
 * or LongRoPE. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"phi3", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){.ctx = 4096});
    shape_activation(c, "hidden_act", shape_silu);
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-5, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);

    double part = config_num(c, "partial_rotary_factor", NULL, 1, 0, 1);
    part = config_num(c, "rope_parameters.partial_rotary_factor", NULL, part, 0, 1);
    s->rope_dim = (int)config_int(c, NULL, "rope.dimension_count", (int64_t)(part * s->head_dim), 0,
                                  SHAPE_HEAD_DIM_MAX);
    s->window =
        (int)config_int(c, "sliding_window", "attention.sliding_window", 0, 0, SHAPE_CTX_MAX);
    return shape_windows(s, c, shape_every_layer, NULL);
}

static void bind(struct bind *b)
{
    bind_ends(b, "norm", BIAS_NONE, BIAS_NONE);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    const struct shape *s = b->s;
    int q = s->q_width, kv = s->kv_width, all = q + 2 * kv, d = s->width, ffn = s->ffn;
    bind_norm(b, &l->before_attention, "input_layernorm", "attn_norm", d, BIAS_NONE);
    bind_part(b, &l->q, "self_attn.qkv_proj", "attn_qkv", all, 0, q, d, BIAS_MAYBE);
    bind_part(b, &l->k, "self_attn.qkv_proj", "attn_qkv", all, q, kv, d, BIAS_MAYBE);
    bind_part(b, &l->v, "self_attn.qkv_proj", "attn_qkv", all, q + kv, kv, d, BIAS_MAYBE);
    bind_linear(b, &l->o, "self_attn.o_proj", "attn_output", d, q, BIAS_MAYBE);
    bind_norm(b, &l->before_mlp, "post_attention_layernorm", "ffn_norm", d, BIAS_NONE);
    bind_part(b, &l->gate, "mlp.gate_up_proj", "ffn_up", 2 * ffn, 0, ffn, d, BIAS_NONE);
    bind_part(b, &l->up, "mlp.gate_up_proj", "ffn_up", 2 * ffn, ffn, ffn, d, BIAS_NONE);
    bind_linear(b, &l->down, "mlp.down_proj", "ffn_down", d, ffn, BIAS_NONE);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    block_attention(p, l);
    pass_add(p, &p->x, &p->branch);

    pass_norm(p, &p->n, &p->x, &l->before_mlp);
    block_swiglu(p, l);
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_phi3 = {
    .family = "phi3",
    .model_types = model_types,
    .gguf = "phi3",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
