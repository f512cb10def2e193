/* Opening: which family, what shape, which tensors. */
#include "engine/arch/model.h"

#include <stdlib.h>

#include "base/buf.h"
#include "engine/arch/arch.h"
#include "engine/format/config.h"
#include "engine/format/files.h"

static const struct arch *const families[] = {
    &arch_llama,  &arch_qwen2, &arch_qwen3, &arch_gemma, &arch_gemma2,
    &arch_gemma3, &arch_gpt2,  &arch_phi3,  &arch_phi2,
};
enum { FAMILIES = sizeof families / sizeof *families };

static bool is_family(const struct arch *a, str type, bool gguf)
{
    if (gguf) return str_eq(type, str_of(a->gguf));
    for (const char *const *t = a->model_types; *t; t++) {
        if (str_eq(type, str_of(*t))) return true;
    }
    return false;
}

/* Settles the family, or says which ones there are. */
static enum err find_family(const struct arch **out, struct config *c)
{
    str type = config_type(c);
    struct buf known;
    for (size_t i = 0; i < FAMILIES; i++) {
        if (!is_family(families[i], type, config_is_gguf(c))) continue;
        *out = families[i];
        return ERR_NONE;
    }
    buf_init(&known, 200);
    for (size_t i = 0; i < FAMILIES; i++) {
        if (config_is_gguf(c)) buf_addf(&known, "%s%s", i ? ", " : "", families[i]->gguf);
        for (const char *const *t = families[i]->model_types; *t && !config_is_gguf(c); t++) {
            buf_addf(&known, "%s%s", known.len ? ", " : "", *t);
        }
    }
    if (type.len == 0) {
        config_bad(c, "no architecture is named; known: %.*s", STR_ARG(buf_str(&known)));
    } else {
        config_bad(c, "unknown architecture \"%.*s\"; known: %.*s", STR_ARG(str_head(type, 40)),
                   STR_ARG(buf_str(&known)));
    }
    buf_fini(&known);
    return ERR_MODEL_UNUSABLE;
}

static enum err read_settings(struct model *m, struct config *c, struct err_note *why)
{
    struct shape *s = &m->shape;
    enum err e = find_family(&m->arch, c);
    if (e) return config_err(c, why);
    e = m->arch->shape(s, c);
    s->family = m->arch->family;
    s->vocab = (int)config_int(c, "vocab_size", NULL, 0, 1, SHAPE_VOCAB_MAX);
    if (!e) e = config_err(c, why); /* first: what follows trusts the numbers */
    if (!e && s->rope_dim > 0) e = rope_init(s, c, m->weights);
    if (!e) e = config_err(c, why);
    m->end_ids_count = config_end_ids(c, m->end_ids, sizeof m->end_ids / sizeof *m->end_ids);
    return e;
}

static void fill_info(struct model *m)
{
    const struct shape *s = &m->shape;
    m->info = (struct model_info){
        .family = s->family,
        .vocab = s->vocab,
        .ctx_tokens = s->ctx,
        .layers = s->layers,
        .width = s->width,
        .kv_bytes_per_token = kv_page_floats(s) / KERNEL_PAGE * sizeof(float),
    };
    for (size_t i = 0; i < weights_count(m->weights); i++) {
        const struct tensor *t = weights_at(m->weights, i);
        const struct weight_kind *k = &weight_kinds[t->type];
        m->info.weight_bytes += t->bytes;
        m->info.parameters += t->bytes / (uint64_t)k->block_bytes * (uint64_t)k->block_numbers;
    }
}

enum err model_open(struct model **out, struct files *f, int threads, struct err_note *why)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL) return ERR_MEMORY;
    const struct kernels *levels[KERNEL_LEVELS_MAX];
    kernels_here(levels);
    m->kernels = levels[0];
    m->files = f;

    struct config *c = NULL;
    enum err e = weights_open(&m->weights, f, why);
    if (!e) e = config_open(&c, f, weights_gguf(m->weights), why);
    if (!e) e = read_settings(m, c, why);
    config_close(c);
    if (!e) {
        e = bind_model(m, why);
        if (e && e != ERR_MEMORY) err_context(why, e, "%s", files_label(f));
    }
    if (!e) e = pool_new(&m->pool, threads);
    if (!e) {
        m->pass = pass_new(m);
        if (m->pass == NULL) e = ERR_MEMORY;
    }
    if (e) {
        model_close(m);
        return e == ERR_IO ? ERR_MODEL_UNUSABLE : e; /* the note says what could not be read */
    }
    fill_info(m);
    *out = m;
    return ERR_NONE;
}

void model_close(struct model *m)
{
    if (m == NULL) return;
    pass_free(m->pass);
    pool_free(m->pool);
    bind_free(m);
    shape_fini(&m->shape);
    weights_close(m->weights);
    free(m);
}

const struct model_info *model_info(const struct model *m)
{
    return &m->info;
}

size_t model_end_ids(const struct model *m, const int32_t **out)
{
    *out = m->end_ids;
    return m->end_ids_count;
}
