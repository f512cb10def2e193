#include "api/openapi.h"

#include <stdio.h>

#include "api/inside.h"
#include "api/validate.h"
#include "base/json.h"

enum { DOCUMENT_BYTES_MAX = 1 << 20 };

#define REF "#/components/schemas/"

static void key_text(struct json_out *o, const char *key, const char *text)
{
    json_key(o, key), json_text(o, str_of(text));
}

static void put_ref(struct json_out *o, const char *schema)
{
    char ref[80];

    snprintf(ref, sizeof ref, REF "%s", schema);
    json_object(o);
    key_text(o, "$ref", ref);
    json_end_object(o);
}

/* ---- schemas ---- */

static const char *type_of(const struct field *f)
{
    switch (f->kind) {
    case FIELD_FLOAT: return "number";
    case FIELD_INT: return "integer";
    case FIELD_BOOL: return "boolean";
    case FIELD_IMAGES: return "array";
    default: return "string";
    }
}

static void put_field_schema(struct json_out *o, const struct field *f)
{
    bool text = f->kind == FIELD_STRING, number = f->kind == FIELD_FLOAT || f->kind == FIELD_INT;

    json_object(o);
    if (f->required) {
        key_text(o, "type", type_of(f));
    } else {
        json_key(o, "type"), json_array(o);
        json_text(o, str_of(type_of(f))), json_text(o, STR("null"));
        json_end_array(o);
    }
    if (text && f->min) json_key(o, "minLength"), json_int(o, f->min);
    if (text && f->max != FIELD_NO_MAX) json_key(o, "maxLength"), json_int(o, f->max);
    if (number) json_key(o, "minimum"), json_int(o, f->min);
    if (number && f->max != FIELD_NO_MAX) json_key(o, "maximum"), json_int(o, f->max);
    if (f->kind == FIELD_IMAGES) {
        json_key(o, "items"), json_object(o);
        key_text(o, "type", "string");
        json_end_object(o);
        json_key(o, "maxItems"), json_int(o, f->max);
    }
    if (f->choices) {
        json_key(o, "enum"), json_array(o);
        for (const char *const *c = f->choices; *c; c++) json_text(o, str_of(*c));
        if (!f->required) json_null(o);
        json_end_array(o);
    }
    json_end_object(o);
}

static void put_chat_request(struct json_out *o)
{
    json_key(o, "ChatRequest"), json_object(o);
    key_text(o, "type", "object");
    json_key(o, "properties"), json_object(o);
    for (size_t i = 0; i < chat_fields_count; i++) {
        if (!(chat_fields[i].in & IN_BODY)) continue;
        json_key(o, chat_fields[i].name);
        put_field_schema(o, &chat_fields[i]);
    }
    json_end_object(o);
    json_key(o, "required"), json_array(o);
    for (size_t i = 0; i < chat_fields_count; i++)
        if (chat_fields[i].required) json_text(o, str_of(chat_fields[i].name));
    json_end_array(o);
    json_end_object(o);
}

/* What is sent out: fixed shapes, in the order of http-api.md's tables. */
/* clang-format off */
static const char answers[] =
    "\"ChatResponse\":{\"type\":\"object\",\"properties\":{"
        "\"message\":{\"type\":\"string\"},\"session_id\":{\"type\":\"string\"},"
        "\"message_id\":{\"type\":\"string\",\"format\":\"uuid\"},\"model_name\":{\"type\":\"string\"},"
        "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"generation_time\":{\"type\":\"number\"},\"token_count\":{\"type\":[\"integer\",\"null\"]},"
        "\"finish_reason\":{\"type\":[\"string\",\"null\"],\"enum\":[\"stop\",\"length\",\"content_filter\",null]},"
        "\"reasoning\":{\"type\":\"string\"}},"
        "\"required\":[\"message\",\"session_id\",\"message_id\",\"model_name\",\"timestamp\","
        "\"generation_time\",\"token_count\",\"finish_reason\"]},"
    "\"ChatMessage\":{\"type\":\"object\",\"properties\":{"
        "\"role\":{\"type\":\"string\",\"enum\":[\"user\",\"assistant\"]},\"content\":{\"type\":\"string\"},"
        "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},\"metadata\":{\"type\":\"object\"}},"
        "\"required\":[\"role\",\"content\",\"timestamp\",\"metadata\"]},"
    "\"ConversationHistory\":{\"type\":\"object\",\"properties\":{"
        "\"session_id\":{\"type\":\"string\"},"
        "\"messages\":{\"type\":\"array\",\"items\":{\"$ref\":\"" REF "ChatMessage\"}},"
        "\"created_at\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"updated_at\":{\"type\":\"string\",\"format\":\"date-time\"},\"message_count\":{\"type\":\"integer\"}},"
        "\"required\":[\"session_id\",\"messages\",\"created_at\",\"updated_at\",\"message_count\"]},"
    "\"HealthResponse\":{\"type\":\"object\",\"properties\":{"
        "\"status\":{\"type\":\"string\",\"enum\":[\"healthy\",\"unhealthy\"]},\"version\":{\"type\":\"string\"},"
        "\"model_type\":{\"type\":\"string\"},\"model_name\":{\"type\":\"string\"},"
        "\"model_loaded\":{\"type\":\"boolean\"},\"uptime\":{\"type\":\"number\"},"
        "\"active_sessions\":{\"type\":\"integer\"},"
        "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"}},"
        "\"required\":[\"status\",\"version\",\"model_type\",\"model_name\",\"model_loaded\",\"uptime\","
        "\"active_sessions\",\"timestamp\"]},"
    "\"ModelInfo\":{\"type\":\"object\",\"properties\":{"
        "\"name\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"loaded\":{\"type\":\"boolean\"},"
        "\"parameters\":{\"type\":\"object\"},"
        "\"capabilities\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
        "\"fallback\":{\"type\":\"object\"},\"reasoning\":{\"type\":\"object\"}},"
        "\"required\":[\"name\",\"type\",\"loaded\",\"parameters\",\"capabilities\"]},"
    "\"ModelList\":{\"type\":\"object\",\"properties\":{"
        "\"models\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
            "\"id\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"name\":{\"type\":\"string\"},"
            "\"context_length\":{\"type\":[\"integer\",\"null\"]},\"ready\":{\"type\":\"boolean\"}},"
            "\"required\":[\"id\",\"type\",\"name\",\"context_length\",\"ready\"]}},"
        "\"unavailable\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
            "\"type\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"}},"
            "\"required\":[\"type\",\"code\"]}}},"
        "\"required\":[\"models\"]},"
    "\"BackendList\":{\"type\":\"object\",\"properties\":{"
        "\"backends\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
            "\"type\":{\"type\":\"string\"},\"name\":{\"type\":\"string\"},"
            "\"role\":{\"type\":\"string\",\"enum\":[\"primary\",\"fallback\",\"reasoning\",\"other\"]},"
            "\"state\":{\"type\":\"string\",\"enum\":[\"ready\",\"loading\",\"failed\",\"unused\"]},"
            "\"breaker\":{\"type\":\"string\",\"enum\":[\"closed\",\"open\",\"half_open\"]},"
            "\"last_error\":{\"type\":[\"string\",\"null\"]},"
            "\"requests\":{\"type\":\"integer\"},\"failures\":{\"type\":\"integer\"},"
            "\"first_token_ms\":{\"type\":[\"integer\",\"null\"]},"
            "\"last_used\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}},"
            "\"required\":[\"type\",\"name\",\"role\",\"state\",\"breaker\",\"last_error\",\"requests\","
            "\"failures\",\"first_token_ms\",\"last_used\"]}}},"
        "\"required\":[\"backends\"]},"
    "\"ValidationError\":{\"type\":\"object\",\"properties\":{"
        "\"type\":{\"type\":\"string\"},"
        "\"loc\":{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"integer\"]}},"
        "\"msg\":{\"type\":\"string\"},\"input\":{},\"ctx\":{\"type\":\"object\"}},"
        "\"required\":[\"loc\",\"msg\",\"type\"]},"
    "\"HTTPValidationError\":{\"type\":\"object\",\"properties\":{"
        "\"detail\":{\"type\":\"array\",\"items\":{\"$ref\":\"" REF "ValidationError\"}},"
        "\"code\":{\"type\":\"string\"},\"request_id\":{\"type\":\"string\"}}}";
/* clang-format on */

/* ---- operations ---- */

static void put_parameter(struct json_out *o, const char *name, const char *in,
                          const struct field *f, const char *schema)
{
    json_object(o);
    key_text(o, "name", name);
    key_text(o, "in", in);
    json_key(o, "required"), json_bool(o, f ? f->required : strcmp(in, "path") == 0);
    json_key(o, "schema");
    if (f)
        put_field_schema(o, f);
    else
        json_raw(o, str_of(schema));
    json_end_object(o);
}

static void put_parameters(struct json_out *o, const struct route *r)
{
    static const char page[] = "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}";
    bool session = strchr(r->path, '{') != NULL, get = strcmp(r->method, "GET") == 0;

    json_key(o, "parameters"), json_array(o);
    if (session) put_parameter(o, "session_id", "path", NULL, "{\"type\":\"string\"}");
    if (r->answer == chat_stream_get)
        for (size_t i = 0; i < chat_fields_count; i++)
            if (chat_fields[i].in & IN_QUERY)
                put_parameter(o, chat_fields[i].name, "query", &chat_fields[i], NULL);
    if (r->answer == sessions_list || (session && get))
        put_parameter(o, "limit", "query", NULL, page);
    if (r->answer == sessions_list)
        put_parameter(o, "cursor", "query", NULL, "{\"type\":\"integer\",\"minimum\":0}");
    if (session && get)
        put_parameter(o, "before", "query", NULL, "{\"type\":\"integer\",\"minimum\":1}");
    if (r->answer == health_api) put_parameter(o, "probe", "query", NULL, "{\"type\":\"boolean\"}");
    json_end_array(o);
}

static void put_content(struct json_out *o, const char *type, const char *schema)
{
    json_key(o, "content"), json_object(o);
    json_key(o, type), json_object(o);
    json_key(o, "schema");
    if (schema)
        put_ref(o, schema);
    else
        json_raw(o, STR("{}"));
    json_end_object(o);
    json_end_object(o);
}

static void put_responses(struct json_out *o, const struct route *r)
{
    const char *type = r->answer == chat_stream_get ? "text/event-stream"
                       : r->answer == metrics_get   ? "text/plain"
                                                    : "application/json";

    json_key(o, "responses"), json_object(o);
    json_key(o, "200"), json_object(o);
    key_text(o, "description", "Successful Response");
    put_content(o, type, r->schema);
    json_end_object(o);
    if (r->answer == chat_post || r->answer == chat_stream_get || r->answer == sessions_get) {
        json_key(o, "422"), json_object(o);
        key_text(o, "description", "Validation Error");
        put_content(o, "application/json", "HTTPValidationError");
        json_end_object(o);
    }
    json_end_object(o);
}

static void put_operation(struct json_out *o, const struct route *r, const struct conf *conf)
{
    char method[8];
    size_t n = 0;

    for (; r->method[n] && n < sizeof method - 1; n++) method[n] = (char)(r->method[n] | 32);
    method[n] = '\0';
    json_key(o, method), json_object(o);
    json_key(o, "tags"), json_array(o), json_text(o, str_of(r->tag)), json_end_array(o);
    key_text(o, "summary", r->summary);
    key_text(o, "operationId", r->name);
    put_parameters(o, r);
    if (r->answer == chat_post) {
        json_key(o, "requestBody"), json_object(o);
        json_key(o, "required"), json_bool(o, true);
        put_content(o, "application/json", "ChatRequest");
        json_end_object(o);
    }
    put_responses(o, r);
    bool closed = conf->api_key || conf->jwt_secret;
    if (closed && !(r->flags & ROUTE_OPEN))
        json_key(o, "security"), json_raw(o, STR("[{\"bearer\":[]}]"));
    json_end_object(o);
}

static void put_paths(struct json_out *o, const struct conf *conf)
{
    json_key(o, "paths"), json_object(o);
    for (size_t i = 0; i < routes_count; i++) {
        const struct route *r = &routes[i];
        if (r->flags & ROUTE_HIDDEN) continue;
        if (i && strcmp(routes[i - 1].path, r->path) == 0) continue; /* with its first method */
        json_key(o, r->path), json_object(o);
        for (size_t k = i; k < routes_count && strcmp(routes[k].path, r->path) == 0; k++)
            put_operation(o, &routes[k], conf);
        json_end_object(o);
    }
    json_end_object(o);
}

enum err openapi_make(struct buf *to, const struct conf *conf)
{
    buf_init(to, DOCUMENT_BYTES_MAX);
    struct json_out o = json_begin(to);
    json_object(&o);
    key_text(&o, "openapi", "3.1.0");
    json_key(&o, "info"), json_object(&o);
    key_text(&o, "title", conf->app_name);
    key_text(&o, "version", conf->app_version);
    json_end_object(&o);
    put_paths(&o, conf);
    json_key(&o, "components"), json_object(&o);
    json_key(&o, "schemas"), json_object(&o);
    put_chat_request(&o);
    buf_add_char(to, ',');
    buf_add(to, str_of(answers));
    json_end_object(&o);
    if (conf->api_key || conf->jwt_secret)
        json_key(&o, "securitySchemes"),
            json_raw(&o, STR("{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
    json_end_object(&o);
    json_end_object(&o);
    return buf_err(to);
}

void openapi_get(struct call *c)
{
    call_send(c, 200, "application/json", buf_str(&c->api->openapi));
}
