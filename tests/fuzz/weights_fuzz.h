/* What the targets for weight files share: one file inside a model, everything in it looked at. */
#ifndef SEMA_TESTS_FUZZ_WEIGHTS_H
#define SEMA_TESTS_FUZZ_WEIGHTS_H

#include <stdlib.h>
#include <string.h>

#include "engine/format/files.h"
#include "engine/format/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every number of every tensor. */
static inline void touch_weights(const struct weights *w)
{
    static volatile float kept;
    float wide[256];
    for (size_t i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);
        const struct weight_kind *k = &weight_kinds[t->type];
        if (t->bytes % (uint64_t)k->block_bytes != 0) abort();
        for (uint64_t at = 0; at < t->bytes; at += (uint64_t)k->block_bytes) {
            weights_widen(t->type, t->data + at, wide, (size_t)k->block_numbers);
            kept = wide[0];
        }
    }
    (void)kept;
}

static inline void try_weights(const char *name, const uint8_t *data, size_t size)
{
    struct files_blob blob = {name, str_span(data, size)};
    struct files *f = NULL;
    struct weights *w = NULL;
    struct err_note why = {""};
    if (files_of_memory(&f, &blob, 1, "m")) return;
    enum err e = weights_open(&w, f, &why);
    /* A refusal names a reason, on one line. */
    if (e && e != ERR_MODEL_UNUSABLE) abort();
    if (e && (why.text[0] == '\0' || strchr(why.text, '\n'))) abort();
    if (!e) touch_weights(w);
    weights_close(w);
    files_close(f);
}

#endif
