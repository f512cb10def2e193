/* The room's entrance: a template's life, one rendering's life, and what the other files count
 * with. */
#include "engine/template/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"
#include "conf/limits.h"
#include "engine/template/render.h"

/* ---- parsing ---- */

/* CR LF and CR become LF, one newline at the end goes, bad UTF-8 is replaced. */
static str normalize(struct arena *a, str source)
{
    struct buf b;

    buf_init(&b, source.len * 3 + 1);
    utf8_add_repaired(&b, source);
    size_t to = 0;
    for (size_t i = 0; i < b.len; i++) {
        bool cr = b.at[i] == '\r';
        if (cr && i + 1 < b.len && b.at[i + 1] == '\n') i++;
        b.at[to++] = cr ? '\n' : b.at[i];
    }
    if (to && b.at[to - 1] == '\n') to--;
    str out = b.bad ? STR_NONE : arena_str(a, str_span(b.at ? b.at : "", to));
    buf_fini(&b);
    return out;
}

enum err template_parse(struct template **out, str source, struct err_note *why)
{
    if (source.len > TEMPLATE_SOURCE_BYTES_MAX)
        return err_set(why, ERR_LIMIT, "the chat template is larger than %d bytes",
                       TEMPLATE_SOURCE_BYTES_MAX);
    struct template *t = calloc(1, sizeof *t);
    if (t == NULL) return ERR_MEMORY;
    arena_init(&t->arena, 0); /* grows with the source, which is bounded */
    str text = normalize(&t->arena, source);
    t->loop = template_name(t, STR("loop"));
    t->varargs = template_name(t, STR("varargs"));
    t->kwargs = template_name(t, STR("kwargs"));
    t->caller = template_name(t, STR("caller"));
    enum err e = text.at && t->names_count == 4 ? parse_template(t, text, why) : ERR_MEMORY;
    if (e) {
        template_free(t);
        return e;
    }
    *out = t;
    return ERR_NONE;
}

void template_free(struct template *t)
{
    if (t == NULL) return;
    arena_fini(&t->arena);
    free(t);
}

/* ---- what a rendering counts ---- */

value render_fail(struct render *r, enum err e, const char *format, ...)
{
    va_list args;
    char text[sizeof r->why->text];

    if (!r->failed) {
        r->failed = e;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        if (e == ERR_INVALID)
            err_set(r->why, e, "%s", text); /* the template's own words */
        else
            err_set(r->why, e, "template line %u: %s", r->line, text);
    }
    return value_none();
}

bool render_step(struct render *r, size_t steps)
{
    r->steps += steps;
    if (r->steps > TEMPLATE_STEPS_MAX)
        render_fail(r, ERR_LIMIT, "the template takes too many steps");
    return !r->failed;
}

bool render_enter(struct render *r)
{
    if (r->failed) return false;
    if (r->depth >= TEMPLATE_DEPTH_MAX) {
        render_fail(r, ERR_LIMIT, "nested too deep");
        return false;
    }
    r->depth++;
    return true;
}

void *render_take_array(struct render *r, size_t count, size_t each)
{
    void *at = r->failed ? NULL : arena_take_array(&r->arena, count, each);
    if (at == NULL && !r->failed) {
        bool full = r->arena.bytes > TEMPLATE_VALUE_BYTES_MAX / 2 ||
                    count > TEMPLATE_VALUE_BYTES_MAX / each;
        render_fail(r, full ? ERR_LIMIT : ERR_MEMORY, "the template uses too much memory");
    }
    return at;
}

void *render_take(struct render *r, size_t bytes)
{
    return render_take_array(r, 1, bytes);
}

void render_buf(struct buf *b)
{
    buf_init(b, TEMPLATE_OUTPUT_BYTES_MAX);
}

value render_text(struct render *r, struct buf *b)
{
    value v = value_str(STR(""));

    if (b->bad) render_fail(r, ERR_LIMIT, "a text is too long");
    if (render_bytes(r, b->len)) {
        str s = arena_str(&r->arena, str_span(b->at ? b->at : "", b->len));
        if (s.at == NULL)
            render_take(r, b->len + 1); /* to fail with the right kind */
        else
            v = value_str(s);
    }
    buf_fini(b);
    return v;
}

/* ---- scopes ---- */

void scope_set(struct render *r, struct scope *s, uint32_t name, value v)
{
    if (r->failed) return;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->at[i].name != name) continue;
        s->at[i].v = v;
        return;
    }
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 8;
        struct binding *wider = render_take_array(r, cap, sizeof *wider);
        if (wider == NULL) return;
        if (s->count) memcpy(wider, s->at, s->count * sizeof *wider);
        s->at = wider;
        s->cap = cap;
    }
    s->at[s->count++] = (struct binding){name, v};
}

value scope_get(struct render *r, struct scope *s, uint32_t name)
{
    for (; s; s = s->up)
        for (uint32_t i = 0; i < s->count; i++)
            if (s->at[i].name == name) return s->at[i].v;

    str text = r->t->names[name];
    yyjson_val *given = NULL, *key, *kid;
    size_t at, max;
    yyjson_obj_foreach(json_object_of(r->context), at, max, key, kid)
    {
        if (str_eq(text, (str){yyjson_get_str(key), yyjson_get_len(key)}))
            given = kid; /* the last counts */
    }
    const struct function *f = given ? NULL : function_find(text);
    value v = given ? value_of_json(r, given)
              : f   ? (value){.kind = VALUE_FUNCTION, .u.function = f}
                    : value_undefined(text);
    scope_set(r, &r->given, name, v);
    return v;
}

/* ---- rendering ---- */

enum err template_render(const struct template *t, yyjson_val *context, const struct tm *now,
                         struct buf *out, struct err_note *why)
{
    struct err_note unused;
    size_t before = out->len;
    struct render r = {
        .t = t, .context = context, .now = *now, .out = out, .why = why ? why : &unused};

    arena_init(&r.arena, TEMPLATE_VALUE_BYTES_MAX);
    r.root.up = &r.given;
    struct tm day = *now; /* day of the week and of the year follow from the date */
    day.tm_isdst = 0;
    if (timegm(&day) != (time_t)-1 || now->tm_year == 69) {
        r.now.tm_wday = day.tm_wday;
        r.now.tm_yday = day.tm_yday;
    }
    if (run(&r, &r.root, t->body) != FLOW_ON)
        render_fail(&r, ERR_UNSUPPORTED, "'break' or 'continue' outside a loop");
    if (!r.failed && out->bad) render_fail(&r, ERR_LIMIT, "the rendered text is too long");
    arena_fini(&r.arena);
    if (r.failed) out->len = before;
    return r.failed;
}
