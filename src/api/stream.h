/* One answer as it is made: a turn of chat on one side, numbered events on the other.  It knows
 * neither SSE nor WebSocket; those read its events.
 *
 *     RUNNING -> OVER      final or error event; kept for `window_ms` when somebody may come back
 *     RUNNING -> CANCELLED the last reader left and did not come back within window_ms
 *
 * Threads: a stream belongs to the loop that started it. */
#ifndef SEMA_API_STREAM_H
#define SEMA_API_STREAM_H

#include <stdint.h>

#include "api/replay.h"
#include "api/validate.h"
#include "base/rand.h"
#include "chat/chat.h"

struct api_loop;
struct call;
struct stream;

struct stream_conf {
    struct api_loop *at;
    struct call *call; /* who asks: owner, request id; not kept */
    const struct chat_request *ask;
    bool resumable;
    uint64_t window_ms;
    const char *log_failed; /* event of the log: "streaming_error", ... */
};

/* Starts the turn; the caller is its first reader.  ERR_SESSION_BUSY, ERR_MEMORY ...: nothing
 * happened. */
enum err stream_start(struct stream **out, struct reader **reader, const struct stream_conf *c,
                      void (*ready)(void *ctx), void *ctx, struct err_note *why);
/* The first reader's connection is over: frees its slot of MAX_CONCURRENT_STREAMS.  After
 * replay_leave; the caller must not touch the stream afterwards.  NULL is fine. */
void stream_let_go(struct stream *s);
const char *stream_message_id(const struct stream *s);

/* SHUTDOWN_TIMEOUT: all that run on this loop end with their error event. */
void stream_end_all(struct api_loop *at);
/* Finished ones are no longer kept: nobody can come back. */
void stream_forget_kept(struct api_loop *at);

/* What chat is asked; views of `ask`. */
void stream_turn_ask(struct turn_ask *out, const struct chat_request *ask, str owner);

#endif
