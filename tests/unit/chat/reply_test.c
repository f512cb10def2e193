/* One answer over a chain: rescue of a stream that broke, marks and breakers, models by name, the
 * switch. */
#include "fake.h"

#include "chat/reply.h"

#define MD(more)                                                                                   \
    "{\"session_id\":\"s\",\"message_id\":\"6b225332-8d98-45c4-9aad-edef69b6adab\"," more "}"

static int open_chain(const char *const *names, size_t count)
{
    conf_reset();
    conf.stream_rescue = true;
    conf.system_prompt = STR("S");
    retry_after_ms = http_status = 0;
    open_all(names, count);
    return 0;
}

static int setup(void **state)
{
    static const char *const names[] = {"one", "two", "three"};
    breaker_failures = 0;
    return open_chain(names, 3);
}

static int setup_mixed(void **state)
{
    static const char *const names[] = {"one", "plain", "three"};
    breaker_failures = 0;
    return open_chain(names, 3);
}

static int setup_breaker(void **state)
{
    static const char *const names[] = {"one", "two"};
    breaker_failures = 3;
    return open_chain(names, 2);
}

static int setup_one(void **state)
{
    static const char *const names[] = {"one"};
    breaker_failures = 0;
    return open_chain(names, 1);
}

static int teardown(void **state)
{
    close_all();
    return 0;
}

static struct answer *asked(size_t n) /* waits for the n-th ask */
{
    UNTIL(answers_count > n);
    check_int(answers_count, n + 1);
    return &answers[n];
}

/* ---- rescue ---- */

static void test_goes_on(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "The capital is ");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    struct answer *a = asked(1);
    check_str(a->ask.prefill, STR("The capital is"));
    check_int(a->ask.max_tokens, 512 - 15 / 4);
    check_str(str_of(a->prompt), STR("system: S|user: q"));
    say(a, " Par");
    say(a, "is.");
    end(a, ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <The capital is ><Par><is.>done:The capital is "
                                  "Paris.|one|stop|rescued by two"));
    check_int(c.result.token_count, -1); /* who died did not count */
    check_int(counter_read(&models_counts(models)->rescues), 1);
    check_stored("s",
                 "u:q {\"session_id\":\"s\"}|a:The capital is Paris. " MD(
                     "\"model_name\":\"one\",\"finish_reason\":\"stop\",\"rescued_by\":\"two\","
                     "\"rescued_at\":15"));
}

static void test_starts_over(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "The capital is");
    end(&answers[0], ERR_SERVER, FINISH_NONE);
    say(asked(1), "The capital is Par");
    say(&answers[1], "is.");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <The capital is>< Par><is.>done:The capital is "
                                  "Paris.|one|stop|rescued by two"));
}

/* In other words: the next is asked; nobody is left: the break is what the client hears of. */
static void test_other_words(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "The capital is");
    end(&answers[0], ERR_OVERLOADED, FINISH_NONE);
    say(asked(1), "The capital of France is Paris.");
    check_true(answers[1].cancelled);
    end(asked(2), ERR_BAD_REQUEST,
        FINISH_NONE); /* refuses to go on: no longer the client's fault */
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <The capital is>failed:provider_overloaded after text"));
    check_stored("s", "u:q {\"session_id\":\"s\"}|a:The capital is " MD(
                          "\"model_name\":\"one\",\"finish_reason\":\"error\""));
}

static void test_rescued_twice(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "a b");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    say(asked(1), " c");
    end(&answers[1], ERR_NETWORK, FINISH_NONE);
    check_str(asked(2)->ask.prefill, STR("a b c"));
    say(&answers[2], " d");
    end(&answers[2], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <a b>< c>< d>done:a b c d|one|stop|rescued by three"));
}

/* What failed before the stream began is past: its own break is what the client hears of. */
static void test_break_is_the_cause(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    end(asked(0), ERR_AUTH, FINISH_NONE);
    say(asked(1), "text");
    end(&answers[1], ERR_NETWORK, FINISH_NONE);
    end(asked(2), ERR_SERVER, FINISH_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <text>failed:provider_network after text"));
}

/* One that cannot go on from given text is passed over; with only reasoning shown anyone can. */
static void test_who_can(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "text");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    check_str(str_of(asked(1)->of->name), STR("three"));
    turn_cancel(c.turn);

    start(&c, "t", "q", true);
    think(asked(2), "thought");
    end(&answers[2], ERR_NETWORK, FINISH_NONE);
    check_str(str_of(asked(3)->of->name), STR("plain"));
    check_str(answers[3].ask.prefill, STR(""));
    check_str(str_of(answers[3].prompt), STR("user: S\n\nq")); /* it has no system role */
    think(&answers[3], "other thought");                       /* the first's was shown */
    say(&answers[3], "text");
    end(&answers[3], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <[Reasoning: thought><]\n\ntext>done:[Reasoning: "
                                  "thought]\n\ntext|r=thought|one|stop|rescued by plain"));
}

/* A second that only thinks has taken the text for more thinking: the third is asked. */
static void test_only_thought(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "The capital is");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    think(asked(1), " Paris.");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    say(asked(2), " Paris.");
    end(&answers[2], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <The capital is>< Paris.>done:The capital is Paris.|one|"
                                  "stop|rescued by three"));
}

static void test_not_rescued(void **state)
{
    static const enum err faults[] = {ERR_BAD_REQUEST, ERR_CONTENT_FILTER};
    struct caller c = {0};
    for (size_t i = 0; i < 2; i++) { /* the caller's own fault */
        start(&c, "s", "q", true);
        say(asked(i), "text");
        end(&answers[i], faults[i], FINISH_NONE);
        UNTIL(c.over);
        check_int(c.failed, faults[i]);
    }
    close_all(); /* STREAM_RESCUE=off */
    setup(NULL);
    conf.stream_rescue = false;
    chat_free(chat);
    check_int(chat_new(&chat, &conf, shelf, models, NULL), ERR_NONE);
    start(&c, "s", "q", true);
    say(asked(0), "text");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <text>failed:provider_network after text"));
    check_int(answers_count, 1);
}

static void test_cancel_while_rescued(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    say(asked(0), "text");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    say(asked(1), "te"); /* compared, not shown */
    turn_cancel(c.turn);
    check_true(answers[1].cancelled);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_stored("s", "u:q {\"session_id\":\"s\"}|a:text " MD(
                          "\"model_name\":\"one\",\"finish_reason\":\"cancelled\""));
}

/* Hidden reasoning was shown to nobody: the next model begins from nothing. */
static void test_hidden_reasoning(void **state)
{
    struct caller c = {0};
    conf.show_reasoning = false;
    chat_free(chat);
    check_int(chat_new(&chat, &conf, shelf, models, NULL), ERR_NONE);
    start(&c, "s", "q", true);
    think(asked(0), "first");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    think(asked(1), "second");
    say(&answers[1], "text");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <text>done:text|r=second|two|stop"));
}

/* ---- marks and breakers ---- */

static void fail_once(const char *session, size_t n, enum err e)
{
    struct caller c = {0};
    start(&c, session, "q", false);
    end(asked(n), e, FINISH_NONE);
    UNTIL(c.over);
    check_int(c.failed, e);
}

/* A long wait is not waited for, and not asked about again: the client hears how long it is. */
static void test_rate_limited(void **state)
{
    struct caller c = {0};
    retry_after_ms = 14400 * 1000;
    fail_once("s", 0, ERR_RATE_LIMIT);
    for (int i = 0; i < 3; i++) {
        start(&c, "s", "q", i % 2);
        UNTIL(c.over);
        check_str(str_of(c.seen), STR("failed:provider_rate_limit"));
        check_true(c.retry_after_ms > 3590 * 1000 &&
                   c.retry_after_ms <= 3600 * 1000); /* at most 1 h */
    }
    check_int(answers_count, 1);
}

static void test_short_waits_are_not_marked(void **state)
{
    retry_after_ms = 9 * 1000;
    fail_once("s", 0, ERR_RATE_LIMIT);
    retry_after_ms = 0;
    fail_once("s", 1, ERR_RATE_LIMIT);
    fail_once("s", 2, ERR_BAD_REQUEST);
}

static void test_auth_and_quota(void **state)
{
    static const struct {
        enum err e;
        int http_status, left_ms;
    } cases[] = {{ERR_AUTH, 401, 60000}, {ERR_AUTH, 403, 60000}, {ERR_QUOTA, 402, 300000}};
    for (size_t i = 0; i < 3; i++) {
        struct caller c = {0};
        http_status = cases[i].http_status;
        fail_once("s", 0, cases[i].e);
        start(&c, "s", "q", false);
        UNTIL(c.over);
        check_int(c.failed, cases[i].e);
        check_true(c.retry_after_ms > cases[i].left_ms - 5000 &&
                   c.retry_after_ms <= cases[i].left_ms);
        check_int(answers_count, 1);
        close_all();
        setup_one(NULL);
    }
}

/* So many failures open it: then a request costs it no call, and the next model answers. */
static void test_breaker(void **state)
{
    struct model_view view;
    struct caller c = {0};
    for (size_t i = 0; i < 3; i++) {
        start(&c, "s", "q", false);
        end(asked(2 * i), ERR_NETWORK, FINISH_NONE);
        end(asked(2 * i + 1), ERR_NONE, FINISH_STOP);
        UNTIL(c.over);
    }
    models_view(models, 0, &view);
    check_int(view.breaker, BREAKER_OPEN);
    start(&c, "s", "q", false);
    check_str(str_of(asked(6)->of->name), STR("two"));
    end(&answers[6], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_true(models_any_ready(models));
    for (size_t i = 0; i < 3; i++) fail_once("s", 7 + i, ERR_TIMEOUT); /* the other one as well */
    check_true(!models_any_ready(models));
    start(&c, "s", "q", false);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("failed:model_not_ready"));
    check_true(c.retry_after_ms > 10000 && c.retry_after_ms <= 15000);
    check_int(answers_count, 10);
}

static void test_breaker_not_for_callers(void **state)
{
    static const enum err faults[] = {ERR_BAD_REQUEST, ERR_CONTEXT_LENGTH, ERR_CONTENT_FILTER};
    struct model_view view;
    for (size_t i = 0; i < 9; i++) fail_once("s", i, faults[i % 3]);
    struct caller c = {0};
    for (size_t i = 9; i < 13; i++) {
        start(&c, "s", "q", true);
        asked(i);
        turn_cancel(c.turn);
        UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    }
    models_view(models, 0, &view);
    check_int(view.breaker, BREAKER_CLOSED);
}

/* ---- a reply by itself: everything that the stateless APIs want ---- */

struct listener {
    char seen[1000];
    bool over, cancel_at_text;
    struct reply *reply;
    struct reply_end end;
};

__attribute__((format(printf, 2, 3))) static void hear(struct listener *l, const char *format, ...)
{
    va_list args;
    size_t n = strlen(l->seen);
    va_start(args, format);
    vsnprintf(l->seen + n, sizeof l->seen - n, format, args);
    va_end(args);
}

static void l_started(void *ctx, str name, const char *type)
{
    hear(ctx, "[%s/%.*s]", type, STR_ARG(name));
}

static void l_text(void *ctx, str text)
{
    struct listener *l = ctx;
    hear(l, "<%.*s>", STR_ARG(text));
    if (l->cancel_at_text) {
        reply_cancel(l->reply);
        l->over = true;
    }
}

static void l_reasoning(void *ctx, str text)
{
    hear(ctx, "(%.*s)", STR_ARG(text));
}

static void l_signature(void *ctx, const struct part *p)
{
    hear(ctx, "sig:%.*s ", STR_ARG(p->signature));
}

static void l_tool_begin(void *ctx, int index, str id, str name)
{
    hear(ctx, "tool%d:%.*s:%.*s ", index, STR_ARG(id), STR_ARG(name));
}

static void l_tool_args(void *ctx, int index, str fragment)
{
    hear(ctx, "args%d:%.*s ", index, STR_ARG(fragment));
}

static void l_done(void *ctx, const struct reply_end *end)
{
    struct listener *l = ctx;
    hear(l, "done:%s:%.*s", end->e ? err_row(end->e)->code : "", STR_ARG(end->model_name));
    l->end = *end;
    l->over = true;
}

static const struct message hello = {.role = ROLE_USER,
                                     .parts = (const struct part[]){{.kind = PART_TEXT,
                                                                     .text = {"hello", 5}}},
                                     .count = 1};

static enum err listen_to(struct listener *l, const char *model, bool hold, struct err_note *why)
{
    static struct ask q;
    q = ask_none;
    q.messages = &hello;
    q.messages_count = 1;
    struct reply_ask asked = {
        .ask = &q, .model = str_of(model), .total_ms = 5000, .rescue = true, .hold = hold};
    struct reply_events to = {l,           l_started,    l_text,      l_reasoning,
                              l_signature, l_tool_begin, l_tool_args, l_done};
    return reply_start(&l->reply, models, loop, &asked, to, why);
}

static void play_tools(struct answer *a)
{
    struct part p = {.kind = PART_REASONING, .signature = STR("x1")};
    think(a, "hm");
    a->to.signature(a->to.ctx, &p);
    say(a, "te");
    say(a, "xt");
    a->to.tool_begin(a->to.ctx, 0, STR("id"), STR("name"));
    a->to.tool_args(a->to.ctx, 0, STR("{\"a\""));
    a->to.tool_args(a->to.ctx, 0, STR(":1}"));
}

static void test_tools(void **state)
{
    struct listener l = {.over = false};
    check_int(listen_to(&l, "", false, NULL), ERR_NONE);
    check_str(str_of(l.seen), STR(""));
    play_tools(asked(0));
    end(&answers[0], ERR_NONE, FINISH_TOOL_CALLS);
    check_str(str_of(l.seen),
              STR("[fake/one](hm)sig:x1 <te><xt>tool0:id:name args0:{\"a\" args0::1} done::one"));
    check_int(l.end.finish, FINISH_TOOL_CALLS);
    check_int(l.end.usage.completion_tokens, 7);

    l = (struct listener){.over = false}; /* a tool call that was begun cannot be gone on with */
    listen_to(&l, "", false, NULL);
    play_tools(asked(1));
    end(&answers[1], ERR_NETWORK, FINISH_NONE);
    check_true(l.over);
    check_int(l.end.e, ERR_NETWORK);
    check_true(l.end.shown);
}

/* Held until it is whole: what a model said before it broke off is not seen. */
static void test_hold(void **state)
{
    struct listener l = {.over = false};
    listen_to(&l, "", true, NULL);
    play_tools(asked(0));
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    play_tools(asked(1));
    check_str(str_of(l.seen), STR("[fake/one][fake/two]"));
    end(&answers[1], ERR_NONE, FINISH_TOOL_CALLS);
    check_str(str_of(l.seen),
              STR("[fake/one][fake/two](hm)sig:x1 <text>tool0:id:name args0:{\"a\":1} done::two"));
    l = (struct listener){.cancel_at_text = true};
    listen_to(&l, "", true, NULL);
    play_tools(asked(2));
    end(&answers[2], ERR_NONE, FINISH_STOP);
    check_str(str_of(l.seen),
              STR("[fake/one](hm)sig:x1 <text>")); /* nothing after it was cancelled */
}

static void test_cancel_in_text(void **state)
{
    struct listener l = {.cancel_at_text = true};
    listen_to(&l, "", false, NULL);
    say(asked(0), "x");
    check_true(l.over && answers[0].cancelled);
    check_str(str_of(l.seen), STR("[fake/one]<x>"));
    l = (struct listener){.over = false}; /* before it began */
    listen_to(&l, "", false, NULL);
    reply_cancel(l.reply);
    run_for(5);
    check_int(answers_count, 1);
}

static void test_total_time(void **state)
{
    static struct ask q;
    struct listener l = {.over = false};
    q = ask_none;
    q.messages = &hello;
    q.messages_count = 1;
    struct reply_ask asks = {.ask = &q, .total_ms = 40};
    struct reply_events to = {&l, l_started, l_text, NULL, NULL, NULL, NULL, l_done};
    check_int(reply_start(&l.reply, models, loop, &asks, to, NULL), ERR_NONE);
    end(asked(0), ERR_SERVER, FINISH_NONE); /* all hops together */
    UNTIL(l.over);
    check_true(asked(1)->cancelled);
    check_int(l.end.e, ERR_TIMEOUT);
    check_true(!l.end.shown);
}

/* ---- models by name ---- */

static const str aliases[] = {{"small=plain/tiny", 16}, {"gpt-3.5-turbo=fake/two", 22}};

static void set_more(bool any)
{
    struct model_conf types[] = {{MODEL_OTHER, &fake, {.type = "fake"}},
                                 {MODEL_OTHER, &plain, {.type = "plain"}}};
    struct models_more more = {.types = types,
                               .types_count = 2,
                               .aliases = aliases,
                               .aliases_count = 2,
                               .loads = "plain",
                               .any = any,
                               .breaker_failures = breaker_failures};
    check_int(models_more(models, &more, NULL), ERR_NONE);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *any, *configured; /* who is asked first; NULL: nobody */
    } cases[] = {
        {"one", "fake/one", "fake/one"},
        {"two", "fake/two", "fake/two"},
        {"fake/three", "fake/three", "fake/three"},
        {"FAKE/three", "fake/three", "fake/three"},
        {"gpt-3.5-turbo", "fake/two", "fake/two"},
        {"small", "plain/tiny", "plain/tiny"},
        {"sema", "fake/one", "fake/one"},
        {"default", "fake/one", "fake/one"},
        {"fake/new", "fake/new", NULL},
        {"fake/a/b", "fake/a/b", NULL},
        {"nobody", NULL, NULL},
        {"other/x", NULL, NULL},
        {"gpt-9", NULL, NULL}, /* no such backend */
    };
    for (int any = 1; any >= 0; any--) {
        close_all();
        setup(NULL);
        set_more(any);
        for (size_t i = 0, n = 0; i < sizeof cases / sizeof *cases; i++) {
            const char *want = any ? cases[i].any : cases[i].configured;
            struct listener l = {.over = false};
            struct err_note why = {.text = ""};
            enum err e = listen_to(&l, cases[i].name, false, &why);
            if (e != (want ? ERR_NONE : ERR_MODEL_NOT_FOUND))
                print_error("%s: %d\n", cases[i].name, e);
            check_int(e, want ? ERR_NONE : ERR_MODEL_NOT_FOUND);
            if (e) {
                check_true(strstr(why.text, "fake/one, fake/two, fake/three") != NULL);
                continue;
            }
            asked(n++);
            char head[40];
            snprintf(head, sizeof head, "[%s]", want);
            check_str(str_of(l.seen), str_of(head));
            reply_cancel(l.reply);
        }
    }
}

/* A named one falls back to the chain, which it then does not ask twice. */
static void test_named_falls_back(void **state)
{
    struct listener l = {.over = false};
    set_more(true);
    listen_to(&l, "two", false, NULL);
    end(asked(0), ERR_SERVER, FINISH_NONE);
    end(asked(1), ERR_SERVER, FINISH_NONE);
    check_true(l.over);
    check_str(str_of(l.seen), STR("[fake/two][fake/three]done:provider_server:three"));
}

/* A name that its provider does not know is the asker's mistake; the current model's is not. */
static void test_named_unknown(void **state)
{
    static const struct {
        const char *name, *seen;
        bool mistake;
    } cases[] = {
        {"fake/new", "[fake/new]done:provider_model_not_found:new", true},
        {"two", "[fake/two]done:provider_model_not_found:two", true},
        {"sema", "[fake/one][fake/two]", false},
        {"", "[fake/one][fake/two]", false},
    };

    set_more(true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listener l = {.over = false};
        answers_count = 0;
        listen_to(&l, cases[i].name, false, NULL);
        end(asked(0), ERR_MODEL_NOT_FOUND, FINISH_NONE);
        check_str(str_of(l.seen), str_of(cases[i].seen));
        check_true(l.over == cases[i].mistake);
        check_true(l.end.unknown_name == cases[i].mistake);
        if (!l.over) reply_cancel(l.reply);
    }
}

/* Refused without a call, or asked and failed with `e`. */
static bool asks_named(const char *name, enum err e)
{
    struct listener l = {.over = false};
    size_t before = answers_count;

    check_int(listen_to(&l, name, false, NULL), ERR_NONE);
    UNTIL(answers_count > before);
    bool is_it = str_eq(str_of(answers[before].of->name), str_tail(str_of(name), 5));
    if (is_it && e) end(&answers[before], e, FINISH_NONE);
    if (!l.over) reply_cancel(l.reply);
    answers_count = 0;
    return is_it;
}

/* What clients name has each a breaker of its own, which outlives the model; its numbers are kept
 * under "other", for a client's words are no label. */
static void test_named_services(void **state)
{
    char name[32];

    set_more(true);
    for (int i = 0; i < 3; i++) check_true(asks_named("fake/bad", ERR_SERVER));
    check_true(!asks_named("fake/bad", ERR_NONE));
    check_true(asks_named("fake/good", ERR_NONE));
    for (int i = 0; i < 400; i++) { /* more than there is room for, of models and of services */
        snprintf(name, sizeof name, "fake/n%d", i);
        backends_count = 1; /* of the names kept by the test alone */
        check_true(asks_named(name, ERR_NONE));
        if (i == 100) check_true(!asks_named("fake/bad", ERR_NONE)); /* its model is gone by now */
    }
    check_true(asks_named("fake/bad", ERR_NONE)); /* forgotten, as the least recently used */

    bool other = false;
    for (size_t i = 0; i < models_numbers_count(models); i++) {
        const struct model_numbers *n = models_numbers(models, i);
        check_true(n->model.at[0] != 'n' && !str_eq(n->model, STR("bad")));
        if (!str_eq(n->model, STR("other"))) continue;
        other = true;
        check_int(counter_read(&n->failed), 3);
        check_int(counter_read(&n->cancelled), 402);
    }
    check_true(other);
}

/* A limit that comes without a time is asked into a few times, then not for a while. */
static void test_limit_without_time(void **state)
{
    set_more(true);
    for (int i = 0; i < 3; i++) check_true(asks_named("fake/full", ERR_RATE_LIMIT));
    for (int i = 0; i < 5; i++) check_true(!asks_named("fake/full", ERR_NONE));
}

/* One that must be loaded is, at first use; what is wrong with it is told. */
static void test_loaded_at_first_use(void **state)
{
    struct listener l = {.over = false};
    set_more(true);
    listen_to(&l, "plain/x", false, NULL);
    UNTIL(answers_count == 1);
    check_int(answers[0].of->prepares, 1);
    reply_cancel(l.reply);
    listen_to(&l, "fake/x", false, NULL);
    asked(1);
    check_int(answers[1].of->prepares, 0);
    reply_cancel(l.reply);
    check_int(models_count(models), 5);
}

/* ---- the switch ---- */

struct switched {
    bool over;
    enum err e;
    char text[200];
};

static void on_switched(void *ctx, enum err e, const struct err_note *why,
                        const struct model_switched *s)
{
    struct switched *to = ctx;
    to->e = e;
    to->over = true;
    if (!e)
        snprintf(to->text, sizeof to->text, "%s/%.*s -> %s/%.*s%s", s->type_before,
                 STR_ARG(s->name_before), s->type_now, STR_ARG(s->name_now),
                 s->us ? "" : " (current)");
}

static struct switched switch_to(const char *type, const char *name)
{
    static struct switched s;
    s = (struct switched){.over = false};
    check_int(models_switch(models, loop, str_of(type), str_of(name), STR_NONE, 500, on_switched,
                            &s),
              ERR_NONE);
    check_true(!s.over);
    UNTIL(s.over);
    return s;
}

static const char *current(void)
{
    static char text[64];
    struct model_view v;
    models_view(models, 0, &v);
    check_int(v.role, MODEL_PRIMARY);
    snprintf(text, sizeof text, "%s/%.*s", v.type, STR_ARG(v.name));
    return text;
}

static void test_switch(void **state)
{
    struct caller old = {0}, new = {0};
    set_more(true);
    start(&old, "old", "q", true);
    say(asked(0), "begun ");
    struct switched s = switch_to("fake", "fresh");
    check_int(s.e, ERR_NONE);
    check_str(str_of(s.text), STR("fake/one -> fake/fresh"));
    check_str(str_of(current()), STR("fake/fresh"));
    start(&new, "new", "q", true);
    check_str(str_of(asked(1)->of->name), STR("fresh"));
    say(&answers[0], "and ended"); /* on the old one, to the end */
    end(&answers[0], ERR_NONE, FINISH_STOP);
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(old.over && new.over);
    check_str(str_of(old.seen), STR("started <begun ><and ended>done:begun and ended|one|stop"));
    check_str(str_of(new.seen), STR("started done:|fresh|stop"));
    s = switch_to("", "fresh");
    check_str(str_of(s.text), STR("fake/fresh -> fake/fresh (current)"));
    s = switch_to("plain", "other");
    check_str(str_of(s.text), STR("fake/fresh -> plain/other"));
}

/* One of the chain is the same model, loaded once; back again it stands at both places no more. */
static void test_switch_to_fallback(void **state)
{
    struct caller c = {0};
    set_more(true);
    size_t made = backends_count;
    struct switched s = switch_to("fake", "two");
    check_str(str_of(s.text), STR("fake/one -> fake/two"));
    check_int(backends_count, made);
    start(&c, "s", "q", false);
    check_str(str_of(asked(0)->of->name), STR("two"));
    end(&answers[0], ERR_SERVER, FINISH_NONE);
    check_str(str_of(asked(1)->of->name), STR("three")); /* not the same one again */
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    s = switch_to("fake", "one");
    check_str(str_of(s.text), STR("fake/two -> fake/one"));
    check_int(models_count(models), 3);
    start(&c, "s", "q", false);
    end(asked(2), ERR_SERVER, FINISH_NONE);
    check_str(str_of(asked(3)->of->name), STR("two"));
    turn_cancel(c.turn);
}

static enum err told;

static void fake_prepare_as_told(struct backend *b, struct loop *l,
                                 void (*done)(void *ctx, enum err e, const struct err_note *why),
                                 void *ctx)
{
    struct err_note why = {.text = "as told"};
    if (told != ERR_COUNT) done(ctx, told, &why);
}

static enum err refuse_open(struct backend **out, const struct backend_conf *c,
                            struct err_note *why)
{
    return err_set(why, ERR_CREDENTIAL, "X_API_KEY is not set");
}

/* On any failure nothing changes. */
static void test_switch_fails(void **state)
{
    static const enum err kinds[] = {
        ERR_AUTH,           ERR_NETWORK,         ERR_NOT_FOUND, ERR_MODEL_NOT_FOUND,
        ERR_MODEL_UNUSABLE, ERR_MODEL_TOO_LARGE, ERR_NONE};
    static struct backend_ops failing; /* the models outlive this frame: teardown frees them */
    struct model_conf types[] = {{MODEL_OTHER, &fake, {.type = "fake"}},
                                 {MODEL_OTHER, &failing, {.type = "plain"}}};
    struct models_more more = {.types = types, .types_count = 2, .any = true};
    failing = plain;
    failing.prepare = fake_prepare_as_told;
    check_int(models_more(models, &more, NULL), ERR_NONE);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        told = kinds[i];
        struct switched s = switch_to("plain", "x");
        check_int(s.e, kinds[i]);
        check_str(str_of(current()), kinds[i] ? STR("fake/one") : STR("plain/x"));
        if (kinds[i]) check_int(models_count(models), 3);
    }
    told = ERR_COUNT; /* never */
    check_int(switch_to("plain", "slow").e, ERR_TIMEOUT);
    check_str(str_of(current()), STR("plain/x"));
    check_int(switch_to("nonsense", "x").e, ERR_UNSUPPORTED);
    failing.open = refuse_open;
    check_int(switch_to("plain", "y").e, ERR_CREDENTIAL);
    struct switched one = {.over = false}, two = {.over = false};
    failing.open = fake_open;
    models_switch(models, loop, STR("plain"), STR("a"), STR_NONE, 50, on_switched, &one);
    models_switch(models, loop, STR("plain"), STR("b"), STR_NONE, 50, on_switched, &two);
    UNTIL(one.over && two.over);
    check_int(one.e, ERR_TIMEOUT);
    check_int(two.e, ERR_CONFLICT);
    check_str(str_of(current()), STR("plain/x"));
    told = ERR_NONE;
    check_int(switch_to("plain", "after").e, ERR_NONE);
}

int main(void)
{
#define CASE(name, up) cmocka_unit_test_setup_teardown(test_##name, up, teardown)
    const struct CMUnitTest tests[] = {
        CASE(goes_on, setup),
        CASE(starts_over, setup),
        CASE(other_words, setup),
        CASE(rescued_twice, setup),
        CASE(break_is_the_cause, setup),
        CASE(who_can, setup_mixed),
        CASE(only_thought, setup),
        CASE(not_rescued, setup),
        CASE(cancel_while_rescued, setup),
        CASE(hidden_reasoning, setup),
        CASE(rate_limited, setup_one),
        CASE(short_waits_are_not_marked, setup_one),
        CASE(auth_and_quota, setup_one),
        CASE(breaker, setup_breaker),
        CASE(breaker_not_for_callers, setup_breaker),
        CASE(tools, setup),
        CASE(hold, setup),
        CASE(cancel_in_text, setup),
        CASE(total_time, setup),
        CASE(names, setup),
        CASE(named_falls_back, setup),
        CASE(named_unknown, setup),
        CASE(named_services, setup_breaker),
        CASE(limit_without_time, setup_breaker),
        CASE(loaded_at_first_use, setup),
        CASE(switch, setup),
        CASE(switch_to_fallback, setup),
        CASE(switch_fails, setup),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
