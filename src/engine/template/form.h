/* What a model's template was found to do, and the shaping of a conversation to it.  Inside this
 * room. */
#ifndef SEMA_ENGINE_TEMPLATE_FORM_H
#define SEMA_ENGINE_TEMPLATE_FORM_H

#include <stdbool.h>

#include <yyjson.h>

#include "base/err.h"
#include "base/str.h"

struct vocab;

/* Found out once, when the model is opened, by rendering small conversations. */
struct form_habits {
    bool system;       /* renders a system message at the front */
    bool late_system;  /* ... and one in the middle, where it stands */
    bool developer;    /* knows that role by name */
    bool text_content; /* `content` as a string reaches the prompt */
    bool list_content; /* ... as a list of parts */
    bool tools;        /* shows the tools it is given */
    bool calls;        /* renders tool calls and their results */
    bool many_calls;   /* ... several in one message */
    bool text_args;    /* a call's arguments must be their JSON text, not the object */
    bool short_ids;    /* call ids must have nine characters (Mistral) */
    bool empty_text;   /* a call's message must have "" and not null as its content */
};

/* Brings `messages` (a mutable array, changed in place) into the shape that the template renders:
 * - parts of text joined; a string made a list for templates that only read lists
 * - a system message that it refuses goes into the next user message (or to the front)
 * - arguments of calls as object or text, several calls of one message apart where it takes only
 * one
 * - calls, results and tools as plain text when it knows nothing of them; then *tools becomes NULL
 * ERR_MEMORY. */
enum err chat_form_shape(yyjson_mut_doc *doc, yyjson_mut_val *messages, yyjson_mut_val **tools,
                         const struct form_habits *habits);

/* Every string and key below `v` through vocab_guard. */
enum err shape_guard(yyjson_mut_doc *doc, yyjson_mut_val *v, const struct vocab *vocab);

#endif
