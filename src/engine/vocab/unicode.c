#include "engine/vocab/unicode.h"

#include <pthread.h>

#include "engine/vocab/unicode_data.h"

enum {
    RUNS = sizeof unicode_runs / sizeof *unicode_runs,
    FLAT = 0x20000 /* code points with a byte of their own; the rest is rare and searched for */
};

static uint8_t flat[FLAT];
static pthread_once_t flat_once = PTHREAD_ONCE_INIT;

static void flat_fill(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        uint32_t end = i + 1 < RUNS ? unicode_runs[i + 1] >> 5 : FLAT;
        for (uint32_t cp = unicode_runs[i] >> 5; cp < end && cp < FLAT; cp++)
            flat[cp] = unicode_runs[i] & 31;
    }
}

static uint8_t searched(uint32_t cp)
{
    size_t low = 0, high = RUNS; /* run `low` begins at or before cp, run `high` after it */

    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_runs[middle] >> 5 <= cp)
            low = middle;
        else
            high = middle;
    }
    return unicode_runs[low] & 31;
}

unsigned unicode_kind(uint32_t cp)
{
    if (cp >= FLAT) return cp <= 0x10FFFF ? unicode_kinds[searched(cp)] : 0;
    pthread_once(&flat_once, flat_fill);
    return unicode_kinds[flat[cp]];
}
