#include "api/errors.h"

#include <string.h>

#include "base/json.h"

static const char not_available[] = "Model not available";
static const char no_store[] = "Session store not available";
static const char failed[] = "Failed to generate response";

static void rejected(struct failure *f, enum err e, const struct err_note *why)
{
    bool local = why && why->ours;

    f->event = failed;
    switch (e) {
    case ERR_CONTEXT_LENGTH:
        f->field = local ? "message" : NULL;
        f->msg = local ? "The message is too long for the context of the model (context_length), "
                         "a shorter one would fit"
                       : "The provider refused the request as too long for the model "
                         "(context_length), a shorter one would fit";
        break;
    case ERR_CONTENT_FILTER:
        f->msg = "The provider refused the request for its content (content_filter), "
                 "another wording may pass";
        break;
    case ERR_UNSUPPORTED:
        f->field = why ? why->about : NULL;
        f->msg = "The model cannot do what the request asks for (unsupported), another may";
        if (f->field && strcmp(f->field, "images") == 0)
            f->msg = "The model takes no images, a request without them would be answered";
        break;
    default:
        f->own_words = local && why->text[0] != '\0';
        f->field = f->own_words ? "message" : NULL;
        f->msg = "The provider refused the request as invalid (bad_request), "
                 "other parameters may pass";
    }
}

void errors_of_turn(struct failure *out, enum err e, const struct err_note *why)
{
    const struct err_row *row = err_row(e);
    *out = (struct failure){.status = row->status, .code = row->code};

    switch (e) {
    case ERR_BAD_REQUEST:
    case ERR_CONTEXT_LENGTH:
    case ERR_CONTENT_FILTER:
    case ERR_UNSUPPORTED: rejected(out, e, why); return;
    case ERR_STORE: out->detail = no_store; break;
    case ERR_MODEL_UNUSABLE:
    case ERR_MODEL_TOO_LARGE:
    case ERR_CREDENTIAL: /* of a model that never became ready: the asker can do nothing about it */
        *out = (struct failure){.status = 503, .code = err_row(ERR_NOT_READY)->code};
        out->detail = not_available;
        break;
    case ERR_MEMORY:
    case ERR_NOT_READY:
    case ERR_QUEUE_FULL:
    case ERR_SESSION_BUSY:
    case ERR_SHUTTING_DOWN:
    case ERR_RATE_LIMIT:
    case ERR_OVERLOADED:
    case ERR_QUOTA: out->detail = not_available; break;
    case ERR_LOCAL_FAILED:
    case ERR_MODEL_NOT_FOUND:
    case ERR_AUTH:
    case ERR_SERVER:
    case ERR_TIMEOUT:
    case ERR_NETWORK: out->detail = failed; break;
    default:
        out->status = 500;
        out->code = err_row(ERR_INTERNAL)->code;
        out->detail = "Internal server error";
        out->event = failed;
        return;
    }
    out->event = e == ERR_SHUTTING_DOWN ? "Server is shutting down" : out->detail;
    if (out->status == 503) {
        int ms = why ? why->retry_after_ms : 0;
        out->retry_after_s = ms > 3600000 ? 3600 : ms > 1000 ? (ms + 999) / 1000 : 1;
    }
}

void errors_body(struct buf *to, const char *key, str detail_json, const char *code, str request_id)
{
    struct json_out o = json_begin(to);

    json_object(&o);
    json_key(&o, key), json_raw(&o, detail_json);
    if (code) json_key(&o, "code"), json_text(&o, str_of(code));
    if (request_id.len) json_key(&o, "request_id"), json_text(&o, request_id);
    json_end_object(&o);
}

void errors_event(struct buf *to, const char *text, const char *code)
{
    struct json_out o = json_begin(to);

    json_object(&o);
    json_key(&o, "error"), json_text(&o, str_of(text));
    json_key(&o, "code"), json_text(&o, str_of(code));
    json_end_object(&o);
}
