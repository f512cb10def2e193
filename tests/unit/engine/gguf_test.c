/* Hostile and damaged GGUF files, and the getters of their metadata. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "engine/format/gguf.h"
#include "engine/format/weights.h"
#include "model_maker.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void put_str(struct buf *b, const char *s)
{
    put_int(b, strlen(s), 8);
    buf_add(b, str_of(s));
}

static void put_head(struct buf *b, uint32_t version, uint64_t tensors, uint64_t keys)
{
    buf_init(b, 1 << 20);
    buf_add(b, STR("GGUF"));
    put_int(b, version, 4);
    put_int(b, tensors, 8);
    put_int(b, keys, 8);
}

static void put_key(struct buf *b, const char *name, enum gguf_type type, uint64_t value, int bytes)
{
    put_str(b, name);
    put_int(b, type, 4);
    put_int(b, value, bytes);
}

static void put_info(struct buf *b, const char *name, int dims, const uint64_t *shape,
                     uint32_t type, uint64_t offset)
{
    put_str(b, name);
    put_int(b, (uint64_t)dims, 4);
    for (int i = 0; i < dims; i++) put_int(b, shape[i], 8);
    put_int(b, type, 4);
    put_int(b, offset, 8);
}

static void put_data(struct buf *b, size_t alignment, size_t bytes)
{
    while (b->len % alignment) buf_add_char(b, 0);
    for (size_t i = 0; i < bytes; i++) buf_add_char(b, 1);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err open_bytes(str bytes, struct err_note *why)
{
    char *exact = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len) memcpy(exact, bytes.at, bytes.len);
    struct files_blob blob = {"m.gguf", str_span(exact, bytes.len)};
    struct files *f = NULL;
    struct weights *w = NULL;
    check_int(files_of_memory(&f, &blob, 1, "made"), ERR_NONE);
    enum err e = weights_open(&w, f, why);
    weights_close(w);
    files_close(f);
    free(exact);
    return e;
}

static void check_refused(struct buf *b, const char *reason)
{
    struct err_note why = {""};
    check_int(b->bad, 0);
    check_int(open_bytes(buf_str(b), &why), ERR_MODEL_UNUSABLE);
    bool told = strstr(why.text, "made") && strstr(why.text, reason) && !strchr(why.text, '\n');
    if (!told) print_error("\"%s\" does not tell of: %s\n", why.text, reason);
    check_true(told);
    buf_fini(b);
}

/* One tensor "t" of these dimensions, 64 data bytes. */
static struct buf one_tensor(int dims, const uint64_t *shape, uint32_t type, uint64_t offset)
{
    struct buf b;
    put_head(&b, 3, 1, 0);
    put_info(&b, "t", dims, shape, type, offset);
    put_data(&b, 32, 64);
    return b;
}

/* The files of field case H1. */
static void test_zero_and_overflow(void **state)
{
    (void)state;
    const uint64_t zero[] = {4, 0}, ten[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, good[] = {4, 4};
    const uint64_t wraps[] = {1ull << 62, 4}, wraps_to_16[] = {(1ull << 62) + 4, 4};
    const uint64_t bytes_wrap[] = {(1ull << 62) + 4};
    struct buf b = one_tensor(2, good, 0, 0);
    check_int(open_bytes(buf_str(&b), NULL), ERR_NONE);
    buf_fini(&b);
    b = one_tensor(2, zero, 0, 0);
    check_refused(&b, "a dimension of 0");
    b = one_tensor(10, ten, 0, 0);
    check_refused(&b, "more than 4");
    b = one_tensor(0, ten, 0, 0);
    check_refused(&b, "no dimension");
    b = one_tensor(2, wraps, 0, 0);
    check_refused(&b, "an impossible shape");
    b = one_tensor(2, wraps_to_16, 0, 0);
    check_refused(&b, "an impossible shape");
    b = one_tensor(1, bytes_wrap, 0, 0);
    check_refused(&b, "not whole blocks");
}

static void test_tensors(void **state)
{
    (void)state;
    const uint64_t good[] = {4, 4}, large[] = {4, 5}, uneven[] = {33, 1}, block[] = {32, 1};
    struct buf b = one_tensor(2, large, 0, 0);
    check_refused(&b, "goes beyond the file's end");
    b = one_tensor(2, good, 0, 32);
    check_refused(&b, "goes beyond the file's end");
    b = one_tensor(2, good, 0, 4);
    check_refused(&b, "is not aligned");
    b = one_tensor(2, good, 0, 1ull << 63);
    check_refused(&b, "lies outside the file");
    b = one_tensor(2, uneven, 8, 0);
    check_refused(&b, "not whole blocks");
    b = one_tensor(2, block, 8, 0);
    check_int(open_bytes(buf_str(&b), NULL), ERR_NONE);
    buf_fini(&b);
    b = one_tensor(2, good, 35, 0); /* TQ2_0: known, not read */
    check_refused(&b, "hold no tensor");
    b = one_tensor(2, good, 4, 0); /* a number that ggml gave up */
    check_refused(&b, "hold no tensor");
    b = one_tensor(2, good, UINT32_MAX, 0);
    check_refused(&b, "hold no tensor");

    put_head(&b, 3, 2, 0);
    put_info(&b, "t", 2, good, 0, 0);
    put_info(&b, "t", 2, good, 0, 64);
    put_data(&b, 32, 128);
    check_refused(&b, "tensor \"t\" is there twice");
    put_head(&b, 3, 2, 0);
    put_info(&b, "t", 2, good, 0, 0);
    put_info(&b, "u", 2, good, 0, 32);
    put_data(&b, 32, 128);
    check_refused(&b, "two tensors overlap");
    put_head(&b, 3, 1, 0);
    put_info(&b, "", 2, good, 0, 0);
    put_data(&b, 32, 64);
    check_refused(&b, "a tensor has no name");
}

static struct buf one_key(const char *name, enum gguf_type type, uint64_t value, int bytes)
{
    const uint64_t good[] = {4, 4};
    struct buf b;
    put_head(&b, 3, 1, 1);
    put_key(&b, name, type, value, bytes);
    put_info(&b, "t", 2, good, 0, 0);
    put_data(&b, 32, 64);
    return b;
}

static void test_keys(void **state)
{
    (void)state;
    static const uint64_t alignments[] = {0, 3, 1ull << 31};
    struct buf b;
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        b = one_key("general.alignment", GGUF_U32, alignments[i], 4);
        check_refused(&b, "general.alignment of");
    }
    b = one_key("", GGUF_U32, 1, 4);
    check_refused(&b, "a key in its header has no name");
    b = one_key("k", GGUF_TYPES, 1, 4);
    check_refused(&b, "a key in its header has an unknown type");
    b = one_key("k", GGUF_STR, 1ull << 62, 8);
    check_refused(&b, "it ends inside its header");
    b = one_key("k", GGUF_STR, UINT64_MAX, 8);
    check_refused(&b, "it ends inside its header");

    put_head(&b, 3, 0, 2);
    put_key(&b, "same", GGUF_U32, 1, 4);
    put_key(&b, "same", GGUF_U32, 1, 4);
    check_refused(&b, "the key \"same\" is there twice");
}

/* Arrays that claim more than there is, of every element type, and nested without end. */
static void test_arrays(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1000, 1ull << 61, UINT64_MAX};
    for (uint32_t type = 0; type <= GGUF_TYPES; type++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            struct buf b;
            put_head(&b, 3, 0, 1);
            put_str(&b, "k");
            put_int(&b, GGUF_ARRAY, 4);
            put_int(&b, type, 4);
            put_int(&b, counts[i], 8);
            for (int j = 0; j < 100; j++) buf_add_char(&b, 0);
            check_refused(&b, "header");
        }
    }
    struct buf b;
    put_head(&b, 3, 0, 1);
    put_str(&b, "k");
    put_int(&b, GGUF_ARRAY, 4);
    for (int i = 0; i < 1000; i++) {
        put_int(&b, GGUF_ARRAY, 4);
        put_int(&b, 1, 8);
    }
    check_refused(&b, "nested too deep");
}

static void test_heads(void **state)
{
    (void)state;
    struct buf b;
    static const uint32_t versions[] = {0, 1, 4, 3u << 24}; /* the last: big-endian */
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        put_head(&b, versions[i], 0, 0);
        check_refused(&b, "version is neither 2 nor 3");
    }
    put_head(&b, 3, UINT64_MAX, 0);
    check_refused(&b, "it ends inside its header");
    put_head(&b, 3, 0, UINT64_MAX);
    check_refused(&b, "it ends inside its header");
    put_head(&b, 2, 0, 0);
    check_refused(&b, "hold no tensor");
    buf_init(&b, 100);
    buf_add(&b, STR("GGML and much else that is not of this format"));
    check_refused(&b, "not a GGUF file");
}

static void test_every_cut(void **state)
{
    (void)state;
    const uint64_t shape[] = {32, 2};
    struct buf b;
    put_head(&b, 3, 2, 3);
    put_key(&b, "general.alignment", GGUF_U32, 64, 4);
    put_str(&b, "words");
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, GGUF_STR, 4);
    put_int(&b, 2, 8);
    put_str(&b, "one");
    put_str(&b, "two");
    put_key(&b, "n", GGUF_F64, 0, 8);
    put_info(&b, "t", 2, shape, 8, 0);
    put_info(&b, "u", 1, shape, 0, 128);
    put_data(&b, 64, 256);
    check_int(open_bytes(buf_str(&b), NULL), ERR_NONE);
    for (size_t cut = 0; cut < b.len; cut++) {
        struct err_note why = {""};
        check_int(open_bytes(str_head(buf_str(&b), cut), &why), ERR_MODEL_UNUSABLE);
        check_true(strstr(why.text, "made/m.gguf: ") == why.text);
    }
    buf_fini(&b);
}

/* ---- getters --------------------------------------------------------------------------------- */

static void test_getters(void **state)
{
    (void)state;
    struct buf b;
    const float quarter = 0.25f;
    uint32_t quarter_bits;
    memcpy(&quarter_bits, &quarter, 4);
    put_head(&b, 3, 0, 11);
    put_key(&b, "i8", GGUF_I8, (uint64_t)-5, 1);
    put_key(&b, "u16", GGUF_U16, 65535, 2);
    put_key(&b, "i64", GGUF_I64, (uint64_t)INT64_MIN, 8);
    put_key(&b, "u64", GGUF_U64, UINT64_MAX, 8);
    put_key(&b, "f32", GGUF_F32, quarter_bits, 4);
    put_key(&b, "yes", GGUF_BOOL, 1, 1);
    put_str(&b, "text");
    put_int(&b, GGUF_STR, 4);
    put_str(&b, "hello");
    put_str(&b, "words");
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, GGUF_STR, 4);
    put_int(&b, 2, 8);
    put_str(&b, "one");
    put_str(&b, "");
    put_str(&b, "numbers");
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, GGUF_I16, 4);
    put_int(&b, 3, 8);
    put_int(&b, 1, 2), put_int(&b, 65535, 2), put_int(&b, 3, 2);
    put_str(&b, "floats");
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, GGUF_F32, 4);
    put_int(&b, 1, 8);
    put_int(&b, quarter_bits, 4);
    put_str(&b, "nested");
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, 0, 8);

    struct files_blob blob = {"m.gguf", buf_str(&b)};
    struct files *f = NULL;
    struct gguf *g = NULL;
    check_int(files_of_memory(&f, &blob, 1, "made"), ERR_NONE);
    check_int(gguf_open(&g, f, NULL), ERR_NONE);
    buf_fini(&b); /* the metadata are a copy */
    files_close(f);

    int64_t n = 77;
    double d = 77;
    bool yes = false;
    str s = STR("before");
    struct gguf_array a;
    check_int(gguf_count(g), 11);
    check_true(gguf_int(g, "i8", &n) && n == -5);
    check_true(gguf_int(g, "u16", &n) && n == 65535);
    check_true(gguf_int(g, "i64", &n) && n == INT64_MIN);
    check_true(!gguf_int(g, "u64", &n) && n == INT64_MIN); /* does not fit */
    check_true(!gguf_int(g, "f32", &n) && !gguf_int(g, "text", &n) && !gguf_int(g, "absent", &n));
    check_true(gguf_num(g, "f32", &d) && d == 0.25);
    check_true(gguf_num(g, "u16", &d) && d == 65535);
    check_true(!gguf_num(g, "text", &d) && !gguf_num(g, "yes", &d));
    check_true(gguf_bool(g, "yes", &yes) && yes);
    check_true(!gguf_bool(g, "i8", &yes));
    check_true(!gguf_str(g, "i8", &s) && str_eq(s, STR("before")));
    check_true(gguf_str(g, "text", &s));
    check_str(s, STR("hello"));

    check_true(gguf_array(g, "words", &a) && a.left == 2 && a.type == GGUF_STR);
    check_true(!gguf_next_int(&a, &n) && !gguf_next_num(&a, &d));
    check_true(gguf_next_str(&a, &s));
    check_str(s, STR("one"));
    check_true(gguf_next_str(&a, &s) && s.len == 0);
    check_true(!gguf_next_str(&a, &s));
    check_true(gguf_array(g, "numbers", &a));
    check_true(gguf_next_int(&a, &n) && n == 1 && gguf_next_int(&a, &n) && n == -1);
    check_true(gguf_next_num(&a, &d) && d == 3 && !gguf_next_num(&a, &d));
    check_true(gguf_array(g, "floats", &a) && !gguf_next_int(&a, &n) && gguf_next_num(&a, &d));
    check_true(!gguf_array(g, "nested", &a) && !gguf_array(g, "text", &a) &&
               !gguf_array(g, "absent", &a));
    gguf_close(g);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static struct buf part(const char *tensor, int no, int count, int tensors)
{
    const uint64_t shape[] = {4};
    struct buf b;
    put_head(&b, 3, 1, 3);
    put_key(&b, "split.no", GGUF_U16, (uint64_t)no, 2);
    put_key(&b, "split.count", GGUF_U16, (uint64_t)count, 2);
    put_key(&b, "split.tensors.count", GGUF_I32, (uint64_t)tensors, 4);
    put_info(&b, tensor, 1, shape, 0, 0);
    put_data(&b, 32, 16);
    return b;
}

static void check_parts(const struct files_blob *blobs, size_t count, const char *reason)
{
    struct files *f = NULL;
    struct weights *w = NULL;
    struct err_note why = {""};
    check_int(files_of_memory(&f, blobs, count, "made"), ERR_NONE);
    enum err e = weights_open(&w, f, &why);
    check_int(e, reason ? ERR_MODEL_UNUSABLE : ERR_NONE);
    if (reason && !strstr(why.text, reason)) {
        print_error("\"%s\" does not tell of: %s\n", why.text, reason);
        fail();
    }
    if (!e) check_int(weights_count(w), 2);
    weights_close(w);
    files_close(f);
}

static void test_parts(void **state)
{
    (void)state;
    struct buf a = part("a", 0, 2, 2), b = part("b", 1, 2, 2), wrong = part("b", 0, 2, 2);
    struct buf same = part("a", 1, 2, 2), more = part("a", 0, 2, 3);
    struct files_blob two[] = {{"m-00001-of-00002.gguf", buf_str(&a)},
                               {"m-00002-of-00002.gguf", buf_str(&b)}};
    check_parts(two, 2, NULL);
    check_parts(two, 1, "made/m-00002-of-00002.gguf: missing");
    two[1].bytes = buf_str(&wrong);
    check_parts(two, 2, "says that it is part 1 of 2");
    two[1].bytes = buf_str(&same);
    check_parts(two, 2, "tensor \"a\" is there twice");
    two[0].bytes = buf_str(&more);
    two[1].bytes = buf_str(&b);
    check_parts(two, 2, "hold 2 tensors, not the 3");
    two[0] = (struct files_blob){"m.gguf", buf_str(&a)};
    check_parts(two, 2, "one of 2 parts, but its name does not say so");
    buf_fini(&a), buf_fini(&b), buf_fini(&wrong), buf_fini(&same), buf_fini(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_and_overflow),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("engine/gguf", tests, NULL, NULL);
}
