/* Which browser origins are answered, and how (http-api.md section 2; the Fetch standard, 3.2). */
#ifndef SEMA_API_CORS_H
#define SEMA_API_CORS_H

#include <stdbool.h>

#include "base/str.h"
#include "conf/conf.h"

struct cors_rule {
    struct conf_list origins; /* CORS_ORIGINS */
    bool loopback;            /* HOST is a loopback address */
};

enum cors {
    CORS_NONE,    /* no Origin: nothing is said */
    CORS_ANY,     /* allow-origin `*` */
    CORS_ECHO,    /* the origin itself, Vary: Origin */
    CORS_REFUSED, /* 403 before anything is done */
};

/* What one request says of itself. */
struct cors_ask {
    str origin;     /* Origin; .at NULL when absent */
    str host_field; /* Host as sent, with port */
    str host;       /* the same without port and brackets */
    bool cookie;    /* it carries a Cookie */
};

/* Whether every origin is welcome to a request for this host. */
bool cors_any(const struct cors_rule *rule, str host);
enum cors cors_decide(const struct cors_rule *rule, const struct cors_ask *ask);

/* Whether a preflight may ask for this method. */
bool cors_method(str method);

extern const char cors_methods[]; /* as Access-Control-Allow-Methods lists them */
extern const char cors_exposed[]; /* Access-Control-Expose-Headers */
/* Of the APIs of others: clients of Anthropic's read request-id (openai-compat.md 1). */
extern const char cors_exposed_served[];

#endif
