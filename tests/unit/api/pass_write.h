/* The upstream's side of pass_test.c, apart because api and backend each have a `struct call`. */
#ifndef SEMA_TESTS_PASS_WRITE_H
#define SEMA_TESTS_PASS_WRITE_H

#include "backend/backend.h"
#include "base/buf.h"

enum pass_learned {
    LEARNED_NOTHING,
    LEARNED_RESPONSES, /* it is asked there */
    LEARNED_NO_SUMMARY,
    LEARNED_NO_CUSTOM
};

/* The body that the provider itself would get.  `learned`: what its model was found to refuse. */
void pass_write(const struct backend_ops *ops, const struct ask *q, struct loop *l,
                enum pass_learned learned, struct buf *out);

#endif
