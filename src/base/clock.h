/* Time is a parameter wherever it decides something; these are the two places it comes from. */
#ifndef SEMA_BASE_CLOCK_H
#define SEMA_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_us(void); /* since some start; for deadlines and durations, never set back */
uint64_t clock_wall_us(void); /* since 1970-01-01 UTC; for time stamps only */

enum { CLOCK_ISO_BYTES = 28 }; /* "2026-01-31T09:08:07.123456Z" and its NUL */
void clock_iso(char out[CLOCK_ISO_BYTES], uint64_t wall_us);

enum { CLOCK_HTTP_BYTES = 30 }; /* "Sat, 31 Jan 2026 09:08:07 GMT" and its NUL, RFC 9110 5.6.7 */
void clock_http(char out[CLOCK_HTTP_BYTES], uint64_t wall_us);

#endif
