/* sema detokenize: ids -> text. */
#include "cli/tool.h"

enum { TEXT_BYTES_MAX = 1 << 30 };

static void answer(void *ctx, yyjson_val *in, struct json_out *out)
{
    const struct vocab *v = ctx;
    struct ids ids = {0};
    struct buf text;

    buf_init(&text, TEXT_BYTES_MAX);
    enum err e = tool_ids_of(&ids, json_get(in, "ids"));
    if (e == ERR_INVALID) {
        tool_error(out, "\"ids\" must be an array of token ids");
    } else {
        if (!e)
            e = vocab_decode(v, ids.at, ids.len, json_get_bool(in, "skip_special", false), &text);
        if (!e) e = buf_err(&text);
        if (e)
            tool_error(out, e == ERR_INVALID ? "an id is none of this model's" : err_text(NULL, e));
        else
            json_key(out, "text"), json_text(out, buf_str(&text));
    }
    buf_fini(&text);
    ids_fini(&ids);
}

static int show(struct cli *c, const struct vocab *v)
{
    struct ids ids = {0};
    struct buf text;
    int status = EXIT_MISTAKE;

    buf_init(&text, TEXT_BYTES_MAX);
    if (tool_ids_flag(c, vocab_size(v), &ids)) {
        enum err e = vocab_decode(v, ids.at, ids.len, cli_flag(c, "skip-special") != NULL, &text);
        if (e) {
            status = cli_fail(c, "%s", err_text(NULL, e));
        } else {
            fwrite(text.at, 1, text.len, stdout);
            putchar('\n');
            status = EXIT_FINE;
        }
    }
    buf_fini(&text);
    ids_fini(&ids);
    return cli_end(status);
}

static int run(struct cli *c)
{
    struct files *files;
    struct vocab *v;

    if (!tool_vocab(c, &files, &v)) return EXIT_MISTAKE;
    int status = cli_flag(c, "jsonl") ? tool_lines(c, answer, v) : show(c, v);
    vocab_close(v);
    files_close(files);
    return status;
}

static const struct cli_flag flags[] = {
    TOOL_MODEL_FLAG,
    TOOL_JSONL_FLAG,
    {"tokens", "IDS", "ids with commas between"},
    {"skip-special", NULL, "leave special tokens out"},
};

const struct command command_detokenize = {
    .name = "detokenize",
    .args = "--model MODEL --tokens IDS",
    .text = "token ids to text",
    .more = "With --jsonl: {\"ids\":[...],\"skip_special\":false} -> {\"text\"}.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
