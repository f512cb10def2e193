/* What files say about a model that is not loaded: headers and settings only, no weight is read. */
#include "base/arena.h"
#include "base/json.h"
#include "engine/arch/model.h"
#include "engine/engine.h"
#include "engine/format/files.h"
#include "engine/format/gguf.h"
#include "engine/format/weights.h"

enum { JSON_DEPTH_FILE = 512 };

/* general.file_type, as llama.cpp numbers its mixtures (llama.h, LLAMA_FTYPE). */
static const struct {
    int type;
    const char *name;
} mixtures[] = {
    {0, "F32"},     {1, "F16"},     {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
    {8, "Q5_0"},    {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
    {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
    {18, "Q6_K"},   {25, "IQ4_NL"}, {30, "IQ4_XS"}, {32, "BF16"},
};

/* The type that holds the most bytes. */
static const char *most_of(const struct weights *w)
{
    uint64_t bytes[WEIGHT_TYPES] = {0};
    size_t most = 0;

    for (size_t i = 0; i < weights_count(w); i++)
        bytes[weights_at(w, i)->type] += weights_at(w, i)->bytes;
    for (size_t i = 1; i < WEIGHT_TYPES; i++)
        if (bytes[i] > bytes[most]) most = i;
    return weight_kinds[most].name;
}

static void look_at_weights(struct engine_about *out, const struct weights *w)
{
    const struct gguf *g = weights_gguf(w);
    int64_t type;

    out->quantization = most_of(w);
    if (g == NULL || !gguf_int(g, "general.file_type", &type)) return;
    for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
        if (mixtures[i].type == type) out->quantization = mixtures[i].name;
}

/* A list of templates has one named "default". */
static str template_of(yyjson_val *v)
{
    yyjson_val *each;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(v));

    while ((each = yyjson_arr_iter_next(&it)))
        if (str_eq(json_get_str(each, "name"), STR("default")))
            return json_get_str(each, "template");
    return json_str(v);
}

static str find_template(struct files *f, const struct gguf *g, struct arena *a)
{
    yyjson_doc *doc = NULL;
    str text = STR_NONE;

    if (g && gguf_str(g, "tokenizer.chat_template", &text)) return arena_str(a, text);
    if (!files_get(f, "chat_template.jinja", &text, NULL)) return arena_str(a, text);
    if (files_get(f, "tokenizer_config.json", &text, NULL)) return STR_NONE;
    if (json_read(&doc, text, JSON_DEPTH_FILE, JSON_PLAIN, NULL)) return STR_NONE;
    str found = arena_str(a, template_of(json_get(yyjson_doc_get_root(doc), "chat_template")));
    yyjson_doc_free(doc);
    return found;
}

enum err engine_about(struct engine_about *out, struct files *f, struct arena *a,
                      struct err_note *why)
{
    struct model *model = NULL;
    struct weights *w = NULL;

    *out = (struct engine_about){.family = STR(""), .chat_template = STR("")};
    enum err e = model_open(&model, f, 1, why);
    if (!e) e = weights_open(&w, f, why);
    if (!e) {
        const struct model_info *m = model_info(model);
        out->format = files_gguf(f) ? "gguf" : "safetensors";
        out->family = arena_str(a, str_of(m->family));
        out->ctx_tokens = m->ctx_tokens;
        out->parameters = m->parameters;
        out->weight_bytes = m->weight_bytes;
        look_at_weights(out, w);
        str form = find_template(f, weights_gguf(w), a);
        if (form.len) out->chat_template = form;
        out->takes_tools = str_find(form, STR("tools")) != STR_NPOS;
        if (out->family.at == NULL) e = ERR_MEMORY;
    }
    weights_close(w);
    model_close(model);
    return e;
}
