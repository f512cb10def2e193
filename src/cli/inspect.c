/* sema inspect: what a model's files are, and whether they could be run. */
#include <stdlib.h>

#include "cli/tool.h"
#include "engine/arch/model.h"
#include "engine/format/weights.h"
#include "engine/template/template.h"

enum { TEXT_BYTES_MAX = 1 << 28 };

struct model_files {
    struct files *files;
    struct weights *weights;
    struct model *model;
    struct vocab *vocab;
    struct chat_form *form;
};

static void close_all(struct model_files *f)
{
    chat_form_close(f->form);
    vocab_close(f->vocab);
    model_close(f->model);
    weights_close(f->weights);
    files_close(f->files);
}

static enum err open_all(struct model_files *f, const char *path, struct err_note *why)
{
    enum err e = files_open(&f->files, path, why);

    if (!e) e = weights_open(&f->weights, f->files, why);
    if (!e) e = model_open(&f->model, f->files, 1, why);
    if (!e) e = vocab_open(&f->vocab, f->files, why);
    return e ? e : chat_form_open(&f->form, f->files, f->vocab, model_info(f->model)->family, why);
}

static const char *container(const struct model_files *f)
{
    if (weights_gguf(f->weights)) return "gguf";
    if (files_has(f->files, "model.safetensors") ||
        files_has(f->files, "model.safetensors.index.json"))
        return "safetensors";
    return "pytorch_model.bin";
}

static const char *const tokenizers[] = {"tokenizer.json", "vocab.json", "tokenizer.model"};

static const char *tokenizer_source(const struct model_files *f)
{
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
        if (files_has(f->files, tokenizers[i])) return tokenizers[i];
    return "gguf";
}

/* Tensors and bytes by type. */
struct share {
    size_t tensors;
    uint64_t bytes;
};

static void count_types(const struct weights *w, struct share by_type[WEIGHT_TYPES])
{
    for (size_t i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);
        by_type[t->type].tensors++;
        by_type[t->type].bytes += t->bytes;
    }
}

/* ---- for programs ---- */

static void put_tensors(struct json_out *o, const struct weights *w)
{
    json_key(o, "tensors");
    json_array(o);
    for (size_t i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);
        json_object(o);
        json_key(o, "name"), json_text(o, t->name);
        json_key(o, "type"), json_text(o, str_of(weight_kinds[t->type].name));
        json_key(o, "shape");
        json_array(o);
        for (int d = 0; d < t->dims; d++) json_int(o, (int64_t)t->shape[d]);
        json_end_array(o);
        json_key(o, "bytes"), json_int(o, (int64_t)t->bytes);
        json_end_object(o);
    }
    json_end_array(o);
}

static void put_model(struct json_out *o, const struct model_files *f)
{
    const struct model_info *m = model_info(f->model);
    const int32_t *ends;
    size_t ends_count = model_end_ids(f->model, &ends);
    static const char *const roles[] = {"bos_token", "eos_token", "unk_token", "pad_token"};

    json_key(o, "format"), json_text(o, str_of(container(f)));
    json_key(o, "family"), json_text(o, str_of(m->family));
    json_key(o, "parameters"), json_int(o, (int64_t)m->parameters);
    json_key(o, "weight_bytes"), json_int(o, (int64_t)m->weight_bytes);
    json_key(o, "layers"), json_int(o, m->layers);
    json_key(o, "width"), json_int(o, m->width);
    json_key(o, "vocabulary"), json_int(o, m->vocab);
    json_key(o, "context_length"), json_int(o, m->ctx_tokens);
    json_key(o, "kv_bytes_per_token"), json_int(o, (int64_t)m->kv_bytes_per_token);
    json_key(o, "end_ids");
    json_array(o);
    for (size_t i = 0; i < ends_count; i++) json_int(o, ends[i]);
    json_end_array(o);
    json_key(o, "tokenizer");
    json_object(o);
    json_key(o, "source"), json_text(o, str_of(tokenizer_source(f)));
    json_key(o, "size"), json_int(o, vocab_size(f->vocab));
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        str role = vocab_role(f->vocab, roles[i]);
        json_key(o, roles[i]), json_text_or_null(o, role.len ? role : STR_NONE);
    }
    json_end_object(o);
    json_key(o, "template");
    json_object(o);
    json_key(o, "own"), json_bool(o, chat_form_source(f->form).len > 0);
    json_key(o, "takes_system"), json_bool(o, chat_form_takes_system(f->form));
    json_key(o, "takes_tools"), json_bool(o, chat_form_takes_tools(f->form));
    json_end_object(o);
    put_tensors(o, f->weights);
}

static void print_json(const char *path, const struct model_files *f, enum err e,
                       const struct err_note *why)
{
    struct buf text;

    buf_init(&text, TEXT_BYTES_MAX);
    struct json_out o = json_begin(&text);
    json_object(&o);
    json_key(&o, "path"), json_text(&o, str_of(path));
    json_key(&o, "runs"), json_bool(&o, e == ERR_NONE);
    if (e)
        tool_error(&o, err_text(why, e));
    else
        put_model(&o, f);
    json_end_object(&o);
    buf_add_char(&text, '\n');
    fwrite(text.at, 1, text.len, stdout);
    buf_fini(&text);
}

/* ---- for people ---- */

static void print_size(uint64_t bytes)
{
    if (bytes >= 1000000000)
        printf("%.1f GB", (double)bytes / 1e9);
    else
        printf("%.1f MB", (double)bytes / 1e6);
}

static void print_text(const char *path, const struct model_files *f)
{
    const struct model_info *m = model_info(f->model);
    struct share by_type[WEIGHT_TYPES] = {{0}};
    str source = chat_form_source(f->form);

    printf("%s: a %s model in %s\n", path, m->family, container(f));
    printf("  parameters   %.1f million, ", (double)m->parameters / 1e6);
    print_size(m->weight_bytes);
    printf("\n  shape        %d layers, width %d, vocabulary %d\n", m->layers, m->width, m->vocab);
    printf("  context      %d tokens, %.1f kB of memory each\n", m->ctx_tokens,
           (double)m->kv_bytes_per_token / 1e3);
    count_types(f->weights, by_type);
    for (int i = 0; i < WEIGHT_TYPES; i++) {
        if (by_type[i].tensors == 0) continue;
        printf("  %-12s %zu tensors, ", weight_kinds[i].name, by_type[i].tensors);
        print_size(by_type[i].bytes);
        putchar('\n');
    }
    printf("  tokenizer    %s, %d tokens\n", tokenizer_source(f), vocab_size(f->vocab));
    printf("  template     %s; %s system messages, %s tools\n",
           source.len ? "the model's own" : "none: the family's form is used",
           chat_form_takes_system(f->form) ? "takes" : "folds",
           chat_form_takes_tools(f->form) ? "takes" : "no");
}

static int run(struct cli *c)
{
    struct model_files f = {0};
    struct err_note why = {0};
    int status = EXIT_FINE;

    if (c->args_count == 0) return cli_fail(c, "which files? sema inspect FILE_OR_DIR");
    enum err e = open_all(&f, c->args[0], &why);
    if (cli_flag(c, "json"))
        print_json(c->args[0], &f, e, &why);
    else if (!e)
        print_text(c->args[0], &f);
    if (e) status = cli_fail(c, "%s", err_text(&why, e));
    close_all(&f);
    return cli_end(status);
}

static const struct cli_flag flags[] = {
    {"json", NULL, "as one JSON object, each tensor named"},
};

const struct command command_inspect = {
    .name = "inspect",
    .args = "FILE_OR_DIR",
    .text = "what model files are; exit 1 with the reason when they cannot be run",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = 1,
    .run = run,
};
