/* What the files of the openai backend share, and what hf and minimax take from it: chat
 * completions. */
#ifndef SEMA_BACKEND_OPENAI_IN_H
#define SEMA_BACKEND_OPENAI_IN_H

#include "backend/dialect.h"

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
};

/* What a model of OpenAI's own takes (providers.md 3.1). */
struct openai_family {
    const char *prefix;
    bool reasons;          /* else classic: all sampling fields, no effort */
    bool sampling_at_none; /* with effort none, sampling fields are taken */
    bool stops;
    unsigned efforts; /* bits 1 << enum effort */
    enum { TOOLS_FINE, TOOLS_WITHOUT_EFFORT, TOOLS_AT_NONE, TOOLS_NEVER } tools;
};
const struct openai_family *openai_family_of(str model); /* never NULL: unknown is the newest */
/* Whether the id is one of OpenAI's own, wherever it is asked for: a gateway in front of OpenAI
 * refuses what OpenAI refuses.  "gpt-oss-20b" is anybody's to serve. */
bool openai_family_is_known(str model);

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
    void (*more)(struct json_out *o, const struct answer *a); /* further fields; may be NULL */
};

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
bool openai_goes_on(struct backend *b, str model);

#endif
