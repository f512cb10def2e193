/* The Anthropic family's routes, inside served/. */
#ifndef SEMA_API_SERVED_ANTHROPIC_H
#define SEMA_API_SERVED_ANTHROPIC_H

#include "api/listing.h"
#include "api/served/served.h"

/* Thinking needs a signature, which only Anthropic gives; ours begins so and is taken out again. */
#define ANTHROPIC_OWN_SIGNATURE "sema-"

bool anthropic_read(struct served *s, yyjson_val *root, struct family_error *why);
/* Of count_tokens: without max_tokens. */
bool anthropic_read_counted(struct served *s, yyjson_val *root, struct family_error *why);

/* What /v1/models and /v1/models/{id} give to Anthropic's clients. */
void served_anthropic_models(struct call *c, const struct listing *l);
void served_anthropic_model(struct call *c, const struct listing *l);

#endif
