/* Tool calls in a model's text (local-models.md section 8): found while the text arrives and told
 * as neutral events.  Text is held back only while it may still become a call; a call that names no
 * given tool is text, to the last character.
 *
 * Some forms begin with a control token ([TOOL_CALLS], <|python_tag|>): decoding leaves those out,
 * so the caller feeds the text of a token that toolcall_is_marker knows. */
#ifndef SEMA_ENGINE_SAMPLE_TOOLCALL_H
#define SEMA_ENGINE_SAMPLE_TOOLCALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/sample/grammar.h"

enum toolcall_form {
    TOOLCALL_BARE,    /* {"name": "f", "arguments": {...}} as the whole answer, perhaps fenced */
    TOOLCALL_HERMES,  /* <tool_call>{"name": "f", "arguments": {...}}</tool_call> */
    TOOLCALL_LLAMA3,  /* {"name": "f", "parameters": {...}}; ... as the whole answer */
    TOOLCALL_MISTRAL, /* [TOOL_CALLS][{"name": "f", "arguments": {...}}, ...] */
    TOOLCALL_MISTRAL_ARGS, /* [TOOL_CALLS]f[ARGS]{...}[TOOL_CALLS]... */
};

/* By what a model's template writes; TOOLCALL_BARE when it shows no tools. */
enum toolcall_form toolcall_form_of(str template_source, bool takes_tools);
/* Is this the text of a token that the parser of the form must see? */
bool toolcall_is_marker(enum toolcall_form form, str token);

/* A call that must come (tool_choice `required` or a name): `open` is put behind the prompt as if
 * the model had written it, `frame` is what grammar_new_call takes. */
str toolcall_open(enum toolcall_form form);
struct grammar_frame toolcall_frame(enum toolcall_form form);

/* The views die when the call returns.  Of each call: one `begin`, fragments that joined are its
 * arguments as JSON text, one `end`.  `index` counts from 0. */
struct toolcall_events {
    void *ctx;
    void (*text)(void *ctx, str text);
    void (*begin)(void *ctx, int index, str name);
    void (*args)(void *ctx, int index, str fragment);
    void (*end)(void *ctx, int index);
};

struct toolcall;

/* `tools`: OpenAI's array; its names are copied.  `inside`: toolcall_open stands already. */
enum err toolcall_new(struct toolcall **out, enum toolcall_form form, yyjson_val *tools,
                      bool inside, struct toolcall_events events);
void toolcall_free(struct toolcall *t);                /* NULL is fine */
enum err toolcall_feed(struct toolcall *t, str piece); /* ERR_MEMORY */
/* The answer is over: what was held back is text; a call that was cut short gets its `end`. */
enum err toolcall_end(struct toolcall *t);
int toolcall_count(const struct toolcall *t); /* calls begun */

#endif
