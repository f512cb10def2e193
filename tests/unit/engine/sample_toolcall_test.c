/* Tool calls found in a model's text: the same events wherever the text is cut. */
#include "check.h"

#include <string.h>

#include "base/buf.h"
#include "engine/sample/toolcall.h"

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}}}]";

/* Events as one line: text as it is, a call as {name|arguments}. */
static void on_text(void *ctx, str text)
{
    buf_add(ctx, text);
}

static void on_begin(void *ctx, int index, str name)
{
    buf_addf(ctx, "{%d:%.*s|", index, STR_ARG(name));
}

static void on_args(void *ctx, int index, str fragment)
{
    buf_add(ctx, fragment);
}

static void on_end(void *ctx, int index)
{
    buf_add(ctx, STR("}"));
}

static void run(enum toolcall_form form, bool inside, str text, size_t cut, struct buf *seen)
{
    yyjson_doc *doc = yyjson_read(tools_json, strlen(tools_json), 0);
    struct toolcall *t;
    struct toolcall_events events = {seen, on_text, on_begin, on_args, on_end};

    buf_clear(seen);
    check_int(toolcall_new(&t, form, yyjson_doc_get_root(doc), inside, events), ERR_NONE);
    if (cut == STR_NPOS) {
        for (size_t i = 0; i < text.len; i++)
            check_int(toolcall_feed(t, str_span(text.at + i, 1)), ERR_NONE);
    } else {
        check_int(toolcall_feed(t, str_head(text, cut)), ERR_NONE);
        check_int(toolcall_feed(t, str_tail(text, cut)), ERR_NONE);
    }
    check_int(toolcall_end(t), ERR_NONE);
    toolcall_free(t);
    yyjson_doc_free(doc);
}

#define ONE "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"
#define LLAMA "{\"name\": \"f\", \"parameters\": {\"a\": 1}}"

static const struct {
    enum toolcall_form form;
    bool inside;
    const char *text, *want;
} cases[] = {
    {TOOLCALL_HERMES, false, "Hello", "Hello"},
    {TOOLCALL_HERMES, false, "", ""},
    {TOOLCALL_HERMES, false, "  a <b> <tool_cal", "  a <b> <tool_cal"},
    {TOOLCALL_HERMES, false, "<tool_call>\n" ONE "\n</tool_call>", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, false,
     "\n\n<tool_call>" ONE "</tool_call>\n<tool_call>\n{\"name\":\"get_weather\"}\n</tool_call>\n",
     "{0:f|{\"a\": 1}}{1:get_weather|{}}"},
    {TOOLCALL_HERMES, false, "Wait. <<tool_call>" ONE "</tool_call> Done.",
     "Wait. <{0:f|{\"a\": 1}} Done."},
    {TOOLCALL_HERMES, false, "<tool_call>\n" ONE "\n", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x } ] \\\" y\"",
     "{0:f|{\"a\": \"x } ] \\\" y\"}"},
    {TOOLCALL_HERMES, false,
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x}\\\"\"}}</tool_call>",
     "{0:f|{\"a\": \"x}\\\"\"}}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>",
     "{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, false,
     "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
     "{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>",
     "{0:f|{}}"},
    {TOOLCALL_HERMES, false,
     "<tool_call>{\"id\": 7, \"type\": \"function\", \"name\": \"f\", \"arguments\": "
     "{}}</tool_call>",
     "{0:f|{}}"},
    {TOOLCALL_HERMES, false, "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>",
     "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>"},
    {TOOLCALL_HERMES, false, "<tool_call>no<tool_call>" ONE "</tool_call>",
     "<tool_call>no{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"name\": 5}", "<tool_call>{\"name\": 5}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"foo\": {\"name\": \"f\"}}",
     "<tool_call>{\"foo\": {\"name\": \"f\"}}"},
    {TOOLCALL_HERMES, false, "<tool_call>{\"nam", "<tool_call>{\"nam"},
    {TOOLCALL_HERMES, true, ONE, "{0:f|{\"a\": 1}}"},
    {TOOLCALL_HERMES, true, "{\"name\": \"f\", \"arguments\": {\"a", "{0:f|{\"a}"},

    {TOOLCALL_LLAMA3, false, LLAMA, "{0:f|{\"a\": 1}}"},
    {TOOLCALL_LLAMA3, false, "\n<|python_tag|>" LLAMA, "{0:f|{\"a\": 1}}"},
    {TOOLCALL_LLAMA3, false, LLAMA "; " LLAMA, "{0:f|{\"a\": 1}}{1:f|{\"a\": 1}}"},
    {TOOLCALL_LLAMA3, false, "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}",
     "{0:f|{}}"},
    {TOOLCALL_LLAMA3, false, "{\"name\": \"Bob\", \"age\": 5}", "{\"name\": \"Bob\", \"age\": 5}"},
    {TOOLCALL_LLAMA3, false, "{\"answer\": 42}", "{\"answer\": 42}"},
    {TOOLCALL_LLAMA3, false, "{", "{"},
    {TOOLCALL_LLAMA3, false, "Sure: " LLAMA, "Sure: " LLAMA},
    {TOOLCALL_LLAMA3, false, "<|python_tag|>print(1)", "<|python_tag|>print(1)"},
    {TOOLCALL_LLAMA3, false, LLAMA " and more", "{0:f|{\"a\": 1}} and more"},

    {TOOLCALL_MISTRAL, false, "[TOOL_CALLS][" ONE "]", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_MISTRAL, false,
     "[TOOL_CALLS] [" ONE ", {\"name\": \"get_weather\", \"arguments\": {}}]",
     "{0:f|{\"a\": 1}}{1:get_weather|{}}"},
    {TOOLCALL_MISTRAL, false, "[1] is no call", "[1] is no call"},
    {TOOLCALL_MISTRAL, false, "[TOOL_CALLS][]", "[TOOL_CALLS][]"},
    {TOOLCALL_MISTRAL, true, ONE "]", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_MISTRAL_ARGS, false,
     "[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]{}",
     "{0:f|{\"a\": 1}}{1:get_weather|{}}"},
    {TOOLCALL_MISTRAL_ARGS, false, "[TOOL_CALLS]f{\"a\": 1}", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_MISTRAL_ARGS, false, "[TOOL_CALLS]other[ARGS]{\"a\": 1}",
     "[TOOL_CALLS]other[ARGS]{\"a\": 1}"},
    {TOOLCALL_MISTRAL_ARGS, true, "f[ARGS]{\"a\": [1, \"]}\"]}", "{0:f|{\"a\": [1, \"]}\"]}}"},

    {TOOLCALL_BARE, false, ONE, "{0:f|{\"a\": 1}}"},
    {TOOLCALL_BARE, false, "```json\n" ONE "\n```", "{0:f|{\"a\": 1}}"},
    {TOOLCALL_BARE, false, "```python\nprint(1)\n```", "```python\nprint(1)\n```"},
    {TOOLCALL_BARE, false, "```json\n{\"x\": 1}\n```", "```json\n{\"x\": 1}\n```"},
    {TOOLCALL_BARE, false, "I would call " ONE, "I would call " ONE},
};

static void test_any_cut(void **state)
{
    struct buf seen;

    buf_init(&seen, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        str text = str_of(cases[i].text), want = str_of(cases[i].want);
        for (size_t cut = 0; cut <= text.len; cut++) {
            run(cases[i].form, cases[i].inside, text, cut, &seen);
            if (!str_eq(buf_str(&seen), want))
                print_error("case %zu, cut at %zu: %s\n", i, cut, cases[i].text);
            check_str(buf_str(&seen), want);
        }
        run(cases[i].form, cases[i].inside, text, STR_NPOS, &seen);
        check_str(buf_str(&seen), want);
    }
    buf_fini(&seen);
}

/* Text goes out at once unless it may be the start of a call; a call begins when its name is there.
 */
static void test_held_back(void **state)
{
    static const struct {
        const char *fed, *seen;
    } steps[] = {
        {"Hello <", "Hello "},
        {"b> ", "Hello <b> "},
        {"<tool_call>\n{\"name\": \"f", "Hello <b> "},
        {"\"", "Hello <b> {0:f|"},
        {", \"arguments\": {\"a\":", "Hello <b> {0:f|{\"a\":"},
        {" 1}}\n</tool", "Hello <b> {0:f|{\"a\": 1}}"},
        {"_call>ok", "Hello <b> {0:f|{\"a\": 1}}ok"},
    };
    yyjson_doc *doc = yyjson_read(tools_json, strlen(tools_json), 0);
    struct toolcall *t;
    struct buf seen;

    buf_init(&seen, 1 << 16);
    struct toolcall_events events = {&seen, on_text, on_begin, on_args, on_end};
    check_int(toolcall_new(&t, TOOLCALL_HERMES, yyjson_doc_get_root(doc), false, events), ERR_NONE);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_int(toolcall_feed(t, str_of(steps[i].fed)), ERR_NONE);
        check_str(buf_str(&seen), str_of(steps[i].seen));
    }
    check_int(toolcall_count(t), 1);
    toolcall_free(t);
    buf_fini(&seen);
    yyjson_doc_free(doc);
}

static void test_forms(void **state)
{
    check_int(toolcall_form_of(STR("... <tool_call> ..."), true), TOOLCALL_HERMES);
    check_int(toolcall_form_of(STR("... <tool_call> ..."), false), TOOLCALL_BARE);
    check_int(toolcall_form_of(STR("[TOOL_CALLS] ["), true), TOOLCALL_MISTRAL);
    check_int(toolcall_form_of(STR("[TOOL_CALLS] x [ARGS]"), true), TOOLCALL_MISTRAL_ARGS);
    check_int(toolcall_form_of(STR("{\"name\": function name, \"parameters\": x}"), true),
              TOOLCALL_LLAMA3);
    check_true(toolcall_is_marker(TOOLCALL_MISTRAL, STR("[TOOL_CALLS]")));
    check_true(!toolcall_is_marker(TOOLCALL_HERMES, STR("<|im_end|>")));
}

/* What the grammar of a forced call lets through is what the parser reads. */
static char byte_texts[256];

static str byte_token(const void *ctx, int32_t id)
{
    return str_span(&byte_texts[id], 1);
}

static void test_forced(void **state)
{
    static const struct {
        enum toolcall_form form;
        const char *only, *text, *want;
        bool refused;
    } forced[] = {
        {TOOLCALL_HERMES, "f", ONE, "{0:f|{\"a\": 1}}", false},
        {TOOLCALL_HERMES, "", "{\"name\": \"get_weather\", \"arguments\": {\"x\":[]}}",
         "{0:get_weather|{\"x\":[]}}", false},
        {TOOLCALL_HERMES, "f", "{\"name\": \"get_weather\", \"arguments\": {}}", "", true},
        {TOOLCALL_HERMES, "f", "{\"name\": \"f\", \"arguments\": {}}", "", true},
        {TOOLCALL_LLAMA3, "f", LLAMA, "{0:f|{\"a\": 1}}", false},
        {TOOLCALL_MISTRAL, "f", ONE "]", "{0:f|{\"a\": 1}}", false},
        {TOOLCALL_MISTRAL_ARGS, "", "f[ARGS]{\"a\": 1}", "{0:f|{\"a\": 1}}", false},
        {TOOLCALL_BARE, "", ONE, "{0:f|{\"a\": 1}}", false},
    };
    yyjson_doc *doc = yyjson_read(tools_json, strlen(tools_json), 0);
    struct grammar_vocab *v;
    struct grammar *g;
    struct buf seen;
    struct err_note why;

    for (int i = 0; i < 256; i++) byte_texts[i] = (char)i;
    buf_init(&seen, 1 << 16);
    check_int(grammar_vocab_new(&v, 256, byte_token, NULL, NULL, 0), ERR_NONE);
    for (size_t i = 0; i < sizeof forced / sizeof *forced; i++) {
        struct grammar_frame frame = toolcall_frame(forced[i].form);
        check_int(grammar_new_call(&g, v, yyjson_doc_get_root(doc), str_of(forced[i].only), &frame,
                                   &why),
                  ERR_NONE);
        bool taken = grammar_accept_text(g, str_of(forced[i].text)) && grammar_ended(g);
        check_int(taken, !forced[i].refused);
        grammar_free(g);
        if (forced[i].refused) continue;
        run(forced[i].form, true, str_of(forced[i].text), STR_NPOS, &seen);
        check_str(buf_str(&seen), str_of(forced[i].want));
    }
    struct grammar_frame frame = toolcall_frame(TOOLCALL_HERMES);
    check_int(grammar_new_call(&g, v, yyjson_doc_get_root(doc), STR("none"), &frame, &why),
              ERR_NOT_FOUND);
    grammar_vocab_free(v);
    buf_fini(&seen);
    yyjson_doc_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
