#include "engine/vocab/added.h"

#include "engine/vocab/unicode.h"

struct added_node {
    int32_t child, sibling; /* 0: none */
    int32_t token;          /* index of the token that ends here, -1: none */
    uint8_t byte;
};

static const str marker = {ADDED_MARKER, ADDED_MARKER_BYTES};

enum err added_init(struct added *a, struct arena *arena, size_t count, size_t bytes)
{
    *a = (struct added){.cap = count};
    if (count > ADDED_MAX) return ERR_LIMIT;
    a->at = arena_array(arena, struct added_token, count);
    return a->at ? tokens_init(&a->names, arena, count, bytes, (int32_t)count) : ERR_MEMORY;
}

/* White space and the names of HTML elements carry no control meaning: models were trained to read
 * them as these tokens in ordinary text (Gemma has both). */
static bool typographic(str text)
{
    static const char *const elements[] = {"a",     "b",     "blockquote", "br",    "caption",
                                           "code",  "div",   "em",         "h1",    "h2",
                                           "h3",    "h4",    "h5",         "h6",    "i",
                                           "img",   "li",    "ol",         "p",     "pre",
                                           "s",     "span",  "strong",     "sub",   "sup",
                                           "table", "tbody", "td",         "tfoot", "th",
                                           "thead", "tr",    "u",          "ul"};
    bool blank = true;

    for (size_t at = 0; blank && at < text.len;) {
        uint32_t cp = unicode_next(text.at, &at);
        blank = cp == 0x2581 || (unicode_kind(cp) & UNICODE_SPACE);
    }
    if (blank) return true;
    if (!str_starts(text, STR("<")) || !str_ends(text, STR(">"))) return false;
    str name = {text.at + 1, text.len - 2};
    if (str_starts(name, STR("/"))) name = str_tail(name, 1);
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        if (str_eq(name, str_of(elements[i]))) return true;
    return false;
}

void added_put(struct added *a, struct added_token token)
{
    if (token.text.len == 0 || token.text.len > ADDED_BYTES_MAX || a->count == a->cap) return;
    if (added_find(a, token.text)) return;
    token.guarded = token.special || !typographic(token.text);
    tokens_put(&a->names, token.text, (int32_t)a->count);
    token.text = a->names.text[a->count];
    a->at[a->count++] = token;
}

const struct added_token *added_find(const struct added *a, str text)
{
    int32_t index = a->count ? tokens_find(&a->names, text) : -1;
    return index >= 0 ? &a->at[index] : NULL;
}

/* ---- tries ---- */

static int32_t trie_child(const struct added_trie *t, int32_t node, uint8_t byte)
{
    if (node == 0) return t->first[byte];
    int32_t child = t->nodes[node].child;
    while (child && t->nodes[child].byte != byte) child = t->nodes[child].sibling;
    return child;
}

static enum err trie_init(struct added_trie *t, struct arena *arena, size_t bytes)
{
    t->cap = bytes + 1;
    t->count = 1;
    t->nodes = arena_array(arena, struct added_node, t->cap);
    if (t->nodes == NULL) return ERR_MEMORY;
    t->nodes[0].token = -1;
    return ERR_NONE;
}

/* Of two equal texts the first stays: special tokens are put first, as in the reference. */
static void trie_put(struct added_trie *t, str text, int32_t token)
{
    int32_t node = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.at[i];
        int32_t child = trie_child(t, node, byte);
        if (child == 0) {
            child = (int32_t)t->count++;
            t->nodes[child] = (struct added_node){.token = -1, .byte = byte};
            if (node == 0) {
                t->first[byte] = child;
            } else {
                t->nodes[child].sibling = t->nodes[node].child;
                t->nodes[node].child = child;
            }
        }
        node = child;
    }
    if (text.len && t->nodes[node].token < 0) t->nodes[node].token = token;
}

/* The same from the last byte to the first. */
static void ending_put(struct added_trie *t, str text, int32_t token)
{
    char turned[ADDED_BYTES_MAX];

    for (size_t i = 0; i < text.len; i++) turned[i] = text.at[text.len - 1 - i];
    trie_put(t, (str){turned, text.len}, token);
}

/* The longest token that `text` begins with, -1 when none; *len is its length.  `cut` (may be NULL)
 * tells whether the text ended while a longer token was still possible. */
static int32_t trie_longest(const struct added_trie *t, str text, size_t *len, bool *cut)
{
    int32_t node = 0, found = -1;
    size_t i = 0;

    for (; i < text.len; i++) {
        node = trie_child(t, node, (uint8_t)text.at[i]);
        if (node == 0) break;
        if (t->nodes[node].token >= 0) {
            found = t->nodes[node].token;
            *len = i + 1;
        }
    }
    if (cut) *cut = i == text.len && t->nodes[node].child != 0;
    return found;
}

enum err added_build(struct added *a, struct arena *arena, added_normalize_fn *normalized,
                     void *ctx)
{
    size_t raw_bytes = 0, normalized_bytes = 0, guarded_bytes = 0, bytes = 0;
    str *texts = arena_array(arena, str, a->count);
    enum err e = texts ? ERR_NONE : ERR_MEMORY;

    for (size_t i = 0; !e && i < a->count; i++) {
        struct added_token *token = &a->at[i];
        texts[i] = token->text;
        if (token->normalized) e = normalized(ctx, token->text, &texts[i]);
        token->shown = texts[i];
        if (e) break;
        *(token->normalized ? &normalized_bytes : &raw_bytes) += texts[i].len;
        bytes += token->text.len;
        if (normalized_bytes > bytes * ADDED_GROWTH_MAX + ADDED_BYTES_MAX) e = ERR_LIMIT;
        if (token->guarded) guarded_bytes += token->text.len;
    }
    if (!e) e = trie_init(&a->raw, arena, raw_bytes);
    if (!e) e = trie_init(&a->normalized, arena, normalized_bytes);
    if (!e) e = trie_init(&a->guarded, arena, guarded_bytes);
    if (!e) e = trie_init(&a->endings, arena, guarded_bytes);
    if (e) return e;

    for (int special = 1; special >= 0; special--) {
        for (size_t i = 0; i < a->count; i++) {
            const struct added_token *token = &a->at[i];
            if (token->special != (special == 1)) continue;
            trie_put(token->normalized ? &a->normalized : &a->raw, texts[i], (int32_t)i);
            if (!token->guarded) continue;
            trie_put(&a->guarded, token->text, (int32_t)i);
            ending_put(&a->endings, token->text, (int32_t)i);
        }
    }
    return ERR_NONE;
}

/* ---- scanning ---- */

static bool touches_word(str text, size_t start, size_t end)
{
    size_t at;
    uint32_t cp;

    if (start > 0) {
        at = unicode_back(text.at, start);
        cp = unicode_next(text.at, &at);
        if (unicode_kind(cp) & UNICODE_WORD) return true;
    }
    if (end == text.len) return false;
    at = end;
    cp = unicode_next(text.at, &at);
    return unicode_kind(cp) & UNICODE_WORD;
}

static size_t blanks_before(str text, size_t at)
{
    while (at > 0) {
        size_t before = unicode_back(text.at, at), next = before;
        if (!(unicode_kind(unicode_next(text.at, &next)) & UNICODE_SPACE)) break;
        at = before;
    }
    return at;
}

static size_t blanks_after(str text, size_t at)
{
    while (at < text.len) {
        size_t next = at;
        if (!(unicode_kind(unicode_next(text.at, &next)) & UNICODE_SPACE)) break;
        at = next;
    }
    return at;
}

bool added_next(struct added_scan *s, struct added_found *found)
{
    str text = s->text;

    while (s->at < text.len) {
        uint8_t byte = (uint8_t)text.at[s->at];
        if (s->markers && byte == (uint8_t)marker.at[0] &&
            str_starts(str_tail(text, s->at), marker)) {
            while (str_starts(str_tail(text, s->at), marker)) s->at += marker.len;
            if (s->at < text.len) (void)unicode_next(text.at, &s->at); /* nothing may begin here */
            continue;
        }
        size_t len = 0;
        int32_t index = -1;
        if (s->trie->first[byte]) index = trie_longest(s->trie, str_tail(text, s->at), &len, NULL);
        if (index < 0) {
            s->at++;
            continue;
        }
        const struct added_token *token = &s->added->at[index];
        size_t start = s->at, end = s->at + len;
        s->at = end; /* scanning goes on here, whatever the token swallows */
        if (token->single_word && touches_word(text, start, end)) continue;
        if (token->lstrip) start = blanks_before(text, start);
        if (token->rstrip) end = blanks_after(text, end);
        if (start < s->start) start = s->start; /* swallowed by the token before */
        *found = (struct added_found){{text.at + s->start, start - s->start}, token};
        s->start = end;
        return true;
    }
    if (s->start >= text.len) return false;
    *found = (struct added_found){str_tail(text, s->start), NULL};
    s->start = text.len;
    return true;
}

/* ---- guarding ---- */

/* Whether the text could complete a token that what stands before it has begun: "/s>" after "<".
 * What is only the inside of one is left alone: templates write "<|" role "|>". */
static bool completes_token(const struct added *a, str text)
{
    for (size_t end = 0; end < text.len && end < ADDED_BYTES_MAX; end++) {
        int32_t node = a->endings.first[(uint8_t)text.at[end]];
        for (size_t i = end; node && i > 0; i--)
            node = trie_child(&a->endings, node, (uint8_t)text.at[i - 1]);
        if (node && a->endings.nodes[node].child)
            return true; /* more of the token would stand before */
    }
    return false;
}

static void guard_clean(const struct added *a, str text, struct buf *out)
{
    size_t copied = 0;

    if (text.len && completes_token(a, text)) buf_add(out, marker);
    for (size_t at = 0; at < text.len; at++) {
        size_t len = 0;
        bool cut = false;
        if (a->guarded.first[(uint8_t)text.at[at]] == 0) continue;
        if (trie_longest(&a->guarded, str_tail(text, at), &len, &cut) < 0 && !cut) continue;
        buf_add(out, (str){text.at + copied, at - copied});
        buf_add(out, marker);
        copied = at;
    }
    buf_add(out, str_tail(text, copied));
}

void added_unmark(str text, struct buf *out)
{
    for (size_t found; (found = str_find(text, marker)) != STR_NPOS;) {
        buf_add(out, str_head(text, found));
        text = str_tail(text, found + marker.len);
    }
    buf_add(out, text);
}

/* Markers that the text brings along go first, so that what they kept apart is looked at joined. */
void added_guard(const struct added *a, str text, struct buf *out)
{
    if (str_find(text, marker) == STR_NPOS) {
        guard_clean(a, text, out);
        return;
    }
    struct buf clean;
    buf_init(&clean, text.len);
    added_unmark(text, &clean);
    if (clean.bad) out->bad = true;
    guard_clean(a, buf_str(&clean), out);
    buf_fini(&clean);
}
