#include "api/family.h"

#include "base/json.h"

static const char *const ollama_paths[] = {
    "/api/chat",   "/api/generate", "/api/embed",   "/api/embeddings", "/api/tags",
    "/api/ps",     "/api/show",     "/api/version", "/api/pull",       "/api/delete",
    "/api/create", "/api/copy",     "/api/push",
};

static bool below(str path, str folder)
{
    return str_starts(path, folder) && (path.len == folder.len || path.at[folder.len] == '/');
}

enum family family_of(str path, const struct headers *h)
{
    while (path.len > 1 && path.at[1] == '/') path = str_tail(path, 1);
    if (below(path, STR("/v1"))) {
        str rest = str_tail(path, 3);
        while (rest.len > 1 && rest.at[1] == '/') rest = str_tail(rest, 1);
        if (below(rest, STR("/messages"))) return FAMILY_ANTHROPIC;
        bool version = headers_get(h, STR("anthropic-version")).at != NULL;
        return version && below(rest, STR("/models")) ? FAMILY_ANTHROPIC : FAMILY_OPENAI;
    }
    if (below(path, STR("/v1beta"))) return FAMILY_GOOGLE;
    for (size_t i = 0; i < sizeof ollama_paths / sizeof *ollama_paths; i++)
        if (str_eq(path, str_of(ollama_paths[i]))) return FAMILY_OLLAMA;
    return FAMILY_SEMA;
}

static bool is_overload(const struct family_error *e)
{
    return e->status == 503 && e->code && strcmp(e->code, "overloaded") == 0;
}

int family_status(enum family f, const struct family_error *e)
{
    return f == FAMILY_ANTHROPIC && is_overload(e) && !e->lasting ? 529 : e->status;
}

static const char *openai_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static const char *anthropic_type(const struct family_error *e)
{
    switch (e->status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503:
    case 529: return "overloaded_error";
    default: return e->status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static const char *google_status(int status)
{
    switch (status) {
    case 400: return "INVALID_ARGUMENT";
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 408: return "DEADLINE_EXCEEDED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 503: return "UNAVAILABLE";
    case 504: return "DEADLINE_EXCEEDED";
    default: return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
    }
}

static void put_openai(struct json_out *o, const struct family_error *e)
{
    json_object(o);
    json_key(o, "error"), json_object(o);
    json_key(o, "message"), json_text(o, e->message);
    json_key(o, "type"), json_text(o, str_of(openai_type(e->status)));
    json_key(o, "param"), json_text_or_null(o, e->param.len ? e->param : STR_NONE);
    json_key(o, "code"), json_text_or_null(o, str_of(e->code));
    json_end_object(o);
    json_end_object(o);
}

static void put_anthropic(struct json_out *o, const struct family_error *e, str request_id)
{
    json_object(o);
    json_key(o, "type"), json_text(o, STR("error"));
    json_key(o, "error"), json_object(o);
    json_key(o, "type"), json_text(o, str_of(anthropic_type(e)));
    json_key(o, "message"), json_text(o, e->message);
    json_end_object(o);
    if (request_id.len) json_key(o, "request_id"), json_text(o, request_id);
    json_end_object(o);
}

static void put_google(struct json_out *o, const struct family_error *e)
{
    json_object(o);
    json_key(o, "error"), json_object(o);
    json_key(o, "code"), json_int(o, e->status);
    json_key(o, "message"), json_text(o, e->message);
    json_key(o, "status"), json_text(o, str_of(google_status(e->status)));
    if (e->param.len && e->status == 400) {
        json_key(o, "details"), json_array(o), json_object(o);
        json_key(o, "@type"), json_text(o, STR("type.googleapis.com/google.rpc.BadRequest"));
        json_key(o, "fieldViolations"), json_array(o), json_object(o);
        json_key(o, "field"), json_text(o, e->param);
        json_key(o, "description"), json_text(o, e->message);
        json_end_object(o), json_end_array(o);
        json_end_object(o), json_end_array(o);
    }
    json_end_object(o);
    json_end_object(o);
}

void family_error(struct buf *to, enum family f, const struct family_error *e, str request_id)
{
    struct json_out o = json_begin(to);

    o.js_escapes = true;
    switch (f) {
    case FAMILY_ANTHROPIC: put_anthropic(&o, e, request_id); return;
    case FAMILY_GOOGLE: put_google(&o, e); return;
    case FAMILY_OPENAI: put_openai(&o, e); return;
    case FAMILY_OLLAMA:
    case FAMILY_SEMA: break;
    }
    json_object(&o);
    json_key(&o, "error"), json_text(&o, e->message);
    json_end_object(&o);
}
