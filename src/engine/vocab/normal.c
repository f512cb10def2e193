#include "engine/vocab/normal.h"

#include <stdlib.h>

#include <utf8proc.h>

#include "base/utf8.h"
#include "engine/vocab/nform.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/unicode.h"

enum normal_kind {
    NORMAL_PREPEND,
    NORMAL_REPLACE,
    NORMAL_FORM, /* NFC and its kin */
    NORMAL_LOWERCASE,
    NORMAL_STRIP,
    NORMAL_STRIP_ACCENTS, /* every mark goes */
    NORMAL_NMT,           /* control characters go, odd blanks become blanks */
    NORMAL_SQUEEZE,
};

struct normal_step {
    enum normal_kind kind;
    struct pattern *from;
    str to;
    enum nform form;
    bool left, right;
};

/* ---- reading ---- */

static enum err step_add(struct normal *n, struct arena *a, struct normal_step step)
{
    enum err e = step.to.len > NORMAL_TEXT_MAX ? ERR_LIMIT : ERR_NONE;

    if (n->steps == NULL) n->steps = arena_array(a, struct normal_step, NORMAL_STEPS_MAX);
    if (n->steps == NULL) e = ERR_MEMORY;
    if (n->count == NORMAL_STEPS_MAX) e = ERR_LIMIT;
    if (e)
        pattern_free(step.from);
    else
        n->steps[n->count++] = step;
    return e;
}

enum err normal_add_prepend(struct normal *n, struct arena *a, str text)
{
    struct normal_step step = {.kind = NORMAL_PREPEND, .to = arena_str(a, text)};
    return step.to.at ? step_add(n, a, step) : ERR_MEMORY;
}

enum err normal_add_replace(struct normal *n, struct arena *a, str from, str to)
{
    struct normal_step step = {.kind = NORMAL_REPLACE, .to = arena_str(a, to)};
    enum err e = step.to.at ? pattern_new(&step.from, a, from, true, NULL) : ERR_MEMORY;
    return e ? e : step_add(n, a, step);
}

enum err normal_add_nfc(struct normal *n, struct arena *a)
{
    return step_add(n, a, (struct normal_step){.kind = NORMAL_FORM, .form = NFORM_C});
}

enum err normal_add_squeeze(struct normal *n, struct arena *a)
{
    return step_add(n, a, (struct normal_step){.kind = NORMAL_SQUEEZE});
}

static enum err read_replace(struct normal *n, struct arena *a, yyjson_val *json,
                             struct err_note *why)
{
    yyjson_val *pattern = json_get(json, "pattern");
    str literal = json_get_str(pattern, "String"), text = json_get_str(pattern, "Regex");
    struct normal_step step = {.kind = NORMAL_REPLACE,
                               .to = arena_str(a, json_get_str(json, "content"))};

    if (step.to.at == NULL) return ERR_MEMORY;
    enum err e = pattern_new(&step.from, a, literal.at ? literal : text, literal.at != NULL, why);
    return e ? err_context(why, e, "normalizer Replace") : step_add(n, a, step);
}

static enum err read_sequence(struct normal *n, struct arena *a, yyjson_val *list,
                              struct err_note *why)
{
    yyjson_arr_iter each = yyjson_arr_iter_with(list);
    enum err e = ERR_NONE;

    for (yyjson_val *v; !e && (v = yyjson_arr_iter_next(&each));)
        e = normal_from_json(n, a, v, why);
    return e;
}

/* The kinds without settings, or with none but flags. */
static bool simple_step(str type, yyjson_val *json, struct normal_step *step)
{
    static const struct {
        const char *type;
        enum normal_kind kind;
        enum nform form;
    } known[] = {
        {"NFC", NORMAL_FORM, NFORM_C},
        {"NFD", NORMAL_FORM, NFORM_D},
        {"NFKC", NORMAL_FORM, NFORM_KC},
        {"NFKD", NORMAL_FORM, NFORM_KD},
        {"Lowercase", NORMAL_LOWERCASE, 0},
        {"Strip", NORMAL_STRIP, 0},
        {"StripAccents", NORMAL_STRIP_ACCENTS, 0},
        {"Nmt", NORMAL_NMT, 0},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!str_eq(type, str_of(known[i].type))) continue;
        *step = (struct normal_step){.kind = known[i].kind,
                                     .form = known[i].form,
                                     .left = json_get_bool(json, "strip_left", true),
                                     .right = json_get_bool(json, "strip_right", true)};
        return true;
    }
    return false;
}

enum err normal_from_json(struct normal *n, struct arena *a, yyjson_val *json, struct err_note *why)
{
    str type = json_get_str(json, "type");
    struct normal_step step;
    enum err e;

    if (json == NULL || yyjson_is_null(json)) return ERR_NONE;
    if (str_eq(type, STR("Sequence")))
        return read_sequence(n, a, json_get(json, "normalizers"), why);
    else if (str_eq(type, STR("Prepend")))
        e = normal_add_prepend(n, a, json_get_str(json, "prepend"));
    else if (str_eq(type, STR("Replace")))
        e = read_replace(n, a, json, why);
    else if (simple_step(type, json, &step))
        e = step_add(n, a, step);
    else
        return refuse_kind(why, "normalizer", type);
    if (e == ERR_LIMIT)
        e = err_set(why, ERR_MODEL_UNUSABLE, "more than %d normalizers, or a text over %d bytes",
                    NORMAL_STEPS_MAX, NORMAL_TEXT_MAX);
    return e;
}

void normal_fini(struct normal *n)
{
    for (int i = 0; i < n->count; i++) pattern_free(n->steps[i].from);
    *n = (struct normal){0};
}

void normal_work_init(struct normal_work *w, size_t bytes_max, struct pattern_work *pattern)
{
    *w = (struct normal_work){.pattern = pattern};
    buf_init(&w->one, bytes_max);
    buf_init(&w->two, bytes_max);
}

void normal_work_fini(struct normal_work *w)
{
    buf_fini(&w->one);
    buf_fini(&w->two);
    free(w->wide);
    *w = (struct normal_work){0};
}

/* ---- running ---- */

static enum err replace_all(const struct normal_step *step, struct normal_work *w, str text,
                            struct buf *out, struct err_note *why)
{
    size_t done = 0, from = 0, at, end;

    while (from <= text.len && !out->bad) {
        enum err e = pattern_find(step->from, w->pattern, text, from, &at, &end, why);
        if (e) return e;
        if (at == STR_NPOS) break;
        buf_add(out, (str){text.at + done, at - done});
        buf_add(out, step->to);
        done = from = end;
        if (at == end) {
            if (from == text.len) break;
            (void)unicode_next(text.at, &from);
        }
    }
    buf_add(out, str_tail(text, done));
    return ERR_NONE;
}

static void character_add(struct buf *out, uint32_t cp)
{
    char bytes[4];
    buf_add(out, (str){bytes, utf8_put(bytes, cp)});
}

/* As Rust's char::to_lowercase: one character has a lower case of two. */
static void lowercase(str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t cp = unicode_next(text.at, &at);
        if (cp < 128) {
            buf_add_char(out, (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp));
        } else if (cp == 0x130) {
            buf_add(out, STR("i\xCC\x87"));
        } else {
            character_add(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
        }
    }
}

static str stripped(str text, bool left, bool right)
{
    while (left && text.len) {
        size_t used = 0;
        if (!(unicode_kind(unicode_next(text.at, &used)) & UNICODE_SPACE)) break;
        text = str_tail(text, used);
    }
    while (right && text.len) {
        size_t last = unicode_back(text.at, text.len), at = last;
        if (!(unicode_kind(unicode_next(text.at, &at)) & UNICODE_SPACE)) break;
        text = str_head(text, last);
    }
    return text;
}

static void strip_accents(str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        size_t begin = at;
        if (!(unicode_kind(unicode_next(text.at, &at)) & UNICODE_M))
            buf_add(out, (str){text.at + begin, at - begin});
    }
}

/* The table of SentencePiece's "nmt" rules, as the reference has it. */
static void nmt(str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t cp = unicode_next(text.at, &at);
        if ((cp >= 1 && cp <= 8) || cp == 0x0B || (cp >= 0x0E && cp <= 0x1F) || cp == 0x7F ||
            cp == 0x8F || cp == 0x9F)
            continue;
        bool blank = cp == 0x09 || cp == 0x0A || cp == 0x0C || cp == 0x0D || cp == 0x1680 ||
                     (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 ||
                     cp == 0x2581 || cp == 0xFEFF || cp == 0xFFFD;
        character_add(out, blank ? ' ' : cp);
    }
}

static void squeeze(str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == ' ' && (out->len == 0 || out->at[out->len - 1] == ' ')) continue;
        buf_add_char(out, text.at[i]);
    }
    while (out->len && out->at[out->len - 1] == ' ') out->len--;
}

static enum err step_run(const struct normal_step *step, struct normal_work *w, str text,
                         struct buf *to, struct err_note *why)
{
    switch (step->kind) {
    case NORMAL_PREPEND:
        if (text.len) buf_add(to, step->to);
        buf_add(to, text);
        break;
    case NORMAL_REPLACE: return replace_all(step, w, text, to, why);
    case NORMAL_FORM: return nform_add(step->form, text, to, &w->wide, &w->wide_cap);
    case NORMAL_LOWERCASE: lowercase(text, to); break;
    case NORMAL_STRIP: buf_add(to, stripped(text, step->left, step->right)); break;
    case NORMAL_STRIP_ACCENTS: strip_accents(text, to); break;
    case NORMAL_NMT: nmt(text, to); break;
    case NORMAL_SQUEEZE: squeeze(text, to); break;
    }
    return ERR_NONE;
}

enum err normal_run(const struct normal *n, struct normal_work *w, str text, str *out,
                    struct err_note *why)
{
    struct buf *to = &w->one;

    for (int i = 0; i < n->count; i++) {
        buf_clear(to);
        enum err e = step_run(&n->steps[i], w, text, to, why);
        if (e) return e;
        if (to->bad)
            return err_set(why, ERR_LIMIT, "the text grows too large when it is normalized");
        text = buf_str(to);
        to = to == &w->one ? &w->two : &w->one;
    }
    *out = text;
    return ERR_NONE;
}
