/* The parts of a tokenizer alone, against the reference's: shared test data, tokenizers/components.
 */
#include "check.h"

#include "base/buf.h"
#include "base/json.h"
#include "engine/vocab/decoder.h"
#include "engine/vocab/normal.h"
#include "engine/vocab/split.h"
#include "engine/vocab/unicode.h"

static bool file_read(const char *name, struct buf *out)
{
    const char *data = getenv("SEMA_SHARED_DATA");
    char path[512];

    if (data == NULL || data[0] == '\0') return false;
    snprintf(path, sizeof path, "%s/tokenizers/components/%s", data, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    buf_init(out, 1 << 26);
    char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) buf_add(out, str_span(block, n));
    fclose(file);
    return true;
}

/* Runs `each` on every line of NAME.jsonl with the component that the line names. */
typedef bool row_fn(yyjson_val *component, yyjson_val *row, struct buf *got);

static void rows_check(const char *name, row_fn *each)
{
    char path[64];
    struct buf text, components;
    yyjson_doc *known, *row;
    str rest, line;
    int rows = 0, bad = 0;

    snprintf(path, sizeof path, "%s.components.json", name);
    if (!file_read(path, &components)) skip();
    snprintf(path, sizeof path, "%s.jsonl", name);
    check_true(file_read(path, &text));
    check_int(json_read(&known, buf_str(&components), 32, JSON_PLAIN, NULL), ERR_NONE);
    for (rest = buf_str(&text); str_split(&rest, '\n', &line) && line.len;) {
        struct buf got;
        buf_init(&got, 1 << 26);
        check_int(json_read(&row, line, 32, JSON_PLAIN, NULL), ERR_NONE);
        yyjson_val *root = yyjson_doc_get_root(row);
        str component = json_get_str(root, "component");
        yyjson_val *json = yyjson_obj_getn(yyjson_doc_get_root(known), component.at, component.len);
        rows++;
        if (!each(json, root, &got)) {
            bad++;
            print_error("%.*s: got \"%.*s\"\n", STR_ARG(json_get_str(root, "case")),
                        STR_ARG(buf_str(&got)));
        }
        buf_fini(&got);
        yyjson_doc_free(row);
    }
    check_true(rows > 100);
    check_int(bad, 0);
    yyjson_doc_free(known);
    buf_fini(&text);
    buf_fini(&components);
}

static bool split_row(yyjson_val *component, yyjson_val *row, struct buf *got)
{
    struct arena arena;
    struct split split = {0};
    struct split_work work = {0};
    struct pattern_work pattern;
    struct pieces *out = NULL;
    str text = json_get_str(row, "in");
    yyjson_val *want = json_get(row, "pieces");

    arena_init(&arena, 0);
    pattern_work_init(&pattern, text.len, NULL);
    pieces_init(&work.one, 1 << 26);
    pieces_init(&work.two, 1 << 26);
    work.pattern = &pattern;
    enum err e = split_from_json(&split, &arena, component, NULL);
    if (!e) e = split_run(&split, &work, text, true, &out, NULL);
    bool same = !e && out->count == yyjson_arr_size(want);
    for (size_t i = 0; !e && i < out->count; i++) {
        same = same && str_eq(pieces_at(out, i), json_str(yyjson_arr_get(want, i)));
        buf_addf(got, "[%.*s]", STR_ARG(pieces_at(out, i)));
    }
    split_fini(&split);
    split_work_fini(&work);
    pattern_work_fini(&pattern);
    arena_fini(&arena);
    return same;
}

static bool normal_row(yyjson_val *component, yyjson_val *row, struct buf *got)
{
    struct arena arena;
    struct normal normal = {0};
    struct normal_work work;
    struct pattern_work pattern;
    str text = json_get_str(row, "in"), out = STR_NONE;

    arena_init(&arena, 0);
    pattern_work_init(&pattern, text.len, NULL);
    normal_work_init(&work, 1 << 26, &pattern);
    enum err e = normal_from_json(&normal, &arena, component, NULL);
    if (!e) e = normal_run(&normal, &work, text, &out, NULL);
    bool same = !e && str_eq(out, json_get_str(row, "out"));
    buf_add(got, out);
    normal_fini(&normal);
    normal_work_fini(&work);
    pattern_work_fini(&pattern);
    arena_fini(&arena);
    return same;
}

static bool decoder_row(yyjson_val *component, yyjson_val *row, struct buf *got)
{
    struct arena arena;
    struct decoder decoder;
    struct pieces tokens, other;
    yyjson_arr_iter each = yyjson_arr_iter_with(json_get(row, "tokens"));

    arena_init(&arena, 0);
    pieces_init(&tokens, 1 << 26);
    pieces_init(&other, 1 << 26);
    for (yyjson_val *t; (t = yyjson_arr_iter_next(&each));) pieces_add(&tokens, json_str(t), false);
    enum err e = decoder_from_json(&decoder, &arena, component, NULL);
    if (!e) e = decoder_run(&decoder, &tokens, &other, got);
    bool same = !e && str_eq(buf_str(got), json_get_str(row, "out"));
    pieces_fini(&tokens);
    pieces_fini(&other);
    arena_fini(&arena);
    return same;
}

static void test_pre_tokenizers(void **state)
{
    rows_check("pre_tokenizers", split_row);
}

static void test_normalizers(void **state)
{
    rows_check("normalizers", normal_row);
}

static void test_decoders(void **state)
{
    rows_check("decoders", decoder_row);
}

/* Every code point has exactly the classes that the reference's pattern engine gives it. */
static void test_classes(void **state)
{
    static const struct {
        const char *name;
        unsigned kinds;
    } classes[] = {
        {"\\p{L}", UNICODE_L},   {"\\p{N}", UNICODE_N},   {"\\s", UNICODE_SPACE},
        {"\\p{M}", UNICODE_M},   {"\\p{P}", UNICODE_P},   {"\\p{S}", UNICODE_S},
        {"\\p{Lu}", UNICODE_LU}, {"\\p{Ll}", UNICODE_LL}, {"\\p{Lt}", UNICODE_LT},
        {"\\p{Lm}", UNICODE_LM}, {"\\p{Lo}", UNICODE_LO},
    };
    struct buf text;
    yyjson_doc *doc;

    if (!file_read("unicode-classes.json", &text)) skip();
    check_int(json_read(&doc, buf_str(&text), 8, JSON_PLAIN, NULL), ERR_NONE);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        yyjson_arr_iter each =
            yyjson_arr_iter_with(json_get(yyjson_doc_get_root(doc), classes[i].name));
        uint32_t at = 0;
        for (yyjson_val *range; (range = yyjson_arr_iter_next(&each));) {
            uint32_t first = (uint32_t)yyjson_get_uint(yyjson_arr_get(range, 0));
            uint32_t last = (uint32_t)yyjson_get_uint(yyjson_arr_get(range, 1));
            for (; at < first; at++) check_true(!(unicode_kind(at) & classes[i].kinds));
            for (; at <= last; at++) check_true(unicode_kind(at) & classes[i].kinds);
        }
        for (; at < 0x110000; at++) check_true(!(unicode_kind(at) & classes[i].kinds));
    }
    yyjson_doc_free(doc);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_normalizers),
        cmocka_unit_test(test_decoders),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
