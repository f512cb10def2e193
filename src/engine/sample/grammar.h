/* Constrained output: a JSON schema becomes an automaton over bytes, and for the state of an answer
 * the automaton says which tokens may come next (local-models.md section 8).  What it lets through
 * is always the beginning of a JSON text of the schema; once grammar_done says so, it is one.
 *
 *     grammar_vocab_new    once a model: its tokens as a tree of bytes
 *     grammar_new          once an answer: the schema
 *     grammar_mask         before each token: what may come
 *     grammar_accept       after it: what came
 *
 * JSON is compact, with at most one blank after ':' and ','.  Properties come in the schema's
 * order. Threads: a grammar_vocab is immutable, any thread; a grammar belongs to one thread at a
 * time. */
#ifndef SEMA_ENGINE_SAMPLE_GRAMMAR_H
#define SEMA_ENGINE_SAMPLE_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yyjson.h>

#include "base/err.h"
#include "base/str.h"

struct grammar_vocab;
struct grammar;

/* A token's bytes in the middle of a text; empty for one that no grammar may use (control tokens,
 * holes). Called during grammar_vocab_new only; the views must live as long as that call. */
typedef str grammar_bytes(const void *ctx, int32_t id);

/* `ends`: the ids that end an answer; they are allowed where the JSON is complete. */
enum err grammar_vocab_new(struct grammar_vocab **out, int32_t count, grammar_bytes *bytes,
                           const void *ctx, const int32_t *ends, size_t ends_count);
void grammar_vocab_free(struct grammar_vocab *v); /* no grammar may be left; NULL is fine */
size_t grammar_vocab_words(const struct grammar_vocab *v); /* of a mask */

/* The schema's document may go afterwards.  `true` and {} allow any value.  ERR_UNSUPPORTED: the
 * note names the keyword; ERR_INVALID: not a schema, or nothing satisfies it; ERR_LIMIT:
 * GRAMMAR_NODES_MAX or GRAMMAR_SCHEMA_BYTES_MAX; ERR_MEMORY.  `v` must outlive it. */
enum err grammar_new(struct grammar **out, const struct grammar_vocab *v, yyjson_val *schema,
                     struct err_note *why);
/* From its text: parsed, then as above.  "{}" here still means any value; for response_format
 * json_object pass {"type":"object"}. */
enum err grammar_new_text(struct grammar **out, const struct grammar_vocab *v, str schema,
                          struct err_note *why);

/* A call of one of `tools` (OpenAI's array), or of the one called `only` (empty: any):
 * `head` name `middle` arguments `tail`, as toolcall_frame gives them, for instance
 * {"name": " ... ", "arguments": ... }.  ERR_NOT_FOUND when no tool is called `only`. */
struct grammar_frame {
    str head, middle, tail;
};
enum err grammar_new_call(struct grammar **out, const struct grammar_vocab *v, yyjson_val *tools,
                          str only, const struct grammar_frame *frame, struct err_note *why);
void grammar_free(struct grammar *g); /* NULL is fine */

/* A bit for each id that may come next; valid until the next call for this grammar.  NULL when
 * memory is out or no token fits, which ends the answer. */
const uint64_t *grammar_mask(struct grammar *g);
/* False: the token was not allowed, nothing changed.  An end token is accepted where it is allowed.
 */
bool grammar_accept(struct grammar *g, int32_t token);
/* Goes on by bytes instead of a token: text that the answer already begins with. */
bool grammar_accept_text(struct grammar *g, str text);
bool grammar_done(const struct grammar *g);  /* what came is complete */
bool grammar_ended(const struct grammar *g); /* ... and nothing can follow */

#endif
