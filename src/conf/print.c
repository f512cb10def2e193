/* `sema config`: what is in effect, and where it came from. */
#include "base/buf.h"
#include "base/json.h"
#include "conf/state.h"
#include "conf/values.h"

enum { PRINTED_BYTES_MAX = 4 << 20 }; /* the longest values and all else */

static const void *field(const struct conf *c, const struct setting *r)
{
    return (const char *)c + r->at;
}

static const struct conf_list *list_of(const struct conf *c, const struct setting *r)
{
    const struct conf_list *l = r->into == INTO_LIST ? field(c, r) : NULL;

    return l && (l->set || l->count) ? l : NULL;
}

/* A text as it is in effect; .at NULL when unset. */
static str text_of(const struct conf *c, size_t row, struct arena *a)
{
    const struct setting *r = &settings[row];
    const char *text =
        r->into == INTO_TEXT ? *(const char *const *)field(c, r) : c->state->of[row].text;

    if (text == NULL) return STR_NONE;
    if (r->type == SETTING_SECRET) return STR("***");
    if (r->type == SETTING_PROXY || r->type == SETTING_STORE || r->type == SETTING_URL)
        return values_mask(str_of(text), a);
    return str_of(text);
}

static void add_json(const struct conf *c, size_t row, struct json_out *o, struct arena *a)
{
    const struct setting *r = &settings[row];
    const void *at = field(c, r);

    switch (r->into) {
    case INTO_BOOL: json_bool(o, *(const bool *)at); break;
    case INTO_INT: json_int(o, *(const int *)at); break;
    case INTO_INT64: json_int(o, *(const int64_t *)at); break;
    case INTO_DOUBLE: json_num(o, *(const double *)at); break;
    case INTO_MS: {
        double n = (double)*(const int64_t *)at / r->unit_ms;
        if (r->type == SETTING_INT)
            json_int(o, (int64_t)n);
        else
            json_num(o, n);
        break;
    }
    case INTO_INDEX: json_text(o, str_of(r->words[*(const enum level *)at])); break;
    case INTO_IS: {
        bool is = *(const bool *)at;
        for (int i = 0; r->words[i]; i++)
            if ((strcmp(r->words[i], r->is) == 0) == is) {
                json_text(o, str_of(r->words[i]));
                break;
            }
        break;
    }
    case INTO_LIST: {
        const struct conf_list *l = list_of(c, r);
        if (l == NULL) {
            json_null(o);
            break;
        }
        json_array(o);
        for (size_t i = 0; i < l->count; i++) json_text(o, str_of(l->at[i]));
        json_end_array(o);
        break;
    }
    default: json_text_or_null(o, text_of(c, row, a));
    }
}

/* The same for people: lists with commas, texts as they are. */
static void add_plain(const struct conf *c, size_t row, struct buf *to, struct arena *a)
{
    const struct setting *r = &settings[row];
    const struct conf_list *l = list_of(c, r);
    struct json_out o = json_begin(to);
    size_t before = to->len;

    if (r->into == INTO_LIST) {
        for (size_t i = 0; l && i < l->count; i++) buf_addf(to, "%s%s", i ? "," : "", l->at[i]);
        if (l && l->count == 0) buf_add(to, STR("(empty)"));
    } else if (r->into == INTO_TEXT || r->into == INTO_NONE) {
        str s = text_of(c, row, a);
        if (s.at && s.len == 0) buf_add(to, STR("(empty)"));
        json_escape(to, s, false); /* a line feed in a prompt must not look like the next setting */
    } else if (r->into == INTO_INDEX || r->into == INTO_IS) {
        struct buf word;
        buf_init(&word, 64);
        struct json_out w = json_begin(&word);
        add_json(c, row, &w, a);
        buf_add(to, str_head(str_tail(buf_str(&word), 1), word.len - 2));
        buf_fini(&word);
    } else if (r->into == INTO_DOUBLE) {
        buf_addf(to, "%g", *(const double *)field(c, r));
    } else if (r->into == INTO_MS) {
        buf_addf(to, "%g", (double)*(const int64_t *)field(c, r) / r->unit_ms);
    } else {
        add_json(c, row, &o, a);
    }
    if (to->len == before) buf_add(to, r->otherwise ? str_of(r->otherwise) : STR("-"));
}

static void add_source(const struct conf *c, size_t row, struct buf *to)
{
    const struct conf_source *s = &c->state->of[row];

    switch (s->from) {
    case FROM_DEFAULT: buf_add(to, STR("default")); break;
    case FROM_FLAG: buf_add(to, STR("flag")); break;
    case FROM_ENVIRONMENT: buf_add(to, STR("environment")); break;
    case FROM_FILE: buf_addf(to, "%s line %d", c->state->env_path, s->line); break;
    }
    if (s->name) buf_addf(to, ", %s", s->name);
}

static void print_json(const struct conf *c, struct buf *to, struct arena *a)
{
    struct json_out o = json_begin(to);

    json_object(&o);
    for (size_t row = 0; row < settings_count; row++) {
        const struct conf_source *s = &c->state->of[row];
        if (settings[row].name == NULL) continue;
        json_key(&o, settings[row].name);
        json_object(&o);
        json_key(&o, "value");
        add_json(c, row, &o, a);
        json_key(&o, "source");
        json_text(&o, s->from == FROM_FLAG          ? STR("flag")
                      : s->from == FROM_ENVIRONMENT ? STR("environment")
                      : s->from == FROM_FILE        ? STR("env_file")
                                                    : STR("default"));
        if (s->from == FROM_FILE) {
            json_key(&o, "file"), json_text(&o, str_of(c->state->env_path));
            json_key(&o, "line"), json_int(&o, s->line);
        }
        if (s->name) json_key(&o, "name"), json_text(&o, str_of(s->name));
        json_end_object(&o);
    }
    json_end_object(&o);
    buf_add_char(to, '\n');
}

static void print_text(const struct conf *c, struct buf *to, struct arena *a)
{
    for (size_t row = 0; row < settings_count; row++) {
        if (settings[row].name == NULL) {
            buf_addf(to, "%s# %s\n", row ? "\n" : "", settings[row].text);
            continue;
        }
        buf_addf(to, "%s = ", settings[row].name);
        add_plain(c, row, to, a);
        buf_add(to, STR("  ("));
        add_source(c, row, to);
        buf_add(to, STR(")\n"));
    }
}

void conf_print(const struct conf *c, FILE *to, bool json)
{
    struct buf text;
    struct arena a;

    buf_init(&text, PRINTED_BYTES_MAX);
    arena_init(&a, 0);
    (json ? print_json : print_text)(c, &text, &a);
    fwrite(text.at, 1, text.len, to);
    arena_fini(&a);
    buf_fini(&text);
}
