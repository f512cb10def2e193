#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/limits.h"
#include "http/server_private.h"

/* Half of the descriptors, less what the rest of the program needs: each client may cost one
 * upstream. */
static size_t conns_max(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return CLIENT_CONNS_MIN;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit raised = {r.rlim_max, r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) r = raised;
    }
    rlim_t free_fds = r.rlim_cur > RESERVED_DESCRIPTORS ? r.rlim_cur - RESERVED_DESCRIPTORS : 0;
    return free_fds / 2 > CLIENT_CONNS_MIN ? (size_t)(free_fds / 2) : CLIENT_CONNS_MIN;
}

/* What accepted sockets inherit (Linux): no delay for small answers, little of a stream waiting
 * inside the kernel, and an end to peers that vanished without a word. */
static void set_options(int fd, int family)
{
    struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1}, /* past connections in TIME_WAIT do not hold the port */
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, STREAM_KERNEL_BYTES_MAX},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, PEER_SILENT_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, PEER_SILENT_S / 4},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
}

static int port_of(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

/* Gives 0, or an errno. */
static int listen_on(struct http_listen *l, const struct addrinfo *a)
{
    struct sockaddr_storage address = {0};
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return errno;
    memcpy(&address, a->ai_addr, a->ai_addrlen);
    /* Where port 0 was asked for, all addresses share the first one's. */
    if (a->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)l->port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)l->port);
    set_options(fd, a->ai_family);
    if (bind(fd, (struct sockaddr *)&address, a->ai_addrlen) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int failed = errno;
        close(fd);
        return failed;
    }
    l->fd[l->count++] = fd;
    if (l->port == 0) l->port = port_of(fd);
    return 0;
}

/* The resolver gives an address twice when /etc/hosts has two lines for its name. */
static bool seen_before(const struct addrinfo *list, const struct addrinfo *a)
{
    for (const struct addrinfo *b = list; b != a; b = b->ai_next)
        if (b->ai_addrlen == a->ai_addrlen && memcmp(b->ai_addr, a->ai_addr, a->ai_addrlen) == 0)
            return true;
    return false;
}

enum err http_listen_new(struct http_listen **out, const char *host, int port, struct err_note *why)
{
    str name = str_of(host);
    if (str_starts(name, STR("[")) && str_ends(name, STR("]")))
        name = str_span(host + 1, name.len - 2);
    bool v6 = str_find_char(name, ':') != STR_NPOS;
    char shown[320], node[256];
    snprintf(shown, sizeof shown, v6 ? "[%.*s]:%d" : "%.*s:%d",
             (int)(name.len < 256 ? name.len : 256), name.at ? name.at : "", port);
    if (name.len >= sizeof node)
        return err_set(why, ERR_IO, "cannot listen on %s: name too long", shown);
    snprintf(node, sizeof node, "%.*s", STR_ARG(name));

    struct http_listen *l = calloc(1, sizeof *l);
    if (l == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    /* A client that left is an error of one write, not a signal to the process. */
    signal(SIGPIPE, SIG_IGN);
    l->port = port;
    l->conns_max = conns_max();

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    int rc = getaddrinfo(name.len ? node : "0.0.0.0", NULL, &hints, &list);
    if (rc != 0) {
        free(l);
        return err_set(why, ERR_IO, "cannot listen on %s: %s", shown, gai_strerror(rc));
    }
    int failed = 0;
    for (struct addrinfo *a = list; a && l->count < LISTEN_SOCKETS_MAX; a = a->ai_next) {
        if (seen_before(list, a)) continue;
        int e = listen_on(l, a);
        if (e == 0) continue;
        failed = e;
        if (e == EADDRINUSE) break; /* a half-taken name would serve some clients only */
    }
    freeaddrinfo(list);
    if (l->count == 0 || failed == EADDRINUSE) {
        http_listen_free(l);
        return err_set(why, ERR_IO, "cannot listen on %s: %s", shown,
                       failed ? strerror(failed) : "no address");
    }
    *out = l;
    return ERR_NONE;
}

int http_listen_port(const struct http_listen *l)
{
    return l->port;
}

void http_listen_free(struct http_listen *l)
{
    if (l == NULL) return;
    for (int i = 0; i < l->count; i++) close(l->fd[i]);
    free(l);
}
