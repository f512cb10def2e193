/* What a service manager is told (sd_notify(3), the protocol only).  For src/cli alone. */
#ifndef SEMA_CLI_NOTIFY_H
#define SEMA_CLI_NOTIFY_H

#include <stdint.h>

/* `socket`: where it listens (conf->notify_socket); NULL or an address of no known form: nothing is
 * done.  Never wait, never fail: a manager that does not listen is no reason to stop. */
void notify_ready(const char *socket); /* connections are accepted */
/* The end has begun and may take as long as `timeout_ms`, whatever the unit's TimeoutStopSec. */
void notify_stopping(const char *socket, int64_t timeout_ms);

#endif
