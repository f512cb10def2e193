/* POST /v1/responses, inside served/: what the reader found and the writer needs. */
#ifndef SEMA_API_SERVED_RESPONSES_H
#define SEMA_API_SERVED_RESPONSES_H

#include "api/served/openai.h"

enum { RESPONSES_ITEMS_MAX = 1024 }; /* of an answer; what comes beyond joins the last */

enum responses_kind { ITEM_MESSAGE, ITEM_REASONING, ITEM_CALL };

/* A piece of the answer, in the order in which it came. */
struct responses_item {
    enum responses_kind kind;
    size_t from, to; /* in got.text or got.reasoning */
    size_t call;     /* in got.calls */
    bool custom;     /* the call is of a custom tool: its argument is one text */
    bool open;       /* begun, not ended; calls may be so several at once */
    str token;       /* what this reasoning must bring back; empty: nothing */
};

struct responses {
    /* Given back as they came: JSON, or empty. */
    str tools, tool_choice, text, metadata;
    str instructions, effort; /* .at NULL: none */
    bool parallel;
    bool encrypted;    /* include: reasoning.encrypted_content */
    const str *custom; /* names of custom tools */
    size_t custom_count;

    struct responses_item *items;
    size_t count;
    int64_t sequence; /* of the next event */
};

bool responses_read(struct served *s, yyjson_val *root, struct family_error *why);

#endif
