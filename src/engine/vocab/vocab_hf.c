/* tokenizer.json, the pipeline file of the Hugging Face hub (local-models.md section 4). */
#include "engine/format/files.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/vocab_parts.h"

struct reading {
    struct vocab *v;
    yyjson_val *root, *model;
    struct vocab_extras added, more;
    struct err_note *why;
};

static enum err refuse(const struct reading *r, const char *text)
{
    return err_set(r->why, ERR_MODEL_UNUSABLE, "%s", text);
}

static bool id_ok(yyjson_val *v, int32_t *id)
{
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= TOKENS_MAX) return false;
    *id = (int32_t)yyjson_get_uint(v);
    return true;
}

/* ---- added tokens ---- */

static enum err read_added(struct reading *r)
{
    yyjson_val *list = json_get(r->root, "added_tokens");
    size_t count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;
    yyjson_arr_iter each = yyjson_arr_iter_with(list);

    if (list && !yyjson_is_arr(list) && !yyjson_is_null(list))
        return refuse(r, "added_tokens is not a list");
    if (count > ADDED_MAX) return refuse(r, "too many added tokens");
    r->added.list = arena_array(&r->v->arena, struct added_token, count);
    if (r->added.list == NULL) return ERR_MEMORY;
    for (yyjson_val *t; (t = yyjson_arr_iter_next(&each));) {
        struct added_token token = {
            .text = json_get_str(t, "content"),
            .special = json_get_bool(t, "special", false),
            .lstrip = json_get_bool(t, "lstrip", false),
            .rstrip = json_get_bool(t, "rstrip", false),
            .single_word = json_get_bool(t, "single_word", false),
        };
        token.normalized = json_get_bool(t, "normalized", !token.special);
        if (token.text.at == NULL || !id_ok(json_get(t, "id"), &token.id))
            return refuse(r, "an added token without a valid content and id");
        if (token.text.len > ADDED_BYTES_MAX) return refuse(r, "an added token is too long");
        r->added.list[r->added.count++] = token;
    }
    return ERR_NONE;
}

/* ---- the model ---- */

enum err vocab_hf_tokens(struct vocab *v, yyjson_val *object, const struct vocab_extras *first,
                         const struct vocab_extras *more, struct err_note *why)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(object);
    size_t entries = 0, bytes = 0;
    int64_t id_max = -1;
    int32_t id, size;

    if (!yyjson_is_obj(object))
        return err_set(why, ERR_MODEL_UNUSABLE, "the vocabulary is not an object");
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&each)); entries++) {
        if (!id_ok(yyjson_obj_iter_get_val(key), &id))
            return err_set(why, ERR_MODEL_UNUSABLE,
                           "the vocabulary has an id that is not a small whole number");
        if (id > id_max) id_max = id;
        bytes += yyjson_get_len(key);
    }
    if (entries == 0) return err_set(why, ERR_MODEL_UNUSABLE, "the vocabulary is empty");
    size_t all = entries;
    vocab_extras_room(first, &all, &id_max);
    vocab_extras_room(more, &all, &id_max);
    if (id_max < (int64_t)entries) id_max = (int64_t)entries;
    id_max += (int64_t)first->count; /* the first may be numbered on from there */
    if (!tokens_size_fits(id_max, all, &size))
        return err_set(why, ERR_MODEL_UNUSABLE, "token ids reach far beyond the number of tokens");
    enum err e = tokens_init(&v->tokens, &v->arena, entries, bytes, size);
    if (e) return e;

    each = yyjson_obj_iter_with(object);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&each));)
        tokens_put(&v->tokens, json_str(key),
                   (int32_t)yyjson_get_uint(yyjson_obj_iter_get_val(key)));
    return ERR_NONE;
}

/* "a b" or ["a", "b"].  A piece may hold any blank but U+0020, so only the first one of those
 * splits. */
static bool merge_parts(yyjson_val *v, str *left, str *right)
{
    if (yyjson_is_arr(v)) {
        if (yyjson_arr_size(v) != 2) return false;
        *left = json_str(yyjson_arr_get(v, 0));
        *right = json_str(yyjson_arr_get(v, 1));
        return left->at && right->at;
    }
    str text = json_str(v);
    size_t blank = text.at ? str_find_char(text, ' ') : STR_NPOS;
    if (blank == STR_NPOS) return false;
    *left = str_head(text, blank);
    *right = str_tail(text, blank + 1);
    return true;
}

static enum err read_merges(struct reading *r)
{
    yyjson_val *merges = json_get(r->model, "merges"), *one;
    struct vocab *v = r->v;

    if (!yyjson_is_arr(merges)) return refuse(r, "model.merges is not a list");
    enum err e = bpe_merges_init(&v->bpe, &v->arena, yyjson_arr_size(merges));
    yyjson_arr_iter each = yyjson_arr_iter_with(merges);
    for (uint32_t rank = 0; !e && (one = yyjson_arr_iter_next(&each)); rank++) {
        str left, right;
        if (!merge_parts(one, &left, &right))
            return err_set(r->why, ERR_MODEL_UNUSABLE, "model.merges: entry %u is not a pair",
                           rank);
        e = bpe_merge_add(&v->bpe, left, right, rank);
        if (e == ERR_INVALID)
            return err_set(r->why, ERR_MODEL_UNUSABLE,
                           "model.merges: entry %u joins tokens that model.vocab lacks", rank);
    }
    return e;
}

static enum err read_model(struct reading *r)
{
    struct bpe *bpe = &r->v->bpe;

    if (!yyjson_is_obj(r->model)) return refuse(r, "model is not an object");
    str type = json_get_str(r->model, "type");
    if (type.at && !str_eq(type, STR("BPE"))) return refuse_kind(r->why, "model type", type);
    enum err e = vocab_hf_tokens(r->v, json_get(r->model, "vocab"), &r->added, &r->more, r->why);
    if (e) return e;

    bpe->tokens = &r->v->tokens;
    bpe->fuse_unk = json_get_bool(r->model, "fuse_unk", false);
    bpe->byte_fallback = json_get_bool(r->model, "byte_fallback", false);
    bpe->ignore_merges = json_get_bool(r->model, "ignore_merges", false);
    str unk = json_get_str(r->model, "unk_token");
    bpe->unk = unk.at ? tokens_find(bpe->tokens, unk) : -1;
    bpe->word_prefix = arena_str(&r->v->arena, json_get_str(r->model, "continuing_subword_prefix"));
    bpe->word_suffix = arena_str(&r->v->arena, json_get_str(r->model, "end_of_word_suffix"));
    if (bpe->word_prefix.at == NULL || bpe->word_suffix.at == NULL) return ERR_MEMORY;
    bpe_bytes_find(bpe);
    return read_merges(r);
}

/* ---- the post-processor ---- */

static enum err affix_add(struct reading *r, struct vocab_affix *to, yyjson_val *id)
{
    int32_t n;

    if (!id_ok(id, &n) || n >= r->v->tokens.size)
        return refuse(r, "post_processor: an id is out of range");
    if (to->count == VOCAB_AFFIX_MAX) return refuse(r, "post_processor: too many special tokens");
    to->ids[to->count++] = n;
    return ERR_NONE;
}

static enum err read_template(struct reading *r, yyjson_val *json)
{
    struct vocab_affix before = {0}, after = {0};
    yyjson_arr_iter each = yyjson_arr_iter_with(json_get(json, "single"));
    bool text_seen = false;
    enum err e = ERR_NONE;

    for (yyjson_val *item; !e && (item = yyjson_arr_iter_next(&each));) {
        yyjson_val *special = json_get(item, "SpecialToken");
        str name = json_get_str(special, "id");
        if (special == NULL) {
            text_seen = true;
            continue;
        }
        yyjson_val *entry =
            yyjson_obj_getn(json_get(json, "special_tokens"), name.at ? name.at : "", name.len);
        yyjson_arr_iter ids = yyjson_arr_iter_with(json_get(entry, "ids"));
        for (yyjson_val *id; !e && (id = yyjson_arr_iter_next(&ids));)
            e = affix_add(r, text_seen ? &after : &before, id);
    }
    /* Of several processors each puts its tokens around what the one before made. */
    struct vocab_affix *v_before = &r->v->before, *v_after = &r->v->after;
    if (!e && (before.count + v_before->count > VOCAB_AFFIX_MAX ||
               after.count + v_after->count > VOCAB_AFFIX_MAX))
        e = refuse(r, "post_processor: too many special tokens");
    if (e) return e;
    for (int i = 0; i < v_before->count; i++) before.ids[before.count++] = v_before->ids[i];
    *v_before = before;
    for (int i = 0; i < after.count; i++) v_after->ids[v_after->count++] = after.ids[i];
    return ERR_NONE;
}

/* RobertaProcessing and BertProcessing: {"cls": ["<s>", 0], "sep": ["</s>", 2]} */
static enum err read_cls_sep(struct reading *r, yyjson_val *json)
{
    enum err e = affix_add(r, &r->v->before, yyjson_arr_get(json_get(json, "cls"), 1));
    return e ? e : affix_add(r, &r->v->after, yyjson_arr_get(json_get(json, "sep"), 1));
}

static enum err read_post(struct reading *r, yyjson_val *json)
{
    str type = json_get_str(json, "type");
    enum err e = ERR_NONE;

    if (json == NULL || yyjson_is_null(json) || str_eq(type, STR("ByteLevel"))) return ERR_NONE;
    if (str_eq(type, STR("TemplateProcessing"))) return read_template(r, json);
    if (str_eq(type, STR("RobertaProcessing")) || str_eq(type, STR("BertProcessing")))
        return read_cls_sep(r, json);
    if (!str_eq(type, STR("Sequence"))) return refuse_kind(r->why, "post_processor", type);
    yyjson_arr_iter each = yyjson_arr_iter_with(json_get(json, "processors"));
    for (yyjson_val *one; !e && (one = yyjson_arr_iter_next(&each));) e = read_post(r, one);
    return e;
}

/* ---- all of it ---- */

static enum err read_all(struct reading *r)
{
    struct vocab *v = r->v;
    enum err e = ERR_NONE;

    if (!yyjson_is_obj(r->root)) return refuse(r, "not a JSON object");
    r->model = json_get(r->root, "model");
    e = read_added(r);
    if (!e) e = read_model(r);
    if (!e) e = vocab_extras_add(v, &r->added, &r->more, r->why);
    if (!e) e = normal_from_json(&v->normal, &v->arena, json_get(r->root, "normalizer"), r->why);
    if (!e) e = split_from_json(&v->split, &v->arena, json_get(r->root, "pre_tokenizer"), r->why);
    if (!e) e = decoder_from_json(&v->decoder, &v->arena, json_get(r->root, "decoder"), r->why);
    if (!e) e = read_post(r, json_get(r->root, "post_processor"));
    return e;
}

enum err vocab_hf_read(struct vocab *v, struct files *f, str json, struct err_note *why)
{
    struct reading r = {.v = v, .why = why};
    struct json_fault fault;
    yyjson_doc *doc = NULL;

    enum err e = vocab_extras_read(v, f, &r.more, why);
    if (e) return e;
    e = json_read(&doc, json, VOCAB_JSON_DEPTH, JSON_PLAIN, &fault);
    if (e == ERR_INVALID)
        return err_set(why, ERR_MODEL_UNUSABLE, "tokenizer.json: %s at character %zu",
                       fault.reason ? fault.reason : "unreadable", fault.offset);
    if (e) return e;
    r.root = yyjson_doc_get_root(doc);
    e = read_all(&r);
    yyjson_doc_free(doc);
    return e ? err_context(why, e, "tokenizer.json") : ERR_NONE;
}
