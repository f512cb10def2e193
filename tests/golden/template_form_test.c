/* Whole models: the prompt that each one's own files make of a conversation, against the reference
 * (testdata/README.md: tokenizers, chat-models and tiny-models, chat.jsonl). */
#include "jsonl.h"

#include <dirent.h>

#include "engine/format/config.h"
#include "engine/format/files.h"
#include "engine/template/template.h"
#include "engine/vocab/vocab.h"

static const struct tm clock_fixed = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 9, .tm_min = 5, .tm_sec = 3};

static struct opened {
    struct chat_form *form;
    struct vocab *vocab;
    struct files *files;
} opened[100];
static size_t opened_count;

struct one { /* a line, and the model it belongs to */
    struct chat_form *form;
    yyjson_val *line;
};

static void test_prompt(void **state)
{
    const struct one *c = *state;
    struct chat_form_ask ask = {
        .messages = json_get(c->line, "messages"),
        .add_generation_prompt = json_get_bool(c->line, "add_generation_prompt", true),
        .exact = true,
        .now = clock_fixed,
    };
    struct err_note why = {0};
    struct buf out;
    str error = json_get_str(c->line, "error");

    buf_init(&out, 1 << 20);
    enum err e = chat_form_render(c->form, &ask, &out, &why);
    if (error.at) {
        check_true(e != ERR_NONE);
        if (str_eq(error, STR("TemplateError")))
            check_str(str_of(why.text), json_get_str(c->line, "message"));
    } else {
        if (e) print_error("%s\n", err_text(&why, e));
        check_int(e, ERR_NONE);
        check_str(buf_str(&out), json_get_str(c->line, "prompt"));
        /* What is done for people changes nothing of a conversation that the template takes. */
        buf_clear(&out);
        ask.exact = false;
        check_int(chat_form_render(c->form, &ask, &out, &why), ERR_NONE);
        check_str(buf_str(&out), json_get_str(c->line, "prompt"));
    }
    buf_fini(&out);
}

static void add_lines(struct jsonl_tests *tests, struct chat_form *form, const char *folder,
                      const char *name)
{
    char label[256];
    struct jsonl lines = jsonl_lines(jsonl_read(folder, "chat.jsonl"), JSON_PLAIN);

    for (size_t i = 0; i < lines.count; i++) {
        struct one *c = jsonl_keep(malloc(sizeof *c));
        *c = (struct one){form, lines.at[i]};
        snprintf(label, sizeof label, "%s %zu", name, i);
        jsonl_add(tests, test_prompt, c, label);
    }
}

/* A whole directory, its vocabulary too. */
static void add_model(struct jsonl_tests *tests, const char *folder, const char *name)
{
    char expected[16384];
    struct files *files;
    struct vocab *vocab;
    struct chat_form *form;
    struct config *config;
    struct err_note why = {0};

    snprintf(expected, sizeof expected, "%s/expected", folder);
    str lines = jsonl_read(expected, "chat.jsonl");
    if (lines.at == NULL) return;
    if (files_open(&files, folder, &why) || vocab_open(&vocab, files, &why) ||
        config_open(&config, files, NULL, &why)) {
        fprintf(stderr, "%s: %s\n", folder, why.text);
        exit(1);
    }
    char family[64];
    snprintf(family, sizeof family, "%.*s", STR_ARG(config_type(config)));
    if (chat_form_open(&form, files, vocab, family, &why)) {
        fprintf(stderr, "%s: %s\n", folder, why.text);
        exit(1);
    }
    config_close(config);
    opened[opened_count++] = (struct opened){form, vocab, files};
    add_lines(tests, form, expected, name);
}

static void add_models(struct jsonl_tests *tests, const char *shared, const char *group)
{
    char folder[4096], model[8192];
    struct dirent **entries;

    snprintf(folder, sizeof folder, "%s/%s", shared, group);
    int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] == '.' || opened_count == sizeof opened / sizeof *opened)
            continue;
        snprintf(model, sizeof model, "%s/%s", folder, entries[i]->d_name);
        add_model(tests, model, entries[i]->d_name);
    }
    for (int i = 0; i < count; i++) free(entries[i]);
    if (count >= 0) free(entries);
}

/* The vocabularies of the published tokenizers are kept packed: their templates need only the texts
 * of the special tokens. */
static void add_tokenizer(struct jsonl_tests *tests, const char *shared, const char *name,
                          const char *family)
{
    char folder[4096];
    struct files_blob blobs[2];
    struct files *files;
    struct chat_form *form;
    struct err_note why = {0};
    size_t count = 0;

    snprintf(folder, sizeof folder, "%s/tokenizers/%s", shared, name);
    str config = jsonl_read(folder, "tokenizer_config.json"),
        own = jsonl_read(folder, "chat_template.jinja");
    if (config.at) blobs[count++] = (struct files_blob){"tokenizer_config.json", config};
    if (own.at) blobs[count++] = (struct files_blob){"chat_template.jinja", own};
    if (files_of_memory(&files, blobs, count, name) ||
        chat_form_open(&form, files, NULL, family, &why)) {
        fprintf(stderr, "%s: %s\n", folder, why.text);
        exit(1);
    }
    opened[opened_count++] = (struct opened){form, NULL, files};
    add_lines(tests, form, folder, name);
}

int main(void)
{
    const char *shared = getenv("SEMA_SHARED_DATA");
    struct jsonl_tests tests = {0};

    if (shared == NULL) return jsonl_skip("SEMA_SHARED_DATA is not set");
    add_tokenizer(&tests, shared, "tinyllama-1.1b-chat-v1.0", "llama");
    add_tokenizer(&tests, shared, "tinyllama-resaved-v5", "llama");
    add_tokenizer(&tests, shared, "qwen2.5-instruct", "qwen2");
    add_tokenizer(&tests, shared, "gemma-2-it", "gemma2");
    add_tokenizer(&tests, shared, "phi-3-mini", "phi3");
    add_tokenizer(&tests, shared, "dialogpt-medium", "gpt2");
    add_models(&tests, shared, "chat-models");
    add_models(&tests, shared, "tiny-models");
    if (tests.count == 0) return jsonl_skip("no reference data");
    int failed = jsonl_run(&tests, "template_form");
    while (opened_count-- > 0) {
        chat_form_close(opened[opened_count].form);
        if (opened[opened_count].vocab) vocab_close(opened[opened_count].vocab);
        files_close(opened[opened_count].files);
    }
    return failed;
}
