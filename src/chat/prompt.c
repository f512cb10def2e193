#include "chat/prompt.h"

#include "base/json.h"
#include "chat/form.h"

static const str blank_line = {"\n\n", 2};

str prompt_system(const struct chat_conf *c, const struct turn_ask *ask)
{
    str of_type = str_eq(ask->prompt_type, STR("chat"))       ? c->system_prompt_chat
                  : str_eq(ask->prompt_type, STR("code"))     ? c->system_prompt_code
                  : str_eq(ask->prompt_type, STR("creative")) ? c->system_prompt_creative
                                                              : STR_NONE;
    if (ask->system_prompt.len) return ask->system_prompt;
    return of_type.len ? of_type : c->system_prompt;
}

/* What of a stored message is sent again. */
static str text_of(const struct stored *m)
{
    yyjson_doc *doc = NULL;

    if (m->role == STORED_USER || !form_may_reason(m->content)) return m->content;
    if (json_read(&doc, m->metadata, 8, JSON_PLAIN, NULL)) return m->content;
    str answer = form_answer_of(m->content, json_get_str(yyjson_doc_get_root(doc), "reasoning"));
    yyjson_doc_free(doc);
    return answer;
}

static str join(struct arena *arena, str a, str b)
{
    char *at = arena_take(arena, a.len + blank_line.len + b.len + 1);

    if (at == NULL) return STR_NONE;
    memcpy(at, a.at, a.len);
    memcpy(at + a.len, blank_line.at, blank_line.len);
    if (b.len) memcpy(at + a.len + blank_line.len, b.at, b.len);
    return str_span(at, a.len + blank_line.len + b.len);
}

struct builder {
    struct arena *arena;
    struct prompt *to;
    struct part *parts; /* one text for each message, in step with to->messages */
    bool bad;
};

static void add(struct builder *b, enum role role, str text)
{
    struct prompt *p = b->to;
    struct message *last = p->count ? &p->messages[p->count - 1] : NULL;

    if (text.len == 0) return;
    if (last && last->role == role) {
        struct part *part = &b->parts[p->count - 1];
        part->text = join(b->arena, part->text, text);
        b->bad = b->bad || part->text.at == NULL;
        return;
    }
    if (role == ROLE_ASSISTANT && (last == NULL || last->role == ROLE_SYSTEM)) return;
    b->parts[p->count] = (struct part){.kind = PART_TEXT, .text = text};
    p->messages[p->count] =
        (struct message){.role = role, .parts = &b->parts[p->count], .count = 1};
    p->count++;
}

/* The newest message's images go behind its text. */
static bool add_images(struct builder *b, const struct turn_ask *ask)
{
    struct message *last = &b->to->messages[b->to->count - 1];
    struct part *parts = arena_array(b->arena, struct part, 1 + ask->images_count);

    if (parts == NULL) return false;
    parts[0] = last->parts[0];
    for (size_t i = 0; i < ask->images_count; i++)
        parts[1 + i] = (struct part){.kind = PART_IMAGE, .text = ask->images[i]};
    last->parts = parts;
    last->count = 1 + ask->images_count;
    return true;
}

enum err prompt_build(struct prompt *out, struct arena *arena, const struct chat_conf *c,
                      const struct turn_ask *ask, const struct shelf_answer *history)
{
    size_t room = history->count + 2;
    struct prompt p = {.messages = arena_array(arena, struct message, room)};
    struct builder b = {.arena = arena, .to = &p, .parts = arena_array(arena, struct part, room)};

    if (p.messages == NULL || b.parts == NULL) return ERR_MEMORY;
    add(&b, ROLE_SYSTEM, prompt_system(c, ask));

    size_t from = 0; /* whole turns only: a window that begins with an answer loses it */
    while (from < history->count && history->messages[from].role != STORED_USER) from++;
    for (size_t i = from; i < history->count; i++) {
        const struct stored *m = &history->messages[i];
        add(&b, m->role == STORED_USER ? ROLE_USER : ROLE_ASSISTANT, text_of(m));
    }
    add(&b, ROLE_USER, ask->message);
    if (b.bad || (ask->images_count && !add_images(&b, ask))) return ERR_MEMORY;
    *out = p;
    return ERR_NONE;
}

/* The texts of a message's parts, joined. */
static str text_of_parts(struct arena *arena, const struct message *m, str before)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TEXT || m->parts[i].text.len == 0) continue;
        before = before.len ? join(arena, before, m->parts[i].text) : m->parts[i].text;
        if (before.at == NULL) break;
    }
    return before;
}

enum err prompt_fold(struct ask *q, struct arena *arena)
{
    const struct message *from = q->messages;
    size_t systems = 0;
    str text = STR("");

    for (; systems < q->messages_count && from[systems].role == ROLE_SYSTEM; systems++)
        text = text_of_parts(arena, &from[systems], text);
    if (systems == 0) return ERR_NONE;

    /* One message more than is left: there may be none of the user to begin with. */
    size_t left = q->messages_count - systems;
    struct message *to = arena_array(arena, struct message, left + 1);
    bool has_user = left && from[systems].role == ROLE_USER;
    size_t parts_count = 1 + (has_user ? from[systems].count : 0);
    struct part *parts = arena_array(arena, struct part, parts_count);
    if (text.at == NULL || to == NULL || parts == NULL) return ERR_MEMORY;

    if (has_user) memcpy(parts + 1, from[systems].parts, (parts_count - 1) * sizeof *parts);
    bool joins = has_user && parts_count > 1 && parts[1].kind == PART_TEXT;
    if (joins) parts[1].text = join(arena, text, parts[1].text);
    if (joins && parts[1].text.at == NULL) return ERR_MEMORY;
    parts[0] = (struct part){.kind = PART_TEXT, .text = text};
    to[0] = has_user ? from[systems] : (struct message){.role = ROLE_USER};
    to[0].parts = joins ? parts + 1 : parts;
    to[0].count = joins ? parts_count - 1 : parts_count;
    if (has_user) left--;
    memcpy(to + 1, from + q->messages_count - left, left * sizeof *to);
    q->messages = to;
    q->messages_count = left + 1;
    return ERR_NONE;
}
