#include "engine/format/pickle.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf/limits.h"

struct known {
    const char *module, *name;
    enum { MAKES_DICT, MAKES_TENSOR, IS_STORAGE } use;
    int number_bytes, weight_type; /* of a storage */
};

/* clang-format off */
static const struct known globals[] = {
    {"collections",  "OrderedDict",        MAKES_DICT,   0, 0},
    {"torch._utils", "_rebuild_tensor_v2", MAKES_TENSOR, 0, 0},
    {"torch", "FloatStorage",    IS_STORAGE, 4, WEIGHT_F32},
    {"torch", "HalfStorage",     IS_STORAGE, 2, WEIGHT_F16},
    {"torch", "BFloat16Storage", IS_STORAGE, 2, WEIGHT_BF16},
    {"torch", "DoubleStorage",   IS_STORAGE, 8, -1},
    {"torch", "LongStorage",     IS_STORAGE, 8, -1},
    {"torch", "IntStorage",      IS_STORAGE, 4, -1},
    {"torch", "ShortStorage",    IS_STORAGE, 2, -1},
    {"torch", "CharStorage",     IS_STORAGE, 1, -1},
    {"torch", "ByteStorage",     IS_STORAGE, 1, -1},
    {"torch", "BoolStorage",     IS_STORAGE, 1, -1},
};
/* clang-format on */

struct machine {
    struct arena *arena;
    const uint8_t *at, *end;
    char *fault;
    enum err err;

    struct pickle_value **stack;
    size_t depth, stack_cap;
    size_t *marks; /* stack depths */
    size_t marks_count, marks_cap;
    struct pickle_value **memo;
    size_t memo_count; /* places, filled or not */
    size_t memo_next;  /* of MEMOIZE */
};

/* ---- the first fault sticks ------------------------------------------------------------------ */

static void bad(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void bad(struct machine *m, const char *format, ...)
{
    va_list args;
    if (m->err) return;
    m->err = ERR_MODEL_UNUSABLE;
    va_start(args, format);
    vsnprintf(m->fault, PICKLE_FAULT_BYTES, format, args);
    va_end(args);
}

static const uint8_t *take(struct machine *m, uint64_t n)
{
    if (n > (uint64_t)(m->end - m->at)) bad(m, "its pickle is cut off");
    if (m->err) return NULL;
    m->at += n;
    return m->at - n;
}

static uint64_t take_uint(struct machine *m, size_t bytes)
{
    const uint8_t *at = take(m, bytes);
    uint64_t n = 0;
    for (size_t i = 0; at && i < bytes; i++) n |= (uint64_t)at[i] << 8 * i;
    return n;
}

static str take_text(struct machine *m, uint64_t bytes)
{
    const uint8_t *at = take(m, bytes);
    return at ? str_span(at, (size_t)bytes) : STR_NONE;
}

static str take_line(struct machine *m)
{
    const uint8_t *end = m->err ? NULL : memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (end == NULL) {
        bad(m, "its pickle is cut off");
        return STR_NONE;
    }
    str line = str_span(m->at, (size_t)(end - m->at));
    m->at = end + 1;
    return line;
}

/* ---- values ---------------------------------------------------------------------------------- */

static struct pickle_value *make(struct machine *m, enum pickle_kind kind)
{
    struct pickle_value *v = arena_new(m->arena, struct pickle_value);
    if (v == NULL) {
        if (!m->err) m->err = ERR_MEMORY;
        return NULL;
    }
    v->kind = kind;
    return v;
}

/* An array in the arena, doubled when full; the old one stays until the arena ends. */
static bool room(struct machine *m, void **at, size_t count, size_t *cap, size_t each, size_t max)
{
    if (m->err) return false;
    if (count < *cap) return true;
    size_t more = *cap ? *cap * 2 : 16;
    if (count >= max) bad(m, "its pickle is nested or repeated beyond reason");
    void *grown = m->err ? NULL : arena_take_array(m->arena, more, each);
    if (grown == NULL) {
        if (!m->err) m->err = ERR_MEMORY;
        return false;
    }
    if (count) memcpy(grown, *at, count * each);
    *at = grown;
    *cap = more;
    return true;
}

static void push(struct machine *m, struct pickle_value *v)
{
    if (v == NULL) return;
    if (!room(m, (void **)&m->stack, m->depth, &m->stack_cap, sizeof *m->stack, PICKLE_STACK_MAX))
        return;
    m->stack[m->depth++] = v;
}

/* Values above the last mark; below it nothing may be popped. */
static size_t floor_of(const struct machine *m)
{
    return m->marks_count ? m->marks[m->marks_count - 1] : 0;
}

static struct pickle_value *pop(struct machine *m)
{
    if (m->depth <= floor_of(m)) bad(m, "its pickle takes more than it gave");
    return m->err ? NULL : m->stack[--m->depth];
}

static struct pickle_value *top(struct machine *m)
{
    if (m->depth == 0 || m->depth <= floor_of(m)) bad(m, "its pickle takes more than it gave");
    return m->err ? NULL : m->stack[m->depth - 1];
}

static void mark(struct machine *m)
{
    if (!room(m, (void **)&m->marks, m->marks_count, &m->marks_cap, sizeof *m->marks,
              PICKLE_STACK_MAX))
        return;
    m->marks[m->marks_count++] = m->depth;
}

/* Takes the mark away; where its values begin. */
static size_t unmark(struct machine *m)
{
    if (m->marks_count == 0) bad(m, "its pickle takes more than it gave");
    return m->err ? m->depth : m->marks[--m->marks_count];
}

static void push_number(struct machine *m, enum pickle_kind kind, int64_t number)
{
    struct pickle_value *v = make(m, kind);
    if (v) v->number = number;
    push(m, v);
}

static void push_text(struct machine *m, str text)
{
    struct pickle_value *v = make(m, PICKLE_STR);
    if (v) v->text = text;
    push(m, v);
}

/* Little-endian two's complement of any length; longer than 8 bytes is no number of ours. */
static void push_long(struct machine *m, uint64_t bytes)
{
    const uint8_t *at = take(m, bytes);
    uint64_t n = 0;
    if (at == NULL) return;
    if (bytes > 8) {
        bad(m, "its pickle holds a number of %llu bytes", (unsigned long long)bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++) n |= (uint64_t)at[i] << 8 * i;
    if (bytes > 0 && bytes < 8 && at[bytes - 1] & 0x80) n |= UINT64_MAX << 8 * bytes;
    push_number(m, PICKLE_INT, (int64_t)n);
}

/* The values from `from` on leave the stack as one tuple or list. */
static void collect(struct machine *m, enum pickle_kind kind, size_t from)
{
    struct pickle_value *v = make(m, kind);
    if (m->err) return;
    v->count = v->cap = m->depth - from;
    if (v->count) {
        v->items = arena_array(m->arena, struct pickle_value *, v->count);
        if (v->items == NULL) {
            m->err = ERR_MEMORY;
            return;
        }
        memcpy(v->items, m->stack + from, v->count * sizeof *v->items);
    }
    m->depth = from;
    push(m, v);
}

static void collect_last(struct machine *m, size_t count)
{
    if (m->depth - floor_of(m) < count) bad(m, "its pickle takes more than it gave");
    if (!m->err) collect(m, PICKLE_TUPLE, m->depth - count);
}

/* Adds the values from `from` on to the list or dict below them. */
static void append(struct machine *m, enum pickle_kind kind, size_t from)
{
    if (m->err) return;
    size_t count = m->depth - from;
    m->depth = from;
    struct pickle_value *to = top(m);
    if (m->err) return;
    if (to->kind != kind || (kind == PICKLE_DICT && count % 2 != 0)) {
        bad(m, "its pickle fills something that is not a container");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!room(m, (void **)&to->items, to->count, &to->cap, sizeof *to->items, SIZE_MAX)) return;
        to->items[to->count++] = m->stack[from + i]; /* still there: nothing was pushed since */
    }
}

static void append_last(struct machine *m, enum pickle_kind kind, size_t count)
{
    if (m->depth - floor_of(m) < count) bad(m, "its pickle takes more than it gave");
    if (!m->err) append(m, kind, m->depth - count);
}

/* ---- memo ------------------------------------------------------------------------------------ */

static void remember(struct machine *m, uint64_t place)
{
    struct pickle_value *v = top(m);
    if (m->err) return;
    if (place >= PICKLE_MEMO_MAX ||
        place > 4 * (uint64_t)(m->memo_next + 256)) { /* pickles count upwards */
        bad(m, "its pickle remembers at a place beyond reason");
        return;
    }
    if (place >= m->memo_count) {
        size_t cap = m->memo_count ? m->memo_count * 2 : 256;
        while (cap <= place) cap *= 2;
        struct pickle_value **memo = arena_array(m->arena, struct pickle_value *, cap);
        if (memo == NULL) {
            m->err = ERR_MEMORY;
            return;
        }
        if (m->memo_count) memcpy(memo, m->memo, m->memo_count * sizeof *memo);
        m->memo = memo;
        m->memo_count = cap;
    }
    m->memo[place] = v;
    m->memo_next++;
}

static void recall(struct machine *m, uint64_t place)
{
    if (place >= m->memo_count || m->memo[place] == NULL) {
        bad(m, "its pickle recalls what it never remembered");
        return;
    }
    push(m, m->memo[place]);
}

/* ---- globals, storages, tensors -------------------------------------------------------------- */

static void push_global(struct machine *m, str module, str name)
{
    for (size_t i = 0; !m->err && i < sizeof globals / sizeof *globals; i++) {
        if (!str_eq(module, str_of(globals[i].module)) || !str_eq(name, str_of(globals[i].name)))
            continue;
        push_number(m, PICKLE_GLOBAL, (int64_t)i);
        return;
    }
    bad(m, "its pickle asks for %.*s.%.*s, which is never run", STR_ARG(str_head(module, 50)),
        STR_ARG(str_head(name, 50)));
}

static const struct pickle_value *item(const struct pickle_value *v, size_t i,
                                       enum pickle_kind kind)
{
    return i < v->count && v->items[i]->kind == kind ? v->items[i] : NULL;
}

/* ('storage', type, key, device, numbers[, None]) */
static void push_storage(struct machine *m)
{
    struct pickle_value *id = pop(m);
    if (m->err) return;
    const struct pickle_value *word = NULL, *type = NULL, *key = NULL, *numbers = NULL;
    if (id->kind == PICKLE_TUPLE) {
        word = item(id, 0, PICKLE_STR);
        type = item(id, 1, PICKLE_GLOBAL);
        key = item(id, 2, PICKLE_STR);
        numbers = item(id, 4, PICKLE_INT);
    }
    bool view = id->count > 5 && id->items[5]->kind != PICKLE_NONE;
    if (!word || !str_eq(word->text, STR("storage")) || !type || !key || !numbers || view ||
        globals[type->number].use != IS_STORAGE || numbers->number < 0) {
        bad(m, "its pickle refers to something that is no plain storage");
        return;
    }
    struct pickle_storage *s = arena_new(m->arena, struct pickle_storage);
    struct pickle_value *v = make(m, PICKLE_STORAGE);
    if (s == NULL || v == NULL) {
        m->err = ERR_MEMORY;
        return;
    }
    const struct known *k = &globals[type->number];
    *s = (struct pickle_storage){key->text, k->name, k->number_bytes, k->weight_type,
                                 numbers->number};
    v->storage = s;
    push(m, v);
}

/* _rebuild_tensor_v2(storage, offset, size, stride, ...) */
static void push_tensor(struct machine *m, const struct pickle_value *args)
{
    const struct pickle_value *storage = item(args, 0, PICKLE_STORAGE),
                              *offset = item(args, 1, PICKLE_INT);
    const struct pickle_value *size = item(args, 2, PICKLE_TUPLE),
                              *stride = item(args, 3, PICKLE_TUPLE);
    if (!storage || !offset || !size || !stride || size->count != stride->count ||
        offset->number < 0) {
        bad(m, "its pickle describes a tensor wrongly");
        return;
    }
    struct pickle_tensor *t = arena_new(m->arena, struct pickle_tensor);
    struct pickle_value *v = make(m, PICKLE_TENSOR);
    if (t == NULL || v == NULL) {
        m->err = ERR_MEMORY;
        return;
    }
    t->storage = storage->storage;
    t->offset = offset->number;
    t->dims = size->count < 1000 ? (int)size->count : 1000;
    for (size_t i = 0; i < size->count && i < TENSOR_DIMS_MAX; i++) {
        const struct pickle_value *n = item(size, i, PICKLE_INT), *by = item(stride, i, PICKLE_INT);
        if (!n || !by || n->number < 0 || by->number < 0) {
            bad(m, "its pickle describes a tensor wrongly");
            return;
        }
        t->shape[i] = n->number;
        t->stride[i] = by->number;
    }
    v->tensor = t;
    push(m, v);
}

static void reduce(struct machine *m)
{
    struct pickle_value *args = pop(m), *callee = pop(m);
    if (m->err) return;
    if (callee->kind != PICKLE_GLOBAL || args->kind != PICKLE_TUPLE) {
        bad(m, "its pickle calls something that is no function");
    } else if (globals[callee->number].use == MAKES_TENSOR) {
        push_tensor(m, args);
    } else if (globals[callee->number].use == MAKES_DICT && args->count == 0) {
        push(m, make(m, PICKLE_DICT));
    } else {
        bad(m, "its pickle calls %s in a way that is never run", globals[callee->number].name);
    }
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* One instruction (names as in Python's pickletools); false after STOP. */
static bool step(struct machine *m)
{
    const uint8_t *op = take(m, 1);
    str module, name;
    if (op == NULL) return false;
    switch (*op) {
    case 0x80: /* PROTO */ take(m, 1); break;
    case 0x95: /* FRAME */ take(m, 8); break;
    case '.': /* STOP */ return false;
    case 'N': /* NONE */ push(m, make(m, PICKLE_NONE)); break;
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */ push_number(m, PICKLE_BOOL, *op == 0x88); break;
    case 'K': /* BININT1 */ push_number(m, PICKLE_INT, (int64_t)take_uint(m, 1)); break;
    case 'M': /* BININT2 */ push_number(m, PICKLE_INT, (int64_t)take_uint(m, 2)); break;
    case 'J': /* BININT */ push_number(m, PICKLE_INT, (int32_t)take_uint(m, 4)); break;
    case 0x8a: /* LONG1 */ push_long(m, take_uint(m, 1)); break;
    case 0x8b: /* LONG4 */ push_long(m, take_uint(m, 4)); break;
    case 'G': /* BINFLOAT */
        take(m, 8);
        push(m, make(m, PICKLE_FLOAT));
        break;
    case 'X': /* BINUNICODE */
    case 'T': /* BINSTRING */ push_text(m, take_text(m, take_uint(m, 4))); break;
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U': /* SHORT_BINSTRING */ push_text(m, take_text(m, take_uint(m, 1))); break;
    case '(': /* MARK */ mark(m); break;
    case ')': /* EMPTY_TUPLE */ push(m, make(m, PICKLE_TUPLE)); break;
    case ']': /* EMPTY_LIST */ push(m, make(m, PICKLE_LIST)); break;
    case '}': /* EMPTY_DICT */ push(m, make(m, PICKLE_DICT)); break;
    case 't': /* TUPLE */ collect(m, PICKLE_TUPLE, unmark(m)); break;
    case 0x85: /* TUPLE1, TUPLE2, TUPLE3 */
    case 0x86:
    case 0x87: collect_last(m, *op - 0x84u); break;
    case 'a': /* APPEND */ append_last(m, PICKLE_LIST, 1); break;
    case 'e': /* APPENDS */ append(m, PICKLE_LIST, unmark(m)); break;
    case 's': /* SETITEM */ append_last(m, PICKLE_DICT, 2); break;
    case 'u': /* SETITEMS */ append(m, PICKLE_DICT, unmark(m)); break;
    case 'q': /* BINPUT */ remember(m, take_uint(m, 1)); break;
    case 'r': /* LONG_BINPUT */ remember(m, take_uint(m, 4)); break;
    case 0x94: /* MEMOIZE */ remember(m, m->memo_next); break;
    case 'h': /* BINGET */ recall(m, take_uint(m, 1)); break;
    case 'j': /* LONG_BINGET */ recall(m, take_uint(m, 4)); break;
    case 'c': /* GLOBAL */
        module = take_line(m);
        name = take_line(m);
        push_global(m, module, name);
        break;
    case 0x93: { /* STACK_GLOBAL */
        struct pickle_value *n = pop(m), *mod = pop(m);
        if (!m->err) push_global(m, mod->text, n->text);
        break;
    }
    case 'Q': /* BINPERSID */ push_storage(m); break;
    case 'R': /* REDUCE */ reduce(m); break;
    case 'b': /* BUILD: attributes of a dict (`_metadata`), of no use here */
        if (pop(m) && top(m) && top(m)->kind != PICKLE_DICT) {
            bad(m, "its pickle builds something that is no dictionary");
        }
        break;
    default: bad(m, "its pickle holds the instruction 0x%02x, which is not supported", *op);
    }
    return !m->err;
}

enum err pickle_read(struct pickle_value **out, struct arena *arena, str *bytes,
                     char fault[PICKLE_FAULT_BYTES])
{
    const uint8_t *begin = (const uint8_t *)bytes->at;
    struct machine m = {.arena = arena, .at = begin, .end = begin + bytes->len, .fault = fault};
    while (step(&m)) continue;
    struct pickle_value *v = m.err ? NULL : pop(&m);
    if (!m.err && m.depth != 0) bad(&m, "its pickle leaves something behind");
    if (m.err) return m.err;
    *out = v;
    *bytes = str_tail(*bytes, (size_t)(m.at - begin));
    return ERR_NONE;
}
