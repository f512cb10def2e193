/* Tool calls out of a stream's pieces, in every form that servers give them (providers.md section
 * 9): with or without index and id, in fragments or whole. */
#ifndef SEMA_BACKEND_TOOLS_H
#define SEMA_BACKEND_TOOLS_H

#include "backend/backend.h"
#include "backend/halves.h"

enum { TOOL_CALLS_MAX = 128 }; /* of one answer: OpenAI's own limit of tools in a request */

/* An id for a call that came without one: "call_" and 24 random letters and digits. */
enum { TOOL_ID_BYTES = 5 + 24 + 1 };
void tools_make_id(char out[TOOL_ID_BYTES]);

struct tool_call {
    int64_t index;    /* the stream's; -1: it gives none */
    str id, name;     /* own memory; the name is empty until it came */
    struct buf early; /* arguments that came before the name */
    struct halves halves;
    bool has_args;
    bool renamed; /* another call of the answer has its id already: it got one of ours */
    int number;   /* the sink's; -1: not told yet */
};

struct tools {
    struct tool_call *at;
    size_t count;
    size_t begun; /* told to the sink: a call gets its number when it has its name */
    struct buf room;
};

struct tool_piece {
    int64_t index; /* -1 absent */
    str id, name;  /* empty: absent */
    str args;      /* a fragment, as text */
};

void tools_fini(struct tools *t); /* takes a zeroed one; a zeroed one is ready */
/* Gives what can be given to `to`.  ERR_LIMIT past TOOL_CALLS_MAX, ERR_MEMORY.  The answer may be
 * cancelled inside: `*gone` is looked at after each event. */
enum err tools_add(struct tools *t, const struct tool_piece *p, const struct sink *to,
                   const bool *gone);
/* Calls that got no arguments get "{}"; calls without a name are forgotten. */
void tools_end(struct tools *t, const struct sink *to, const bool *gone);

#endif
