/* What a server does to its own process before it opens anything.  For src/cli alone. */
#ifndef SEMA_CLI_PROCESS_H
#define SEMA_CLI_PROCESS_H

#include <stdint.h>

/* A key is in memory from here on: no core dump may carry it away, by file or by pipe. */
void process_keep_secrets(void);
/* Descriptors up to the hard limit; a peer that is gone is an error and no signal; memory of few
 * heaps. */
void process_serve(int threads);
/* To be called every few seconds: after work, when there is little to do, free memory goes back to
 * the system.  It takes a millisecond or a few, so it waits for a quiet moment. */
struct process_tidy {
    uint64_t cpu_us, trimmed_us; /* of the process, at the last call and at the last trim */
};
void process_tidy(struct process_tidy *t);

#endif
