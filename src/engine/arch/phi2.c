/* Phi-1.5 and 2: one layer norm feeds attention and MLP side by side; partial rotation; biases
 * everywhere, on the head too. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"phi", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){.ctx = 2048});
    shape_activation(c, "hidden_act", shape_gelu_tanh);
    s->eps = (float)config_num(c, "layer_norm_eps", "attention.layer_norm_epsilon", 1e-5, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);

    double part = config_num(c, "partial_rotary_factor", NULL, 0.5, 0, 1);
    part = config_num(c, "rope_parameters.partial_rotary_factor", NULL, part, 0, 1);
    s->rope_dim = (int)config_int(c, NULL, "rope.dimension_count", (int64_t)(part * s->head_dim), 0,
                                  SHAPE_HEAD_DIM_MAX);
    if (config_bool(c, "qk_layernorm", NULL, false)) config_bad(c, "qk_layernorm is not supported");
    return ERR_NONE;
}

static void bind(struct bind *b)
{
    bind_ends(b, "final_layernorm", BIAS_NEEDED, BIAS_NEEDED);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    const struct shape *s = b->s;
    bind_norm(b, &l->before_attention, "input_layernorm", "attn_norm", s->width, BIAS_NEEDED);
    bind_linear(b, &l->q, "self_attn.q_proj", "attn_q", s->q_width, s->width, BIAS_NEEDED);
    bind_linear(b, &l->k, "self_attn.k_proj", "attn_k", s->kv_width, s->width, BIAS_NEEDED);
    bind_linear(b, &l->v, "self_attn.v_proj", "attn_v", s->kv_width, s->width, BIAS_NEEDED);
    bind_linear(b, &l->o, "self_attn.dense", "attn_output", s->width, s->q_width, BIAS_NEEDED);
    bind_linear(b, &l->up, "mlp.fc1", "ffn_up", s->ffn, s->width, BIAS_NEEDED);
    bind_linear(b, &l->down, "mlp.fc2", "ffn_down", s->width, s->ffn, BIAS_NEEDED);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    block_attention(p, l);
    pass_add(p, &p->x, &p->branch);
    block_gelu_mlp(p, l); /* of the same normed rows */
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_phi2 = {
    .family = "phi2",
    .model_types = model_types,
    .gguf = "phi2",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
