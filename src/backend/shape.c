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
    str *lifted; /* those of shape.system */
    size_t lifted_count;

    /* ids that occur, to keep every new one apart: open addressing, a power of two */
    uint64_t *ids;
    size_t ids_mask;
    unsigned next_id;

    /* the open round: calls of the last assistant message, and what came since */
    struct message *results; /* one for each call of the round; .role is ROLE_TOOL when there */
    str *own_ids;            /* the calls' ids as they came */
    size_t round_calls, round_cap;
    struct part *round_parts; /* of the message that makes the calls, with room to grow */
    size_t round_parts_cap;
    struct waiting *waiting; /* calls by their own id: made at the round's first result */
    size_t *next_waiting;    /* for each call: the next of the same id, or NOBODY */
    size_t waiting_mask;
    struct message *held; /* what stood between calls and results */
    size_t held_count;
};

#define NOBODY SIZE_MAX

struct waiting {
    size_t first; /* call of this id that has no result yet; NOBODY */
    size_t named; /* any call of this id; NOBODY: the place is free */
};

static void *take(struct work *w, size_t count, size_t each)
{
    void *p = w->failed ? NULL : arena_take_array(w->arena, count, each);
    if (p == NULL) w->failed = true;
    return p;
}

/* Room for `want` elements where there is room for *cap: the bytes taken in all stay linear. */
static void *grow(struct work *w, void *at, size_t used, size_t *cap, size_t want, size_t each)
{
    if (want <= *cap) return at;
    size_t more = *cap * 2 > want ? *cap * 2 : want;
    void *to = take(w, more, each);
    if (to == NULL) return at;
    if (used) memcpy(to, at, used * each);
    *cap = more;
    return to;
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

/* By blank lines. */
static str join_texts(struct work *w, const str *texts, size_t count)
{
    size_t len = 0, at = 0;

    if (count == 1) return texts[0];
    for (size_t i = 0; i < count; i++) len += texts[i].len + 2;
    char *to = take(w, len ? len : 1, 1);
    for (size_t i = 0; to && i < count; i++) {
        if (at && texts[i].len) {
            memcpy(to + at, "\n\n", 2);
            at += 2;
        }
        memcpy(to + at, texts[i].at, texts[i].len);
        at += texts[i].len;
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
    w->waiting = NULL;
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
    size_t cap = w->round_cap;
    struct part *parts = take(w, m->count, sizeof *parts);
    w->results = grow(w, w->results, n, &w->round_cap, n + calls, sizeof *w->results);
    w->own_ids = grow(w, w->own_ids, n, &cap, n + calls, sizeof *w->own_ids);
    if (w->failed) return;

    memcpy(parts, m->parts, m->count * sizeof *parts);
    for (size_t i = 0; i < m->count; i++) {
        if (parts[i].kind != PART_TOOL_CALL) continue;
        w->own_ids[n] = parts[i].id;
        parts[i].id = fit_id(w, parts[i].id);
        /* Not there yet: only the fields that a filled-in one needs. */
        w->results[n++] = (struct message){.role = ROLE_ASSISTANT,
                                           .tool_call_id = parts[i].id,
                                           .tool_name = parts[i].name};
    }
    m->parts = parts;
    w->round_calls = n;
}

/* Whether the open round still waits for everything: an assistant message that follows belongs to
 * it. */
static bool round_is_fresh(const struct work *w)
{
    return w->round_calls && !w->held_count && !w->waiting;
}

/* `to` is the message that opened the round. */
static void append_parts(struct work *w, struct message *to, const struct message *m)
{
    if (to->parts != w->round_parts) {
        w->round_parts_cap = 0;
        w->round_parts = NULL;
    }
    struct part *parts = grow(w, (void *)to->parts, to->count, &w->round_parts_cap,
                              to->count + m->count, sizeof *parts);
    if (w->failed) return;
    memcpy(parts + to->count, m->parts, m->count * sizeof *parts);
    w->round_parts = parts;
    to->parts = parts;
    to->count += m->count;
}

static struct waiting *waiting_for(struct work *w, str id)
{
    size_t i = hash_str(id) & w->waiting_mask;

    while (w->waiting[i].named != NOBODY && !str_eq(w->own_ids[w->waiting[i].named], id))
        i = (i + 1) & w->waiting_mask;
    return &w->waiting[i];
}

static void await_results(struct work *w)
{
    size_t size = 16;

    while (size < w->round_calls * 2) size *= 2;
    struct waiting *at = take(w, size, sizeof *at);
    w->next_waiting = take(w, w->round_calls + 1, sizeof *w->next_waiting);
    if (w->failed) return;
    for (size_t i = 0; i < size; i++) at[i] = (struct waiting){.first = NOBODY, .named = NOBODY};
    w->waiting = at;
    w->waiting_mask = size - 1;
    for (size_t i = w->round_calls; i-- > 0;) {
        struct waiting *its = waiting_for(w, w->own_ids[i]);
        w->next_waiting[i] = its->first;
        its->first = its->named = i;
    }
}

static void take_result(struct work *w, const struct message *m)
{
    if (w->round_calls && !w->waiting) await_results(w);
    struct waiting *its = w->round_calls && !w->failed ? waiting_for(w, m->tool_call_id) : NULL;
    if (its == NULL || its->first == NOBODY) {
        w->out->dropped_results++;
        return;
    }
    struct message r = *m, *to = &w->results[its->first];
    its->first = w->next_waiting[its->first];
    r.tool_call_id = to->tool_call_id;
    if (r.tool_name.len == 0) r.tool_name = to->tool_name;
    *to = r;
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
        for (size_t i = 0; i < m->count; i++)
            w->out->system_cache = w->out->system_cache || m->parts[i].cache;
        w->lifted[w->lifted_count++] = text;
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

/* The messages from..to have one role: into the first.  Texts that meet at a border are parts of
 * one text, a blank line between them. */
static struct message merged(struct work *w, size_t from, size_t to)
{
    struct message m = w->at[from];
    size_t room = 0, count = 0, chained = 0;

    for (size_t i = from; i < to; i++) room += w->at[i].count;
    struct part *parts = take(w, room + 1, sizeof *parts);
    str *chain = take(w, to - from, sizeof *chain); /* of which the last part is made */
    for (size_t i = from; !w->failed && i < to; i++) {
        for (size_t k = 0; k < w->at[i].count; k++) {
            struct part p = w->at[i].parts[k];
            bool joins =
                k == 0 && count && parts[count - 1].kind == PART_TEXT && p.kind == PART_TEXT;
            if (joins) {
                if (chained == 0) chain[chained++] = parts[count - 1].text;
                chain[chained++] = p.text;
                parts[count - 1].cache = parts[count - 1].cache || p.cache;
                continue;
            }
            if (chained) parts[count - 1].text = join_texts(w, chain, chained);
            chained = 0;
            parts[count++] = p;
        }
    }
    if (chained) parts[count - 1].text = join_texts(w, chain, chained);
    m.parts = parts;
    m.count = count;
    return m;
}

static void merge(struct work *w)
{
    size_t n = 0;

    for (size_t i = 0, next; i < w->count; i = next) {
        enum role role = w->at[i].role;
        for (next = i + 1; next < w->count && role != ROLE_TOOL; next++)
            if (w->at[next].role != role) break;
        w->at[n++] = next - i > 1 ? merged(w, i, next) : w->at[i];
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
    /* An empty question is a question all the same. */
    if (first == w->count && w->begun) put(w, (struct message){.role = ROLE_USER});
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
    w.at = take(&w, 2 * q->messages_count + calls + 4, sizeof *w.at);
    w.held = take(&w, q->messages_count, sizeof *w.held);
    w.folded = take(&w, q->messages_count, sizeof *w.folded);
    w.lifted = take(&w, q->messages_count, sizeof *w.lifted);
    if (calls) collect_ids(&w, q, calls);
    for (size_t i = 0; !w.failed && i < q->messages_count; i++) add(&w, &q->messages[i]);
    close_round(&w);
    if (w.folded_count) put_user(&w, (struct message){.role = ROLE_USER});
    if (w.lifted_count && !w.failed) out->system = join_texts(&w, w.lifted, w.lifted_count);
    if (flags & SHAPE_MERGE) merge(&w);
    put_around(&w);
    if (w.failed) return ERR_MEMORY;
    out->messages = w.at;
    out->count = w.count;
    return ERR_NONE;
}
