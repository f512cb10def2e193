/* Qwen 2 and 2.5: the Llama shape with biases on q, k and v. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"qwen2", NULL};

static bool from_layer(int layer, const void *arg)
{
    return layer >= *(const int *)arg;
}

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){.ctx = 32768});
    shape_activation(c, "hidden_act", shape_silu);
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, false);
    /* The window counts only when it is switched on, and from some layer on. */
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
    block_bind_llama(b, l, BIAS_NEEDED, BIAS_NONE);
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

const struct arch arch_qwen2 = {
    .family = "qwen2",
    .model_types = model_types,
    .gguf = "qwen2",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
