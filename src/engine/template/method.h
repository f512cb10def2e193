/* Work on strings that both methods and filters do. */
#ifndef SEMA_ENGINE_TEMPLATE_METHOD_H
#define SEMA_ENGINE_TEMPLATE_METHOD_H

#include "engine/template/render.h"

value str_replace(struct render *r, value in, str old, str new, int64_t count); /* count < 0: all */
value str_split_lines(struct render *r, str s, bool keep_ends);
/* Filled up to `width` characters; side '<' (text left), '>' or '^'. */
value str_pad(struct render *r, str s, int64_t width, str fill, char side);
value str_join(struct render *r, str between, const struct value_list *parts);

bool str_method_exists(str name);
value str_method_call(struct render *r, const struct method *m, const struct args *a);

#endif
