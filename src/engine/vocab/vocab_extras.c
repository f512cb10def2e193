/* The files beside a vocabulary that name special tokens. */
#include "engine/format/files.h"
#include "engine/vocab/vocab_parts.h"

void vocab_extras_role(struct vocab *v, str role, str text)
{
    if (text.len == 0 || v->roles_count == VOCAB_ROLES_MAX) return;
    for (int i = 0; i < v->roles_count; i++)
        if (str_eq(v->roles[i].role, role)) return;
    struct vocab_role r = {arena_str(&v->arena, role), arena_str(&v->arena, text)};
    if (r.role.at && r.text.at) v->roles[v->roles_count++] = r;
}

/* "<s>", {"content": "<s>", ...} or null. */
static str token_text(yyjson_val *v)
{
    str text = json_str(v);
    return text.at ? text : json_get_str(v, "content");
}

static void roles_read(struct vocab *v, yyjson_val *object)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(object);

    for (yyjson_val *key; (key = yyjson_obj_iter_next(&each));) {
        str name = json_str(key);
        if (str_ends(name, STR("_token")))
            vocab_extras_role(v, name, token_text(yyjson_obj_iter_get_val(key)));
    }
}

enum err vocab_extras_put(struct vocab *v, struct vocab_extras *x, struct added_token token)
{
    if (token.text.len == 0) return ERR_NONE;
    if (x->count == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 64;
        struct added_token *list =
            cap <= ADDED_MAX * 2 ? arena_array(&v->arena, struct added_token, cap) : NULL;
        if (list == NULL) return ERR_MEMORY;
        if (x->count) memcpy(list, x->list, x->count * sizeof *list);
        x->list = list;
        x->cap = cap;
    }
    token.text = arena_str(&v->arena, token.text);
    if (token.text.at == NULL) return ERR_MEMORY;
    x->list[x->count++] = token;
    return ERR_NONE;
}

/* {"32000": {"content": "<|end|>", "special": true, ...}, ...} */
static enum err decoder_map_read(struct vocab *v, yyjson_val *object, struct vocab_extras *x)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(object);
    enum err e = ERR_NONE;

    for (yyjson_val *key; !e && (key = yyjson_obj_iter_next(&each));) {
        yyjson_val *entry = yyjson_obj_iter_get_val(key);
        uint64_t id;
        str text = json_get_str(entry, "content");
        if (!str_to_u64(json_str(key), &id) || id >= TOKENS_MAX || text.len > ADDED_BYTES_MAX)
            continue;
        bool special = json_get_bool(entry, "special", false);
        e = vocab_extras_put(v, x,
                             (struct added_token){.text = text,
                                                  .id = (int32_t)id,
                                                  .special = special,
                                                  .normalized =
                                                      json_get_bool(entry, "normalized", !special),
                                                  .lstrip = json_get_bool(entry, "lstrip", false),
                                                  .rstrip = json_get_bool(entry, "rstrip", false),
                                                  .single_word =
                                                      json_get_bool(entry, "single_word", false)});
    }
    return e;
}

/* {"<|end|>": 32000, ...}: nothing says which are special; the form of control tokens does. */
static enum err added_map_read(struct vocab *v, yyjson_val *object, struct vocab_extras *x)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(object);
    enum err e = ERR_NONE;

    for (yyjson_val *key; !e && (key = yyjson_obj_iter_next(&each));) {
        yyjson_val *id = yyjson_obj_iter_get_val(key);
        str text = json_str(key);
        if (!yyjson_is_uint(id) || yyjson_get_uint(id) >= TOKENS_MAX || text.len > ADDED_BYTES_MAX)
            continue;
        e = vocab_extras_put(v, x,
                             (struct added_token){.text = text,
                                                  .id = (int32_t)yyjson_get_uint(id),
                                                  .special = str_starts(text, STR("<|")) &&
                                                             str_ends(text, STR("|>"))});
    }
    return e;
}

/* true 1, false 0, anything else -1 */
static int flag_of(yyjson_val *v)
{
    return yyjson_is_bool(v) ? yyjson_get_bool(v) : -1;
}

static enum err config_read(struct vocab *v, yyjson_val *root, struct vocab_extras *x)
{
    roles_read(v, root);
    x->tokenizer_class = arena_str(&v->arena, json_get_str(root, "tokenizer_class"));
    x->add_bos = flag_of(json_get(root, "add_bos_token"));
    x->add_eos = flag_of(json_get(root, "add_eos_token"));
    x->add_prefix_space = flag_of(json_get(root, "add_prefix_space"));
    return decoder_map_read(v, json_get(root, "added_tokens_decoder"), x);
}

static enum err optional_json(struct files *f, const char *name, yyjson_doc **doc,
                              struct err_note *why)
{
    struct json_fault fault;
    str text;

    *doc = NULL;
    enum err e = files_get(f, name, &text, why);
    if (e == ERR_NOT_FOUND) return ERR_NONE;
    if (e) return e;
    e = json_read(doc, text, VOCAB_JSON_DEPTH, JSON_PLAIN, &fault);
    if (e != ERR_INVALID) return e;
    return err_set(why, ERR_MODEL_UNUSABLE, "%s: %s at character %zu", name,
                   fault.reason ? fault.reason : "unreadable", fault.offset);
}

enum err vocab_extras_read(struct vocab *v, struct files *f, struct vocab_extras *x,
                           struct err_note *why)
{
    yyjson_doc *doc;
    enum err e = optional_json(f, "tokenizer_config.json", &doc, why);

    *x = (struct vocab_extras){.add_bos = -1, .add_eos = -1, .add_prefix_space = -1};
    if (!e && doc) e = config_read(v, yyjson_doc_get_root(doc), x);
    yyjson_doc_free(doc);
    if (!e) e = optional_json(f, "added_tokens.json", &doc, why);
    if (!e && doc) {
        e = added_map_read(v, yyjson_doc_get_root(doc), x);
        yyjson_doc_free(doc);
    }
    if (!e) e = optional_json(f, "special_tokens_map.json", &doc, why);
    if (!e && doc) {
        roles_read(v, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    }
    return e;
}

void vocab_extras_room(const struct vocab_extras *x, size_t *entries, int64_t *id_max)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->list[i].id > *id_max) *id_max = x->list[i].id;
    *entries += x->count;
}

/* The reference numbers the tokens that the model's vocabulary lacks on from its size, whatever
 * their entries say; the two differ only where a vocabulary has holes. */
static void first_add(struct vocab *v, const struct vocab_extras *first)
{
    int32_t id_max = -1;

    for (size_t i = 0; i < first->count; i++) {
        struct added_token token = first->list[i];
        if (added_find(&v->added, token.text)) continue;
        token.id = tokens_find(&v->tokens, token.text);
        if (token.id < 0) token.id = id_max >= v->tokens.count ? id_max + 1 : v->tokens.count;
        if (token.id > id_max) id_max = token.id;
        added_put(&v->added, token);
    }
}

/* Tokens that only the files beside the vocabulary have: where the id is free, or already theirs.
 */
static void more_add(struct vocab *v, const struct vocab_extras *more)
{
    for (size_t i = 0; i < more->count; i++) {
        struct added_token token = more->list[i];
        int32_t known = tokens_find(&v->tokens, token.text);
        if (known >= 0) token.id = known;
        if (token.id >= v->tokens.size) continue;
        str there = v->tokens.text[token.id];
        if (there.at && !str_eq(there, token.text)) continue;
        added_put(&v->added, token);
        tokens_name(&v->tokens, token.text, token.id);
    }
}

enum err vocab_extras_add(struct vocab *v, const struct vocab_extras *first,
                          const struct vocab_extras *more, struct err_note *why)
{
    size_t bytes = 0;

    for (size_t i = 0; i < first->count; i++) bytes += first->list[i].text.len;
    for (size_t i = 0; i < more->count; i++) bytes += more->list[i].text.len;
    enum err e = added_init(&v->added, &v->arena, first->count + more->count, bytes);
    if (e == ERR_LIMIT)
        return err_set(why, ERR_MODEL_UNUSABLE, "more than %d added tokens", ADDED_MAX);
    if (e) return e;
    first_add(v, first);
    for (size_t i = 0; i < v->added.count; i++)
        tokens_name(&v->tokens, v->added.at[i].text, v->added.at[i].id);
    more_add(v, more);
    return ERR_NONE;
}
