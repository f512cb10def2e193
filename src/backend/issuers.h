/* Who gave a reasoning signature (providers.md 5.1, 6.1): providers refuse each other's, so what is
 * known as somebody else's is not sent to them.  A bounded memory of the whole process: signatures
 * of one backend meet another after a switch or a fallback.  Any thread. */
#ifndef SEMA_BACKEND_ISSUERS_H
#define SEMA_BACKEND_ISSUERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* `issuer` is never 0.  `now_ms` on any one clock of the process. */
void issuers_note(str signature, uint64_t issuer, uint64_t now_ms);
/* Whether somebody other than `issuer` is known to have given it: one that is unknown, or was given
 * hours ago, is nobody's. */
bool issuers_is_foreign(str signature, uint64_t issuer, uint64_t now_ms);

#endif
