#include "chat/held.h"

#include "conf/limits.h"

enum held_kind {
    HELD_TEXT,
    HELD_REASONING,
    HELD_SIGNATURE,
    HELD_TOOL_BEGIN,
    HELD_TOOL_ARGS,
    HELD_EXTRA
};

struct held_event {
    struct held_event *next;
    enum held_kind kind;
    int index;        /* of a tool; what an extra is */
    struct buf text;  /* grows while pieces of the same kind follow each other */
    struct part part; /* of a signature; id and name of a tool */
};

void held_init(struct held *h)
{
    *h = (struct held){.bytes = 0};
    arena_init(&h->arena, 0);
}

void held_fini(struct held *h)
{
    for (struct held_event *e = h->first; e; e = e->next) buf_fini(&e->text);
    arena_fini(&h->arena);
}

void held_clear(struct held *h)
{
    held_fini(h);
    held_init(h);
}

static struct held_event *add(struct held *h, enum held_kind kind, int index)
{
    struct held_event *e = h->bad ? NULL : arena_new(&h->arena, struct held_event);

    if (e == NULL) {
        h->bad = true;
        return NULL;
    }
    e->kind = kind;
    e->index = index;
    buf_init(&e->text, UPSTREAM_ANSWER_BYTES_MAX);
    if (h->last)
        h->last->next = e;
    else
        h->first = e;
    h->last = e;
    return e;
}

static void add_text(struct held *h, enum held_kind kind, int index, str text)
{
    struct held_event *e = h->last;

    if (e == NULL || e->kind != kind || e->index != index) e = add(h, kind, index);
    if (e == NULL) return;
    buf_add(&e->text, text);
    h->bytes += text.len;
    h->bad = h->bad || e->text.bad || h->bytes > UPSTREAM_ANSWER_BYTES_MAX;
}

static str keep(struct held *h, str s)
{
    if (s.at == NULL) return s;
    str kept = arena_str(&h->arena, s);
    h->bytes += s.len;
    h->bad = h->bad || kept.at == NULL || h->bytes > UPSTREAM_ANSWER_BYTES_MAX;
    return kept;
}

void held_text(struct held *h, str text)
{
    add_text(h, HELD_TEXT, 0, text);
}

void held_reasoning(struct held *h, str text)
{
    add_text(h, HELD_REASONING, 0, text);
}

void held_tool_args(struct held *h, int index, str fragment)
{
    add_text(h, HELD_TOOL_ARGS, index, fragment);
}

void held_signature(struct held *h, const struct part *p)
{
    struct held_event *e = add(h, HELD_SIGNATURE, 0);

    if (e == NULL) return;
    e->part = *p;
    e->part.text = keep(h, p->text);
    e->part.id = keep(h, p->id);
    e->part.name = keep(h, p->name);
    e->part.args_json = keep(h, p->args_json);
    e->part.signature = keep(h, p->signature);
    e->part.redacted = keep(h, p->redacted);
    e->part.issuer = keep(h, p->issuer);
}

void held_tool_begin(struct held *h, int index, str id, str name)
{
    struct held_event *e = add(h, HELD_TOOL_BEGIN, index);

    if (e == NULL) return;
    e->part.id = keep(h, id);
    e->part.name = keep(h, name);
}

void held_extra(struct held *h, enum extra what, str json)
{
    struct held_event *e = add(h, HELD_EXTRA, (int)what);

    if (e == NULL) return;
    buf_add(&e->text, json);
    h->bytes += json.len;
    h->bad = h->bad || e->text.bad || h->bytes > UPSTREAM_ANSWER_BYTES_MAX;
}

void held_give(const struct held *h, const struct reply_events *to, const bool *stop)
{
    for (const struct held_event *e = h->first; e && !*stop; e = e->next) {
        str text = buf_str(&e->text);
        switch (e->kind) {
        case HELD_TEXT:
            if (to->text) to->text(to->ctx, text);
            break;
        case HELD_REASONING:
            if (to->reasoning) to->reasoning(to->ctx, text);
            break;
        case HELD_SIGNATURE:
            if (to->signature) to->signature(to->ctx, &e->part);
            break;
        case HELD_TOOL_BEGIN:
            if (to->tool_begin) to->tool_begin(to->ctx, e->index, e->part.id, e->part.name);
            break;
        case HELD_TOOL_ARGS:
            if (to->tool_args) to->tool_args(to->ctx, e->index, text);
            break;
        case HELD_EXTRA:
            if (to->extra) to->extra(to->ctx, (enum extra)e->index, text);
            break;
        }
    }
}
