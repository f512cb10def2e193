/* Which levels the processor and its system have. */
#include "engine/kernel/kernel.h"

#ifdef __x86_64__
#include <cpuid.h>

extern const struct kernels kernels_avx2, kernels_avx512;

/* Not among the names that clang 14 knows. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

size_t kernels_here(const struct kernels *out[KERNEL_LEVELS_MAX])
{
    size_t n = 0;
#ifdef __x86_64__
    __builtin_cpu_init(); /* the builtins look at XCR0 too: the system saves these registers */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
        out[n++] = &kernels_avx512;
    }
    if (avx2) out[n++] = &kernels_avx2;
#endif
    out[n++] = &kernels_scalar;
    return n;
}
