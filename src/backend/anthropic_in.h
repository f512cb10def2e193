/* What the files of the anthropic backend share. */
#ifndef SEMA_BACKEND_ANTHROPIC_IN_H
#define SEMA_BACKEND_ANTHROPIC_IN_H

#include "backend/dialect.h"

/* What a model, or a server, was found to refuse, remembered for each model; NOT_THOUGHTS is a
 * matter of one conversation and is kept with its answer.  Above these bits stands the model's
 * limit of output tokens, in units of 1024 (ANTHROPIC_LIMIT_SHIFT). */
enum anthropic_refusal {
    NOT_TEMPERATURE = 1 << 0,
    NOT_TOP_P = 1 << 1,
    NOT_TOP_K = 1 << 2,
    NOT_STOP = 1 << 3,
    NOT_ADAPTIVE = 1 << 4, /* thinking of that type */
    NOT_BUDGET = 1 << 5,   /* likewise */
    NOT_DISABLED = 1 << 6, /* likewise */
    NOT_DISPLAY = 1 << 7,
    NOT_EFFORT = 1 << 8,
    NOT_FORMAT = 1 << 9, /* output_config.format: the forced tool serves */
    NOT_FORCED = 1 << 10,
    NOT_PARALLEL = 1 << 11,
    NOT_USER = 1 << 12,
    NOT_PREFILL = 1 << 13,

    NOT_THOUGHTS = 1 << 14, /* thinking blocks of this conversation */
    NOT_EXTRAS = 1 << 15,   /* what only a client that speaks Messages itself can say */
};
enum { ANTHROPIC_LIMIT_SHIFT = 32, ANTHROPIC_LIMIT_UNIT = 1024 };

/* What a model takes (providers.md 5.2). */
struct anthropic_family {
    const char *part; /* of the id */
    int out_tokens;
    enum { SAMPLING_NONE, SAMPLING_ANY } sampling;
    enum { THINKS_NOT, THINKS_BUDGET, THINKS_ADAPTIVE, THINKS_EITHER } thinks;
    enum { OFF_OMITTED, OFF_DISABLED, OFF_NEVER } off;
    unsigned efforts; /* bits 1 << enum effort */
    bool no_forced_tool, prefill, schema;
};
const struct anthropic_family *anthropic_family_of(str model, bool official); /* never NULL */

/* A schema that the model cannot be given is the input of a forced tool with this name; what the
 * model says to it is the answer's text. */
extern const char anthropic_json_tool[];
bool anthropic_uses_json_tool(const struct answer *a);
/* What was refused so far: of this model, and in this answer. */
uint64_t anthropic_refused(const struct answer *a);

/* The numbers of a request.  `family` and `refused` are filled before; `budget`: thinking to a
 * budget is possible beside what else is asked. */
struct anthropic_plan {
    const struct anthropic_family *family;
    uint64_t refused;
    enum { THINKING_UNSAID, THINKING_OFF, THINKING_ADAPTIVE, THINKING_BUDGET } thinking;
    enum effort effort; /* EFFORT_UNSET: not sent */
    int64_t budget, max_tokens;
};
void anthropic_plan(struct anthropic_plan *p, const struct ask *q, bool budget);

/* A count of tokens, also of other servers that serve this call (llama-server). */
struct aside;
enum err anthropic_write_count(struct aside *x, struct call *c, const char *path,
                               struct err_note *why);
enum err anthropic_read_count(struct aside *x, yyjson_val *root, struct err_note *why);
/* A request that came as Messages, written by anthropic_pass.c. */
struct anthropic_passed {
    str ours; /* all but the messages, as they are written otherwise */
    const struct anthropic_plan *plan;
    struct arena *arena;
    void (*messages)(void *ctx, struct json_out *o); /* writes the list anew; NULL: it may stay */
    void *ctx;
};
enum err anthropic_pass(const struct answer *a, const struct anthropic_passed *it,
                        struct json_out *o);
bool anthropic_is_whole(const struct ask *q); /* passed on, and not asked for as a stream */
/* Whether what was refused is a field that only the client's own text had. */
bool anthropic_refused_extra(const struct answer *a, const struct fault *f);

enum err anthropic_write_body(struct answer *a, struct call *c, struct err_note *why);
void anthropic_read_event(struct answer *a, str type, yyjson_val *root);
void anthropic_read_whole(struct answer *a, yyjson_val *root);
bool anthropic_mend(struct answer *a, const struct fault *f);
bool anthropic_goes_on(struct backend *b, str model);

#endif
