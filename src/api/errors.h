/* Failures in the words of /api/v1 (http-api.md sections 5, 6 and 13): from the one table of
 * base/err.h to what a client reads.  Provider texts, addresses and keys never pass here. */
#ifndef SEMA_API_ERRORS_H
#define SEMA_API_ERRORS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* What a client is told of a failed turn. */
struct failure {
    int status; /* of a POST */
    const char *code;
    const char *detail; /* of a POST; NULL: a list, of the three below */
    const char *event;  /* of a stream */
    const char *field;  /* of the list's entry: "message", "images", or NULL for the body itself */
    const char *msg;
    bool own_words;    /* `msg` is the note: what a local model's template says */
    int retry_after_s; /* 0: no Retry-After */
};

void errors_of_turn(struct failure *out, enum err e, const struct err_note *why);

/* {"detail":DETAIL,"code":...,"request_id":...}; `detail` is JSON.  `key`: "detail", or "error". */
void errors_body(struct buf *to, const char *key, str detail_json, const char *code,
                 str request_id);
/* {"error":TEXT,"code":CODE}: the data of a stream's error event. */
void errors_event(struct buf *to, const char *text, const char *code);

#endif
