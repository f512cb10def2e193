/* What a server does to its own process before it opens anything.  For src/cli alone. */
#ifndef SEMA_CLI_PROCESS_H
#define SEMA_CLI_PROCESS_H

/* A key is in memory from here on: no core dump may carry it away, by file or by pipe. */
void process_keep_secrets(void);
/* Descriptors up to the hard limit; a peer that is gone and a file that may not grow are errors and
 * no signals; memory of few heaps. */
void process_serve(int threads);

#endif
