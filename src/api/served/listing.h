/* The models that a client of another API may name, inside served/. */
#ifndef SEMA_API_SERVED_LISTING_H
#define SEMA_API_SERVED_LISTING_H

#include "api/served/served.h"

struct listed {
    str id;   /* an alias, a configured model's name, or type/name where two share it */
    str type; /* its backend */
    bool ready;
};

/* Fills at most `max`; the strings live as long as the call. */
size_t listing_names(struct call *c, struct listed *out, size_t max);

#endif
