/* Text <-> tokens, as the reference tokenizer of the model's files does it (local-models.md
 * sections 3 and 4).  Immutable after opening; any thread. */
#ifndef SEMA_ENGINE_VOCAB_VOCAB_H
#define SEMA_ENGINE_VOCAB_VOCAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct files;
struct vocab;

struct ids { /* a growing list of token ids; zeroed is empty */
    int32_t *at;
    size_t len, cap;
};
enum err ids_add(struct ids *list, int32_t id);
void ids_fini(struct ids *list);

/* From tokenizer.json, else vocab.json + merges.txt, else tokenizer.model, else the GGUF's own. */
enum err vocab_open(struct vocab **out, struct files *f, struct err_note *why);
void vocab_close(struct vocab *v);

enum vocab_flags {
    VOCAB_PLAIN = 0,
    VOCAB_ADD_SPECIAL = 1, /* BOS/EOS as the post-processor says */
    VOCAB_GUARDED = 2,     /* the text went through vocab_guard in parts: markers are honoured */
};

/* Appends; a failure leaves `out` as it was.  Linear in the text but for a logarithm; memory up to
 * 50 times the text while it runs.  Bad UTF-8 is read as U+FFFD.  `stop` (may be NULL) is looked at
 * every few kilobytes: when it becomes true the call ends with ERR_CANCELLED.  ERR_LIMIT: over 16
 * MiB, or the model's own patterns or normalizer make too much of this text. */
enum err vocab_encode(const struct vocab *v, str text, enum vocab_flags flags, struct ids *out,
                      const _Atomic bool *stop, struct err_note *why);

/* Copies a message's text (valid UTF-8), putting a private-use marker in front of everything that
 * would be read as an added token, alone or together with what a template writes before or behind
 * it; vocab_encode with VOCAB_GUARDED then reads it as ordinary text, so users cannot forge control
 * tokens.  Characters equal to the marker are dropped.  Blanks and HTML elements that are added
 * tokens without being special (Gemma) are left to be found: models read text with them.
 *
 * Most text comes out as it went in, but what templates compare with (a role, a type) should not be
 * passed through: a model could have that very word as an added token. */
void vocab_guard(const struct vocab *v, str text, struct buf *out);

/* The whole text, as the reference decodes it; ids that name nothing are passed over.  ERR_MEMORY.
 */
enum err vocab_decode(const struct vocab *v, const int32_t *ids, size_t count, bool skip_special,
                      struct buf *out);

/* Token by token: adds to `out` the characters that became complete; what was added never changes.
 * Special tokens add nothing when skip_special. */
struct vocab_stream {
    const struct vocab *v;
    bool skip_special;
    bool begun;
    uint8_t lead_dropped; /* blanks taken off the beginning so far */
    uint8_t held_len;
    uint8_t held[64]; /* bytes of a character that is not complete yet */
};
void vocab_stream_init(struct vocab_stream *s, const struct vocab *v, bool skip_special);
/* Goes on after a prefix of tokens that was already shown (no leading blank is eaten). */
void vocab_stream_mid(struct vocab_stream *s);
void vocab_stream_add(struct vocab_stream *s, int32_t id, struct buf *out);
/* What was held back: U+FFFD for it, as in vocab_decode. */
void vocab_stream_end(struct vocab_stream *s, struct buf *out);

int32_t vocab_size(const struct vocab *v);         /* ids are below it */
bool vocab_has(const struct vocab *v, int32_t id); /* false for holes */
bool vocab_is_special(const struct vocab *v, int32_t id);
/* The bytes of a token alone, as it stands in the middle of a text; empty for special ones. */
str vocab_bytes(const struct vocab *v, int32_t id);
int32_t vocab_find(const struct vocab *v,
                   str token); /* an added token's or piece's id, -1 when absent */

/* A special token's text by its role ("bos_token", "eos_token", "unk_token", "pad_token", ...),
 * from the tokenizer's configuration; empty when the model has none. */
str vocab_role(const struct vocab *v, const char *role);

#endif
