/* What the two files of the local backend share: local.c (making ready, answers, counts) and
 * local_list.c (what may be named). */
#ifndef SEMA_BACKEND_LOCAL_IN_H
#define SEMA_BACKEND_LOCAL_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/loop.h"

struct engine;

struct backend {
    struct arena arena; /* copies of the settings */
    struct backend_conf conf;
    struct engine *engine; /* NULL until prepared */

    /* While preparing: */
    _Atomic bool pull_cancel;
    uint64_t pull_told_us;
    pthread_t loader;
    bool loading;
    struct task loaded;
    struct loop *loop;
    enum err load_err;
    struct err_note load_why;
    void (*load_done)(void *ctx, enum err e, const struct err_note *why);
    void *load_ctx;

    /* While listing: */
    pthread_t lister;
    bool listing;
    struct task listed;
    struct arena list_arena;
    struct backend_offer *list;
    size_t list_count;
    enum err list_err;
    backend_list_fn *list_done;
    void *list_ctx;
};

/* backend_ops.list and has */
void local_list_start(struct backend *b, struct loop *l, uint32_t within_ms, backend_list_fn *done,
                      void *ctx);
bool local_list_has(const struct backend_conf *c, str model);

#endif
