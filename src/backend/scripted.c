/* Answers from a file: for tests, and for work without a network.  MODEL_NAME is the file's path;
 * each line is a JSON object, blank lines and lines starting with '#' are skipped.  Nothing in it
 * is random.
 *
 * A line with "when" is an answer; the first that fits is given:
 *     "when"      text that the newest user message holds; "*" fits always
 *     "system"    besides, text that the system message holds
 *     "times"     how often it may be used; afterwards it fits no more
 *     "pieces"    what comes, in order; see below
 *     "finish"    "stop" (default), "length", "tool_calls", "content_filter"
 *     "usage"     {"prompt":9,"completion":2,"cached":0,"reasoning":0}; what is missing is
 * estimated "obey_max_tokens"   true: each text piece is a token, and max_tokens ends the answer by
 * "length" A piece is a string (text) or an object:
 *     {"text":"..."} {"reasoning":"..."}
 *     {"tool":{"id":"call_1","name":"f","args":["{\"a\":","1}"]}}
 *     {"echo":"last"}          the newest user message
 *     {"echo":"conversation"}  every message, a line each: "user: text"
 *     {"echo":"request"}       the request as JSON: messages and the fields that were set
 *     {"echo":"all"}           likewise, with every part of it
 *     {"error":"rate_limit","retry_after_ms":100,"status":429}   a kind of base/err.h: the end
 *     {"hang":true}            nothing more comes until a deadline (idle or total) or a cancel
 * and each may have "wait_ms" (before it), "repeat" (times) and "every_ms" (between the repeats).
 *
 * A line with "prepare" says how the model gets ready: "wait_ms", "error", "times" (how often that
 * error), "status", and "context_length".  Without a fitting line the answer is "You said: " and
 * the message.
 *
 * An answer goes on from a prefill by leaving out its first bytes. */
#include <stdatomic.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "backend/scripted_echo.h"
#include "backend/usage.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/loop.h"

enum {
    SCRIPT_BYTES_MAX = 16 * 1024 * 1024,
    SCRIPT_DEPTH = 64,
    TURN_PIECES =
        256, /* pieces that come in one turn of the loop: others want their turn as well */
};

struct line {
    yyjson_doc *doc;
    str when, system;
    _Atomic int64_t left; /* uses; -1: without end */
    yyjson_val *pieces;
    enum finish finish;
    struct usage usage;
    bool obey_max_tokens;
};

struct backend {
    struct line *lines;
    size_t count;
    uint32_t idle_ms, total_ms;
    int64_t prepare_wait_ms;
    enum err prepare_error;
    int prepare_status;
    _Atomic int64_t prepare_left; /* errors still to come; -1: always */
    int context_length;
    struct preparing *preparing; /* under way; of the preparing loop */
};

struct preparing {
    struct preparing *next;
    struct timer timer;
    struct backend *backend;
    void (*done)(void *ctx, enum err e, const struct err_note *why);
    void *ctx;
};

struct answer {
    struct backend *backend;
    struct loop *loop;
    const struct ask *q;
    struct sink to;
    const struct line *line; /* NULL: the default answer */
    size_t piece;            /* the next one, and which repeat of it */
    int64_t repeat;
    bool waited; /* the next piece's wait is over */
    bool paused, inside, gone;
    struct timer next, deadline;
    size_t skip_bytes; /* of a prefill */
    size_t sent_bytes;
    int64_t tokens;
    int tools;
};

/* ---- reading the script ---- */

static enum err err_by_name(str name, enum err *out)
{
    static const char *const names[] = {
#define X(kind, ...) #kind,
        ERR_MAP(X)
#undef X
    };
    for (int i = 1; i < ERR_COUNT; i++) {
        if (str_eq_nocase(name, str_of(names[i]))) {
            *out = (enum err)i;
            return ERR_NONE;
        }
    }
    return ERR_INVALID;
}

static enum finish finish_by_name(str name)
{
    if (str_eq(name, STR("length"))) return FINISH_LENGTH;
    if (str_eq(name, STR("tool_calls"))) return FINISH_TOOL_CALLS;
    if (str_eq(name, STR("content_filter"))) return FINISH_CONTENT_FILTER;
    return FINISH_STOP;
}

static enum err check_pieces(yyjson_val *pieces)
{
    yyjson_arr_iter it;
    yyjson_val *p;
    enum err unused;

    if (!yyjson_is_arr(pieces)) return ERR_INVALID;
    yyjson_arr_iter_init(pieces, &it);
    while ((p = yyjson_arr_iter_next(&it))) {
        if (!yyjson_is_str(p) && !yyjson_is_obj(p)) return ERR_INVALID;
        yyjson_val *error = json_get(p, "error");
        if (error && err_by_name(json_str(error), &unused)) return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err read_line(struct backend *b, str text)
{
    yyjson_doc *doc;
    enum err e = json_read(&doc, text, SCRIPT_DEPTH, JSON_PLAIN, NULL);
    if (e) return e;

    yyjson_val *root = yyjson_doc_get_root(doc), *prepare = json_get(root, "prepare");
    if (prepare) {
        yyjson_val *error = json_get(prepare, "error");
        b->prepare_wait_ms = json_get_int(prepare, "wait_ms", 0);
        b->prepare_status = (int)json_get_int(prepare, "status", 0);
        b->context_length = (int)json_get_int(prepare, "context_length", 0);
        if (error) e = err_by_name(json_str(error), &b->prepare_error);
        atomic_init(&b->prepare_left, json_get_int(prepare, "times", -1));
        yyjson_doc_free(doc);
        return e;
    }
    struct line *l = &b->lines[b->count];
    yyjson_val *usage = json_get(root, "usage");
    *l = (struct line){
        .doc = doc,
        .when = json_get_str(root, "when"),
        .system = json_get_str(root, "system"),
        .pieces = json_get(root, "pieces"),
        .finish = finish_by_name(json_get_str(root, "finish")),
        .obey_max_tokens = json_get_bool(root, "obey_max_tokens", false),
        .usage = usage_unknown,
    };
    atomic_init(&l->left, json_get_int(root, "times", -1));
    l->usage.prompt_tokens = json_get_int(usage, "prompt", -1);
    l->usage.completion_tokens = json_get_int(usage, "completion", -1);
    l->usage.cached_tokens = json_get_int(usage, "cached", -1);
    l->usage.reasoning_tokens = json_get_int(usage, "reasoning", -1);
    if (l->when.at == NULL || check_pieces(l->pieces)) {
        yyjson_doc_free(doc);
        return ERR_INVALID;
    }
    b->count++;
    return ERR_NONE;
}

static enum err read_file(struct buf *to, str path, struct err_note *why)
{
    struct arena a;
    char *room;
    size_t n = 1;

    arena_init(&a, 0);
    str name = arena_str(&a, path); /* with its NUL */
    FILE *f = name.at ? fopen(name.at, "rb") : NULL;
    arena_fini(&a);
    if (f == NULL)
        return err_set(why, ERR_NOT_FOUND, "cannot read the script \"%.*s\"", STR_ARG(path));
    while (n && (room = buf_room(to, 4096))) {
        n = fread(room, 1, 4096, f);
        buf_grew(to, n);
    }
    fclose(f);
    return to->bad ? err_set(why, ERR_LIMIT, "the script \"%.*s\" is too large", STR_ARG(path))
                   : ERR_NONE;
}

static void scripted_close(struct backend *b)
{
    if (b == NULL) return;
    for (struct preparing *p = b->preparing, *next; p; p = next) {
        next = p->next;
        timer_stop(&p->timer);
        free(p);
    }
    for (size_t i = 0; i < b->count; i++) yyjson_doc_free(b->lines[i].doc);
    free(b->lines);
    free(b);
}

static enum err scripted_open(struct backend **out, const struct backend_conf *c,
                              struct err_note *why)
{
    struct buf text;
    str rest, one;
    size_t most = 1, number = 0;

    buf_init(&text, SCRIPT_BYTES_MAX);
    struct backend *b = calloc(1, sizeof *b);
    enum err e = b ? read_file(&text, c->model, why) : ERR_MEMORY;
    for (size_t i = 0; !e && i < text.len; i++) most += text.at[i] == '\n';
    if (!e) {
        b->idle_ms = c->idle_ms;
        b->total_ms = c->total_ms;
        b->lines = calloc(most, sizeof *b->lines);
        if (b->lines == NULL) e = ERR_MEMORY;
    }
    for (rest = buf_str(&text); !e && str_split(&rest, '\n', &one);) {
        number++;
        one = str_trim(one);
        if (one.len == 0 || one.at[0] == '#') continue;
        e = read_line(b, one);
        if (e)
            err_set(why, e, "the script \"%.*s\", line %zu: not an answer", STR_ARG(c->model),
                    number);
    }
    buf_fini(&text);
    if (e) {
        scripted_close(b);
        return e;
    }
    *out = b;
    return ERR_NONE;
}

/* ---- getting ready ---- */

static bool take_one(_Atomic int64_t *left)
{
    int64_t n = atomic_load(left);

    while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1)) {
    }
    return n != 0;
}

static void on_prepared(struct timer *t)
{
    struct preparing *p = container_of(t, struct preparing, timer), was = *p;
    struct err_note why = {.http_status = was.backend->prepare_status};
    enum err e = was.backend->prepare_error;
    struct preparing **at = &was.backend->preparing;

    while (*at != p) at = &(*at)->next;
    *at = p->next;
    free(p);
    if (e && !take_one(&was.backend->prepare_left)) e = ERR_NONE;
    if (e) err_set(&why, e, "the script says %s", err_row(e)->code);
    was.done(was.ctx, e, &why);
}

static void scripted_prepare(struct backend *b, struct loop *l,
                             void (*done)(void *ctx, enum err e, const struct err_note *why),
                             void *ctx)
{
    struct preparing *p = calloc(1, sizeof *p);

    if (p == NULL) {
        done(ctx, ERR_MEMORY, &(struct err_note){0});
        return;
    }
    *p = (struct preparing){.next = b->preparing, .backend = b, .done = done, .ctx = ctx};
    b->preparing = p;
    timer_set(&p->timer, l, (uint64_t)b->prepare_wait_ms, on_prepared);
}

static int scripted_context_length(struct backend *b)
{
    return b->context_length;
}

/* ---- answering ---- */

static void go_on(struct timer *t);

static void give_text(struct answer *a, str text)
{
    size_t skip = a->skip_bytes < text.len ? a->skip_bytes : text.len;

    a->skip_bytes -= skip;
    text = str_tail(text, skip);
    a->sent_bytes += text.len;
    if (text.len && a->to.text) a->to.text(a->to.ctx, text);
}

static void give_tool(struct answer *a, yyjson_val *tool)
{
    int index = a->tools++;
    yyjson_val *args = json_get(tool, "args"), *one;
    yyjson_arr_iter it;

    if (a->to.tool_begin)
        a->to.tool_begin(a->to.ctx, index, json_get_str(tool, "id"), json_get_str(tool, "name"));
    if (yyjson_is_str(args) && !a->gone && a->to.tool_args)
        a->to.tool_args(a->to.ctx, index, json_str(args));
    if (!yyjson_is_arr(args)) return;
    yyjson_arr_iter_init(args, &it);
    while (!a->gone && (one = yyjson_arr_iter_next(&it)))
        if (a->to.tool_args) a->to.tool_args(a->to.ctx, index, json_str(one));
}

static void finish(struct answer *a, enum err e, const struct err_note *why, enum finish how)
{
    struct answer_end end = {.e = e,
                             .finish = e ? FINISH_NONE : how,
                             .usage = usage_unknown,
                             .calls = 1};
    struct sink to = a->to;

    if (why) end.why = *why;
    if (a->line) end.usage = a->line->usage;
    usage_settle(&end.usage, a->q, a->sent_bytes, -1);
    timer_stop(&a->next);
    timer_stop(&a->deadline);
    free(a);
    to.done(to.ctx, &end);
}

static void time_out(struct answer *a)
{
    struct err_note why = {0};

    err_set(&why, ERR_TIMEOUT, "the script gave nothing in time");
    finish(a, ERR_TIMEOUT, &why, FINISH_NONE);
}

static void on_deadline(struct timer *t)
{
    time_out(container_of(t, struct answer, deadline));
}

static void on_idle(struct timer *t)
{
    time_out(container_of(t, struct answer, next));
}

/* Silence longer than PROVIDER_IDLE_TIMEOUT is a fault, as with any provider. */
static void wait_silent(struct answer *a, int64_t ms)
{
    uint32_t idle_ms = a->backend->idle_ms;

    if (idle_ms && ms > idle_ms)
        timer_set(&a->next, a->loop, idle_ms, on_idle);
    else if (ms < INT64_MAX)
        timer_set(&a->next, a->loop, (uint64_t)ms, go_on);
}

/* False: the answer is over, or waits. */
static bool give_piece(struct answer *a, yyjson_val *p)
{
    str text = yyjson_is_str(p) ? json_str(p) : json_get_str(p, "text");
    yyjson_val *part;

    if ((part = json_get(p, "error"))) {
        struct err_note why = {
            .retry_after_ms = (int)json_get_int(p, "retry_after_ms", 0),
            .http_status = (int)json_get_int(p, "status", 0),
        };
        enum err e = ERR_SERVER;
        err_by_name(json_str(part), &e);
        err_set(&why, e, "the script says %.*s", STR_ARG(json_str(part)));
        finish(a, e, &why, FINISH_NONE);
        return false;
    }
    if (a->line->obey_max_tokens && a->q->max_tokens >= 0 && a->tokens >= a->q->max_tokens) {
        finish(a, ERR_NONE, NULL, FINISH_LENGTH);
        return false;
    }
    a->inside = true;
    if (text.at) {
        a->tokens++;
        give_text(a, text);
    } else if ((part = json_get(p, "reasoning"))) {
        a->sent_bytes += json_str(part).len;
        if (a->to.reasoning) a->to.reasoning(a->to.ctx, json_str(part));
    } else if ((part = json_get(p, "tool"))) {
        give_tool(a, part);
    } else if ((part = json_get(p, "echo"))) {
        struct buf b;
        buf_init(&b, ECHO_BYTES_MAX);
        scripted_echo(&b, a->q, json_str(part));
        give_text(a, buf_str(&b));
        buf_fini(&b);
    }
    a->inside = false;
    if (a->gone) {
        free(a);
        return false;
    }
    return true;
}

static void give_default(struct answer *a)
{
    const struct message *m = scripted_newest(a->q, ROLE_USER);
    struct buf b;

    buf_init(&b, ECHO_BYTES_MAX);
    buf_add(&b, STR("You said: "));
    if (m) scripted_message_text(&b, m);
    a->inside = true;
    give_text(a, buf_str(&b));
    a->inside = false;
    buf_fini(&b);
    if (a->gone)
        free(a);
    else
        finish(a, ERR_NONE, NULL, FINISH_STOP);
}

static void go_on(struct timer *t)
{
    struct answer *a = container_of(t, struct answer, next);

    if (a->line == NULL) {
        give_default(a);
        return;
    }
    for (int n = 0; n < TURN_PIECES; n++) {
        if (a->paused) return;
        yyjson_val *p = yyjson_arr_get(a->line->pieces, a->piece);
        if (p == NULL) {
            finish(a, ERR_NONE, NULL, a->tools ? FINISH_TOOL_CALLS : a->line->finish);
            return;
        }
        int64_t wait_ms = json_get_int(p, a->repeat ? "every_ms" : "wait_ms", 0);
        if (json_get_bool(p, "hang", false)) {
            wait_silent(a, INT64_MAX);
            return;
        }
        if (wait_ms && !a->waited) {
            a->waited = true;
            wait_silent(a, wait_ms);
            return;
        }
        a->waited = false;
        if (!give_piece(a, p)) return;
        if (++a->repeat >= json_get_int(p, "repeat", 1)) {
            a->repeat = 0;
            a->piece++;
        }
    }
    timer_set(&a->next, a->loop, 0, go_on);
}

static const struct line *fitting(struct backend *b, const struct ask *q)
{
    const struct message *user = scripted_newest(q, ROLE_USER),
                         *system = scripted_newest(q, ROLE_SYSTEM);
    struct buf said, told;
    const struct line *found = NULL;

    buf_init(&said, ECHO_BYTES_MAX);
    buf_init(&told, ECHO_BYTES_MAX);
    if (user) scripted_message_text(&said, user);
    if (system) scripted_message_text(&told, system);
    for (size_t i = 0; i < b->count && !found; i++) {
        struct line *l = &b->lines[i];
        bool fits = str_eq(l->when, STR("*")) || str_find(buf_str(&said), l->when) != STR_NPOS;
        if (fits && l->system.at) fits = str_find(buf_str(&told), l->system) != STR_NPOS;
        if (fits && take_one(&l->left)) found = l;
    }
    buf_fini(&said);
    buf_fini(&told);
    return found;
}

static enum err scripted_ask(struct answer **out, struct backend *b, struct loop *l,
                             const struct ask *q, struct sink to, struct err_note *why)
{
    struct answer *a = calloc(1, sizeof *a);
    if (a == NULL) return err_set(why, ERR_MEMORY, "out of memory");

    *a = (struct answer){.backend = b, .loop = l, .q = q, .to = to, .skip_bytes = q->prefill.len};
    a->line = fitting(b, q);
    uint64_t now = loop_now_ms(l);
    if (q->deadline_ms)
        timer_set(&a->deadline, l, q->deadline_ms > now ? q->deadline_ms - now : 0, on_deadline);
    else if (b->total_ms)
        timer_set(&a->deadline, l, b->total_ms * (q->stream ? 2u : 1u), on_deadline);
    timer_set(&a->next, l, 0, go_on);
    *out = a;
    return ERR_NONE;
}

static void scripted_cancel(struct answer *a)
{
    if (a == NULL) return;
    timer_stop(&a->next);
    timer_stop(&a->deadline);
    a->gone = true;
    if (!a->inside) free(a);
}

static void scripted_pause(struct answer *a, bool pause)
{
    if (a->paused && !pause && !timer_is_set(&a->next) && !a->inside)
        timer_set(&a->next, a->loop, 0, go_on); /* where it stopped; a hang hangs again */
    a->paused = pause;
}

const struct backend_ops backend_scripted = {
    .type = "scripted",
    .can = BACKEND_SYSTEM | BACKEND_TOOLS | BACKEND_IMAGES | BACKEND_PREFILL | BACKEND_REASON,
    .open = scripted_open,
    .prepare = scripted_prepare,
    .ask = scripted_ask,
    .cancel = scripted_cancel,
    .pause = scripted_pause,
    .close = scripted_close,
    .context_length = scripted_context_length,
};
