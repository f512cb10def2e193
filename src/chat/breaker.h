/* A circuit breaker (providers.md section 10): so many failures of service within BREAKER_WINDOW_MS
 * open it for BREAKER_OPEN_MS; then one call probes, and decides.  Pure: the time is a parameter,
 * the caller holds the lock. */
#ifndef SEMA_CHAT_BREAKER_H
#define SEMA_CHAT_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BREAKER_WINDOW_MS = 30 * 1000,
    BREAKER_OPEN_MS = 15 * 1000,
    BREAKER_FAILURES_MAX = 100, /* a larger setting counts as this */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    bool open, probing;
    uint64_t open_until_ms;
    uint64_t failed_ms[BREAKER_FAILURES_MAX]; /* a ring of the last failures' times, plus 1 */
    size_t next;
};

enum breaker_pass { BREAKER_PASS, BREAKER_PROBE, BREAKER_REFUSE };

/* BREAKER_PROBE: this call is the probe, and is to be reported as such. */
enum breaker_pass breaker_ask(struct breaker *b, uint64_t now_ms);

enum breaker_outcome {
    BREAKER_OK,
    BREAKER_FAILED,
    BREAKER_NOTHING, /* says nothing of the service: the caller's fault, or cancelled */
};
/* `failures`: PROVIDER_BREAKER_FAILURES; 0: never opens. */
void breaker_report(struct breaker *b, enum breaker_outcome o, bool probe, int failures,
                    uint64_t now_ms);
enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms);

#endif
