/* What the scripted backend was asked, as text for its answers: tests read there what a model gets.
 */
#ifndef SEMA_BACKEND_SCRIPTED_ECHO_H
#define SEMA_BACKEND_SCRIPTED_ECHO_H

#include "backend/backend.h"
#include "base/buf.h"

enum { ECHO_BYTES_MAX = 64 * 1024 * 1024 };

void scripted_message_text(struct buf *to, const struct message *m);
const struct message *scripted_newest(const struct ask *q, enum role role); /* NULL: none */
void scripted_echo(struct buf *to, const struct ask *q, str which);         /* a piece's "echo" */

#endif
