/* Conversations brought into the shapes that providers take (providers.md section 1), and tool
 * calls put together from pieces (section 9).
 *
 * A conversation is written as a line of words: "s:" system, "u:" user, "a:" assistant, "t<id>:"
 * tool result; in an assistant's text "+f<id>" is a call of f.  "u:" alone is an empty text; "i" an
 * image. */
#include "check.h"

#include "backend/shape.h"
#include "backend/tools.h"

/* Halves of U+1F600, as JSON_KEEP_HALVES gives them. */
#define HIGH_HALF "\xED\xA0\xBD"
#define LOW_HALF "\xED\xB8\x80"

static struct arena arena;

static struct part *parts_of(str text, size_t *count)
{
    struct part *p = arena_array(&arena, struct part, 8);
    str rest = text, word;

    *count = 0;
    while (str_split(&rest, '&', &word)) {
        if (str_starts(word, STR("+"))) {
            p[*count] = (struct part){.kind = PART_TOOL_CALL,
                                      .name = str_span(word.at + 1, 1),
                                      .id = str_tail(word, 2)};
        } else if (str_eq(word, STR("i"))) {
            p[*count] = (struct part){.kind = PART_IMAGE, .text = STR("data:")};
        } else {
            p[*count] = (struct part){.kind = PART_TEXT, .text = word};
        }
        ++*count;
    }
    return p;
}

static struct ask ask_of(const char *text)
{
    struct ask q = ask_none;
    struct message *m = arena_array(&arena, struct message, 32);
    str rest = str_of(text), word;

    q.messages = m;
    while (*text && str_split(&rest, ' ', &word)) {
        size_t colon = str_find_char(word, ':');
        struct message *one = &m[q.messages_count++];
        switch (word.at[0]) {
        case 's': one->role = ROLE_SYSTEM; break;
        case 'u': one->role = ROLE_USER; break;
        case 'a': one->role = ROLE_ASSISTANT; break;
        default: one->role = ROLE_TOOL; one->tool_call_id = str_span(word.at + 1, colon - 1);
        }
        one->parts = parts_of(str_tail(word, colon + 1), &one->count);
    }
    return q;
}

static str line_of(const struct shape *s)
{
    struct buf b;

    buf_init(&b, 10000);
    if (s->system.len) buf_addf(&b, "[%.*s] ", STR_ARG(s->system));
    for (size_t i = 0; i < s->count; i++) {
        const struct message *m = &s->messages[i];
        if (i) buf_add_char(&b, ' ');
        buf_add_char(&b, "suat"[m->role]);
        if (m->role == ROLE_TOOL)
            buf_addf(&b, "%.*s/%.*s", STR_ARG(m->tool_call_id), STR_ARG(m->tool_name));
        buf_add_char(&b, ':');
        for (size_t k = 0; k < m->count; k++) {
            const struct part *p = &m->parts[k];
            if (k) buf_add_char(&b, '&');
            if (p->kind == PART_TEXT) buf_add(&b, p->text);
            if (p->kind == PART_IMAGE) buf_add_char(&b, 'i');
            if (p->kind == PART_TOOL_CALL)
                buf_addf(&b, "+%.*s%.*s", STR_ARG(p->name), STR_ARG(p->id));
        }
    }
    str line = arena_str(&arena, buf_str(&b));
    buf_fini(&b);
    return line;
}

static void test_shapes(void **state)
{
    static const struct {
        unsigned flags;
        const char *in, *want;
    } rows[] = {
        {0, "s:S u:U a:A u:V", "s:S u:U a:A u:V"},
        {0, "", ""},
        /* empty ones */
        {0, "u:U a: u:V", "u:U u:V"},
        {0, "u:U&&V", "u:U&V"},
        {0, "u: u:V", "u:V"},
        {0, "s: u:V", "u:V"},
        {0, "u:i", "u:i"},
        {0, "u:", "u:"},
        {0, "s:S u:", "s:S u:"},
        {0, "s:S", "s:S"},
        {SHAPE_FIRST_USER, "u:", "u:(start)"},
        /* results */
        {0, "u:U a:A&+fx tx:R u:V", "u:U a:A&+fx tx/f:R u:V"},
        {0, "u:U a:+fx&+gy ty:Y tx:X", "u:U a:+fx&+gy tx/f:X ty/g:Y"},
        {0, "u:U a:+fx&+gy ty:Y u:V", "u:U a:+fx&+gy tx/f:(no result) ty/g:Y u:V"},
        {0, "u:U a:+fx", "u:U a:+fx tx/f:(no result)"},
        {0, "u:U a:+fx a:B", "u:U a:+fx&B tx/f:(no result)"},
        {0, "u:U tz:Z u:V", "u:U u:V"},
        {0, "u:U a:+fx tx:X tx:again u:V", "u:U a:+fx tx/f:X u:V"},
        {0, "u:U a:+fx u:mid tx:X u:V", "u:U a:+fx tx/f:X u:mid u:V"}, /* T5 */
        {0, "u:U a:+fx s:S tx:X", "u:U a:+fx tx/f:X s:S"},
        {0, "u:U a:+fx a:+gy tx:X ty:Y",
         "u:U a:+fx&+gy tx/f:X ty/g:Y"}, /* R3: two messages, one turn */
        {0, "u:U a:+fx tx:X a:+gy ty:Y a:B", "u:U a:+fx tx/f:X a:+gy ty/g:Y a:B"},
        /* ids: legal and used once, results with their own round's call */
        {0, "a:+f! t!:X", "a:+fcall_sema1 tcall_sema1/f:X"},
        {0, "a:+f!&+g? t?:Y t!:X", "a:+fcall_sema1&+gcall_sema2 tcall_sema1/f:X tcall_sema2/g:Y"},
        {0, "a:+f&+g t:X t:Y", "a:+fcall_sema1&+gcall_sema2 tcall_sema1/f:X tcall_sema2/g:Y"},
        {0, "a:+f1 t1:X u:U a:+g1 t1:Y", "a:+f1 t1/f:X u:U a:+gcall_sema1 tcall_sema1/g:Y"},
        {0, "a:+f1&+g1 t1:X t1:Y", "a:+f1&+gcall_sema1 t1/f:X tcall_sema1/g:Y"},
        {0, "a:+f!&+gcall_sema1 t!:X tcall_sema1:Y",
         "a:+fcall_sema2&+gcall_sema1 tcall_sema2/f:X tcall_sema1/g:Y"},
        /* merging */
        {SHAPE_MERGE, "u:U u:V a:A a:B u:i&W u:X", "u:U\n\nV a:A\n\nB u:i&W\n\nX"},
        {SHAPE_MERGE, "s:S s:T u:U", "s:S\n\nT u:U"},
        {SHAPE_MERGE, "a:+fx&+gy tx:X ty:Y", "a:+fx&+gy tx/f:X ty/g:Y"},
        {SHAPE_MERGE, "u:U u:i", "u:U&i"},
        {SHAPE_MERGE, "u:U u:V&W u:X u:i u:Y", "u:U\n\nV&W\n\nX&i&Y"},
        /* the ends */
        {SHAPE_FIRST_USER, "s:S a:A u:U", "s:S u:(start) a:A u:U"},
        {SHAPE_FIRST_USER, "u:U", "u:U"},
        {SHAPE_FIRST_USER, "s:S", "s:S u:(start)"},
        {SHAPE_LAST_USER, "u:U a:A", "u:U a:A u:Continue."},
        {SHAPE_LAST_USER, "u:U", "u:U"},
        /* systems */
        {SHAPE_LIFT_SYSTEM, "s:S s:T u:U", "[S\n\nT] u:U"},
        {SHAPE_LIFT_SYSTEM, "s:S u:U a:A s:T u:V", "[S] u:U a:A u:T\n\nV"},
        {SHAPE_LIFT_SYSTEM, "u:U s:T", "u:U u:T"},
        {SHAPE_FOLD_LATE_SYSTEM, "s:S u:U a:A s:T s:W u:V", "s:S u:U a:A u:T\n\nW\n\nV"},
        {SHAPE_FOLD_LATE_SYSTEM, "u:U s:T a:A", "u:U u:T a:A"},
        {SHAPE_FOLD_LATE_SYSTEM, "u:U s:T u:i&V", "u:U u:T\n\nV&i"},
        {SHAPE_FOLD_LATE_SYSTEM, "u:U s:T u:i", "u:U u:T&i"},
        {SHAPE_FOLD_LATE_SYSTEM, "a:+fx s:T tx:X u:V", "a:+fx tx/f:X u:T\n\nV"},
        {SHAPE_FOLD_SYSTEM, "s:S u:U", "u:S\n\nU"},
        {SHAPE_FOLD_SYSTEM, "s:S a:A", "u:S a:A"},
        {SHAPE_FOLD_SYSTEM, "s:S", "u:S"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct shape s;
        struct ask q = ask_of(rows[i].in);
        print_message("# %s\n", rows[i].in);
        check_int(shape_messages(&s, &q, rows[i].flags, &arena), ERR_NONE);
        check_str(line_of(&s), str_of(rows[i].want));
    }
}

/* The same conversation gives the same bytes: prompt caches depend on it. */
static void test_ids_are_stable(void **state)
{
    struct shape a, b;
    struct ask q = ask_of("u:U a:+f!&+g? t!:X t?:Y u:V");

    (void)state;
    check_int(shape_messages(&a, &q, 0, &arena), ERR_NONE);
    check_int(shape_messages(&b, &q, 0, &arena), ERR_NONE);
    check_str(line_of(&a), line_of(&b));
}

/* Thousands of calls cost no quadratic time. */
static void test_many_calls(void **state)
{
    enum { ROUNDS = 20000 };
    struct message *m = calloc(2 * ROUNDS, sizeof *m);
    struct part *p = calloc(ROUNDS, sizeof *p), text = {.kind = PART_TEXT, .text = STR("r")};
    struct ask q = ask_none;
    struct shape s;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        p[i] = (struct part){.kind = PART_TOOL_CALL, .id = STR("same"), .name = STR("f")};
        m[2 * i] = (struct message){.role = ROLE_ASSISTANT, .parts = &p[i], .count = 1};
        m[2 * i + 1] = (struct message){.role = ROLE_TOOL,
                                        .tool_call_id = STR("same"),
                                        .parts = &text,
                                        .count = 1};
    }
    q.messages = m;
    q.messages_count = 2 * ROUNDS;
    check_int(shape_messages(&s, &q, 0, &arena), ERR_NONE);
    check_int(s.count, 2 * ROUNDS);
    check_str(s.messages[2 * ROUNDS - 1].tool_call_id, s.messages[2 * ROUNDS - 2].parts[0].id);
    free(m);
    free(p);
}

/* Nor do those of one round, a result each, nor messages of one role in a row: in time and in
 * memory. */
static void test_long_rows(void **state)
{
    enum { COUNT = 40000, EACH_BYTES_MAX = 2000 };
    struct message *m = calloc(2 * COUNT, sizeof *m);
    struct part *p = calloc(COUNT, sizeof *p), text = {.kind = PART_TEXT, .text = STR("r")};
    struct ask q = ask_none;
    struct shape s;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        str id = arena_strf(&arena, "c%d", i % (COUNT / 2)); /* each twice */
        p[i] = (struct part){.kind = PART_TOOL_CALL, .id = id, .name = STR("f")};
        m[i] = (struct message){.role = ROLE_ASSISTANT, .parts = &p[i], .count = 1};
        m[COUNT + i] =
            (struct message){.role = ROLE_TOOL, .tool_call_id = id, .parts = &text, .count = 1};
    }
    q.messages = m;
    q.messages_count = 2 * COUNT;
    size_t before = arena.bytes;
    check_int(shape_messages(&s, &q, SHAPE_MERGE, &arena), ERR_NONE);
    check_int(s.count, 1 + COUNT);
    check_int(s.messages[0].count, COUNT);
    check_int(s.dropped_results, 0);
    for (int i = 0; i < COUNT; i++)
        check_str(s.messages[1 + i].tool_call_id, s.messages[0].parts[i].id);
    check_true(arena.bytes - before < COUNT * EACH_BYTES_MAX);

    static const enum role roles[] = {ROLE_USER, ROLE_SYSTEM};
    for (size_t r = 0; r < 2; r++) {
        for (int i = 0; i < COUNT; i++)
            m[i] = (struct message){.role = roles[r], .parts = &text, .count = 1};
        q.messages_count = COUNT;
        before = arena.bytes;
        check_int(shape_messages(&s, &q, SHAPE_MERGE | SHAPE_LIFT_SYSTEM, &arena), ERR_NONE);
        check_int(r ? s.system.len : s.messages[0].parts[0].text.len, 3 * COUNT - 2);
        check_true(arena.bytes - before < COUNT * EACH_BYTES_MAX);
    }
    free(m);
    free(p);
}

static void test_no_memory(void **state)
{
    struct arena tiny;
    struct shape s;
    struct ask q = ask_of("u:U u:V");

    (void)state;
    arena_init(&tiny, 64);
    check_int(shape_messages(&s, &q, 0, &tiny), ERR_MEMORY);
    arena_fini(&tiny);
}

/* ---- tool calls ---- */

static struct buf seen;

static void on_begin(void *ctx, int index, str id, str name)
{
    (void)ctx;
    /* A made id is "call_" and 24 more. */
    bool made = id.len == 29 && str_starts(id, STR("call_"));
    buf_addf(&seen, "%d(%.*s %.*s)", index, STR_ARG(made ? STR("made") : id), STR_ARG(name));
}

static void on_args(void *ctx, int index, str fragment)
{
    (void)ctx;
    buf_addf(&seen, "%d%.*s", index, STR_ARG(fragment));
}

static void test_tools(void **state)
{
    static const struct {
        struct {
            int index;
            const char *id, *name, *args;
        } pieces[6];
        const char *want;
    } rows[] = {
        {{{0, "a", "f", "{"}, {0, "", "", "}"}}, "0(a f)0{0}"},
        {{{0, "a", "f", ""}}, "0(a f)0{}"},
        {{{0, "a", "", "{\"x\""}, {0, "", "f", ":1}"}}, "0(a f)0{\"x\"0:1}"},
        {{{0, "", "f", "{}"}}, "0(made f)0{}"},
        {{{1, "b", "g", "{}"}, {0, "a", "f", "{}"}}, "0(b g)0{}1(a f)1{}"},
        {{{0, "a", "f", "{"}, {0, "a", "f", "}"}}, "0(a f)0{0}"},
        {{{0, "a", "f", "{}"}, {0, "b", "f", "{}"}}, "0(a f)0{}1(b f)1{}"},
        {{{0, "a", "f", "{"}, {0, "b", "", "}"}}, "0(a f)0{0}"}, /* a new id for each chunk */
        {{{-1, "a", "f", "{"}, {-1, "", "", "}"}, {-1, "b", "g", "{}"}}, "0(a f)0{0}1(b g)1{}"},
        {{{-1, "", "f", "{}"}, {-1, "", "g", "{}"}}, "0(made f)0{}1(made g)1{}"},
        {{{-1, "a", "f", "{"}, {-1, "b", "g", "{}"}, {-1, "a", "", "}"}}, "0(a f)0{1(b g)1{}0}"},
        {{{0, "a", "f", "{}"}, {1, "a", "g", "{"}, {1, "a", "g", "}"}}, "0(a f)0{}1(made g)1{1}"},
        {{{0, "a", "", "{}"}}, ""}, /* never named */
        {{{-1, "", "", "{}"}}, ""},
        {{{0, "a", "get_", "{"}, {0, "", "weather", "}"}}, "0(a get_)0{0}"},
        {{{0, "a", "f", "x" HIGH_HALF}, {0, "", "", LOW_HALF "y"}}, "0(a f)0x0\xF0\x9F\x98\x80y"},
    };
    const struct sink to = {.tool_begin = on_begin, .tool_args = on_args};
    const bool gone = false;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tools t = {0};
        print_message("# row %zu\n", i);
        buf_init(&seen, 1000);
        for (int k = 0; k < 6 && rows[i].pieces[k].args; k++) {
            struct tool_piece p = {rows[i].pieces[k].index, str_of(rows[i].pieces[k].id),
                                   str_of(rows[i].pieces[k].name), str_of(rows[i].pieces[k].args)};
            check_int(tools_add(&t, &p, &to, &gone), ERR_NONE);
        }
        tools_end(&t, &to, &gone);
        check_str(buf_str(&seen), str_of(rows[i].want));
        tools_fini(&t);
        buf_fini(&seen);
    }
}

static void test_too_many_tools(void **state)
{
    const struct sink to = {0};
    const bool gone = false;
    struct tools t = {0};
    char id[16];

    (void)state;
    for (int i = 0; i <= TOOL_CALLS_MAX; i++) {
        snprintf(id, sizeof id, "id%d", i);
        struct tool_piece p = {.index = i, .id = str_of(id), .name = STR("f"), .args = STR("{}")};
        check_int(tools_add(&t, &p, &to, &gone), i < TOOL_CALLS_MAX ? ERR_NONE : ERR_LIMIT);
    }
    tools_fini(&t);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),         cmocka_unit_test(test_ids_are_stable),
        cmocka_unit_test(test_many_calls),     cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_no_memory),      cmocka_unit_test(test_tools),
        cmocka_unit_test(test_too_many_tools),
    };
    return cmocka_run_group_tests_name("backend/shape", tests, setup, teardown);
}
