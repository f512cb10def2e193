/* What the model tools share: a model's files, JSON lines in and out.  For src/cli alone. */
#ifndef SEMA_CLI_TOOL_H
#define SEMA_CLI_TOOL_H

#include "base/json.h"
#include "cli/command.h"
#include "engine/format/files.h"
#include "engine/vocab/vocab.h"

/* --model: a directory, a .gguf file, a built-in model's name, or a name that MODEL_PATH or the
 * cache knows.  False after a message. */
bool tool_files(struct cli *c, struct files **out);
/* The same, and its tokenizer. */
bool tool_vocab(struct cli *c, struct files **files, struct vocab **out);

/* Answers each line of standard input, an object, with one line, an object: `answer` adds its keys,
 * or "error" by tool_error.  Gives the exit status: a line that is no object counts as a mistake.
 */
typedef void tool_answer(void *ctx, yyjson_val *in, struct json_out *out);
int tool_lines(struct cli *c, tool_answer *answer, void *ctx);

void tool_error(struct json_out *out, const char *text);
void tool_put_ids(struct json_out *out, const struct ids *ids);
/* From an array of numbers; ERR_INVALID for anything else. */
enum err tool_ids_of(struct ids *out, yyjson_val *array);
/* From --tokens "1,2,3", each at least 0 and below `below`.  False after a message. */
bool tool_ids_flag(struct cli *c, int below, struct ids *out);
/* A flag that is a whole number; false after a message.  *out is left alone when it was not given.
 */
bool tool_int_flag(struct cli *c, const char *name, int64_t min, int64_t max, int64_t *out);
bool tool_num_flag(struct cli *c, const char *name, double min, double max, double *out);

#define TOOL_MODEL_FLAG                                                                            \
    {                                                                                              \
        "model", "MODEL", "directory or .gguf file, or a model's name"                             \
    }
#define TOOL_JSONL_FLAG                                                                            \
    {                                                                                              \
        "jsonl", NULL, "JSON lines from standard input, one answer a line"                         \
    }

#endif
