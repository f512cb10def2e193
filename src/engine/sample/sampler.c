/* The distribution a token is drawn from.  What top-k and top-p leave is described by one number,
 * the least logit that stays (`struct cut`), so the draw walks the ids in order: small noise in the
 * logits moves the borders of the draw a little instead of shuffling it. */
#include "engine/sample/sample.h"

#include <math.h>
#include <stdlib.h>

#include "engine/sample/random.h"

struct sampler {
    struct sample_params p;
    int vocab;
    struct random random;
    float *scratch;    /* [vocab]: what is being selected from */
    uint32_t *answers; /* [vocab]: how often in the answer */
    uint8_t *seen;     /* [vocab]: in prompt or answer */
    int32_t *distinct; /* the ids of `seen`, in order of appearance */
    size_t distinct_count, distinct_cap;
    int32_t *history; /* all tokens in order, kept only for the n-gram ban */
    size_t history_count, history_cap;
};

/* The logits that stay: all above `least`, and those equal to it but for the first `skip` ids (the
 * reference sorts upwards, so that of equals the higher ids are the likelier). */
struct cut {
    float least;
    size_t skip;
};

static bool params_valid(const struct sample_params *p)
{
    return p->temperature >= 0 && isfinite(p->temperature) && p->top_k >= 0 && p->top_p >= 0 &&
           p->top_p <= 1 && p->min_p >= 0 && p->min_p <= 1 && p->repetition_penalty > 0 &&
           isfinite(p->repetition_penalty) && isfinite(p->presence_penalty) &&
           isfinite(p->frequency_penalty) && p->no_repeat_ngram_size >= 0;
}

enum err sampler_new(struct sampler **out, const struct sample_params *p, int vocab)
{
    if (vocab <= 0 || !params_valid(p)) return ERR_INVALID;

    struct sampler *s = calloc(1, sizeof *s);
    if (s == NULL) return ERR_MEMORY;
    s->p = *p;
    s->vocab = vocab;
    random_seed(&s->random, p->seed);
    s->scratch = malloc((size_t)vocab * sizeof *s->scratch);
    s->answers = calloc((size_t)vocab, sizeof *s->answers);
    s->seen = calloc((size_t)vocab, sizeof *s->seen);
    if (!s->scratch || !s->answers || !s->seen) {
        sampler_free(s);
        return ERR_MEMORY;
    }
    *out = s;
    return ERR_NONE;
}

void sampler_free(struct sampler *s)
{
    if (s == NULL) return;
    free(s->scratch);
    free(s->answers);
    free(s->seen);
    free(s->distinct);
    free(s->history);
    free(s);
}

static enum err append(int32_t **at, size_t *count, size_t *cap, int32_t id)
{
    if (*count == *cap) {
        size_t wider = *cap ? *cap * 2 : 256;
        int32_t *more = realloc(*at, wider * sizeof *more);
        if (more == NULL) return ERR_MEMORY;
        *at = more;
        *cap = wider;
    }
    (*at)[(*count)++] = id;
    return ERR_NONE;
}

enum err sampler_saw(struct sampler *s, int32_t token, bool answer)
{
    enum err e = ERR_NONE;

    if (token < 0 || token >= s->vocab) return ERR_INVALID;
    if (!s->seen[token]) {
        e = append(&s->distinct, &s->distinct_count, &s->distinct_cap, token);
        if (e) return e;
        s->seen[token] = 1;
    }
    if (answer) s->answers[token]++;
    if (s->p.no_repeat_ngram_size > 0)
        e = append(&s->history, &s->history_count, &s->history_cap, token);
    return e;
}

/* ---- the processors, in the order of the reference ---- */

static void forbid(float *logits, int vocab, const uint64_t *allowed)
{
    for (int i = 0; i < vocab; i++) {
        bool may = allowed == NULL || (allowed[i / 64] >> (i % 64) & 1);
        if (!may || isnan(logits[i])) logits[i] = -INFINITY;
    }
}

static void penalize_repetition(const struct sampler *s, float *logits)
{
    float p = s->p.repetition_penalty;

    if (p == 1) return;
    for (size_t i = 0; i < s->distinct_count; i++) {
        float *l = &logits[s->distinct[i]];
        *l = *l > 0 ? *l / p : *l * p;
    }
}

/* A token that would complete an n-gram that stands already is out. */
static void ban_ngrams(const struct sampler *s, float *logits)
{
    size_t n = (size_t)s->p.no_repeat_ngram_size;

    if (n == 0 || s->history_count + 1 < n) return;
    size_t lead = n - 1;
    const int32_t *tail = s->history + (s->history_count - lead);
    for (size_t i = 0; i + lead < s->history_count; i++) {
        bool same = true;
        for (size_t j = 0; same && j < lead; j++) same = s->history[i + j] == tail[j];
        if (same) logits[s->history[i + lead]] = -INFINITY;
    }
}

static void penalize_presence(const struct sampler *s, float *logits)
{
    if (s->p.presence_penalty == 0 && s->p.frequency_penalty == 0) return;
    for (size_t i = 0; i < s->distinct_count; i++) {
        int32_t id = s->distinct[i];
        if (s->answers[id] == 0) continue;
        logits[id] -= (float)s->answers[id] * s->p.frequency_penalty + s->p.presence_penalty;
    }
}

/* ---- selection ---- */

static void swap(float *a, float *b)
{
    float t = *a;
    *a = *b;
    *b = t;
}

/* Puts the n largest of at[count] in front, in no order (Hoare's selection, median of three). */
static void select_largest(float *at, size_t count, size_t n)
{
    size_t low = 0, high = count;

    while (high - low > 1 && n > low && n < high) {
        size_t mid = low + (high - low) / 2, last = high - 1;
        if (at[mid] > at[low]) swap(&at[mid], &at[low]);
        if (at[last] > at[low]) swap(&at[last], &at[low]);
        if (at[last] > at[mid]) swap(&at[last], &at[mid]);
        float pivot = at[mid];

        size_t i = low, j = last;
        for (;;) {
            while (at[i] > pivot) i++;
            while (at[j] < pivot) j--;
            if (i >= j) break;
            swap(&at[i++], &at[j--]);
        }
        /* [low, j] >= pivot >= [j + 1, high) */
        if (j + 1 >= high) j = high - 2;
        if (n <= j + 1)
            high = j + 1;
        else
            low = j + 1;
    }
}

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The reference keeps whatever equals the k-th largest too. */
static void cut_top_k(struct sampler *s, const float *logits, struct cut *c)
{
    if (s->p.top_k <= 0 || s->p.top_k >= s->vocab) return;
    size_t k = (size_t)s->p.top_k;
    memcpy(s->scratch, logits, (size_t)s->vocab * sizeof *logits);
    select_largest(s->scratch, (size_t)s->vocab, k);
    float least = INFINITY;
    for (size_t i = 0; i < k; i++)
        if (s->scratch[i] < least) least = s->scratch[i];
    c->least = least;
}

/* The smallest set of the likeliest whose probabilities reach p, at least one.  Sorting goes only
 * as deep as needed: the likeliest few hundred nearly always suffice. */
static void cut_top_p(struct sampler *s, const float *logits, float largest, struct cut *c)
{
    if (s->p.top_p >= 1) return;
    size_t count = 0;
    double total = 0;
    for (int i = 0; i < s->vocab; i++) {
        if (logits[i] < c->least || logits[i] == -INFINITY) continue;
        s->scratch[count++] = logits[i];
        total += exp((double)(logits[i] - largest));
    }

    double want = (double)s->p.top_p * total, sum = 0;
    size_t sorted = 0, step = 256;
    for (;;) {
        size_t upto = count - sorted > step ? sorted + step : count;
        select_largest(s->scratch + sorted, count - sorted, upto - sorted);
        qsort(s->scratch + sorted, upto - sorted, sizeof *s->scratch, falling);
        for (size_t i = sorted; i < upto; i++) {
            sum += exp((double)(s->scratch[i] - largest));
            if (sum < want && i + 1 < count) continue;
            size_t kept = 0, equal = 0;
            for (size_t j = i + 1; j-- > 0 && s->scratch[j] == s->scratch[i];) kept++;
            for (size_t j = 0; j < count; j++) equal += s->scratch[j] == s->scratch[i];
            *c = (struct cut){s->scratch[i], equal - kept};
            return;
        }
        sorted = upto;
        step *= 8;
    }
}

static void cut_min_p(const struct sampler *s, float largest, struct cut *c)
{
    if (s->p.min_p <= 0) return;
    double least = (double)largest + log((double)s->p.min_p);
    if (least > (double)c->least) *c = (struct cut){(float)least, 0};
    /* The rounding above must not lose the largest itself. */
    if (c->least > largest) c->least = largest;
}

static float largest_of(const float *logits, int vocab, int32_t *id)
{
    *id = 0;
    for (int i = 1; i < vocab; i++)
        if (logits[i] > logits[*id]) *id = i;
    return logits[*id];
}

/* All processors.  *best is the argmax; false when the rest does not matter (greedy). */
static bool prepare(struct sampler *s, float *logits, const uint64_t *allowed, int32_t *best,
                    struct cut *c)
{
    forbid(logits, s->vocab, allowed);
    penalize_repetition(s, logits);
    ban_ngrams(s, logits);
    penalize_presence(s, logits);
    float largest = largest_of(logits, s->vocab, best);
    if (largest == -INFINITY && allowed) { /* the n-gram ban took all that the grammar allows */
        for (int i = s->vocab; i-- > 0;)
            if (allowed[i / 64] >> (i % 64) & 1) *best = i;
        return false;
    }
    if (s->p.temperature == 0 || !isfinite(largest)) return false;

    for (int i = 0; i < s->vocab; i++) logits[i] /= s->p.temperature;
    largest = logits[*best];
    if (!isfinite(largest)) return false; /* so small a temperature is greedy */
    *c = (struct cut){-INFINITY, 0};
    cut_top_k(s, logits, c);
    cut_top_p(s, logits, largest, c);
    cut_min_p(s, largest, c);
    return true;
}

static bool stays(struct cut *c, float logit)
{
    if (logit == -INFINITY || logit < c->least) return false;
    if (logit > c->least || c->skip == 0) return true;
    c->skip--;
    return false;
}

int32_t sampler_pick(struct sampler *s, float *logits, const uint64_t *allowed)
{
    int32_t best;
    struct cut cut;

    if (!prepare(s, logits, allowed, &best, &cut)) return best;
    float largest = logits[best];
    double total = 0;
    struct cut walk = cut;
    for (int i = 0; i < s->vocab; i++)
        if (stays(&walk, logits[i])) total += exp((double)(logits[i] - largest));

    double at = random_unit(&s->random) * total;
    walk = cut;
    int32_t last = best;
    for (int i = 0; i < s->vocab; i++) {
        if (!stays(&walk, logits[i])) continue;
        last = i;
        at -= exp((double)(logits[i] - largest));
        if (at < 0) return i;
    }
    return last; /* rounding of the sum */
}

void sampler_probs(struct sampler *s, float *logits, float *probs)
{
    int32_t best;
    struct cut cut;

    memset(probs, 0, (size_t)s->vocab * sizeof *probs);
    if (!prepare(s, logits, NULL, &best, &cut)) {
        probs[best] = 1;
        return;
    }
    double total = 0;
    for (int i = 0; i < s->vocab; i++) {
        if (!stays(&cut, logits[i])) continue;
        double p = exp((double)(logits[i] - logits[best]));
        probs[i] = (float)p;
        total += p;
    }
    for (int i = 0; i < s->vocab; i++) probs[i] = (float)((double)probs[i] / total);
}
