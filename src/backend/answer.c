/* An answer's calls: starting, reading, judging, retrying.  What came is in speech.c. */
#include <assert.h>
#include <stdlib.h>

#include "backend/dialect.h"
#include "backend/speech.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "conf/limits.h"

enum {
    REFUSAL_BYTES_MAX = 256 * 1024, /* of an error's body; what it says stands in the first lines */
    JSON_DEPTH = 512,
    LOADING_MS_MAX = 30 * 1000, /* a model that is being loaded is waited for (providers.md 8.2) */
    MENDS_MAX = 6,              /* fields that one request may lose before it is given up: a
                                   provider names one at a time */
    GRACE_MS = 250,             /* after a finish: usage, a last delta, the terminator */
    BACK_OFF_MS = 500,          /* doubled for each retry */
    BACK_OFF_MS_MAX = 8000,
};

static void fail(struct answer *a, enum err e, const struct err_note *why);
static enum err try_call(struct answer *a, struct err_note *why);

/* ---- life ---- */

static void forget_reply(struct answer *a)
{
    sse_fini(&a->sse);
    buf_fini(&a->body);
    buf_fini(&a->own);
    speech_fini(a);
    a->status = 0;
    a->kind = REPLY_UNKNOWN;
    a->declared_stream = false;
    a->broken_events = 0;
    buf_init(&a->own, UPSTREAM_ANSWER_BYTES_MAX);
    a->own_count[0] = a->own_count[1] = 0;
    a->own_state = 0;
    a->location[0] = '\0';
    a->hints = (struct fault_hints){.retry_after_ms = -1, .should_retry = -1};
    speech_init(a);
}

static void answer_free(struct answer *a)
{
    timer_stop(&a->timer);
    http_call_cancel(a->call);
    sse_fini(&a->sse);
    buf_fini(&a->body);
    buf_fini(&a->own);
    speech_fini(a);
    free(a);
}

static void enter(struct answer *a)
{
    a->inside++;
}

/* True: the answer is gone. */
static bool leave(struct answer *a)
{
    if (--a->inside > 0 || !a->gone) return false;
    answer_free(a);
    return true;
}

static void tell_end(struct answer *a)
{
    struct sink to = a->to;
    struct answer_end end = {
        .e = a->e, .why = a->why, .finish = a->finish, .usage = a->usage, .calls = a->calls};

    if (a->e) end.finish = FINISH_NONE;
    if (end.finish == FINISH_STOP) end.stop = a->stops.met ? *a->stops.met : a->stop;
    if (end.why.http_status < 0) end.why.http_status = 0;
    if (a->e && a->hints.retry_after_ms > 0) end.why.retry_after_ms = a->hints.retry_after_ms;
    answer_free(a);
    to.done(to.ctx, &end);
}

/* The last thing of an event: whatever it led to happens now. */
static void settle(struct answer *a)
{
    if (leave(a)) return;
    if (a->inside == 0 && a->state == ANSWER_OVER) tell_end(a);
}

static void end_with(struct answer *a, enum err e, const struct err_note *why)
{
    a->state = ANSWER_OVER;
    a->over = true;
    a->e = e;
    if (why) a->why = *why;
    timer_stop(&a->timer);
}

/* ---- completion ---- */

static void complete(struct answer *a)
{
    if (a->over) return;
    speech_end(a); /* held bytes, "{}" */
    if (a->over) return;
    http_call_abandon(a->call); /* its connection can be kept */
    a->call = NULL;
    end_with(a, ERR_NONE, NULL);
}

void speech_stopped(struct answer *a)
{
    speech_end(a);
    if (a->over) return;
    http_call_cancel(a->call); /* nobody wants what still comes */
    a->call = NULL;
    end_with(a, ERR_NONE, NULL);
}

static void on_grace(struct timer *t)
{
    struct answer *a = container_of(t, struct answer, timer);

    enter(a);
    complete(a);
    settle(a);
}

static void fail_text(struct answer *a, enum err e, const char *what)
{
    struct err_note why = {0};

    err_set(&why, e, "%s: %s", a->backend->host, what);
    fail(a, e, &why);
}

/* No more comes.  A finish makes it whole, whatever ended it. */
static void ended(struct answer *a, enum err e, const struct err_note *why)
{
    if (a->over) return;
    if (a->finish)
        complete(a);
    else if (e)
        fail(a, e, why);
    else
        fail_text(a, ERR_SERVER,
                  a->broken_events ? "broken events, and no finish"
                                   : "the stream ended without a finish");
}

void answer_complete(struct answer *a)
{
    if (a->over) return;
    /* Compatible servers may leave the finish out; that they wrote something shows that they meant
     * it. */
    if (!a->finish && a->dialect->lenient_done && !a->backend->official && !a->broken_events &&
        (a->bytes || speech_holds(a))) {
        log_event(LEVEL_INFO, "backend", "finish_missing", LOG_CSTR("backend", a->dialect->type),
                  LOG_STR("model", a->q->model));
        a->finish = FINISH_STOP;
    }
    ended(a, ERR_NONE, NULL);
}

void answer_finish(struct answer *a, enum finish f)
{
    if (a->over || f == FINISH_NONE) return;
    a->finish = f;
    a->state = ANSWER_FINISHING;
    timer_set(&a->timer, a->loop, GRACE_MS, on_grace);
}

/* ---- faults ---- */

static void log_fault(const struct answer *a, enum err e, const struct err_note *why,
                      int64_t wait_ms)
{
    log_event(wait_ms >= 0 ? LEVEL_WARNING : err_row(e)->level, "backend",
              wait_ms >= 0 ? "provider_retry" : "provider_failed",
              LOG_CSTR("backend", a->dialect->type), LOG_STR("model", a->q->model),
              LOG_CSTR("class", err_row(e)->code), LOG_CSTR("reason", err_text(why, e)),
              LOG_CSTR("upstream_id", a->hints.request_id), LOG_INT("calls", a->calls),
              LOG_INT("wait_ms", wait_ms));
}

static uint64_t left_ms(const struct answer *a)
{
    uint64_t now = loop_now_ms(a->loop);
    return a->deadline_ms > now ? a->deadline_ms - now : 0;
}

/* How long to wait before the same backend is asked again; -1: it is not (providers.md section 10).
 */
static int64_t retry_wait_ms(struct answer *a, enum err e, const struct err_note *why)
{
    bool wanted = err_row(e)->retry;
    int kind = why->http_status;

    if (a->q->once || a->retries >= a->backend->conf.retries) return -1;
    if (e == ERR_NETWORK && kind == HTTP_FAULT_TLS) return -1;
    /* A dead one costs at most one connect while another is ready. */
    if (kind == HTTP_FAULT_CONNECT && a->q->others_ready) return -1;
    if (e == ERR_TIMEOUT && a->status == 0 && a->timeouts++) return -1; /* connect or first byte */
    if ((e == ERR_RATE_LIMIT || a->loading) && a->q->others_ready) return -1;
    if (a->hints.should_retry >= 0) wanted = a->hints.should_retry;
    if (!wanted) return -1;

    int64_t wait = a->hints.retry_after_ms;
    if (wait < 0) {
        wait = BACK_OFF_MS << (a->retries < 5 ? a->retries : 5);
        if (wait > BACK_OFF_MS_MAX) wait = BACK_OFF_MS_MAX;
        wait = (int64_t)((double)wait * (0.75 + 0.25 * rand_unit()));
    }
    int64_t most = a->loading ? LOADING_MS_MAX : UPSTREAM_RETRY_AFTER_MS_MAX;
    if (wait > most || (uint64_t)wait >= left_ms(a)) return -1;
    if (a->sent) {
        if (a->to.take_back == NULL || !a->to.take_back(a->to.ctx)) return -1;
        a->sent = false;
    }
    return wait;
}

static void on_retry(struct timer *t)
{
    struct answer *a = container_of(t, struct answer, timer);
    struct err_note why = {0};

    enter(a);
    enum err e = try_call(a, &why);
    if (e) {
        log_fault(a, e, &why, -1);
        end_with(a, e, &why);
    }
    settle(a);
}

static void fail(struct answer *a, enum err e, const struct err_note *why)
{
    struct err_note note = *why;

    if (a->over) return;
    assert(e != ERR_NONE);
    http_call_cancel(a->call);
    a->call = NULL;
    int64_t wait = retry_wait_ms(a, e, &note);
    log_fault(a, e, &note, wait);
    if (wait < 0) {
        end_with(a, e, &note);
        return;
    }
    a->retries++;
    a->state = ANSWER_WAITING;
    timer_set(&a->timer, a->loop, (uint64_t)wait, on_retry);
}

static void judge(struct answer *a, struct fault *f, yyjson_val *root)
{
    if (a->dialect->judge) a->dialect->judge(a, f, root);
    a->loading = f->loading;
    if (f->retry_after_ms >= 0 && a->hints.retry_after_ms < 0)
        a->hints.retry_after_ms = f->retry_after_ms;
}

void answer_rename(struct answer *a, str model)
{
    if (a->q != &a->renamed) a->renamed = *a->q;
    a->renamed.model = model;
    a->q = &a->renamed;
}

void answer_fault(struct answer *a, const struct fault *f)
{
    struct err_note why = {0};

    if (a->over) return;
    /* A filter that cuts an answer which began is an end, not a fault. */
    if (f->e == ERR_CONTENT_FILTER && (a->sent || a->finish == FINISH_CONTENT_FILTER)) {
        a->finish = FINISH_CONTENT_FILTER;
        complete(a);
        return;
    }
    if (!a->sent && a->mends < MENDS_MAX && a->dialect->mend && a->dialect->mend(a, f)) {
        a->mends++;
        http_call_cancel(a->call);
        a->call = NULL;
        log_event(LEVEL_INFO, "backend", "request_mended", LOG_CSTR("backend", a->dialect->type),
                  LOG_STR("model", a->q->model), LOG_STR("param", str_head(f->param, 64)));
        a->state = ANSWER_WAITING;
        timer_set(&a->timer, a->loop, 0, on_retry);
        return;
    }
    fault_note(&why, f, a->backend->host, a->backend->conf.key);
    if (f->e == ERR_AUTH) err_context(&why, f->e, "the provider rejected %s", a->backend->key_name);
    fail(a, f->e, &why);
}

/* The body of a refusal is there, or as much of it as will come. */
static void judge_refusal(struct answer *a)
{
    yyjson_doc *doc = NULL;
    struct fault f;
    str body = buf_str(&a->body);

    if (a->status < 400) {
        char what[200];
        snprintf(what, sizeof what, "a redirect (%d)%s%s, which is not followed", a->status,
                 a->location[0] ? " to " : "", a->location);
        fail_text(a, ERR_SERVER, what);
        return;
    }
    if (json_read(&doc, body, JSON_DEPTH, JSON_RAW_NUMBERS, NULL)) doc = NULL;
    fault_read(&f, a->status, yyjson_doc_get_root(doc), body);
    judge(a, &f, yyjson_doc_get_root(doc));
    answer_fault(a, &f);
    if (a->status == 404 && a->state != ANSWER_WAITING && /* else another call is made there */
        str_find(f.message, a->q->model) == STR_NPOS)
        log_event(LEVEL_WARNING, "backend", "address_not_found",
                  LOG_CSTR("backend", a->dialect->type),
                  LOG_STR("address", a->backend->base.authority),
                  LOG_STR("path", a->backend->base.target));
    yyjson_doc_free(doc);
}

/* ---- reading ---- */

static void take_json(struct answer *a, str type, str text, bool whole)
{
    yyjson_doc *doc;
    enum err e = json_read(&doc, text, JSON_DEPTH, JSON_RAW_NUMBERS | JSON_KEEP_HALVES, NULL);

    if (e == ERR_MEMORY) {
        fail_text(a, e, "out of memory");
        return;
    }
    if (e) {
        a->broken_events++;
        if (whole) fail_text(a, ERR_SERVER, "the answer is not JSON");
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (fault_is(root) || str_eq(type, STR("error"))) {
        struct fault f;
        fault_read(&f, 0, root, text);
        judge(a, &f, root);
        answer_fault(a, &f);
    } else if (whole) {
        a->dialect->whole(a, root);
    } else {
        a->dialect->event(a, type, root);
    }
    yyjson_doc_free(doc);
}

static enum err on_event(void *ctx, const struct sse_event *e)
{
    struct answer *a = ctx;

    if (a->dialect->done_event && str_eq(str_trim(e->data), STR("[DONE]")))
        answer_complete(a);
    else
        take_json(a, e->type, e->data, false);
    /* ERR_CANCELLED only stops the feed. */
    return a->over || a->state == ANSWER_WAITING ? ERR_CANCELLED : ERR_NONE;
}

static void feed(struct answer *a, str piece)
{
    enum err e = sse_feed(&a->sse, piece, on_event, a);

    if (e == ERR_LIMIT) fail_text(a, ERR_SERVER, "an event is too large");
    if (e == ERR_MEMORY) fail_text(a, ERR_MEMORY, "out of memory");
}

/* Servers that ignore `stream`, or mislabel what they send: the first character decides. */
static enum reply_kind kind_of(const struct answer *a, char first)
{
    if (first == '{' || first == '[') return REPLY_JSON;
    if (first == '<') return REPLY_OTHER;
    if (a->declared_stream || first == ':' || first == 'd' || first == 'e' || first == 'i' ||
        first == 'r')
        return REPLY_STREAM;
    return REPLY_OTHER;
}

static void take_piece(struct answer *a, str piece)
{
    if (a->kind == REPLY_UNKNOWN) {
        /* What comes before the first character matters to no kind of reply but a stream, which
         * gets it. */
        buf_add(&a->body, piece);
        str all = buf_str(&a->body), seen = all;
        if (str_starts(seen, STR("\xEF\xBB\xBF"))) seen = str_tail(seen, 3);
        seen = str_trim(seen);
        if (seen.len == 0 || (unsigned char)seen.at[0] >= 0x80) {
            if (all.len > 64 && seen.len == 0)
                a->kind = a->declared_stream ? REPLY_STREAM : REPLY_OTHER;
            if (a->kind == REPLY_UNKNOWN) return;
        } else {
            a->kind = kind_of(a, seen.at[0]);
        }
        if (a->kind == REPLY_STREAM) {
            struct buf early = a->body;
            buf_init(&a->body, UPSTREAM_ANSWER_BYTES_MAX);
            feed(a, buf_str(&early));
            buf_fini(&early);
        }
        return;
    }
    if (a->kind == REPLY_STREAM) {
        feed(a, piece);
        return;
    }
    size_t max = a->kind == REPLY_OTHER ? REFUSAL_BYTES_MAX : UPSTREAM_ANSWER_BYTES_MAX;
    if (a->body.len < max) buf_add(&a->body, str_head(piece, max - a->body.len));
}

static void on_head(void *ctx, int status, const struct headers *h)
{
    struct answer *a = ctx;
    str type = headers_get(h, STR("content-type"));

    a->status = status;
    a->declared_stream = str_starts_nocase(str_trim(type), STR("text/event-stream"));
    fault_hints_read(&a->hints, h, clock_wall_us());
    if (status >= 300 && status < 400) {
        struct arena room;
        struct url to;
        arena_init(&room, 0);
        if (url_parse(&to, headers_get(h, STR("location")), &room) == ERR_NONE)
            snprintf(a->location, sizeof a->location, "%.*s", STR_ARG(to.host));
        arena_fini(&room);
    }
}

static void on_body(void *ctx, str piece)
{
    struct answer *a = ctx;

    enter(a);
    if (a->status >= 200 && a->status < 300)
        take_piece(a, piece);
    else if (a->body.len < REFUSAL_BYTES_MAX)
        buf_add(&a->body, str_head(piece, REFUSAL_BYTES_MAX - a->body.len));
    settle(a);
}

static void judge_reply(struct answer *a, enum err e, const struct err_note *why)
{
    switch (a->kind) {
    case REPLY_STREAM:
        if (sse_end(&a->sse, on_event, a) == ERR_MEMORY)
            fail_text(a, ERR_MEMORY, "out of memory");
        else if (a->state != ANSWER_WAITING)
            ended(a, e, why);
        return;
    case REPLY_JSON:
        if (e) {
            fail(a, e, why);
        } else if (a->body.bad) {
            fail_text(a, ERR_MEMORY, "out of memory");
        } else {
            take_json(a, STR(""), buf_str(&a->body), true);
            if (!a->over && a->state != ANSWER_WAITING) ended(a, e, why);
        }
        return;
    default:
        if (e)
            fail(a, e, why);
        else
            fail_text(a, ERR_SERVER,
                      str_starts(str_trim(buf_str(&a->body)), STR("<"))
                          ? "an HTML page instead of an answer"
                      : a->body.len ? "text instead of an answer"
                                    : "an empty answer");
    }
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    struct answer *a = ctx;
    struct err_note note = *why;

    enter(a);
    a->call = NULL;
    if (a->status >= 300)
        judge_refusal(a);
    else if (a->status == 0)
        fail(a, e ? e : ERR_SERVER, &note);
    else
        judge_reply(a, e, &note);
    settle(a);
}

/* ---- asking ---- */

void call_header(struct call *c, const char *name, str value)
{
    assert(c->headers_count < CALL_HEADERS_MAX);
    c->headers[c->headers_count++] = (struct header){str_of(name), arena_str(&c->arena, value)};
}

static uint32_t clip_ms(uint64_t ms)
{
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static enum err start_call(struct answer *a, struct call *c, struct err_note *why)
{
    const struct backend_conf *conf = &a->backend->conf;
    uint64_t left = left_ms(a);

    if (c->body.bad) return err_set(why, ERR_MEMORY, "out of memory for a request");
    for (size_t i = 0; i < c->headers_count; i++)
        if (c->headers[i].value.at == NULL)
            return err_set(why, ERR_MEMORY, "out of memory for a request");
    if (left == 0) return err_set(why, ERR_TIMEOUT, "%s: no time is left", a->backend->host);

    /* A stream shows silence early; a whole answer may take all the time that another model would
     * not. */
    uint64_t first = a->q->others_ready ? left / 2 : left;
    if (c->stream && conf->idle_ms && conf->idle_ms < first) first = conf->idle_ms;
    struct http_ask ask = {
        .method = "POST",
        .url = &c->url,
        .headers = c->headers,
        .headers_count = c->headers_count,
        .body = buf_str(&c->body),
        .connect_ms = conf->connect_ms,
        .first_byte_ms = clip_ms(first),
        .idle_ms = conf->idle_ms,
        .total_ms = clip_ms(left),
        .body_bytes_max = UPSTREAM_ANSWER_BYTES_MAX,
    };
    struct http_call_events to = {.ctx = a, .head = on_head, .body = on_body, .done = on_done};
    enum err e = http_call_start(&a->call, http_client_here(), &ask, to, why);
    if (e) return e;
    a->stream = c->stream;
    a->calls++;
    if (a->paused) http_call_pause(a->call, true);
    return ERR_NONE;
}

static enum err try_call(struct answer *a, struct err_note *why)
{
    struct call c = {.stream = true};

    forget_reply(a);
    a->state = ANSWER_ASKING;
    arena_init(&c.arena, 0);
    buf_init(&c.body, 4u * V1_BODY_BYTES_MAX); /* what a request of the largest size can become */
    enum err e = a->dialect->write(a, &c, why);
    if (!e) e = start_call(a, &c, why);
    buf_fini(&c.body);
    arena_fini(&c.arena);
    return e;
}

/* A file that is no image, where only images are read. */
static enum err check_files(const struct answer *a, struct err_note *why)
{
    for (size_t i = 0; !a->dialect->takes_files && i < a->q->messages_count; i++)
        for (size_t k = 0; k < a->q->messages[i].count; k++) {
            const struct part *p = &a->q->messages[i].parts[k];
            if (p->kind != PART_IMAGE || !str_starts(p->text, STR("data:")) ||
                str_starts_nocase(p->text, STR("data:image/")))
                continue;
            str type = str_head(str_tail(p->text, 5), str_find_char(str_tail(p->text, 5), ';'));
            if (why) why->ours = true;
            return err_set(why, ERR_UNSUPPORTED, "%s takes images only, no %.*s", a->dialect->type,
                           STR_ARG(str_head(type, 100)));
        }
    return ERR_NONE;
}

enum err answer_start(struct answer **out, struct backend *b, struct loop *l, const struct ask *q,
                      struct sink to, struct err_note *why)
{
    struct answer *a = calloc(1, sizeof *a);
    if (a == NULL) return err_set(why, ERR_MEMORY, "out of memory for an answer");

    a->backend = b;
    a->dialect = b->dialect;
    a->loop = l;
    a->q = q;
    a->to = to;
    uint64_t total = (uint64_t)b->conf.total_ms * (q->stream ? 2 : 1);
    a->deadline_ms = q->deadline_ms ? q->deadline_ms : total ? loop_now_ms(l) + total : UINT64_MAX;
    enum err e = check_files(a, why);
    if (!e) e = try_call(a, why);
    if (e) {
        answer_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

void answer_cancel(struct answer *a)
{
    if (a == NULL) return;
    a->over = true;
    timer_stop(&a->timer);
    http_call_cancel(a->call);
    a->call = NULL;
    a->gone = true;
    if (a->inside == 0) answer_free(a);
}

void answer_pause(struct answer *a, bool pause)
{
    a->paused = pause;
    if (a->call) http_call_pause(a->call, pause);
}
