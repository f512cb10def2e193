/* POST /v1beta/models/{model}:countTokens. */
#include "api/served/google.h"

/* The request of generateContent may stand inside, whole. */
static bool read(struct served *s, yyjson_val *root, struct family_error *why)
{
    yyjson_val *inside = google_get(root, "generateContentRequest");

    if (!yyjson_is_obj(inside)) return google_read(s, root, why);
    if (google_read(s, inside, why)) return true;
    why->param = arena_strf(s->arena, "generateContentRequest.%.*s", STR_ARG(why->param));
    why->message = arena_strf(s->arena, "generateContentRequest.%.*s", STR_ARG(why->message));
    return false;
}

static void write(const struct served *s, int64_t tokens, struct buf *out)
{
    (void)s;
    buf_addf(out, "{\"totalTokens\":%lld}", (long long)tokens);
}

static const struct served_count_form form = {.read = read, .write = write};

void served_google_count(struct call *c)
{
    served_count(c, &form);
}
