/* vocab.json and merges.txt: GPT-2 and the repositories of its time, which have no tokenizer.json.
 */
#include "engine/vocab/vocab_parts.h"

static const char qwen2_class[] = "Qwen2Tokenizer";

static enum err merges_read(struct vocab *v, str text, struct err_note *why)
{
    size_t count = 0;
    uint32_t rank = 0, number = 0;
    str line;

    for (size_t i = 0; i < text.len; i++) count += text.at[i] == '\n';
    enum err e = bpe_merges_init(&v->bpe, &v->arena, count + 1);
    while (!e && str_split(&text, '\n', &line)) {
        number++;
        if (str_ends(line, STR("\r"))) line = str_head(line, line.len - 1);
        if (line.len == 0 || str_starts(line, STR("#version"))) continue;
        size_t blank = str_find_char(line, ' '); /* only this one: pieces hold other blanks */
        if (blank == STR_NPOS)
            return err_set(why, ERR_MODEL_UNUSABLE, "merges.txt: line %u is not a pair", number);
        e = bpe_merge_add(&v->bpe, str_head(line, blank), str_tail(line, blank + 1), rank++);
        if (e == ERR_INVALID)
            return err_set(why, ERR_MODEL_UNUSABLE,
                           "merges.txt: line %u joins tokens that vocab.json lacks", number);
    }
    return e;
}

/* Its one control token needs no entry anywhere. */
static enum err end_of_text(struct vocab *v, struct vocab_extras *x)
{
    str text = STR("<|endoftext|>");
    int32_t id = tokens_find(&v->tokens, text);

    if (id < 0) return ERR_NONE;
    vocab_extras_role(v, STR("bos_token"), text);
    vocab_extras_role(v, STR("eos_token"), text);
    vocab_extras_role(v, STR("unk_token"), text);
    return vocab_extras_put(v, x, (struct added_token){.text = text, .id = id, .special = true});
}

static enum err pipeline_make(struct vocab *v, const struct vocab_extras *x, struct err_note *why)
{
    bool qwen2 = str_eq(x->tokenizer_class, str_of(qwen2_class));
    enum err e = qwen2 ? normal_add_nfc(&v->normal, &v->arena) : ERR_NONE;

    if (!e)
        e = split_add_pattern(&v->split, &v->arena,
                              str_of(qwen2 ? split_qwen2_pattern : split_gpt2_pattern),
                              x->add_prefix_space == 1, why);
    if (!e) e = split_add_byte_level(&v->split, &v->arena);
    return e ? e : decoder_byte_level(&v->decoder, &v->arena);
}

enum err vocab_gpt2_read(struct vocab *v, struct files *f, str json, str merges,
                         struct err_note *why)
{
    struct vocab_extras none = {0}, x;
    struct json_fault fault;
    yyjson_doc *doc = NULL;

    enum err e = vocab_extras_read(v, f, &x, why);
    if (e) return e;
    e = json_read(&doc, json, VOCAB_JSON_DEPTH, JSON_PLAIN, &fault);
    if (e == ERR_INVALID)
        return err_set(why, ERR_MODEL_UNUSABLE, "vocab.json: %s at character %zu",
                       fault.reason ? fault.reason : "unreadable", fault.offset);
    if (!e) e = vocab_hf_tokens(v, yyjson_doc_get_root(doc), &none, &x, why);
    yyjson_doc_free(doc);
    if (e) return err_context(why, e, "vocab.json");

    v->bpe.tokens = &v->tokens;
    v->bpe.unk = -1;
    e = end_of_text(v, &x);
    if (!e) e = merges_read(v, merges, why);
    if (!e) e = vocab_extras_add(v, &none, &x, why);
    return e ? e : pipeline_make(v, &x, why);
}
