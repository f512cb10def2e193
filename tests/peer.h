/* A provider made of a thread for each connection: a test says in C what each connection does.
 * Listens on a loopback address and an ephemeral port. */
#ifndef SEMA_TESTS_PEER_H
#define SEMA_TESTS_PEER_H

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer;
typedef void peer_fn(struct peer *p, int fd, int nth); /* nth connection, from 1; closes nothing */

struct peer {
    int fd, port;
    peer_fn *serve;
    void *ctx;
    pthread_t thread;
    atomic_int connections, requests, stop, running;
    struct peer_job {
        struct peer *peer;
        int fd, nth;
        pthread_t thread;
    } jobs[256];
};

static inline void peer_send_all(int fd, const void *at, size_t len)
{
    for (const char *p = at; len;) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0) return;
        p += n;
        len -= (size_t)n;
    }
}

static inline void peer_send(int fd, const char *text)
{
    peer_send_all(fd, text, strlen(text));
}

static inline void peer_sleep(int ms)
{
    poll(NULL, 0, ms);
}

/* Reads one request; its head lands in `head` (if not NULL), the body is counted.  False at the
 * end. */
static inline bool peer_read(struct peer *p, int fd, char *head, size_t cap, size_t *body_len)
{
    char buf[8192];
    size_t len = 0;
    char *end = NULL;

    while (!end) {
        ssize_t n = len < sizeof buf - 1 ? recv(fd, buf + len, 1, 0) : 0;
        if (n <= 0) return false;
        len += (size_t)n;
        buf[len] = '\0';
        end = strstr(buf, "\r\n\r\n");
    }
    if (head) {
        size_t n = len < cap ? len : cap - 1;
        memcpy(head, buf, n);
        head[n] = '\0';
    }
    const char *field = strcasestr(buf, "content-length:");
    size_t want = field ? strtoul(field + 15, NULL, 10) : 0;
    if (body_len) *body_len = want;
    while (want) {
        ssize_t n = recv(fd, buf, want < sizeof buf ? want : sizeof buf, 0);
        if (n <= 0) return false;
        want -= (size_t)n;
    }
    atomic_fetch_add(&p->requests, 1);
    return true;
}

/* The next close() of it sends a reset. */
static inline void peer_reset(int fd)
{
    struct linger l = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

/* Until the other side ends the connection, reading what still comes; gives how long it took, or -1
 * after `ms`. */
static inline int peer_wait_gone(int fd, int ms)
{
    static _Thread_local char rest[65536];

    for (int waited = 0; waited < ms; waited += 5) {
        struct pollfd f = {.fd = fd, .events = POLLIN};
        ssize_t n = 1;
        if (poll(&f, 1, 5) <= 0) continue;
        while (n > 0) n = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return waited;
    }
    return -1;
}

static void *peer_job(void *arg)
{
    struct peer_job *j = arg;
    j->peer->serve(j->peer, j->fd, j->nth);
    close(j->fd);
    return NULL;
}

static void *peer_accept(void *arg)
{
    struct peer *p = arg;
    int count = 0;

    while (!atomic_load(&p->stop)) {
        struct pollfd f = {.fd = p->fd, .events = POLLIN};
        if (poll(&f, 1, 10) <= 0) continue;
        int fd = accept(p->fd, NULL, NULL);
        if (fd < 0 || count == 256) continue;
        struct peer_job *j = &p->jobs[count++];
        *j = (struct peer_job){.peer = p, .fd = fd, .nth = count};
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        atomic_store(&p->connections, count);
        pthread_create(&j->thread, NULL, peer_job, j);
    }
    for (int i = 0; i < count; i++) pthread_join(p->jobs[i].thread, NULL);
    return NULL;
}

static inline void peer_start_at(struct peer *p, peer_fn *serve, void *ctx, bool v6)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_storage got;
    socklen_t len = sizeof got;

    memset(p, 0, sizeof *p);
    p->serve = serve;
    p->ctx = ctx;
    p->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    int rc = v6 ? bind(p->fd, (struct sockaddr *)&a6, sizeof a6)
                : bind(p->fd, (struct sockaddr *)&a4, sizeof a4);
    assert_int_equal(rc, 0);
    assert_int_equal(listen(p->fd, 128), 0);
    getsockname(p->fd, (struct sockaddr *)&got, &len);
    p->port = ntohs(v6 ? ((struct sockaddr_in6 *)&got)->sin6_port
                       : ((struct sockaddr_in *)&got)->sin_port);
    pthread_create(&p->thread, NULL, peer_accept, p);
}

static inline void peer_start(struct peer *p, peer_fn *serve, void *ctx)
{
    peer_start_at(p, serve, ctx, false);
}

/* Every connection must be over, or end by what its `serve` does. */
static inline void peer_stop(struct peer *p)
{
    atomic_store(&p->stop, 1);
    pthread_join(p->thread, NULL);
    close(p->fd);
}

#endif
