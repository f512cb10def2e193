/* The numbers behind a seeded answer: xoshiro256** 1.0 (Blackman and Vigna 2018), its state filled
 * by splitmix64.  Same seed, same numbers, on every machine.  Not for secrets. */
#ifndef SEMA_ENGINE_SAMPLE_RANDOM_H
#define SEMA_ENGINE_SAMPLE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t s[4];
};

void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
double random_unit(struct random *r); /* [0, 1), 53 bits */

#endif
