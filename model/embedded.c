#include "embedded.h"

#include "engine/format/files.h"

/* Ends are addresses, so lengths are no constants: the table is filled when the program is loaded.
 */
#define EMBEDDED(X)                                                                                \
    X(config, "config.json")                                                                       \
    X(generation_config, "generation_config.json")                                                 \
    X(model, "model.safetensors")                                                                  \
    X(special_tokens_map, "special_tokens_map.json")                                               \
    X(tokenizer, "tokenizer.json")                                                                 \
    X(tokenizer_config, "tokenizer_config.json")

#define X(symbol, file) extern const char embed_##symbol[], embed_##symbol##_end[];
EMBEDDED(X)
#undef X

static struct files_blob guide[] = {
#define X(symbol, file) {.name = file, .bytes.at = embed_##symbol},
    EMBEDDED(X)
#undef X
};

__attribute__((constructor)) static void measure(void)
{
    size_t i = 0;
#define X(symbol, file) guide[i++].bytes.len = (size_t)(embed_##symbol##_end - embed_##symbol);
    EMBEDDED(X)
#undef X
}

const struct backend_embedded embedded_models[] = {
    {.model = "sema-guide", .blobs = guide, .count = sizeof guide / sizeof *guide},
};
const size_t embedded_models_count = sizeof embedded_models / sizeof *embedded_models;
