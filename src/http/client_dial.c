/* Making a connection: the name's addresses are raced (RFC 8305), the first that answers wins; then
 * the proxy and TLS, which client_conn.c speaks.  The call's connect deadline covers all of it. */
#include <stdlib.h>

#include "http/client_in.h"

struct client_dial {
    struct http_call *call;
    struct client_origin *origin;
    struct dns_wait wait;
    struct dns_result addresses;
    bool resolved;
    size_t tried, racing; /* attempts begun, attempts open */
    struct client_conn *race[UPSTREAM_ADDRESSES_MAX];
    struct client_conn *winner;
    struct timer next; /* when the next address joins the race */
    int last_status;   /* of the latest attempt that failed */
};

static void try_next(struct timer *t);

/* Whom the connection goes to: the provider, or the proxy in front of it. */
static const struct url *proxy_of(const struct client_dial *d)
{
    return d->origin->proxied ? &d->origin->client->proxy.url : NULL;
}

static void resolved(struct client_dial *d)
{
    if (d->addresses.e) {
        struct err_note why = {0};
        const struct url *proxy = proxy_of(d);
        str host = proxy ? proxy->host : d->origin->host;
        err_set(&why, ERR_NETWORK, "%s: cannot resolve %s%.*s: %s", d->origin->name,
                proxy ? "the proxy " : "", STR_ARG(host), d->addresses.note);
        client_dial_broke(d, ERR_NETWORK, &why);
        return;
    }
    d->resolved = true;
    try_next(&d->next);
}

static void on_resolved(struct dns_wait *w, const struct dns_result *r)
{
    struct client_dial *d = container_of(w, struct client_dial, wait);
    const struct url *proxy = proxy_of(d);
    uint16_t port = proxy ? proxy->port : d->origin->port;

    d->addresses = *r;
    for (size_t i = 0; i < d->addresses.count; i++) {
        union dns_address *a = &d->addresses.at[i];
        *(a->any.sa_family == AF_INET6 ? &a->v6.sin6_port : &a->v4.sin_port) = htons(port);
    }
    resolved(d);
}

static void on_known(struct timer *t)
{
    resolved(container_of(t, struct client_dial, next));
}

enum err client_dial_start(struct http_call *call, struct err_note *why)
{
    struct http_client *client = call->client;
    struct client_dial *d = calloc(1, sizeof *d);
    if (d == NULL) return err_set(why, ERR_MEMORY, "out of memory for a connection");

    d->call = call;
    d->origin = call->origin;
    d->wait.done = on_resolved;
    const struct url *proxy = proxy_of(d);
    str host = proxy ? proxy->host : d->origin->host;
    uint16_t port = proxy ? proxy->port : d->origin->port;
    if (dns_known(client->dns, host, port, &d->addresses)) {
        timer_set(&d->next, client->loop, 0, on_known); /* whoever asked hears of it later */
    } else {
        enum err e = dns_ask(client->dns, host, &d->wait, why);
        if (e) {
            free(d);
            return e;
        }
    }
    call->dial = d;
    return ERR_NONE;
}

static void leave_race(struct client_dial *d, struct client_conn *c)
{
    for (size_t i = 0; i < d->racing; i++) {
        if (d->race[i] != c) continue;
        d->race[i] = d->race[--d->racing];
        return;
    }
}

static void end_race(struct client_dial *d)
{
    timer_stop(&d->next);
    dns_leave(&d->wait);
    while (d->racing) {
        struct client_conn *c = d->race[--d->racing];
        c->dial = NULL;
        client_conn_close(c);
    }
}

void client_dial_cancel(struct client_dial *d)
{
    if (d == NULL) return;
    d->call->dial = NULL;
    end_race(d);
    if (d->winner) {
        d->winner->dial = NULL;
        client_conn_close(d->winner);
    }
    free(d);
}

void client_dial_broke(struct client_dial *d, enum err e, const struct err_note *why)
{
    struct http_call *call = d->call;
    struct err_note note = *why;

    if (note.http_status == 0) note.http_status = HTTP_FAULT_CONNECT;
    client_dial_cancel(d);
    client_call_failed(call, e, &note);
}

static void try_next(struct timer *t)
{
    struct client_dial *d = container_of(t, struct client_dial, next);

    while (d->tried < d->addresses.count) {
        struct client_conn *c;
        int rc = client_conn_new(&c, d, d->origin, &d->addresses.at[d->tried++]);
        if (rc == 0) {
            d->race[d->racing++] = c;
            if (d->tried < d->addresses.count)
                timer_set(&d->next, d->origin->client->loop, UPSTREAM_RACE_MS, try_next);
            return;
        }
        d->last_status = rc; /* "no route" comes at once: the next address need not wait */
    }
    if (d->racing) return;

    struct err_note why = {0};
    const struct url *proxy = proxy_of(d);
    if (proxy)
        err_set(&why, ERR_NETWORK, "%s: cannot connect to the proxy %.*s: %s", d->origin->name,
                STR_ARG(proxy->authority), uv_strerror(d->last_status));
    else
        err_set(&why, ERR_NETWORK, "%s: cannot connect: %s", d->origin->name,
                uv_strerror(d->last_status));
    client_dial_broke(d, ERR_NETWORK, &why);
}

void client_dial_tcp(struct client_dial *d, struct client_conn *c, int status)
{
    leave_race(d, c);
    if (status < 0) {
        d->last_status = status;
        c->dial = NULL;
        client_conn_close(c);
        timer_stop(&d->next);
        try_next(&d->next);
        return;
    }
    end_race(d);
    d->winner = c;
    client_conn_prepare(c);
}

void client_dial_ready(struct client_dial *d, struct client_conn *c)
{
    struct http_call *call = d->call;

    c->dial = NULL;
    free(d);
    client_call_connected(call, c);
}

const char *client_dial_phase(const struct client_dial *d)
{
    if (!d->resolved) return "resolving the name";
    if (d->winner == NULL) return "connecting";
    return d->winner->state == CONN_TUNNEL ? "waiting for the proxy" : "TLS";
}
