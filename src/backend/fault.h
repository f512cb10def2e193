/* What a provider's refusal means: from status, fields and body to one class of providers.md
 * section 10. */
#ifndef SEMA_BACKEND_FAULT_H
#define SEMA_BACKEND_FAULT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "http/header.h"

/* Of an answer's head, what retries need. */
struct fault_hints {
    int retry_after_ms;  /* -1: not said */
    int should_retry;    /* x-should-retry: -1 not said, 0, 1 */
    char request_id[80]; /* x-request-id and the like, for the log */
};
void fault_hints_read(struct fault_hints *h, const struct headers *fields, uint64_t wall_us);

struct fault {
    enum err e;
    int status;                     /* HTTP, or the one that the body names; 0: none */
    str code, type, message, param; /* empty when absent; they live in the arena or the document */
    bool daily;                     /* quota: not before tomorrow */
    bool loading;                   /* overloaded: the model is being loaded */
    int retry_after_ms;             /* in the body; -1: not said */
};

/* Whether a JSON value is an error by its form, whatever status it came with. */
bool fault_is(yyjson_val *root);
/* `root` may be NULL (no JSON); `body` is the text then.  `status` 0 or 2xx: the body alone
 * decides. */
void fault_read(struct fault *f, int status, yyjson_val *root, str body);

/* Whether the message holds these words, in any case. */
bool fault_says(const struct fault *f, const char *words);

/* "503 overloaded_error: Overloaded", on one line, keys masked. */
void fault_note(struct err_note *why, const struct fault *f, const char *host, str key);
/* Adds `text` with everything masked that is, or looks like, a key. */
void fault_mask(struct buf *to, str text, str key);

#endif
