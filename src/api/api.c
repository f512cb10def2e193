/* The order of checks (http-api.md section 3, reliability.md section 6): host, origin, route,
 * method, credentials; then the body's size by the server, and the rest by who answers the route.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/errors.h"
#include "api/health.h"
#include "api/inside.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/stream.h"
#include "api/ws.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/limits.h"

enum {
    EVENT_BYTES_MAX = 64 << 20, /* one piece of text; escapes make it up to six times as long */
    LOGGED_PATH_BYTES_MAX = 1024,
    SWITCHES_PER_MINUTE = 10, /* of a client: each may load gigabytes */
};

/* ---- the head ---- */

static bool is_cross_site(const struct request *r)
{
    return str_eq_nocase(headers_get(&r->headers, STR("Sec-Fetch-Site")), STR("cross-site"));
}

static void preflight(struct call *c, str method)
{
    bool origin = c->cors != CORS_REFUSED, fits = cors_method(method);
    str asked = headers_get(&c->r->headers, STR("Access-Control-Request-Headers"));

    /* A preflight is about one origin, even where all are allowed. */
    if (origin) c->cors = CORS_ECHO;
    if (!origin) response_header(c->r, "Vary", STR("Origin"));
    response_header(c->r, "Access-Control-Allow-Methods", str_of(cors_methods));
    response_header(c->r, "Access-Control-Max-Age", STR("600"));
    if (asked.len) response_header(c->r, "Access-Control-Allow-Headers", asked);
    str text = origin && fits     ? STR("OK")
               : !origin && !fits ? STR("Disallowed CORS origin, method")
               : !origin          ? STR("Disallowed CORS origin")
                                  : STR("Disallowed CORS method");
    call_send(c, origin && fits ? 200 : 400, "text/plain; charset=utf-8", text);
}

static void redirect(struct call *c)
{
    struct request *r = c->r;
    str host = headers_get(&r->headers, STR("Host"));
    str proto = headers_get(&r->headers, STR("X-Forwarded-Proto"));
    bool tls = str_eq_nocase(proto, STR("https")) && networks_have(&c->api->trusted, r->peer);

    if (host.len == 0)
        host = arena_strf(&r->arena, "%s:%d", c->api->conf->host, c->api->conf->port);
    str to = arena_strf(&r->arena, "%s://%.*s%.*s%s%.*s", tls ? "https" : "http", STR_ARG(host),
                        STR_ARG(str_head(r->path, r->path.len - 1)), r->query.len ? "?" : "",
                        STR_ARG(r->query));
    if (to.at == NULL) {
        call_out_of_memory(c);
        return;
    }
    response_header(r, "Location", to);
    call_send(c, 307, NULL, STR(""));
}

static void not_found(struct call *c)
{
    call_fail(c, 404, "not_found", STR("Not Found"));
}

static void not_allowed(struct call *c, const char *allow)
{
    response_header(c->r, "Allow", str_of(allow));
    call_fail(c, 405, "method_not_allowed", STR("Method Not Allowed"));
}

static void wrong_version(struct call *c)
{
    str version = headers_get(&c->r->headers, STR("Sec-WebSocket-Version"));

    if (str_eq(str_trim(version), STR("13"))) { /* a key that is none: RFC 6455 4.2.1 */
        response_header(c->r, "Connection", STR("close"));
        call_send(c, 400, "text/plain; charset=utf-8", STR("Invalid HTTP request received."));
        return;
    }
    response_header(c->r, "Sec-WebSocket-Version", STR("13"));
    response_header(c->r, "Upgrade", STR("websocket"));
    call_fail(c, 426, NULL, STR("Upgrade Required"));
}

static bool route_it(struct call *c)
{
    struct request *r = c->r;
    char allow[ROUTE_ALLOW_BYTES];
    str parameter = STR_NONE;

    switch (
        route_find(&c->route, &parameter, allow, c->api->conf, r->method, c->path, ws_asked(r))) {
    case ROUTE_NONE: not_found(c); return false;
    case ROUTE_METHOD: not_allowed(c, allow); return false;
    case ROUTE_SLASH: redirect(c); return false;
    case ROUTE_FOUND: break;
    }
    if ((c->route->flags & ROUTE_SPENDS) && c->cors == CORS_NONE && is_cross_site(r) &&
        !cors_any(&c->api->cors, r->host)) {
        call_fail(c, 403, "origin_not_allowed", STR("Origin not allowed"));
        return false;
    }
    if ((c->route->flags & ROUTE_UPGRADE) && !ws_version_fits(r)) {
        wrong_version(c);
        return false;
    }
    if (parameter.at) c->session = query_decode(parameter, false, &r->arena);
    if (query_parse(&c->query, r->query, &r->arena) || (parameter.at && c->session.at == NULL)) {
        call_out_of_memory(c);
        return false;
    }
    return true;
}

/* Clients of /v1 put base addresses and paths together in their own ways: doubled and trailing
 * slashes say nothing there. */
static str plain_path(const struct request *r, enum family f, struct arena *a)
{
    char *to = f == FAMILY_OPENAI || f == FAMILY_ANTHROPIC ? arena_take(a, r->path.len + 1) : NULL;
    size_t n = 0;

    if (to == NULL) return r->path;
    for (size_t i = 0; i < r->path.len; i++)
        if (r->path.at[i] != '/' || n == 0 || to[n - 1] != '/') to[n++] = r->path.at[i];
    while (n > 1 && to[n - 1] == '/') n--;
    return str_span(to, n);
}

static void on_head(void *ctx, struct request *r)
{
    struct api_loop *at = ctx;
    struct api *a = at->api;
    struct call *c = arena_new(&r->arena, struct call);
    str asked = headers_get(&r->headers, STR("Access-Control-Request-Method"));

    if (c == NULL) {
        response_send(r, 503, "application/json", STR("{\"detail\":\"Model not available\"}"));
        return;
    }
    *c = (struct call){.api = a, .at = at, .r = r, .owner = STR("")};
    r->app = c;
    c->family = family_of(r->path, &r->headers);
    c->path = plain_path(r, c->family, &r->arena);
    c->origin = headers_get(&r->headers, STR("Origin"));
    const struct cors_ask ask = {c->origin, headers_get(&r->headers, STR("Host")), r->host,
                                 headers_get(&r->headers, STR("Cookie")).at != NULL};
    c->cors = cors_decide(&a->cors, &ask);

    if (!host_allowed(&a->hosts, r->host)) {
        call_fail(c, 421, "host_not_allowed", STR("Host not allowed"));
    } else if (str_eq(r->method, STR("OPTIONS")) && c->origin.at && asked.at) {
        preflight(c, asked);
    } else if (c->cors == CORS_REFUSED) {
        call_fail(c, 403, "origin_not_allowed", STR("Origin not allowed"));
    } else if (route_it(c) && ((c->route->flags & ROUTE_OPEN) || call_authenticate(c))) {
        r->body_bytes_max =
            c->family == FAMILY_SEMA ? (size_t)a->conf->max_body_size : V1_BODY_BYTES_MAX;
    }
}

static void on_body(void *ctx, struct request *r)
{
    struct call *c = r->app;
    c->route->answer(c);
}

static void on_fault(void *ctx, struct request *r, enum err e)
{
    struct call *c = r->app;

    if (c == NULL)
        response_send(r, 503, "application/json", STR("{\"detail\":\"Model not available\"}"));
    else if (e == ERR_LIMIT)
        call_fail(c, 413, "payload_too_large", STR("Request body too large"));
    else if (e == ERR_TIMEOUT)
        call_fail(c, 408, "request_timeout", STR("Request timeout"));
    else
        call_out_of_memory(c);
}

/* ---- after the answer ---- */

static void on_answered(void *ctx, const struct request *r, int status, uint64_t total_us,
                        bool gone)
{
    struct api_loop *at = ctx;
    struct call *c = r->app;

    /* The head alone; of a WebSocket nothing more is told. */
    if (total_us == 0 && status != 101) return;
    if (total_us == 0) total_us = clock_mono_us() - r->started_us;
    metrics_request(at->api->metrics, c ? c->route : NULL, r->method, status, total_us);
    log_event(LEVEL_INFO, "http", "http_request", LOG_STR("method", r->method),
              LOG_STR("path", str_head(r->path, LOGGED_PATH_BYTES_MAX)), LOG_INT("status", status),
              LOG_NUM("duration", (double)total_us / 1e6), LOG_CSTR("request_id", r->id));
}

static void on_refused(void *ctx, int status)
{
    struct api_loop *at = ctx;
    metrics_request(at->api->metrics, NULL, STR(""), status, 0);
}

/* ---- turns of this loop, and its end ---- */

static void on_drained(struct timer *t)
{
    struct api_loop *at = container_of(t, struct api_loop, drained_timer);
    at->drained(at->drained_ctx);
}

static void tell_if_drained(struct api_loop *at)
{
    if (!at->draining || at->turns || at->told) return;
    at->told = true;
    /* From a turn of its own, so that nothing is freed under the feet of who ended the last one. */
    timer_set(&at->drained_timer, at->loop, 0, on_drained);
}

void api_turn_begun(struct api_loop *at)
{
    at->turns++;
}

void api_turn_ended(struct api_loop *at)
{
    at->turns--;
    tell_if_drained(at);
}

void api_loop_drain(struct api_loop *at, void (*drained)(void *ctx), void *ctx)
{
    at->draining = true;
    at->drained = drained;
    at->drained_ctx = ctx;
    stream_forget_kept(at);
    ws_drain_all(at);
    tell_if_drained(at);
}

void api_loop_end(struct api_loop *at)
{
    at->draining = at->ended = true;
    stream_end_all(at);
    ws_end_all(at);
    while (at->calls) {
        struct call *c = at->calls;
        call_waited(c);
        c->end(c);
    }
}

enum err api_loop_new(struct api_loop **out, struct api *a, struct loop *l, struct err_note *why)
{
    struct api_loop *at = calloc(1, sizeof *at);
    if (at == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    at->api = a;
    at->loop = l;
    at->app = (struct http_app){
        .ctx = at,
        .head = on_head,
        .body = on_body,
        .fault = on_fault,
        .answered = on_answered,
        .refused = on_refused,
    };
    buf_init(&at->event, EVENT_BYTES_MAX);
    buf_init(&at->out, EVENT_BYTES_MAX);
    *out = at;
    return ERR_NONE;
}

const struct http_app *api_loop_app(const struct api_loop *at)
{
    return &at->app;
}

void api_loop_free(struct api_loop *at)
{
    if (at == NULL) return;
    buf_fini(&at->event);
    buf_fini(&at->out);
    free(at);
}

/* ---- the api ---- */

static enum err check_metrics_path(const struct conf *c, struct err_note *why)
{
    for (size_t i = 0; i < routes_count; i++) {
        if (routes[i].flags & ROUTE_METRICS) continue;
        if (str_eq(str_of(routes[i].path), str_of(c->metrics_path)))
            return err_set(why, ERR_INVALID, "METRICS_PATH: %s is another route", c->metrics_path);
    }
    return ERR_NONE;
}

enum err api_new(struct api **out, const struct api_parts *parts, struct err_note *why)
{
    const struct conf *conf = parts->conf;
    struct api *a = calloc(1, sizeof *a);
    if (a == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    a->parts = *parts;
    a->conf = conf;
    a->started_us = clock_mono_us();
    a->hosts = (struct host_rule){conf->allowed_hosts, conf_is_loopback(conf), str_of(conf->host)};
    a->cors = (struct cors_rule){conf->cors_origins, conf_is_loopback(conf)};
    a->auth = (struct auth){str_of(conf->api_key), str_of(conf->jwt_secret)};
    snprintf(a->rate_text, sizeof a->rate_text, "Rate limit exceeded: %lld per 1 minute",
             (long long)conf->rate_limit);
    snprintf(a->streams_text, sizeof a->streams_text, "Maximum concurrent streams (%lld) exceeded",
             (long long)conf->max_concurrent_streams);
    snprintf(a->sessions_text, sizeof a->sessions_text, "Maximum sessions per user (%lld) exceeded",
             (long long)conf->max_sessions_per_user);
    enum err e = check_metrics_path(conf, why);
    if (!e) e = networks_init(&a->trusted, &conf->forwarded_allow_ips, why);
    if (!e) e = limit_new(&a->limit, (uint64_t)conf->rate_limit);
    if (!e) e = limit_new(&a->switch_limit, conf->rate_limit ? SWITCHES_PER_MINUTE : 0);
    if (!e) e = replays_new(&a->replays);
    if (!e) e = metrics_new(&a->metrics);
    if (!e) e = health_probe_new(&a->probe);
    if (!e) e = openapi_make(&a->openapi, conf);
    if (e) {
        api_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

void api_free(struct api *a)
{
    if (a == NULL) return;
    networks_fini(&a->trusted);
    limit_free(a->limit);
    limit_free(a->switch_limit);
    replays_free(a->replays);
    metrics_free(a->metrics);
    health_probe_free(a->probe);
    buf_fini(&a->openapi);
    buf_fini(&a->page);
    buf_fini(&a->page_policy);
    free(a);
}
