/* sema sample-probs: the final distribution of the sampler for given logits. */
#include <math.h>
#include <stdlib.h>

#include "cli/tool.h"
#include "engine/sample/sample.h"

static float number(yyjson_val *params, const char *name, double otherwise)
{
    return (float)json_get_num(params, name, otherwise);
}

static struct sample_params params_of(yyjson_val *params)
{
    return (struct sample_params){
        .temperature = number(params, "temperature", 1),
        .top_k = (int)json_get_int(params, "top_k", 0),
        .top_p = number(params, "top_p", 1),
        .min_p = number(params, "min_p", 0),
        .repetition_penalty = number(params, "repetition_penalty", 1),
        .presence_penalty = number(params, "presence_penalty", 0),
        .frequency_penalty = number(params, "frequency_penalty", 0),
        .no_repeat_ngram_size = (int)json_get_int(params, "no_repeat_ngram_size", 0),
    };
}

static void put_probs(struct json_out *out, const float *probs, size_t vocab, bool greedy)
{
    if (greedy) {
        size_t best = 0;
        while (best + 1 < vocab && !(probs[best] > 0)) best++;
        json_key(out, "argmax"), json_int(out, (int64_t)best);
        return;
    }
    json_key(out, "probs");
    json_array(out);
    for (size_t i = 0; i < vocab; i++) json_num(out, (double)probs[i]);
    json_end_array(out);
}

static void answer(void *ctx, yyjson_val *in, struct json_out *out)
{
    yyjson_val *logits = json_get(in, "logits"), *v;
    size_t vocab = yyjson_arr_size(logits), i, count;
    struct sample_params p = params_of(json_get(in, "params"));
    struct ids before = {0};
    struct sampler *s = NULL;
    float *scores = calloc(vocab + 1, sizeof *scores), *probs = calloc(vocab + 1, sizeof *probs);
    enum err e = scores && probs ? ERR_NONE : ERR_MEMORY;

    (void)ctx;
    if (vocab == 0) e = ERR_INVALID;
    if (!e && json_get(in, "previous_tokens"))
        e = tool_ids_of(&before, json_get(in, "previous_tokens"));
    yyjson_arr_foreach(logits, i, count, v)
    {
        if (!e && !yyjson_is_num(v)) e = ERR_INVALID;
        if (!e) scores[i] = (float)yyjson_get_num(v);
    }
    if (!e) e = sampler_new(&s, &p, (int)vocab);
    for (i = 0; !e && i < before.len; i++)
        e = before.at[i] < (int64_t)vocab ? sampler_saw(s, before.at[i], true) : ERR_INVALID;
    if (e == ERR_INVALID) {
        tool_error(out, "\"logits\" must be numbers and \"previous_tokens\" their places");
    } else if (e) {
        tool_error(out, err_text(NULL, e));
    } else {
        sampler_probs(s, scores, probs);
        put_probs(out, probs, vocab, !(p.temperature > 0));
    }
    sampler_free(s);
    ids_fini(&before);
    free(scores);
    free(probs);
}

static int run(struct cli *c)
{
    if (!cli_flag(c, "jsonl")) return cli_fail(c, "--jsonl is needed: logits come as JSON lines");
    return tool_lines(c, answer, NULL);
}

static const struct cli_flag flags[] = {TOOL_JSONL_FLAG};

const struct command command_sample_probs = {
    .name = "sample-probs",
    .args = "--jsonl",
    .text = "the sampler's final distribution for given logits",
    .more = "{\"logits\",\"previous_tokens\",\"params\"} -> {\"probs\":[...]}, or {\"argmax\":i} "
            "at temperature 0.\n"
            "params: temperature, top_k, top_p, min_p, repetition_penalty, presence_penalty,\n"
            "frequency_penalty, no_repeat_ngram_size.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .run = run,
};
