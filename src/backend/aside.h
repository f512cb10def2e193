/* One call to a provider beside answers (backend.h): posted, read whole, retried as an answer is.
 * What is asked and how it is read is a form, two functions of the provider's file.
 *
 * Threads: an aside belongs to the loop that asked. */
#ifndef SEMA_BACKEND_ASIDE_H
#define SEMA_BACKEND_ASIDE_H

#include "backend/dialect.h"

struct aside;

struct aside_form {
    /* As a dialect's. */
    enum err (*write)(struct aside *x, struct call *c, struct err_note *why);
    /* A whole answer that is no error.  ERR_SERVER: it is not what was asked for. */
    enum err (*read)(struct aside *x, yyjson_val *root, struct err_note *why);
    /* Whether the call can be repeated without what was refused.  May be NULL. */
    bool (*mend)(struct aside *x, const struct fault *f);
    bool counts; /* tokens; else vectors */
};

struct aside_span { /* of aside.room */
    size_t at, bytes;
    bool packed;
};

struct aside {
    struct backend *backend;
    struct loop *loop;
    const struct aside_form *form;
    const struct ask *q;           /* of a count */
    const struct embed_ask *embed; /* else */
    aside_fn *done;
    void *ctx;
    uint64_t deadline_ms;

    struct timer timer; /* before the next call */
    struct http_call *call;
    int status, retries, mends;
    uint64_t mended; /* bits of the form's own meaning */
    struct fault_hints hints;
    struct buf body;

    int64_t tokens; /* -1 */
    struct buf room;
    struct aside_span *spans; /* of the vectors that came */
    size_t count, cap;
};

/* `as` says backend, loop, form, q or embed, done and ctx. */
enum err aside_start(struct aside **out, const struct aside *as, struct err_note *why);
void aside_cancel(struct aside *x); /* NULL is fine */

/* What `read` says. */
enum err aside_add_vector(struct aside *x, yyjson_val *v); /* numbers, or base64 */

/* An answer that was never asked, to write a request with; `x` lends what it needs, and
 * aside_answer_end gives back what the writing took. */
void aside_as_answer(struct answer *a, const struct aside *x, const struct dialect *d);
void aside_answer_end(struct answer *a);
/* Leaves these members of the body, an object, and no other. */
enum err aside_keep(struct call *c, const char *const *names, size_t count);

/* POST base + path, in OpenAI's shape: openai's, and Hugging Face's endpoints'. */
enum err aside_write_openai(struct aside *x, struct call *c, const char *path,
                            struct err_note *why);
enum err aside_read_openai(struct aside *x, yyjson_val *root, struct err_note *why);
bool aside_mend_openai(struct aside *x, const struct fault *f);

#endif
