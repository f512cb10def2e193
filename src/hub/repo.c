#include "hub/repo.h"

#include <strings.h>

#include "base/buf.h"
#include "base/json.h"

enum { FILES_MAX = 100000 };

/* A name that stays below the folder it is put in. */
static bool name_ok(str s)
{
    str rest = s, part;

    if (s.len == 0 || s.len > 255 || s.at[0] == '/') return false;
    while (str_split(&rest, '/', &part))
        if (part.len == 0 || part.at[0] == '.') return str_eq(s, STR(".gitattributes"));
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] < ' ' || s.at[i] == '\\') return false;
    return true;
}

static bool hash_ok(str s, size_t len)
{
    if (s.len != len) return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr("0123456789abcdef", s.at[i])) return false;
    return true;
}

enum err repo_read(struct repo *out, str json, struct arena *a, struct err_note *why)
{
    yyjson_doc *doc;
    struct repo r = {0};

    if (json_read(&doc, json, 64, JSON_PLAIN, NULL))
        return err_set(why, ERR_SERVER, "the hub's answer is not JSON");
    yyjson_val *root = yyjson_doc_get_root(doc), *list = json_get(root, "siblings"), *each;
    str commit = json_get_str(root, "sha");
    yyjson_val *gated = json_get(root, "gated");
    enum err e = ERR_NONE;

    r.gated = yyjson_is_true(gated) || yyjson_is_str(gated);
    size_t count = yyjson_arr_size(list);
    if (!hash_ok(commit, 40) || count == 0 || count > FILES_MAX)
        e = err_set(why, ERR_SERVER, "the hub's answer names no commit or no files");
    if (!e) {
        r.commit = arena_str(a, commit);
        r.files = arena_array(a, struct repo_file, count);
        if (!r.commit.at || !r.files) e = ERR_MEMORY;
    }
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while (!e && (each = yyjson_arr_iter_next(&it))) {
        str name = json_get_str(each, "rfilename");
        str sha = json_get_str(json_get(each, "lfs"), "sha256"),
            blob = json_get_str(each, "blobId");
        if (!name_ok(name)) continue; /* nothing that a model needs has such a name */
        struct repo_file *f = &r.files[r.count++];
        f->name = arena_str(a, name);
        f->size = json_get_int(each, "size", -1);
        if (hash_ok(sha, 64)) f->sha256 = arena_str(a, sha);
        if (hash_ok(blob, 40)) f->blob_id = arena_str(a, blob);
        if (!f->name.at) e = ERR_MEMORY;
    }
    yyjson_doc_free(doc);
    if (!e) *out = r;
    return e;
}

const struct repo_file *repo_find(const struct repo *r, str name)
{
    for (size_t i = 0; i < r->count; i++)
        if (str_eq(r->files[i].name, name)) return &r->files[i];
    return NULL;
}

static void add(struct repo_choice *c, const struct repo_file *f)
{
    if (f == NULL) return;
    for (size_t i = 0; i < c->count; i++)
        if (c->files[i] == f) return;
    c->files[c->count++] = f;
}

/* ---- GGUF ---- */

static bool contains_nocase(str s, str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (strncasecmp(s.at + i, part.at, part.len) == 0) return true;
    return false;
}

/* The place of "-00001-of-00003" in a split file's name, STR_NPOS for a whole one. */
static size_t split_place(str name)
{
    size_t of = str_find(name, STR("-of-"));
    return of != STR_NPOS && of >= 6 && name.at[of - 6] == '-' ? of - 6 : STR_NPOS;
}

static bool same_split(str a, str b)
{
    size_t at = split_place(a);
    return at != STR_NPOS && split_place(b) == at && str_eq(str_head(a, at), str_head(b, at));
}

static bool first_part(str name)
{
    size_t at = split_place(name);
    return at == STR_NPOS || str_starts(str_tail(name, at), STR("-00001-"));
}

static const struct repo_file *pick_gguf(const struct repo *r, str variant, bool *many)
{
    static const char *const liked[] = {"Q4_K_M", "Q4_0", "Q8_0"};
    const struct repo_file *only = NULL;
    int count = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct repo_file *f = &r->files[i];
        if (!str_ends(f->name, STR(".gguf"))) continue;
        if (variant.len) {
            if (str_eq(f->name, variant)) return f; /* named itself: any part means the whole */
            if (!contains_nocase(f->name, variant)) continue;
        }
        if (!first_part(f->name)) continue;
        only = f;
        count++;
    }
    *many = count > 1;
    if (count == 1) return only;
    for (int k = 0; k < 3 && count > 1 && variant.len == 0; k++)
        for (size_t i = 0; i < r->count; i++)
            if (str_ends(r->files[i].name, STR(".gguf")) && first_part(r->files[i].name) &&
                contains_nocase(r->files[i].name, str_of(liked[k])))
                return &r->files[i];
    return NULL;
}

static enum err choose_gguf(struct repo_choice *c, const struct repo *r, const struct hub_name *n,
                            struct err_note *why)
{
    bool many;
    const struct repo_file *f = pick_gguf(r, n->variant, &many);

    if (f == NULL) {
        struct buf list;
        buf_init(&list, 320);
        for (size_t i = 0; i < r->count && !list.bad; i++)
            if (str_ends(r->files[i].name, STR(".gguf")) && first_part(r->files[i].name))
                buf_addf(&list, "%s%.*s", list.len ? ", " : "", STR_ARG(r->files[i].name));
        enum err e =
            list.len == 0
                ? err_set(why, ERR_NOT_FOUND, "the repository holds no weights that Sema reads")
                : err_set(why, ERR_NOT_FOUND, "%s: name one behind a colon: %.*s",
                          many ? "several GGUF files fit" : "no GGUF file fits",
                          STR_ARG(buf_str(&list)));
        buf_fini(&list);
        return e;
    }
    if (split_place(f->name) == STR_NPOS) {
        add(c, f);
        return ERR_NONE;
    }
    for (size_t i = 0; i < r->count; i++)
        if (str_ends(r->files[i].name, STR(".gguf")) && same_split(f->name, r->files[i].name))
            add(c, &r->files[i]);
    return ERR_NONE;
}

/* ---- directories of safetensors or pytorch_model.bin ---- */

static enum err add_shards(struct repo_choice *c, const struct repo *r, str index,
                           struct err_note *why)
{
    yyjson_doc *doc;
    enum err e = ERR_NONE;

    if (json_read(&doc, index, 64, JSON_PLAIN, NULL))
        return err_set(why, ERR_SERVER, "the weights' index is not JSON");
    yyjson_val *map = json_get(yyjson_doc_get_root(doc), "weight_map"), *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    while (!e && (key = yyjson_obj_iter_next(&it))) {
        str name = json_str(yyjson_obj_iter_get_val(key));
        const struct repo_file *f = repo_find(r, name);
        if (f)
            add(c, f);
        else
            e = err_set(why, ERR_NOT_FOUND, "the repository lacks %.*s, which its index names",
                        STR_ARG(str_head(name, 100)));
    }
    yyjson_doc_free(doc);
    return e;
}

static void add_small(struct repo_choice *c, const struct repo *r)
{
    static const char *const always[] = {"config.json",           "generation_config.json",
                                         "tokenizer_config.json", "special_tokens_map.json",
                                         "added_tokens.json",     "chat_template.jinja"};
    const struct repo_file *tokenizer = repo_find(r, STR("tokenizer.json"));

    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        add(c, repo_find(r, str_of(always[i])));
    add(c, tokenizer);
    if (tokenizer) return;
    const struct repo_file *merges = repo_find(r, STR("merges.txt"));
    add(c, merges);
    if (merges)
        add(c, repo_find(r, STR("vocab.json")));
    else
        add(c, repo_find(r, STR("tokenizer.model")));
}

enum err repo_choose(struct repo_choice *out, const struct repo *r, const struct hub_name *n,
                     str index, struct arena *a, struct err_note *why)
{
    static const char *const whole[] = {"model.safetensors", "pytorch_model.bin"};
    static const char *const indexes[] = {"model.safetensors.index.json",
                                          "pytorch_model.bin.index.json"};
    struct repo_choice c = {.files = arena_array(a, const struct repo_file *, r->count + 1)};
    enum err e = ERR_NONE;

    if (c.files == NULL) return ERR_MEMORY;
    bool has_weights = false;
    for (int i = 0; i < 2; i++)
        has_weights =
            has_weights || repo_find(r, str_of(whole[i])) || repo_find(r, str_of(indexes[i]));
    if (n->variant.len || !has_weights || !repo_find(r, STR("config.json"))) {
        e = choose_gguf(&c, r, n, why);
        if (!e) *out = c;
        return e;
    }
    add_small(&c, r);
    for (int i = 0; i < 2; i++) {
        const struct repo_file *one = repo_find(r, str_of(whole[i])),
                               *many = repo_find(r, str_of(indexes[i]));
        if (one) {
            add(&c, one);
            break;
        }
        if (many == NULL) continue;
        add(&c, many);
        if (index.len)
            e = add_shards(&c, r, index, why);
        else
            c.needs_index = many;
        break;
    }
    if (!e) *out = c;
    return e;
}
