/* sema logits: the scores of a model for given tokens, unquantised path, as raw float32. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/tool.h"
#include "engine/arch/model.h"
#include "engine/machine.h"

enum { ROWS_AT_ONCE = 32 }; /* of a vocabulary of 256,000: 33 MB */

/* The format says little-endian; so are all machines that this is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "logits are written as they are in memory");

static int write_rows(struct cli *c, struct model *m, const struct ids *ids, bool all, FILE *to)
{
    size_t vocab = (size_t)model_info(m)->vocab;
    struct model_row rows[ROWS_AT_ONCE];
    float *logits = calloc(ROWS_AT_ONCE, vocab * sizeof *logits);
    struct kv *kv = NULL;
    struct err_note why = {0};

    enum err e = logits ? kv_new(&kv, m, (int)ids->len) : ERR_MEMORY;
    if (!e) kv_expect(kv, (int)ids->len);
    for (size_t at = 0; !e && at < ids->len; at += ROWS_AT_ONCE) {
        size_t count = ids->len - at < ROWS_AT_ONCE ? ids->len - at : ROWS_AT_ONCE;
        bool last = at + count == ids->len;
        for (size_t i = 0; i < count; i++) {
            bool wanted = all || (last && i + 1 == count);
            rows[i] = (struct model_row){.kv = kv,
                                         .token = ids->at[at + i],
                                         .logits = wanted ? logits + i * vocab : NULL};
        }
        e = model_forward(m, rows, count, &why);
        for (size_t i = 0; !e && i < count; i++) {
            if (rows[i].logits && fwrite(rows[i].logits, sizeof *logits, vocab, to) != vocab)
                e = err_set(&why, ERR_IO, "cannot write: %s", strerror(errno));
        }
    }
    kv_free(kv);
    free(logits);
    return e ? cli_fail(c, "%s", err_text(&why, e)) : EXIT_FINE;
}

static int run(struct cli *c)
{
    const char *path = cli_flag(c, "out");
    struct files *files;
    struct model *m = NULL;
    struct ids ids = {0};
    struct err_note why = {0};
    int status = EXIT_MISTAKE;

    if (path == NULL) return cli_fail(c, "--out is needed: the file to write");
    if (!tool_files(c, &files)) return EXIT_MISTAKE;
    enum err e = model_open(&m, files, machine_threads(), &why);
    if (e) {
        cli_fail(c, "%s", err_text(&why, e));
    } else if (tool_ids_flag(c, model_info(m)->vocab, &ids)) {
        FILE *to = fopen(path, "wb");
        if (to == NULL) {
            cli_fail(c, "cannot write %s: %s", path, strerror(errno));
        } else {
            status = write_rows(c, m, &ids, cli_flag(c, "all") != NULL, to);
            if (fclose(to) != 0) status = cli_fail(c, "cannot write %s: %s", path, strerror(errno));
            if (status != EXIT_FINE) unlink(path); /* half a file would pass for a whole one */
        }
    }
    ids_fini(&ids);
    model_close(m);
    files_close(files);
    return status;
}

static const struct cli_flag flags[] = {
    TOOL_MODEL_FLAG,
    {"tokens", "IDS", "ids with commas between"},
    {"all", NULL, "a row for each token; else for the last one"},
    {"out", "FILE", "little-endian float32, [tokens][vocabulary]"},
};

const struct command command_logits = {
    .name = "logits",
    .args = "--model MODEL --tokens IDS --out FILE",
    .text = "what a model computes for given tokens, to compare with other programs",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
