/* One kind of error for programs, one note for people.  A function that can fail returns an `enum
 * err` and, where a person will want to know more, fills the caller's note.  Nothing ever parses a
 * note.
 *
 * ERR_MAP is the one table that says what each kind means outside: the stable `code` of a client,
 * the HTTP status on /api/v1 and on the other served APIs, whether the same backend may be asked
 * again, whether the next model of the chain may answer, and the level of its log line (http-api.md
 * section 13, providers.md section 10).
 *
 * Columns: kind, text, code, api status, v1 status, retry, fallback, log level. */
#ifndef SEMA_BASE_ERR_H
#define SEMA_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#define ERR_MAP(X)                                                                                 \
    /* general: library code */                                                                    \
    X(NONE, "no error", "", 200, 200, 0, 0, DEBUG)                                                 \
    X(MEMORY, "out of memory", "overloaded", 503, 503, 0, 0, ERROR)                                \
    X(IO, "input/output error", "internal_error", 500, 500, 0, 0, ERROR)                           \
    X(INVALID, "not valid", "validation_error", 422, 400, 0, 0, INFO)                              \
    X(LIMIT, "over a limit", "payload_too_large", 413, 413, 0, 0, INFO)                            \
    X(NOT_FOUND, "not found", "not_found", 404, 404, 0, 0, INFO)                                   \
    X(CONFLICT, "conflict", "internal_error", 500, 500, 0, 0, WARNING)                             \
    X(UNSUPPORTED, "not supported", "validation_error", 422, 400, 0, 0, INFO)                      \
    X(INTERNAL, "internal error", "internal_error", 500, 500, 0, 0, ERROR)                         \
    /* of this server */                                                                           \
    X(SESSION_BUSY, "too many turns wait", "session_busy", 503, 503, 0, 0, WARNING)                \
    X(SESSION_LIMIT, "too many sessions", "session_limit", 429, 429, 0, 0, INFO)                   \
    X(STREAM_LIMIT, "too many streams", "stream_limit", 200, 503, 0, 0, INFO)                      \
    X(STORE, "session store not available", "store_unavailable", 503, 503, 0, 0, ERROR)            \
    X(NOT_READY, "model not ready", "model_not_ready", 503, 503, 0, 1, WARNING)                    \
    X(QUEUE_FULL, "local queue full", "local_queue_full", 503, 503, 0, 1, WARNING)                 \
    X(LOCAL_FAILED, "local generation failed", "local_generation_failed", 503, 503, 0, 1, ERROR)   \
    X(SHUTTING_DOWN, "shutting down", "shutting_down", 503, 503, 0, 0, INFO)                       \
    X(MODEL_UNUSABLE, "model files unusable", "model_unusable", 422, 422, 0, 0, ERROR)             \
    X(MODEL_TOO_LARGE, "model too large", "model_too_large", 507, 507, 0, 0, ERROR)                \
    X(CREDENTIAL, "credential missing", "credential_missing", 400, 400, 0, 0, INFO)                \
    /* of a model's provider: the classes of providers.md section 10 */                            \
    X(BAD_REQUEST, "rejected as invalid", "provider_bad_request", 422, 400, 0, 0, INFO)            \
    X(CONTEXT_LENGTH, "too long for the model", "provider_context_length", 422, 400, 0, 0, INFO)   \
    X(CONTENT_FILTER, "refused for its content", "provider_content_filter", 422, 400, 0, 0, INFO)  \
    X(MODEL_NOT_FOUND, "unknown model", "provider_model_not_found", 502, 502, 0, 1, ERROR)         \
    X(AUTH, "credential refused", "provider_auth", 502, 502, 0, 1, ERROR)                          \
    X(QUOTA, "quota used up", "provider_quota", 503, 503, 0, 1, ERROR)                             \
    X(RATE_LIMIT, "provider's rate limit", "provider_rate_limit", 503, 429, 1, 1, WARNING)         \
    X(OVERLOADED, "provider overloaded", "provider_overloaded", 503, 503, 1, 1, WARNING)           \
    X(SERVER, "provider failed", "provider_server", 502, 502, 1, 1, ERROR)                         \
    X(TIMEOUT, "no answer in time", "provider_timeout", 504, 504, 1, 1, ERROR)                     \
    X(NETWORK, "provider unreachable", "provider_network", 502, 502, 1, 1, ERROR)                  \
    X(CANCELLED, "client gone", "cancelled", 499, 499, 0, 0, INFO)

enum err {
#define X(kind, ...) ERR_##kind,
    ERR_MAP(X)
#undef X
        ERR_COUNT
};

enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR, LEVEL_CRITICAL };

/* One row of ERR_MAP. */
struct err_row {
    const char *text; /* for people, when no note was written */
    const char *code; /* for programs; never changes */
    int status;       /* HTTP, on /api/v1 */
    int status_v1;    /* HTTP, on /v1 and the other served APIs */
    bool retry;       /* the same backend may be asked again */
    bool fallback;    /* another model may answer */
    enum level level;
};

const struct err_row *err_row(enum err e); /* never NULL */

/* What went wrong, in words, for the log or for the person at the terminal.  At most one per
 * failure. A note never holds a secret or a message's text. */
struct err_note {
    char text[512];     /* cut when longer, always terminated */
    int retry_after_ms; /* what the other side asked us to wait; 0 when it did not say */
    int http_status;    /* of the provider's answer; 0 when there was none */
    bool ours;          /* no provider's words: of a local model, so a client may read them */
    const char *about;  /* the field of the request that it is about: "images"; or NULL */
};

/* Both return `e`, so that `return err_set(why, ERR_INVALID, "...")` reads as one thought.  `why`
 * may be NULL.  err_context puts "what: " in front of a note that is already there. */
enum err err_set(struct err_note *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum err err_context(struct err_note *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *err_text(const struct err_note *why, enum err e); /* the note, else the row's text */

#endif
