/* sema tokenize: text -> ids, special tokens not added. */
#include "cli/tool.h"

static void answer(void *ctx, yyjson_val *in, struct json_out *out)
{
    const struct vocab *v = ctx;
    struct ids ids = {0};
    struct err_note why = {0};
    yyjson_val *text = json_get(in, "text");

    if (!yyjson_is_str(text)) {
        tool_error(out, "\"text\" must be a string");
        return;
    }
    enum err e = vocab_encode(v, json_str(text), VOCAB_PLAIN, &ids, NULL, &why);
    if (e)
        tool_error(out, err_text(&why, e));
    else
        tool_put_ids(out, &ids);
    ids_fini(&ids);
}

/* For people: the ids of each argument, with the pieces they stand for. */
static int show(struct cli *c, const struct vocab *v)
{
    int status = EXIT_FINE;

    for (size_t i = 0; i < c->args_count && status == EXIT_FINE; i++) {
        struct ids ids = {0};
        struct err_note why = {0};
        enum err e = vocab_encode(v, str_of(c->args[i]), VOCAB_PLAIN, &ids, NULL, &why);
        if (e) status = cli_fail(c, "%s", err_text(&why, e));
        for (size_t k = 0; !e && k < ids.len; k++) printf("%s%d", k ? "," : "", ids.at[k]);
        if (!e) putchar('\n');
        ids_fini(&ids);
    }
    return cli_end(status);
}

static int run(struct cli *c)
{
    struct files *files;
    struct vocab *v;

    if (!cli_flag(c, "jsonl") && c->args_count == 0)
        return cli_fail(c, "give a text, or --jsonl for JSON lines");
    if (!tool_vocab(c, &files, &v)) return EXIT_MISTAKE;
    int status = cli_flag(c, "jsonl") ? tool_lines(c, answer, v) : show(c, v);
    vocab_close(v);
    files_close(files);
    return status;
}

static const struct cli_flag flags[] = {TOOL_MODEL_FLAG, TOOL_JSONL_FLAG};

const struct command command_tokenize = {
    .name = "tokenize",
    .args = "--model MODEL TEXT...",
    .text = "text to token ids, as the model's tokenizer makes them",
    .more = "With --jsonl: {\"text\"} -> {\"ids\":[...]}.  Special tokens are not added.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = CLI_ARGS_MAX,
    .settings = true,
    .run = run,
};
