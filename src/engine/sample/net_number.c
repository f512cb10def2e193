/* Numbers between bounds, written without leading zeros. */
#include <math.h>
#include <stdio.h>

#include "engine/sample/net.h"

enum {
    DIGITS_MAX = 15,          /* whole numbers that every JSON reader keeps exactly */
    FRACTION_DIGITS_MAX = 15, /* an end to endless fractions */
};

static uint32_t digit_rule(struct net *n)
{
    return net_byte(n, '0', '9', n->end);
}

/* Exactly the digits of the numbers from `low` to `high`, both of `count` digits. */
static uint32_t digits_between(struct net *n, const char *low, const char *high, size_t count,
                               uint32_t next)
{
    if (count == 0) return next;
    uint32_t all = 0;
    if (strspn(low, "0") >= count && strspn(high, "9") >= count)
        return net_repeat(n, digit_rule(n), (uint32_t)count, (uint32_t)count, next);
    if (low[0] == high[0])
        return net_byte(n, (uint8_t)low[0], (uint8_t)low[0],
                        digits_between(n, low + 1, high + 1, count - 1, next));
    uint32_t part[3] = {n->nowhere, n->nowhere, n->nowhere};
    char nines[24], zeros[24];
    memset(nines, '9', sizeof nines - 1);
    memset(zeros, '0', sizeof zeros - 1);
    nines[sizeof nines - 1] = zeros[sizeof zeros - 1] = '\0';
    part[0] = net_byte(n, (uint8_t)low[0], (uint8_t)low[0],
                       digits_between(n, low + 1, nines, count - 1, next));
    part[2] = net_byte(n, (uint8_t)high[0], (uint8_t)high[0],
                       digits_between(n, zeros, high + 1, count - 1, next));
    if (low[0] + 1 <= high[0] - 1) {
        all = net_repeat(n, digit_rule(n), (uint32_t)(count - 1), (uint32_t)(count - 1), next);
        part[1] = net_byte(n, (uint8_t)(low[0] + 1), (uint8_t)(high[0] - 1), all);
    }
    return net_branch(n, part, 3);
}

/* Whole numbers low <= x <= high, neither negative. */
static uint32_t between(struct net *n, uint64_t low, uint64_t high, uint32_t next)
{
    char from[24], to[24];
    uint32_t starts[24];
    size_t count = 0;

    if (low > high) return n->nowhere;
    for (uint64_t begin = low; count < sizeof starts / sizeof *starts;) {
        int digits = snprintf(from, sizeof from, "%llu", (unsigned long long)begin);
        uint64_t last = 9; /* the largest of so many digits */
        for (int i = 1; i < digits; i++) last = last * 10 + 9;
        if (last > high) last = high;
        snprintf(to, sizeof to, "%llu", (unsigned long long)last);
        starts[count++] = digits_between(n, from, to, (size_t)digits, next);
        if (last >= high) break;
        begin = last + 1;
    }
    return net_branch(n, starts, count);
}

static uint64_t bound(double v) /* of a magnitude, 0 <= v */
{
    return v >= 1e18 ? 999999999999999999u : (uint64_t)v;
}

/* Eighteen digits fit; beyond, a bound could not be kept exactly. */
static bool out_of_reach(struct net *n, double min, double max)
{
    if (min < 1e18 && max > -1e18) return false;
    net_fail(n, ERR_UNSUPPORTED, "minimum and maximum must have at most 18 digits");
    return true;
}

static double unbounded(double set, bool positive)
{
    double wide = fabs(set) >= 1e15 ? 1e18 : 1e15 - 1;
    return positive ? wide : -wide;
}

uint32_t net_integer(struct net *n, bool has_min, double min, bool has_max, double max,
                     uint32_t next)
{
    if (!has_min) min = unbounded(has_max ? max : 0, false);
    if (!has_max) max = unbounded(has_min ? min : 0, true);
    min = ceil(min);
    max = floor(max);
    if (!(min <= max) || out_of_reach(n, min, max)) return n->nowhere;
    uint32_t positive =
        max >= 0 ? between(n, min > 0 ? bound(min) : 0, bound(max), next) : n->nowhere;
    uint32_t negative =
        min < 0 ? between(n, max < 0 ? bound(-max) : 1, bound(-min), next) : n->nowhere;
    return net_either(n, positive, net_byte(n, '-', '-', negative));
}

/* A fraction or none; `zeros`: only zeros, so that the number stays what its whole part says. */
static uint32_t fraction(struct net *n, bool zeros, uint32_t next)
{
    uint32_t digit = net_byte(n, '0', zeros ? '0' : '9', n->end);
    uint32_t some = net_repeat(n, digit, 1, zeros ? 1 : FRACTION_DIGITS_MAX, next);
    return net_either(n, net_byte(n, '.', '.', some), next);
}

uint32_t net_number(struct net *n, bool has_min, double min, bool has_max, double max,
                    uint32_t next)
{
    if (!has_min && !has_max) {
        uint32_t digits = net_repeat(n, digit_rule(n), 1, 2, next);
        uint32_t sign = net_branch(n,
                                   (uint32_t[]){digits, net_byte(n, '+', '+', digits),
                                                net_byte(n, '-', '-', digits)},
                                   3);
        uint32_t exponent =
            net_branch(n,
                       (uint32_t[]){next, net_byte(n, 'e', 'e', sign), net_byte(n, 'E', 'E', sign)},
                       3);
        uint32_t after = fraction(n, false, exponent);
        uint32_t more = net_repeat(n, digit_rule(n), 0, DIGITS_MAX - 1, after);
        uint32_t whole = net_either(n, net_byte(n, '0', '0', after), net_byte(n, '1', '9', more));
        return net_either(n, whole, net_byte(n, '-', '-', whole));
    }
    /* A whole part strictly inside the bounds may have any fraction, the outermost one only zeros.
     */
    if (!has_min) min = unbounded(has_max ? max : 0, false);
    if (!has_max) max = unbounded(has_min ? min : 0, true);
    min = ceil(min);
    max = floor(max);
    if (!(min <= max)) {
        net_fail(n, ERR_UNSUPPORTED,
                 "minimum and maximum of a number need a whole number between them");
        return n->nowhere;
    }
    if (out_of_reach(n, min, max)) return n->nowhere;
    uint32_t any = fraction(n, false, next), none = fraction(n, true, next);
    uint32_t part[4] = {n->nowhere, n->nowhere, n->nowhere, n->nowhere};
    if (max >= 0) {
        uint64_t low = min > 0 ? bound(min) : 0, high = bound(max);
        if (high > low) part[0] = between(n, low, high - 1, any);
        part[1] = between(n, high, high, none);
    }
    if (min < 0) {
        uint64_t low = max < 0 ? bound(-max) : 0, high = bound(-min); /* -0.5 too */
        if (high > low) part[2] = net_byte(n, '-', '-', between(n, low, high - 1, any));
        part[3] = net_byte(n, '-', '-', between(n, high, high, none));
    }
    return net_branch(n, part, 4);
}
