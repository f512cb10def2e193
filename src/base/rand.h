/* Random bytes from the kernel, any thread. */
#ifndef SEMA_BASE_RAND_H
#define SEMA_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);
double rand_unit(void); /* [0, 1) */

enum { RAND_UUID_BYTES = 37 }; /* 36 characters, RFC 9562 version 4, and a NUL */
void rand_uuid(char out[RAND_UUID_BYTES]);

#endif
