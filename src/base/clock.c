#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

static struct tm split(uint64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000u);
    struct tm t = {0};
    gmtime_r(&s, &t);
    return t;
}

void clock_iso(char out[CLOCK_ISO_BYTES], uint64_t wall_us)
{
    struct tm t = split(wall_us);
    char text[80];

    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", (t.tm_year + 1900) % 10000,
             t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
             (unsigned)(wall_us % 1000000u));
    memcpy(out, text, CLOCK_ISO_BYTES - 1);
    out[CLOCK_ISO_BYTES - 1] = '\0';
}

void clock_http(char out[CLOCK_HTTP_BYTES], uint64_t wall_us)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t = split(wall_us);
    char text[80];

    snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday,
             t.tm_mday, months + 3 * t.tm_mon, (t.tm_year + 1900) % 10000, t.tm_hour, t.tm_min,
             t.tm_sec);
    memcpy(out, text, CLOCK_HTTP_BYTES - 1);
    out[CLOCK_HTTP_BYTES - 1] = '\0';
}
