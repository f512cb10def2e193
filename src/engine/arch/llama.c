/* Llama and what has its shape: TinyLlama, Llama 2 and 3, SmolLM2, Mistral. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"llama", "mistral", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, 0);
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);
    s->rope_neighbours = config_is_gguf(c); /* its converter permutes the rows of q and k */
    s->rope_dim = (int)config_int(c, NULL, "rope.dimension_count", s->head_dim, 0, SHAPE_HEAD_DIM_MAX);
    /* Mistral; GGUF files of this architecture have no key for it. */
    s->window = (int)config_int(c, "sliding_window", "attention.sliding_window", 0, 0, SHAPE_CTX_MAX);
    return shape_windows(s, c, shape_every_layer, NULL);
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
    bind_norm(b, &l->before_mlp, "post_attention_layernorm", "ffn_norm", s->width, BIAS_NONE);
    bind_linear(b, &l->gate, "mlp.gate_proj", "ffn_gate", s->ffn, s->width, BIAS_MAYBE);
    bind_linear(b, &l->up, "mlp.up_proj", "ffn_up", s->ffn, s->width, BIAS_MAYBE);
    bind_linear(b, &l->down, "mlp.down_proj", "ffn_down", s->width, s->ffn, BIAS_MAYBE);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    pass_linear(p, &p->q, &p->n, &l->q);
    pass_linear(p, &p->k, &p->n, &l->k);
    pass_linear(p, &p->v, &p->n, &l->v);
    pass_rope(p, l);
    pass_attend(p, l);
    pass_linear(p, &p->branch, &p->a, &l->o);
    pass_add(p, &p->x, &p->branch);

    pass_norm(p, &p->n, &p->x, &l->before_mlp);
    pass_linear(p, &p->gate, &p->n, &l->gate);
    pass_linear(p, &p->up, &p->n, &l->up);
    pass_silu_times(p, &p->gate, &p->up);
    pass_linear(p, &p->branch, &p->gate, &l->down);
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_llama = {
    .family = "llama",
    .model_types = model_types,
    .gguf = "llama",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
