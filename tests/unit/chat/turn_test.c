/* The course of a turn, against a backend played by hand: order, cancelling in every phase, what is
 * kept of what went wrong, fall-back, deadlines. */
#include "fake.h"

#define MD_U "{\"session_id\":\"s\"}"
#define MD_A(more)                                                                                 \
    "{\"session_id\":\"s\",\"message_id\":\"6b225332-8d98-45c4-9aad-edef69b6adab\"," more "}"
#define MD_OK MD_A("\"model_name\":\"one\",\"finish_reason\":\"stop\"")

static int setup(void **state)
{
    static const char *const names[] = {"one"};
    conf_reset();
    open_all(names, 1);
    return 0;
}

static int setup_chain(void **state)
{
    static const char *const names[] = {"one", "two", "three"};
    conf_reset();
    open_all(names, 3);
    return 0;
}

static int setup_short(void **state)
{
    static const char *const names[] = {"one"};
    conf_reset();
    conf.total_timeout_ms = 60;
    open_all(names, 1);
    return 0;
}

static int teardown(void **state)
{
    close_all();
    return 0;
}

/* ---- a turn that goes well ---- */

static void test_post(void **state)
{
    struct caller c = {0};
    check_int(start(&c, "s", "hello", false), ERR_NONE);
    check_str(str_of(c.seen), STR("")); /* nothing before turn_start returned */
    UNTIL(answers_count == 1);
    check_str(str_of(answers[0].prompt), STR("user: hello"));
    check_int(answers[0].ask.max_tokens, 512);
    check_true(answers[0].ask.temperature == 0.7);
    check_true(!answers[0].ask.stream);
    say(&answers[0], "\n Hi");
    say(&answers[0], " there \n");
    check_str(str_of(c.seen), STR("started "));
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started done:Hi there|one|stop"));
    check_int(c.result.token_count, 7);
    check_stored("s", "u:hello " MD_U "|a:Hi there " MD_OK);
}

static void test_stream(void **state)
{
    struct caller c = {0};
    start(&c, "s", "hello", true);
    UNTIL(answers_count == 1);
    say(&answers[0], " Hi");
    say(&answers[0], " there\n");
    end(&answers[0], ERR_NONE, FINISH_LENGTH);
    check_true(!c.over); /* stored first */
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started < Hi>< there\n>done:Hi there|one|length"));
    /* The text the client received, white space and all. */
    check_stored("s", "u:hello " MD_U "|a: Hi there\n " MD_A(
                          "\"model_name\":\"one\",\"finish_reason\":\"length\""));
}

static void test_second_turn(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q1", false);
    UNTIL(answers_count == 1);
    think(&answers[0], "hmm");
    say(&answers[0], "a1");
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started done:[Reasoning: hmm]\n\na1|r=hmm|one|stop"));
    start(&c, "s", "q2", false);
    UNTIL(answers_count == 2);
    check_str(str_of(answers[1].prompt), STR("user: q1|assistant: a1|user: q2"));
    end(&answers[1], ERR_NONE, FINISH_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started done:|one|")); /* empty text is an answer */
    check_int(look_at("s", 0, 0).row.count, 4);
}

static void test_request_values(void **state)
{
    struct caller c = {0};
    struct turn_ask ask = asking("s", "m", true);
    ask.temperature = 0;
    ask.max_tokens = 3;
    ask.reasoning = true;
    ask.system_prompt = STR("be brief");
    start_ask(&c, &ask);
    UNTIL(answers_count == 1);
    check_true(answers[0].ask.temperature == 0.0); /* 0 means 0 */
    check_int(answers[0].ask.max_tokens, 3);
    check_int(answers[0].ask.effort, EFFORT_MEDIUM);
    check_true(answers[0].ask.stream && answers[0].ask.trim);
    check_str(str_of(answers[0].prompt), STR("system: be brief|user: m"));
    turn_cancel(c.turn);
}

/* ---- order ---- */

static void test_order(void **state)
{
    struct caller a = {0}, b = {0}, other = {0};
    start(&a, "s", "q1", false);
    start(&b, "s", "q2", false);
    start(&other, "t", "q3", false);
    UNTIL(answers_count == 2); /* two sessions in parallel */
    check_str(str_of(answers[0].prompt), STR("user: q1"));
    check_str(str_of(answers[1].prompt), STR("user: q3"));
    say(&answers[0], "a1");
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(answers_count == 3);
    check_true(a.done);
    check_str(str_of(answers[2].prompt), STR("user: q1|assistant: a1|user: q2"));
    end(&answers[2], ERR_NONE, FINISH_STOP);
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(b.over && other.over);
}

static void test_busy(void **state)
{
    struct caller c[18] = {{0}};
    for (int i = 0; i < 17; i++) check_int(start(&c[i], "s", "q", false), ERR_NONE);
    check_int(start(&c[17], "s", "q", false), ERR_SESSION_BUSY);
    check_int(start(&c[17], "t", "q", false), ERR_NONE);
    turn_cancel(c[5].turn); /* one that waits makes room */
    check_int(start(&c[5], "s", "q", false), ERR_NONE);
    for (int i = 0; i < 18; i++) turn_cancel(c[i].turn);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    for (int i = 0; i < 18; i++) check_str(str_of(c[i].seen), STR(""));
}

static void test_failed_turn_leaves_place(void **state)
{
    struct caller a = {0}, b = {0};
    start(&a, "s", "q1", false);
    start(&b, "s", "q2", false);
    UNTIL(answers_count == 1);
    end(&answers[0], ERR_SERVER, FINISH_NONE);
    UNTIL(answers_count == 2);
    check_str(str_of(a.seen), STR("started failed:provider_server"));
    check_str(str_of(answers[1].prompt), STR("user: q2"));
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(b.over);
}

/* ---- cancelling ---- */

static void test_cancel_waiting(void **state)
{
    struct caller a = {0}, b = {0}, d = {0};
    start(&a, "s", "q1", false);
    start(&b, "s", "q2", false);
    start(&d, "s", "q3", false);
    UNTIL(answers_count == 1);
    turn_cancel(b.turn);
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(answers_count == 2);
    check_str(str_of(answers[1].prompt), STR("user: q1\n\nq3")); /* an empty answer is not sent */
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(d.over);
    check_str(str_of(b.seen), STR(""));
}

/* Its call, then its history, is on the way. */
static void test_cancel_at_once(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", false);
    turn_cancel(c.turn);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    start(&c, "s", "q", false);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT); /* called, reading */
    turn_cancel(c.turn);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_int(answers_count, 0);
    check_stored("s", "");
}

static void test_cancel_asking(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    turn_cancel(c.turn);
    check_true(answers[0].cancelled); /* at once, not within a second */
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_stored("s", "");
    check_int(look_at("s", 0, 9).row.born, 0);
}

static void test_cancel_streaming(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    say(&answers[0], "par");
    say(&answers[0], "tial");
    turn_cancel(c.turn);
    check_true(answers[0].cancelled);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_str(str_of(c.seen), STR("started <par><tial>"));
    check_stored("s", "u:q " MD_U
                      "|a:partial " MD_A("\"model_name\":\"one\",\"finish_reason\":\"cancelled\""));
}

static void test_cancel_post(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", false);
    UNTIL(answers_count == 1);
    say(&answers[0], "never sent");
    turn_cancel(c.turn);
    check_true(answers[0].cancelled);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_stored("s", "");
}

/* While it is being stored: stored whole, nobody told. */
static void test_cancel_keeping(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", false);
    UNTIL(answers_count == 1);
    say(&answers[0], "a");
    end(&answers[0], ERR_NONE, FINISH_STOP);
    turn_cancel(c.turn);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_str(str_of(c.seen), STR("started "));
    check_stored("s", "u:q " MD_U "|a:a " MD_OK);
}

static void test_cancel_in_event(void **state)
{
    struct caller c = {.cancel_at_start = true};
    start(&c, "s", "q", true);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_str(str_of(c.seen), STR("started "));
    check_int(answers_count, 0); /* nobody was asked */
    c = (struct caller){.cancel_at_text = true};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    say(&answers[0], "x");
    check_true(answers[0].cancelled);
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_str(str_of(c.seen), STR("started <x>"));
}

/* ---- failures ---- */

static void test_fail_before_text(void **state)
{
    static const struct {
        enum err e;
        const char *want;
    } cases[] = {
        {ERR_BAD_REQUEST, "started failed:provider_bad_request"},
        {ERR_TIMEOUT, "started failed:provider_timeout"},
        {ERR_QUEUE_FULL, "started failed:local_queue_full"},
        {ERR_AUTH, "started failed:provider_auth"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct caller c = {0};
        start(&c, "s", "q", i % 2);
        UNTIL(answers_count == i + 1);
        end(&answers[i], cases[i].e, FINISH_NONE);
        UNTIL(c.over);
        check_str(str_of(c.seen), str_of(cases[i].want));
        check_stored("s", "");
    }
}

static void test_fail_after_text(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    say(&answers[0], "half");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    check_true(!c.over); /* kept, then told */
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <half>failed:provider_network after text"));
    check_stored("s",
                 "u:q " MD_U "|a:half " MD_A("\"model_name\":\"one\",\"finish_reason\":\"error\""));
    start(&c, "s", "q2", false); /* a POST that breaks off leaves nothing */
    UNTIL(answers_count == 2);
    say(&answers[1], "half");
    end(&answers[1], ERR_NETWORK, FINISH_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started failed:provider_network"));
    check_int(look_at("s", 0, 0).row.count, 2);
}

static void test_ask_refused(void **state)
{
    struct caller c = {0};
    backends[0]->asks_to = ERR_QUEUE_FULL;
    start(&c, "s", "q", true);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started failed:local_queue_full"));
}

/* ---- deadlines ---- */

static void test_deadline(void **state)
{
    struct caller a = {0}, b = {0};
    start(&a, "s", "q", false);
    start(&b, "s", "waits for the first", false);
    UNTIL(a.over && b.over);
    check_str(str_of(a.seen), STR("started failed:provider_timeout"));
    check_str(str_of(b.seen), STR("failed:provider_timeout"));
    check_true(answers[0].cancelled);

    start(&a, "s", "q", true); /* twice the time; what was sent is kept */
    UNTIL(answers_count == 2);
    say(&answers[1], "half");
    run_for(80);
    check_true(!a.over);
    UNTIL(a.over);
    check_str(str_of(a.seen), STR("started <half>failed:provider_timeout after text"));
    check_stored("s",
                 "u:q " MD_U "|a:half " MD_A("\"model_name\":\"one\",\"finish_reason\":\"error\""));
}

/* ---- fall-back ---- */

static void test_fallback(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    check_true(answers[0].ask.others_ready);
    end(&answers[0], ERR_OVERLOADED, FINISH_NONE);
    check_int(answers_count, 2);
    check_str(str_of(answers[1].of->name), STR("two"));
    end(&answers[1], ERR_AUTH, FINISH_NONE);
    check_int(answers_count, 3);
    check_true(!answers[2].ask.others_ready);
    say(&answers[2], "yes");
    end(&answers[2], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started <yes>done:yes|three|stop"));
    check_int(counter_read(&models_counts(models)->fallbacks), 2);
    check_stored("s",
                 "u:q " MD_U "|a:yes " MD_A("\"model_name\":\"three\",\"finish_reason\":\"stop\""));
}

/* All fail: the first failure is the one to know. */
static void test_fallback_all_fail(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", false);
    UNTIL(answers_count == 1);
    end(&answers[0], ERR_RATE_LIMIT, FINISH_NONE);
    end(&answers[1], ERR_NETWORK, FINISH_NONE);
    end(&answers[2], ERR_SERVER, FINISH_NONE);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started failed:provider_rate_limit"));
}

/* What the provider rejected as invalid nobody takes over. */
static void test_no_fallback(void **state)
{
    static const enum err kinds[] = {ERR_BAD_REQUEST, ERR_CONTEXT_LENGTH, ERR_CONTENT_FILTER};
    for (size_t i = 0; i < 3; i++) {
        struct caller c = {0};
        start(&c, "s", "q", false);
        UNTIL(answers_count == i + 1);
        end(&answers[i], kinds[i], FINISH_NONE);
        UNTIL(c.over);
        check_int(answers_count, i + 1);
        check_int(c.failed, kinds[i]);
    }
}

/* A POST's client has seen nothing of what a model said before it broke off. */
static void test_fallback_after_unsent_text(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", false);
    UNTIL(answers_count == 1);
    think(&answers[0], "thought");
    say(&answers[0], "half");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    check_int(answers_count, 2);
    say(&answers[1], "whole");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);
    check_str(str_of(c.seen), STR("started done:whole|two|stop"));
}

/* A stream's client has: nobody starts over. */
static void test_no_fallback_after_text(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    UNTIL(answers_count == 1);
    say(&answers[0], "half");
    end(&answers[0], ERR_NETWORK, FINISH_NONE);
    UNTIL(c.over);
    check_int(answers_count, 1);
    check_str(str_of(c.seen), STR("started <half>failed:provider_network after text"));
}

/* ---- the session while a turn runs ---- */

static void test_running_is_shown(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q1", false);
    UNTIL(answers_count == 1);
    check_stored("s", "u:q1 " MD_U);
    struct looked s = look_at("s", 0, 9);
    check_int(s.row.count, 1);
    check_true(s.row.born != 0 && s.row.created_us != 0);
    say(&answers[0], "a1");
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(c.over);

    start(&c, "s", "q2", false);
    UNTIL(answers_count == 2);
    check_str(str_of(look_at("s", 0, 2).text), STR("a:a1 " MD_OK "|u:q2 " MD_U));
    check_str(str_of(look_at("s", 3, 1).text), STR("a:a1 " MD_OK));
    check_str(str_of(look_at("s", 4, 1).text), STR("u:q2 " MD_U));
    check_int(look_at("s", 2, 1).row.count, 3);
    end(&answers[1], ERR_SERVER, FINISH_NONE);
    UNTIL(c.over);
    check_int(look_at("s", 0, 9).row.count, 2);
}

static void test_forget_while_running(void **state)
{
    struct caller a = {0}, b = {0};
    start(&a, "s", "q1", false);
    start(&b, "s", "q2", false);
    UNTIL(answers_count == 1);
    forget_it("s");
    check_stored("s", ""); /* gone, the running turn's message too */
    check_int(look_at("s", 0, 9).row.born, 0);
    say(&answers[0], "a1");
    end(&answers[0], ERR_NONE, FINISH_STOP);
    UNTIL(answers_count == 2);
    check_str(str_of(a.seen), STR("started done:a1|one|stop")); /* delivered */
    check_str(str_of(answers[1].prompt), STR("user: q2"));      /* a new session */
    say(&answers[1], "a2");
    end(&answers[1], ERR_NONE, FINISH_STOP);
    UNTIL(b.over);
    check_stored("s", "u:q2 " MD_U "|a:a2 " MD_OK);
}

static void test_pause(void **state)
{
    struct caller c = {0};
    start(&c, "s", "q", true);
    turn_pause(c.turn, true); /* before there is anything to pause */
    UNTIL(answers_count == 1);
    check_true(answers[0].paused);
    turn_pause(c.turn, false);
    check_true(!answers[0].paused);
    turn_cancel(c.turn);
}

int main(void)
{
#define CASE(name, up) cmocka_unit_test_setup_teardown(test_##name, up, teardown)
    const struct CMUnitTest tests[] = {
        CASE(post, setup),
        CASE(stream, setup),
        CASE(second_turn, setup),
        CASE(request_values, setup),
        CASE(order, setup),
        CASE(busy, setup),
        CASE(failed_turn_leaves_place, setup),
        CASE(cancel_waiting, setup),
        CASE(cancel_at_once, setup),
        CASE(cancel_asking, setup),
        CASE(cancel_streaming, setup),
        CASE(cancel_post, setup),
        CASE(cancel_keeping, setup),
        CASE(cancel_in_event, setup),
        CASE(fail_before_text, setup),
        CASE(fail_after_text, setup),
        CASE(ask_refused, setup),
        CASE(deadline, setup_short),
        CASE(fallback, setup_chain),
        CASE(fallback_all_fail, setup_chain),
        CASE(no_fallback, setup_chain),
        CASE(fallback_after_unsent_text, setup_chain),
        CASE(no_fallback_after_text, setup_chain),
        CASE(running_is_shown, setup),
        CASE(forget_while_running, setup),
        CASE(pause, setup),
    };
    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
