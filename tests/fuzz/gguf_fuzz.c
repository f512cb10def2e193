/* A GGUF file of any bytes: its metadata are walked, its numbers read, and what opens as a model
 * computes a token. */
#include "engine/arch/model.h"
#include "engine/format/gguf.h"
#include "weights_fuzz.h"

static void walk(const struct gguf *g)
{
    char name[256];
    for (size_t i = 0; i < gguf_count(g); i++) {
        str key = gguf_key(g, i), text;
        int64_t whole;
        double num;
        bool yes;
        struct gguf_array a;
        if (key.len >= sizeof name) continue;
        memcpy(name, key.at, key.len);
        name[key.len] = '\0';
        gguf_int(g, name, &whole);
        gguf_num(g, name, &num);
        gguf_bool(g, name, &yes);
        if (gguf_str(g, name, &text) && text.len) yes = text.at[text.len - 1];
        if (!gguf_array(g, name, &a)) continue;
        while (gguf_next_str(&a, &text) || gguf_next_num(&a, &num) || gguf_next_int(&a, &whole))
            continue;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct files_blob blob = {"m.gguf", str_span(data, size)};
    struct files *f = NULL;
    struct gguf *g = NULL;
    struct model *m = NULL;
    try_weights("m.gguf", data, size);
    if (files_of_memory(&f, &blob, 1, "m")) return 0;
    if (gguf_open(&g, f, NULL) == ERR_NONE) walk(g);
    gguf_close(g);
    if (model_open(&m, f, 1, NULL) == ERR_NONE) {
        struct kv *kv = NULL;
        float *logits = calloc((size_t)model_info(m)->vocab, sizeof *logits);
        if (logits && kv_new(&kv, m, 4) == ERR_NONE) {
            struct model_row row = {kv, 0, logits};
            model_forward(m, &row, 1, NULL);
        }
        kv_free(kv);
        free(logits);
    }
    model_close(m);
    files_close(f);
    return 0;
}
