/* POST /completions: a text that is gone on from as it is, without a chat's template around it
 * (providers.md 3.1, 8.2, 9).  Compatible servers have it for every model that they serve, OpenAI
 * for its old ones alone.  Who has it not is asked for the same in chat completions. */
#include <stdio.h>

#include "backend/openai_in.h"
#include "backend/pass.h"

enum { STOPS_MAX_OFFICIAL = 4 };

/* ---- who is asked here ---- */

static bool is_completer(str model)
{
    if (str_starts(model, STR("ft:"))) model = str_tail(model, 3);
    return str_starts(model, STR("davinci")) || str_starts(model, STR("babbage")) ||
           (openai_family_is_known(model) && str_ends(model, STR("-instruct")));
}

bool openai_completes(const struct answer *a)
{
    const struct ask *q = a->q;
    uint64_t learned = learned_get(a->backend->learned, q->model);

    if (q->prompt.at == NULL || learned & REFUSED_COMPLETIONS) return false;
    if (q->suffix.len && learned & REFUSED_SUFFIX) return false;
    return is_completer(q->model) || (!a->backend->official && !openai_family_is_known(q->model));
}

/* ---- the client's own bytes ---- */

/* clang-format off */
static const struct pass_key keys[] = {
    {"stream", PASS_WRITE, false}, {"stream_options", PASS_WRITE, false},
    {"prompt", PASS_KNOWN, false}, {"suffix", PASS_KNOWN, false},
    {"max_tokens", PASS_KNOWN, false}, {"max_completion_tokens", PASS_KNOWN, false},
    {"temperature", PASS_KNOWN, false}, {"top_p", PASS_KNOWN, false},
    {"top_k", PASS_KNOWN, false}, {"min_p", PASS_KNOWN, false},
    {"repetition_penalty", PASS_KNOWN, false}, {"presence_penalty", PASS_KNOWN, false},
    {"frequency_penalty", PASS_KNOWN, false}, {"stop", PASS_KNOWN, false},
    {"seed", PASS_KNOWN, false}, {"logit_bias", PASS_KNOWN, false}, {"user", PASS_KNOWN, false},
    {"logprobs", PASS_NEVER, false}, /* the answer has none: openai-compat.md section 6 */
    {"messages", PASS_NEVER, false},
    {"n", PASS_FREE, false}, {"best_of", PASS_FREE, false}, {"echo", PASS_FREE, false},
};
/* clang-format on */

static void write_member(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                         struct json_out *o)
{
    const struct answer *a = ctx;

    if (str_eq(key, STR("stream"))) {
        pass_key(o, raw);
        json_raw(o, a->q->stream ? STR("true") : STR("false"));
    } else {
        openai_pass_options(raw, ours, o);
    }
}

static struct pass pass_of(struct answer *a, struct arena *arena)
{
    return (struct pass){.keys = keys,
                         .count = sizeof keys / sizeof *keys,
                         .others = !a->backend->official,
                         .received = a->q->received,
                         .write = write_member,
                         .ctx = a,
                         .arena = arena};
}

static bool refused_extra(struct answer *a, const struct fault *f)
{
    struct arena arena;

    if (!pass_is_on(a->q, WIRE_COMPLETIONS)) return false;
    arena_init(&arena, 0);
    struct pass pass = pass_of(a, &arena);
    bool named = pass_names_extra(&pass, f);
    arena_fini(&arena);
    return named;
}

/* ---- the request ---- */

struct writer {
    struct json_out o;
    struct answer *a;
    const struct ask *q;
    uint64_t refused;
};

static bool takes(const struct writer *w, uint64_t field)
{
    return !(w->refused & field);
}

static void put_number(struct writer *w, uint64_t field, const char *key, double n)
{
    if (!isnan(n) && takes(w, field)) json_key(&w->o, key), json_num(&w->o, n);
}

static void put_stops(struct writer *w)
{
    bool few = w->a->backend->official || is_completer(w->q->model);
    size_t n = w->q->stops_count;

    if (few && n > STOPS_MAX_OFFICIAL) n = STOPS_MAX_OFFICIAL;
    if (!takes(w, REFUSED_STOP)) n = 0;
    answer_watch_stops(w->a, n);
    if (n == 0) return;
    json_key(&w->o, "stop"), json_array(&w->o);
    for (size_t i = 0; i < n; i++) json_text(&w->o, w->q->stops[i]);
    json_end_array(&w->o);
}

static void put_sampling(struct writer *w)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    put_number(w, REFUSED_TEMPERATURE, "temperature", q->temperature);
    put_number(w, REFUSED_TOP_P, "top_p", q->top_p);
    put_number(w, REFUSED_PRESENCE, "presence_penalty", q->presence_penalty);
    put_number(w, REFUSED_FREQUENCY, "frequency_penalty", q->frequency_penalty);
    if (q->logit_bias_json.len && takes(w, REFUSED_LOGIT_BIAS))
        json_key(o, "logit_bias"), json_raw(o, q->logit_bias_json);
    if (!w->a->backend->official) {
        if (q->top_k >= 0 && !q->top_k_is_setting && takes(w, REFUSED_TOP_K))
            json_key(o, "top_k"), json_int(o, q->top_k);
        put_number(w, REFUSED_MIN_P, "min_p", q->min_p);
        put_number(w, REFUSED_REPETITION, "repetition_penalty", q->repetition_penalty);
    }
    put_stops(w);
    if (q->seeded && takes(w, REFUSED_SEED)) {
        char digits[24];
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)q->seed);
        json_key(o, "seed"), json_raw(o, str_of(digits));
    }
    if (q->user.len && takes(w, REFUSED_USER)) json_key(o, "user"), json_text(o, q->user);
}

static void put_all(struct writer *w, bool stream, str prompt)
{
    struct json_out *o = &w->o;
    const struct ask *q = w->q;

    json_object(o);
    json_key(o, "model"), json_text(o, q->model);
    json_key(o, "prompt"), json_text(o, prompt);
    if (q->suffix.len) json_key(o, "suffix"), json_text(o, q->suffix);
    if (stream) json_key(o, "stream"), json_bool(o, true);
    if (stream && takes(w, REFUSED_STREAM_OPTIONS)) {
        json_key(o, "stream_options"), json_object(o);
        json_key(o, "include_usage"), json_bool(o, true);
        json_end_object(o);
    }
    if (q->max_tokens >= 0 && takes(w, REFUSED_MAX_TOKENS))
        json_key(o, "max_tokens"), json_int(o, q->max_tokens);
    put_sampling(w);
    json_end_object(o);
}

static enum err pass_on(struct answer *a, struct call *c, str ours, uint64_t refused)
{
    struct pass_key room[sizeof keys / sizeof *keys];
    struct pass pass = pass_of(a, &c->arena);
    struct json_out o = json_begin(&c->body);

    for (size_t i = 0; i < pass.count; i++) {
        room[i] = keys[i];
        if (refused & REFUSED_EXTRAS && room[i].rule == PASS_FREE) room[i].rule = PASS_NEVER;
    }
    pass.keys = room;
    pass.others = pass.others && !(refused & REFUSED_EXTRAS);
    pass.ours = ours;
    return pass_merge(&pass, &o);
}

static str joined(str a, str b, struct arena *arena)
{
    char *at = arena_array(arena, char, a.len + b.len);

    if (at == NULL) return STR_NONE;
    memcpy(at, a.at, a.len);
    memcpy(at + a.len, b.at, b.len);
    return str_span(at, a.len + b.len);
}

enum err openai_completions_write(struct answer *a, struct call *c, struct err_note *why)
{
    bool passes = pass_is_on(a->q, WIRE_COMPLETIONS);
    struct buf ours;
    struct writer w = {.a = a, .q = a->q, .refused = learned_get(a->backend->learned, a->q->model)};
    /* Going on from what an answer broke off with is nothing else than going on. */
    str prompt = a->q->prompt;
    enum err e = ERR_NONE;

    if (a->q->prefill.len) prompt = joined(prompt, a->q->prefill, &c->arena);
    if (prompt.at == NULL) e = ERR_MEMORY;
    c->stream = !pass_is_whole(a->q, WIRE_COMPLETIONS);
    buf_init(&ours, c->body.max_bytes);
    w.o = json_begin(passes ? &ours : &c->body);
    if (!e) put_all(&w, c->stream, prompt);
    if (!e && passes) e = ours.bad ? ERR_MEMORY : pass_on(a, c, buf_str(&ours), w.refused);
    buf_fini(&ours);
    if (!e) e = buf_err(&c->body);
    return e ? err_set(why, e, "out of memory for a request") : ERR_NONE;
}

/* ---- the answer ---- */

/* Who looks at no address answers as in chat, whatever was asked. */
static bool is_of_text(yyjson_val *choice)
{
    return yyjson_is_str(json_get(choice, "text")) ||
           !(json_get(choice, "delta") || json_get(choice, "message"));
}

static void read_choice(struct answer *a, yyjson_val *choice)
{
    if (json_get_int(choice, "index", 0) != 0) return;
    answer_text(a, json_get_str(choice, "text"));
    if (!a->over) answer_finish(a, openai_finish_of(json_get_str(choice, "finish_reason")));
}

void openai_completions_event(struct answer *a, str type, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));

    if (choice && !is_of_text(choice)) {
        openai_read_event(a, type, root);
        return;
    }
    openai_read_usage(a, json_get(root, "usage"));
    if (choice) read_choice(a, choice);
}

void openai_completions_whole(struct answer *a, yyjson_val *root)
{
    yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));

    if (choice == NULL || !is_of_text(choice)) {
        openai_read_whole(a, root);
        return;
    }
    openai_read_usage(a, json_get(root, "usage"));
    read_choice(a, choice);
    if (!a->over && !a->finish) answer_finish(a, FINISH_STOP);
}

/* ---- refusals ---- */

static bool says_any(const struct fault *f, const char *const *words)
{
    for (; *words; words++)
        if (fault_says(f, *words)) return true;
    return false;
}

/* "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use
 * v1/chat/completions?", and what others say. */
static bool is_of_chat(const struct fault *f)
{
    static const char *const words[] = {
        "chat model",
        "chat-model",
        "chat completion",
        "chat/completion",
        "chat_completion",
        "support completion",
        "support text completion",
        "not a completion",
        "completion operation",
        "completions api",
        "messages",
        "field required", /* FastAPI's: only a chat's is not there */
        NULL};

    return says_any(f, words) || str_eq(f->param, STR("messages"));
}

/* 404 is of the model where the message names it and says nothing of an address. */
static bool is_of_model(const struct answer *a, const struct fault *f)
{
    static const char *const words[] = {"completion", "endpoint", "route", "path", "url", NULL};

    if (f->e == ERR_MODEL_NOT_FOUND && f->status != 404) return true; /* by its code */
    if (str_eq(f->code, STR("model_not_found"))) return true;
    return f->status == 404 && str_find(f->message, a->q->model) != STR_NPOS && !says_any(f, words);
}

static bool is_unknown_call(const struct answer *a, const struct fault *f)
{
    bool no_such_call = f->status == 404 || f->status == 405 || f->status == 501;
    bool refused = f->status >= 400 && f->status < 500 &&
                   (f->e == ERR_BAD_REQUEST || f->e == ERR_MODEL_NOT_FOUND);

    return (refused && is_of_chat(f)) || (no_such_call && !is_of_model(a, f));
}

/* "suffix is not currently supported", and Ollama's "... does not support insert". */
static bool is_of_suffix(const struct fault *f)
{
    return str_eq(f->param, STR("suffix")) || fault_says(f, "suffix") ||
           fault_says(f, "support insert");
}

bool openai_completions_mend(struct answer *a, const struct fault *f)
{
    struct learned *l = a->backend->learned;
    str model = a->q->model;
    bool refused = f->status >= 400 && f->status <= 501;

    if (!refused || f->e == ERR_AUTH) return false;
    if (a->q->suffix.len && is_of_suffix(f)) return learned_add(l, model, REFUSED_SUFFIX);
    if (is_unknown_call(a, f)) return learned_add(l, model, REFUSED_COMPLETIONS);
    if (openai_mend(a, f)) return true;
    return f->e == ERR_BAD_REQUEST && refused_extra(a, f) && openai_speaks_of_unknown(f) &&
           learned_add(l, model, REFUSED_EXTRAS);
}
