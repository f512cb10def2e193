/* A template's text as tokens, white space already trimmed as trim_blocks, lstrip_blocks and the
 * signs
 * - and + of a tag ask. */
#ifndef SEMA_ENGINE_TEMPLATE_LEX_H
#define SEMA_ENGINE_TEMPLATE_LEX_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum token_kind {
    TOKEN_TEXT,        /* between tags */
    TOKEN_PRINT_BEGIN, /* {{ */
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN, /* {% */
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, /* text: its value */
    TOKEN_INTEGER,
    TOKEN_FLOAT, /* text: as written, without underscores */
    TOKEN_OP,
    TOKEN_END,
};

struct token {
    uint8_t kind;
    char op[3]; /* of an operator, NUL-terminated */
    uint32_t line;
    str text;
};

/* All tokens of `source`, the last a TOKEN_END, in the arena; the texts may be views into `source`,
 * which must live as long.  ERR_INVALID with the line, ERR_MEMORY. */
enum err lex_template(struct arena *a, str source, struct token **out, size_t *count,
                      struct err_note *why);

#endif
