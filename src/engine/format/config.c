#include "engine/format/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "engine/format/files.h"
#include "engine/format/gguf.h"

struct config {
    struct files *files;
    const struct gguf *gguf;
    yyjson_doc *doc;        /* config.json */
    yyjson_doc *generation; /* generation_config.json; NULL when absent */
    yyjson_val *root, *text;
    bool bad;
    char fault[256];
};

/* NULL when the file is absent. */
static enum err read_json(yyjson_doc **out, struct files *f, const char *name, struct err_note *why)
{
    str text;
    enum err e = files_get(f, name, &text, why);
    if (e) return e;
    struct json_fault fault = {0};
    e = json_read(out, text, 64, JSON_PLAIN, &fault);
    if (e == ERR_INVALID) {
        return files_fault(f, name, ERR_MODEL_UNUSABLE, why, "not JSON: %s at character %zu",
                           fault.reason ? fault.reason : "unreadable", fault.offset);
    }
    if (!e && !yyjson_is_obj(yyjson_doc_get_root(*out))) {
        yyjson_doc_free(*out);
        *out = NULL;
        return files_fault(f, name, ERR_MODEL_UNUSABLE, why, "not a JSON object");
    }
    return e;
}

enum err config_open(struct config **out, struct files *f, const struct gguf *g,
                     struct err_note *why)
{
    struct config *c = calloc(1, sizeof *c);
    if (c == NULL) return ERR_MEMORY;
    c->files = f;
    c->gguf = g;
    enum err e = ERR_NONE;
    if (g == NULL) {
        e = read_json(&c->doc, f, "config.json", why);
        if (e == ERR_NOT_FOUND) {
            e = files_fault(f, "config.json", ERR_MODEL_UNUSABLE, why, "missing");
        }
        if (!e) e = read_json(&c->generation, f, "generation_config.json", why);
        if (e == ERR_NOT_FOUND) e = ERR_NONE;
        c->root = yyjson_doc_get_root(c->doc);
        c->text = json_get(c->root, "text_config");
    }
    if (e) {
        config_close(c);
        return e;
    }
    *out = c;
    return ERR_NONE;
}

void config_close(struct config *c)
{
    if (c == NULL) return;
    yyjson_doc_free(c->doc);
    yyjson_doc_free(c->generation);
    free(c);
}

bool config_is_gguf(const struct config *c)
{
    return c->gguf != NULL;
}

void config_bad(struct config *c, const char *format, ...)
{
    if (c->bad) return; /* the first fault is the cause */
    c->bad = true;
    va_list args;
    va_start(args, format);
    vsnprintf(c->fault, sizeof c->fault, format, args);
    va_end(args);
}

enum err config_err(const struct config *c, struct err_note *why)
{
    if (!c->bad) return ERR_NONE;
    const char *file = c->gguf ? files_gguf(c->files) : "config.json";
    return files_fault(c->files, file, ERR_MODEL_UNUSABLE, why, "%s", c->fault);
}

/* ---- finding a value ------------------------------------------------------------------------- */

static yyjson_val *walk(yyjson_val *at, const char *path)
{
    char key[64];
    str rest = str_of(path), part;
    while (at && str_split(&rest, '.', &part)) {
        if (part.len >= sizeof key) return NULL;
        memcpy(key, part.at, part.len);
        key[part.len] = '\0';
        at = json_get(at, key);
    }
    return at;
}

/* As written; `null` is a value here. */
static yyjson_val *find_any(const struct config *c, const char *path)
{
    if (path == NULL || c->gguf) return NULL;
    yyjson_val *v = walk(c->text, path);
    return v ? v : walk(c->root, path);
}

static yyjson_val *find_json(const struct config *c, const char *path)
{
    yyjson_val *v = find_any(c, path);
    return yyjson_is_null(v) ? NULL : v;
}

/* "llama.block_count"; false when the setting has no name there. */
static bool gguf_name(const struct config *c, const char *name, char *out, size_t size)
{
    str a;
    if (c->gguf == NULL || name == NULL) return false;
    if (!gguf_str(c->gguf, "general.architecture", &a)) return false;
    int n = snprintf(out, size, "%.*s.%s", STR_ARG(a), name);
    return n > 0 && (size_t)n < size;
}

str config_type(const struct config *c)
{
    str type = STR_NONE;
    if (c->gguf) {
        gguf_str(c->gguf, "general.architecture", &type);
        return type;
    }
    type = json_get_str(c->text, "model_type");
    return type.len ? type : json_get_str(c->root, "model_type");
}

/* ---- typed getters --------------------------------------------------------------------------- */

static const char *shown(const struct config *c, const char *json, const char *gguf)
{
    return c->gguf ? gguf : json;
}

double config_num(struct config *c, const char *json, const char *gguf, double otherwise,
                  double min, double max)
{
    char name[128];
    double value = 0;
    bool found = false;
    yyjson_val *v = find_json(c, json);
    if (v && !yyjson_is_num(v)) {
        config_bad(c, "%s is not a number", json);
        return min;
    }
    if (v) {
        value = yyjson_get_num(v);
        found = true;
    } else if (gguf_name(c, gguf, name, sizeof name)) {
        found = gguf_num(c->gguf, name, &value);
    }
    if (!found && isnan(otherwise)) {
        config_bad(c, "%s is missing", shown(c, json, gguf));
        return min;
    }
    if (!found) return otherwise;
    if (!(value >= min && value <= max)) {
        config_bad(c, "%s is %g, not from %g to %g", shown(c, json, gguf), value, min, max);
        return min;
    }
    return value;
}

int64_t config_int(struct config *c, const char *json, const char *gguf, int64_t otherwise,
                   int64_t min, int64_t max)
{
    bool needed = otherwise == CONFIG_NEEDED;
    if (!needed && !config_has(c, json, gguf)) return otherwise;
    double value = config_num(c, json, gguf, CONFIG_NEEDED_NUM, (double)min, (double)max);
    if (value != floor(value)) {
        config_bad(c, "%s is not a whole number", shown(c, json, gguf));
        return min;
    }
    return (int64_t)value;
}

bool config_bool(struct config *c, const char *json, const char *gguf, bool otherwise)
{
    char name[128];
    yyjson_val *v = find_json(c, json);
    if (v && !yyjson_is_bool(v)) config_bad(c, "%s is neither true nor false", json);
    if (v) return yyjson_get_bool(v);
    bool value = otherwise;
    if (gguf_name(c, gguf, name, sizeof name)) gguf_bool(c->gguf, name, &value);
    return value;
}

str config_str(struct config *c, const char *json, const char *gguf)
{
    char name[128];
    str value = json_str(find_json(c, json));
    if (gguf_name(c, gguf, name, sizeof name)) gguf_str(c->gguf, name, &value);
    return value;
}

bool config_has(const struct config *c, const char *json, const char *gguf)
{
    char name[128];
    double num;
    str text;
    if (find_json(c, json)) return true;
    if (!gguf_name(c, gguf, name, sizeof name)) return false;
    return gguf_num(c->gguf, name, &num) || gguf_str(c->gguf, name, &text);
}

bool config_is_null(const struct config *c, const char *json)
{
    return yyjson_is_null(find_any(c, json));
}

size_t config_count(const struct config *c, const char *json)
{
    return yyjson_arr_size(find_json(c, json));
}

double config_num_at(const struct config *c, const char *json, size_t i)
{
    yyjson_val *v = yyjson_arr_get(find_json(c, json), i);
    return yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
}

str config_str_at(const struct config *c, const char *json, size_t i)
{
    return json_str(yyjson_arr_get(find_json(c, json), i));
}

/* ---- end tokens ------------------------------------------------------------------------------ */

struct id_list {
    int32_t *at;
    size_t count, max;
};

static void add_id(struct id_list *l, int64_t id)
{
    if (id < 0 || id > INT32_MAX) return;
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i] == (int32_t)id) return;
    }
    if (l->count < l->max) l->at[l->count++] = (int32_t)id;
}

/* A number or a list of numbers. */
static void add_json_ids(struct id_list *l, yyjson_val *v)
{
    if (yyjson_is_int(v)) add_id(l, yyjson_get_sint(v));
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    for (yyjson_val *id; (id = yyjson_arr_iter_next(&it));) {
        if (yyjson_is_int(id)) add_id(l, yyjson_get_sint(id));
    }
}

/* Converters write constants for some of these keys (Gemma's eot 107, whatever the vocabulary):
 * beyond eos, an id counts only when the file itself calls that token a control token. */
static bool is_control(const struct gguf *g, int64_t id)
{
    enum { CONTROL = 3 };
    struct gguf_array types;
    int64_t type;
    if (id < 0 || !gguf_array(g, "tokenizer.ggml.token_type", &types)) return false;
    if ((uint64_t)id >= types.left) return false;
    for (int64_t i = 0; gguf_next_int(&types, &type); i++) {
        if (i == id) return type == CONTROL;
    }
    return false;
}

static void add_gguf_ids(struct id_list *l, const struct gguf *g)
{
    static const char *const others[] = {"tokenizer.ggml.eot_token_id",
                                         "tokenizer.ggml.eom_token_id"};
    int64_t id;
    if (gguf_int(g, "tokenizer.ggml.eos_token_id", &id)) add_id(l, id);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (gguf_int(g, others[i], &id) && is_control(g, id)) add_id(l, id);
    }
}

size_t config_end_ids(const struct config *c, int32_t *out, size_t max)
{
    struct id_list l = {out, 0, max};
    if (c->gguf) {
        add_gguf_ids(&l, c->gguf);
    } else {
        add_json_ids(&l, json_get(yyjson_doc_get_root(c->generation), "eos_token_id"));
        add_json_ids(&l, find_json(c, "eos_token_id"));
        add_json_ids(&l, json_get(c->root, "eos_token_id"));
    }
    return l.count;
}
