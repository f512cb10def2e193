/* Qwen 3: the Llama shape with an RMS norm on every query and key head, before they rotate. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"qwen3", NULL};

static bool from_layer(int layer, const void *arg)
{
    return layer >= *(const int *)arg;
}

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){.head_dim = 128, .ctx = 32768});
    shape_activation(c, "hidden_act", shape_silu);
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);
    int first = (int)config_int(c, "max_window_layers", NULL, 28, 0, SHAPE_LAYERS_MAX);
    if (config_bool(c, "use_sliding_window", NULL, false)) {
        s->window = (int)config_int(c, "sliding_window", NULL, 4096, 0, SHAPE_CTX_MAX);
    }
    return shape_windows(s, c, from_layer, &first);
}

static void bind(struct bind *b)
{
    bind_ends(b, "norm", BIAS_NONE, BIAS_NONE);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    block_bind_llama(b, l, BIAS_MAYBE, BIAS_MAYBE);
    bind_norm(b, &l->q_norm, "self_attn.q_norm", "attn_q_norm", b->s->head_dim, BIAS_NONE);
    bind_norm(b, &l->k_norm, "self_attn.k_norm", "attn_k_norm", b->s->head_dim, BIAS_NONE);
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

const struct arch arch_qwen3 = {
    .family = "qwen3",
    .model_types = model_types,
    .gguf = "qwen3",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
