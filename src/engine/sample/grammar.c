/* Which tokens may come.  A reading of the machine is looked at apart from the rules around it: a
 * `local` state has the innermost stack only and ends where that is left.  What a local state
 * allows is worked out once over all tokens and kept; only tokens that go on beyond it (those with
 * a closing quote in them, say) are looked at again in their surroundings.  So the inside of a
 * string costs the same one walk over the vocabulary wherever the string stands. */
#include "engine/sample/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "conf/limits.h"
#include "engine/sample/grammar_vocab.h"
#include "engine/sample/machine.h"
#include "engine/sample/net.h"

enum { MASKS_KEPT = 16, LOCAL_FRAMES_MAX = 4 };

struct local {
    uint32_t state;  /* 0: unused */
    bool mixed_only; /* plain tokens are left out: see add_string */
    uint32_t *ids;   /* the tokens allowed ... */
    size_t ids_count;
    uint64_t *mask;  /* ... or, when they are many, their bits */
    uint32_t *exits; /* tree nodes at which the local stack is left */
    size_t exits_count;
};

struct grammar {
    const struct grammar_vocab *v;
    struct arena arena; /* of the net */
    struct net net;
    struct machine m;
    uint32_t state;
    bool ended;
    struct local *locals; /* [GRAMMAR_LOCALS_MAX], by hash of the state */
    size_t locals_count;
    struct {
        uint32_t state;
        uint64_t *mask;
    } kept[MASKS_KEPT];
    size_t kept_next;
    uint32_t *path; /* [longest + 1] states on the way down the tree */
    uint32_t *found_ids, *found_exits;
    size_t found_ids_count, found_exits_count, found_ids_cap, found_exits_cap;
    bool bad;
};

/* ---- walking the tree ---- */

static void note(struct grammar *g, uint32_t **at, size_t *count, size_t *cap, uint32_t what)
{
    if (*count == *cap) {
        size_t wider = *cap ? *cap * 2 : 1024;
        uint32_t *more = realloc(*at, wider * sizeof *more);
        if (more == NULL) {
            g->bad = true;
            return;
        }
        *at = more;
        *cap = wider;
    }
    (*at)[(*count)++] = what;
}

/* All tokens below `top`, whose own bytes led to `state`; or only those that are not plain. */
static void walk(struct grammar *g, uint32_t top, uint32_t state, bool mixed_only)
{
    const struct grammar_node *nodes = g->v->nodes;
    uint32_t *path = g->path;

    path[nodes[top].depth] = state;
    for (uint32_t i = top + 1; i < nodes[top].end;) {
        const struct grammar_node *n = &nodes[i];
        if (mixed_only && !n->mixed) {
            i = n->end;
            continue;
        }
        uint32_t to = machine_step(&g->m, path[n->depth - 1], n->byte);
        if (to == STATE_NONE) {
            i = n->end;
            continue;
        }
        for (uint32_t k = 0; k < n->count; k++)
            note(g, &g->found_ids, &g->found_ids_count, &g->found_ids_cap,
                 (uint32_t)g->v->sorted[n->first + k]);
        const struct machine_state *s = &g->m.states[to];
        if (s->open) note(g, &g->found_exits, &g->found_exits_count, &g->found_exits_cap, i);
        path[n->depth] = to;
        i = s->count ? i + 1 : n->end;
    }
}

/* ---- local states ---- */

/* A count from which no token can reach a bound is as good as any other such count. */
static uint32_t count_class(const struct grammar *g, const struct frame *f)
{
    const struct net_node *n = &g->m.net->at[f->node];
    uint32_t reach = (uint32_t)g->v->longest + 1, count = f->count;

    if (count == FRAME_CALL) return count;
    bool far_max = n->max == NET_FOREVER || n->max - count > reach;
    if (!far_max) return count;
    uint32_t needed = n->min > count ? n->min - count : 0;
    if (needed > reach) return n->min - reach;
    if (needed) return count;
    if (n->max == NET_FOREVER) return n->min;
    return n->max - reach > n->min ? n->max - reach : n->min;
}

static bool frame_is_local(const struct grammar *g, const struct frame *f)
{
    return f->count != FRAME_CALL || g->m.net->at[f->node].inner;
}

/* The local state of a reading, and the frame that it is left to. */
static uint32_t localize(struct grammar *g, struct config c, uint32_t *outer)
{
    struct frame chain[LOCAL_FRAMES_MAX];
    size_t count = 0;
    uint32_t at = c.frame;

    while (count < LOCAL_FRAMES_MAX && at >= FRAME_FIRST && frame_is_local(g, &g->m.frames[at])) {
        chain[count++] = g->m.frames[at];
        at = g->m.frames[at].up;
    }
    *outer = at;
    uint32_t frame = FRAME_OPEN;
    while (count-- > 0)
        frame = machine_push(&g->m, chain[count].node, count_class(g, &chain[count]), frame);
    return machine_at(&g->m, c.node, frame);
}

static void local_fini(struct local *l)
{
    free(l->ids);
    free(l->mask);
    free(l->exits);
    *l = (struct local){0};
}

static void locals_clear(struct grammar *g)
{
    for (size_t i = 0; i < GRAMMAR_LOCALS_MAX; i++) local_fini(&g->locals[i]);
    g->locals_count = 0;
}

static uint32_t *copy_list(struct grammar *g, const uint32_t *at, size_t count)
{
    uint32_t *copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        g->bad = true;
    else if (count)
        memcpy(copy, at, count * sizeof *copy);
    return copy;
}

static const struct local *local_of(struct grammar *g, uint32_t state, bool mixed_only)
{
    if (g->locals_count > GRAMMAR_LOCALS_MAX * 3 / 4) locals_clear(g);
    size_t i = state * 2654435761u % GRAMMAR_LOCALS_MAX;
    for (; g->locals[i].state; i = (i + 1) % GRAMMAR_LOCALS_MAX)
        if (g->locals[i].state == state && g->locals[i].mixed_only == mixed_only)
            return &g->locals[i];

    struct local *l = &g->locals[i];
    g->found_ids_count = g->found_exits_count = 0;
    walk(g, 0, state, mixed_only);
    l->exits = copy_list(g, g->found_exits, g->found_exits_count);
    l->exits_count = g->found_exits_count;
    if (g->found_ids_count > g->v->words) {
        l->mask = calloc(g->v->words, sizeof *l->mask);
        g->bad = g->bad || l->mask == NULL;
        for (size_t k = 0; l->mask && k < g->found_ids_count; k++)
            l->mask[g->found_ids[k] / 64] |= 1ull << (g->found_ids[k] % 64);
    } else {
        l->ids = copy_list(g, g->found_ids, g->found_ids_count);
        l->ids_count = g->found_ids_count;
    }
    if (g->bad) {
        local_fini(l);
        return NULL;
    }
    l->state = state;
    l->mixed_only = mixed_only;
    g->locals_count++;
    return l;
}

/* ---- the mask ---- */

static void add_ids(uint64_t *mask, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) mask[ids[i] / 64] |= 1ull << (ids[i] % 64);
}

static void add_local(struct grammar *g, uint32_t state, bool mixed_only, uint32_t outer,
                      uint64_t *mask)
{
    bool lost = g->m.bad || state == STATE_NONE; /* no room left in this step */
    const struct local *l = lost ? NULL : local_of(g, state, mixed_only);

    if (l == NULL) return;
    for (size_t w = 0; l->mask && w < g->v->words; w++) mask[w] |= l->mask[w];
    add_ids(mask, l->ids, l->ids_count);
    if (l->exits_count == 0) return;
    /* Left: go on in the surroundings, with what the token still has. */
    uint32_t after = outer == FRAME_BOTTOM ? STATE_NONE : machine_at(&g->m, g->net.end, outer);
    if (after == STATE_NONE) return;
    g->found_ids_count = 0;
    for (size_t i = 0; i < l->exits_count; i++) walk(g, l->exits[i], after, false);
    add_ids(mask, g->found_ids, g->found_ids_count);
}

static void add_reading(struct grammar *g, struct config c, uint64_t *mask)
{
    uint32_t outer, state = localize(g, c, &outer);
    add_local(g, state, false, outer, mask);
}

/* Where a character of a JSON string begins: plain tokens by their number of characters, without a
 * walk. All the readings of such a place share the frame; the first stands for them. */
static bool is_string(const struct grammar *g, struct config c)
{
    if (c.frame < FRAME_FIRST || g->net.any_char == 0) return false;
    const struct frame *f = &g->m.frames[c.frame];
    if (f->count == FRAME_CALL || g->net.at[f->node].body != g->net.any_char) return false;
    const struct net_node *starts = &g->net.at[g->net.any_char];
    for (uint32_t i = 0; i < starts->min; i++)
        if (g->net.targets[starts->body + i] == c.node) return true;
    return false;
}

static void add_string(struct grammar *g, struct config c, uint64_t *mask)
{
    struct frame f = g->m.frames[c.frame];
    const struct net_node *repeat = &g->net.at[f.node];
    const struct grammar_vocab *v = g->v;
    uint32_t room = repeat->max == NET_FOREVER ? NET_FOREVER : repeat->max - f.count;

    if (room >= v->longest) {
        for (size_t w = 0; w < v->words; w++) mask[w] |= v->plain[w];
    } else {
        for (uint32_t i = 0; i < v->plain_upto[room]; i++)
            mask[v->plain_ids[i] / 64] |= 1ull << (v->plain_ids[i] % 64);
    }
    uint32_t frame = machine_push(&g->m, f.node, count_class(g, &f), FRAME_OPEN);
    add_local(g, machine_at(&g->m, g->net.any_char, frame), true, f.up, mask);
}

static bool any_bit(const uint64_t *mask, size_t words)
{
    for (size_t w = 0; w < words; w++)
        if (mask[w]) return true;
    return false;
}

/* Numbers are forgotten when there are many; the readings are found again by their own stacks. */
static void refresh(struct grammar *g)
{
    if (g->m.states_count < GRAMMAR_STATES_MAX && g->m.frames_count < MACHINE_FRAMES_MAX / 2)
        return;
    const struct machine_state *s = &g->m.states[g->state];
    size_t count = s->count, total = 0;
    bool done = s->done;
    struct config *at = malloc((count + 1) * sizeof *at);
    size_t *depth = calloc(count + 1, sizeof *depth);

    for (size_t i = 0; at && depth && i < count; i++) {
        at[i] = g->m.configs[s->first + i];
        for (uint32_t f = at[i].frame; f >= FRAME_FIRST; f = g->m.frames[f].up) depth[i]++;
        total += depth[i];
    }
    struct frame *stack = malloc((total + 1) * sizeof *stack), *next = stack;
    if (at == NULL || depth == NULL || stack == NULL) {
        g->bad = true;
    } else {
        for (size_t i = 0; i < count; i++)
            for (uint32_t f = at[i].frame; f >= FRAME_FIRST; f = g->m.frames[f].up)
                *next++ = g->m.frames[f];
        machine_clear(&g->m);
        locals_clear(g);
        for (size_t i = 0; i < MASKS_KEPT; i++) g->kept[i].state = STATE_NONE;
        next = stack;
        for (size_t i = 0; i < count; i++) {
            at[i].frame = FRAME_BOTTOM;
            for (size_t k = depth[i]; k-- > 0;)
                at[i].frame = machine_push(&g->m, next[k].node, next[k].count, at[i].frame);
            next += depth[i];
        }
        if (done) at[count++] = (struct config){g->net.end, FRAME_BOTTOM};
        g->state = machine_from(&g->m, at, count);
    }
    free(at);
    free(depth);
    free(stack);
}

const uint64_t *grammar_mask(struct grammar *g)
{
    if (g->ended || g->bad || g->m.bad) return NULL;
    refresh(g);
    for (size_t i = 0; i < MASKS_KEPT; i++)
        if (g->kept[i].mask && g->kept[i].state == g->state) return g->kept[i].mask;

    uint64_t **slot = &g->kept[g->kept_next].mask;
    if (*slot == NULL) *slot = malloc(g->v->words * sizeof **slot);
    if (*slot == NULL) return NULL;
    memset(*slot, 0, g->v->words * sizeof **slot);
    g->kept[g->kept_next].state = STATE_NONE;
    uint32_t string_frame =
        FRAME_BOTTOM; /* of the string that was added last: readings are sorted */
    for (uint32_t i = 0; i < g->m.states[g->state].count; i++) {
        struct config c = g->m.configs[g->m.states[g->state].first + i];
        bool string = is_string(g, c);
        if (string && c.frame != string_frame) add_string(g, c, *slot);
        if (!string) add_reading(g, c, *slot);
        if (string) string_frame = c.frame;
    }
    if (g->m.states[g->state].done)
        for (size_t w = 0; w < g->v->words; w++) (*slot)[w] |= g->v->ends[w];
    if (g->bad || g->m.bad || !any_bit(*slot, g->v->words)) return NULL;
    g->kept[g->kept_next].state = g->state;
    g->kept_next = (g->kept_next + 1) % MASKS_KEPT;
    return *slot;
}

bool grammar_accept_text(struct grammar *g, str text)
{
    if (g->ended || g->bad || g->m.bad) return false;
    refresh(g);
    uint32_t state = g->state;
    for (size_t i = 0; i < text.len && state != STATE_NONE; i++)
        state = machine_step(&g->m, state, (uint8_t)text.at[i]);
    if (state == STATE_NONE) return false;
    g->state = state;
    return true;
}

bool grammar_accept(struct grammar *g, int32_t token)
{
    if (token < 0 || token >= g->v->count || g->ended) return false;
    str bytes = grammar_token(g->v, token);
    if (bytes.len && grammar_accept_text(g, bytes)) return true;
    bool ends = (g->v->ends[token / 64] >> (token % 64) & 1) && grammar_done(g);
    if (ends) g->ended = true;
    return ends;
}

bool grammar_done(const struct grammar *g)
{
    return g->ended || g->m.states[g->state].done;
}

bool grammar_ended(const struct grammar *g)
{
    return g->ended || (g->m.states[g->state].done && g->m.states[g->state].count == 0);
}

/* ---- life ---- */

static enum err new_grammar(struct grammar **out, const struct grammar_vocab *v,
                            struct err_note *why)
{
    struct grammar *g = calloc(1, sizeof *g);

    if (g == NULL) return ERR_MEMORY;
    g->v = v;
    arena_init(&g->arena, 0); /* bounded by GRAMMAR_NODES_MAX */
    g->locals = calloc(GRAMMAR_LOCALS_MAX, sizeof *g->locals);
    g->path = calloc(v->longest + 2, sizeof *g->path);
    enum err e = g->locals && g->path ? net_init(&g->net, &g->arena, why) : ERR_MEMORY;
    if (e) {
        grammar_free(g);
        return e;
    }
    *out = g;
    return ERR_NONE;
}

static enum err start(struct grammar **out, struct grammar *g, uint32_t first, struct err_note *why)
{
    enum err e = g->net.failed;

    if (!e && !net_finish(&g->net, first))
        e = err_set(why, ERR_INVALID, "no value can satisfy the schema");
    if (!e && !machine_init(&g->m, &g->net)) e = ERR_MEMORY;
    if (!e) g->state = machine_at(&g->m, first, FRAME_BOTTOM);
    if (!e && g->m.bad) e = ERR_MEMORY;
    if (e) {
        grammar_free(g);
        return e;
    }
    *out = g;
    return ERR_NONE;
}

enum err grammar_new(struct grammar **out, const struct grammar_vocab *v, yyjson_val *schema,
                     struct err_note *why)
{
    struct grammar *g;
    enum err e = new_grammar(&g, v, why);

    if (e) return e;
    uint32_t first = schema_compile(&g->net, schema, schema, g->net.end);
    /* A first token often begins with a blank, which the reader of the answer drops. */
    first = net_either(&g->net, first, net_byte(&g->net, ' ', ' ', first));
    return start(out, g, first, why);
}

enum err grammar_new_text(struct grammar **out, const struct grammar_vocab *v, str schema,
                          struct err_note *why)
{
    yyjson_doc *doc;
    struct json_fault fault;

    if (schema.len > GRAMMAR_SCHEMA_BYTES_MAX)
        return err_set(why, ERR_LIMIT, "the schema is larger than %d bytes",
                       GRAMMAR_SCHEMA_BYTES_MAX);
    enum err e = json_read(&doc, schema, GRAMMAR_DEPTH_MAX * 4, JSON_PLAIN, &fault);
    if (e == ERR_INVALID) err_set(why, e, "the schema is not valid JSON");
    if (e) return e;
    e = grammar_new(out, v, yyjson_doc_get_root(doc), why);
    yyjson_doc_free(doc);
    return e;
}

enum err grammar_new_call(struct grammar **out, const struct grammar_vocab *v, yyjson_val *tools,
                          str only, const struct grammar_frame *frame, struct err_note *why)
{
    struct grammar *g;
    size_t i, max;
    yyjson_val *tool;
    yyjson_doc *any = yyjson_read("{\"type\":\"object\"}", 17, 0);
    enum err e = any ? new_grammar(&g, v, why) : ERR_MEMORY;
    bool found = false;

    if (e) {
        yyjson_doc_free(any);
        return e;
    }
    struct net *n = &g->net;
    uint32_t all = n->nowhere, tail = net_text(n, frame->tail, n->end);
    yyjson_arr_foreach(json_array_of(tools), i, max, tool)
    {
        yyjson_val *f = json_get(tool, "function");
        str name = json_get_str(f ? f : tool, "name");
        yyjson_val *schema = json_get(f ? f : tool, "parameters");
        if (only.len && !str_eq(name, only)) continue;
        found = true;
        if (!yyjson_is_obj(schema) || yyjson_obj_size(schema) == 0)
            schema = yyjson_doc_get_root(any);
        uint32_t arguments = schema_compile(n, schema, schema, tail);
        if (n->failed) err_context(why, n->failed, "tool %.*s", STR_ARG(name));
        all = net_either(n, all, net_json_text(n, name, net_text(n, frame->middle, arguments)));
    }
    yyjson_doc_free(any);
    if (!found) {
        grammar_free(g);
        return err_set(why, ERR_NOT_FOUND, "no such tool");
    }
    return start(out, g, net_text(n, frame->head, all), why);
}

void grammar_free(struct grammar *g)
{
    if (g == NULL) return;
    if (g->locals) locals_clear(g);
    for (size_t i = 0; i < MASKS_KEPT; i++) free(g->kept[i].mask);
    machine_fini(&g->m);
    arena_fini(&g->arena);
    free(g->locals);
    free(g->path);
    free(g->found_ids);
    free(g->found_exits);
    free(g);
}
