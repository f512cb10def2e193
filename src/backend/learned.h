/* What a provider was found not to take, for each model: a field that was refused once is left out
 * from then on (providers.md 3.1, 5.2, 9).  Any thread. */
#ifndef SEMA_BACKEND_LEARNED_H
#define SEMA_BACKEND_LEARNED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct learned;

struct learned *learned_new(void); /* NULL when memory is out */
void learned_free(struct learned *l);
uint64_t learned_get(struct learned *l, str model); /* bits of the dialect's own meaning */
/* Adds bits; false when all of them were known, or the table is full. */
bool learned_add(struct learned *l, str model, uint64_t bits);

#endif
