/* sema serve: settings, store, listen; then the models, while the server already answers.
 *
 *     STARTING -> SERVING   all parts are there, the loops run
 *     SERVING  -> DRAINING  SIGTERM, SIGINT, or every model failed for good
 *     DRAINING -> ENDED     each loop is empty, or SHUTDOWN_TIMEOUT has passed
 *
 * Loop 0 runs on the main thread: signals, the models' preparing and the end are there.  The others
 * each have a thread.  A second signal ends at once, whatever the loops do. */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "api/api.h"
#include "base/log.h"
#include "base/loop.h"
#include "chat/chat.h"
#include "chat/models.h"
#include "cli/command.h"
#include "cli/compose.h"
#include "cli/notify.h"
#include "cli/process.h"
#include "conf/conf.h"
#include "http/client.h"
#include "http/server.h"

enum {
    AFTER_TIMEOUT_MS = 1000, /* for errors to reach the clients before connections are cut */
    STORED_LOOK_MS = 2,      /* between looks whether the last turns are stored */
    WATCHDOG_S = 5,          /* after SHUTDOWN_TIMEOUT: the end, even if a loop hangs */
};

struct serve;

/* One loop and what lives on it; owned by its thread while it runs. */
struct worker {
    struct serve *serve;
    struct loop *loop;
    struct http_client *client;
    struct api_loop *api;
    struct http_server *server;
    pthread_t thread; /* not of worker 0 */
    struct task start, drain, end, cut, emptied, finish;
    bool api_drained, server_drained, empty;
};

enum serve_state { STARTING, SERVING, DRAINING, ENDED };

struct serve {
    struct cli *cli;
    struct conf *conf;
    struct compose parts;
    struct http_listen *listen;
    struct api *api;
    struct worker *workers;
    int workers_count;
    int workers_left; /* not yet empty; loop 0's */
    enum serve_state state;
    int status;
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
    struct timer timeout, wait;
};

static const int signal_numbers[3] = {SIGTERM, SIGINT, SIGHUP};

static void tell_all(struct serve *s, size_t task, void (*run)(struct task *t))
{
    for (int i = 0; i < s->workers_count; i++) {
        struct task *t = (struct task *)((char *)&s->workers[i] + task);
        t->run = run;
        loop_post(s->workers[i].loop, t);
    }
}

/* ---- ending: each worker empties itself and tells loop 0; when all have, and every turn is
 * stored, each frees what lives on its loop ---- */

static void on_finish(struct task *t)
{
    struct worker *w = container_of(t, struct worker, finish);
    struct serve *s = w->serve;

    http_server_free(w->server);
    api_loop_free(w->api);
    w->server = NULL;
    w->api = NULL;
    if (w == &s->workers[0]) {
        for (int i = 0; i < 3; i++) uv_close((uv_handle_t *)&s->signals[i], NULL);
        timer_stop(&s->timeout);
    }
    loop_stop(w->loop);
    /* Models may still be preparing over the client's connections: those end after the loop. */
    uv_stop(loop_uv(w->loop));
}

/* Turns whose client is gone are still being stored, on their loops. */
static void on_wait(struct timer *t)
{
    struct serve *s = container_of(t, struct serve, wait);

    assert(s->state == DRAINING && s->workers_left == 0);
    if (gauge_read(&chat_numbers(s->parts.chat)->unfinished) > 0) {
        timer_set(&s->wait, s->workers[0].loop, STORED_LOOK_MS, on_wait);
        return;
    }
    s->state = ENDED;
    tell_all(s, offsetof(struct worker, finish), on_finish);
}

static void on_emptied(struct task *t)
{
    struct worker *w = container_of(t, struct worker, emptied);

    if (--w->serve->workers_left == 0)
        timer_set(&w->serve->wait, w->serve->workers[0].loop, 0, on_wait);
}

static void check_empty(struct worker *w)
{
    if (!w->api_drained || !w->server_drained || w->empty) return;
    w->empty = true;
    w->emptied.run = on_emptied;
    loop_post(w->serve->workers[0].loop, &w->emptied);
}

static void on_api_drained(void *ctx)
{
    struct worker *w = ctx;

    w->api_drained = true;
    check_empty(w);
}

static void on_server_drained(void *ctx)
{
    struct worker *w = ctx;

    w->server_drained = true;
    check_empty(w);
}

static void on_drain(struct task *t)
{
    struct worker *w = container_of(t, struct worker, drain);

    http_server_drain(w->server, on_server_drained, w);
    api_loop_drain(w->api, on_api_drained, w);
}

static void on_end(struct task *t)
{
    struct worker *w = container_of(t, struct worker, end);

    if (!w->empty) api_loop_end(w->api);
}

static void on_cut(struct task *t)
{
    struct worker *w = container_of(t, struct worker, cut);

    if (w->server_drained) return;
    http_server_kill(w->server);
    w->server_drained = true;
    check_empty(w);
}

static void on_cut_time(struct timer *t)
{
    tell_all(container_of(t, struct serve, timeout), offsetof(struct worker, cut), on_cut);
}

static void on_timeout(struct timer *t)
{
    struct serve *s = container_of(t, struct serve, timeout);

    tell_all(s, offsetof(struct worker, end), on_end);
    timer_set(&s->timeout, s->workers[0].loop, AFTER_TIMEOUT_MS, on_cut_time);
}

/* The second signal, and the watchdog: stored turns are durable already, there is nothing to save.
 */
static void end_now(int number)
{
    (void)number;
    _exit(EXIT_FINE);
}

static void drain(struct serve *s, uint64_t timeout_ms)
{
    struct sigaction at_once = {.sa_handler = end_now};

    if (s->state != SERVING) return;
    s->state = DRAINING;
    for (int i = 0; i < 2; i++) {
        uv_signal_stop(&s->signals[i]);
        sigaction(signal_numbers[i], &at_once, NULL);
    }
    sigaction(SIGALRM, &at_once, NULL);
    alarm((unsigned)(timeout_ms / 1000) + WATCHDOG_S);
    notify_stopping(s->conf->notify_socket, (int64_t)timeout_ms + 2 * WATCHDOG_S * 1000);
    tell_all(s, offsetof(struct worker, drain), on_drain);
    timer_set(&s->timeout, s->workers[0].loop, timeout_ms, on_timeout);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct serve *s = handle->data;

    if (number == SIGHUP) {
        if (log_reopen() != ERR_NONE)
            log_event(LEVEL_ERROR, "serve", "log_reopen_failed",
                      LOG_CSTR("path", s->conf->log_file));
        return;
    }
    log_event(LEVEL_INFO, "serve", "shutdown_begins", LOG_INT("signal", number));
    drain(s, (uint64_t)s->conf->shutdown_timeout_ms);
}

/* ---- starting ---- */

static int start_failed(enum err e, const struct err_note *why)
{
    log_event(LEVEL_ERROR, "serve", "startup_failed", LOG_CSTR("error", err_text(why, e)));
    fprintf(stderr, "startup: %s\n", err_text(why, e));
    return EXIT_START;
}

static void on_models_settled(void *ctx, enum err e, const struct err_note *why)
{
    struct serve *s = ctx;

    if (e == ERR_NONE) {
        log_event(LEVEL_INFO, "serve", "chat_services_initialized");
        return;
    }
    if (s->state != SERVING) return;
    compose_tell_failure(s->conf, e, why);
    s->status = EXIT_START;
    drain(s, 0);
}

/* The first thing on loop 0, so that preparing finds its loop and its client. */
static void on_start(struct task *t)
{
    struct worker *w = container_of(t, struct worker, start);

    models_prepare(w->serve->parts.models, on_models_settled, w->serve);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;

    http_client_set_here(w->client);
    loop_run(w->loop);
    return NULL;
}

static enum err worker_open(struct worker *w, struct err_note *why)
{
    struct serve *s = w->serve;
    enum err e = api_loop_new(&w->api, s->api, w->loop, why);

    if (!e) e = compose_client(&w->client, s->cli->program, s->conf, w->loop, why);
    if (!e) e = http_server_new(&w->server, w->loop, s->listen, api_loop_app(w->api), why);
    return e;
}

/* As far as they were opened; no loop runs, and nothing of a worker's is in flight. */
static void close_parts(struct serve *s)
{
    for (int i = 0; i < s->workers_count; i++) {
        http_server_free(s->workers[i].server);
        api_loop_free(s->workers[i].api);
    }
    api_free(s->api);
    compose_end(&s->parts);
    for (int i = 0; i < s->workers_count; i++) {
        http_client_free(s->workers[i].client);
        loop_free(s->workers[i].loop);
    }
    http_listen_free(s->listen);
}

static enum err open_parts(struct serve *s, struct err_note *why)
{
    const struct program *p = s->cli->program;
    enum err e = compose_shelf(&s->parts, p, s->conf, NULL, why);

    if (!e) e = http_listen_new(&s->listen, s->conf->host, s->conf->port, why);
    s->workers = e ? NULL : calloc((size_t)s->conf->workers, sizeof *s->workers);
    if (!e && s->workers == NULL) e = err_set(why, ERR_MEMORY, "out of memory");
    for (int i = 0; !e && i < s->conf->workers; i++) {
        s->workers[i].serve = s;
        e = loop_new(&s->workers[i].loop, why);
        if (!e) s->workers_count++;
    }
    if (!e) e = compose_chat(&s->parts, p, s->conf, s->workers[0].loop, why);
    if (!e) {
        struct api_parts parts = {.conf = s->conf,
                                  .chat = s->parts.chat,
                                  .models = s->parts.models,
                                  .shelf = s->parts.shelf};
        e = api_new(&s->api, &parts, why);
        if (e == ERR_INVALID) return e; /* METRICS_PATH */
    }
    for (int i = 0; !e && i < s->workers_count; i++) e = worker_open(&s->workers[i], why);
    return e == ERR_INVALID ? ERR_IO : e;
}

static void open_signals(struct serve *s)
{
    for (int i = 0; i < 3; i++) {
        uv_signal_init(loop_uv(s->workers[0].loop), &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, signal_numbers[i]);
    }
}

/* For the person at the terminal; the log is for programs. */
static void say_start(const struct serve *s)
{
    const struct conf *c = s->conf;
    bool v6 = strchr(c->host, ':') != NULL;

    fprintf(stderr, "%s %s answers with %s", c->app_name, c->app_version, c->model.name);
    if (compose_is_embedded(s->cli->program, c))
        fputs(", the small model inside the program (a larger one: MODEL_NAME=OWNER/NAME of a "
              "Hugging Face model, or a provider's by MODEL_TYPE)",
              stderr);
    else
        fprintf(stderr, " (%s)", c->model.type);
    fprintf(stderr, " on http://%s%s%s:%d\n", v6 ? "[" : "", c->host, v6 ? "]" : "",
            http_listen_port(s->listen));
    log_event(LEVEL_INFO, "serve", "application_startup", LOG_CSTR("version", c->app_version),
              LOG_CSTR("environment", c->environment), LOG_CSTR("model_type", c->model.type),
              LOG_CSTR("model_name", c->model.name), LOG_INT("port", http_listen_port(s->listen)));
}

static enum err start_threads(struct serve *s, struct err_note *why)
{
    sigset_t all, before;
    enum err e = ERR_NONE;

    /* Signals belong to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int i = 1; !e && i < s->workers_count; i++) {
        if (pthread_create(&s->workers[i].thread, NULL, run_worker, &s->workers[i]) == 0) continue;
        e = err_set(why, ERR_MEMORY, "cannot start a thread");
        s->workers_count = i;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

/* From the first connection to the last. */
static void serve_all(struct serve *s)
{
    struct worker *first = &s->workers[0];

    s->state = SERVING;
    notify_ready(s->conf->notify_socket);
    s->workers_left = s->workers_count;
    first->start.run = on_start;
    loop_post(first->loop, &first->start);
    run_worker(first);
    for (int i = 1; i < s->workers_count; i++) pthread_join(s->workers[i].thread, NULL);
    close_parts(s);
    log_event(LEVEL_INFO, "serve", "application_shutdown");
}

/* On the terminal, and in the log for those who see nothing else. */
static void warn(const struct conf *c)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);

    if (to == NULL) return;
    conf_warn(c, to);
    fclose(to);
    fputs(text, stderr);
    str rest = str_span(text, bytes), line;
    while (bytes && str_split(&rest, '\n', &line)) {
        if (str_starts(line, STR("warning: "))) line = str_tail(line, 9);
        if (line.len)
            log_event(LEVEL_WARNING, "serve", "configuration_warning", LOG_STR("text", line));
    }
    free(text);
}

static int start(struct serve *s)
{
    const struct conf *c = s->conf;
    struct log_conf log = {.threshold = c->log_level,
                           .json = c->structured_logging,
                           .path = c->log_file};
    struct err_note why = {0};

    enum err e = log_open(&log, &why);
    if (e) {
        fprintf(stderr, "config: LOG_FILE: %s\n", err_text(&why, e));
        return EXIT_MISTAKE;
    }
    e = compose_model_name(s->cli->program, s->conf, &why);
    if (e == ERR_INVALID) {
        fprintf(stderr, "config: %s\n", why.text);
        return EXIT_MISTAKE;
    }
    warn(c);
    if (!e) e = open_parts(s, &why);
    if (e) close_parts(s);
    if (e == ERR_INVALID) {
        fprintf(stderr, "config: %s\n", err_text(&why, e));
        return EXIT_MISTAKE;
    }
    if (e) return start_failed(e, &why);
    open_signals(s);
    say_start(s);
    e = start_threads(s, &why);
    if (e) return start_failed(e, &why);
    serve_all(s);
    return s->status;
}

static int run(struct cli *cli)
{
    struct serve s = {.cli = cli};

    process_keep_secrets();
    if (!cli_conf(cli, NULL, &s.conf)) return EXIT_MISTAKE;
    conf_wipe_environ(environ);
    process_serve(s.conf->workers);
    int status = start(&s);
    free(s.workers);
    conf_free(s.conf);
    log_close();
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .args = "",
    .text = "answer over HTTP, SSE and WebSocket until it is told to stop",
    .more = "SIGTERM and SIGINT let running answers finish (SHUTDOWN_TIMEOUT), a second one ends "
            "at once;\n"
            "SIGHUP opens LOG_FILE anew.  Exit status: 0 after a stop, 1 for mistakes in the "
            "settings, 3\n"
            "when the start failed.\n",
    .settings = true,
    .settings_all = true,
    .run = run,
};
