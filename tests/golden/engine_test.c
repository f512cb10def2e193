/* The engine whole, on the built-in model: conversations in, text out, as model/expected.jsonl has
 * it; and what a scheduler must keep: the answer of a job never depends on what else runs. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "engine/engine.h"
#include "engine/format/files.h"

enum { WAIT_S = 60 };

static struct engine *engine;

/* ---- one job, waited for ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buf text;
    struct buf call_names, call_args; /* of tool calls, one after the other */
    int pieces, dones;
    enum err e;
    enum engine_finish finish;
    struct engine_usage usage;
    struct err_note why;
    struct engine_job *job;
};

static void on_text(void *ctx, str text)
{
    struct waiter *w = ctx;
    pthread_mutex_lock(&w->lock);
    buf_add(&w->text, text);
    w->pieces++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void on_tool_begin(void *ctx, int index, str name)
{
    struct waiter *w = ctx;
    (void)index;
    buf_add(&w->call_names, name);
    buf_add_char(&w->call_names, ';');
}

static void on_tool_args(void *ctx, int index, str fragment)
{
    struct waiter *w = ctx;
    (void)index;
    buf_add(&w->call_args, fragment);
}

static void on_done(void *ctx, enum err e, enum engine_finish finish, struct engine_usage usage,
                    const struct err_note *why)
{
    struct waiter *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->dones++;
    w->e = e;
    w->finish = finish;
    w->usage = usage;
    w->why = *why;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void waiter_init(struct waiter *w)
{
    *w = (struct waiter){0};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    buf_init(&w->text, 1 << 20);
    buf_init(&w->call_names, 1 << 16);
    buf_init(&w->call_args, 1 << 16);
}

static enum err begin(struct waiter *w, const struct engine_ask *ask)
{
    struct engine_events events = {.ctx = w,
                                   .text = on_text,
                                   .tool_begin = on_tool_begin,
                                   .tool_args = on_tool_args,
                                   .done = on_done};
    waiter_init(w);
    return engine_ask(&w->job, engine, ask, events, &w->why);
}

static void wait_until(struct waiter *w, int pieces)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&w->lock);
    while (w->dones == 0 && (pieces == 0 || w->pieces < pieces))
        if (pthread_cond_timedwait(&w->changed, &w->lock, &until)) break;
    pthread_mutex_unlock(&w->lock);
}

static void waiter_end(struct waiter *w)
{
    wait_until(w, 0);
    check_int(w->dones, 1);
    engine_release(w->job);
    buf_fini(&w->text);
    buf_fini(&w->call_names);
    buf_fini(&w->call_args);
}

static struct engine_ask greedy(const char *messages)
{
    struct engine_ask ask = {.messages_json = str_of(messages),
                             .sampling = engine_sampling_none,
                             .otherwise = engine_sampling_none,
                             .max_tokens = 200};
    ask.sampling.temperature = 0;
    return ask;
}

#define USER(text) "[{\"role\":\"user\",\"content\":\"" text "\"}]"

/* ---- the golden answers ---- */

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("cannot read %s", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*len + 1);
    check_int(fread(text, 1, *len, f), *len);
    fclose(f);
    return text;
}

static void check_answer(yyjson_val *row)
{
    struct buf messages;
    struct waiter w;
    struct engine_ask ask = greedy("");

    buf_init(&messages, 1 << 20);
    struct json_out o = json_begin(&messages);
    json_val(&o, json_get(row, "messages"));
    ask.messages_json = buf_str(&messages);
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_NONE);
    check_str(buf_str(&w.text), json_get_str(row, "reply_text"));
    check_int(w.finish, ENGINE_STOP);
    check_int(w.usage.prompt_tokens, yyjson_arr_size(json_get(row, "prompt_ids")));
    check_int(w.usage.answer_tokens, yyjson_arr_size(json_get(row, "reply_ids")) - 1);
    waiter_end(&w);
    buf_fini(&messages);
}

static int check_answers(const char *path)
{
    size_t len;
    char *text = read_file(path, &len);
    str rest = str_span(text, len), line;
    int seen = 0;

    while (str_split(&rest, '\n', &line)) {
        yyjson_doc *doc;
        if (line.len == 0) continue;
        check_int(json_read(&doc, line, 64, JSON_PLAIN, NULL), ERR_NONE);
        check_answer(yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
        seen++;
    }
    free(text);
    return seen;
}

static void test_expected(void **state)
{
    (void)state;
    char path[512];

    snprintf(path, sizeof path, "%s/model/expected.jsonl", getenv("SEMA_SOURCE_ROOT"));
    check_int(check_answers(path), 97);
}

/* The trained models of the shared test data; chat-llama3 prints today's date into its prompt. */
static void test_chat_models(void **state)
{
    (void)state;
    static const char *const names[] = {"chat-llama", "chat-qwen2", "chat-gemma1", "chat-gemma2",
                                        "chat-dialogpt"};
    const char *shared = getenv("SEMA_SHARED_DATA");
    struct engine *builtin = engine;

    if (shared == NULL || access(shared, R_OK) != 0) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        struct files *files;
        struct err_note why = {.text = ""};
        struct engine_conf conf = {.threads = 2, .jobs_max = 8};
        snprintf(path, sizeof path, "%s/chat-models/%s", shared, names[i]);
        if (files_open(&files, path, &why) || engine_open(&engine, files, &conf, &why))
            fail_msg("%s: %s", path, why.text);
        snprintf(path, sizeof path, "%s/chat-models/%s/expected/chat.jsonl", shared, names[i]);
        check_true(check_answers(path) > 10);
        engine_close(engine);
        engine = builtin;
    }
}

/* ---- what else runs changes nothing ---- */

static void test_seed_beside_others(void **state)
{
    (void)state;
    struct engine_ask ask = greedy(USER("Tell me about fallbacks"));
    ask.sampling.temperature = 1;
    ask.seeded = true;
    ask.seed = 42;
    struct waiter alone, again, others[8];

    check_int(begin(&alone, &ask), ERR_NONE);
    wait_until(&alone, 0);
    for (int i = 0; i < 8; i++) {
        struct engine_ask other =
            greedy(USER("How do I use Docker? And where are my chats saved?"));
        other.sampling.temperature = 1;
        other.seeded = true;
        other.seed = (uint64_t)i;
        check_int(begin(&others[i], &other), ERR_NONE);
    }
    check_int(begin(&again, &ask), ERR_NONE);
    wait_until(&again, 0);
    check_true(alone.text.len > 0);
    check_str(buf_str(&again.text), buf_str(&alone.text));
    waiter_end(&alone);
    waiter_end(&again);
    for (int i = 0; i < 8; i++) waiter_end(&others[i]);
}

static void test_second_turn_reuses(void **state)
{
    (void)state;
    struct engine_ask first = greedy(USER("How do I set up a fallback model for my server?"));
    struct waiter a, b;
    struct buf second;

    check_int(begin(&a, &first), ERR_NONE);
    wait_until(&a, 0);
    buf_init(&second, 1 << 16);
    struct json_out o = json_begin(&second);
    json_array(&o);
    json_object(&o);
    json_key(&o, "role"), json_text(&o, STR("user"));
    json_key(&o, "content"), json_text(&o, STR("How do I set up a fallback model for my server?"));
    json_end_object(&o);
    json_object(&o);
    json_key(&o, "role"), json_text(&o, STR("assistant"));
    json_key(&o, "content"), json_text(&o, buf_str(&a.text));
    json_end_object(&o);
    json_object(&o);
    json_key(&o, "role"), json_text(&o, STR("user"));
    json_key(&o, "content"), json_text(&o, STR("show me an example"));
    json_end_object(&o);
    json_end_array(&o);
    struct engine_ask next = greedy("");
    next.messages_json = buf_str(&second);
    check_int(begin(&b, &next), ERR_NONE);
    wait_until(&b, 0);
    check_true(b.usage.reused_tokens >= a.usage.prompt_tokens - 1);
    waiter_end(&a);
    waiter_end(&b);
    buf_fini(&second);
}

/* ---- ends ---- */

static void test_cancel(void **state)
{
    (void)state;
    struct engine_ask ask = greedy(USER("What can you do?"));
    struct waiter w;

    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 1);
    engine_cancel(w.job);
    wait_until(&w, 0);
    check_true(w.e == ERR_CANCELLED || w.e == ERR_NONE);
    waiter_end(&w);

    check_int(begin(&w, &ask), ERR_NONE);
    engine_cancel(w.job); /* before anything came */
    wait_until(&w, 0);
    check_int(w.e, ERR_CANCELLED);
    waiter_end(&w);
}

static void test_length_and_stop(void **state)
{
    (void)state;
    struct engine_ask ask = greedy(USER("What can you do?"));
    struct waiter w;

    ask.max_tokens = 3;
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.finish, ENGINE_LENGTH);
    check_int(w.usage.answer_tokens, 3);
    waiter_end(&w);

    const str stops[] = {STR("use Sema")};
    ask.max_tokens = 200;
    ask.stops = stops;
    ask.stops_count = 1;
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.finish, ENGINE_STOP);
    check_str(buf_str(&w.text), STR("I explain how to set up and "));
    waiter_end(&w);
}

static void test_prefill_goes_on(void **state)
{
    (void)state;
    struct engine_ask ask = greedy(USER("What can you do?"));
    struct waiter w;

    ask.prefill = STR("I explain how to set up");
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_NONE);
    check_str(
        buf_str(&w.text),
        STR(" and use Sema, and I can do small sums and a little small talk. For more, start a "
            "larger model."));
    waiter_end(&w);
}

static void test_schema(void **state)
{
    (void)state;
    struct engine_ask ask = greedy(USER("Tell me about Oslo as JSON"));
    struct waiter w;

    ask.schema_json =
        STR("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":12},"
            "\"size\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":99}},"
            "\"required\":[\"city\",\"size\"],\"additionalProperties\":false}");
    ask.sampling.temperature = 1;
    for (uint64_t seed = 0; seed < 5; seed++) {
        yyjson_doc *doc;
        ask.seeded = true;
        ask.seed = seed;
        check_int(begin(&w, &ask), ERR_NONE);
        wait_until(&w, 0);
        check_int(w.e, ERR_NONE);
        check_int(w.finish, ENGINE_STOP);
        check_int(json_read(&doc, buf_str(&w.text), 8, JSON_PLAIN, NULL), ERR_NONE);
        yyjson_val *root = yyjson_doc_get_root(doc);
        check_int(yyjson_obj_size(root), 2);
        check_true(yyjson_is_str(json_get(root, "city")));
        check_true(json_get_int(root, "size", 0) >= 1 && json_get_int(root, "size", 0) <= 99);
        yyjson_doc_free(doc);
        waiter_end(&w);
    }

    ask.schema_json = STR("{\"type\":\"object\",\"patternProperties\":{}}");
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_UNSUPPORTED);
    check_true(strstr(w.why.text, "patternProperties") != NULL);
    waiter_end(&w);
}

static void test_forced_call(void **state)
{
    (void)state;
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                                "\"description\":\"Weather\","
                                "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{"
                                "\"enum\":[\"Oslo\",\"Nairobi\"]}},"
                                "\"required\":[\"city\"]}}},"
                                "{\"type\":\"function\",\"function\":{\"name\":\"get_time\","
                                "\"parameters\":{\"type\":\"object\","
                                "\"properties\":{}}}}]";
    struct engine_ask ask = greedy(USER("What is the weather in Oslo?"));
    struct waiter w;
    yyjson_doc *doc;

    ask.tools_json = str_of(tools);
    ask.tool_choice = STR("get_weather");
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_NONE);
    check_int(w.finish, ENGINE_TOOL_CALLS);
    check_int(w.text.len, 0);
    check_str(buf_str(&w.call_names), STR("get_weather;"));
    check_int(json_read(&doc, buf_str(&w.call_args), 8, JSON_PLAIN, NULL), ERR_NONE);
    check_true(json_get_str(yyjson_doc_get_root(doc), "city").len > 0);
    yyjson_doc_free(doc);
    waiter_end(&w);

    ask.tool_choice = STR("no_such_tool");
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_BAD_REQUEST);
    waiter_end(&w);
}

static void test_context(void **state)
{
    (void)state;
    struct buf long_text;
    buf_init(&long_text, 1 << 20);
    buf_add(&long_text, STR("[{\"role\":\"user\",\"content\":\""));
    for (int i = 0; i < 3000; i++) buf_add(&long_text, STR("word "));
    buf_add(&long_text, STR("\"}]"));
    struct engine_ask ask = greedy("");
    ask.messages_json = buf_str(&long_text);
    ask.drop_old_turns = true;
    struct waiter w;
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_CONTEXT_LENGTH);
    waiter_end(&w);

    /* Forty old turns and a question: the oldest go, the system text and the question stay. */
    buf_clear(&long_text);
    buf_add(&long_text, STR("[{\"role\":\"system\",\"content\":\"Be brief.\"}"));
    for (int i = 0; i < 40; i++)
        buf_addf(
            &long_text,
            ",{\"role\":\"user\",\"content\":\"question number %d with some words\"},"
            "{\"role\":\"assistant\",\"content\":\"answer number %d with some words as well\"}",
            i, i);
    buf_add(&long_text, STR(",{\"role\":\"user\",\"content\":\"What can you do?\"}]"));
    ask.messages_json = buf_str(&long_text);
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_NONE);
    struct engine_info info;
    engine_info(engine, &info);
    check_true(w.usage.prompt_tokens <= info.ctx_tokens - 200);
    check_true(w.usage.prompt_tokens > info.ctx_tokens / 2);
    waiter_end(&w);

    ask.drop_old_turns = false;
    check_int(begin(&w, &ask), ERR_NONE);
    wait_until(&w, 0);
    check_int(w.e, ERR_CONTEXT_LENGTH);
    waiter_end(&w);
    buf_fini(&long_text);
}

/* A megabyte without a space takes its time; a short question does not wait behind it. */
static void test_long_text_beside(void **state)
{
    (void)state;
    enum { REPEATS = 2000000 };
    struct buf text;
    struct waiter lengthy, brief;

    buf_init(&text, 16 << 20);
    buf_add(&text, STR("[{\"role\":\"user\",\"content\":\""));
    for (int i = 0; i < REPEATS; i++) buf_add(&text, STR("\xE5\xA5\xBD"));
    buf_add(&text, STR("\"}]"));
    struct engine_ask ask = greedy("");
    ask.messages_json = buf_str(&text);
    check_int(begin(&lengthy, &ask), ERR_NONE);

    ask = greedy(USER("Hello"));
    ask.max_tokens = 1;
    check_int(begin(&brief, &ask), ERR_NONE);
    wait_until(&brief, 0);
    check_int(brief.e, ERR_NONE);
    pthread_mutex_lock(&lengthy.lock);
    int done = lengthy.dones;
    pthread_mutex_unlock(&lengthy.lock);
    check_int(done, 0);
    engine_cancel(lengthy.job);
    waiter_end(&lengthy);
    waiter_end(&brief);
    buf_fini(&text);
}

static void test_queue_full(void **state)
{
    (void)state;
    enum { MANY = 60 }; /* 32 run, 8 wait */
    static struct waiter w[MANY];
    struct engine_ask ask = greedy(USER("What can you do?"));
    int refused = 0;

    for (int i = 0; i < MANY; i++) {
        enum err e = begin(&w[i], &ask);
        check_true(e == ERR_NONE || e == ERR_QUEUE_FULL);
        if (e) {
            refused++;
            w[i].job = NULL;
        }
    }
    check_true(refused > 0);
    for (int i = 0; i < MANY; i++) {
        if (w[i].job == NULL) continue;
        wait_until(&w[i], 0);
        check_int(w[i].e, ERR_NONE);
        waiter_end(&w[i]);
    }
}

static int open_engine(void **state)
{
    (void)state;
    char path[512];
    struct files *files;
    struct err_note why = {0};
    struct engine_conf conf = {.threads = 2, .jobs_max = 8};

    snprintf(path, sizeof path, "%s/model/sema-guide", getenv("SEMA_SOURCE_ROOT"));
    if (files_open(&files, path, &why) || engine_open(&engine, files, &conf, &why)) {
        print_error("%s\n", why.text);
        return -1;
    }
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    engine_close(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_chat_models),
        cmocka_unit_test(test_seed_beside_others),
        cmocka_unit_test(test_second_turn_reuses),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_length_and_stop),
        cmocka_unit_test(test_prefill_goes_on),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_forced_call),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_long_text_beside),
        cmocka_unit_test(test_queue_full),
    };
    return cmocka_run_group_tests_name("golden/engine", tests, open_engine, close_engine);
}
