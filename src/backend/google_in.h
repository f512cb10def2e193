/* What the files of the google backend share: generateContent of Google AI Studio, for Gemini and
 * Gemma (providers.md section 6). */
#ifndef SEMA_BACKEND_GOOGLE_IN_H
#define SEMA_BACKEND_GOOGLE_IN_H

#include "backend/dialect.h"

/* What a model was found to refuse, remembered for each model. */
enum google_refusal {
    NOT_SYSTEM = 1 << 0, /* systemInstruction: its text goes in front of the user's */
    NOT_JSON = 1 << 1,   /* responseMimeType: words say it */
    NOT_SCHEMA = 1 << 2, /* responseJsonSchema: likewise */
    NOT_PENALTIES = 1 << 3,
    NOT_LEVEL = 1 << 4,
    NOT_BUDGET = 1 << 5,
    NOT_THINKING = 1 << 6, /* thinkingConfig as a whole */
    NOT_SEED = 1 << 7,
    NOT_TOP_K = 1 << 8,
    NOT_STOP = 1 << 9,
};

/* What a model takes. */
struct google_family {
    const char *prefix;
    bool folds_system, no_json, no_tools;
    enum { THINKING_NONE, THINKING_BUDGET, THINKING_LEVEL } thinking;
    int budget_min, budget_max; /* THINKING_BUDGET, tokens */
    bool can_rest;              /* a budget of 0 is taken */
    enum effort lowest;         /* THINKING_LEVEL */
    bool signs;                 /* calls go back with the signature that they came with */
};
const struct google_family *google_family_of(str model); /* never NULL: unknown is the newest */
str google_model(str model);                             /* without "models/" */

/* Signatures of tool calls by the call's id, for clients whose form has no place for them: a
 * bounded memory of the whole process, for hours.  Any thread. */
void google_signature_keep(str call_id, str signature, uint64_t now_ms);
/* The one that is kept, copied into the arena; empty when there is none. */
str google_signature_of(str call_id, uint64_t now_ms, struct arena *a);

/* A request that came in Google's form, written by google_pass.c. */
struct google_passed {
    str ours;  /* what the neutral one gives; "contents" an empty list when they stay */
    bool stay; /* the contents go as they came */
    struct arena *arena;
};
enum err google_pass(const struct answer *a, const struct google_passed *it, struct json_out *o);

enum err google_write_body(struct answer *a, struct call *c, struct err_note *why);
void google_read_event(struct answer *a, str type, yyjson_val *root);
void google_read_whole(struct answer *a, yyjson_val *root);
void google_judge(struct answer *a, struct fault *f, yyjson_val *root);
bool google_mend(struct answer *a, const struct fault *f);

#endif
