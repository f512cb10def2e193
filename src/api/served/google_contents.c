/* What was said, of a request in Google's form: systemInstruction and contents. */
#include <stdio.h>

#include "api/served/google.h"

enum {
    CALLS_MAX = 256,  /* of one turn of the model: each result looks for its own among them */
    FIELD_BYTES = 96, /* "contents[12].parts[3].functionResponse" */
    TEXT_BYTES_MAX = 64 << 20,
};

/* Calls carry ids only where the client likes: a result without one belongs to the first call of
 * its name that has none yet, else to the first. */
struct open_call {
    str id, name;
    bool own_id; /* the client's, not made here */
    bool answered;
};

struct reader {
    struct served *s;
    struct served_messages out;
    struct family_error *why;
    char at[FIELD_BYTES];
    struct open_call calls[CALLS_MAX]; /* of the newest turn of the model */
    size_t calls_count, calls_answered;
    int made; /* ids */
    bool odd; /* holds what Google itself does not take */

    /* Pieces of a stream come back as parts or even contents of their own; they were one text. */
    struct buf run;
    enum part_kind run_kind;
    str run_signature, run_redacted;
    bool run_open;
};

static bool wrong_here(struct reader *r, const char *field, const char *text)
{
    char all[FIELD_BYTES + 64];

    snprintf(all, sizeof all, "%s%s%s", r->at, field[0] ? "." : "", field);
    return google_wrong(r->why, r->s->arena, all, text);
}

/* ---- text of the model ---- */

static void end_run(struct reader *r)
{
    if (!r->run_open) return;
    r->run_open = false;
    if (r->run.bad) r->out.bad = true;
    if (r->run.len == 0 && r->run_signature.len == 0 && r->run_redacted.len == 0) return;
    struct part *p = served_part(&r->out, r->run_kind);
    p->text = r->run.len ? arena_str(r->s->arena, buf_str(&r->run)) : STR("");
    p->signature = r->run_signature;
    p->redacted = r->run_redacted;
    if (p->text.at == NULL) r->out.bad = true;
}

static void add_run(struct reader *r, enum part_kind kind, str text, str signature)
{
    bool redacted = str_starts(signature, STR(GOOGLE_REDACTED));

    if (r->run_open && r->run_kind != kind) end_run(r);
    if (!r->run_open) {
        buf_clear(&r->run);
        r->run_open = true;
        r->run_kind = kind;
        r->run_signature = r->run_redacted = STR_NONE;
    }
    buf_add(&r->run, text);
    if (redacted)
        r->run_redacted = str_tail(signature, sizeof GOOGLE_REDACTED - 1);
    else if (signature.len && !str_starts(signature, STR(GOOGLE_OWN_SIGNATURE)))
        r->run_signature = signature;
    if (redacted || str_starts(signature, STR(GOOGLE_OWN_SIGNATURE))) r->odd = true;
    if (text.len == 0 && signature.len == 0) r->odd = true;
    if (signature.len) end_run(r); /* it signs what came so far */
}

/* ---- calls and results ---- */

static bool add_call(struct reader *r, yyjson_val *call, str signature)
{
    yyjson_val *args = google_get(call, "args");
    str id = json_get_str(call, "id"), name = json_get_str(call, "name");

    if (name.len == 0) return wrong_here(r, "functionCall.name", "a name is required");
    if (args && !yyjson_is_null(args) && !yyjson_is_obj(args))
        return wrong_here(r, "functionCall.args", "expected an object");
    if (r->calls_count == CALLS_MAX) return wrong_here(r, "functionCall", "too many in one turn");
    struct open_call *open = &r->calls[r->calls_count++];
    *open = (struct open_call){.id = id, .name = name, .own_id = id.len > 0};
    if (id.len == 0) open->id = arena_strf(r->s->arena, "call_g%d", ++r->made);
    end_run(r);
    struct part *p = served_part(&r->out, PART_TOOL_CALL);
    p->id = open->id;
    p->name = name;
    p->args_json = yyjson_is_obj(args) ? served_json(args, r->s->arena) : STR("{}");
    bool ours = str_starts(signature, STR(GOOGLE_OWN_SIGNATURE));
    if (ours)
        r->odd = true;
    else
        p->signature = signature;
    if (p->id.at == NULL || p->args_json.at == NULL) r->out.bad = true;
    return true;
}

static struct open_call *call_of(struct reader *r, str id, str name)
{
    struct open_call *any = NULL;

    for (size_t i = 0; id.len && i < r->calls_count; i++)
        if (!r->calls[i].answered && str_eq(r->calls[i].id, id)) return &r->calls[i];
    for (size_t i = 0; i < r->calls_count; i++) {
        struct open_call *c = &r->calls[i];
        if (c->answered || (id.len && c->own_id)) continue;
        if (str_eq(c->name, name)) return c;
        if (any == NULL) any = c;
    }
    return any;
}

/* The text of a result: what Google's own examples wrap it in is taken off. */
static str result_text(struct reader *r, yyjson_val *response, bool *is_error)
{
    static const char *const wraps[] = {"output", "result", "error"};

    *is_error = false;
    for (size_t i = 0; yyjson_obj_size(response) == 1 && i < 3; i++) {
        yyjson_val *inside = json_get(response, wraps[i]);
        if (inside == NULL) continue;
        *is_error = i == 2;
        return yyjson_is_str(inside) ? json_str(inside) : served_json(inside, r->s->arena);
    }
    return served_json(response, r->s->arena);
}

/* RFC 6838 4.2, without parameters. */
static bool is_type(str type)
{
    size_t slash = str_find_char(type, '/');

    for (size_t i = 0; i < type.len; i++) {
        char c = type.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && i != slash && str_find_char(STR("!#$&-^_.+"), c) == STR_NPOS) return false;
    }
    return slash != STR_NPOS && slash > 0 && slash + 1 < type.len;
}

/* An image, or another file: whether its type can be read is the model's affair. */
static bool add_file(struct reader *r, yyjson_val *inline_data, const char *field)
{
    str type = google_get_str(inline_data, "mimeType"), data = json_get_str(inline_data, "data");

    if (type.len == 0 || data.len == 0)
        return wrong_here(r, field, "mimeType and data are required");
    type = str_trim(str_head(type, str_find_char(type, ';')));
    if (!is_type(type)) return wrong_here(r, field, "mimeType is no type of a file");
    str url = arena_strf(r->s->arena, "data:%.*s;base64,%.*s", STR_ARG(type), STR_ARG(data));
    if (url.at == NULL) r->out.bad = true;
    served_part(&r->out, PART_IMAGE)->text = url;
    return true;
}

static bool add_result(struct reader *r, yyjson_val *result)
{
    str name = json_get_str(result, "name"), id = json_get_str(result, "id");
    yyjson_val *response = json_get(result, "response"), *each;

    if (name.len == 0 && id.len == 0)
        return wrong_here(r, "functionResponse.name", "a name is required");
    if (!yyjson_is_obj(response))
        return wrong_here(r, "functionResponse.response", "expected an object");
    struct open_call *call = call_of(r, id, name);
    if (call == NULL)
        return wrong_here(r, "functionResponse", "no functionCall before it waits for one");
    call->answered = true;
    r->calls_answered++;
    struct message *m = served_message(&r->out, ROLE_TOOL);
    m->tool_call_id = call->id;
    m->tool_name = call->name;
    str text = result_text(r, response, &m->is_error);
    if (text.at == NULL) r->out.bad = true;
    served_part(&r->out, PART_TEXT)->text = text;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_array_of(json_get(result, "parts")));
    while ((each = yyjson_arr_iter_next(&it))) {
        yyjson_val *data = google_get(each, "inlineData");
        if (data && !add_file(r, data, "functionResponse.parts")) return false;
    }
    return true;
}

/* ---- parts ---- */

static void add_text(struct reader *r, enum role role, str text)
{
    if (role == ROLE_ASSISTANT)
        add_run(r, PART_TEXT, text, STR_NONE);
    else if (text.len)
        served_part(&r->out, PART_TEXT)->text = text;
    else
        r->odd = true;
}

static bool is_any(str key, const char *const *names)
{
    for (; *names; names++)
        if (str_eq(key, str_of(*names))) return true;
    return false;
}

/* Whether an object has these members only. */
static bool has_only(yyjson_val *object, const char *const *names)
{
    yyjson_obj_iter it;
    yyjson_val *key;

    yyjson_obj_iter_init(json_object_of(object), &it);
    while ((key = yyjson_obj_iter_next(&it)))
        if (!is_any(json_str(key), names)) return false;
    return yyjson_is_obj(object);
}

static bool is_odd_part(yyjson_val *part)
{
    static const char *const names[] = {"text",
                                        "thought",
                                        "thoughtSignature",
                                        "inlineData",
                                        "functionCall",
                                        "functionResponse",
                                        "executableCode",
                                        "videoMetadata",
                                        "codeExecutionResult",
                                        "mediaResolution",
                                        NULL};
    yyjson_val *data = json_get(part, "inlineData");

    return !has_only(part, names) || (data && json_get(data, "mimeType") == NULL);
}

/* A part that is not a function's result. */
static bool add_part(struct reader *r, enum role role, yyjson_val *part)
{
    yyjson_val *text = json_get(part, "text"), *call = google_get(part, "functionCall"), *data;
    str signature = google_get_str(part, "thoughtSignature");

    if (yyjson_is_str(part)) {
        add_text(r, role, json_str(part));
    } else if (!yyjson_is_obj(part)) {
        return wrong_here(r, "", "a part is an object");
    } else if (yyjson_is_obj(call)) {
        if (role != ROLE_ASSISTANT)
            return wrong_here(r, "functionCall", "stands in a content of the role model");
        return add_call(r, call, signature);
    } else if (text && !yyjson_is_null(text)) {
        if (!yyjson_is_str(text)) return wrong_here(r, "text", "expected a string");
        bool thought = json_get_bool(part, "thought", false);
        if (role == ROLE_ASSISTANT)
            add_run(r, thought ? PART_REASONING : PART_TEXT, json_str(text), signature);
        else
            add_text(r, role, json_str(text));
    } else if (yyjson_is_obj(data = google_get(part, "inlineData"))) {
        end_run(r);
        return add_file(r, data, "inlineData");
    } else if (google_get(part, "fileData")) {
        return wrong_here(r, "fileData",
                          "files are not kept here: send the bytes of an image as inlineData");
    } else if ((data = google_get(part, "executableCode"))) {
        add_text(r, role, json_get_str(data, "code"));
    } else if ((data = google_get(part, "codeExecutionResult"))) {
        add_text(r, role, json_get_str(data, "output"));
    } else if (signature.len == 0) {
        return wrong_here(r, "",
                          "a part holds one of text, inlineData, functionCall, functionResponse");
    }
    return true;
}

/* parts, or the one that stands for a list of itself. */
static size_t parts_of(yyjson_val *content, yyjson_val **first)
{
    yyjson_val *parts = json_get(content, "parts");

    *first = yyjson_is_arr(parts) ? yyjson_arr_get_first(parts) : parts;
    if (yyjson_is_arr(parts)) return yyjson_arr_size(parts);
    return parts && !yyjson_is_null(parts) ? 1 : 0;
}

/* Parts lie one after the other in the document, as those of an array do. */
static yyjson_val *next_part(yyjson_val *part)
{
    return unsafe_yyjson_get_next(part);
}

/* Results come first, then what the user says beside them (providers.md section 1). */
static bool read_parts(struct reader *r, enum role role, yyjson_val *content)
{
    yyjson_val *part;
    size_t count = parts_of(content, &part), rest = 0, n = strlen(r->at);
    yyjson_val *first = part;

    for (size_t i = 0; i < count; i++, part = next_part(part)) {
        yyjson_val *result = google_get(part, "functionResponse");
        r->odd = r->odd || is_odd_part(part) || (rest && result);
        if (!yyjson_is_obj(result)) {
            rest++;
            continue;
        }
        snprintf(r->at + n, sizeof r->at - n, ".parts[%zu]", i);
        if (role == ROLE_ASSISTANT)
            return wrong_here(r, "functionResponse", "stands in a content of the role user");
        if (!add_result(r, result)) return false;
    }
    if (rest == 0) return true;
    bool goes_on = role == ROLE_ASSISTANT && r->out.count &&
                   r->out.at[r->out.count - 1].role == ROLE_ASSISTANT;
    if (goes_on)
        r->odd = true; /* Google wants a call right behind the user's content */
    else
        served_message(&r->out, role);
    part = first;
    for (size_t i = 0; i < count; i++, part = next_part(part)) {
        if (yyjson_is_obj(google_get(part, "functionResponse"))) continue;
        snprintf(r->at + n, sizeof r->at - n, ".parts[%zu]", i);
        if (!add_part(r, role, part)) return false;
    }
    return true;
}

static bool read_content(struct reader *r, yyjson_val *content)
{
    str role = json_get_str(content, "role");
    yyjson_val *part;
    bool model = str_eq(role, STR("model"));

    static const char *const names[] = {"role", "parts", NULL};

    r->odd = r->odd || !has_only(content, names) || !yyjson_is_arr(json_get(content, "parts")) ||
             (!model && !str_eq(role, STR("user")));
    if (yyjson_is_str(content)) { /* as the libraries take it from their callers */
        end_run(r);
        served_message(&r->out, ROLE_USER);
        add_text(r, ROLE_USER, json_str(content));
        return true;
    }
    if (!yyjson_is_obj(content)) return wrong_here(r, "", "expected an object with role and parts");
    if (!model && role.len && !str_eq(role, STR("user")) && !str_eq(role, STR("function")))
        return wrong_here(r, "role", "one of user, model");
    if (parts_of(content, &part) == 0)
        return model || wrong_here(r, "parts", "at least one is required");
    if (!model) end_run(r);
    if (model && r->calls_answered) r->calls_count = r->calls_answered = 0; /* a new turn */
    return read_parts(r, model ? ROLE_ASSISTANT : ROLE_USER, content);
}

/* ---- the whole ---- */

static bool read_system(struct reader *r, yyjson_val *v)
{
    yyjson_val *part;

    if (v == NULL || yyjson_is_null(v)) return true;
    snprintf(r->at, sizeof r->at, "systemInstruction");
    if (yyjson_is_str(v)) {
        if (json_str(v).len == 0) return true;
        served_message(&r->out, ROLE_SYSTEM);
        add_text(r, ROLE_SYSTEM, json_str(v));
        return true;
    }
    if (!yyjson_is_obj(v)) return wrong_here(r, "", "expected a content or a string");
    size_t count = parts_of(v, &part);
    if (count) served_message(&r->out, ROLE_SYSTEM);
    for (size_t i = 0; i < count; i++, part = next_part(part)) {
        yyjson_val *text = yyjson_is_str(part) ? part : json_get(part, "text");
        snprintf(r->at, sizeof r->at, "systemInstruction.parts[%zu]", i);
        if (!yyjson_is_str(text)) return wrong_here(r, "", "only text is taken");
        add_text(r, ROLE_SYSTEM, json_str(text));
    }
    return true;
}

static bool read_all(struct reader *r, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "contents"), *each;
    size_t n = 0;

    if (!read_system(r, google_get(root, "systemInstruction"))) return false;
    snprintf(r->at, sizeof r->at, "contents");
    r->odd = r->odd || !yyjson_is_arr(list);
    if (yyjson_is_obj(list) || yyjson_is_str(list)) return read_content(r, list);
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return wrong_here(r, "", "at least one content is required");
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    while ((each = yyjson_arr_iter_next(&it))) {
        snprintf(r->at, sizeof r->at, "contents[%zu]", n++);
        if (!read_content(r, each)) return false;
    }
    return true;
}

bool google_contents(struct served *s, yyjson_val *root, struct family_error *why)
{
    struct reader *r = arena_new(s->arena, struct reader);

    if (r == NULL) return google_wrong(why, s->arena, "contents", "out of memory");
    r->s = s;
    r->why = why;
    buf_init(&r->run, TEXT_BYTES_MAX);
    served_messages_init(&r->out, s->arena);
    bool ok = read_all(r, root);
    if (ok) end_run(r);
    buf_fini(&r->run);
    if (!ok) return false;
    if (r->out.bad) return google_wrong(why, s->arena, "contents", "out of memory");
    if (r->out.count == 0)
        return google_wrong(why, s->arena, "contents", "at least one content is required");
    s->ask.messages = r->out.at;
    s->ask.messages_count = r->out.count;
    s->ask.received_odd = r->odd;
    return true;
}
