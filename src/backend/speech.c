#include "backend/speech.h"

#include "backend/dialect.h"
#include "backend/issuers.h"
#include "backend/usage.h"
#include "base/hash.h"
#include "conf/limits.h"

void speech_init(struct answer *a)
{
    buf_init(&a->room, 3u * UPSTREAM_EVENT_BYTES_MAX);
    buf_init(&a->signature, UPSTREAM_EVENT_BYTES_MAX);
    buf_init(&a->body, UPSTREAM_ANSWER_BYTES_MAX);
    sse_init(&a->sse, UPSTREAM_EVENT_BYTES_MAX);
    a->text_halves = a->reasoning_halves = (struct halves){0};
    buf_init(&a->shown, UPSTREAM_ANSWER_BYTES_MAX);
    a->stop = STR("");
    a->source = REASONING_NONE;
    a->text_block = -1;
    a->refused = false;
    a->finish = FINISH_NONE;
    a->usage = usage_unknown;
    a->total_tokens = -1;
    a->bytes = 0;
}

void speech_fini(struct answer *a)
{
    buf_fini(&a->room);
    buf_fini(&a->signature);
    buf_fini(&a->shown);
    stops_fini(&a->stops);
    stops_fini(&a->own_stops);
    think_fini(&a->think);
    tools_fini(&a->tools);
}

/* Over, or to be asked anew: what the rest of the event still says counts for nothing. */
static bool deaf(const struct answer *a)
{
    return a->over || a->state == ANSWER_WAITING;
}

static void show(struct answer *a, str text)
{
    if (deaf(a) || text.len == 0) return;
    a->sent = true;
    a->bytes += text.len;
    if (a->to.text) a->to.text(a->to.ctx, text);
}

/* What the stop strings hold back and never became one. */
static void let_go(struct answer *a)
{
    if (a->over || a->stops.held.len == 0) return;
    buf_clear(&a->shown);
    stops_end(&a->stops, &a->shown);
    show(a, buf_str(&a->shown));
}

static void give_text(void *ctx, str text)
{
    struct answer *a = ctx;

    if (a->over || a->stops.met) return;
    if (a->stops.count == 0) {
        show(a, text);
        return;
    }
    buf_clear(&a->shown);
    stops_add(&a->stops, text, &a->shown);
    if (a->shown.bad) { /* a gap in the text is worse than an error */
        const struct fault f = {.e = ERR_MEMORY,
                                .message = STR("out of memory for an answer"),
                                .retry_after_ms = -1};
        answer_fault(a, &f);
        return;
    }
    show(a, buf_str(&a->shown));
}

static void give_reasoning(struct answer *a, str text)
{
    if (deaf(a) || a->stops.met || text.len == 0) return; /* of a text that is over */
    let_go(a);
    if (deaf(a)) return;
    a->sent = true;
    a->bytes += text.len;
    if (a->to.reasoning) a->to.reasoning(a->to.ctx, text);
}

static void give_tagged(void *ctx, str text)
{
    struct answer *a = ctx;

    if (a->source == REASONING_NONE) a->source = REASONING_TAGS;
    if (a->source == REASONING_TAGS) give_reasoning(a, text);
}

static void pass_text(struct answer *a, str text)
{
    const struct think_to to = {.ctx = a, .text = give_text, .reasoning = give_tagged};

    if (text.len) think_feed(&a->think, text, &to);
}

void answer_text(struct answer *a, str text)
{
    if (a->over || text.len == 0) return;
    /* Reasoning is over: a half that waits there would come out behind the text. */
    give_reasoning(a, halves_end(&a->reasoning_halves));
    pass_text(a, halves_join(&a->text_halves, text, &a->room));
    if (a->stops.met && !a->over) speech_stopped(a);
}

void answer_watch_stops(struct answer *a, size_t told)
{
    size_t count = a->q->stops_count;

    if (told >= count) return;
    stops_fini(&a->stops); /* of an attempt before */
    stops_init(&a->stops, a->q->stops + told, count - told);
}

void answer_stop_was(struct answer *a, str stop)
{
    for (size_t i = 0; i < a->q->stops_count; i++)
        if (stop.len && str_eq(a->q->stops[i], stop)) a->stop = a->q->stops[i];
}

void answer_reasoning(struct answer *a, enum reasoning_source from, str text)
{
    if (a->over || text.len == 0) return;
    if (a->source == REASONING_NONE) {
        a->source = from;
        a->think.opened = false; /* the server tells reasoning apart itself */
    }
    if (a->source == from) give_reasoning(a, halves_join(&a->reasoning_halves, text, &a->room));
}

uint64_t answer_issuer(const struct answer *a)
{
    uint64_t key = hash_mix(hash_str(str_of(a->dialect->type)), hash_str(str_of(a->backend->host)));
    return key ? key : 1;
}

static void give_signature(struct answer *a, const struct part *p)
{
    str token = p->redacted.len ? p->redacted : p->signature;

    if (deaf(a) || token.len == 0) return;
    give_reasoning(a, halves_end(&a->reasoning_halves));
    let_go(a);
    if (deaf(a)) return;
    issuers_note(token, answer_issuer(a), loop_now_ms(a->loop));
    a->sent = true;
    if (a->to.signature) a->to.signature(a->to.ctx, p);
}

void answer_signature(struct answer *a, str signature, str redacted)
{
    give_signature(a, &(struct part){.kind = PART_REASONING,
                                     .signature = signature,
                                     .redacted = redacted,
                                     .issuer = str_of(a->dialect->type)});
}

void answer_part_signature(struct answer *a, enum part_kind kind, str id, str signature)
{
    give_signature(a, &(struct part){.kind = kind,
                                     .id = id,
                                     .signature = signature,
                                     .issuer = str_of(a->dialect->type)});
}

/* Tool events count as something sent, which the assembler does not know. */
static void on_tool_begin(void *ctx, int index, str id, str name)
{
    struct answer *a = ctx;

    let_go(a);
    if (deaf(a)) return;
    a->sent = true;
    a->bytes += name.len;
    if (a->to.tool_begin) a->to.tool_begin(a->to.ctx, index, id, name);
}

static void on_tool_args(void *ctx, int index, str fragment)
{
    struct answer *a = ctx;

    a->bytes += fragment.len;
    if (a->to.tool_args) a->to.tool_args(a->to.ctx, index, fragment);
}

static struct sink tool_sink(struct answer *a)
{
    return (struct sink){.ctx = a, .tool_begin = on_tool_begin, .tool_args = on_tool_args};
}

void answer_tool(struct answer *a, const struct tool_piece *p)
{
    struct sink to = tool_sink(a);

    if (deaf(a)) return;
    enum err e = tools_add(&a->tools, p, &to, &a->over);
    if (e && !a->over) {
        struct fault f = {.e = e == ERR_LIMIT ? ERR_SERVER : e,
                          .message = STR("too many tool calls"),
                          .retry_after_ms = -1};
        answer_fault(a, &f);
    }
}

void answer_extra(struct answer *a, enum extra what, yyjson_val *v)
{
    struct buf json;

    if (deaf(a) || a->to.extra == NULL || v == NULL || yyjson_is_null(v)) return;
    buf_init(&json, UPSTREAM_EVENT_BYTES_MAX);
    struct json_out o = json_begin(&json);
    o.js_escapes = true; /* it may become a part of a stream */
    json_val(&o, v);
    if (!json.bad) a->to.extra(a->to.ctx, what, buf_str(&json));
    buf_fini(&json);
}

void answer_usage(struct answer *a, const struct usage *u, int64_t total_tokens)
{
    a->usage = *u;
    a->total_tokens = total_tokens;
}

bool speech_holds(const struct answer *a)
{
    return a->stops.held.len || a->think.blanks.len || a->think.matched || a->text_halves.high[0] ||
           a->reasoning_halves.high[0];
}

void speech_end(struct answer *a)
{
    const struct think_to to = {.ctx = a, .text = give_text, .reasoning = give_tagged};
    struct sink tool_to = tool_sink(a);

    give_reasoning(a, halves_end(&a->reasoning_halves));
    pass_text(a, halves_end(&a->text_halves));
    think_end(&a->think, &to);
    let_go(a);
    tools_end(&a->tools, &tool_to, &a->over);
    if (a->over) return;
    if (a->stops.met) a->finish = FINISH_STOP;
    if (a->tools.begun && a->finish == FINISH_STOP) a->finish = FINISH_TOOL_CALLS;
    usage_settle(&a->usage, a->q, a->bytes, a->total_tokens);
}
