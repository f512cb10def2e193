/* Halves of a layer that several families have in common. */
#include "engine/arch/arch.h"

void block_attention(struct pass *p, const struct layer *l)
{
    pass_linear(p, &p->q, &p->n, &l->q);
    pass_linear(p, &p->k, &p->n, &l->k);
    pass_linear(p, &p->v, &p->n, &l->v);
    if (l->q_norm.w) pass_head_norm(p, &p->q, &l->q_norm);
    if (l->k_norm.w) pass_head_norm(p, &p->k, &l->k_norm);
    if (p->m->shape.rope_dim) pass_rope(p, l);
    pass_attend(p, l);
    pass_linear(p, &p->branch, &p->a, &l->o);
}

void block_swiglu(struct pass *p, const struct layer *l)
{
    pass_linear(p, &p->gate, &p->n, &l->gate);
    pass_linear(p, &p->up, &p->n, &l->up);
    pass_silu_times(p, &p->gate, &p->up);
    pass_linear(p, &p->branch, &p->gate, &l->down);
}

void block_geglu(struct pass *p, const struct layer *l)
{
    pass_linear(p, &p->gate, &p->n, &l->gate);
    pass_linear(p, &p->up, &p->n, &l->up);
    pass_gelu_times(p, &p->gate, &p->up);
    pass_linear(p, &p->branch, &p->gate, &l->down);
}

void block_gelu_mlp(struct pass *p, const struct layer *l)
{
    pass_linear(p, &p->up, &p->n, &l->up);
    pass_gelu(p, &p->up);
    pass_linear(p, &p->branch, &p->up, &l->down);
}

void block_bind_llama(struct bind *b, struct layer *l, enum bind_bias qkv, enum bind_bias others)
{
    const struct shape *s = b->s;
    bind_norm(b, &l->before_attention, "input_layernorm", "attn_norm", s->width, BIAS_NONE);
    bind_linear(b, &l->q, "self_attn.q_proj", "attn_q", s->q_width, s->width, qkv);
    bind_linear(b, &l->k, "self_attn.k_proj", "attn_k", s->kv_width, s->width, qkv);
    bind_linear(b, &l->v, "self_attn.v_proj", "attn_v", s->kv_width, s->width, qkv);
    bind_linear(b, &l->o, "self_attn.o_proj", "attn_output", s->width, s->q_width, others);
    bind_norm(b, &l->before_mlp, "post_attention_layernorm", "ffn_norm", s->width, BIAS_NONE);
    bind_linear(b, &l->gate, "mlp.gate_proj", "ffn_gate", s->ffn, s->width, others);
    bind_linear(b, &l->up, "mlp.up_proj", "ffn_up", s->ffn, s->width, others);
    bind_linear(b, &l->down, "mlp.down_proj", "ffn_down", s->width, s->ffn, others);
}
