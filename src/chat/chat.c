/* The room's shared state, and reading sessions with the running turn in them. */
#include <stdlib.h>

#include "base/json.h"
#include "chat/inner.h"
#include "conf/limits.h"

/* ---- reading ---- */

/* One chat_session: what the running turn asks is copied before the store is read, so that a turn
 * that ends in between shows in one way or the other. */
struct session_ask {
    shelf_done_fn *done;
    void *ctx;
    uint64_t before, max;
    struct asking asking; /* message.at NULL: none; owned */
    struct session_key key;
};

static void copy_asking(void *ctx, const struct asking *a)
{
    struct session_ask *s = ctx;

    s->asking = *a;
    s->asking.message.at = malloc(a->message.len + 1);
    if (s->asking.message.at)
        memcpy((char *)(uintptr_t)s->asking.message.at, a->message.at, a->message.len);
}

static void session_ask_free(struct session_ask *s)
{
    free((char *)(uintptr_t)s->asking.message.at);
    free((char *)(uintptr_t)s->key.id.at);
    free(s);
}

static enum err add_asking(struct session_ask *s, struct shelf_answer *a)
{
    struct buf meta;
    struct json_out o = json_begin(&meta);

    buf_init(&meta, UPSTREAM_ANSWER_BYTES_MAX);
    json_object(&o);
    json_key(&o, "session_id");
    json_text(&o, s->key.id);
    if (s->asking.images) {
        json_key(&o, "images");
        json_int(&o, (int64_t)s->asking.images);
    }
    json_end_object(&o);
    struct stored m = {STORED_USER, s->asking.message, s->asking.at_us, buf_str(&meta)};
    enum err e = buf_err(&meta);
    if (!e) e = shelf_answer_add(a, s->key, &m, s->before, s->max);
    buf_fini(&meta);
    return e;
}

static void on_session(void *ctx, struct shelf_answer *a)
{
    struct session_ask *s = ctx;
    const struct asking *q = &s->asking;
    shelf_done_fn *done = s->done;
    void *to = s->ctx;

    /* Not when it was stored meanwhile, or the session was forgotten. */
    if (a->e == ERR_NONE && q->message.at && a->row.born == q->born && a->row.count == q->seq)
        a->e = add_asking(s, a);
    session_ask_free(s);
    done(to, a);
}

enum err chat_session(struct chat *c, struct loop *l, struct session_key k, uint64_t before,
                      uint64_t max, shelf_done_fn *done, void *ctx)
{
    struct session_ask *s = calloc(1, sizeof *s);
    char *id = malloc(k.owner.len + k.id.len + 1);

    if (s == NULL || id == NULL) {
        free(s);
        free(id);
        return ERR_MEMORY;
    }
    memcpy(id, k.id.at, k.id.len);
    if (k.owner.len) memcpy(id + k.id.len, k.owner.at, k.owner.len);
    s->key = (struct session_key){{id + k.id.len, k.owner.len}, {id, k.id.len}};
    s->done = done;
    s->ctx = ctx;
    s->before = before;
    s->max = max;
    order_asking(c->order, k, copy_asking, s);
    enum err e = shelf_read(c->shelf, l, k, before, max, on_session, s);
    if (e) session_ask_free(s);
    return e;
}

enum err chat_sessions(struct chat *c, struct loop *l, str owner, uint64_t cursor, uint64_t max,
                       shelf_done_fn *done, void *ctx)
{
    /* Never all owners', whatever the caller leaves out. */
    return shelf_list(c->shelf, l, owner.at ? owner : STR(""), cursor, max, done, ctx);
}

/* ---- forgetting ---- */

struct forget_ask {
    struct chat *chat;
    struct loop *loop;
    struct session_key key; /* the caller's: for the call only */
    struct entry *entry;
    shelf_done_fn *done;
    void *ctx;
};

static void on_forgotten(void *ctx, struct shelf_answer *a)
{
    struct forget_ask f = *(struct forget_ask *)ctx;

    free(ctx);
    order_forgot(f.chat->order, f.entry);
    f.done(f.ctx, a);
}

static enum err queue_forget(void *ctx)
{
    struct forget_ask *f = ctx;
    return shelf_forget(f->chat->shelf, f->loop, f->key, on_forgotten, f);
}

enum err chat_forget(struct chat *c, struct loop *l, struct session_key k, shelf_done_fn *done,
                     void *ctx)
{
    struct forget_ask *f = calloc(1, sizeof *f);
    if (f == NULL) return ERR_MEMORY;

    *f = (struct forget_ask){.chat = c, .loop = l, .key = k, .done = done, .ctx = ctx};
    enum err e = order_forget(c->order, k, queue_forget, f, &f->entry);
    if (e) free(f);
    return e;
}

/* ---- life ---- */

bool chat_busy(struct chat *c, struct session_key k)
{
    return order_busy(c->order, k);
}

static bool on_busy(void *ctx, struct session_key k)
{
    return chat_busy(ctx, k);
}

static void on_gone(void *ctx, struct session_key k)
{
    order_swept(((struct chat *)ctx)->order, k);
}

const struct chat_numbers *chat_numbers(const struct chat *c)
{
    return &c->numbers;
}

static bool keep_strings(struct chat *c)
{
    str *all[] = {&c->conf.system_prompt, &c->conf.system_prompt_chat, &c->conf.system_prompt_code,
                  &c->conf.system_prompt_creative};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i] = arena_str(&c->arena, *all[i]);
        if (all[i]->at == NULL) return false;
    }
    return true;
}

enum err chat_new(struct chat **out, const struct chat_conf *conf, struct shelf *shelf,
                  struct models *models, struct err_note *why)
{
    struct chat *c = calloc(1, sizeof *c);
    enum err e = c ? ERR_NONE : ERR_MEMORY;

    if (c) {
        c->conf = *conf;
        c->shelf = shelf;
        c->models = models;
        arena_init(&c->arena, 0);
    }
    if (!e && !keep_strings(c)) e = ERR_MEMORY;
    if (!e) e = order_new(&c->order);
    if (e) {
        if (c) arena_fini(&c->arena);
        free(c);
        return err_set(why, e, "out of memory for the conversations");
    }
    shelf_watch(shelf, on_busy, on_gone, c);
    *out = c;
    return ERR_NONE;
}

void chat_free(struct chat *c)
{
    if (c == NULL) return;
    shelf_watch(c->shelf, NULL, NULL, NULL);
    order_free(c->order);
    arena_fini(&c->arena);
    free(c);
}
