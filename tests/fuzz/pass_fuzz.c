/* A client's request and what Sema's own writer made of it, put together (backend/pass.h) by the
 * pieces that it was written in (base/span.h).  The first byte says how, a zero byte stands between
 * the two.  Whatever comes, no byte beside it is read; of JSON the pieces are the members that a
 * parser sees, and what goes up is JSON that says all that ours says. */
#include <stdlib.h>

#include "backend/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 64 };

static const struct pass_key keys[] = {
    {"known", PASS_KNOWN, false}, {"quiet", PASS_KNOWN, true},  {"exact", PASS_EXACT, false},
    {"tools", PASS_EACH, false},  {"write", PASS_WRITE, false}, {"free", PASS_FREE, false},
    {"never", PASS_NEVER, false},
};

static void must(bool holds)
{
    if (!holds) abort();
}

static enum pass_rule rule_of(const char *key, bool *quiet)
{
    *quiet = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, key) == 0) {
            *quiet = keys[i].quiet;
            return keys[i].rule;
        }
    return PASS_KNOWN;
}

static void put_ours(void *ctx, str key, const struct span *raw, yyjson_val *ours,
                     struct json_out *o)
{
    (void)ctx, (void)key;
    if (ours == NULL) return;
    pass_key(o, raw);
    json_val(o, ours);
}

/* ---- pieces ---- */

static void check_spans(str text, yyjson_val *v, struct arena *a);

static void check_value(str text, yyjson_val *v, struct arena *a)
{
    yyjson_doc *doc;

    must(json_read(&doc, text, DEPTH, JSON_RAW_NUMBERS, NULL) == ERR_NONE);
    must(yyjson_equals(yyjson_doc_get_root(doc), v));
    yyjson_doc_free(doc);
    check_spans(text, v, a);
}

/* Of a value that a parser took: the same members in the same order. */
static void check_spans(str text, yyjson_val *v, struct arena *a)
{
    yyjson_obj_iter members = yyjson_obj_iter_with(v);
    yyjson_arr_iter elements = yyjson_arr_iter_with(v);
    struct span_iter it;
    struct span s;

    must(span_open(&it, text) == (yyjson_is_obj(v) || yyjson_is_arr(v)));
    if (!yyjson_is_obj(v) && !yyjson_is_arr(v)) return;
    must(it.object == yyjson_is_obj(v));
    while (span_next(&it, &s)) {
        yyjson_val *key = it.object ? yyjson_obj_iter_next(&members) : NULL;
        yyjson_val *each =
            it.object ? yyjson_obj_iter_get_val(key) : yyjson_arr_iter_next(&elements);
        must(each != NULL);
        if (key) must(str_eq(span_key(s.key, a), json_str(key)));
        check_value(s.value, each, a);
    }
    must(!yyjson_obj_iter_has_next(&members) && !yyjson_arr_iter_has_next(&elements));
}

/* Of any bytes: within them. */
static void walk(str text, int depth)
{
    struct span_iter it;
    struct span s;

    if (depth == 0 || !span_open(&it, text)) return;
    while (span_next(&it, &s)) {
        must(s.value.len && s.value.at >= text.at &&
             s.value.at + s.value.len <= text.at + text.len);
        walk(s.value, depth - 1);
    }
}

/* ---- the merge ---- */

static void check_said(yyjson_val *sent, yyjson_val *ours)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(ours);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&it))) {
        str name = json_str(key);
        bool quiet;
        enum pass_rule rule = rule_of(yyjson_get_str(key), &quiet);
        if (strlen(yyjson_get_str(key)) != name.len) continue; /* a NUL in it */
        if (rule != PASS_KNOWN && rule != PASS_EXACT && rule != PASS_WRITE) continue;
        yyjson_val *said = yyjson_obj_getn(sent, name.at, name.len);
        must(said || quiet);
        if (said) must(pass_says(said, yyjson_obj_getn(ours, name.at, name.len)));
    }
}

static void merge(const struct pass *p, yyjson_val *ours)
{
    yyjson_doc *doc;
    struct buf out;

    buf_init(&out, 1 << 20);
    struct json_out o = json_begin(&out);
    must(pass_merge(p, &o) == ERR_NONE && !out.bad);
    if (json_is_paired(p->received)) {
        must(json_read(&doc, buf_str(&out), DEPTH, JSON_RAW_NUMBERS, NULL) == ERR_NONE);
        must(yyjson_is_obj(yyjson_doc_get_root(doc)));
        check_said(yyjson_doc_get_root(doc), ours);
        yyjson_doc_free(doc);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str in = str_span(data, size), received, ours;
    yyjson_doc *came = NULL, *made = NULL;
    struct arena arena;

    if (size == 0 || size > 1 << 16) return 0;
    ours = str_tail(in, 1);
    if (!str_split(&ours, '\0', &received) || ours.at == NULL) ours = STR("{}");
    arena_init(&arena, 0);
    walk(received, 8);
    if (json_read(&came, received, DEPTH, JSON_RAW_NUMBERS, NULL)) came = NULL;
    if (json_read(&made, ours, DEPTH, JSON_RAW_NUMBERS, NULL)) made = NULL;
    yyjson_val *root = yyjson_doc_get_root(came);
    if (came && json_is_paired(received)) check_spans(received, root, &arena);
    if (yyjson_is_obj(root) && yyjson_obj_size(root) <= RECEIVED_MEMBERS_MAX &&
        yyjson_is_obj(yyjson_doc_get_root(made))) {
        const struct fault f = {.message = ours};
        const struct pass p = {.keys = keys,
                               .count = sizeof keys / sizeof *keys,
                               .others = data[0] & 1,
                               .received = received,
                               .ours = ours,
                               .write = put_ours,
                               .arena = &arena};
        merge(&p, yyjson_doc_get_root(made));
        pass_names_extra(&p, &f);
    }
    yyjson_doc_free(came);
    yyjson_doc_free(made);
    arena_fini(&arena);
    return 0;
}
