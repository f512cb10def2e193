#include "base/counter.h"

const double histogram_bounds[HISTOGRAM_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                    1,     2.5,  5,     10,   20,  30,   60};

void histogram_add(struct histogram *h, uint64_t us)
{
    int i = 0;
    while (i < HISTOGRAM_BUCKETS && (double)us > histogram_bounds[i] * 1e6) i++;
    counter_add(&h->bucket[i], 1);
    counter_add(&h->sum_us, us);
}
