/* Models getting ready: in order, again with back-off, the start's verdict, the reasoning model at
 * first use, what is counted. */
#include "fake.h"

static int settled_calls;
static enum err settled_e;

static void on_settled(void *ctx, enum err e, const struct err_note *why)
{
    settled_calls++;
    settled_e = e;
}

/* A chain of `count` named "0", "1", ...; not prepared yet. */
static void open_models(size_t count, bool reasoning)
{
    static const char *const names[] = {"0", "1", "2"};
    struct model_conf at[4] = {{0}};

    log_open(&(struct log_conf){.threshold = LEVEL_CRITICAL, .to_stderr = true}, NULL);
    backends_count = answers_count = 0;
    settled_calls = 0;
    check_int(loop_new(&loop, NULL), ERR_NONE);
    for (size_t i = 0; i < count; i++)
        at[i] = (struct model_conf){i ? MODEL_FALLBACK : MODEL_PRIMARY,
                                    &fake,
                                    {.model = str_of(names[i])}};
    if (reasoning) at[count] = (struct model_conf){MODEL_REASONING, &fake, {.model = STR("r")}};
    check_int(models_new(&models, loop, at, count + reasoning, NULL), ERR_NONE);
    check_int(models_count(models), count + reasoning);
}

static void close_models(void)
{
    loop_stop(loop);
    loop_run(loop);
    models_free(models);
    loop_free(loop);
}

static enum model_state state_of(size_t i)
{
    struct model_view v;
    models_view(models, i, &v);
    return v.state;
}

static void prepared(size_t i, enum err e)
{
    struct err_note why = {.text = ""};
    UNTIL(backends[i]->prepared);
    void (*done)(void *ctx, enum err e, const struct err_note *why) = backends[i]->prepared;
    backends[i]->prepared = NULL;
    done(backends[i]->prepared_ctx, e, &why);
}

static void test_in_order(void **state)
{
    open_models(3, false);
    for (int i = 0; i < 3; i++) backends[i]->prepares_later = true;
    check_int(state_of(0), MODEL_UNUSED);
    models_prepare(models, on_settled, NULL);
    check_int(state_of(0), MODEL_LOADING);
    check_int(backends[1]->prepares, 0);
    check_true(!models_any_ready(models));
    prepared(0, ERR_NETWORK); /* may pass: not settled, the next is tried */
    check_int(settled_calls, 0);
    check_int(backends[1]->prepares, 1);
    prepared(1, ERR_NONE);
    check_int(settled_calls, 1);
    check_int(settled_e, ERR_NONE);
    check_true(models_any_ready(models));
    prepared(2, ERR_AUTH);
    check_int(state_of(2), MODEL_FAILED);
    prepared(0, ERR_NONE); /* again, in the background */
    check_int(backends[0]->prepares, 2);
    check_int(state_of(0), MODEL_READY);
    check_int(settled_calls, 1);
    close_models();
}

/* The start fails only when every model of the chain failed for good. */
static void test_verdict(void **state)
{
    static const struct {
        enum err first, second;
        int calls;
        enum err e;
    } cases[] = {
        {ERR_AUTH, ERR_NONE, 1, ERR_NONE},           {ERR_AUTH, ERR_NETWORK, 0, ERR_NONE},
        {ERR_AUTH, ERR_MODEL_UNUSABLE, 1, ERR_AUTH}, {ERR_OVERLOADED, ERR_AUTH, 0, ERR_NONE},
        {ERR_NONE, ERR_AUTH, 1, ERR_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_models(2, false);
        backends[0]->prepares_to = cases[i].first;
        backends[1]->prepares_to = cases[i].second;
        models_prepare(models, on_settled, NULL);
        check_int(settled_calls, cases[i].calls);
        if (cases[i].calls) check_int(settled_e, cases[i].e);
        close_models();
    }
}

static void test_back_off(void **state)
{
    open_models(1, false);
    backends[0]->prepares_to = ERR_NETWORK;
    models_prepare(models, on_settled, NULL);
    run_for(300);
    check_int(backends[0]->prepares, 1);
    run_for(500); /* after half a second */
    check_int(backends[0]->prepares, 2);
    run_for(500); /* then after a whole one */
    check_int(backends[0]->prepares, 2);
    backends[0]->prepares_to = ERR_NONE;
    UNTIL(settled_calls);
    check_int(settled_e, ERR_NONE);
    close_models();
}

static void test_use(void **state)
{
    struct model_use *u = NULL, *v = NULL;
    struct model_view view;
    struct model_line line, deep;
    struct usage usage = usage_unknown;
    struct err_note why = {.text = ""};

    open_models(2, true);
    backends[0]->prepares_to = ERR_AUTH;
    check_int(models_use(models, &u), ERR_NOT_READY);
    models_prepare(models, on_settled, NULL);
    check_int(models_line(models, false, STR_NONE, &line, NULL), ERR_NONE);
    check_int(models_line(models, true, STR_NONE, &deep, NULL), ERR_NONE);
    check_int(line.count, 2);
    check_int(deep.count, 3); /* the reasoning model comes first */
    check_int(model_line_use(&line, 0, &u, &why), ERR_NOT_READY);
    check_true(model_line_ready_after(&line, 0));
    check_true(!model_line_ready_after(&line, 1));
    check_int(model_line_use(&line, 1, &u, &why), ERR_NONE);
    check_str(model_use_name(u), STR("1"));
    check_int(model_line_use(&line, 2, &v, &why), ERR_NOT_FOUND);
    check_int(model_line_use(&deep, 0, &v, &why), ERR_NOT_READY);
    check_int(model_line_use(&deep, 2, &v, &why), ERR_NONE);
    check_str(model_use_name(v), STR("1"));

    usage.prompt_tokens = 5;
    usage.completion_tokens = 3;
    models_view(models, 1, &view);
    check_int(view.first_token_ms, -1);
    model_use_first(u, 7000);
    model_use_end(u, ERR_SERVER, NULL, NULL, 0);
    models_view(models, 1, &view);
    check_int(view.requests, 2);
    check_int(view.failures, 1);
    check_int(view.last_error, ERR_SERVER);
    check_int(view.first_token_ms, 7);
    check_true(view.last_used_us > 0);
    model_use_end(v, ERR_NONE, NULL, &usage, 1000);
    models_view(models, 1, &view);
    check_int(view.last_error, ERR_NONE);
    check_int(models_use(models, &u), ERR_NONE);
    model_use_end(u, ERR_CANCELLED, NULL, NULL, 0);
    check_int(models_use(models, &u), ERR_NONE);
    model_use_drop(u);
    models_view(models, 1, &view);
    check_int(view.requests, 3);
    check_int(view.failures, 1);
    struct model_numbers *n = models_numbers(models, 1);
    check_str(n->model, STR("1"));
    check_int(counter_read(&n->ok), 1);
    check_int(counter_read(&n->failed), 1);
    check_int(counter_read(&n->cancelled), 1);
    check_int(counter_read(&n->prompt_tokens), 5);
    check_int(counter_read(&n->completion_tokens), 3);
    model_line_end(&line);
    model_line_end(&deep);
    close_models();
}

/* ---- the reasoning model: prepared when it is first asked for, which is waited for ---- */

static int setup_reasoning(void **state)
{
    static const char *const names[] = {"one", "r:deep"};
    conf_reset();
    open_all(names, 2);
    return 0;
}

static int teardown(void **state)
{
    close_all();
    return 0;
}

static void ask_reasoning(struct caller *c, const char *session)
{
    struct turn_ask ask = asking(session, "q", false);
    ask.reasoning = true;
    check_int(start_ask(c, &ask), ERR_NONE);
}

static void test_reasoning_first_use(void **state)
{
    struct caller a = {0}, b = {0}, d = {0};
    backends[1]->prepares_later = true;
    check_int(backends[1]->prepares, 0);
    ask_reasoning(&a, "a");
    ask_reasoning(&b, "b");
    ask_reasoning(&d, "d");
    UNTIL(backends[1]->prepared);
    run_for(10);
    check_int(answers_count, 0);
    turn_cancel(d.turn); /* while it waits */
    prepared(1, ERR_NONE);
    UNTIL(answers_count == 2);
    check_int(backends[1]->prepares, 1);
    check_str(str_of(answers[0].of->name), STR("deep"));
    end(&answers[0], ERR_NONE, FINISH_STOP);
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(a.over && b.over);
    check_str(str_of(a.seen), STR("started done:|deep|stop"));
    start(&a, "s", "q", false); /* without it: the primary */
    UNTIL(answers_count == 3);
    check_str(str_of(answers[2].of->name), STR("one"));
    turn_cancel(a.turn);
}

static void test_reasoning_falls_back(void **state)
{
    struct caller a = {0};
    backends[1]->prepares_to = ERR_NETWORK;
    ask_reasoning(&a, "a");
    UNTIL(answers_count == 1);
    check_str(str_of(answers[0].of->name), STR("one"));
    check_int(answers[0].ask.effort, EFFORT_MEDIUM);
    turn_cancel(a.turn);
    ask_reasoning(&a, "a"); /* not waited for a second time */
    UNTIL(answers_count == 2);
    turn_cancel(a.turn);
}

static void test_reasoning_cancel_on_the_way(void **state)
{
    struct caller a = {0};
    backends[1]->prepares_later = true;
    ask_reasoning(&a, "a");
    UNTIL(backends[1]->prepared);
    prepared(1, ERR_NONE); /* the call to the turn is posted, not run */
    turn_cancel(a.turn);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_int(answers_count, 0);
}

/* At a start: the first has failed, the second is being prepared for the first time. */
static void test_second_comes(void **state)
{
    static const char *const names[] = {"one", "two"};
    struct caller c = {0};

    conf_reset();
    second_prepares_later = true;
    open_all(names, 2);
    second_prepares_later = false;
    start(&c, "s", "q", false);
    UNTIL(answers_count == 1);
    end(&answers[0], ERR_SERVER, FINISH_NONE);
    run_for(20);
    check_true(!c.over);
    prepared(1, ERR_NONE);
    UNTIL(answers_count == 2);
    say(&answers[1], "yes");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started done:yes|two|stop"));
    close_all();
}

static void test_nobody_ready(void **state)
{
    static const char *const names[] = {"one", "two"};
    struct caller c = {0};
    close_all();
    conf_reset();
    open_all(names, 2);
    models_free(models); /* again, and not ready */
    struct model_conf at[] = {{MODEL_PRIMARY, &fake, {.model = STR("one")}}};
    backends_count = 0;
    check_int(models_new(&models, loop, at, 1, NULL), ERR_NONE);
    chat_free(chat);
    check_int(chat_new(&chat, &conf, shelf, models, NULL), ERR_NONE);
    check_int(start(&c, "s", "q", true), ERR_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("failed:model_not_ready"));
}

static void on_ready(struct model_wait *w)
{
    w->loop = NULL;
}

/* Asks for a model by name and waits until it was tried; the line stays with the caller. */
static void want(struct model_line *l, const char *name, struct model_wait *w)
{
    check_int(models_line(models, false, str_of(name), l, NULL), ERR_NONE);
    *w = (struct model_wait){.loop = loop, .ready = on_ready};
    check_int(model_line_wait(l, 0, false, w), ERR_NONE);
}

/* What clients named makes room for what they name next: the one used least recently, and never one
 * that is used.  What does not fit even then is told, and tried again later. */
static void test_room(void **state)
{
    struct model_conf type = {.ops = &fake, .conf = {.type = "fake"}};
    const struct models_more more = {.types = &type,
                                     .types_count = 1,
                                     .loads = "fake",
                                     .any = true};
    struct model_line a, b, c;
    struct model_wait w;
    struct model_use *use;

    open_models(1, false);
    check_int(models_more(models, &more, NULL), ERR_NONE);
    models_prepare(models, on_settled, NULL);
    want(&a, "fake/a", &w);
    UNTIL(w.loop == NULL && state_of(1) == MODEL_READY);
    model_line_end(&a);
    check_int(models_count(models), 2);

    want(&b, "fake/b", &w);
    backends[2]->prepares_later = true;
    prepared(2, ERR_MODEL_TOO_LARGE);
    check_int(models_count(models), 2); /* a went */
    UNTIL(backends[2]->prepares == 2);
    prepared(2, ERR_NONE);
    UNTIL(w.loop == NULL);
    check_int(model_line_use(&b, 0, &use, NULL), ERR_NONE);

    want(&c, "fake/c", &w);
    backends[3]->prepares_later = true;
    prepared(3, ERR_MODEL_TOO_LARGE);
    UNTIL(w.loop == NULL); /* b is used: nobody goes */
    check_int(models_count(models), 3);
    struct model_use *none;
    check_int(model_line_use(&c, 0, &none, NULL), ERR_MODEL_TOO_LARGE);
    check_int(model_line_wait(&c, 0, false, &w), ERR_NOT_FOUND);
    model_use_drop(use);
    model_line_end(&b);
    model_line_end(&c);
    models_unload(models, STR("fake/b"));
    check_int(models_count(models), 2);
    models_unload(models, STR("sema")); /* one of the settings stays */
    check_int(models_count(models), 2);
    close_models();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_use),
        cmocka_unit_test_setup_teardown(test_reasoning_first_use, setup_reasoning, teardown),
        cmocka_unit_test_setup_teardown(test_reasoning_falls_back, setup_reasoning, teardown),
        cmocka_unit_test_setup_teardown(test_reasoning_cancel_on_the_way, setup_reasoning,
                                        teardown),
        cmocka_unit_test(test_second_comes),
        cmocka_unit_test_setup_teardown(test_nobody_ready, setup_reasoning, teardown),
    };
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
