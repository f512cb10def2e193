#include "http/client.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "http/client_in.h"

static _Thread_local struct http_client *client_here;

struct http_client *http_client_here(void)
{
    return client_here;
}

void http_client_set_here(struct http_client *c)
{
    client_here = c;
}

/* ---- the client ---- */

static const char *copy(struct arena *a, const char *s, bool *ok)
{
    if (s == NULL) return NULL;
    str to = arena_str(a, str_of(s));
    *ok = *ok && to.at;
    return to.at;
}

enum err http_client_new(struct http_client **out, struct loop *l,
                         const struct http_client_conf *conf, struct err_note *why)
{
    struct http_client *c = calloc(1, sizeof *c);
    bool ok = c != NULL;
    enum err e = ERR_NONE;

    if (ok) {
        arena_init(&c->arena, 0);
        buf_init(&c->out, UPSTREAM_ANSWER_BYTES_MAX);
        c->loop = l;
        c->ca_file = copy(&c->arena, conf->ca_file, &ok);
        c->ca_dir = copy(&c->arena, conf->ca_dir, &ok);
        c->user_agent = copy(&c->arena, conf->user_agent ? conf->user_agent : "sema", &ok);
        c->kept_max = conf->kept_max ? conf->kept_max : UPSTREAM_KEPT_MAX;
        c->kept_idle_ms = conf->kept_idle_ms ? conf->kept_idle_ms : UPSTREAM_KEPT_IDLE_MS;
        c->dns = dns_new(l);
        ok = ok && c->dns;
        client_parse_settings(&c->parse);
    }
    if (!ok) e = err_set(why, ERR_MEMORY, "out of memory for provider calls");
    if (!e) e = proxy_init(&c->proxy, conf->proxy, conf->no_proxy, &c->arena, why);
    /* A mistake shows at the start; they are read at the first use: a plain http provider needs
     * none, and OpenSSL takes more than a megabyte. */
    if (!e) e = tls_look(c->ca_file, c->ca_dir, why);
    if (e) {
        http_client_free(c);
        return e;
    }
    *out = c;
    return ERR_NONE;
}

static void call_free(struct http_call *call);

void http_client_free(struct http_client *c)
{
    if (c == NULL) return;
    while (c->calls) {
        struct http_call_events to = c->calls->to;
        http_call_cancel(c->calls);
        if (to.dropped) to.dropped(to.ctx);
    }
    while (c->conns) client_conn_close(c->conns);
    timer_stop(&c->kept_timer);
    for (struct client_origin *o = c->origins; o; o = o->next) tls_session_free(o->session);
    dns_free(c->dns);
    buf_fini(&c->out);
    arena_fini(&c->arena);
    if (client_here == c) client_here = NULL;
    free(c);
}

/* ---- origins ---- */

static bool is_credential(str name)
{
    static const char *const names[] = {"authorization", "x-api-key", "x-goog-api-key", "api-key",
                                        "cookie"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_nocase(name, str_of(names[i]))) return true;
    return false;
}

/* A connection that carried one key never carries another: some providers bind their state to it.
 */
static uint64_t origin_key(const struct http_ask *ask)
{
    uint64_t key = hash_mix(hash_str(ask->url->host), ask->url->port * 2u + ask->url->tls);

    for (size_t i = 0; i < ask->headers_count; i++)
        if (is_credential(ask->headers[i].name))
            key = hash_mix(key, hash_str(ask->headers[i].value));
    return key;
}

/* Addresses come from settings only, so the list is short and never shrinks. */
static struct client_origin *origin_of(struct http_client *c, const struct http_ask *ask)
{
    uint64_t key = origin_key(ask);
    const struct url *u = ask->url;
    struct client_origin *o = c->origins;

    while (o &&
           !(o->key == key && o->port == u->port && o->tls == u->tls && str_eq(o->host, u->host)))
        o = o->next;
    if (o) return o;

    o = arena_new(&c->arena, struct client_origin);
    if (o == NULL) return NULL;
    o->client = c;
    o->key = key;
    o->tls = u->tls;
    o->port = u->port;
    o->host = arena_str(&c->arena, u->host);
    if (o->host.at == NULL) return NULL;
    o->proxied = proxy_applies(&c->proxy, o->host, o->port);
    bool v6 = str_find_char(o->host, ':') != STR_NPOS;
    snprintf(o->name, sizeof o->name, v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(o->host),
             (unsigned)o->port);
    o->next = c->origins;
    c->origins = o;
    return o;
}

/* ---- kept connections ---- */

static void on_kept_timer(struct timer *t)
{
    struct http_client *c = container_of(t, struct http_client, kept_timer);
    uint64_t now = loop_now_ms(c->loop);

    while (c->kept_old && c->kept_old->kept_since_ms + c->kept_idle_ms <= now)
        client_conn_close(c->kept_old);
    if (c->kept_old)
        timer_set(t, c->loop, c->kept_old->kept_since_ms + c->kept_idle_ms - now, on_kept_timer);
}

static void keep(struct client_conn *c)
{
    struct http_client *client = c->client;

    c->kept = true;
    c->kept_since_ms = loop_now_ms(client->loop);
    c->older = client->kept_new;
    c->newer = NULL;
    *(c->older ? &c->older->newer : &client->kept_old) = c;
    client->kept_new = c;
    c->above = NULL;
    c->below = c->origin->kept;
    if (c->below) c->below->above = c;
    c->origin->kept = c;
    client->kept_count++;
    if (client->kept_count > client->kept_max) client_conn_close(client->kept_old);
    /* The timer is seldom moved: it looks for itself whether something is old. */
    if (!timer_is_set(&client->kept_timer))
        timer_set(&client->kept_timer, client->loop, client->kept_idle_ms, on_kept_timer);
}

void client_drop_kept(struct client_conn *c)
{
    struct http_client *client = c->client;

    if (!c->kept) return;
    c->kept = false;
    *(c->older ? &c->older->newer : &client->kept_old) = c->newer;
    *(c->newer ? &c->newer->older : &client->kept_new) = c->older;
    *(c->above ? &c->above->below : &c->origin->kept) = c->below;
    if (c->below) c->below->above = c->above;
    client->kept_count--;
}

static struct client_conn *take_kept(struct client_origin *o)
{
    while (o->kept) {
        struct client_conn *c = o->kept;
        client_drop_kept(c);
        if (client_conn_alive(c)) return c;
        client_conn_close(c);
    }
    return NULL;
}

/* ---- deadlines: one timer for each call, moved only when something is due earlier ---- */

static uint64_t phase_due_ms(const struct http_call *call)
{
    uint32_t limit = call->state == CALL_DIALING   ? call->connect_ms
                     : call->state == CALL_SENDING ? call->first_byte_ms
                                                   : call->idle_ms;
    bool halted = call->paused && call->state == CALL_READING;
    return limit && !halted ? call->active_ms + limit : UINT64_MAX;
}

static void on_call_timer(struct timer *t);

static void arm(struct http_call *call)
{
    uint64_t due = phase_due_ms(call), now = loop_now_ms(call->client->loop);

    if (call->total_at_ms < due) due = call->total_at_ms;
    if (due == UINT64_MAX || (timer_is_set(&call->timer) && call->timer.at_ms <= due)) return;
    timer_set(&call->timer, call->client->loop, due > now ? due - now : 0, on_call_timer);
}

static void on_call_timer(struct timer *t)
{
    struct http_call *call = container_of(t, struct http_call, timer);
    uint64_t now = loop_now_ms(call->client->loop);
    const char *name = call->origin->name;
    struct err_note why = {0};

    if (call->conn && call->conn->e) {
        err_set(&why, call->conn->e, "%s: the request cannot be sent", name);
        client_call_failed(call, call->conn->e, &why);
        return;
    }
    if (call->state == CALL_DIALING && phase_due_ms(call) <= now) {
        err_set(&why, ERR_TIMEOUT, "%s: no connection within %u ms (%s)", name,
                (unsigned)call->connect_ms, client_dial_phase(call->dial));
        why.http_status = HTTP_FAULT_CONNECT;
    } else if (call->total_at_ms <= now) {
        err_set(&why, ERR_TIMEOUT, "%s: the answer took too long", name);
    } else if (phase_due_ms(call) > now) {
        arm(call);
        return;
    } else if (call->state == CALL_SENDING) {
        err_set(&why, ERR_TIMEOUT, "%s: no answer within %u ms", name,
                (unsigned)call->first_byte_ms);
    } else {
        err_set(&why, ERR_TIMEOUT, "%s: silent for %u ms", name, (unsigned)call->idle_ms);
    }
    client_call_failed(call, ERR_TIMEOUT, &why);
}

static void enter(struct http_call *call, int state)
{
    call->state = state;
    call->active_ms = loop_now_ms(call->client->loop);
    arm(call);
}

void client_call_moved(struct http_call *call)
{
    call->active_ms = loop_now_ms(call->client->loop);
    if (call->state == CALL_SENDING && call->got_byte) enter(call, CALL_READING);
}

void client_call_broken(struct http_call *call)
{
    timer_set(&call->timer, call->client->loop, 0, on_call_timer);
}

/* ---- starting ---- */

static bool is_field(const struct header *h)
{
    for (size_t i = 0; i < h->name.len; i++) {
        unsigned char c = (unsigned char)h->name.at[i];
        if (c <= ' ' || c >= 0x7F || c == ':') return false;
    }
    for (size_t i = 0; i < h->value.len; i++) {
        unsigned char c = (unsigned char)h->value.at[i];
        if ((c < ' ' && c != '\t') || c == 0x7F) return false;
    }
    return h->name.len > 0;
}

struct cursor {
    char *at; /* NULL: only counts */
    size_t len;
};

static void put(struct cursor *c, str s)
{
    if (c->at && s.len) memcpy(c->at + c->len, s.at, s.len);
    c->len += s.len;
}

static void put_field(struct cursor *c, str name, str value)
{
    put(c, name);
    put(c, STR(": "));
    put(c, value);
    put(c, STR("\r\n"));
}

static void put_request(struct cursor *c, const struct http_client *client,
                        const struct http_ask *ask)
{
    char digits[24];

    put(c, str_of(ask->method));
    put(c, STR(" "));
    put(c, ask->url->target);
    put(c, STR(" HTTP/1.1\r\n"));
    put_field(c, STR("Host"), ask->host.len ? ask->host : ask->url->authority);
    put_field(c, STR("User-Agent"), str_of(client->user_agent));
    put_field(c, STR("Accept-Encoding"), STR("identity"));
    for (size_t i = 0; i < ask->headers_count; i++)
        put_field(c, ask->headers[i].name, ask->headers[i].value);
    if (ask->body.len || strcmp(ask->method, "POST") == 0) {
        snprintf(digits, sizeof digits, "%zu", ask->body.len);
        put_field(c, STR("Content-Length"), str_of(digits));
    }
    put(c, STR("\r\n"));
    put(c, ask->body);
}

static enum err block_new(struct client_block **out, const struct http_client *client,
                          const struct http_ask *ask, struct err_note *why)
{
    struct header host = {STR("Host"), ask->host};
    bool sendable = is_field(&host);

    for (size_t i = 0; i < ask->headers_count; i++)
        sendable = sendable && is_field(&ask->headers[i]);
    if (!sendable) /* its value may be a key */
        return err_set(why, ERR_INVALID, "a field of the request cannot be sent");

    struct cursor c = {0};
    put_request(&c, client, ask);
    struct client_block *b = malloc(sizeof *b + c.len);
    if (b == NULL)
        return err_set(why, ERR_MEMORY, "out of memory for a request of %zu bytes", c.len);
    b->refs = 1;
    b->len = c.len;
    c = (struct cursor){.at = b->at};
    put_request(&c, client, ask);
    *out = b;
    return ERR_NONE;
}

void client_block_release(struct client_block *b)
{
    if (b && --b->refs == 0) free(b);
}

static void use(struct http_call *call, struct client_conn *c)
{
    call->conn = c;
    call->got_byte = false;
    c->call = call;
    enter(call, CALL_SENDING);
    if (call->paused) client_conn_pause(c, true);
    client_conn_send(c);
}

static enum err dial(struct http_call *call, struct err_note *why)
{
    enter(call, CALL_DIALING);
    return client_dial_start(call, why);
}

enum err http_call_start(struct http_call **out, struct http_client *c, const struct http_ask *ask,
                         struct http_call_events to, struct err_note *why)
{
    loop_assert_here(c->loop);
    if (ask->url->tls && c->tls == NULL) {
        enum err e = tls_context_get(&c->tls, c->ca_file, c->ca_dir, why);
        if (e) return e;
    }
    struct client_origin *o = origin_of(c, ask);
    struct http_call *call = o ? calloc(1, sizeof *call) : NULL;
    if (call == NULL) return err_set(why, ERR_MEMORY, "out of memory for a call");

    enum err e = block_new(&call->block, c, ask, why);
    if (e) {
        free(call);
        return e;
    }
    call->client = c;
    call->origin = o;
    call->to = to;
    call->connect_ms = ask->connect_ms;
    call->first_byte_ms = ask->first_byte_ms;
    call->idle_ms = ask->idle_ms;
    call->total_at_ms = ask->total_ms ? loop_now_ms(c->loop) + ask->total_ms : UINT64_MAX;
    call->body_bytes_max = ask->body_bytes_max;
    call->is_head = strcmp(ask->method, "HEAD") == 0;
    call->upgrade = ask->upgrade;
    call->next = c->calls;
    if (call->next) call->next->prev = call;
    c->calls = call;

    struct client_conn *kept = take_kept(o);
    if (kept) {
        use(call, kept); /* gives no event: a dead connection makes it dial anew */
    } else {
        e = dial(call, why);
        if (e) {
            call_free(call);
            return e;
        }
    }
    *out = call;
    return ERR_NONE;
}

/* ---- ending ---- */

static void call_free(struct http_call *call)
{
    timer_stop(&call->timer);
    client_dial_cancel(call->dial);
    if (call->conn) {
        call->conn->call = NULL;
        client_conn_close(call->conn);
    }
    *(call->prev ? &call->prev->next : &call->client->calls) = call->next;
    if (call->next) call->next->prev = call->prev;
    client_block_release(call->block);
    free(call);
}

void client_call_failed(struct http_call *call, enum err e, const struct err_note *why)
{
    struct http_call_events to = call->to;
    struct err_note note = *why; /* it may live in what is freed */

    call_free(call);
    if (to.done) to.done(to.ctx, e, &note);
}

void client_call_complete(struct http_call *call, bool keep_it)
{
    struct client_conn *c = call->conn;
    struct http_call_events to = call->to;

    if (keep_it) {
        call->conn = NULL;
        c->call = NULL;
        c->used = true;
        if (call->paused) client_conn_pause(c, false);
        if (c->state == CONN_OPEN) keep(c);
    }
    call_free(call);
    if (to.done) to.done(to.ctx, ERR_NONE, &(struct err_note){0});
}

void client_call_connected(struct http_call *call, struct client_conn *c)
{
    call->dial = NULL;
    use(call, c);
}

void client_call_lost(struct http_call *call, const struct err_note *why)
{
    struct client_conn *c = call->conn;
    struct err_note note = *why;

    /* The provider closed a kept connection while the request was on its way: it never saw it. */
    if (!c->used || call->got_byte || call->again) {
        client_call_failed(call, ERR_NETWORK, &note);
        return;
    }
    call->again = true;
    call->conn = NULL;
    c->call = NULL;
    client_conn_close(c);
    enum err e = dial(call, &note);
    if (e)
        client_call_failed(call, e, &note); /* out of memory: the one event that may come early */
}

void http_call_cancel(struct http_call *call)
{
    if (call) call_free(call);
}

void http_call_send(struct http_call *call, str bytes)
{
    if (call->conn) client_conn_say(call->conn, bytes);
}

void http_call_abandon(struct http_call *call)
{
    if (call == NULL) return;
    if (call->state != CALL_READING) {
        call_free(call);
        return;
    }
    uint64_t until = loop_now_ms(call->client->loop) + UPSTREAM_DRAIN_MS;

    call->to = (struct http_call_events){0};
    call->abandoned = true;
    if (until < call->total_at_ms) call->total_at_ms = until;
    if (call->body_bytes + UPSTREAM_DRAIN_BYTES_MAX < call->body_bytes_max)
        call->body_bytes_max = call->body_bytes + UPSTREAM_DRAIN_BYTES_MAX;
    http_call_pause(call, false);
    arm(call);
}

void http_call_pause(struct http_call *call, bool pause)
{
    if (call->paused == pause) return;
    call->paused = pause;
    if (call->conn) client_conn_pause(call->conn, pause);
    if (!pause) {
        call->active_ms = loop_now_ms(call->client->loop);
        arm(call);
    }
}
