#include "backend/shape.h"

#include "base/hash.h"

/* Messages are built into one array that is large enough from the start: each message of the ask
 * gives at most one, each call at most one filled-in result, and two may be put around. */
struct work {
    struct arena *arena;
    unsigned flags;
    struct message *at;
    size_t count;
    struct shape *out;
    bool failed; /* memory */
    bool begun;  /* a message other than the system's was seen */

    str *folded; /* system texts that wait for the next user message */
    size_t folded_count;

    /* ids that occur, to keep every new one apart: open addressing, a power of two */
    uint64_t *ids;
    size_t ids_mask;
    unsigned next_id;

    /* the open round: calls of the last assistant message, and what came since */
    struct message *results; /* one for each call of the round; .role is ROLE_TOOL when there */
    str *own_ids;            /* the calls' ids as they came */
    size_t round_calls;
    struct message *held; /* what stood between calls and results */
    size_t held_count;
};

static void *take(struct work *w, size_t count, size_t each)
{
    void *p = w->failed ? NULL : arena_take_array(w->arena, count, each);
    if (p == NULL) w->failed = true;
    return p;
}

/* ---- ids ---- */

static bool is_legal_id(str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.at[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!fits) return false;
    }
    return id.len >= 1 && id.len <= 64;
}

static bool add_id(struct work *w, uint64_t key)
{
    size_t i = key & w->ids_mask;

    key |= key == 0;
    while (w->ids[i] && w->ids[i] != key) i = (i + 1) & w->ids_mask;
    bool fresh = w->ids[i] == 0;
    w->ids[i] = key;
    return fresh;
}

/* Ids of the client stay where they can; a new one never equals any that occurs.  They are made by
 * counting, so that the same conversation gives the same bytes: providers' prompt caches depend on
 * it. */
static str fit_id(struct work *w, str id)
{
    if (is_legal_id(id) && add_id(w, hash_mix(hash_str(id), 1))) return id;
    for (;;) {
        str made = arena_strf(w->arena, "call_sema%u", ++w->next_id);
        if (made.at == NULL) {
            w->failed = true;
            return id;
        }
        if (add_id(w, hash_str(made))) {
            add_id(w, hash_mix(hash_str(made), 1));
            return made;
        }
    }
}

static void collect_ids(struct work *w, const struct ask *q, size_t calls)
{
    size_t size = 16;

    while (size < calls * 8) size *= 2;
    w->ids = take(w, size, sizeof *w->ids);
    w->ids_mask = size - 1;
    for (size_t i = 0; !w->failed && i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_TOOL_CALL)
                add_id(w, hash_str(q->messages[i].parts[k].id));
}

/* ---- parts ---- */

static bool is_empty(const struct part *p)
{
    return p->kind == PART_TEXT && p->text.len == 0;
}

static struct message without_empty_parts(struct work *w, const struct message *m)
{
    struct message to = *m;
    size_t n = 0;

    for (size_t i = 0; i < m->count; i++) n += !is_empty(&m->parts[i]);
    if (n == m->count) return to;
    struct part *parts = take(w, n, sizeof *parts);
    to.count = 0;
    to.parts = parts;
    for (size_t i = 0; parts && i < m->count; i++)
        if (!is_empty(&m->parts[i])) parts[to.count++] = m->parts[i];
    return to;
}

static str joined_text(struct work *w, const struct message *m)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < m->count; i++) len += m->parts[i].text.len + 2;
    char *to = take(w, len ? len : 1, 1);
    for (size_t i = 0; to && i < m->count; i++) {
        str t = m->parts[i].text;
        if (m->parts[i].kind != PART_TEXT || t.len == 0) continue;
        if (at) {
            memcpy(to + at, "\n\n", 2);
            at += 2;
        }
        memcpy(to + at, t.at, t.len);
        at += t.len;
    }
    return (str){to ? to : "", at};
}

static void put(struct work *w, struct message m)
{
    if (!w->failed) w->at[w->count++] = m;
}

static struct message text_message(struct work *w, enum role role, str text)
{
    struct part *p = take(w, 1, sizeof *p);
    if (p) *p = (struct part){.kind = PART_TEXT, .text = text};
    return (struct message){.role = role, .parts = p, .count = p ? 1 : 0};
}

/* Puts the waiting system texts, and a blank line, in front of a user message's first text. */
static struct message with_folded(struct work *w, struct message m)
{
    if (w->folded_count == 0) return m;
    struct part *parts = take(w, m.count + w->folded_count, sizeof *parts);
    if (parts == NULL) return m;
    size_t n = 0;
    for (size_t i = 0; i < w->folded_count; i++)
        parts[n++] = (struct part){.kind = PART_TEXT, .text = w->folded[i]};
    w->folded_count = 0;

    size_t first = 0;
    while (first < m.count && m.parts[first].kind != PART_TEXT) first++;
    struct message front = {.parts = parts, .count = n};
    if (first < m.count) parts[front.count++] = m.parts[first];
    struct part one = {.kind = PART_TEXT, .text = joined_text(w, &front)};
    parts[0] = one;
    n = 1;
    for (size_t i = 0; i < m.count; i++)
        if (i != first) parts[n++] = m.parts[i];
    m.parts = parts;
    m.count = n;
    return m;
}

static void put_user(struct work *w, struct message m)
{
    put(w, with_folded(w, m));
}

/* ---- rounds of calls and results ---- */

static void close_round(struct work *w)
{
    for (size_t i = 0; i < w->round_calls; i++) {
        struct message *r = &w->results[i];
        if (r->role != ROLE_TOOL) {
            struct message filled = text_message(w, ROLE_TOOL, STR("(no result)"));
            filled.tool_name = r->tool_name;
            filled.tool_call_id = r->tool_call_id;
            *r = filled;
        }
        put(w, *r);
    }
    w->round_calls = 0;
    for (size_t i = 0; i < w->held_count; i++) {
        if (w->held[i].role == ROLE_USER)
            put_user(w, w->held[i]);
        else
            put(w, w->held[i]);
    }
    w->held_count = 0;
}

/* Adds the message's calls to the round; `m` has their fitted ids then. */
static void add_calls(struct work *w, struct message *m)
{
    size_t calls = 0, n = w->round_calls;

    for (size_t i = 0; i < m->count; i++) calls += m->parts[i].kind == PART_TOOL_CALL;
    if (calls == 0) return;
    struct part *parts = take(w, m->count, sizeof *parts);
    struct message *results = take(w, n + calls, sizeof *results);
    str *own_ids = take(w, n + calls, sizeof *own_ids);
    if (w->failed) return;

    memcpy(parts, m->parts, m->count * sizeof *parts);
    if (n) memcpy(results, w->results, n * sizeof *results);
    if (n) memcpy(own_ids, w->own_ids, n * sizeof *own_ids);
    for (size_t i = 0; i < m->count; i++) {
        if (parts[i].kind != PART_TOOL_CALL) continue;
        own_ids[n] = parts[i].id;
        parts[i].id = fit_id(w, parts[i].id);
        /* Not there yet: only the fields that a filled-in one needs. */
        results[n++] = (struct message){.role = ROLE_ASSISTANT,
                                        .tool_call_id = parts[i].id,
                                        .tool_name = parts[i].name};
    }
    m->parts = parts;
    w->results = results;
    w->own_ids = own_ids;
    w->round_calls = n;
}

/* Whether the open round still waits for everything: an assistant message that follows belongs to
 * it. */
static bool round_is_fresh(const struct work *w)
{
    if (w->round_calls == 0 || w->held_count) return false;
    for (size_t i = 0; i < w->round_calls; i++)
        if (w->results[i].role == ROLE_TOOL) return false;
    return true;
}

static void append_parts(struct work *w, struct message *to, const struct message *m)
{
    struct part *parts = take(w, to->count + m->count, sizeof *parts);
    if (parts == NULL) return;
    memcpy(parts, to->parts, to->count * sizeof *parts);
    memcpy(parts + to->count, m->parts, m->count * sizeof *parts);
    to->parts = parts;
    to->count += m->count;
}

static void take_result(struct work *w, const struct message *m)
{
    for (size_t i = 0; i < w->round_calls; i++) {
        if (w->results[i].role == ROLE_TOOL || !str_eq(w->own_ids[i], m->tool_call_id)) continue;
        struct message r = *m;
        r.tool_call_id = w->results[i].tool_call_id;
        if (r.tool_name.len == 0) r.tool_name = w->results[i].tool_name;
        w->results[i] = r;
        return;
    }
    w->out->dropped_results++;
}

/* ---- the whole ---- */

static bool says_something(const struct message *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == PART_TOOL_CALL ||
            (m->parts[i].kind == PART_TEXT && m->parts[i].text.len))
            return true;
    return false;
}

static void add_system(struct work *w, const struct message *m, bool late)
{
    unsigned fold = SHAPE_FOLD_SYSTEM | (late ? SHAPE_FOLD_LATE_SYSTEM | SHAPE_LIFT_SYSTEM : 0);
    str text = joined_text(w, m);

    if (text.len == 0) return;
    if (late) w->out->late_system = true;
    if (w->flags & fold) {
        w->folded[w->folded_count++] = text;
    } else if (w->flags & SHAPE_LIFT_SYSTEM) {
        str all = w->out->system;
        for (size_t i = 0; i < m->count; i++)
            w->out->system_cache = w->out->system_cache || m->parts[i].cache;
        w->out->system =
            all.len ? arena_strf(w->arena, "%.*s\n\n%.*s", STR_ARG(all), STR_ARG(text)) : text;
        if (w->out->system.at == NULL) w->failed = true;
    } else if (w->round_calls) {
        w->held[w->held_count++] = *m;
    } else {
        put(w, *m);
    }
}

static void add(struct work *w, const struct message *from)
{
    struct message m = without_empty_parts(w, from);

    if (w->failed) return;
    if (from->role != ROLE_SYSTEM) w->begun = true;
    switch (from->role) {
    case ROLE_SYSTEM: add_system(w, &m, w->begun); break;
    case ROLE_TOOL: take_result(w, &m); break;
    case ROLE_USER:
        if (m.count == 0 && !w->folded_count) break;
        if (w->round_calls)
            w->held[w->held_count++] = m;
        else
            put_user(w, m);
        break;
    case ROLE_ASSISTANT:
        if (!says_something(&m)) break;
        if (round_is_fresh(w)) { /* parallel calls that came as two messages */
            add_calls(w, &m);
            append_parts(w, &w->at[w->count - 1], &m);
            break;
        }
        close_round(w);
        if (w->folded_count) put_user(w, (struct message){.role = ROLE_USER});
        add_calls(w, &m);
        put(w, m);
        break;
    }
}

/* Texts of two adjacent messages are parts of one, a blank line between them. */
static void merge(struct work *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->count; i++) {
        struct message *m = &w->at[i], *last = n ? &w->at[n - 1] : NULL;
        bool same = last && last->role == m->role && m->role != ROLE_TOOL;
        struct part *parts = same ? take(w, last->count + m->count, sizeof *parts) : NULL;
        if (!same || w->failed) {
            w->at[n++] = *m;
            continue;
        }
        size_t count = last->count;
        memcpy(parts, last->parts, count * sizeof *parts);
        for (size_t k = 0; k < m->count; k++) {
            bool joins =
                k == 0 && parts[count - 1].kind == PART_TEXT && m->parts[k].kind == PART_TEXT;
            if (!joins) {
                parts[count++] = m->parts[k];
                continue;
            }
            struct message two = {.parts = (struct part[]){parts[count - 1], m->parts[k]},
                                  .count = 2};
            parts[count - 1].text = joined_text(w, &two);
        }
        last->parts = parts;
        last->count = count;
    }
    w->count = n;
}

static void put_around(struct work *w)
{
    size_t first = 0;

    while (first < w->count && w->at[first].role == ROLE_SYSTEM) first++;
    if ((w->flags & SHAPE_FIRST_USER) && (first == w->count || w->at[first].role != ROLE_USER)) {
        struct message start = text_message(w, ROLE_USER, STR("(start)"));
        if (w->failed) return;
        memmove(w->at + first + 1, w->at + first, (w->count - first) * sizeof *w->at);
        w->at[first] = start;
        w->count++;
    }
    if ((w->flags & SHAPE_LAST_USER) && w->count && w->at[w->count - 1].role == ROLE_ASSISTANT)
        put(w, text_message(w, ROLE_USER, STR("Continue.")));
}

enum err shape_messages(struct shape *out, const struct ask *q, unsigned flags, struct arena *a)
{
    struct work w = {.arena = a, .flags = flags, .out = out};
    size_t calls = 0;

    *out = (struct shape){.system = STR("")};
    for (size_t i = 0; i < q->messages_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            calls += q->messages[i].parts[k].kind == PART_TOOL_CALL;
    /* One for each message; besides a user message before an assistant's that folds, results, two
     * around. */
    w.at = take(&w, 2 * q->messages_count + calls + 3, sizeof *w.at);
    w.held = take(&w, q->messages_count, sizeof *w.held);
    w.folded = take(&w, q->messages_count, sizeof *w.folded);
    if (calls) collect_ids(&w, q, calls);
    for (size_t i = 0; !w.failed && i < q->messages_count; i++) add(&w, &q->messages[i]);
    close_round(&w);
    if (w.folded_count) put_user(&w, (struct message){.role = ROLE_USER});
    if (flags & SHAPE_MERGE) merge(&w);
    put_around(&w);
    if (w.failed) return ERR_MEMORY;
    out->messages = w.at;
    out->count = w.count;
    return ERR_NONE;
}
