/* The final distribution against the reference's processors (testdata/README.md, sampling/). */
#include "jsonl.h"

#include <math.h>

#include "engine/sample/sample.h"

/* The reference computes in float32 with another order of sums. */
static const double tolerance = 2e-5;

static float param(yyjson_val *params, const char *name, double otherwise)
{
    return (float)json_get_num(params, name, otherwise);
}

static void test_case(void **state)
{
    yyjson_val *c = *state, *params = json_get(c, "params"), *v;
    size_t i, max;
    int vocab = (int)yyjson_arr_size(json_get(c, "logits"));
    float *logits = calloc((size_t)vocab, sizeof *logits),
          *probs = calloc((size_t)vocab, sizeof *probs);
    struct sample_params p = {
        .temperature = param(params, "temperature", 1),
        .top_k = (int)json_get_int(params, "top_k", 0),
        .top_p = param(params, "top_p", 1),
        .min_p = param(params, "min_p", 0),
        .repetition_penalty = param(params, "repetition_penalty", 1),
        .presence_penalty = param(params, "presence_penalty", 0),
        .frequency_penalty = param(params, "frequency_penalty", 0),
    };
    struct sampler *s;

    check_int(sampler_new(&s, &p, vocab), ERR_NONE);
    yyjson_arr_foreach(json_array_of(json_get(c, "previous_tokens")), i, max, v)
    {
        check_int(sampler_saw(s, (int32_t)yyjson_get_int(v), true), ERR_NONE);
    }
    yyjson_arr_foreach(json_array_of(json_get(c, "logits")), i, max, v) logits[i] =
        (float)yyjson_get_num(v);
    sampler_probs(s, logits, probs);
    yyjson_arr_foreach(json_array_of(json_get(c, "probs")), i, max, v)
    {
        double want = yyjson_get_num(v);
        if (fabs((double)probs[i] - want) <= tolerance) continue;
        print_error("id %zu: got %.9f, want %.9f\n", i, (double)probs[i], want);
        fail();
    }
    if (json_get(c, "argmax")) check_true(probs[json_get_int(c, "argmax", -1)] == 1);
    sampler_free(s);
    free(logits);
    free(probs);
}

int main(void)
{
    const char *shared = getenv("SEMA_SHARED_DATA");
    struct jsonl_tests tests = {0};

    if (shared == NULL) return jsonl_skip("SEMA_SHARED_DATA is not set");
    struct jsonl cases = jsonl_lines(jsonl_read(shared, "sampling/processors.jsonl"), JSON_PLAIN);
    if (cases.count == 0) return jsonl_skip("no reference data");
    for (size_t i = 0; i < cases.count; i++)
        jsonl_add(&tests, test_case, cases.at[i], json_get_str(cases.at[i], "case").at);
    return jsonl_run(&tests, "sampling");
}
