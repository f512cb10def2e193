/* Chat templates against the reference, byte for byte (testdata/README.md, templates/): 62
 * published templates with their conversations, and single constructs of the language. */
#include "jsonl.h"

#include "engine/template/template.h"

static const char *data; /* .../templates */
static yyjson_val *feature_context, *template_index;

/* The clock of the reference: 2024-07-26 09:05:03. */
static const struct tm clock_fixed = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 9, .tm_min = 5, .tm_sec = 3};

/* The rendering against `expected`, or against `error` (TemplateError: the very text; others: any).
 */
static void check_rendering(str source, yyjson_val *context, yyjson_val *want)
{
    struct template *t = NULL;
    struct err_note why = {0};
    struct buf out;

    buf_init(&out, 64u << 20);
    enum err e = template_parse(&t, source, &why);
    if (!e) e = template_render(t, context, &clock_fixed, &out, &why);
    str error = json_get_str(want, "error");
    if (error.at == NULL) {
        if (e) print_error("failed: %s\n", err_text(&why, e));
        check_int(e, ERR_NONE);
        check_str(buf_str(&out), json_get_str(want, "expected"));
    } else if (str_eq(error, STR("TemplateError"))) {
        check_int(e, ERR_INVALID);
        if (json_get(want, "message")) check_str(str_of(why.text), json_get_str(want, "message"));
    } else {
        if (e == ERR_NONE) print_error("rendered \"%.*s\"\n", STR_ARG(buf_str(&out)));
        check_true(e != ERR_NONE);
    }
    template_free(t);
    buf_fini(&out);
}

static void test_feature(void **state)
{
    yyjson_val *c = *state;
    check_rendering(json_get_str(c, "template"), feature_context, c);
}

static void add_member(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, yyjson_val *v)
{
    yyjson_mut_obj_add_val(doc, to, key, v ? yyjson_val_mut_copy(doc, v) : yyjson_mut_null(doc));
}

static void test_case(void **state)
{
    yyjson_val *c = *state, *about = NULL, *one, *key, *v;
    size_t i, max;
    char file[256];

    yyjson_arr_foreach(template_index, i, max, one)
    {
        if (str_eq(json_get_str(one, "name"), json_get_str(c, "template"))) about = one;
    }
    assert_non_null(about);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    add_member(doc, root, "messages", json_get(c, "messages"));
    add_member(doc, root, "tools", NULL);
    add_member(doc, root, "documents", NULL);
    add_member(doc, root, "add_generation_prompt", json_get(c, "add_generation_prompt"));
    add_member(doc, root, "bos_token", json_get(about, "bos_token"));
    add_member(doc, root, "eos_token", json_get(about, "eos_token"));
    yyjson_obj_foreach(json_object_of(json_get(c, "kwargs")), i, max, key, v)
    {
        yyjson_mut_obj_remove_key(root, yyjson_get_str(key));
        add_member(doc, root, yyjson_get_str(key), v);
    }
    yyjson_mut_doc_set_root(doc, root);
    yyjson_doc *context = yyjson_mut_doc_imut_copy(doc, NULL);

    snprintf(file, sizeof file, "%.*s.jinja", STR_ARG(json_get_str(c, "template")));
    str source = jsonl_read(data, file);
    assert_non_null(source.at);
    check_rendering(source, yyjson_doc_get_root(context), c);
    yyjson_doc_free(context);
    yyjson_mut_doc_free(doc);
}

static yyjson_val *read_json(const char *name)
{
    yyjson_doc *doc;
    str text = jsonl_read(data, name);
    if (text.at == NULL || json_read(&doc, text, 64, JSON_PLAIN, NULL)) return NULL;
    jsonl_keep(doc);
    return yyjson_doc_get_root(doc);
}

int main(void)
{
    char folder[4096], name[256];
    const char *shared = getenv("SEMA_SHARED_DATA");
    struct jsonl_tests tests = {0};

    if (shared == NULL) return jsonl_skip("SEMA_SHARED_DATA is not set");
    snprintf(folder, sizeof folder, "%s/templates", shared);
    data = folder;
    feature_context = read_json("jinja-context.json");
    template_index = read_json("index.json");
    if (feature_context == NULL || template_index == NULL) return jsonl_skip("no reference data");

    struct jsonl features = jsonl_lines(jsonl_read(data, "jinja-features.jsonl"), JSON_PLAIN);
    for (size_t i = 0; i < features.count; i++) {
        snprintf(name, sizeof name, "jinja %.*s", STR_ARG(json_get_str(features.at[i], "case")));
        jsonl_add(&tests, test_feature, features.at[i], name);
    }
    struct jsonl cases = jsonl_lines(jsonl_read(data, "cases.jsonl"), JSON_PLAIN);
    for (size_t i = 0; i < cases.count; i++) {
        snprintf(name, sizeof name, "%.*s %.*s", STR_ARG(json_get_str(cases.at[i], "template")),
                 STR_ARG(json_get_str(cases.at[i], "case")));
        jsonl_add(&tests, test_case, cases.at[i], name);
    }
    return jsonl_run(&tests, "template");
}
