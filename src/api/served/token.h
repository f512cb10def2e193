/* What a provider wants back of its model's reasoning, on its way through clients of another API:
 * one text of base64 that holds whose it is, the id of its item, and the provider's own token.
 * Nothing of it is kept here, so it outlives a restart and reaches any replica. */
#ifndef SEMA_API_SERVED_TOKEN_H
#define SEMA_API_SERVED_TOKEN_H

#include "backend/backend.h"
#include "base/arena.h"

/* In the arena; .at NULL when memory is out. */
str served_token(const struct part *p, struct arena *a);
/* Takes one apart again that stands in p->signature; what is none of ours stays as it is. */
void served_token_open(struct part *p, struct arena *a);

#endif
