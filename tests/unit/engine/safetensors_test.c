/* Hostile and damaged safetensors files and indexes: one line naming file and reason, never more.
 */
#include "check.h"

#include <string.h>

#include "engine/format/weights.h"
#include "model_maker.h"

static enum err open_blobs(struct weights **w, struct files **f, const struct files_blob *blobs,
                           size_t count, struct err_note *why)
{
    check_int(files_of_memory(f, blobs, count, "made"), ERR_NONE);
    return weights_open(w, *f, why);
}

/* Opens the bytes from memory of exactly their size, so that a read beyond them is seen. */
static enum err open_bytes(str bytes, struct err_note *why, size_t *count)
{
    char *exact = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len) memcpy(exact, bytes.at, bytes.len);
    struct files_blob blob = {"model.safetensors", str_span(exact, bytes.len)};
    struct files *f = NULL;
    struct weights *w = NULL;
    enum err e = open_blobs(&w, &f, &blob, 1, why);
    if (!e && count) *count = weights_count(w);
    weights_close(w);
    files_close(f);
    free(exact);
    return e;
}

static void check_note(const struct err_note *why, const char *file, const char *reason)
{
    bool told = strstr(why->text, file) && strstr(why->text, reason) && !strchr(why->text, '\n');
    if (!told) print_error("\"%s\" does not tell of %s: %s\n", why->text, file, reason);
    check_true(told);
}

#define ONE(shape, begin, end)                                                                     \
    "{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}}"

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *reason;
    } cases[] = {
        {"", "header is not JSON"},
        {"[]", "header is not a JSON object"},
        {"{", "header is not JSON"},
        {"{}", "hold no tensor"},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", "hold no tensor"},
        {"{\"t\":5}", "tensor \"t\" is not described"},
        {"{\"t\":{}}", "tensor \"t\" has no two data_offsets"},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "has no shape"},
        {"{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "has no dtype"},
        {"{\"t\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", "has no dtype"},
        {ONE("[2]", 0, 17), "lies outside the file"},
        {ONE("[2]", 8, 0), "lies outside the file"},
        {ONE("[2]", -8, 0), "has no two data_offsets"},
        {ONE("[2]", 0.0, 8.0), "has no two data_offsets"},
        {ONE("[2]", 0, 18446744073709551615), "lies outside the file"},
        {ONE("[2]", 0, 99999999999999999999), "has no two data_offsets"},
        {ONE("[3]", 0, 8), "shape does not fit its 8 bytes"},
        {ONE("[2,1,2]", 0, 8), "shape does not fit its 8 bytes"},
        {ONE("[0]", 0, 8), "shape does not fit its 8 bytes"},
        {ONE("[-2]", 0, 8), "has a bad shape"},
        {ONE("[\"2\"]", 0, 8), "has a bad shape"},
        {ONE("[4294967296,4294967296]", 0, 8), "has an impossible shape"},
        /* wraps to 2: 2^63 + 1 twice */
        {ONE("[9223372036854775809,2]", 0, 8), "has an impossible shape"},
        {ONE("[4611686018427387906]", 0, 8),
         "shape does not fit its 8 bytes"}, /* times 4 wraps to 8 */
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
         "tensor \"t\" is there twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         "two tensors overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[0,16]}}",
         "two tensors overlap"},
        {"{\"line\\nbreak\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}",
         "tensor \"line?break\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        struct err_note why = {""};
        make_safetensors(&b, cases[i].header, 16);
        check_int(open_bytes(buf_str(&b), &why, NULL), ERR_MODEL_UNUSABLE);
        check_note(&why, "made", cases[i].reason);
        buf_fini(&b);
    }
}

static void test_header_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {57, 1000, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buf b;
        struct err_note why = {""};
        buf_init(&b, 1000);
        put_int(&b, lengths[i], 8);
        for (int j = 0; j < 56; j++) buf_add_char(&b, ' ');
        check_int(open_bytes(buf_str(&b), &why, NULL), ERR_MODEL_UNUSABLE);
        check_note(&why, "made/model.safetensors", "goes beyond the file's end");
        buf_fini(&b);
    }
}

/* What may stand in a good file: padding, metadata, types that are not read, unaligned data. */
static void test_allowed(void **state)
{
    (void)state;
    struct buf b;
    struct err_note why = {""};
    size_t count = 0;
    make_safetensors(&b,
                     "{\"__metadata__\":{\"format\":\"pt\"},"
                     "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},"
                     "\"w\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[3,11]},"
                     "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[11,15]},"
                     "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[15,15]},"
                     "\"deep\":{\"dtype\":\"F16\",\"shape\":[1,1,1,1,1],\"data_offsets\":[15,17]},"
                     "\"new\":{\"dtype\":\"F4_X\",\"shape\":[9],\"data_offsets\":[17,18]}}      ",
                     18);
    check_int(open_bytes(buf_str(&b), &why, &count), ERR_NONE);
    check_int(count, 2);

    struct files_blob blob = {"model.safetensors", buf_str(&b)};
    struct files *f = NULL;
    struct weights *w = NULL;
    check_int(open_blobs(&w, &f, &blob, 1, &why), ERR_NONE);
    const struct tensor *t = weights_find(w, "w");
    check_true(t && t->dims == 2 && t->shape[0] == 2 && t->type == WEIGHT_BF16 && t->bytes == 8);
    check_true(weights_at(w, 0) == t);
    check_true(weights_find(w, "mask") == NULL && weights_find(w, "absent") == NULL);
    check_str(str_of(weights_unread(w, "mask")), STR("BOOL"));
    check_str(str_of(weights_unread(w, "new")), STR("F4_X"));
    check_true(weights_unread(w, "w") == NULL && weights_unread(w, "absent") == NULL);
    weights_close(w);
    files_close(f);
    buf_fini(&b);
}

/* Cut anywhere, a file is refused. */
static void test_every_cut(void **state)
{
    (void)state;
    struct buf b;
    make_safetensors(&b, ONE("[4]", 0, 16), 16);
    check_int(open_bytes(buf_str(&b), NULL, NULL), ERR_NONE);
    for (size_t cut = 0; cut < b.len; cut++) {
        struct err_note why = {""};
        check_int(open_bytes(str_head(buf_str(&b), cut), &why, NULL), ERR_MODEL_UNUSABLE);
        check_note(&why, "made/model.safetensors", "");
    }
    buf_fini(&b);
}

/* ---- several files --------------------------------------------------------------------------- */

#define INDEX "model.safetensors.index.json"

static void test_shards(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        const char *file, *reason; /* NULL: opens */
    } cases[] = {
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"u\":\"b.safetensors\"}}", NULL, NULL},
        {"{\"metadata\":{\"total_size\":1e30},\"weight_map\":{\"t\":\"a.safetensors\"}}", NULL,
         NULL},
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"u\":\"c.safetensors\"}}", "made/c.safetensors",
         "missing, but model.safetensors.index.json names it"},
        {"{\"weight_map\":{\"t\":\"b.safetensors\"}}", INDEX,
         "tensor \"t\" is not in b.safetensors"},
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"v\":\"a.safetensors\"}}", INDEX,
         "tensor \"v\" is not in a.safetensors"},
        {"{\"weight_map\":{\"t\":\"../a.safetensors\"}}", INDEX,
         "is not the name of a file beside it"},
        {"{\"weight_map\":{\"t\":\"/etc/passwd\"}}", INDEX, "is not the name of a file beside it"},
        {"{\"weight_map\":{\"t\":\"..\"}}", INDEX, "is not the name of a file beside it"},
        {"{\"weight_map\":{\"t\":\"\"}}", INDEX, "is not the name of a file beside it"},
        {"{\"weight_map\":{\"t\":7}}", INDEX, "is not the name of a file beside it"},
        {"{\"weight_map\":{}}", INDEX, "holds no weight_map"},
        {"{\"weight_map\":[]}", INDEX, "holds no weight_map"},
        {"{}", INDEX, "holds no weight_map"},
        {"{\"weight_map\":{\"t\":\"a.safetensors\"", INDEX, "not JSON"},
    };
    struct buf a, b;
    make_safetensors(&a, ONE("[4]", 0, 16), 16);
    make_safetensors(&b, "{\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct files_blob blobs[] = {{INDEX, str_of(cases[i].index)},
                                     {"a.safetensors", buf_str(&a)},
                                     {"b.safetensors", buf_str(&b)}};
        struct files *f = NULL;
        struct weights *w = NULL;
        struct err_note why = {""};
        enum err e = open_blobs(&w, &f, blobs, 3, &why);
        check_int(e, cases[i].reason ? ERR_MODEL_UNUSABLE : ERR_NONE);
        if (e) check_note(&why, cases[i].file, cases[i].reason);
        weights_close(w);
        files_close(f);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void test_tensor_in_two_shards(void **state)
{
    (void)state;
    struct buf a;
    make_safetensors(&a, ONE("[4]", 0, 16), 16);
    struct files_blob blobs[] = {
        {INDEX, STR("{\"weight_map\":{\"t\":\"a.safetensors\",\"u\":\"b.safetensors\"}}")},
        {"a.safetensors", buf_str(&a)},
        {"b.safetensors", buf_str(&a)}};
    struct files *f = NULL;
    struct weights *w = NULL;
    struct err_note why = {""};
    check_int(open_blobs(&w, &f, blobs, 3, &why), ERR_MODEL_UNUSABLE);
    check_note(&why, "made/b.safetensors", "tensor \"t\" is there twice");
    files_close(f);
    buf_fini(&a);
}

/* Complete shards and their index beside an unrelated single file: one set is read, the single file
 * (local-models.md section 7), and nothing of the other. */
static void test_stray_single_file(void **state)
{
    (void)state;
    struct buf a, single;
    make_safetensors(&a, ONE("[4]", 0, 16), 16);
    make_safetensors(&single, "{\"s\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}",
                     4);
    struct files_blob blobs[] = {{INDEX, STR("{\"weight_map\":{\"t\":\"a.safetensors\"}}")},
                                 {"a.safetensors", buf_str(&a)},
                                 {"model.safetensors", buf_str(&single)},
                                 {"pytorch_model.bin", STR("not looked at")}};
    struct files *f = NULL;
    struct weights *w = NULL;
    check_int(open_blobs(&w, &f, blobs, 4, NULL), ERR_NONE);
    check_int(weights_count(w), 1);
    check_true(weights_find(w, "s") != NULL);
    weights_close(w);
    files_close(f);
    buf_fini(&a);
    buf_fini(&single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_tensor_in_two_shards),
        cmocka_unit_test(test_stray_single_file),
    };
    return cmocka_run_group_tests_name("engine/safetensors", tests, NULL, NULL);
}
