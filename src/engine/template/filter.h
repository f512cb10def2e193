/* The filters' two halves: of one value (filter.c), of what can be iterated (filter_seq.c). */
#ifndef SEMA_ENGINE_TEMPLATE_FILTER_H
#define SEMA_ENGINE_TEMPLATE_FILTER_H

#include "engine/template/render.h"
#include "engine/template/text.h"

struct filter {
    const char *name;
    filter_call *call;
};
extern const struct filter filter_seq_all[];
extern const size_t filter_seq_count;

/* Helpers of both. */
bool filter_flag(value v, bool otherwise); /* an optional argument as a truth */
int64_t filter_int(struct render *r, value v, int64_t otherwise);
str filter_str(struct render *r, value v); /* str() of it */
value filter_case(struct render *r, str s, enum text_case how);

#endif
