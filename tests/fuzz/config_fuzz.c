/* Any bytes as config.json beside good weights: refused with a reason, or the model computes a
 * token. */
#include "engine/arch/model.h"
#include "unit/engine/model_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf weights;
    if (weights.len == 0) make_llama(&weights, NULL);
    struct files_blob blobs[] = {{"config.json", str_span(data, size)},
                                 {"model.safetensors", buf_str(&weights)}};
    struct files *f = NULL;
    struct model *m = NULL;
    struct err_note why = {""};
    if (files_of_memory(&f, blobs, 2, "m")) return 0;
    enum err e = model_open(&m, f, 1, &why);
    if (e && (e != ERR_MODEL_UNUSABLE || why.text[0] == '\0' || strchr(why.text, '\n'))) abort();
    if (!e) {
        struct kv *kv = NULL;
        float logits[MADE_VOCAB];
        if (model_info(m)->vocab != MADE_VOCAB) abort();
        if (kv_new(&kv, m, 4) == ERR_NONE) {
            struct model_row rows[] = {{kv, 0, NULL}, {kv, 1, logits}};
            model_forward(m, rows, 2, NULL);
        }
        kv_free(kv);
    }
    model_close(m);
    files_close(f);
    return 0;
}
