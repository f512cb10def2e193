/* The models that a client may name, as every API family lists them: the aliases, the configured
 * models, and with CLIENT_MODELS=any what each backend offers (openai-compat.md section 6). */
#ifndef SEMA_API_LISTING_H
#define SEMA_API_LISTING_H

#include "api/inside.h"

struct listed {
    str id; /* an alias; a configured model's own name, type/name where two share it; else type/name
             */
    str type; /* of its backend */
    str name; /* there */
    bool alias, configured, ready;
    int context_length, output_tokens; /* 0: not known */
    const struct backend_files *files; /* of a local model, else NULL */
    unsigned can;                      /* BACKEND_*; 0: not known */
};

struct listing {
    struct listed *at;
    size_t count;
};
typedef void listing_fn(struct call *c, const struct listing *l);

/* Answers the call by `then`, two seconds later at most, unless the client leaves before; lists
 * that cannot be had are left out.  What `then` is given dies when it returns. */
void listing_ask(struct call *c, listing_fn *then);

/* By id, by type/name, or by a name that is there; NULL: none. */
const struct listed *listing_find(const struct listing *l, str id);
/* By what Sema resolves the name to (openai-compat.md 1.1), where that is listed; else `unlisted`
 * is filled as far as it is known.  NULL: it means nothing. */
const struct listed *listing_resolve(struct call *c, const struct listing *l, str name,
                                     struct listed *unlisted);

/* Unix time: when its files were made, else when this server started; the same each time. */
uint64_t listing_made_s(const struct call *c, const struct listed *l);

#endif
