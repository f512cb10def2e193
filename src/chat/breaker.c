#include "chat/breaker.h"

#include <string.h>

enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms)
{
    if (!b->open) return BREAKER_CLOSED;
    return now_ms < b->open_until_ms ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

enum breaker_pass breaker_ask(struct breaker *b, uint64_t now_ms)
{
    switch (breaker_state(b, now_ms)) {
    case BREAKER_CLOSED: return BREAKER_PASS;
    case BREAKER_OPEN: return BREAKER_REFUSE;
    case BREAKER_HALF_OPEN: break;
    }
    if (b->probing) return BREAKER_REFUSE;
    b->probing = true;
    return BREAKER_PROBE;
}

static void open_it(struct breaker *b, uint64_t now_ms)
{
    memset(b->failed_ms, 0, sizeof b->failed_ms);
    b->open = true;
    b->open_until_ms = now_ms + BREAKER_OPEN_MS;
}

void breaker_report(struct breaker *b, enum breaker_outcome o, bool probe, int failures,
                    uint64_t now_ms)
{
    size_t limit = failures < BREAKER_FAILURES_MAX ? (size_t)failures : BREAKER_FAILURES_MAX;

    if (probe) {
        b->probing = false;
        if (o == BREAKER_OK) b->open = false;
        if (o == BREAKER_FAILED) open_it(b, now_ms);
        return;
    }
    if (o != BREAKER_FAILED || failures <= 0 || b->open) return;

    /* The place that is `limit` back holds the first of the last `limit` failures, plus 1; 0: none.
     */
    b->failed_ms[b->next] = now_ms + 1;
    b->next = (b->next + 1) % BREAKER_FAILURES_MAX;
    uint64_t first = b->failed_ms[(b->next + BREAKER_FAILURES_MAX - limit) % BREAKER_FAILURES_MAX];
    if (first && now_ms + 1 - first <= BREAKER_WINDOW_MS) open_it(b, now_ms);
}
