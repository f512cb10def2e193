/* The Ollama family's routes, inside served/. */
#ifndef SEMA_API_SERVED_OLLAMA_H
#define SEMA_API_SERVED_OLLAMA_H

#include "api/served/served.h"

/* A request without a prompt (or messages) only loads the model, or gives it up when keep_alive is
 * 0: true when it is one; then it is answered, now or when the model is ready. */
bool ollama_load(struct call *c, bool chat);

bool ollama_unloads(yyjson_val *keep_alive); /* 0, "0", "0s" */

#endif
