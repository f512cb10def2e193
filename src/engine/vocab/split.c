#include "engine/vocab/split.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/vocab/decoder.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/unicode.h"

enum split_kind {
    SPLIT_PATTERN,
    SPLIT_KIND,       /* runs of characters of some kinds */
    SPLIT_WORDS,      /* Whitespace: \w+|[^\w\s]+ */
    SPLIT_BYTE_LEVEL, /* optionally a blank in front and a pattern, then the byte-level alphabet */
    SPLIT_METASPACE,
};

enum split_how {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_WITH_PREVIOUS,
    SPLIT_WITH_NEXT,
    SPLIT_CONTIGUOUS
};

struct split_step {
    enum split_kind kind;
    enum split_how how;
    bool invert;
    bool prefix;            /* BYTE_LEVEL, METASPACE: put a blank in front where none is ... */
    bool prefix_only_first; /* ... of the whole input only */
    struct pattern *pattern;
    unsigned kinds;         /* KIND */
    bool ascii_punctuation; /* KIND: ASCII's symbols too */
    str mark;               /* METASPACE */
};

struct split_cut {
    uint32_t at, len;
    bool match;
};

const char split_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char split_qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char split_llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char split_o200k_pattern[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char split_tekken_pattern[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* ---- reading ---- */

static enum err step_add(struct split *s, struct arena *a, struct split_step step)
{
    if (s->count == SPLIT_STEPS_MAX) return ERR_LIMIT;
    if (s->steps == NULL) s->steps = arena_array(a, struct split_step, SPLIT_STEPS_MAX);
    if (s->steps == NULL) return ERR_MEMORY;
    s->steps[s->count++] = step;
    return ERR_NONE;
}

static bool how_read(yyjson_val *json, enum split_how otherwise, enum split_how *how)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    str name = json_get_str(json, "behavior");

    *how = otherwise;
    if (name.at == NULL) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!str_eq_nocase(name, str_of(names[i]))) continue;
        *how = (enum split_how)i;
        return true;
    }
    return false;
}

enum err split_add_digits(struct split *s, struct arena *a)
{
    return step_add(s, a, (struct split_step){.kind = SPLIT_KIND, .kinds = UNICODE_N});
}

enum err split_add_pattern(struct split *s, struct arena *a, str pattern, bool prefix,
                           struct err_note *why)
{
    struct split_step step = {.kind = SPLIT_PATTERN, .prefix = prefix};
    enum err e = pattern_new(&step.pattern, a, pattern, false, why);
    if (e) return e;
    e = step_add(s, a, step);
    if (e) pattern_free(step.pattern);
    return e;
}

enum err split_add_byte_level(struct split *s, struct arena *a)
{
    return step_add(s, a, (struct split_step){.kind = SPLIT_BYTE_LEVEL});
}

static enum err read_split(struct split *s, struct arena *a, yyjson_val *json, struct err_note *why)
{
    struct split_step step = {.kind = SPLIT_PATTERN,
                              .invert = json_get_bool(json, "invert", false)};
    yyjson_val *pattern = json_get(json, "pattern");
    str literal = json_get_str(pattern, "String"), text = json_get_str(pattern, "Regex");

    if (json_str(pattern).at) literal = json_str(pattern); /* as older files have it */
    if (!how_read(json, SPLIT_ISOLATED, &step.how))
        return err_set(why, ERR_MODEL_UNUSABLE, "pre_tokenizer Split with an unknown behavior");
    enum err e =
        pattern_new(&step.pattern, a, literal.at ? literal : text, literal.at != NULL, why);
    if (e) return err_context(why, e, "pre_tokenizer Split");
    e = step_add(s, a, step);
    if (e) pattern_free(step.pattern);
    return e;
}

static enum err read_byte_level(struct split *s, struct arena *a, yyjson_val *json,
                                struct err_note *why)
{
    struct split_step step = {.kind = SPLIT_BYTE_LEVEL,
                              .prefix = json_get_bool(json, "add_prefix_space", true)};

    if (json_get_bool(json, "use_regex", true)) {
        enum err e = pattern_new(&step.pattern, a, str_of(split_gpt2_pattern), false, why);
        if (e) return e;
    }
    enum err e = step_add(s, a, step);
    if (e) pattern_free(step.pattern);
    return e;
}

static enum err read_metaspace(struct split *s, struct arena *a, yyjson_val *json,
                               struct err_note *why)
{
    str mark = json_get_str(json, "replacement"), scheme = json_get_str(json, "prepend_scheme");
    struct split_step step = {
        .kind = SPLIT_METASPACE,
        .mark = arena_str(a, mark.len ? mark : STR("\xE2\x96\x81")),
        .how = json_get_bool(json, "split", true) ? SPLIT_WITH_NEXT : SPLIT_CONTIGUOUS,
        .prefix = !str_eq(scheme, STR("never")) && json_get_bool(json, "add_prefix_space", true),
        .prefix_only_first = str_eq(scheme, STR("first")),
    };

    if (step.mark.at == NULL) return ERR_MEMORY;
    if (utf8_count(step.mark) != 1)
        return err_set(why, ERR_MODEL_UNUSABLE,
                       "pre_tokenizer Metaspace: replacement is not one character");
    if (step.how == SPLIT_WITH_NEXT) {
        enum err e = pattern_new(&step.pattern, a, step.mark, true, why);
        if (e) return e;
    }
    enum err e = step_add(s, a, step);
    if (e) pattern_free(step.pattern);
    return e;
}

static enum err read_sequence(struct split *s, struct arena *a, yyjson_val *list,
                              struct err_note *why)
{
    yyjson_arr_iter each = yyjson_arr_iter_with(list);
    enum err e = ERR_NONE;

    for (yyjson_val *v; !e && (v = yyjson_arr_iter_next(&each));) e = split_from_json(s, a, v, why);
    return e;
}

enum err split_from_json(struct split *s, struct arena *a, yyjson_val *json, struct err_note *why)
{
    str type = json_get_str(json, "type");
    struct split_step step = {.kind = SPLIT_KIND};
    enum err e;

    if (json == NULL || yyjson_is_null(json)) return ERR_NONE;
    if (str_eq(type, STR("Sequence"))) {
        return read_sequence(s, a, json_get(json, "pretokenizers"), why);
    } else if (str_eq(type, STR("Split"))) {
        e = read_split(s, a, json, why);
    } else if (str_eq(type, STR("ByteLevel"))) {
        e = read_byte_level(s, a, json, why);
    } else if (str_eq(type, STR("Metaspace"))) {
        e = read_metaspace(s, a, json, why);
    } else if (str_eq(type, STR("Digits"))) {
        step.kinds = UNICODE_N;
        step.how =
            json_get_bool(json, "individual_digits", false) ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        e = step_add(s, a, step);
    } else if (str_eq(type, STR("Whitespace"))) {
        step = (struct split_step){.kind = SPLIT_WORDS, .how = SPLIT_REMOVED, .invert = true};
        e = step_add(s, a, step);
    } else if (str_eq(type, STR("WhitespaceSplit"))) {
        step.kinds = UNICODE_SPACE;
        step.how = SPLIT_REMOVED;
        e = step_add(s, a, step);
    } else if (str_eq(type, STR("Punctuation"))) {
        step.kinds = UNICODE_P;
        step.ascii_punctuation = true;
        if (!how_read(json, SPLIT_ISOLATED, &step.how))
            return err_set(why, ERR_MODEL_UNUSABLE,
                           "pre_tokenizer Punctuation with an unknown behavior");
        e = step_add(s, a, step);
    } else {
        return refuse_kind(why, "pre_tokenizer", type);
    }
    return e == ERR_LIMIT
               ? err_set(why, ERR_MODEL_UNUSABLE, "more than %d pre_tokenizers", SPLIT_STEPS_MAX)
               : e;
}

void split_fini(struct split *s)
{
    for (int i = 0; i < s->count; i++) pattern_free(s->steps[i].pattern);
    *s = (struct split){0};
}

void split_work_fini(struct split_work *w)
{
    pieces_fini(&w->one);
    pieces_fini(&w->two);
    free(w->cuts);
    *w = (struct split_work){0};
}

/* ---- finding the cuts ---- */

static enum err cut_add(struct split_work *w, size_t at, size_t end, bool match)
{
    if (at == end) return ERR_NONE;
    if (w->cuts_count == w->cuts_cap) {
        size_t cap = w->cuts_cap ? w->cuts_cap * 2 : 64;
        struct split_cut *cuts = realloc(w->cuts, cap * sizeof *cuts);
        if (cuts == NULL) return ERR_MEMORY;
        w->cuts = cuts;
        w->cuts_cap = cap;
    }
    w->cuts[w->cuts_count++] = (struct split_cut){(uint32_t)at, (uint32_t)(end - at), match};
    return ERR_NONE;
}

static enum err cuts_of_pattern(struct split_work *w, const struct pattern *p, str text,
                                struct err_note *why)
{
    size_t done = 0, from = 0, at, end;

    while (from <= text.len) {
        enum err e = pattern_find(p, w->pattern, text, from, &at, &end, why);
        if (e) return e;
        if (at == STR_NPOS) break;
        e = cut_add(w, done, at, false);
        if (!e) e = cut_add(w, at, end, true);
        if (e) return e;
        done = from = end;
        if (at == end) { /* nothing was matched: go on one character later */
            if (from == text.len) break;
            (void)unicode_next(text.at, &from);
        }
    }
    return cut_add(w, done, text.len, false);
}

static bool ascii_punctuation(uint32_t cp)
{
    return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
           (cp >= 123 && cp <= 126);
}

static enum err cuts_of_kind(struct split_work *w, const struct split_step *step, str text)
{
    size_t done = 0;

    for (size_t at = 0; at < text.len;) {
        size_t begin = at;
        uint32_t cp = unicode_next(text.at, &at);
        if (!(unicode_kind(cp) & step->kinds) &&
            !(step->ascii_punctuation && ascii_punctuation(cp)))
            continue;
        enum err e = cut_add(w, done, begin, false);
        if (!e) e = cut_add(w, begin, at, true);
        if (e) return e;
        done = at;
    }
    return cut_add(w, done, text.len, false);
}

/* Runs of word characters and runs of neither words nor blanks match; blanks do not. */
static enum err cuts_of_words(struct split_work *w, str text)
{
    size_t begin = 0;
    int run = -1; /* 0 blanks, 1 word, 2 other */

    for (size_t at = 0; at < text.len;) {
        size_t here = at;
        unsigned kind = unicode_kind(unicode_next(text.at, &at));
        int now = kind & UNICODE_WORD ? 1 : kind & UNICODE_SPACE ? 0 : 2;
        if (now == run) continue;
        enum err e = cut_add(w, begin, here, run > 0);
        if (e) return e;
        begin = here;
        run = now;
    }
    return cut_add(w, begin, text.len, run > 0);
}

/* ---- from cuts to pieces ---- */

static void cuts_join(struct split_work *w, enum split_how how, bool invert)
{
    struct split_cut *cuts = w->cuts;
    size_t count = w->cuts_count, kept = 0;
    bool before = false;

    for (size_t i = 0; i < count; i++) cuts[i].match = cuts[i].match != invert;
    if (how == SPLIT_ISOLATED) return;
    if (how == SPLIT_WITH_NEXT) { /* from the end, so that a match is joined to what follows it */
        for (size_t i = count; i-- > 0;) {
            bool match = cuts[i].match;
            if (match && !before && i + 1 < count) {
                cuts[count - kept].at = cuts[i].at;
                cuts[count - kept].len += cuts[i].len;
            } else {
                kept++;
                cuts[count - kept] = cuts[i];
            }
            before = match;
        }
        memmove(cuts, cuts + (count - kept), kept * sizeof *cuts);
        w->cuts_count = kept;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool match = cuts[i].match, joins = false;
        if (how == SPLIT_REMOVED && match) continue;
        if (how == SPLIT_CONTIGUOUS) joins = kept && match == before;
        if (how == SPLIT_WITH_PREVIOUS) joins = kept && match && !before;
        if (joins)
            cuts[kept - 1].len += cuts[i].len;
        else
            cuts[kept++] = cuts[i];
        before = match;
    }
    w->cuts_count = kept;
}

/* Cuts one piece of *from, whose text stands at `at` of the text of *to. */
static enum err piece_cut(const struct split_step *step, struct split_work *w, str text, size_t at,
                          bool first, struct pieces *to, struct err_note *why)
{
    enum err e;

    w->cuts_count = 0;
    if (step->kind == SPLIT_KIND)
        e = cuts_of_kind(w, step, text);
    else if (step->kind == SPLIT_WORDS)
        e = cuts_of_words(w, text);
    else
        e = cuts_of_pattern(w, step->pattern, text, why);
    if (e) return e;
    cuts_join(w, step->how, step->invert);
    for (size_t i = 0; i < w->cuts_count; i++)
        pieces_mark(to, at + w->cuts[i].at, w->cuts[i].len, first && w->cuts[i].at == 0);
    return ERR_NONE;
}

static void alphabet_add(str text, struct buf *out)
{
    char *to = text.len ? buf_room(out, text.len * 2) : NULL;
    size_t n = 0;

    if (to == NULL) return;
    for (size_t i = 0; i < text.len; i++)
        n += utf8_put(to + n, decoder_character_of((uint8_t)text.at[i]));
    buf_grew(out, n);
}

/* Bytes to characters, piece by piece. */
static void alphabet_run(const struct pieces *from, struct pieces *to)
{
    for (size_t i = 0; i < from->count; i++) {
        size_t at = to->text.len;
        alphabet_add(pieces_at(from, i), &to->text);
        if (to->text.bad) return;
        pieces_mark(to, at, to->text.len - at, from->at[i].first);
    }
}

static void metaspace_add(const struct split_step *step, str text, bool first, struct buf *out)
{
    bool has = str_starts(text, step->mark) || str_starts(text, STR(" "));

    if (step->prefix && !has && (first || !step->prefix_only_first)) buf_add(out, step->mark);
    for (size_t blank; (blank = str_find_char(text, ' ')) != STR_NPOS && !out->bad;) {
        buf_add(out, str_head(text, blank));
        buf_add(out, step->mark);
        text = str_tail(text, blank + 1);
    }
    buf_add(out, text);
}

static enum err step_run(const struct split_step *step, struct split_work *w,
                         const struct pieces *from, struct pieces *to, struct err_note *why)
{
    for (size_t i = 0; i < from->count; i++) {
        str piece = pieces_at(from, i);
        bool first = from->at[i].first;
        size_t at = to->text.len;

        if (step->kind == SPLIT_METASPACE) {
            metaspace_add(step, piece, first, &to->text);
        } else {
            if (step->prefix && !str_starts(piece, STR(" "))) buf_add_char(&to->text, ' ');
            buf_add(&to->text, piece);
        }
        if (to->text.bad)
            return err_set(why, ERR_LIMIT, "the text grows too large when it is split");
        if (step->pattern || step->kind == SPLIT_KIND || step->kind == SPLIT_WORDS) {
            str text = {to->text.at + at, to->text.len - at};
            enum err e = piece_cut(step, w, text, at, first, to, why);
            if (e) return e;
        } else {
            pieces_mark(to, at, to->text.len - at, first);
        }
    }
    return ERR_NONE;
}

enum err split_run(const struct split *s, struct split_work *w, str text, bool first,
                   struct pieces **out, struct err_note *why)
{
    struct pieces *from = &w->one, *to = &w->two, *swap;
    enum err e = ERR_NONE;

    pieces_clear(from);
    if (text.len) pieces_add(from, text, first);
    for (int i = 0; !e && i < s->count; i++) {
        pieces_clear(to);
        e = step_run(&s->steps[i], w, from, to, why);
        if (!e && s->steps[i].kind == SPLIT_BYTE_LEVEL) {
            pieces_clear(from);
            alphabet_run(to, from);
        } else {
            swap = from, from = to, to = swap;
        }
        if (!e) e = pieces_err(from);
    }
    *out = from;
    return e;
}
