/* Llama and what has its shape: TinyLlama, Llama 2 and 3, SmolLM2, Mistral. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"llama", "mistral", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){0});
    shape_activation(c, "hidden_act", shape_silu);
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);
    s->rope_neighbours = config_is_gguf(c); /* its converter permutes the rows of q and k */
    s->rope_dim =
        (int)config_int(c, NULL, "rope.dimension_count", s->head_dim, 0, SHAPE_HEAD_DIM_MAX);
    /* Mistral; GGUF files of this architecture have no key for it. */
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
    block_bind_llama(b, l, BIAS_MAYBE, BIAS_MAYBE); /* attention_bias, mlp_bias: the tensors tell */
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
