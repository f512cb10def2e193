/* cmocka with the few words that our tests share.  Every test program includes this first. */
#ifndef SEMA_TESTS_CHECK_H
#define SEMA_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"

/* Equal text, or both are printed. */
#define check_str(got, want) check_str_at((got), (want), __FILE__, __LINE__)
static inline void check_str_at(str got, str want, const char *file, int line)
{
    if (str_eq(got, want)) return;
    print_error("%s:%d: got  \"%.*s\"\n%s:%d: want \"%.*s\"\n", file, line, STR_ARG(got), file,
                line, STR_ARG(want));
    fail();
}

#define check_int(got, want)                                                                       \
    check_int_at((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
static inline void check_int_at(long long got, long long want, const char *what, const char *file,
                                int line)
{
    if (got == want) return;
    print_error("%s:%d: %s is %lld, want %lld\n", file, line, what, got, want);
    fail();
}

#define check_true(cond) check_true_at((cond), #cond, __FILE__, __LINE__)
static inline void check_true_at(int cond, const char *what, const char *file, int line)
{
    if (cond) return;
    print_error("%s:%d: not true: %s\n", file, line, what);
    fail();
}

/* A limit of time, longer where a sanitizer slows everything (./dev test sets how much). */
static inline unsigned long long check_slow(unsigned long long limit)
{
    const char *slow = getenv("SEMA_TEST_SLOW");
    double times = slow ? strtod(slow, NULL) : 1;
    return times > 1 ? (unsigned long long)((double)limit * times) : limit;
}

#endif
