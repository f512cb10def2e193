/* sema generate: tokens in, tokens out: the forward pass and the sampler without template and
 * server. */
#include <stdlib.h>

#include "base/rand.h"
#include "cli/tool.h"
#include "engine/arch/model.h"
#include "engine/machine.h"
#include "engine/sample/sample.h"

enum { PROMPT_ROWS_AT_ONCE = 128 };

struct work {
    struct model *model;
    struct sampler *sampler;
    struct kv *kv;
    float *logits; /* [vocab] of the last token */
};

/* The prompt in pieces; the last row's logits are wanted. */
static enum err read_prompt(struct work *w, const struct ids *prompt, struct err_note *why)
{
    struct model_row rows[PROMPT_ROWS_AT_ONCE];
    enum err e = ERR_NONE;

    for (size_t at = 0; !e && at < prompt->len; at += PROMPT_ROWS_AT_ONCE) {
        size_t count = prompt->len - at;
        if (count > PROMPT_ROWS_AT_ONCE) count = PROMPT_ROWS_AT_ONCE;
        for (size_t i = 0; !e && i < count; i++) {
            rows[i] = (struct model_row){.kv = w->kv, .token = prompt->at[at + i]};
            if (at + i + 1 == prompt->len) rows[i].logits = w->logits;
            e = sampler_saw(w->sampler, prompt->at[at + i], false);
        }
        if (!e) e = model_forward(w->model, rows, count, why);
    }
    return e;
}

static bool is_end(const struct model *m, int32_t id)
{
    const int32_t *ends;
    size_t count = model_end_ids(m, &ends);

    for (size_t i = 0; i < count; i++)
        if (ends[i] == id) return true;
    return false;
}

static enum err go_on(struct work *w, int64_t max, bool stop_at_end, struct ids *answer,
                      struct err_note *why)
{
    enum err e = ERR_NONE;

    while (!e && answer->len < (size_t)max) {
        int32_t id = sampler_pick(w->sampler, w->logits, NULL);
        e = ids_add(answer, id);
        if (!e) e = sampler_saw(w->sampler, id, true);
        if (e || (stop_at_end && is_end(w->model, id)) || answer->len == (size_t)max) break;
        struct model_row row = {.kv = w->kv, .token = id, .logits = w->logits};
        e = model_forward(w->model, &row, 1, why);
    }
    return e;
}

static enum err generate(struct model *m, const struct sample_params *p, const struct ids *prompt,
                         int64_t max, bool stop_at_end, struct ids *answer, struct err_note *why)
{
    struct work w = {.model = m, .logits = calloc((size_t)model_info(m)->vocab, sizeof(float))};
    enum err e = w.logits ? sampler_new(&w.sampler, p, model_info(m)->vocab) : ERR_MEMORY;

    if (!e) e = kv_new(&w.kv, m, (int)((int64_t)prompt->len + max));
    if (!e) e = read_prompt(&w, prompt, why);
    if (!e) e = go_on(&w, max, stop_at_end, answer, why);
    kv_free(w.kv);
    sampler_free(w.sampler);
    free(w.logits);
    return e;
}

static bool params_of(struct cli *c, struct sample_params *p, int64_t *max_tokens)
{
    double temperature = 0, top_p = 1, min_p = 0, repetition = 1;
    int64_t top_k = 0, seed = (int64_t)(rand_u64() >> 1);

    if (!tool_int_flag(c, "max-tokens", 0, 1 << 20, max_tokens) ||
        !tool_num_flag(c, "temperature", 0, 100, &temperature) ||
        !tool_num_flag(c, "top-p", 0, 1, &top_p) || !tool_num_flag(c, "min-p", 0, 1, &min_p) ||
        !tool_int_flag(c, "top-k", 0, 1 << 30, &top_k) ||
        !tool_num_flag(c, "repetition-penalty", 0.01, 100, &repetition) ||
        !tool_int_flag(c, "seed", 0, INT64_MAX, &seed))
        return false;
    *p = (struct sample_params){.temperature = (float)temperature,
                                .top_k = (int)top_k,
                                .top_p = (float)top_p,
                                .min_p = (float)min_p,
                                .repetition_penalty = (float)repetition,
                                .seed = (uint64_t)seed};
    return true;
}

static void print_ids(const struct ids *ids)
{
    struct buf line;

    buf_init(&line, 1 << 26);
    struct json_out o = json_begin(&line);
    json_object(&o);
    tool_put_ids(&o, ids);
    json_end_object(&o);
    buf_add_char(&line, '\n');
    fwrite(line.at, 1, line.len, stdout);
    buf_fini(&line);
}

static int run(struct cli *c)
{
    struct sample_params p;
    struct files *files;
    struct model *m = NULL;
    struct ids prompt = {0}, answer = {0};
    struct err_note why = {0};
    int64_t max_tokens = 64;
    int status = EXIT_MISTAKE;

    if (!params_of(c, &p, &max_tokens) || !tool_files(c, &files)) return EXIT_MISTAKE;
    enum err e = model_open(&m, files, machine_threads(), &why);
    if (e) {
        cli_fail(c, "%s", err_text(&why, e));
    } else if (tool_ids_flag(c, model_info(m)->vocab, &prompt)) {
        e = generate(m, &p, &prompt, max_tokens, cli_flag(c, "stop-at-end") != NULL, &answer, &why);
        if (e)
            cli_fail(c, "%s", err_text(&why, e));
        else
            print_ids(&answer);
        status = e ? EXIT_MISTAKE : EXIT_FINE;
    }
    ids_fini(&prompt);
    ids_fini(&answer);
    model_close(m);
    files_close(files);
    return cli_end(status);
}

static const struct cli_flag flags[] = {
    TOOL_MODEL_FLAG,
    {"tokens", "IDS", "the prompt: ids with commas between"},
    {"max-tokens", "N", "how many to make (64)"},
    {"temperature", "T", "0 takes the likeliest (0)"},
    {"top-k", "N", "0: off (0)"},
    {"top-p", "P", "1: off (1)"},
    {"min-p", "P", "0: off (0)"},
    {"repetition-penalty", "R", "1: off (1)"},
    {"seed", "N", "the same seed, the same tokens"},
    {"stop-at-end", NULL, "end after a token that ends an answer"},
};

const struct command command_generate = {
    .name = "generate",
    .args = "--model MODEL --tokens IDS",
    .text = "go on from given tokens, without template and server",
    .more = "Prints {\"ids\":[...]}: the new ones.  End tokens do not end it unless --stop-at-end "
            "is given.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
