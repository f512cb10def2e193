#include "backend/tools.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/utf8.h"
#include "conf/limits.h"

void tools_fini(struct tools *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free((char *)(uintptr_t)t->at[i].id.at);
        free((char *)(uintptr_t)t->at[i].name.at);
        buf_fini(&t->at[i].early);
    }
    free(t->at);
    buf_fini(&t->room);
    *t = (struct tools){0};
}

/* A copy in valid UTF-8; .at NULL when memory is out. */
static str own(str s)
{
    struct buf b;
    buf_init(&b, UPSTREAM_EVENT_BYTES_MAX * 3);
    utf8_add_repaired(&b, s);
    buf_add_char(&b, '\0');
    return b.bad ? (buf_fini(&b), STR_NONE) : (str){b.at, b.len - 1};
}

void tools_make_id(char out[TOOL_ID_BYTES])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char random[TOOL_ID_BYTES - 6];

    rand_bytes(random, sizeof random);
    memcpy(out, "call_", 5);
    for (size_t i = 0; i < sizeof random; i++) out[5 + i] = letters[random[i] % 62];
    out[TOOL_ID_BYTES - 1] = '\0';
}

static str made_id(void)
{
    char text[TOOL_ID_BYTES];

    tools_make_id(text);
    return own(str_of(text));
}

/* The call that a piece belongs to; NULL: it starts one. */
static struct tool_call *find(struct tools *t, const struct tool_piece *p)
{
    struct tool_call *last = t->count ? &t->at[t->count - 1] : NULL;

    if (p->index >= 0) {
        for (size_t i = t->count; i-- > 0;) {
            struct tool_call *c = &t->at[i];
            if (c->index != p->index) continue;
            /* Some servers number each chunk's calls from 0: another id with a name is another
             * call. */
            bool other =
                p->id.len && p->name.len && c->name.len && !c->renamed && !str_eq(p->id, c->id);
            return other ? NULL : c;
        }
        return NULL;
    }
    if (p->id.len) {
        for (size_t i = 0; i < t->count; i++)
            if (str_eq(t->at[i].id, p->id)) return &t->at[i];
        /* The id may come after the name. */
        return last && last->id.len == 0 && p->name.len == 0 ? last : NULL;
    }
    if (p->name.len && last && last->name.len) return NULL;
    return last;
}

static struct tool_call *begin(struct tools *t, const struct tool_piece *p, enum err *e)
{
    if (t->count == TOOL_CALLS_MAX) {
        *e = ERR_LIMIT;
        return NULL;
    }
    struct tool_call *at = realloc(t->at, (t->count + 1) * sizeof *at);
    if (at == NULL) {
        *e = ERR_MEMORY;
        return NULL;
    }
    t->at = at;
    at[t->count] = (struct tool_call){.index = p->index, .number = -1};
    buf_init(&at[t->count].early, UPSTREAM_EVENT_BYTES_MAX);
    return &at[t->count++];
}

static void give_args(struct tools *t, struct tool_call *c, str args, const struct sink *to)
{
    if (t->room.max_bytes == 0) buf_init(&t->room, UPSTREAM_EVENT_BYTES_MAX * 3);
    args = halves_join(&c->halves, args, &t->room);
    if (args.len == 0) return;
    c->has_args = true;
    if (to->tool_args) to->tool_args(to->ctx, c->number, args);
}

/* Two calls of one answer under one id: their results could not be told apart. */
static bool is_taken(const struct tools *t, const struct tool_call *c)
{
    for (size_t i = 0; i < t->count; i++)
        if (&t->at[i] != c && str_eq(t->at[i].id, c->id)) return true;
    return false;
}

static enum err take_names(struct tools *t, struct tool_call *c, const struct tool_piece *p,
                           const struct sink *to, const bool *gone)
{
    if (p->id.len && c->id.len == 0) {
        c->id = own(p->id);
        if (c->id.at == NULL) return ERR_MEMORY;
        if (is_taken(t, c)) {
            free((char *)(uintptr_t)c->id.at);
            c->id = made_id();
            c->renamed = true;
        }
    }
    if (c->name.len || p->name.len == 0) return ERR_NONE;
    c->name = own(p->name);
    if (c->id.len == 0) c->id = made_id();
    if (c->name.at == NULL || c->id.at == NULL) return ERR_MEMORY;
    c->number = (int)t->begun++;
    if (to->tool_begin) to->tool_begin(to->ctx, c->number, c->id, c->name);
    if (*gone) return ERR_NONE;
    if (c->early.len) give_args(t, c, buf_str(&c->early), to);
    if (!*gone) buf_fini(&c->early);
    return ERR_NONE;
}

enum err tools_add(struct tools *t, const struct tool_piece *p, const struct sink *to,
                   const bool *gone)
{
    enum err e = ERR_NONE;
    struct tool_call *c = find(t, p);

    if (c == NULL) c = begin(t, p, &e);
    if (!e) e = take_names(t, c, p, to, gone);
    if (e || *gone || p->args.len == 0) return e;
    if (c->number >= 0) {
        give_args(t, c, p->args, to);
    } else {
        buf_add(&c->early, p->args);
        e = buf_err(&c->early);
    }
    return e;
}

void tools_end(struct tools *t, const struct sink *to, const bool *gone)
{
    for (size_t i = 0; i < t->count && !*gone; i++) {
        struct tool_call *c = &t->at[i];
        if (c->number < 0) continue;
        str rest = c->has_args ? halves_end(&c->halves) : STR("{}");
        if (rest.len && to->tool_args) to->tool_args(to->ctx, c->number, rest);
    }
}
