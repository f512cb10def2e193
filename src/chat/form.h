/* An answer's two channels made into the one text that a client sees (http-api.md 5 and 6):
 * reasoning in front as "[Reasoning: R]", two newlines, the answer.  Text may come in any pieces;
 * what they form together never depends on where it is cut.
 *
 * R loses its outer white space; so does the start of an answer that follows reasoning.  Reasoning
 * that comes after the answer began is kept, but not shown: it cannot go in front any more. */
#ifndef SEMA_CHAT_FORM_H
#define SEMA_CHAT_FORM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"

struct form {
    bool show; /* reasoning in the text */
    enum { FORM_START, FORM_REASONING, FORM_ANSWER } at;
    struct buf text;      /* all that was formed */
    struct buf reasoning; /* alone, as it came */
    size_t answer_from;   /* where in `text` the answer begins */
    size_t shown;         /* bytes of `reasoning` that are in the text */
};

void form_init(struct form *f, bool show_reasoning);
void form_fini(struct form *f);  /* takes a zeroed one */
void form_clear(struct form *f); /* as after form_init */

/* Each gives what was newly formed: a view of the end of `text`, until the next call. */
str form_reason(struct form *f, str piece);
str form_answer(struct form *f, str piece);
str form_end(struct form *f);
bool form_bad(const struct form *f); /* too long, or no memory */

/* The answer alone of a message that was formed and stored: without the reasoning in front, for
 * which `reasoning` is what its metadata says. */
str form_answer_of(str content, str reasoning);
bool form_may_reason(str content); /* false: there is none in front for sure */

#endif
