/* GET /v1/models and /v1/models/{id} for Anthropic's clients, which send anthropic-version
 * (openai-compat.md section 7). */
#include "api/served/anthropic.h"
#include "base/clock.h"

enum { LIST_BYTES_MAX = 8 << 20 };

static void put_model(const struct call *c, struct json_out *o, const struct listed *l)
{
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, listing_made_s(c, l) * 1000000);
    json_object(o);
    json_key(o, "type"), json_text(o, STR("model"));
    json_key(o, "id"), json_text(o, l->id);
    json_key(o, "display_name"), json_text(o, l->id);
    json_key(o, "created_at"), json_text(o, str_of(when));
    json_end_object(o);
}

static size_t place_of(const struct listing *l, str id)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->at[i].id, id)) return i;
    return l->count;
}

/* One page holds them all, whatever limit was asked for; marks are followed all the same. */
void served_anthropic_models(struct call *c, const struct listing *l)
{
    str after = query_get(&c->query, STR("after_id")),
        before = query_get(&c->query, STR("before_id"));
    size_t first = 0, end = l->count;
    struct buf body;

    /* A mark that is not there (any more) starts from the front. */
    if (after.len && place_of(l, after) < l->count) first = place_of(l, after) + 1;
    if (before.len && place_of(l, before) < l->count) end = place_of(l, before);

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "data"), json_array(&o);
    for (size_t i = first; i < end; i++) put_model(c, &o, &l->at[i]);
    json_end_array(&o);
    json_key(&o, "has_more"), json_bool(&o, false);
    json_key(&o, "first_id"), json_text_or_null(&o, first < end ? l->at[first].id : STR_NONE);
    json_key(&o, "last_id"), json_text_or_null(&o, first < end ? l->at[end - 1].id : STR_NONE);
    json_end_object(&o);
    response_header(c->r, "request-id", str_of(c->r->id));
    call_json(c, 200, &body);
}

void served_anthropic_model(struct call *c, const struct listing *l)
{
    served_one_model(c, l, put_model);
}
