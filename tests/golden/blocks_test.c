/* Every number of every block format, bit for bit (gguf/dequantize-blocks.jsonl of the shared test
 * data). Types that the specification does not list are skipped by name. */
#include "check.h"

#include <string.h>
#include <unistd.h>

#include <yyjson.h>

#include "engine/format/weights.h"

enum { BLOCK_BYTES_MAX = 256, NUMBERS_MAX = 256 };

static enum weight_type current; /* that the running test is about */

static size_t bytes_of(const char *hex, uint8_t *to)
{
    size_t n = strlen(hex) / 2;
    check_true(n <= BLOCK_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        check_int(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (uint8_t)byte;
    }
    return n;
}

static void check_line(yyjson_val *line)
{
    uint8_t raw[BLOCK_BYTES_MAX];
    float got[NUMBERS_MAX];
    yyjson_val *values = yyjson_obj_get(line, "values"), *v;
    size_t count = yyjson_arr_size(values), i = 0;
    const struct weight_kind *k = &weight_kinds[current];
    check_true(count <= NUMBERS_MAX);
    size_t bytes = bytes_of(yyjson_get_str(yyjson_obj_get(line, "hex")), raw);
    check_int(bytes * (size_t)k->block_numbers, count * (size_t)k->block_bytes);
    weights_widen(current, raw, got, count);
    yyjson_arr_iter it = yyjson_arr_iter_with(values);
    while ((v = yyjson_arr_iter_next(&it))) {
        float want = (float)yyjson_get_num(v);
        if (got[i] != want) {
            print_error("%s: number %zu is %.9g, want %.9g\n", k->name, i, (double)got[i],
                        (double)want);
            fail();
        }
        i++;
    }
}

static void test_type(void **state)
{
    char path[512], *line = NULL;
    size_t cap = 0, lines = 0;
    current = *(const enum weight_type *)*state;
    snprintf(path, sizeof path, "%s/gguf/dequantize-blocks.jsonl", getenv("SEMA_SHARED_DATA"));
    FILE *f = fopen(path, "r");
    check_true(f != NULL);
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        yyjson_doc *doc = yyjson_read(line, (size_t)n, 0);
        yyjson_val *root = yyjson_doc_get_root(doc);
        if (strcmp(yyjson_get_str(yyjson_obj_get(root, "type")), weight_kinds[current].name) == 0) {
            check_line(root);
            lines++;
        }
        yyjson_doc_free(doc);
    }
    free(line);
    fclose(f);
    check_int(lines, 4); /* the file has four blocks of each type */
}

int main(void)
{
    static enum weight_type types[WEIGHT_TYPES];
    static struct CMUnitTest tests[WEIGHT_TYPES];
    const char *data = getenv("SEMA_SHARED_DATA");
    size_t count = 0;
    if (data == NULL || access(data, R_OK) != 0) {
        printf("1..0 # SKIP the shared test data are not here\n");
        return 0;
    }
    for (int i = 0; i < WEIGHT_TYPES; i++) {
        if (i == WEIGHT_F32) continue; /* has no blocks in the file */
        types[count] = (enum weight_type)i;
        tests[count] =
            (struct CMUnitTest){weight_kinds[i].name, test_type, NULL, NULL, &types[count]};
        count++;
    }
    return _cmocka_run_group_tests("golden/blocks", tests, count, NULL, NULL);
}
