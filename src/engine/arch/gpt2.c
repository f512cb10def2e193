/* GPT-2 and DialoGPT: learned positions, layer norms, a plain MLP, biases everywhere; safetensors
 * and PyTorch files store the matrices [in, out]. */
#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"gpt2", NULL};

static enum err shape(struct shape *s, struct config *c)
{
    s->width = (int)config_int(c, "n_embd", "embedding_length", 768, 1, SHAPE_WIDTH_MAX);
    s->layers = (int)config_int(c, "n_layer", "block_count", 12, 1, SHAPE_LAYERS_MAX);
    s->heads = (int)config_int(c, "n_head", "attention.head_count", 12, 1, SHAPE_HEADS_MAX);
    s->ffn = (int)config_int(c, "n_inner", "feed_forward_length", 4 * (int64_t)s->width, 1,
                             4 * SHAPE_WIDTH_MAX);
    s->ctx = (int)config_int(c, "n_positions", "context_length", 1024, 1, SHAPE_CTX_MAX);
    s->kv_heads = s->heads;
    if (s->width % s->heads != 0) {
        config_bad(c, "a width of %d does not divide into %d heads", s->width, s->heads);
    }
    shape_derive(s, c);
    s->rope_dim = 0;
    s->eps = (float)config_num(c, "layer_norm_epsilon", "attention.layer_norm_epsilon", 1e-5, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, true);
    shape_activation(c, "activation_function", shape_gelu_tanh);
    if (config_bool(c, "scale_attn_by_inverse_layer_idx", NULL, false) ||
        !config_bool(c, "scale_attn_weights", NULL, true)) {
        config_bad(c, "its attention is scaled in a way that is not supported");
    }
    return ERR_NONE;
}

static void bind(struct bind *b)
{
    b->m->positions = bind_table(b, "wpe", "position_embd", b->s->ctx, b->s->width);
    bind_ends(b, "ln_f", BIAS_NEEDED, BIAS_NONE);
}

static void bind_layer(struct bind *b, struct layer *l)
{
    int d = b->s->width, ffn = b->s->ffn;
    bind_norm(b, &l->before_attention, "ln_1", "attn_norm", d, BIAS_NEEDED);
    bind_columns(b, &l->q, "attn.c_attn", "attn_qkv", 3 * d, 0, d, d, BIAS_NEEDED);
    bind_columns(b, &l->k, "attn.c_attn", "attn_qkv", 3 * d, d, d, d, BIAS_NEEDED);
    bind_columns(b, &l->v, "attn.c_attn", "attn_qkv", 3 * d, 2 * d, d, d, BIAS_NEEDED);
    bind_columns(b, &l->o, "attn.c_proj", "attn_output", d, 0, d, d, BIAS_NEEDED);
    bind_norm(b, &l->before_mlp, "ln_2", "ffn_norm", d, BIAS_NEEDED);
    bind_columns(b, &l->up, "mlp.c_fc", "ffn_up", ffn, 0, ffn, d, BIAS_NEEDED);
    bind_columns(b, &l->down, "mlp.c_proj", "ffn_down", d, 0, d, ffn, BIAS_NEEDED);
}

static void layer(struct pass *p, const struct layer *l)
{
    pass_norm(p, &p->n, &p->x, &l->before_attention);
    block_attention(p, l);
    pass_add(p, &p->x, &p->branch);

    pass_norm(p, &p->n, &p->x, &l->before_mlp);
    block_gelu_mlp(p, l);
    pass_add(p, &p->x, &p->branch);
}

const struct arch arch_gpt2 = {
    .family = "gpt2",
    .model_types = model_types,
    .gguf = "gpt2",
    .embed = "wte",
    .layers = "h",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
