/* Which files belong to a model, and that one which shrinks cannot end the process. */
#include "check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/format/weights.h"
#include "model_maker.h"

static uint8_t touched;

struct reading {
    str bytes;
    int finished;
};

static void read_last(void *ctx)
{
    struct reading *r = ctx;
    touched = ((const volatile uint8_t *)r->bytes.at)[r->bytes.len - 1];
    r->finished++;
}

static void nested(void *ctx)
{
    struct reading *r = ctx;
    check_int(files_guard(read_last, r), ERR_IO);
    r->finished += 10; /* the outer call goes on */
}

static void test_guard(void **state)
{
    (void)state;
    static const char *const names[] = {"a.safetensors"};
    struct folder dir;
    struct files *f = NULL;
    struct err_note why = {""};
    char path[256], page[5000];
    memset(page, 'x', sizeof page);
    folder_make(&dir);
    folder_put(&dir, names[0], str_span(page, sizeof page));
    check_int(files_open(&f, dir.path, &why), ERR_NONE);
    struct reading r = {0};
    check_int(files_get(f, names[0], &r.bytes, &why), ERR_NONE);
    check_int(r.bytes.len, sizeof page);
    check_int(files_guard(read_last, &r), ERR_NONE);
    check_int(r.finished, 1);
    check_int(touched, 'x');

    snprintf(path, sizeof path, "%s/%s", dir.path, names[0]);
    check_int(truncate(path, 10), 0);
    check_int(files_guard(read_last, &r), ERR_IO);
    check_int(files_guard(read_last, &r), ERR_IO); /* again: the signal is not left blocked */
    check_int(r.finished, 1);
    check_int(files_guard(nested, &r), ERR_NONE);
    check_int(r.finished, 11);
    files_close(f);
    folder_drop(&dir, names, 1);
}

static void test_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "empty.json", "pipe.json"};
    struct folder dir;
    struct files *f = NULL;
    struct err_note why = {""};
    char path[256];
    str bytes, again;
    folder_make(&dir);
    folder_put(&dir, names[0], STR("{}"));
    folder_put(&dir, names[1], STR_NONE);
    snprintf(path, sizeof path, "%s/pipe.json", dir.path);
    check_int(mkfifo(path, 0600), 0);
    check_int(files_open(&f, dir.path, &why), ERR_NONE);
    check_str(str_of(files_label(f)), str_of(dir.path));
    check_true(files_gguf(f) == NULL);
    check_int(files_get(f, "config.json", &bytes, &why), ERR_NONE);
    check_str(bytes, STR("{}"));
    check_int(files_get(f, "config.json", &again, &why), ERR_NONE);
    check_true(again.at == bytes.at); /* opened once */
    check_int(files_get(f, "empty.json", &bytes, &why), ERR_NONE);
    check_int(bytes.len, 0);
    check_int(files_get(f, "pipe.json", &bytes, &why), ERR_IO); /* and does not wait for a writer */
    check_true(strstr(why.text, "not a regular file") != NULL);
    check_int(files_get(f, "absent.json", &bytes, &why), ERR_NOT_FOUND);
    check_true(files_has(f, "config.json"));
    check_true(!files_has(f, "absent.json"));
    check_true(!files_has(f, "pipe.json"));
    /* Nothing outside the folder can be named. */
    check_int(files_get(f, "../etc/passwd", &bytes, &why), ERR_NOT_FOUND);
    check_int(files_get(f, "/etc/passwd", &bytes, &why), ERR_NOT_FOUND);
    check_int(files_get(f, "..", &bytes, &why), ERR_NOT_FOUND);
    check_int(files_get(f, "", &bytes, &why), ERR_NOT_FOUND);
    check_true(!files_has(f, "../etc/passwd"));
    files_close(f);

    char settings[512];
    snprintf(settings, sizeof settings, "%s/config.json", dir.path);
    check_int(files_open(&f, settings, &why), ERR_MODEL_UNUSABLE);
    check_true(strstr(why.text, "config.json: not a file of weights") != NULL);
    folder_drop(&dir, names, 3);
    check_int(files_open(&f, dir.path, &why), ERR_NOT_FOUND);
    check_true(strstr(why.text, dir.path) != NULL);
    check_int(files_open(&f, "/dev/null", &why), ERR_IO);
}

/* Of several GGUF files the one that may be chosen; with other weights beside them none. */
static void test_which_gguf(void **state)
{
    (void)state;
    static const struct {
        const char *names[4];
        const char *chosen;
    } cases[] = {
        {{"only.gguf"}, "only.gguf"},
        {{"m-q8_0.gguf", "m-Q4_K_M.gguf", "m-q4_0.gguf"}, "m-Q4_K_M.gguf"},
        {{"m-Q8_0.gguf", "m-q4_0.gguf"}, "m-q4_0.gguf"},
        {{"m-Q8_0.gguf", "m-q2_k.gguf"}, "m-Q8_0.gguf"},
        {{"a-q2_k.gguf", "b-q3_k.gguf"}, NULL},
        {{"m-00002-of-00002.gguf", "m-00001-of-00002.gguf"}, "m-00001-of-00002.gguf"},
        {{"mmproj-f16.gguf", "m.gguf"}, "m.gguf"},
        {{"m.gguf", "model.safetensors"}, NULL},
        {{"m.gguf", "pytorch_model.bin"}, NULL},
        {{"readme.md"}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct folder dir;
        struct files *f = NULL;
        size_t count = 0;
        folder_make(&dir);
        for (; count < 4 && cases[i].names[count]; count++) {
            folder_put(&dir, cases[i].names[count], STR("x"));
        }
        check_int(files_open(&f, dir.path, NULL), ERR_NONE);
        check_str(str_of(files_gguf(f)), str_of(cases[i].chosen));
        files_close(f);
        folder_drop(&dir, cases[i].names, count);
    }
}

/* A path to a GGUF file stands for that file alone; any part for the whole. */
static void test_gguf_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
                                        "config.json"};
    struct folder dir;
    struct files *f = NULL;
    char path[256];
    str bytes;
    folder_make(&dir);
    for (int i = 0; i < 3; i++) folder_put(&dir, names[i], STR("x"));
    snprintf(path, sizeof path, "%s/%s", dir.path, names[1]);
    check_int(files_open(&f, path, NULL), ERR_NONE);
    check_str(str_of(files_gguf(f)), STR("m-00001-of-00002.gguf"));
    check_int(files_get(f, names[1], &bytes, NULL), ERR_NONE);
    check_int(files_get(f, "config.json", &bytes, NULL), ERR_NOT_FOUND);
    check_true(!files_has(f, "config.json"));
    files_close(f);
    folder_drop(&dir, names, 3);
}

/* A path to a file of weights: that file, with its settings beside it; any shard means all. */
static void test_weights_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"odd.safetensors", "config.json",
                                        "pytorch_model.bin.index.json", "part.bin"};
    struct folder dir;
    struct files *f = NULL;
    struct weights *w = NULL;
    struct err_note why = {""};
    char path[256];
    folder_make(&dir);
    for (int i = 0; i < 4; i++) folder_put(&dir, names[i], STR("{}"));
    snprintf(path, sizeof path, "%s/%s", dir.path, names[0]);
    check_int(files_open(&f, path, NULL), ERR_NONE);
    check_str(str_of(files_only(f)), STR("odd.safetensors"));
    check_true(files_has(f, "config.json") && files_gguf(f) == NULL);
    check_int(weights_open(&w, f, &why), ERR_MODEL_UNUSABLE);
    check_true(strstr(why.text, "odd.safetensors: too short for a safetensors file") != NULL);
    files_close(f);
    snprintf(path, sizeof path, "%s/%s", dir.path, names[3]);
    check_int(files_open(&f, path, NULL), ERR_NONE);
    check_true(files_only(f) == NULL && files_gguf(f) == NULL);
    files_close(f);
    folder_drop(&dir, names, 4);
}

static void test_memory(void **state)
{
    (void)state;
    static const struct files_blob blobs[] = {{"a.json", {"abc", 3}}, {"b.gguf", {"GGUF", 4}}};
    struct files *f = NULL;
    str bytes;
    check_int(files_of_memory(&f, blobs, 2, "inside"), ERR_NONE);
    check_int(files_get(f, "a.json", &bytes, NULL), ERR_NONE);
    check_str(bytes, STR("abc"));
    check_int(files_get(f, "c.json", &bytes, NULL), ERR_NOT_FOUND);
    check_str(str_of(files_gguf(f)), STR("b.gguf"));
    check_true(files_has(f, "a.json") && !files_has(f, "c.json"));
    files_close(f);
}

/* A note stays one line whatever a file puts into it. */
static void test_one_line(void **state)
{
    (void)state;
    struct files *f = NULL;
    struct err_note why = {""};
    check_int(files_of_memory(&f, NULL, 0, "m"), ERR_NONE);
    check_int(files_fault(f, "x", ERR_IO, &why, "a\nb\033[1mc%d", 5), ERR_IO);
    check_str(str_of(why.text), STR("m/x: a?b?[1mc5"));
    files_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: cmocka sets signal handlers of its own before each test, ours is set once. */
        cmocka_unit_test(test_guard),         cmocka_unit_test(test_folder),
        cmocka_unit_test(test_which_gguf),    cmocka_unit_test(test_gguf_alone),
        cmocka_unit_test(test_weights_alone), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_one_line),
    };
    return cmocka_run_group_tests_name("engine/files", tests, NULL, NULL);
}
