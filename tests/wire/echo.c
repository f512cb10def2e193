/* The HTTP server with an app that does what its path says: for the wire tests and for bench/.
 *
 *     http-echo [NAME=VALUE]...     port, loops, or a wait of struct http_times in ms: idle_ms=200
 *
 * Prints "port N" when it listens; SIGTERM drains it, and at exit it prints its counters as /stats
 * does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>
#include <uv.h>

#include "base/counter.h"
#include "conf/limits.h"
#include "http/server_private.h"

static gauge asked, ended, gone, fulls, drains, faults, refused, full_bytes, ws_open, ws_messages;

/* One worker: a loop and its server. */
struct worker {
    pthread_t thread;
    struct loop *loop;
    struct http_server *server;
    struct task stop;
};

static struct http_listen *listening;
static struct http_times times;
static struct worker workers[8];
static int worker_count = 1;
static uv_signal_t on_term;

/* What a request of ours is up to. */
struct job {
    struct request *r;
    struct timer timer;
    uint64_t left, bytes, every_ms;
    struct websocket *ws;
};

static uint64_t query_number(str query, str name, uint64_t otherwise)
{
    str part;
    uint64_t n = otherwise;

    while (str_split(&query, '&', &part))
        if (str_starts(part, name) && part.len > name.len && part.at[name.len] == '=')
            str_to_u64(str_tail(part, name.len + 1), &n);
    return n;
}

static void counters(char *out, size_t size)
{
    snprintf(
        out, size,
        "{\"asked\":%ld,\"ended\":%ld,\"gone\":%ld,\"fulls\":%ld,\"drains\":%ld,\"faults\":%ld,"
        "\"refused\":%ld,"
        "\"full_bytes\":%ld,\"ws_open\":%ld,\"ws_messages\":%ld,\"conns\":%zu,\"conns_max\":%zu}",
        (long)gauge_read(&asked), (long)gauge_read(&ended), (long)gauge_read(&gone),
        (long)gauge_read(&fulls), (long)gauge_read(&drains), (long)gauge_read(&faults),
        (long)gauge_read(&refused), (long)gauge_read(&full_bytes), (long)gauge_read(&ws_open),
        (long)gauge_read(&ws_messages), atomic_load(&listening->conns), listening->conns_max);
}

/* ---- requests ---- */

static void on_gone(struct request *r)
{
    struct job *j = r->app;

    gauge_add(&gone, 1);
    if (j) timer_stop(&j->timer);
}

static void answer_late(struct timer *t)
{
    struct job *j = container_of(t, struct job, timer);
    response_send(j->r, 200, "text/plain", STR("late"));
}

static size_t write_part(struct job *j)
{
    static const char text[65536] = {[0 ... 65535] = 'x'};
    size_t n = j->bytes < sizeof text ? j->bytes : sizeof text;
    return response_write(j->r, str_span(text, n));
}

static void stream_on(struct timer *t)
{
    struct job *j = container_of(t, struct job, timer);

    if (j->left-- > 0) {
        write_part(j);
        timer_set(t, loop_here(), j->every_ms, stream_on);
    } else {
        response_end(j->r);
    }
}

/* As much as the client takes, and no more. */
static void flood(struct request *r)
{
    struct job *j = r->app;

    while (j->left-- > 0) {
        size_t unsent = write_part(j);
        if (unsent > STREAM_UNSENT_BYTES_MAX) {
            gauge_add(&fulls, 1);
            gauge_add(&full_bytes, (int64_t)unsent - gauge_read(&full_bytes));
            return;
        }
    }
    response_end(r);
}

static void on_drain(struct request *r)
{
    gauge_add(&drains, 1);
    flood(r);
}

static struct job *new_job(struct request *r)
{
    struct job *j = arena_new(&r->arena, struct job);
    if (j == NULL) abort();
    j->r = r;
    j->every_ms = query_number(r->query, STR("ms"), 0);
    j->left = query_number(r->query, STR("n"), 1);
    j->bytes = query_number(r->query, STR("bytes"), 16);
    r->app = j;
    return j;
}

/* ---- WebSocket ---- */

static void ws_message(void *ctx, struct websocket *ws, bool text, str message)
{
    uint64_t n;

    (void)ctx;
    (void)text;
    gauge_add(&ws_messages, 1);
    if (str_starts(message, STR("close ")) && str_to_u64(str_tail(message, 6), &n)) {
        ws_close(ws, (int)n, STR("as asked"));
    } else if (str_starts(message, STR("send ")) && str_to_u64(str_tail(message, 5), &n)) {
        char *big = malloc(n + 1);
        memset(big, 'w', n);
        gauge_add(&full_bytes, (int64_t)ws_send(ws, str_span(big, n)) - gauge_read(&full_bytes));
        free(big);
    } else {
        ws_send(ws, message);
    }
}

static void ws_drain(void *ctx, struct websocket *ws)
{
    (void)ctx;
    (void)ws;
    gauge_add(&drains, 1);
}

static void ws_closed(void *ctx, struct websocket *ws)
{
    (void)ctx;
    (void)ws;
    gauge_add(&ws_open, -1);
}

/* ---- the app ---- */

static void head(void *ctx, struct request *r)
{
    (void)ctx;
    gauge_add(&asked, 1);
    r->on_gone = on_gone;
    r->body_bytes_max = query_number(r->query, STR("max"), 1024 * 1024);
    if (str_eq(r->path, STR("/denied"))) {
        response_header(r, "WWW-Authenticate", STR("Bearer"));
        response_send(r, 401, "application/json", STR("{\"detail\":\"no\"}"));
    } else if (str_eq(r->path, STR("/early"))) { /* begun here, body() must not come */
        struct job *j = new_job(r);
        response_stream(r, 200, "text/plain");
        timer_set(&j->timer, loop_here(), j->every_ms, stream_on);
    }
}

static void body(void *ctx, struct request *r)
{
    static const str status = {
        "{\"status\":\"ok\",\"service\":\"sema-chat-api\",\"version\":\"1.0.0\","
        "\"environment\":\"development\"}",
        87};
    str path = r->path;

    (void)ctx;
    if (str_eq(path, STR("/status"))) {
        response_send(r, 200, "application/json", str_head(status, strlen(status.at)));
    } else if (str_eq(path, STR("/stats"))) {
        char text[512];
        counters(text, sizeof text);
        response_send(r, 200, "application/json", str_of(text));
    } else if (str_eq(path, STR("/echo"))) {
        response_send(r, 200, "application/octet-stream", r->body);
    } else if (str_eq(path, STR("/what"))) {
        response_send(r, 200, "text/plain",
                      arena_strf(&r->arena,
                                 "%.*s %.*s?%.*s host=%.*s peer=%.*s id=%s fields=%zu body=%zu",
                                 STR_ARG(r->method), STR_ARG(r->path), STR_ARG(r->query),
                                 STR_ARG(r->host), STR_ARG(r->peer), r->id, r->headers.count,
                                 r->body.len));
    } else if (str_eq(path, STR("/none"))) {
        int code = (int)query_number(r->query, STR("status"), 204);
        response_send(r, code, NULL, code == 200 ? STR_NONE : STR("never sent"));
    } else if (str_eq(path, STR("/late"))) {
        struct job *j = new_job(r);
        timer_set(&j->timer, loop_here(), j->every_ms, answer_late);
    } else if (str_eq(path, STR("/never"))) {
        new_job(r);
    } else if (str_eq(path, STR("/stream"))) {
        struct job *j = new_job(r);
        response_stream(r, 200, "text/event-stream");
        timer_set(&j->timer, loop_here(), j->every_ms, stream_on);
    } else if (str_eq(path, STR("/flood"))) {
        new_job(r);
        r->on_drain = on_drain;
        response_stream(r, 200, "text/plain");
        flood(r);
    } else if (str_eq(path, STR("/abort"))) {
        response_stream(r, 200, "text/plain");
        response_write(r, STR("half"));
        response_abort(r);
    } else if (str_eq(path, STR("/ws")) && ws_asked(r) && ws_version_fits(r)) {
        struct websocket *ws;
        ws_accept(&ws, r,
                  (struct ws_app){.message = ws_message, .drain = ws_drain, .closed = ws_closed});
        gauge_add(&ws_open, 1);
    } else {
        response_send(r, 404, "application/json", STR("{\"detail\":\"Not Found\"}"));
    }
}

static void fault(void *ctx, struct request *r, enum err e)
{
    (void)ctx;
    gauge_add(&faults, 1);
    response_header(r, "X-Fault", STR("yes"));
    response_send(r, e == ERR_LIMIT ? 413 : 408, "application/json", str_of(err_row(e)->text));
}

static void answered(void *ctx, const struct request *r, int status, uint64_t total_us, bool left)
{
    (void)ctx;
    (void)r;
    (void)status;
    (void)left;
    if (total_us) gauge_add(&ended, 1);
}

static void on_refused(void *ctx, int status)
{
    (void)ctx;
    (void)status;
    gauge_add(&refused, 1);
}

static const struct http_app app = {
    .head = head, .body = body, .fault = fault, .answered = answered, .refused = on_refused};

/* ---- the process ---- */

static void drained(void *ctx)
{
    struct worker *w = ctx;
    http_server_free(w->server);
    loop_stop(w->loop);
}

static void stop(struct task *t)
{
    struct worker *w = container_of(t, struct worker, stop);
    http_server_drain(w->server, drained, w);
}

static void on_signal(uv_signal_t *h, int number)
{
    (void)number;
    uv_close((uv_handle_t *)h, NULL);
    signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < worker_count; i++) loop_post(workers[i].loop, &workers[i].stop);
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    loop_run(w->loop);
    return NULL;
}

static void take_option(const char *text, int *port)
{
    static const struct {
        const char *name;
        unsigned *at;
    } waits[] = {{"first_ms", &times.first_ms},
                 {"head_ms", &times.head_ms},
                 {"body_ms", &times.body_ms},
                 {"idle_ms", &times.idle_ms},
                 {"stalled_ms", &times.stalled_ms},
                 {"linger_ms", &times.linger_ms},
                 {"linger_idle_ms", &times.linger_idle_ms},
                 {"accept_retry_ms", &times.accept_retry_ms},
                 {"ws_ping_ms", &times.ws_ping_ms},
                 {"ws_pong_ms", &times.ws_pong_ms},
                 {"ws_close_ms", &times.ws_close_ms}};
    const char *is = strchr(text, '=');
    size_t n = is ? (size_t)(is - text) : 0;

    if (n == 4 && !strncmp(text, "port", n)) *port = atoi(is + 1);
    if (n == 5 && !strncmp(text, "loops", n)) worker_count = atoi(is + 1);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (strlen(waits[i].name) == n && !strncmp(text, waits[i].name, n))
            *waits[i].at = (unsigned)atoi(is + 1);
}

/* Those that were named replace the usual ones. */
static void set_times(struct http_times *t)
{
    unsigned *to = (unsigned *)t, *from = (unsigned *)&times;
    for (size_t i = 0; i < sizeof *t / sizeof *to; i++)
        if (from[i]) to[i] = from[i];
}

int main(int argc, char **argv)
{
    struct err_note why = {0};
    int port = 0;

    for (int i = 1; i < argc; i++) take_option(argv[i], &port);
    if (worker_count < 1 || worker_count > 8) return 2;
    if (http_listen_new(&listening, "127.0.0.1", port, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 3;
    }
    for (int i = 0; i < worker_count; i++) {
        struct worker *w = &workers[i];
        w->stop.run = stop;
        if (loop_new(&w->loop, &why) ||
            http_server_new(&w->server, w->loop, listening, &app, &why)) {
            fprintf(stderr, "%s\n", why.text);
            return 3;
        }
        set_times(http_server_times(w->server));
    }
    uv_signal_init(loop_uv(workers[0].loop), &on_term);
    uv_signal_start(&on_term, on_signal, SIGTERM);
    printf("port %d\n", http_listen_port(listening));
    fflush(stdout);
    for (int i = 1; i < worker_count; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    work(&workers[0]);
    for (int i = 1; i < worker_count; i++) pthread_join(workers[i].thread, NULL);
    char text[512];
    counters(text, sizeof text);
    puts(text);
    for (int i = 0; i < worker_count; i++) loop_free(workers[i].loop);
    http_listen_free(listening);
    return 0;
}
