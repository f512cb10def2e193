#include "engine/sample/machine.h"

#include <stdlib.h>
#include <string.h>

#include "conf/limits.h"

/* Within one step of an answer; between two, grammar.c forgets all from GRAMMAR_STATES_MAX on. */
enum { STATES_HARD_MAX = 4 * GRAMMAR_STATES_MAX };

_Static_assert(sizeof(((struct machine *)0)->made) / sizeof(struct config) == GRAMMAR_CONFIGS_MAX,
               "the set under construction has room for as many readings as are followed");

/* ---- tables ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static bool table_widen(struct machine_table *t)
{
    free(t->at);
    t->cap = t->cap ? t->cap * 2 : 1024;
    t->at = calloc(t->cap, sizeof *t->at);
    return t->at != NULL;
}

static void table_put(struct machine_table *t, uint64_t hash, uint32_t number) /* room is there */
{
    size_t i = hash & (t->cap - 1);
    while (t->at[i]) i = (i + 1) & (t->cap - 1);
    t->at[i] = number + 1;
}

static bool widen(void **at, uint32_t *cap, size_t each, uint32_t want)
{
    if (want <= *cap) return true;
    uint32_t wider = *cap ? *cap * 2 : 256;
    if (wider < want) wider = want;
    void *more = realloc(*at, (size_t)wider * each);
    if (more == NULL) return false;
    *at = more;
    *cap = wider;
    return true;
}

/* ---- frames ---- */

static uint64_t frame_hash(const struct frame *f)
{
    return mix(mix(mix(1, f->node), f->count), f->up);
}

uint32_t machine_push(struct machine *m, uint32_t node, uint32_t count, uint32_t up)
{
    struct frame f = {node, count, up};
    struct machine_table *t = &m->frame_table;
    uint64_t hash = frame_hash(&f);

    for (size_t i = hash & (t->cap - 1); t->at[i]; i = (i + 1) & (t->cap - 1)) {
        const struct frame *have = &m->frames[t->at[i] - 1];
        if (have->node == node && have->count == count && have->up == up) return t->at[i] - 1;
    }
    if (m->frames_count == MACHINE_FRAMES_MAX ||
        !widen((void **)&m->frames, &m->frames_cap, sizeof *m->frames, m->frames_count + 1)) {
        m->bad = true;
        return FRAME_BOTTOM;
    }
    m->frames[m->frames_count] = f;
    if (++t->count * 2 > t->cap) {
        if (!table_widen(t)) {
            m->bad = true;
            return FRAME_BOTTOM;
        }
        for (uint32_t i = FRAME_FIRST; i < m->frames_count; i++)
            table_put(t, frame_hash(&m->frames[i]), i);
        t->count = m->frames_count;
    }
    table_put(t, hash, m->frames_count);
    return m->frames_count++;
}

/* ---- what a reading comes to without a byte ---- */

static bool first_visit(struct machine *m, struct config c)
{
    size_t mask = sizeof m->seen / sizeof *m->seen - 1;

    for (size_t i = mix(c.node, c.frame) & mask;; i = (i + 1) & mask) {
        if (m->seen_epoch[i] != m->epoch) {
            m->seen_epoch[i] = m->epoch;
            m->seen[i] = c;
            m->seen_count++;
            return true;
        }
        if (m->seen[i].node == c.node && m->seen[i].frame == c.frame) return false;
    }
}

/* A reading more to be followed.  When there are too many it is dropped: each of the others is a
 * whole reading of its own. */
static void later(struct machine *m, uint32_t node, uint32_t frame)
{
    struct config c = {node, frame};

    if (!m->net->at[node].live || m->work_count == sizeof m->work / sizeof *m->work) return;
    if (m->seen_count > sizeof m->seen / sizeof *m->seen / 2 || !first_visit(m, c)) return;
    m->work[m->work_count++] = c;
}

static void repeat(struct machine *m, uint32_t node, uint32_t count, uint32_t up)
{
    const struct net_node *n = &m->net->at[node];

    if (count >= n->min) later(m, n->next, up);
    if (n->max == NET_FOREVER && count > n->min) count = n->min; /* more makes no difference */
    if (n->max == NET_FOREVER || count < n->max)
        later(m, n->body, machine_push(m, node, count, up));
}

static void give_back(struct machine *m, uint32_t frame)
{
    if (frame == FRAME_BOTTOM) {
        m->made_done = true;
    } else if (frame == FRAME_OPEN) {
        m->made_open = true;
    } else {
        struct frame f = m->frames[frame];
        if (f.count == FRAME_CALL)
            later(m, f.node, f.up);
        else
            repeat(m, f.node, f.count + 1, f.up);
    }
}

static void follow(struct machine *m)
{
    while (m->work_count) {
        struct config c = m->work[--m->work_count];
        const struct net_node *n = &m->net->at[c.node];
        switch (n->kind) {
        case NET_BYTE:
            if (m->made_count < GRAMMAR_CONFIGS_MAX) m->made[m->made_count++] = c;
            break;
        case NET_BRANCH:
            for (uint32_t i = n->min; i-- > 0;) later(m, m->net->targets[n->body + i], c.frame);
            break;
        case NET_CALL:
            if (m->net->at[n->next].kind == NET_RETURN) /* a last call needs no frame */
                later(m, n->body, c.frame);
            else if (m->net->at[n->next].live)
                later(m, n->body, machine_push(m, n->next, FRAME_CALL, c.frame));
            break;
        case NET_REPEAT: repeat(m, c.node, 0, c.frame); break;
        default: give_back(m, c.frame); break;
        }
    }
}

static void begin_set(struct machine *m)
{
    m->made_count = m->work_count = m->seen_count = 0;
    m->made_done = m->made_open = false;
    if (++m->epoch == 0) {
        memset(m->seen_epoch, 0, sizeof m->seen_epoch);
        m->epoch = 1;
    }
}

/* ---- states ---- */

static int by_number(const void *a, const void *b)
{
    const struct config *x = a, *y = b;
    if (x->node != y->node) return x->node < y->node ? -1 : 1;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

static uint64_t set_hash(const struct config *at, size_t count, bool done, bool open)
{
    uint64_t h = mix(7, (uint64_t)done << 1 | open);
    for (size_t i = 0; i < count; i++) h = mix(h, (uint64_t)at[i].node << 32 | at[i].frame);
    return h;
}

static uint64_t state_hash(const struct machine *m, const struct machine_state *s)
{
    return set_hash(m->configs + s->first, s->count, s->done, s->open);
}

static uint32_t end_set(struct machine *m)
{
    struct machine_table *t = &m->state_table;

    follow(m);
    if (m->made_count == 0 && !m->made_done && !m->made_open) return STATE_NONE;
    qsort(m->made, m->made_count, sizeof *m->made, by_number);
    uint64_t hash = set_hash(m->made, m->made_count, m->made_done, m->made_open);
    for (size_t i = hash & (t->cap - 1); t->at[i]; i = (i + 1) & (t->cap - 1)) {
        const struct machine_state *s = &m->states[t->at[i] - 1];
        if (s->count == m->made_count && s->done == m->made_done && s->open == m->made_open &&
            (s->count == 0 ||
             memcmp(m->configs + s->first, m->made, s->count * sizeof *m->made) == 0))
            return t->at[i] - 1;
    }
    if (m->states_count == STATES_HARD_MAX) return STATE_NONE; /* a token less, no wrong one */
    if (!widen((void **)&m->states, &m->states_cap, sizeof *m->states, m->states_count + 1) ||
        !widen((void **)&m->configs, &m->configs_cap, sizeof *m->configs,
               m->configs_count + (uint32_t)m->made_count)) {
        m->bad = true;
        return STATE_NONE;
    }
    m->states[m->states_count] = (struct machine_state){.first = m->configs_count,
                                                        .count = (uint32_t)m->made_count,
                                                        .done = m->made_done,
                                                        .open = m->made_open};
    if (m->made_count)
        memcpy(m->configs + m->configs_count, m->made, m->made_count * sizeof *m->made);
    m->configs_count += (uint32_t)m->made_count;
    if (++t->count * 2 > t->cap) {
        if (!table_widen(t)) {
            m->bad = true;
            return STATE_NONE;
        }
        for (uint32_t i = 1; i < m->states_count; i++)
            table_put(t, state_hash(m, &m->states[i]), i);
        t->count = m->states_count;
    }
    table_put(t, hash, m->states_count);
    return m->states_count++;
}

uint32_t machine_at(struct machine *m, uint32_t node, uint32_t frame)
{
    begin_set(m);
    later(m, node, frame);
    return end_set(m);
}

uint32_t machine_from(struct machine *m, const struct config *at, size_t count)
{
    begin_set(m);
    for (size_t i = 0; i < count; i++) later(m, at[i].node, at[i].frame);
    return end_set(m);
}

static uint32_t step_anew(struct machine *m, uint32_t state, uint8_t byte)
{
    begin_set(m);
    uint32_t first = m->states[state].first, count = m->states[state].count;
    for (uint32_t i = 0; i < count; i++) {
        struct config c = m->configs[first + i];
        const struct net_node *n = &m->net->at[c.node];
        if (byte < n->low || byte > n->high) continue;
        later(m, n->next, c.frame);
        if (m->work_count > sizeof m->work / sizeof *m->work / 2) follow(m);
    }
    return end_set(m);
}

uint32_t machine_step(struct machine *m, uint32_t state, uint8_t byte)
{
    uint32_t *row = m->states[state].row;

    if (row == NULL) {
        row = malloc(256 * sizeof *row);
        if (row == NULL) {
            m->bad = true;
            return STATE_NONE;
        }
        memset(row, 0xFF, 256 * sizeof *row);
        m->states[state].row = row;
        /* Most states read few bytes: the others lead nowhere, and that is known at once. */
        bool reads[256] = {false};
        for (uint32_t i = 0; i < m->states[state].count; i++) {
            const struct net_node *n = &m->net->at[m->configs[m->states[state].first + i].node];
            memset(reads + n->low, true, (size_t)(n->high - n->low) + 1);
        }
        for (int b = 0; b < 256; b++)
            if (!reads[b]) row[b] = STATE_NONE;
    }
    if (row[byte] == UINT32_MAX) {
        uint32_t to = step_anew(m, state, byte); /* may move m->states, not the row */
        row[byte] = to;
    }
    return row[byte];
}

/* ---- life ---- */

void machine_clear(struct machine *m)
{
    for (uint32_t i = 0; i < m->states_count; i++) free(m->states[i].row);
    m->frames_count = FRAME_FIRST;
    m->configs_count = 0;
    m->states_count = 1; /* STATE_NONE */
    memset(m->states, 0, sizeof *m->states);
    memset(m->frame_table.at, 0, m->frame_table.cap * sizeof *m->frame_table.at);
    memset(m->state_table.at, 0, m->state_table.cap * sizeof *m->state_table.at);
    m->frame_table.count = m->state_table.count = 0;
}

bool machine_init(struct machine *m, const struct net *net)
{
    memset(m, 0, sizeof *m);
    m->net = net;
    if (!table_widen(&m->frame_table) || !table_widen(&m->state_table) ||
        !widen((void **)&m->frames, &m->frames_cap, sizeof *m->frames, 256) ||
        !widen((void **)&m->states, &m->states_cap, sizeof *m->states, 256))
        return false;
    machine_clear(m);
    return true;
}

void machine_fini(struct machine *m)
{
    for (uint32_t i = 0; i < m->states_count; i++) free(m->states[i].row);
    free(m->frames);
    free(m->configs);
    free(m->states);
    free(m->frame_table.at);
    free(m->state_table.at);
    memset(m, 0, sizeof *m);
}
