/* A net at work.  Where an answer stands is a set of readings (`config`): a node that waits for a
 * byte and the stack of rules it is in.  Stacks share their frames, sets are numbered, and the
 * number of what follows a byte is remembered: after a while every step is one look-up.  Inside
 * this room. */
#ifndef SEMA_ENGINE_SAMPLE_MACHINE_H
#define SEMA_ENGINE_SAMPLE_MACHINE_H

#include "engine/sample/net.h"

enum {
    FRAME_BOTTOM, /* returning here: the JSON is complete */
    FRAME_OPEN,   /* returning here: what comes next is not known (local states, see grammar.c) */
    FRAME_FIRST,
};

#define FRAME_CALL UINT32_MAX

struct frame {
    uint32_t node;  /* the NET_REPEAT whose body it is in, or what follows a call */
    uint32_t count; /* rounds of the repeat that are complete, or FRAME_CALL */
    uint32_t up;
};

struct config {
    uint32_t node, frame;
};

enum { MACHINE_FRAMES_MAX = 1 << 20 }; /* then `bad`; half of it is never kept between steps */

enum { STATE_NONE }; /* the number of the state without any reading */

struct machine_state {
    uint32_t first, count; /* of the configs */
    bool done;             /* some reading is complete */
    bool open;             /* some reading left FRAME_OPEN */
    uint32_t *row;         /* [256] what follows a byte; UINT32_MAX: not known yet */
    void *owner_data;      /* of grammar.c */
};

struct machine_table { /* numbers of what is hashed elsewhere */
    uint32_t *at;
    size_t cap, count;
};

struct machine {
    const struct net *net;
    struct frame *frames;
    uint32_t frames_count, frames_cap;
    struct config *configs;
    uint32_t configs_count, configs_cap;
    struct machine_state *states;
    uint32_t states_count, states_cap;
    struct machine_table frame_table, state_table;
    bool bad; /* out of memory */

    /* the set under construction */
    struct config made[256];
    size_t made_count;
    bool made_done, made_open;
    struct config work[1024];
    size_t work_count;
    struct config seen[4096];
    uint32_t seen_epoch[4096], epoch;
    size_t seen_count;
};

bool machine_init(struct machine *m, const struct net *net);
void machine_fini(struct machine *m);
void machine_clear(struct machine *m); /* forgets all numbers */

uint32_t machine_push(struct machine *m, uint32_t node, uint32_t count, uint32_t up);
/* The state of one reading that is about to do `node`. */
uint32_t machine_at(struct machine *m, uint32_t node, uint32_t frame);
uint32_t machine_from(struct machine *m, const struct config *at,
                      size_t count); /* of several, done or not */
uint32_t machine_step(struct machine *m, uint32_t state, uint8_t byte);

#endif
