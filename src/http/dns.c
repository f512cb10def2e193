#include "http/dns.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "base/loop.h"

struct dns_name {
    struct dns_name *next;
    struct dns_wait waits; /* the head of a ring */
    bool running;
    uint64_t until_ms; /* how long the result counts */
    struct dns_result result;
    char host[];
};

struct dns {
    struct loop *loop;
    struct dns_name *names;
    size_t count;
    struct lookup *lookups;
};

/* A lookup outlives its resolver when libuv cannot take it back any more. */
struct lookup {
    uv_getaddrinfo_t req;
    struct dns *dns; /* NULL: nobody wants the result */
    struct dns_name *name;
    struct lookup *prev, *next;
};

struct dns *dns_new(struct loop *l)
{
    struct dns *d = calloc(1, sizeof *d);
    if (d) d->loop = l;
    return d;
}

void dns_free(struct dns *d)
{
    if (d == NULL) return;
    for (struct lookup *l = d->lookups; l; l = l->next) {
        l->dns = NULL;
        uv_cancel((uv_req_t *)&l->req);
    }
    for (struct dns_name *n = d->names; n;) {
        struct dns_name *next = n->next;
        assert(n->waits.next == &n->waits);
        free(n);
        n = next;
    }
    free(d);
}

/* ---- addresses that need no lookup ---- */

static void set_port(union dns_address *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

static bool literal(const char *host, union dns_address *out)
{
    *out = (union dns_address){0};
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->any.sa_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->any.sa_family = AF_INET6;
        return true;
    }
    return false;
}

/* RFC 6761 6.3: these names mean the loopback address, whatever a server says. */
static bool is_localhost(str host)
{
    if (str_ends(host, STR("."))) host = str_head(host, host.len - 1);
    return str_eq(host, STR("localhost")) || str_ends(host, STR(".localhost"));
}

static struct dns_name *find(struct dns *d, str host)
{
    for (struct dns_name *n = d->names; n; n = n->next)
        if (str_eq(str_of(n->host), host)) return n;
    return NULL;
}

bool dns_known(struct dns *d, str host, uint16_t port, struct dns_result *out)
{
    char text[256];

    if (host.len >= sizeof text) {
        *out = (struct dns_result){.e = ERR_NETWORK, .note = "the name is too long"};
        return true;
    }
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';

    struct dns_name *n;
    out->e = ERR_NONE;
    if (literal(text, &out->at[0])) {
        out->count = 1;
    } else if (is_localhost(host)) {
        literal("127.0.0.1", &out->at[0]);
        literal("::1", &out->at[1]);
        out->count = 2;
    } else if ((n = find(d, host)) && !n->running && n->until_ms > loop_now_ms(d->loop)) {
        *out = n->result;
    } else {
        return false;
    }
    for (size_t i = 0; i < out->count; i++) set_port(&out->at[i], port);
    return true;
}

/* ---- lookups ---- */

/* The resolver's order inside each family stays (RFC 6724 sorted it); the families take turns, so
 * that one that does not work costs one attempt. */
static void take_addresses(struct dns_result *r, const struct addrinfo *all)
{
    const struct addrinfo *next[2] = {all, all}; /* of the first one's family, of the other */
    int first = all ? all->ai_family : AF_INET;

    for (int turn = 0; r->count < UPSTREAM_ADDRESSES_MAX && (next[0] || next[1]); turn ^= 1) {
        const struct addrinfo *a = next[turn];
        while (a && (a->ai_family == first) != (turn == 0)) a = a->ai_next;
        next[turn] = a ? a->ai_next : NULL;
        if (a == NULL || a->ai_addrlen > sizeof r->at[0]) continue;
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
        memcpy(&r->at[r->count++], a->ai_addr, a->ai_addrlen);
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *all)
{
    struct lookup *l = container_of(req, struct lookup, req);
    struct dns *d = l->dns;
    struct dns_name *n = l->name;

    if (d) {
        if (l->prev)
            l->prev->next = l->next;
        else
            d->lookups = l->next;
        if (l->next) l->next->prev = l->prev;

        n->running = false;
        n->result = (struct dns_result){0};
        if (status == 0) take_addresses(&n->result, all);
        if (n->result.count == 0) {
            n->result.e = ERR_NETWORK;
            snprintf(n->result.note, sizeof n->result.note, "%s",
                     status ? uv_strerror(status) : "the name has no address");
        }
        n->until_ms = loop_now_ms(d->loop) + (n->result.e ? DNS_FAILED_KEPT_MS : DNS_KEPT_MS);
    }
    free(l);
    if (all) uv_freeaddrinfo(all);
    if (d == NULL) return;

    /* A waiter may end others, or ask for other names; the name itself stays: it is not expired. */
    struct dns_result result = n->result;
    while (n->waits.next != &n->waits) {
        struct dns_wait *w = n->waits.next;
        dns_leave(w);
        w->done(w, &result);
    }
}

/* Forgets what nobody needs any more, so that the list stays short. */
static void forget_old(struct dns *d)
{
    uint64_t now = loop_now_ms(d->loop);

    for (struct dns_name **at = &d->names; *at;) {
        struct dns_name *n = *at;
        bool idle = !n->running && n->waits.next == &n->waits && n->until_ms <= now;
        if (idle) {
            *at = n->next;
            free(n);
            d->count--;
        } else {
            at = &n->next;
        }
    }
}

static struct dns_name *add_name(struct dns *d, str host)
{
    forget_old(d);
    struct dns_name *n = d->count < DNS_NAMES_MAX ? calloc(1, sizeof *n + host.len + 1) : NULL;
    if (n == NULL) return NULL;
    memcpy(n->host, host.at, host.len);
    n->waits.prev = n->waits.next = &n->waits;
    n->next = d->names;
    d->names = n;
    d->count++;
    return n;
}

static enum err start(struct dns *d, struct dns_name *n)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *l = calloc(1, sizeof *l);
    if (l == NULL) return ERR_MEMORY;

    l->dns = d;
    l->name = n;
    if (uv_getaddrinfo(loop_uv(d->loop), &l->req, on_resolved, n->host, NULL, &hints) != 0) {
        free(l);
        return ERR_NETWORK;
    }
    l->next = d->lookups;
    if (l->next) l->next->prev = l;
    d->lookups = l;
    n->running = true;
    return ERR_NONE;
}

enum err dns_ask(struct dns *d, str host, struct dns_wait *w, struct err_note *why)
{
    struct dns_name *n = find(d, host);
    enum err e = ERR_NONE;

    if (n == NULL) n = add_name(d, host);
    if (n == NULL) return err_set(why, ERR_MEMORY, "too many names are being resolved");
    if (!n->running) e = start(d, n);
    if (e) return err_set(why, e, "%.*s: cannot be resolved", STR_ARG(host));

    w->name = n;
    w->next = &n->waits;
    w->prev = n->waits.prev;
    w->prev->next = w;
    n->waits.prev = w;
    return ERR_NONE;
}

void dns_leave(struct dns_wait *w)
{
    if (w->name == NULL) return;
    w->prev->next = w->next;
    w->next->prev = w->prev;
    w->name = NULL;
}
