/* Gemma 3, its text part: Gemma 2's layer without caps, norms on query and key heads, five local
 * layers for each global one; local layers rotate with a base of their own and without scaling. */
#include <math.h>

#include "engine/arch/arch.h"
#include "engine/format/config.h"

static const char *const model_types[] = {"gemma3_text", "gemma3", NULL};

static bool local_layer(int layer, const void *arg)
{
    return (layer + 1) % *(const int *)arg != 0;
}

static enum err shape(struct shape *s, struct config *c)
{
    enum { BLOCKS_27B = 62 };
    /* The published settings of the 4b model name no heads. */
    shape_common(
        s, c, (struct shape_defaults){.heads = 8, .kv_heads = 4, .head_dim = 256, .ctx = 131072});
    s->eps = (float)config_num(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s->tied = config_bool(c, "tie_word_embeddings", NULL, true);
    s->embed_scale = sqrtf((float)s->width);
    s->norm_offset = config_is_gguf(c) ? 0 : 1; /* GGUF files store 1 + w */
    s->attention_cap = (float)config_num(c, "attn_logit_softcapping", NULL, 0, 0, 1e6);
    s->logit_cap =
        (float)config_num(c, "final_logit_softcapping", "final_logit_softcapping", 0, 0, 1e6);

    double scalar = config_num(c, "query_pre_attn_scalar", NULL, 256, 1e-3, 1e6);
    if (config_is_gguf(c)) scalar = s->layers == BLOCKS_27B ? s->width / s->heads : s->head_dim;
    s->attention_scale = (float)(1 / sqrt(scalar));

    s->rope_base = 1e6;
    s->local_rope = true;
    s->window =
        (int)config_int(c, "sliding_window", "attention.sliding_window", 4096, 0, SHAPE_CTX_MAX);
    int pattern = (int)config_int(c, "sliding_window_pattern", NULL, 6, 1, SHAPE_LAYERS_MAX);
    pattern = (int)config_int(c, "_sliding_window_pattern", NULL, pattern, 1, SHAPE_LAYERS_MAX);
    return shape_windows(s, c, local_layer, &pattern);
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
    bind_norm(b, &l->q_norm, "self_attn.q_norm", "attn_q_norm", s->head_dim, BIAS_NONE);
    bind_norm(b, &l->k_norm, "self_attn.k_norm", "attn_k_norm", s->head_dim, BIAS_NONE);
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

const struct arch arch_gemma3 = {
    .family = "gemma3",
    .model_types = model_types,
    .gguf = "gemma3",
    .embed = "embed_tokens",
    .layers = "layers",
    .shape = shape,
    .bind = bind,
    .bind_layer = bind_layer,
    .layer = layer,
};
