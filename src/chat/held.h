/* Events of an answer kept back until it is known to be whole. */
#ifndef SEMA_CHAT_HELD_H
#define SEMA_CHAT_HELD_H

#include "base/arena.h"
#include "base/buf.h"
#include "chat/reply.h"

struct held_event;

struct held {
    struct arena arena;
    struct held_event *first, *last;
    size_t bytes;
    bool bad; /* no memory, or over UPSTREAM_ANSWER_BYTES_MAX */
};

void held_init(struct held *h);
void held_fini(struct held *h); /* takes a zeroed one */
void held_clear(struct held *h);

void held_text(struct held *h, str text);
void held_reasoning(struct held *h, str text);
void held_signature(struct held *h, const struct part *p);
void held_tool_begin(struct held *h, int index, str id, str name);
void held_tool_args(struct held *h, int index, str fragment);
void held_extra(struct held *h, enum extra what, str json);

/* Gives them in order, texts joined; until *stop. */
void held_give(const struct held *h, const struct reply_events *to, const bool *stop);

#endif
