/* A backend that the test plays by hand, a loop that it runs step by step, and the events of a turn
 * as one line of text. */
#ifndef SEMA_TESTS_CHAT_FAKE_H
#define SEMA_TESTS_CHAT_FAKE_H

#include "check.h"

#include <math.h>
#include <string.h>

#include <uv.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/loop.h"
#include "chat/chat.h"
#include "chat/models.h"

/* ---- the loop ---- */

static struct loop *loop;

static void on_tick(struct timer *t)
{
    (void)t;
}

/* Runs the loop until `cond`, for 5 s at most. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        uint64_t until_ = uv_hrtime() + 5000000000u;                                               \
        while (!(cond)) {                                                                          \
            static struct timer tick_;                                                             \
            timer_set(&tick_, loop, 2, on_tick);                                                   \
            uv_run(loop_uv(loop), UV_RUN_ONCE);                                                    \
            if (uv_hrtime() > until_) {                                                            \
                print_error("%s:%d: never: %s\n", __FILE__, __LINE__, #cond);                      \
                fail();                                                                            \
            }                                                                                      \
            timer_stop(&tick_);                                                                    \
        }                                                                                          \
    } while (0)

static inline void run_for(uint64_t ms)
{
    uint64_t until = uv_hrtime() + ms * 1000000u;
    UNTIL(uv_hrtime() >= until);
}

/* ---- the backend ---- */

struct backend {
    char name[32];
    enum err prepares_to, asks_to; /* what these calls give; ERR_NONE */
    bool prepares_later;           /* `prepare_end` ends it */
    int prepares;
    void (*prepared)(void *ctx, enum err e, const struct err_note *why);
    void *prepared_ctx;
};

struct answer {
    struct backend *of;
    struct sink to;
    struct ask ask;
    char prompt[4096]; /* "system: x|user: y" */
    bool over, cancelled, paused;
};

static struct answer answers[64];
static size_t answers_count;
static struct backend *backends[32];
static bool second_prepares_later;
static size_t backends_count;

static enum err fake_open(struct backend **out, const struct backend_conf *c, struct err_note *why)
{
    struct backend *b = calloc(1, sizeof *b);
    snprintf(b->name, sizeof b->name, "%.*s", STR_ARG(c->model));
    b->prepares_later = second_prepares_later && backends_count == 1;
    backends[backends_count++] = b;
    *out = b;
    return ERR_NONE;
}

static void fake_prepare(struct backend *b, struct loop *l,
                         void (*done)(void *ctx, enum err e, const struct err_note *why), void *ctx)
{
    struct err_note why = {.text = ""};
    b->prepares++;
    if (b->prepares_later) {
        b->prepared = done;
        b->prepared_ctx = ctx;
        return;
    }
    done(ctx, b->prepares_to, &why);
}

static enum err fake_ask(struct answer **out, struct backend *b, struct loop *l,
                         const struct ask *q, struct sink to, struct err_note *why)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    struct answer *a = &answers[answers_count];

    if (b->asks_to) return b->asks_to;
    *a = (struct answer){.of = b, .to = to, .ask = *q};
    for (size_t i = 0; i < q->messages_count; i++) {
        size_t n = strlen(a->prompt);
        check_true(q->messages[i].count > 0);
        snprintf(a->prompt + n, sizeof a->prompt - n, "%s%s: %.*s", i ? "|" : "",
                 roles[q->messages[i].role], STR_ARG(q->messages[i].parts[0].text));
    }
    answers_count++;
    *out = a;
    return ERR_NONE;
}

static void fake_cancel(struct answer *a)
{
    if (a == NULL) return;
    check_true(!a->over);
    a->cancelled = a->over = true;
}

static void fake_pause(struct answer *a, bool pause)
{
    a->paused = pause;
}

static void fake_close(struct backend *b)
{
    free(b);
}

#define FAKE(type_, can_)                                                                          \
    {                                                                                              \
        .type = type_, .can = can_, .open = fake_open, .prepare = fake_prepare, .ask = fake_ask,   \
        .cancel = fake_cancel, .pause = fake_pause, .close = fake_close,                           \
    }
static const struct backend_ops fake = FAKE("fake", BACKEND_SYSTEM | BACKEND_PREFILL);
/* Cannot go on from given text, and has no system role. */
static const struct backend_ops plain = FAKE("plain", 0);

static int retry_after_ms, http_status; /* of the next ends */

static inline void say(struct answer *a, const char *text)
{
    a->to.text(a->to.ctx, str_of(text));
}

static inline void think(struct answer *a, const char *text)
{
    a->to.reasoning(a->to.ctx, str_of(text));
}

static inline void end(struct answer *a, enum err e, enum finish finish)
{
    struct answer_end end = {.e = e, .finish = finish, .usage = usage_unknown};
    end.usage.completion_tokens = 7;
    end.usage.prompt_tokens = 11;
    end.why.retry_after_ms = retry_after_ms;
    end.why.http_status = http_status;
    a->over = true;
    a->to.done(a->to.ctx, &end);
}

/* ---- the caller ---- */

struct caller {
    struct turn *turn;
    char seen[4096];
    bool over, done;
    enum err failed;
    int retry_after_ms;
    bool cancel_at_start, cancel_at_text;
    struct turn_result result; /* without its texts */
};

__attribute__((format(printf, 2, 3))) static inline void note(struct caller *c, const char *format,
                                                              ...)
{
    va_list args;
    size_t n = strlen(c->seen);
    va_start(args, format);
    vsnprintf(c->seen + n, sizeof c->seen - n, format, args);
    va_end(args);
}

static void on_started(void *ctx)
{
    struct caller *c = ctx;
    note(c, "started ");
    if (c->cancel_at_start) turn_cancel(c->turn);
}

static void on_text(void *ctx, str text)
{
    struct caller *c = ctx;
    note(c, "<%.*s>", STR_ARG(text));
    if (c->cancel_at_text) turn_cancel(c->turn);
}

static void on_done(void *ctx, const struct turn_result *r)
{
    struct caller *c = ctx;
    note(c, "done:%.*s", STR_ARG(r->message));
    if (r->reasoning.at) note(c, "|r=%.*s", STR_ARG(r->reasoning));
    note(c, "|%.*s|%.*s", STR_ARG(r->model_name), STR_ARG(r->finish_reason));
    if (r->rescued_by) note(c, "|rescued by %s", r->rescued_by);
    c->result = *r;
    c->over = c->done = true;
}

static void on_failed(void *ctx, enum err e, const struct err_note *why, bool text_sent)
{
    struct caller *c = ctx;
    note(c, "failed:%s%s", err_row(e)->code, text_sent ? " after text" : "");
    c->failed = e;
    c->retry_after_ms = why->retry_after_ms;
    c->over = true;
}

/* ---- all of it together ---- */

static struct shelf *shelf;
static struct models *models;
static struct chat *chat;
static struct chat_conf conf;
static int breaker_failures;

static const struct store_ops *const stores[] = {&store_memory, &store_sqlite, NULL};

static inline void settled_somehow(void *ctx, enum err e, const struct err_note *why)
{
    *(bool *)ctx = true;
}

/* `names`: the chain, the first being the primary; "r:name" the reasoning model; "plain..." of the
 * plain kind. */
static inline void open_all(const char *const *names, size_t count)
{
    struct model_conf at[8] = {{0}};
    bool settled = false;

    log_open(&(struct log_conf){.threshold = LEVEL_CRITICAL, .to_stderr = true}, NULL);
    answers_count = backends_count = 0;
    check_int(loop_new(&loop, NULL), ERR_NONE);
    struct shelf_conf sc = {.kinds = stores, .address = STR("memory:")};
    check_int(shelf_open(&shelf, &sc, NULL), ERR_NONE);
    for (size_t i = 0; i < count; i++) {
        bool reasons = strncmp(names[i], "r:", 2) == 0;
        at[i].role = reasons ? MODEL_REASONING : i ? MODEL_FALLBACK : MODEL_PRIMARY;
        at[i].ops = strncmp(names[i], "plain", 5) == 0 ? &plain : &fake;
        at[i].conf.type = at[i].ops->type;
        at[i].conf.model = str_of(names[i] + (reasons ? 2 : 0));
    }
    check_int(models_new(&models, loop, at, count, NULL), ERR_NONE);
    struct models_more more = {.breaker_failures = breaker_failures};
    check_int(models_more(models, &more, NULL), ERR_NONE);
    models_prepare(models, settled_somehow, &settled);
    check_true(settled);
    if (conf.total_timeout_ms == 0) conf.total_timeout_ms = 60 * 1000;
    check_int(chat_new(&chat, &conf, shelf, models, NULL), ERR_NONE);
}

static inline void close_all(void)
{
    UNTIL(gauge_read(&chat_numbers(chat)->unfinished) == 0);
    check_int(gauge_read(&chat_numbers(chat)->turns), 0);
    loop_stop(loop);
    loop_run(loop); /* what was posted still comes */
    chat_free(chat);
    models_free(models);
    shelf_close(shelf);
    loop_free(loop);
}

static inline void conf_reset(void)
{
    conf = (struct chat_conf){.temperature = 0.7,
                              .top_p = 0.9,
                              .top_k = 50,
                              .max_new_tokens = 512,
                              .show_reasoning = true,
                              .max_messages = 100,
                              .stream_rescue = false};
}

static inline struct turn_ask asking(const char *session, const char *message, bool stream)
{
    return (struct turn_ask){.key = {STR(""), str_of(session)},
                             .message = str_of(message),
                             .temperature = NAN,
                             .max_tokens = -1,
                             .stream = stream};
}

static inline enum err start_ask(struct caller *c, const struct turn_ask *ask)
{
    struct turn_events to = {c, on_started, on_text, on_done, on_failed};
    *c =
        (struct caller){.cancel_at_start = c->cancel_at_start, .cancel_at_text = c->cancel_at_text};
    return turn_start(&c->turn, chat, loop, ask, "6b225332-8d98-45c4-9aad-edef69b6adab", to, NULL);
}

static inline enum err start(struct caller *c, const char *session, const char *message,
                             bool stream)
{
    struct turn_ask ask = asking(session, message, stream);
    return start_ask(c, &ask);
}

/* ---- what is stored: "u:text {metadata}|a:..." ---- */

struct looked {
    char text[8192];
    bool over;
    enum err e;
    struct session_row row;
};

static void on_looked(void *ctx, struct shelf_answer *a)
{
    struct looked *s = ctx;
    for (size_t i = 0; i < a->count; i++) {
        size_t n = strlen(s->text);
        snprintf(s->text + n, sizeof s->text - n, "%s%c:%.*s %.*s", i ? "|" : "",
                 a->messages[i].role == STORED_USER ? 'u' : 'a', STR_ARG(a->messages[i].content),
                 STR_ARG(a->messages[i].metadata));
    }
    s->row = a->row;
    s->e = a->e;
    s->over = true;
    shelf_answer_free(a);
}

static inline struct looked look_at(const char *session, uint64_t before, uint64_t max)
{
    static struct looked s;
    s = (struct looked){.over = false};
    check_int(chat_session(chat, loop, (struct session_key){STR(""), str_of(session)}, before, max,
                           on_looked, &s),
              ERR_NONE);
    UNTIL(s.over);
    return s;
}

#define check_stored(session, want)                                                                \
    check_str(str_of(look_at((session), 0, UINT64_MAX).text), STR(want))

static inline void forget_it(const char *session)
{
    static struct looked s;
    s = (struct looked){.over = false};
    check_int(chat_forget(chat, loop, (struct session_key){STR(""), str_of(session)}, on_looked,
                          &s),
              ERR_NONE);
    UNTIL(s.over);
}

#endif
