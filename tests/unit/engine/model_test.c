/* Models at work: what is computed together never changes what a sequence says; what a model's
 * files say wrong is told in one line. */
#include "check.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engine/arch/model.h"
#include "engine/format/files.h"
#include "model_maker.h"

static struct buf weights; /* of the whole Llama */
static char config[1024];

struct opened {
    struct files *files;
    struct model *model;
    struct err_note why;
    enum err e;
};

static struct opened open_made(const char *config_json, struct buf *safetensors, int threads)
{
    static struct files_blob blobs[2];
    struct opened o = {.why = {""}};
    blobs[0] = (struct files_blob){"config.json", str_of(config_json)};
    blobs[1] = (struct files_blob){"model.safetensors", buf_str(safetensors)};
    check_int(files_of_memory(&o.files, blobs, 2, "made"), ERR_NONE);
    o.e = model_open(&o.model, o.files, threads, &o.why);
    return o;
}

static void close_made(struct opened *o)
{
    model_close(o->model);
    files_close(o->files);
}

static struct opened open_good(int threads)
{
    struct opened o = open_made(config, &weights, threads);
    if (o.e) print_error("%s\n", o.why.text);
    check_int(o.e, ERR_NONE);
    return o;
}

/* Appends tokens first, first + 1, ... (modulo the vocabulary) and keeps the logits of all of them.
 */
static void feed(struct opened *o, struct kv *kv, int first, size_t count, float *logits)
{
    struct model_row rows[128];
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct model_row){kv, (first + (int)i) % MADE_VOCAB,
                                     logits ? logits + i * MADE_VOCAB : NULL};
    }
    check_int(model_forward(o->model, rows, count, &o->why), ERR_NONE);
}

static void check_same(const float *a, const float *b, size_t rows)
{
    for (size_t i = 0; i < rows * MADE_VOCAB; i++) check_true(isfinite(a[i]));
    check_int(memcmp(a, b, rows * MADE_VOCAB * sizeof *a), 0);
}

enum { LENGTH = 100 };

/* In one step, in uneven pieces, and token by token; with 1, 2 and 3 threads: the same bits. */
static void test_pieces_and_threads(void **state)
{
    (void)state;
    static float whole[LENGTH * MADE_VOCAB], pieces[LENGTH * MADE_VOCAB];
    static const size_t cuts[] = {1, 7, 40, 3, 49};
    for (int threads = 1; threads <= 3; threads++) {
        struct opened o = open_good(threads);
        struct kv *kv = NULL;
        check_int(kv_new(&kv, o.model, LENGTH), ERR_NONE);
        feed(&o, kv, 0, LENGTH, threads == 1 ? whole : pieces);
        if (threads > 1) check_same(pieces, whole, LENGTH);

        kv_cut(kv, 0);
        size_t at = 0;
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            feed(&o, kv, (int)at, cuts[i], pieces + at * MADE_VOCAB);
            at += cuts[i];
        }
        check_int(at, LENGTH);
        check_same(pieces, whole, LENGTH);

        kv_cut(kv, 0);
        for (at = 0; at < LENGTH; at++) feed(&o, kv, (int)at, 1, pieces + at * MADE_VOCAB);
        check_same(pieces, whole, LENGTH);
        kv_free(kv);
        close_made(&o);
    }
}

/* Three sequences of different lengths share a step; each says what it says alone. */
static void test_batch(void **state)
{
    (void)state;
    struct opened o = open_good(2);
    static const int firsts[] = {0, 13, 30}, lengths[] = {37, 1, 64};
    struct kv *kv[3] = {NULL};
    static float alone[3][9 * MADE_VOCAB], together[3][9 * MADE_VOCAB];
    for (int s = 0; s < 3; s++) {
        check_int(kv_new(&kv[s], o.model, 128), ERR_NONE);
        feed(&o, kv[s], firsts[s], (size_t)lengths[s], NULL);
        feed(&o, kv[s], 5, 9, alone[s]);
        kv_cut(kv[s], lengths[s]);
    }
    struct model_row rows[27];
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 9; i++) {
            rows[9 * s + i] = (struct model_row){kv[s], 5 + i, together[s] + i * MADE_VOCAB};
        }
    }
    check_int(model_forward(o.model, rows, 27, &o.why), ERR_NONE);
    for (int s = 0; s < 3; s++) {
        check_same(together[s], alone[s], 9);
        check_int(kv_len(kv[s]), lengths[s] + 9);
        kv_free(kv[s]);
    }
    close_made(&o);
}

/* After a cut another continuation says what it would have said at once. */
static void test_cut(void **state)
{
    (void)state;
    struct opened o = open_good(1);
    struct kv *a = NULL, *b = NULL;
    float first[MADE_VOCAB], second[MADE_VOCAB];
    check_int(kv_new(&a, o.model, 128), ERR_NONE);
    check_int(kv_new(&b, o.model, 128), ERR_NONE);
    feed(&o, a, 0, 20, NULL);
    feed(&o, a, 7, 1, first);
    feed(&o, b, 0, 20, NULL);
    feed(&o, b, 31, 60, NULL);
    size_t grown = kv_bytes(b);
    kv_cut(b, 20);
    check_true(kv_bytes(b) < grown);
    feed(&o, b, 7, 1, second);
    check_same(second, first, 1);
    kv_free(a);
    kv_free(b);
    close_made(&o);
}

/* A step larger than what is computed at once. */
static void test_large_step(void **state)
{
    (void)state;
    enum { MANY = 700 };
    struct opened o = open_good(2);
    struct kv *a = NULL, *b = NULL;
    float in_one[MADE_VOCAB], in_parts[MADE_VOCAB];
    struct model_row *rows = calloc(MANY, sizeof *rows);
    check_int(kv_new(&a, o.model, MANY + 1), ERR_NONE);
    check_int(kv_new(&b, o.model, MANY + 1), ERR_NONE);
    for (int i = 0; i < MANY; i++) rows[i] = (struct model_row){a, i % MADE_VOCAB, NULL};
    check_int(model_forward(o.model, rows, MANY, &o.why), ERR_NONE);
    feed(&o, a, 1, 1, in_one);
    for (int i = 0; i < MANY; i += 100) feed(&o, b, i, 100, NULL);
    feed(&o, b, 1, 1, in_parts);
    check_same(in_parts, in_one, 1);
    free(rows);
    kv_free(a);
    kv_free(b);
    close_made(&o);
}

static void test_refused_rows(void **state)
{
    (void)state;
    struct opened o = open_good(1);
    struct kv *kv = NULL;
    check_int(kv_new(&kv, o.model, 4), ERR_NONE);
    struct model_row rows[] = {{kv, 0, NULL}, {kv, MADE_VOCAB, NULL}};
    check_int(model_forward(o.model, rows, 2, &o.why), ERR_INVALID);
    rows[1].token = -1;
    check_int(model_forward(o.model, rows, 2, &o.why), ERR_INVALID);
    check_int(kv_len(kv), 0);
    struct model_row many[] = {
        {kv, 0, NULL}, {kv, 1, NULL}, {kv, 2, NULL}, {kv, 3, NULL}, {kv, 4, NULL}};
    check_int(model_forward(o.model, many, 5, &o.why), ERR_LIMIT);
    check_int(kv_len(kv), 0);
    check_int(model_forward(o.model, many, 4, &o.why), ERR_NONE);
    check_int(model_forward(o.model, many, 0, &o.why), ERR_NONE);
    check_int(model_forward(o.model, many, 1, &o.why), ERR_LIMIT);
    check_int(kv_len(kv), 4);
    kv_free(kv);
    close_made(&o);
}

static void test_info(void **state)
{
    (void)state;
    struct opened o = open_good(1);
    const struct model_info *info = model_info(o.model);
    const int32_t *ends = NULL;
    check_str(str_of(info->family), STR("llama"));
    check_int(info->vocab, MADE_VOCAB);
    check_int(info->layers, 2);
    check_int(info->ctx_tokens, 256);
    check_int(info->kv_bytes_per_token, 2 * 2 * 16 * 4);
    check_int(info->weight_bytes, info->parameters * 4);
    check_int(model_end_ids(o.model, &ends), 2);
    check_int(ends[0], 3);
    check_int(ends[1], 5);
    close_made(&o);
}

/* A weight file that is cut while the model serves ends the step, not the process. */
static void test_file_shrinks(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors"};
    struct folder dir;
    struct opened o = {.why = {""}};
    char path[256];
    folder_make(&dir);
    folder_put(&dir, names[0], str_of(config));
    folder_put(&dir, names[1], buf_str(&weights));
    check_int(files_open(&o.files, dir.path, &o.why), ERR_NONE);
    check_int(model_open(&o.model, o.files, 2, &o.why), ERR_NONE);
    struct kv *kv = NULL;
    check_int(kv_new(&kv, o.model, 64), ERR_NONE);
    feed(&o, kv, 0, 5, NULL);

    snprintf(path, sizeof path, "%s/model.safetensors", dir.path);
    check_int(truncate(path, 0), 0);
    struct model_row row = {kv, 1, NULL};
    check_int(model_forward(o.model, &row, 1, &o.why), ERR_IO);
    check_true(strstr(o.why.text, dir.path) != NULL);
    check_int(kv_len(kv), 5);
    kv_free(kv);
    close_made(&o);
    folder_drop(&dir, names, 2);
}

/* ---- files that cannot be run ---------------------------------------------------------------- */

static void check_refused(struct opened *o, const char *file, const char *reason)
{
    check_int(o->e, ERR_MODEL_UNUSABLE);
    bool told =
        strstr(o->why.text, file) && strstr(o->why.text, reason) && !strchr(o->why.text, '\n');
    if (!told) print_error("\"%s\" does not tell of %s: %s\n", o->why.text, file, reason);
    check_true(told);
    files_close(o->files);
}

static void test_unknown_architecture(void **state)
{
    (void)state;
    struct opened o = open_made("{\"model_type\":\"mamba\\n2\"}", &weights, 1);
    check_refused(&o, "config.json",
                  "unknown architecture \"mamba?2\"; known: llama, mistral, qwen2, qwen3, "
                  "gemma, gemma2, gemma3_text, gemma3, gpt2, phi3, phi");
    o = open_made("{}", &weights, 1);
    check_refused(&o, "config.json", "no architecture is named");
}

static void test_bad_settings(void **state)
{
    (void)state;
    static const struct {
        const char *more; /* appended to the settings; the last of repeated keys counts */
        const char *reason;
    } cases[] = {
        {",\"num_hidden_layers\":0", "num_hidden_layers is 0"},
        {",\"num_hidden_layers\":1000000000", "num_hidden_layers is 1e+09"},
        {",\"num_hidden_layers\":\"2\"", "num_hidden_layers is not a number"},
        {",\"num_hidden_layers\":2.5", "num_hidden_layers is not a whole number"},
        {",\"num_hidden_layers\":1000", "1000 layers, but only"},
        {",\"num_attention_heads\":0", "num_attention_heads is 0"},
        {",\"num_attention_heads\":64", "64 heads do not fit"},
        {",\"num_key_value_heads\":3", "4 heads do not share 3"},
        {",\"hidden_size\":-8", "hidden_size is -8"},
        {",\"hidden_size\":null", "hidden_size is missing"},
        {",\"hidden_size\":64", "has the shape [40, 32], not [40, 64]"},
        {",\"intermediate_size\":49", "has the shape [48, 32], not [49, 32]"},
        {",\"vocab_size\":41", "40 rows, but the vocabulary 41"},
        {",\"head_dim\":9", "9 rotated numbers do not fit heads of 9"},
        {",\"head_dim\":1e9", "head_dim is 1e+09"},
        {",\"rms_norm_eps\":-1", "rms_norm_eps is -1"},
        {",\"rope_theta\":0", "rope_theta is 0"},
        {",\"hidden_act\":\"relu\"", "hidden_act is \"relu\""},
        {",\"rope_scaling\":{\"type\":\"magic\"}", "rotary scaling \"magic\" is not known"},
        {",\"rope_scaling\":{\"type\":\"linear\"}", "factor is missing"},
        {",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "factor is 0"},
        {",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1]}",
         "does not hold 4 factors"},
        {",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,0],\"long_factor\":[1,1,"
         "1,1]}",
         "not positive"},
        {",\"layer_types\":[\"full_attention\",\"other\"]",
         "layer_types has \"other\" for layer 1"},
        {",\"layer_types\":[\"full_attention\"]", "layer_types has \"\" for layer 1"},
        {",\"layer_types\":[\"full_attention\",\"sliding_attention\"]",
         "sliding_window is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1200];
        snprintf(text, sizeof text, MADE_CONFIG, cases[i].more);
        struct opened o = open_made(text, &weights, 1);
        check_refused(&o, "made", cases[i].reason);
    }
    struct opened o = open_made("{\"model_type\":", &weights, 1);
    check_refused(&o, "made/config.json", "not JSON");
    o = open_made("[1]", &weights, 1);
    check_refused(&o, "made/config.json", "not a JSON object");
    o = open_made("", &weights, 1);
    check_refused(&o, "made/config.json", "not JSON");
}

static void test_missing_tensors(void **state)
{
    (void)state;
    static const char *const names[] = {
        "model.layers.1.mlp.down_proj.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.1.self_attn.k_proj.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf part;
        char reason[128];
        make_llama(&part, names[i]);
        snprintf(reason, sizeof reason, "tensor \"%s\" is missing", names[i]);
        struct opened o = open_made(config, &part, 1);
        check_refused(&o, "made", reason);
        buf_fini(&part);
    }
}

static void test_missing_files(void **state)
{
    (void)state;
    static struct files_blob one[1];
    struct opened o = {.why = {""}};
    one[0] = (struct files_blob){"model.safetensors", buf_str(&weights)};
    check_int(files_of_memory(&o.files, one, 1, "made"), ERR_NONE);
    o.e = model_open(&o.model, o.files, 1, &o.why);
    check_refused(&o, "made/config.json", "missing");
    one[0] = (struct files_blob){"config.json", str_of(config)};
    check_int(files_of_memory(&o.files, one, 1, "made"), ERR_NONE);
    o.e = model_open(&o.model, o.files, 1, &o.why);
    check_refused(&o, "made", "no weights");
}

static int begin(void **state)
{
    (void)state;
    make_llama(&weights, NULL);
    snprintf(config, sizeof config, MADE_CONFIG, "");
    return weights.bad;
}

static int end(void **state)
{
    (void)state;
    buf_fini(&weights);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: cmocka sets signal handlers of its own before each test, ours is set once. */
        cmocka_unit_test(test_file_shrinks),  cmocka_unit_test(test_pieces_and_threads),
        cmocka_unit_test(test_batch),         cmocka_unit_test(test_cut),
        cmocka_unit_test(test_large_step),    cmocka_unit_test(test_refused_rows),
        cmocka_unit_test(test_info),          cmocka_unit_test(test_unknown_architecture),
        cmocka_unit_test(test_bad_settings),  cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_missing_files),
    };
    return cmocka_run_group_tests_name("engine/model", tests, begin, end);
}
