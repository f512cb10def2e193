/* A bounded queue between threads.  Any number of senders and takers.  It holds pointers to what
 * the sender gives away; the order of one sender is kept. */
#ifndef SEMA_BASE_QUEUE_H
#define SEMA_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t max); /* NULL when memory is out */
void queue_free(struct queue *q);    /* empty, nobody waiting */

bool queue_put(struct queue *q,
               void *item); /* false when full or closed: the item stays the sender's */
/* The oldest item; waits up to wait_ms (-1: for ever) for one.  NULL on time-out, or when the queue
 * is closed and empty. */
void *queue_take(struct queue *q, int64_t wait_ms);
/* Up to `max` items at once, without waiting; gives how many. */
size_t queue_take_all(struct queue *q, void **items, size_t max);
size_t queue_count(struct queue *q);
void queue_close(struct queue *q); /* wakes all takers; what is inside is still handed out */
bool queue_closed(struct queue *q);

#endif
