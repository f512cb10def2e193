/* The Google family's routes, inside served/ (openai-compat.md section 11; shapes of providers.md
 * section 6). */
#ifndef SEMA_API_SERVED_GOOGLE_H
#define SEMA_API_SERVED_GOOGLE_H

#include "api/served/served.h"

/* A call of a model that signs nothing carries a signature of ours, base64 as Google's are, which
 * is taken out again. */
#define GOOGLE_OWN_SIGNATURE "c2VtYS0t"
/* A redacted block of reasoning on its way through a client that knows signatures only. */
#define GOOGLE_REDACTED "c2VtYXJlZGFjdGVk"

/* The request of generateContent; the model is that of the path. */
bool google_read(struct served *s, yyjson_val *root, struct family_error *why);
/* systemInstruction and contents alone. */
bool google_contents(struct served *s, yyjson_val *root, struct family_error *why);
bool google_wrong(struct family_error *why, struct arena *a, const char *field, const char *text);

/* The value under a name in camelCase or, as the same messages may also be written, in snake_case.
 */
yyjson_val *google_get(yyjson_val *object, const char *camel);
str google_get_str(yyjson_val *object, const char *camel);

/* A schema in Google's own words ("OBJECT", nullable, propertyOrdering) as JSON Schema, in the
 * arena; .at NULL when memory is out. */
str google_schema(yyjson_val *schema, struct arena *a);

/* {model} of the path, without "models/". */
str google_model_of(const struct call *c);

#endif
