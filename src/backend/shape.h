/* A conversation as it came, brought into the shape that a provider takes (providers.md section 1,
 * "Rules before mapping"): empty parts and messages left out, tool results after their calls, in
 * the calls' order, missing ones filled in, ids legal and used once. */
#ifndef SEMA_BACKEND_SHAPE_H
#define SEMA_BACKEND_SHAPE_H

#include "backend/backend.h"
#include "base/arena.h"

enum shape_flags {
    SHAPE_MERGE = 1,             /* adjacent messages of one role become one; results stay single */
    SHAPE_FIRST_USER = 2,        /* "(start)" before a conversation that the assistant opens */
    SHAPE_LAST_USER = 4,         /* "Continue." after one that the assistant closes */
    SHAPE_LIFT_SYSTEM = 8,       /* those in front go to shape.system, joined by blank lines */
    SHAPE_FOLD_LATE_SYSTEM = 16, /* later ones go in front of the next user text */
    SHAPE_FOLD_SYSTEM = 32,      /* all of them do */
};

struct shape {
    str system;        /* SHAPE_LIFT_SYSTEM; empty when there is none */
    bool system_cache; /* one of its parts says so */
    const struct message *messages;
    size_t count;
    int dropped_results; /* without a call: worth a warning */
    bool late_system;    /* a system message stood after the first other one */
};

/* Everything lives in the arena or in the ask.  ERR_MEMORY only. */
enum err shape_messages(struct shape *out, const struct ask *q, unsigned flags, struct arena *a);

#endif
