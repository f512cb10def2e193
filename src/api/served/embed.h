/* Embeddings as a client asks for them, inside served/. */
#ifndef SEMA_API_SERVED_EMBED_H
#define SEMA_API_SERVED_EMBED_H

#include "api/served/served.h"

enum { EMBED_TEXTS_MAX = 2048 }; /* OpenAI's own bound */

struct embed {
    struct call *call;
    yyjson_doc *body;
    str model; /* as the client wrote it */
    struct embed_ask ask;
    size_t input_bytes; /* for an estimate of its tokens */
};

/* Each false fills *why.  Strings point into the document or the arena.  Ollama's may come out with
 * nothing to embed. */
bool embed_read_openai(struct embed *m, yyjson_val *root, struct family_error *why);
bool embed_read_ollama(struct embed *m, yyjson_val *root, struct family_error *why); /* embed */
bool embed_read_ollama_old(struct embed *m, yyjson_val *root,
                           struct family_error *why); /* embeddings */

/* Adds a vector as an array of numbers, or as a string of base64, whichever it came as.  False:
 * what came is neither, or memory is out. */
bool embed_put_numbers(struct json_out *o, const struct embed_vector *v);
bool embed_put_packed(struct json_out *o, const struct embed_vector *v);

#endif
