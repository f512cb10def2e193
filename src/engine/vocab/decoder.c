#include "engine/vocab/decoder.h"

#include "base/utf8.h"
#include "engine/vocab/refuse.h"
#include "engine/vocab/unicode.h"

enum decoder_kind {
    DECODER_REPLACE,
    DECODER_BYTE_FALLBACK,
    DECODER_FUSE,
    DECODER_STRIP,
    DECODER_BYTE_LEVEL,
    DECODER_METASPACE,
    DECODER_SUFFIX, /* BPEDecoder: the end-of-word mark becomes a blank */
};

struct decoder_step {
    enum decoder_kind kind;
    str from, to;
    int left, right;
};

static const str replacement = {"\xEF\xBF\xBD", 3}; /* U+FFFD */
static const str low_line = {"\xE2\x96\x81", 3};    /* U+2581, which stands for a blank */

/* ---- reading ---- */

static enum err step_add(struct decoder *d, struct arena *a, struct decoder_step step)
{
    if (d->count == DECODER_STEPS_MAX) return ERR_LIMIT;
    if (d->steps == NULL) d->steps = arena_array(a, struct decoder_step, DECODER_STEPS_MAX);
    if (d->steps == NULL) return ERR_MEMORY;
    d->steps[d->count++] = step;
    return ERR_NONE;
}

static bool fused(const struct decoder *d)
{
    for (int i = 0; i < d->count; i++)
        if (d->steps[i].kind == DECODER_FUSE || d->steps[i].kind == DECODER_BYTE_LEVEL) return true;
    return false;
}

static enum err strip_add(struct decoder *d, struct arena *a, str content, int left, int right)
{
    struct decoder_step step = {DECODER_STRIP, .from = arena_str(a, content), .left = left,
                                .right = right};

    if (step.from.at == NULL) return ERR_MEMORY;
    if (fused(d) && content.len == 1) {
        d->lead_byte = content.at[0];
        d->lead_max = (uint8_t)left;
    }
    return step_add(d, a, step);
}

static enum err read_metaspace(struct decoder *d, struct arena *a, yyjson_val *json)
{
    str mark = json_get_str(json, "replacement");
    struct decoder_step step = {DECODER_METASPACE,
                                .from = arena_str(a, mark.len ? mark : low_line)};
    str scheme = json_get_str(json, "prepend_scheme");

    if (step.from.at == NULL) return ERR_MEMORY;
    step.left = !str_eq(scheme, STR("never")) && json_get_bool(json, "add_prefix_space", true);
    if (step.left && d->count == 0) d->lead_token = step.from;
    return step_add(d, a, step);
}

enum err decoder_byte_level(struct decoder *d, struct arena *a)
{
    d->byte_level = true;
    return step_add(d, a, (struct decoder_step){.kind = DECODER_BYTE_LEVEL});
}

enum err decoder_sentence(struct decoder *d, struct arena *a, bool drop_prefix)
{
    d->byte_fallback = true;
    enum err e = step_add(d, a, (struct decoder_step){DECODER_REPLACE, low_line, STR(" "), 0, 0});
    if (!e) e = step_add(d, a, (struct decoder_step){.kind = DECODER_BYTE_FALLBACK});
    if (!e) e = step_add(d, a, (struct decoder_step){.kind = DECODER_FUSE});
    if (!e && drop_prefix) e = strip_add(d, a, STR(" "), 1, 0);
    return e;
}

static enum err read_replace(struct decoder *d, struct arena *a, yyjson_val *json,
                             struct err_note *why)
{
    struct decoder_step step = {DECODER_REPLACE,
                                arena_str(a, json_get_str(json_get(json, "pattern"), "String")),
                                arena_str(a, json_get_str(json, "content")), 0, 0};

    if (step.from.at == NULL || step.to.at == NULL) return ERR_MEMORY;
    if (step.from.len == 0 || step.to.len > DECODER_TEXT_MAX)
        return err_set(why, ERR_MODEL_UNUSABLE, "decoder Replace with a bad pattern or content");
    return step_add(d, a, step);
}

static enum err read_strip(struct decoder *d, struct arena *a, yyjson_val *json,
                           struct err_note *why)
{
    str content = json_get_str(json, "content");
    int64_t left = json_get_int(json, "start", 0), right = json_get_int(json, "stop", 0);

    if (content.len == 0 || utf8_count(content) != 1 || left < 0 || left > 255 || right < 0 ||
        right > 255)
        return err_set(why, ERR_MODEL_UNUSABLE, "decoder Strip with a bad content, start or stop");
    return strip_add(d, a, content, (int)left, (int)right);
}

static enum err read_one(struct decoder *d, struct arena *a, yyjson_val *json, struct err_note *why)
{
    str type = json_get_str(json, "type");

    if (str_eq(type, STR("Replace"))) return read_replace(d, a, json, why);
    if (str_eq(type, STR("Strip"))) return read_strip(d, a, json, why);
    if (str_eq(type, STR("ByteLevel"))) return decoder_byte_level(d, a);
    if (str_eq(type, STR("Metaspace"))) return read_metaspace(d, a, json);
    if (str_eq(type, STR("Fuse")))
        return step_add(d, a, (struct decoder_step){.kind = DECODER_FUSE});
    if (str_eq(type, STR("ByteFallback"))) {
        d->byte_fallback = true;
        return step_add(d, a, (struct decoder_step){.kind = DECODER_BYTE_FALLBACK});
    }
    if (str_eq(type, STR("BPEDecoder"))) {
        str suffix = json_get_str(json, "suffix");
        struct decoder_step step = {DECODER_SUFFIX,
                                    .from = arena_str(a, suffix.len ? suffix : STR("</w>"))};
        return step.from.at ? step_add(d, a, step) : ERR_MEMORY;
    }
    return refuse_kind(why, "decoder", type);
}

static enum err read_any(struct decoder *d, struct arena *a, yyjson_val *json, struct err_note *why)
{
    if (!str_eq(json_get_str(json, "type"), STR("Sequence"))) return read_one(d, a, json, why);

    yyjson_arr_iter each = yyjson_arr_iter_with(json_get(json, "decoders"));
    enum err e = ERR_NONE;
    for (yyjson_val *v; !e && (v = yyjson_arr_iter_next(&each));) e = read_any(d, a, v, why);
    return e;
}

enum err decoder_from_json(struct decoder *d, struct arena *a, yyjson_val *json,
                           struct err_note *why)
{
    *d = (struct decoder){0};
    if (json == NULL || yyjson_is_null(json)) {
        d->joined = true;
        return ERR_NONE;
    }
    enum err e = read_any(d, a, json, why);
    return e == ERR_LIMIT
               ? err_set(why, ERR_MODEL_UNUSABLE, "more than %d decoders", DECODER_STEPS_MAX)
               : e;
}

/* ---- the byte-level alphabet ---- */

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

uint32_t decoder_character_of(uint8_t byte)
{
    if (stands_for_itself(byte)) return byte;
    if (byte <= 32) return 0x100u + byte;
    if (byte <= 160) return 0x121u + (byte - 127u);
    return 0x143; /* 173 */
}

int decoder_byte_of(uint32_t cp)
{
    if (cp <= 255) return stands_for_itself(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)(cp - 0x100);
    if (cp <= 0x142) return (int)(cp - 0x121) + 127;
    return cp == 0x143 ? 173 : -1;
}

/* A token with a character outside the alphabet stands for its own bytes. */
static void byte_level_add(str token, struct buf *out)
{
    char *to = token.len ? buf_room(out, token.len) : NULL;
    size_t n = 0;

    if (to == NULL) return;
    for (size_t at = 0; at < token.len;) {
        int byte = decoder_byte_of(unicode_next(token.at, &at));
        if (byte < 0) {
            buf_add(out, token);
            return;
        }
        to[n++] = (char)byte;
    }
    buf_grew(out, n);
}

/* ---- one token ---- */

/* <0xNN>, as the reference reads it: any two hexadecimal digits. */
static int fallback_byte(str token)
{
    unsigned value = 0;

    if (token.len != 6 || memcmp(token.at, "<0x", 3) != 0 || token.at[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        char c = token.at[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit == 16) return -1;
        value = value << 4 | digit;
    }
    return (int)value;
}

static void replace_add(str text, str from, str to, struct buf *out)
{
    for (size_t found; (found = str_find(text, from)) != STR_NPOS;) {
        buf_add(out, str_head(text, found));
        buf_add(out, to);
        if (out->bad) return;
        text = str_tail(text, found + from.len);
    }
    buf_add(out, text);
}

static str stripped(const struct decoder_step *step, str text)
{
    for (int i = 0; i < step->left && str_starts(text, step->from); i++)
        text = str_tail(text, step->from.len);
    for (int i = 0; i < step->right && str_ends(text, step->from); i++)
        text = str_head(text, text.len - step->from.len);
    return text;
}

void decoder_token(const struct decoder *d, str token, struct buf *out, bool *byte)
{
    *byte = false;
    if (d->byte_level) {
        byte_level_add(token, out);
        return;
    }
    int fallback = d->byte_fallback ? fallback_byte(token) : -1;
    if (fallback >= 0) {
        *byte = true;
        buf_add_char(out, (char)fallback);
        return;
    }
    for (int i = 0; i < d->count; i++) {
        const struct decoder_step *step = &d->steps[i];
        if (step->kind == DECODER_FUSE) break;
        if (step->kind == DECODER_STRIP) token = stripped(step, token);
        if (step->kind != DECODER_REPLACE && step->kind != DECODER_METASPACE &&
            step->kind != DECODER_SUFFIX)
            continue;
        if (str_find(token, step->from) == STR_NPOS) continue;
        replace_add(token, step->from, step->kind == DECODER_REPLACE ? step->to : STR(" "), out);
        return; /* one replacement is all that decoders of published models do */
    }
    buf_add(out, token);
}

/* ---- whole texts ---- */

static void fallback_flush(struct pieces *to, struct buf *run)
{
    if (utf8_valid(buf_str(run))) {
        if (run->len) pieces_add(to, buf_str(run), false);
    } else {
        for (size_t i = 0; i < run->len; i++) pieces_add(to, replacement, false);
    }
    buf_clear(run);
}

/* A run of byte tokens is one unit: a valid text, or one U+FFFD for each of its bytes. */
static void fallback_run(const struct pieces *from, struct pieces *to)
{
    struct buf run;

    buf_init(&run, from->count);
    for (size_t i = 0; i < from->count; i++) {
        int byte = fallback_byte(pieces_at(from, i));
        if (byte >= 0) {
            buf_add_char(&run, (char)byte);
            if (run.bad) to->bad = true;
        } else {
            fallback_flush(to, &run);
            pieces_add(to, pieces_at(from, i), false);
        }
    }
    fallback_flush(to, &run);
    buf_fini(&run);
}

static void metaspace_add(const struct decoder_step *step, str token, bool first, struct pieces *to)
{
    size_t at = to->text.len;

    replace_add(token, step->from, first && step->left ? STR("") : STR(" "), &to->text);
    if (!to->text.bad) pieces_mark(to, at, to->text.len - at, false);
}

static void byte_level_run(const struct pieces *from, struct pieces *to)
{
    struct buf bytes;

    buf_init(&bytes, from->text.len);
    for (size_t i = 0; i < from->count; i++) byte_level_add(pieces_at(from, i), &bytes);
    utf8_add_repaired(&to->text, buf_str(&bytes));
    if (bytes.bad) to->bad = true;
    buf_fini(&bytes);
    pieces_mark(to, 0, to->text.len, false);
}

static void suffix_add(const struct decoder_step *step, str token, bool last, struct pieces *to)
{
    size_t at = to->text.len;

    replace_add(token, step->from, last ? STR("") : STR(" "), &to->text);
    if (!to->text.bad) pieces_mark(to, at, to->text.len - at, false);
}

static void step_run(const struct decoder_step *step, const struct pieces *from, struct pieces *to)
{
    if (step->kind == DECODER_BYTE_FALLBACK) {
        fallback_run(from, to);
    } else if (step->kind == DECODER_BYTE_LEVEL) {
        byte_level_run(from, to);
    } else {
        for (size_t i = 0; i < from->count; i++) {
            str token = pieces_at(from, i);
            size_t at = to->text.len;
            switch (step->kind) {
            case DECODER_REPLACE:
                replace_add(token, step->from, step->to, &to->text);
                if (!to->text.bad) pieces_mark(to, at, to->text.len - at, false);
                break;
            case DECODER_METASPACE: metaspace_add(step, token, i == 0, to); break;
            case DECODER_SUFFIX: suffix_add(step, token, i + 1 == from->count, to); break;
            case DECODER_STRIP: pieces_add(to, stripped(step, token), false); break;
            default: buf_add(&to->text, token); break; /* DECODER_FUSE */
            }
        }
        if (step->kind == DECODER_FUSE) pieces_mark(to, 0, to->text.len, false);
    }
}

enum err decoder_run(const struct decoder *d, struct pieces *in, struct pieces *other,
                     struct buf *out)
{
    struct pieces *from = in, *to = other;

    for (int i = 0; i < d->count; i++) {
        pieces_clear(to);
        step_run(&d->steps[i], from, to);
        if (pieces_err(to)) return ERR_MEMORY;
        struct pieces *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < from->count; i++) {
        if (d->joined && i > 0) buf_add_char(out, ' ');
        buf_add(out, pieces_at(from, i));
    }
    return buf_err(out);
}
