#include "cli/tool.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/utf8.h"
#include "conf/conf.h"
#include "hub/hub.h"

enum {
    LINE_DEPTH_MAX = 512,
    LINE_OUT_BYTES_MAX = 1 << 30, /* an answer; a line in is bounded by memory */
};

/* ---- a model's files ---- */

static enum err find_files(struct cli *c, const char *name, struct files **out,
                           struct err_note *why)
{
    static const char *const only[] = {"SEMA_ENV_FILE", "MODEL_PATH", "HF_HOME", "HF_HUB_CACHE",
                                       NULL};
    struct conf *conf;
    struct arena a;
    const char *path;

    if (access(name, F_OK) == 0) return files_open(out, name, why);
    for (size_t i = 0; i < c->program->embedded_count; i++) {
        const struct backend_embedded *m = &c->program->embedded[i];
        if (strcmp(m->model, name) == 0) return files_of_memory(out, m->blobs, m->count, m->model);
    }
    if (!cli_conf(c, only, &conf)) return ERR_INVALID;
    arena_init(&a, 0);
    enum err e = hub_find(&path, str_of(name), conf->model_path, conf->hf_hub_cache, &a, why);
    if (!e) e = files_open(out, path, why);
    arena_fini(&a);
    conf_free(conf);
    return e;
}

bool tool_files(struct cli *c, struct files **out)
{
    const char *name = cli_flag(c, "model");
    struct err_note why = {0};

    if (name == NULL || name[0] == '\0') {
        cli_fail(c, "--model is needed: a directory, a .gguf file or a model's name");
        return false;
    }
    enum err e = find_files(c, name, out, &why);
    if (e) cli_fail(c, "%s", err_text(&why, e));
    return e == ERR_NONE;
}

bool tool_vocab(struct cli *c, struct files **files, struct vocab **out)
{
    struct err_note why = {0};

    if (!tool_files(c, files)) return false;
    enum err e = vocab_open(out, *files, &why);
    if (e == ERR_NONE) return true;
    cli_fail(c, "%s", err_text(&why, e));
    files_close(*files);
    return false;
}

/* ---- lines ---- */

void tool_error(struct json_out *out, const char *text)
{
    json_key(out, "error"), json_text(out, str_of(text));
}

static bool answer_line(str line, long number, tool_answer *answer, void *ctx, struct buf *to)
{
    struct json_out o = json_begin(to);
    struct json_fault fault = {0};
    yyjson_doc *doc = NULL;
    char text[128];

    enum err e = json_read(&doc, line, LINE_DEPTH_MAX, JSON_PLAIN, &fault);
    yyjson_val *in = e ? NULL : yyjson_doc_get_root(doc);
    bool good = yyjson_is_obj(in);
    o.js_escapes = true; /* what some readers take for the end of a line */
    json_object(&o);
    if (good) {
        answer(ctx, in, &o);
    } else {
        snprintf(text, sizeof text, "line %ld: %s", number,
                 e == ERR_MEMORY ? err_text(NULL, e)
                 : e             ? (fault.reason ? fault.reason : "not readable as JSON")
                                 : "not an object");
        tool_error(&o, text);
    }
    json_end_object(&o);
    yyjson_doc_free(doc);
    return good;
}

int tool_lines(struct cli *c, tool_answer *answer, void *ctx)
{
    struct buf out, repaired;
    char *line = NULL;
    size_t cap = 0;
    int status = EXIT_FINE;
    long number = 0;

    buf_init(&out, LINE_OUT_BYTES_MAX);
    buf_init(&repaired, LINE_OUT_BYTES_MAX);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) >= 0;) {
        number++;
        str text = str_trim(str_span(line, (size_t)n));
        if (text.len == 0) continue;
        if (!utf8_valid(text)) {
            buf_clear(&repaired);
            utf8_add_repaired(&repaired, text);
            if (!repaired.bad) text = buf_str(&repaired);
        }
        buf_clear(&out);
        if (!answer_line(text, number, answer, ctx, &out)) status = EXIT_MISTAKE;
        buf_add_char(&out, '\n');
        if (out.bad) {
            status = cli_fail(c, "line %ld: the answer does not fit into memory", number);
            break;
        }
        fwrite(out.at, 1, out.len, stdout);
        fflush(stdout); /* who asks line by line gets answers line by line */
    }
    free(line);
    buf_fini(&out);
    buf_fini(&repaired);
    return cli_end(status);
}

/* ---- ids and numbers ---- */

void tool_put_ids(struct json_out *out, const struct ids *ids)
{
    json_key(out, "ids");
    json_array(out);
    for (size_t i = 0; i < ids->len; i++) json_int(out, ids->at[i]);
    json_end_array(out);
}

enum err tool_ids_of(struct ids *out, yyjson_val *array)
{
    size_t i, count;
    yyjson_val *v;
    enum err e = yyjson_is_arr(array) ? ERR_NONE : ERR_INVALID;

    yyjson_arr_foreach(array, i, count, v)
    {
        if (e) break;
        int64_t id = yyjson_is_int(v) ? yyjson_get_sint(v) : -1;
        e = id < 0 || id > INT32_MAX ? ERR_INVALID : ids_add(out, (int32_t)id);
    }
    return e;
}

bool tool_ids_flag(struct cli *c, int below, struct ids *out)
{
    const char *text = cli_flag(c, "tokens");
    str rest = str_of(text), part;

    if (rest.len == 0) {
        cli_fail(c, "--tokens is needed: ids with commas between, such as 1,2,3");
        return false;
    }
    while (str_split(&rest, ',', &part)) {
        uint64_t id;
        part = str_trim(part);
        if (!str_to_u64(part, &id) || id >= (uint64_t)below) {
            cli_fail(c, "--tokens: \"%.*s\" is no id of this model (0 to %d)", STR_ARG(part),
                     below - 1);
            return false;
        }
        if (ids_add(out, (int32_t)id)) {
            cli_fail(c, "%s", err_text(NULL, ERR_MEMORY));
            return false;
        }
    }
    return true;
}

bool tool_int_flag(struct cli *c, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const char *text = cli_flag(c, name);
    char *end;

    if (text == NULL) return true;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < min || n > max) {
        cli_fail(c, "--%s: must be between %lld and %lld, got %s", name, (long long)min,
                 (long long)max, text);
        return false;
    }
    *out = n;
    return true;
}

bool tool_num_flag(struct cli *c, const char *name, double min, double max, double *out)
{
    const char *text = cli_flag(c, name);
    char *end;

    if (text == NULL) return true;
    double n = strtod(text, &end);
    if (end == text || *end || !(n >= min && n <= max)) {
        cli_fail(c, "--%s: must be between %g and %g, got %s", name, min, max, text);
        return false;
    }
    *out = n;
    return true;
}
