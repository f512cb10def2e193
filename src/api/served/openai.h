/* The OpenAI family's routes, inside served/: chat completions, completions, models. */
#ifndef SEMA_API_SERVED_OPENAI_H
#define SEMA_API_SERVED_OPENAI_H

#include "api/served/served.h"

/* Model, streaming, limits, sampling: what chat completions and completions share. */
bool openai_read_common(struct served *s, yyjson_val *root, struct family_error *why);
bool openai_read_chat(struct served *s, yyjson_val *root, struct family_error *why);
enum effort openai_effort(str word); /* EFFORT_UNSET for words that are none */

const char *openai_finish(enum finish f);
void openai_put_usage(struct json_out *o, const struct usage *u);
/* An error frame, then nothing: no [DONE], which would look like success. */
void openai_stream_fail(struct served *s, const struct family_error *e, struct buf *out);
void openai_stream_ping(struct served *s, struct buf *out);

#endif
