#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/limits.h"
#include "http/server_private.h"

static void on_turn(uv_idle_t *turn);

/* ---- what has to be done in the next turn of the loop ---- */

static void wake(struct http_server *s)
{
    if (!s->freeing) uv_idle_start(&s->turn, on_turn);
}

void server_due(struct http_conn *c)
{
    struct http_server *s = c->server;

    if (c->due || c->state == CONN_CLOSED) return;
    c->due = true;
    c->due_next = NULL;
    *s->due_end = c;
    s->due_end = &c->due_next;
    s->due_count++;
    wake(s);
}

static struct http_conn *pop_due(struct http_server *s)
{
    struct http_conn *c = s->due;

    s->due = c->due_next;
    if (s->due == NULL) s->due_end = &s->due;
    c->due = false;
    s->due_count--;
    return c;
}

static void on_turn(uv_idle_t *turn)
{
    struct http_server *s = turn->data;
    size_t n = s->due_count; /* what is added meanwhile has the next turn */

    uv_idle_stop(turn);
    for (; n > 0 && s->due; n--) conn_turn(pop_due(s));
    if (s->due) wake(s);
    if (s->draining && s->count == 0 && !s->drained_told) {
        s->drained_told = true;
        if (s->drained) s->drained(s->drained_ctx);
    }
}

/* ---- accepting ---- */

static void on_listening(uv_poll_t *poll, int status, int events);

static void accept_resume(struct http_server *s)
{
    if (s->accepting || s->draining) return;
    timer_stop(&s->accept_again);
    s->accepting = true;
    for (int i = 0; i < s->polls; i++) uv_poll_start(&s->poll[i], UV_READABLE, on_listening);
}

static void on_accept_again(struct timer *t)
{
    accept_resume(container_of(t, struct http_server, accept_again));
}

/* The connections that wait stay in the kernel's queue.  Polling is stopped, or it would ring all
 * the time.  `reason` is for the log; NULL for none. */
static void accept_pause(struct http_server *s, const char *reason)
{
    enum { TOLD_EVERY_MS = 10 * 1000 };
    uint64_t now = loop_now_ms(s->loop);

    for (int i = 0; i < s->polls; i++) uv_poll_stop(&s->poll[i]);
    s->accepting = false;
    timer_set(&s->accept_again, s->loop, s->times.accept_retry_ms, on_accept_again);
    if (reason == NULL) return;
    if (s->told_ms == 0 || now - s->told_ms > TOLD_EVERY_MS) {
        s->told_ms = now;
        log_event(LEVEL_WARNING, "http", "accept_paused", LOG_CSTR("reason", reason),
                  LOG_INT("connections", s->count));
    }
}

static void peer_name(char out[46], const struct sockaddr_storage *a)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

    out[0] = '\0';
    if (a->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out, 46);
    else if (a->ss_family == AF_INET6 && memcmp(&v6->sin6_addr, mapped, sizeof mapped) == 0)
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, out, 46);
    else if (a->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, out, 46);
}

/* False when nothing waits, or nothing may be taken now. */
static bool accept_one(struct http_server *s, int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    char peer[46];

    /* Loops that look at the same time may pass the ceiling by their number; the reserve bears it.
     */
    if (atomic_load(&s->listen->conns) >= s->listen->conns_max) {
        if (s->accepting) accept_pause(s, "as many connections as descriptors allow");
        return false;
    }
    int got = accept4(fd, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (got >= 0) {
        peer_name(peer, &a);
        conn_new(s, got,
                 peer); /* when memory is out it is closed, and that is all there is to say */
        return true;
    }
    switch (errno) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (s->accepting) accept_pause(s, strerror(errno));
        return false;
    case EINVAL: /* no longer listening: another loop has begun to drain, and ours will */
        if (s->accepting) accept_pause(s, NULL);
        return false;
    default: return true; /* that one connection failed meanwhile (accept(2)) */
    }
}

static void on_listening(uv_poll_t *poll, int status, int events)
{
    struct http_server *s = poll->data;
    uv_os_fd_t fd;

    (void)events;
    if (status < 0 || uv_fileno((uv_handle_t *)poll, &fd) != 0) {
        accept_pause(s, uv_strerror(status));
        return;
    }
    for (int i = 0; i < ACCEPT_AT_ONCE && accept_one(s, fd); i++) continue;
}

/* The C library keeps freed memory for later; after a flood it is asked to give it back, or a night
 * of idleness would be paid for at the price of the evening's peak (reliability.md section 7). */
static void on_calm(struct timer *t)
{
    struct http_server *s = container_of(t, struct http_server, calm);

    s->peak = s->count;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void server_forget(struct http_conn *c)
{
    struct http_server *s = c->server;

    if (c->due) {
        struct http_conn **at = &s->due;
        while (*at != c) at = &(*at)->due_next;
        *at = c->due_next;
        if (*at == NULL) s->due_end = at;
        c->due = false;
        s->due_count--;
    }
    *c->at = c->newer;
    if (c->newer) c->newer->at = c->at;
    s->count--;
    if (s->count * 2 <= s->peak && !timer_is_set(&s->calm))
        timer_set(&s->calm, s->loop, s->times.calm_ms, on_calm);
    atomic_fetch_sub(&s->listen->conns, 1);
    if (s->draining && s->count == 0) wake(s);
    accept_resume(s);
}

/* ---- the lines that every head holds ---- */

str server_common(struct http_server *s)
{
    uint64_t now_us = clock_wall_us();

    if (now_us / 1000000 != s->date_s) {
        char date[CLOCK_HTTP_BYTES];
        clock_http(date, now_us);
        s->date_s = now_us / 1000000;
        s->common_len =
            (size_t)snprintf(s->common, sizeof s->common,
                             "\r\nDate: %s\r\nServer: sema\r\nX-Content-Type-Options: nosniff",
                             date);
    }
    return str_span(s->common, s->common_len);
}

/* ---- life ---- */

struct http_times *http_server_times(struct http_server *s)
{
    return &s->times;
}

static void set_times(struct http_times *t)
{
    *t = (struct http_times){
        .first_ms = REQUEST_HEAD_MS,
        .head_ms = REQUEST_HEAD_MS,
        .body_ms = REQUEST_BODY_MS,
        .idle_ms = KEEPALIVE_IDLE_MS,
        .stalled_ms = STREAM_STALLED_MS,
        .linger_ms = LINGER_MS,
        .linger_idle_ms = LINGER_IDLE_MS,
        .accept_retry_ms = ACCEPT_RETRY_MS,
        .calm_ms = CALM_MS,
        .ws_ping_ms = WS_PING_MS,
        .ws_pong_ms = WS_PONG_MS,
        .ws_close_ms = WS_CLOSE_MS,
    };
}

static void free_now(struct http_server *s)
{
    websocket_pool_free(s);
    buf_fini(&s->batch);
    buf_fini(&s->scratch);
    free(s->input);
    free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct http_server *s = h->data;
    if (--s->handles == 0 && s->freeing) free_now(s);
}

/* uv_poll leaves the descriptor to us, and it is free to be closed once the handle is closing. */
static void close_polls(struct http_server *s)
{
    for (int i = 0; i < s->polls; i++) {
        uv_os_fd_t fd = -1;
        uv_fileno((uv_handle_t *)&s->poll[i], &fd);
        uv_close((uv_handle_t *)&s->poll[i], on_handle_closed);
        if (fd >= 0) close(fd);
    }
    s->polls = 0;
    s->accepting = false;
    timer_stop(&s->accept_again);
}

enum err http_server_new(struct http_server **out, struct loop *l, struct http_listen *listen,
                         const struct http_app *app, struct err_note *why)
{
    loop_assert_here(l);
    struct http_server *s = calloc(1, sizeof *s);
    char *input = malloc(CLIENT_READ_BYTES);
    if (s == NULL || input == NULL) {
        free(s);
        free(input);
        return err_set(why, ERR_MEMORY, "out of memory for a server");
    }
    s->loop = l;
    s->listen = listen;
    s->app = *app;
    s->input = input;
    s->due_end = &s->due;
    set_times(&s->times);
    buf_init(&s->batch, CLIENT_OUT_BYTES_MAX);
    buf_init(&s->scratch, CLIENT_OUT_BYTES_MAX);
    uv_idle_init(loop_uv(l), &s->turn);
    s->turn.data = s;
    s->handles = 1;

    for (int i = 0; i < listen->count; i++) {
        int fd = fcntl(listen->fd[i], F_DUPFD_CLOEXEC, 0);
        int rc = fd < 0 ? UV_EMFILE : uv_poll_init(loop_uv(l), &s->poll[s->polls], fd);
        if (rc != 0) {
            if (fd >= 0) close(fd);
            http_server_free(s);
            return err_set(why, ERR_IO, "cannot poll the listening socket: %s", uv_strerror(rc));
        }
        s->poll[s->polls++].data = s;
        s->handles++;
    }
    accept_resume(s);
    *out = s;
    return ERR_NONE;
}

void http_server_drain(struct http_server *s, void (*drained)(void *ctx), void *ctx)
{
    loop_assert_here(s->loop);
    s->drained = drained;
    s->drained_ctx = ctx;
    if (s->draining) return;
    /* Who already stands in the queue is let in: a client that got through must not find a closed
     * door. Then the queue is closed for all loops, so that the next one is told at once. */
    for (int i = 0; i < s->polls; i++) {
        uv_os_fd_t fd;
        if (uv_fileno((uv_handle_t *)&s->poll[i], &fd) != 0) continue;
        for (int n = 0; n < LISTEN_BACKLOG && accept_one(s, fd); n++) continue;
        shutdown(fd, SHUT_RD);
    }
    s->draining = true;
    close_polls(s);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->newer;
        conn_drain(c);
    }
    wake(s);
}

void http_server_kill(struct http_server *s)
{
    loop_assert_here(s->loop);
    s->draining = true;
    close_polls(s);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->newer;
        conn_close(c);
    }
    wake(s);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL) return;
    assert(s->count == 0);
    s->freeing = true;
    timer_stop(&s->calm);
    close_polls(s);
    uv_close((uv_handle_t *)&s->turn, on_handle_closed);
}

size_t http_server_conns(const struct http_server *s)
{
    return s->count;
}
