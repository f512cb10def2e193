/* Token counts: guessed where a provider gives none, made consistent where it gives odd ones
 * (providers.md section 1). */
#ifndef SEMA_BACKEND_USAGE_H
#define SEMA_BACKEND_USAGE_H

#include "backend/backend.h"

/* What is still unknown is estimated (bytes / 4, at least 1) and the whole flagged; counts are
 * never negative, and the cached part never exceeds the prompt: `total_tokens` (-1 unknown) says
 * which of the two was meant. */
void usage_settle(struct usage *u, const struct ask *q, size_t answer_bytes, int64_t total_tokens);

#endif
