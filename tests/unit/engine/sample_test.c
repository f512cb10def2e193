/* The sampler's draws; its distributions are in tests/golden/sampling. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "engine/sample/random.h"
#include "engine/sample/sample.h"

static const struct sample_params plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static struct sampler *sampler_with(struct sample_params p, int vocab)
{
    struct sampler *s;
    check_int(sampler_new(&s, &p, vocab), ERR_NONE);
    return s;
}

static int32_t pick(struct sampler *s, const float *logits, int vocab, const uint64_t *allowed)
{
    float copy[64];
    memcpy(copy, logits, (size_t)vocab * sizeof *copy);
    return sampler_pick(s, copy, allowed);
}

static const float four[4] = {0.0f, 1.0f, 2.0f, 1.5f};

/* Same seed, same tokens; another seed, others. */
static void test_seed(void **state)
{
    struct sample_params p = plain;
    struct sampler *a, *b, *c;
    int same = 0, other = 0;

    p.seed = 42;
    a = sampler_with(p, 4);
    b = sampler_with(p, 4);
    p.seed = 43;
    c = sampler_with(p, 4);
    for (int i = 0; i < 200; i++) {
        int32_t x = pick(a, four, 4, NULL);
        same += x == pick(b, four, 4, NULL);
        other += x == pick(c, four, 4, NULL);
    }
    check_int(same, 200);
    check_true(other < 150);
    sampler_free(a);
    sampler_free(b);
    sampler_free(c);
}

/* The numbers of xoshiro256** for this seed must never change: seeds are a promise over releases.
 */
static void test_random_stays(void **state)
{
    struct random r;
    random_seed(&r, 1);
    check_true(random_next(&r) == 0xb3f2af6d0fc710c5u);
    check_true(random_next(&r) == 0x853b559647364ceau);
}

/* Draws follow the distribution: each count within five standard deviations. */
static void test_frequencies(void **state)
{
    struct sample_params p = plain;
    int count[4] = {0}, draws = 20000;
    double total = 0;

    p.seed = 5;
    struct sampler *s = sampler_with(p, 4);
    for (int i = 0; i < 4; i++) total += exp((double)four[i]);
    for (int i = 0; i < draws; i++) count[pick(s, four, 4, NULL)]++;
    for (int i = 0; i < 4; i++) {
        double want = exp((double)four[i]) / total * draws;
        check_true(fabs(count[i] - want) < 5 * sqrt(want));
    }
    sampler_free(s);
}

static void test_greedy(void **state)
{
    static const float ties[5] = {1, 3, 3, 2, 3};
    static const float nothing[3] = {NAN, -INFINITY, -1};
    struct sample_params p = plain;
    uint64_t mask = 1u << 3 | 1u << 4;

    p.temperature = 0;
    struct sampler *s = sampler_with(p, 5);
    check_int(pick(s, ties, 5, NULL), 1);
    check_int(pick(s, ties, 5, &mask), 4);
    sampler_free(s);
    s = sampler_with(p, 3);
    check_int(pick(s, nothing, 3, NULL), 2);
    sampler_free(s);
    p.temperature = 1e-30f; /* as good as greedy */
    s = sampler_with(p, 5);
    check_int(pick(s, ties, 5, NULL) == 0, 0);
    sampler_free(s);
}

/* Nothing outside the mask is ever drawn. */
static void test_mask(void **state)
{
    uint64_t mask = 1u << 0 | 1u << 3;
    struct sampler *s = sampler_with(plain, 4);
    int seen[4] = {0};

    for (int i = 0; i < 500; i++) seen[pick(s, four, 4, &mask)]++;
    check_true(seen[0] > 0 && seen[3] > 0 && seen[1] == 0 && seen[2] == 0);
    sampler_free(s);
}

static void test_ngrams(void **state)
{
    static const float logits[4] = {9, 5, 1, 0};
    struct sample_params p = plain;

    p.temperature = 0;
    p.no_repeat_ngram_size = 2;
    struct sampler *s = sampler_with(p, 4);
    check_int(sampler_saw(s, 2, false), ERR_NONE);
    check_int(sampler_saw(s, 0, false), ERR_NONE);
    check_int(sampler_saw(s, 1, false), ERR_NONE);
    check_int(pick(s, logits, 4, NULL), 0);
    check_int(sampler_saw(s, 2, true), ERR_NONE);
    check_int(pick(s, logits, 4, NULL), 1); /* 2 0 stands already */
    check_int(sampler_saw(s, 0, true), ERR_NONE);
    check_int(pick(s, logits, 4, NULL), 0); /* 0 1 stands, 0 0 does not */
    sampler_free(s);
    p.no_repeat_ngram_size = 1; /* no token twice */
    s = sampler_with(p, 4);
    for (int i = 0; i < 3; i++) check_int(sampler_saw(s, i, true), ERR_NONE);
    check_int(pick(s, logits, 4, NULL), 3);
    check_int(sampler_saw(s, 7, true), ERR_INVALID);
    sampler_free(s);
}

static void test_bad_params(void **state)
{
    struct sample_params p[8] = {plain, plain, plain, plain, plain, plain, plain, plain};
    struct sampler *s;

    p[0].temperature = -1;
    p[1].temperature = NAN;
    p[2].top_p = 1.5f;
    p[3].top_k = -1;
    p[4].min_p = -0.1f;
    p[5].repetition_penalty = 0;
    p[6].presence_penalty = INFINITY;
    p[7].no_repeat_ngram_size = -2;
    for (int i = 0; i < 8; i++) check_int(sampler_new(&s, &p[i], 4), ERR_INVALID);
    check_int(sampler_new(&s, &plain, 0), ERR_INVALID);
}

/* The selection of top-k against a full sort, over many shapes of data. */
static void test_top_k(void **state)
{
    struct random r;
    float logits[500], copy[500], probs[500];

    random_seed(&r, 3);
    for (int round = 0; round < 300; round++) {
        int n = 1 + (int)(random_next(&r) % 500), k = 1 + (int)(random_next(&r) % (unsigned)n),
            kept = 0;
        int levels = 1 + (int)(random_next(&r) % 50);
        for (int i = 0; i < n; i++)
            logits[i] = copy[i] = (float)(random_next(&r) % (unsigned)levels);
        struct sample_params p = plain;
        p.top_k = k;
        struct sampler *s = sampler_with(p, n);
        sampler_probs(s, copy, probs);
        for (int i = 0; i < n; i++) {
            int above = 0;
            for (int j = 0; j < n; j++) above += logits[j] > logits[i];
            kept += probs[i] > 0;
            check_int(probs[i] > 0, above < k);
        }
        check_true(kept >= k);
        sampler_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed),        cmocka_unit_test(test_random_stays),
        cmocka_unit_test(test_frequencies), cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_mask),        cmocka_unit_test(test_ngrams),
        cmocka_unit_test(test_bad_params),  cmocka_unit_test(test_top_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
