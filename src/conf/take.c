/* A value by its type: checked, and put into its field of struct conf. */
#include <math.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "conf/limits.h"
#include "conf/state.h"
#include "conf/values.h"

static void *field(struct conf *c, const struct setting *r)
{
    return (char *)c + r->at;
}

static void put_text(struct conf *c, size_t row, const char *text)
{
    c->state->of[row].text = text;
    if (settings[row].into == INTO_TEXT) *(const char **)field(c, &settings[row]) = text;
}

static void put_number(struct conf *c, size_t row, double n)
{
    const struct setting *r = &settings[row];
    void *at = field(c, r);

    switch (r->into) {
    case INTO_INT: *(int *)at = (int)n; break;
    case INTO_INT64: *(int64_t *)at = (int64_t)n; break;
    case INTO_DOUBLE: *(double *)at = n; break;
    case INTO_MS: {
        /* Something over nothing stays so. */
        double ms = n * r->unit_ms;
        *(int64_t *)at = ms > 0 && ms < 1 ? 1 : (int64_t)(ms + 0.5);
        break;
    }
    default: break;
    }
}

/* Bounds of the table are whole numbers; every value up to 2^53 is exact in a double. */
static void take_number(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];
    double n = NAN;
    int64_t whole;

    if (r->type == SETTING_INT) {
        if (!values_int(raw, &whole)) {
            conf_mistake(c, r->name, "expected an integer, got \"%s\"", conf_quote(c, raw));
            return;
        }
        n = (double)whole;
    } else if (!values_float(raw, &n)) {
        conf_mistake(c, r->name, "expected a number, got \"%s\"", conf_quote(c, raw));
        return;
    }
    const char *got = conf_quote(c, str_trim(raw));
    if (r->or_zero && n == 0) {
        put_number(c, row, n);
    } else if (n > r->max || n < r->min) {
        conf_mistake(c, r->name, "must be %sbetween %.0f and %.0f, got %s",
                     r->or_zero && r->min > 1 ? "0 or " : "", r->min, r->max, got);
    } else if (r->above_min && n == r->min) {
        conf_mistake(c, r->name, "must be over %.0f, got %s", r->min, got);
    } else {
        put_number(c, row, n);
    }
}

static int index_of(const char *const *words, str word)
{
    for (int i = 0; words[i]; i++)
        if (str_eq_nocase(word, str_of(words[i]))) return i;
    return -1;
}

static const char *joined(struct conf *c, const char *const *words, size_t count,
                          const char *between)
{
    struct buf all;

    buf_init(&all, 2 * ENV_VALUE_BYTES_MAX);
    for (size_t i = 0; i < count; i++) buf_addf(&all, "%s%s", i ? between : "", words[i]);
    if (all.bad) c->state->no_memory = true;
    const char *kept = conf_keep(c, buf_str(&all));
    buf_fini(&all);
    return kept;
}

static const char *one_of(struct conf *c, const char *const *words)
{
    size_t count = 0;

    while (words[count]) count++;
    return joined(c, words, count, ", ");
}

static void take_word(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];
    str word = str_trim(raw);
    int at = index_of(r->words, word);

    if (at < 0) {
        conf_mistake(c, r->name, "one of %s", one_of(c, r->words));
        return;
    }
    c->state->of[row].text = r->words[at];
    if (r->into == INTO_INDEX)
        *(enum level *)field(c, r) = (enum level)at;
    else if (r->into == INTO_IS)
        *(bool *)field(c, r) = strcmp(r->words[at], r->is) == 0;
}

static void take_device(struct conf *c, size_t row, str raw)
{
    str word = str_trim(raw);
    str number = str_tail(word, 5);
    uint64_t n;

    if (str_eq_nocase(word, STR("auto")) || str_eq_nocase(word, STR("cpu")))
        put_text(c, row, str_eq_nocase(word, STR("cpu")) ? "cpu" : "auto");
    else if (str_eq_nocase(word, STR("cuda")) ||
             (str_starts_nocase(word, STR("cuda:")) && str_to_u64(number, &n)))
        conf_mistake(
            c, settings[row].name,
            "Sema computes on the CPU; for a GPU set MODEL_TYPE=openai and OPENAI_BASE_URL to "
            "a vLLM server");
    else
        conf_mistake(c, settings[row].name, "one of %s", one_of(c, settings[row].words));
}

static void take_backend(struct conf *c, size_t row, str raw)
{
    const char *type = settings_backend(str_trim(raw));

    if (type == NULL)
        conf_mistake(c, settings[row].name, "unknown backend \"%s\"; one of %s", conf_quote(c, raw),
                     one_of(c, settings_backends));
    else
        put_text(c, row, type);
}

/* No message about a secret holds any of it. */
static void take_secret(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];
    str value = str_trim(raw);

    if (value.len != raw.len) conf_warning(c, "%s: cut white space around its value", r->name);
    if (value.len == 0) {
        c->state->of[row] = (struct conf_source){0};
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.at[i] <= ' ' || (unsigned char)value.at[i] >= 0x7f) {
            conf_mistake(c, r->name, "must be visible ASCII characters without blanks");
            return;
        }
    }
    if (value.len < (size_t)r->min) {
        conf_mistake(c, r->name, "at least %.0f %s", r->min, r->unit);
        return;
    }
    put_text(c, row, conf_keep(c, value));
}

static void take_url(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];
    struct address a;
    str url = str_trim(raw);

    if (!values_address(&a, url) ||
        (r->type == SETTING_URL && !str_eq_nocase(a.scheme, STR("http")) &&
         !str_eq_nocase(a.scheme, STR("https")))) {
        conf_mistake(c, r->name, "not a valid http(s) address: \"%s\"", conf_quote(c, raw));
        return;
    }
    if (r->type == SETTING_URL && a.user.at) {
        conf_mistake(c, r->name, "must not hold a user or password: \"%s\"", conf_quote(c, url));
        return;
    }
    while (a.rest.len && a.rest.at[a.rest.len - 1] == '/') a.rest.len--;
    url.len = (size_t)(a.rest.at - url.at) + a.rest.len;
    put_text(c, row, conf_keep(c, url));
}

static void take_string(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];

    if (r->max > 0) {
        size_t count = utf8_count(raw);
        if ((double)count > r->max || (double)count < r->min) {
            conf_mistake(c, r->name, "must have %.0f to %.0f characters, got %zu", r->min, r->max,
                         count);
            return;
        }
    }
    put_text(c, row, conf_keep(c, raw));
}

static void take_list(struct conf *c, size_t row, str raw)
{
    const struct setting *r = &settings[row];
    struct conf_list list;
    enum err e = values_list(&list, raw, &c->state->arena);

    if (e == ERR_MEMORY) {
        c->state->no_memory = true;
    } else if (e) {
        conf_mistake(c, r->name, "expected a JSON array or comma-separated list, got \"%s\"",
                     conf_quote(c, raw));
    } else if (r->into == INTO_LIST) {
        *(struct conf_list *)field(c, r) = list;
        c->state->of[row].text = conf_keep(c, raw);
    } else {
        /* Kept with commas between: one form for whoever takes it apart. */
        put_text(c, row, joined(c, list.at, list.count, ","));
    }
}

static void take_bool(struct conf *c, size_t row, str raw)
{
    if (!values_bool(raw, (bool *)field(c, &settings[row])))
        conf_mistake(c, settings[row].name, "expected a boolean, got \"%s\"", conf_quote(c, raw));
}

static void take(struct conf *c, size_t row, str raw)
{
    if (!utf8_valid(raw)) {
        conf_mistake(c, settings[row].name, "not UTF-8");
        return;
    }
    switch (settings[row].type) {
    case SETTING_INT:
    case SETTING_FLOAT: take_number(c, row, raw); break;
    case SETTING_BOOL: take_bool(c, row, raw); break;
    case SETTING_WORD: take_word(c, row, raw); break;
    case SETTING_DEVICE: take_device(c, row, raw); break;
    case SETTING_BACKEND: take_backend(c, row, raw); break;
    case SETTING_SECRET: take_secret(c, row, raw); break;
    case SETTING_URL:
    case SETTING_PROXY: take_url(c, row, raw); break;
    case SETTING_LIST: take_list(c, row, raw); break;
    case SETTING_PATH: put_text(c, row, conf_path(c, raw)); break;
    case SETTING_STORE:
    case SETTING_STRING: take_string(c, row, raw); break;
    }
}

void take_values(struct conf *c)
{
    for (size_t row = 0; row < settings_count; row++) {
        const struct setting *r = &settings[row];
        if (r->name == NULL) continue;
        if (r->fallback) take(c, row, str_of(r->fallback));
        struct conf_source *source = &c->state->of[row];
        if (source->raw == NULL) continue;
        take(c, row, str_of(source->raw));
        if (source->raw && r->set_at) *(bool *)((char *)c + r->set_at) = true;
    }
}
