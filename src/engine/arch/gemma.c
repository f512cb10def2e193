/* Gemma 1: the Llama shape with scaled embeddings, norms of 1 + w and GeGLU in its tanh form,
 * whatever hidden_act says (the published settings say `gelu` and mean that form). */
#include <math.h>

#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"gemma", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    shape_common(s, c, (struct shape_defaults){.head_dim = 256, .ctx = 8192});
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, true);
    s->embed_scale = sqrtf((float)s->width);
    s->norm_offset = config_is_gguf(c) ? 0 : 1; /* GGUF files store 1 + w */
    return ERR_NONE;
}

static void bind(struct bind *b)
{
    bind_ends(b, "norm", BIAS_NONE, BIAS_NONE);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    block_bind_llama(b, l, BIAS_MAYBE, BIAS_NONE);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    block_attention(p, l);
    pass_add(p, &p->x, &p->branch);

    pass_norm(p, &p->n, &p->x, &l->before_mlp);
    block_geglu(p, l);
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_gemma = {
    .family = "gemma",
    .model_types = model_types,
    .gguf = "gemma",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
