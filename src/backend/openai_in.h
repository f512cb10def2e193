/* What the files of the openai backend share, and what hf and minimax take from it: chat
 * completions, and the Responses API where a model needs it.
 *
 * Which of the two (providers.md 3.1, 4), by the first row of openai_family.c that fits an id:
 *
 *   gpt-5-pro gpt-5.x-pro o1-pro o3-pro       Responses only
 *   *-codex* codex-* *-deep-research*         Responses only
 *   gpt-5.4* gpt-5.5*                         Responses for tools with an effort
 *   gpt-5.6* gpt-6* and unknown ids           Responses for tools, unless the effort is none
 *   gpt-6.1-sol                               Responses for tools, always
 *   gpt-6* and unknown ids                    Responses for the effort max
 *   all others                                chat completions
 *
 * That holds for OpenAI's ids behind any address, and for unknown ones at api.openai.com.  Other
 * ids are asked in chat completions elsewhere, until a refusal names "/v1/responses"; who has no
 * such route (404, 405, 501) is asked in chat completions.  An address that ends in /responses has
 * nothing else. */
#ifndef SEMA_BACKEND_OPENAI_IN_H
#define SEMA_BACKEND_OPENAI_IN_H

#include "backend/dialect.h"
#include "base/span.h"

/* Fields of a request that a model may refuse; what it refused is remembered by these bits. */
enum openai_refusal {
    REFUSED_TEMPERATURE = 1 << 0,
    REFUSED_TOP_P = 1 << 1,
    REFUSED_TOP_K = 1 << 2,
    REFUSED_MIN_P = 1 << 3,
    REFUSED_REPETITION = 1 << 4,
    REFUSED_PRESENCE = 1 << 5,
    REFUSED_FREQUENCY = 1 << 6,
    REFUSED_STOP = 1 << 7,
    REFUSED_SEED = 1 << 8,
    REFUSED_LOGIT_BIAS = 1 << 9,
    REFUSED_EFFORT = 1 << 10,
    REFUSED_MAX_TOKENS = 1 << 11,            /* the other name is taken */
    REFUSED_MAX_COMPLETION_TOKENS = 1 << 12, /* likewise */
    REFUSED_STREAM_OPTIONS = 1 << 13,
    REFUSED_PARALLEL = 1 << 14,
    REFUSED_USER = 1 << 15,
    REFUSED_FORMAT = 1 << 16,
    REFUSED_LATE_SYSTEM = 1 << 17, /* a system message that is not the first */
    REFUSED_SYSTEM = 1 << 18,      /* any system message */
    REFUSED_PREFILL = 1 << 19,     /* to go on from an answer's beginning */
    REFUSED_LOGPROBS = 1 << 20,
    REFUSED_EXTRAS = 1 << 21, /* what only a client that speaks chat completions itself can say */
    /* Of the Responses API: */
    REFUSED_SUMMARY = 1 << 24,   /* reasoning.summary */
    REFUSED_INCLUDE = 1 << 25,   /* include */
    REFUSED_STORE = 1 << 26,     /* store */
    REFUSED_REASONING = 1 << 27, /* reasoning as a whole */
    REFUSED_VERBOSITY = 1 << 23, /* text.verbosity */
    REFUSED_CUSTOM = 1 << 22,    /* tools of type "custom" */
    /* Which of the two: */
    NEEDS_RESPONSES = 1 << 28,
    TOOLS_NEED_RESPONSES = 1 << 29,
    REFUSED_RESPONSES = 1 << 30, /* no such thing there */
};

/* Of completions; no int holds them. */
#define REFUSED_COMPLETIONS ((uint64_t)1 << 32) /* no such call there, or not for this model */
#define REFUSED_SUFFIX ((uint64_t)1 << 33)

/* What one answer is asked without: `mended`. */
enum openai_mended {
    MENDED_THOUGHTS = 1 << 0, /* reasoning of earlier turns, which the provider cannot read */
    MENDED_LEAST = 1 << 1,    /* max_output_tokens is at least what the provider asks for */
};

enum { OUTPUT_TOKENS_LEAST = 16 }; /* of Responses; OpenAI refuses less */

/* What a model of OpenAI's own takes (providers.md 3.1). */
struct openai_family {
    const char *prefix, *with; /* how the id begins, and what is in it; NULL: anything */
    bool reasons;              /* else classic: all sampling fields, no effort */
    bool sampling_at_none;     /* with effort none, sampling fields are taken */
    bool stops;
    unsigned efforts; /* bits 1 << enum effort */
    enum { TOOLS_FINE, TOOLS_WITHOUT_EFFORT, TOOLS_AT_NONE, TOOLS_NEVER } tools; /* in chat */
    bool only_responses; /* not in chat completions */
    bool max;            /* effort max, in Responses */
};
const struct openai_family *openai_family_of(str model); /* never NULL: unknown is the newest */
/* Whether the id is one of OpenAI's own, wherever it is asked for: a gateway in front of OpenAI
 * refuses what OpenAI refuses.  "gpt-oss-20b" is anybody's to serve. */
bool openai_family_is_known(str model);

bool openai_family_has_custom(const struct openai_family *f); /* tools of type "custom" */

/* The nearest lower of the efforts (bits), else the lowest.  EFFORT_UNSET: there are none. */
enum effort openai_fit_effort(unsigned efforts, enum effort wanted);
const char *openai_effort_name(enum effort e);
/* max_tokens of the ask with what thinking needs (providers.md 3.1); -1: none. */
int64_t openai_room(const struct ask *q, enum effort e, bool thinks);

/* How chat completions of a provider differ from those of a compatible server. */
struct openai_form {
    uint64_t omits;           /* bits of enum openai_refusal: never sent */
    bool thinks;              /* room_to_think is given without an effort too */
    bool words_only;          /* tool_choice is "auto" or "none" */
    bool full;                /* results and descriptions are not empty */
    bool format_in_words;     /* a form of the answer is asked for by a system message */
    const char *reasoning_of; /* with tools, what this issuer's models thought goes back; or NULL */
    double least;             /* of temperature and top_p */
    double temperature_most;  /* 0: no bound */
    bool own;                 /* a form of the provider's own: no client writes it */
    void (*more)(struct json_out *o, const struct answer *a); /* further fields; may be NULL */
};

/* Whether one of the messages from `from` on does: a form of JSON is refused when none does. */
struct shape;
bool openai_speaks_of_json(const struct shape *s, size_t from);
/* "tool_choice", when there is one: a word, or a tool of that type by its name, which chat
 * completions have one object deeper. */
void openai_put_choice(struct json_out *o, str choice, bool words_only, const char *type,
                       bool nested);

/* A request that came as chat completions, written by openai_pass.c. */
struct openai_passed {
    str ours; /* all but the messages, as they are written otherwise */
    uint64_t refused;
    struct arena *arena;
    void (*messages)(void *ctx, struct json_out *o); /* writes the list anew; NULL: it may stay */
    void *ctx;
};
enum err openai_pass(const struct answer *a, const struct openai_passed *it, struct json_out *o);
/* The member stream_options, of a request that came in OpenAI's form. */
void openai_pass_options(const struct span *raw, yyjson_val *ours, struct json_out *o);
/* Whether what was refused is a field that only the client's own text had. */
bool openai_refused_extra(const struct answer *a, const struct fault *f);

/* The body of POST /chat/completions.  `form` may be NULL. */
enum err openai_write_body(struct answer *a, struct call *c, str model,
                           const struct openai_form *form, struct err_note *why);
/* Events and whole answers of that form. */
void openai_read_event(struct answer *a, str type, yyjson_val *root);
void openai_read_whole(struct answer *a, yyjson_val *root);
/* Their parts, for a dialect that reads the rest itself. */
void openai_read_tools(struct answer *a, yyjson_val *delta);
void openai_read_usage(struct answer *a, yyjson_val *usage);
enum finish openai_finish_of(str word);
bool openai_mend(struct answer *a, const struct fault *f);
/* Whether a refusal speaks of a field that is not known, as against a value that is not liked. */
bool openai_speaks_of_unknown(const struct fault *f);
bool openai_goes_on(struct backend *b, str model);

/* The body of POST /responses; its events and whole answers.  Of `form`, which may be NULL, count
 * the bounds, `thinks` and `words_only`. */
enum err openai_responses_write(struct answer *a, struct call *c, str model,
                                const struct openai_form *form, struct err_note *why);
void openai_responses_event(struct answer *a, str type, yyjson_val *root);
void openai_responses_whole(struct answer *a, yyjson_val *root);
void openai_responses_judge(struct answer *a, struct fault *f, yyjson_val *root);
bool openai_responses_mend(struct answer *a, const struct fault *f);
/* A request that came as Responses, written by openai_responses_pass.c. */
enum openai_thought { THOUGHT_STAYS, THOUGHT_ANEW, THOUGHT_LEFT_OUT };
struct openai_responses_passed {
    str ours; /* all but the input, as it is written otherwise */
    uint64_t refused;
    bool stay;   /* the items are, as the client wrote them, what would be sent anyway, but for: */
    bool custom; /* custom tools and their calls stay what they are */
    bool among;  /* a choice among some of the tools is taken */
    struct arena *arena;
    /* What becomes of the nth of the conversation's thoughts, which came with this token. */
    enum openai_thought (*thought)(void *ctx, size_t nth, str token);
    void (*put_thought)(void *ctx, size_t nth, struct json_out *o);
    void (*put_input)(void *ctx, struct json_out *o); /* the list anew */
    void *ctx;
};
enum err openai_responses_pass(const struct answer *a, const struct openai_responses_passed *it,
                               struct json_out *o);
/* Whether nothing in the items as they came wants all of them written anew. */
bool openai_responses_may_stay(const struct answer *a, bool custom);
bool openai_responses_has_instructions(const struct answer *a); /* the first message is they */
/* A text within an object of it, as written with its quotes, or STR_NONE. */
str openai_responses_said(const struct answer *a, const char *object, const char *key);
/* Whether what was refused is a field that only the client's own text had. */
bool openai_responses_names_extra(const struct answer *a, const struct fault *f);

/* The body of POST /completions; its events and whole answers (openai_completions.c). */
enum err openai_completions_write(struct answer *a, struct call *c, struct err_note *why);
void openai_completions_event(struct answer *a, str type, yyjson_val *root);
void openai_completions_whole(struct answer *a, yyjson_val *root);
bool openai_completions_mend(struct answer *a, const struct fault *f);
/* Whether this ask goes there: a text to go on from, and a model that has the call as far as is
 * known. */
bool openai_completes(const struct answer *a);

/* Whether this ask goes to Responses, as the table and what was learned have it. */
bool openai_needs_responses(const struct answer *a);
/* Whether a refusal sends the request to the other of the two; learned then. */
bool openai_mend_api(struct answer *a, const struct fault *f, bool responses);

#endif
