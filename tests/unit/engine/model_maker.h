/* Builds small model files in memory, for tests: safetensors of chosen tensors, GGUF headers, and a
 * whole Llama of two layers with numbers that are the same in every run. */
#ifndef SEMA_TESTS_MODEL_MAKER_H
#define SEMA_TESTS_MODEL_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/format/files.h"

static inline void put_int(struct buf *b, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++) buf_add_char(b, i < 8 ? (char)(n >> 8 * i) : 0);
}

/* A safetensors file of this header and so many data bytes (all 0x01). */
static inline void make_safetensors(struct buf *b, const char *header, size_t data_bytes)
{
    buf_init(b, 1 << 24);
    put_int(b, strlen(header), 8);
    buf_add(b, str_of(header));
    for (size_t i = 0; i < data_bytes; i++) buf_add_char(b, 1);
}

/* ---- a whole model --------------------------------------------------------------------------- */

struct maker {
    struct buf header, data;
    uint32_t seed;
};

static inline void maker_tensor(struct maker *m, const char *name, int rows, int columns)
{
    size_t begin = m->data.len, count = (size_t)rows * (size_t)(columns ? columns : 1);
    for (size_t i = 0; i < count; i++) {
        m->seed = m->seed * 1664525u + 1013904223u;
        float x = (float)(m->seed >> 8) / (float)(1 << 23) - 1.0f;
        buf_add(&m->data, str_span(&x, sizeof x));
    }
    buf_addf(&m->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d", m->header.len > 1 ? "," : "",
             name, rows);
    if (columns) buf_addf(&m->header, ",%d", columns);
    buf_addf(&m->header, "],\"data_offsets\":[%zu,%zu]}", begin, m->data.len);
}

enum { MADE_WIDTH = 32, MADE_FFN = 48, MADE_VOCAB = 40, MADE_LAYERS = 2 };
#define MADE_CONFIG                                                                                \
    "{\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,"                       \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"                 \
    "\"vocab_size\":40,\"max_position_embeddings\":256,\"rms_norm_eps\":1e-5,"                     \
    "\"eos_token_id\":[3,5]%s}"

/* model.safetensors of that Llama, except the tensor `without` (NULL: whole). */
static inline void make_llama(struct buf *out, const char *without)
{
    static const struct {
        const char *name;
        int rows, columns;
    } parts[] = {
        {"input_layernorm", MADE_WIDTH, 0},      {"self_attn.q_proj", 32, MADE_WIDTH},
        {"self_attn.k_proj", 16, MADE_WIDTH},    {"self_attn.v_proj", 16, MADE_WIDTH},
        {"self_attn.o_proj", MADE_WIDTH, 32},    {"post_attention_layernorm", MADE_WIDTH, 0},
        {"mlp.gate_proj", MADE_FFN, MADE_WIDTH}, {"mlp.up_proj", MADE_FFN, MADE_WIDTH},
        {"mlp.down_proj", MADE_WIDTH, MADE_FFN},
    };
    struct maker m = {.seed = 1};
    buf_init(&m.header, 1 << 20);
    buf_init(&m.data, 1 << 24);
    buf_add_char(&m.header, '{');
    for (int layer = 0; layer < MADE_LAYERS; layer++) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[128];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, parts[i].name);
            if (without && strcmp(name, without) == 0) continue;
            maker_tensor(&m, name, parts[i].rows, parts[i].columns);
        }
    }
    maker_tensor(&m, "model.embed_tokens.weight", MADE_VOCAB, MADE_WIDTH);
    maker_tensor(&m, "model.norm.weight", MADE_WIDTH, 0);
    maker_tensor(&m, "lm_head.weight", MADE_VOCAB, MADE_WIDTH);
    buf_add_char(&m.header, '}');
    buf_init(out, 1 << 24);
    put_int(out, m.header.len, 8);
    buf_add(out, buf_str(&m.header));
    buf_add(out, buf_str(&m.data));
    buf_fini(&m.header);
    buf_fini(&m.data);
}

/* ---- folders --------------------------------------------------------------------------------- */

struct folder {
    char path[64];
};

static inline void folder_make(struct folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/sema-test-XXXXXX");
    if (mkdtemp(f->path) == NULL) abort();
}

static inline void folder_put(const struct folder *f, const char *name, str bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    FILE *to = fopen(path, "wb");
    if (to == NULL || fwrite(bytes.at ? bytes.at : "", 1, bytes.len, to) != bytes.len) abort();
    fclose(to);
}

static inline void folder_drop(const struct folder *f, const char *const *names, size_t count)
{
    char path[256];
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        remove(path);
    }
    remove(f->path);
}

#endif
