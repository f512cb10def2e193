/* Forward passes against the reference (shared test data, see its README; model/expected.jsonl for
 * the built-in model): logits within 1e-3 * max(1, largest reference logit), the same best token at
 * every position, the same greedy continuations.  Without the data only the built-in model is
 * tested. */
#include "check.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <yyjson.h>

#include "engine/arch/model.h"
#include "engine/format/files.h"

struct variant;

struct subject {
    char path[512];     /* of the model */
    char expected[512]; /* folder or file of what it must say */
    const struct variant *variant;
};

static void die(const char *what, const struct err_note *why)
{
    print_error("%s: %s\n", what, why->text);
    fail();
}

/* ---- a model at work ------------------------------------------------------------------------- */

struct runner {
    struct files *files;
    struct model *model;
    size_t vocab;
};

static void runner_open(struct runner *r, const char *path)
{
    struct err_note why = {""};
    if (files_open(&r->files, path, &why)) die(path, &why);
    if (model_open(&r->model, r->files, 2, &why)) die(path, &why);
    r->vocab = (size_t)model_info(r->model)->vocab;
}

static void runner_close(struct runner *r)
{
    model_close(r->model);
    files_close(r->files);
}

/* Appends tokens; logits: [count][vocab], or NULL. */
static void append(struct runner *r, struct kv *kv, const int32_t *tokens, size_t count,
                   float *logits)
{
    struct err_note why = {""};
    struct model_row *rows = calloc(count, sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct model_row){kv, tokens[i], logits ? logits + i * r->vocab : NULL};
    }
    if (model_forward(r->model, rows, count, &why)) die("model_forward", &why);
    free(rows);
}

static int32_t best(const float *logits, size_t count)
{
    size_t at = 0;
    for (size_t i = 1; i < count; i++) {
        if (logits[i] > logits[at]) at = i;
    }
    return (int32_t)at;
}

static void check_near(const float *got, const float *want, size_t count, const char *what)
{
    float largest = 1, worst = 0;
    for (size_t i = 0; i < count; i++) {
        if (fabsf(want[i]) > largest) largest = fabsf(want[i]);
        float off = fabsf(got[i] - want[i]);
        if (!(off <= worst)) worst = off;
    }
    if (worst <= 1e-3f * largest) return;
    print_error("%s: off by %g of %g\n", what, (double)worst, (double)largest);
    fail();
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        print_error("cannot open %s\n", path);
        fail();
    }
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*len + 1);
    check_int(fread(text, 1, *len, f), *len);
    text[*len] = '\0';
    fclose(f);
    return text;
}

static size_t ids_of(yyjson_val *list, int32_t *to, size_t max)
{
    size_t n = 0;
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));) {
        check_true(n < max);
        to[n++] = (int32_t)yyjson_get_int(v);
    }
    return n;
}

/* Calls `each` for every line of a file of JSON lines. */
static void each_line(const char *path, void (*each)(yyjson_val *line, void *ctx), void *ctx)
{
    size_t len;
    char *text = slurp(path, &len);
    for (char *at = text; *at;) {
        char *end = strchr(at, '\n');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (n) {
            yyjson_doc *doc = yyjson_read(at, n, 0);
            check_true(doc != NULL);
            each(yyjson_doc_get_root(doc), ctx);
            yyjson_doc_free(doc);
        }
        at += n + (end != NULL);
    }
    free(text);
}

/* ---- checks ---------------------------------------------------------------------------------- */

enum { IDS_MAX = 4096 };

struct checking {
    struct runner r;
    const char *folder; /* of logits files */
    size_t cases;
};

/* The prompt in one step, then one token a step; every choice must be the reference's. */
static void check_greedy(struct runner *r, yyjson_val *prompt, yyjson_val *answer, const char *what)
{
    int32_t ids[IDS_MAX], want[IDS_MAX];
    size_t n = ids_of(prompt, ids, IDS_MAX), count = ids_of(answer, want, IDS_MAX);
    float *logits = calloc(n * r->vocab, sizeof *logits);
    struct kv *kv = NULL;
    check_int(kv_new(&kv, r->model, (int)(n + count)), ERR_NONE);
    append(r, kv, ids, n, logits);
    int32_t next = best(logits + (n - 1) * r->vocab, r->vocab);
    for (size_t i = 0; i < count; i++) {
        if (next != want[i]) {
            print_error("%s: token %zu of the answer is %d, want %d\n", what, i, next, want[i]);
            fail();
        }
        append(r, kv, &next, 1, logits);
        next = best(logits, r->vocab);
    }
    kv_free(kv);
    free(logits);
}

static void check_logits(struct checking *c, yyjson_val *line, const char *name)
{
    struct runner *r = &c->r;
    int32_t tokens[IDS_MAX], argmax[IDS_MAX], places[IDS_MAX];
    size_t n = ids_of(yyjson_obj_get(line, "tokens"), tokens, IDS_MAX);
    size_t best_count = ids_of(yyjson_obj_get(line, "argmax"), argmax, IDS_MAX);
    size_t places_count = ids_of(yyjson_obj_get(line, "positions"), places, IDS_MAX);
    float *logits = calloc(n * r->vocab, sizeof *logits);
    struct kv *kv = NULL;
    check_int(kv_new(&kv, r->model, (int)n), ERR_NONE);
    append(r, kv, tokens, n, logits);
    kv_free(kv);

    char path[1200];
    size_t len;
    snprintf(path, sizeof path, "%s/%s", c->folder,
             yyjson_get_str(yyjson_obj_get(line, "logits_file")));
    float *want = (float *)(void *)slurp(path, &len);
    size_t rows = places_count ? places_count : n;
    check_int(len, rows * r->vocab * sizeof *want);
    for (size_t i = 0; i < rows; i++) {
        size_t at = places_count ? (size_t)places[i] : i;
        check_near(logits + at * r->vocab, want + i * r->vocab, r->vocab, name);
    }
    check_int(best_count, n);
    for (size_t i = 0; i < n; i++) check_int(best(logits + i * r->vocab, r->vocab), argmax[i]);
    free(want);
    free(logits);
}

static void tiny_line(yyjson_val *line, void *ctx)
{
    struct checking *c = ctx;
    const char *name = yyjson_get_str(yyjson_obj_get(line, "case"));
    c->cases++;
    if (yyjson_obj_get(line, "logits_file")) {
        check_logits(c, line, name);
    } else {
        check_greedy(&c->r, yyjson_obj_get(line, "prompt"), yyjson_obj_get(line, "generated"),
                     name);
    }
}

static void test_tiny(void **state)
{
    const struct subject *s = *state;
    struct checking c = {.folder = s->expected};
    char path[600];
    runner_open(&c.r, s->path);
    snprintf(path, sizeof path, "%s/expected.jsonl", s->expected);
    each_line(path, tiny_line, &c);
    check_int(c.cases, 5);
    runner_close(&c.r);
}

static void chat_line(yyjson_val *line, void *ctx)
{
    struct checking *c = ctx;
    c->cases++;
    yyjson_val *answer = yyjson_obj_get(line, "reply_ids");
    if (answer == NULL) answer = yyjson_obj_get(line, "generated_ids");
    check_greedy(&c->r, yyjson_obj_get(line, "prompt_ids"), answer,
                 yyjson_get_str(yyjson_obj_get(line, "prompt")));
}

static void test_chat(void **state)
{
    const struct subject *s = *state;
    struct checking c = {0};
    runner_open(&c.r, s->path);
    each_line(s->expected, chat_line, &c);
    check_true(c.cases > 0);
    runner_close(&c.r);
}

static void test_gguf(void **state)
{
    const struct subject *s = *state;
    struct runner r;
    size_t len;
    char *text = slurp(s->expected, &len);
    yyjson_doc *doc = yyjson_read(text, len, 0);
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "cases"));
    runner_open(&r, s->path);
    size_t cases = 0;
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it)); cases++) {
        int32_t tokens[IDS_MAX], argmax[IDS_MAX];
        size_t n = ids_of(yyjson_obj_get(v, "tokens"), tokens, IDS_MAX);
        float *logits = calloc(n * r.vocab, sizeof *logits), *want = calloc(r.vocab, sizeof *want);
        struct kv *kv = NULL;
        check_int(kv_new(&kv, r.model, (int)n), ERR_NONE);
        append(&r, kv, tokens, n, logits);
        kv_free(kv);
        yyjson_val *last = yyjson_obj_get(v, "last_logits");
        check_int(yyjson_arr_size(last), r.vocab);
        for (size_t i = 0; i < r.vocab; i++)
            want[i] = (float)yyjson_get_num(yyjson_arr_get(last, i));
        check_near(logits + (n - 1) * r.vocab, want, r.vocab, "last_logits");
        check_int(ids_of(yyjson_obj_get(v, "argmax_all_positions"), argmax, IDS_MAX), n);
        for (size_t i = 0; i < n; i++) check_int(best(logits + i * r.vocab, r.vocab), argmax[i]);
        check_greedy(&r, yyjson_obj_get(v, "tokens"), yyjson_obj_get(v, "greedy16"), "greedy16");
        free(want);
        free(logits);
    }
    check_true(cases > 0);
    runner_close(&r);
    yyjson_doc_free(doc);
    free(text);
}

/* ---- the same models, written otherwise ------------------------------------------------------ */

/* Settings as other versions of the reference write them; what the model says stays the same. */
struct variant {
    const char *base;
    const char *patch;     /* of config.json, RFC 7396 */
    const char *from, *to; /* names of tensors, by their starts; NULL: as they are */
    bool nested;           /* settings go into text_config, as multimodal models have them */
};

/* clang-format off */
static const struct variant variants[] = {
    {"qwen2-yarn", "{\"rope_theta\":null,\"rope_scaling\":null,\"rope_parameters\":{\"rope_type\":\"yarn\","
                   "\"rope_theta\":10000.0,\"factor\":4.0,\"original_max_position_embeddings\":32}}"},
    {"llama3-ropescale", "{\"rope_theta\":null,\"rope_scaling\":null,\"rope_parameters\":{\"rope_theta\":5e5,"
                   "\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                   "\"original_max_position_embeddings\":32}}"},
    {"gemma3-text", "{\"rope_theta\":null,\"rope_local_base_freq\":null,\"rope_scaling\":null,"
                   "\"sliding_window_pattern\":null,\"rope_parameters\":{"
                   "\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8.0,\"rope_theta\":1000000.0},"
                   "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}},"
                   "\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\","
                   "\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\"]}"},
    {"gemma3-text", "{}", "model.", "language_model.model.", true},
    {"gemma3-text", "{}", "model.", "model.language_model.", true},
    {"gemma2", "{\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\","
                   "\"full_attention\"],\"head_dim\":16,\"tie_word_embeddings\":true}"},
    {"mistral-swa", "{\"layer_types\":[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\"],"
                   "\"head_dim\":null}"},
    {"qwen2", "{\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\"],"
                   "\"tie_word_embeddings\":null,\"rope_scaling\":{\"rope_type\":\"default\"}}"},
    {"phi3-longrope", "{\"rope_scaling\":null,\"rope_theta\":null,\"partial_rotary_factor\":null,"
                   "\"original_max_position_embeddings\":null,\"rope_parameters\":{\"rope_type\":\"longrope\","
                   "\"rope_theta\":10000,\"partial_rotary_factor\":1.0,\"original_max_position_embeddings\":32,"
                   "\"long_factor\":[1.0,1.1,1.4,2.0,3.5,6.0,9.0,12.0],"
                   "\"short_factor\":[1.0,1.02,1.05,1.1,1.3,1.7,2.4,3.1]}}"},
    {"llama-gqa", "{\"num_hidden_layers\":3.0,\"rope_theta\":10000,\"architectures\":null}", "model.", ""},
};
/* clang-format on */

static yyjson_mut_val *settings_of(yyjson_mut_doc *out, const char *path, const struct variant *v)
{
    size_t len;
    char *text = slurp(path, &len);
    yyjson_doc *old = yyjson_read(text, len, 0),
               *patch = yyjson_read(v->patch, strlen(v->patch), 0);
    check_true(old && patch);
    yyjson_mut_val *root =
        yyjson_merge_patch(out, yyjson_doc_get_root(old), yyjson_doc_get_root(patch));
    if (v->nested) {
        yyjson_mut_val *whole = yyjson_mut_obj(out);
        yyjson_mut_obj_add_str(out, whole, "model_type", "gemma3");
        yyjson_mut_obj_add_val(out, whole, "text_config", root);
        root = whole;
    }
    yyjson_doc_free(old);
    yyjson_doc_free(patch);
    free(text);
    return root;
}

/* A safetensors file with other names in its header. */
static char *renamed(const char *path, const struct variant *v, size_t *len)
{
    char *file = slurp(path, len);
    uint64_t header;
    memcpy(&header, file, 8);
    char *out = malloc(*len + header * 2), *to = out + 8;
    size_t from_len = v->from ? strlen(v->from) : 0;
    for (size_t i = 0; i < header; i++) {
        const char *at = file + 8 + i;
        if (v->from && at[-1] == '"' && strncmp(at, v->from, from_len) == 0) {
            to += sprintf(to, "%s", v->to);
            i += from_len - 1;
        } else {
            *to++ = *at;
        }
    }
    uint64_t grown = (uint64_t)(to - out) - 8;
    memcpy(out, &grown, 8);
    memcpy(to, file + 8 + header, *len - 8 - header);
    *len = *len - header + grown;
    free(file);
    return out;
}

static void test_variant(void **state)
{
    const struct subject *s = *state;
    const struct variant *v = s->variant;
    struct checking c = {.folder = s->expected};
    struct err_note why = {""};
    char path[600];
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    struct files_blob blobs[2] = {{.name = "config.json"}, {.name = "model.safetensors"}};
    snprintf(path, sizeof path, "%s/config.json", s->path);
    yyjson_mut_doc_set_root(doc, settings_of(doc, path, v));
    char *settings = yyjson_mut_write(doc, 0, &blobs[0].bytes.len);
    snprintf(path, sizeof path, "%s/model.safetensors", s->path);
    char *weights = renamed(path, v, &blobs[1].bytes.len);
    blobs[0].bytes.at = settings;
    blobs[1].bytes.at = weights;

    check_int(files_of_memory(&c.r.files, blobs, 2, v->base), ERR_NONE);
    if (model_open(&c.r.model, c.r.files, 1, &why)) die(v->patch, &why);
    c.r.vocab = (size_t)model_info(c.r.model)->vocab;
    snprintf(path, sizeof path, "%s/expected.jsonl", s->expected);
    each_line(path, tiny_line, &c);
    check_int(c.cases, 5);
    runner_close(&c.r);
    free(weights);
    free(settings);
    yyjson_mut_doc_free(doc);
}

/* ---- what there is to test ------------------------------------------------------------------- */

enum { TESTS_MAX = 128 };
static struct CMUnitTest tests[TESTS_MAX];
static struct subject subjects[TESTS_MAX];
static char names[TESTS_MAX][96];
static size_t tests_count;

static struct subject *add_test(CMUnitTestFunction fn, const char *kind, const char *name)
{
    struct subject *s = &subjects[tests_count];
    snprintf(names[tests_count], sizeof names[0], "%s %s", kind, name);
    tests[tests_count] = (struct CMUnitTest){names[tests_count], fn, NULL, NULL, s};
    tests_count++;
    return s;
}

/* clang-format off */
static const char *const tiny[][2] = { /* model, whose expected values */
    {"llama-gqa", "llama-gqa"}, {"llama-mixed-dtype", "llama-gqa"},
    {"llama-bias-headdim", "llama-bias-headdim"}, {"llama3-ropescale", "llama3-ropescale"},
    {"llama-linear-rope", "llama-linear-rope"}, {"mistral-swa", "mistral-swa"},
    {"qwen2", "qwen2"}, {"qwen2-sharded", "qwen2"}, {"qwen2-yarn", "qwen2-yarn"}, {"qwen3", "qwen3"},
    {"gemma1", "gemma1"}, {"gemma2", "gemma2"}, {"gemma3-text", "gemma3-text"},
    {"gpt2", "gpt2"}, {"gpt2-bare-names", "gpt2"}, {"gpt2-bin-zip", "gpt2"},
    {"gpt2-bin-legacy", "gpt2"},
    {"phi3", "phi3"}, {"phi3-longrope", "phi3-longrope"}, {"phi2", "phi2"},
};
static const char *const trained[] = {
    "chat-llama", "chat-llama3", "chat-qwen2", "chat-gemma1", "chat-gemma2", "chat-dialogpt",
};
static const char *const gguf[] = {
    "llama-gqa-f32", "llama-gqa-bf16", "llama3-ropescale-f16", "stories260K-f16",
    "chat-gemma2-bf16", "chat-qwen2-bf16", "gemma1-bf16", "gemma3-text-bf16", "gpt2-f16", "phi2-f16",
    "phi3-bf16", "qwen3-bf16",
    "llama-gqa-q8_0", "llama-gqa-q8_0-split-00001-of-00003", "llama-gqa-q8_0-split-00003-of-00003",
    "stories260K-q4_0", "stories260K-q8_0", "chat-gemma2-q4_0", "chat-gemma2-q8_0",
    "chat-llama-q4_0", "chat-llama-q8_0", "chat-qwen2-q4_0", "chat-qwen2-q8_0",
    "chat-llama-h256-q2_k", "chat-llama-h256-q3_k_m", "chat-llama-h256-q4_0",
    "chat-llama-h256-q4_k_m", "chat-llama-h256-q5_k_m", "chat-llama-h256-q6_k",
};
static const char *const quantised[][2] = {
    {"chat-gemma2-q4_0", "chat-gemma2"}, {"chat-gemma2-q8_0", "chat-gemma2"},
    {"chat-llama-q4_0", "chat-llama"}, {"chat-llama-q8_0", "chat-llama"},
    {"chat-qwen2-q4_0", "chat-qwen2"}, {"chat-qwen2-q8_0", "chat-qwen2"},
    {"chat-llama-h256-q4_0", "chat-llama"}, {"chat-llama-h256-q4_k_m", "chat-llama"},
    {"chat-llama-h256-q5_k_m", "chat-llama"}, {"chat-llama-h256-q6_k", "chat-llama"},
};
/* clang-format on */

int main(void)
{
    const char *data = getenv("SEMA_SHARED_DATA"), *root = getenv("SEMA_SOURCE_ROOT");
    struct subject *s = add_test(test_chat, "built-in", "sema-guide");
    snprintf(s->path, sizeof s->path, "%s/model/sema-guide", root ? root : ".");
    snprintf(s->expected, sizeof s->expected, "%s/model/expected.jsonl", root ? root : ".");
    if (data == NULL || access(data, R_OK) != 0) {
        fputs("the shared test data are not here: only the built-in model is tested\n", stderr);
        return _cmocka_run_group_tests("golden/logits", tests, 1, NULL, NULL);
    }
    for (size_t i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        s = add_test(test_tiny, "tiny", tiny[i][0]);
        snprintf(s->path, sizeof s->path, "%s/tiny-models/%s", data, tiny[i][0]);
        snprintf(s->expected, sizeof s->expected, "%s/tiny-models/%s/expected", data, tiny[i][1]);
    }
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s %zu", variants[i].base, i);
        s = add_test(test_variant, "written otherwise:", name);
        snprintf(s->path, sizeof s->path, "%s/tiny-models/%s", data, variants[i].base);
        snprintf(s->expected, sizeof s->expected, "%s/tiny-models/%s/expected", data,
                 variants[i].base);
        s->variant = &variants[i];
    }
    for (size_t i = 0; i < sizeof trained / sizeof *trained; i++) {
        s = add_test(test_chat, "trained", trained[i]);
        snprintf(s->path, sizeof s->path, "%s/chat-models/%s", data, trained[i]);
        snprintf(s->expected, sizeof s->expected, "%s/chat-models/%s/expected/chat.jsonl", data,
                 trained[i]);
    }
    for (size_t i = 0; i < sizeof gguf / sizeof *gguf; i++) {
        s = add_test(test_gguf, "gguf", gguf[i]);
        snprintf(s->path, sizeof s->path, "%s/gguf/%s.gguf", data, gguf[i]);
        size_t stem =
            strstr(gguf[i], "-split-") ? (size_t)(strstr(gguf[i], "-split-") - gguf[i]) : 99;
        snprintf(s->expected, sizeof s->expected, "%s/gguf/%.*s.expected.json", data, (int)stem,
                 gguf[i]);
    }
    /* The trained models say the same with 4 bits and more, to the word. */
    for (size_t i = 0; i < sizeof quantised / sizeof *quantised; i++) {
        s = add_test(test_chat, "quantised", quantised[i][0]);
        snprintf(s->path, sizeof s->path, "%s/gguf/%s.gguf", data, quantised[i][0]);
        snprintf(s->expected, sizeof s->expected, "%s/chat-models/%s/expected/chat.jsonl", data,
                 quantised[i][1]);
    }
    s = add_test(test_chat, "stories", "stories260K");
    snprintf(s->path, sizeof s->path, "%s/stories/stories260K", data);
    snprintf(s->expected, sizeof s->expected, "%s/stories/greedy.jsonl", data);
    return _cmocka_run_group_tests("golden/logits", tests, tests_count, NULL, NULL);
}
