/* Chat templates: an interpreter for the Jinja that they use (local-models.md section 5), with
 * limits on steps, output and depth.  A parsed template is immutable; any thread. */
#ifndef SEMA_ENGINE_TEMPLATE_TEMPLATE_H
#define SEMA_ENGINE_TEMPLATE_TEMPLATE_H

#include <stdbool.h>
#include <time.h>

#include <yyjson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct files;
struct vocab;
struct template;

/* trim_blocks and lstrip_blocks on, one trailing newline dropped, CR LF read as LF. */
enum err template_parse(struct template **out, str source, struct err_note *why);
void template_free(struct template *t);

/* `context`: a JSON object of variables.  `now`: the local time that strftime_now prints.
 * ERR_INVALID: the template's own raise_exception (the note is exactly its text); ERR_UNSUPPORTED:
 * any other failure of the template; ERR_LIMIT: too many steps or too much text. */
enum err template_render(const struct template *t, yyjson_val *context, const struct tm *now,
                         struct buf *out, struct err_note *why);

/* ---- the chat form of a model: which template its files name, special tokens, habits ---- */

struct chat_form;

/* chat_template.jinja, else tokenizer_config.json, else the GGUF's, else the family's documented
 * form
 * (`family` "gpt2": turns joined by the end token).  `vocab` must outlive it. */
enum err chat_form_open(struct chat_form **out, struct files *f, const struct vocab *vocab,
                        const char *family, struct err_note *why);
void chat_form_close(struct chat_form *c);

struct chat_form_ask {
    yyjson_val *messages; /* array */
    yyjson_val *tools;    /* array or NULL */
    yyjson_val *kwargs;   /* object or NULL */
    bool add_generation_prompt;
    bool guard; /* message texts may not become control tokens: the result is for VOCAB_GUARDED */
    bool exact; /* as the reference: no folding of system messages, no probing of argument forms */
    struct tm now;
};
enum err chat_form_render(const struct chat_form *c, const struct chat_form_ask *ask,
                          struct buf *out, struct err_note *why);
bool chat_form_takes_system(const struct chat_form *c);
bool chat_form_takes_tools(const struct chat_form *c);
str chat_form_source(
    const struct chat_form *c); /* the template's text; empty for a built-in form */

#endif
