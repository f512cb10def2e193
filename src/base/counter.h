/* Numbers that many threads add to and a scrape reads: metrics.  Adding is a relaxed atomic. */
#ifndef SEMA_BASE_COUNTER_H
#define SEMA_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;
typedef _Atomic int64_t gauge;

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_read(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void gauge_add(gauge *g, int64_t n)
{
    atomic_fetch_add_explicit(g, n, memory_order_relaxed);
}

static inline int64_t gauge_read(const gauge *g)
{
    return atomic_load_explicit(g, memory_order_relaxed);
}

/* A histogram with the buckets of Prometheus clients: upper bounds in seconds. */
enum { HISTOGRAM_BUCKETS = 14 };
extern const double histogram_bounds[HISTOGRAM_BUCKETS]; /* .005 .01 .025 ... 60 */

struct histogram {
    counter bucket[HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    counter sum_us;
};

void histogram_add(struct histogram *h, uint64_t us);

#endif
