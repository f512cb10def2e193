#include "engine/arch/shape.h"

#include <math.h>
#include <stdlib.h>

#include "engine/format/config.h"

void shape_fini(struct shape *s)
{
    for (int i = 0; i < ROPES; i++) {
        free(s->ropes[i].frequencies);
        free(s->ropes[i].long_frequencies);
    }
    free(s->local);
    *s = (struct shape){0};
}

/* A count that is needed unless the family has a default. */
static int count(struct config *c, const char *json, const char *gguf, int otherwise, int max)
{
    return (int)config_int(c, json, gguf, otherwise ? otherwise : CONFIG_NEEDED, 1, max);
}

void shape_common(struct shape *s, struct config *c, struct shape_defaults d)
{
    s->width = count(c, "hidden_size", "embedding_length", 0, SHAPE_WIDTH_MAX);
    s->layers = count(c, "num_hidden_layers", "block_count", 0, SHAPE_LAYERS_MAX);
    s->ffn = count(c, "intermediate_size", "feed_forward_length", 0, SHAPE_WIDTH_MAX);
    s->heads = count(c, "num_attention_heads", "attention.head_count", d.heads, SHAPE_HEADS_MAX);
    s->kv_heads = count(c, "num_key_value_heads", "attention.head_count_kv",
                        d.kv_heads ? d.kv_heads : s->heads, SHAPE_HEADS_MAX);
    s->ctx =
        count(c, "max_position_embeddings", "context_length", d.ctx ? d.ctx : 2048, SHAPE_CTX_MAX);
    /* A GGUF file that names no key length means width / heads, whatever the family. */
    s->head_dim = (int)config_int(c, "head_dim", "attention.key_length",
                                  config_is_gguf(c) ? 0 : d.head_dim, 0, SHAPE_HEAD_DIM_MAX);
    shape_derive(s, c);
}

void shape_derive(struct shape *s, struct config *c)
{
    if (s->head_dim == 0) s->head_dim = s->width / s->heads;
    if (s->head_dim == 0 || s->head_dim > SHAPE_HEAD_DIM_MAX) {
        config_bad(c, "%d heads do not fit a width of %d", s->heads, s->width);
        s->head_dim = 1;
    }
    if (s->heads % s->kv_heads != 0) {
        config_bad(c, "%d heads do not share %d key/value heads", s->heads, s->kv_heads);
    }
    int64_t values =
        config_int(c, NULL, "attention.value_length", s->head_dim, 0, SHAPE_HEAD_DIM_MAX);
    if (values != s->head_dim) config_bad(c, "keys and values differ in length");

    s->q_width = s->heads * s->head_dim;
    s->kv_width = s->kv_heads * s->head_dim;
    s->attention_scale = 1.0f / sqrtf((float)s->head_dim);
    s->embed_scale = 1;
    s->rope_dim = s->head_dim;
    s->rope_base = 10000;
}

const char *const shape_silu[] = {"silu", "swish", NULL};
const char *const shape_gelu_tanh[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", NULL};

void shape_activation(struct config *c, const char *json, const char *const *known)
{
    str name = config_str(c, json, NULL);
    if (name.len == 0) return;
    for (; *known; known++) {
        if (str_eq(name, str_of(*known))) return;
    }
    config_bad(c, "%s is \"%.*s\", which this family is not known to have", json,
               STR_ARG(str_head(name, 40)));
}

bool shape_every_layer(int layer, const void *arg)
{
    (void)layer;
    (void)arg;
    return true;
}

enum err shape_windows(struct shape *s, struct config *c, bool (*rule)(int layer, const void *arg),
                       const void *arg)
{
    s->local = calloc((size_t)s->layers, sizeof *s->local);
    if (s->local == NULL) return ERR_MEMORY;
    bool listed = config_count(c, "layer_types") > 0;
    for (int i = 0; i < s->layers; i++) {
        str type = listed ? config_str_at(c, "layer_types", (size_t)i) : STR_NONE;
        if (!listed) {
            s->local[i] = rule && rule(i, arg);
        } else if (str_eq(type, STR("sliding_attention"))) {
            s->local[i] = true;
        } else if (!str_eq(type, STR("full_attention"))) {
            config_bad(c, "layer_types has \"%.*s\" for layer %d", STR_ARG(str_head(type, 40)), i);
        }
        if (s->local[i] && s->window == 0 && listed) {
            config_bad(c, "sliding_window is missing, but layer %d slides", i);
        }
        if (s->window == 0) s->local[i] = false;
    }
    return ERR_NONE;
}
