/* GET /v1/models and /v1/models/{id} for Anthropic's clients, which send anthropic-version
 * (openai-compat.md section 7). */
#include "api/served/anthropic.h"
#include "api/served/listing.h"
#include "base/clock.h"

enum { LIST_BYTES_MAX = 8 << 20, NAMES_MAX = 256 };

static void put_model(const struct call *c, struct json_out *o, str id)
{
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, clock_wall_us() - (clock_mono_us() - c->api->started_us));
    json_object(o);
    json_key(o, "type"), json_text(o, STR("model"));
    json_key(o, "id"), json_text(o, id);
    json_key(o, "display_name"), json_text(o, id);
    json_key(o, "created_at"), json_text(o, str_of(when));
    json_end_object(o);
}

/* One page holds them all, whatever limit was asked for. */
void served_anthropic_models(struct call *c)
{
    struct listed list[NAMES_MAX];
    size_t n = listing_names(c, list, NAMES_MAX);
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "data"), json_array(&o);
    for (size_t i = 0; i < n; i++) put_model(c, &o, list[i].id);
    json_end_array(&o);
    json_key(&o, "has_more"), json_bool(&o, false);
    json_key(&o, "first_id"), json_text_or_null(&o, n ? list[0].id : STR_NONE);
    json_key(&o, "last_id"), json_text_or_null(&o, n ? list[n - 1].id : STR_NONE);
    json_end_object(&o);
    response_header(c->r, "request-id", str_of(c->r->id));
    call_json(c, 200, &body);
}

void served_anthropic_model(struct call *c, str id)
{
    struct buf body;

    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    put_model(c, &o, id);
    response_header(c->r, "request-id", str_of(c->r->id));
    call_json(c, 200, &body);
}
