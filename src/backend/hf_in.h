/* What the files of the hf backend share. */
#ifndef SEMA_BACKEND_HF_IN_H
#define SEMA_BACKEND_HF_IN_H

#include "backend/dialect.h"
#include "backend/openai_in.h"

/* Learned of a model, beside enum openai_refusal. */
enum hf_refusal {
    HF_NOT_COLD = 1 << 24,   /* temperature 0 */
    HF_NOT_STREAM = 1 << 25, /* there is no /generate_stream */
};

/* Text generation: a prompt instead of messages.  `stream`: as one. */
enum err hf_generate_body(struct answer *a, struct call *c, bool stream, struct err_note *why);
void hf_generate_event(struct answer *a, str type, yyjson_val *root);
void hf_generate_whole(struct answer *a, yyjson_val *root);

#endif
