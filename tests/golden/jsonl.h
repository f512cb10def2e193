/* Reference data as JSON lines: each line one test of cmocka, so that each counts.  Data of others
 * is not in the tree: SEMA_SHARED_DATA names the folder, and where it is not set a program prints a
 * TAP skip. */
#ifndef SEMA_TESTS_GOLDEN_JSONL_H
#define SEMA_TESTS_GOLDEN_JSONL_H

#include "check.h"

#include <string.h>

#include <yyjson.h>

#include "base/buf.h"
#include "base/json.h"

/* What the tests keep until the program ends, where leak checkers see it. */
static void **jsonl_kept;
static size_t jsonl_kept_count;

static inline void *jsonl_keep(void *at)
{
    jsonl_kept = realloc(jsonl_kept, (jsonl_kept_count + 1) * sizeof *jsonl_kept);
    return jsonl_kept[jsonl_kept_count++] = at;
}

/* A file whole, kept; .at is NULL when it cannot be read. */
static inline str jsonl_read(const char *folder, const char *name)
{
    char path[20000];
    struct buf b;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) return STR_NONE;
    buf_init(&b, 256u << 20);
    do {
        char *to = buf_room(&b, 65536);
        n = to ? fread(to, 1, 65536, f) : 0;
        buf_grew(&b, n);
    } while (n);
    fclose(f);
    jsonl_keep(b.at);
    return b.at ? buf_str(&b) : STR("");
}

struct jsonl {
    yyjson_val **at;
    size_t count;
};

/* Every line parsed; numbers as written where the tests want them so (JSON_RAW_NUMBERS). */
static inline struct jsonl jsonl_lines(str text, enum json_flags flags)
{
    struct jsonl all = {0};
    str rest = text, line;

    while (text.at && str_split(&rest, '\n', &line)) {
        yyjson_doc *doc;
        if (str_trim(line).len == 0) continue;
        if (json_read(&doc, line, 1024, flags, NULL)) {
            fprintf(stderr, "a line of the reference data is no JSON\n");
            exit(1);
        }
        jsonl_keep(doc);
        all.at = realloc(all.at, (all.count + 1) * sizeof *all.at);
        all.at[all.count++] = yyjson_doc_get_root(doc);
    }
    jsonl_keep(all.at);
    return all;
}

/* A growing list of tests, each with its own line as its state. */
struct jsonl_tests {
    struct CMUnitTest *at;
    size_t count;
};

static inline void jsonl_add(struct jsonl_tests *t, CMUnitTestFunction run, void *state,
                             const char *name)
{
    t->at = realloc(t->at, (t->count + 1) * sizeof *t->at);
    t->at[t->count++] = (struct CMUnitTest){.name = jsonl_keep(strdup(name)),
                                            .test_func = run,
                                            .initial_state = state};
}

static inline int jsonl_run(struct jsonl_tests *t, const char *group)
{
    jsonl_keep(t->at);
    return _cmocka_run_group_tests(group, t->at, t->count, NULL, NULL);
}

static inline int jsonl_skip(const char *what)
{
    printf("1..0 # SKIP %s\n", what);
    return 0;
}

#endif
