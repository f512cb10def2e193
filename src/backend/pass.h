/* A request whose dialect is the same in and out (openai-compat.md 1.2, providers.md section 2):
 * the client's own text goes up, member by member and byte for byte, so that what a provider keeps
 * of a prompt is found again.  What a dialect's writer makes of the neutral request ("ours") is
 * still what decides: a member of which it says something else, or nothing, is not passed on.
 *
 *   received {"model":"alias","messages":[ {...} ],"temperature":0.70,"top_k":4,"x":1}
 *   ours     {"model":"gpt-4o","temperature":0.7,"stream_options":{...}}
 *   sent     {"model":"gpt-4o","messages":[ {...} ],"temperature":0.70,"x":1,"stream_options":...}
 */
#ifndef SEMA_BACKEND_PASS_H
#define SEMA_BACKEND_PASS_H

#include "backend/backend.h"
#include "backend/fault.h"
#include "backend/shape.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/span.h"

enum pass_rule {
    PASS_KNOWN, /* as it came where it says all that ours says; else ours; else nothing */
    PASS_EXACT, /* as it came where it says just what ours says; else ours; else nothing */
    PASS_EACH,  /* a list of tools: each of them as PASS_KNOWN, in the order received */
    PASS_WRITE, /* by pass.write */
    PASS_FREE,  /* as it came */
    PASS_NEVER,
};

struct pass_key {
    const char *name;
    enum pass_rule rule;
    bool quiet; /* ours alone is no reason to send it */
};

struct pass {
    const struct pass_key *keys; /* what ours has and is not listed is PASS_KNOWN */
    size_t count;
    bool others; /* what neither knows goes as it came; else it is left out */
    str received, ours;
    /* Writes the member `key`, or nothing; `ours` is what ours says, NULL when nothing. */
    void (*write)(void *ctx, str key, const struct span *raw, yyjson_val *ours, struct json_out *o);
    void *ctx;
    struct arena *arena;
};

/* Whether a backend that speaks `wire` passes the client's text on. */
bool pass_is_on(const struct ask *q, enum wire wire);
/* One whole answer is asked for, as the client does. */
bool pass_is_whole(const struct ask *q, enum wire wire);

/* The whole object.  ERR_MEMORY; ERR_LIMIT: what was received is not as backend.h says. */
enum err pass_merge(const struct pass *p, struct json_out *o);
/* The same key, in quotes, as it was written. */
void pass_key(struct json_out *o, const struct span *raw);

/* Whether `raw` says all that `ours` says: members that ours lacks may be there. */
bool pass_says(yyjson_val *raw, yyjson_val *ours);

/* Whether the messages from `from` on went through shape_messages without a change. */
bool pass_is_unchanged(const struct ask *q, size_t from, const struct shape *s);

/* Whether a refusal names a member that goes as it came and that ours knows nothing of. */
bool pass_names_extra(const struct pass *p, const struct fault *f);

#endif
