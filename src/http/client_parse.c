/* An answer's bytes, by llhttp: heads into views, bodies counted, odd ones refused.  Every callback
 * may find its call cancelled by what it just told. */
#include "http/client_in.h"

static struct client_conn *of(llhttp_t *p)
{
    return container_of(p, struct client_conn, parser);
}

static int bad(struct client_conn *c, enum err e, const char *what)
{
    c->e = err_set(&c->client->why, e, "%s: %s", c->origin->name, what);
    c->client->why.http_status = 0;
    return HPE_USER;
}

static int on_message_begin(llhttp_t *p)
{
    struct client_conn *c = of(p);

    buf_clear(&c->head);
    buf_clear(&c->fields);
    c->in_value = false;
    return 0;
}

static bool head_fits(struct client_conn *c, size_t n)
{
    c->head_bytes += n;
    return c->head_bytes <= UPSTREAM_HEAD_BYTES_MAX;
}

static int on_status(llhttp_t *p, const char *at, size_t n)
{
    (void)at;
    return head_fits(of(p), n) ? 0 : bad(of(p), ERR_SERVER, "the answer's head is too large");
}

static struct client_field *newest_field(struct client_conn *c)
{
    return (struct client_field *)(void *)(c->fields.at + c->fields.len) - 1;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct client_conn *c = of(p);

    if (!head_fits(c, n + 4)) return bad(c, ERR_SERVER, "the answer's head is too large");
    if (c->head_given) return 0; /* a trailer: nobody needs one */
    if (c->in_value || c->fields.len == 0) {
        struct client_field f = {.name = (uint32_t)c->head.len};
        c->in_value = false;
        buf_add(&c->fields, str_span(&f, sizeof f));
        if (c->fields.bad) return bad(c, ERR_SERVER, "the answer's head has too many fields");
    }
    newest_field(c)->name_len += (uint32_t)n;
    buf_add(&c->head, str_span(at, n));
    return c->head.bad ? bad(c, ERR_MEMORY, "out of memory") : 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct client_conn *c = of(p);

    if (!head_fits(c, n)) return bad(c, ERR_SERVER, "the answer's head is too large");
    if (c->head_given || c->fields.len == 0) return 0;
    struct client_field *f = newest_field(c);
    if (!c->in_value) f->value = (uint32_t)c->head.len;
    c->in_value = true;
    f->value_len += (uint32_t)n;
    buf_add(&c->head, str_span(at, n));
    return c->head.bad ? bad(c, ERR_MEMORY, "out of memory") : 0;
}

static int on_value_complete(llhttp_t *p)
{
    struct client_conn *c = of(p);

    if (!c->head_given && c->fields.len && !c->in_value) {
        newest_field(c)->value = (uint32_t)c->head.len; /* an empty one */
        c->in_value = true;
    }
    return 0;
}

/* Content-Encoding that is none, in every spelling of it. */
static bool is_encoded(const struct headers *h)
{
    for (size_t i = 0; i < h->count; i++) {
        str value = str_trim(h->at[i].value);
        if (str_eq_nocase(h->at[i].name, STR("content-encoding")) && value.len &&
            !str_eq_nocase(value, STR("identity")))
            return true;
    }
    return false;
}

static int on_headers_complete(llhttp_t *p)
{
    struct client_conn *c = of(p);
    struct http_call *call = c->call;
    struct header at[UPSTREAM_HEADERS_MAX];
    struct headers h = {at, c->fields.len / sizeof(struct client_field)};
    const struct client_field *f = (const struct client_field *)(const void *)c->fields.at;

    c->interim = p->status_code < 200 && p->status_code != 101;
    if (c->interim) return 0;
    if (p->status_code == 101 && !call->upgrade)
        return bad(c, ERR_SERVER, "the answer switches protocols unasked");
    for (size_t i = 0; i < h.count; i++) {
        at[i].name = str_span(c->head.at + f[i].name, f[i].name_len);
        at[i].value = str_span(c->head.at + f[i].value, f[i].value_len);
    }
    if (is_encoded(&h)) {
        bad(c, ERR_SERVER, "the answer is encoded, which was not asked for");
        c->client->why.http_status = p->status_code;
        return HPE_USER;
    }
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > call->body_bytes_max && !call->is_head)
        return bad(c, ERR_SERVER, "the answer is too large");
    c->head_given = true;
    c->switched = p->status_code == 101;
    bool is_head = call->is_head;
    if (call->to.head) call->to.head(call->to.ctx, p->status_code, &h);
    buf_fini(&c->head);
    buf_fini(&c->fields);
    if (c->call == NULL) return HPE_USER; /* cancelled meanwhile */
    if (p->status_code == 101) return 2;  /* llhttp: nothing of HTTP follows */
    return is_head ? 1 : 0;
}

static int count_body(struct client_conn *c, size_t n)
{
    struct http_call *call = c->call;

    if (n > call->body_bytes_max - call->body_bytes)
        return bad(c, ERR_SERVER, "the answer is too large");
    call->body_bytes += n;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct client_conn *c = of(p);
    struct http_call *call = c->call;
    int rc = count_body(c, n);

    if (rc) return rc;
    if (call->to.body) call->to.body(call->to.ctx, str_span(at, n));
    return c->call ? 0 : HPE_USER;
}

bool client_parse_switched(struct client_conn *c, str bytes)
{
    struct http_call *call = c->call;

    if (bytes.len == 0) return true;
    if (count_body(c, bytes.len)) return false;
    if (call->to.body) call->to.body(call->to.ctx, bytes);
    return c->call != NULL;
}

/* Extensions of chunks are skipped; that they count keeps them from being endless. */
static int on_extension(llhttp_t *p, const char *at, size_t n)
{
    (void)at;
    return count_body(of(p), n);
}

static int on_message_complete(llhttp_t *p)
{
    struct client_conn *c = of(p);

    if (c->interim || c->switched) return 0;
    c->complete = true;
    c->keep = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

void client_parse_settings(llhttp_settings_t *s)
{
    llhttp_settings_init(s);
    s->on_message_begin = on_message_begin;
    s->on_status = on_status;
    s->on_header_field = on_field;
    s->on_header_value = on_value;
    s->on_header_value_complete = on_value_complete;
    s->on_headers_complete = on_headers_complete;
    s->on_body = on_body;
    s->on_chunk_extension_name = on_extension;
    s->on_chunk_extension_value = on_extension;
    s->on_message_complete = on_message_complete;
}

void client_parse_begin(struct client_conn *c)
{
    c->head_bytes = 0;
    c->interim = c->head_given = c->complete = c->keep = c->switched = false;
    buf_fini(&c->head); /* a proxy's answer */
    buf_init(&c->head, 2 * UPSTREAM_HEAD_BYTES_MAX);
    buf_init(&c->fields, UPSTREAM_HEADERS_MAX * sizeof(struct client_field));
    llhttp_init(&c->parser, HTTP_RESPONSE, &c->client->parse);
}
