/* sema chat: a conversation in the terminal, with the configured model in this process or with a
 * server
 * (--url).  One thread reads lines, the loop does the rest; a line is read when the answer before
 * it has ended, so a pipe gives one answer a line. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/rand.h"
#include "chat/chat.h"
#include "chat/models.h"
#include "cli/command.h"
#include "cli/compose.h"
#include "cli/process.h"
#include "cli/talk.h"
#include "conf/conf.h"
#include "http/client.h"

struct room {
    struct cli *cli;
    struct conf *conf;
    struct compose parts;
    struct loop *loop;
    struct http_client *client;
    struct talk *talk;
    char session[RAND_UUID_BYTES];
    bool terminal; /* somebody types */

    sem_t next; /* the reader may take the next line */
    struct task line_task;
    char *line; /* NULL: the end of the input */
    size_t line_cap;
    ssize_t line_bytes;

    uv_signal_t interrupt;
    bool answering, asked_to_stop;
    struct timer waiting; /* for a model that takes its time */
    int status;
};

/* ---- reading lines, on a thread of its own ---- */

static void on_line(struct task *t);

static void *read_lines(void *arg)
{
    struct room *r = arg;

    for (;;) {
        while (sem_wait(&r->next) != 0) {
        }
        r->line_bytes = getline(&r->line, &r->line_cap, stdin);
        bool end = r->line_bytes < 0;
        r->line_task.run = on_line;
        loop_post(r->loop, &r->line_task);
        if (end) return NULL;
    }
}

static void next_line(struct room *r)
{
    if (r->terminal) {
        fputs("> ", stdout);
        fflush(stdout);
    }
    sem_post(&r->next);
}

/* ---- the end ---- */

enum { STORED_LOOK_MS = 2 };

/* A cancelled turn is still being put away on this loop. */
static void wait_stored(struct timer *t)
{
    struct room *r = container_of(t, struct room, waiting);

    if (r->parts.chat && gauge_read(&chat_numbers(r->parts.chat)->unfinished) > 0) {
        timer_set(t, r->loop, STORED_LOOK_MS, wait_stored);
        return;
    }
    loop_stop(r->loop);
    uv_stop(loop_uv(r->loop));
}

static void leave(struct room *r)
{
    if (r->asked_to_stop) return;
    r->asked_to_stop = true;
    talk_free(r->talk);
    r->talk = NULL;
    timer_stop(&r->waiting);
    uv_close((uv_handle_t *)&r->interrupt, NULL);
    wait_stored(&r->waiting);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct room *r = handle->data;

    (void)number;
    if (!r->answering) {
        if (r->terminal) fputc('\n', stdout);
        leave(r);
        return;
    }
    talk_cancel(r->talk);
    r->answering = false;
    fputs("\n(stopped)\n", stdout);
    next_line(r);
}

/* ---- one turn ---- */

static void on_text(void *ctx, str text)
{
    (void)ctx;
    cli_print_safe(stdout, text);
    fflush(stdout);
}

static void on_done(void *ctx, const char *failure)
{
    struct room *r = ctx;

    r->answering = false;
    fputc('\n', stdout);
    fflush(stdout);
    if (failure) {
        fprintf(stderr, "sema chat: %s\n", failure);
        if (!r->terminal) r->status = EXIT_MISTAKE;
    }
    next_line(r);
}

static bool command(struct room *r, str line)
{
    if (str_eq(line, STR("/quit")) || str_eq(line, STR("/exit"))) {
        leave(r);
    } else if (str_eq(line, STR("/new"))) {
        rand_uuid(r->session);
        talk_session(r->talk, r->session);
        puts("(a new conversation)");
        next_line(r);
    } else if (str_eq(line, STR("/help"))) {
        puts("/new   forget what was said\n/quit  leave, as Ctrl-D does; Ctrl-C stops an answer");
        next_line(r);
    } else {
        return false;
    }
    return true;
}

static void on_line(struct task *t)
{
    struct room *r = container_of(t, struct room, line_task);

    if (r->asked_to_stop) return;
    if (r->line_bytes < 0) {
        if (r->terminal) fputc('\n', stdout);
        leave(r);
        return;
    }
    str line = str_trim(str_span(r->line, (size_t)r->line_bytes));
    if (line.len == 0) {
        next_line(r);
    } else if (!command(r, line)) {
        r->answering = true;
        talk_say(r->talk, line);
    }
}

/* ---- the start ---- */

enum { WAIT_TOLD_MS = 2000, WAIT_TOLD_AGAIN_MS = 10000 };

/* What may pass is tried for ever: somebody should know what they wait for. */
static void tell_wait(struct timer *t)
{
    struct room *r = container_of(t, struct room, waiting);
    struct model_view view;

    models_view(r->parts.models, 0, &view);
    if (view.why.text[0])
        fprintf(stderr, "sema chat: not ready yet, tried again: %s\n", view.why.text);
    else
        fputs("sema chat: making the model ready ...\n", stderr);
    timer_set(t, r->loop, WAIT_TOLD_AGAIN_MS, tell_wait);
}

static void on_ready(void *ctx, enum err e, const struct err_note *why)
{
    struct room *r = ctx;

    if (r->asked_to_stop) return;
    timer_stop(&r->waiting);
    if (e) {
        compose_tell_failure(r->conf, e, why);
        r->status = EXIT_START;
        leave(r);
        return;
    }
    next_line(r);
}

static void on_start(struct task *t)
{
    struct room *r = container_of(t, struct room, line_task);

    if (r->parts.models) {
        timer_set(&r->waiting, r->loop, WAIT_TOLD_MS, tell_wait);
        models_prepare(r->parts.models, on_ready, r);
    } else {
        next_line(r);
    }
}

static enum err open_talk(struct room *r, const char *url, struct err_note *why)
{
    struct talk_events to = {.ctx = r, .text = on_text, .done = on_done};
    enum err e = compose_client(&r->client, r->cli->program, r->conf, r->loop, why);

    if (!e && url) {
        e = talk_with_server(&r->talk, r->client, url, r->conf->api_key, to, why);
    } else if (!e) {
        e = compose_shelf(&r->parts, r->cli->program, r->conf, "memory:", why);
        if (!e) e = compose_chat(&r->parts, r->cli->program, r->conf, r->loop, why);
        if (!e) e = talk_in_process(&r->talk, r->parts.chat, r->loop, to, why);
    }
    return e;
}

static void greet(const struct room *r, const char *url)
{
    if (!r->terminal) return;
    if (url)
        printf("Talking with %s.", url);
    else if (compose_is_embedded(r->cli->program, r->conf))
        printf("Talking with %s, the small model inside the program; set MODEL_NAME (and "
               "MODEL_PATH) for "
               "a larger one.",
               r->conf->model.name);
    else
        printf("Talking with %s (%s).", r->conf->model.name, r->conf->model.type);
    puts("  /quit leaves, /help tells more.");
}

static int talk_room(struct room *r, const char *url)
{
    struct err_note why = {0};
    pthread_t reader;
    enum err e = loop_new(&r->loop, &why);

    if (!e) e = open_talk(r, url, &why);
    if (e)
        return url ? cli_fail(r->cli, "%s", err_text(&why, e))
                   : (fprintf(stderr, "startup: %s\n", err_text(&why, e)), EXIT_START);
    rand_uuid(r->session);
    talk_session(r->talk, r->session);
    sem_init(&r->next, 0, 0);
    uv_signal_init(loop_uv(r->loop), &r->interrupt);
    r->interrupt.data = r;
    uv_signal_start(&r->interrupt, on_interrupt, SIGINT);
    if (pthread_create(&reader, NULL, read_lines, r) != 0)
        return cli_fail(r->cli, "cannot start a thread");
    pthread_detach(reader); /* it may wait for a line for ever */
    greet(r, url);
    http_client_set_here(r->client);
    r->line_task.run = on_start;
    loop_post(r->loop, &r->line_task);
    loop_run(r->loop);
    compose_end(&r->parts);
    http_client_free(r->client);
    fflush(stdout);
    return r->status;
}

static int run(struct cli *c)
{
    static const char *const of_url[] = {"SEMA_ENV_FILE", "API_KEY", NULL};
    /* Static: the reader may still stand in getline() when main returns. */
    static struct room r;
    const char *url = cli_flag(c, "url");
    struct err_note why = {0};
    struct log_conf log = {.threshold = LEVEL_CRITICAL, .to_stderr = true};

    r.cli = c;
    r.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    process_keep_secrets();
    if (!cli_conf(c, url ? of_url : NULL, &r.conf)) return EXIT_MISTAKE;
    log_open(&log, NULL);
    if (!url && compose_model_name(c->program, r.conf, &why)) {
        fprintf(stderr, "config: %s\n", why.text);
        return EXIT_MISTAKE;
    }
    process_serve(1);
    return talk_room(&r, url);
}

static const struct cli_flag flags[] = {
    {"url", "URL",
     "talk with the server there (http://localhost:7860) instead of a model in this process"},
};

const struct command command_chat = {
    .name = "chat",
    .args = "",
    .text = "a conversation in the terminal: one line in, the answer as it is written",
    .more = "Lines come from standard input, also from a pipe.  /new forgets what was said, /quit "
            "or the end\n"
            "of the input leaves, Ctrl-C stops an answer.  Nothing is stored.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
