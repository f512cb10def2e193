/* How many tokens a request would send, for any family: asked of the model where it can be, with
 * the request's deadline, and given up when the client leaves. */
#include "api/served/served.h"
#include "base/log.h"
#include "chat/errand.h"

enum {
    BYTES_PER_TOKEN = 4,
    MESSAGE_TOKENS = 4,  /* its role and its marks */
    IMAGE_TOKENS = 1500, /* of about a megapixel */
    ANSWER_BYTES_MAX = 4096,
};

struct counting {
    struct served s;
    const struct served_count_form *form;
    struct errand *errand;
};

int64_t served_count_guess(const struct ask *q)
{
    size_t bytes = 0, tokens = q->messages_count * MESSAGE_TOKENS;

    for (size_t i = 0; i < q->messages_count; i++) {
        const struct message *m = &q->messages[i];
        for (size_t k = 0; k < m->count; k++) {
            const struct part *p = &m->parts[k];
            if (p->kind == PART_IMAGE)
                tokens += IMAGE_TOKENS;
            else
                bytes += p->text.len + p->name.len + p->args_json.len;
        }
    }
    for (size_t i = 0; i < q->tools_count; i++)
        bytes +=
            q->tools[i].name.len + q->tools[i].description.len + q->tools[i].parameters_json.len;
    return (int64_t)(tokens + (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}

static void over(struct counting *n)
{
    n->errand = NULL;
    call_waited(n->s.call);
    yyjson_doc_free(n->s.body);
    api_turn_ended(n->s.call->at);
}

static void on_counted(void *ctx, const struct errand_end *end)
{
    struct counting *n = ctx;
    struct call *c = n->s.call;
    const struct aside_end *what = end->what;
    int64_t tokens = what->e ? served_count_guess(&n->s.ask) : what->tokens;
    struct buf body;

    over(n);
    if (what->e && what->e != ERR_NOT_FOUND) {
        log_event(err_row(what->e)->level, "served", "count_failed",
                  LOG_STR("model", end->model_name), LOG_CSTR("code", err_row(what->e)->code),
                  LOG_CSTR("error", err_text(&what->why, what->e)),
                  LOG_CSTR("request_id", c->r->id));
        served_fail_start(c, what->e, &what->why);
        return;
    }
    buf_init(&body, ANSWER_BYTES_MAX);
    n->form->write(&n->s, tokens, &body);
    response_header(c->r, "request-id", str_of(c->r->id));
    call_json(c, 200, &body);
}

static void on_gone(struct call *c)
{
    struct counting *n = c->own;

    errand_cancel(n->errand);
    over(n);
}

static void on_end(struct call *c)
{
    on_gone(c);
    served_fail_with(c, ERR_SHUTTING_DOWN, NULL);
}

static enum err start(struct counting *n, struct err_note *why)
{
    struct call *c = n->s.call;
    const struct errand_ask ask = {
        .count = &n->s.ask,
        .model = n->s.model,
        .total_ms = (uint64_t)c->api->conf->provider_total_timeout_ms,
    };

    if (c->at->draining) return ERR_SHUTTING_DOWN;
    return errand_start(&n->errand, c->api->parts.models, c->at->loop, &ask, on_counted, n, why);
}

void served_count(struct call *c, const struct served_count_form *f)
{
    struct family_error bad = {.status = 503,
                               .code = "overloaded",
                               .message = STR("out of memory")};
    struct err_note why = {.text = ""};
    struct counting *n = arena_new(&c->r->arena, struct counting);
    yyjson_doc *doc = NULL;

    if (n == NULL || !served_parse(c, &doc, &bad)) {
        served_fail(c, &bad);
        return;
    }
    n->form = f;
    n->s.call = c;
    n->s.arena = &c->r->arena;
    n->s.body = doc;
    n->s.ask = ask_none;
    if (!f->read(&n->s, yyjson_doc_get_root(doc), &bad)) {
        served_fail(c, &bad);
    } else if (call_within_limit(c)) {
        enum err e = start(n, &why);
        if (!e) {
            api_turn_begun(c->at);
            call_wait(c, n, on_gone, on_end);
            return;
        }
        served_fail_start(c, e, &why);
    }
    yyjson_doc_free(doc);
}
