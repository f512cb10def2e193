/* One request on its way to its answer: what every answer carries, what an error looks like, and
 * who must be told when the client leaves first. */
#include <stdio.h>

#include "api/errors.h"
#include "api/inside.h"
#include "api/metrics.h"
#include "api/served/served.h"
#include "api/validate.h"
#include "base/clock.h"

enum { ERROR_BYTES_MAX = 2 << 20 };

/* ---- waiting ---- */

static void on_gone(struct request *r)
{
    struct call *c = r->app;

    call_waited(c);
    if (c->gone) c->gone(c);
}

static void on_drain(struct request *r)
{
    struct call *c = r->app;
    if (c->drain) c->drain(c);
}

void call_wait(struct call *c, void *own, void (*gone)(struct call *c), void (*end)(struct call *c))
{
    c->own = own;
    c->gone = gone;
    c->end = end;
    c->r->on_gone = on_gone;
    c->r->on_drain = on_drain;
    c->waiting = true;
    c->prev = NULL;
    c->next = c->at->calls;
    if (c->next) c->next->prev = c;
    c->at->calls = c;
}

void call_waited(struct call *c)
{
    if (!c->waiting) return;
    c->waiting = false;
    *(c->prev ? &c->prev->next : &c->at->calls) = c->next;
    if (c->next) c->next->prev = c->prev;
}

/* ---- answering ---- */

void call_dress(struct call *c)
{
    struct request *r = c->r;

    if (c->cors == CORS_ANY || c->cors == CORS_ECHO) {
        bool any = c->cors == CORS_ANY;
        response_header(r, "Access-Control-Allow-Origin", any ? STR("*") : c->origin);
        response_header(r, "Access-Control-Allow-Credentials", STR("true"));
        response_header(r, "Access-Control-Expose-Headers",
                        str_of(c->family == FAMILY_SEMA ? cors_exposed : cors_exposed_served));
        if (!any) response_header(r, "Vary", STR("Origin"));
    }
}

void call_send(struct call *c, int status, const char *type, str body)
{
    call_waited(c);
    call_dress(c);
    response_send(c->r, status, type, body);
}

void call_json(struct call *c, int status, struct buf *body)
{
    if (body->bad) {
        buf_fini(body);
        call_out_of_memory(c);
        return;
    }
    /* Conversations, and who has them, are in no cache. */
    response_header(c->r, "Cache-Control", STR("no-store"));
    call_send(c, status, "application/json", buf_str(body));
    buf_fini(body);
}

static void fail(struct call *c, int status, const char *key, str detail_json, const char *code)
{
    struct buf body;

    buf_init(&body, ERROR_BYTES_MAX);
    errors_body(&body, key, detail_json, code, str_of(c->r->id));
    response_header(c->r, "Cache-Control", STR("no-store"));
    call_send(c, status, "application/json",
              body.bad ? STR("{\"detail\":\"Internal server error\"}") : buf_str(&body));
    buf_fini(&body);
}

/* Our codes in the words of the other families' clients; those that have none there go without. */
static const char *code_of_family(const char *code)
{
    static const char *const pairs[][2] = {{"unauthorized", "invalid_api_key"},
                                           {"not_found", "unknown_url"},
                                           {"rate_limited", "rate_limit_exceeded"},
                                           {"overloaded", "overloaded"}};

    for (size_t i = 0; code && i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(code, pairs[i][0]) == 0) return pairs[i][1];
    return NULL;
}

static void fail_text(struct call *c, int status, const char *key, str detail, const char *code)
{
    if (c->family != FAMILY_SEMA) {
        const struct family_error e = {.status = status,
                                       .code = code_of_family(code),
                                       .message = detail};
        served_fail(c, &e);
        return;
    }
    struct buf json;
    struct json_out o;

    buf_init(&json, ERROR_BYTES_MAX);
    o = json_begin(&json);
    json_text(&o, detail);
    fail(c, status, key, json.bad ? STR("null") : buf_str(&json), code);
    buf_fini(&json);
}

void call_fail(struct call *c, int status, const char *code, str detail)
{
    fail_text(c, status, "detail", detail, code);
}

void call_fail_list(struct call *c, int status, const char *code, str list)
{
    fail(c, status, "detail", list, code);
}

void call_out_of_memory(struct call *c)
{
    if (c->family == FAMILY_SEMA)
        call_fail_turn(c, ERR_MEMORY, NULL, NULL);
    else
        call_fail(c, 503, "overloaded", STR("out of memory"));
}

static void retry_after(struct call *c, uint64_t seconds)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seconds);
    response_header(c->r, "Retry-After", str_of(text));
}

void call_fail_turn(struct call *c, enum err e, const struct err_note *why, yyjson_val *body)
{
    struct failure f;

    if (e == ERR_SESSION_LIMIT) {
        call_fail(c, err_row(e)->status, err_row(e)->code, str_of(c->api->sessions_text));
        return;
    }
    errors_of_turn(&f, e, why);
    if (f.retry_after_s) retry_after(c, (uint64_t)f.retry_after_s);
    if (f.detail) {
        call_fail(c, f.status, f.code, str_of(f.detail));
        return;
    }
    struct complaints list;
    complaints_init(&list);
    const struct complaint what = {
        "value_error", "body", f.field, -1, f.own_words ? why->text : f.msg, NULL};
    complain(&list, &what, f.field ? json_get(body, f.field) : body, STR_NONE);
    json_end_array(&list.out);
    call_fail_list(c, f.status, f.code, list.json.bad ? STR("[]") : buf_str(&list.json));
    complaints_fini(&list);
}

/* ---- who asks ---- */

bool call_authenticate(struct call *c)
{
    struct arena *arena = &c->r->arena;
    bool in_query = c->route->flags & ROUTE_QUERY_KEY;
    uint64_t now_s = clock_wall_us() / 1000000;

    if (c->family == FAMILY_GOOGLE)
        auth_check_google(&c->api->auth, &c->r->headers, &c->query, now_s, arena, &c->who);
    else
        auth_check(&c->api->auth, &c->r->headers, in_query ? &c->query : NULL, now_s, arena,
                   &c->who);
    if (c->who.kind == AUTH_USER) { /* a name may hold U+0000 */
        char *owner = arena_take(arena, 5 + c->who.user.len);
        if (owner == NULL) {
            call_out_of_memory(c);
            return false;
        }
        memcpy(owner, "user:", 5);
        memcpy(owner + 5, c->who.user.at, c->who.user.len);
        c->owner = str_span(owner, 5 + c->who.user.len);
    }
    if (c->who.kind != AUTH_NOBODY) return true;
    response_header(c->r, "WWW-Authenticate", STR("Bearer"));
    call_fail(c, 401, "unauthorized", STR("Invalid or missing credentials"));
    return false;
}

/* ---- limits ---- */

static bool take_from(struct call *c, struct limit *bucket, struct limit_verdict *out)
{
    if (c->counted_as.at == NULL) {
        char address[CLIENT_ADDRESS_BYTES];
        client_address(address, &c->api->trusted, c->r->peer, &c->r->headers);
        /* Nobody's name begins as an address does, and a key's holders are told apart by theirs. */
        c->counted_as =
            c->who.kind == AUTH_USER ? c->owner : arena_str(&c->r->arena, str_of(address));
    }
    limit_take(bucket, c->counted_as, clock_mono_us(), out);
    if (!out->allowed) metrics_rate_limited(c->api->metrics);
    return out->allowed;
}

bool call_take(struct call *c, struct limit_verdict *out)
{
    return take_from(c, c->api->limit, out);
}

static bool within(struct call *c, struct limit *bucket, const char *words)
{
    struct limit_verdict v;
    char text[24];

    if (take_from(c, bucket, &v)) return true;
    retry_after(c, v.retry_s);
    snprintf(text, sizeof text, "%llu", (unsigned long long)limit_per_minute(bucket));
    response_header(c->r, "X-RateLimit-Limit", str_of(text));
    snprintf(text, sizeof text, "%llu", (unsigned long long)v.remaining);
    response_header(c->r, "X-RateLimit-Remaining", str_of(text));
    snprintf(text, sizeof text, "%llu", (unsigned long long)v.full_s);
    response_header(c->r, "X-RateLimit-Reset", str_of(text));
    fail_text(c, 429, "error", str_of(words), "rate_limited");
    return false;
}

bool call_within_limit(struct call *c)
{
    return within(c, c->api->limit, c->api->rate_text);
}

bool call_within_switch_limit(struct call *c)
{
    return within(c, c->api->switch_limit, "Rate limit exceeded: 10 per 1 minute");
}

bool stream_slot_take(struct api *a)
{
    int64_t max = a->conf->max_concurrent_streams, now = atomic_load(&a->streams);

    do {
        if (max && now >= max) return false;
    } while (!atomic_compare_exchange_weak(&a->streams, &now, now + 1));
    return true;
}

void stream_slot_free(struct api *a)
{
    atomic_fetch_sub(&a->streams, 1);
}
