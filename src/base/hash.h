/* Hashing of short keys that strangers choose: SipHash-1-3 (Aumasson and Bernstein 2012) under a
 * key drawn at start, so that nobody can make tables collide. */
#ifndef SEMA_BASE_HASH_H
#define SEMA_BASE_HASH_H

#include <stdint.h>

#include "base/str.h"

uint64_t hash_str(str s);
uint64_t hash_mix(uint64_t a, uint64_t b); /* combines two hashes */

#endif
