/* What a model is sent: which system prompt, which turns, in what shape. */
#include "check.h"

#include <string.h>

#include "chat/prompt.h"

static const struct chat_conf conf = {.system_prompt = {"D", 1}, .system_prompt_code = {"C", 1}};

static void test_system(void **state)
{
    static const struct {
        const char *request, *type, *want;
    } cases[] = {
        {"", "", "D"},         {"", "default", "D"}, {"", "code", "C"}, {"", "chat", "D"},
        {"", "creative", "D"}, {"R", "code", "R"},   {"R", "", "R"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct turn_ask ask = {.system_prompt = str_of(cases[i].request),
                               .prompt_type = str_of(cases[i].type)};
        check_str(prompt_system(&conf, &ask), str_of(cases[i].want));
    }
}

/* "system: x|user: y"; '/' stands for a line end. */
static void write_out(char *out, size_t room, const struct prompt *p)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    out[0] = '\0';
    for (size_t i = 0; i < p->count; i++) {
        size_t n = strlen(out);
        snprintf(out + n, room - n, "%s%s: %.*s", i ? "|" : "", roles[p->messages[i].role],
                 STR_ARG(p->messages[i].parts[0].text));
    }
    for (char *c = out; *c; c++)
        if (*c == '\n') *c = '/';
}

static void test_history(void **state)
{
    static const struct {
        const char *history[6]; /* "u:...", "a:...", "r:..." (an answer with reasoning "R") */
        const char *want, *folded;
    } cases[] = {
        {{NULL}, "system: D|user: new", "user: D//new"},
        {{"u:q1", "a:a1"},
         "system: D|user: q1|assistant: a1|user: new",
         "user: D//q1|assistant: a1|user: new"},
        /* The window cut a turn in two: its answer goes. */
        {{"a:a0", "u:q1", "a:a1"},
         "system: D|user: q1|assistant: a1|user: new",
         "user: D//q1|assistant: a1|user: new"},
        {{"a:a0"}, "system: D|user: new", "user: D//new"},
        /* Reasoning is not paid for again. */
        {{"u:q1", "r:[Reasoning: R]\n\na1"},
         "system: D|user: q1|assistant: a1|user: new",
         "user: D//q1|assistant: a1|user: new"},
        /* Nothing but reasoning: the questions meet. */
        {{"u:q1", "r:[Reasoning: R]"}, "system: D|user: q1//new", "user: D//q1//new"},
        {{"u:q1", "u:q2", "a:a1", "a:a2"},
         "system: D|user: q1//q2|assistant: a1//a2|user: new",
         "user: D//q1//q2|assistant: a1//a2|user: new"},
        /* A model that answered in our words is taken at its word. */
        {{"u:q1", "a:[Reasoning: R]\n\na1"},
         "system: D|user: q1|assistant: [Reasoning: R]//a1|user: new",
         "user: D//q1|assistant: [Reasoning: R]//a1|user: new"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct stored m[6];
        struct shelf_answer h = {.messages = m};
        struct turn_ask ask = {.message = STR("new")};
        struct prompt p;
        char got[500];

        arena_init(&arena, 0);
        for (; h.count < 6 && cases[i].history[h.count]; h.count++) {
            str s = str_of(cases[i].history[h.count]);
            m[h.count] =
                (struct stored){.role = s.at[0] == 'u' ? STORED_USER : STORED_ASSISTANT,
                                .content = str_tail(s, 2),
                                .metadata = s.at[0] == 'r'
                                                ? STR("{\"session_id\":\"s\",\"reasoning\":\"R\"}")
                                                : STR("{}")};
        }
        check_int(prompt_build(&p, &arena, &conf, &ask, &h), ERR_NONE);
        write_out(got, sizeof got, &p);
        check_str(str_of(got), str_of(cases[i].want));
        struct ask q = ask_none;
        q.messages = p.messages;
        q.messages_count = p.count;
        check_int(prompt_fold(&q, &arena), ERR_NONE);
        struct prompt folded = {(struct message *)(uintptr_t)q.messages, q.messages_count};
        write_out(got, sizeof got, &folded);
        check_str(str_of(got), str_of(cases[i].folded));
        write_out(got, sizeof got, &p); /* folding changed nothing of the first */
        check_true(str_starts(str_of(got), STR("system: D|")));
        arena_fini(&arena);
    }
}

static void test_images(void **state)
{
    static const str images[] = {{"data:image/png;base64,AA", 24}, {"https://x/y.png", 15}};
    struct arena arena;
    struct shelf_answer none = {.count = 0};
    struct turn_ask ask = {.message = STR("what?"), .images = images, .images_count = 2};
    struct prompt p;
    struct ask q = ask_none;

    arena_init(&arena, 0);
    check_int(prompt_build(&p, &arena, &conf, &ask, &none), ERR_NONE);
    q.messages = p.messages;
    q.messages_count = p.count;
    check_int(prompt_fold(&q, &arena), ERR_NONE);
    check_int(p.count, 2);
    check_int(q.messages_count, 1);
    const struct message *const both[] = {&p.messages[1], q.messages};
    for (int i = 0; i < 2; i++) {
        check_int(both[i]->count, 3);
        check_int(both[i]->parts[0].kind, PART_TEXT);
        check_int(both[i]->parts[1].kind, PART_IMAGE);
        check_str(both[i]->parts[2].text, images[1]);
    }
    check_str(q.messages[0].parts[0].text, STR("D\n\nwhat?"));
    arena_fini(&arena);
}

/* Conversations of other shapes, as the stateless APIs bring them: "s:", "u:", "a:", "i:" (the
 * user's image). */
static void test_fold(void **state)
{
    static const struct {
        const char *messages[5];
        const char *want;
    } cases[] = {
        {{"u:q"}, "user: q"},
        {{"s:A", "s:B", "u:q"}, "user: A//B//q"},
        {{"s:A"}, "user: A"},
        {{"s:A", "a:hello", "u:q"}, "user: A|assistant: hello|user: q"},
        {{"s:A", "u:q", "s:late"}, "user: A//q|system: late"},
        {{"s:A", "i:pic", "a:x"}, "user: A|assistant: x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct part parts[5];
        struct message m[5];
        struct ask q = ask_none;
        char got[200];

        arena_init(&arena, 0);
        q.messages = m;
        for (size_t n = 0; n < 5 && cases[i].messages[n]; n++) {
            const char *s = cases[i].messages[n];
            parts[n] =
                (struct part){.kind = s[0] == 'i' ? PART_IMAGE : PART_TEXT, .text = str_of(s + 2)};
            m[n] = (struct message){.role = s[0] == 's'   ? ROLE_SYSTEM
                                            : s[0] == 'a' ? ROLE_ASSISTANT
                                                          : ROLE_USER,
                                    .parts = &parts[n],
                                    .count = 1};
            q.messages_count = n + 1;
        }
        check_int(prompt_fold(&q, &arena), ERR_NONE);
        struct prompt p = {(struct message *)(uintptr_t)q.messages, q.messages_count};
        write_out(got, sizeof got, &p);
        check_str(str_of(got), str_of(cases[i].want));
        if (cases[i].messages[1] && cases[i].messages[1][0] == 'i') {
            check_int(q.messages[0].count, 2); /* the image is still there */
            check_int(q.messages[0].parts[1].kind, PART_IMAGE);
        }
        arena_fini(&arena);
    }
}

static void test_no_system(void **state)
{
    static const struct chat_conf silent = {.max_messages = 1};
    struct arena arena;
    struct shelf_answer none = {.count = 0};
    struct turn_ask ask = {.message = STR("m")};
    struct prompt p;
    char got[100];

    arena_init(&arena, 0);
    check_int(prompt_build(&p, &arena, &silent, &ask, &none), ERR_NONE);
    write_out(got, sizeof got, &p);
    check_str(str_of(got), STR("user: m"));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system),    cmocka_unit_test(test_history),
        cmocka_unit_test(test_images),    cmocka_unit_test(test_fold),
        cmocka_unit_test(test_no_system),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
