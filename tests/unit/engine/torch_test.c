/* pytorch_model.bin: both containers read, nothing ever executed, every damage told in one line. */
#include "check.h"

#include <string.h>

#include "engine/format/weights.h"
#include "model_maker.h"

/* ---- writing --------------------------------------------------------------------------------- */

/* A text without NUL bytes, or with them by its length. */
#define RAW(literal) str_span(literal, sizeof(literal) - 1)

static void put_word(struct buf *b, const char *word) /* BINUNICODE */
{
    buf_add_char(b, 'X');
    put_int(b, strlen(word), 4);
    buf_add(b, str_of(word));
}

/* `name`: a float tensor of shape [rows, columns] in storage `key` of `numbers`. */
static void put_tensor(struct buf *b, const char *name, const char *type, const char *key,
                       int numbers, int offset, int rows, int columns, int row_stride)
{
    put_word(b, name);
    buf_add(b, RAW("ctorch._utils\n_rebuild_tensor_v2\n(("));
    put_word(b, "storage");
    buf_addf(b, "ctorch\n%s\n", type);
    put_word(b, key);
    put_word(b, "cpu");
    buf_add_char(b, 'J'), put_int(b, (uint64_t)(int64_t)numbers, 4);
    buf_add(b, RAW("tQJ")), put_int(b, (uint64_t)(int64_t)offset, 4);
    buf_add_char(b, 'J'), put_int(b, (uint64_t)(int64_t)rows, 4);
    buf_add_char(b, 'J'), put_int(b, (uint64_t)(int64_t)columns, 4);
    buf_add(b, RAW("\x86J")), put_int(b, (uint64_t)(int64_t)row_stride, 4);
    buf_add(b, RAW("K\1\x86\x89"
                   "ccollections\nOrderedDict\n)RtR"));
}

static void dict_begin(struct buf *b)
{
    buf_init(b, 1 << 20);
    buf_add(b, RAW("\x80\2"
                   "ccollections\nOrderedDict\n)Rq\0("));
}

static void dict_end(struct buf *b)
{
    buf_add(b, RAW("u."));
}

struct entry {
    const char *name;
    str bytes;
};

static void put_zip(struct buf *b, const struct entry *entries, size_t count, int method)
{
    size_t offsets[8];
    buf_init(b, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        offsets[i] = b->len;
        buf_add(b, RAW("PK\3\4"));
        put_int(b, 0, 4), put_int(b, (uint64_t)method, 2), put_int(b, 0, 8);
        put_int(b, e->bytes.len, 4), put_int(b, e->bytes.len, 4);
        put_int(b, strlen(e->name), 2), put_int(b, 5, 2);
        buf_add(b, str_of(e->name));
        buf_add(b, RAW("FB\1\0Z")); /* padding, as PyTorch writes it */
        buf_add(b, e->bytes);
    }
    size_t directory = b->len;
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        buf_add(b, RAW("PK\1\2"));
        put_int(b, 0, 6), put_int(b, (uint64_t)method, 2), put_int(b, 0, 8);
        put_int(b, e->bytes.len, 4), put_int(b, e->bytes.len, 4);
        put_int(b, strlen(e->name), 2), put_int(b, 0, 12), put_int(b, offsets[i], 4);
        buf_add(b, str_of(e->name));
    }
    size_t end = b->len;
    buf_add(b, RAW("PK\5\6"));
    put_int(b, 0, 4), put_int(b, count, 2), put_int(b, count, 2);
    put_int(b, end - directory, 4), put_int(b, directory, 4), put_int(b, 0, 2);
}

static const float numbers[] = {1, 2, 3, 4, 5, 6};

static void put_good_zip(struct buf *b, str dict)
{
    const struct entry entries[] = {{"m/data.pkl", dict},
                                    {"m/byteorder", STR("little")},
                                    {"m/data/0", str_span(numbers, sizeof numbers)}};
    put_zip(b, entries, 3, 0);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err open_bytes(str bytes, struct err_note *why, void (*look)(const struct weights *w))
{
    char *exact = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len) memcpy(exact, bytes.at, bytes.len);
    struct files_blob blob = {"pytorch_model.bin", str_span(exact, bytes.len)};
    struct files *f = NULL;
    struct weights *w = NULL;
    check_int(files_of_memory(&f, &blob, 1, "made"), ERR_NONE);
    enum err e = weights_open(&w, f, why);
    if (!e && look) look(w);
    weights_close(w);
    files_close(f);
    free(exact);
    return e;
}

static void check_refused(str bytes, const char *reason)
{
    struct err_note why = {""};
    check_int(open_bytes(bytes, &why, NULL), ERR_MODEL_UNUSABLE);
    bool told =
        strstr(why.text, "made") == why.text && strstr(why.text, reason) && !strchr(why.text, '\n');
    if (!told) print_error("\"%s\" does not tell of: %s\n", why.text, reason);
    check_true(told);
}

static void look_good(const struct weights *w)
{
    const struct tensor *t = weights_find(w, "w"), *u = weights_find(w, "u");
    float wide[4];
    check_true(t && t->dims == 2 && t->shape[0] == 2 && t->shape[1] == 2 && t->bytes == 16);
    weights_widen(t->type, t->data, wide, 4);
    check_true(wide[0] == 3 && wide[3] == 6); /* two numbers into the storage */
    check_true(u && u->bytes == 24);          /* shares it */
    check_str(str_of(weights_unread(w, "mask")), STR("ByteStorage"));
    check_str(str_of(weights_unread(w, "turned")), STR("strided"));
    check_int(weights_count(w), 2);
}

static void put_good_dict(struct buf *b)
{
    dict_begin(b);
    put_tensor(b, "w", "FloatStorage", "0", 6, 2, 2, 2, 2);
    put_tensor(b, "u", "FloatStorage", "0", 6, 0, 3, 2, 2);
    put_tensor(b, "turned", "FloatStorage", "0", 6, 0, 2, 2, 3);
    put_tensor(b, "mask", "ByteStorage", "0", 6, 0, 1, 1, 1);
    put_word(b, "steps");
    buf_add(b, RAW("K\7"));
    dict_end(b);
}

static void test_zip(void **state)
{
    (void)state;
    struct buf dict, zip;
    put_good_dict(&dict);
    put_good_zip(&zip, buf_str(&dict));
    check_int(open_bytes(buf_str(&zip), NULL, look_good), ERR_NONE);
    for (size_t cut = 0; cut < zip.len; cut++) {
        check_refused(str_head(buf_str(&zip), cut), "made/pytorch_model.bin: ");
    }
    buf_fini(&dict);
    buf_fini(&zip);
}

static void put_stream(struct buf *b, const char *order_word, str dict, const char *key,
                       uint64_t count)
{
    buf_init(b, 1 << 20);
    buf_add(b, RAW("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."));
    buf_add(b, RAW("\x80\2}("));
    put_word(b, "little_endian");
    buf_add(b, str_of(order_word));
    buf_add(b, RAW("u."));
    buf_add(b, dict);
    buf_add(b, RAW("\x80\2]("));
    put_word(b, key);
    buf_add(b, RAW("e."));
    put_int(b, count, 8);
    buf_add(b, str_span(numbers, sizeof numbers));
}

static void look_stream(const struct weights *w)
{
    float wide[4];
    const struct tensor *t = weights_find(w, "w");
    check_true(t != NULL);
    weights_widen(t->type, t->data, wide, 4);
    check_true(wide[0] == 3 && wide[3] == 6);
}

static void test_stream(void **state)
{
    (void)state;
    struct buf dict, b;
    dict_begin(&dict);
    put_tensor(&dict, "w", "FloatStorage", "k", 6, 2, 2, 2, 2);
    dict_end(&dict);
    put_stream(&b, "\x88", buf_str(&dict), "k", 6);
    check_int(open_bytes(buf_str(&b), NULL, look_stream), ERR_NONE);
    for (size_t cut = 0; cut < b.len; cut++) {
        check_refused(str_head(buf_str(&b), cut), "made/pytorch_model.bin: ");
    }
    buf_fini(&b);
    put_stream(&b, "\x89", buf_str(&dict), "k", 6);
    check_refused(buf_str(&b), "not little-endian");
    buf_fini(&b);
    put_stream(&b, "\x88", buf_str(&dict), "other", 6);
    check_refused(buf_str(&b), "of which no tensor tells the type");
    buf_fini(&b);
    put_stream(&b, "\x88", buf_str(&dict), "k", 7);
    check_refused(buf_str(&b), "goes beyond its end");
    buf_fini(&b);
    put_stream(&b, "\x88", buf_str(&dict), "k", 1ull << 62); /* times 4 wraps to 0 */
    check_refused(buf_str(&b), "goes beyond its end");
    buf_fini(&b);
    put_stream(&b, "\x88", buf_str(&dict), "k", 5);
    check_refused(buf_str(&b), "fewer than it says");
    buf_fini(&b);
    buf_fini(&dict);
}

static void test_bad_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int numbers, offset, rows, columns;
        const char *reason;
    } cases[] = {
        {"1", 6, 0, 2, 2, "are not in it"},
        {"0", 7, 0, 2, 2, "fewer than it says"},
        {"0", -1, 0, 2, 2, "no plain storage"},
        {"0", 6, 3, 2, 2, "goes beyond its storage"},
        {"0", 6, 0, 4, 2, "goes beyond its storage"},
        {"0", 6, -1, 2, 2, "describes a tensor wrongly"},
        {"0", 6, 0, -2, 2, "describes a tensor wrongly"},
        {"0", 6, 0, 0x7fffffff, 2, "goes beyond its storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf dict, zip;
        dict_begin(&dict);
        put_tensor(&dict, "w", "FloatStorage", cases[i].key, cases[i].numbers, cases[i].offset,
                   cases[i].rows, cases[i].columns, cases[i].columns);
        dict_end(&dict);
        put_good_zip(&zip, buf_str(&dict));
        check_refused(buf_str(&zip), cases[i].reason);
        buf_fini(&dict);
        buf_fini(&zip);
    }
}

/* Pickles that ask for anything but tensors are refused by name; none is followed. */
static void test_hostile_pickles(void **state)
{
    (void)state;
    static const struct {
        str pickle;
        const char *reason;
    } cases[] = {
        {{"\x80\2cposix\nsystem\nX\2\0\0\0ls\x85R.", 27},
         "asks for posix.system, which is never run"},
        {{"\x80\2"
          "cbuiltins\neval\n.",
          17},
         "asks for builtins.eval"},
        {{"\x80\4\x8c\2os\x8c\6system\x93.", 15}, "asks for os.system"},
        {{"\x80\2"
          "ctorch\nFloatStorage\n)R.",
          25},
         "calls FloatStorage in a way that is never run"},
        {{"\x80\2"
          "ccollections\nOrderedDict\nK\1\x85R.",
          31},
         "calls OrderedDict in a way"},
        {{"\x80\2K\1K\2R.", 8}, "calls something that is no function"},
        {{"\x80\2}.", 4}, "hold no tensor"},
        {{"\x80\2].", 4}, "does not hold a dictionary"},
        {{"\x80\2.", 3}, "takes more than it gave"},
        {{"\x80\2K\1K\2.", 7}, "leaves something behind"},
        {{"\x80\2t.", 4}, "takes more than it gave"},
        {{"\x80\2(u.", 5}, "takes more than it gave"},
        {{"\x80\2}(K\1u.", 8}, "is not a container"},
        {{"\x80\2K\1(K\1e.", 9}, "is not a container"},
        {{"\x80\2}(a.", 6}, "takes more than it gave"},
        {{"\x80\2}(K\1Q.", 8}, "no plain storage"},
        {{"\x80\2}h\5.", 6}, "recalls what it never remembered"},
        {{"\x80\2}r\xff\xff\xff\x7f.", 9}, "at a place beyond reason"},
        {{"\x80\2X\xff\xff\xff\xff.", 8}, "is cut off"},
        {{"\x80\2\x8b\xff\xff\xff\xff.", 8}, "is cut off"},
        {{"\x80\2\x8a\x09"
          "123456789.",
          14},
         "a number of 9 bytes"},
        {{"\x80\2"
          "cno line end",
          14},
         "is cut off"},
        {{"\x80\2\xff.", 4}, "the instruction 0xff"},
        {{"", 0}, "is cut off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf zip;
        put_good_zip(&zip, cases[i].pickle);
        check_refused(buf_str(&zip), cases[i].reason);
        buf_fini(&zip);
    }
}

/* Many marks, many values, values that hold each other: bounded, and no deep recursion. */
static void test_large_pickles(void **state)
{
    (void)state;
    static const str units[] = {{"(", 1}, {"N", 1}, {"]", 1}, {"(t", 2}, {")\x85", 2}, {"}q\1", 3}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct buf pickle, zip;
        buf_init(&pickle, 1 << 20);
        buf_add(&pickle, RAW("\x80\2"));
        for (int n = 0; n < 100000; n++) buf_add(&pickle, units[i]);
        buf_add_char(&pickle, '.');
        put_good_zip(&zip, buf_str(&pickle));
        check_refused(buf_str(&zip), "made");
        buf_fini(&pickle);
        buf_fini(&zip);
    }
}

static void test_bad_zips(void **state)
{
    (void)state;
    struct buf dict, zip;
    put_good_dict(&dict);
    const struct entry no_dict[] = {{"m/data/0", str_span(numbers, sizeof numbers)}};
    const struct entry big[] = {{"m/data.pkl", buf_str(&dict)}, {"m/byteorder", STR("big")}};
    put_zip(&zip, no_dict, 1, 0);
    check_refused(buf_str(&zip), "has no data.pkl");
    buf_fini(&zip);
    put_zip(&zip, big, 2, 0);
    check_refused(buf_str(&zip), "not little-endian");
    buf_fini(&zip);
    put_zip(&zip, big, 1, 8);
    check_refused(buf_str(&zip), "compressed or encrypted");
    buf_fini(&zip);
    check_refused(STR("version https://git-lfs.github.com/spec/v1"), "neither a zip archive nor");
    buf_fini(&dict);
}

/* Shards of an index, as large older repositories have them. */
static void test_shards(void **state)
{
    (void)state;
    struct buf dict[2], zip[2];
    struct files_blob blobs[3] = {
        {"pytorch_model.bin.index.json",
         STR("{\"weight_map\":{\"a\":\"p-00001-of-00002.bin\",\"b\":\"p-00002-of-00002.bin\"}}")},
        {.name = "p-00001-of-00002.bin"},
        {.name = "p-00002-of-00002.bin"}};
    for (int i = 0; i < 2; i++) {
        dict_begin(&dict[i]);
        put_tensor(&dict[i], i ? "b" : "a", "FloatStorage", "0", 6, 0, 2, 3, 3);
        dict_end(&dict[i]);
        put_good_zip(&zip[i], buf_str(&dict[i]));
        blobs[1 + i].bytes = buf_str(&zip[i]);
    }
    for (size_t count = 3; count >= 2; count--) { /* then without the last shard */
        struct files *f = NULL;
        struct weights *w = NULL;
        struct err_note why = {""};
        check_int(files_of_memory(&f, blobs, count, "made"), ERR_NONE);
        check_int(weights_open(&w, f, &why), count == 3 ? ERR_NONE : ERR_MODEL_UNUSABLE);
        if (w) check_int(weights_count(w), 2);
        if (!w) check_true(strstr(why.text, "made/p-00002-of-00002.bin: missing") == why.text);
        weights_close(w);
        files_close(f);
    }
    for (int i = 0; i < 2; i++) buf_fini(&dict[i]), buf_fini(&zip[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zip),           cmocka_unit_test(test_stream),
        cmocka_unit_test(test_bad_tensors),   cmocka_unit_test(test_hostile_pickles),
        cmocka_unit_test(test_large_pickles), cmocka_unit_test(test_bad_zips),
        cmocka_unit_test(test_shards),
    };
    return cmocka_run_group_tests_name("engine/torch", tests, NULL, NULL);
}
