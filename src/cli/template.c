/* sema template: a conversation -> the prompt text, by a model's own template, by a template file,
 * or by a template in the line itself. */
#include <stdlib.h>
#include <time.h>

#include "cli/tool.h"
#include "engine/arch/model.h"
#include "engine/template/template.h"

enum {
    PROMPT_BYTES_MAX = 1 << 30,
    TEMPLATE_BYTES_MAX = 16 << 20, /* published ones have some kilobytes */
};

struct work {
    struct template *template; /* --file */
    struct chat_form *form;    /* --model */
};

/* "2024-07-26 09:05:03", local time; absent: now. */
static bool clock_of(yyjson_val *in, struct tm *out)
{
    yyjson_val *now = json_get(in, "now");
    time_t t = time(NULL);

    if (now == NULL || yyjson_is_null(now)) {
        localtime_r(&t, out);
        return true;
    }
    *out = (struct tm){.tm_isdst = -1};
    const char *text = yyjson_get_str(now);
    const char *end = text ? strptime(text, "%Y-%m-%d %H:%M:%S", out) : NULL;
    return end && *end == '\0';
}

static void put_result(struct json_out *out, enum err e, const struct err_note *why,
                       const struct buf *prompt)
{
    if (!e) e = buf_err(prompt);
    if (e)
        tool_error(out, err_text(why, e));
    else
        json_key(out, "prompt"), json_text(out, buf_str(prompt));
}

/* ---- by a model ---- */

static void by_model(void *ctx, yyjson_val *in, struct json_out *out)
{
    struct work *w = ctx;
    yyjson_val *tools = json_get(in, "tools"), *kwargs = json_get(in, "kwargs");
    struct err_note why = {0};
    struct buf prompt;
    struct chat_form_ask ask = {
        .messages = json_get(in, "messages"),
        .tools = yyjson_is_arr(tools) ? tools : NULL,
        .kwargs = yyjson_is_obj(kwargs) ? kwargs : NULL,
        .add_generation_prompt = json_get_bool(in, "add_generation_prompt", false),
        .exact = true,
    };

    if (!clock_of(in, &ask.now)) {
        tool_error(out, "\"now\" must look like \"2024-07-26 09:05:03\"");
        return;
    }
    buf_init(&prompt, PROMPT_BYTES_MAX);
    enum err e = chat_form_render(w->form, &ask, &prompt, &why);
    put_result(out, e, &why, &prompt);
    buf_fini(&prompt);
}

/* ---- by a template alone ---- */

static void put(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, yyjson_val *v)
{
    yyjson_mut_obj_remove_key(to, key);
    yyjson_mut_obj_add_val(doc, to, key, v ? yyjson_val_mut_copy(doc, v) : yyjson_mut_null(doc));
}

/* What the reference hands to a template: the line's members, and those of kwargs over them. */
static yyjson_doc *context_of(yyjson_val *in)
{
    static const char *const given[] = {"messages", "tools", "documents"};
    static const char *const when_there[] = {"bos_token", "eos_token"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL;
    yyjson_doc *context = NULL;
    size_t i, count;
    yyjson_val *key, *v;

    if (root) {
        for (i = 0; i < 3; i++) put(doc, root, given[i], json_get(in, given[i]));
        yyjson_mut_obj_add_bool(doc, root, "add_generation_prompt",
                                json_get_bool(in, "add_generation_prompt", false));
        for (i = 0; i < 2; i++)
            if (json_get(in, when_there[i]))
                put(doc, root, when_there[i], json_get(in, when_there[i]));
        yyjson_obj_foreach(json_get(in, "kwargs"), i, count, key, v)
            put(doc, root, yyjson_get_str(key), v);
        yyjson_mut_doc_set_root(doc, root);
        context = yyjson_mut_doc_imut_copy(doc, NULL);
    }
    yyjson_mut_doc_free(doc);
    return context;
}

static void render(const struct template *t, yyjson_val *context, yyjson_val *in,
                   struct json_out *out)
{
    struct err_note why = {0};
    struct buf prompt;
    struct tm now;

    if (!clock_of(in, &now)) {
        tool_error(out, "\"now\" must look like \"2024-07-26 09:05:03\"");
        return;
    }
    buf_init(&prompt, PROMPT_BYTES_MAX);
    enum err e = template_render(t, context, &now, &prompt, &why);
    put_result(out, e, &why, &prompt);
    buf_fini(&prompt);
}

static void by_file(void *ctx, yyjson_val *in, struct json_out *out)
{
    struct work *w = ctx;
    yyjson_doc *context = context_of(in);

    if (context == NULL)
        tool_error(out, err_text(NULL, ERR_MEMORY));
    else
        render(w->template, yyjson_doc_get_root(context), in, out);
    yyjson_doc_free(context);
}

static void by_line(void *ctx, yyjson_val *in, struct json_out *out)
{
    struct template *t = NULL;
    struct err_note why = {0};
    yyjson_val *source = json_get(in, "template"), *context = json_get(in, "context");

    (void)ctx;
    if (!yyjson_is_str(source) || !yyjson_is_obj(context)) {
        tool_error(out, "\"template\" must be a string and \"context\" an object");
        return;
    }
    enum err e = template_parse(&t, json_str(source), &why);
    if (e)
        tool_error(out, err_text(&why, e));
    else
        render(t, context, in, out);
    template_free(t);
}

/* ---- the command ---- */

static int run_by_file(struct cli *c, const char *path)
{
    struct work w = {0};
    struct err_note why = {0};
    struct buf source;
    FILE *f = fopen(path, "rb");

    if (f == NULL) return cli_fail(c, "cannot read %s", path);
    buf_init(&source, TEMPLATE_BYTES_MAX);
    for (size_t n = 1; n > 0 && !source.bad;) {
        char *room = buf_room(&source, 65536);
        n = room ? fread(room, 1, 65536, f) : 0;
        if (room) buf_grew(&source, n);
    }
    bool bad = ferror(f) || source.bad;
    fclose(f);
    enum err e = bad ? err_set(&why, ERR_IO, "cannot read %s", path)
                     : template_parse(&w.template, buf_str(&source), &why);
    int status = e ? cli_fail(c, "%s", err_text(&why, e)) : tool_lines(c, by_file, &w);
    template_free(w.template);
    buf_fini(&source);
    return status;
}

static int run_by_model(struct cli *c)
{
    struct work w = {0};
    struct files *files;
    struct vocab *v;
    struct model *m = NULL;
    struct err_note why = {0};

    if (!tool_vocab(c, &files, &v)) return EXIT_MISTAKE;
    /* The family decides the form of models without a template; files without weights have none. */
    const char *family = model_open(&m, files, 1, NULL) ? "" : model_info(m)->family;
    enum err e = chat_form_open(&w.form, files, v, family, &why);
    int status = e ? cli_fail(c, "%s", err_text(&why, e)) : tool_lines(c, by_model, &w);
    chat_form_close(w.form);
    model_close(m);
    vocab_close(v);
    files_close(files);
    return status;
}

static int run(struct cli *c)
{
    const char *file = cli_flag(c, "file");

    if (!cli_flag(c, "jsonl"))
        return cli_fail(c, "--jsonl is needed: conversations come as JSON lines");
    if (file && cli_flag(c, "model")) return cli_fail(c, "give either --model or --file");
    if (file) return run_by_file(c, file);
    return cli_flag(c, "model") ? run_by_model(c) : tool_lines(c, by_line, NULL);
}

static const struct cli_flag flags[] = {
    TOOL_MODEL_FLAG,
    {"file", "FILE", "a template instead of a model"},
    TOOL_JSONL_FLAG,
};

const struct command command_template = {
    .name = "template",
    .args = "[--model MODEL | --file FILE] --jsonl",
    .text = "conversations to prompts, by a chat template",
    .more = "--model:  {\"messages\",\"tools\",\"add_generation_prompt\",\"kwargs\",\"now\"} -> "
            "{\"prompt\"} or "
            "{\"error\"}\n"
            "--file:   the same, and \"bos_token\", \"eos_token\"\n"
            "neither:  {\"template\",\"context\",\"now\"} -> the same\n"
            "\"now\" is a local time such as \"2024-07-26 09:05:03\".\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
