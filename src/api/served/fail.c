/* What went wrong with a served request, in its family's words. */
#include <stdio.h>

#include "api/served/served.h"

enum {
    ERROR_BYTES_MAX = 1 << 20,
    MESSAGE_BYTES_MAX = 500, /* of an upstream's words */
};

static const char *code_of(enum err e)
{
    switch (e) {
    case ERR_CONTEXT_LENGTH: return "context_length_exceeded";
    case ERR_CONTENT_FILTER: return "content_filter";
    case ERR_UNSUPPORTED: return "unsupported_value";
    case ERR_BAD_REQUEST: return "invalid_value";
    case ERR_MODEL_NOT_FOUND: return "model_not_found";
    case ERR_RATE_LIMIT: return "rate_limit_exceeded";
    case ERR_TIMEOUT: return "upstream_timeout";
    case ERR_NOT_READY: return "no_backend";
    case ERR_AUTH:
    case ERR_SERVER:
    case ERR_NETWORK: return "upstream_error";
    case ERR_MEMORY:
    case ERR_OVERLOADED:
    case ERR_QUOTA:
    case ERR_QUEUE_FULL:
    case ERR_SHUTTING_DOWN: return "overloaded";
    default: return "internal_error";
    }
}

/* One line of it, bounded, in whole characters. */
static str one_line(str s, struct arena *a)
{
    str kept = arena_str(a, str_head(s, MESSAGE_BYTES_MAX));

    while (kept.len && s.len > kept.len && ((unsigned char)s.at[kept.len] & 0xC0) == 0x80)
        kept.len--;
    for (size_t i = 0; i < kept.len; i++)
        if ((unsigned char)kept.at[i] < ' ') ((char *)(uintptr_t)kept.at)[i] = ' ';
    return kept;
}

/* The field of the request that an error is about, as OpenAI's family calls it. */
static str param_of(const char *about)
{
    str field = str_of(about);
    return str_eq(field, STR("images")) ? STR("messages") : field;
}

void served_error_of(struct family_error *out, enum err e, const struct err_note *why,
                     struct arena *a)
{
    *out = (struct family_error){.status = err_row(e)->status_v1,
                                 .code = code_of(e),
                                 .param = param_of(why ? why->about : NULL),
                                 .message = one_line(str_of(err_text(why, e)), a),
                                 .lasting = e == ERR_QUOTA};
    if (e == ERR_BAD_REQUEST && why && why->http_status == 413) out->status = 413, out->code = NULL;
    /* Named by a client and not fitting beside what runs: another time it may. */
    if (e == ERR_MODEL_TOO_LARGE) out->status = 503, out->code = "overloaded";
}

void served_fail(struct call *c, const struct family_error *e)
{
    struct buf body;

    buf_init(&body, ERROR_BYTES_MAX);
    family_error(&body, c->family, e, str_of(c->r->id));
    response_header(c->r, "request-id", str_of(c->r->id));
    response_header(c->r, "Cache-Control", STR("no-store"));
    call_send(c, family_status(c->family, e), "application/json",
              body.bad ? STR("{\"error\":\"out of memory\"}") : buf_str(&body));
    buf_fini(&body);
}

void served_too_long(struct family_error *f, enum err e, const struct call *c)
{
    if (e == ERR_CONTEXT_LENGTH && c->family == FAMILY_ANTHROPIC &&
        !str_starts(f->message, STR("prompt is too long: ")))
        f->message = arena_strf(&c->r->arena, "prompt is too long: %.*s", STR_ARG(f->message));
}

void served_fail_with(struct call *c, enum err e, const struct err_note *why)
{
    struct family_error f;
    char seconds[16];

    served_error_of(&f, e, why, &c->r->arena);
    served_too_long(&f, e, c);
    if (f.status == 429 || f.status == 503) {
        int ms = why ? why->retry_after_ms : 0;
        snprintf(seconds, sizeof seconds, "%d", ms > 1000 ? (ms + 999) / 1000 : 1);
        response_header(c->r, "Retry-After", str_of(seconds));
    }
    served_fail(c, &f);
}

void served_fail_start(struct call *c, enum err e, const struct err_note *why)
{
    struct family_error f;

    if (e != ERR_MODEL_NOT_FOUND) {
        served_fail_with(c, e, why);
        return;
    }
    served_error_of(&f, e, why, &c->r->arena);
    f.status = 404;
    f.param = STR("model");
    served_fail(c, &f);
}
