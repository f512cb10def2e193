/* What the machine allows this process: memory and processors, cgroup limits included. */
#ifndef SEMA_ENGINE_MACHINE_H
#define SEMA_ENGINE_MACHINE_H

#include <stdint.h>

uint64_t machine_free_bytes(void); /* that can be used without swapping; 0: unknown */
int machine_threads(void);         /* the smaller of affinity and CPU quota, at least 1 */

#endif
