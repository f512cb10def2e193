/* HTTP for the hub: GET and HEAD by libcurl, blocking, on the caller's thread.  Redirects are
 * followed by hand, so that the token goes to the endpoint's own host and nowhere else. */
#ifndef SEMA_HUB_FETCH_H
#define SEMA_HUB_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct fetch;

struct fetch_conf {
    const char *token; /* sent as bearer token to the host of `endpoint`; NULL: none */
    const char *endpoint;
    const _Atomic bool *cancel; /* looked at a few times a second; may be NULL */
};

enum err fetch_new(struct fetch **out, const struct fetch_conf *c, struct err_note *why);
void fetch_free(struct fetch *f);

struct fetch_head {
    long status;
    char etag[160];  /* X-Linked-ETag, else ETag; without quotes and W/ */
    char commit[80]; /* X-Repo-Commit */
    int64_t size;    /* X-Linked-Size, else Content-Length; -1 unknown */
    int retry_after_s;
};

/* The status is in *head for every answer that came; ERR_NETWORK and ERR_TIMEOUT when none did,
 * ERR_CANCELLED.  The body of a 2xx answer goes to `body`. */
enum err fetch_get(struct fetch *f, const char *url, struct buf *body, struct fetch_head *head,
                   struct err_note *why);
enum err fetch_head(struct fetch *f, const char *url, struct fetch_head *head,
                    struct err_note *why);

/* Appends the file from byte `from` on to `fd`; 206 is wanted when from > 0 (a 200 then is an
 * answer from the start: `restart` is called before its first byte).  `more` counts what was
 * written. */
struct fetch_file {
    int fd;
    int64_t from;
    int64_t size_max; /* more than that ends it with ERR_SERVER */
    enum err (*restart)(void *ctx);
    void (*more)(void *ctx, const void *bytes, size_t count);
    void *ctx;
};
enum err fetch_file(struct fetch *f, const char *url, const struct fetch_file *to,
                    struct fetch_head *head, struct err_note *why);

#endif
