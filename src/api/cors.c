#include "api/cors.h"

#include "api/host.h"

const char cors_methods[] = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
const char cors_exposed[] = "X-Request-ID, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
                            "X-RateLimit-Reset, X-Next-Cursor";
const char cors_exposed_served[] = "X-Request-ID, request-id, Retry-After, X-RateLimit-Limit, "
                                   "X-RateLimit-Remaining, X-RateLimit-Reset";

/* An origin in its parts (RFC 6454 6.2): scheme, host without brackets, port or nothing. */
struct origin {
    str scheme, host, port;
};

static bool split_authority(str text, str *host, str *port)
{
    *port = STR_NONE;
    if (text.len && text.at[0] == '[') {
        size_t end = str_find_char(text, ']');
        if (end == STR_NPOS) return false;
        *host = str_span(text.at + 1, end - 1);
        text = str_tail(text, end + 1);
        if (text.len == 0) return true;
        if (text.at[0] != ':') return false;
        *port = str_tail(text, 1);
        return true;
    }
    size_t colon = str_find_char(text, ':');
    *host = colon == STR_NPOS ? text : str_head(text, colon);
    if (colon != STR_NPOS) *port = str_tail(text, colon + 1);
    return host->len > 0;
}

static bool origin_split(str text, struct origin *out)
{
    size_t at = str_find(text, STR("://"));
    if (at == STR_NPOS) return false;
    out->scheme = str_head(text, at);
    text = str_tail(text, at + 3);
    if (str_find_char(text, '/') != STR_NPOS) return false;
    return split_authority(text, &out->host, &out->port);
}

static str port_or_default(str port, str scheme)
{
    if (port.len) return port;
    return str_eq_nocase(scheme, STR("https")) ? STR("443") : STR("80");
}

/* A page that this server gave out.  Behind a proxy that ends TLS the page is https while Host has
 * no port: an absent port on both sides is equal whatever the scheme. */
static bool is_own(const struct origin *o, str host_field)
{
    str host, port;

    if (!split_authority(host_field, &host, &port)) return false;
    if (!str_eq_nocase(host, o->host)) return false;
    if (port.len == 0 && o->port.len == 0) return true;
    return str_eq(port_or_default(port, o->scheme), port_or_default(o->port, o->scheme));
}

static bool is_loopback(const struct origin *o)
{
    return (str_eq_nocase(o->scheme, STR("http")) || str_eq_nocase(o->scheme, STR("https"))) &&
           host_is_loopback_name(o->host);
}

static bool loopback_only(const struct cors_rule *rule, str host)
{
    return !rule->origins.set && (rule->loopback || host_is_loopback_name(host));
}

bool cors_any(const struct cors_rule *rule, str host)
{
    if (!rule->origins.set) return !loopback_only(rule, host);
    for (size_t i = 0; i < rule->origins.count; i++)
        if (str_eq(str_of(rule->origins.at[i]), STR("*"))) return true;
    return false;
}

enum cors cors_decide(const struct cors_rule *rule, const struct cors_ask *ask)
{
    struct origin o = {0};

    if (ask->origin.at == NULL) return CORS_NONE;
    if (cors_any(rule, ask->host)) return ask->cookie ? CORS_ECHO : CORS_ANY;

    bool whole = origin_split(ask->origin, &o);
    if (whole && is_own(&o, ask->host_field)) return CORS_ECHO;
    if (loopback_only(rule, ask->host)) return whole && is_loopback(&o) ? CORS_ECHO : CORS_REFUSED;
    for (size_t i = 0; i < rule->origins.count; i++)
        if (str_eq_nocase(str_of(rule->origins.at[i]), ask->origin)) return CORS_ECHO;
    return CORS_REFUSED;
}

bool cors_method(str method)
{
    str rest = str_of(cors_methods), one;

    while (str_split(&rest, ',', &one))
        if (str_eq(str_trim(one), method)) return true;
    return false;
}
