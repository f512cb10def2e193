/* Which `Host` names are answered (reliability.md section 6).  This is what keeps a web page's
 * rebound name (DNS rebinding) from reaching a private server. */
#ifndef SEMA_API_HOST_H
#define SEMA_API_HOST_H

#include <stdbool.h>

#include "base/str.h"
#include "conf/conf.h"

struct host_rule {
    struct conf_list allowed; /* ALLOWED_HOSTS; `set` when somebody gave it */
    bool loopback;            /* HOST is a loopback address */
    str own;                  /* HOST itself */
};

/* localhost, 127.0.0.1, ::1, as a Host field names them: lower case, without port and brackets. */
bool host_is_loopback_name(str host);

/* `host` as in struct request: lower case, no port, no brackets, empty when the request had none.
 */
bool host_allowed(const struct host_rule *rule, str host);

#endif
