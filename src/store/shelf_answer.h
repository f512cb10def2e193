/* What a reading gave, gathered on a store thread, then its asker's. */
#ifndef SEMA_STORE_SHELF_ANSWER_H
#define SEMA_STORE_SHELF_ANSWER_H

#include "base/arena.h"
#include "store/store.h"

struct shelf_own {
    struct shelf_answer seen; /* first: what the caller has */
    struct arena arena;       /* the texts in it */
    size_t cap;               /* of its array */
};

struct shelf_own *shelf_answer_new(void); /* NULL when memory is out */

/* The callbacks of store.h; `ctx` is the struct shelf_own. */
enum err shelf_answer_on_row(void *ctx, const struct session_row *row);
enum err shelf_answer_on_message(void *ctx, uint64_t seq, const struct stored *m);
enum err shelf_answer_on_listed(void *ctx, const struct session_row *row);

#endif
